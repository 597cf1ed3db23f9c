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
    Task: own(varta.Task.prototype),
    Span: own(varta.Span.prototype),
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

test('numbers, names and fields are those of conformance/tables.json', () => {
  const tables = JSON.parse(
    fs.readFileSync(path.join(process.env.VARTA_ROOT, 'conformance/tables.json'), 'utf8'),
  );
  const capital = (_, letter) => letter.toUpperCase();
  const camel = (name) => name.replace(/_([a-z])/g, capital);
  const pascal = (name) => name.replace(/(?:^|[ -])([a-z])/g, capital);
  for (const [name, table] of [
    ['Status', tables.statuses], ['DropReason', tables.drop_reasons], ['Origin', tables.origins],
  ]) {
    const both = table.flatMap((it) => [[pascal(it.name), it.code], [it.code, pascal(it.name)]]);
    assert.deepEqual(varta[name], Object.fromEntries(both), name);
  }
  for (const { code, name } of tables.drop_reasons) {
    assert.equal(String(varta.BeatOutcome.dropped(code)), `dropped: ${name}`);
  }
  for (const name of tables.notifications) {
    for (const kind of [varta.Varta, varta.v1.Varta]) {
      assert.equal(typeof kind.prototype[name], 'function', name);
    }
  }
  const names = (table) => table.map(({ name }) => name);
  const { CAUSES, KINDS, Room } = require(path.join(installed, 'lib/events.js'));
  const { kinds } = tables;
  assert.deepEqual(KINDS, names(kinds));
  assert.deepEqual(CAUSES, names(tables.exit_causes));
  const numbers = require(path.join(installed, 'lib/numbers.js'));
  for (const [ours, table] of [
    [numbers.PROMISES, tables.promises], [numbers.RULES, tables.rules],
    [numbers.ENDINGS, tables.endings],
  ]) {
    assert.deepEqual(ours, names(table));
    assert.deepEqual(table.map(({ code }) => code), ours.map((_, index) => index + 1));
  }
  assert.deepEqual(numbers.WHY_CLASSES, names(tables.cause_classes));
  assert.deepEqual(numbers.CERTAINTIES, names(tables.certainties));
  assert.deepEqual([...numbers.WHY], tables.causes.map(({ code, name }) => [code, name]));
  tables.causes.forEach(({ code, class: expected }) =>
    assert.equal(numbers.whyOf(code, 0, 0, 0, 0).class, expected));
  tables.decode_errors.forEach(({ code, name }) =>
    assert.equal(varta.DecodeError.kindOf(code), name));

  const types = declared();
  const counters = names(tables.counters).map(camel).sort();
  assert.deepEqual(types.methodsOf('Stats'), counters);
  assert.deepEqual(Object.keys(varta.Observer.simulated().stats()).sort(), counters);
  for (const [type, fields] of [
    ['AgentInfo', tables.agent_fields], ['TaskInfo', tables.task_fields],
    ['TaskCounts', tables.task_counts],
  ]) {
    assert.deepEqual(types.methodsOf(type), fields.map(camel).sort(), type);
  }

  const room = new Room(1);
  for (const { code, name, fields, about_agent: aboutAgent, about_task: aboutTask } of kinds) {
    // About an agent that the kernel names; an exit with a code, and one by a signal. About a
    // process, and about a task that is late.
    for (const [cause, task] of [[1n, 0n], [2n, 0n], [1n, 5n | 1n << 32n]]) {
      if (aboutTask ? task === 0n : task !== 0n && !['beat', 'stall', 'recovered'].includes(name)) {
        continue;
      }
      room.words.set([
        0n, BigInt(code) | (aboutAgent ? 1n << 32n : 0n), 7n, 0n, 1n, cause,
        task === 0n ? 0n : 1n << 32n, 0n, task, 0x74n,
      ]);
      room.words[12] = fields.some(({ story }) => story.includes('why')) ? 1n : 0n;
      const about = [...tables.about_fields, ...tables.about_name_fields];
      const common = [...tables.event_fields, ...aboutAgent ? about : []];
      if (task !== 0n) common.push(...tables.about_task_fields);
      let own = fields.flatMap(({ story }) => story);
      const late = ['promise', 'due_ns', 'checkpoint'];
      if (name === 'stall' && task === 0n) own = own.filter((field) => !late.includes(field));
      if (name === 'exit') own = ['cause', cause === 1n ? 'code' : 'signal', 'last_status'];
      // The errno is negative, as everywhere in Node, and its name is beside it.
      if (name === 'io') own.push('code');
      const event = room.event(0);
      const expected = ['kind', ...common, ...own].map(camel);
      assert.deepEqual(Object.keys(event).sort(), expected.sort(), name);
      const type = `${pascal(name)}Event`;
      const declaredFields = new Set(types.methodsOf(type));
      for (const field of expected) assert.ok(declaredFields.has(field), `${type}.${field}`);
    }
  }

  const { limits, defaults } = tables;
  assert.equal(varta.FRAME_BYTES, limits.frame_bytes);
  assert.equal(varta.secure.SHARED_BYTES, limits.sealed_bytes);
  assert.equal(varta.secure.MASTER_BYTES, limits.sealed_bytes_master);
  varta.Observer.simulated({ capacity: 1, thresholdMs: defaults.threshold_ms });
  assert.throws(
    () => varta.Observer.simulated({ capacity: limits.agents + 1 }), new RegExp(limits.agents),
  );
  const agent = varta.Varta.connect('/nonexistent/varta.sock');
  const declare = (length) => agent.task('t'.repeat(length), { thresholdMs: Infinity });
  assert.throws(() => declare(limits.task_name_bytes + 1), new RegExp(limits.task_name_bytes));
  const most = Array.from({ length: limits.tasks }, () => declare(limits.task_name_bytes));
  assert.throws(() => declare(1), { code: 'ENOSPC', syscall: 'task' });
  most.forEach((task) => task.close());
});

