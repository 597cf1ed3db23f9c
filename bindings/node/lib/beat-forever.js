'use strict';
// Beats from the event loop, which is what is to be watched: a loop that is stuck beats no
// more, and one that is late says by how much.

const { performance } = require('node:perf_hooks');

const check = require('./check');
const { dispose } = require('./symbols');

const MOST = 2 ** 32 - 1;

class Beating {
  #agent;
  #every;
  #tell;
  #due;
  #timer;
  #signal;
  #stop = () => this.stop();

  constructor(agent, everyMs, tell, signal) {
    this.#agent = agent;
    this.#every = everyMs;
    this.#tell = tell;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#stop, { __proto__: null, once: true });
    // The timer is no reason for a program to go on that has nothing left to do.
    this.#timer = setTimeout(() => this.#beat(performance.now() - this.#due), everyMs).unref();
    try {
      this.#beat(0);
    } catch (error) {
      // Nobody is given what could stop it.
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
    const payload = Math.min(MOST, Math.max(0, Math.round(delayMs * 1000)));
    this.#due = performance.now() + this.#every;
    this.#timer.refresh();
    let outcome;
    try {
      outcome = this.#agent.beat(0, payload);
    } catch (error) {
      // A closed agent will not open again.
      this.stop();
      throw error;
    }
    this.#tell?.(outcome);
  }
}

/** Beats now and every `everyMs` from then on, with the loop's delay in microseconds. */
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
