'use strict';
// A server of several processes, using cluster. The primary watches the beats of its workers and
// replaces one that hangs. cluster alone would not notice a worker that is stuck in a loop, because
// it has not exited.
//
//   node examples/cluster.js [WORKERS]

const cluster = require('node:cluster');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const { Observer, Origin, Varta, beatForever } = require('varta');

if (cluster.isPrimary) primary(Number(process.argv[2] ?? 2));
else worker();

function primary(count) {
  const endpoint = path.join(os.tmpdir(), `cluster-${process.pid}.sock`);
  const observer = Observer.bind(endpoint, { thresholdMs: 1000 });
  const fork = () => cluster.fork({ VARTA_ENDPOINT: endpoint });

  observer.on('stall', ({ pid, origin }) => {
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
  beatForever(Varta.connect(), { everyMs: 100 });
  http.createServer((request, response) => {
    if (request.url === '/hang') for (;;);
    response.end(`${process.pid}\n`);
  }).listen(0);
}
