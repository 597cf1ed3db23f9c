'use strict';
// What native calls throw, made into errors as Node's own look: code, errno, syscall.

const { getSystemErrorName } = require('node:util');

/** Calls; what is thrown becomes a system error. */
function attempt(syscall, call) {
  try {
    return call();
  } catch (error) {
    throw translated(error, syscall);
  }
}

/** The native half gives an errno in digits, or a word. */
function translated(error, syscall) {
  if (error === null || typeof error !== 'object') return error;
  if (error.code === 'closed') return closed();
  if (error.code === 'GenericFailure') {
    error.code = 'ERR_VARTA_PANIC';
  } else if (/^\d+$/.test(error.code)) {
    error.errno = -Number(error.code);
    error.code = nameOf(error.errno);
    error.syscall = syscall;
  }
  return error;
}

/** The name of an errno, which is negative as everywhere in Node. */
function nameOf(errno) {
  try {
    return getSystemErrorName(errno);
  } catch {
    return 'UNKNOWN';
  }
}

function closed() {
  const error = new Error('this handle is closed');
  error.code = 'ERR_VARTA_CLOSED';
  return error;
}

module.exports = { attempt, translated, nameOf, closed };
