'use strict';
// Worker threads use the package, and can be terminated at any moment.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { socketPath, script } = require('./support');

test('a worker has its own agents and observers', async (t) => {
  const program = script(t, `
    const { Worker } = require('node:worker_threads');
    const { Observer } = require('varta');
    const [, path, own] = process.argv;
    const observer = Observer.bind(path);
    const worker = new Worker(\`
      const { parentPort, workerData } = require('node:worker_threads');
      const { Observer, Varta } = require('varta');
      const observer = Observer.bind(workerData.own);
      observer.once('beat', ({ payload }) => {
        parentPort.postMessage(payload);
        observer.close();
      });
      Varta.connectUds(workerData.path).beat(0, 1);
      Varta.connectUds(workerData.own).beat(0, 2);
    \`, { eval: true, workerData: { path, own } });
    const lines = [];
    const note = (text) => { lines.push(text); if (lines.length === 3) console.log(lines.sort()); };
    observer.once('beat', ({ payload, nonce }) => { note('main ' + payload); observer.close(); });
    worker.on('message', (payload) => note('worker ' + payload));
    worker.on('exit', (code) => note('exit ' + code));
  `, { args: [socketPath(t), socketPath(t)] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, "[ 'exit 0', 'main 1', 'worker 2' ]\n");
});

/** The number of rounds. Starting and terminating a worker takes about 40 ms. */
const ROUNDS = Number(process.env.VARTA_ROUNDS ?? 100);

test('workers can be terminated while they wait and receive', async (t) => {
  const program = script(t, `
    const { Worker } = require('node:worker_threads');
    const fs = require('node:fs');
    const { Varta } = require('varta');
    const body = \`
      const { workerData, parentPort } = require('node:worker_threads');
      const { Observer, Varta } = require('varta');
      const observer = Observer.bind(workerData.path, { thresholdMs: 20 });
      const agent = Varta.connectUds(workerData.path);
      if (workerData.loud) {
        observer.on('event', () => { agent.beat(); agent.beat(); });
        setInterval(() => agent.beat(), 1);
      } else {
        (async () => { for await (const event of observer); })();
      }
      agent.beat();
      parentPort.postMessage('up');
    \`;
    const count = () => fs.readdirSync('/proc/self/fd').length;
    const names = () => fs.readdirSync('/proc/self/task')
      .map((id) => { try { return fs.readFileSync('/proc/self/task/' + id + '/comm', 'utf8'); } catch { return ''; } });
    async function one(index, round) {
      const loud = (index + round) % 2 === 0;
      const worker = new Worker(body, {
        eval: true, workerData: { path: process.argv[1] + index, loud },
      });
      const failed = new Promise((_, reject) => worker.on('error', reject));
      const up = new Promise((resolve) => worker.once('message', resolve));
      // Some are terminated while they load.
      if (round % 5 !== 0) await Promise.race([up, failed]);
      await worker.terminate();
      rounds += 1;
    }
    async function many(index) {
      for (let round = 0; round < ${ROUNDS}; round += 1) await one(index, round);
    }
    let rounds = 0;
    setInterval(() => console.error(rounds), 5000).unref();
    (async () => {
      await one(0, 1);
      const before = count();
      await Promise.all(Array.from({ length: 8 }, (_, index) => many(index)));
      console.log('ended', names().filter((name) => name === 'varta-observer\\n').length, count() - before);
    })();
  `, { args: [socketPath(t)] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  const [, threads, descriptors] = /ended (\d+) (-?\d+)/.exec(program.out);
  assert.equal(Number(threads), 0);
  // Node itself keeps some descriptors for workers.
  assert.ok(Number(descriptors) < 50, `${descriptors} descriptors more than before`);
});
