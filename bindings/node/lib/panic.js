'use strict';
// Last words: of uncaught exceptions, of rejections that nobody handles, and of signals that
// end the process. Nothing else changes, least of all the exit code.

const check = require('./check');
const { attempt } = require('./errors');
const native = require('./native');

/** V8 has its own use for SEGV and BUS. */
const SIGNALS = Object.freeze(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGABRT', 'SIGILL',
  'SIGTRAP', 'SIGFPE']);

const installed = [];
/** What has been told already, so that an error that passes two places is told once. */
const told = new WeakSet();

/** Never throws: what is being died of is not to be hidden by how it is told. */
function say(error) {
  const isObject = (typeof error === 'object' && error !== null) || typeof error === 'function';
  if (isObject) {
    if (told.has(error)) return;
    told.add(error);
  }
  for (const words of installed) {
    try {
      // Whether they were heard changes nothing for a process that is dying.
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
      throw check.outOfRange('options.signals', `of ${[...known].join(', ')}`, name);
    }
  }
  const words = attempt('connect', open);
  if (signals.length > 0) attempt('sigaction', () => native.wordsAtSignals(words, signals));
  installed.push(words);
  // It is told of the exception, and decides nothing: what happens next happens anyway.
  if (installed.length === 1) process.on('uncaughtExceptionMonitor', say);
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

/** For any endpoint. */
function installSignalHandler(endpoint, options) {
  check.text('endpoint', endpoint);
  install(() => native.wordsOpen(endpoint), options);
}

/** Runs a function; what it throws, or rejects with, is told and then thrown on. */
function run(fn) {
  check.callable('fn', fn);
  const passOn = (error) => {
    say(error);
    throw error;
  };
  try {
    const result = fn();
    return typeof result?.then === 'function' ? result.then(undefined, passOn) : result;
  } catch (error) {
    return passOn(error);
  }
}

module.exports = {
  installSignalHandler, installSignalHandlerSecureUdp, installSignalHandlerUdp,
  installSignalHandlerUds, run,
};
