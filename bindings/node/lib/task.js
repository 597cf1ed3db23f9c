'use strict';
// Tasks: parts of the process that are watched on their own.

const { atExit, forget } = require('./at-exit');
const check = require('./check');
const { attempt, translated } = require('./errors');
const native = require('./native');
const { promisesIn } = require('./numbers');
const { SENT, outcomeOf } = require('./outcome');
const { statusOf } = require('./status');
const { dispose } = require('./symbols');

const { taskBeat, taskIdle, taskProgress, taskReach, taskUnwatch, taskWatch } = native;

const MOST_NAME = 23;
const MOST_EDGES = 256;
const MOST_SPANS = 65_536;
const INTERNAL = Symbol('declaring');

/** A named part of the process, which promises with each call by when the next one comes. */
class Task {
  #task;
  #name;
  #weak;

  constructor(token, task, name) {
    if (token !== INTERNAL) throw new TypeError('use agent.task(), not new Task()');
    this.#task = task;
    this.#name = name;
    this.#weak = atExit(this, Task.#atExit);
  }

  /** A thread that ends with an error has not finished its tasks. */
  static #atExit(task, code) {
    task.#end(code !== 0);
  }

  get name() {
    return this.#name;
  }

  get number() {
    return attempt('task', () => native.taskNumber(this.#task));
  }

  beat(status = 0, payload = 0) {
    if (status !== 0 && status !== 1 && status !== 2) status = statusOf(status);
    if (typeof payload !== 'number' || payload >>> 0 !== payload) check.u32('payload', payload);
    let number;
    try {
      number = taskBeat(this.#task, status, payload);
    } catch (error) {
      throw translated(error, 'beat');
    }
    return number === undefined ? SENT : outcomeOf(number);
  }

  idle(atMostMs = Infinity) {
    check.time('atMostMs', atMostMs);
    try {
      taskIdle(this.#task, atMostMs);
    } catch (error) {
      throw translated(error, 'idle');
    }
  }

  watch(limits, fn) {
    if (fn === undefined) return new Span(INTERNAL, this.#task, this.#open(limits));
    check.callable('fn', fn);
    const span = this.#open(limits);
    let later = false;
    try {
      const result = fn();
      if (typeof result?.then !== 'function') return result;
      later = true;
      return this.#closeAfter(result, span);
    } finally {
      if (!later) close(this.#task, span);
    }
  }

  reach(checkpoint) {
    check.u16('checkpoint', checkpoint);
    try {
      taskReach(this.#task, checkpoint);
    } catch (error) {
      throw translated(error, 'reach');
    }
  }

  progress(done, left) {
    check.u32('done', done);
    check.u32('left', left);
    try {
      taskProgress(this.#task, done, left);
    } catch (error) {
      throw translated(error, 'progress');
    }
  }

  counts() {
    return attempt('counts', () => native.taskCounts(this.#task));
  }

  run(fn) {
    check.callable('fn', fn);
    let failed = true;
    let later = false;
    try {
      const result = fn(this);
      later = typeof result?.then === 'function';
      if (later) return this.#endAfter(result);
      failed = false;
      return result;
    } finally {
      if (!later) this.#end(failed);
    }
  }

  close() {
    this.#end(false);
  }

  fail() {
    this.#end(true);
  }

  [dispose]() {
    this.close();
  }

  #open(limits) {
    let [min, max, label] = [0, limits, 0];
    if (typeof limits !== 'number' || !(limits > 0)) [min, max, label] = limitsOf(limits);
    try {
      return taskWatch(this.#task, min, max, label);
    } catch (error) {
      throw translated(error, 'watch');
    }
  }

  async #closeAfter(result, span) {
    try {
      return await result;
    } finally {
      close(this.#task, span);
    }
  }

  async #endAfter(result) {
    let failed = true;
    try {
      const value = await result;
      failed = false;
      return value;
    } finally {
      this.#end(failed);
    }
  }

  #end(failed) {
    forget(this.#weak);
    attempt('close', () => native.taskEnd(this.#task, failed));
  }
}

/** A block that must end in time, for code that cannot be put into one function. */
class Span {
  #task;
  #span;

  constructor(token, task, span) {
    if (token !== INTERNAL) throw new TypeError('use task.watch(), not new Span()');
    this.#task = task;
    this.#span = span;
  }

  /** Returns whether it was open. */
  close() {
    return close(this.#task, this.#span);
  }

  [dispose]() {
    this.close();
  }
}

/** The native half returns nothing if the span was open. */
function close(task, span) {
  try {
    return taskUnwatch(task, span) === undefined;
  } catch (error) {
    throw translated(error, 'watch');
  }
}

/** The shortest time, the longest time and the label of a span. */
function limitsOf(limits) {
  if (typeof limits === 'number') return [0, check.time('limits', limits), 0];
  const { minMs = 0, maxMs, label = 0, ...unknown } = check.options('limits', limits);
  check.noneLeft(unknown);
  return [
    ...range('limits', minMs, maxMs), check.u16('limits.label', label),
  ];
}

/** Checks that a shortest time is less than a longest one. */
function range(name, minMs, maxMs) {
  if (typeof minMs !== 'number') {
    throw check.wrongType(`${name}.minMs`, 'a number of milliseconds', minMs);
  }
  check.time(`${name}.maxMs`, maxMs);
  if (!(minMs >= 0 && minMs < maxMs)) {
    throw check.outOfRange(`${name}.minMs`, `from 0 to less than ${maxMs}`, minMs);
  }
  return [minMs, maxMs];
}

function nameOf(name) {
  check.text('name', name);
  const length = Buffer.byteLength(name);
  if (length < 1 || length > MOST_NAME || /\p{Cc}/u.test(name) || !name.isWellFormed()) {
    throw check.outOfRange(
      'name', `1 to ${MOST_NAME} bytes of UTF-8 without control characters`, name,
    );
  }
  return name;
}

function edgeOf(edge) {
  const { from, to, minMs = 0, maxMs = Infinity, ...unknown } =
    check.options('options.edges', edge);
  check.noneLeft(unknown);
  range('options.edges', minMs, maxMs);
  return {
    __proto__: null,
    from: check.u16('options.edges.from', from),
    to: check.u16('options.edges.to', to),
    minMs,
    maxMs,
  };
}

function edgesOf(edges) {
  if (!Array.isArray(edges)) throw check.wrongType('options.edges', 'an array', edges);
  if (edges.length > MOST_EDGES) {
    throw check.outOfRange('options.edges', `at most ${MOST_EDGES} edges`, edges.length);
  }
  return edges.map(edgeOf);
}

function cycleOf(cycle) {
  const { lengthMs, least = 0, most = 2 ** 32 - 1, ...unknown } =
    check.options('options.cycle', cycle);
  check.noneLeft(unknown);
  return {
    __proto__: null,
    lengthMs: check.promised('options.cycle.lengthMs', lengthMs),
    least: check.u32('options.cycle.least', least),
    most: check.integer('options.cycle.most', most, least, 2 ** 32 - 1),
  };
}

/** For each option, a function that checks it. */
const readers = {
  thresholdMs: (value) => check.promised('options.thresholdMs', value),
  startupMs: (value) => check.promised('options.startupMs', value),
  progressMs: (value) => check.promised('options.progressMs', value),
  finestMs: (value) => check.promised('options.finestMs', value),
  edges: edgesOf,
  cycle: cycleOf,
  vital: (value) => check.boolean('options.vital', value),
  roams: (value) => check.boolean('options.roams', value),
  spans: (value) => check.integer('options.spans', value, 0, MOST_SPANS),
};

/** Declares a task of the process with this agent. */
function declare(agent, name, options) {
  nameOf(name);
  const given = check.options('options', options);
  const declaration = { __proto__: null, edges: [], vital: false, roams: false };
  // It is required.
  readers.thresholdMs(given.thresholdMs);
  for (const [option, value] of Object.entries(given)) {
    if (!Object.hasOwn(readers, option)) throw check.unknownOption(option);
    if (value !== undefined) declaration[option] = readers[option](value);
  }
  const task = attempt('task', () => native.taskDeclare(agent, name, declaration));
  return new Task(INTERNAL, task, name);
}

/** The tasks of the process with this agent. */
function tasksOf(agent) {
  const tasks = attempt('tasks', () => native.agentTasks(agent));
  return tasks.map((task) => ({ ...task, broken: promisesIn(task.broken) }));
}

module.exports = { Span, Task, declare, tasksOf };
