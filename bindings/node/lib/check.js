'use strict';
// Checks arguments. A wrong type throws a TypeError, an out-of-range value a RangeError. Both name
// the argument.

const { inspect, types } = require('node:util');

const U32 = 2 ** 32 - 1;
const U64 = 2n ** 64n - 1n;
const MOST_PROMISED = 30 * 24 * 3600 * 1000;

function wrongType(name, expected, value) {
  const error = new TypeError(`${name} must be ${expected}, not ${inspect(value, { depth: 0 })}`);
  error.code = 'ERR_INVALID_ARG_TYPE';
  return error;
}

function outOfRange(name, expected, value) {
  const error = new RangeError(`${name} must be ${expected}, not ${inspect(value)}`);
  error.code = 'ERR_OUT_OF_RANGE';
  return error;
}

function unknownOption(name) {
  const error = new RangeError(`unknown option: ${name}`);
  error.code = 'ERR_OUT_OF_RANGE';
  return error;
}

/** Refuses options that do not exist. */
function noneLeft(rest) {
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw unknownOption(unknown);
}

function integer(name, value, least, most) {
  if (typeof value !== 'number') throw wrongType(name, 'a number', value);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw outOfRange(name, `a whole number from ${least} to ${most}`, value);
  }
  return value;
}

const u16 = (name, value) => integer(name, value, 0, 65_535);

const u32 = (name, value) => integer(name, value, 0, U32);

/** A bigint of 64 bits. An exact number is accepted too. */
function u64(name, value) {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw outOfRange(name, 'exact: use a bigint', value);
    value = BigInt(value);
  }
  if (typeof value !== 'bigint') throw wrongType(name, 'a bigint or a number', value);
  if (value < 0n || value > U64) throw outOfRange(name, 'from 0 to 2^64 - 1', value);
  return value;
}

/** A signed bigint of 64 bits. An exact number is accepted too. */
function i64(name, value) {
  if (typeof value === 'number' && Number.isSafeInteger(value)) value = BigInt(value);
  if (typeof value !== 'bigint') throw wrongType(name, 'a bigint or a whole number', value);
  if (BigInt.asIntN(64, value) !== value) throw outOfRange(name, 'from -2^63 to 2^63 - 1', value);
  return value;
}

/** Converts milliseconds, with an optional fraction, to nanoseconds. */
function milliseconds(name, value) {
  if (typeof value !== 'number') throw wrongType(name, 'a number of milliseconds', value);
  if (!(value > 0 && value <= Number.MAX_SAFE_INTEGER / 1e6)) {
    throw outOfRange(name, 'more than 0 and at most 104 days', value);
  }
  return BigInt(Math.max(1, Math.round(value * 1e6)));
}

/** Milliseconds that may be infinite. */
function time(name, value) {
  if (typeof value !== 'number') throw wrongType(name, 'a number of milliseconds', value);
  if (!(value > 0)) throw outOfRange(name, 'more than 0', value);
  return value;
}

/** Milliseconds for a promise of a task. */
function promised(name, value) {
  time(name, value);
  if (value < 1 || (value > MOST_PROMISED && value !== Infinity)) {
    throw outOfRange(name, 'from 1 to 30 days, or Infinity', value);
  }
  return value;
}

function text(name, value) {
  if (typeof value !== 'string') throw wrongType(name, 'a string', value);
  if (value.includes('\0')) throw outOfRange(name, 'without zero bytes', value);
  return value;
}

function boolean(name, value) {
  if (typeof value !== 'boolean') throw wrongType(name, 'a boolean', value);
  return value;
}

function callable(name, value) {
  if (typeof value !== 'function') throw wrongType(name, 'a function', value);
  return value;
}

/** Copies the object's own properties, so that nothing on Object.prototype becomes an option. */
function options(name, value) {
  if (value === null || typeof value !== 'object') throw wrongType(name, 'an object', value);
  return { __proto__: null, ...value };
}

/** Bytes as a Buffer. It is a copy if the memory is shared with other threads. */
function bytes(name, value, length) {
  if (!(value instanceof Uint8Array)) throw wrongType(name, 'a Buffer or Uint8Array', value);
  if (length !== undefined && value.length !== length) {
    throw outOfRange(name, `${length} bytes long`, value.length);
  }
  const buffer = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return types.isSharedArrayBuffer(buffer.buffer) ? Buffer.from(buffer) : buffer;
}

/** 32 bytes, or 64 hex digits. The error message does not contain the value. */
function key(name, value) {
  if (typeof value === 'string') {
    if (!/^[0-9a-f]{64}$/i.test(value)) {
      throw outOfRange(name, '64 hex digits', '[something else]');
    }
    return Buffer.from(value, 'hex');
  }
  if (!(value instanceof Uint8Array)) {
    throw wrongType(name, '32 bytes or 64 hex digits', '[something else]');
  }
  return bytes(name, value, 32);
}

/** Joins host and port. */
function address(host, port) {
  text('host', host);
  integer('port', port, 1, 65535);
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function signal(name, value) {
  if (!(value instanceof AbortSignal)) throw wrongType(name, 'an AbortSignal', value);
  return value;
}

module.exports = {
  address, boolean, bytes, callable, i64, integer, key, milliseconds, noneLeft, options, outOfRange,
  promised, signal, text, time, u16, u32, u64, unknownOption, wrongType,
};
