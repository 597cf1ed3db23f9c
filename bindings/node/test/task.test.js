'use strict';
// Tasks of this process and of others, as an observer reports them.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');

const { NEVER, Observer, Span, Task, Varta, beatForever } = require('varta');
const { firstEvent, socketPath, script, until } = require('./support');

const HOUR = 3_600_000;

/** In another program, an agent that has its page. */
const CONNECT = `
  const { Varta } = require('varta');
  let agent;
  do agent = Varta.connect(process.argv[1]); while (agent.watched === undefined);
`;

/**
 * An observer of tasks, an agent of this process, and the events so far. The threshold is how often
 * the observer looks: twice in that time. A process is judged by it only after its first beat.
 */
async function lane(t, options = {}) {
  const path = socketPath(t);
  const observer = Observer.bind(path, { lane: true, tasks: true, thresholdMs: 100, ...options });
  t.after(() => observer.close());
  // It waits at most 20 ms for its page, and a task that makes no further call does not get one.
  const agent = await until('a page', () => {
    const attempt = Varta.connect(path);
    return attempt.watched !== undefined && attempt;
  });
  t.after(() => agent.close());
  const events = [];
  observer.on('event', (event) => events.push(event));
  const seen = (what, fits) => until(what, () => events.find(fits));
  return { agent, observer, events, path, seen };
}

test('beats go through shared memory, and one event reports several', async (t) => {
  const { agent, observer, path, events } = await lane(t);
  for (let payload = 1; payload <= 100; payload += 1) assert.ok(agent.beat(0, payload).isSent);
  assert.ok(agent.watched >= 0);
  const beats = await until('100 beats', () => {
    const some = events.filter(({ kind }) => kind === 'beat');
    return some.reduce((sum, { count }) => sum + count, 0) === 100 && some;
  });
  assert.equal(beats.at(-1).payload, 100n);
  assert.equal(beats.at(-1).nonce, 100n);
  assert.equal(beats.at(-1).task, undefined);
  const [{ lane: shared, tasks, tasksLate }] = observer.agents();
  assert.deepEqual([shared, tasks, tasksLate], [true, 0, 0]);
  const { beats: datagrams, laneBeats } = observer.stats();
  assert.deepEqual([datagrams, laneBeats], [0, 100]);

  for (const without of [Varta.connect(path, { lane: false }), Varta.connect(`${path}?lane=off`)]) {
    t.after(() => without.close());
    assert.equal(without.watched, undefined);
    assert.ok(without.beat().isSent);
  }
  await until('two datagrams', () => observer.stats().beats === 2);
});

test('an observer reports what a task does', async (t) => {
  const { agent, observer, events, seen } = await lane(t);
  const task = agent.task('größe', {
    thresholdMs: HOUR, progressMs: HOUR, startupMs: HOUR, finestMs: HOUR, vital: true, spans: 2,
    edges: [{ from: 0, to: 1 }, { from: 1, to: 0, minMs: 1000, maxMs: HOUR }],
    cycle: { lengthMs: HOUR, least: 1, most: 2 },
  });
  const { agent: number, pid, thresholdNs, ...declared } =
    await seen('its declaration', ({ kind }) => kind === 'task');
  assert.deepEqual([pid, thresholdNs], [process.pid, BigInt(HOUR) * 1_000_000n]);
  assert.deepEqual([declared.task, declared.taskName], [1, 'größe']);

  assert.equal(task.beat('degraded', 7), agent.beat());
  task.reach(1);
  task.reach(0); // too early
  task.reach(5); // there is no such step
  task.progress(3, 4);
  assert.equal(task.watch(HOUR, () => 'result'), 'result');
  assert.throws(() => task.watch(HOUR, () => { throw new Error('thrown'); }), { message: 'thrown' });
  task.watch({ minMs: HOUR, maxMs: 2 * HOUR, label: 9 }, () => {}); // too early
  const slow = task.watch({ maxMs: 1e-6 }); // less than any call takes
  assert.equal(slow.close(), true);
  assert.equal(slow.close(), false);
  task.beat('degraded', 8);
  task.beat('degraded', 9); // one too many, when the cycle ends
  const open = [task.watch(Infinity), task.watch(HOUR), task.watch(HOUR)];
  assert.deepEqual(task.counts(), {
    tooEarly: 2, tooLate: 1, wrongOrder: 1, tooFew: 0, tooMany: 0, unwatched: 1, undeclared: 0,
  });
  // In any order. There was no room for the third.
  assert.deepEqual(open.reverse().map((span) => span.close()), [false, true, true]);
  task.idle(HOUR);
  const [report] = agent.tasks();
  assert.ok(report.ageNs >= 0n && report.number === task.number);
  assert.deepEqual({ ...report, ageNs: 0n }, {
    number: task.number, name: task.name, thresholdNs, ageNs: 0n, status: 1, payload: 9, idle: true,
    vital: true, done: 3, left: 4, violations: 4, broken: [],
  });
  await until('all calls', () => observer.tasks(number)[0]?.violations === 4
    && observer.tasks(number)[0].idle);
  const [{ lastNs, ageNs, due, beats, ...info }] = observer.tasks(number);
  assert.ok(lastNs + ageNs > 0n && beats >= 4 && due.promise === 'beat' && due.dueNs > lastNs);
  assert.deepEqual(info, {
    number: 1, name: 'größe', thresholdNs, status: 1, payload: 9, idle: true, checkpoint: 5, done: 3,
    left: 4, violations: 4, broken: [],
  });
  assert.deepEqual(observer.tasks(2n ** 60n), []);
  const violations = await until('the violations', () => {
    const some = events.filter(({ kind }) => kind === 'violation');
    return some.reduce((sum, { count }) => sum + count, 0) === 4 && some;
  });
  const { rule, from, to, by } = violations.at(-1);
  assert.deepEqual([rule, from, to], ['too-late', 0, 0]);
  assert.ok(by > 0n);
  task.close();
  const { how, taskName } = await seen('its end', ({ kind }) => kind === 'ended');
  assert.deepEqual([how, taskName], ['closed', 'größe']);
  assert.deepEqual(observer.tasks(number), []);
  // Each is about the task, and its text names it.
  for (const event of events.filter((one) => one.task !== undefined)) {
    assert.match(String(event), /: task 1 \(größe\): /);
  }
});

