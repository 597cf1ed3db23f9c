'use strict';
// The observer: its events, its listeners and its lifetime.

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const { test } = require('node:test');

const { Frame, Observer, ObserverEvent, Origin, Status, Varta } = require('varta');
const { firstEvent, socketPath, python, script, until } = require('./support');

const LONG = { thresholdMs: 600_000 };

/** Sends the datagrams that it reads from standard input, in hex, over a Unix socket. */
const SENDER = `
import socket, sys
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
out.connect(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    out.send(bytes.fromhex(line.strip()))
`;

const AGENT = `
  const { Varta } = require('varta');
  const agent = Varta.connectUds(process.argv[1]);
  process.on('message', () => {});
  process.stdin.on('data', (text) => {
    for (const word of text.toString().trim().split('\\n')) {
      if (word === 'exit') process.exit(7);
      agent.beat(0, Number(word));
    }
  });
  console.log('ready');
`;

test('an agent stalls, recovers and exits with a code', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { thresholdMs: 300 });
  t.after(() => observer.close());
  const events = [];
  observer.on('event', (event) => events.push(event));
  const agent = script(t, AGENT, { args: [path] });
  await agent.printed('ready');
  agent.child.stdin.write('5\n');
  await firstEvent(observer, 'stall');
  agent.child.stdin.write('6\n');
  await firstEvent(observer, 'recovered');
  const [info] = await until('it to be followed', () => observer.agents());
  assert.equal(info.pid, agent.pid);
  // Newer releases set the name of the main thread.
  const comm = fs.readFileSync(`/proc/${agent.pid}/comm`, 'utf8').trim();
  assert.equal(info.name, comm);
  assert.equal(info.uid, process.getuid());
  assert.deepEqual([info.beats, info.missed, info.thresholdNs], [2, 0, 300_000_000n]);
  agent.child.stdin.write('exit\n');
  await firstEvent(observer, 'exit');

  const kinds = events.map((event) => event.kind).filter((kind) => kind !== 'paused');
  assert.deepEqual(kinds.slice(0, 4), ['beat', 'stall', 'recovered', 'beat']);
  assert.equal(kinds.at(-1), 'exit');
  const [beat, stall] = ['beat', 'stall'].map((kind) => events.find((event) => event.kind === kind));
  assert.ok(beat instanceof ObserverEvent);
  assert.deepEqual(
    { ...beat, observerNs: 0n },
    {
      kind: 'beat', observerNs: 0n, agent: 1, pid: agent.pid, claimedPid: agent.pid,
      origin: Origin.KernelAttested, label: info.label, status: Status.Ok, payload: 5n, nonce: 1n,
      missed: 0n, count: 1,
    },
  );
  assert.equal(stall.lastNonce, 1n);
  assert.equal(stall.lastNs, beat.observerNs);
  assert.ok(stall.observerNs - stall.lastNs >= 300_000_000n);
  const exit = events.at(-1);
  assert.deepEqual([exit.cause, exit.code, exit.lastStatus], ['code', 7, Status.Ok]);
  assert.match(String(exit), /agent 1 \(.+, pid \d+\): exit, exit code 7, last status ok$/);
  const { beats, stalls, recoveries, exits } = observer.stats();
  assert.ok(beats === 2 && stalls >= 1 && recoveries >= 1 && exits === 1);
});

test('the exit of a killed process has its signal', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const exit = firstEvent(observer, 'exit');
  const agent = script(t, AGENT, { args: [path] });
  await agent.printed('ready');
  agent.child.stdin.write('1\n');
  await firstEvent(observer, 'beat');
  agent.child.kill('SIGKILL');
  const { cause, signal, code } = await exit;
  assert.deepEqual([cause, signal, code], ['signal', 9, undefined]);
});

