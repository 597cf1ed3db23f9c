#!/usr/bin/env node
'use strict';
// The commands `varta beat` and `varta watch`: an agent and an observer.

const { parseArgs } = require('node:util');

const { Observer, Status, Varta, beatForever, version } = require('../lib/index.js');

const USAGE = `usage: varta beat [ENDPOINT] [--every MS] [--count N] [--status NAME] [--payload N]
       varta watch [ENDPOINT ...] [--threshold MS] [--json] [--exits N]

beat   sends beats to an observer until it is interrupted. Without --payload, the payload is
       the delay of the event loop in microseconds.
watch  receives beats and prints events until it is interrupted.

An ENDPOINT is a path, @name, udp://host:port or udp+secure://host:port?key-file=PATH. The
default is $VARTA_ENDPOINT if it is set, otherwise /run/varta/varta.sock.

  --every MS       interval between beats (default: 500)
  --count N        exit after this many beats
  --status NAME    ok, degraded or critical (default: ok)
  --payload N      an application-defined number
  --threshold MS   how long an agent may be silent (default: 2000)
  --json           print one JSON object per event; numbers above 2^53 as strings
  --exits N        exit after this many agents have exited
  --version        print the version
  --help           print this help`;

const options = {
  count: { type: 'string' },
  every: { type: 'string' },
  exits: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
  payload: { type: 'string' },
  status: { type: 'string' },
  threshold: { type: 'string' },
  version: { type: 'boolean' },
};

const known = {
  beat: ['every', 'count', 'status', 'payload'],
  watch: ['threshold', 'json', 'exits'],
};

class UsageError extends Error {}

function parse(args) {
  let parsed;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error.message);
  }
  const { values, positionals: [command, ...endpoints] } = parsed;
  if (values.help || values.version) return { values };
  if (!Object.hasOwn(known, command ?? '')) {
    throw new UsageError(
      command === undefined ? 'expected a command: beat or watch' : `unknown command: ${command}`,
    );
  }
  for (const name of Object.keys(values)) {
    if (!known[command].includes(name)) {
      throw new UsageError(`unknown option for ${command}: --${name}`);
    }
  }
  if (command === 'beat' && endpoints.length > 1) {
    throw new UsageError('beat: expected at most one endpoint');
  }
  return { command, endpoints, values };
}

function number(values, name, min, defaultValue) {
  const text = values[name];
  if (text === undefined) return defaultValue;
  if (!/^\d+$/.test(text) || Number(text) < min || Number(text) >= 2 ** 31) {
    throw new UsageError(`--${name}: expected a whole number of at least ${min}, not ${text}`);
  }
  return Number(text);
}

function statusOf({ status = 'ok' }) {
  if (!['ok', 'degraded', 'critical'].includes(status)) {
    throw new UsageError(`--status: expected ok, degraded or critical, not ${status}`);
  }
  return status;
}

function beat([endpoint], values) {
  const everyMs = number(values, 'every', 1, 500);
  const payload = number(values, 'payload', 0);
  const status = statusOf(values);
  let left = number(values, 'count', 1, Infinity);
  const agent = Varta.connect(endpoint);
  const source = { beat: (_, delay) => agent.beat(status, payload ?? delay) };
  let previous = 'sent';
  const beats = beatForever(source, {
    everyMs,
    onOutcome(outcome) {
      // Only changes are printed.
      if (String(outcome) !== previous) console.error(`varta: ${outcome}`);
      previous = String(outcome);
      left -= 1;
      if (left === 0) setImmediate(() => beats.stop());
    },
  });
  beats.ref();
}

function watch(endpoints, values) {
  const thresholdMs = number(values, 'threshold', 1, 2000);
  let left = number(values, 'exits', 1, Infinity);
  const observer = Observer.bind(endpoints.length > 0 ? endpoints : undefined, { thresholdMs });
  if (observer.advice !== undefined) console.error(`varta: ${observer.advice}`);
  observer.on('event', (event) => {
    console.log(values.json ? JSON.stringify(event, toJson) : String(event));
    if (event.kind === 'exit') left -= 1;
    if (left === 0) observer.close();
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => observer.close());
}

/** Replaces statuses by their names, and bigints by numbers if JSON can hold them exactly. */
function toJson(key, value) {
  if (key === 'status' || key === 'lastStatus') return Status[value].toLowerCase();
  if (typeof value !== 'bigint') return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}

try {
  const { command, endpoints, values } = parse(process.argv.slice(2));
  if (values.help) console.log(USAGE);
  else if (values.version) console.log(`varta ${version}`);
  else if (command === 'beat') beat(endpoints, values);
  else watch(endpoints, values);
} catch (error) {
  console.error(`varta: ${error.message}`);
  if (error instanceof UsageError) console.error(USAGE);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
