'use strict';
// The other processes of a benchmark: see rust/src/main.rs.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');

const CPUS = require('node:os').availableParallelism();

/** The CPUs of the sender and the receiver. */
const places = { sender: CPUS - 1, receiver: 0 };

let beats;

/** Sets the path of the program that was built for the benchmark. */
function use(program) {
  beats = program;
}

/** A process that reads requests and writes answers, one per line. */
class Program {
  constructor(command, args, cpu) {
    const pinned = cpu === undefined ? [command, ...args] : ['taskset', '-c', String(cpu), command, ...args];
    this.child = spawn(pinned[0], pinned.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.gone = once(this.child, 'close');
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.child.spawnargs.join(' ')} has ended`);
    return value;
  }

  ask(question) {
    this.child.stdin.write(`${question}\n`);
    return this.line();
  }

  async end() {
    this.child.stdin.end();
    await this.gone;
  }
}

const program = (...args) => new Program(beats, args);
const onSender = (...args) => new Program(beats, args, places.sender);
const onReceiver = (...args) => new Program(beats, args, places.receiver);

/** An observer in a process of its own: see observing.js. */
function startObserver(mode, at, cpu) {
  return new Program(process.execPath, [path.join(__dirname, 'observing.js'), mode, at], cpu);
}

/** A contender that beats from Rust, on the same CPU as this process. */
function fromRust(name, endpoint) {
  const rust = onSender('blocks', endpoint);
  return {
    name,
    async block(count, each, gapNs) {
      const [missed, ...samples] = (await rust.ask(`${count} ${each} ${gapNs}`)).split(' ').map(Number);
      return { samples, missed };
    },
    end: () => rust.end(),
  };
}

module.exports = { fromRust, onReceiver, onSender, places, program, startObserver, use };