test('invalid frames and frames with another pid are reported', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  t.after(() => observer.close());
  const decode = firstEvent(observer, 'decode');
  const failure = firstEvent(observer, 'auth-failure');
  const sender = python(t, SENDER, path);
  await sender.printed('ready');
  sender.child.stdin.write(`${'00'.repeat(32)}\n`);
  sender.child.stdin.write(
    '56410200020000000000000000000000010000000000000000000000e4116baa\n',
  );
  assert.equal((await decode).error, 'BadMagic');
  assert.equal((await decode).agent, undefined);
  const { claimedPid, truePid } = await failure;
  assert.deepEqual([claimedPid, truePid], [2, sender.pid]);
  const stats = observer.stats();
  assert.deepEqual([stats.badMagic, stats.authFailures, stats.received], [1, 1, 2]);
});

test('a stopped observer reports the pause and no stall', async (t) => {
  const path = socketPath(t);
  const watcher = script(t, `
    const { Observer } = require('varta');
    const observer = Observer.bind(process.argv[1], { thresholdMs: 3000 });
    observer.on('event', (event) => console.log(event.kind, event.ns ?? ''));
    console.log('bound');
  `, { args: [path] });
  await watcher.printed('bound');
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const beating = setInterval(() => agent.beat(), 20);
  t.after(() => clearInterval(beating));
  await watcher.printed('beat');
  watcher.child.kill('SIGSTOP');
  const stopped = Date.now();
  await until('more than the threshold to pass', () => Date.now() - stopped > 4500);
  watcher.child.kill('SIGCONT');
  await watcher.printed('paused');
  const ns = /paused (\d+)/.exec(watcher.out)[1];
  assert.ok(Number(ns) > 3e9, `paused for ${ns}`);
  assert.ok(!watcher.out.includes('stall'), watcher.out);
});

test('poll returns one event at a time without waiting', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  assert.equal(observer.poll(), undefined);
  for (let payload = 0; payload < 5; payload += 1) {
    agent.beat(0, payload);
    const event = await until('the beat', () => observer.poll());
    assert.equal(event.payload, BigInt(payload));
  }
});

test('events are kept until there is a listener', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  agent.beat(0, 41);
  await until('the beat to be received', () => observer.stats().beats === 1);
  await new Promise(setImmediate);
  const [event] = await once(observer, 'beat');
  assert.equal(event.payload, 41n);
});

test('a new for await loop can follow one that was left', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  for (const first of [10, 20]) {
    for (let i = 0; i < 3; i += 1) agent.beat(0, first + i);
    const got = [];
    for await (const event of observer) {
      got.push(Number(event.payload));
      if (got.length === 3) break;
    }
    assert.deepEqual(got, [first, first + 1, first + 2]);
  }
});

test('a signal ends a loop with an AbortError', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  t.after(() => observer.close());
  const control = new AbortController();
  const waiting = (async () => {
    for await (const event of observer.events({ signal: control.signal })) assert.fail(event);
  })();
  await new Promise(setImmediate);
  control.abort('enough');
  await assert.rejects(waiting, { name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' });
  assert.throws(() => observer.events({ signal: control.signal }), { name: 'AbortError' });
  assert.equal(observer.closed, false);
});

test('closing ends the waiting loops', async (t) => {
  const observer = Observer.bind(socketPath(t));
  const ended = (async () => {
    for await (const event of observer) assert.fail(event);
    return 'ended';
  })();
  const closed = once(observer, 'close');
  await new Promise(setImmediate);
  observer.close();
  assert.equal(await ended, 'ended');
  await closed;
});

test('a signal given to bind closes the observer', async (t) => {
  const control = new AbortController();
  const observer = Observer.bind(socketPath(t), { signal: control.signal });
  const closed = once(observer, 'close');
  control.abort();
  await closed;
  assert.equal(observer.closed, true);
  assert.throws(() => Observer.bind(socketPath(t), { signal: control.signal }), { name: 'AbortError' });
});

test('Symbol.dispose and Symbol.asyncDispose close', async (t) => {
  const path = socketPath(t);
  const first = Observer.bind(path);
  first[Symbol.dispose]();
  const second = Observer.bind(path);
  await second[Symbol.asyncDispose]();
  assert.ok(first.closed && second.closed);
});

test('two iterators and a listener all receive every event', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const take = async (count) => {
    const got = [];
    for await (const event of observer) {
      got.push(Number(event.payload));
      if (got.length === count) return got;
    }
    return got;
  };
  const got = [];
  observer.on('beat', (event) => got.push(Number(event.payload)));
  const both = Promise.all([take(500), take(500)]);
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  for (let payload = 0; payload < 500; payload += 1) {
    await until('room', () => agent.beat(0, payload).isSent);
  }
  const expected = Array.from({ length: 500 }, (_, payload) => payload);
  const [one, other] = await both;
  // A dropped beat was sent again with the same payload.
  assert.deepEqual(one, expected);
  assert.deepEqual(other, expected);
  assert.deepEqual(got.slice(0, 500), expected);
});

