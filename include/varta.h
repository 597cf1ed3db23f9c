/*
 * varta.h: process liveness from C. This file is the manual of libvarta.
 *
 * An agent says a few times a second that its process lives; an observer hears it and says
 * who has gone silent, who has died and how, and who is back:
 *
 *     varta_agent *agent;
 *     int err = varta_connect(&agent, "/run/varta.sock", NULL);
 *     if (err < 0)
 *         errx(1, "no agent: %s", varta_strerror(err));
 *     for (;;) {
 *         do_the_work();
 *         varta_beat(agent, VARTA_STATUS_OK, 0);
 *     }
 *
 *     varta_observer *obs;
 *     varta_event event;
 *     int err = varta_observer_bind(&obs, "/run/varta.sock", NULL);
 *     while (err >= 0 && (err = varta_observer_poll(obs, &event, -1)) >= 0)
 *         printf("%s of agent %" PRIu64 "\n", varta_event_name(event.kind), event.agent);
 *
 * Six rules, after which every signature can be guessed:
 *
 * 1. Return. An int: negative is -errno, or a VARTA_E code below -4000 for what errno has no
 *    word for; 0 is "nothing more to say"; positive is "something". varta_strerror names every
 *    negative code. Results come through ret pointers, which are written only on success.
 * 2. Handles (varta_agent, varta_observer) are opaque. varta_connect and varta_observer_bind
 *    make one; varta_close and varta_observer_close end it, take NULL, cannot fail, and must be
 *    the last call on it. Debug builds of the library check that, and abort with a word.
 * 3. Structs that the caller allocates (options, counters, agent infos, datagrams) begin with
 *    their own size, and have a macro ending in _INIT that sets it, so that they can grow: a
 *    smaller one, from an older header, works; a larger one, from a newer header, works while
 *    all that this library does not know in it is zero, else -E2BIG. In an array the size of
 *    the first is the distance to the next. NULL options are the defaults, and so is zero in
 *    any field.
 * 4. Events are one varta_event of 128 bytes, without a size; what a kind does not set is zero.
 *    Enumerations are integers of fixed width with constants; a number that nobody knows is
 *    -EINVAL, and never more harmful than that. So are NULL where a pointer is needed, and
 *    flags and reserved fields that are not zero where they should be.
 * 5. Threads. A handle may move between threads. Two calls on one handle at once are no race:
 *    the second gets -EBUSY. varta_beat may be called from a signal handler, on plain
 *    transports. A fork is noticed by itself: a child may use its parent's agents, but not its
 *    observers (-ECHILD), and nothing that another thread was in the middle of keeps it waiting.
 * 6. No panic crosses: a bug in the library that would bring down a Rust program is
 *    VARTA_EPANIC, and the handle answers so from then on.
 *
 * There are no callbacks, no threads and no logging; no environment variable is read but
 * VARTA_ENDPOINT, where an endpoint is NULL; nothing is global but the crash handler and the
 * counters of nonces. The shared library stays loaded after a dlclose. Linux, any C library.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */


#ifndef VARTA_H
#define VARTA_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* Generated from ffi/src by ffi/header. Do not edit. */

/**
 * Agent flag: do not follow the observer. Then varta_connect fails if nobody is bound, and
 * an observer that is replaced is found again only by varta_reconnect or reconnect_after.
 */
#define VARTA_AGENT_NO_FOLLOW 1

/**
 * The length of a frame, whatever its version.
 */
#define VARTA_FRAME_BYTES 32

/**
 * The length of a frame sealed with a shared key.
 */
#define VARTA_SEALED_BYTES 60

/**
 * The length of a frame sealed with an agent's own key, derived from a master key.
 */
#define VARTA_SEALED_AS_BYTES 64

/**
 * The length of every key.
 */
#define VARTA_KEY_BYTES 32

/**
 * The nonce that, with VARTA_STATUS_CRITICAL, marks the last words of a process.
 */
#define VARTA_NONCE_TERMINAL 18446744073709551615ull

/**
 * Status: healthy.
 */
#define VARTA_STATUS_OK 0

/**
 * Status: working, with trouble.
 */
#define VARTA_STATUS_DEGRADED 1

/**
 * Status: in grave trouble. With VARTA_NONCE_TERMINAL, the last words of a process.
 */
#define VARTA_STATUS_CRITICAL 2

/**
 * Status: silent. Only an observer says this; it is never sent.
 */
#define VARTA_STATUS_STALL 3

/**
 * varta_beat: the kernel took the beat.
 */
#define VARTA_SENT 0

/**
 * varta_beat: dropped, the observer is there and its queue is full.
 */
#define VARTA_DROPPED_KERNEL_QUEUE_FULL 1

/**
 * varta_beat: dropped, nobody is bound there.
 */
#define VARTA_DROPPED_NO_OBSERVER 2

/**
 * varta_beat: dropped, somebody was there and went away.
 */
#define VARTA_DROPPED_PEER_GONE 3

/**
 * varta_beat: dropped, the file system is full.
 */
#define VARTA_DROPPED_STORAGE_FULL 4

/**
 * Event: a beat was accepted. Sets status, payload, nonce, missed.
 */
#define VARTA_EVENT_BEAT 1

/**
 * Event: the agent has been silent for its threshold; said once per silence. Sets nonce (the
 * last one) and last_ns.
 */
#define VARTA_EVENT_STALL 2

/**
 * Event: a stalled agent is back; its beat is the next event. Sets duration_ns (how long
 * nothing was heard).
 */
#define VARTA_EVENT_RECOVERED 3

/**
 * Event: the process is gone, and no longer followed. Sets exit_cause, code, status (the last
 * one).
 */
#define VARTA_EVENT_EXIT 4

/**
 * Event: 32 bytes came that are no frame. Sets decode_error, found, expected; about no agent.
 */
#define VARTA_EVENT_DECODE 5

/**
 * Event: a frame named another process than the one that sent it. Sets pid (the one the
 * kernel names) and claimed_pid (the one in the frame); about no agent.
 */
#define VARTA_EVENT_AUTH_FAILURE 6

/**
 * Event: a socket failed. Sets code (the errno, positive); about no agent.
 */
#define VARTA_EVENT_IO 7

/**
 * Event: the observer itself came late: it was stopped, suspended or starved. Silences that
 * began before are forgiven for as long. Sets duration_ns; about no agent.
 */
#define VARTA_EVENT_PAUSED 8

