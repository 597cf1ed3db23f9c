'use strict';
// Processes that child_process.fork and cluster create.

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');

const { Observer } = require('varta');
const { firstEvent, socketPath, script, until } = require('./support');

test('forked children are separate agents', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const beats = [];
  const exits = [];
  observer.on('beat', ({ pid, nonce, payload }) => beats.push([pid, nonce, payload]));
  observer.on('exit', ({ pid, code }) => exits.push([pid, code]));
  const children = [1, 2, 3].map((number) => {
    const child = fork(path.join(__dirname, 'fixtures/child.js'), [at, String(number)]);
    t.after(() => child.kill('SIGKILL'));
    return child.pid;
  });
  await until('three exits', () => exits.length === 3);
  assert.deepEqual(exits.map(([pid]) => pid).sort(), [...children].sort());
  assert.ok(exits.every(([, code]) => code === 3));
  children.forEach((pid, index) => {
    const own = beats.filter(([from]) => from === pid);
    assert.deepEqual(own, [[pid, 1n, BigInt(index + 1)], [pid, 2n, BigInt(index + 1)]]);
  });
});

test('the replacement of a killed cluster worker beats', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const pids = new Set();
  observer.on('beat', ({ pid }) => pids.add(pid));
  const exit = firstEvent(observer, 'exit');
  const cluster = script(t, `
    const cluster = require('node:cluster');
    const { Varta, beatForever } = require('varta');
    if (cluster.isPrimary) {
      for (let i = 0; i < 2; i += 1) cluster.fork();
      cluster.on('exit', () => cluster.fork());
      cluster.on('listening', ({ id }) => console.log('listening', id));
    } else {
      beatForever(Varta.connect(process.argv[1]), { everyMs: 10 });
      require('node:http').createServer().listen(0);
    }
  `, { args: [at] });
  await until('both workers', () => pids.size === 2);
  // Killing a worker while it requests a port from the primary crashes the primary.
  await cluster.printed('listening 1');
  await cluster.printed('listening 2');
  const [victim] = pids;
  assert.notEqual(victim, cluster.pid);
  process.kill(victim, 'SIGKILL');
  const { pid, cause, signal } = await exit;
  assert.deepEqual([pid, cause, signal], [victim, 'signal', 9]);
  await until('the successor', () => {
    assert.equal(cluster.child.exitCode, null, cluster.err);
    return pids.size === 3;
  });
});

test('the tasks of children are their own, and end with them', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { lane: true, tasks: true, thresholdMs: 100 });
  t.after(() => observer.close());
  const events = [];
  observer.on('event', (event) => events.push(event));
  const of = (pid, kind) => events.filter((event) => event.pid === pid && event.kind === kind);
  const start = (name) => {
    const child = fork(path.join(__dirname, 'fixtures/tasks.js'), [at, name]);
    t.after(() => child.kill('SIGKILL'));
    return child;
  };
  const [killed, finishes, fails] = ['killed', 'finishes', 'fails'].map(start);
  for (const [{ pid }, name] of [[killed, 'killed'], [finishes, 'finishes'], [fails, 'fails']]) {
    const [{ task, taskName }] = await until(name, () => of(pid, 'task').length > 0 && of(pid, 'task'));
    assert.deepEqual([task, taskName], [1, name]);
  }
  killed.kill('SIGKILL');
  finishes.send(0);
  fails.send(3);
  await until('three exits', () => events.filter(({ kind }) => kind === 'exit').length === 3);
  const [[died], [exited], [failed]] = [killed, finishes, fails].map(({ pid }) => of(pid, 'exit'));
  assert.deepEqual([died.signal, exited.code, failed.code], [9, 0, 3]);
  const ends = [killed, finishes, fails].map(({ pid }) => of(pid, 'ended').map(({ how }) => how));
  // An exit ends the tasks of a process without further events.
  assert.deepEqual(ends, [[], ['closed'], ['failed']]);
  assert.ok(events.every(({ kind, task }) => kind !== 'stall' || task === undefined));
});
