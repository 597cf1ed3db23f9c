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
  KernelQueueFull: 1, NoObserver: 2, PeerGone: 3, StorageFull: 4, Withheld: 5,
});

/** How an agent's identity is known. */
const Origin = table({ KernelAttested: 1, SecureNetwork: 2, Network: 3 });

/** Names in the order of their codes, from 1: what a task promises, */
const PROMISES = Object.freeze(['beat', 'span', 'checkpoint', 'progress']);

/** the rules that its calls can break, */
const RULES = Object.freeze(['too-early', 'too-late', 'wrong-order', 'too-few', 'too-many']);

/** and how it can end. */
const ENDINGS = Object.freeze(['closed', 'failed', 'thread-gone', 'detached']);

/** The promises in a set with a bit for each. */
function promisesIn(bits) {
  return PROMISES.filter((_, index) => (bits >> index & 1) !== 0);
}

/** No limit, as nanoseconds. */
const NEVER = 2n ** 64n - 1n;

module.exports = {
  DropReason, ENDINGS, NEVER, Origin, PROMISES, RULES, Status, promisesIn,
};
