'use strict';
// The agent: one connection of one process to one observer.

const check = require('./check');
const { attempt, translated } = require('./errors');
const native = require('./native');
const { Status } = require('./numbers');
const { SENT, outcomeOf } = require('./outcome');
const { dispose } = require('./symbols');

const DEFAULT_ENDPOINT = '/run/varta/varta.sock';
const names = Object.freeze({ ok: 0, degraded: 1, critical: 2 });
const INTERNAL = Symbol('connecting');

/** The endpoint if none is passed. */
function defaultEndpoint() {
  return process.env.VARTA_ENDPOINT || DEFAULT_ENDPOINT;
}

/** A status by its number or its name. */
function statusOf(status) {
  if (typeof status === 'string' && Object.hasOwn(names, status)) return names[status];
  if (typeof status !== 'number') {
    throw check.wrongType('status', "a Status, or 'ok', 'degraded' or 'critical'", status);
  }
  if (Status[status] === undefined) throw check.outOfRange('status', 'a Status', status);
  return status;
}

function openOptions(options) {
  const { follow = true, reconnectAfter = 0 } = check.options('options', options);
  check.boolean('options.follow', follow);
  return [follow, check.u32('options.reconnectAfter', reconnectAfter)];
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

  /** Only for the `beat` methods of the two versions. */
  static handleOf(agent) {
    return agent.#agent;
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
    const [follow, drops] = openOptions(options);
    return make(Varta, () => native.agentOpen(endpoint, follow, drops, false));
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
}

/** For observers that support only version 1: a 64-bit payload, and no sealing. */
class VartaV1 extends Agent {
  static connect(endpoint = defaultEndpoint(), options = {}) {
    check.text('endpoint', endpoint);
    const [follow, drops] = openOptions(options);
    return make(VartaV1, () => native.agentOpen(endpoint, follow, drops, true));
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

module.exports = { DEFAULT_ENDPOINT, Varta, VartaV1, defaultEndpoint, statusOf };