/**
 * Stall, in decode_error: the observer may have missed the agent's beats, because its queue was
 * full each time that it looked. Such a stall is not fit to act on.
 */
#define VARTA_EVENT_DEAF 128

/**
 * Origin: the kernel named the sender. Only this is fit to act on.
 */
#define VARTA_ORIGIN_KERNEL_ATTESTED 1

/**
 * Origin: whoever sent it held a key.
 */
#define VARTA_ORIGIN_SECURE_NETWORK 2

/**
 * Origin: anyone may have sent it.
 */
#define VARTA_ORIGIN_NETWORK 3

/**
 * Exit cause: nobody could tell.
 */
#define VARTA_EXIT_UNKNOWN 0

/**
 * Exit cause: the process ended with an exit code.
 */
#define VARTA_EXIT_CODE 1

/**
 * Exit cause: a signal ended the process.
 */
#define VARTA_EXIT_SIGNAL 2

/**
 * Decode error: the first two bytes are not "VA".
 */
#define VARTA_DECODE_BAD_MAGIC 1

/**
 * Decode error: a version that the decoder was not asked to take.
 */
#define VARTA_DECODE_BAD_VERSION 2

/**
 * Decode error: the bytes were damaged on the way.
 */
#define VARTA_DECODE_BAD_CRC 3

/**
 * Decode error: the status byte means nothing.
 */
#define VARTA_DECODE_BAD_STATUS 4

/**
 * Decode error: a stall from an agent; only an observer may say that.
 */
#define VARTA_DECODE_STALL_ON_WIRE 5

/**
 * Decode error: process ids 0 and 1 are no agents.
 */
#define VARTA_DECODE_BAD_PID 6

/**
 * Decode error: the timestamp is all ones.
 */
#define VARTA_DECODE_BAD_TIMESTAMP 7

/**
 * Decode error: the terminal nonce with a status other than critical.
 */
#define VARTA_DECODE_BAD_NONCE 8

/**
 * Crash handler flag: SIGTERM too.
 */
#define VARTA_CRASH_SIGTERM 1

/**
 * The library has a bug that would have brought down a Rust program. It was contained; the
 * handle it happened on answers so from then on, and can only be closed.
 */
#define VARTA_EPANIC (-4001)

/**
 * The key file holds no key: it is not a regular file of 64 hex digits.
 */
#define VARTA_EKEY (-4002)

/**
 * The uid of an agent that the kernel does not vouch for.
 */
#define VARTA_NO_UID 4294967295

/**
 * Agent info flag: a stall was said and the agent is not back.
 */
#define VARTA_AGENT_STALLED 1

/**
 * Agent info flag: it may have taken over the pid of the process that is meant; nothing tells
 * the two apart.
 */
#define VARTA_AGENT_UNCONFIRMED 2

/**
 * Observer flag: take frames of version 1 beside those of version 2.
 */
#define VARTA_OBSERVER_VERSION1 1

/**
 * Observer flag: admit senders in other pid namespaces.
 */
#define VARTA_OBSERVER_NAMESPACES 2

/**
 * Observer flag: admit every user's beats. The default is the observer's own user, or those
 * in uids.
 */
#define VARTA_OBSERVER_ANY_UID 4

/**
 * Observer flag: do not follow processes to their end; silence does the work.
 */
#define VARTA_OBSERVER_NO_EXITS 8

/**
 * Datagram sender: a process, over a Unix socket, named by the kernel: pid, uid, process,
 * pid_namespace.
 */
#define VARTA_SENDER_KERNEL 0

/**
 * Datagram sender: an address, over plain UDP: source.
 */
#define VARTA_SENDER_NETWORK 1

/**
 * Datagram sender: an address, at a listener that takes sealed frames only: source.
 */
#define VARTA_SENDER_SECURE_NETWORK 2

/**
 * Datagram namespace: the observer's.
 */
#define VARTA_NAMESPACE_SAME 0

/**
 * Datagram namespace: another, in which the sender has another pid.
 */
#define VARTA_NAMESPACE_OTHER 1

/**
 * Datagram namespace: nobody could tell.
 */
#define VARTA_NAMESPACE_UNKNOWN 2

/**
 * Datagram flag: it was longer than the observer's buffer.
 */
#define VARTA_DATAGRAM_TRUNCATED 1

/**
 * Datagram flag: not all that the kernel says of it could be received.
 */
#define VARTA_DATAGRAM_CONTROL_TRUNCATED 2

/**
 * Advance flag: the look finds the queue at its length, so that beats may have been refused.
 */
#define VARTA_ADVANCE_FULL 1

/**
 * The version of this header: major * 65536 + minor * 256 + patch.
 */
#define VARTA_VERSION 768

/**
 * The number in the soname. Programs built for one run with any library of the same.
 */
#define VARTA_ABI_VERSION 0

/**
 * An agent: one connection of this process to one observer. Made by varta_connect, ended
 * by varta_close.
 */
typedef struct varta_agent varta_agent;

/**
 * An observer, over sockets or simulated. Made by varta_observer_bind or
 * varta_observer_simulate, ended by varta_observer_close.
 */
typedef struct varta_observer varta_observer;

/**
 * How an agent is to be. Initialise it with VARTA_AGENT_OPTIONS_INIT; zero in any field means
 * its default.
 */
typedef struct varta_agent_options {
    /**
     * sizeof(varta_agent_options).
     */
    uint32_t size;
    /**
     * VARTA_AGENT_ flags; others are -EINVAL.
     */
    uint32_t flags;
    /**
     * After so many dropped beats in a row a beat reconnects by itself and sends the same
     * frame once more; while that does not help, every later beat tries again. 0: never.
     */
    uint32_t reconnect_after;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Where varta_connect writes, if it fails, a sentence that says what, where and what to
     * do; NULL for nowhere. It ends in NUL and is cut to fit.
     */
    char *message;
    /**
     * The bytes that message leads to.
     */
    size_t message_size;
} varta_agent_options;

/**
 * What an agent has counted. Initialise it with VARTA_AGENT_COUNTERS_INIT.
 */
typedef struct varta_agent_counters {
    /**
     * sizeof(varta_agent_counters).
     */
    uint32_t size;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * How often the clock went back, for varta_client_clock_regression_total.
     */
    uint64_t clock_regressions;
    /**
     * How many forks lie between the process that made the agent and the one that uses it, as
     * its beats have noticed, for varta_client_fork_recoveries_total.
     */
    uint64_t fork_recoveries;
} varta_agent_counters;

