/// <reference types="node" />

import { EventEmitter } from 'node:events';

/** The version of this package. */
export const version: string;

/** The default endpoint of agents and observers, if `$VARTA_ENDPOINT` is not set. */
export const DEFAULT_ENDPOINT: string;

export const FRAME_BYTES: 32;

/** The nonce of last words: all bits set. */
export const NONCE_TERMINAL: bigint;

/** The status that an agent reports. Only an observer uses `Stall`. */
export const Status: {
  readonly Ok: 0;
  readonly Degraded: 1;
  readonly Critical: 2;
  readonly Stall: 3;
  readonly 0: 'Ok';
  readonly 1: 'Degraded';
  readonly 2: 'Critical';
  readonly 3: 'Stall';
};
export type Status = 0 | 1 | 2 | 3;
export type StatusName = 'ok' | 'degraded' | 'critical';

/** Why a beat was dropped. */
export const DropReason: {
  readonly KernelQueueFull: 1;
  readonly NoObserver: 2;
  readonly PeerGone: 3;
  readonly StorageFull: 4;
  readonly Withheld: 5;
  readonly NotConfigured: 6;
  readonly 1: 'KernelQueueFull';
  readonly 2: 'NoObserver';
  readonly 3: 'PeerGone';
  readonly 4: 'StorageFull';
  readonly 5: 'Withheld';
  readonly 6: 'NotConfigured';
};
export type DropReason = 1 | 2 | 3 | 4 | 5 | 6;

/** How an agent's identity is known. Only `KernelAttested` is reliable enough to act on. */
export const Origin: {
  readonly KernelAttested: 1;
  readonly SecureNetwork: 2;
  readonly Network: 3;
  readonly 1: 'KernelAttested';
  readonly 2: 'SecureNetwork';
  readonly 3: 'Network';
};
export type Origin = 1 | 2 | 3;

/** 32 bytes, or 64 hex digits. */
export type Key = Uint8Array | string;

// The agent.

interface Outcome {
  readonly isSent: boolean;
  readonly isDropped: boolean;
  readonly isFailed: boolean;
  toString(): string;
}

export interface Sent extends Outcome {
  readonly kind: 'sent';
}

export interface Dropped extends Outcome {
  readonly kind: 'dropped';
  readonly reason: DropReason;
}

export interface Failed extends Outcome {
  readonly kind: 'failed';
  readonly error: BeatError;
}

/** The outcome of a beat. Outcomes are shared, frozen objects. */
export type BeatOutcome = Sent | Dropped | Failed;

export const BeatOutcome: {
  readonly prototype: Outcome;
  [Symbol.hasInstance](value: unknown): value is BeatOutcome;
  sent(): Sent;
  dropped(reason: DropReason): Dropped;
  failed(error: BeatError): Failed;
};

/** Why a beat failed. The cause does not go away by itself. */
export class BeatError extends Error {
  static readonly UNKNOWN_ERRNO: 0;
  constructor(errno: number);
  readonly code: string;
  /** Negative, as everywhere in Node; 0 if the error did not come from the system. */
  readonly errno: number;
  readonly syscall: 'send';
}

/** Returns the outcome for an error of a send, by its `errno` or else its `code`. */
export function classifySendError(error: Error): BeatOutcome;

/** No limit, as nanoseconds: the `thresholdNs` of a task without one. */
export const NEVER: bigint;

/** What a task promises. */
export type PromiseName = 'beat' | 'span' | 'checkpoint' | 'progress';
/** The rules that the calls of a task can break. */
export type RuleName = 'too-early' | 'too-late' | 'wrong-order' | 'too-few' | 'too-many';
/** How a task can end. */
export type EndingName = 'closed' | 'failed' | 'thread-gone' | 'detached';

export interface ConnectOptions {
  /** Whether the agent may start before its observer and follows a replaced one. Default: true. */
  follow?: boolean;
  /** Same as `setReconnectAfter`. Default: 0. */
  reconnectAfter?: number;
  /**
   * Whether beats go through memory that is shared with the observer, if it offers that.
   * Default: true.
   */
  lane?: boolean;
  /**
   * The name of the service, of at most 63 bytes. An observer that offers shared memory shows it
   * instead of the name of the program. Default: `$VARTA_NAME`.
   */
  name?: string;
  /**
   * Whether the agent also notifies the service manager in `$NOTIFY_SOCKET`. Its beats send
   * keep-alives if `$WATCHDOG_USEC` is set. Default: whether `$VARTA_NOTIFY` is 1.
   */
  notify?: boolean;
}

