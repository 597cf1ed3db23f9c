/// <reference types="node" />

import { EventEmitter } from 'node:events';

/** The version of this package. */
export const version: string;

/** Where agents and observers meet when nothing else is said: `$VARTA_ENDPOINT`, or this. */
export const DEFAULT_ENDPOINT: string;

export const FRAME_BYTES: 32;

/** The nonce of last words: all ones. */
export const NONCE_TERMINAL: bigint;

/** What an agent says of itself. Only an observer makes a `Stall`. */
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
  readonly 1: 'KernelQueueFull';
  readonly 2: 'NoObserver';
  readonly 3: 'PeerGone';
  readonly 4: 'StorageFull';
};
export type DropReason = 1 | 2 | 3 | 4;

/** How it is known who an agent is. Only `KernelAttested` is fit to act on. */
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

/** What became of a beat. Outcomes are shared and frozen. */
export type BeatOutcome = Sent | Dropped | Failed;

export const BeatOutcome: {
  readonly prototype: Outcome;
  [Symbol.hasInstance](value: unknown): value is BeatOutcome;
  sent(): Sent;
  dropped(reason: DropReason): Dropped;
  failed(error: BeatError): Failed;
};

/** Why a beat failed: something that waiting does not mend. */
export class BeatError extends Error {
  static readonly UNKNOWN_ERRNO: 0;
  constructor(errno: number);
  readonly code: string;
  /** Negative, as everywhere in Node; 0 if the system gave none. */
  readonly errno: number;
  readonly syscall: 'send';
}

/** The outcome that a send's error stands for, by its `errno` or else its `code`. */
export function classifySendError(error: Error): BeatOutcome;

export interface ConnectOptions {
  /** Whether the agent may start before its observer and finds it again. Default: true. */
  follow?: boolean;
  /** As `setReconnectAfter`. Default: 0. */
  reconnectAfter?: number;
}

interface Agent {
  /** Makes a new session to the same place. */
  reconnect(): void;
  /** After so many drops in a row a beat reconnects by itself; 0 turns that off. */
  setReconnectAfter(drops: number): void;
  clockRegressions(): number;
  forkRecoveries(): number;
  /** May be called twice. Whatever else is called then throws ERR_VARTA_CLOSED. */
  close(): void;
  [Symbol.dispose](): void;
}

/** An agent: one connection of one process to one observer. */
export interface Varta extends Agent {
  /** Says that this process lives. One system call; it never waits. */
  beat(status?: Status | StatusName, payload?: number): BeatOutcome;
}

export const Varta: {
  readonly prototype: Varta;
  /** To any endpoint. It may start before its observer and outlive it. */
  connect(endpoint?: string, options?: ConnectOptions): Varta;
  /** To a Unix socket to which somebody is bound. */
  connectUds(path: string): Varta;
  connectUdp(host: string, port: number): Varta;
  connectSecureUdp(host: string, port: number, key: Key): Varta;
  connectSecureUdpWithMaster(host: string, port: number, masterKey: Key): Varta;
};

export interface BeatForeverOptions {
  /** Default: 500. */
  everyMs?: number;
  /** Is told what became of each beat. */
  onOutcome?: (outcome: BeatOutcome) => void;
  /** Stops the beats. */
  signal?: AbortSignal;
}

export interface Beating {
  readonly stopped: boolean;
  stop(): void;
  /** By default the beats are no reason for a program to go on. */
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
  /** From 1; never given twice by one observer. */
  readonly agent: number;
  /** In the observer's namespace; 0 where it has none there. */
  readonly pid: number;
  /** The one its frames name. */
  readonly claimedPid: number;
  readonly origin: Origin;
}

interface Said<Kind extends string> {
  readonly kind: Kind;
  /** Nanoseconds since the observer started. */
  readonly observerNs: bigint;
  toString(): string;
}

export interface BeatEvent extends Said<'beat'>, About {
  readonly status: Status;
  readonly payload: bigint;
  readonly nonce: bigint;
  /** How many beats between the last one and this one never came. */
  readonly missed: bigint;
}

/** The agent has been silent for its threshold. */
export interface StallEvent extends Said<'stall'>, About {
  readonly lastNonce: bigint;
  readonly lastNs: bigint;
  /**
   * Whether the observer may have missed its beats, because its queue was full. Such a stall is
   * not fit to act on.
   */
  readonly deaf: boolean;
}

/** A stalled agent is back; its beat is the next event. */
export interface RecoveredEvent extends Said<'recovered'>, About {
  readonly silentNs: bigint;
}

/** The process is gone. */
export interface ExitEvent extends Said<'exit'>, About {
  readonly cause: 'unknown' | 'code' | 'signal';
  /** With the cause `code`. */
  readonly code?: number;
  /** With the cause `signal`: its number. */
  readonly signal?: number;
  readonly lastStatus: Status;
}

