'use strict';
// A million beats and a million events, without growth.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { socketPath, script } = require('./support');

/** Growth that the allocator may cause. */
const SLACK = 24 * 1024 * 1024;

test('a million beats and a million events leak no memory', async (t) => {
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    const observer = Observer.bind(process.argv[1], { thresholdMs: 600000 });
    const agent = Varta.connectUds(process.argv[1]);
    let beats = 0, events = 0, sum = 0n;
    observer.on('beat', ({ payload }) => { events += 1; sum += payload; });
    const settle = () => { gc(); const { heapUsed, rss } = process.memoryUsage(); return { heapUsed, rss }; };
    function beat(until, then) {
      // The queue is short, so a dropped beat is sent again.
      for (let i = 0; i < 500 && beats < until; i += 1) beats += agent.beat(0, 1).isSent;
      if (beats < until || events < until) setImmediate(beat, until, then);
      else then();
    }
    setInterval(() => console.error(beats, events), 5000).unref();
    beat(100000, () => {
      const before = settle();
      beat(1100000, () => {
        const after = settle();
        console.log(JSON.stringify({ before, after, events, sum: String(sum) }));
        observer.close();
      });
    });
  `, { args: [socketPath(t)], flags: ['--expose-gc'] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  const { before, after, events, sum } = JSON.parse(program.out);
  assert.deepEqual([events, sum], [1_100_000, '1100000']);
  assert.ok(after.heapUsed - before.heapUsed < 2 * 1024 * 1024, `heap ${JSON.stringify({ before, after })}`);
  assert.ok(after.rss - before.rss < SLACK, `RSS ${JSON.stringify({ before, after })}`);
});