interface Agent {
  /**
   * Tells the service manager that the process has started and works. Without one, the outcome is
   * dropped, with the reason `NotConfigured`.
   */
  ready(): BeatOutcome;
  /** Tells it that the process is shutting down. Beats send no more keep-alives. */
  stopping(): BeatOutcome;
  /**
   * Tells it in words what the process does. The text is cut to 256 bytes, and each control
   * character in it becomes a space.
   */
  status(text: string): BeatOutcome;
  /** Starts a new session to the same endpoint. */
  reconnect(): void;
  /** Reconnects automatically after this many drops in a row; 0 turns this off. */
  setReconnectAfter(drops: number): void;
  clockRegressions(): number;
  forkRecoveries(): number;
  /** May be called twice. All other methods then throw ERR_VARTA_CLOSED. */
  close(): void;
  [Symbol.dispose](): void;
}

/** An agent: one connection of one process to one observer. */
export interface Varta extends Agent {
  /** Sends one beat. It is one system call, or none through shared memory, and never waits. */
  beat(status?: Status | StatusName, payload?: number): BeatOutcome;
  /**
   * How many milliseconds ago the observer looked at the beats of this process; undefined if
   * they do not go through shared memory.
   */
  readonly watched: number | undefined;
  /**
   * Declares a task: a named part of the process that is watched on its own. A name has 1 to 23
   * bytes and need not be unique. A process can have 31 tasks at a time.
   */
  task(name: string, options: TaskOptions): Task;
  /** The tasks of this process, with what is late. */
  tasks(): TaskReport[];
}

export const Varta: {
  readonly prototype: Varta;
  /** Creates an agent for any endpoint. It may start before its observer and outlive it. */
  connect(endpoint?: string, options?: ConnectOptions): Varta;
  /** Creates an agent for a Unix socket, to which an observer must be bound. */
  connectUds(path: string): Varta;
  connectUdp(host: string, port: number): Varta;
  connectSecureUdp(host: string, port: number, key: Key): Varta;
  connectSecureUdpWithMaster(host: string, port: number, masterKey: Key): Varta;
};

/** A step that a task may take from one checkpoint to another. */
export interface Edge {
  /** The checkpoint before; 0 is outside of all, where a task begins. */
  from: number;
  to: number;
  /** The step takes at least this long. Default: 0. */
  minMs?: number;
  /** The step takes less than this. Default: Infinity. */
  maxMs?: number;
}

/** Times are from 1 to 30 days in milliseconds, or Infinity. */
export interface TaskOptions {
  /** The longest time between two calls, unless the task is idle. */
  thresholdMs: number;
  /** The time until the first call after declaring. Default: the threshold. */
  startupMs?: number;
  /** While something is left, what is done must change at least this often. */
  progressMs?: number;
  /** The only steps between checkpoints that it may take, at most 256. Default: all steps. */
  edges?: Edge[];
  /** How many beats there must be in each cycle of this length. */
  cycle?: { lengthMs: number; least?: number; most?: number };
  /** The shortest span whose failure to end must be reported at once. Default: the threshold. */
  finestMs?: number;
  /**
   * Whether the whole process is reported as silent when this task is late, by an observer that
   * knows nothing about tasks. Default: false.
   */
  vital?: boolean;
  /**
   * Whether the work of the task moves between threads, so that its own thread says nothing about it.
   * Default: false.
   */
  roams?: boolean;
  /** How many spans can be open at once, up to 65,536. Default: 8. */
  spans?: number;
}

/** How long a span may take: less than `maxMs`, and not less than `minMs` (0 by default). */
export interface SpanLimits {
  minMs?: number;
  maxMs: number;
  /** A number from 0 to 65535 that reports about the span contain. */
  label?: number;
}

/** What a task counted. The counts of violations wrap at 2^32. */
export interface TaskCounts {
  readonly tooEarly: number;
  readonly tooLate: number;
  readonly wrongOrder: number;
  readonly tooFew: number;
  readonly tooMany: number;
  /** Spans that were not watched, because as many as possible were open. */
  readonly unwatched: number;
  /** Calls in a forked child that had no room for the task. Node never forks. */
  readonly undeclared: number;
}

/** A task, as its process sees it. */
export interface TaskReport {
  readonly number: number;
  readonly name: string;
  readonly thresholdNs: bigint;
  readonly ageNs: bigint;
  readonly status: Status;
  readonly payload: number;
  readonly idle: boolean;
  readonly vital: boolean;
  readonly done: number;
  readonly left: number;
  readonly violations: number;
  /** The promises that are broken. */
  readonly broken: PromiseName[];
}

/**
 * A named part of the process. Each call is a sign of life and promises by when the next one
 * comes. It never waits, and throws only for invalid arguments and after the task has ended.
 */
