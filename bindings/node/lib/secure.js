'use strict';
// Sealing of frames, and key derivation.

const check = require('./check');
const { attempt } = require('./errors');
const native = require('./native');

const SHARED_BYTES = 60;
const MASTER_BYTES = 64;

/** A sealed frame cannot be opened: the key or the pid is wrong, or the bytes were changed. */
class AuthError extends Error {
  constructor(message) {
    super(message);
    this.name = 'AuthError';
    this.code = 'ERR_VARTA_AUTH';
  }
}

function sealed(key, ivPrefix, ivCounter, frame, pid) {
  const secret = check.key('key', key);
  const prefix = check.bytes('ivPrefix', ivPrefix, 8);
  const counter = check.u32('ivCounter', ivCounter);
  const plain = check.bytes('frame', frame, 32);
  return attempt('seal', () => native.secureSeal(secret, prefix, counter, plain, pid));
}

function opened(name, key, wire, master) {
  const secret = check.key(name, key);
  const bytes = check.bytes('wire', wire);
  return attempt('open', () => {
    try {
      return native.secureOpen(secret, bytes, master);
    } catch (error) {
      if (error.code === 'AuthError') throw new AuthError(error.message);
      throw error;
    }
  });
}

/** Seals a frame with a shared key. Never use a nonce twice with one key. */
function seal(key, ivPrefix, ivCounter, frame) {
  return sealed(key, ivPrefix, ivCounter, frame, undefined);
}

/** Seals a frame with an agent's own key. */
function sealAs(pid, agentKey, ivPrefix, ivCounter, frame) {
  return sealed(agentKey, ivPrefix, ivCounter, frame, check.u32('pid', pid));
}

/** Opens a frame that was sealed with a shared key. */
function open(key, wire) {
  return opened('key', key, wire, false);
}

/** Opens a frame that was sealed with an agent key derived from this master key. */
function openWithMaster(masterKey, wire) {
  return opened('masterKey', masterKey, wire, true);
}

function deriveAgentKey(masterKey, pid) {
  const secret = check.key('masterKey', masterKey);
  check.u32('pid', pid);
  return attempt('derive', () => native.secureAgentKey(secret, pid));
}

function deriveIvPrefix(salt, index) {
  const bytes = check.bytes('salt', salt, 16);
  check.u32('index', index);
  return attempt('derive', () => native.secureIvPrefix(bytes, index));
}

/** Reads a key from a file of 64 hex digits. Other users must not be able to read the file. */
function readKeyFile(path) {
  check.text('path', path);
  return attempt('open', () => native.secureKeyFile(path));
}

module.exports = {
  AuthError, MASTER_BYTES, SHARED_BYTES, deriveAgentKey, deriveIvPrefix, open, openWithMaster,
  readKeyFile, seal, sealAs,
};
