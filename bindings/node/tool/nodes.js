'use strict';
// Other releases of Node. npm has packages that contain the program; tool/nodes/ pins their
// versions and hashes.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');

const { target } = require('./build');

const pinned = path.join(__dirname, 'nodes');
const lock = path.join(pinned, 'package-lock.json');
const folder = path.join(target, 'nodes');
const stamp = path.join(folder, 'stamp');

const own = process.versions.node.split('.')[0];

/** The major versions that are tested in addition to this one. */
const others = Object.keys(require('./nodes/package.json').dependencies)
  .map((name) => name.split('-')[1])
  .filter((major) => major !== own);

/** The path of the program of a major version, after it was fetched. */
function programOf(major) {
  return path.join(folder, 'node_modules', `node-${major}`, 'bin/node');
}

/** Fetches the missing releases in the background. */
async function fetch() {
  const wanted = fs.readFileSync(lock, 'utf8');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  fs.rmSync(folder, { recursive: true, force: true });
  fs.cpSync(pinned, folder, { recursive: true });
  const npm = spawn('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'], {
    cwd: folder, stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [status] = await once(npm, 'exit');
  if (status !== 0) throw new Error(`npm ci ended with ${status}`);
  fs.writeFileSync(stamp, wanted);
}

module.exports = { fetch, others, own, programOf };