export interface Task {
  readonly name: string;
  /** No other task of the process has had this number. */
  readonly number: number;
  /** The task is here. */
  beat(status?: Status | StatusName, payload?: number): BeatOutcome;
  /** Nothing is due until the next call, or nothing before this time. */
  idle(atMostMs?: number): void;
  /**
   * Watches a function, which must end in time. If it returns a promise, the span ends when that
   * is settled. Spans may be nested, and may overlap.
   */
  watch<T>(limits: number | SpanLimits, fn: () => T): T;
  /** Opens a span that the caller closes. */
  watch(limits: number | SpanLimits): Span;
  /** The task is at this checkpoint, from 1 to 65535, or outside of all (0). */
  reach(checkpoint: number): void;
  /** This much is done, and this much is waiting. */
  progress(done: number, left: number): void;
  /** What was wrong so far. */
  counts(): TaskCounts;
  /**
   * Runs a function that is the whole work of the task. The task is closed when it returns or
   * resolves, and has failed when it throws or rejects.
   */
  run<T>(fn: (task: this) => T): T;
  /** The task is over, as planned. May be called twice; other methods then throw. */
  close(): void;
  /** The task is over and has failed. */
  fail(): void;
  /** Same as `close`: JavaScript does not reveal whether an exception ends the block. */
  [Symbol.dispose](): void;
}

export const Task: { readonly prototype: Task };

/** A block that must end in time, from `task.watch(limits)`. */
export interface Span {
  /** Ends the block. Returns whether it was open. */
  close(): boolean;
  [Symbol.dispose](): void;
}

export const Span: { readonly prototype: Span };

export interface BeatForeverOptions {
  /** The interval in milliseconds. Default: 500. */
  everyMs?: number;
  /** Called with the outcome of each beat. */
  onOutcome?: (outcome: BeatOutcome) => void;
  /** Stops the beats when it aborts. */
  signal?: AbortSignal;
}

export interface Beating {
  readonly stopped: boolean;
  stop(): void;
  /** By default the beats do not keep the process running. */
  ref(): this;
  unref(): this;
  [Symbol.dispose](): void;
}

/** Beats of an agent or a task from the event loop, with the loop's delay in microseconds as payload. */
export function beatForever(
  agent: { beat(status: Status, payload: number): BeatOutcome },
  options?: BeatForeverOptions,
): Beating;

// The observer.

export interface About {
  /** From 1. An observer never reuses a number. */
  readonly agent: number;
  /** In the observer's pid namespace; 0 if it has none there. */
  readonly pid: number;
  /** The pid in its frames. */
  readonly claimedPid: number;
  readonly origin: Origin;
  /**
   * The name to show: the first that is known of the one that the agent declared, its container,
   * its service, and its program. It is safe to print. Empty if none is known, as over a network.
   */
  readonly label: string;
}

/** The task of an agent that an event is about. */
export interface AboutTask {
  /** From 1. An agent never has two tasks with the same number. */
  readonly task: number;
  readonly taskName: string;
}

/** The event is about the process itself. */
interface NoTask {
  readonly task?: undefined;
  readonly taskName?: undefined;
}

interface EventBase<Kind extends string> {
  readonly kind: Kind;
  /** Nanoseconds since the observer started. */
  readonly observerNs: bigint;
  toString(): string;
}

interface BeatFields extends EventBase<'beat'>, About {
  readonly status: Status;
  readonly payload: bigint;
  readonly nonce: bigint;
  /** How many beats are missing between the previous one and this one. */
  readonly missed: bigint;
  /**
   * How many beats the event reports: 1 for a datagram; through shared memory the beats of a
   * process, or the calls of a task, since the last event.
   */
  readonly count: number;
}

export type BeatEvent = BeatFields & (NoTask | AboutTask);

interface StallFields extends EventBase<'stall'>, About {
  readonly lastNonce: bigint;
  /** When its last beat was received, or the last call of the task was made. */
  readonly lastNs: bigint;
  /**
   * Whether the observer may have missed its beats, because its queue was full. Do not act on
   * such a stall.
   */
  readonly deaf: boolean;
  /** The cause, if `causes` are looked up. */
  readonly why?: Why;
}

/** What a task promised and has not kept. */
interface LateFields extends AboutTask {
  readonly promise: PromiseName;
  /** When it was due. */
  readonly dueNs: bigint;
  /** The checkpoint where the task is, or the label of the span. */
  readonly checkpoint: number;
}

interface NotLate extends NoTask {
  readonly promise?: undefined;
  readonly dueNs?: undefined;
  readonly checkpoint?: undefined;
}

/** Why a process is silent. */
export interface Why {
  /** Such as `lock`, `stopped` or `starved`. */
  readonly cause: string;
  readonly class: 'unknown' | 'outside' | 'kernel' | 'own' | 'changed';
  readonly certainty: 'guess' | 'likely' | 'certain';
  /** What else is known, as bits. */
  readonly flags: number;
  /** The thread that hangs; 0 if it is the whole process, or not known. */
  readonly thread: number;
  /** The tracer, the owner of the lock, or the child; 0 if the cause has no such process, or it is unknown. */
  readonly other: number;
}

