'use strict';
// If the native half cannot be loaded, the error names the cause.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { folder } = require('./support');

const installed = path.join(path.dirname(__dirname), 'node_modules');
const [binary] = fs.readdirSync(installed).filter((name) => name.startsWith('varta-'));

/** A damaged copy of the project. */
function spoilt(t, spoil) {
  const project = folder(t);
  fs.writeFileSync(path.join(project, 'package.json'), '{}');
  fs.cpSync(installed, path.join(project, 'node_modules'), { recursive: true });
  spoil(path.join(project, 'node_modules', binary));
  const { stdout } = spawnSync(process.execPath, ['-e', `
    try { require('varta'); console.log('loaded'); }
    catch ({ code, message, cause }) { console.log(JSON.stringify({ code, message, cause: String(cause) })); }
  `], { cwd: project, encoding: 'utf8', env: { ...process.env, NODE_PATH: '' } });
  return stdout.startsWith('loaded') ? 'loaded' : JSON.parse(stdout);
}

test('the installed package loads', (t) => {
  assert.equal(spoilt(t, () => {}), 'loaded');
});

test('a missing binary is reported', (t) => {
  const { code, message } = spoilt(t, (at) => fs.rmSync(at, { recursive: true }));
  assert.equal(code, 'ERR_VARTA_NO_BINARY');
  assert.match(message, new RegExp(`${process.platform} ${process.arch}.*${binary}`));
});

test('a binary that cannot be loaded is reported with the cause', (t) => {
  const { code, message, cause } = spoilt(t, (at) => {
    fs.writeFileSync(path.join(at, 'varta.node'), 'not a library');
  });
  assert.equal(code, 'ERR_VARTA_BINARY');
  assert.match(message, new RegExp(`cannot load the binary of ${binary}: .*varta.node.*`));
  assert.match(cause, /Error/);
});

test('a binary of another version is refused', (t) => {
  const { code, message } = spoilt(t, (at) => {
    const manifest = path.join(at, 'package.json');
    const about = JSON.parse(fs.readFileSync(manifest, 'utf8'));
    fs.writeFileSync(manifest, JSON.stringify({ ...about, version: '0.0.1' }));
  });
  assert.equal(code, 'ERR_VARTA_BINARY');
  assert.match(message, /0\.0\.1: install both in the same version/);
});
