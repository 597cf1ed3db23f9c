'use strict';
// Encodes and decodes frames of both versions.

const check = require('./check');
const { attempt, translated } = require('./errors');
const native = require('./native');
const { statusOf } = require('./status');

const FRAME_BYTES = 32;
const NONCE_TERMINAL = 2n ** 64n - 1n;

/** In the order of their codes, from 1. */
const kinds = [
  'BadMagic', 'BadVersion', 'BadCrc', 'BadStatus', 'StallOnWire', 'BadPid', 'BadTimestamp',
  'BadNonce',
];

/** The bytes are not a valid frame; `kind` is the first reason found. */
class DecodeError extends Error {
  constructor(kind, message = kind) {
    super(message);
    this.name = 'DecodeError';
    this.code = 'ERR_VARTA_DECODE';
    this.kind = kind;
  }

  static kindOf(code) {
    return kinds[code - 1];
  }
}

function fieldsOf({ status, pid, timestamp, nonce, payload }) {
  return {
    status: statusOf(status),
    pid: check.u32('pid', pid),
    timestamp: check.u64('timestamp', timestamp),
    nonce: check.u64('nonce', nonce),
    payload: check.u64('payload', payload),
  };
}

function encode(frame, version1) {
  return attempt('encode', () => native.frameEncode(fieldsOf(frame), version1));
}

function decode(wire, version1) {
  try {
    return native.frameDecode(check.bytes('wire', wire, FRAME_BYTES), version1);
  } catch (error) {
    if (kinds.includes(error.code)) throw new DecodeError(error.code, error.message);
    throw translated(error, 'decode');
  }
}

class Frame {
  constructor(status, pid, timestamp, nonce, payload) {
    check.u32('payload', payload);
    Object.assign(this, fieldsOf({ status, pid, timestamp, nonce, payload }), { payload });
  }

  encode() {
    check.u32('payload', this.payload);
    return encode(this, false);
  }

  static decode(wire) {
    const { status, pid, timestamp, nonce, payload } = decode(wire, false);
    return new Frame(status, pid, timestamp, nonce, Number(payload));
  }
}

class FrameV1 {
  constructor(status, pid, timestamp, nonce, payload) {
    Object.assign(this, fieldsOf({ status, pid, timestamp, nonce, payload }));
  }

  encode() {
    return encode(this, true);
  }

  static decode(wire) {
    const { status, pid, timestamp, nonce, payload } = decode(wire, true);
    return new FrameV1(status, pid, timestamp, nonce, payload);
  }
}
Object.defineProperty(FrameV1, 'name', { value: 'Frame' });

function crc32c(bytes) {
  const checked = check.bytes('bytes', bytes);
  return attempt('crc32c', () => native.checksum(checked));
}

module.exports = { DecodeError, FRAME_BYTES, Frame, FrameV1, NONCE_TERMINAL, crc32c };