test('the sentence of each event is that of Rust', () => {
  const { Room } = require(path.join(installed, 'lib/events.js'));
  const room = new Room(1);
  const sentence = (...words) => {
    room.words.fill(0n);
    room.words.set(words);
    return String(room.event(0));
  };
  const about = [1n | 1n << 32n, 3n, 50n | 7n << 32n];
  const [beat, ...agent] = about;
  const most = 2n ** 64n - 1n;
  const one = 1n << 32n;
  const short = 0x10000n;
  // The task 2, whose name is loop.
  const task = [2n | 4n << 32n, 0x706f6f6cn];
  for (const [words, text] of [
    [[beat, ...agent, 0n | 20n * one, 7n, 0n, 0n, ...task], 'beat, ok, payload 7, nonce 0, 20 beats'],
    [[beat + 1n, ...agent, 0n, 10n ** 9n, (2n | 7n * short) * one, 12n * 10n ** 8n, ...task],
      'stall, span was due at 1.200 s, last call at 1.000 s, checkpoint 7'],
    [[beat + 2n, ...agent, 5_000_000n, 4n, 0n, 0n, ...task], 'recovered, progress was 0.005 s late'],
    [[beat + 8n, ...agent, 2_000_000_000n, 0n, 0n, 0n, ...task], 'task declared, threshold 2.000 s'],
    [[beat + 8n, ...agent, varta.NEVER, 0n, 0n, 0n, ...task], 'task declared'],
    [[beat + 9n, ...agent, 3n, 0n, 0n, 0n, ...task], 'task ended, thread-gone'],
    [[beat + 10n, ...agent, 2n | 2n * one, 0n, 5_000_000n, 0n, ...task],
      'violation, too-late by 0.005 s, 2 violations'],
    [[beat + 10n, ...agent, 3n | one, 3n | 5n * short, 0n, 0n, ...task],
      'violation, wrong-order, from checkpoint 3 to 5'],
    [[beat + 11n, ...agent, 0n, 0n, 0n, 0n, ...task, 0n, 0n, 1n | 31n << 8n | 7n * one, 8n],
      'cause lock (guess), thread 7, held by thread 8'],
  ]) {
    const expected = `1.000 s: agent 3 (pid 50, claims pid 7): task 2 (loop): ${text}`;
    assert.equal(sentence(10n ** 9n, ...words), expected);
  }
  for (const [words, text] of [
    [[beat, ...agent, 1n | one, 5n, most, 2n], 'beat, degraded, payload 5, last words, 2 missed'],
    [[beat + 1n, ...agent, 4n, 1_500_000_000n, 1n],
      'stall, last heard at 1.500 s with nonce 4, while the queue was full'],
    [[beat + 2n, ...agent, 2_000_000_000n, 1n], 'recovered after 2.000 s of silence'],
    [[beat + 3n, ...agent, 2n, 1n, 2n ** 32n - 1n], 'exit, exit code -1, last status critical'],
    [[beat + 3n, ...agent, 0n, 2n, 9n], 'exit, killed by signal 9, last status ok'],
    [[beat + 3n, ...agent, 0n, 0n, 0n], 'exit, cause unknown, last status ok'],
  ]) {
    assert.equal(sentence(10n ** 9n, ...words), `1.000 s: agent 3 (pid 50, claims pid 7): ${text}`);
  }
  for (const [words, text] of [
    [[5n, 0n, 0n, 4n, 9n], 'no frame, bad status: 9 is not 0, 1 or 2'],
    [[6n, 0n, 0n, 2n, 3n], 'auth failure, pid 3 sent a frame that names 2'],
    [[7n, 0n, 0n, 104n], 'socket failed, errno 104'],
    [[8n, 0n, 0n, 10_000_000_000n], 'observer paused for 10.000 s'],
  ]) {
    assert.equal(sentence(0n, ...words), `0.000 s: ${text}`);
  }
  // Those of the network say so, and have no pid here.
  assert.match(
    sentence(0n, 1n | 2n << 32n, 9n, 77n << 32n), /agent 9 \(claims pid 77, secure-network\)/,
  );
});

test('the version is that of the crates', () => {
  const manifest = fs.readFileSync(path.join(process.env.VARTA_ROOT, 'Cargo.toml'), 'utf8');
  assert.equal(varta.version, /^version = "(.+)"$/m.exec(manifest)[1]);
});
