'use strict';
// The observer. A native thread receives datagrams, so that nothing is lost while JavaScript is
// busy. This file fetches its events when there are listeners.

const { EventEmitter } = require('node:events');

const { defaultEndpoint } = require('./agent');
const { atExit, forget } = require('./at-exit');
const check = require('./check');
const { attempt, closed } = require('./errors');
const { KINDS, Room } = require('./events');
const { EventIterator, aborted } = require('./iterator');
const native = require('./native');
const { settingsOf, slackOf } = require('./settings');
const { Simulated, causeFrom, tasksFrom } = require('./simulated');
const { asyncDispose, dispose } = require('./symbols');

/** How many events are fetched in one call. */
const BATCH = 256;

/** How many are emitted in one turn of the event loop, which has other work too. */
const TURN = 1024;

/** How many beats may wait for a busy loop, 136 bytes each, plus the same again for verdicts. */
const BACKLOG = 65_536;

const eventNames = new Set(['event', ...KINDS]);
const INTERNAL = Symbol('internal');

/** Observers that have listeners. Others may be garbage-collected. */
const withListeners = new Set();

class Observer extends EventEmitter {
  #observer;
  #weak;
  #room = new Room(BATCH);
  #at = 0;
  #count = 0;
  #scheduled = false;
  #listened = false;
  #iterators = new Set();
  #signal;
  #abort;

  constructor(token, settings, backlog, signal) {
    if (token !== INTERNAL) {
      throw new TypeError('use Observer.bind(), not new Observer()');
    }
    super();
    // The native half must not keep an unreachable observer alive.
    const weak = new WeakRef(this);
    const wake = () => weak.deref()?.#emitEvents();
    this.#observer = attempt('bind', () => native.observerBind(settings, backlog, wake));
    this.#weak = atExit(this, Observer.#atExit);
    if (signal !== undefined) {
      this.#signal = signal;
      this.#abort = () => weak.deref()?.close();
      signal.addEventListener('abort', this.#abort, { __proto__: null, once: true });
    }
  }

  static #atExit(observer) {
    observer.close();
  }

  static bind(endpoints = defaultEndpoint(), options = {}) {
    const list = Array.isArray(endpoints) ? endpoints : [endpoints];
    list.forEach((endpoint) => check.text('endpoint', endpoint));
    const { settings, rest } = settingsOf(list, options);
    const { backlog = BACKLOG, signal, ...unknown } = rest;
    check.noneLeft(unknown);
    check.integer('options.backlog', backlog, BATCH, 2 ** 26);
    if (signal !== undefined && check.signal('options.signal', signal).aborted) {
      throw aborted(signal);
    }
    return new Observer(INTERNAL, settings, backlog, signal);
  }

  static simulated(options = {}) {
    const { settings, rest } = settingsOf([], options);
    check.noneLeft(rest);
    return new Simulated(settings);
  }

  // Listeners.

  on(name, listener) {
    super.on(name, listener);
    this.#listen();
    return this;
  }

  addListener(name, listener) {
    return this.on(name, listener);
  }

  prependListener(name, listener) {
    super.prependListener(name, listener);
    this.#listen();
    return this;
  }

  removeListener(name, listener) {
    super.removeListener(name, listener);
    this.#updateListened();
    return this;
  }

  off(name, listener) {
    return this.removeListener(name, listener);
  }

  removeAllListeners(...names) {
    super.removeAllListeners(...names);
    this.#updateListened();
    return this;
  }

  // Iterators.

