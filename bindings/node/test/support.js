'use strict';
// Helpers: temporary folders, waiting for a condition, and other processes.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const DEADLINE = 60_000;

/** A temporary folder, which is removed after the test. */
function folder(t) {
  const created = fs.mkdtempSync(path.join(os.tmpdir(), 'varta-'));
  t.after(() => fs.rmSync(created, { recursive: true, force: true }));
  return created;
}

/** The path of a socket in a temporary folder. */
function socketPath(t) {
  return path.join(folder(t), 'varta.sock');
}

/** Waits until a condition is true, and returns its value. */
async function until(what, condition, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${deadline / 1000} s for ${what}`);
    await sleep(5);
  }
}

/** The first event after this call that matches. */
function firstEvent(observer, fits) {
  const wanted = typeof fits === 'string' ? (event) => event.kind === fits : fits;
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      observer.off('event', look);
      reject(new Error(`waited ${DEADLINE / 1000} s for an event: ${fits}`));
    }, DEADLINE);
    function look(event) {
      if (!wanted(event)) return;
      clearTimeout(late);
      observer.off('event', look);
      resolve(event);
    }
    observer.on('event', look);
  });
}

/** A process with its output, which is killed after the test. */
class Program {
  constructor(t, command, args, options = {}) {
    const { env, ...rest } = options;
    this.child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', ...env },
      ...rest,
    });
    this.out = '';
    this.err = '';
    this.child.stdout.setEncoding('utf8').on('data', (text) => { this.out += text; });
    this.child.stderr.setEncoding('utf8').on('data', (text) => { this.err += text; });
    this.closed = once(this.child, 'close').then(([code, signal]) => ({ code, signal }));
    t.after(async () => {
      this.child.kill('SIGKILL');
      await this.closed;
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** Waits until it has printed this. */
  printed(text) {
    return until(`${JSON.stringify(text)} (its output is ${this.out}${this.err})`, () => {
      if (this.out.includes(text)) return true;
      if (this.child.exitCode !== null && this.child.stdout.readableEnded) {
        throw new Error(`it exited before it printed ${text}: ${this.out}${this.err}`);
      }
      return false;
    });
  }

  /** Waits for its exit, as long as it keeps printing something. */
  async exited() {
    for (let printed = -1, turn = 0; printed < this.out.length + this.err.length && turn < 10; turn += 1) {
      printed = this.out.length + this.err.length;
      const late = sleep(DEADLINE, 'late', { ref: false });
      const end = await Promise.race([this.closed, late]);
      if (end !== 'late') return end;
    }
    throw new Error(`it does not exit: ${this.out}${this.err}`);
  }
}

/** Runs a script in a new process, which can require the installed packages. */
function script(t, code, { flags = [], args = [], few = false, ...options } = {}) {
  const command = [process.execPath, ...flags, '-e', code, '--', ...args];
  // With a limit on descriptors, if requested.
  if (few) command.unshift('sh', '-c', 'ulimit -n 64; exec "$@"', 'sh');
  const [program, ...rest] = command;
  return new Program(t, program, rest, { cwd: path.dirname(__dirname), ...options });
}

/** Runs Python, for sockets that Node cannot create. */
function python(t, code, ...args) {
  return new Program(t, 'python3', ['-c', code, ...args]);
}

/** The descriptors of this process. */
function descriptors() {
  return fs.readdirSync('/proc/self/fd').length;
}

module.exports = { DEADLINE, Program, descriptors, firstEvent, folder, socketPath, python, script, until };
