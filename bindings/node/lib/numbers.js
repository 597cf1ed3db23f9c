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

module.exports = { Status, DropReason, Origin };