/**
 * One beat as it travels, taken apart. 40 bytes in every version of this library.
 */
typedef struct varta_frame {
    /**
     * Nanoseconds since the sender connected, on its own monotonic clock.
     */
    uint64_t timestamp;
    /**
     * Counts the beats of a process to an endpoint, from 1.
     */
    uint64_t nonce;
    /**
     * The application's. Version 2 has 32 bits for it, version 1 has 64.
     */
    uint64_t payload;
    /**
     * The sender's process id when it sent.
     */
    uint32_t pid;
    /**
     * VARTA_STATUS_.
     */
    uint8_t status;
    /**
     * The version of the wire: 2, or 1 for observers that know nothing newer.
     */
    uint8_t version;
    /**
     * Zero.
     */
    uint8_t reserved[10];
} varta_frame;

/**
 * How an observer is to be. Initialise it with VARTA_OBSERVER_OPTIONS_INIT; zero in any field
 * means its default.
 */
typedef struct varta_observer_options {
    /**
     * sizeof(varta_observer_options).
     */
    uint32_t size;
    /**
     * VARTA_OBSERVER_ flags; others are -EINVAL.
     */
    uint32_t flags;
    /**
     * How long an agent may be silent. Default: 2 s.
     */
    uint64_t threshold_ns;
    /**
     * How late the observer itself may come before that counts as a pause, which every agent
     * is given back. Default: half the shortest threshold, at least 50 ms.
     */
    uint64_t pause_after_ns;
    /**
     * How many agents are followed at most. Default: 4,096. More than 2^28 is -EINVAL.
     */
    uint32_t capacity;
    /**
     * The mode of the socket's file. Default: 0600. More than 0777 is -EINVAL.
     */
    uint32_t socket_mode;
    /**
     * How many bytes the kernel's receive buffers are asked to have. Default: 1 MiB.
     */
    uint32_t receive_buffer;
    /**
     * How many descriptors may be held to follow processes. Default: half the soft limit.
     */
    uint32_t descriptors;
    /**
     * How many beats of one agent a second become events, and how many at once after a quiet
     * time. A beat over the rate still shows that its agent lives. Default: all do.
     */
    uint32_t agent_rate;
    /**
     * With agent_rate; 0 is taken as 1.
     */
    uint32_t agent_burst;
    /**
     * As agent_rate, of all agents together.
     */
    uint32_t rate;
    /**
     * With rate; 0 is taken as 1.
     */
    uint32_t burst;
    /**
     * Whose beats count over a Unix socket. Default: the user the observer runs as; of a
     * simulated observer, uid 0. With VARTA_OBSERVER_ANY_UID it must be NULL.
     */
    const uint32_t *uids;
    /**
     * How many they are.
     */
    size_t uid_count;
    /**
     * Keys of 32 bytes, one after the other, that sealed beats may have, beside those of the
     * endpoints.
     */
    const uint8_t *shared_keys;
    /**
     * How many keys they are.
     */
    size_t shared_key_count;
    /**
     * A key of 32 bytes from which each agent's own is derived.
     */
    const uint8_t *master_key;
    /**
     * A bound Unix datagram socket to listen at, as from a service manager; 0 for none. It is
     * used as it is and its file is never removed. The observer makes a descriptor of its own;
     * the caller keeps this one.
     */
    int inherit;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Where varta_observer_bind writes, if it fails, a sentence that says what, where and what
     * to do; NULL for nowhere. It ends in NUL and is cut to fit.
     */
    char *message;
    /**
     * The bytes that message leads to.
     */
    size_t message_size;
    /**
     * A file in which sealed sessions outlive the observer, so that a sealed beat that was
     * accepted once is refused by the next observer too; NULL for none. It is made with mode
     * 0600 if it is not there; make it together with the key. A simulated observer leaves it
     * alone.
     */
    const char *secure_state_file;
} varta_observer_options;

/**
 * An agent that is followed, as it stands. Initialise the first of an array with
 * VARTA_AGENT_INFO_INIT.
 */
typedef struct varta_agent_info {
    /**
     * sizeof(varta_agent_info).
     */
    uint32_t size;
    /**
     * VARTA_AGENT_STALLED, VARTA_AGENT_UNCONFIRMED.
     */
    uint32_t flags;
    /**
     * The agent's number, from 1, never given twice by one observer.
     */
    uint64_t agent;
    /**
     * The process id in the observer's namespace; 0 where it has none there.
     */
    uint32_t pid;
    /**
     * The process id that the agent's frames name.
     */
    uint32_t claimed_pid;
    /**
     * Whose process it is; VARTA_NO_UID where the kernel does not say so.
     */
    uint32_t uid;
    /**
     * How it is known who the agent is: VARTA_ORIGIN_.
     */
    uint8_t origin;
    /**
     * What it said of itself last: VARTA_STATUS_.
     */
    uint8_t status;
    /**
     * Zero.
     */
    uint16_t reserved;
    /**
     * When it was last heard, in nanoseconds since the observer started.
     */
    uint64_t last_ns;
    /**
     * How long ago that is.
     */
    uint64_t age_ns;
    /**
     * How long it may be silent.
     */
    uint64_t threshold_ns;
    /**
     * Beats heard of it, also those that a rate limit kept from becoming events.
     */
    uint64_t beats;
    /**
     * Beats that never came, by its nonces; stays at 2^32 - 1.
     */
    uint64_t missed;
    /**
     * The name of its program, as the kernel has it; empty where that cannot be known. Any process
     * chooses these bytes itself: they may be no text, and hold control characters. Escape them before
     * they are printed.
     */
    char name[16];
    /**
     * Where it beats from, as a numeric address; empty unless over a network.
     */
    char address[48];
} varta_agent_info;

/**
 * What an observer has counted since it began. Each datagram received ends in exactly one of
 * the fields from beats to probes, so that their sum is received; the others count what
 * datagrams led to. Initialise it with VARTA_OBSERVER_COUNTERS_INIT.
 */
