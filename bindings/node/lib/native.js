'use strict';
// Finds and loads the binary for this platform, or throws an error with the reason.

const { version } = require('../package.json');

const { platform, arch } = process;
// npm installs the one that matches the system's C library.
const candidates = [`varta-${platform}-${arch}-gnu`, `varta-${platform}-${arch}-musl`];

module.exports = load();

function load() {
  const found = candidates.find(isInstalled);
  if (found === undefined) {
    throw failure(
      'ERR_VARTA_NO_BINARY',
      `varta has no binary for this platform (${platform} ${arch}): ` +
        `neither ${candidates.join(' nor ')} is installed`,
    );
  }
  const { version: theirs } = require(`${found}/package.json`);
  if (theirs !== version) {
    throw failure(
      'ERR_VARTA_BINARY',
      `varta ${version} found ${found} ${theirs}: install both in the same version`,
    );
  }
  try {
    return require(found);
  } catch (cause) {
    throw failure(
      'ERR_VARTA_BINARY',
      `cannot load the binary of ${found}: ${cause.message}`,
      cause,
    );
  }
}

function isInstalled(name) {
  try {
    require.resolve(`${name}/package.json`);
    return true;
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') return false;
    throw error;
  }
}

function failure(code, message, cause) {
  return Object.assign(new Error(message, cause && { cause }), { code });
}