test('a listener that throws does not stop later events', async (t) => {
  const path = socketPath(t);
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    const observer = Observer.bind(process.argv[1]);
    const agent = Varta.connectUds(process.argv[1]);
    process.on('uncaughtException', (error) => console.log('caught', error.message));
    observer.on('beat', ({ payload }) => {
      console.log('beat', payload);
      if (payload < 2n) throw new Error('of ' + payload);
      observer.close();
    });
    for (const payload of [0, 1, 2]) agent.beat(0, payload);
  `, { args: [path] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'beat 0n\ncaught of 0\nbeat 1n\ncaught of 1\nbeat 2n\n');
});

test('a listener of one kind that throws does not affect listeners of all kinds', async (t) => {
  const path = socketPath(t);
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    const observer = Observer.bind(process.argv[1]);
    process.on('uncaughtException', (error) => console.log('caught', error.message));
    observer.on('beat', () => { throw new Error('thrown'); });
    observer.on('event', ({ kind }) => { console.log(kind); observer.close(); });
    Varta.connectUds(process.argv[1]).beat();
  `, { args: [path] });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'beat\ncaught thrown\n');
});

test('an uncaught exception in a listener ends the process', async (t) => {
  const path = socketPath(t);
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    Observer.bind(process.argv[1]).on('beat', () => { throw new Error('thrown by a listener'); });
    Varta.connectUds(process.argv[1]).beat();
  `, { args: [path] });
  assert.equal((await program.exited()).code, 1);
  assert.match(program.err, /thrown by a listener/);
});

test('no beat is lost while the event loop is busy', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = script(t, `
    const { Varta } = require('varta');
    const agent = Varta.connectUds(process.argv[1]);
    let sent = 0;
    process.stdin.once('data', () => {
      const end = Date.now() + 1000;
      while (Date.now() < end || sent < 2000) sent += agent.beat(0, sent).isSent;
      console.log('sent', sent);
    });
    console.log('ready');
  `, { args: [path] });
  await agent.printed('ready');
  agent.child.stdin.write('go\n');
  // Block this loop until the agent has sent for a second.
  const end = Date.now() + 1500;
  while (Date.now() < end);
  await agent.printed('sent');
  const sent = Number(/sent (\d+)/.exec(agent.out)[1]);
  const payloads = [];
  observer.on('beat', (event) => payloads.push(Number(event.payload)));
  await until('all beats', () => payloads.length + observer.stats().skipped >= sent);
  const { skipped, kernelDrops, beats } = observer.stats();
  assert.deepEqual([beats, kernelDrops], [sent, 0]);
  assert.equal(payloads.length + skipped, sent);
  assert.deepEqual(payloads, payloads.map((_, index) => index));
  assert.ok(payloads.length >= Math.min(sent, 65_536), `${payloads.length} of ${sent} were emitted`);
});

test('a full backlog skips and counts beats but keeps verdicts', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { ...LONG, backlog: 256 });
  t.after(() => observer.close());
  const agent = script(t, `
    const { Varta } = require('varta');
    const agent = Varta.connectUds(process.argv[1]);
    for (let sent = 0; sent < 1000;) sent += agent.beat(0, sent).isSent;
  `, { args: [path] });
  await agent.exited();
  await until('the exit', () => observer.stats().exits === 1);
  const events = [];
  observer.on('event', ({ kind }) => events.push(kind));
  await until('the exit', () => events.includes('exit'));
  assert.equal(events.length, 257);
  assert.equal(observer.stats().skipped, 1000 - 256);
});

test('a backlog full of verdicts stops the thread only until there is room', async (t) => {
  const observer = Observer.bind([], { udp: '127.0.0.1:0', thresholdMs: 10, backlog: 256 });
  t.after(() => observer.close());
  const socket = dgram.createSocket('udp4');
  t.after(() => socket.close());
  const port = Number(observer.addresses[0].split(':')[1]);
  const beatAll = (nonce) => {
    for (let pid = 1000; pid < 1200; pid += 1) {
      socket.send(new Frame('ok', pid, 0, nonce, 0).encode(), port, '127.0.0.1');
    }
  };
  beatAll(1);
  await until('the stalls', () => observer.stats().stalls === 200);
  beatAll(2);
  await until('a full backlog', () => observer.stats().recoveries >= 40);
  let recovered = 0;
  observer.on('recovered', () => { recovered += 1; });
  await until('all recoveries', () => recovered === 200);
});

test('an iterator that is not read queues a bounded number of events', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const events = observer.events();
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  for (let sent = 0; sent < 2000; sent += 1) {
    await until('room', () => agent.beat(0, sent).isSent);
  }
  await until('all beats to be received', () => observer.stats().beats === 2000);
  for (let next = 0; next < 2000; next += 1) {
    assert.equal((await events.next()).value.payload, BigInt(next));
  }
  await events.return();
});

test('each agent may have its own threshold', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const beat = firstEvent(observer, 'beat');
  agent.beat();
  const number = (await beat).agent;
  assert.equal(observer.setThreshold(number + 1, 50), false);
  const stall = firstEvent(observer, 'stall');
  assert.equal(observer.setThreshold(number, 50), true);
  assert.equal((await stall).agent, number);
});

test('an observer keeps the process running unless unref is called', async (t) => {
  const code = `
    const { Observer } = require('varta');
    const observer = Observer.bind(process.argv[1]).unref();
    observer.on('beat', () => {});
    if (process.argv[2]) observer.ref();
    setTimeout(() => console.log('still here'), 300).unref();
  `;
  const free = script(t, code, { args: [socketPath(t)] });
  assert.deepEqual(await free.exited(), { code: 0, signal: null }, free.err);
  assert.equal(free.out, '');
  const held = script(t, code, { args: [socketPath(t), 'held'] });
  await held.printed('still here');
});

test('the socket has its configured mode and is bound only if it is free', (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path);
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  assert.throws(
    () => Observer.bind(path),
    { code: 'EADDRINUSE', errno: -98, syscall: 'bind', message: /already/ },
  );
  observer.close();
  assert.equal(fs.existsSync(path), false);
  const open = Observer.bind(path, { socketMode: 0o660 });
  assert.equal(fs.statSync(path).mode & 0o777, 0o660);
  open.close();
  fs.writeFileSync(path, 'something of value');
  assert.throws(() => Observer.bind(path), (error) => error.errno < 0);
  assert.throws(() => Observer.bind('/nonexistent/varta.sock'), { code: 'ENOENT' });
});

test('process.exit with an open observer removes the socket and keeps the exit code', async (t) => {
  const path = socketPath(t);
  const ending = script(t, `
    const { Observer } = require('varta');
    Observer.bind(process.argv[1]).on('beat', () => {});
    process.exit(5);
  `, { args: [path] });
  assert.deepEqual(await ending.exited(), { code: 5, signal: null }, ending.err);
  assert.equal(fs.existsSync(path), false);
});

test('an observer that cannot be closed at exit does not keep others open', async (t) => {
  const [path, other] = [socketPath(t), socketPath(t)];
  const ending = script(t, `
    const { Observer } = require('varta');
    const [first, second] = process.argv.slice(1).map((path) => Observer.bind(path));
    first.close = () => { throw new Error('not this one'); };
    process.exit(5);
  `, { args: [path, other] });
  assert.notEqual((await ending.exited()).code, 0);
  assert.match(ending.err, /not this one/);
  assert.equal(fs.existsSync(other), false);
});

test('a failed bind leaks no descriptor', async (t) => {
  const program = script(t, `
    const fs = require('node:fs');
    const { Observer } = require('varta');
    const open = () => fs.readdirSync('/proc/self/fd').length;
    const before = open();
    const events = [];
    // One more descriptor is available each time.
    for (let left = 0; events.at(-1) !== 'bound'; left += 1) {
      const taken = [];
      try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {}
      taken.splice(0, left).forEach((one) => fs.closeSync(one));
      try {
        Observer.bind(process.argv[1]).close();
        events.push('bound');
      } catch ({ message }) {
        events.push(/Too many open files/.test(message) ? 'too many' : message);
      }
      taken.forEach((one) => fs.closeSync(one));
    }
    console.log(events.length > 3, [...new Set(events)].join(), open() - before);
  `, { args: [socketPath(t)], few: true });
  assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'true too many,bound 0\n');
});

test('the counters add up', async (t) => {
  const observer = Observer.bind([], { udp: '127.0.0.1:0' });
  t.after(() => observer.close());
  const port = Number(observer.addresses[0].split(':')[1]);
  const socket = dgram.createSocket('udp4');
  t.after(() => socket.close());
  for (const bytes of ['', 'short', Buffer.alloc(32), Buffer.alloc(60)]) {
    socket.send(bytes, port, '127.0.0.1');
  }
  const stats = await until('all four', () => {
    const now = observer.stats();
    return now.received === 4 && now;
  });
  const settled = Object.entries(stats)
    .filter(([name]) => ![
      'received', 'kernelDrops', 'ioErrors', 'openAttempts', 'evictions', 'missed', 'notForward', 'stalls', 'recoveries',
      'exits', 'pauses', 'stallsDeaf', 'fullLooks', 'skipped',
    ].includes(name))
    .reduce((sum, [, count]) => sum + count, 0);
  assert.equal(settled, 4);
  assert.deepEqual([stats.probes, stats.wrongLength, stats.badMagic], [1, 2, 1]);
  assert.equal(stats.missed, 0n);
});

test('advice is given for a short queue', (t) => {
  const observer = Observer.bind(socketPath(t), { capacity: 1_000_000 });
  t.after(() => observer.close());
  assert.match(observer.advice, /max_dgram_qlen/);
  const network = Observer.bind([], { udp: '127.0.0.1:0' });
  t.after(() => network.close());
  assert.equal(network.advice, undefined);
});

test('an idle observer uses no processor time', async (t) => {
  const path = socketPath(t);
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    const observer = Observer.bind(process.argv[1], { thresholdMs: 600000 });
    Varta.connectUds(process.argv[1]).beat();
    observer.once('beat', () => setTimeout(() => {
      const before = process.resourceUsage();
      setTimeout(() => {
        const after = process.resourceUsage();
        console.log(after.voluntaryContextSwitches - before.voluntaryContextSwitches);
        observer.close();
      }, 3000);
    }, 500));
  `, { args: [path] });
  await program.exited();
  // One wake-up per second, and those of Node itself. A polling loop would have thousands.
  assert.ok(Number(program.out) < 300, `${program.out} context switches in three seconds`);
});
