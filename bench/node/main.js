'use strict';
// Runs one benchmark of the installed Node package and writes its results as JSON.
//
//   node bench/node/main.js --only NAME [--quick] [--json FILE]
//   node bench/node/main.js --list
//
// bench/run runs all benchmarks and writes a report.

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

/** Builds the package and the programs to compare it with. What cannot be built is left out. */
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

/** Each takes the plan and a folder, and returns a group of times or a list of figures. */
const BENCHES = {
  uds: (beats) => beats.uds,
  udp: (beats) => beats.udp,
  lane: (beats) => beats.lane,
  watch: (beats) => (plan, folder) => beats.watch(require('./package'), plan, folder),
  throughput: (_, events) => events.throughput,
  latency: (_, events) => events.latency,
  quiet: (_, events) => events.quiet,
};

async function main() {
  const { values: { quick, json, only, list } } = parseArgs({
    options: {
      quick: { type: 'boolean' }, json: { type: 'string' }, only: { type: 'string' },
      list: { type: 'boolean' },
    },
  });
  if (list) {
    console.log(Object.keys(BENCHES).join('\n'));
    return;
  }
  if (!Object.hasOwn(BENCHES, only ?? '')) {
    throw new Error(`--only ${only} is not the name of a benchmark; see --list`);
  }
  prepare();
  const sideBySide = ['uds', 'udp', 'lane'].includes(only);
  if (sideBySide) {
    // This process and the Rust process take turns on one CPU; the receiver has another one.
    run('taskset', ['-a', '-c', '-p', String(places.sender), String(process.pid)], root);
  }
  const beats = require('./beats');
  const bench = BENCHES[only](beats, require('./events'));
  const varta = require('./package');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'varta-bench-'));
  try {
    if (sideBySide) {
      const plan = quick ? { seconds: 4, setUps: 4 } : { seconds: 12, setUps: 8 };
      const groups = [await bench(varta, plan, folder)];
      report.write({ groups, figures: [], targets: beats.targets[only] }, json);
    } else {
      const figures = await bench({ seconds: quick ? 1 : 2 }, folder);
      report.write({ groups: [], figures, targets: [] }, json);
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

main();
