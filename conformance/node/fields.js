'use strict';
// Reads and checks the fields of a vector.

const { show } = require('./json');

/** A vector failed. The message has the expected and the actual value. */
class Failure extends Error {
  constructor(what, expected, got) {
    super(`${what}: expected ${expected}, got ${got}`);
  }
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

class Fields {
  #value;

  constructor(value) {
    if (!isObject(value)) throw new Failure('vector', 'a JSON object', show(value));
    this.#value = value;
  }

  has(name) {
    return Object.hasOwn(this.#value, name);
  }

  object(name) {
    return new Fields(this.#read(name, 'a JSON object', isObject));
  }

  isNull(name) {
    return this.has(name) && this.#value[name] === null;
  }

  null(name) {
    this.#read(name, 'null', (value) => value === null);
  }

  text(name) {
    return this.#read(name, 'a string', (value) => typeof value === 'string');
  }

  textOrNull(name) {
    const fits = (value) => value === null || typeof value === 'string';
    return this.#read(name, 'a string or null', fits);
  }

  /** An unsigned bigint with this many bits. */
  whole(name, bits) {
    const fits = (value) => typeof value === 'bigint' && value >= 0n && value < 2n ** BigInt(bits);
    return this.#read(name, `an unsigned number of ${bits} bits`, fits);
  }

  number(name) {
    return Number(this.whole(name, 32));
  }

  signed(name) {
    const fits = (value) => typeof value === 'bigint' && value >= -(2n ** 31n) && value < 2n ** 31n;
    return Number(this.#read(name, 'a signed number of 32 bits', fits));
  }

  boolean(name) {
    return this.#read(name, 'true or false', (value) => typeof value === 'boolean');
  }

  isText(name, text) {
    return this.has(name) && this.#value[name] === text;
  }

  list(name) {
    return this.#read(name, 'a list', Array.isArray);
  }

  numbers(name) {
    const fits = (value) => typeof value === 'bigint' && value >= 0n && value < 2n ** 32n;
    const isList = (value) => Array.isArray(value) && value.every(fits);
    return this.#read(name, 'a list of unsigned numbers of 32 bits', isList).map(Number);
  }

  /** An object of unsigned numbers by any names. */
  counts(name, bits) {
    const fields = this.object(name);
    return Object.fromEntries(Object.keys(fields.#value).map((key) => [key, fields.whole(key, bits)]));
  }

  /** Keys, in hex. */
  keys(name) {
    const fits = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
    const isList = (value) => Array.isArray(value) && value.every(fits);
    return this.#read(name, 'a list of 32 bytes each in lower-case hex', isList);
  }

  /** Fails for any other field. */
  only(...names) {
    for (const name of Object.keys(this.#value)) {
      if (!names.includes(name)) throw new Failure(name, 'no such field', show(this.#value[name]));
    }
  }

  bytes(name, length) {
    const what = length === undefined ? 'lower-case hex' : `${length} bytes in lower-case hex`;
    const fits = (value) => typeof value === 'string' && /^(?:[0-9a-f]{2})*$/.test(value)
      && (length === undefined || value.length === 2 * length);
    return Buffer.from(this.#read(name, what, fits), 'hex');
  }

  #read(name, expected, fits) {
    if (!this.has(name)) throw new Failure(name, expected, 'nothing');
    const value = this.#value[name];
    if (!fits(value)) throw new Failure(name, expected, show(value));
    return value;
  }
}

function same(what, expected, got) {
  if (expected !== got) throw new Failure(what, expected, got);
}

module.exports = { Failure, Fields, same };
