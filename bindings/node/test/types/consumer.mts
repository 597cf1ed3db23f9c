// A consumer in an ES module, for the compiler under `strict`.
import { NEVER, Observer, Origin, Simulated, Status, panic, secure } from 'varta';
import type { AgentInfo, ObserverEvent, StallEvent, Stats } from 'varta';

const observer: Observer = Observer.bind(['/run/varta.sock', 'udp://127.0.0.1:9000'], {
  thresholdMs: 500,
  uids: 'any',
  rate: { perSecond: 5, burst: 10 },
});
observer.on('stall', (event: StallEvent) => console.log(event.agent, event.lastNs));
observer.once('beat', ({ payload, status }) => console.log(payload + 1n, Status[status]));
// @ts-expect-error unknown event
observer.on('stalled', () => {});
observer.on('event', (event) => {
  if (event.kind === 'exit' && event.cause === 'signal') console.log(event.signal);
  // @ts-expect-error a beat has no cause
  if (event.kind === 'beat') console.log(event.cause);
});

function fit(event: ObserverEvent): boolean {
  return event.kind === 'stall' && event.origin === Origin.KernelAttested;
}

/** Each kind narrows the fields of an event, and `task` those of a task. */
function text(event: ObserverEvent): string {
  switch (event.kind) {
    case 'stall':
      // @ts-expect-error the process itself has no name of a task
      if (event.task === undefined) return event.taskName;
      return `${event.taskName} ${event.promise} ${event.dueNs + 1n} ${event.checkpoint.toFixed()}`;
    case 'beat':
      return event.task === undefined ? `${event.count}` : event.taskName;
    case 'recovered':
      return event.promise;
    case 'task':
      return event.thresholdNs === NEVER ? event.taskName : `${event.thresholdNs}`;
    case 'ended':
      return event.how === 'thread-gone' ? 'gone' : event.taskName;
    case 'violation':
      return event.rule === 'wrong-order' ? `${event.from} ${event.to}` : `${event.by + 1n}`;
    case 'cause':
      return `${event.why.cause} ${event.why.thread + 1}`;
    case 'exit':
    case 'decode':
    case 'auth-failure':
    case 'io':
    case 'paused':
      return event.kind;
    default: {
      const never: never = event;
      throw never;
    }
  }
}
observer.on('violation', ({ count }) => console.log(count + 1, text));
const [info] = observer.tasks(1);
console.log(info?.due?.promise === 'span', info?.done);
observer.setSlack({ tasks: { batch: 500 } });

for await (const event of observer.events({ signal: AbortSignal.timeout(1) })) {
  console.log(fit(event), String(event));
}
for await (const event of observer) console.log(event.observerNs);

const agents: AgentInfo[] = observer.agents();
const stats: Stats = observer.stats();
console.log(agents[0]?.uid, stats.beats, stats.missed + 1n, observer.stats().skipped);
observer.unref().close();
await observer[Symbol.asyncDispose]();

const simulated: Simulated = Observer.simulated({ capacity: 3 });
simulated.feed(5n, { sender: { address: '192.0.2.1', sealed: true }, bytes: Buffer.alloc(60) });
simulated.exit(6n, 4321, { code: 1 });
const sealed: Buffer = secure.seal('00'.repeat(32), Buffer.alloc(8), 1, Buffer.alloc(32));
const { page, tasks } = simulated.attach(7n, { pid: 5, uid: 0 });
simulated.writeLine(page, 0, 'hot', new BigUint64Array(8));
console.log(simulated.poll()?.kind, sealed.length, tasks);
panic.installSignalHandlerUds('/run/varta.sock', { signals: ['SIGTERM'] });
// @ts-expect-error unknown signal
panic.installSignalHandlerUds('/run/varta.sock', { signals: ['SIGNOPE'] });