typedef struct varta_observer_counters {
    /**
     * sizeof(varta_observer_counters).
     */
    uint32_t size;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Accepted, and said as a Beat.
     */
    uint64_t beats;
    /**
     * 32 bytes that do not begin as a frame does.
     */
    uint64_t bad_magic;
    /**
     * A version that is not taken.
     */
    uint64_t bad_version;
    /**
     * Damaged on the way.
     */
    uint64_t bad_crc;
    /**
     * A status that means nothing.
     */
    uint64_t bad_status;
    /**
     * A Stall from an agent.
     */
    uint64_t stall_on_wire;
    /**
     * A process id that is no agent's.
     */
    uint64_t bad_pid;
    /**
     * A timestamp of all ones.
     */
    uint64_t bad_timestamp;
    /**
     * The terminal nonce with a status that does not go with it.
     */
    uint64_t bad_nonce;
    /**
     * Of a length that no frame has.
     */
    uint64_t wrong_length;
    /**
     * The frame named another process than the one that sent it.
     */
    uint64_t auth_failures;
    /**
     * Not sealed with a key that is held.
     */
    uint64_t decrypt_failures;
    /**
     * Over a network, and not forward of what was heard.
     */
    uint64_t replays;
    /**
     * More than the agent's share. It proved life all the same.
     */
    uint64_t rate_limited_agent;
    /**
     * More than everyone's share. From an agent that is followed, it proved life all the
     * same.
     */
    uint64_t rate_limited_global;
    /**
     * From a newcomer for whom there was no room.
     */
    uint64_t capacity_exceeded;
    /**
     * From a newcomer over secure UDP whose prefixes could not be remembered.
     */
    uint64_t sender_memory_full;
    /**
     * From a user whose beats do not count.
     */
    uint64_t uid_refused;
    /**
     * From another pid namespace, which is not allowed or cannot be followed.
     */
    uint64_t namespace_refused;
    /**
     * Over the network from this host, naming a process that is followed by what the
     * kernel says of it.
     */
    uint64_t origin_conflicts;
    /**
     * Came without the whole of what the kernel has to say about it.
     */
    uint64_t control_truncated;
    /**
     * Empty: another observer asking whether someone is there.
     */
    uint64_t probes;
    /**
     * Datagrams received.
     */
    uint64_t received;
    /**
     * Datagrams that the kernel dropped before they could be received.
     */
    uint64_t kernel_drops;
    /**
     * Agents that were gone and made room.
     */
    uint64_t evictions;
    /**
     * Beats that never came, by their nonces. Who may beat may make this any number.
     */
    uint64_t missed;
    /**
     * Accepted beats whose nonce did not move forward.
     */
    uint64_t not_forward;
    /**
     * Stalls said.
     */
    uint64_t stalls;
    /**
     * Recoveries said.
     */
    uint64_t recoveries;
    /**
     * Exits said.
     */
    uint64_t exits;
    /**
     * Pauses said.
     */
    uint64_t pauses;
    /**
     * The stalls, of all of them, that were marked VARTA_EVENT_DEAF.
     */
    uint64_t stalls_deaf;
    /**
     * Looks at a Unix socket that found its queue at its length.
     */
    uint64_t full_looks;
} varta_observer_counters;

/**
 * One thing an observer has to say. 128 bytes in every version of this library; fields that
 * a kind of event does not set are 0, and so are the reserved ones.
 */
typedef struct varta_event {
    /**
     * Nanoseconds since the observer started, on a clock that also counts suspend. From one
     * event to the next it never falls.
     */
    uint64_t observer_ns;
    /**
     * The agent's number, from 1, never given twice by one observer. 0: about no agent.
     */
    uint64_t agent;
    /**
     * The process id in the observer's namespace; 0 where it has none there.
     */
    uint32_t pid;
    /**
     * The process id that the agent's frames name.
     */
    uint32_t claimed_pid;
    /**
     * What happened: VARTA_EVENT_BEAT to VARTA_EVENT_PAUSED. Later versions may add more.
     */
    uint8_t kind;
    /**
     * How it is known who the agent is: VARTA_ORIGIN_. 0: about no agent.
     */
    uint8_t origin;
    /**
     * Beat, exit: VARTA_STATUS_, what the agent says (or said last) of itself. Decode
     * error BadNonce: the status that came with the nonce.
     */
    uint8_t status;
    /**
     * Exit: VARTA_EXIT_.
     */
    uint8_t exit_cause;
    /**
     * Decode: VARTA_DECODE_. Stall: 0, or VARTA_EVENT_DEAF.
     */
    uint8_t decode_error;
    /**
     * Zero.
     */
    uint8_t reserved0[3];
    /**
     * Exit: the exit code or the signal. Io: the errno, positive.
     */
    int32_t code;
    /**
     * Decode errors BadCrc, BadStatus, BadPid: the checksum, status or pid that came.
     */
    uint32_t found;
    /**
     * Decode error BadCrc: the checksum that the bytes give.
     */
    uint32_t expected;
    /**
     * Zero.
     */
    uint32_t reserved1;
    /**
     * Beat: the frame's. Stall: the last one that was not terminal. Decode error BadNonce:
     * the one that came.
     */
    uint64_t nonce;
    /**
     * Beat: the application's, carried untouched.
     */
    uint64_t payload;
    /**
     * Beat: how many beats between the last one and this one never came.
     */
    uint64_t missed;
    /**
     * Stall: when the agent was last heard, as observer_ns.
     */
    uint64_t last_ns;
    /**
     * Recovered: how long nothing was heard. Paused: how long the observer was away.
     */
    uint64_t duration_ns;
    /**
     * Zero.
     */
    uint64_t reserved[5];
} varta_event;

/**
 * A datagram for a simulated observer. Initialise it with VARTA_DATAGRAM_INIT.
 */
