'use strict';
// A wrong type throws a TypeError, an out-of-range value a RangeError. Both name the argument.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  BeatError, Frame, Observer, Status, Varta, beatForever, crc32c, panic, secure, v1,
} = require('varta');

const agent = Varta.connect('/nonexistent/varta.sock');
const old = v1.Varta.connect('/nonexistent/varta.sock');
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
  options: [() => Varta.connect('/x', null), () => bind(5)],
  'options.follow': [() => Varta.connect('/x', { follow: 1 })],
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
  ],
  payload: [
    () => agent.beat(0, '1'), () => agent.beat(0, 1n), () => agent.beat(0, null),
    () => old.beat(0, '1'), () => new Frame(0, 2, 0, 1, 1n),
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
  'options.thresholdMs': [() => bind({ thresholdMs: '5' }), () => bind({ thresholdMs: 5n })],
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
  status: [() => agent.beat(4), () => agent.beat(-1), () => agent.beat(0.5), () => agent.beat(NaN)],
  payload: [
    () => agent.beat(0, -1), () => agent.beat(0, 2 ** 32), () => agent.beat(0, 1.5),
    () => agent.beat(0, NaN), () => agent.beat(0, Infinity), () => old.beat(0, -1n),
    () => old.beat(0, 2n ** 64n), () => old.beat(0, 2 ** 53), () => old.beat(0, 1.5),
    () => new Frame(0, 2, 0, 1, 2 ** 32),
  ],
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
  ],
  'options.capacity': [() => bind({ capacity: 0 }), () => bind({ capacity: 1.5 })],
  'options.socketMode': [() => bind({ socketMode: 0o1000 })],
  'options.uids': [() => bind({ uids: -1 })],
  'options.backlog': [() => bind({ backlog: 0 })],
  'options.everyMs': [() => beatForever(agent, { everyMs: 0 })],
  'options.signals': [() => panic.installSignalHandlerUds('/x', { signals: ['SIGKILL'] })],
  namespace: [() => simulated.setNamespace(5, 'mine')],
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
});
