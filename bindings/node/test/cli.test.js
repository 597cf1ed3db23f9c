'use strict';
// The installed commands `npx varta beat` and `npx varta watch`.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { Observer } = require('varta');
const { Program, firstEvent, socketPath, until } = require('./support');

const project = path.dirname(__dirname);

/** Runs it with npx, which uses the installed package and downloads nothing. */
function varta(t, ...args) {
  return new Program(t, 'npx', ['--no', 'varta', ...args], {
    cwd: project, env: { npm_config_offline: 'true', npm_config_update_notifier: 'false' },
  });
}

/** Runs it without npx, which does not forward signals. */
function direct(t, ...args) {
  return new Program(t, path.join(project, 'node_modules/.bin/varta'), args);
}

test('watch prints the beats and the exit of beat', async (t) => {
  const at = socketPath(t);
  const watch = varta(t, 'watch', at, '--threshold', '60000', '--exits', '1');
  await until('the socket', () => require('node:fs').existsSync(at));
  const beat = varta(t, 'beat', at, '--every', '10', '--count', '3', '--payload', '7');
  assert.deepEqual(await beat.exited(), { code: 0, signal: null }, beat.err);
  assert.deepEqual(await watch.exited(), { code: 0, signal: null }, watch.err);
  const lines = watch.out.trim().split('\n').map((line) => line.split('): ')[1]);
  assert.deepEqual(lines, [
    'beat, ok, payload 7, nonce 1', 'beat, ok, payload 7, nonce 2', 'beat, ok, payload 7, nonce 3',
    'exit, exit code 0, last status ok',
  ]);
});

test('watch --json prints exact numbers', async (t) => {
  const at = socketPath(t);
  const watch = direct(t, 'watch', at, '--json');
  await until('the socket', () => require('node:fs').existsSync(at));
  const agent = require('varta').Varta.connectUds(at);
  t.after(() => agent.close());
  agent.beat('degraded', 5);
  await watch.printed('\n');
  const event = JSON.parse(watch.out.split('\n')[0]);
  assert.deepEqual(
    [event.kind, event.status, event.payload, event.nonce, event.pid],
    ['beat', 'degraded', 5, 1, process.pid],
  );
  watch.child.kill('SIGTERM');
  assert.deepEqual(await watch.exited(), { code: 0, signal: null }, watch.err);
  assert.equal(require('node:fs').existsSync(at), false);
});

test('beat reports a missing observer and continues', async (t) => {
  const at = socketPath(t);
  const beat = direct(t, 'beat', at, '--every', '20', '--status', 'critical');
  await until('the outcome to be printed', () => beat.err.includes('dropped: no observer'));
  const observer = Observer.bind(at);
  t.after(() => observer.close());
  assert.equal((await firstEvent(observer, 'beat')).status, 2);
});

test('a usage error exits with 2, another failure with 1', async (t) => {
  for (const args of [
    [], ['sing'], ['beat', '--threshold', '5'], ['watch', '--every', '5'], ['beat', '--every', '0'],
    ['beat', '/a', '/b'], ['beat', '--status', 'fine'], ['beat', '--loud'], ['beat', '--count', 'x'],
  ]) {
    const program = direct(t, ...args);
    assert.equal((await program.exited()).code, 2, args.join(' '));
    assert.match(program.err, /^varta: .*\nusage: /s, args.join(' '));
  }
  const failing = direct(t, 'watch', '/nonexistent/varta.sock');
  assert.equal((await failing.exited()).code, 1);
  assert.match(failing.err, /^varta: .*\/nonexistent\/varta.sock.*\n$/);
  const help = direct(t, '--help');
  assert.equal((await help.exited()).code, 0);
  assert.match(help.out, /^usage: /);
  const version = direct(t, '--version');
  await version.exited();
  assert.equal(version.out, `varta ${require('varta').version}\n`);
});