typedef struct varta_datagram {
    /**
     * sizeof(varta_datagram).
     */
    uint32_t size;
    /**
     * VARTA_DATAGRAM_ flags; others are -EINVAL.
     */
    uint32_t flags;
    /**
     * What it holds; may be NULL if that is nothing.
     */
    const uint8_t *bytes;
    /**
     * How many bytes.
     */
    size_t length;
    /**
     * Which of the observer's listeners it came to, from 0; more than 65535 is -EINVAL.
     * Senders over a network are told apart by it too.
     */
    uint32_t listener;
    /**
     * Who sent it, and how that is known: VARTA_SENDER_.
     */
    uint32_t sender;
    /**
     * The sender's process id in the observer's namespace; 0 where it has none there.
     */
    uint32_t pid;
    /**
     * The sender's user.
     */
    uint32_t uid;
    /**
     * A number that no other process has or had, as the inode of a pidfd is; 0: none came
     * with the datagram.
     */
    uint64_t process;
    /**
     * Where the sender's pid counts: VARTA_NAMESPACE_. It is asked for when the frame names
     * another pid than the kernel does.
     */
    uint32_t pid_namespace;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * The sender's address, without the port, as a numeric text: "192.0.2.1", "2001:db8::1".
     */
    const char *source;
} varta_datagram;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes an agent.
 *
 * It takes care of itself: it may start before its observer and outlive it. On a Unix
 * socket, the beat after one that found nobody first tries a new session, at most ten
 * times a second; over UDP the session is kept. A forked child may go on using it: its
 * first beat there makes a session of its own and counts from 1.
 *
 * ret: where the new handle is written. The caller owns it and ends it with varta_close.
 * endpoint: where the observer is: "/run/varta.sock", "unix:///run/varta.sock", "@name"
 *     (abstract), "udp://127.0.0.1:9000", "udp+secure://10.0.0.5:9443?key-file=PATH" or
 *     "...?master-key-file=PATH". Hosts are numeric. NULL: $VARTA_ENDPOINT, else
 *     "/run/varta/varta.sock".
 * opt: options, or NULL for the defaults. Not kept.
 *
 * Returns 0, or
 *     -EINVAL         ret is NULL, the endpoint is none, or a flag is unknown
 *     -E2BIG          opt holds values that this library does not know
 *     -EACCES         the socket or the key file may not be used, or others can read the key
 *     -ENOENT         there is no such key file; with VARTA_AGENT_NO_FOLLOW, nobody is bound
 *     -ECONNREFUSED   with VARTA_AGENT_NO_FOLLOW, nobody is bound there any more
 *     VARTA_EKEY      the key file holds no key
 *     -EMFILE         no descriptor is left
 *     and others of socket(2) and connect(2)
 * With opt->message the reason is also said in words.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_connect(varta_agent **ret,
                  const char *endpoint,
                  const varta_agent_options *opt);

/**
 * Says that this process lives, with a status and a number of the application's own.
 *
 * One system call. It never blocks, allocates, locks or logs. Beat from the loop that does
 * the work, not from a helper thread that lives on when the work is dead.
 *
 * agent: from varta_connect.
 * status: VARTA_STATUS_OK, VARTA_STATUS_DEGRADED or VARTA_STATUS_CRITICAL.
 * payload: carried untouched to whoever polls the observer.
 *
 * Returns 0 if the kernel took the beat (VARTA_SENT). A positive number says why it was
 * dropped; that passes by itself, and the work goes on:
 *     VARTA_DROPPED_KERNEL_QUEUE_FULL   the observer is there, its queue is full
 *     VARTA_DROPPED_NO_OBSERVER         nobody is bound there
 *     VARTA_DROPPED_PEER_GONE           somebody was there and went away
 *     VARTA_DROPPED_STORAGE_FULL        the file system is full
 * A negative one says what waiting does not mend:
 *     -EINVAL        agent is NULL, or the status is VARTA_STATUS_STALL or unknown
 *     -EBUSY         another call is on this agent; nothing was sent
 *     VARTA_EPANIC   a bug was contained; the agent can only be closed
 *     and others of send(2), in a forked child also of socket(2) and connect(2)
 * Threads: one at a time for one agent. On plain transports (not udp+secure) it may be
 * called from a signal handler; one that interrupts a call on the same agent gets -EBUSY.
 * Since 0.3.0.
 */
int varta_beat(varta_agent *agent, uint8_t status, uint32_t payload);

/**
 * Makes a new session to the same place. Nonce and clock go on; in a forked child they
 * start anew.
 *
 * agent: from varta_connect.
 *
 * Returns 0, or
 *     -EINVAL         agent is NULL
 *     -EBUSY          another call is on this agent
 *     -ENOENT         there is no such socket
 *     -ECONNREFUSED   nobody is bound there any more
 *     VARTA_EPANIC    a bug was contained; the agent can only be closed
 *     and others of socket(2) and connect(2)
 * After an error the old session is as it was.
 * Threads: one at a time for one agent. Since 0.3.0.
 */
int varta_reconnect(varta_agent *agent);

/**
 * Says what an agent has counted.
 *
 * agent: from varta_connect.
 * ret: a struct that was initialised with VARTA_AGENT_COUNTERS_INIT.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, or ret was not initialised
 *     -E2BIG         ret is of a newer header and holds what this library does not know
 *     -EBUSY         another call is on this agent
 *     VARTA_EPANIC   a bug was contained; the agent can only be closed
 * Threads: one at a time for one agent. Since 0.3.0.
 */
int varta_agent_stats(varta_agent *agent, varta_agent_counters *ret);

/**
 * Ends an agent. Its silence from here on is a stall to the observer, unless the process
 * ends too.
 *
 * agent: from varta_connect, or NULL, which is no agent. No other call may be on it, and
 *     none may follow; debug builds of the library check that, and abort.
 * Threads: any. Since 0.3.0.
 */
void varta_close(varta_agent *agent);