test('a late task stalls and recovers, while its process beats', async (t) => {
  const { agent, events, seen } = await lane(t);
  const task = agent.task('worker', { thresholdMs: 50, startupMs: HOUR });
  task.beat();
  const { promise, dueNs, lastNs, checkpoint } = await seen('a stall', ({ kind }) => kind === 'stall');
  assert.deepEqual([promise, checkpoint], ['beat', 0]);
  // Their times are converted from another clock.
  assert.ok(dueNs - lastNs > 49_000_000n && dueNs - lastNs < 51_000_000n, `${dueNs - lastNs}`);
  assert.deepEqual(agent.tasks()[0].broken, ['beat']);
  task.idle();
  const recovered = await seen('a recovery', ({ kind }) => kind === 'recovered');
  assert.deepEqual([recovered.promise, recovered.taskName], ['beat', 'worker']);
  // The end of a block that hangs is due, whatever else the task does.
  const span = task.watch({ maxMs: 1, label: 40 });
  const late = await seen('the block', ({ kind, promise: broken }) => kind === 'stall' && broken === 'span');
  assert.equal(late.checkpoint, 40);
  assert.ok(span.close());
  assert.equal(task.counts().tooLate, 1);
  task.fail();
  await seen('its failure', ({ kind, how }) => kind === 'ended' && how === 'failed');
  assert.ok(events.every(({ kind, task: number }) => kind !== 'stall' || number === 1));
});

test('slack delays what is reported of a task', async (t) => {
  const { agent, observer, events } = await lane(t, { slack: { tasks: { patient: HOUR } } });
  const tasks = ['patient', 'strict'].map((name) => agent.task(name, { thresholdMs: 50 }));
  const late = () => events.filter(({ kind }) => kind === 'stall').map(({ taskName }) => taskName);
  await until('a stall', () => late().length > 0);
  assert.deepEqual(late(), ['strict']);
  observer.setSlack({ programs: { absent: 5 }, tasks: { patient: 0 } });
  await until('the other stall', () => late().includes('patient'));
  tasks.forEach((task) => task.close());
});

/** The thread of a task in the page that this process shares with its observer. */
function threadOf(name) {
  const memory = fs.openSync('/proc/self/mem');
  try {
    const maps = fs.readFileSync('/proc/self/maps', 'utf8');
    const starts = [...maps.matchAll(/^(\w+)-.*\/memfd:varta /gm)].map(([, start]) => parseInt(start, 16));
    const page = Buffer.alloc(4096);
    for (const start of starts) {
      fs.readSync(memory, page, 0, page.length, start);
      const line = page.indexOf(`${name}\0`) - 40; // layout.rs has the places of the fields
      if (line >= 0) return page.readUInt32LE(line + 24);
    }
    return undefined;
  } finally {
    fs.closeSync(memory);
  }
}

test('the thread of a task is recorded unless the task roams', async (t) => {
  const { agent, events } = await lane(t);
  const tasks = [
    agent.task('stays', { thresholdMs: HOUR, roams: false }),
    agent.task('moves', { thresholdMs: HOUR, roams: true }),
  ];
  await until('both', () => events.filter(({ kind }) => kind === 'task').length === 2);
  assert.deepEqual([threadOf('stays'), threadOf('moves')], [process.pid, 0]);
  tasks.forEach((task) => task.close());
});

