'use strict';
// Last words do not change the exit code.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { NONCE_TERMINAL, Observer, Status } = require('varta');
const { firstEvent, socketPath, script, until } = require('./support');

const key = '5e'.repeat(32);

/** Ways to end a process, each run with and without a handler. */
const ends = {
  'an uncaught exception': "throw new Error('uncaught');",
  'an unhandled rejection': "Promise.reject(new Error('unhandled'));",
  'a rejection with a value that is not an Error': 'Promise.reject(5);',
  'an exception that is not an Error': 'throw null;',
  'SIGTERM': "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);",
  'SIGINT': "process.kill(process.pid, 'SIGINT'); setInterval(() => {}, 1000);",
  'SIGHUP': "process.kill(process.pid, 'SIGHUP'); setInterval(() => {}, 1000);",
  'SIGQUIT': "process.kill(process.pid, 'SIGQUIT'); setInterval(() => {}, 1000);",
  'SIGTERM while the event loop is blocked': "process.kill(process.pid, 'SIGTERM'); for (;;);",
  'abort': 'process.abort();',
  'out of memory': 'const all = []; for (;;) all.push(new Array(10000).fill(all.length));',
};

test('each cause of death sends last words and keeps its exit code', async (t) => {
  for (const [name, code] of Object.entries(ends)) {
    await t.test(name, async (t) => {
      const at = socketPath(t);
      const observer = Observer.bind(at, { thresholdMs: 600_000 });
      t.after(() => observer.close());
      const events = [];
      observer.on('event', (event) => events.push(event));
      const flags = ['--max-old-space-size=20'];
      const without = script(t, code, { flags });
      const withWords = script(t, `
        require('varta').panic.installSignalHandlerUds(${JSON.stringify(at)});
        ${code}
      `, { flags });
      const expected = await without.exited();
      assert.ok(expected.code !== 0 || expected.signal !== null);
      assert.deepEqual(await withWords.exited(), expected, withWords.err);
      await until('its exit', () => events.some(({ kind }) => kind === 'exit'));
      const words = events.filter(({ kind }) => kind === 'beat');
      assert.equal(words.length, 1);
      assert.deepEqual(
        [words[0].pid, words[0].status, words[0].nonce],
        [withWords.pid, Status.Critical, NONCE_TERMINAL],
      );
    });
  }
});

test('last words are sent over UDP and sealed UDP', async (t) => {
  const observer = Observer.bind([], {
    udp: '127.0.0.1:0', secureUdp: '127.0.0.1:0', sharedKeys: [key],
  });
  t.after(() => observer.close());
  const [plain, sealed] = observer.addresses.map((address) => address.split(':')[1]);
  for (const [install, origin] of [
    [`installSignalHandlerUdp('127.0.0.1', ${plain})`, 3],
    [`installSignalHandlerSecureUdp('127.0.0.1', ${sealed}, '${key}')`, 2],
    [`installSignalHandler('udp://127.0.0.1:${plain}')`, 3],
  ]) {
    const beat = firstEvent(observer, 'beat');
    const dying = script(t, `require('varta').panic.${install}; throw new Error('enough');`);
    const words = await beat;
    assert.deepEqual([words.nonce, words.origin], [NONCE_TERMINAL, origin]);
    assert.equal((await dying.exited()).code, 1);
    assert.match(dying.err, /Error: enough/);
  }
});

test('a signal that the program handles sends no last words', async (t) => {
  for (const order of ['before', 'after']) {
    const at = socketPath(t);
    const observer = Observer.bind(at, { thresholdMs: 600_000 });
    t.after(() => observer.close());
    const events = [];
    observer.on('event', (event) => events.push(event));
    const handling = script(t, `
      const { Varta, panic } = require('varta');
      const handle = () => process.on('SIGTERM', () => {
        agent.beat(0, 99);
        process.exit(42);
      });
      const agent = Varta.connectUds(process.argv[1]);
      if (process.argv[2] === 'before') handle();
      panic.installSignalHandlerUds(process.argv[1]);
      if (process.argv[2] === 'after') handle();
      setInterval(() => {}, 1000);
      console.log('ready');
    `, { args: [at, order] });
    await handling.printed('ready');
    handling.child.kill('SIGTERM');
    assert.deepEqual(await handling.exited(), { code: 42, signal: null }, handling.err);
    await until('its exit', () => events.some(({ kind }) => kind === 'exit'));
    assert.deepEqual(events.map(({ kind, payload }) => [kind, payload]).slice(0, -1), [['beat', 99n]]);
  }
});

test('panic.run sends last words once and rethrows', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const events = [];
  observer.on('event', (event) => events.push(event.kind));
  const running = script(t, `
    const { Varta, panic } = require('varta');
    panic.installSignalHandlerUds(process.argv[1], { signals: [] });
    console.log(panic.run(() => 5));
    try { panic.run(() => { throw new Error('caught'); }); } catch (error) { console.log(error.message); }
    panic.run(async () => 6).then(async (six) => {
      console.log(six);
      await panic.run(async () => { throw new Error('uncaught in the end'); });
    });
  `, { args: [at] });
  assert.equal((await running.exited()).code, 1);
  assert.equal(running.out, '5\ncaught\n6\n');
  assert.match(running.err, /uncaught in the end/);
  await until('its exit', () => events.includes('exit'));
  assert.deepEqual(events, ['beat', 'beat', 'exit']);
});

test('a process that survives its exception continues beating', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const events = [];
  observer.on('event', (event) => events.push(String(event).split('): ')[1]));
  const surviving = script(t, `
    const { Varta, panic } = require('varta');
    const agent = Varta.connectUds(process.argv[1]);
    panic.installSignalHandlerUds(process.argv[1]);
    process.on('uncaughtException', () => { agent.beat(0, 2); process.exitCode = 9; });
    agent.beat(0, 1);
    throw new Error('survived');
  `, { args: [at] });
  assert.equal((await surviving.exited()).code, 9);
  await until('its exit', () => events.at(-1)?.startsWith('exit'));
  assert.deepEqual(events, [
    'beat, ok, payload 1, nonce 1', 'beat, critical, payload 0, last words',
    'beat, ok, payload 2, nonce 2', 'exit, exit code 9, last status ok',
  ]);
});

test('installing fails without an observer', (t) => {
  const { panic } = require('varta');
  assert.throws(() => panic.installSignalHandlerUds(socketPath(t)), {
    code: 'ENOENT', errno: -2, syscall: 'connect',
  });
});
