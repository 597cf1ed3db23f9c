'use strict';
// A wrong type throws a TypeError, an out-of-range value a RangeError. Both name the argument.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  BeatError, Frame, Observer, Status, Varta, beatForever, crc32c, panic, secure, v1,
} = require('varta');

const agent = Varta.connect('/nonexistent/varta.sock');
const old = v1.Varta.connect('/nonexistent/varta.sock');
const task = agent.task('task', { thresholdMs: 1000 });
const declare = (options) => agent.task('task', { thresholdMs: 1000, ...options });
const edge = (more) => declare({ edges: [{ from: 0, to: 1, ...more }] });
const line = new BigUint64Array(8);
const simulated = Observer.simulated();
const key = Buffer.alloc(32);
const prefix = Buffer.alloc(8);
const frame = Buffer.alloc(32);
const bind = (options) => Observer.bind('/nonexistent/varta.sock', options);

const wrongTypes = {
  endpoint: [
    () => Varta.connect(5), () => v1.Varta.connect(null), () => Observer.bind(5),
    () => Observer.bind([{}]), () => panic.installSignalHandler(undefined),
  ],
  options: [() => Varta.connect('/x', null), () => bind(5), () => agent.task('task')],
  'options.lane': [() => Varta.connect('/x', { lane: 1 }), () => bind({ lane: 'on' })],
  'options.notify': [() => Varta.connect('/x', { notify: 1 })],
  text: [() => agent.status(), () => agent.status(5), () => old.status(null)],
  'options.tasks': [() => bind({ tasks: 1 })],
  'options.laneFloorMs': [() => bind({ laneFloorMs: '10' })],
  'options.slack': [() => bind({ slack: 5 })],
  'options.slack.tasks': [() => bind({ slack: { tasks: null } })],
  'options.slack.programs.x': [() => bind({ slack: { programs: { x: '5' } } })],
  slack: [() => simulated.setSlack()],
  name: [
    () => agent.task(5, { thresholdMs: 5 }), () => agent.task(undefined, { thresholdMs: 5 }),
    () => simulated.setProgram(5, 5),
    () => simulated.setName(5, 5),
  ],
  'options.startupMs': [() => declare({ startupMs: '5' })],
  'options.progressMs': [() => declare({ progressMs: 5n })],
  'options.finestMs': [() => declare({ finestMs: null })],
  'options.edges': [() => declare({ edges: {} }), () => declare({ edges: [5] })],
  'options.edges.from': [() => edge({ from: '0' })],
  'options.edges.to': [() => edge({ to: undefined })],
  'options.edges.minMs': [() => edge({ minMs: '0' })],
  'options.edges.maxMs': [() => edge({ maxMs: null })],
  'options.cycle': [() => declare({ cycle: 5 })],
  'options.cycle.lengthMs': [() => declare({ cycle: {} })],
  'options.cycle.least': [() => declare({ cycle: { lengthMs: 5, least: '1' } })],
  'options.cycle.most': [() => declare({ cycle: { lengthMs: 5, most: 1n } })],
  'options.vital': [() => declare({ vital: 1 })],
  'options.roams': [() => declare({ roams: 1 })],
  'options.spans': [() => declare({ spans: '8' })],
  atMostMs: [() => task.idle('5'), () => task.idle(null)],
  limits: [() => task.watch('5'), () => task.watch(undefined, () => {}), () => task.watch(null)],
  'limits.minMs': [() => task.watch({ minMs: '1', maxMs: 5 })],
  'limits.maxMs': [() => task.watch({ minMs: 1 }), () => task.watch({ maxMs: '5' })],
  'limits.label': [() => task.watch({ maxMs: 5, label: '1' })],
  fn: [
    () => task.watch(5, 5), () => task.watch(5, null), () => task.run(), () => panic.run(5),
  ],
  checkpoint: [() => task.reach('1'), () => task.reach()],
  done: [() => task.progress('1', 1)],
  left: [() => task.progress(1)],
  agent: [() => simulated.tasks('1'), () => beatForever({})],
  process: [() => simulated.attach(0)],
  'process.uid': [() => simulated.attach(0, { pid: 5 })],
  'process.clockOffset': [() => simulated.attach(0, { pid: 5, uid: 0, clockOffset: 1.5 })],
  page: [() => simulated.mapped(0, '1'), () => simulated.bell(0), () => simulated.detach(0, 1n)],
  pair: [() => simulated.writeLine(0, '0', 'hot', line)],
  line: [() => simulated.writeLine(0, 0, 1, line)],
  words: [() => simulated.writeLine(0, 0, 'hot', Array(8).fill(0n))],
  thread: [() => simulated.threadGone(5, '6'), () => simulated.addThreadReading(5, '6')],
  reading: [() => simulated.setReading(5, 5), () => simulated.addThreadReading(5, 5, null)],
  'reading.cpuNs': [() => simulated.setReading(5, { cpuNs: '5' })],
  'reading.lacks': [() => simulated.setReading(5, { lacks: 5n })],
  'reading.frozen': [() => simulated.setReading(5, { frozen: 1 })],
  'reading.state': [() => simulated.addThreadReading(5, 5, { state: 5 })],
  'reading.arguments': [() => simulated.addThreadReading(5, 5, { arguments: 5 })],
  'options.follow': [() => Varta.connect('/x', { follow: 1 })],
  'options.name': [() => Varta.connect('/x', { name: 1 })],
  'options.reconnectAfter': [() => Varta.connect('/x', { reconnectAfter: '1' })],
  path: [
    () => Varta.connectUds(Buffer.from('/x')), () => secure.readKeyFile(5),
    () => panic.installSignalHandlerUds({}), () => v1.Varta.connectUds(),
  ],
  host: [() => Varta.connectUdp(5, 5), () => panic.installSignalHandlerUdp(null, 5)],
  port: [() => Varta.connectUdp('127.0.0.1', '9'), () => v1.Varta.connectUdp('::1')],
  key: [
    () => Varta.connectSecureUdp('127.0.0.1', 9, 5), () => secure.seal({}, prefix, 1, frame),
    () => panic.installSignalHandlerSecureUdp('127.0.0.1', 9, null),
    () => secure.open(undefined, frame),
  ],
  masterKey: [
    () => Varta.connectSecureUdpWithMaster('127.0.0.1', 9, []),
    () => secure.deriveAgentKey(5, 5), () => secure.openWithMaster(5, frame),
  ],
  status: [
    () => agent.beat('fine'), () => agent.beat(null), () => agent.beat(0n), () => agent.beat({}),
    () => old.beat('stall'), () => new Frame('bad', 2, 0, 1, 0), () => agent.beat('toString'),
    () => task.beat('fine'),
  ],
  payload: [
    () => agent.beat(0, '1'), () => agent.beat(0, 1n), () => agent.beat(0, null),
    () => old.beat(0, '1'), () => new Frame(0, 2, 0, 1, 1n), () => task.beat(0, '1'),
  ],
  drops: [() => agent.setReconnectAfter('1')],
  error: [() => require('varta').BeatOutcome.failed({})],
  errno: [() => new BeatError('EPERM')],
  wire: [() => Frame.decode('56'), () => v1.Frame.decode([1]), () => secure.open(key, 'x')],
  bytes: [() => crc32c('text')],
  ivPrefix: [() => secure.seal(key, '00', 1, frame)],
  ivCounter: [() => secure.seal(key, prefix, 1n, frame)],
  frame: [() => secure.seal(key, prefix, 1, 'frame')],
  salt: [() => secure.deriveIvPrefix('salt', 1)],
  index: [() => secure.deriveIvPrefix(Buffer.alloc(16), 1n)],
  timestamp: [() => new Frame(0, 2, '0', 1, 0)],
  nonce: [() => new v1.Frame(0, 2, 0, null, 0)],
  pid: [
    () => new Frame(0, '2', 0, 1, 0), () => secure.deriveAgentKey(key, '1'),
    () => simulated.exit(0n, '5'), () => secure.sealAs('1', key, prefix, 1, frame),
  ],
  'options.udp': [() => bind({ udp: [5] })],
  'options.secureUdp': [() => bind({ secureUdp: 5 })],
  'options.thresholdMs': [
    () => bind({ thresholdMs: '5' }), () => bind({ thresholdMs: 5n }),
    () => declare({ thresholdMs: undefined }),
  ],
  'options.pauseAfterMs': [() => bind({ pauseAfterMs: null })],
  'options.capacity': [() => bind({ capacity: '5' })],
  'options.socketMode': [() => bind({ socketMode: '600' })],
  'options.receiveBuffer': [() => bind({ receiveBuffer: '5' })],
  'options.uids': [() => bind({ uids: 'all' }), () => bind({ uids: [1, '2'] })],
  'options.namespaces': [() => bind({ namespaces: 1 })],
  'options.version1': [() => bind({ version1: 'yes' })],
  'options.rate': [() => bind({ rate: 5 })],
  'options.rate.perSecond': [() => bind({ rate: { burst: 5 } })],
  'options.ratePerAgent.burst': [() => bind({ ratePerAgent: { perSecond: 5 } })],
  'options.sharedKeys': [() => bind({ sharedKeys: key }), () => bind({ sharedKeys: [5] })],
  'options.masterKey': [() => bind({ masterKey: 5 })],
  'options.secureStateFile': [() => bind({ secureStateFile: 5 })],
  'options.detectExits': [() => bind({ detectExits: 0 })],
  'options.descriptors': [() => bind({ descriptors: '5' })],
  'options.backlog': [() => bind({ backlog: '5' })],
  'options.signal': [
    () => bind({ signal: {} }), () => beatForever(agent, { signal: 5 }),
  ],
  'options.everyMs': [() => beatForever(agent, { everyMs: '5' })],
  'options.onOutcome': [() => beatForever(agent, { onOutcome: 5 })],
  'options.signals': [
    () => panic.installSignalHandlerUds('/x', { signals: 'SIGTERM' }),
    () => panic.installSignalHandlerUds('/x', { signals: [15] }),
  ],
  agent: [() => beatForever(5), () => beatForever({}), () => simulated.setThreshold('1', 1)],
  fn: [() => panic.run(5)],
  atNs: [() => simulated.advance('5'), () => simulated.feed('5', { bytes: frame, sender: {} })],
  dueNs: [() => simulated.late(1n, '5')],
  ns: [() => simulated.suspended(1n, undefined)],
  thresholdNs: [() => simulated.setThreshold(1, '5')],
  datagram: [() => simulated.feed(1n, 5)],
  namespace: [() => simulated.setNamespace(5, 1)],
  innermostPid: [() => simulated.setNamespace(5, 'other', '1')],
  'datagram.truncated': [
    () => simulated.feed(1n, { bytes: frame, sender: { pid: 1, uid: 1 }, truncated: 1 }),
  ],
  'datagram.sender.process': [
    () => simulated.feed(1n, { bytes: frame, sender: { pid: 1, uid: 1, process: '1' } }),
  ],
  'datagram.bytes': [() => simulated.feed(1n, { bytes: '', sender: { pid: 1, uid: 1 } })],
  'datagram.listener': [() => simulated.feed(1n, { bytes: frame, sender: {}, listener: '1' })],
  'datagram.sender': [() => simulated.feed(1n, { bytes: frame, sender: 5 })],
  'datagram.sender.pid': [() => simulated.feed(1n, { bytes: frame, sender: { uid: 1 } })],
  'datagram.sender.uid': [() => simulated.feed(1n, { bytes: frame, sender: { pid: 1 } })],
  'datagram.sender.address': [() => simulated.feed(1n, { bytes: frame, sender: { address: 5 } })],
  'datagram.sender.sealed': [
    () => simulated.feed(1n, { bytes: frame, sender: { address: '192.0.2.1', sealed: 1 } }),
  ],
};