/**
 * Puts a frame into the bytes that travel. What the fields mean is not checked: decoding is
 * the judge of that.
 *
 * ret: where 32 bytes are written.
 * frame: version is 1 or 2, and status one of VARTA_STATUS_.
 *
 * Returns 0, or -EINVAL: a pointer is NULL, the version or the status is unknown, a reserved
 * byte is not zero, or the payload does not fit the version.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_encode(uint8_t *ret, const varta_frame *frame);

/**
 * Takes a frame apart.
 *
 * ret: where the frame is written, if it is one.
 * wire: the bytes of a datagram.
 * length: how many they are.
 * version: what is taken: 2, or 1. A frame of the other is VARTA_DECODE_BAD_VERSION.
 *
 * Returns 0 if it is a frame. A positive number says what is wrong with it, the first thing
 * in this order: VARTA_DECODE_BAD_MAGIC, _BAD_VERSION, _BAD_CRC (version 2 only),
 * _BAD_STATUS, _STALL_ON_WIRE, _BAD_PID, _BAD_TIMESTAMP, _BAD_NONCE. A negative one says
 * what is wrong with the call:
 *     -EINVAL     a pointer is NULL, or the version is unknown
 *     -EMSGSIZE   a frame has 32 bytes
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_decode(varta_frame *ret,
                       const uint8_t *wire,
                       size_t length,
                       uint8_t version);

/**
 * The CRC-32C (Castagnoli) of some bytes.
 *
 * ret: where the checksum is written.
 * bytes: the bytes; may be NULL if there are none.
 * length: how many they are.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_crc32c(uint32_t *ret, const uint8_t *bytes, size_t length);

/**
 * Names a status: "ok", "degraded", "critical", "stall".
 *
 * status: a VARTA_STATUS_ number.
 *
 * Returns a text of static storage, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_status_name(uint8_t status);

/**
 * Says what became of a beat: "sent", or why it was dropped, such as "no observer".
 *
 * outcome: what varta_beat returned, if it is not negative; varta_strerror is for those.
 *
 * Returns a text of static storage, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_outcome_name(int outcome);

/**
 * Names a kind of event: "beat", "stall", "recovered", "exit", "decode", "auth-failure",
 * "io", "paused".
 *
 * kind: a VARTA_EVENT_ number.
 *
 * Returns a text of static storage, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_event_name(uint8_t kind);

/**
 * Names an origin: "kernel-attested", "secure-network", "network".
 *
 * origin: a VARTA_ORIGIN_ number.
 *
 * Returns a text of static storage, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_origin_name(uint8_t origin);

/**
 * Names a decode error as the shared test vectors spell it: "BadMagic", "BadVersion",
 * "BadCrc", "BadStatus", "StallOnWire", "BadPid", "BadTimestamp", "BadNonce".
 *
 * error: a VARTA_DECODE_ number, from varta_frame_decode or an event.
 *
 * Returns a text of static storage, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_decode_error_name(int error);

/**
 * From now on the observer is told when a fatal signal ends this process: SIGSEGV, SIGABRT
 * (and so abort and std::terminate), SIGBUS, SIGILL, SIGFPE, and SIGTERM if asked. It
 * gets VARTA_STATUS_CRITICAL with VARTA_NONCE_TERMINAL, and the signal's number as payload.
 * Then the signal does what it did before: whatever handler was there runs, or the process
 * ends by that signal, with a core dump where there was to be one. A signal that was ignored
 * stays so.
 *
 * The socket is opened now; nobody can count on one in a process that is dying. Forked
 * children have the handler too, and name themselves. Programs that exec have it no more.
 *
 * Call it once in each thread: the first call installs the handlers, and every call gives
 * its thread a stack of its own for them if it has none, so that the last words are said also
 * when the thread's own stack has overflowed. A thread that did not call it says nothing then.
 * Calling it again with another endpoint moves the last words there.
 *
 * Where a signal has been set to its default or ignored since, a further call installs the
 * handler for it again. A handler that somebody else has installed since is left in force,
 * and is expected to call the one it replaced.
 *
 * The object that this code is linked into is never unloaded from then on, also if it is a
 * plugin that links libvarta.a.
 *
 * endpoint: as for varta_connect; NULL: $VARTA_ENDPOINT, else "/run/varta/varta.sock".
 * flags: VARTA_CRASH_ flags, for the first call that has them; others are -EINVAL.
 *
 * Returns 0, or
 *     -EINVAL         the endpoint is none, or a flag is unknown
 *     -ENOENT         nobody is bound there, or there is no such key file
 *     -ECONNREFUSED   nobody is bound there any more
 *     -EACCES         the socket or the key file may not be used, or others can read the key
 *     VARTA_EKEY      the key file holds no key
 *     -EMFILE         no descriptor is left
 *     -EOPNOTSUPP     the object with this code cannot be kept loaded
 *     and others of socket(2), connect(2) and mmap(2)
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_install_crash_handler(const char *endpoint, uint32_t flags);

/**
 * Says in words what a negative code means.
 *
 * The words are those of the operating system, but where this library means something of
 * its own by a code (EBUSY, ECHILD, E2BIG and others).
 *
 * code: what a function of this library returned. 0 and positive numbers are no errors, and
 * are said to be none.
 *
 * Returns a text of static storage, never NULL; "unknown error" for a number that is no
 * code. It must not be freed.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_strerror(int code);

/**
 * Makes an observer that listens at an endpoint.
 *
 * After this it allocates nothing in polling. The socket of a path is made with mode 0600
 * unless the options say otherwise; a dead socket in its place is removed, anything else is
 * left alone. When the observer is closed the file is removed, by the process that made it.
 *
 * ret: where the new handle is written. The caller owns it and ends it with
 *     varta_observer_close.
 * endpoint: where to listen; as for varta_connect. NULL: $VARTA_ENDPOINT, else
 *     "/run/varta/varta.sock"; with opt->inherit, no other place than the inherited socket.
 * opt: options, or NULL for the defaults. Not kept.
 *
 * Returns 0, or
 *     -EINVAL        ret is NULL, the endpoint is none, or an option is unknown or out of range
 *     -E2BIG         opt holds values that this library does not know
 *     -EADDRINUSE    an observer is already listening there
 *     -EACCES        the place may not be used or not be probed, or others can read the key
 *     -ENOENT        the directory or the key file is not there
 *     -EEXIST        there is something that is no socket
 *     VARTA_EKEY     the key file holds no key
 *     -EMFILE        no descriptor is left
 *     -ENOMEM        there is not enough memory for opt->capacity agents
 *     and others of socket(2), bind(2) and epoll_create(2)
 * With opt->message the reason is also said in words.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_observer_bind(varta_observer **ret,
                        const char *endpoint,
                        const varta_observer_options *opt);

/**
 * Listens at one more endpoint, as if the observer had been bound there too: with the same
 * mode and buffer, and for udp+secure with its key beside those that are held.
 *
 * obs: from varta_observer_bind.
 * endpoint: as for varta_connect; NULL is -EINVAL.
 *
 * Returns 0, or what varta_observer_bind returns, or
 *     -EBUSY         another call is on this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     -EOPNOTSUPP    it is a simulated one
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 * After an error nothing has changed.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_listen(varta_observer *obs, const char *endpoint);

/**
 * Gives an agent a threshold of its own; its silence so far counts.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * agent: its number, as in events.
 * threshold_ns: how long it may be silent; 0 is -EINVAL.
 *
 * Returns 0, or
 *     -EINVAL        obs is NULL, or the threshold is 0
 *     -ESRCH         no agent of this number is followed
 *     -EBUSY         another call is on this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_set_threshold(varta_observer *obs, uint64_t agent, uint64_t threshold_ns);

/**
 * Ends an observer: closes its sockets, and removes the files of those that it bound. In a
 * forked child the parent's are left alone.
 *
 * obs: from varta_observer_bind or varta_observer_simulate, or NULL, which is none. No other
 *     call may be on it, and none may follow; debug builds of the library check that, and
 *     abort.
 * Threads: any. Since 0.3.0.
 */
void varta_observer_close(varta_observer *obs);

