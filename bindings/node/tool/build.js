'use strict';
// Builds the two packages in their published form and installs them into an empty project. The
// tests, the conformance runner and the benchmark use that project.
//
//   node tool/build.js     builds, and prints the path of the project

const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const here = path.dirname(__dirname);
const root = path.resolve(here, '../..');
const target = path.join(here, 'target');
const project = path.join(target, 'project');
const { version } = require('../package.json');

const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl';
const platform = `${process.platform}-${process.arch}-${libc}`;

/** Builds in a process that holds a lock, because parts of `make test` run side by side. */
function build() {
  fs.mkdirSync(target, { recursive: true });
  return run('flock', [path.join(target, 'lock'), process.execPath, __filename, 'alone'], here).trim();
}

function buildAlone() {
  const tarballs = [pack(mainPackage()), pack(platformPackage(compile()))];
  const stamp = path.join(project, 'stamp');
  const contents = hashOf(tarballs);
  if (!fs.existsSync(stamp) || fs.readFileSync(stamp, 'utf8') !== contents) {
    fs.rmSync(project, { recursive: true, force: true });
    fs.mkdirSync(project, { recursive: true });
    fs.writeFileSync(path.join(project, 'package.json'), '{ "name": "empty", "private": true }');
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs], project);
    fs.writeFileSync(stamp, contents);
  }
  return project;
}

/** Compiles the native half and returns the path of the library. `features` are only for tests. */
function compile(features = [], profile = ['--release']) {
  const cargo = process.env.CARGO ?? 'cargo';
  const messages = run(cargo, [
    'rustc', '--quiet', '--locked', '-p', 'varta-node', '--lib', ...profile,
    '--message-format', 'json-render-diagnostics', ...features.flatMap((f) => ['--features', f]),
    '--', '-C', 'strip=symbols',
  ], root);
  const artifacts = messages.split('\n').filter((line) => line.includes('libvarta_node.so'));
  return JSON.parse(artifacts.at(-1)).filenames.find((name) => name.endsWith('.so'));
}

/** Creates the folder of the main package, which users install. */
function mainPackage() {
  const folder = path.join(target, 'varta');
  fs.rmSync(folder, { recursive: true, force: true });
  const { scripts, devDependencies, ...about } = require('../package.json');
  writePackage(folder, about);
  for (const part of ['lib', 'bin', 'index.d.ts', 'README.md']) {
    fs.cpSync(path.join(here, part), path.join(folder, part), { recursive: true });
  }
  return folder;
}

/** Creates the folder of the package for this platform, which contains the library. */
function platformPackage(library) {
  const name = `varta-${platform}`;
  const folder = path.join(target, name);
  const about = {
    name,
    version,
    description: `The varta binary for ${platform}`,
    license: 'MIT OR Apache-2.0',
    main: './varta.node',
    files: ['varta.node', 'LICENSE-*', 'THIRD-PARTY-NOTICES'],
    engines: { node: '>=20' },
    os: [process.platform],
    cpu: [process.arch],
    libc: [libc === 'gnu' ? 'glibc' : 'musl'],
  };
  writePackage(folder, about);
  fs.copyFileSync(library, path.join(folder, 'varta.node'));
  const notices = 'THIRD-PARTY-NOTICES';
  fs.copyFileSync(path.join(root, notices), path.join(folder, notices));
  fs.writeFileSync(path.join(folder, 'README.md'), `# ${name}\n\n${about.description}.\n`);
  return folder;
}

function writePackage(folder, about) {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(about, null, 2));
  for (const license of ['LICENSE-APACHE', 'LICENSE-MIT']) {
    fs.copyFileSync(path.join(root, license), path.join(folder, license));
  }
}

/** Packs a folder as npm does for publishing. */
function pack(folder) {
  const [{ filename }] = JSON.parse(
    run('npm', ['pack', '--json', '--pack-destination', target, folder], here),
  );
  return path.join(target, filename);
}

function hashOf(files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(fs.readFileSync(file));
  return hash.digest('hex');
}

/** Runs a program and returns its output. Its stderr is passed through, and a failure throws. */
function run(program, args, cwd) {
  const { error, status, stdout } = spawnSync(program, args, {
    cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28,
  });
  if (error) throw error;
  if (status !== 0) {
    process.stderr.write(stdout);
    throw new Error(`${program} ${args[0]} ended with ${status}`);
  }
  return stdout;
}

module.exports = { build, compile, here, target, project, root };

if (require.main === module) console.log(process.argv[2] === 'alone' ? buildAlone() : build());