const wrongRanges = {
  endpoint: [() => Varta.connect('/a\0b')],
  'options.reconnectAfter': [() => Varta.connect('/x', { reconnectAfter: -1 })],
  port: [
    () => Varta.connectUdp('127.0.0.1', 0), () => Varta.connectUdp('127.0.0.1', 65536),
    () => Varta.connectUdp('127.0.0.1', 1.5), () => Varta.connectUdp('127.0.0.1', NaN),
  ],
  key: [
    () => secure.seal(Buffer.alloc(31), prefix, 1, frame), () => secure.open('00', frame),
    () => Varta.connectSecureUdp('127.0.0.1', 9, 'z'.repeat(64)),
  ],
  status: [
    () => agent.beat(4), () => agent.beat(-1), () => agent.beat(0.5), () => agent.beat(NaN),
    () => task.beat(4),
  ],
  payload: [
    () => agent.beat(0, -1), () => agent.beat(0, 2 ** 32), () => agent.beat(0, 1.5),
    () => agent.beat(0, NaN), () => agent.beat(0, Infinity), () => old.beat(0, -1n),
    () => old.beat(0, 2n ** 64n), () => old.beat(0, 2 ** 53), () => old.beat(0, 1.5),
    () => new Frame(0, 2, 0, 1, 2 ** 32), () => task.beat(0, 2 ** 32),
  ],
  'reading.state': [() => simulated.addThreadReading(5, 5, { state: 'SS' })],
  'reading.stopSignal': [() => simulated.addThreadReading(5, 5, { stopSignal: 256 })],
  'reading.arguments': [() => simulated.addThreadReading(5, 5, { arguments: [1, 2, 3] })],
  drops: [() => agent.setReconnectAfter(2 ** 32), () => agent.setReconnectAfter(-1)],
  nonce: [() => new Frame(0, 2, 0, 2n ** 64n, 0), () => new Frame(0, 2, 0, 2 ** 53, 0)],
  timestamp: [() => new Frame(0, 2, -1, 1, 0)],
  pid: [() => new Frame(0, -2, 0, 1, 0), () => new Frame(0, 2 ** 32, 0, 1, 0)],
  wire: [() => Frame.decode(Buffer.alloc(31)), () => v1.Frame.decode(Buffer.alloc(33))],
  ivPrefix: [() => secure.seal(key, Buffer.alloc(7), 1, frame)],
  ivCounter: [() => secure.seal(key, prefix, 2 ** 32, frame)],
  frame: [() => secure.seal(key, prefix, 1, Buffer.alloc(31))],
  salt: [() => secure.deriveIvPrefix(Buffer.alloc(15), 1)],
  'options.thresholdMs': [
    () => bind({ thresholdMs: 0 }), () => bind({ thresholdMs: -1 }),
    () => bind({ thresholdMs: NaN }), () => bind({ thresholdMs: Infinity }),
    () => declare({ thresholdMs: 0.999 }), () => declare({ thresholdMs: 30 * 24 * 3_600_000 + 1 }),
    () => declare({ thresholdMs: NaN }), () => declare({ thresholdMs: -Infinity }),
  ],
  name: [
    () => agent.task('', { thresholdMs: 5 }), () => agent.task('x'.repeat(24), { thresholdMs: 5 }),
    () => agent.task('ä'.repeat(12), { thresholdMs: 5 }),
    () => agent.task('a\nb', { thresholdMs: 5 }), () => agent.task('\ud800', { thresholdMs: 5 }),
  ],
  'options.laneFloorMs': [() => bind({ laneFloorMs: 0 })],
  'options.slack.tasks.x': [() => bind({ slack: { tasks: { x: -1 } } })],
  'options.startupMs': [() => declare({ startupMs: 0 })],
  'options.edges': [() => declare({ edges: Array(257).fill({ from: 0, to: 1 }) })],
  'options.edges.from': [() => edge({ from: -1 })],
  'options.edges.to': [() => edge({ to: 65_536 })],
  'options.edges.minMs': [() => edge({ minMs: 5, maxMs: 5 })],
  'options.cycle.most': [() => declare({ cycle: { lengthMs: 5, least: 2, most: 1 } })],
  'options.spans': [() => declare({ spans: 65_537 })],
  atMostMs: [() => task.idle(0), () => task.idle(NaN)],
  limits: [() => task.watch(0), () => task.watch(-1), () => task.watch(NaN)],
  'limits.minMs': [
    () => task.watch({ minMs: 5, maxMs: 5 }), () => task.watch({ minMs: -1, maxMs: 5 }),
  ],
  'limits.maxMs': [() => task.watch({ maxMs: 0 })],
  'limits.label': [() => task.watch({ maxMs: 5, label: 65_536 })],
  checkpoint: [() => task.reach(-1), () => task.reach(65_536), () => task.reach(1.5)],
  done: [() => task.progress(-1, 1)],
  left: [() => task.progress(1, 2 ** 32)],
  pair: [() => simulated.writeLine(0, 32, 'hot', line)],
  line: [() => simulated.writeLine(0, 0, 'warm', line)],
  words: [() => simulated.writeLine(0, 0, 'hot', new BigUint64Array(7))],
  'process.clockOffset': [() => simulated.attach(0, { pid: 5, uid: 0, clockOffset: 2n ** 63n })],
  'options.capacity': [() => bind({ capacity: 0 }), () => bind({ capacity: 1.5 })],
  'options.socketMode': [() => bind({ socketMode: 0o1000 })],
  'options.uids': [() => bind({ uids: -1 })],
  'options.backlog': [() => bind({ backlog: 0 })],
  'options.everyMs': [() => beatForever(agent, { everyMs: 0 })],
  'options.signals': [() => panic.installSignalHandlerUds('/x', { signals: ['SIGKILL'] })],
  namespace: [() => simulated.setNamespace(5, 'mine')],
  innermostPid: [
    () => simulated.setNamespace(5, 'other', -1), () => simulated.setNamespace(5, 'same', 1),
  ],
  atNs: [() => simulated.advance(-1n), () => simulated.advance(2n ** 64n)],
  cause: [() => simulated.exit(0n, 5, { code: 2 ** 40 })],
};

