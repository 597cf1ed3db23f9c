'use strict';
// Stories: each one drives a simulated observer, which must report and count exactly what the story
// lists.

const { Failure, Fields } = require('./fields');
const { show } = require('./json');
const { varta } = require('./package');
const { counters } = require('../tables.json');

const { Observer, Origin, Status } = varta;

/** The names in a story file. */
const origins = { KernelAttested: 'kernel-attested', SecureNetwork: 'secure-network', Network: 'network' };
const listeners = { uds: 0, udp: 1, 'secure-udp': 2 };

const milliseconds = (ns) => Number(ns) / 1e6;

const settings = {
  threshold_ns: (config) => ({ thresholdMs: milliseconds(config.whole('threshold_ns', 53)) }),
  pause_after_ns: (config) => ({ pauseAfterMs: milliseconds(config.whole('pause_after_ns', 53)) }),
  capacity: (config) => ({ capacity: config.number('capacity') }),
  uids: (config) => ({ uids: config.isText('uids', 'any') ? 'any' : config.numbers('uids') }),
  namespaces: (config) => ({ namespaces: config.boolean('namespaces') }),
  version1: (config) => ({ version1: config.boolean('version1') }),
  detect_exits: (config) => ({ detectExits: config.boolean('detect_exits') }),
  rate_per_agent: (config) => ({ ratePerAgent: rate(config.object('rate_per_agent')) }),
  rate: (config) => ({ rate: rate(config.object('rate')) }),
  shared_keys_hex: (config) => ({ sharedKeys: config.keys('shared_keys_hex') }),
  master_key_hex: (config) => ({ masterKey: config.bytes('master_key_hex', 32) }),
  lane: (config) => ({ lane: config.boolean('lane') }),
  tasks: (config) => ({ tasks: config.boolean('tasks') }),
  causes: (config) => ({ causes: config.boolean('causes') }),
  task_slack: (config) => ({ taskSlack: slack(config, 'task_slack') }),
  program_slack: (config) => ({ programSlack: slack(config, 'program_slack') }),
};

/** Milliseconds by name. */
function slack(config, name) {
  const times = Object.entries(config.counts(name, 53));
  return Object.fromEntries(times.map(([key, ns]) => [key, milliseconds(ns)]));
}

function rate(fields) {
  fields.only('per_second', 'burst');
  return { perSecond: fields.number('per_second'), burst: fields.number('burst') };
}

function observerOf(config) {
  config.only(...Object.keys(settings));
  const options = { uids: undefined };
  for (const [name, read] of Object.entries(settings)) {
    if (name === 'threshold_ns' || name === 'uids' || config.has(name)) Object.assign(options, read(config));
  }
  const { taskSlack: tasks = {}, programSlack: programs = {}, ...others } = options;
  return Observer.simulated({ ...others, slack: { tasks, programs } });
}

const whole = (step, name) => step.whole(name, 64);
const number = (step, name) => step.number(name);
const text = (step, name) => step.text(name);
const boolean = (step, name) => step.boolean(name);

/** What can be read of a process and of a thread. */
const ofProcess = {
  spent_ns: whole, cpu_ns: whole, thread_count: number, lacks: number, device: whole, inode: whole,
  name: text, dumping: boolean, killed: boolean, tracer: number, frozen: boolean, under_oom: boolean,
  group: text, quota_periods: whole, quota_throttled: whole, memory_pressure_ns: whole,
};
const ofThread = {
  state: text, run_ns: whole, wait_ns: whole, slices: whole, flags: number, major_faults: whole,
  stop_signal: number, wait_channel: text, call: text,
  arguments: (step, name) => step.numbers(name),
};

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

const operations = {
  frame: {
    fields: ['listener', 'sender', 'hex', 'truncated', 'control_truncated', 'fresh'],
    apply(observer, at, step) {
      const listener = step.text('listener');
      if (!Object.hasOwn(listeners, listener)) throw new Failure('listener', Object.keys(listeners), listener);
      observer.feed(at, {
        listener: listeners[listener],
        sender: senderOf(observer, listener, step.object('sender')),
        bytes: step.bytes('hex'),
        truncated: step.has('truncated') && step.boolean('truncated'),
        controlTruncated: step.has('control_truncated') && step.boolean('control_truncated'),
        fresh: step.has('fresh') && step.boolean('fresh'),
      });
    },
  },
  poll: { fields: [], apply: (observer, at) => observer.advance(at) },
  full: { fields: [], apply: (observer, at) => observer.advance(at, { full: true }) },
  exit: {
    fields: ['pid', 'code', 'signal'],
    apply(observer, at, step) {
      if (step.has('code') && step.has('signal')) throw new Failure('cause', 'a code or a signal', 'both');
      const cause = {};
      if (step.has('code')) cause.code = step.signed('code');
      if (step.has('signal')) cause.signal = step.signed('signal');
      observer.exit(at, step.number('pid'), cause);
    },
  },
  late: {
    fields: ['due_ns'],
    apply: (observer, at, step) => observer.late(at, step.whole('due_ns', 64)),
  },
  suspend: {
    fields: ['ns'],
    apply: (observer, at, step) => observer.suspended(at, step.whole('ns', 64)),
  },
  set_threshold: {
    fields: ['agent', 'ns'],
    apply: (observer, at, step) =>
      observer.setThreshold(step.whole('agent', 64), step.whole('ns', 64)),
  },
  reading: {
    fields: ['pid', ...Object.keys(ofProcess)],
    apply: (observer, at, step) => observer.setReading(step.number('pid'), readingOf(step, ofProcess)),
  },
  thread_reading: {
    fields: ['pid', 'thread', ...Object.keys(ofThread)],
    apply: (observer, at, step) =>
      observer.addThreadReading(step.number('pid'), step.number('thread'), readingOf(step, ofThread)),
  },
};

