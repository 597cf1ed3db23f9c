'use strict';
// A Fastify server that beats from its event loop, is degraded while it is slow, and sends last
// words.
//
//   node examples/fastify.js [ENDPOINT]

const fastify = require('fastify');

const { Status, Varta, panic } = require('varta');

const SLOW_MS = 200;

const endpoint = process.argv[2];
const app = fastify();
const agent = Varta.connect(endpoint);

let slowest = 0;
app.addHook('onResponse', async (request, reply) => {
  slowest = Math.max(slowest, reply.elapsedTime);
});

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
app.get('/die', () => setImmediate(() => { throw new Error('that was too much'); }));

if (endpoint !== undefined) panic.installSignalHandler(endpoint);
app.listen({ port: 0 }).then((address) => console.log(address));
