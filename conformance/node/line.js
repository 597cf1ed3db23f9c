'use strict';
// The lines of a page, from the fields of a step: what a process of a story writes. A line is eight
// words, as docs/lane.md describes the page.

const { Failure } = require('./fields');

const PROMISES = ['beat', 'span', 'checkpoint', 'progress'];
const RULES = ['too-early', 'too-late', 'wrong-order', 'too-few', 'too-many'];
const STATES = ['free', 'live', 'closed', 'failed'];
const STATUSES = ['ok', 'degraded', 'critical'];
const MANTISSA = 18n;

/** The number of a name in a list. */
function numbered(what, names, name) {
  const number = names.indexOf(name);
  if (number < 0) throw new Failure(what, names.join(', '), name);
  return BigInt(number);
}

const stateOf = (name) => numbered('state', STATES, name);
const promiseOf = (name) => numbered('promise', PROMISES, name) + 1n;
const whole = (fields, name, bits, otherwise) =>
  (otherwise === undefined || fields.has(name) ? fields.whole(name, bits) : otherwise);

/** The cold line of the process's own pair. */
function head(fields) {
  fields.only('layout', 'live', 'thread');
  return [
    fields.whole('layout', 16) << 48n | 1n << 32n, fields.whole('live', 32), 0n,
    fields.whole('thread', 32), 0n, 0n, 0n, 0n,
  ];
}

/** The cold line of a task. `ended` is how the task before it ended. */
function cold(fields, ended) {
  fields.only(
    'number', 'state', 'name', 'threshold_ns', 'finest_ns', 'vital', 'roams', 'ended', 'thread',
    'violations', 'last_violation',
  );
  const flags = (fields.boolean('vital') ? 1n : 0n) | (fields.boolean('roams') ? 2n : 0n);
  const name = Buffer.alloc(24);
  name.write(fields.text('name'));
  return [
    fields.whole('number', 32) | stateOf(fields.text('state')) << 32n | flags << 40n
      | (ended ?? stateOf(fields.text('ended'))) << 48n,
    fields.whole('threshold_ns', 64),
    fields.whole('finest_ns', 64),
    fields.whole('violations', 32) << 32n | fields.whole('thread', 32),
    fields.isNull('last_violation') ? 0n : violation(fields.object('last_violation')),
    name.readBigUInt64LE(0), name.readBigUInt64LE(8), name.readBigUInt64LE(16),
  ];
}

/** The same cold line, with another state. */
function inState([first, ...rest], state) {
  return [first & ~(0xffn << 32n) | stateOf(state) << 32n, ...rest];
}

const stateIn = ([first]) => first >> 32n & 0xffn;

/** The amount is rounded down to 18 bits. */
function violation(fields) {
  fields.only('rule', 'from', 'to', 'by');
  const by = fields.whole('by', 64);
  const length = BigInt(by.toString(2).length);
  const exponent = length > MANTISSA ? length - MANTISSA : 0n;
  return numbered('rule', RULES, fields.text('rule')) + 1n | fields.whole('from', 16) << 8n
    | fields.whole('to', 16) << 24n | (exponent << MANTISSA | by >> exponent) << 40n;
}

/** What a hot line holds: the time, when something is due, the rest, and what is written last. */
function hot(fields, at) {
  let word;
  if (fields.has('info')) {
    fields.only('at', 'until', 'info', 'last');
    word = fields.whole('info', 64);
  } else {
    fields.only(
      'at', 'until', 'status', 'which', 'idle', 'broken', 'checkpoint', 'payload', 'last',
    );
    word = info(fields);
  }
  return [whole(fields, 'at', 64, at), fields.whole('until', 64), word, fields.whole('last', 64)];
}

function info(fields) {
  const which = fields.textOrNull('which');
  const broken = fields.list('broken').reduce((set, name) => set | 1n << promiseOf(name) - 1n, 0n);
  return numbered('status', STATUSES, fields.text('status'))
    | (which === null ? 0n : promiseOf(which)) << 8n | (fields.boolean('idle') ? 1n : 0n) << 11n
    | broken << 12n | fields.whole('checkpoint', 16) << 16n | fields.whole('payload', 32) << 32n;
}

/** The hot line after a write to this one: the copy that was not the newest holds the new values. */
function written(line, [at, until, word, last]) {
  const sequence = BigInt.asUintN(64, line[0] + 1n);
  const after = [...line];
  after.splice(Number(sequence % 2n) * 3 + 1, 3, at, until, word);
  after[7] = last;
  after[0] = sequence;
  return after;
}

module.exports = { cold, head, hot, inState, stateIn, written };
