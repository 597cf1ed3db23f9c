'use strict';
// A pool of threads, each of which beats from its own loop to an observer in the main thread. All
// are one process, so what tells them apart is the payload: here the thread's number.
//
//   node examples/worker-threads.js [THREADS]

const os = require('node:os');
const path = require('node:path');
const { Worker, isMainThread, workerData } = require('node:worker_threads');

const { Observer, Varta } = require('varta');

if (isMainThread) main(Number(process.argv[2] ?? 3));
else work(workerData);

function main(count) {
  const endpoint = path.join(os.tmpdir(), `threads-${process.pid}.sock`);
  const observer = Observer.bind(endpoint);
  const lastHeard = new Map();
  const workers = new Map();
  observer.on('beat', ({ payload }) => lastHeard.set(Number(payload), performance.now()));

  function start(number) {
    lastHeard.set(number, performance.now());
    workers.set(number, new Worker(__filename, { workerData: { endpoint, number } }));
  }
  for (let number = 1; number <= count; number += 1) start(number);

  // The process lives as long as one of its threads beats; which of them does not is for the
  // process to find out.
  const looking = setInterval(async () => {
    for (const [number, at] of lastHeard) {
      if (performance.now() - at < 1000) continue;
      console.log(`thread ${number} hangs`);
      clearInterval(looking);
      await Promise.all([...workers.values()].map((worker) => worker.terminate()));
      observer.close();
      return;
    }
  }, 100);
}

function work({ endpoint, number }) {
  const agent = Varta.connectUds(endpoint);
  let left = 10;
  setInterval(() => {
    agent.beat(0, number);
    left -= 1;
    // The first one hangs some day.
    if (number === 1 && left === 0) for (;;);
  }, 50);
}