/** What was found out about a silence. */
export interface CauseInfo {
  readonly why: Why;
  /** When it was looked at last, on the observer's clock; 0 if never. */
  readonly lookedNs: bigint;
  /** The signal that stopped the process; 0 if none, or it is not known. */
  readonly signal: number;
  /** The time between the two readings that were compared. */
  readonly windowNs: bigint;
  /** How long the thread ran in that time, and how long it was ready but did not run. */
  readonly runNs: bigint;
  readonly waitNs: bigint;
  readonly switches: number;
  readonly majorFaults: number;
  /** What it waits in or is held by, such as `futex_do_wait futex`. */
  readonly detail: string;
}

/** The cause of a silence that was reported has changed, or was found out later. */
export interface CauseEvent extends EventBase<'cause'>, About, Partial<AboutTask> {
  readonly why: Why;
}

/** The agent has been silent for its threshold, or one of its tasks has broken a promise. */
export type StallEvent = StallFields & (NotLate | LateFields);

interface RecoveredFields extends EventBase<'recovered'>, About {
  /** How long the agent was silent, or by how much the task was late. */
  readonly silentNs: bigint;
  /** The promise, which for a process is `beat`. */
  readonly promise: PromiseName;
}

/** A stalled agent is beating again, in the next event. Or a task keeps its promise again. */
export type RecoveredEvent = RecoveredFields & (NoTask | AboutTask);

/** The process has exited. */
export interface ExitEvent extends EventBase<'exit'>, About {
  readonly cause: 'unknown' | 'code' | 'signal';
  /** Set if the cause is `code`. */
  readonly code?: number;
  /** The number of the signal. Set if the cause is `signal`. */
  readonly signal?: number;
  readonly lastStatus: Status;
}

export type DecodeErrorKind =
  | 'BadMagic' | 'BadVersion' | 'BadCrc' | 'BadStatus' | 'StallOnWire' | 'BadPid'
  | 'BadTimestamp' | 'BadNonce';

/** A datagram of 32 bytes was not a valid frame. */
export interface DecodeEvent extends EventBase<'decode'>, Partial<About> {
  readonly error: DecodeErrorKind;
}

/** A frame named a process other than the one that sent it. */
export interface AuthFailureEvent
  extends EventBase<'auth-failure'>, Partial<Omit<About, 'claimedPid'>> {
  readonly claimedPid: number;
  readonly truePid: number;
}

/** A socket operation failed. */
export interface IoEvent extends EventBase<'io'> {
  readonly errno: number;
  readonly code: string;
}

/** The observer itself was late, because it was stopped, suspended or starved. */
export interface PausedEvent extends EventBase<'paused'> {
  readonly ns: bigint;
}

/** A task was declared, or an observer that was restarted found it. */
export interface TaskEvent extends EventBase<'task'>, About, AboutTask {
  /** The longest time between two calls; `NEVER` for none. */
  readonly thresholdNs: bigint;
}

/** A task is over. */
export interface EndedEvent extends EventBase<'ended'>, About, AboutTask {
  readonly how: EndingName;
}

/** Calls of a task broke a rule. */
export interface ViolationEvent extends EventBase<'violation'>, About, AboutTask {
  /** The rule that was broken last. */
  readonly rule: RuleName;
  /** How many violations there were since the last event. */
  readonly count: number;
  /** The last one: the checkpoint before it, or the label of the span. */
  readonly from: number;
  /** The last one: the checkpoint that was reached. */
  readonly to: number;
  /** The last one: by how much, in nanoseconds, or in beats for a cycle. */
  readonly by: bigint;
}

export type ObserverEvent =
  | BeatEvent | StallEvent | RecoveredEvent | ExitEvent | DecodeEvent | AuthFailureEvent
  | IoEvent | PausedEvent | TaskEvent | EndedEvent | ViolationEvent | CauseEvent;

/** The class of all events, for `instanceof`. */
export const ObserverEvent: {
  readonly prototype: { readonly kind: string; readonly observerNs: bigint; toString(): string };
  [Symbol.hasInstance](value: unknown): value is ObserverEvent;
};

/** The current state of a tracked agent. */
export interface AgentInfo extends About {
  /** The name of its program; empty if unknown. */
  readonly name: string;
  readonly uid?: number;
  /** Its address, if it beats over a network. */
  readonly address?: string;
  readonly status: Status;
  readonly lastNs: bigint;
  readonly ageNs: bigint;
  readonly beats: number;
  readonly missed: number;
  readonly thresholdNs: bigint;
  readonly stalled: boolean;
  readonly unconfirmed: boolean;
  /** Whether it beats through shared memory. */
  readonly lane: boolean;
  /** How many of its tasks are followed, and how many of those are late. */
  readonly tasks: number;
  readonly tasksLate: number;
}

