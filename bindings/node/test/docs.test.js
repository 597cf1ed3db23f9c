'use strict';
// Runs the code blocks of docs/node.md and the README. Only the path of the socket is replaced.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { Program, socketPath, until } = require('./support');

const project = path.dirname(__dirname);

function blocks(file, ...languages) {
  const text = fs.readFileSync(path.join(process.env.VARTA_ROOT, file), 'utf8');
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, language]) => languages.includes(language))
    .map(([, language, code]) => ({ language, code }));
}

/** Runs code as a file of that kind, with its own socket. */
function run(t, code, kind, at) {
  const folder = fs.mkdtempSync(path.join(project, 'docs-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, `block.${kind}`);
  fs.writeFileSync(file, code.replaceAll('/run/user/1000/varta.sock', at));
  return new Program(t, process.execPath, [file]);
}

const normalize = (text) => text.replace(/^\d+\.\d{3} s/gm, 'T').replace(/\d+\.\d{3} s/g, 'T')
  // The name is that of the program, or of the service or container in which the test runs.
  .replace(/\([^()]+, pid \d+/g, '(N, pid P');

test('each code block of docs/node.md runs', async (t) => {
  const all = blocks('docs/node.md', 'cjs', 'mjs');
  assert.ok(all.length >= 7);
  for (const [index, { language, code }] of all.entries()) {
    await t.test(`block ${index + 1}, ${language}`, async (t) => {
      const program = run(t, code, language, socketPath(t));
      assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
      assert.equal(program.err, '');
    });
  }
});

test('the quick start prints the output on the page, as CommonJS and as a module', async (t) => {
  const [printed] = blocks('docs/node.md', 'text');
  for (const { language, code } of blocks('docs/node.md', 'cjs', 'mjs').slice(0, 2)) {
    const program = run(t, code, language, socketPath(t));
    await program.exited();
    assert.equal(normalize(program.out), normalize(printed.code), language);
  }
});

test('the README\'s examples run as a module and as CommonJS', async (t) => {
  const [agent, observer, ...rest] = blocks('README.md', 'js');
  assert.equal(rest.length, 0);
  const commonjs = (code) => code.replace(/^import (\{.*\}) from 'varta';$/m, "const $1 = require('varta');");
  for (const [kind, as] of [['mjs', (code) => code], ['cjs', commonjs]]) {
    const at = socketPath(t);
    const watcher = run(t, as(observer.code), kind, at);
    await until('the socket', () => fs.existsSync(at));
    const beater = run(t, as(agent.code), kind, at);
    assert.deepEqual(await beater.exited(), { code: 0, signal: null }, beater.err);
    assert.equal(beater.out, 'sent\n'.repeat(10));
    await watcher.printed('beat, ok, payload 9, nonce 10');
    await watcher.printed('exit, exit code 0, last status ok');
  }
});

test('the README\'s agent runs without an observer', async (t) => {
  const [agent] = blocks('README.md', 'js');
  const program = run(t, agent.code, 'mjs', socketPath(t));
  await program.exited();
  assert.equal(program.out, 'dropped: no observer\n'.repeat(10));
});

test('the page installs the built tarballs', () => {
  const { version } = require('varta');
  const page = fs.readFileSync(path.join(process.env.VARTA_ROOT, 'docs/node.md'), 'utf8');
  const named = [...page.matchAll(/varta(?:-linux-x64-gnu)?-(\d+\.\d+\.\d+)\.tgz/g)];
  assert.deepEqual(named.map(([, theirs]) => theirs), [version, version]);
});

test('no page has a command that would download another package named varta', () => {
  for (const page of ['README.md', 'docs/node.md', 'bindings/node/README.md']) {
    const text = fs.readFileSync(path.join(process.env.VARTA_ROOT, page), 'utf8');
    for (const [, what] of text.matchAll(/npx (.*?varta)/g)) assert.equal(what, '--no varta', page);
    for (const [, what] of text.matchAll(/npm (?:i|install|add) (.*)/g)) {
      assert.ok(what.split(' ').every((word) => word.startsWith('./')), `${page}: ${what}`);
    }
  }
});

test('every option and every event kind is on the page', () => {
  const page = fs.readFileSync(path.join(process.env.VARTA_ROOT, 'docs/node.md'), 'utf8');
  const types = fs.readFileSync(path.join(process.env.VARTA_ROOT, 'bindings/node/index.d.ts'), 'utf8');
  const options = /interface SimulatedOptions \{(.*?)^\}.*?interface ObserverOptions[^{]*\{(.*?)^\}/ms.exec(types);
  for (const [, name] of `${options[1]}${options[2]}`.matchAll(/^ {2}(\w+)\?:/gm)) {
    assert.ok(page.includes(name), name);
  }
  for (const [, kind] of types.matchAll(/extends EventBase<'([\w-]+)'>/g)) {
    assert.ok(page.includes(`| \`${kind}\``), kind);
  }
});
