'use strict';
// A Fastify server that beats from the loop that serves, is degraded while it is slow, and says
// last words.
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

// Each beat carries the slowest answer since the last one, in microseconds.
const beating = setInterval(() => {
  agent.beat(slowest > SLOW_MS ? Status.Degraded : Status.Ok, Math.round(slowest * 1000));
  slowest = 0;
}, 100);

app.addHook('onClose', async () => {
  clearInterval(beating);
  agent.close();
});

app.get('/', async () => 'hello\n');
app.get('/slow', () => new Promise((resolve) => setTimeout(resolve, SLOW_MS + 100, 'at last\n')));
app.get('/die', () => setImmediate(() => { throw new Error('that was too much'); }));

if (endpoint !== undefined) panic.installSignalHandler(endpoint);
app.listen({ port: 0 }).then((address) => console.log(address));
