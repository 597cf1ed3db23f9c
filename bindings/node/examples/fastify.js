'use strict';
// A Fastify server that beats from its event loop, is degraded while it is slow, and sends last
// words. With MAX_MS, it also watches each request, which must be answered in this time.
//
//   node examples/fastify.js [ENDPOINT [MAX_MS]]

const fastify = require('fastify');

const { Status, Varta, panic } = require('varta');

const SLOW_MS = 200;

const [endpoint, maxMs] = process.argv.slice(2);
const app = fastify();
const agent = Varta.connect(endpoint);

let slowest = 0;
app.addHook('onResponse', async (request, reply) => {
  slowest = Math.max(slowest, reply.elapsedTime);
});

// All requests are one task with a span for each. Its label is the number of the route.
if (maxMs !== undefined) {
  const limit = Number(maxMs);
  const options = { thresholdMs: Infinity, finestMs: limit, spans: 10_000 };
  const requests = agent.task('requests', options);
  const routes = ['/', '/slow', '/never'];
  app.addHook('onRequest', async (request, reply) => {
    const label = routes.indexOf(request.routeOptions.url) + 1;
    const span = requests.watch({ maxMs: limit, label });
    // Also if the client gives up.
    reply.raw.once('close', () => span.close());
  });
}

// The payload is the slowest response since the last beat, in microseconds.
const timer = setInterval(() => {
  agent.beat(slowest > SLOW_MS ? Status.Degraded : Status.Ok, Math.round(slowest * 1000));
  slowest = 0;
}, 100);

app.addHook('onClose', async () => {
  clearInterval(timer);
  agent.close();
});

app.get('/', async () => 'hello\n');
app.get('/slow', () => new Promise((resolve) => setTimeout(resolve, SLOW_MS + 100, 'at last\n')));
app.get('/never', () => new Promise(() => {}));
app.get('/die', () => setImmediate(() => { throw new Error('that was too much'); }));

if (endpoint !== undefined) panic.installSignalHandler(endpoint);
app.listen({ port: 0 }).then((address) => console.log(address));
