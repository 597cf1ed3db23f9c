'use strict';
// Last words: sends a final beat on uncaught exceptions, unhandled rejections and fatal signals.
// The exit code does not change.

const check = require('./check');
const { attempt } = require('./errors');
const native = require('./native');

/** Without SEGV and BUS, which V8 uses itself. */
const SIGNALS = Object.freeze(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGABRT', 'SIGILL',
  'SIGTRAP', 'SIGFPE']);

const installed = [];
/** The errors that were already reported, so that none is reported twice. */
const reported = new WeakSet();

/** Never throws, so that a failure here does not hide the error. */
function sendLastWords(error) {
  const isObject = (typeof error === 'object' && error !== null) || typeof error === 'function';
  if (isObject) {
    if (reported.has(error)) return;
    reported.add(error);
  }
  for (const words of installed) {
    try {
      // The outcome does not matter to a process that is crashing.
      attempt('send', () => native.wordsSay(words, 0));
    } catch (failure) {
      process.emitWarning(failure);
    }
  }
}

function install(open, options = {}) {
  const { signals = SIGNALS } = check.options('options', options);
  if (!Array.isArray(signals)) throw check.wrongType('options.signals', 'an array', signals);
  for (const name of signals) {
    if (check.text('options.signals', name) && !known.has(name)) {
      throw check.outOfRange('options.signals', `one of ${[...known].join(', ')}`, name);
    }
  }
  const words = attempt('connect', open);
  if (signals.length > 0) attempt('sigaction', () => native.wordsAtSignals(words, signals));
  installed.push(words);
  // The monitor only observes the exception and does not change how it is handled.
  if (installed.length === 1) process.on('uncaughtExceptionMonitor', sendLastWords);
}

const known = new Set([...SIGNALS, 'SIGALRM', 'SIGXCPU']);

function installSignalHandlerUds(path, options) {
  check.text('path', path);
  install(() => native.wordsOpen(path), options);
}

function installSignalHandlerUdp(host, port, options) {
  const address = check.address(host, port);
  install(() => native.wordsOpen(`udp://${address}`), options);
}

function installSignalHandlerSecureUdp(host, port, key, options) {
  const address = check.address(host, port);
  const bytes = check.key('key', key);
  install(() => native.wordsOpenSecureUdp(address, bytes), options);
}

/** Accepts any endpoint. */
function installSignalHandler(endpoint, options) {
  check.text('endpoint', endpoint);
  install(() => native.wordsOpen(endpoint), options);
}

/** Runs a function. If it throws or rejects, sends last words and passes the error on. */
function run(fn) {
  check.callable('fn', fn);
  const rethrow = (error) => {
    sendLastWords(error);
    throw error;
  };
  try {
    const result = fn();
    return typeof result?.then === 'function' ? result.then(undefined, rethrow) : result;
  } catch (error) {
    return rethrow(error);
  }
}

module.exports = {
  installSignalHandler, installSignalHandlerSecureUdp, installSignalHandlerUdp,
  installSignalHandlerUds, run,
};
