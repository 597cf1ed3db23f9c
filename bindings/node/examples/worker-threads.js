'use strict';
// A pool of threads, each with a task, and an observer in the main thread. The threads belong to one
// process, which is alive as long as any of them beats; a task that is late shows which one hangs.
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
  const observer = Observer.bind(endpoint, { lane: true, tasks: true });
  const workers = Array.from({ length: count }, (_, index) =>
    new Worker(__filename, { workerData: { endpoint, number: index + 1 } }));

  observer.once('stall', async ({ taskName }) => {
    console.log(`${taskName} hangs`);
    await Promise.all(workers.map((worker) => worker.terminate()));
    observer.close();
  });
}

function work({ endpoint, number }) {
  const agent = Varta.connect(endpoint);
  const task = agent.task(`thread ${number}`, { thresholdMs: 1000 });
  let turn = 0;
  setInterval(() => {
    task.beat(0, turn);
    turn += 1;
    // The first thread hangs after a while.
    if (number === 1 && turn === 10) for (;;);
  }, 50);
}
