'use strict';
// Events for `for await` loops.

const { asyncDispose } = require('./symbols');

/** How many events an iterator queues before it is full. */
const CAPACITY = 256;

/** An observer's events from now on, until it is closed or the loop ends. */
class EventIterator {
  #events = [];
  #waiting = [];
  #ended = null;
  #leave;
  #signal;
  #abort;

  /** `leave` is called once, when no more events will be requested. */
  constructor(signal, { more, leave }) {
    this.more = more;
    this.#leave = leave;
    this.#signal = signal;
    this.#abort = () => this.end(aborted(signal));
    signal?.addEventListener('abort', this.#abort, { __proto__: null, once: true });
  }

  get isFull() {
    return this.#events.length >= CAPACITY;
  }

  push(event) {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#events.push(event);
    else waiting.resolve({ value: event, done: false });
  }

  /** Ends the iteration, with an error if there is one. */
  end(error) {
    if (this.#ended !== null) return;
    this.#ended = { error };
    this.#signal?.removeEventListener('abort', this.#abort);
    // An abort takes effect at once. After a close, queued events can still be read.
    if (error !== undefined) this.#events.length = 0;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) resolve({ value: undefined, done: true });
      else reject(this.#takeError());
    }
    this.#leave(this);
  }

  /** The error is thrown only once. Later calls are done. */
  #takeError() {
    const { error } = this.#ended;
    this.#ended.error = undefined;
    return error;
  }

  next() {
    const event = this.#events.shift();
    if (event !== undefined) {
      this.more();
      return Promise.resolve({ value: event, done: false });
    }
    if (this.#ended !== null) {
      return this.#ended.error === undefined
        ? Promise.resolve({ value: undefined, done: true })
        : Promise.reject(this.#takeError());
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
