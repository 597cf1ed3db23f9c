'use strict';
// Runs the tests against the packages in their published form, installed into an empty project.
//
//   node tool/test.js              run all tests, and the core ones in other releases of Node
//   node tool/test.js FILE …       run these tests in this Node

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { build, compile, here, target, project, root } = require('./build');
const nodes = require('./nodes');

const provoked = path.join(target, 'provoked');

/** Tests of what may differ between releases: loading, threads, signals, the event loop. */
const CORE = [
  'agent', 'beat-forever', 'exports', 'hostile', 'last-words', 'loader', 'observer', 'processes',
  'simulated', 'workers',
].map((name) => path.join('test', `${name}.test.js`));

/** A copy of the project whose native half panics in the functions that VARTA_PROVOKE names. */
function provoke() {
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
}

/** Copies the tests into the project, so that `require('varta')` finds the installed package. */
function copyTests() {
  for (const part of ['test', 'examples']) {
    fs.rmSync(path.join(project, part), { recursive: true, force: true });
    fs.cpSync(path.join(here, part), path.join(project, part), { recursive: true });
  }
}

/** Exits if a test fails. */
function run(program, files, env = {}) {
  const { error, status } = spawnSync(
    program, ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files],
    {
      cwd: project,
      stdio: 'inherit',
      env: {
        ...process.env,
        PATH: `${path.dirname(program)}:${process.env.PATH}`,
        VARTA_ROOT: root,
        VARTA_PROJECT: project,
        VARTA_PROVOKED: provoked,
        ...env,
      },
    },
  );
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function everything() {
  return fs.readdirSync(path.join(project, 'test'))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => path.join('test', name));
}

async function main(asked) {
  // Fetch them while the native half is built.
  const fetching = asked.length === 0 ? nodes.fetch().catch((error) => error) : undefined;
  build();
  provoke();
  copyTests();
  run(process.execPath, asked.length > 0 ? asked : everything());
  if (fetching === undefined) return;

  const failure = await fetching;
  if (failure !== undefined) {
    console.error(`NOT TESTED with Node ${nodes.others.join(', ')}: ${failure.message}`);
    process.exitCode = process.env.CI === 'true' ? 1 : 0;
    return;
  }
  for (const major of nodes.others) {
    console.log(`Node ${major}:`);
    // A few rounds of terminating workers are enough here.
    run(nodes.programOf(major), CORE, { VARTA_ROUNDS: '10' });
  }
  console.log(`tested with Node ${[nodes.own, ...nodes.others].join(', ')}`);
}

main(process.argv.slice(2).map((file) => path.join('test', path.basename(file))));
