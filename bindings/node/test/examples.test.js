'use strict';
// Runs the examples unmodified.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');

const { Observer, Status, Varta } = require('varta');
const { Program, firstEvent, socketPath, until } = require('./support');

const examples = path.join(path.dirname(__dirname), 'examples');

function example(t, name, ...args) {
  return new Program(t, process.execPath, [path.join(examples, name), ...args]);
}

/** Sends a request. The caller decides whether to wait for the response. */
function get(url) {
  return new Promise((resolve, reject) => {
    http.get(url, (response) => response.resume().on('end', resolve)).on('error', reject);
  });
}

test('every example has a test', () => {
  const here = fs.readFileSync(__filename, 'utf8');
  for (const name of fs.readdirSync(examples)) assert.ok(here.includes(`'${name}'`), name);
});

test('cluster.js names what blocks a worker, and kills and replaces it', async (t) => {
  const cluster = example(t, 'cluster.js', '2');
  const workers = () => [...cluster.out.matchAll(/worker (\d+) at (\d+)/g)];
  await until('two workers', () => workers().length === 2);
  const [, pid, port] = workers()[0];
  const port2 = workers()[1][2];
  assert.equal(port, port2, 'they share a port');
  // The worker that gets the request hangs.
  get(`http://127.0.0.1:${port}/hang`).catch(() => {});
  await cluster.printed('is stuck in /hang');
  await cluster.printed('hangs');
  await cluster.printed('ended by signal 9');
  await until('the successor', () => workers().length === 3);
  const hung = /worker (\d+) hangs/.exec(cluster.out)[1];
  assert.ok([pid, workers()[1][1]].includes(hung));
  cluster.child.kill('SIGTERM');
  assert.deepEqual(await cluster.exited(), { code: 0, signal: null }, cluster.err);
});

test('fastify.js is degraded while it is slow, and sends last words', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { thresholdMs: 600_000 });
  t.after(() => observer.close());
  const server = example(t, 'fastify.js', at);
  await server.printed('http://');
  const address = /http:\S+/.exec(server.out)[0].replace('[::1]', 'localhost');
  await firstEvent(observer, ({ kind, status }) => kind === 'beat' && status === Status.Ok);
  await get(address);
  const slow = firstEvent(observer, ({ status }) => status === Status.Degraded);
  await get(`${address}/slow`);
  assert.ok((await slow).payload > 200_000n);
  const words = firstEvent(observer, ({ status }) => status === Status.Critical);
  const exit = firstEvent(observer, 'exit');
  get(`${address}/die`).catch(() => {});
  await words;
  assert.equal((await exit).code, 1);
  assert.match(server.err, /that was too much/);
});

test('fastify.js watches each request if asked to', async (t) => {
  const at = socketPath(t);
  const observer = Observer.bind(at, { thresholdMs: 1000, lane: true, tasks: true });
  t.after(() => observer.close());
  const server = example(t, 'fastify.js', at, '100');
  await server.printed('http://');
  const address = /http:\S+/.exec(server.out)[0].replace('[::1]', 'localhost');
  const stall = firstEvent(observer, ({ kind, task }) => kind === 'stall' && task !== undefined);
  await get(address);
  const client = http.get(`${address}/never`).on('error', () => {});
  const { taskName, promise, checkpoint } = await stall;
  assert.deepEqual([taskName, promise, checkpoint], ['requests', 'span', 3]);
  // Others are answered meanwhile. When the client gives up, nothing is late any more.
  await get(address);
  const recovered = firstEvent(observer, ({ kind, task }) => kind === 'recovered' && task !== undefined);
  client.destroy();
  assert.equal((await recovered).promise, 'span');
});

test('worker-threads.js finds the thread that hangs', async (t) => {
  const pool = example(t, 'worker-threads.js');
  assert.deepEqual(await pool.exited(), { code: 0, signal: null }, pool.err);
  assert.match(pool.out, /^thread \d hangs\n$/);
});

test('watch.mjs prints its events', async (t) => {
  const at = socketPath(t);
  const watch = example(t, 'watch.mjs', at);
  await watch.printed('listening');
  const agent = Varta.connectUds(at);
  t.after(() => agent.close());
  agent.beat(Status.Ok, 7);
  await watch.printed('beat, ok, payload 7, nonce 1');
  await watch.printed('stall, last heard at');
  watch.child.kill('SIGTERM');
  assert.deepEqual(await watch.exited(), { code: 0, signal: null }, watch.err);
});
