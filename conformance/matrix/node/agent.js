'use strict';
// An agent that reads commands from its input: `agent.js [--v1] ENDPOINT`. For its child it uses
// child_process.fork, which starts a new program.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const readline = require('node:readline');

const { Varta, v1 } = require('./package');

const args = process.argv.slice(2);
const endpoint = args.at(-1);
const kind = args[0] === '--v1' ? v1.Varta : Varta;
const agent = kind.connect(endpoint);
const beat = (status, payload) => String(agent.beat(status, payload)).replaceAll(' ', '-');

function runChild() {
  process.send([process.pid, beat('ok', 101), beat('degraded', 102)].join(' '));
  // Any message is the command to exit.
  process.once('message', () => process.disconnect());
}

async function runCommands() {
  console.log('ready', process.pid);
  let child;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, status, payload] = line.split(' ');
    if (command === 'beat') {
      console.log(beat(status, Number(payload)));
    } else if (command === 'fork') {
      child = fork(__filename, args);
      const [outcomes] = await once(child, 'message');
      console.log('child', outcomes);
    } else if (command === 'end') {
      child.send('end');
      await once(child, 'exit');
      console.log('ended');
    } else {
      throw new Error(`unknown command: ${line}`);
    }
  }
}

if (process.send) runChild();
else runCommands();
