'use strict';
// An observer without sockets, whose clock the caller sets.

const check = require('./check');
const { attempt } = require('./errors');
const { CAUSES, Room } = require('./events');
const native = require('./native');
const { PROMISES, promisesIn, whyOf } = require('./numbers');
const { slackOf } = require('./settings');

const NAMESPACES = ['same', 'other', 'unknown'];

function arrivalOf(datagram) {
  const {
    listener = 0, sender, bytes, truncated = false, controlTruncated = false, fresh = false,
  } = check.options('datagram', datagram);
  const arrival = {
    __proto__: null,
    bytes: check.bytes('datagram.bytes', bytes),
    listener: check.integer('datagram.listener', listener, 0, 65535),
    truncated: check.boolean('datagram.truncated', truncated),
    controlTruncated: check.boolean('datagram.controlTruncated', controlTruncated),
    fresh: check.boolean('datagram.fresh', fresh),
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

function processOf(process) {
  const {
    pid, uid, process: number, claimedPid = pid, nonce = 0n, clockOffset = 0n,
  } = check.options('process', process);
  return {
    __proto__: null,
    pid: check.u32('process.pid', pid),
    uid: check.u32('process.uid', uid),
    process: number === undefined ? undefined : check.u64('process.process', number),
    claimedPid: check.u32('process.claimedPid', claimedPid),
    nonce: check.u64('process.nonce', nonce),
    clockOffset: check.i64('process.clockOffset', clockOffset),
  };
}

const byte = (name, value) => check.integer(name, value, 0, 255);

const letter = (name, value) => {
  if (!/^[A-Za-z]$/.test(check.text(name, value))) throw check.outOfRange(name, 'one letter', value);
  return value.charCodeAt(0);
};

const fourNumbers = (name, value) => {
  if (!Array.isArray(value)) throw check.wrongType(name, 'an array', value);
  if (value.length !== 4) throw check.outOfRange(name, 'of four numbers', value);
  return Array.from(value, (item) => check.u64(name, item));
};

const OF_PROCESS = {
  spentNs: check.u64,
  cpuNs: check.u64,
  threadCount: check.u32,
  lacks: byte,
  device: check.u64,
  inode: check.u64,
  name: check.text,
  dumping: check.boolean,
  killed: check.boolean,
  tracer: check.u32,
  frozen: check.boolean,
  underOom: check.boolean,
  group: check.text,
  quotaPeriods: check.u64,
  quotaThrottled: check.u64,
  memoryPressureNs: check.u64,
};

const OF_THREAD = {
  state: letter,
  runNs: check.u64,
  waitNs: check.u64,
  slices: check.u64,
  flags: check.u32,
  majorFaults: check.u64,
  stopSignal: byte,
  waitChannel: check.text,
  call: check.text,
  arguments: fourNumbers,
};

/** The values that are given, each checked by its kind. */
function readingOf(reading, kinds) {
  const given = check.options('reading', reading);
  const checked = { __proto__: null };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(kinds, name)) throw check.unknownOption(name);
    if (value !== undefined) checked[name] = kinds[name](`reading.${name}`, value);
  }
  return checked;
}

/** The cause that the native half returns, with names instead of numbers. */
function causeFrom(info) {
  if (info === null || info === undefined) return undefined;
  const { cause, certainty, flags, thread, other, ...rest } = info;
  return { why: whyOf(cause, certainty, flags, thread, other), ...rest };
}

/** The tasks that the native half returns, with names instead of numbers. */
function tasksFrom(tasks) {
  return tasks.map(({ due, broken, ...task }) => ({
    ...task,
    due: due && { ...due, promise: PROMISES[due.promise - 1] },
    broken: promisesIn(broken),
  }));
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

  setNamespace(pid, namespace, innermostPid = 0) {
    check.u32('pid', pid);
    check.u32('innermostPid', innermostPid);
    const number = NAMESPACES.indexOf(check.text('namespace', namespace));
    if (number < 0) {
      throw check.outOfRange('namespace', `one of ${NAMESPACES.join(', ')}`, namespace);
    }
    if (innermostPid !== 0 && namespace !== 'other') {
      throw check.outOfRange('innermostPid', `0, because the namespace is ${namespace}`, innermostPid);
    }
    attempt('setNamespace', () =>
      native.simulatedSetNamespace(this.#observer, pid, number, innermostPid));
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

  setSlack(slack) {
    const entries = slackOf('slack', slack);
    attempt('setSlack', () => native.simulatedSetSlack(this.#observer, entries));
  }

  // Pages of shared memory.

  attach(atNs, process) {
    const [at, attaching] = [check.u64('atNs', atNs), processOf(process)];
    return attempt('attach', () => native.simulatedAttach(this.#observer, at, attaching));
  }

  mapped(atNs, page) {
    const [at, number] = [check.u64('atNs', atNs), check.u32('page', page)];
    attempt('mapped', () => native.simulatedMapped(this.#observer, at, number));
  }

  bell(atNs, page) {
    const [at, number] = [check.u64('atNs', atNs), check.u32('page', page)];
    attempt('bell', () => native.simulatedBell(this.#observer, at, number));
  }

  detach(atNs, page) {
    const [at, number] = [check.u64('atNs', atNs), check.u32('page', page)];
    attempt('detach', () => native.simulatedDetach(this.#observer, at, number));
  }

  writeLine(page, pair, line, words) {
    check.u32('page', page);
    check.integer('pair', pair, 0, 31);
    if (check.text('line', line) !== 'cold' && line !== 'hot') {
      throw check.outOfRange('line', "'cold' or 'hot'", line);
    }
    if (!(words instanceof BigUint64Array)) {
      throw check.wrongType('words', 'a BigUint64Array', words);
    }
    if (words.length !== 8) throw check.outOfRange('words', '8 words long', words.length);
    // It may be in memory that is shared with other threads.
    const copy = new BigUint64Array(words);
    attempt('writeLine', () =>
      native.simulatedWriteLine(this.#observer, page, pair, line === 'hot', copy));
  }

  threadGone(pid, thread) {
    check.u32('pid', pid);
    check.u32('thread', thread);
    attempt('threadGone', () => native.simulatedThreadGone(this.#observer, pid, thread));
  }

  setProgram(pid, name) {
    check.u32('pid', pid);
    check.text('name', name);
    attempt('setProgram', () => native.simulatedSetProgram(this.#observer, pid, name));
  }

  setName(pid, name) {
    check.u32('pid', pid);
    check.text('name', name);
    attempt('setName', () => native.simulatedSetName(this.#observer, pid, name));
  }

  setReading(pid, reading = {}) {
    check.u32('pid', pid);
    const read = readingOf(reading, OF_PROCESS);
    attempt('setReading', () => native.simulatedSetReading(this.#observer, pid, read));
  }

  addThreadReading(pid, thread, reading = {}) {
    check.u32('pid', pid);
    check.u32('thread', thread);
    const { state = letter('reading.state', 'S'), ...rest } = readingOf(reading, OF_THREAD);
    const read = { __proto__: null, thread, state, ...rest };
    attempt('addThreadReading', () =>
      native.simulatedAddThreadReading(this.#observer, pid, read));
  }

  tasks(agent) {
    const number = check.u64('agent', agent);
    return tasksFrom(attempt('tasks', () => native.simulatedTasks(this.#observer, number)));
  }

  cause(agent, task = 0) {
    const number = check.u64('agent', agent);
    check.u32('task', task);
    return causeFrom(
      attempt('cause', () => native.simulatedCause(this.#observer, number, task)),
    );
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

module.exports = { Simulated, causeFrom, tasksFrom };
