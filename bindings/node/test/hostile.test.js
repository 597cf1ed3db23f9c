'use strict';
// Polluted prototypes, shared memory and values of every wrong kind, passed by mistake or on
// purpose, neither change an option nor crash the process.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { Frame, crc32c, secure } = require('varta');
const { socketPath, script } = require('./support');

const lib = path.dirname(require.resolve('varta'));

test('properties of Object.prototype are not options', async (t) => {
  const program = script(t, `
    const fs = require('node:fs');
    const { Observer, Varta, beatForever, panic, v1 } = require('varta');
    const [, path] = process.argv;
    const bytes = Buffer.alloc(32);
    const signal = 5, wrong = {};
    const polluted = {
      // Observer options, in the public form and in the form of the native half.
      socketMode: 0o777, uids: [4242], anyUid: true, capacity: wrong, descriptors: wrong,
      thresholdMs: wrong, thresholdNs: wrong, pauseAfterNs: wrong, receiveBuffer: wrong, rate: wrong,
      ratePerAgent: wrong, masterKey: wrong, backlog: wrong, signal,
      // Options of an agent, of beatForever, of last words and of a simulated observer.
      follow: false, reconnectAfter: wrong, notify: wrong, everyMs: wrong, onOutcome: wrong, signals: wrong,
      address: wrong, process: wrong, listener: wrong, truncated: wrong, controlTruncated: wrong,
      sealed: wrong, code: wrong,
      // Of the lane, and of tasks.
      lane: true, tasks: wrong, laneFloorMs: wrong, laneFloorNs: wrong, slack: wrong, programs: wrong,
      startupMs: wrong, progressMs: wrong, finestMs: wrong, edges: wrong, cycle: wrong, vital: wrong, roams: wrong,
      spans: wrong, minMs: wrong, maxMs: wrong, label: wrong, claimedPid: wrong, nonce: wrong,
      clockOffset: wrong,
    };
    Object.assign(Object.prototype, polluted);
    const observer = Observer.bind(path);
    const mode = fs.statSync(path, {}).mode & 0o777;
    const iterator = observer.events();
    const agents = [Varta.connect(path + '-absent'), v1.Varta.connect(path + '-absent')];
    const sent = Varta.connect(path).beat().isSent;
    beatForever(agents[0]).stop();
    const task = agents[0].task('task', { thresholdMs: 1000 });
    task.watch({ maxMs: 5 }, () => {});
    observer.setSlack({});
    const lane = observer.agents().some((agent) => Object.hasOwn(agent, 'lane') && agent.lane);
    panic.installSignalHandlerUdp('127.0.0.1', 9);
    const simulated = Observer.simulated();
    simulated.feed(1n, { bytes, sender: { pid: 1, uid: 1 } });
    simulated.feed(1n, { bytes, sender: { pid: 1, uid: 0 } });
    simulated.exit(2n, 1);
    const { uidRefused } = simulated.stats();
    let event;
    while (event === undefined) event = observer.poll();
    observer.close();
    for (const name of Object.keys(polluted)) delete Object.prototype[name];
    console.log(mode.toString(8), sent, event.kind, uidRefused, lane);
  `, { args: [socketPath(t)] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, '600 true beat 1 false\n');
});

test('bytes in shared memory are copied before they are read', () => {
  const check = require(path.join(lib, 'check.js'));
  const shared = new Uint8Array(new SharedArrayBuffer(64), 8, 32);
  shared.set(new Frame('degraded', 7, 1, 2, 3).encode());
  const copy = check.bytes('wire', shared, 32);
  assert.ok(copy.equals(shared) && !(copy.buffer instanceof SharedArrayBuffer));
  assert.ok(!(check.key('key', shared).buffer instanceof SharedArrayBuffer));
  const own = Uint8Array.from(shared);
  assert.equal(check.bytes('wire', own, 32).buffer, own.buffer, 'other bytes are not copied');

  assert.equal(Frame.decode(shared).payload, 3);
  assert.equal(crc32c(shared), crc32c(own));
  const sealed = secure.seal(shared, own.subarray(0, 8), 1, shared);
  assert.ok(secure.open(own, sealed).equals(own));
});

test('detached and resized buffers are read with their current length', () => {
  const detached = new Uint8Array(32);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const resized = new Uint8Array(new ArrayBuffer(32, { maxByteLength: 64 }));
  resized.buffer.resize(16);
  for (const bytes of [detached, resized]) {
    assert.throws(() => Frame.decode(bytes), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => secure.open(bytes, bytes), { code: 'ERR_OUT_OF_RANGE' });
  }
  assert.throws(() => crc32c(detached), TypeError);
  assert.equal(crc32c(resized), crc32c(new Uint8Array(16)));
});

test('no argument crashes an export of the native half', async (t) => {
  const program = script(t, `
    const native = require(require.resolve('varta').replace('index.js', 'native.js'));
    const { Observer, Span, Task, Varta } = require('varta');
    const external = {
      agent: () => native.agentOpen('/nonexistent/varta.sock', true, 0, true, '', false, false),
      task: () => native.taskDeclare(
        external.agent(), 'task', { thresholdMs: 1000, edges: [], vital: false, roams: false },
      ),
      simulated: () => native.simulatedNew({
        endpoints: [], udp: [], secureUdp: [], anyUid: true, namespaces: false, version1: false,
        sharedKeys: [], detectExits: true, lane: true, tasks: true, causes: true,
      }),
      words: () => native.wordsOpen('udp://127.0.0.1:9'),
      foreign: () => require('node:crypto').createHash('md5'),
    };
    const detached = new Uint8Array(32);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const trap = new Proxy({}, { get() { throw new Error('trap'); }, has() { throw new Error('trap'); } });
    const values = [
      () => undefined, () => null, () => true, () => -1, () => 0, () => NaN, () => 2 ** 53, () => -1n,
      () => 2n ** 64n, () => 2n ** 200n, () => '', () => '\\ud800', () => 'x'.repeat(5000), () => Symbol('x'),
      () => ({}), () => [], () => [[{}]], () => () => {}, () => trap, () => new Proxy(Buffer.alloc(32), {}),
      () => detached, () => new Uint8Array(0), () => Buffer.alloc(32), () => new BigUint64Array(3),
      () => new Float64Array(32), () => new DataView(new ArrayBuffer(8)),
      ...Object.values(external).map((make) => { const made = make(); return () => made; }),
    ];
    let threw = 0, returned = 0;
    function attempt(method, self, args) {
      try { Reflect.apply(method, self, args); returned += 1; } catch (error) {
        if (!(error instanceof Error)) throw new Error('not an Error: ' + String(error));
        threw += 1;
      }
    }
    for (const [name, method] of Object.entries(native)) {
      console.error(name); // shows that it goes on, however slow the machine is
      for (const first of values) {
        attempt(method, first(), []);
        for (const rest of values) attempt(method, undefined, [first(), rest(), rest(), rest(), rest()]);
      }
    }
    // The public methods with a wrong this.
    for (const { prototype } of [Varta, Observer, Task, Span, Object.getPrototypeOf(Varta), Observer.simulated().constructor]) {
      for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
        const method = value ?? get;
        if (typeof method !== 'function' || name === 'constructor') continue;
        for (const self of values) attempt(method, self(), []);
      }
    }
    setImmediate(() => { gc(); console.log(threw > 20000, returned > 100); process.exit(); });
  `, { flags: ['--expose-gc'] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'true true\n');
});
