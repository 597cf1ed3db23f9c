'use strict';
// An observer that says each event as a line of JSON, `observer.js ENDPOINT THRESHOLD_MS`, until
// its input ends; its last line is what it has counted.

const { Observer, Status } = require('./package');

const [endpoint, thresholdMs] = process.argv.slice(2);
const observer = Observer.bind(endpoint, { thresholdMs: Number(thresholdMs), version1: true });

observer.on('event', ({ kind, claimedPid, status, payload, nonce, code, signal }) => {
  const said = { kind, pid: claimedPid, code, signal };
  if (kind === 'beat') said.status = Status[status].toLowerCase();
  const json = JSON.stringify(said);
  // A nonce and a payload may be larger than JSON's own numbers go in this language.
  const numbers = kind === 'beat' ? `,"payload":${payload},"nonce":${nonce}` : '';
  console.log(json.replace(/}$/, `${numbers}}`));
});
console.log('ready');

process.stdin.resume().once('end', () => {
  const { received, beats } = observer.stats();
  console.log(JSON.stringify({ received, beats }));
  observer.close();
});