/**
 * Lists the agents that are followed.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: an array whose first element was initialised with VARTA_AGENT_INFO_INIT; its size is
 *     the distance from one element to the next. May be NULL if cap is 0.
 * cap: how many elements there are; no more are written.
 *
 * Returns how many agents are followed, which may be more than cap; or
 *     -EINVAL        obs is NULL, ret is NULL while cap is not 0, or ret was not initialised
 *     -E2BIG         ret is of a newer header and holds what this library does not know
 *     -EBUSY         another call is on this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_agents(varta_observer *obs, varta_agent_info *ret, size_t cap);

/**
 * Says what an observer has counted.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: a struct that was initialised with VARTA_OBSERVER_COUNTERS_INIT.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, or ret was not initialised
 *     -E2BIG         ret is of a newer header and holds what this library does not know
 *     -EBUSY         another call is on this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_stats(varta_observer *obs, varta_observer_counters *ret);

/**
 * Says the next event.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: where the event is written, if there is one.
 * timeout_ms: how long to wait for one: 0 does not wait, -1 waits for ever. A simulated
 *     observer never waits.
 *
 * Returns 1: an event; 0: none within the timeout; or
 *     -EINVAL        a pointer is NULL, or the timeout is less than -1
 *     -EINTR         a signal ended the wait
 *     -EBUSY         another call is on this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 *     and others of epoll_wait(2)
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_poll(varta_observer *obs, varta_event *ret, int timeout_ms);

/**
 * Says several events at once, waiting only for the first.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: where the events are written.
 * cap: how many there is room for; 0 is -EINVAL.
 * timeout_ms: as for varta_observer_poll.
 *
 * Returns how many events were written; 0: none within the timeout; or what
 * varta_observer_poll returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_poll_many(varta_observer *obs,
                             varta_event *ret,
                             size_t cap,
                             int timeout_ms);

/**
 * A descriptor to wait for in a loop of the caller's own, with poll, epoll or anything built
 * on them. It is readable, level-triggered, whenever varta_observer_poll has something to
 * say, a stall included: then poll with a timeout of 0 until it returns 0.
 *
 * obs: from varta_observer_bind.
 *
 * Returns the descriptor, which belongs to the observer and is closed with it; or
 *     -EINVAL        obs is NULL
 *     -EBUSY         another call is on this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     -EOPNOTSUPP    it is a simulated one
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_fd(varta_observer *obs);

/**
 * When varta_observer_poll has something to say though nothing arrives, for a loop that
 * waits for sockets and has a timeout, as poll(2) has. Whoever asks is expected to poll by
 * then: coming later counts as a pause of the observer.
 *
 * obs: from varta_observer_bind.
 *
 * Returns milliseconds from now, rounded up; 0: now; INT_MAX: as long as you like, for
 * nobody is followed; or what varta_observer_fd returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_timeout_ms(varta_observer *obs);

/**
 * What the operator should know, in a sentence: that the kernel's queue is short for so many
 * agents.
 *
 * obs: from varta_observer_bind.
 * ret: where the sentence is written, as far as it fits, with a NUL behind it.
 * cap: the bytes that ret leads to; 0 is -EINVAL.
 *
 * Returns the length of the whole sentence without the NUL; 0: there is nothing to say, and
 * ret is an empty text; or what varta_observer_fd returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_advice(varta_observer *obs, char *ret, size_t cap);

/**
 * Seals a frame with a shared key.
 *
 * ret: where 60 bytes are written: prefix, counter, ciphertext, tag.
 * key: 32 bytes.
 * iv_prefix: 8 bytes, random to the session.
 * iv_counter: moves with every seal. One key must never seal twice with the same prefix and
 *     counter: that gives both frames away, and lets others forge.
 * frame: the 32 bytes of a frame.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_seal(uint8_t *ret,
                     const uint8_t *key,
                     const uint8_t *iv_prefix,
                     uint32_t iv_counter,
                     const uint8_t *frame);

/**
 * Seals a frame with the key that was derived for an agent.
 *
 * ret: where 64 bytes are written: pid, prefix, counter, ciphertext, tag.
 * key: 32 bytes, from varta_derive_agent_key.
 * pid: the agent's; it is authenticated with the rest.
 * iv_prefix, iv_counter, frame: as for varta_frame_seal.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_seal_as(uint8_t *ret,
                        const uint8_t *key,
                        uint32_t pid,
                        const uint8_t *iv_prefix,
                        uint32_t iv_counter,
                        const uint8_t *frame);

/**
 * Opens what varta_frame_seal made.
 *
 * ret: where the 32 bytes of the frame are written.
 * key: 32 bytes.
 * wire: the bytes of a datagram.
 * length: how many they are.
 *
 * Returns 0, or
 *     -EINVAL    a pointer is NULL
 *     -EBADMSG   not sealed with this key, changed on the way, or not 60 bytes
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_open(uint8_t *ret, const uint8_t *key, const uint8_t *wire, size_t length);

/**
 * Opens what varta_frame_seal_as made. The first four bytes of the datagram, little-endian,
 * name the pid whose key it takes; the frame inside must name the same.
 *
 * ret: where the 32 bytes of the frame are written.
 * key: 32 bytes, from varta_derive_agent_key.
 * wire: the bytes of a datagram.
 * length: how many they are.
 *
 * Returns 0, or
 *     -EINVAL    a pointer is NULL
 *     -EBADMSG   not sealed with this key, changed on the way, another pid inside, or not 64
 *                bytes
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_open_from(uint8_t *ret, const uint8_t *key, const uint8_t *wire, size_t length);

/**
 * Derives the key of the agent with a pid from a master key.
 *
 * ret: where 32 bytes are written.
 * master: 32 bytes.
 * pid: the agent's.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_derive_agent_key(uint8_t *ret, const uint8_t *master, uint32_t pid);

/**
 * Derives an IV prefix from the salt of a session.
 *
 * ret: where 8 bytes are written.
 * salt: 16 bytes.
 * index: 0 at first; one more whenever the counter would wrap.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_derive_iv_prefix(uint8_t *ret, const uint8_t *salt, uint32_t index);

/**
 * Derives the key of an epoch from an agent's key. Reserved: nothing on the wire uses it yet.
 *
 * ret: where 32 bytes are written.
 * agent_key: 32 bytes.
 * epoch: its number.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_derive_epoch_key(uint8_t *ret, const uint8_t *agent_key, uint64_t epoch);

/**
 * Makes an observer without sockets, which is fed and advanced by hand in a time of the
 * caller's own: for tests of what a program does with events. It is polled, listed and
 * closed as one with sockets is.
 *
 * ret: where the new handle is written. The caller owns it and ends it with
 *     varta_observer_close.
 * opt: options, or NULL for the defaults. Not kept. What is about sockets counts for nothing,
 *     but inherit must be 0.
 *
 * Returns 0, or
 *     -EINVAL       ret is NULL, or an option is unknown or out of range
 *     -E2BIG        opt holds values that this library does not know
 *     -ENOMEM       there is not enough memory for opt->capacity agents
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_observer_simulate(varta_observer **ret, const varta_observer_options *opt);

/**
 * A datagram arrives at a simulated observer. Poll for the events that it leads to.
 *
 * obs: from varta_observer_simulate.
 * at_ns: when, in nanoseconds since the observer started. A time that falls is taken for the
 *     one before.
 * d: the datagram. Not kept.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, d was not initialised, or a number in it is unknown
 *     -E2BIG         d holds values that this library does not know
 *     -EBUSY         another call is on this observer
 *     -EOPNOTSUPP    it is not a simulated one
 *     VARTA_EPANIC   a bug was contained; the observer can only be closed
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_feed(varta_observer *obs, uint64_t at_ns, const varta_datagram *d);

/**
 * A process ends, as a simulated observer sees it. Poll for its exit.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * pid: the process.
 * cause: how it ended: VARTA_EXIT_.
 * code: its exit code or the signal; 0 if the cause is unknown.
 *
 * Returns 1, or 0 if no agent has that pid; or what varta_observer_feed returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_feed_exit(varta_observer *obs,
                             uint64_t at_ns,
                             uint32_t pid,
                             uint8_t cause,
                             int32_t code);

/**
 * A simulated observer comes late to look: it does so at at_ns, and was due at due_ns. If
 * that is a pause, poll for it.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * due_ns: when it was due, in the same time.
 *
 * Returns 0, or what varta_observer_feed returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_feed_late(varta_observer *obs, uint64_t at_ns, uint64_t due_ns);

/**
 * The system of a simulated observer has just been suspended. Poll for the pause.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed; the suspended time is part of it.
 * ns: for how long.
 *
 * Returns 0, or what varta_observer_feed returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_feed_suspended(varta_observer *obs, uint64_t at_ns, uint64_t ns);

/**
 * Time goes on for a simulated observer: all that arrived by then has been fed, and
 * deadlines are looked at. Poll for the stalls and exits that are due.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * flags: 0 or VARTA_ADVANCE_FULL; others are -EINVAL.
 *
 * Returns 0, or what varta_observer_feed returns.
 * Threads: one at a time for one observer. Since 0.3.0.
 */
