'use strict';
// Frames and sealing. The shared vectors, which conformance/node runs, cover the rest.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { DecodeError, Frame, NONCE_TERMINAL, crc32c, secure, v1 } = require('varta');

const GOLDEN = '56410200020000000000000000000000010000000000000000000000e4116baa';

test('the golden frames are encoded and decoded', () => {
  const frame = new Frame('ok', 2, 0, 1, 0);
  assert.equal(frame.encode().toString('hex'), GOLDEN);
  assert.deepEqual(Frame.decode(Buffer.from(GOLDEN, 'hex')), frame);
  const last = new Frame('critical', 2, 999, NONCE_TERMINAL, 0).encode();
  assert.equal(
    last.toString('hex'), '5641020202000000e703000000000000ffffffffffffffff00000000a299eeed',
  );
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
});

test('a Uint8Array view is read from its offset', () => {
  const whole = new Uint8Array(40);
  whole.set(Buffer.from(GOLDEN, 'hex'), 5);
  assert.equal(Frame.decode(whole.subarray(5, 37)).nonce, 1n);
});

test('a DecodeError has the reason', () => {
  assert.throws(() => Frame.decode(Buffer.alloc(32)), (error) => {
    assert.ok(error instanceof DecodeError && error instanceof Error);
    assert.deepEqual([error.name, error.code, error.kind], [
      'DecodeError', 'ERR_VARTA_DECODE', 'BadMagic',
    ]);
    return true;
  });
  assert.throws(() => v1.Frame.decode(Buffer.from(GOLDEN, 'hex')), { kind: 'BadVersion' });
  assert.equal(DecodeError.kindOf(8), 'BadNonce');
  assert.equal(DecodeError.kindOf(0), undefined);
});

test('a sealed frame opens only with its key', () => {
  const key = Buffer.alloc(32, 1);
  const frame = new Frame('ok', 42, 5, 6, 7).encode();
  const wire = secure.seal(key, Buffer.alloc(8), 1, frame);
  assert.equal(wire.length, secure.SHARED_BYTES);
  assert.deepEqual(secure.open(key.toString('hex'), wire), frame);
  wire[20] ^= 1;
  assert.throws(() => secure.open(key, wire), secure.AuthError);
  const agentKey = secure.deriveAgentKey(key, 42);
  const named = secure.sealAs(42, agentKey, Buffer.alloc(8), 1, frame);
  assert.equal(named.length, secure.MASTER_BYTES);
  assert.deepEqual(secure.openWithMaster(key, named), frame);
  assert.throws(() => secure.openWithMaster(agentKey, named), { code: 'ERR_VARTA_AUTH' });
  assert.throws(() => secure.readKeyFile('/nonexistent/key'), { code: 'ENOENT' });
});
