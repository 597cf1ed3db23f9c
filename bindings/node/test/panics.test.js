'use strict';
// A panic in any exported function becomes a JavaScript error. These tests check the sources, and
// provoke a panic in each function.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const native = path.join(process.env.VARTA_ROOT, 'bindings/node/src');

function sources(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const at = path.join(folder, entry.name);
    return entry.isDirectory() ? sources(at) : [[at, fs.readFileSync(at, 'utf8')]];
  });
}

/** Exports the functions that are called often, with a guard of its own. */
const byHand = path.join(native, 'sys/call.rs');

const implementations = sources(native).flatMap(([, text]) =>
  [...text.matchAll(/^impl Call for \w+ \{\n {4}const NAME: &'static str = "(\w+)";/gm)]
    .map(([, name]) => name));

const exported = sources(native).flatMap(([, text]) =>
  [...text.matchAll(/^exported! \{\n(?: {4}(?:\/\/\/|#\[allow).*\n)* {4}fn (\w+)/gm)].map(([, name]) => name))
  .concat(implementations);

/** Runs code with the native half that panics in the functions that VARTA_PROVOKE names. */
function provoked(name, code) {
  return spawnSync(process.execPath, ['-e', code], {
    cwd: process.env.VARTA_PROVOKED,
    encoding: 'utf8',
    env: { ...process.env, VARTA_PROVOKE: name, NODE_OPTIONS: '' },
    timeout: 60_000,
  });
}

test('all functions are exported with a guard', () => {
  assert.ok(implementations.length > 5);
  assert.ok(exported.length > 30);
  for (const [file, text] of sources(native)) {
    const attributes = [...text.matchAll(/#\[(?:napi_derive::)?napi\b[^\]]*\]/g)].map(([all]) => all);
    const allowed = {
      'exported.rs': ['#[napi_derive::napi(catch_unwind)]'],
      'lib.rs': ['#[napi_derive::napi(module_exports)]'],
    }[path.basename(file)] ?? ['#[napi(object)]'];
    for (const attribute of attributes) assert.ok(allowed.includes(attribute), `${file}: ${attribute}`);
    const functions = text.match(/napi_create_function|extern "C" fn/g) ?? [];
    if (file === byHand) {
      assert.deepEqual(functions, ['napi_create_function', 'extern "C" fn']);
      assert.match(text, /extern "C" fn enter<C: Call>\([^)]*\)[^{]*\{\s*let failure = match catch_unwind\(/);
    } else {
      assert.ok(!functions.includes('napi_create_function'), file);
    }
  }
});

test('the binary exports the functions of the sources', () => {
  const found = provoked('', `
    const native = require(require.resolve('varta').replace('index.js', 'native.js'));
    console.log(Object.keys(native).join());
  `);
  assert.equal(found.status, 0, found.stderr);
  const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
  assert.deepEqual(found.stdout.trim().split(',').sort(), exported.map(camel).sort());
});

// A call of the public API for each export.
const calls = {
  agent_open: "Varta.connect('/x')",
  agent_connect_uds: "Varta.connectUds('/x')",
  agent_connect_udp: "Varta.connectUdp('127.0.0.1', 9)",
  agent_connect_secure_udp: "Varta.connectSecureUdp('127.0.0.1', 9, key)",
  agent_beat: 'agent.beat()',
  agent_beat_v1: 'old.beat()',
  agent_ready: 'agent.ready()',
  agent_stopping: 'agent.stopping()',
  agent_status: "agent.status('x')",
  agent_reconnect: 'agent.reconnect()',
  agent_set_reconnect_after: 'agent.setReconnectAfter(1)',
  agent_counts: 'agent.clockRegressions()',
  agent_watched: 'agent.watched',
  agent_tasks: 'agent.tasks()',
  agent_close: 'agent.close()',
  task_declare: "agent.task('another', { thresholdMs: 1000 })",
  task_beat: 'task.beat()',
  task_idle: 'task.idle()',
  task_watch: 'task.watch(1)',
  task_unwatch: 'span.close()',
  task_reach: 'task.reach(1)',
  task_progress: 'task.progress(1, 1)',
  task_counts: 'task.counts()',
  task_number: 'task.number',
  task_end: 'task.close()',
  event_text: '(simulated.late(5n ** 15n, 0n), String(simulated.poll()))',
  classify_errno: 'classifySendError(new Error())',
  checksum: 'crc32c(key)',
  frame_encode: 'new Frame(0, 2, 0, 1, 0).encode()',
  frame_decode: 'Frame.decode(key)',
  secure_seal: 'secure.seal(key, Buffer.alloc(8), 1, key)',
  secure_open: 'secure.open(key, key)',
  secure_agent_key: 'secure.deriveAgentKey(key, 1)',
  secure_iv_prefix: 'secure.deriveIvPrefix(Buffer.alloc(16), 1)',
  secure_key_file: "secure.readKeyFile('/x')",
  words_open: "panic.installSignalHandlerUdp('127.0.0.1', 9)",
  words_open_secure_udp: "panic.installSignalHandlerSecureUdp('127.0.0.1', 9, key)",
  words_at_signals: "panic.installSignalHandlerUdp('127.0.0.1', 9)",
  words_say: `(panic.installSignalHandlerUdp('127.0.0.1', 9, { signals: [] }),
    panic.run(() => { throw new Error('not this one'); }))`,
  observer_bind: "Observer.bind([], { udp: '127.0.0.1:0' })",
  observer_take: 'observer.poll()',
  observer_agents: 'observer.agents()',
  observer_tasks: 'observer.tasks(1)',
  observer_cause: 'observer.cause(1)',
  observer_set_slack: 'observer.setSlack({})',
  observer_stats: 'observer.stats()',
  observer_skipped: 'observer.stats()',
  observer_set_threshold: 'observer.setThreshold(1, 1)',
  observer_addresses: 'observer.addresses',
  observer_advice: 'observer.advice',
  observer_hold: 'observer.ref()',
  observer_close: 'observer.close()',
  simulated_new: 'Observer.simulated()',
  simulated_feed: 'simulated.feed(1, { sender: { pid: 2, uid: 0 }, bytes: key })',
  simulated_set_namespace: "simulated.setNamespace(2, 'other')",
  simulated_advance: 'simulated.advance(1)',
  simulated_exit: 'simulated.exit(1, 2)',
  simulated_late: 'simulated.late(1, 1)',
  simulated_suspended: 'simulated.suspended(1, 1)',
  simulated_set_threshold: 'simulated.setThreshold(1, 1)',
  simulated_set_slack: 'simulated.setSlack({})',
  simulated_attach: 'simulated.attach(1, { pid: 2, uid: 0 })',
  simulated_mapped: 'simulated.mapped(1, 1)',
  simulated_bell: 'simulated.bell(1, 1)',
  simulated_detach: 'simulated.detach(1, 1)',
  simulated_write_line: "simulated.writeLine(1, 0, 'hot', new BigUint64Array(8))",
  simulated_thread_gone: 'simulated.threadGone(2, 3)',
  simulated_set_program: "simulated.setProgram(2, 'x')",
  simulated_set_name: "simulated.setName(2, 'x')",
  simulated_set_reading: 'simulated.setReading(2)',
  simulated_add_thread_reading: 'simulated.addThreadReading(2, 2)',
  simulated_tasks: 'simulated.tasks(1)',
  simulated_cause: 'simulated.cause(1)',
  simulated_take: 'simulated.poll()',
  simulated_agents: 'simulated.agents()',
  simulated_stats: 'simulated.stats()',
};

test('a panic in each export throws an Error and the process continues', () => {
  assert.deepEqual(Object.keys(calls).sort(), [...exported].sort());
  const { status, signal, stdout, stderr } = provoked('', `
    const { Frame, Observer, Varta, classifySendError, crc32c, panic, secure, v1 } =
      require('varta');
    const key = Buffer.alloc(32);
    const outcomes = {};
    function panicked(name, call) {
      const agent = Varta.connect('/nonexistent/varta.sock');
      const task = agent.task('task', { thresholdMs: 1000 });
      const span = task.watch(1000);
      const old = v1.Varta.connect('/nonexistent/varta.sock');
      const observer = Observer.bind([], { udp: '127.0.0.1:0' });
      const simulated = Observer.simulated();
      let outcome = '';
      observer.on('error', ({ code }) => { outcome += 'as an event ' + code + ', '; });
      // The name is set late, so that the calls before this one succeed.
      process.env.VARTA_PROVOKE = name;
      try {
        call({ agent, task, span, old, observer, simulated });
        outcome += 'nothing was thrown';
      } catch (error) {
        outcome += [error instanceof Error, error.code, error.message].join(' ');
      }
      delete process.env.VARTA_PROVOKE;
      outcomes[name] = outcome;
      task.close();
      observer.close();
    }
    ${Object.entries(calls).map(([name, call]) =>
    `panicked('${name}', ({ agent, task, span, old, observer, simulated }) => ${call});`).join('\n')}
    console.log(JSON.stringify(outcomes));
  `);
  assert.deepEqual([status, signal], [0, null], stderr);
  const expected = {
    // A failed observer reports that as an event.
    observer_take: /^as an event ERR_VARTA_PANIC, nothing was thrown$/,
    // A failure of last words does not hide the error.
    words_say: /^true {2}not this one$/,
  };
  const outcomes = JSON.parse(stdout);
  for (const name of Object.keys(calls)) {
    const wanted = expected[name] ?? new RegExp(`^true ERR_VARTA_PANIC .*provoked in ${name}`);
    assert.match(outcomes[name], wanted);
    assert.match(stderr, new RegExp(`provoked in ${name}\n`));
  }
});

test('a task has failed after a panic', () => {
  const { stdout, stderr } = provoked('', `
    const { Varta } = require('varta');
    const agent = Varta.connect('/nonexistent/varta.sock');
    const task = agent.task('task', { thresholdMs: 1000 });
    process.env.VARTA_PROVOKE = 'task';
    try { task.beat(); } catch (error) { console.log(error.code); }
    delete process.env.VARTA_PROVOKE;
    try { task.beat(); } catch (error) { console.log(error.code, agent.tasks().length); }
  `);
  assert.equal(stdout, 'ERR_VARTA_PANIC\nERR_VARTA_CLOSED 0\n', stderr);
});

test('an agent is closed after a panic', () => {
  const { stdout, stderr } = provoked('', `
    const { Varta } = require('varta');
    const agent = Varta.connect('/nonexistent/varta.sock');
    process.env.VARTA_PROVOKE = 'agent';
    try { agent.beat(); } catch (error) { console.log(error.code); }
    delete process.env.VARTA_PROVOKE;
    try { agent.beat(); } catch (error) { console.log(error.code); }
  `);
  assert.equal(stdout, 'ERR_VARTA_PANIC\nERR_VARTA_CLOSED\n', stderr);
});

test('a panic in the observer\'s thread emits an error event and closes the observer', () => {
  const { status, stdout, stderr } = provoked('thread', `
    const { Observer } = require('varta');
    const observer = Observer.bind([], { udp: '127.0.0.1:0' });
    observer.on('close', () => console.log('closed'));
    observer.on('error', (error) => console.log(error.code, observer.closed));
    (async () => {
      try { for await (const event of observer); } catch (error) { console.log(error.code); }
    })();
  `);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'ERR_VARTA_PANIC true\nclosed\nERR_VARTA_PANIC\n');
});

test('an observer that can be neither polled nor closed throws and does not keep the process running', () => {
  const { status, stdout, stderr } = provoked('', `
    const { Observer } = require('varta');
    const observer = Observer.bind([], { udp: '127.0.0.1:0' });
    observer.on('error', ({ message }) => console.log('as an event', message));
    process.env.VARTA_PROVOKE = 'observer_take,observer_close';
    try { observer.poll(); } catch ({ message }) { console.log('thrown', message); }
  `);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^as an event .*in observer_take\nthrown .*in observer_close\n$/);
});

test('the packed binary cannot be made to panic', () => {
  const modules = path.join(path.dirname(__dirname), 'node_modules');
  const [binary] = fs.readdirSync(modules).filter((name) => name.startsWith('varta-'));
  const bytes = fs.readFileSync(path.join(modules, binary, 'varta.node'));
  assert.equal(bytes.includes('VARTA_PROVOKE'), false);
});