test('a watched function may return a promise, and watched functions may overlap', async (t) => {
  const { agent } = await lane(t);
  const task = agent.task('requests', { thresholdMs: Infinity, spans: 3 });
  const open = () => {
    // As many as there is room for.
    const more = [];
    const before = task.counts().unwatched;
    while (task.counts().unwatched === before) more.push(task.watch(HOUR));
    more.forEach((span) => span.close());
    return 3 - (more.length - 1);
  };
  assert.equal(open(), 0);
  const ends = [];
  const waits = [0, 1, 2].map((number) => task.watch(HOUR, async () => {
    await new Promise((resolve, reject) => { ends[number] = { resolve, reject }; });
    return number;
  }));
  assert.equal(open(), 3);
  ends[1].resolve();
  assert.equal(await waits[1], 1);
  assert.equal(open(), 2);
  ends[0].reject(new Error('rejected'));
  await assert.rejects(waits[0], { message: 'rejected' });
  assert.equal(open(), 1);
  // A task that ends while a function runs does not change the result.
  task.close();
  ends[2].resolve();
  assert.equal(await waits[2], 2);

  const other = agent.task('others', { thresholdMs: Infinity });
  assert.equal(await other.watch(5, () => ({ then: (resolve) => resolve('thenable') })), 'thenable');
  const nested = other.watch(HOUR, () => other.watch(HOUR, () => other.beat()));
  assert.ok(nested.isSent);
  other[Symbol.dispose]();
});

test('run closes the task, or lets it fail', async (t) => {
  const { agent, events } = await lane(t);
  const of = (kind) => events.filter((event) => event.kind === kind);
  const ended = [];
  for (const [fn, how, result] of [
    [(job) => job.name, 'closed', 'job'],
    [() => { throw new Error('thrown'); }, 'failed', 'thrown'],
    [async () => 'later', 'closed', 'later'],
    [() => Promise.reject(new Error('rejected')), 'failed', 'rejected'],
    // What it did itself counts.
    [(job) => job.fail(), 'failed', undefined],
  ]) {
    const task = agent.task('job', { thresholdMs: HOUR });
    ended.push(how);
    // One that begins and ends between two looks is not reported.
    await until('a task', () => of('task').length === ended.length);
    const found = await (async () => task.run(fn))().catch(({ message }) => message);
    assert.equal(found, result);
    await until(how, () => of('ended').length === ended.length);
    assert.deepEqual(of('ended').map((event) => event.how), ended);
  }
});

test('a task that has ended throws, but may be ended again', (t) => {
  const agent = Varta.connect('/nonexistent/varta.sock');
  t.after(() => agent.close());
  const task = agent.task('task', { thresholdMs: HOUR });
  const span = task.watch(HOUR);
  task.close();
  task.close();
  task.fail();
  assert.equal(span.close(), false);
  const closed = { code: 'ERR_VARTA_CLOSED' };
  for (const call of [
    () => task.beat(), () => task.idle(), () => task.watch(1), () => task.watch(1, assert.fail),
    () => task.reach(1), () => task.progress(0, 0), () => task.counts(), () => task.number,
  ]) {
    assert.throws(call, closed, String(call));
  }
  assert.equal(task.name, 'task');
  assert.deepEqual(agent.tasks(), []);
  // The tasks of a process are those of all its agents, and outlive the one that declared them.
  const other = Varta.connect('/nonexistent/varta.sock');
  const lasting = other.task('lasting', { thresholdMs: Infinity });
  other.close();
  assert.throws(() => other.task('more', { thresholdMs: 1 }), closed);
  assert.throws(() => other.tasks(), closed);
  assert.throws(() => other.watched, closed);
  assert.deepEqual(agent.tasks().map(({ name, thresholdNs }) => [name, thresholdNs]), [['lasting', NEVER]]);
  lasting.beat();
  lasting.close();
  assert.throws(() => new Task(), TypeError);
  assert.throws(() => new Span(), TypeError);
  assert.throws(() => Task.prototype.beat.call({}), TypeError);
});

test('without a lane a vital task that is late withholds the beats of its process', async (t) => {
  const path = socketPath(t);
  const observer = Observer.bind(path, { thresholdMs: HOUR });
  t.after(() => observer.close());
  const agent = Varta.connect(path);
  t.after(() => agent.close());
  const task = agent.task('control', { thresholdMs: 1, startupMs: HOUR, vital: true });
  const beat = firstEvent(observer, ({ status }) => status === 0);
  assert.ok(agent.beat().isSent);
  await beat;
  task.beat();
  await until('the task is late', () => agent.tasks()[0].broken.includes('beat'));
  assert.equal(String(agent.beat()), 'dropped: withheld');
  task.close();
  assert.ok(agent.beat().isSent);
});

