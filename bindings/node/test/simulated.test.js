'use strict';
// The simulated observer, whose clock the test sets.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { Frame, Observer } = require('varta');

const SECOND = 1_000_000_000n;

function beat(pid, nonce, status = 'ok') {
  return new Frame(status, pid, 0, nonce, 0).encode();
}

function rest(observer) {
  const events = [];
  for (let event = observer.poll(); event; event = observer.poll()) events.push(event);
  return events;
}

test('an agent stalls, recovers and exits', () => {
  const observer = Observer.simulated();
  const sender = { pid: 4321, uid: 0 };
  observer.feed(SECOND, { sender, bytes: beat(4321, 1) });
  observer.advance(3n * SECOND - 1n);
  assert.deepEqual(rest(observer).map(({ kind }) => kind), ['beat']);
  observer.advance(3n * SECOND);
  const [stall] = rest(observer);
  assert.deepEqual([stall.kind, stall.lastNs, stall.lastNonce], ['stall', SECOND, 1n]);
  assert.equal(String(stall), '3.000 s: agent 1 (pid 4321): stall, last heard at 1.000 s with nonce 1');
  observer.feed(4n * SECOND, { sender, bytes: beat(4321, 4) });
  const [recovered, again] = rest(observer);
  assert.deepEqual([recovered.kind, recovered.silentNs], ['recovered', 3n * SECOND]);
  assert.equal(again.missed, 2n);
  assert.equal(observer.exit(5n * SECOND, 4321, { signal: 9 }), true);
  assert.equal(observer.exit(5n * SECOND, 4321), false);
  const [exit] = rest(observer);
  assert.equal(String(exit), '5.000 s: agent 1 (pid 4321): exit, killed by signal 9, last status ok');
  assert.deepEqual(observer.agents(), []);
  const { beats, stalls, recoveries, exits, received } = observer.stats();
  assert.deepEqual([beats, stalls, recoveries, exits, received], [2, 1, 1, 1, 2]);
});

test('a stall is delayed and marked deaf while the queue is full', () => {
  const observer = Observer.simulated();
  observer.feed(0, { sender: { pid: 4321, uid: 0 }, bytes: beat(4321, 1) });
  observer.advance(2n * SECOND, { full: true });
  assert.deepEqual(rest(observer).map(({ kind }) => kind), ['beat']);
  observer.advance(4n * SECOND);
  const [stall] = rest(observer);
  assert.equal(stall.deaf, true);
  assert.match(String(stall), /with nonce 1, while the queue was full$/);
  const { stalls, stallsDeaf, fullLooks } = observer.stats();
  assert.deepEqual([stalls, stallsDeaf, fullLooks], [1, 1, 1]);
  assert.throws(() => observer.advance(5n * SECOND, { full: 1 }), TypeError);
});

test('lateness and suspension are pauses', () => {
  const observer = Observer.simulated({ pauseAfterMs: 100 });
  observer.late(5n * SECOND, SECOND);
  observer.suspended(60n * SECOND, 50n * SECOND);
  assert.deepEqual(
    rest(observer).map(({ kind, ns }) => [kind, ns]),
    [['paused', 4n * SECOND], ['paused', 50n * SECOND]],
  );
});

test('network senders, thresholds and uids are applied', () => {
  const observer = Observer.simulated({ uids: [1000], capacity: 10 });
  observer.feed(0, { listener: 1, sender: { address: '192.0.2.1' }, bytes: beat(77, 1) });
  observer.feed(0, { sender: { pid: 5, uid: 1001 }, bytes: beat(5, 1) });
  const [received] = rest(observer);
  assert.deepEqual([received.origin, received.pid, received.claimedPid], [3, 0, 77]);
  assert.equal(observer.agents()[0].address, '192.0.2.1');
  assert.equal(observer.stats().uidRefused, 1);
  assert.equal(observer.setThreshold(received.agent, 5), true);
  assert.equal(observer.setThreshold(99, 5), false);
  observer.advance(5);
  assert.equal(rest(observer)[0].kind, 'stall');
});

test('truncated datagrams, namespaces and process numbers are handled', () => {
  const observer = Observer.simulated();
  const sender = { pid: 5, uid: 0, process: 2n ** 60n };
  observer.feed(0, { sender, bytes: beat(5, 1), truncated: true });
  observer.feed(0, { sender, bytes: beat(5, 1), controlTruncated: true });
  observer.setNamespace(6, 'other');
  observer.feed(0, { sender: { pid: 6, uid: 0 }, bytes: beat(7, 1) });
  observer.feed(0, { sender, bytes: beat(5, 1) });
  const { wrongLength, controlTruncated, namespaceRefused, beats } = observer.stats();
  assert.deepEqual([wrongLength, controlTruncated, namespaceRefused, beats], [1, 1, 1, 1]);
});

test('an io event has its errno and code', () => {
  const { Room } = require(path.join(path.dirname(require.resolve('varta')), 'events.js'));
  const room = new Room(1);
  room.words.set([1_500_000_000n, 7n, 0n, 0n, 104n]);
  const event = room.event(0);
  assert.deepEqual([event.kind, event.errno, event.code], ['io', -104, 'ECONNRESET']);
  assert.equal(String(event), '1.500 s: socket failed, errno 104');
});

test('numbers beyond 2^53 stay exact', () => {
  const observer = Observer.simulated();
  const at = 2n ** 63n + 1n;
  observer.feed(at, { sender: { pid: 5, uid: 0 }, bytes: beat(5, 2n ** 60n + 1n) });
  const [{ observerNs, nonce }] = rest(observer);
  assert.deepEqual([observerNs, nonce], [at, 2n ** 60n + 1n]);
});
