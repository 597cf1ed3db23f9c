// A consumer in CommonJS, for the compiler under `strict`.
import varta = require('varta');

const agent: varta.Varta = varta.Varta.connect('/run/varta.sock', { follow: true });
const outcome = agent.beat(varta.Status.Ok, 7);
switch (outcome.kind) {
  case 'sent':
    break;
  case 'dropped': {
    const reason: varta.DropReason = outcome.reason;
    console.log(varta.DropReason[reason]);
    break;
  }
  case 'failed': {
    const { errno, code }: { errno: number; code: string } = outcome.error;
    console.log(errno, code);
    break;
  }
  default: {
    const never: never = outcome;
    throw never;
  }
}
agent.beat('degraded');
agent[Symbol.dispose]();

// @ts-expect-error not the name of a status
agent.beat('fine');
// @ts-expect-error the payload must be a number
agent.beat(varta.Status.Ok, '7');
// @ts-expect-error agents are created by connect
new varta.Varta();
// @ts-expect-error unknown option
varta.Observer.bind('/run/varta.sock', { threshold: 5 });

const old: varta.v1.Varta = varta.v1.Varta.connectUds('/run/varta.sock');
old.beat(varta.Status.Ok, 2n ** 63n);
const frame: varta.Frame = varta.Frame.decode(new varta.Frame('ok', 2, 0n, 1n, 0).encode());
console.log(frame.nonce + 1n, new varta.v1.Frame(0, 2, 0, 1, 5n).payload);
const number: number = varta.panic.run(() => 5);
const promised: Promise<string> = varta.panic.run(async () => 'text');
console.log(number, promised);
const beating: varta.Beating = varta.beatForever(agent, { everyMs: 100, onOutcome: console.log });
beating.unref().stop();

const task: varta.Task = agent.task('ingest', { thresholdMs: 2000, cycle: { lengthMs: 5, least: 1 } });
const answer: number = task.watch(200, () => 5);
const later: Promise<string> = task.watch({ minMs: 1, maxMs: 200, label: 7 }, async () => 'text');
const span: varta.Span = task.watch(Infinity);
console.log(answer, later, span.close(), task.counts().tooLate, agent.watched);
const whole: Promise<number> = task.run(async (self) => self.number);
console.log(whole, agent.tasks()[0]?.broken.includes('span'));
varta.beatForever(task);
task[Symbol.dispose]();
// @ts-expect-error a threshold is required
agent.task('ingest', {});
// @ts-expect-error version 1 has no tasks
old.task('ingest', { thresholdMs: 5 });
// @ts-expect-error tasks are declared by agents
new varta.Task();
