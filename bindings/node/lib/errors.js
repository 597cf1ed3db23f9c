'use strict';
// Converts the errors of native calls to the form of Node's own: code, errno, syscall.

const { getSystemErrorName } = require('node:util');

/** Calls a native function and converts its error to a system error. */
function attempt(syscall, call) {
  try {
    return call();
  } catch (error) {
    throw translated(error, syscall);
  }
}

/** The native half sets `code` to an errno in decimal digits, or to a name. */
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
  const error = new Error('the agent, task or observer is closed');
  error.code = 'ERR_VARTA_CLOSED';
  return error;
}

module.exports = { attempt, translated, nameOf, closed };