function check(kind, code, cases) {
  for (const [name, calls] of Object.entries(cases)) {
    for (const call of calls) {
      assert.throws(call, (error) => {
        assert.ok(error instanceof kind, `${call}: ${error.stack}`);
        assert.equal(error.code, code);
        assert.ok(error.message.startsWith(`${name} must be`), `${call}: ${error.message}`);
        return true;
      }, String(call));
    }
  }
}

test('arguments of a wrong type are named', () => check(TypeError, 'ERR_INVALID_ARG_TYPE', wrongTypes));

test('arguments that are out of range are named', () => check(RangeError, 'ERR_OUT_OF_RANGE', wrongRanges));

test('an unknown option is named', () => {
  const refused = (name) => ({ code: 'ERR_OUT_OF_RANGE', message: `unknown option: ${name}` });
  assert.throws(() => bind({ treshold: 5 }), refused('treshold'));
  assert.throws(() => Observer.simulated({ size: 5 }), refused('size'));
  assert.throws(() => bind({ slack: { task: {} } }), refused('task'));
  assert.throws(() => declare({ treshold: 5 }), refused('treshold'));
  assert.throws(() => edge({ max: 5 }), refused('max'));
  assert.throws(() => declare({ cycle: { lengthMs: 5, atLeast: 1 } }), refused('atLeast'));
  assert.throws(() => task.watch({ maxMs: 5, lable: 1 }), refused('lable'));
});

