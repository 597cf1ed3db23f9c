'use strict';
// The observer: what it says, and to whom.

const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const { once } = require('node:events');
const fs = require('node:fs');
const { test } = require('node:test');

const { Observer, ObserverEvent, Origin, Status, Varta } = require('varta');
const { heard, place, python, script, until } = require('./support');

const LONG = { thresholdMs: 600_000 };

/** Sends datagrams, as hex, each on a line of its standard input, over a Unix socket. */
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

test('stall, recovered, and the exit with its code', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, { thresholdMs: 300 });
  t.after(() => observer.close());
  const said = [];
  observer.on('event', (event) => said.push(event));
  const agent = script(t, AGENT, { args: [path] });
  await agent.said('ready');
  agent.child.stdin.write('5\n');
  await heard(observer, 'stall');
  agent.child.stdin.write('6\n');
  await heard(observer, 'recovered');
  const [info] = await until('it to be followed', () => observer.agents());
  assert.equal(info.pid, agent.pid);
  // Newer releases name their main thread.
  const comm = fs.readFileSync(`/proc/${agent.pid}/comm`, 'utf8').trim();
  assert.equal(info.name, comm);
  assert.equal(info.uid, process.getuid());
  assert.deepEqual([info.beats, info.missed, info.thresholdNs], [2, 0, 300_000_000n]);
  agent.child.stdin.write('exit\n');
  await heard(observer, 'exit');

  const kinds = said.map((event) => event.kind).filter((kind) => kind !== 'paused');
  assert.deepEqual(kinds.slice(0, 4), ['beat', 'stall', 'recovered', 'beat']);
  assert.equal(kinds.at(-1), 'exit');
  const [beat, stall] = ['beat', 'stall'].map((kind) => said.find((event) => event.kind === kind));
  assert.ok(beat instanceof ObserverEvent);
  assert.deepEqual(
    { ...beat, observerNs: 0n },
    {
      kind: 'beat', observerNs: 0n, agent: 1, pid: agent.pid, claimedPid: agent.pid,
      origin: Origin.KernelAttested, status: Status.Ok, payload: 5n, nonce: 1n, missed: 0n,
    },
  );
  assert.equal(stall.lastNonce, 1n);
  assert.equal(stall.lastNs, beat.observerNs);
  assert.ok(stall.observerNs - stall.lastNs >= 300_000_000n);
  const exit = said.at(-1);
  assert.deepEqual([exit.cause, exit.code, exit.lastStatus], ['code', 7, Status.Ok]);
  assert.match(String(exit), /agent 1 \(pid \d+\): exit, exit code 7, last status ok$/);
  const { beats, stalls, recoveries, exits } = observer.stats();
  assert.ok(beats === 2 && stalls >= 1 && recoveries >= 1 && exits === 1);
});

test('a process that is killed exits by its signal', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const exit = heard(observer, 'exit');
  const agent = script(t, AGENT, { args: [path] });
  await agent.said('ready');
  agent.child.stdin.write('1\n');
  await heard(observer, 'beat');
  agent.child.kill('SIGKILL');
  const { cause, signal, code } = await exit;
  assert.deepEqual([cause, signal, code], ['signal', 9, undefined]);
});

test('rubbish, and a frame in another\'s name', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path);
  t.after(() => observer.close());
  const decode = heard(observer, 'decode');
  const failure = heard(observer, 'auth-failure');
  const sender = python(t, SENDER, path);
  await sender.said('ready');
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

test('an observer that was stopped says so, and accuses nobody', async (t) => {
  const path = place(t);
  const watching = script(t, `
    const { Observer } = require('varta');
    const observer = Observer.bind(process.argv[1], { thresholdMs: 3000 });
    observer.on('event', (event) => console.log(event.kind, event.ns ?? ''));
    console.log('bound');
  `, { args: [path] });
  await watching.said('bound');
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const beating = setInterval(() => agent.beat(), 20);
  t.after(() => clearInterval(beating));
  await watching.said('beat');
  watching.child.kill('SIGSTOP');
  const stopped = Date.now();
  await until('more than the threshold to pass', () => Date.now() - stopped > 4500);
  watching.child.kill('SIGCONT');
  await watching.said('paused');
  const ns = /paused (\d+)/.exec(watching.out)[1];
  assert.ok(Number(ns) > 3e9, `paused for ${ns}`);
  assert.ok(!watching.out.includes('stall'), watching.out);
});

