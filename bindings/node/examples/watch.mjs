// An observer that prints its events, with `for await`, until it is interrupted.
//
//   node examples/watch.mjs [ENDPOINT]

import { Observer } from 'varta';

const control = new AbortController();
process.once('SIGINT', () => control.abort());
process.once('SIGTERM', () => control.abort());

const observer = Observer.bind(process.argv[2], { thresholdMs: 500, signal: control.signal });
console.log('listening');
for await (const event of observer) console.log(String(event));
