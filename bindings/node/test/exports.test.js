'use strict';
// What is exported: the same by `require` and by `import`, and what `index.d.ts` says.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const varta = require('varta');
// Beside the project, for the tests alone.
const ts = require('typescript');

const installed = path.dirname(require.resolve('varta/package.json'));
const declarations = path.join(installed, 'index.d.ts');

let read;

/** The names of values, not of types, that the declarations export, with their members. */
function declared() {
  return read ??= readDeclarations();
}

function readDeclarations() {
  const program = ts.createProgram([declarations], { skipLibCheck: true });
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(declarations));
  const values = (symbols) => symbols.filter((symbol) => symbol.flags & ts.SymbolFlags.Value);
  const names = (symbols) => values(symbols).map(({ name }) => name)
    .filter((name) => name !== 'prototype' && !name.startsWith('__'))
    .sort();
  const exported = checker.getExportsOfModule(module);
  return {
    names: names(exported),
    membersOf(name) {
      const symbol = exported.find((one) => one.name === name);
      const type = checker.getTypeOfSymbolAtLocation(symbol, symbol.valueDeclaration);
      return names(checker.getPropertiesOfType(type));
    },
    methodsOf(name) {
      const symbol = exported.find((one) => one.name === name);
      const type = checker.getDeclaredTypeOfSymbol(symbol);
      return names(checker.getPropertiesOfType(type));
    },
  };
}

test('require and import give the same names and the same things', async () => {
  const { default: whole, 'module.exports': again, ...named } = await import('varta');
  assert.equal(whole, varta);
  assert.ok(again === undefined || again === varta);
  assert.deepEqual(Object.keys(named).sort(), Object.keys(varta).sort());
  for (const name of Object.keys(varta)) assert.equal(named[name], varta[name], name);
});

test('the declarations name what is exported, and nothing else', () => {
  const types = declared();
  assert.deepEqual(types.names, Object.keys(varta).sort());
  for (const name of ['panic', 'secure', 'v1']) {
    assert.deepEqual(types.membersOf(name), Object.keys(varta[name]).sort(), name);
  }
  for (const name of ['Status', 'DropReason', 'Origin']) {
    assert.deepEqual(types.membersOf(name), Object.keys(varta[name]).sort(), name);
  }
});

test('the declarations name the methods of each class', () => {
  const types = declared();
  const own = (prototype) => Object.getOwnPropertyNames(prototype)
    .filter((name) => name !== 'constructor');
  const classes = {
    Varta: [...own(varta.Varta.prototype), ...own(Object.getPrototypeOf(varta.Varta.prototype))],
    Simulated: own(varta.Simulated.prototype),
    Frame: [...own(varta.Frame.prototype), ...Object.keys(new varta.Frame(0, 2, 0, 1, 0))],
  };
  for (const [name, members] of Object.entries(classes)) {
    assert.deepEqual(types.methodsOf(name), members.sort(), name);
  }
  const ours = new Set(own(varta.Observer.prototype));
  const theirs = types.methodsOf('Observer');
  for (const name of ours) assert.ok(theirs.includes(name), name);
  const inherited = new Set([
    ...own(require('node:events').EventEmitter.prototype), 'once', 'prependOnceListener',
  ]);
  for (const name of theirs) assert.ok(ours.has(name) || inherited.has(name), name);
  const statics = {
    Varta: varta.Varta, Observer: varta.Observer, BeatOutcome: varta.BeatOutcome,
    Frame: varta.Frame,
  };
  for (const [name, constructor] of Object.entries(statics)) {
    const real = Object.getOwnPropertyNames(constructor)
      .filter((member) => !['length', 'name', 'prototype'].includes(member));
    assert.deepEqual(types.membersOf(name), real.sort(), name);
  }
});

test('a consumer in CommonJS and one in an ES module compile under strict', () => {
  const compiler = require.resolve('typescript/bin/tsc');
  const { status, stdout } = spawnSync(
    process.execPath, [compiler, '--project', path.join(__dirname, 'types')], { encoding: 'utf8' },
  );
  assert.equal(stdout, '');
  assert.equal(status, 0);
});

test('what is installed runs nothing, depends on nothing, and carries its licences', () => {
  for (const name of ['varta', fs.readdirSync(path.dirname(installed))
    .find((entry) => entry.startsWith('varta-'))]) {
    const at = path.join(path.dirname(installed), name);
    const { scripts, dependencies, license, version } = JSON.parse(
      fs.readFileSync(path.join(at, 'package.json'), 'utf8'),
    );
    assert.equal(scripts, undefined);
    assert.equal(dependencies, undefined);
    assert.equal(license, 'MIT OR Apache-2.0');
    assert.equal(version, varta.version);
    for (const file of ['LICENSE-MIT', 'LICENSE-APACHE', 'README.md']) {
      assert.ok(fs.existsSync(path.join(at, file)), `${name}/${file}`);
    }
  }
  // The binary is linked with crates of other authors.
  const [binary] = fs.readdirSync(path.dirname(installed)).filter((it) => it.startsWith('varta-'));
  const notices = fs.readFileSync(path.join(path.dirname(installed), binary, 'THIRD-PARTY-NOTICES'));
  assert.ok(notices.equals(fs.readFileSync(path.join(process.env.VARTA_ROOT, 'THIRD-PARTY-NOTICES'))));
  assert.throws(() => require('varta/lib/native'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
});

test('counters, fields of agents and kinds of events are those of the crate', () => {
  const source = (file) => fs.readFileSync(path.join(process.env.VARTA_ROOT, 'observer/src', file), 'utf8');
  const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  const fields = (file, struct) => {
    const [, body] = new RegExp(`pub struct ${struct} \\{(.*?)^\\}`, 'ms').exec(source(file));
    return [...body.matchAll(/^ {4}pub (\w+):/gm)].map(([, name]) => camel(name)).sort();
  };
  const types = declared();
  assert.deepEqual(types.methodsOf('Stats'), fields('counters.rs', 'Counters'));
  assert.deepEqual(types.methodsOf('AgentInfo'), fields('judge/tracker/info.rs', 'AgentInfo'));
  assert.deepEqual(Object.keys(varta.Observer.simulated().stats()).sort(), types.methodsOf('Stats'));

  const names = /pub const fn name.*?pub const fn code/s.exec(source('event.rs').split('impl What')[1])[0];
  const kinds = [...names.matchAll(/Self::\w+.*=> "([\w-]+)"/g)].map(([, kind]) => kind);
  const { KINDS } = require(path.join(installed, 'lib/events.js'));
  assert.deepEqual(KINDS, kinds);
});

test('the version is that of the crates', () => {
  const manifest = fs.readFileSync(path.join(process.env.VARTA_ROOT, 'Cargo.toml'), 'utf8');
  assert.equal(varta.version, /^version = "(.+)"$/m.exec(manifest)[1]);
});
