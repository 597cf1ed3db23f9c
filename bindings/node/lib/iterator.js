'use strict';
// Events by `for await`.

const { asyncDispose } = require('./symbols');

/** How many events wait in an iterator before it asks for no more. */
const ENOUGH = 256;

/** What an observer says from now on, until it is closed or the loop is left. */
class EventIterator {
  #events = [];
  #waiting = [];
  #over = null;
  #leave;
  #signal;
  #abort;

  /** `leave` is called once: when nobody will ask any more. */
  constructor(signal, { more, leave }) {
    this.more = more;
    this.#leave = leave;
    this.#signal = signal;
    this.#abort = () => this.end(aborted(signal));
    signal?.addEventListener('abort', this.#abort, { __proto__: null, once: true });
  }

  get isFull() {
    return this.#events.length >= ENOUGH;
  }

  push(event) {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#events.push(event);
    else waiting.resolve({ value: event, done: false });
  }

  /** Says no more, for a reason if there is one. */
  end(error) {
    if (this.#over !== null) return;
    this.#over = { error };
    this.#signal?.removeEventListener('abort', this.#abort);
    // An abort is for now, a close lets what was heard be read.
    if (error !== undefined) this.#events.length = 0;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) resolve({ value: undefined, done: true });
      else reject(this.#told());
    }
    this.#leave(this);
  }

  /** The error is thrown once; after that there is nothing more to say. */
  #told() {
    const { error } = this.#over;
    this.#over.error = undefined;
    return error;
  }

  next() {
    const event = this.#events.shift();
    if (event !== undefined) {
      this.more();
      return Promise.resolve({ value: event, done: false });
    }
    if (this.#over !== null) {
      return this.#over.error === undefined
        ? Promise.resolve({ value: undefined, done: true })
        : Promise.reject(this.#told());
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.more();
    });
  }

  return(value) {
    this.end();
    this.#events.length = 0;
    return Promise.resolve({ value, done: true });
  }

  throw(error) {
    this.end();
    this.#events.length = 0;
    return Promise.reject(error);
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [asyncDispose]() {
    await this.return();
  }
}

function aborted(signal) {
  const error = new Error('the operation was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  error.code = 'ABORT_ERR';
  return error;
}

module.exports = { EventIterator, aborted };
