'use strict';
// Reads the events that the native half writes (src/record.rs) to a shared array: 23 little-endian
// 64-bit words each.

const { attempt, nameOf } = require('./errors');
const { DecodeError } = require('./frame');
const native = require('./native');
const { CERTAINTIES, ENDINGS, PROMISES, RULES, numberOfWhy, whyOf } = require('./numbers');

const WORDS = 23;

/** The word with the number of the task, and the byte where its name begins. */
const TASK = 8;
const NAME = (TASK + 1) * 8;

/** The words with the cause of a silence. */
const CAUSE = 12;

/** The word with the length of the agent's name and 1, and the byte where the name begins. */
const LABEL = 14;
const LABEL_TEXT = (LABEL + 1) * 8;

/** In the order of their codes, from 1. */
const KINDS = Object.freeze([
  'beat', 'stall', 'recovered', 'exit', 'decode', 'auth-failure', 'io', 'paused', 'task', 'ended',
  'violation', 'cause',
]);

const CAUSES = Object.freeze(['unknown', 'code', 'signal']);

/** An event of an observer. Its further fields depend on its `kind`. */
class ObserverEvent {
  // The words that describe a decode error. They are in the text but in no field.
  #found;

  constructor(kind, observerNs, found) {
    this.kind = kind;
    this.observerNs = observerNs;
    this.#found = found;
  }

  /** The same sentence as in every language. */
  toString() {
    const { kind, observerNs, agent = 0, pid = 0, claimedPid = 0, origin = 0 } = this;
    const rest = this.#found ?? writers[kind](this);
    const words = [
      observerNs, pair(KINDS.indexOf(kind) + 1, origin), agent, pair(pid, claimedPid), ...rest,
    ];
    const event = new BigUint64Array(WORDS);
    event.set(words.map(BigInt));
    if (this.task !== undefined) {
      const name = Buffer.from(this.taskName);
      event[TASK] = pair(this.task, name.length);
      name.copy(Buffer.from(event.buffer), NAME);
    }
    if (this.why !== undefined) event.set(whyWords(this.why), CAUSE);
    if (this.label !== undefined) {
      const label = Buffer.from(this.label);
      event[LABEL] = BigInt(label.length + 1);
      label.copy(Buffer.from(event.buffer), LABEL_TEXT);
    }
    return attempt('toString', () => native.eventText(event));
  }
}

/** The array to which the native half writes a number of events. */
class Room {
  // The name of each agent that had an event. It comes with the first one, and when it changes.
  #labels = new Map();

  constructor(events) {
    this.words = new BigUint64Array(events * WORDS);
    this.halves = new Uint32Array(this.words.buffer);
    this.signed = new Int32Array(this.words.buffer);
    this.bytes = Buffer.from(this.words.buffer);
  }

  event(index) {
    const { words, halves } = this;
    const at = index * WORDS;
    const half = at * 2;
    const kind = KINDS[halves[half + 2] - 1];
    const found = kind === 'decode' ? words.slice(at + 4, at + 8) : undefined;
    const event = new ObserverEvent(kind, words[at], found);
    const origin = halves[half + 3];
    if (origin !== 0) {
      event.agent = Number(words[at + 2]);
      event.pid = halves[half + 6];
      event.claimedPid = halves[half + 7];
      event.origin = origin;
      event.label = this.#label(event.agent, at);
      if (kind === 'exit') this.#labels.delete(event.agent);
    }
    const task = halves[(at + TASK) * 2];
    if (task !== 0) {
      const name = at * 8 + NAME;
      event.task = task;
      event.taskName = this.bytes.toString('utf8', name, name + halves[(at + TASK) * 2 + 1]);
    }
    readers[kind]?.(event, this, at);
    return event;
  }

  #label(agent, at) {
    const half = (at + LABEL) * 2;
    const length = this.halves[half];
    if (length !== 0) {
      const start = at * 8 + LABEL_TEXT;
      // So many agents have come and gone that the native half begins anew.
      if (this.halves[half + 1] !== 0) this.#labels.clear();
      this.#labels.set(agent, this.bytes.toString('utf8', start, start + length - 1));
    }
    return this.#labels.get(agent) ?? '';
  }
}

const readers = {
  beat(event, { words, halves }, at) {
    event.status = halves[(at + 4) * 2];
    event.payload = words[at + 5];
    event.nonce = words[at + 6];
    event.missed = words[at + 7];
    event.count = halves[(at + 4) * 2 + 1];
  },
  stall(event, { words, halves }, at) {
    event.lastNonce = words[at + 4];
    event.lastNs = words[at + 5];
    event.deaf = halves[(at + 6) * 2] !== 0;
    const late = halves[(at + 6) * 2 + 1];
    if (late !== 0) {
      event.promise = PROMISES[(late & 0xffff) - 1];
      event.dueNs = words[at + 7];
      event.checkpoint = late >>> 16;
    }
    readWhy(event, halves, at);
  },
  recovered(event, { words, halves }, at) {
    event.silentNs = words[at + 4];
    event.promise = PROMISES[halves[(at + 5) * 2] - 1];
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
  task(event, { words }, at) {
    event.thresholdNs = words[at + 4];
  },
  ended(event, { halves }, at) {
    event.how = ENDINGS[halves[(at + 4) * 2] - 1];
  },
  violation(event, { words, halves }, at) {
    event.rule = RULES[halves[(at + 4) * 2] - 1];
    event.count = halves[(at + 4) * 2 + 1];
    const steps = halves[(at + 5) * 2];
    event.from = steps & 0xffff;
    event.to = steps >>> 16;
    event.by = words[at + 6];
  },
  cause(event, { halves }, at) {
    readWhy(event, halves, at);
  },
};

function readWhy(event, halves, at) {
  const [why, thread, other] = halves.subarray((at + CAUSE) * 2);
  if (why === 0) return;
  event.why = whyOf(why >>> 8 & 0xff, why >>> 16 & 0xff, why >>> 24, thread, other);
}

function whyWords({ cause, certainty, flags, thread, other }) {
  const why = 1 | numberOfWhy(cause) << 8 | CERTAINTIES.indexOf(certainty) << 16 | flags << 24;
  return [pair(why >>> 0, thread), BigInt(other)];
}

/** The inverse of `readers`: the words of an event after the first four. */
const writers = {
  beat: ({ status, payload, nonce, missed, count }) =>
    [pair(status, count), payload, nonce, missed],
  stall: ({ lastNonce, lastNs, deaf, promise, checkpoint = 0, dueNs = 0 }) =>
    [lastNonce, lastNs, pair(deaf, shorts(PROMISES.indexOf(promise) + 1, checkpoint)), dueNs],
  recovered: ({ silentNs, promise }) => [silentNs, PROMISES.indexOf(promise) + 1],
  exit: ({ lastStatus, cause, code, signal }) =>
    [lastStatus, CAUSES.indexOf(cause), code ?? signal ?? 0],
  'auth-failure': ({ claimedPid, truePid }) => [claimedPid, truePid],
  io: ({ errno }) => [-errno],
  paused: ({ ns }) => [ns],
  task: ({ thresholdNs }) => [thresholdNs],
  ended: ({ how }) => [ENDINGS.indexOf(how) + 1],
  violation: ({ rule, count, from, to, by }) =>
    [pair(RULES.indexOf(rule) + 1, count), shorts(from, to), by],
  cause: () => [],
};

function pair(low, high) {
  return BigInt(low) | BigInt(high) << 32n;
}

function shorts(low, high) {
  return (low | high << 16) >>> 0;
}

module.exports = { CAUSES, KINDS, ObserverEvent, Room };
