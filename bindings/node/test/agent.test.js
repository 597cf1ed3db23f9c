'use strict';
// The agent: every outcome, every transport, and the lifetime of handles.

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const { networkInterfaces } = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const {
  BeatError, BeatOutcome, DropReason, Frame, NONCE_TERMINAL, Observer, Status, Varta,
  classifySendError, secure, v1,
} = require('varta');
const { descriptors, folder, firstEvent, socketPath, python, script, until } = require('./support');

async function udp(t) {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return { socket, port: socket.address().port };
}

test('a beat arrives with its status, payload and nonce', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const beats = [];
  observer.on('beat', (event) => beats.push([event.status, event.payload, event.nonce]));
  assert.equal(agent.beat().kind, 'sent');
  assert.equal(agent.beat(Status.Degraded, 2 ** 32 - 1), BeatOutcome.sent());
  assert.equal(agent.beat('critical', 5).isSent, true);
  await until('three beats', () => beats.length === 3);
  assert.deepEqual(beats, [[0, 0n, 1n], [1, 2n ** 32n - 1n, 2n], [2, 5n, 3n]]);
});

test('sent outcomes are one frozen object', (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const sent = agent.beat();
  assert.equal(agent.beat(), sent);
  assert.ok(Object.isFrozen(sent));
  assert.equal(String(sent), 'sent');
});

test('a beat without an observer is dropped, and connectUds fails', (t) => {
  const path = socketPath(t);
  const agent = Varta.connect(path);
  t.after(() => agent.close());
  const outcome = agent.beat();
  assert.equal(outcome.kind, 'dropped');
  assert.equal(outcome.reason, DropReason.NoObserver);
  assert.equal(String(outcome), 'dropped: no observer');
  const missing = { code: 'ENOENT', errno: -2, syscall: 'connect' };
  assert.throws(() => Varta.connectUds(path), missing);
  assert.throws(() => Varta.connect(path, { follow: false }), missing);
});

test('connect finds an observer that binds later, and its replacement', async (t) => {
  const path = socketPath(t);
  const agent = Varta.connect(path);
  t.after(() => agent.close());
  assert.equal(agent.beat().reason, DropReason.NoObserver);
  for (let round = 0; round < 2; round += 1) {
    const observer = Observer.bind(path);
    await until('a beat that is sent', () => agent.beat().isSent);
    observer.close();
    await until('a beat that is not', () => agent.beat().isDropped);
  }
});

test('a beat to a full queue is dropped', async (t) => {
  const path = socketPath(t);
  const stopped = script(t, `
    const { Observer } = require('varta');
    // An unreachable observer would be collected.
    const observer = Observer.bind(process.argv[1]);
    console.log('bound');
  `, { args: [path] });
  await stopped.printed('bound');
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  stopped.child.kill('SIGSTOP');
  const full = await until('a full queue', () => {
    const outcome = agent.beat();
    return outcome.isDropped && outcome;
  });
  assert.equal(full.reason, DropReason.KernelQueueFull);
});

test('a beat to a peer that has stopped receiving is dropped', async (t) => {
  const path = socketPath(t);
  const peer = python(t, `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
receiver.shutdown(socket.SHUT_RD)
print("ready", flush=True)
sys.stdin.read()
`, path);
  await peer.printed('ready');
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  assert.equal(agent.beat().reason, DropReason.PeerGone);
});

test('beating a Stall fails and uses no nonce', async (t) => {
  const { socket, port } = await udp(t);
  const agent = Varta.connectUdp('127.0.0.1', port);
  t.after(() => agent.close());
  const outcome = agent.beat(Status.Stall);
  assert.equal(outcome.kind, 'failed');
  assert.ok(outcome.error instanceof BeatError && outcome.error instanceof Error);
  const { code, errno, syscall } = outcome.error;
  assert.deepEqual([code, errno, syscall], ['EINVAL', -22, 'send']);
  agent.beat();
  const [wire] = await once(socket, 'message');
  assert.equal(Frame.decode(wire).nonce, 1n);
});

test('a failed connect throws its errno', async (t) => {
  // Sending to a broadcast address needs a socket option that is not set.
  assert.throws(() => Varta.connectUdp('255.255.255.255', 9), { code: 'EACCES', errno: -13 });
});