/** What a task must do next. */
export interface Due {
  readonly promise: PromiseName;
  readonly dueNs: bigint;
  /** The checkpoint where the task is, or the label of the span. */
  readonly checkpoint: number;
}

/** The current state of a task, as the observer sees it. */
export interface TaskInfo {
  readonly number: number;
  readonly name: string;
  /** The longest time between two calls; `NEVER` for none. */
  readonly thresholdNs: bigint;
  readonly status: Status;
  readonly payload: number;
  readonly lastNs: bigint;
  readonly ageNs: bigint;
  /** What is due next, or was due first of what is late; undefined if nothing is due. */
  readonly due: Due | undefined;
  readonly idle: boolean;
  readonly checkpoint: number;
  readonly done: number;
  readonly left: number;
  /** The calls and violations that were reported. */
  readonly beats: number;
  readonly violations: number;
  /** The promises for which a stall was reported and that have not been kept since. */
  readonly broken: PromiseName[];
}

/** How late tasks may be before that is reported, in milliseconds by name. */
export interface Slack {
  tasks?: Record<string, number>;
  /** All tasks of a program. A task's own entry counts more. */
  programs?: Record<string, number>;
}

/** Each received datagram is counted in exactly one of the counters down to `probes`. */
export interface Stats {
  readonly beats: number;
  readonly badMagic: number;
  readonly badVersion: number;
  readonly badCrc: number;
  readonly badStatus: number;
  readonly stallOnWire: number;
  readonly badPid: number;
  readonly badTimestamp: number;
  readonly badNonce: number;
  readonly wrongLength: number;
  readonly authFailures: number;
  readonly decryptFailures: number;
  readonly replays: number;
  readonly rateLimitedAgent: number;
  readonly rateLimitedGlobal: number;
  readonly capacityExceeded: number;
  readonly senderMemoryFull: number;
  readonly uidRefused: number;
  readonly namespaceRefused: number;
  readonly originConflicts: number;
  readonly controlTruncated: number;
  readonly probes: number;

  readonly received: number;
  readonly kernelDrops: number;
  readonly ioErrors: number;
  /** Attempts to open a sealed datagram, one for each key that was tried. */
  readonly openAttempts: number;
  readonly evictions: number;
  /** Any sender can drive this to an arbitrary value. */
  readonly missed: bigint;
  readonly notForward: number;
  readonly stalls: number;
  readonly recoveries: number;
  readonly exits: number;
  readonly pauses: number;
  /** How many of the stalls are marked as deaf. */
  readonly stallsDeaf: number;
  /** Polls of a Unix socket that found its queue full. */
  readonly fullLooks: number;
  /* Of pages of shared memory, and of tasks. */
  readonly laneAttached: number;
  readonly laneRefused: number;
  readonly laneBadMessages: number;
  readonly laneMuted: number;
  readonly laneLooks: number;
  readonly laneBeats: number;
  readonly laneInvalid: number;
  readonly laneRaised: number;
  readonly laneWithoutRoom: number;
  readonly tasks: number;
  readonly tasksEnded: number;
  readonly tasksWithoutRoom: number;
  readonly taskBeats: number;
  readonly taskStalls: number;
  readonly taskRecoveries: number;
  readonly violations: number;
  /* Of readings of silent processes, how many nanoseconds they took, and of threads that were lost by them. */
  readonly causeLooks: number;
  readonly causeRefused: number;
  readonly causeNs: number;
  readonly causeStuck: number;
}

export interface ObserverStats extends Stats {
  /** Beats, decode errors and auth failures that were counted but did not fit into the backlog. */
  readonly skipped: number;
}

export interface Rate {
  perSecond: number;
  burst: number;
}

export interface SimulatedOptions {
  /** How long an agent may be silent. Default: 2000. */
  thresholdMs?: number;
  /** How late the observer may be before that counts as a pause. */
  pauseAfterMs?: number;
  /** The maximum number of tracked agents. Default: 4096. */
  capacity?: number;
  /** The users whose beats are accepted over a Unix socket. Default: the observer's own. */
  uids?: 'any' | number | number[];
  /** Whether process exits are reported. Default: true. */
  detectExits?: boolean;
  /** Whether senders in other pid namespaces are accepted. Default: false. */
  namespaces?: boolean;
  /** Whether version 1 frames are accepted too. Default: false. */
  version1?: boolean;
  /** Limits the beats of one agent that become events. Default: no limit. */
  ratePerAgent?: Rate;
  /** Limits the beats of all agents together that become events. Default: no limit. */
  rate?: Rate;
  sharedKeys?: Key[];
  masterKey?: Key;
  /**
   * Whether agents may beat through shared memory. One beat event then reports several beats.
   * Default: false.
   */
  lane?: boolean;
  /** Whether the tasks of such agents are followed. Default: false. */
  tasks?: boolean;
  /** Whether to find out why a process is silent. Default: false. */
  causes?: boolean;
  /** The shortest time between two looks at the same shared memory. Default: 10. */
  laneFloorMs?: number;
  /** How late tasks may be before that is reported. Default: not at all. */
  slack?: Slack;
}