int varta_observer_advance(varta_observer *obs, uint64_t at_ns, uint32_t flags);

/**
 * The version of the library that is loaded, to be compared with VARTA_VERSION, that of the
 * header.
 *
 * Returns major * 65536 + minor * 256 + patch.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_version(void);

/**
 * The version of the library that is loaded, in words, such as "0.3.0".
 *
 * Returns a text of static storage.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_version_string(void);

/**
 * The version of the interface, which is the number in the soname: libvarta.so.0.
 *
 * Returns VARTA_ABI_VERSION of the library that is loaded.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VARTA_H */

#ifndef VARTA_SIZED_

/* What the _INIT macros are made of. */
#ifdef __cplusplus
extern "C++" {
template <typename T> inline T varta_sized_()
{
    T t = T();
    t.size = static_cast<uint32_t>(sizeof(T));
    return t;
}
}
#define VARTA_SIZED_(type) varta_sized_<type>()
#else
#define VARTA_SIZED_(type) { .size = sizeof(type) }
#endif

#define VARTA_AGENT_OPTIONS_INIT VARTA_SIZED_(varta_agent_options)
#define VARTA_AGENT_COUNTERS_INIT VARTA_SIZED_(varta_agent_counters)
#define VARTA_OBSERVER_OPTIONS_INIT VARTA_SIZED_(varta_observer_options)
#define VARTA_OBSERVER_COUNTERS_INIT VARTA_SIZED_(varta_observer_counters)
#define VARTA_AGENT_INFO_INIT VARTA_SIZED_(varta_agent_info)
#define VARTA_DATAGRAM_INIT VARTA_SIZED_(varta_datagram)

/* The layout that every library of this ABI has. */
#if defined(__cplusplus)
#define VARTA_ASSERT_(what) static_assert(what, #what)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define VARTA_ASSERT_(what) _Static_assert(what, #what)
#endif
#ifdef VARTA_ASSERT_
VARTA_ASSERT_(sizeof(varta_event) == 128);
VARTA_ASSERT_(offsetof(varta_event, observer_ns) == 0);
VARTA_ASSERT_(offsetof(varta_event, agent) == 8);
VARTA_ASSERT_(offsetof(varta_event, pid) == 16);
VARTA_ASSERT_(offsetof(varta_event, claimed_pid) == 20);
VARTA_ASSERT_(offsetof(varta_event, kind) == 24);
VARTA_ASSERT_(offsetof(varta_event, origin) == 25);
VARTA_ASSERT_(offsetof(varta_event, status) == 26);
VARTA_ASSERT_(offsetof(varta_event, exit_cause) == 27);
VARTA_ASSERT_(offsetof(varta_event, decode_error) == 28);
VARTA_ASSERT_(offsetof(varta_event, reserved0) == 29);
VARTA_ASSERT_(offsetof(varta_event, code) == 32);
VARTA_ASSERT_(offsetof(varta_event, found) == 36);
VARTA_ASSERT_(offsetof(varta_event, expected) == 40);
VARTA_ASSERT_(offsetof(varta_event, reserved1) == 44);
VARTA_ASSERT_(offsetof(varta_event, nonce) == 48);
VARTA_ASSERT_(offsetof(varta_event, payload) == 56);
VARTA_ASSERT_(offsetof(varta_event, missed) == 64);
VARTA_ASSERT_(offsetof(varta_event, last_ns) == 72);
VARTA_ASSERT_(offsetof(varta_event, duration_ns) == 80);
VARTA_ASSERT_(offsetof(varta_event, reserved) == 88);
VARTA_ASSERT_(sizeof(varta_frame) == 40);
#undef VARTA_ASSERT_
#endif

#endif  /* VARTA_SIZED_ */
