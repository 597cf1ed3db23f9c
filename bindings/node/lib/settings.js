'use strict';
// Checks the options of an observer and converts them to the settings of the native half.

const check = require('./check');

const MOST_UID = 2 ** 32 - 1;

function rateOf(name, value) {
  const { perSecond, burst } = check.options(name, value);
  return {
    perSecond: check.u32(`${name}.perSecond`, perSecond),
    burst: check.u32(`${name}.burst`, burst),
  };
}

function uidList(value) {
  const list = Array.isArray(value) ? value : [value];
  return list.map((uid) => check.integer('options.uids', uid, 0, MOST_UID));
}

/** Addresses as `host:port`, one or several. */
function addresses(name, value) {
  return (Array.isArray(value) ? value : [value]).map((address) => check.text(name, address));
}

/** How late tasks may be, in milliseconds by the name of a task or of a program. */
function slackOf(name, value) {
  const { tasks = {}, programs = {}, ...unknown } = check.options(name, value);
  check.noneLeft(unknown);
  const entries = (of, ofProgram, times) => Object.entries(check.options(of, times)).map(
    ([key, ms]) => ({ __proto__: null, ofProgram, name: key, ns: slackNs(`${of}.${key}`, ms) }),
  );
  return [
    ...entries(`${name}.tasks`, false, tasks), ...entries(`${name}.programs`, true, programs),
  ];
}

const slackNs = (name, ms) => (ms === 0 ? 0n : check.milliseconds(name, ms));

/** For each option, a function that checks it and returns its settings. */
const readers = {
  udp: (value) => ({ udp: addresses('options.udp', value) }),
  secureUdp: (value) => ({ secureUdp: addresses('options.secureUdp', value) }),
  thresholdMs: (value) => ({ thresholdNs: check.milliseconds('options.thresholdMs', value) }),
  pauseAfterMs: (value) => ({ pauseAfterNs: check.milliseconds('options.pauseAfterMs', value) }),
  capacity: (value) => ({ capacity: check.integer('options.capacity', value, 1, 2 ** 28) }),
  socketMode: (value) => ({ socketMode: check.integer('options.socketMode', value, 0, 0o777) }),
  receiveBuffer: (value) => ({
    receiveBuffer: check.integer('options.receiveBuffer', value, 1, 2 ** 31 - 1),
  }),
  uids: (value) => (value === 'any' ? { anyUid: true } : { uids: uidList(value) }),
  namespaces: (value) => ({ namespaces: check.boolean('options.namespaces', value) }),
  version1: (value) => ({ version1: check.boolean('options.version1', value) }),
  ratePerAgent: (value) => ({ ratePerAgent: rateOf('options.ratePerAgent', value) }),
  rate: (value) => ({ rate: rateOf('options.rate', value) }),
  sharedKeys: (value) => {
    if (!Array.isArray(value)) throw check.wrongType('options.sharedKeys', 'an array', '[keys]');
    return { sharedKeys: value.map((key) => check.key('options.sharedKeys', key)) };
  },
  masterKey: (value) => ({ masterKey: check.key('options.masterKey', value) }),
  secureStateFile: (value) => ({
    secureStateFile: check.text('options.secureStateFile', value),
  }),
  detectExits: (value) => ({ detectExits: check.boolean('options.detectExits', value) }),
  descriptors: (value) => ({ descriptors: check.u32('options.descriptors', value) }),
  lane: (value) => ({ lane: check.boolean('options.lane', value) }),
  tasks: (value) => ({ tasks: check.boolean('options.tasks', value) }),
  causes: (value) => ({ causes: check.boolean('options.causes', value) }),
  laneFloorMs: (value) => ({ laneFloorNs: check.milliseconds('options.laneFloorMs', value) }),
  slack: (value) => ({ slack: slackOf('options.slack', value) }),
};

/** Returns settings for the native half, and the options that it does not have. */
function settingsOf(endpoints, options) {
  // The object has no prototype, because the native half would read a prototype's properties too.
  const settings = {
    __proto__: null,
    endpoints,
    udp: [],
    secureUdp: [],
    anyUid: false,
    namespaces: false,
    version1: false,
    sharedKeys: [],
    detectExits: true,
    lane: false,
    tasks: false,
    causes: false,
  };
  const rest = { __proto__: null };
  for (const [name, value] of Object.entries(check.options('options', options))) {
    if (value === undefined) continue;
    if (Object.hasOwn(readers, name)) Object.assign(settings, readers[name](value));
    else rest[name] = value;
  }
  return { settings, rest };
}

module.exports = { settingsOf, slackOf };
