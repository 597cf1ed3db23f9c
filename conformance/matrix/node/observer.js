'use strict';
// An observer that prints each event as a line of JSON until its input ends:
// `observer.js ENDPOINT THRESHOLD_MS [lane]`. Its last line has the counters.

const { Observer, Status } = require('./package');

const [endpoint, thresholdMs, lane] = process.argv.slice(2);
const observer = Observer.bind(endpoint, {
  thresholdMs: Number(thresholdMs), version1: true, lane: lane === 'lane',
});

observer.on('event', ({ kind, claimedPid, status, payload, nonce, count, code, signal }) => {
  const fields = { kind, pid: claimedPid, count, code, signal };
  if (kind === 'beat') fields.status = Status[status].toLowerCase();
  const json = JSON.stringify(fields);
  // JSON.stringify cannot write bigints, which a nonce and a payload are.
  const numbers = kind === 'beat' ? `,"payload":${payload},"nonce":${nonce}` : '';
  console.log(json.replace(/}$/, `${numbers}}`));
});
console.log('ready');

process.stdin.resume().once('end', () => {
  const { received, beats, laneBeats } = observer.stats();
  console.log(JSON.stringify({ received, beats, lane_beats: laneBeats }));
  observer.close();
});
