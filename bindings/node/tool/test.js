'use strict';
// Runs the tests against the packages as they are published, installed into an empty project.
//
//   node tool/test.js [FILE …]     all of test/, or some of it

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { build, compile, here, made, project, root } = require('./build');

build();

// The same with a native half that panics where it is told to.
const provoked = path.join(made, 'provoked');
fs.rmSync(provoked, { recursive: true, force: true });
fs.cpSync(path.join(project, 'node_modules'), path.join(provoked, 'node_modules'), {
  recursive: true,
});
fs.copyFileSync(path.join(project, 'package.json'), path.join(provoked, 'package.json'));
const [binary] = fs.readdirSync(path.join(provoked, 'node_modules'))
  .filter((name) => name.startsWith('varta-'));
fs.copyFileSync(
  compile(['provoke'], []),
  path.join(provoked, 'node_modules', binary, 'varta.node'),
);

// Tests stand in the project, so that `require('varta')` finds what is installed there.
for (const part of ['test', 'examples']) {
  fs.rmSync(path.join(project, part), { recursive: true, force: true });
  fs.cpSync(path.join(here, part), path.join(project, part), { recursive: true });
}

const asked = process.argv.slice(2).map((file) => path.join('test', path.basename(file)));
const all = fs.readdirSync(path.join(project, 'test'))
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => path.join('test', name));
const { status } = spawnSync(
  process.execPath,
  ['--test', '--test-reporter=spec', '--test-concurrency=2', ...(asked.length > 0 ? asked : all)],
  {
    cwd: project,
    stdio: 'inherit',
    env: { ...process.env, VARTA_ROOT: root, VARTA_PROJECT: project, VARTA_PROVOKED: provoked },
  },
);
process.exit(status ?? 1);
