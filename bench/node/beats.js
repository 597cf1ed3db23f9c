'use strict';
// A beat, compared with a beat from Rust and with other ways to send as many bytes from Node.

const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');

const { ascending, here, quantile, sideBySide } = require('./measure');
const { fromRust, onReceiver, places, startObserver } = require('./programs');

const RUST = 'varta from Rust';
const OURS = 'varta';
const DATAGRAM = Buffer.alloc(32, 0x55);

const targets = {
  uds: [
    { group: 'node uds', of: OURS, to: RUST, atMost: 1.3 },
    { group: 'node uds', of: OURS, to: 'unix-dgram', atMost: 1 },
    { group: 'node uds', of: OURS, to: 'node-unix-socket', atMost: 1 },
  ],
  udp: [{ group: 'node udp', of: OURS, to: 'dgram', atMost: 1 }],
  lane: [{ group: 'node lane', of: OURS, to: 'unix-dgram', atMost: 0.15 }],
};

function uds(varta, plan, folder) {
  let count = 0;
  return sideBySide('node uds', plan, async () => {
    count += 1;
    const at = path.join(folder, `busy-${count}.sock`);
    const receiver = onReceiver('receive', at);
    await receiver.line();
    const rust = fromRust(RUST, at);
    const agent = varta.Varta.connectUds(at);
    const ends = [() => rust.end(), () => agent.close(), () => receiver.end()];
    const contenders = [rust, here(OURS, () => agent.beat(0, 7).isSent)];
    addUnixDgram(at, contenders, ends);
    const nodeUnixSocket = optional('node-unix-socket');
    if (nodeUnixSocket !== undefined) {
      const socket = new nodeUnixSocket.DgramSocket(() => {});
      const callback = () => {};
      contenders.push(here('node-unix-socket', () => {
        socket.sendTo(DATAGRAM, 0, DATAGRAM.length, at, callback);
        return true;
      }));
      ends.push(() => socket.close());
    }
    return { contenders, end: () => inTurn(ends, () => fs.rmSync(at, { force: true })) };
  });
}

/** Adds a send by the package `unix-dgram`, if that was built. */
function addUnixDgram(at, contenders, ends) {
  const unixDgram = optional('unix-dgram');
  if (unixDgram === undefined) return;
  const socket = unixDgram.createSocket('unix_dgram');
  socket.connect(at);
  let sent = true;
  const callback = (error) => { sent = error === undefined; };
  contenders.push(here('unix-dgram', () => {
    socket.send(DATAGRAM, callback);
    return sent;
  }));
  ends.push(() => socket.close());
}

/** Beats and calls of a task through shared memory, beside a datagram. */
function lane(varta, plan, folder) {
  let count = 0;
  return sideBySide('node lane', plan, async () => {
    count += 1;
    const at = path.join(folder, `lane-${count}.sock`);
    const beside = path.join(folder, `beside-${count}.sock`);
    const receiver = onReceiver('receive', beside);
    await receiver.line();
    const { agent, task, end } = await attached(varta, at);
    const watched = () => agent.watched !== undefined;
    const contenders = [
      here(OURS, () => agent.beat(0, 7).isSent),
      here('task.beat', () => task.beat(0, 7).isSent),
      here('task.idle', () => task.idle() === undefined),
    ];
    const ends = [
      // Otherwise datagrams were measured.
      () => { if (!watched()) throw new Error('the agent lost its page'); },
      end, () => receiver.end(),
    ];
    addUnixDgram(beside, contenders, ends);
    return { contenders, end: () => inTurn(ends, () => fs.rmSync(beside, { force: true })) };
  });
}

/** An agent with a page of an observer in another process, and a task. */
async function attached(varta, at) {
  const observer = startObserver('lane', at, places.receiver);
  await observer.line();
  const agent = varta.Varta.connect(at);
  for (const until = Date.now() + 30_000; agent.watched === undefined; agent.beat()) {
    if (Date.now() > until) throw new Error('the observer gave no page');
  }
  const task = agent.task('bench', { thresholdMs: 3_600_000 });
  const end = async () => {
    task.close();
    agent.close();
    await observer.end();
  };
  return { agent, task, end };
}

/**
 * What `task.watch` costs, with a function and with an async one. It is short, so a thousand are
 * timed at once.
 */
async function watch(varta, { seconds }, folder) {
  const { task, end } = await attached(varta, path.join(folder, 'watch.sock'));
  const nothing = () => {};
  const later = async () => {};
  const [plain, waited] = [[], []];
  for (const until = Date.now() + seconds * 1000; Date.now() < until;) {
    const begun = process.hrtime.bigint();
    for (let i = 0; i < 1000; i += 1) task.watch(60_000, nothing);
    const between = process.hrtime.bigint();
    for (let i = 0; i < 1000; i += 1) await task.watch(60_000, later);
    plain.push(Number(between - begun) / 1000);
    waited.push(Number(process.hrtime.bigint() - between) / 1000);
  }
  const { tooLate, unwatched } = task.counts();
  const median = (samples) => quantile(samples.sort(ascending), 0.5);
  await end();
  return [
    {
      name: 'task.watch with a function', value: median(plain), unit: 'ns', atMost: 500,
      measured: tooLate + unwatched === 0,
    },
    { name: 'await task.watch with an async function', value: median(waited), unit: 'ns' },
  ];
}

function udp(varta, plan) {
  return sideBySide('node udp', plan, async () => {
    const receiver = onReceiver('receive', 'udp://127.0.0.1:0');
    const address = await receiver.line();
    const port = Number(address.split(':')[1]);
    const rust = fromRust(RUST, `udp://${address}`);
    const agent = varta.Varta.connectUdp('127.0.0.1', port);
    const socket = dgram.createSocket('udp4');
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const contenders = [
      rust,
      here(OURS, () => agent.beat(0, 7).isSent),
      // Times only the call, not what Node does afterwards in its event loop.
      here('dgram', () => {
        socket.send(DATAGRAM);
        return true;
      }),
    ];
    const ends = [() => rust.end(), () => agent.close(), () => socket.close(), () => receiver.end()];
    return { contenders, end: () => inTurn(ends) };
  });
}

/** Loads a package that may not have been built on this machine. */
function optional(name) {
  try {
    return require(name);
  } catch (error) {
    console.error(`${name} is left out of the comparison: ${error.message.split('\n')[0]}`);
    return undefined;
  }
}

async function inTurn(...ends) {
  for (const end of ends.flat()) await end();
}

module.exports = { lane, targets, udp, uds, watch };