export interface ObserverOptions extends SimulatedOptions {
  /** Additional UDP addresses to listen on, as `host:port`; with port 0 the kernel chooses one. */
  udp?: string | string[];
  /** The same for sealed beats, with `sharedKeys` or `masterKey`. */
  secureUdp?: string | string[];
  /**
   * A file that keeps sealed sessions across restarts, so that a sealed beat cannot be replayed
   * to the next observer. It is created if it does not exist.
   */
  secureStateFile?: string;
  /** The mode of the socket file. Default: 0o600. */
  socketMode?: number;
  receiveBuffer?: number;
  /** The maximum number of descriptors for detecting exits. */
  descriptors?: number;
  /** How many beats may be queued while JavaScript is busy, 128 bytes each. Default: 65536. */
  backlog?: number;
  /** Closes the observer when it aborts. */
  signal?: AbortSignal;
}

export interface ObserverEvents {
  beat: [BeatEvent];
  stall: [StallEvent];
  recovered: [RecoveredEvent];
  exit: [ExitEvent];
  decode: [DecodeEvent];
  'auth-failure': [AuthFailureEvent];
  io: [IoEvent];
  paused: [PausedEvent];
  task: [TaskEvent];
  ended: [EndedEvent];
  violation: [ViolationEvent];
  cause: [CauseEvent];
  /** Events of every kind. */
  event: [ObserverEvent];
  /** The observer failed and is closed. */
  error: [Error];
  close: [];
}

type Listener<Name extends keyof ObserverEvents> = (...args: ObserverEvents[Name]) => void;

/** Receives the beats of agents, and reports events to listeners and in `for await` loops. */
export interface Observer extends EventEmitter {
  on<Name extends keyof ObserverEvents>(name: Name, listener: Listener<Name>): this;
  once<Name extends keyof ObserverEvents>(name: Name, listener: Listener<Name>): this;
  off<Name extends keyof ObserverEvents>(name: Name, listener: Listener<Name>): this;
  addListener<Name extends keyof ObserverEvents>(name: Name, listener: Listener<Name>): this;
  removeListener<Name extends keyof ObserverEvents>(name: Name, listener: Listener<Name>): this;
  prependListener<Name extends keyof ObserverEvents>(name: Name, listener: Listener<Name>): this;
  prependOnceListener<Name extends keyof ObserverEvents>(
    name: Name,
    listener: Listener<Name>,
  ): this;

  /** Iterates over all later events. When the signal aborts, the loop throws an AbortError. */
  events(options?: { signal?: AbortSignal }): AsyncIterableIterator<ObserverEvent>;
  [Symbol.asyncIterator](): AsyncIterableIterator<ObserverEvent>;

  /** Returns the next event, if there is one, without waiting. */
  poll(): ObserverEvent | undefined;
  agents(): AgentInfo[];
  stats(): ObserverStats;
  /** Sets the threshold of one agent. Returns false if there is no such agent. */
  setThreshold(agent: number | bigint, thresholdMs: number): boolean;
  /** The tasks of an agent that are followed. */
  tasks(agent: number | bigint): TaskInfo[];
  /** Why an agent, or one of its tasks, is silent; task 0 is the process. */
  cause(agent: number | bigint, task?: number): CauseInfo | undefined;
  /** Replaces the slack of all tasks. */
  setSlack(slack: Slack): void;
  /** The UDP addresses on which it listens. */
  readonly addresses: string[];
  /** Advice for the operator, for example that the kernel's queue is too short. */
  readonly advice: string | undefined;
  readonly closed: boolean;

