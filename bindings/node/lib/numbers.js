'use strict';
// Numbers that are the same in every language. Each table maps both ways: Status.Critical is 2, and
// Status[2] is 'Critical'.

function table(entries) {
  const both = { ...entries };
  for (const [name, number] of Object.entries(entries)) both[number] = name;
  return Object.freeze(both);
}

/** The status that an agent reports. */
const Status = table({ Ok: 0, Degraded: 1, Critical: 2, Stall: 3 });

/** Why a beat was dropped. */
const DropReason = table({
  KernelQueueFull: 1, NoObserver: 2, PeerGone: 3, StorageFull: 4, Withheld: 5, NotConfigured: 6,
});

/** How an agent's identity is known. */
const Origin = table({ KernelAttested: 1, SecureNetwork: 2, Network: 3 });

/** Names in the order of their codes, from 1: what a task promises, */
const PROMISES = Object.freeze(['beat', 'span', 'checkpoint', 'progress']);

/** the rules that its calls can break, */
const RULES = Object.freeze(['too-early', 'too-late', 'wrong-order', 'too-few', 'too-many']);

/** and how it can end. */
const ENDINGS = Object.freeze(['closed', 'failed', 'thread-gone', 'detached']);

/** Why a process is silent: names by number. The tens of the number are the class. */
const WHY = new Map([
  [0, 'unknown'], [10, 'suspended'], [11, 'stopped'], [12, 'traced'], [13, 'frozen'],
  [14, 'dumping'], [15, 'dying'], [16, 'throttled'], [17, 'starved'], [20, 'io'], [21, 'memory'],
  [30, 'busy'], [31, 'lock'], [32, 'waiting'], [33, 'child'], [34, 'awake'], [35, 'idle'],
  [36, 'asleep'], [37, 'self-reported'], [40, 'exec'], [41, 'leader-exited'],
  [42, 'thread-gone'],
]);
const WHY_CLASSES = Object.freeze(['unknown', 'outside', 'kernel', 'own', 'changed']);
const CERTAINTIES = Object.freeze(['guess', 'likely', 'certain']);

/** A cause with names instead of numbers. */
function whyOf(cause, certainty, flags, thread, other) {
  return {
    cause: WHY.get(cause),
    class: WHY_CLASSES[Math.floor(cause / 10)],
    certainty: CERTAINTIES[certainty],
    flags,
    thread,
    other,
  };
}

/** The number of a cause. */
function numberOfWhy(name) {
  for (const [number, known] of WHY) if (known === name) return number;
  return 0;
}

/** The promises in a set with a bit for each. */
function promisesIn(bits) {
  return PROMISES.filter((_, index) => (bits >> index & 1) !== 0);
}

/** No limit, as nanoseconds. */
const NEVER = 2n ** 64n - 1n;

module.exports = {
  CERTAINTIES, DropReason, ENDINGS, NEVER, Origin, PROMISES, RULES, Status, WHY, WHY_CLASSES,
  numberOfWhy, promisesIn, whyOf,
};
