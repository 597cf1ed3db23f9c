'use strict';
// The name of an agent, which each of its events has.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { Frame, Observer, Varta } = require('varta');
const { firstEvent, script, socketPath, until } = require('./support');

/** It beats until it may stop: once it has a page, or at once. */
const SILENT = `
  const { Varta } = require('varta');
  const [path, lane] = process.argv.slice(1);
  const agent = Varta.connect(path);
  const beat = () => {
    if (agent.beat() && lane === 'true' && agent.watched === undefined) return setTimeout(beat, 1);
    agent.beat(); // the others may have gone as datagrams, before the name
    return setInterval(() => {}, 60_000);
  };
  beat();
`;

const named = (event, kind, label) => event.kind === kind && event.label === label;

test('every event of a process has its name, and its exit too', async (t) => {
  for (const lane of [true, false]) {
    const path = socketPath(t);
    const observer = Observer.bind(path, { thresholdMs: 200, lane });
    t.after(() => observer.close());
    // The events wait in the queue until the process has ended.
    const agent = script(t, SILENT, { args: [path, String(lane)], env: { VARTA_NAME: 'indexer' } });
    const [{ label: first }] = await until('the agent', () => {
      const agents = observer.agents();
      return agents.length === 1 && (agents[0].label === 'indexer') === lane && agents;
    });
    await until('the stall', () => observer.stats().stalls > 0);
    const { pid } = agent;
    agent.child.kill('SIGKILL');
    await until('the exit', () => observer.stats().exits === 1);
    assert.deepEqual(observer.agents(), []);
    const exit = firstEvent(observer, (event) => named(event, 'exit', first));
    const stall = firstEvent(observer, (event) => named(event, 'stall', first));
    await firstEvent(observer, (event) => named(event, 'beat', first));
    await stall;
    const text = (await exit).toString();
    assert.equal(text.split(': ')[1], `agent 1 (${first}, pid ${pid})`);
    observer.close();
  }
});

test('a name that comes later is that of the next events', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { thresholdMs: 600_000, lane: true });
  t.after(() => observer.close());
  const first = Varta.connectUds(path);
  t.after(() => first.close());
  first.beat(0, 1);
  const before = await firstEvent(observer, 'beat');
  assert.ok(before.label !== '' && before.label !== 'late name', before.label);
  const agent = Varta.connect(path, { name: 'late name' });
  t.after(() => agent.close());
  await until('the page', () => agent.beat().isSent && agent.watched !== undefined);
  const next = firstEvent(observer, (event) => named(event, 'beat', 'late name'));
  agent.beat(2, 7);
  await next;
  const third = firstEvent(observer, (event) => event.kind === 'beat' && event.payload === 8n);
  first.beat(0, 8);
  assert.equal((await third).label, 'late name');
});

test('a simulated process declares a name', () => {
  const observer = Observer.simulated({ uids: 'any' });
  const events = [];
  const beat = (at, pid, sender) => {
    observer.feed(at, { sender, bytes: new Frame('ok', pid, 0, at, 0).encode() });
    events.push(observer.poll());
  };
  const local = { pid: 4321, uid: 0 };
  observer.setProgram(4321, 'node');
  beat(1, 4321, local);
  observer.setName(4321, ' index\x1b[2Jer');
  beat(2, 4321, local);
  observer.setName(4321, 'f\u00fcr'.repeat(30));
  beat(3, 4321, local);
  observer.exit(4, 4321, { code: 7 });
  events.push(observer.poll());
  beat(5, 7, { address: '192.0.2.1' });
  const long = 'f\u00fcr'.repeat(15) + 'f\u00fc';
  assert.deepEqual(events.map(({ label }) => label), ['node', 'index\\u{1b}[2Jer', long, long, '']);
  const about = events.map((event) => event.toString().split(': ')[1]);
  assert.equal(about[0], 'agent 1 (node, pid 4321)');
  assert.equal(about[3], `agent 1 (${long}, pid 4321)`);
  assert.equal(about[4], 'agent 2 (claims pid 7, network)');
  observer.late(20_000_000_000, 1_000_000_000);
  assert.ok(!('label' in observer.poll()));
});