  /** An open observer keeps the process running, unless `unref` is called. */
  ref(): this;
  unref(): this;
  close(): void;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export const Observer: {
  readonly prototype: Observer;
  bind(endpoints?: string | string[], options?: ObserverOptions): Observer;
  /** Creates an observer without sockets for tests, whose clock the caller sets. */
  simulated(options?: SimulatedOptions): Simulated;
};

export interface LocalSender {
  /** In the observer's pid namespace; 0 if it has none there. */
  pid: number;
  uid: number;
  /** A number that no other process has or had, if the datagram had one. */
  process?: number | bigint;
}

export interface NetworkSender {
  address: string;
  /** Whether it arrived at a listener for sealed frames. Default: false. */
  sealed?: boolean;
}

export interface Datagram {
  /** The index of the listener at which it arrived. Default: 0. */
  listener?: number;
  sender: LocalSender | NetworkSender;
  bytes: Uint8Array;
  /** Whether it was longer than `bytes`. Default: false. */
  truncated?: boolean;
  /** Whether its control data was truncated. Default: false. */
  controlTruncated?: boolean;
  /**
   * Whether the observer waited with empty queues and was woken by it. Only then it learns which
   * threads of the sender make its beats, to find out later why it is silent. Default: false.
   */
  fresh?: boolean;
}

/** What can be read of a process as a whole. What is absent is not known, or does not apply. */
export interface Reading {
  /** How long it takes to read it. In 10 ms, processes are read for 2 ms and once more. */
  spentNs?: number | bigint;
  /** Its CPU clock. */
  cpuNs?: number | bigint;
  /** How many threads it has. Default: as many as are added. */
  threadCount?: number;
  /** What cannot be read without a permission, as bits: 1 wchan, 2 syscall, 4 exe, 8 control groups. */
  lacks?: number;
  /** The device and inode of the program that it executes. */
  device?: number | bigint;
  inode?: number | bigint;
  /** The name of its first thread. */
  name?: string;
  /** Whether it writes its core file. */
  dumping?: boolean;
  /** Whether SIGKILL is pending for it. */
  killed?: boolean;
  /** The debugger or tracer that is attached to it. */
  tracer?: number;
  /** Whether its control group, or one above it, is frozen. */
  frozen?: boolean;
  /** Whether its control group waits for memory, and kills nobody for it. */
  underOom?: boolean;
  /** The path of that control group. */
  group?: string;
  /** In the control group with its quota: nr_periods and nr_throttled. */
  quotaPeriods?: number | bigint;
  quotaThrottled?: number | bigint;
  /** How long any process of the system has waited for memory. */
  memoryPressureNs?: number | bigint;
}

/** What can be read of a thread; proc(5) describes the values. */
export interface ThreadReading {
  /** Its state, such as `'R'`. Default: `'S'`. */
  state?: string;
  /** How long it ran, how long it was ready but did not run, and how often it began to run. */
  runNs?: number | bigint;
  waitNs?: number | bigint;
  slices?: number | bigint;
  /** The flags in its stat file. */
  flags?: number;
  majorFaults?: number | bigint;
  /** The signal that stopped it. */
  stopSignal?: number;
  /** The kernel function in which it waits. */
  waitChannel?: string;
  /**
   * The name of the system call in which it is; `running` if it is in none, `outside` if it waits in
   * the kernel outside of calls.
   */
  call?: string;
  /** The first four arguments of the call. */
  arguments?: (number | bigint)[];
}

export interface AdvanceOptions {
  /** Whether the queue was full, so that beats may have been lost. Default: false. */
  full?: boolean;
}

/**
 * An observer without sockets, for tests: the caller passes in datagrams, exits and what processes
 * write into shared memory, and sets the clock.
 */
export interface Simulated {
  /** Passes in a datagram. */
  feed(atNs: number | bigint, datagram: Datagram): void;
  /** Advances the clock and checks deadlines. All that arrived by then must have been fed. */
  advance(atNs: number | bigint, options?: AdvanceOptions): void;
  /** Reports the exit of a process. Returns false if no agent has that pid. */
  exit(
    atNs: number | bigint,
    pid: number,
    cause?: { code?: number; signal?: undefined } | { signal?: number; code?: undefined },
  ): boolean;
  /** The observer polls only now, though it was due at `dueNs`. */
  late(atNs: number | bigint, dueNs: number | bigint): void;
  /** The system was just suspended for this long. */
  suspended(atNs: number | bigint, ns: number | bigint): void;
  setThreshold(agent: number | bigint, thresholdNs: number | bigint): boolean;
  /**
   * Sets the pid namespace of the process with this pid, for all later datagrams. In another
   * namespace it has the pid `innermostPid`; without that it has whichever pid its frames name.
   */
  setNamespace(pid: number, namespace: 'same' | 'other' | 'unknown', innermostPid?: number): void;
  setSlack(slack: Slack): void;

  /** Gives a process a page of shared memory, or throws the system error for its refusal. */
  attach(atNs: number | bigint, process: Attaching): Attached;
  /** The process has mapped its page, which is looked at for the first time. */
  mapped(atNs: number | bigint, page: number): void;
  /** The process asks the observer to look at its page. */
  bell(atNs: number | bigint, page: number): void;
  /** The process gives up its page. */
  detach(atNs: number | bigint, page: number): void;
  /** Writes the eight words of a line of the page, as the process would. */
  writeLine(page: number, pair: number, line: 'cold' | 'hot', words: BigUint64Array): void;
  /** A thread of the process with this pid has ended. */
  threadGone(pid: number, thread: number): void;
  /** Sets the name of the program of a process, before it is heard. */
  setProgram(pid: number, name: string): void;
  /** Sets the name that a process declares: the `label` of its agent from now on. */
  setName(pid: number, name: string): void;
  /** Sets what can be read of a process from now on, without its threads, if causes are looked up. */
  setReading(pid: number, reading?: Reading): void;
  /** Adds a thread to that. Add the first one, whose id is the pid, before others. */
  addThreadReading(pid: number, thread: number, reading?: ThreadReading): void;
  tasks(agent: number | bigint): TaskInfo[];
  /** Why an agent, or one of its tasks, is silent; task 0 is the process. */
  cause(agent: number | bigint, task?: number): CauseInfo | undefined;

