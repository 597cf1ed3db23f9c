#!/usr/bin/env node
'use strict';
// varta beat and varta watch: an agent and an observer for the command line.

const { parseArgs } = require('node:util');

const { Observer, Status, Varta, beatForever, version } = require('../lib/index.js');

const USAGE = `usage: varta beat [ENDPOINT] [--every MS] [--count N] [--status NAME] [--payload N]
       varta watch [ENDPOINT ...] [--threshold MS] [--json] [--exits N]

beat   beats to an observer, every 500 ms until it is ended. Without --payload, each
       beat carries the delay of the event loop in microseconds.
watch  says what becomes of the agents that beat to it, until it is ended.

An ENDPOINT is a path, @name, udp://host:port or udp+secure://host:port?key-file=PATH. Without
one it is $VARTA_ENDPOINT, or else /run/varta/varta.sock.

  --every MS       how long between two beats
  --count N        end after so many
  --status NAME    ok, degraded or critical
  --payload N      a number of your own
  --threshold MS   how long an agent may be silent (2000)
  --json           an object for each event; numbers above 2^53 as strings
  --exits N        end when so many agents have exited
  --version        print the version
  --help           print this`;

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

class Misuse extends Error {}

function understand(args) {
  let parsed;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new Misuse(error.message);
  }
  const { values, positionals: [command, ...endpoints] } = parsed;
  if (values.help || values.version) return { values };
  if (!Object.hasOwn(known, command ?? '')) {
    throw new Misuse(command === undefined ? 'say beat or watch' : `there is no ${command}`);
  }
  for (const name of Object.keys(values)) {
    if (!known[command].includes(name)) throw new Misuse(`varta ${command} has no --${name}`);
  }
  if (command === 'beat' && endpoints.length > 1) throw new Misuse('beat takes one endpoint');
  return { command, endpoints, values };
}

function number(values, name, least, otherwise) {
  const text = values[name];
  if (text === undefined) return otherwise;
  if (!/^\d+$/.test(text) || Number(text) < least || Number(text) >= 2 ** 31) {
    throw new Misuse(`--${name} takes a whole number from ${least}, not ${text}`);
  }
  return Number(text);
}

function statusOf({ status = 'ok' }) {
  if (!['ok', 'degraded', 'critical'].includes(status)) {
    throw new Misuse(`--status is ok, degraded or critical, not ${status}`);
  }
  return status;
}

function beat([endpoint], values) {
  const everyMs = number(values, 'every', 1, 500);
  const payload = number(values, 'payload', 0);
  const status = statusOf(values);
  let left = number(values, 'count', 1, Infinity);
  const agent = Varta.connect(endpoint);
  const said = { beat: (_, delay) => agent.beat(status, payload ?? delay) };
  let before = 'sent';
  const beating = beatForever(said, {
    everyMs,
    onOutcome(outcome) {
      // Each change is worth a line; a thousand equal ones are not.
      if (String(outcome) !== before) console.error(`varta: ${outcome}`);
      before = String(outcome);
      left -= 1;
      if (left === 0) setImmediate(() => beating.stop());
    },
  });
  beating.ref();
}

function watch(endpoints, values) {
  const thresholdMs = number(values, 'threshold', 1, 2000);
  let left = number(values, 'exits', 1, Infinity);
  const observer = Observer.bind(endpoints.length > 0 ? endpoints : undefined, { thresholdMs });
  if (observer.advice !== undefined) console.error(`varta: ${observer.advice}`);
  observer.on('event', (event) => {
    console.log(values.json ? JSON.stringify(event, plain) : String(event));
    if (event.kind === 'exit') left -= 1;
    if (left === 0) observer.close();
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => observer.close());
}

/** Numbers that JSON can hold exactly, and statuses by name. */
function plain(key, value) {
  if (key === 'status' || key === 'lastStatus') return Status[value].toLowerCase();
  if (typeof value !== 'bigint') return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}

try {
  const { command, endpoints, values } = understand(process.argv.slice(2));
  if (values.help) console.log(USAGE);
  else if (values.version) console.log(`varta ${version}`);
  else if (command === 'beat') beat(endpoints, values);
  else watch(endpoints, values);
} catch (error) {
  console.error(`varta: ${error.message}`);
  if (error instanceof Misuse) console.error(USAGE);
  process.exitCode = error instanceof Misuse ? 2 : 1;
}