  events(options = {}) {
    if (this.#observer === null) throw closed();
    const { signal } = check.options('options', options);
    if (signal !== undefined && check.signal('options.signal', signal).aborted) {
      throw aborted(signal);
    }
    const iterator = new EventIterator(signal, {
      more: () => this.#listen(),
      leave: (left) => {
        this.#iterators.delete(left);
        this.#updateListened();
      },
    });
    this.#iterators.add(iterator);
    this.#listen();
    return iterator;
  }

  [Symbol.asyncIterator]() {
    return this.events();
  }

  // Queries.

  poll() {
    this.#open();
    return this.#next();
  }

  agents() {
    const observer = this.#open();
    return attempt('agents', () => native.observerAgents(observer));
  }

  stats() {
    const observer = this.#open();
    return attempt('stats', () => {
      const skipped = Number(native.observerSkipped(observer));
      return { ...native.observerStats(observer), skipped };
    });
  }

  setThreshold(agent, thresholdMs) {
    const observer = this.#open();
    const number = check.u64('agent', agent);
    const ns = check.milliseconds('thresholdMs', thresholdMs);
    return attempt('setThreshold', () => native.observerSetThreshold(observer, number, ns));
  }

  tasks(agent) {
    const observer = this.#open();
    const number = check.u64('agent', agent);
    return tasksFrom(attempt('tasks', () => native.observerTasks(observer, number)));
  }

  cause(agent, task = 0) {
    const observer = this.#open();
    const number = check.u64('agent', agent);
    check.u32('task', task);
    return causeFrom(attempt('cause', () => native.observerCause(observer, number, task)));
  }

  setSlack(slack) {
    const observer = this.#open();
    const entries = slackOf('slack', slack);
    attempt('setSlack', () => native.observerSetSlack(observer, entries));
  }

  get addresses() {
    const observer = this.#open();
    return attempt('addresses', () => native.observerAddresses(observer));
  }

  get advice() {
    const observer = this.#open();
    return attempt('advice', () => native.observerAdvice(observer)) ?? undefined;
  }

  get closed() {
    return this.#observer === null;
  }

  // Lifetime.

  ref() {
    return this.#hold(true);
  }

  unref() {
    return this.#hold(false);
  }

  close() {
    this.#end();
  }

  [dispose]() {
    this.close();
  }

  async [asyncDispose]() {
    this.close();
  }

  #open() {
    if (this.#observer === null) throw closed();
    return this.#observer;
  }

  #hold(hold) {
    const observer = this.#open();
    attempt('ref', () => native.observerHold(observer, hold));
    return this;
  }

  #end(error) {
    const observer = this.#observer;
    if (observer === null) return;
    this.#observer = null;
    this.#count = 0;
    this.#at = 0;
    this.#signal?.removeEventListener('abort', this.#abort);
    forget(this.#weak);
    try {
      attempt('close', () => native.observerClose(observer));
    } catch (failure) {
      // It is freed when it is collected, and must not keep the process running until then.
      native.observerHold(observer, false);
      throw failure;
    } finally {
      for (const iterator of [...this.#iterators]) iterator.end(error);
      this.#updateListened();
      process.nextTick(() => this.emit('close'));
    }
  }

  /** Whether there are listeners, and all of them can accept an event. */
  #isReady() {
    if (!this.#listened) return false;
    if (this.#iterators.size === 0) return true;
    for (const iterator of this.#iterators) if (iterator.isFull) return false;
    return true;
  }

  /** Called after each change of the listeners. */
  #updateListened() {
    this.#listened = this.#observer !== null
      && (this.#iterators.size > 0 || this.eventNames().some((name) => eventNames.has(name)));
    if (this.#listened) withListeners.add(this);
    else withListeners.delete(this);
  }

  /** Called when a listener is added or can accept more: emits waiting events from the loop. */
  #listen() {
    this.#updateListened();
    if (this.#scheduled || !this.#isReady()) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#emitEvents();
    });
  }

  #emitEvents() {
    let drained = false;
    try {
      for (let emitted = 0; emitted < TURN && this.#isReady(); emitted += 1) {
        const event = this.#next();
        drained = event === undefined;
        if (drained) break;
        for (const iterator of this.#iterators) iterator.push(event);
        try {
          this.emit(event.kind, event);
        } finally {
          this.emit('event', event);
        }
      }
    } finally {
      // A listener that throws must not keep the others from the remaining events.
      if (!drained) this.#listen();
    }
  }

  /** Returns the next event, or undefined. Closes the observer if it has failed. */
  #next() {
    if (this.#at === this.#count) {
      this.#at = 0;
      this.#count = 0;
      try {
        this.#count = attempt('poll', () =>
          native.observerTake(this.#observer, this.#room.words));
      } catch (error) {
        try {
          this.#end(error);
        } finally {
          this.emit('error', error);
        }
        return undefined;
      }
      if (this.#count === 0) return undefined;
    }
    this.#at += 1;
    return this.#room.event(this.#at - 1);
  }
}

module.exports = { Observer };