export type DecodeErrorKind =
  | 'BadMagic' | 'BadVersion' | 'BadCrc' | 'BadStatus' | 'StallOnWire' | 'BadPid'
  | 'BadTimestamp' | 'BadNonce';

/** 32 bytes came that are no frame. */
export interface DecodeEvent extends Said<'decode'>, Partial<About> {
  readonly error: DecodeErrorKind;
}

/** A frame named another process than the one that sent it. */
export interface AuthFailureEvent extends Said<'auth-failure'>, Partial<Omit<About, 'claimedPid'>> {
  readonly claimedPid: number;
  readonly truePid: number;
}

/** A socket failed. */
export interface IoEvent extends Said<'io'> {
  readonly errno: number;
  readonly code: string;
}

/** The observer itself came late: it was stopped, suspended or starved. */
export interface PausedEvent extends Said<'paused'> {
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

/** An agent that is followed, as it stands. */
export interface AgentInfo extends About {
  /** The name of its program; empty where that cannot be known. */
  readonly name: string;
  readonly uid?: number;
  /** Where it beats from, over a network. */
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

/** Each datagram received ends in exactly one of the counters down to `probes`. */
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
  /** Tries to open a sealed datagram, one for each key that was tried on it. */
  readonly openAttempts: number;
  readonly evictions: number;
  /** Whoever may beat may make it any number. */
  readonly missed: bigint;
  readonly notForward: number;
  readonly stalls: number;
  readonly recoveries: number;
  readonly exits: number;
  readonly pauses: number;
  /** The stalls, of all of them, that are marked as deaf. */
  readonly stallsDeaf: number;
  /** Looks at a Unix socket that found its queue full. */
  readonly fullLooks: number;
}

export interface ObserverStats extends Stats {
  /** Beats, and what rubbish led to, that were counted but found no room to be told. */
  readonly skipped: number;
}

export interface Rate {
  perSecond: number;
  burst: number;
}

export interface SimulatedOptions {
  /** How long an agent may be silent. Default: 2000. */
  thresholdMs?: number;
  /** How late the observer may come before it counts as a pause. */
  pauseAfterMs?: number;
  /** How many agents are followed. Default: 4096. */
  capacity?: number;
  /** Whose beats count over a Unix socket. Default: one's own. */
  uids?: 'any' | number | number[];
  /** Whether processes are followed to their end. Default: true. */
  detectExits?: boolean;
  /** Whether senders in other pid namespaces are admitted. Default: false. */
  namespaces?: boolean;
  /** Whether version 1 of the wire is taken too. Default: false. */
  version1?: boolean;
  /** How many beats of one agent become events. Default: all. */
  ratePerAgent?: Rate;
  /** How many beats of all agents together become events. Default: all. */
  rate?: Rate;
  sharedKeys?: Key[];
  masterKey?: Key;
}

export interface ObserverOptions extends SimulatedOptions {
  /** Addresses to listen at besides, as `host:port`; port 0 is one of the kernel's choosing. */
  udp?: string | string[];
  /** The same for sealed beats, with `sharedKeys` or `masterKey`. */
  secureUdp?: string | string[];
  /**
   * A file in which sealed sessions outlive the observer, so that a sealed beat that was
   * accepted once is refused by the next observer too. It is made if it is not there.
   */
  secureStateFile?: string;
  /** The mode of the socket's file. Default: 0o600. */
  socketMode?: number;
  receiveBuffer?: number;
  /** How many descriptors may be held for that. */
  descriptors?: number;
  /** How many beats may wait while JavaScript is busy, 64 bytes each. Default: 65536. */
  backlog?: number;
  /** Closes the observer. */
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
  /** Any of them. */
  event: [ObserverEvent];
  /** The observer can hear no more. */
  error: [Error];
  close: [];
}

type Listener<Name extends keyof ObserverEvents> = (...args: ObserverEvents[Name]) => void;

/** Hears agents and says what becomes of them, to listeners and in `for await`. */
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

  /** The events from now on. When the signal aborts, the loop throws an AbortError. */
  events(options?: { signal?: AbortSignal }): AsyncIterableIterator<ObserverEvent>;
  [Symbol.asyncIterator](): AsyncIterableIterator<ObserverEvent>;

  /** The next event, if there is one; it does not wait. */
  poll(): ObserverEvent | undefined;
  agents(): AgentInfo[];
  stats(): ObserverStats;
  /** Gives an agent a threshold of its own. False if there is no such agent. */
  setThreshold(agent: number | bigint, thresholdMs: number): boolean;
  /** The UDP addresses it listens at. */
  readonly addresses: string[];
  /** What the operator should know: that the kernel's queue is short for so many agents. */
  readonly advice: string | undefined;
  readonly closed: boolean;