/** The fields that a reading has, under their names in the package. */
function readingOf(step, fields) {
  const given = Object.entries(fields).filter(([name]) => step.has(name));
  return Object.fromEntries(given.map(([name, read]) => [camel(name), read(step, name)]));
}

function senderOf(observer, listener, sender) {
  if (listener !== 'uds') {
    sender.only('source');
    return { address: sender.text('source'), sealed: listener === 'secure-udp' };
  }
  sender.only('pid', 'uid', 'process', 'namespace', 'innermost');
  const pid = sender.number('pid');
  if (sender.has('namespace')) {
    const innermost = sender.has('innermost') ? sender.number('innermost') : 0;
    observer.setNamespace(pid, sender.text('namespace'), innermost);
  }
  const process = sender.has('process') ? sender.whole('process', 64) : undefined;
  return { pid, uid: sender.number('uid'), process };
}

function apply(observer, step) {
  const at = step.whole('at_ns', 64);
  const op = step.text('op');
  if (!Object.hasOwn(operations, op)) throw new Failure('op', 'an operation that conformance/README.md lists', op);
  const { fields, apply: take } = operations[op];
  step.only('at_ns', 'op', ...fields);
  take(observer, at, step);
}

const statusName = (status) => Status[status].toLowerCase();

const details = {
  beat: ({ status, payload, nonce, missed, count }) => ({
    status: statusName(status), payload, nonce, missed, count: count === 1 ? undefined : count,
  }),
  stall: ({ lastNonce, lastNs, deaf, promise, dueNs, checkpoint }) => ({
    last_nonce: lastNonce, last_ns: lastNs, deaf: deaf || undefined, promise, due_ns: dueNs, checkpoint,
  }),
  recovered: ({ silentNs, promise, task }) =>
    ({ silent_ns: silentNs, promise: task === undefined ? undefined : promise }),
  exit: ({ lastStatus, code, signal }) => ({ last_status: statusName(lastStatus), code, signal }),
  decode: ({ error }) => ({ error }),
  'auth-failure': ({ claimedPid, truePid }) => ({ claimed_pid: claimedPid, true_pid: truePid }),
  paused: ({ ns }) => ({ ns }),
  task: ({ thresholdNs }) => ({ threshold_ns: thresholdNs }),
  ended: ({ how }) => ({ how }),
  violation: ({ rule, count, from, to, by }) => ({ rule, count, from, to, by }),
};

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

/** Why it is silent: the cause in the event, and what goes with it. */
function whyOf(observer, { why, agent, task = 0 }) {
  if (why === undefined) return undefined;
  const { cause, certainty, flags, thread, other } = why;
  const info = observer.cause(agent, task);
  return info && {
    cause, certainty, flags, thread, other, looked_ns: info.lookedNs, signal: info.signal,
    window_ns: info.windowNs, run_ns: info.runNs, wait_ns: info.waitNs, switches: info.switches,
    major_faults: info.majorFaults, detail: info.detail,
  };
}

/** A copy without fields that are not set, and with all whole numbers as bigints. */
function exact(value) {
  if (typeof value === 'number') return BigInt(value);
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(kept.map(([name, field]) => [name, exact(field)]));
}

/** An event in the form that stories use. */
function plain(step, event, observer) {
  const about = event.agent === undefined ? {} : {
    agent: event.agent, pid: event.pid, claimed_pid: event.claimedPid,
    origin: origins[Origin[event.origin]], label: event.label || undefined,
  };
  const all = {
    step, observer_ns: event.observerNs, kind: event.kind, ...about, task: event.task,
    task_name: event.taskName, why: whyOf(observer, event), ...details[event.kind]?.(event),
  };
  return exact(all);
}

/** The same with its fields in sorted order, in objects within it as well. */
function sorted(value) {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).sort().map(([name, field]) => [name, sorted(field)]));
}

/** Formats an event as text, with its fields in sorted order. */
const inOrder = (event) => show(sorted(event));

/** Counters that are not listed must be 0. */
function compareCounters(stats, expected) {
  expected.only(...counters.map(({ name }) => name));
  const seen = (name) => BigInt(stats[camel(name)]);
  for (const { name } of counters) {
    const wanted = expected.has(name) ? expected.whole(name, 64) : 0n;
    if (seen(name) !== wanted) throw new Failure(`counter ${name}`, wanted, seen(name));
  }
  const settled = counters.reduce((sum, { name, settles }) => sum + (settles ? seen(name) : 0n), 0n);
  if (settled !== seen('received')) {
    throw new Failure('the sum of the counters', `${stats.received} datagrams in one counter each`, settled);
  }
}

/** Runs a story, each step with a function. */
function run(fields, take) {
  fields.only('id', 'description', 'config', 'steps', 'events', 'counters');
  const observer = observerOf(fields.object('config'));
  const expected = fields.list('events').map(inOrder);
  let next = 0;
  for (const [number, step] of fields.list('steps').entries()) {
    take(observer, new Fields(step));
    for (let event = observer.poll(); event; event = observer.poll()) {
      const actual = inOrder(plain(number, event, observer));
      if (actual !== expected[next]) {
        throw new Failure(`step ${number} ${show(step)}`, expected[next] ?? 'nothing', actual);
      }
      next += 1;
    }
    const due = fields.list('events')[next];
    if (due?.step === BigInt(number)) {
      throw new Failure(`step ${number} ${show(step)}`, show(due), 'nothing');
    }
  }
  if (next < expected.length) throw new Failure('after the last step', expected[next], 'nothing more');
  compareCounters(observer.stats(), fields.object('counters'));
}

module.exports = { apply, run, story: (fields) => run(fields, apply) };
