'use strict';
// The observer of a benchmark: `observing.js count|late|quiet|idle|lane PATH`. It prints `bound`, answers one
// line, and ends when its input ends.

const { once } = require('node:events');
const readline = require('node:readline');

const varta = require('./package');

const [mode, at] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin });

async function main() {
  const observer = mode === 'idle'
    ? undefined
    : varta.Observer.bind(at, { thresholdMs: 600_000, lane: mode === 'lane', tasks: mode === 'lane' });
  let received = 0;
  let first;
  const late = [];
  if (mode === 'late') {
    observer.on('beat', ({ payload }) => {
      const now = process.hrtime.bigint() / 1000n & 0xffff_ffffn;
      late.push(Number(BigInt.asUintN(32, now - payload)));
    });
  } else {
    observer?.on('beat', () => {
      received += 1;
      first ??= performance.now();
    });
  }
  if (mode === 'quiet') {
    const agent = varta.Varta.connectUds(at);
    agent.beat();
    await once(observer, 'beat');
  }
  console.log('bound');
  if (mode === 'lane') {
    await once(lines, 'close');
    observer.close();
    return;
  }
  const [line] = await once(lines, 'line');
  if (mode === 'count') {
    // Waits until everything that was sent has arrived or is counted as skipped.
    const sent = Number(line);
    while (received + observer.stats().skipped < sent) await new Promise((next) => setTimeout(next, 1));
    console.log(received, observer.stats().skipped, (performance.now() - first) / 1000);
  } else if (mode === 'late') {
    console.log(JSON.stringify(late));
  } else {
    const [before, begun] = [process.cpuUsage(), performance.now()];
    await new Promise((next) => setTimeout(next, Number(line) * 1000));
    const { user, system } = process.cpuUsage(before);
    console.log((user + system) / 10 / (performance.now() - begun));
  }
  await once(lines, 'close');
  observer?.close();
}

main();
