'use strict';
// The examples, as they are.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');

const { Observer, Status, Varta } = require('varta');
const { Program, heard, place, until } = require('./support');

const examples = path.join(path.dirname(__dirname), 'examples');

function example(t, name, ...args) {
  return new Program(t, process.execPath, [path.join(examples, name), ...args]);
}

/** Asks, and does not wait for an answer unless told to. */
function get(url) {
  return new Promise((resolve, reject) => {
    http.get(url, (response) => response.resume().on('end', resolve)).on('error', reject);
  });
}

test('every example is run here', () => {
  const here = fs.readFileSync(__filename, 'utf8');
  for (const name of fs.readdirSync(examples)) assert.ok(here.includes(`'${name}'`), name);
});

test('cluster: a worker that hangs is killed and replaced', async (t) => {
  const cluster = example(t, 'cluster.js', '2');
  const workers = () => [...cluster.out.matchAll(/worker (\d+) at (\d+)/g)];
  await until('two workers', () => workers().length === 2);
  const [, pid, port] = workers()[0];
  const port2 = workers()[1][2];
  assert.equal(port, port2, 'they share a port');
  // Whichever answers, hangs.
  get(`http://127.0.0.1:${port}/hang`).catch(() => {});
  await cluster.said('hangs');
  await cluster.said('ended by signal 9');
  await until('the successor', () => workers().length === 3);
  const hung = /worker (\d+) hangs/.exec(cluster.out)[1];
  assert.ok([pid, workers()[1][1]].includes(hung));
  cluster.child.kill('SIGTERM');
  assert.deepEqual(await cluster.ended(), { code: 0, signal: null }, cluster.err);
});

test('fastify: degraded while it is slow, and last words', async (t) => {
  const at = place(t);
  const observer = Observer.bind(at, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const server = example(t, 'fastify.js', at);
  await server.said('http://');
  const address = /http:\S+/.exec(server.out)[0].replace('[::1]', 'localhost');
  await heard(observer, ({ kind, status }) => kind === 'beat' && status === Status.Ok);
  await get(address);
  const slow = heard(observer, ({ status }) => status === Status.Degraded);
  await get(`${address}/slow`);
  assert.ok((await slow).payload > 200_000n);
  const words = heard(observer, ({ status }) => status === Status.Critical);
  const exit = heard(observer, 'exit');
  get(`${address}/die`).catch(() => {});
  await words;
  assert.equal((await exit).code, 1);
  assert.match(server.err, /that was too much/);
});

test('worker threads: the one that hangs is found', async (t) => {
  const pool = example(t, 'worker-threads.js');
  assert.deepEqual(await pool.ended(), { code: 0, signal: null }, pool.err);
  assert.match(pool.out, /^thread \d hangs\n$/);
});

test('watch prints what it hears', async (t) => {
  const at = place(t);
  const watch = example(t, 'watch.mjs', at);
  await watch.said('listening');
  const agent = Varta.connectUds(at);
  t.after(() => agent.close());
  agent.beat(Status.Ok, 7);
  await watch.said('beat, ok, payload 7, nonce 1');
  await watch.said('stall, last heard at');
  watch.child.kill('SIGTERM');
  assert.deepEqual(await watch.ended(), { code: 0, signal: null }, watch.err);
});
