'use strict';
// Beats from the event loop, which tell of its delay.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { Observer, Varta, beatForever } = require('varta');
const { heard, place, script, until } = require('./support');

test('it beats at once and goes on, and tells of the loop\'s delay', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const payloads = [];
  observer.on('beat', ({ payload }) => payloads.push(Number(payload)));
  const outcomes = [];
  const beating = beatForever(agent, { everyMs: 20, onOutcome: ({ kind }) => outcomes.push(kind) });
  beating.ref();
  t.after(() => beating.stop());
  await until('five beats', () => payloads.length >= 5);
  assert.equal(payloads[0], 0);
  const before = payloads.length;
  const end = Date.now() + 400;
  while (Date.now() < end);
  await until('the delay to be told', () => payloads.slice(before).some((us) => us > 300_000));
  beating.stop();
  beating.stop();
  assert.equal(beating.stopped, true);
  assert.ok(outcomes.every((kind) => kind === 'sent'));
});

test('a signal stops it, and Symbol.dispose does', () => {
  const agent = Varta.connect('/nonexistent/varta.sock');
  const control = new AbortController();
  const beating = beatForever(agent, { signal: control.signal });
  assert.equal(beating.stopped, false);
  control.abort();
  assert.equal(beating.stopped, true);
  assert.throws(() => beatForever(agent, { signal: control.signal }), { name: 'AbortError' });
  const other = beatForever(agent);
  other[Symbol.dispose]();
  assert.equal(other.stopped, true);
});

test('it is no reason for a program to go on, unless it is ref\'d', async (t) => {
  const code = `
    const { Varta, beatForever } = require('varta');
    const beating = beatForever(Varta.connect('/nonexistent/varta.sock'), { everyMs: 50 });
    if (process.argv[1]) beating.ref();
    setTimeout(() => console.log('still here'), 300).unref();
  `;
  const free = script(t, code);
  assert.equal((await free.ended()).code, 0);
  assert.equal(free.out, '');
  await script(t, code, { args: ['held'] }).said('still here');
});

test('a loop that is stuck is stalled, and recovers', async (t) => {
  const path = place(t);
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
  await heard(observer, 'beat');
  stuck.child.stdin.write('now\n');
  await heard(observer, 'stall');
  await heard(observer, 'recovered');
});

test('when the first outcome makes its listener throw, it has not begun', async (t) => {
  const failing = script(t, `
    const { Varta, beatForever } = require('varta');
    let told = 0;
    const onOutcome = () => { told += 1; throw new Error('told ' + told); };
    const agent = Varta.connect('/nonexistent/varta.sock');
    try { beatForever(agent, { everyMs: 1, onOutcome }); } catch ({ message }) { console.log(message); }
    setTimeout(() => console.log('in the end', told), 100);
  `);
  assert.deepEqual(await failing.ended(), { code: 0, signal: null }, failing.err);
  assert.equal(failing.out, 'told 1\nin the end 1\n');
});

test('when its agent is closed it ends with that error', async (t) => {
  const closed = script(t, `
    const { Varta, beatForever } = require('varta');
    const agent = Varta.connect('/nonexistent/varta.sock');
    const beating = beatForever(agent, { everyMs: 10 }).ref();
    process.once('uncaughtException', ({ code }) => console.log(code, beating.stopped));
    agent.close();
  `);
  assert.equal((await closed.ended()).code, 0);
  assert.equal(closed.out, 'ERR_VARTA_CLOSED true\n');
});