test('beatForever keeps a task of the event loop', async (t) => {
  const { agent, observer, seen } = await lane(t);
  const task = agent.task('loop', { thresholdMs: 20_000 });
  const beats = beatForever(task, { everyMs: 5 });
  t.after(() => beats.stop());
  const { agent: number } = await seen('a beat', ({ kind, task: about }) => kind === 'beat' && about === 1);
  await until('more beats', () => observer.tasks(number)[0].beats > 5);
  beats.stop();
  task.close();
});

/** The tasks that have ended according to an observer, and how. */
const endings = (events) => events.filter(({ kind }) => kind === 'ended')
  .map(({ taskName, how }) => `${taskName} ${how}`);

test('the tasks of a worker end with it', async (t) => {
  const { events, path, seen } = await lane(t);
  const program = script(t, `
    const readline = require('node:readline');
    const { once } = require('node:events');
    const { Worker } = require('node:worker_threads');
    ${CONNECT}
    const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const body = \`
      const { parentPort, workerData: [path, how] } = require('node:worker_threads');
      const { Varta } = require('varta');
      const agent = Varta.connect(path);
      agent.beat();
      const task = agent.task(how, { thresholdMs: Infinity });
      task.idle();
      globalThis.span = task.watch(60000);
      if (how === 'exits') process.exit(0);
      if (how === 'throws') throw new Error('on purpose');
      if (how === 'hangs') { parentPort.postMessage('up'); for (;;); }
      if (how === 'waits') { parentPort.postMessage('up'); setInterval(() => task.beat(), 1); }
    \`;
    (async () => {
      agent.beat();
      for (const how of ['returns', 'exits', 'throws', 'hangs', 'waits']) {
        const worker = new Worker(body, { eval: true, workerData: [process.argv[1], how] });
        worker.on('error', ({ message }) => console.log(message));
        const exit = new Promise((resolve) => worker.on('exit', resolve));
        if (how === 'hangs' || how === 'waits') {
          await once(worker, 'message');
          // The process sees the tasks of all its threads.
          console.log(agent.tasks().map(({ name }) => name).join());
          await lines.next();
          await worker.terminate();
          await lines.next();
        }
        await exit;
        console.log(agent.tasks().length);
      }
      process.stdin.destroy();
    })();
  `, { args: [path] });
  for (const how of ['hangs', 'waits']) {
    // One that begins and ends between two looks is not reported.
    await seen(how, ({ kind, taskName }) => kind === 'task' && taskName === how);
    program.child.stdin.write('terminate it\n');
    await seen(how, ({ kind, taskName }) => kind === 'ended' && taskName === how);
    program.child.stdin.write('go on\n');
  }
  assert.equal((await program.exited()).code, 0, program.err);
  assert.equal(program.out, '0\n0\non purpose\n0\nhangs\n0\nwaits\n0\n');
  for (const end of endings(events)) {
    assert.match(end, /^(?:(?:returns|exits) closed|(?:throws|hangs|waits) failed)$/);
  }
});

test('a task that is garbage-collected has failed, because nothing can call it', async (t) => {
  const { events, path } = await lane(t);
  const program = script(t, `
    ${CONNECT}
    agent.beat();
    const kept = agent.task('kept', { thresholdMs: 60000 });
    let lost = agent.task('lost', { thresholdMs: 60000 });
    // Nothing will ever continue this, which is how asynchronous code hangs.
    (async (task) => { await new Promise(() => {}); task.close(); })(agent.task('hangs', { thresholdMs: 60000 }));
    process.stdin.on('data', async () => {
      lost = null;
      while (agent.tasks().length > 1) {
        await new Promise(setImmediate);
        gc();
      }
      console.log(agent.tasks()[0].name, kept.beat().isSent);
    });
  `, { args: [path], flags: ['--expose-gc'] });
  await until('three tasks', () => events.filter(({ kind }) => kind === 'task').length === 3);
  program.child.stdin.write('collect them\n');
  await until('two ends', () => endings(events).length === 2);
  await program.printed('kept true');
  assert.deepEqual(endings(events).sort(), ['hangs failed', 'lost failed']);
});

test('a process that ends with an error has not finished its tasks', async (t) => {
  for (const [how, expected] of [['', 'closed'], ['throw new Error("x")', 'failed'], ['process.exit(3)', 'failed']]) {
    const { events, path, seen } = await lane(t);
    const program = script(t, `
      ${CONNECT}
      agent.beat();
      globalThis.task = agent.task('job', { thresholdMs: Infinity });
      process.stdin.once('data', () => { process.stdin.destroy(); ${how} });
    `, { args: [path] });
    await seen('the task', ({ kind }) => kind === 'task');
    program.child.stdin.write('end\n');
    await seen('its exit', ({ kind }) => kind === 'exit');
    assert.deepEqual(endings(events), [`job ${expected}`]);
  }
});