test('poll takes one event after the other, and waits for none', async (t) => {
  const path = place(t);
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

test('what comes before there is a listener is kept for it', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  agent.beat(0, 41);
  await until('it to be heard', () => observer.stats().beats === 1);
  await new Promise(setImmediate);
  const [event] = await once(observer, 'beat');
  assert.equal(event.payload, 41n);
});

test('for await, until the loop is left; then it begins anew', async (t) => {
  const path = place(t);
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

test('a signal ends a loop with an AbortError, in the middle of waiting too', async (t) => {
  const path = place(t);
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

test('closing ends the loops that wait', async (t) => {
  const observer = Observer.bind(place(t));
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
  const observer = Observer.bind(place(t), { signal: control.signal });
  const closed = once(observer, 'close');
  control.abort();
  await closed;
  assert.equal(observer.closed, true);
  assert.throws(() => Observer.bind(place(t), { signal: control.signal }), { name: 'AbortError' });
});

test('Symbol.dispose and Symbol.asyncDispose close', async (t) => {
  const path = place(t);
  const first = Observer.bind(path);
  first[Symbol.dispose]();
  const second = Observer.bind(path);
  await second[Symbol.asyncDispose]();
  assert.ok(first.closed && second.closed);
});

test('two iterators and a listener all hear everything', async (t) => {
  const path = place(t);
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
  // A beat that found a full queue was tried again with the same payload.
  assert.deepEqual(one, expected);
  assert.deepEqual(other, expected);
  assert.deepEqual(got.slice(0, 500), expected);
});

test('a listener that throws is an uncaught exception, and keeps nobody from the rest', async (t) => {
  const path = place(t);
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
  assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'beat 0n\ncaught of 0\nbeat 1n\ncaught of 1\nbeat 2n\n');
});

test('a listener of one kind that throws keeps nothing from those of all kinds', async (t) => {
  const path = place(t);
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    const observer = Observer.bind(process.argv[1]);
    process.on('uncaughtException', (error) => console.log('caught', error.message));
    observer.on('beat', () => { throw new Error('thrown'); });
    observer.on('event', ({ kind }) => { console.log(kind); observer.close(); });
    Varta.connectUds(process.argv[1]).beat();
  `, { args: [path] });
  assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'beat\ncaught thrown\n');
});

test('without a handler, what a listener throws ends the process', async (t) => {
  const path = place(t);
  const program = script(t, `
    const { Observer, Varta } = require('varta');
    Observer.bind(process.argv[1]).on('beat', () => { throw new Error('thrown by a listener'); });
    Varta.connectUds(process.argv[1]).beat();
  `, { args: [path] });
  assert.equal((await program.ended()).code, 1);
  assert.match(program.err, /thrown by a listener/);
});

test('while the main loop is busy nothing is lost', async (t) => {
  const path = place(t);
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
  await agent.said('ready');
  agent.child.stdin.write('go\n');
  // Nothing else happens in this loop until it has sent for a second.
  const end = Date.now() + 1500;
  while (Date.now() < end);
  await agent.said('sent');
  const sent = Number(/sent (\d+)/.exec(agent.out)[1]);
  const payloads = [];
  observer.on('beat', (event) => payloads.push(Number(event.payload)));
  await until('all beats', () => payloads.length + observer.stats().skipped >= sent);
  const { skipped, kernelDrops, beats } = observer.stats();
  assert.deepEqual([beats, kernelDrops], [sent, 0]);
  assert.equal(payloads.length + skipped, sent);
  assert.deepEqual(payloads, payloads.map((_, index) => index));
  assert.ok(payloads.length >= Math.min(sent, 65_536), `${payloads.length} of ${sent} were told`);
});

test('a full backlog skips beats, counts them, and keeps verdicts', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, { ...LONG, backlog: 256 });
  t.after(() => observer.close());
  const agent = script(t, `
    const { Varta } = require('varta');
    const agent = Varta.connectUds(process.argv[1]);
    for (let sent = 0; sent < 1000;) sent += agent.beat(0, sent).isSent;
  `, { args: [path] });
  await agent.ended();
  await until('it to be gone', () => observer.stats().exits === 1);
  const said = [];
  observer.on('event', ({ kind }) => said.push(kind));
  await until('the exit', () => said.includes('exit'));
  assert.equal(said.length, 257);
  assert.equal(observer.stats().skipped, 1000 - 256);
});

test('an iterator that nobody reads holds no more than it should', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const events = observer.events();
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  for (let sent = 0; sent < 2000; sent += 1) {
    await until('room', () => agent.beat(0, sent).isSent);
  }
  await until('all to be heard', () => observer.stats().beats === 2000);
  for (let next = 0; next < 2000; next += 1) {
    assert.equal((await events.next()).value.payload, BigInt(next));
  }
  await events.return();
});

test('each agent may have a threshold of its own', async (t) => {
  const path = place(t);
  const observer = Observer.bind(path, LONG);
  t.after(() => observer.close());
  const agent = Varta.connectUds(path);
  t.after(() => agent.close());
  const beat = heard(observer, 'beat');
  agent.beat();
  const number = (await beat).agent;
  assert.equal(observer.setThreshold(number + 1, 50), false);
  const stall = heard(observer, 'stall');
  assert.equal(observer.setThreshold(number, 50), true);
  assert.equal((await stall).agent, number);
});

test('a script that only holds an unref\'d observer ends by itself; a ref\'d one does not', async (t) => {
  const code = `
    const { Observer } = require('varta');
    const observer = Observer.bind(process.argv[1]).unref();
    observer.on('beat', () => {});
    if (process.argv[2]) observer.ref();
    setTimeout(() => console.log('still here'), 300).unref();
  `;
  const free = script(t, code, { args: [place(t)] });
  assert.deepEqual(await free.ended(), { code: 0, signal: null }, free.err);
  assert.equal(free.out, '');
  const held = script(t, code, { args: [place(t), 'held'] });
  await held.said('still here');
});

test('the socket is its owner\'s alone, or as told, and taken only when free', (t) => {
  const path = place(t);
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

test('a process that ends with an observer open leaves no socket, and its own exit code', async (t) => {
  const path = place(t);
  const ending = script(t, `
    const { Observer } = require('varta');
    Observer.bind(process.argv[1]).on('beat', () => {});
    process.exit(5);
  `, { args: [path] });
  assert.deepEqual(await ending.ended(), { code: 5, signal: null }, ending.err);
  assert.equal(fs.existsSync(path), false);
});

test('an observer that cannot be closed at the end keeps no other open', async (t) => {
  const [path, other] = [place(t), place(t)];
  const ending = script(t, `
    const { Observer } = require('varta');
    const [first, second] = process.argv.slice(1).map((path) => Observer.bind(path));
    first.close = () => { throw new Error('not this one'); };
    process.exit(5);
  `, { args: [path, other] });
  assert.notEqual((await ending.ended()).code, 0);
  assert.match(ending.err, /not this one/);
  assert.equal(fs.existsSync(other), false);
});

test('whatever descriptor is wanting, an observer that is not bound holds nothing', async (t) => {
  const program = script(t, `
    const fs = require('node:fs');
    const { Observer } = require('varta');
    const open = () => fs.readdirSync('/proc/self/fd').length;
    const before = open();
    const said = [];
    // One more is left each time.
    for (let left = 0; said.at(-1) !== 'bound'; left += 1) {
      const taken = [];
      try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {}
      taken.splice(0, left).forEach((one) => fs.closeSync(one));
      try {
        Observer.bind(process.argv[1]).close();
        said.push('bound');
      } catch ({ message }) {
        said.push(/Too many open files/.test(message) ? 'too many' : message);
      }
      taken.forEach((one) => fs.closeSync(one));
    }
    console.log(said.length > 3, [...new Set(said)].join(), open() - before);
  `, { args: [place(t)], few: true });
  assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.err);
  assert.equal(program.out, 'true too many,bound 0\n');
});

test('what is counted adds up', async (t) => {
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

test('it advises of a short queue', (t) => {
  const observer = Observer.bind(place(t), { capacity: 1_000_000 });
  t.after(() => observer.close());
  assert.match(observer.advice, /max_dgram_qlen/);
  const network = Observer.bind([], { udp: '127.0.0.1:0' });
  t.after(() => network.close());
  assert.equal(network.advice, undefined);
});

test('quiet, it costs no processor time', async (t) => {
  const path = place(t);
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
  await program.ended();
  // One look a second, and what Node itself does; a polling loop would have thousands.
  assert.ok(Number(program.out) < 300, `${program.out} context switches in three seconds`);
});
