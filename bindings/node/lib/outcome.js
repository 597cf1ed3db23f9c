'use strict';
// The outcomes of beats.

const check = require('./check');
const { attempt, nameOf } = require('./errors');
const native = require('./native');
const { DropReason } = require('./numbers');

/** Why a beat failed. */
class BeatError extends Error {
  static UNKNOWN_ERRNO = 0;

  constructor(errno) {
    check.integer('errno', errno, -4095, 0);
    super(`nothing was sent: ${errno === 0 ? 'unknown error' : nameOf(errno)}`);
    this.name = 'BeatError';
    this.errno = errno;
    this.code = errno === 0 ? 'UNKNOWN' : nameOf(errno);
    this.syscall = 'send';
  }
}

const reasons = {
  1: 'kernel queue full', 2: 'no observer', 3: 'peer gone', 4: 'storage full', 5: 'withheld',
  6: 'not configured',
};

class BeatOutcome {
  constructor(kind, reason, error) {
    this.kind = kind;
    if (reason !== undefined) this.reason = reason;
    if (error !== undefined) this.error = error;
    Object.freeze(this);
  }

  get isSent() {
    return this.kind === 'sent';
  }

  get isDropped() {
    return this.kind === 'dropped';
  }

  get isFailed() {
    return this.kind === 'failed';
  }

  toString() {
    if (this.isSent) return 'sent';
    return this.isDropped ? `dropped: ${reasons[this.reason]}` : `failed: ${this.error.code}`;
  }

  static sent() {
    return SENT;
  }

  static dropped(reason) {
    if (DropReason[reason] === undefined || typeof reason !== 'number') {
      throw check.outOfRange('reason', 'a DropReason', reason);
    }
    return outcomeOf(reason);
  }

  static failed(error) {
    if (!(error instanceof BeatError)) throw check.wrongType('error', 'a BeatError', error);
    return new BeatOutcome('failed', undefined, error);
  }
}

// Outcomes are cached, so that a beat allocates nothing.
const SENT = new BeatOutcome('sent');
const others = new Map();

/** Returns the outcome for a number from the native half. */
function outcomeOf(number) {
  if (number === 0) return SENT;
  let outcome = others.get(number);
  if (outcome === undefined) {
    outcome = number > 0
      ? new BeatOutcome('dropped', number)
      : new BeatOutcome('failed', undefined, new BeatError(number));
    others.set(number, outcome);
  }
  return outcome;
}

/** Returns the outcome for an error of a send, by its `errno` or its `code`. */
function classifySendError(error) {
  if (!(error instanceof Error)) throw check.wrongType('error', 'an Error', error);
  const errno = errnoOf(error);
  return outcomeOf(attempt('send', () => native.classifyErrno(errno)));
}

function errnoOf({ errno, code }) {
  if (Number.isInteger(errno) && errno !== 0) return Math.abs(errno);
  return require('node:os').constants.errno[code] ?? 0;
}

module.exports = { BeatError, BeatOutcome, SENT, classifySendError, outcomeOf };
