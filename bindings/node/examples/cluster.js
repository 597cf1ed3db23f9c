'use strict';
// A server of several processes, using cluster. The primary watches the beats of its workers and
// replaces one that hangs. cluster alone would not notice a worker that is stuck in a loop, because
// it has not exited. Each worker also has a task for its event loop, so the primary knows which
// path blocks it.
//
//   node examples/cluster.js [WORKERS]

const cluster = require('node:cluster');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const { Observer, Origin, Varta, beatForever } = require('varta');

const PATHS = ['/', '/hang'];

if (cluster.isPrimary) primary(Number(process.argv[2] ?? 2));
else worker();

function primary(count) {
  const endpoint = path.join(os.tmpdir(), `cluster-${process.pid}.sock`);
  const observer = Observer.bind(endpoint, { thresholdMs: 1000, lane: true, tasks: true });
  const fork = () => cluster.fork({ VARTA_ENDPOINT: endpoint });

  observer.on('stall', ({ pid, origin, task, checkpoint }) => {
    if (task !== undefined) {
      console.log(`worker ${pid} is stuck in ${PATHS[checkpoint - 1]}`);
      return;
    }
    // Kill a process only if the kernel attested its pid.
    if (origin !== Origin.KernelAttested) return;
    const hung = Object.values(cluster.workers).find((worker) => worker.process.pid === pid);
    if (hung === undefined) return;
    console.log(`worker ${pid} hangs`);
    hung.process.kill('SIGKILL');
  });
  observer.on('exit', ({ pid, signal }) => console.log(`worker ${pid} ended by signal ${signal}`));
  cluster.on('exit', fork);
  cluster.on('listening', (worker, { port }) => console.log(`worker ${worker.process.pid} at ${port}`));
  for (let i = 0; i < count; i += 1) fork();

  process.once('SIGTERM', () => {
    observer.close();
    process.exit(0);
  });
}

function worker() {
  const agent = Varta.connect();
  beatForever(agent, { everyMs: 100 });
  // Nothing is due of it but the end of each handler.
  const loop = agent.task('loop', { thresholdMs: Infinity, finestMs: 200 });
  http.createServer((request, response) => {
    loop.watch({ maxMs: 200, label: PATHS.indexOf(request.url) + 1 }, () => {
      if (request.url === '/hang') for (;;);
      response.end(`${process.pid}\n`);
    });
  }).listen(0);
}
