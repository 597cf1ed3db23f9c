'use strict';
// The cost of receiving events: the rate, the latency, and the processor time of an idle observer.

const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { onReceiver, program, startObserver } = require('./programs');
const { ascending, quantile } = require('./measure');

/** Beats per second from one sender, to a listener and to a bare receiver. */
async function throughput({ seconds }, folder) {
  const rates = { received: [], limit: [], sent: 0, lost: 0 };
  for (let round = 0; round < 3; round += 1) {
    const bare = path.join(folder, `bare-${round}.sock`);
    const receiver = onReceiver('receive', bare);
    await receiver.line();
    rates.limit.push((await flooded(bare, seconds)).rate);
    await receiver.end();

    const at = path.join(folder, `events-${round}.sock`);
    const observer = startObserver('count', at);
    await observer.line();
    const { sent } = await flooded(at, seconds);
    // Until the listener has received the last one, which is after it was sent.
    const [received, skipped, took] = (await observer.ask(sent)).split(' ').map(Number);
    rates.received.push(received / took);
    rates.sent += sent;
    rates.lost += sent - received - skipped;
    await observer.end();
  }
  const median = (values) => quantile(values.sort(ascending), 0.5);
  const [received, limit] = [median(rates.received), median(rates.limit)];
  // If nothing was sent, nothing could be lost or slow, so the targets are not measured.
  const measured = limit > 0 && rates.sent > 0;
  const atLeast = Math.min(300_000, limit);
  return [
    { name: 'node events a second', value: received, unit: '/s', atLeast, measured },
    { name: 'node beats a second that one sender gets rid of', value: limit, unit: '/s' },
    { name: 'node beats that were neither received nor counted', value: rates.lost, unit: '', atMost: 0, measured },
  ];
}

async function flooded(at, seconds) {
  const sender = program('flood', at);
  await sender.line();
  await sleep(seconds * 1000);
  sender.child.stdin.end();
  const [sent, took] = (await sender.line()).split(' ').map(Number);
  await sender.gone;
  return { sent, took, rate: sent / took };
}

/** Time from the send to the listener. */
async function latency({ seconds }, folder) {
  const at = path.join(folder, 'late.sock');
  const observer = startObserver('late', at);
  await observer.line();
  const sender = program('pace', at, '1000');
  await sleep(seconds * 3000);
  await sender.end();
  const late = JSON.parse(await observer.ask('')).sort(ascending);
  await observer.end();
  return [
    { name: 'node from send to listener', value: quantile(late, 0.5), unit: 'us' },
    {
      name: 'node from send to listener, p99', value: quantile(late, 0.99), unit: 'us', atMost: 5000,
      measured: late.length >= 100,
    },
  ];
}

/** Processor time of an idle process, with and without an idle observer. */
async function quiet({ seconds }, folder) {
  const ask = async (mode) => {
    const idle = startObserver(mode, path.join(folder, `${mode}.sock`));
    await idle.line();
    await sleep(500);
    const share = Number(await idle.ask(seconds * 3));
    await idle.end();
    return share;
  };
  const [without, with_] = [await ask('idle'), await ask('quiet')];
  return [
    { name: 'node idle process', value: without, unit: '% CPU' },
    {
      name: 'node quiet observer adds', value: Math.max(0, with_ - without), unit: '% CPU', atMost: 0.1,
      // The observer has received a beat, or it would not have answered.
      measured: true,
    },
  ];
}

module.exports = { latency, quiet, throughput };
