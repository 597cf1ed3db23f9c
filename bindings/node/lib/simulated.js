'use strict';
// An observer without sockets, whose clock the caller sets.

const check = require('./check');
const { attempt } = require('./errors');
const { CAUSES, Room } = require('./events');
const native = require('./native');

const NAMESPACES = ['same', 'other', 'unknown'];

function arrivalOf(datagram) {
  const {
    listener = 0, sender, bytes, truncated = false, controlTruncated = false,
  } = check.options('datagram', datagram);
  const arrival = {
    __proto__: null,
    bytes: check.bytes('datagram.bytes', bytes),
    listener: check.integer('datagram.listener', listener, 0, 65535),
    truncated: check.boolean('datagram.truncated', truncated),
    controlTruncated: check.boolean('datagram.controlTruncated', controlTruncated),
  };
  const { pid, uid, process, address, sealed = false } = check.options('datagram.sender', sender);
  if (address !== undefined) {
    return {
      __proto__: null,
      ...arrival,
      pid: 0,
      uid: 0,
      address: check.text('datagram.sender.address', address),
      sealed: check.boolean('datagram.sender.sealed', sealed),
    };
  }
  return {
    __proto__: null,
    ...arrival,
    pid: check.u32('datagram.sender.pid', pid),
    uid: check.u32('datagram.sender.uid', uid),
    process: process === undefined ? undefined : check.u64('datagram.sender.process', process),
    sealed: false,
  };
}

/** An observer without sockets: the caller passes in datagrams and exits, and sets the clock. */
class Simulated {
  #observer;
  #room = new Room(1);

  constructor(settings) {
    const accepted = settings.anyUid ? {} : { uids: settings.uids ?? [0] };
    this.#observer = attempt('simulate', () =>
      native.simulatedNew({ __proto__: null, ...settings, ...accepted }));
  }

  feed(atNs, datagram) {
    const at = check.u64('atNs', atNs);
    const arrival = arrivalOf(datagram);
    attempt('feed', () => native.simulatedFeed(this.#observer, at, arrival));
  }

  setNamespace(pid, namespace) {
    check.u32('pid', pid);
    const number = NAMESPACES.indexOf(check.text('namespace', namespace));
    if (number < 0) {
      throw check.outOfRange('namespace', `one of ${NAMESPACES.join(', ')}`, namespace);
    }
    attempt('setNamespace', () => native.simulatedSetNamespace(this.#observer, pid, number));
  }

  advance(atNs, options = {}) {
    const at = check.u64('atNs', atNs);
    const { full = false } = check.options('options', options);
    check.boolean('options.full', full);
    attempt('advance', () => native.simulatedAdvance(this.#observer, at, full));
  }

  exit(atNs, pid, ending = {}) {
    const { code, signal } = check.options('ending', ending);
    const at = check.u64('atNs', atNs);
    check.u32('pid', pid);
    let cause = 'unknown';
    if (code !== undefined) cause = 'code';
    else if (signal !== undefined) cause = 'signal';
    const number = check.integer('cause', code ?? signal ?? 0, -(2 ** 31), 2 ** 31 - 1);
    return attempt('exit', () =>
      native.simulatedExit(this.#observer, at, pid, CAUSES.indexOf(cause), number));
  }

  late(atNs, dueNs) {
    const [at, due] = [check.u64('atNs', atNs), check.u64('dueNs', dueNs)];
    attempt('late', () => native.simulatedLate(this.#observer, at, due));
  }

  suspended(atNs, ns) {
    const [at, length] = [check.u64('atNs', atNs), check.u64('ns', ns)];
    attempt('suspended', () => native.simulatedSuspended(this.#observer, at, length));
  }

  setThreshold(agent, thresholdNs) {
    const [number, ns] = [check.u64('agent', agent), check.u64('thresholdNs', thresholdNs)];
    return attempt('setThreshold', () =>
      native.simulatedSetThreshold(this.#observer, number, ns));
  }

  poll() {
    const count = attempt('poll', () =>
      native.simulatedTake(this.#observer, this.#room.words));
    return count === 0 ? undefined : this.#room.event(0);
  }

  agents() {
    return attempt('agents', () => native.simulatedAgents(this.#observer));
  }

  stats() {
    return attempt('stats', () => native.simulatedStats(this.#observer));
  }
}

module.exports = { Simulated };
