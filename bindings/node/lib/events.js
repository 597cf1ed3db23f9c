'use strict';
// Events, as the native half writes them (src/record.rs): eight 64-bit words each, little end
// first, in an array that both share.

const { nameOf } = require('./errors');
const { DecodeError, NONCE_TERMINAL } = require('./frame');
const { Status, Origin } = require('./numbers');

const WORDS = 8;

/** In the order of their codes, from 1. */
const KINDS = Object.freeze([
  'beat', 'stall', 'recovered', 'exit', 'decode', 'auth-failure', 'io', 'paused',
]);

const CAUSES = Object.freeze(['unknown', 'code', 'signal']);

/** One thing an observer has to say. What it carries besides depends on its `kind`. */
class ObserverEvent {
  constructor(kind, observerNs) {
    this.kind = kind;
    this.observerNs = observerNs;
  }

  toString() {
    const about = this.agent === undefined ? '' : `${agentIn(this)}: `;
    return `${seconds(this.observerNs)}: ${about}${sentences[this.kind](this)}`;
  }
}

/** Room for a number of events, and how they are read out of it. */
class Room {
  constructor(events) {
    this.words = new BigUint64Array(events * WORDS);
    this.halves = new Uint32Array(this.words.buffer);
    this.signed = new Int32Array(this.words.buffer);
  }

  event(index) {
    const { words, halves } = this;
    const at = index * WORDS;
    const half = at * 2;
    const kind = KINDS[halves[half + 2] - 1];
    const event = new ObserverEvent(kind, words[at]);
    const origin = halves[half + 3];
    if (origin !== 0) {
      event.agent = Number(words[at + 2]);
      event.pid = halves[half + 6];
      event.claimedPid = halves[half + 7];
      event.origin = origin;
    }
    readers[kind]?.(event, this, at);
    return event;
  }
}

const readers = {
  beat(event, { words, halves }, at) {
    event.status = halves[(at + 4) * 2];
    event.payload = words[at + 5];
    event.nonce = words[at + 6];
    event.missed = words[at + 7];
  },
  stall(event, { words }, at) {
    event.lastNonce = words[at + 4];
    event.lastNs = words[at + 5];
    event.deaf = words[at + 6] !== 0n;
  },
  recovered(event, { words }, at) {
    event.silentNs = words[at + 4];
  },
  exit(event, { halves, signed }, at) {
    event.lastStatus = halves[(at + 4) * 2];
    event.cause = CAUSES[halves[(at + 5) * 2]];
    if (event.cause !== 'unknown') event[event.cause] = signed[(at + 6) * 2];
  },
  decode(event, { halves }, at) {
    event.error = DecodeError.kindOf(halves[(at + 4) * 2]);
  },
  'auth-failure'(event, { halves }, at) {
    event.claimedPid = halves[(at + 4) * 2];
    event.truePid = halves[(at + 5) * 2];
  },
  io(event, { signed }, at) {
    event.errno = -signed[(at + 4) * 2];
    event.code = nameOf(event.errno);
  },
  paused(event, { words }, at) {
    event.ns = words[at + 4];
  },
};

const sentences = {
  beat({ status, payload, nonce, missed }) {
    const which = nonce === NONCE_TERMINAL ? 'last words' : `nonce ${nonce}`;
    const gap = missed === 0n ? '' : `, ${missed} missed`;
    return `beat, ${lower(Status[status])}, payload ${payload}, ${which}${gap}`;
  },
  stall({ lastNs, lastNonce, deaf }) {
    const mark = deaf ? ', while the queue was full' : '';
    return `stall, last heard at ${seconds(lastNs)} with nonce ${lastNonce}${mark}`;
  },
  recovered({ silentNs }) {
    return `recovered after ${seconds(silentNs)} of silence`;
  },
  exit({ cause, code, signal, lastStatus }) {
    const how = {
      unknown: 'cause unknown', code: `exit code ${code}`, signal: `killed by signal ${signal}`,
    };
    return `exit, ${how[cause]}, last status ${lower(Status[lastStatus])}`;
  },
  decode({ error }) {
    return `no frame, ${error}`;
  },
  'auth-failure'({ claimedPid, truePid }) {
    return `auth failure, pid ${truePid} sent a frame that names ${claimedPid}`;
  },
  io({ code }) {
    return `socket failed, ${code}`;
  },
  paused({ ns }) {
    return `observer paused for ${seconds(ns)}`;
  },
};

function agentIn({ agent, pid, claimedPid, origin }) {
  let who = `pid ${pid}`;
  if (pid === 0) who = `claims pid ${claimedPid}`;
  else if (pid !== claimedPid) who += `, claims pid ${claimedPid}`;
  if (origin === Origin.SecureNetwork) who += ', secure-network';
  if (origin === Origin.Network) who += ', network';
  return `agent ${agent} (${who})`;
}

function seconds(ns) {
  const milliseconds = String(ns / 1_000_000n % 1_000n).padStart(3, '0');
  return `${ns / 1_000_000_000n}.${milliseconds} s`;
}

function lower(name) {
  return name.toLowerCase();
}

module.exports = { CAUSES, KINDS, ObserverEvent, Room };
