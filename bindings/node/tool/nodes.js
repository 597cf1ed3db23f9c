'use strict';
// Releases of Node besides the one that runs this. npm has packages that carry the program;
// tool/nodes/ says which of them, and what they must hash to.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');

const { made } = require('./build');

const pinned = path.join(__dirname, 'nodes');
const lock = path.join(pinned, 'package-lock.json');
const place = path.join(made, 'nodes');
const stamp = path.join(place, 'stamp');

const own = process.versions.node.split('.')[0];

/** The major versions that are tested besides this one. */
const others = Object.keys(require('./nodes/package.json').dependencies)
  .map((name) => name.split('-')[1])
  .filter((major) => major !== own);

/** The program of a major version, once it is fetched. */
function programOf(major) {
  return path.join(place, 'node_modules', `node-${major}`, 'bin/node');
}

/** Fetches what is not here yet, beside whatever else goes on. */
async function fetch() {
  const wanted = fs.readFileSync(lock, 'utf8');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  fs.rmSync(place, { recursive: true, force: true });
  fs.cpSync(pinned, place, { recursive: true });
  const npm = spawn('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'], {
    cwd: place, stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [status] = await once(npm, 'exit');
  if (status !== 0) throw new Error(`npm ci ended with ${status}`);
  fs.writeFileSync(stamp, wanted);
}

module.exports = { fetch, others, own, programOf };
