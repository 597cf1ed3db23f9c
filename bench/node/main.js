'use strict';
// Measures the Node package, as it is published, beside Rust and beside its neighbours.
//
//   node bench/node/main.js [--quick] [--json FILE]

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');

const root = path.resolve(__dirname, '../..');

const { build } = require('../../bindings/node/tool/build');
const { places, use } = require('./programs');
const report = require('./report');

function run(program, args, cwd) {
  const { error, status } = spawnSync(program, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
  if (error) throw error;
  return status === 0;
}

/** What is measured and what it is compared with. Something that cannot be built is left out. */
function prepare() {
  build();
  if (!fs.existsSync(path.join(__dirname, 'node_modules'))) {
    const install = ['install', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
    if (!run('npm', install, __dirname)) {
      throw new Error('npm install failed in bench/node');
    }
    run('npm', ['rebuild', 'unix-dgram'], __dirname);
  }
  const target = path.join(root, 'target/bench');
  const cargo = ['build', '--quiet', '--release', '--locked', '-p', 'varta-bench-beats'];
  const where = ['--manifest-path', path.join(root, 'bench/Cargo.toml'), '--target-dir', target];
  if (!run(process.env.CARGO ?? 'cargo', [...cargo, ...where], root)) {
    throw new Error('cargo build failed in bench');
  }
  use(path.join(target, 'release/beats'));
}

async function main() {
  const { values: { quick, json } } = parseArgs({
    options: { quick: { type: 'boolean' }, json: { type: 'string' } },
  });
  prepare();
  // This process and the one in Rust take turns on one CPU, the receiver has the other.
  run('taskset', ['-a', '-c', '-p', String(places.sender), String(process.pid)], root);
  const beats = require('./beats');
  const events = require('./events');
  const varta = require('./package');
  const plan = quick ? { seconds: 4, setUps: 4 } : { seconds: 12, setUps: 8 };
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'varta-bench-'));
  try {
    const groups = [await beats.uds(varta, plan, folder), await beats.udp(varta, plan)];
    // From here on nothing is to be kept in its place.
    run('taskset', ['-a', '-p', '0xffffffff', String(process.pid)], root);
    const span = { seconds: quick ? 1 : 2 };
    const figures = [];
    for (const bench of [events.throughput, events.latency, events.quiet]) {
      figures.push(...await bench(span, folder));
    }
    report.write({ groups, figures, targets: beats.targets }, json);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

main();
