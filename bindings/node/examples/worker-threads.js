'use strict';
// A pool of threads, each of which beats from its own loop to an observer in the main thread. They
// belong to one process, so the payload identifies the thread: it is the thread's number.
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
  const lastBeat = new Map();
  const workers = new Map();
  observer.on('beat', ({ payload }) => lastBeat.set(Number(payload), performance.now()));

  function start(number) {
    lastBeat.set(number, performance.now());
    workers.set(number, new Worker(__filename, { workerData: { endpoint, number } }));
  }
  for (let number = 1; number <= count; number += 1) start(number);

  // The observer sees no stall while any thread of the process beats. So the process itself must
  // find the thread that hangs.
  const checking = setInterval(async () => {
    for (const [number, at] of lastBeat) {
      if (performance.now() - at < 1000) continue;
      console.log(`thread ${number} hangs`);
      clearInterval(checking);
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
    // The first thread hangs after a while.
    if (number === 1 && left === 0) for (;;);
  }, 50);
}