test('no error message contains a key', () => {
  const secret = `${'5e'.repeat(31)}!`;
  assert.throws(() => secure.open(secret, frame), (error) => !error.message.includes('5e5e'));
  assert.throws(
    () => bind({ sharedKeys: secret }), (error) => !error.message.includes('5e5e'),
  );
});

test('agents and observers cannot be created with new', () => {
  assert.throws(() => new Varta(), TypeError);
  assert.throws(() => new Observer(), TypeError);
  assert.throws(() => Varta.prototype.beat.call({}), TypeError);
  assert.throws(() => Observer.prototype.poll.call({}), TypeError);
});

test('the smallest and largest values are accepted', () => {
  assert.equal(agent.beat(Status.Critical, 2 ** 32 - 1).kind, 'dropped');
  assert.equal(old.beat(Status.Ok, 2n ** 64n - 1n).kind, 'dropped');
  assert.equal(new Frame('critical', 2 ** 32 - 1, 2n ** 64n - 1n, 0, 0).status, 2);
  assert.throws(() => bind({ uids: [0, 1000], rate: undefined }), { code: 'ENOENT' });
  const most = 30 * 24 * 3_600_000;
  for (const options of [
    { thresholdMs: 1 }, { thresholdMs: most }, { thresholdMs: Infinity, startupMs: undefined },
    { spans: 65_536, cycle: { lengthMs: 1, least: 3, most: 3 } },
    { edges: [{ from: 0, to: 65_535, minMs: 1, maxMs: Infinity }] },
  ]) {
    declare(options).close();
  }
  // What Rust finds wrong with values that are valid one by one.
  const twice = Array(2).fill({ from: 0, to: 1 });
  assert.throws(() => declare({ edges: twice }), { code: 'EINVAL', syscall: 'task', message: /two edges/ });
  // A stall is reserved for observers.
  assert.equal(task.beat(Status.Stall).error.code, 'EINVAL');
});

test('an unknown page, and a process that may have none, are system errors', () => {
  assert.throws(() => simulated.mapped(1, 7), { code: 'EINVAL', syscall: 'mapped' });
  const lane = Observer.simulated({ lane: true });
  const refused = { errno: -13, code: 'EACCES', syscall: 'attach' };
  assert.throws(() => lane.attach(1, { pid: 5, uid: 1000 }), refused);
  const { page } = lane.attach(1, { pid: 5, uid: 0 });
  lane.writeLine(page, 0, 'cold', new BigUint64Array(new SharedArrayBuffer(64)));
  lane.detach(2, page);
  assert.throws(() => lane.writeLine(page, 0, 'hot', line), { code: 'EINVAL' });
});
