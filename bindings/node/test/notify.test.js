'use strict';
// Notifications to the service manager, from programs with an environment of their own.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { DropReason, Varta, v1 } = require('varta');
const { folder, python, script } = require('./support');

/** The socket of a service manager, and what programs that it starts send there. */
async function manager(t) {
  const at = path.join(folder(t), 'manager');
  // It prints each message as JSON, in a line.
  const receiver = python(t, `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print("bound", flush=True)
while True:
    print(json.dumps(receiver.recv(4096).decode()), flush=True)
`, at);
  await receiver.printed('bound\n');
  receiver.out = '';
  const known = { NOTIFY_SOCKET: at, WATCHDOG_USEC: '3600000000' };
  return async (code, env = {}) => {
    // The last message of the program shows that all have arrived.
    const program = script(t, `
      const { Varta } = require('varta');
      const cluster = require('node:cluster');
      process.on('exit', () => {
        if (cluster.isPrimary) Varta.connect('@varta-nobody', { notify: true }).status('end');
      });
      ${code}
    `, { env: { ...known, ...env }, args: ['for a worker'] });
    assert.deepEqual(await program.exited(), { code: 0, signal: null }, program.err);
    await receiver.printed('"STATUS=end"\n');
    const lines = receiver.out.trimEnd().split('\n').map((line) => JSON.parse(line));
    receiver.out = '';
    assert.equal(lines.pop(), 'STATUS=end');
    return lines;
  };
}

const all = (options) => `
  const agent = Varta.connect('@varta-nobody', ${options});
  agent.beat('critical');
  for (let i = 0; i < 3; i += 1) agent.beat();
  if (!agent.ready().isSent && process.env.VARTA_NOTIFY === '1') process.exitCode = 1;
  agent.status('3 of 4');
  agent.stopping();
`;

test('an agent notifies if the option or the environment says so', async (t) => {
  const run = await manager(t);
  const sent = ['WATCHDOG=1', 'READY=1', 'STATUS=3 of 4', 'STOPPING=1'];
  assert.deepEqual(await run(all('{ notify: true }')), sent);
  assert.deepEqual(await run(all('{}'), { VARTA_NOTIFY: '1' }), sent);
  assert.deepEqual(await run(all('{ notify: false }')), []);
  assert.deepEqual(await run(all('{}'), { VARTA_NOTIFY: '0' }), []);
});

test('a status is one line of at most 256 bytes', async (t) => {
  const run = await manager(t);
  const texts = [
    ['a\nREADY=1\r\0b', 'a READY=1  b'], ['', ''], ['x'.repeat(400), 'x'.repeat(256)],
    [`${'x'.repeat(255)}€`, 'x'.repeat(255)], ['\ud800', '\ufffd'],
  ];
  const sent = await run(`
    const agent = Varta.connect('@varta-nobody', { notify: true });
    for (const [text] of ${JSON.stringify(texts)}) agent.status(text);
  `);
  assert.deepEqual(sent, texts.map(([, cut]) => `STATUS=${cut}`));
});

test('only the primary of a cluster sends keep-alives', async (t) => {
  const run = await manager(t);
  const sent = await run(`
    const name = cluster.isPrimary ? 'primary' : 'worker';
    // A service manager sets it before it executes the program.
    if (cluster.isPrimary) process.env.WATCHDOG_PID = String(process.pid);
    const agent = Varta.connect('@varta-nobody', { notify: true });
    const beat = () => [agent.beat(), agent.status(name)];
    if (cluster.isPrimary) {
      cluster.fork().on('exit', beat);
    } else {
      beat();
      process.exit();
    }
  `);
  assert.deepEqual(sent, ['STATUS=worker', 'WATCHDOG=1', 'STATUS=primary']);
});

test('without a service manager nothing is configured, and a closed agent throws', () => {
  for (const agent of [Varta.connect('@varta-nobody'), v1.Varta.connect('@varta-nobody')]) {
    for (const outcome of [agent.ready(), agent.stopping(), agent.status('text')]) {
      assert.equal(outcome.reason, DropReason.NotConfigured);
      assert.equal(String(outcome), 'dropped: not configured');
    }
    agent.close();
    for (const call of [() => agent.ready(), () => agent.stopping(), () => agent.status('')]) {
      assert.throws(call, { code: 'ERR_VARTA_CLOSED' });
    }
  }
});
