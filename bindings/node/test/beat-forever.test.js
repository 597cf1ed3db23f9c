'use strict';
// Beats from the event loop, whose payload is its delay.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { Observer, Varta, beatForever } = require('varta');
const { firstEvent, socketPath, script, until } = require('./support');

test('it beats at once and repeatedly, with the delay of the loop', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const payloads = [];
  observer.on('beat', ({ payload }) => payloads.push(Number(payload)));
  const outcomes = [];
  const beats = beatForever(agent, { everyMs: 20, onOutcome: ({ kind }) => outcomes.push(kind) });
  beats.ref();
  t.after(() => beats.stop());
  await until('five beats', () => payloads.length >= 5);
  assert.equal(payloads[0], 0);
  const before = payloads.length;
  const end = Date.now() + 400;
  while (Date.now() < end);
  await until('the delay to be reported', () => payloads.slice(before).some((us) => us > 300_000));
  beats.stop();
  beats.stop();
  assert.equal(beats.stopped, true);
  assert.ok(outcomes.every((kind) => kind === 'sent'));
});

test('a signal and Symbol.dispose stop it', () => {
  const agent = Varta.connect('/nonexistent/varta.sock');
  const control = new AbortController();
  const beats = beatForever(agent, { signal: control.signal });
  assert.equal(beats.stopped, false);
  control.abort();
  assert.equal(beats.stopped, true);
  assert.throws(() => beatForever(agent, { signal: control.signal }), { name: 'AbortError' });
  const other = beatForever(agent);
  other[Symbol.dispose]();
  assert.equal(other.stopped, true);
});

test('it keeps the process running only after ref', async (t) => {
  const code = `
    const { Varta, beatForever } = require('varta');
    const beats = beatForever(Varta.connect('/nonexistent/varta.sock'), { everyMs: 50 });
    if (process.argv[1]) beats.ref();
    setTimeout(() => console.log('still here'), 300).unref();
  `;
  const free = script(t, code);
  assert.equal((await free.exited()).code, 0);
  assert.equal(free.out, '');
  await script(t, code, { args: ['held'] }).printed('still here');
});

test('a blocked loop stalls and recovers', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { thresholdMs: 500 });
  t.after(() => observer.close());
  const stuck = script(t, `
    const { Varta, beatForever } = require('varta');
    beatForever(Varta.connect(process.argv[1]), { everyMs: 50 }).ref();
    process.stdin.once('data', () => {
      const end = Date.now() + 1500;
      while (Date.now() < end);
    });
  `, { args: [path] });
  await firstEvent(observer, 'beat');
  stuck.child.stdin.write('now\n');
  await firstEvent(observer, 'stall');
  await firstEvent(observer, 'recovered');
});

test('it does not start if the listener throws for the first outcome', async (t) => {
  const failing = script(t, `
    const { Varta, beatForever } = require('varta');
    let calls = 0;
    const onOutcome = () => { calls += 1; throw new Error('call ' + calls); };
    const agent = Varta.connect('/nonexistent/varta.sock');
    try { beatForever(agent, { everyMs: 1, onOutcome }); } catch ({ message }) { console.log(message); }
    setTimeout(() => console.log('calls', calls), 100);
  `);
  assert.deepEqual(await failing.exited(), { code: 0, signal: null }, failing.err);
  assert.equal(failing.out, 'call 1\ncalls 1\n');
});

test('it stops with an error when its agent is closed', async (t) => {
  const closed = script(t, `
    const { Varta, beatForever } = require('varta');
    const agent = Varta.connect('/nonexistent/varta.sock');
    const beats = beatForever(agent, { everyMs: 10 }).ref();
    process.once('uncaughtException', ({ code }) => console.log(code, beats.stopped));
    agent.close();
  `);
  assert.equal((await closed.exited()).code, 0);
  assert.equal(closed.out, 'ERR_VARTA_CLOSED true\n');
});
