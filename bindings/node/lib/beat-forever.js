'use strict';
// Beats from the event loop. A blocked loop stops beating, and a late one reports its delay.

const { performance } = require('node:perf_hooks');

const check = require('./check');
const { dispose } = require('./symbols');

const MAX_PAYLOAD = 2 ** 32 - 1;

class Beating {
  #agent;
  #every;
  #onOutcome;
  #due;
  #timer;
  #signal;
  #stop = () => this.stop();

  constructor(agent, everyMs, onOutcome, signal) {
    this.#agent = agent;
    this.#every = everyMs;
    this.#onOutcome = onOutcome;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#stop, { __proto__: null, once: true });
    // The timer does not keep the process running.
    this.#timer = setTimeout(() => this.#beat(performance.now() - this.#due), everyMs).unref();
    try {
      this.#beat(0);
    } catch (error) {
      // The caller gets no object with which to stop the timer.
      this.stop();
      throw error;
    }
  }

  get stopped() {
    return this.#timer === null;
  }

  ref() {
    this.#timer?.ref();
    return this;
  }

  unref() {
    this.#timer?.unref();
    return this;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#signal?.removeEventListener('abort', this.#stop);
  }

  [dispose]() {
    this.stop();
  }

  #beat(delayMs) {
    const payload = Math.min(MAX_PAYLOAD, Math.max(0, Math.round(delayMs * 1000)));
    this.#due = performance.now() + this.#every;
    this.#timer.refresh();
    let outcome;
    try {
      outcome = this.#agent.beat(0, payload);
    } catch (error) {
      // A closed agent never opens again.
      this.stop();
      throw error;
    }
    this.#onOutcome?.(outcome);
  }
}

/** Beats at once and then every `everyMs`, with the loop's delay in microseconds as payload. */
function beatForever(agent, options = {}) {
  const { everyMs = 500, onOutcome, signal } = check.options('options', options);
  if (typeof agent?.beat !== 'function') throw check.wrongType('agent', 'an agent', agent);
  check.milliseconds('options.everyMs', everyMs);
  check.integer('options.everyMs', Math.ceil(everyMs), 1, 2 ** 31 - 1);
  if (onOutcome !== undefined) check.callable('options.onOutcome', onOutcome);
  if (signal !== undefined) {
    check.signal('options.signal', signal);
    signal.throwIfAborted();
  }
  return new Beating(agent, everyMs, onOutcome, signal);
}

module.exports = { beatForever };