  /** Returns the next pending event, if there is one. */
  poll(): ObserverEvent | undefined;
  agents(): AgentInfo[];
  stats(): Stats;
}

/** A process that asks for a page. */
export interface Attaching extends LocalSender {
  /** The pid that it claims. Default: `pid`. */
  claimedPid?: number;
  /** The last nonce that it has used. Default: 0. */
  nonce?: number | bigint;
  /** Its monotonic clock less the observer's, in nanoseconds. Default: 0. */
  clockOffset?: number | bigint;
}

export interface Attached {
  readonly page: number;
  /** How long the process may be silent. */
  readonly thresholdNs: bigint;
  /** Whether its tasks are followed. */
  readonly tasks: boolean;
}

export const Simulated: { readonly prototype: Simulated };

// The wire.

/** The bytes are not a valid frame; `kind` is the first reason found. */
export class DecodeError extends Error {
  constructor(kind: DecodeErrorKind, message?: string);
  readonly code: 'ERR_VARTA_DECODE';
  readonly kind: DecodeErrorKind;
  /** Returns the kind for a code. Codes are the same in every language. */
  static kindOf(code: number): DecodeErrorKind | undefined;
}

/** One beat as it is sent. */
export class Frame {
  constructor(
    status: Status | StatusName,
    pid: number,
    timestamp: number | bigint,
    nonce: number | bigint,
    payload: number,
  );
  readonly status: Status;
  readonly pid: number;
  readonly timestamp: bigint;
  readonly nonce: bigint;
  readonly payload: number;
  encode(): Buffer;
  static decode(wire: Uint8Array): Frame;
}

export function crc32c(bytes: Uint8Array): number;

/** Version 1 of the wire format, for older peers: a 64-bit payload, no checksum, no sealing. */
export namespace v1 {
  interface Varta extends Agent {
    beat(status?: Status | StatusName, payload?: number | bigint): BeatOutcome;
  }
  const Varta: {
    readonly prototype: Varta;
    connect(endpoint?: string, options?: ConnectOptions): Varta;
    connectUds(path: string): Varta;
    connectUdp(host: string, port: number): Varta;
  };
  class Frame {
    constructor(
      status: Status | StatusName,
      pid: number,
      timestamp: number | bigint,
      nonce: number | bigint,
      payload: number | bigint,
    );
    readonly status: Status;
    readonly pid: number;
    readonly timestamp: bigint;
    readonly nonce: bigint;
    readonly payload: bigint;
    encode(): Buffer;
    static decode(wire: Uint8Array): Frame;
  }
}

/** Sealing of frames, and key derivation. */
export namespace secure {
  const SHARED_BYTES: 60;
  const MASTER_BYTES: 64;
  /** A sealed frame cannot be opened: the key or the pid is wrong, or the bytes were changed. */
  class AuthError extends Error {
    constructor(message?: string);
    readonly code: 'ERR_VARTA_AUTH';
  }
  /** Never use a nonce (prefix and counter) twice with one key. */
  function seal(key: Key, ivPrefix: Uint8Array, ivCounter: number, frame: Uint8Array): Buffer;
  function sealAs(
    pid: number,
    agentKey: Key,
    ivPrefix: Uint8Array,
    ivCounter: number,
    frame: Uint8Array,
  ): Buffer;
  function open(key: Key, wire: Uint8Array): Buffer;
  /** Derives the key from the pid in the first four bytes. */
  function openWithMaster(masterKey: Key, wire: Uint8Array): Buffer;
  function deriveAgentKey(masterKey: Key, pid: number): Buffer;
  function deriveIvPrefix(salt: Uint8Array, index: number): Buffer;
  /** Reads a key from a file of 64 hex digits. Other users must not be able to read the file. */
  function readKeyFile(path: string): Buffer;
}

/** Sends a final beat when the process crashes. The exit code does not change. */
export namespace panic {
  interface Options {
    /** The signals that send last words when they end the process. Default: all supported ones. */
    signals?: NodeJS.Signals[];
  }
  function installSignalHandler(endpoint: string, options?: Options): void;
  function installSignalHandlerUds(path: string, options?: Options): void;
  function installSignalHandlerUdp(host: string, port: number, options?: Options): void;
  function installSignalHandlerSecureUdp(
    host: string,
    port: number,
    key: Key,
    options?: Options,
  ): void;
  /** Sends last words when the function throws or rejects, and passes the error on. */
  function run<T>(fn: () => T): T;
}