test('each errno has an outcome', () => {
  const of = (errno) => classifySendError(Object.assign(new Error(), { errno }));
  const { EAGAIN, ENOBUFS, ENOENT, ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE, ENOSPC, EPERM } =
    require('node:os').constants.errno;
  for (const errno of [EAGAIN, ENOBUFS]) assert.equal(of(-errno).reason, 1);
  for (const errno of [ENOENT, ECONNREFUSED]) assert.equal(of(-errno).reason, 2);
  for (const errno of [ECONNRESET, ENOTCONN, EPIPE]) assert.equal(of(-errno).reason, 3);
  assert.equal(of(ENOSPC), BeatOutcome.dropped(DropReason.StorageFull));
  assert.equal(String(of(ENOSPC)), 'dropped: storage full');
  assert.equal(of(-EPERM).error.code, 'EPERM');
  assert.equal(String(of(-EPERM)), 'failed: EPERM');
  const named = { EAGAIN: 1, EWOULDBLOCK: 1, ENOBUFS: 1, ENOENT: 2, ECONNREFUSED: 2, EPIPE: 3 };
  for (const [code, reason] of Object.entries(named)) {
    assert.equal(classifySendError(Object.assign(new Error(), { code })).reason, reason, code);
  }
  assert.equal(classifySendError(new Error('without an errno')).kind, 'failed');
  assert.throws(() => classifySendError(5), TypeError);
});

test('outcomes can be constructed', () => {
  assert.equal(BeatOutcome.dropped(2).reason, DropReason.NoObserver);
  const failed = BeatOutcome.failed(new BeatError(-1));
  assert.equal(failed.error.code, 'EPERM');
  assert.throws(() => BeatOutcome.dropped(9), RangeError);
  assert.throws(() => BeatOutcome.dropped('NoObserver'), RangeError);
  assert.throws(() => BeatOutcome.failed(new Error()), TypeError);
  assert.throws(() => new BeatError(1), RangeError);
});

test('beats arrive over UDP, over both sealed forms and over IPv6', async (t) => {
  const key = Buffer.alloc(32, 7);
  const addresses = Object.values(networkInterfaces()).flat().map(({ address }) => address);
  // Without IPv6, use the IPv4 address for both.
  const six = addresses.includes('::1') ? '::1' : '127.0.0.1';
  const plain = Observer.bind([], { udp: ['127.0.0.1:0', six === '::1' ? '[::1]:0' : '127.0.0.1:0'] });
  t.after(() => plain.close());
  const payloads = [];
  plain.on('beat', (event) => payloads.push(event.payload));
  const [fourPort, sixPort] = plain.addresses.map((address) => Number(address.split(':').at(-1)));
  const agents = [Varta.connectUdp('127.0.0.1', fourPort), Varta.connectUdp(six, sixPort)];
  agents.forEach((agent, index) => {
    assert.ok(agent.beat(0, index).isSent);
    agent.close();
  });
  await until('both', () => payloads.length >= 2);

  for (const master of [false, true]) {
    const file = path.join(folder(t), 'key');
    fs.writeFileSync(file, `${key.toString('hex')}\n`, { mode: 0o600 });
    const keys = master ? { masterKey: key } : { sharedKeys: [key] };
    const observer = Observer.bind([], { secureUdp: '127.0.0.1:0', ...keys });
    t.after(() => observer.close());
    const sealedPort = Number(observer.addresses[0].split(':')[1]);
    const connect = master ? Varta.connectSecureUdpWithMaster : Varta.connectSecureUdp;
    const agent = connect('127.0.0.1', sealedPort, key.toString('hex'));
    t.after(() => agent.close());
    const beat = firstEvent(observer, 'beat');
    assert.ok(agent.beat(0, 77).isSent);
    const event = await beat;
    assert.deepEqual([event.payload, event.origin, event.pid], [77n, 2, 0]);
    const parameter = master ? 'master-key-file' : 'key-file';
    const byFile = Varta.connect(`udp+secure://127.0.0.1:${sealedPort}?${parameter}=${file}`);
    t.after(() => byFile.close());
    const second = firstEvent(observer, 'beat');
    assert.ok(byFile.beat(0, 78).isSent);
    assert.equal((await second).payload, 78n);
    assert.deepEqual(secure.readKeyFile(file), key);
  }
});

