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
  readonly 1: 'KernelQueueFull';
  readonly 2: 'NoObserver';
  readonly 3: 'PeerGone';
  readonly 4: 'StorageFull';
  readonly 5: 'Withheld';
};
export type DropReason = 1 | 2 | 3 | 4 | 5;

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

export interface ConnectOptions {
  /** Whether the agent may start before its observer and follows a replaced one. Default: true. */
  follow?: boolean;
  /** Same as `setReconnectAfter`. Default: 0. */
  reconnectAfter?: number;
}

interface Agent {
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
  /** Sends one beat. It is one system call and never waits. */
  beat(status?: Status | StatusName, payload?: number): BeatOutcome;
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

/** Beats from the event loop, with the loop's delay in microseconds as payload. */
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
}

interface EventBase<Kind extends string> {
  readonly kind: Kind;
  /** Nanoseconds since the observer started. */
  readonly observerNs: bigint;
  toString(): string;
}

export interface BeatEvent extends EventBase<'beat'>, About {
  readonly status: Status;
  readonly payload: bigint;
  readonly nonce: bigint;
  /** How many beats are missing between the previous one and this one. */
  readonly missed: bigint;
}

/** The agent has been silent for its threshold. */
export interface StallEvent extends EventBase<'stall'>, About {
  readonly lastNonce: bigint;
  readonly lastNs: bigint;
  /**
   * Whether the observer may have missed its beats, because its queue was full. Do not act on
   * such a stall.
   */
  readonly deaf: boolean;
}

/** A stalled agent is beating again. Its beat is the next event. */
export interface RecoveredEvent extends EventBase<'recovered'>, About {
  readonly silentNs: bigint;
}

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

export type ObserverEvent =
  | BeatEvent | StallEvent | RecoveredEvent | ExitEvent | DecodeEvent | AuthFailureEvent
  | IoEvent | PausedEvent;

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
  /** How many beats may be queued while JavaScript is busy, 64 bytes each. Default: 65536. */
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
  /** The UDP addresses on which it listens. */
  readonly addresses: string[];
  /** Advice for the operator: the kernel's queue is too short for this many agents. */
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
}

export interface AdvanceOptions {
  /** Whether the queue was full, so that beats may have been lost. Default: false. */
  full?: boolean;
}

/** An observer without sockets: the caller passes in datagrams and exits, and sets the clock. */
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
  /** Sets the pid namespace of the process with this pid, for all later datagrams. */
  setNamespace(pid: number, namespace: 'same' | 'other' | 'unknown'): void;
  /** Returns the next pending event, if there is one. */
  poll(): ObserverEvent | undefined;
  agents(): AgentInfo[];
  stats(): Stats;
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
