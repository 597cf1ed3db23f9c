'use strict';
// A beat, compared with a beat from Rust and with other ways to send as many bytes from Node.

const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');

const { here, sideBySide } = require('./measure');
const { fromRust, onReceiver } = require('./programs');

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
    const unixDgram = optional('unix-dgram');
    if (unixDgram !== undefined) {
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

module.exports = { targets, udp, uds };