test('version 1 beats have a 64-bit payload', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { version1: true });
  t.after(() => observer.close());
  const agent = v1.Varta.connectUds(path);
  t.after(() => agent.close());
  const beat = firstEvent(observer, 'beat');
  assert.ok(agent.beat(Status.Ok, 2n ** 64n - 1n).isSent);
  assert.equal((await beat).payload, 2n ** 64n - 1n);
  assert.throws(
    () => v1.Varta.connect('udp+secure://127.0.0.1:9?key-file=/etc/varta/key'),
    { code: 'EINVAL' },
  );
});

test('reconnect finds a replaced observer and keeps the nonce', async (t) => {
  const path = socketPath(t);
  const first = Observer.bind(path);
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  agent.beat();
  first.close();
  assert.ok(agent.beat().isDropped);
  assert.throws(() => agent.reconnect(), { code: 'ENOENT', syscall: 'connect' });
  const second = Observer.bind(path);
  t.after(() => second.close());
  assert.ok(agent.beat().isDropped);
  agent.reconnect();
  const beat = firstEvent(second, 'beat');
  assert.ok(agent.beat().isSent);
  assert.equal((await beat).nonce, 4n);

  second.close();
  const third = Observer.bind(path);
  t.after(() => third.close());
  agent.setReconnectAfter(2);
  assert.ok(agent.beat().isDropped);
  assert.ok(agent.beat().isSent);
  assert.deepEqual([agent.clockRegressions(), agent.forkRecoveries()], [0, 0]);
});

test('the default endpoint is the environment variable', (t) => {
  const before = process.env.VARTA_ENDPOINT;
  t.after(() => {
    if (before === undefined) delete process.env.VARTA_ENDPOINT;
    else process.env.VARTA_ENDPOINT = before;
  });
  const path = socketPath(t);
  process.env.VARTA_ENDPOINT = path;
  const observer = Observer.bind();
  t.after(() => observer.close());
  const agent = Varta.connect();
  t.after(() => agent.close());
  assert.ok(agent.beat().isSent);
});

test('close may be called twice, and later calls throw ERR_VARTA_CLOSED', (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  const agent = Varta.connectUds(path);
  agent.close();
  agent.close();
  const closed = { name: 'Error', code: 'ERR_VARTA_CLOSED' };
  assert.throws(() => agent.beat(), closed);
  assert.throws(() => agent.reconnect(), closed);
  assert.throws(() => agent.setReconnectAfter(1), closed);
  assert.throws(() => agent.clockRegressions(), closed);
  assert.throws(() => agent.forkRecoveries(), closed);
  const old = v1.Varta.connectUds(path);
  old[Symbol.dispose]();
  assert.throws(() => old.beat(), closed);
  observer.close();
  observer.close();
  for (const call of [
    () => observer.poll(), () => observer.agents(), () => observer.stats(),
    () => observer.setThreshold(1, 1), () => observer.addresses, () => observer.advice,
    () => observer.ref(), () => observer.unref(), () => observer.events(),
  ]) assert.throws(call, closed);
  assert.equal(observer.closed, true);
});

test('unreachable handles free their descriptors', async (t) => {
  const path = socketPath(t);
  const program = script(t, `
    const fs = require('node:fs');
    const { Observer, Varta } = require('varta');
    const count = () => fs.readdirSync('/proc/self/fd').length;
    const observer = Observer.bind(process.argv[1]);
    observer.unref();
    Varta.connectUds(process.argv[1]).close();
    const before = count();
    (function make() {
      for (let i = 0; i < 100; i += 1) {
        Varta.connectUds(process.argv[1]);
        Observer.bind([], { udp: '127.0.0.1:0' });
      }
    })();
    if (count() < before + 200) throw new Error('the descriptors were not opened');
    const end = Date.now() + 60000;
    (function wait() {
      gc();
      if (count() <= before) return console.log('freed');
      if (Date.now() > end) return console.log('kept', count() - before);
      setTimeout(wait, 10);
    })();
  `, { args: [path], flags: ['--expose-gc'] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'freed\n');
});

test('a closed agent holds no descriptors', (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  t.after(() => observer.close());
  const before = descriptors();
  for (let i = 0; i < 50; i += 1) Varta.connectUds(path).close();
  assert.equal(descriptors(), before);
});

test('the terminal nonce has all bits set', () => {
  assert.equal(NONCE_TERMINAL, 2n ** 64n - 1n);
});
