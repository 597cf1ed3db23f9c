'use strict';
// The agent: one connection of one process to one observer.

const check = require('./check');
const { attempt, translated } = require('./errors');
const native = require('./native');
const { SENT, outcomeOf } = require('./outcome');
const { statusOf } = require('./status');
const { dispose } = require('./symbols');
const { declare, tasksOf } = require('./task');

const DEFAULT_ENDPOINT = '/run/varta/varta.sock';
const INTERNAL = Symbol('connecting');

/** The endpoint if none is passed. */
function defaultEndpoint() {
  return process.env.VARTA_ENDPOINT || DEFAULT_ENDPOINT;
}

function openOptions(options) {
  const { follow = true, reconnectAfter = 0, lane = true, name = '', notify = false } =
    check.options('options', options);
  check.boolean('options.follow', follow);
  check.u32('options.reconnectAfter', reconnectAfter);
  check.boolean('options.lane', lane);
  check.boolean('options.notify', notify);
  return [follow, reconnectAfter, lane, check.text('options.name', name), notify];
}

/** What the agents of both versions have in common. */
class Agent {
  #agent;

  constructor(token, agent) {
    if (token !== INTERNAL) {
      throw new TypeError('use Varta.connect() or Varta.connectUdp(), not new Varta()');
    }
    this.#agent = agent;
  }

  /** Only for the methods of the two versions. */
  static handleOf(agent) {
    return agent.#agent;
  }

  ready() {
    return outcomeOf(attempt('send', () => native.agentReady(this.#agent)));
  }

  stopping() {
    return outcomeOf(attempt('send', () => native.agentStopping(this.#agent)));
  }

  status(text) {
    if (typeof text !== 'string') throw check.wrongType('text', 'a string', text);
    return outcomeOf(attempt('send', () => native.agentStatus(this.#agent, text)));
  }

  reconnect() {
    attempt('connect', () => native.agentReconnect(this.#agent));
  }

  setReconnectAfter(drops) {
    check.u32('drops', drops);
    attempt('beat', () => native.agentSetReconnectAfter(this.#agent, drops));
  }

  clockRegressions() {
    return Number(attempt('beat', () => native.agentCounts(this.#agent))[0]);
  }

  forkRecoveries() {
    return Number(attempt('beat', () => native.agentCounts(this.#agent))[1]);
  }

  close() {
    attempt('close', () => native.agentClose(this.#agent));
  }

  [dispose]() {
    this.close();
  }
}

const { handleOf } = Agent;
delete Agent.handleOf;
const { agentBeat, agentBeatV1 } = native;

class Varta extends Agent {
  static connect(endpoint = defaultEndpoint(), options = {}) {
    check.text('endpoint', endpoint);
    const opening = openOptions(options);
    return make(Varta, () => native.agentOpen(endpoint, ...opening, false));
  }

  static connectUds(path) {
    check.text('path', path);
    return make(Varta, () => native.agentConnectUds(path, false));
  }

  static connectUdp(host, port) {
    const address = check.address(host, port);
    return make(Varta, () => native.agentConnectUdp(address, false));
  }

  static connectSecureUdp(host, port, key) {
    const address = check.address(host, port);
    const bytes = check.key('key', key);
    return make(Varta, () => native.agentConnectSecureUdp(address, bytes, false));
  }

  static connectSecureUdpWithMaster(host, port, masterKey) {
    const address = check.address(host, port);
    const bytes = check.key('masterKey', masterKey);
    return make(Varta, () => native.agentConnectSecureUdp(address, bytes, true));
  }

  beat(status = 0, payload = 0) {
    if (status !== 0 && status !== 1 && status !== 2) status = statusOf(status);
    if (typeof payload !== 'number' || payload >>> 0 !== payload) check.u32('payload', payload);
    let number;
    try {
      number = agentBeat(handleOf(this), status, payload);
    } catch (error) {
      throw translated(error, 'send');
    }
    return number === undefined ? SENT : outcomeOf(number);
  }

  get watched() {
    return attempt('watched', () => native.agentWatched(handleOf(this))) ?? undefined;
  }

  task(name, options) {
    return declare(handleOf(this), name, options);
  }

  tasks() {
    return tasksOf(handleOf(this));
  }
}

/** For observers that support only version 1: a 64-bit payload, and no sealing. */
class VartaV1 extends Agent {
  static connect(endpoint = defaultEndpoint(), options = {}) {
    check.text('endpoint', endpoint);
    const opening = openOptions(options);
    return make(VartaV1, () => native.agentOpen(endpoint, ...opening, true));
  }

  static connectUds(path) {
    check.text('path', path);
    return make(VartaV1, () => native.agentConnectUds(path, true));
  }

  static connectUdp(host, port) {
    const address = check.address(host, port);
    return make(VartaV1, () => native.agentConnectUdp(address, true));
  }

  beat(status = 0, payload = 0n) {
    const bits = check.u64('payload', payload);
    const number = statusOf(status);
    return outcomeOf(attempt('send', () => agentBeatV1(handleOf(this), number, bits)));
  }
}
Object.defineProperty(VartaV1, 'name', { value: 'Varta' });

function make(kind, open) {
  return new kind(INTERNAL, attempt('connect', open));
}

module.exports = { DEFAULT_ENDPOINT, Varta, VartaV1, defaultEndpoint };
