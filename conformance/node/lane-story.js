'use strict';
// Stories of processes that beat through shared memory. What the processes write goes into pages of
// a simulated observer. The Rust runner also checks that an agent would write the same.

const { Failure } = require('./fields');
const line = require('./line');
const { apply, run } = require('./story');

const PAIRS = 32;
const EMPTY = Object.freeze(Array(8).fill(0n));

/** One copy of the library in a process: its own lines, and the page that it has, if any. */
class Copy {
  page;

  constructor(pid) {
    const head = [1n << 48n | 1n << 32n, 0n, 0n, BigInt(pid), 0n, 0n, 0n, 0n];
    this.lines = Array.from({ length: PAIRS }, () => ({ cold: EMPTY, hot: EMPTY }));
    this.lines[0].cold = head;
  }

  attached() {
    if (this.page === undefined) throw new Failure('pid', 'a process that has a page', 'another one');
    return this.page;
  }

  /** It gets a page, and puts its lines there. */
  attach(observer, page) {
    this.page = page;
    this.lines.forEach((lines, pair) => {
      for (const which of ['cold', 'hot']) this.write(observer, pair, which, lines[which]);
    });
  }

  write(observer, pair, which, words) {
    if (this.lines[pair] === undefined) throw new Failure('pair', 'a pair of a page', pair);
    this.lines[pair][which] = words;
    if (this.page !== undefined) {
      observer.writeLine(this.page, pair, which, BigUint64Array.from(words));
    }
  }

  writeHot(observer, pair, values) {
    this.write(observer, pair, 'hot', line.written(this.lines[pair].hot, values));
  }
}

const HERE = ['at_ns', 'op', 'pid', 'copy'];

const operations = {
  attach(observer, at, step, copy) {
    step.only(...HERE, 'uid', 'process', 'nonce', 'page', 'errno');
    let answer;
    try {
      const { page, thresholdNs, tasks } = observer.attach(at, {
        pid: step.number('pid'),
        uid: step.number('uid'),
        process: step.has('process') ? step.whole('process', 64) : undefined,
        nonce: step.whole('nonce', 64),
      });
      copy.attach(observer, page);
      answer = `a page, ${thresholdNs} ns, tasks ${tasks}`;
    } catch (error) {
      if (error.syscall !== 'attach') throw error;
      copy.page = undefined;
      answer = `error ${-error.errno}`;
    }
    let expected;
    if (step.has('page')) {
      const page = step.object('page');
      page.only('threshold_ns', 'tasks');
      expected = `a page, ${page.whole('threshold_ns', 64)} ns, tasks ${page.boolean('tasks')}`;
    } else {
      expected = `error ${step.signed('errno')}`;
    }
    if (answer !== expected) throw new Failure('the answer', expected, answer);
  },
  mapped(observer, at, step, copy) {
    step.only(...HERE);
    observer.mapped(at, copy.attached());
  },
  bell(observer, at, step, copy) {
    step.only(...HERE);
    observer.bell(at, copy.attached());
  },
  detach(observer, at, step, copy) {
    step.only(...HERE);
    observer.detach(at, copy.attached());
    copy.page = undefined;
  },
  write(observer, at, step, copy) {
    step.only(...HERE, 'pair', 'head', 'hot', 'times');
    const pair = step.number('pair');
    if (step.has('head')) copy.write(observer, pair, 'cold', line.head(step.object('head')));
    if (step.has('hot')) {
      const values = line.hot(step.object('hot'), at);
      const times = step.has('times') ? step.number('times') : 1;
      for (let time = 0; time < times; time += 1) copy.writeHot(observer, pair, values);
    }
  },
  call(observer, at, step, copy) {
    const pair = step.number('pair');
    if (step.has('cold')) {
      const isNew = step.text('verb') === 'declare';
      // A pair that is used again shows how its last task ended.
      const ended = isNew ? line.stateIn(copy.lines[pair].cold) : undefined;
      copy.write(observer, pair, 'cold', line.cold(step.object('cold'), ended));
    }
    copy.writeHot(observer, pair, line.hot(step.object('hot'), at));
  },
  close(observer, at, step, copy) {
    step.only(...HERE, 'pair', 'state');
    const pair = step.number('pair');
    const ended = line.inState(copy.lines[pair].cold, step.text('state'));
    copy.write(observer, pair, 'cold', ended);
    const [first, live, ...rest] = copy.lines[0].cold;
    copy.write(observer, 0, 'cold', [first, live & ~(1n << BigInt(pair)), ...rest]);
  },
};

function laneStory(fields) {
  // By pid and copy.
  const copies = new Map();
  run(fields, (observer, step) => {
    const op = step.text('op');
    if (op === 'thread_gone') {
      step.only('at_ns', 'op', 'pid', 'thread');
      observer.threadGone(step.number('pid'), step.number('thread'));
    } else if (op === 'program') {
      step.only('at_ns', 'op', 'pid', 'name');
      observer.setProgram(step.number('pid'), step.text('name'));
    } else if (op === 'name') {
      step.only('at_ns', 'op', 'pid', 'name');
      observer.setName(step.number('pid'), step.text('name'));
    } else if (Object.hasOwn(operations, op)) {
      const pid = step.number('pid');
      const key = `${pid} ${step.has('copy') ? step.number('copy') : 0}`;
      if (!copies.has(key)) copies.set(key, new Copy(pid));
      operations[op](observer, step.whole('at_ns', 64), step, copies.get(key));
    } else {
      apply(observer, step);
      if (op === 'exit') {
        const ended = `${step.number('pid')} `;
        for (const key of [...copies.keys()]) if (key.startsWith(ended)) copies.delete(key);
      }
    }
  });
}

module.exports = { laneStory };