  /** An open observer keeps the process from ending, unless it is unref'd. */
  ref(): this;
  unref(): this;
  close(): void;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export const Observer: {
  readonly prototype: Observer;
  bind(endpoints?: string | string[], options?: ObserverOptions): Observer;
  /** An observer without sockets, in invented time, for tests. */
  simulated(options?: SimulatedOptions): Simulated;
};

export interface LocalSender {
  /** In the observer's namespace; 0 where it has none there. */
  pid: number;
  uid: number;
  /** A number that no other process has or had, if one came with the datagram. */
  process?: number | bigint;
}

export interface NetworkSender {
  address: string;
  /** Whether it came to a listener that takes sealed frames only. Default: false. */
  sealed?: boolean;
}

export interface Datagram {
  /** Which of the listeners it came to. Default: 0. */
  listener?: number;
  sender: LocalSender | NetworkSender;
  bytes: Uint8Array;
  /** Whether it was longer than these bytes. Default: false. */
  truncated?: boolean;
  /** Whether not all that the kernel says of it came. Default: false. */
  controlTruncated?: boolean;
}

export interface AdvanceOptions {
  /** Whether the queue is at its length, so that beats may have been refused. Default: false. */
  full?: boolean;
}

/** Decides as an observer does, of what it is told instead of what it hears. */
export interface Simulated {
  /** A datagram arrives. */
  feed(atNs: number | bigint, datagram: Datagram): void;
  /** Everything that arrived by then has been fed, and deadlines are looked at. */
  advance(atNs: number | bigint, options?: AdvanceOptions): void;
  /** A process has ended. False if no agent has that pid. */
  exit(
    atNs: number | bigint,
    pid: number,
    cause?: { code?: number; signal?: undefined } | { signal?: number; code?: undefined },
  ): boolean;
  /** The observer comes to look only now, and was due at `dueNs`. */
  late(atNs: number | bigint, dueNs: number | bigint): void;
  /** The system has just been suspended for so long. */
  suspended(atNs: number | bigint, ns: number | bigint): void;
  setThreshold(agent: number | bigint, thresholdNs: number | bigint): boolean;
  /** From now on the process with this pid counts as one in that pid namespace. */
  setNamespace(pid: number, namespace: 'same' | 'other' | 'unknown'): void;
  /** The next of what has been said so far. */
  poll(): ObserverEvent | undefined;
  agents(): AgentInfo[];
  stats(): Stats;
}

export const Simulated: { readonly prototype: Simulated };

// The wire.

/** 32 bytes that are no frame; `kind` is the first thing wrong with them. */
export class DecodeError extends Error {
  constructor(kind: DecodeErrorKind, message?: string);
  readonly code: 'ERR_VARTA_DECODE';
  readonly kind: DecodeErrorKind;
  /** The kind of a code, which is the same in every language. */
  static kindOf(code: number): DecodeErrorKind | undefined;
}

/** One beat as it travels. */
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

/** For peers that know nothing newer: a payload of 64 bits, no checksum, no secure form. */
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

/** The secure wrapping, and the derivations of its keys. */
export namespace secure {
  const SHARED_BYTES: 60;
  const MASTER_BYTES: 64;
  /** A sealed frame did not open: a wrong key, a wrong pid, or damage. */
  class AuthError extends Error {
    constructor(message?: string);
    readonly code: 'ERR_VARTA_AUTH';
  }
  /** No key and AEAD nonce may ever meet twice. */
  function seal(key: Key, ivPrefix: Uint8Array, ivCounter: number, frame: Uint8Array): Buffer;
  function sealAs(
    pid: number,
    agentKey: Key,
    ivPrefix: Uint8Array,
    ivCounter: number,
    frame: Uint8Array,
  ): Buffer;
  function open(key: Key, wire: Uint8Array): Buffer;
  /** The first four bytes choose the key. */
  function openWithMaster(masterKey: Key, wire: Uint8Array): Buffer;
  function deriveAgentKey(masterKey: Key, pid: number): Buffer;
  function deriveIvPrefix(salt: Uint8Array, index: number): Buffer;
  function deriveEpochKey(agentKey: Key, epoch: number | bigint): Buffer;
  /** A file of 64 hex digits that nobody else can read. */
  function readKeyFile(path: string): Buffer;
}

/** Last words of a process that dies. Its exit code is what it would have been. */
export namespace panic {
  interface Options {
    /** Those that are told of when they end the process. Default: all that can be. */
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
  /** What the function throws, or rejects with, is told and then thrown on. */
  function run<T>(fn: () => T): T;
}
