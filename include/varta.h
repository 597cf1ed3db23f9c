/*
 * varta.h: process liveness from C. This file is the manual of libvarta.
 *
 * An agent sends a small heartbeat a few times a second. An observer receives the heartbeats
 * and reports which processes have gone silent, which have ended and how, and which are back:
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
 * Six rules apply to every function:
 *
 * 1. Return values. A function that can fail returns an int. A negative value is an error: -errno,
 *    or a VARTA_E code below -4000 where no errno fits; varta_strerror describes it. 0 means
 *    success, or that there is nothing to report; a positive value is a result, such as a count.
 *    Other results are written through pointers named ret, and only on success.
 * 2. Handles. varta_agent and varta_observer are opaque. varta_connect and varta_observer_bind
 *    make one. varta_close and varta_observer_close end one: they accept NULL, cannot fail, and
 *    must be the last call on the handle. Debug builds of the library check that, and abort with
 *    a message.
 * 3. Structs that the caller allocates (options, counters, agent infos, datagrams) begin with
 *    their own size, which a macro ending in _INIT sets, so that they can grow. A smaller struct,
 *    from an older header, works. A larger one, from a newer header, works if every field that
 *    this library does not know is zero, and is -E2BIG otherwise. In an array, the size of the
 *    first element is the distance between elements. NULL options, and zero in any field of the
 *    options, mean the default.
 * 4. Numbers. An event is a varta_event of 128 bytes, without a size; fields that its kind does
 *    not set are zero. Enumerations are integers of fixed width with named constants. Unknown
 *    numbers and flags, NULL where a pointer is required, and reserved fields that are not zero
 *    are -EINVAL. Reserved fields (reserved, reserved0) fill gaps in the layout: the
 *    library writes zero to them, and so must the caller.
 * 5. Threads and forks. A handle may move between threads. If two threads call on one handle at
 *    the same time, the second call returns -EBUSY. varta_beat may be called from a signal
 *    handler on plain transports. The library detects forks: a child may use its parent's agents
 *    but not its observers (-ECHILD), and it never waits for a lock that another thread held at
 *    the time of the fork.
 * 6. Panics. No Rust panic reaches the caller. A bug in the library that would panic a Rust
 *    program returns VARTA_EPANIC, and every later call on the handle returns it too.
 *
 * The library has no callbacks, starts no threads and logs nothing. The only environment variables
 * it reads are VARTA_ENDPOINT, when an endpoint is NULL; VARTA_NAME and VARTA_NOTIFY; and, if that
 * is 1 or VARTA_AGENT_NOTIFY is set, NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. It reads them as
 * secure_getenv does. Its only global state is the crash handler, the nonce counters and the
 * service manager that is notified. The shared library stays loaded after dlclose. It runs on
 * Linux, with any C library.
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
 * Agent flag: do not follow the observer. varta_connect then fails if no observer is bound, and
 * only varta_reconnect or reconnect_after finds an observer that was replaced.
 */
#define VARTA_AGENT_NO_FOLLOW 1

/**
 * Agent flag: do not use shared memory, even if the observer offers it; all beats go as datagrams,
 * as with ?lane=off in the endpoint.
 */
#define VARTA_AGENT_NO_LANE 2

/**
 * Agent flag: notify the service manager in $NOTIFY_SOCKET, as if $VARTA_NOTIFY were 1. See
 * varta_ready.
 */
#define VARTA_AGENT_NOTIFY 4

/**
 * The length of a frame of any version.
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
 * The nonce that, with VARTA_STATUS_CRITICAL, marks the final beat of a process.
 */
#define VARTA_NONCE_TERMINAL 18446744073709551615ull

/**
 * Status: healthy.
 */
#define VARTA_STATUS_OK 0

/**
 * Status: working, with problems.
 */
#define VARTA_STATUS_DEGRADED 1

/**
 * Status: about to fail. With VARTA_NONCE_TERMINAL, the final beat of a process.
 */
#define VARTA_STATUS_CRITICAL 2

/**
 * Status: silent. Only an observer uses it; an agent never sends it.
 */
#define VARTA_STATUS_STALL 3

/**
 * varta_beat: the kernel accepted the beat.
 */
#define VARTA_SENT 0

/**
 * varta_beat: dropped, because the observer's queue is full.
 */
#define VARTA_DROPPED_KERNEL_QUEUE_FULL 1

/**
 * varta_beat: dropped, because no observer is bound there.
 */
#define VARTA_DROPPED_NO_OBSERVER 2

/**
 * varta_beat: dropped, because the observer closed its socket.
 */
#define VARTA_DROPPED_PEER_GONE 3

/**
 * varta_beat: dropped, because the file system is full.
 */
#define VARTA_DROPPED_STORAGE_FULL 4

/**
 * varta_beat: dropped, because a vital task of this process is late.
 */
#define VARTA_DROPPED_WITHHELD 5

/**
 * varta_ready, varta_stopping, varta_status: not sent, because notifications are off or there is
 * no service manager.
 */
#define VARTA_DROPPED_NOT_CONFIGURED 6

/**
 * Event: a beat was accepted. Sets status, payload, nonce, missed.
 */
#define VARTA_EVENT_BEAT 1

/**
 * Event: the agent has been silent for its threshold; reported once per silence. Sets nonce
 * (the last one) and last_ns.
 */
#define VARTA_EVENT_STALL 2

/**
 * Event: a stalled agent is back; its beat is the next event. Sets duration_ns (how long it
 * was silent).
 */
#define VARTA_EVENT_RECOVERED 3

/**
 * Event: the process ended, and the observer no longer follows it. Sets exit_cause, code and
 * status (the last one).
 */
#define VARTA_EVENT_EXIT 4

/**
 * Event: a datagram of 32 bytes is not a valid frame. Sets decode_error, found and expected;
 * names no agent.
 */
#define VARTA_EVENT_DECODE 5

/**
 * Event: a frame names a different process than the one that sent it. Sets pid (from the
 * kernel) and claimed_pid (from the frame); names no agent.
 */
#define VARTA_EVENT_AUTH_FAILURE 6

/**
 * Event: a socket failed. Sets code (the errno, positive); names no agent.
 */
#define VARTA_EVENT_IO 7

/**
 * Event: the observer itself was late, because it was stopped, suspended or starved of CPU
 * time. Every agent gets that much more time. Sets duration_ns; names no agent.
 */
#define VARTA_EVENT_PAUSED 8

/**
 * Event: a task was declared. Sets task, task_name and duration_ns (its threshold).
 */
#define VARTA_EVENT_TASK 9

/**
 * Event: a task is over. Sets task, task_name and rule (a VARTA_ENDED_ number).
 */
#define VARTA_EVENT_ENDED 10

/**
 * Event: calls of a task broke a rule. Sets task, task_name, rule (a VARTA_RULE_ number),
 * count, from, checkpoint and duration_ns.
 */
#define VARTA_EVENT_VIOLATION 11

/**
 * Event: the cause of a silence that was reported has changed, or was found out later. Sets code
 * (a VARTA_CAUSE_ number), exit_cause, decode_error, found and expected.
 */
#define VARTA_EVENT_CAUSE 12

/**
 * Stall, in decode_error: the observer may have missed the agent's beats, because its queue was
 * full each time it polled. Do not act on such a stall.
 */
#define VARTA_EVENT_DEAF 128

/**
 * Promise of a task: to make a call again within its threshold.
 */
#define VARTA_PROMISE_BEAT 1

/**
 * Promise of a task: to end a span in time.
 */
#define VARTA_PROMISE_SPAN 2

/**
 * Promise of a task: to reach the next checkpoint in time.
 */
#define VARTA_PROMISE_CHECKPOINT 3

/**
 * Promise of a task: to get something done while something is left.
 */
#define VARTA_PROMISE_PROGRESS 4

/**
 * Rule: a span ended, or a checkpoint was reached, before its shortest time.
 */
#define VARTA_RULE_TOO_EARLY 1

/**
 * Rule: it was done, but after its longest time.
 */
#define VARTA_RULE_TOO_LATE 2

/**
 * Rule: no step leads from the last checkpoint to this one.
 */
#define VARTA_RULE_WRONG_ORDER 3

/**
 * Rule: a cycle had too few beats.
 */
#define VARTA_RULE_TOO_FEW 4

/**
 * Rule: a cycle had too many beats.
 */
#define VARTA_RULE_TOO_MANY 5

/**
 * End of a task: it was closed.
 */
#define VARTA_ENDED_CLOSED 1

/**
 * End of a task: a panic or an exception ended it.
 */
#define VARTA_ENDED_FAILED 2

/**
 * End of a task: its thread is gone.
 */
#define VARTA_ENDED_THREAD_GONE 3

/**
 * End of a task: its process gave up the memory that it shares with the observer, for example
 * by calling exec.
 */
#define VARTA_ENDED_DETACHED 4

/**
 * Origin: the kernel attests the sender. Only act on events of this origin.
 */
#define VARTA_ORIGIN_KERNEL_ATTESTED 1

/**
 * Origin: the sender has a key.
 */
#define VARTA_ORIGIN_SECURE_NETWORK 2

/**
 * Origin: anyone may have sent it.
 */
#define VARTA_ORIGIN_NETWORK 3

/**
 * Exit cause: unknown.
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
 * Decode error: a version that the decoder does not accept.
 */
#define VARTA_DECODE_BAD_VERSION 2

/**
 * Decode error: the checksum does not match; the bytes were damaged in transit.
 */
#define VARTA_DECODE_BAD_CRC 3

/**
 * Decode error: the status is unknown.
 */
#define VARTA_DECODE_BAD_STATUS 4

/**
 * Decode error: the status is stall, which only an observer may use.
 */
#define VARTA_DECODE_STALL_ON_WIRE 5

/**
 * Decode error: the process id is 0 or 1, which cannot be an agent.
 */
#define VARTA_DECODE_BAD_PID 6

/**
 * Decode error: the timestamp has all bits set.
 */
#define VARTA_DECODE_BAD_TIMESTAMP 7

/**
 * Decode error: the nonce is terminal, but the status is not critical.
 */
#define VARTA_DECODE_BAD_NONCE 8

/**
 * Crash handler flag: handle SIGTERM too.
 */
#define VARTA_CRASH_SIGTERM 1

/**
 * A bug in the library caused a panic, which was caught. Every later call on the handle
 * returns this code too; the handle can only be closed.
 */
#define VARTA_EPANIC (-4001)

/**
 * The key file does not hold a key: it is not a regular file of 64 hex digits.
 */
#define VARTA_EKEY (-4002)

/**
 * The uid of an agent whose sender the kernel does not attest.
 */
#define VARTA_NO_UID 4294967295

/**
 * Agent info flag: a stall was reported, and the agent is not back.
 */
#define VARTA_AGENT_STALLED 1

/**
 * Agent info flag: the agent may be a different process that reused the pid.
 */
#define VARTA_AGENT_UNCONFIRMED 2

/**
 * Agent info flag: the agent beats through memory that it shares with the observer.
 */
#define VARTA_AGENT_LANE 4

/**
 * Cause of a silence: it was not looked at, or could not be seen.
 */
#define VARTA_CAUSE_UNKNOWN 0

/**
 * Cause of a silence: the system was suspended.
 */
#define VARTA_CAUSE_SUSPENDED 10

/**
 * Cause of a silence: a signal stopped it.
 */
#define VARTA_CAUSE_STOPPED 11

/**
 * Cause of a silence: a debugger has stopped it.
 */
#define VARTA_CAUSE_TRACED 12

/**
 * Cause of a silence: its control group is frozen.
 */
#define VARTA_CAUSE_FROZEN 13

/**
 * Cause of a silence: it crashed, and the kernel is writing its core file.
 */
#define VARTA_CAUSE_DUMPING 14

/**
 * Cause of a silence: it is ending.
 */
#define VARTA_CAUSE_DYING 15

/**
 * Cause of a silence: its control group has used up its share of the CPU.
 */
#define VARTA_CAUSE_THROTTLED 16

/**
 * Cause of a silence: other processes have the CPU.
 */
#define VARTA_CAUSE_STARVED 17

/**
 * Cause of a silence: the kernel waits for a device or a file system on its behalf.
 */
#define VARTA_CAUSE_IO 20

/**
 * Cause of a silence: the kernel waits for memory on its behalf.
 */
#define VARTA_CAUSE_MEMORY 21

/**
 * Cause of a silence: it uses the CPU but does not beat.
 */
#define VARTA_CAUSE_BUSY 30

/**
 * Cause of a silence: it waits for a lock.
 */
#define VARTA_CAUSE_LOCK 31

/**
 * Cause of a silence: it waits for a condition, a semaphore or the end of a thread.
 */
#define VARTA_CAUSE_WAITING 32

/**
 * Cause of a silence: it waits for a child process.
 */
#define VARTA_CAUSE_CHILD 33

/**
 * Cause of a silence: it wakes up again and again, but does not beat.
 */
#define VARTA_CAUSE_AWAKE 34

/**
 * Cause of a silence: it sleeps in a call such as recv, poll or nanosleep.
 */
#define VARTA_CAUSE_IDLE 35

/**
 * Cause of a silence: it sleeps, and there is no permission to see on what.
 */
#define VARTA_CAUSE_ASLEEP 36

/**
 * Cause of a silence: it said so itself.
 */
#define VARTA_CAUSE_SELF_REPORTED 37

/**
 * Cause of a silence: it executes another program since it beat.
 */
#define VARTA_CAUSE_EXEC 40

/**
 * Cause of a silence: its first thread has ended, others have not.
 */
#define VARTA_CAUSE_LEADER_EXITED 41

/**
 * Cause of a silence: the thread that made the beats has ended.
 */
#define VARTA_CAUSE_THREAD_GONE 42

/**
 * Certainty of a cause: it may well be another one.
 */
#define VARTA_CERTAINTY_GUESS 0

/**
 * Certainty of a cause: what was read is typical for it.
 */
#define VARTA_CERTAINTY_LIKELY 1

/**
 * Certainty of a cause: the kernel reports it.
 */
#define VARTA_CERTAINTY_CERTAIN 2

/**
 * Flag of a cause: its event loop waits for events.
 */
#define VARTA_CAUSE_FLAG_IN_EVENT_WAIT 1

/**
 * Flag of a cause: a debugger or tracer is attached.
 */
#define VARTA_CAUSE_FLAG_TRACER 2

/**
 * Flag of a cause: the process has more than one thread.
 */
#define VARTA_CAUSE_FLAG_MANY_THREADS 4

/**
 * Flag of a cause: the observer has no permission to see everything.
 */
#define VARTA_CAUSE_FLAG_NO_PERMISSION 8

/**
 * Flag of a cause: the time between the two readings was too short to tell much.
 */
#define VARTA_CAUSE_FLAG_SHORT_WINDOW 16

/**
 * Flag of a cause: other is the thread that holds the lock.
 */
#define VARTA_CAUSE_FLAG_OWNER 32

/**
 * Flag of a cause: the thread that holds the lock itself waits for a lock.
 */
#define VARTA_CAUSE_FLAG_CYCLE 64

/**
 * Observer flag: accept frames of version 1 as well as version 2.
 */
#define VARTA_OBSERVER_VERSION1 1

/**
 * Observer flag: admit senders in other pid namespaces.
 */
#define VARTA_OBSERVER_NAMESPACES 2

/**
 * Observer flag: admit beats of every user. By default only the observer's own user, or the
 * users in uids, are admitted.
 */
#define VARTA_OBSERVER_ANY_UID 4

/**
 * Observer flag: do not detect process exits; report only silence.
 */
#define VARTA_OBSERVER_NO_EXITS 8

/**
 * Observer flag: processes may beat through memory that they share with the observer. An event
 * can then stand for several beats: see count. Beside each Unix socket there is a second one, at
 * the same path with ".lane" at its end.
 */
#define VARTA_OBSERVER_LANE 16

/**
 * Observer flag, with VARTA_OBSERVER_LANE: follow the tasks of processes that beat through shared
 * memory. Each takes a place of the capacity. A program that acts on every stall must then check
 * the event's task: do not restart a process because of one task.
 */
#define VARTA_OBSERVER_TASKS 32

/**
 * Observer flag: find out why a process is silent. A stall then has a cause, and an event of the
 * kind VARTA_EVENT_CAUSE follows when it changes. To see everything, the observer needs the
 * permission to trace its agents.
 */
#define VARTA_OBSERVER_CAUSES 64

/**
 * Datagram sender: a process that the kernel attests, over a Unix socket. Uses pid, uid, process
 * and pid_namespace.
 */
#define VARTA_SENDER_KERNEL 0

/**
 * Datagram sender: an address, over plain UDP. Uses source.
 */
#define VARTA_SENDER_NETWORK 1

/**
 * Datagram sender: an address, at a listener that accepts only sealed frames. Uses source.
 */
#define VARTA_SENDER_SECURE_NETWORK 2

/**
 * Datagram namespace: the observer's pid namespace.
 */
#define VARTA_NAMESPACE_SAME 0

/**
 * Datagram namespace: another pid namespace, in which the sender has another pid.
 */
#define VARTA_NAMESPACE_OTHER 1

/**
 * Datagram namespace: unknown.
 */
#define VARTA_NAMESPACE_UNKNOWN 2

/**
 * Datagram flag: the datagram was longer than the observer's buffer.
 */
#define VARTA_DATAGRAM_TRUNCATED 1

/**
 * Datagram flag: the kernel's control data was incomplete.
 */
#define VARTA_DATAGRAM_CONTROL_TRUNCATED 2

/**
 * Datagram flag: the observer waited with empty queues and was woken by this datagram. Only then it
 * learns which threads of the sender make its beats, to find out later why it is silent.
 */
#define VARTA_DATAGRAM_FRESH 4

/**
 * Advance flag: the observer's queue is full at this time, so beats may have been refused.
 */
#define VARTA_ADVANCE_FULL 1

/**
 * Reading flag: the process is writing its core file.
 */
#define VARTA_READING_DUMPING 1

/**
 * Reading flag: SIGKILL is pending for the process.
 */
#define VARTA_READING_KILLED 2

/**
 * Reading flag: the control group of the process, or one above it, is frozen.
 */
#define VARTA_READING_FROZEN 4

/**
 * Reading flag: the control group of the process waits for memory, and kills nobody for it.
 */
#define VARTA_READING_UNDER_OOM 8

/**
 * Bit of lacks in a reading: no permission to read what the threads wait in.
 */
#define VARTA_LACKS_WAIT_CHANNEL 1

/**
 * Bit of lacks in a reading: no permission to read the system calls of the threads.
 */
#define VARTA_LACKS_CALL 2

/**
 * Bit of lacks in a reading: no permission to read which program the process executes.
 */
#define VARTA_LACKS_EXECUTABLE 4

/**
 * Bit of lacks in a reading: no permission to read the files of the control groups.
 */
#define VARTA_LACKS_GROUPS 8

/**
 * No limit: as a threshold, as the longest time of a span or a step, and for idling.
 */
#define VARTA_NEVER UINT64_MAX

/**
 * Task info flag: the task is idle.
 */
#define VARTA_TASK_IDLE 4

/**
 * Task info flag: a promise is broken.
 */
#define VARTA_TASK_LATE 8

/**
 * Task flag: if this task is late, an observer that does not follow tasks is to report the whole
 * process as silent. varta_beat then returns VARTA_DROPPED_WITHHELD.
 */
#define VARTA_TASK_VITAL 1

/**
 * Task flag: different threads make the calls. The thread of the task is not recorded, and its end
 * is not noticed.
 */
#define VARTA_TASK_ROAMS 2

/**
 * The version of this header: major * 65536 + minor * 256 + patch.
 */
#define VARTA_VERSION 768

/**
 * The number in the soname. A program runs with any library that has the same number as the
 * header it was built with.
 */
#define VARTA_ABI_VERSION 0

/**
 * An agent: the connection of this process to one observer. varta_connect makes it and
 * varta_close ends it.
 */
typedef struct varta_agent varta_agent;

/**
 * An observer, with sockets or simulated. varta_observer_bind or varta_observer_simulate makes
 * it, and varta_observer_close ends it.
 */
typedef struct varta_observer varta_observer;

/**
 * A task: a named part of this process that is watched on its own, such as a thread, a worker, a
 * loop, or a kind of job. varta_task_open declares it and varta_task_close ends it.
 */
typedef struct varta_task varta_task;

/**
 * Agent options. Initialise with VARTA_AGENT_OPTIONS_INIT; zero in any field means the default.
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
     * After this many dropped beats in a row, a beat reconnects and sends the same frame once
     * more; until that succeeds, every later beat tries again. 0: never.
     */
    uint32_t reconnect_after;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * A buffer for an error message, or NULL. If varta_connect fails, it writes a sentence that
     * describes the failure and what to do, NUL-terminated and truncated to fit.
     */
    char *message;
    /**
     * The size of the message buffer in bytes.
     */
    size_t message_size;
    /**
     * The name of the service, in UTF-8, which an observer that offers shared memory shows
     * instead of that of the program. It is cut to 63 bytes. NULL or an empty string:
     * $VARTA_NAME. The first agent that a process opens for an endpoint decides. Not used after
     * the call returns.
     */
    const char *name;
} varta_agent_options;

/**
 * The counters of an agent. Initialise with VARTA_AGENT_COUNTERS_INIT.
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
     * How often the clock went backwards, for varta_client_clock_regression_total.
     */
    uint64_t clock_regressions;
    /**
     * How many forks the agent's beats detected between the process that made the agent and
     * this one, for varta_client_fork_recoveries_total.
     */
    uint64_t fork_recoveries;
    /**
     * How long ago the observer looked at the beats of this process, in nanoseconds, if they go
     * through memory that is shared with it; VARTA_NEVER if they go as datagrams.
     */
    uint64_t watched_ns;
} varta_agent_counters;

/**
 * The fields of one frame, which carries one beat. 40 bytes in every version of this library.
 */
typedef struct varta_frame {
    /**
     * Nanoseconds since the sender connected, on the sender's monotonic clock.
     */
    uint64_t timestamp;
    /**
     * Number of the beat from this process to this endpoint, counting from 1.
     */
    uint64_t nonce;
    /**
     * The application's number: 32 bits in version 2, 64 bits in version 1.
     */
    uint64_t payload;
    /**
     * The sender's process id at the time of sending.
     */
    uint32_t pid;
    /**
     * VARTA_STATUS_ constant.
     */
    uint8_t status;
    /**
     * The wire version: 2, or 1 for observers that do not understand 2.
     */
    uint8_t version;
    /**
     * Zero.
     */
    uint8_t reserved[10];
} varta_frame;

/**
 * How late the tasks of a program, or the tasks of a name, may be before their broken promises
 * are reported. 24 bytes in every version of this library.
 */
typedef struct varta_slack {
    /**
     * The name of a program, of which the kernel keeps the first 15 bytes; or NULL.
     */
    const char *program;
    /**
     * The name of a task, which counts more than that of its program; or NULL. One of the two
     * must be set and the other NULL.
     */
    const char *task;
    /**
     * How late they may be.
     */
    uint64_t slack_ns;
} varta_slack;

/**
 * Observer options. Initialise with VARTA_OBSERVER_OPTIONS_INIT; zero in any field means the
 * default.
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
     * How late the observer may be before that counts as a pause, for which every agent gets
     * more time. Default: half the shortest threshold, at least 50 ms.
     */
    uint64_t pause_after_ns;
    /**
     * The maximum number of agents. Default: 4,096. More than 2^28 is -EINVAL.
     */
    uint32_t capacity;
    /**
     * The mode of the socket file. Default: 0600. More than 0777 is -EINVAL.
     */
    uint32_t socket_mode;
    /**
     * The size of the kernel's receive buffers to request, in bytes. Default: 1 MiB.
     */
    uint32_t receive_buffer;
    /**
     * The maximum number of file descriptors to follow processes with. Default: half the soft
     * limit.
     */
    uint32_t descriptors;
    /**
     * How many beats a second of one agent become events. A beat over this rate still shows
     * that its agent lives. Default: no limit.
     */
    uint32_t agent_rate;
    /**
     * How many beats of one agent may become events at once after a quiet time; 0 means 1. Only
     * used with agent_rate.
     */
    uint32_t agent_burst;
    /**
     * Like agent_rate, for all agents together.
     */
    uint32_t rate;
    /**
     * Like agent_burst, for all agents together. Only used with rate.
     */
    uint32_t burst;
    /**
     * The users whose beats are admitted over a Unix socket. Default: the user that the
     * observer runs as; in a simulated observer, uid 0. Must be NULL with
     * VARTA_OBSERVER_ANY_UID.
     */
    const uint32_t *uids;
    /**
     * The number of uids.
     */
    size_t uid_count;
    /**
     * Keys that sealed beats may use, 32 bytes each without gaps, in addition to the keys of
     * the endpoints.
     */
    const uint8_t *shared_keys;
    /**
     * The number of keys in shared_keys.
     */
    size_t shared_key_count;
    /**
     * A master key of 32 bytes, from which each agent's own key is derived.
     */
    const uint8_t *master_key;
    /**
     * A bound Unix datagram socket to listen on, for example from a service manager; 0 for
     * none. Its mode is not changed and its file is never removed. The observer duplicates the
     * descriptor; the caller keeps this one.
     */
    int inherit;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * A buffer for an error message, or NULL. If varta_observer_bind fails, it writes a
     * sentence that describes the failure and what to do, NUL-terminated and truncated to fit.
     */
    char *message;
    /**
     * The size of the message buffer in bytes.
     */
    size_t message_size;
    /**
     * A file that keeps sealed sessions when the observer restarts, so that the next observer
     * also refuses a sealed beat that was already accepted; NULL for none. The observer creates
     * it with mode 0600 if it does not exist. Use it from the first use of the key. A simulated
     * observer ignores it.
     */
    const char *secure_state_file;
    /**
     * The shortest time between two regular looks at the memory that a process shares, if
     * something could be due sooner. Default: 10 ms.
     */
    uint64_t lane_floor_ns;
    /**
     * How late tasks may be before that is reported, as for varta_observer_set_slack. Default: no
     * slack.
     */
    const varta_slack *slack;
    /**
     * The number of entries in slack.
     */
    size_t slack_count;
    /**
     * A listening Unix socket of the type SOCK_SEQPACKET to hand out shared memory with, beside
     * inherit; 0 for none. Only with VARTA_OBSERVER_LANE. The observer duplicates the descriptor;
     * the caller keeps this one.
     */
    int inherit_lane;
    /**
     * Zero.
     */
    uint32_t reserved2;
} varta_observer_options;

/**
 * The state of an agent that an observer follows. Initialise the first element of an array
 * with VARTA_AGENT_INFO_INIT.
 */
typedef struct varta_agent_info {
    /**
     * sizeof(varta_agent_info).
     */
    uint32_t size;
    /**
     * VARTA_AGENT_STALLED, VARTA_AGENT_UNCONFIRMED, VARTA_AGENT_LANE.
     */
    uint32_t flags;
    /**
     * The agent's number, from 1, never reused by an observer.
     */
    uint64_t agent;
    /**
     * The process id in the observer's namespace; 0 if it has none there.
     */
    uint32_t pid;
    /**
     * The process id that the agent's frames name.
     */
    uint32_t claimed_pid;
    /**
     * The user of the process; VARTA_NO_UID if the kernel does not attest it.
     */
    uint32_t uid;
    /**
     * How the agent was identified: VARTA_ORIGIN_ constant.
     */
    uint8_t origin;
    /**
     * The last status that it sent: VARTA_STATUS_ constant.
     */
    uint8_t status;
    /**
     * Zero.
     */
    uint16_t reserved;
    /**
     * The time of its last beat, in nanoseconds since the observer started.
     */
    uint64_t last_ns;
    /**
     * How long ago that was.
     */
    uint64_t age_ns;
    /**
     * How long it may be silent.
     */
    uint64_t threshold_ns;
    /**
     * The number of beats received, including those over the rate limit.
     */
    uint64_t beats;
    /**
     * The number of lost beats, according to its nonces; at most 2^32 - 1.
     */
    uint64_t missed;
    /**
     * The name of its program, as the kernel knows it; empty if unknown. A process can set its
     * name to any bytes, which need not be valid text and may include control characters.
     * Escape them before you print them.
     */
    char name[16];
    /**
     * The numeric address that it sends from; empty unless it sends over a network.
     */
    char address[48];
    /**
     * How many of its tasks are followed.
     */
    uint32_t tasks;
    /**
     * How many of them have broken a promise and have not kept it since.
     */
    uint32_t tasks_late;
    /**
     * The name to show for it, in UTF-8 and safe to print: the first that is known of the one
     * that the agent declared, its container, its service, and its program. Empty if none is
     * known.
     */
    char label[64];
} varta_agent_info;

/**
 * What was found out about a silence. Initialise with VARTA_CAUSE_INFO_INIT.
 */
typedef struct varta_cause_info {
    /**
     * sizeof(varta_cause_info).
     */
    uint32_t size;
    /**
     * VARTA_CAUSE_ constant. Its tens are the class: 1 held from outside, 2 in the kernel, 3 its
     * own, 4 changed, 0 unknown.
     */
    uint8_t cause;
    /**
     * VARTA_CERTAINTY_ constant.
     */
    uint8_t certainty;
    /**
     * VARTA_CAUSE_FLAG_ bits.
     */
    uint8_t flags;
    /**
     * The signal that stopped the process; 0 if none, or it is not known.
     */
    uint8_t signal;
    /**
     * The thread that hangs; 0 if it is the whole process, or not known.
     */
    uint32_t thread;
    /**
     * The other process or thread: the tracer, the owner of the lock, the child; 0 if there is
     * none, or it is not known.
     */
    uint32_t other;
    /**
     * How often the thread began to run between the two readings that were compared.
     */
    uint32_t switches;
    /**
     * How often it waited for a page to be read.
     */
    uint32_t major_faults;
    /**
     * When it was looked at last, in nanoseconds since the observer started; 0 if never.
     */
    uint64_t looked_ns;
    /**
     * The time between the two readings; 0 if there was only one.
     */
    uint64_t window_ns;
    /**
     * How long the thread ran in that time.
     */
    uint64_t run_ns;
    /**
     * How long it was ready to run but did not.
     */
    uint64_t wait_ns;
    /**
     * What it waits in or is held by, such as "futex_do_wait futex": up to 64 bytes and a NUL.
     * Names that a process chose are in it, so escape it before you print it.
     */
    char detail[72];
} varta_cause_info;

/**
 * The counters of an observer since it started. Each datagram is counted in exactly one of the
 * fields from beats to probes, so their sum is received; the other fields count other things.
 * Initialise with VARTA_OBSERVER_COUNTERS_INIT.
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
     * Beats that were accepted and became events.
     */
    uint64_t beats;
    /**
     * 32 bytes that do not begin like a frame.
     */
    uint64_t bad_magic;
    /**
     * Frames of a version that the observer does not accept.
     */
    uint64_t bad_version;
    /**
     * Frames that were damaged in transit.
     */
    uint64_t bad_crc;
    /**
     * Frames with an unknown status.
     */
    uint64_t bad_status;
    /**
     * Frames with the status stall, which only an observer may use.
     */
    uint64_t stall_on_wire;
    /**
     * Frames with a process id that no agent can have.
     */
    uint64_t bad_pid;
    /**
     * Frames with a timestamp that has all bits set.
     */
    uint64_t bad_timestamp;
    /**
     * Frames with the terminal nonce and a status that is not critical.
     */
    uint64_t bad_nonce;
    /**
     * Datagrams of a length that no frame has.
     */
    uint64_t wrong_length;
    /**
     * Frames that name a different process than the one that sent them.
     */
    uint64_t auth_failures;
    /**
     * Datagrams that are not sealed with any of the observer's keys.
     */
    uint64_t decrypt_failures;
    /**
     * Beats over a network whose nonce or counter did not advance.
     */
    uint64_t replays;
    /**
     * Beats over the agent's rate limit. They still show that the agent lives.
     */
    uint64_t rate_limited_agent;
    /**
     * Beats over the rate limit for all agents. They still show that a known agent lives.
     */
    uint64_t rate_limited_global;
    /**
     * Beats of new agents while the table of agents was full.
     */
    uint64_t capacity_exceeded;
    /**
     * Beats of new agents over secure UDP while the table of prefixes was full.
     */
    uint64_t sender_memory_full;
    /**
     * Beats of users that are not admitted.
     */
    uint64_t uid_refused;
    /**
     * Beats from another pid namespace that is not admitted or cannot be followed.
     */
    uint64_t namespace_refused;
    /**
     * Beats over the network from this host that name a process which the observer follows
     * with the kernel's attestation.
     */
    uint64_t origin_conflicts;
    /**
     * Datagrams whose kernel control data was incomplete.
     */
    uint64_t control_truncated;
    /**
     * Empty datagrams: another observer checking whether the socket is in use.
     */
    uint64_t probes;
    /**
     * All datagrams that were received.
     */
    uint64_t received;
    /**
     * Datagrams that the kernel dropped before they could be received.
     */
    uint64_t kernel_drops;
    /**
     * Agents that were gone and were removed to make room for new ones.
     */
    uint64_t evictions;
    /**
     * Lost beats, according to the nonces. Any sender can drive this to an arbitrary value.
     */
    uint64_t missed;
    /**
     * Accepted beats whose nonce did not advance.
     */
    uint64_t not_forward;
    /**
     * Stalls reported.
     */
    uint64_t stalls;
    /**
     * Recoveries reported.
     */
    uint64_t recoveries;
    /**
     * Exits reported.
     */
    uint64_t exits;
    /**
     * Pauses reported.
     */
    uint64_t pauses;
    /**
     * Those of the stalls that were marked VARTA_EVENT_DEAF.
     */
    uint64_t stalls_deaf;
    /**
     * How often a Unix socket's queue was found full.
     */
    uint64_t full_looks;
    /**
     * Times that a socket failed.
     */
    uint64_t io_errors;
    /**
     * Tries to open a sealed datagram, one for each key that was tried on it.
     */
    uint64_t open_attempts;
    /**
     * Pages of shared memory that were given to processes.
     */
    uint64_t lane_attached;
    /**
     * Processes that asked for a page and were refused.
     */
    uint64_t lane_refused;
    /**
     * Connections of processes that were ended because of a message of a wrong size or kind.
     */
    uint64_t lane_bad_messages;
    /**
     * Times that a process was not heard for a moment because it asked for too many looks.
     */
    uint64_t lane_muted;
    /**
     * Looks at pages.
     */
    uint64_t lane_looks;
    /**
     * Beats of processes that were found in pages.
     */
    uint64_t lane_beats;
    /**
     * Lines in which a look found something that no process may write. It is not news.
     */
    uint64_t lane_invalid;
    /**
     * Times that the period of looks at a page had to be longer than half of the shortest time
     * on it.
     */
    uint64_t lane_raised;
    /**
     * Looks at pages of processes for which there was no room.
     */
    uint64_t lane_without_room;
    /**
     * Tasks that were followed.
     */
    uint64_t tasks;
    /**
     * Tasks of which an end was reported.
     */
    uint64_t tasks_ended;
    /**
     * Tasks that were not followed for a time, because there was no room.
     */
    uint64_t tasks_without_room;
    /**
     * Calls of tasks.
     */
    uint64_t task_beats;
    /**
     * Stalls of tasks reported.
     */
    uint64_t task_stalls;
    /**
     * Recoveries of tasks reported.
     */
    uint64_t task_recoveries;
    /**
     * Violations of rules by tasks.
     */
    uint64_t violations;
    /**
     * Readings of silent processes to find out why they are silent.
     */
    uint64_t cause_looks;
    /**
     * Readings that were put off or left out because others had taken too long.
     */
    uint64_t cause_refused;
    /**
     * The time that all readings took, in nanoseconds.
     */
    uint64_t cause_ns;
    /**
     * Threads that were lost because a reading of a process did not return. There are four.
     */
    uint64_t cause_stuck;
} varta_observer_counters;

/**
 * An event that an observer reports. 128 bytes in every version of this library. Fields that
 * a kind of event does not set are zero.
 */
typedef struct varta_event {
    /**
     * Nanoseconds since the observer started, on a clock that keeps counting during suspend. It
     * never decreases from one event to the next.
     */
    uint64_t observer_ns;
    /**
     * The agent's number, from 1, never reused by an observer. 0: the event names no agent.
     */
    uint64_t agent;
    /**
     * The process id in the observer's namespace; 0 if it has none there.
     */
    uint32_t pid;
    /**
     * The process id that the agent's frames name.
     */
    uint32_t claimed_pid;
    /**
     * What happened: VARTA_EVENT_BEAT to VARTA_EVENT_CAUSE. Later versions may add more.
     */
    uint8_t kind;
    /**
     * How the agent was identified: VARTA_ORIGIN_ constant. 0: the event names no agent.
     */
    uint8_t origin;
    /**
     * Beat: the status the agent sent. Exit: the last status it sent. Decode error BadNonce:
     * the status that was received with the nonce. VARTA_STATUS_ constant.
     */
    uint8_t status;
    /**
     * Exit: VARTA_EXIT_ constant. Stall and Cause: how sure the cause is, VARTA_CERTAINTY_
     * constant.
     */
    uint8_t exit_cause;
    /**
     * Decode: VARTA_DECODE_ constant. Stall and Cause: VARTA_CAUSE_FLAG_ bits; a Stall may also
     * have VARTA_EVENT_DEAF.
     */
    uint8_t decode_error;
    /**
     * Stall and Recovered of a task: the promise, VARTA_PROMISE_ constant.
     */
    uint8_t promise;
    /**
     * Violation: the rule, VARTA_RULE_ constant. Ended: how the task ended, VARTA_ENDED_
     * constant.
     */
    uint8_t rule;
    /**
     * Zero.
     */
    uint8_t reserved0;
    /**
     * Exit: the exit code or the signal. Io: the errno, positive. Stall and Cause: why it is
     * silent, VARTA_CAUSE_ constant.
     */
    int32_t code;
    /**
     * Decode errors BadCrc, BadStatus, BadPid: the checksum, status or pid that was received.
     * Stall and Cause: the thread that hangs, 0 if it is not known.
     */
    uint32_t found;
    /**
     * Decode error BadCrc: the checksum computed from the bytes. Stall and Cause: the other
     * process or thread, such as the tracer or the owner of the lock; 0 if there is none.
     */
    uint32_t expected;
    /**
     * The task's number, from 1, unique within the agent. 0: the event is not about a task.
     */
    uint32_t task;
    /**
     * Beat: the frame's nonce. Stall: the agent's last nonce that was not terminal. Decode
     * error BadNonce: the nonce that was received.
     */
    uint64_t nonce;
    /**
     * Beat: the number that the application sent.
     */
    uint64_t payload;
    /**
     * Beat: the number of beats that were lost between the previous beat and this one.
     */
    uint64_t missed;
    /**
     * Stall: the time of the agent's last beat, in nanoseconds since the observer started.
     */
    uint64_t last_ns;
    /**
     * Recovered: how long the agent was silent, or how late the promise of a task was kept.
     * Paused: how long the observer was away. Task: the task's threshold, or UINT64_MAX.
     * Violation: by how much the rule was broken, in nanoseconds, or in beats for a cycle.
     */
    uint64_t duration_ns;
    /**
     * Stall of a task: when the promise was due, in nanoseconds since the observer started.
     */
    uint64_t due_ns;
    /**
     * Stall of a task: the checkpoint where it is, or the label of the span. Violation: the
     * checkpoint that was reached.
     */
    uint16_t checkpoint;
    /**
     * Violation: the checkpoint before, or the label of the span.
     */
    uint16_t from;
    /**
     * Beat: how many beats, or calls of a task, the event stands for. Violation: how many
     * there were since the last event.
     */
    uint32_t count;
    /**
     * The task's name: up to 23 bytes and a NUL. Empty: the event is not about a task.
     */
    char task_name[24];
} varta_event;

/**
 * The state of a task. Initialise the first element of an array with VARTA_TASK_INFO_INIT.
 */
typedef struct varta_task_info {
    /**
     * sizeof(varta_task_info).
     */
    uint32_t size;
    /**
     * VARTA_TASK_IDLE, VARTA_TASK_LATE; varta_agent_tasks also sets VARTA_TASK_VITAL.
     */
    uint32_t flags;
    /**
     * The task's number, from 1. No other task of the process has had it. An observer has numbers
     * of its own, as in events.
     */
    uint32_t number;
    /**
     * The status of its last beat: VARTA_STATUS_ constant.
     */
    uint8_t status;
    /**
     * The promises that are broken: bit p - 1 is set for VARTA_PROMISE_ constant p. For an observer,
     * those of which it has reported a stall.
     */
    uint8_t broken;
    /**
     * From an observer: the promise that is due next, or was due first of those that are broken:
     * VARTA_PROMISE_ constant. 0 if nothing is due.
     */
    uint8_t promise;
    /**
     * Zero.
     */
    uint8_t reserved;
    /**
     * The application's number in its last beat.
     */
    uint32_t payload;
    /**
     * From an observer: the checkpoint where it is; 0 outside of all.
     */
    uint16_t checkpoint;
    /**
     * From an observer: the checkpoint or the label of the span that is due.
     */
    uint16_t label;
    /**
     * The longest time between two calls; VARTA_NEVER for no limit.
     */
    uint64_t threshold_ns;
    /**
     * How long ago its last call was made.
     */
    uint64_t age_ns;
    /**
     * From an observer: when its last call was made, in nanoseconds since the observer started.
     */
    uint64_t last_ns;
    /**
     * From an observer: when the promise is due, in nanoseconds since the observer started.
     */
    uint64_t due_ns;
    /**
     * From an observer: the calls that were reported.
     */
    uint64_t beats;
    /**
     * The number of violations. From varta_agent_tasks it wraps at 2^32; from an observer it is the
     * number that was reported.
     */
    uint64_t violations;
    /**
     * How much it has done.
     */
    uint32_t done;
    /**
     * How much is left.
     */
    uint32_t left;
    /**
     * Its name: up to 23 bytes and a NUL.
     */
    char name[24];
} varta_task_info;

/**
 * A datagram for a simulated observer. Initialise with VARTA_DATAGRAM_INIT.
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
     * The contents; may be NULL if length is 0.
     */
    const uint8_t *bytes;
    /**
     * The number of bytes.
     */
    size_t length;
    /**
     * The observer's listener that receives it, from 0; more than 65535 is -EINVAL. The same
     * network sender at two listeners counts as two agents.
     */
    uint32_t listener;
    /**
     * Who sent it and how that is known: VARTA_SENDER_ constant.
     */
    uint32_t sender;
    /**
     * The sender's process id in the observer's namespace; 0 if it has none there.
     */
    uint32_t pid;
    /**
     * The sender's user id.
     */
    uint32_t uid;
    /**
     * A number that no other process ever has, like the inode of a pidfd; 0 if unknown.
     */
    uint64_t process;
    /**
     * The sender's pid namespace: VARTA_NAMESPACE_ constant. Only used if the frame names a
     * different pid than the kernel.
     */
    uint32_t pid_namespace;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * The sender's numeric address without the port: "192.0.2.1", "2001:db8::1".
     */
    const char *source;
    /**
     * With VARTA_NAMESPACE_OTHER, the sender's process id in its own namespace; a frame that
     * names another is refused. 0 if it is whichever the frame names. Must be 0 with other
     * constants.
     */
    uint32_t innermost_pid;
    /**
     * Zero.
     */
    uint32_t reserved2;
} varta_datagram;

/**
 * A process that asks a simulated observer for a page of shared memory. Initialise with
 * VARTA_ATTACHING_INIT.
 */
typedef struct varta_attaching {
    /**
     * sizeof(varta_attaching).
     */
    uint32_t size;
    /**
     * Its process id in the observer's namespace; 0 if it has none there.
     */
    uint32_t pid;
    /**
     * Its user id.
     */
    uint32_t uid;
    /**
     * The process id that it claims; 0 for the same as pid.
     */
    uint32_t claimed_pid;
    /**
     * A number that no other process ever has, like the inode of a pidfd; 0 if unknown.
     */
    uint64_t process;
    /**
     * The last nonce that it has used. Its beats are counted from there.
     */
    uint64_t nonce;
    /**
     * Its monotonic clock less the observer's: 0 unless it is in another time namespace.
     */
    int64_t clock_offset_ns;
} varta_attaching;

/**
 * A page that a simulated observer gave to a process. Initialise with VARTA_PAGE_INIT.
 */
typedef struct varta_page {
    /**
     * sizeof(varta_page).
     */
    uint32_t size;
    /**
     * The number of the page, until it is given up.
     */
    uint32_t page;
    /**
     * The threshold of the process.
     */
    uint64_t threshold_ns;
    /**
     * 1 if the lines of its tasks are read, else 0.
     */
    uint32_t tasks;
    /**
     * Zero.
     */
    uint32_t reserved;
} varta_page;

/**
 * What a simulated observer can read of a process as a whole. In each field 0 or NULL means that it
 * is not known, or does not apply. Initialise with VARTA_READING_INIT.
 */
typedef struct varta_reading {
    /**
     * sizeof(varta_reading).
     */
    uint32_t size;
    /**
     * VARTA_READING_ flags; others are -EINVAL.
     */
    uint32_t flags;
    /**
     * The debugger or tracer that is attached to it.
     */
    uint32_t tracer;
    /**
     * How many threads it has; 0 for as many as are added.
     */
    uint32_t threads;
    /**
     * How long it takes to read it. In 10 ms, processes are read for 2 ms and once more.
     */
    uint64_t spent_ns;
    /**
     * Its CPU clock.
     */
    uint64_t cpu_ns;
    /**
     * The device and the inode of the program that it executes.
     */
    uint64_t executable_device;
    /**
     * See executable_device.
     */
    uint64_t executable_inode;
    /**
     * In the control group with its quota: the periods that have begun (nr_periods).
     */
    uint64_t quota_periods;
    /**
     * In how many of them the quota was used up (nr_throttled).
     */
    uint64_t quota_throttled;
    /**
     * How long any process of the system has waited for memory (/proc/pressure/memory).
     */
    uint64_t memory_pressure_ns;
    /**
     * The name of its first thread, of which 15 bytes are kept.
     */
    const char *name;
    /**
     * The path of the control group that is frozen or waits for memory, of which 48 bytes are kept.
     */
    const char *group;
    /**
     * What there is no permission to read: VARTA_LACKS_ bits.
     */
    uint8_t lacks;
    /**
     * Zeros.
     */
    uint8_t reserved[7];
} varta_reading;

/**
 * What a simulated observer can read of a thread; proc(5) describes the values. Initialise with
 * VARTA_THREAD_READING_INIT.
 */
typedef struct varta_thread_reading {
    /**
     * sizeof(varta_thread_reading).
     */
    uint32_t size;
    /**
     * The id of the thread in the observer's namespace.
     */
    uint32_t thread;
    /**
     * Its state, such as 'S'; 0 for 'S'.
     */
    uint8_t state;
    /**
     * If it is stopped, the signal; 0 if that is not known.
     */
    uint8_t stop_signal;
    /**
     * Zero.
     */
    uint16_t reserved;
    /**
     * The flags in its stat file.
     */
    uint32_t flags;
    /**
     * How long it has run, from its schedstat file.
     */
    uint64_t run_ns;
    /**
     * How long it has been ready to run but did not.
     */
    uint64_t wait_ns;
    /**
     * How often it has begun to run.
     */
    uint64_t slices;
    /**
     * How often it has waited for a page to be read.
     */
    uint64_t major_faults;
    /**
     * The kernel function in which it waits, from its wchan file, of which 40 bytes are kept; NULL
     * if it is not known.
     */
    const char *wait_channel;
    /**
     * The name of the system call in which it is; "running" if it is in none, "outside" if it waits
     * in the kernel outside of calls; NULL if it is not known.
     */
    const char *call;
    /**
     * The first four arguments of the call.
     */
    uint64_t arguments[4];
} varta_thread_reading;

/**
 * A step that a task may take from one checkpoint to another. 24 bytes in every version of this
 * library.
 */
typedef struct varta_edge {
    /**
     * The checkpoint before; 0 is outside of all, where a task begins.
     */
    uint16_t from;
    /**
     * The checkpoint that is reached.
     */
    uint16_t to;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * The step takes at least this long.
     */
    uint64_t min_ns;
    /**
     * The step takes less than this; 0 or VARTA_NEVER for no limit. The largest such time of all
     * edges from a checkpoint is how long the task may stay there.
     */
    uint64_t max_ns;
} varta_edge;

/**
 * Task options. Initialise with VARTA_TASK_OPTIONS_INIT; zero in any field means the default. Times
 * are 1 ms to 30 days long, or VARTA_NEVER.
 */
typedef struct varta_task_options {
    /**
     * sizeof(varta_task_options).
     */
    uint32_t size;
    /**
     * VARTA_TASK_VITAL, VARTA_TASK_ROAMS; others are -EINVAL.
     */
    uint32_t flags;
    /**
     * The time until the first call after declaring. Default: the threshold.
     */
    uint64_t startup_ns;
    /**
     * While something is left, done must change at least this often. Default: it need not.
     */
    uint64_t progress_ns;
    /**
     * The shortest span that the observer must report at once if it does not end. Default: the
     * threshold; a shorter span may then be reported later by up to half the threshold.
     */
    uint64_t finest_ns;
    /**
     * The length of a cycle, in which there must be least to most beats. The first cycle begins
     * with the first beat after declaring or idling. Default: no cycles.
     */
    uint64_t cycle_ns;
    /**
     * The least number of beats in a cycle. Only used with cycle_ns; -EINVAL without it.
     */
    uint32_t least;
    /**
     * The largest number of beats in a cycle; 0 for no limit. Only used with cycle_ns; -EINVAL
     * without it.
     */
    uint32_t most;
    /**
     * How many spans can be open at once. Default: 8. More than 65,536 is -EINVAL.
     */
    uint32_t spans;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * The only steps between checkpoints that the task may take, at most 256. Default: any step.
     */
    const varta_edge *edges;
    /**
     * The number of edges.
     */
    size_t edge_count;
    /**
     * A buffer for an error message, or NULL. If varta_task_open fails, it writes a sentence that
     * describes the failure and what to do, NUL-terminated and truncated to fit.
     */
    char *message;
    /**
     * The size of the message buffer in bytes.
     */
    size_t message_size;
} varta_task_options;

/**
 * What a task counted. The counts of violations wrap and, in a forked child, begin at 0. Initialise
 * with VARTA_TASK_COUNTERS_INIT.
 */
typedef struct varta_task_counters {
    /**
     * sizeof(varta_task_counters).
     */
    uint32_t size;
    /**
     * The task's number, which no other task of the process has had. In a forked child the next
     * call gives it another.
     */
    uint32_t number;
    /**
     * Spans and steps that ended before their shortest time.
     */
    uint32_t too_early;
    /**
     * Spans and steps that ended after their longest time.
     */
    uint32_t too_late;
    /**
     * Steps for which there is no edge.
     */
    uint32_t wrong_order;
    /**
     * Cycles with too few beats.
     */
    uint32_t too_few;
    /**
     * Cycles with too many beats.
     */
    uint32_t too_many;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Spans that were not watched, because as many as possible were open.
     */
    uint64_t unwatched;
    /**
     * Calls in a forked child that had no room for the task.
     */
    uint64_t undeclared;
} varta_task_counters;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes an agent.
 *
 * The agent may start before its observer and outlive it. On a Unix socket, a beat after one
 * that found no observer first tries to open a new session, at most ten times a second; over
 * UDP the session is kept. A forked child may keep using the agent: its first beat opens a
 * session of its own and counts from 1.
 *
 * On a Unix socket, an observer may offer a page of shared memory. This call waits for it for at
 * most 20 ms. Beats then go into this page, without a system call; whenever there is no page,
 * they go as datagrams.
 *
 * ret: receives the new handle. The caller owns it and ends it with varta_close.
 * endpoint: where the observer is: "/run/varta.sock", "unix:///run/varta.sock", "@name"
 *     (abstract), both also with "?lane=off", "udp://127.0.0.1:9000", "udp+secure://10.0.0.5:9443?key-file=PATH" or
 *     "...?master-key-file=PATH". Hosts are numeric. NULL: $VARTA_ENDPOINT, else
 *     "/run/varta/varta.sock".
 * opt: options, or NULL for the defaults. Not used after the call returns.
 *
 * Returns 0, or
 *     -EINVAL         ret is NULL, the endpoint is invalid, or a flag is unknown
 *     -E2BIG          opt sets fields that this library does not know
 *     -EACCES         no permission for the socket or the key file, or others can read the key
 *     -ENOENT         the key file does not exist; with VARTA_AGENT_NO_FOLLOW, there is no socket
 *     -ECONNREFUSED   with VARTA_AGENT_NO_FOLLOW, no observer is bound to the socket
 *     VARTA_EKEY      the key file does not hold a key
 *     -EMFILE         no file descriptor is free
 *     or another error from socket(2) or connect(2)
 * If opt->message is set, an error message is written there.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_connect(varta_agent **ret,
                  const char *endpoint,
                  const varta_agent_options *opt);

/**
 * Sends a heartbeat of this process, with a status and a number that the application chooses.
 *
 * It makes one system call, or none if it goes through shared memory, and never blocks, allocates,
 * locks or logs. Call it from the loop
 * that does the work, not from a helper thread that keeps running when the work has stopped.
 *
 * agent: from varta_connect.
 * status: VARTA_STATUS_OK, VARTA_STATUS_DEGRADED or VARTA_STATUS_CRITICAL.
 * payload: delivered unchanged in the observer's event.
 *
 * Returns 0 (VARTA_SENT) if the kernel accepted the beat, or it is in shared memory. A positive number means the beat was
 * dropped, for a temporary reason; the caller can ignore it:
 *     VARTA_DROPPED_KERNEL_QUEUE_FULL   the observer's queue is full
 *     VARTA_DROPPED_NO_OBSERVER         no observer is bound there, or it has not looked at shared
 *                                       memory for too long
 *     VARTA_DROPPED_PEER_GONE           the observer closed its socket
 *     VARTA_DROPPED_STORAGE_FULL        the file system is full
 *     VARTA_DROPPED_WITHHELD            a vital task of this process is late; nothing was sent
 * A negative number is an error that does not go away by itself:
 *     -EINVAL        agent is NULL, or the status is VARTA_STATUS_STALL or unknown
 *     -EBUSY         another call is using this agent; nothing was sent
 *     VARTA_EPANIC   the library has a bug; the agent can only be closed
 *     or another error from send(2) or, in a forked child, socket(2) or connect(2)
 * Threads: one call at a time per agent. On plain transports (not udp+secure) it may be
 * called from a signal handler; if that interrupted a call on the same agent, it gets -EBUSY.
 * Since 0.3.0.
 */
int varta_beat(varta_agent *agent,
               uint8_t status,
               uint32_t payload);

/**
 * Sends the last words of this process: a final beat with VARTA_STATUS_CRITICAL and
 * VARTA_NONCE_TERMINAL. Call it when the program ends because of a failure that it noticed itself;
 * for crashes, see varta_install_crash_handler. A process that goes on may still beat.
 *
 * They always go as a datagram. If the observer was replaced, this opens a new session first.
 *
 * agent: from varta_connect.
 * payload: delivered unchanged in the observer's event.
 *
 * Returns what varta_beat returns, except VARTA_DROPPED_WITHHELD.
 * Threads: as for varta_beat. Since 0.3.0.
 */
int varta_last_words(varta_agent *agent, uint32_t payload);

/**
 * Opens a new session to the same endpoint. Nonce and clock continue; in a forked child they
 * start again.
 *
 * agent: from varta_connect.
 *
 * Returns 0, or
 *     -EINVAL         agent is NULL
 *     -EBUSY          another call is using this agent
 *     -ENOENT         there is no socket
 *     -ECONNREFUSED   no observer is bound to the socket
 *     VARTA_EPANIC    the library has a bug; the agent can only be closed
 *     or another error from socket(2) or connect(2)
 * After an error the old session stays in use.
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_reconnect(varta_agent *agent);

/**
 * Reads the counters of an agent.
 *
 * agent: from varta_connect.
 * ret: receives the counters; initialise it with VARTA_AGENT_COUNTERS_INIT.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this agent
 *     VARTA_EPANIC   the library has a bug; the agent can only be closed
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_agent_stats(varta_agent *agent, varta_agent_counters *ret);

/**
 * Closes an agent. The observer will report a stall, unless the process ends first.
 *
 * agent: from varta_connect, or NULL, which is ignored. No other call may be using it, and
 *     none may follow; debug builds of the library check that, and abort.
 * Threads: any. Since 0.3.0.
 */
void varta_close(varta_agent *agent);

/**
 * Encodes a frame. Except for what is listed below, the values of the fields are not checked;
 * varta_frame_decode does that.
 *
 * ret: receives 32 bytes.
 * frame: version is 1 or 2, and status is a VARTA_STATUS_ constant.
 *
 * Returns 0, or -EINVAL: a pointer is NULL, the version or the status is unknown, a reserved
 * byte is not zero, or the payload does not fit the version.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_encode(uint8_t *ret, const varta_frame *frame);

/**
 * Decodes a frame.
 *
 * ret: receives the frame, if it is valid.
 * wire: the bytes of a datagram.
 * length: the number of bytes.
 * version: the wire version to accept, 1 or 2. A frame of the other version is
 *     VARTA_DECODE_BAD_VERSION.
 *
 * Returns 0 if the frame is valid. A positive number is the first error found, in this order:
 * VARTA_DECODE_BAD_MAGIC, _BAD_VERSION, _BAD_CRC (version 2 only), _BAD_STATUS,
 * _STALL_ON_WIRE, _BAD_PID, _BAD_TIMESTAMP, _BAD_NONCE. A negative number means that the call
 * was wrong:
 *     -EINVAL     a pointer is NULL, or the version is unknown
 *     -EMSGSIZE   length is not 32
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_decode(varta_frame *ret,
                       const uint8_t *wire,
                       size_t length,
                       uint8_t version);

/**
 * Computes the CRC-32C (Castagnoli) of some bytes.
 *
 * ret: receives the checksum.
 * bytes: the bytes; may be NULL if length is 0.
 * length: the number of bytes.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_crc32c(uint32_t *ret, const uint8_t *bytes, size_t length);

/**
 * Returns the name of a status: "ok", "degraded", "critical", "stall".
 *
 * status: a VARTA_STATUS_ number.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_status_name(uint8_t status);

/**
 * Returns the name of a beat's outcome: "sent", or why it was dropped, such as "no observer".
 *
 * outcome: what varta_beat returned, if it is not negative; pass errors to varta_strerror.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_outcome_name(int outcome);

/**
 * Returns the name of a kind of event: "beat", "stall", "recovered", "exit", "decode",
 * "auth-failure", "io", "paused", "task", "ended", "violation".
 *
 * kind: a VARTA_EVENT_ number.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_event_name(uint8_t kind);

/**
 * Returns the name of an origin: "kernel-attested", "secure-network", "network".
 *
 * origin: a VARTA_ORIGIN_ number.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_origin_name(uint8_t origin);

/**
 * Returns the name of a decode error: "BadMagic", "BadVersion", "BadCrc", "BadStatus",
 * "StallOnWire", "BadPid", "BadTimestamp", "BadNonce".
 *
 * error: a VARTA_DECODE_ number, from varta_frame_decode or an event.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_decode_error_name(int error);

/**
 * Installs signal handlers that send a final beat when a fatal signal ends this process:
 * SIGSEGV, SIGABRT (which includes abort and std::terminate), SIGBUS, SIGILL, SIGFPE and, with
 * VARTA_CRASH_SIGTERM, SIGTERM. The beat has VARTA_STATUS_CRITICAL, VARTA_NONCE_TERMINAL, and
 * the signal's number as payload. Then the signal has its previous effect: the previous handler
 * runs, or the signal ends the process, with a core dump if one is due. A signal that was
 * ignored stays ignored.
 *
 * The socket is opened by this call, because a crashing process cannot rely on opening one.
 * Forked children inherit the handlers, and send with their own pid. An exec removes them.
 *
 * Call it once in each thread. The first call installs the handlers, and every call gives its
 * thread a signal stack if it has none, so that the final beat is sent even if the thread's own
 * stack has overflowed. A thread that did not call it sends nothing in that case. A call with
 * another endpoint redirects the final beat there.
 *
 * If a signal has been reset to its default or ignored since, a further call installs the
 * handler for it again. If other code has installed its own handler since, that handler stays,
 * and is expected to call the one that it replaced.
 *
 * After this call the object that contains this code is never unloaded, even if it is a plugin
 * that links libvarta.a.
 *
 * endpoint: as for varta_connect; NULL: $VARTA_ENDPOINT, else "/run/varta/varta.sock".
 * flags: VARTA_CRASH_ flags; others are -EINVAL. A flag once set stays in effect.
 *
 * Returns 0, or
 *     -EINVAL         the endpoint is invalid, or a flag is unknown
 *     -ENOENT         there is no socket, or the key file does not exist
 *     -ECONNREFUSED   no observer is bound to the socket
 *     -EACCES         no permission for the socket or the key file, or others can read the key
 *     VARTA_EKEY      the key file does not hold a key
 *     -EMFILE         no file descriptor is free
 *     -EOPNOTSUPP     the object that contains this code cannot be kept loaded
 *     or another error from socket(2), connect(2) or mmap(2)
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_install_crash_handler(const char *endpoint, uint32_t flags);

/**
 * Describes an error code.
 *
 * The text is that of the operating system, except where this library gives a code a more
 * specific meaning (EBUSY, ECHILD, E2BIG and others).
 *
 * code: what a function of this library returned. For 0 and positive numbers the text is
 *     "no error".
 *
 * Returns a static string, never NULL; "unknown error" for an unknown number. Do not free it.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_strerror(int code);

/**
 * Tells the service manager that has started this process, such as systemd, that the process has
 * started and works. A unit of Type=notify waits for this. Call it once, when the start-up is
 * done.
 *
 * Notifications are off unless the option VARTA_AGENT_NOTIFY is set or $VARTA_NOTIFY is 1. The
 * service manager is the one in $NOTIFY_SOCKET. If $WATCHDOG_USEC is set too, a beat with
 * VARTA_STATUS_OK also sends a keep-alive (WATCHDOG=1) when half of that time has passed. This
 * call never blocks.
 *
 * agent: from varta_connect.
 *
 * Returns 0 (VARTA_SENT) if the kernel accepted the message. A positive number means that it was
 * not sent:
 *     VARTA_DROPPED_NOT_CONFIGURED      notifications are off, or there is no service manager
 *     VARTA_DROPPED_KERNEL_QUEUE_FULL   its queue is full; call again later
 *     VARTA_DROPPED_NO_OBSERVER         its socket is not there
 * A negative number is an error:
 *     -EINVAL        agent is NULL
 *     -EBUSY         another call is using this agent; nothing was sent
 *     VARTA_EPANIC   the library has a bug; the agent can only be closed
 *     or another error from socket(2) or sendto(2)
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_ready(varta_agent *agent);

/**
 * Tells the service manager that this process is shutting down, so that its exit is expected.
 * After that, beats send no more keep-alives.
 *
 * agent: from varta_connect.
 *
 * Returns what varta_ready returns.
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_stopping(varta_agent *agent);

/**
 * Tells the service manager in words what this process does, for example for systemctl status.
 *
 * agent: from varta_connect.
 * text: UTF-8. It is cut to 256 bytes, and each control character in it becomes a space. An empty
 *     string clears the text.
 *
 * Returns what varta_ready returns; -EINVAL also if text is NULL or not UTF-8.
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_status(varta_agent *agent, const char *text);

/**
 * Makes an observer that listens at an endpoint.
 *
 * Polling allocates no memory after this call. A Unix socket gets mode 0600, unless the options
 * set another. If the path has a socket that nobody listens on, it is replaced; any other file
 * is left alone. When the observer is closed, the process that made it removes the socket.
 *
 * ret: receives the new handle. The caller owns it and ends it with varta_observer_close.
 * endpoint: where to listen, as for varta_connect. NULL: $VARTA_ENDPOINT, else
 *     "/run/varta/varta.sock"; with opt->inherit, only the inherited socket.
 * opt: options, or NULL for the defaults. Not used after the call returns.
 *
 * Returns 0, or
 *     -EINVAL        ret is NULL, the endpoint is invalid, or an option is unknown or out of range
 *     -E2BIG         opt sets fields that this library does not know
 *     -EADDRINUSE    an observer is already listening there
 *     -EACCES        no permission to bind or to probe the path, or others can read the key
 *     -ENOENT        the directory or the key file does not exist
 *     -EEXIST        the path exists and is not a socket
 *     VARTA_EKEY     the key file does not hold a key
 *     -EMFILE        no file descriptor is free
 *     -ENOMEM        there is not enough memory for opt->capacity agents
 *     or another error from socket(2), bind(2) or epoll_create(2)
 * If opt->message is set, an error message is written there.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_observer_bind(varta_observer **ret,
                        const char *endpoint,
                        const varta_observer_options *opt);

/**
 * Listens at one more endpoint, as if varta_observer_bind had been given it too. It uses the
 * same socket mode and receive buffer; a key of a udp+secure endpoint is added to those in use.
 *
 * obs: from varta_observer_bind.
 * endpoint: as for varta_connect; NULL is -EINVAL.
 *
 * Returns 0, an error of varta_observer_bind, or
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     -EOPNOTSUPP    obs is a simulated observer
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * After an error the observer is unchanged.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_listen(varta_observer *obs, const char *endpoint);

/**
 * Sets the threshold of one agent. Its silence so far counts towards the new threshold.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * agent: the agent's number, as in events.
 * threshold_ns: how long the agent may be silent; 0 is -EINVAL.
 *
 * Returns 0, or
 *     -EINVAL        obs is NULL, or the threshold is 0
 *     -ESRCH         the observer follows no agent with this number
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_set_threshold(varta_observer *obs, uint64_t agent, uint64_t threshold_ns);

/**
 * Closes an observer: closes its sockets, and removes the socket files that it made. A forked
 * child leaves its parent's files alone.
 *
 * obs: from varta_observer_bind or varta_observer_simulate, or NULL, which is ignored. No other
 *     call may be using it, and none may follow; debug builds of the library check that, and
 *     abort.
 * Threads: any. Since 0.3.0.
 */
void varta_observer_close(varta_observer *obs);

/**
 * Returns the name to show for an agent, as in varta_agent_info: it is safe to print. An event
 * has no room for it.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * agent: the agent's number, as in events.
 * ret: receives the name, NUL-terminated and truncated to fit; 64 bytes are always enough.
 * cap: the size of ret in bytes; 0 is -EINVAL.
 *
 * Returns the length of the whole name without the NUL. 0: no name is known, as over a network, and
 * ret is an empty string. The name is known for all agents that the observer follows, and for all
 * that the events of the last call of varta_observer_poll or varta_observer_poll_many name, even if
 * they have exited since. Or returns
 *     -EINVAL        a pointer is NULL, or cap is 0
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_label(varta_observer *obs, uint64_t agent, char *ret, size_t cap);

/**
 * Lists the agents that the observer follows.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: an array that receives the agents. Initialise its first element with
 *     VARTA_AGENT_INFO_INIT; the size there is the distance between elements. May be NULL if
 *     cap is 0.
 * cap: the number of elements in the array; no more are written.
 *
 * Returns the number of agents that the observer follows, which may be more than cap; or
 *     -EINVAL        obs is NULL, ret is NULL while cap is not 0, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_agents(varta_observer *obs, varta_agent_info *ret, size_t cap);

/**
 * Tells why an agent is silent, or one of its tasks. The observer looks up causes if it was
 * created with VARTA_OBSERVER_CAUSES.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * agent: the agent's number, as in events.
 * task: the task's number, as in events; 0 for the process.
 * ret: receives the cause if the return value is 1; initialise it with VARTA_CAUSE_INFO_INIT.
 *
 * Returns 1 if a stall was reported that is not over, 0 if not, or if causes are not looked up; or
 *     -EINVAL        a pointer is NULL, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_cause(varta_observer *obs,
                         uint64_t agent,
                         uint32_t task,
                         varta_cause_info *ret);

/**
 * Returns the name of a cause, such as "lock", "stopped" or "leader-exited".
 *
 * cause: a VARTA_CAUSE_ number.
 *
 * Returns a static string, "unknown" for VARTA_CAUSE_UNKNOWN and for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_cause_name(uint8_t cause);

/**
 * Reads the counters of an observer.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: receives the counters; initialise it with VARTA_OBSERVER_COUNTERS_INIT.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_stats(varta_observer *obs, varta_observer_counters *ret);

/**
 * Returns the next event.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: receives the event, if there is one.
 * timeout_ms: how long to wait for an event: 0 does not wait, -1 waits without limit. A
 *     simulated observer never waits.
 *
 * Returns 1 if there is an event, 0 if there was none within the timeout; or
 *     -EINVAL        a pointer is NULL, or the timeout is less than -1
 *     -EINTR         a signal or varta_observer_wake interrupted the wait
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 *     or another error from epoll_wait(2)
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_poll(varta_observer *obs, varta_event *ret, int timeout_ms);

/**
 * Returns several events at once, waiting only for the first.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * ret: an array that receives the events.
 * cap: the number of elements in the array; 0 is -EINVAL.
 * timeout_ms: as for varta_observer_poll.
 *
 * Returns the number of events written, 0 if there was none within the timeout, or an error of
 * varta_observer_poll.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_poll_many(varta_observer *obs,
                             varta_event *ret,
                             size_t cap,
                             int timeout_ms);

/**
 * Returns a file descriptor to wait for in the caller's event loop, with poll, epoll or anything
 * built on them. It is readable (level-triggered) whenever varta_observer_poll has an event,
 * including a stall. Then call varta_observer_poll with a timeout of 0 until it returns 0.
 *
 * obs: from varta_observer_bind.
 *
 * Returns the descriptor, which belongs to the observer and is closed with it; or
 *     -EINVAL        obs is NULL
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     -EOPNOTSUPP    obs is a simulated observer
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_fd(varta_observer *obs);

/**
 * Returns how long an event loop may wait before it must call varta_observer_poll again even if
 * no datagram arrives. It is for loops that wait with a timeout, as poll(2) does. A call after
 * that time counts as a pause of the observer.
 *
 * obs: from varta_observer_bind.
 *
 * Returns milliseconds from now, rounded up; 0 if an event is due; INT_MAX if there is no limit
 * because the observer follows no agent; or an error of varta_observer_fd.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_timeout_ms(varta_observer *obs);

/**
 * Returns advice for the operator, if there is any: for example, that the kernel's queue is too
 * short for this many agents.
 *
 * obs: from varta_observer_bind.
 * ret: receives the sentence, NUL-terminated and truncated to fit.
 * cap: the size of ret in bytes; 0 is -EINVAL.
 *
 * Returns the length of the whole sentence without the NUL; 0 if there is no advice, and ret is
 * an empty string; or an error of varta_observer_fd.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_advice(varta_observer *obs, char *ret, size_t cap);

/**
 * Sets how late tasks may be before that is reported. It replaces what the options or an earlier
 * call set, and counts for what is due from now on.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * slack: an array of entries, of which a later one for the same name counts; may be NULL if count
 *     is 0, for no slack. Not used after the call returns.
 * count: the number of entries.
 *
 * Returns 0, or
 *     -EINVAL        obs is NULL, slack is NULL while count is not 0, or a name is missing or invalid
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_set_slack(varta_observer *obs,
                             const varta_slack *slack,
                             size_t count);

/**
 * Lists the tasks of an agent, as they are now.
 *
 * obs: from varta_observer_bind or varta_observer_simulate.
 * agent: the agent's number, as in events.
 * ret: an array that receives the tasks. Initialise its first element with
 *     VARTA_TASK_INFO_INIT; the size there is the distance between elements. May be NULL if
 *     cap is 0.
 * cap: the number of elements in the array; no more are written.
 *
 * Returns the number of tasks that the observer follows, which may be more than cap; 0 also if it
 * follows no agent with this number, or no tasks; or
 *     -EINVAL        obs is NULL, ret is NULL while cap is not 0, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this observer
 *     -ECHILD        the observer belongs to the parent of this process
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_tasks(varta_observer *obs,
                         uint64_t agent,
                         varta_task_info *ret,
                         size_t cap);

/**
 * Ends the wait of a poll: the call of varta_observer_poll or varta_observer_poll_many that is
 * waiting returns -EINTR, or if none is, the next one that would wait. Several wakes before that
 * count as one. The observer's descriptor becomes readable too.
 *
 * obs: from varta_observer_bind.
 *
 * Returns 0, or
 *     -EINVAL        obs is NULL
 *     -ECHILD        the observer belongs to the parent of this process
 *     -EOPNOTSUPP    obs is a simulated observer, which never waits
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: any, also while another call is using the observer, and in a signal handler; but before
 * varta_observer_close. Since 0.3.0.
 */
int varta_observer_wake(varta_observer *obs);

/**
 * Seals a frame with a shared key.
 *
 * ret: receives 60 bytes: prefix, counter, ciphertext, tag.
 * key: 32 bytes.
 * iv_prefix: 8 bytes, random for each session.
 * iv_counter: must change with every seal. Never seal twice with the same key, prefix and
 *     counter: that reveals both frames and allows forgeries.
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
 * Seals a frame with an agent's own key.
 *
 * ret: receives 64 bytes: pid, prefix, counter, ciphertext, tag.
 * key: 32 bytes, from varta_derive_agent_key.
 * pid: the agent's process id, which is authenticated too.
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
 * Opens a frame that varta_frame_seal sealed.
 *
 * ret: receives the 32 bytes of the frame.
 * key: 32 bytes.
 * wire: the bytes of a datagram.
 * length: the number of bytes.
 *
 * Returns 0, or
 *     -EINVAL    a pointer is NULL
 *     -EBADMSG   not sealed with this key, changed in transit, or not 60 bytes
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_open(uint8_t *ret, const uint8_t *key, const uint8_t *wire, size_t length);

/**
 * Opens a frame that varta_frame_seal_as sealed. The first four bytes of the datagram,
 * little-endian, are the pid of the agent whose key opens it; the frame must contain the same
 * pid.
 *
 * ret: receives the 32 bytes of the frame.
 * key: 32 bytes, from varta_derive_agent_key.
 * wire: the bytes of a datagram.
 * length: the number of bytes.
 *
 * Returns 0, or
 *     -EINVAL    a pointer is NULL
 *     -EBADMSG   not sealed with this key, changed in transit, a frame of another pid, or not
 *                64 bytes
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_frame_open_from(uint8_t *ret, const uint8_t *key, const uint8_t *wire, size_t length);

/**
 * Derives an agent's own key from a master key.
 *
 * ret: receives 32 bytes.
 * master: 32 bytes.
 * pid: the agent's process id.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_derive_agent_key(uint8_t *ret, const uint8_t *master, uint32_t pid);

/**
 * Derives an IV prefix from a session's salt.
 *
 * ret: receives 8 bytes.
 * salt: 16 bytes.
 * index: 0 at first; add one whenever the counter would wrap.
 *
 * Returns 0, or -EINVAL: a pointer is NULL.
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_derive_iv_prefix(uint8_t *ret, const uint8_t *salt, uint32_t index);

/**
 * Makes a simulated observer, to test what a program does with events. It has no sockets: the
 * caller feeds it datagrams and advances its clock. All other functions work as for an observer
 * with sockets.
 *
 * ret: receives the new handle. The caller owns it and ends it with varta_observer_close.
 * opt: options, or NULL for the defaults. Not used after the call returns. Socket options are
 *     ignored, except that inherit and inherit_lane must be 0.
 *
 * Returns 0, or
 *     -EINVAL       ret is NULL, or an option is unknown or out of range
 *     -E2BIG        opt sets fields that this library does not know
 *     -ENOMEM       there is not enough memory for opt->capacity agents
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_observer_simulate(varta_observer **ret, const varta_observer_options *opt);

/**
 * Feeds a datagram to a simulated observer. Poll for the events that result.
 *
 * obs: from varta_observer_simulate.
 * at_ns: the time, in nanoseconds since the observer started. A time before that of an earlier
 *     call is replaced by the earlier call's time.
 * d: the datagram. Not used after the call returns.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, d was not initialised, or a number in it is unknown
 *     -E2BIG         d sets fields that this library does not know
 *     -EBUSY         another call is using this observer
 *     -EOPNOTSUPP    obs is not a simulated observer
 *     VARTA_EPANIC   the library has a bug; the observer can only be closed
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed(varta_observer *obs, uint64_t at_ns, const varta_datagram *d);

/**
 * Tells a simulated observer that a process ended. Poll for its exit.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * pid: the process.
 * cause: how it ended: VARTA_EXIT_ constant.
 * code: its exit code or the signal; must be 0 if the cause is unknown.
 *
 * Returns 1, or 0 if no agent has that pid; or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_exit(varta_observer *obs,
                             uint64_t at_ns,
                             uint32_t pid,
                             uint8_t cause,
                             int32_t code);

/**
 * Tells a simulated observer that it is late: it polls at at_ns but was due at due_ns. If that
 * counts as a pause, poll for it.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * due_ns: when it was due, on the same clock.
 *
 * Returns 0, or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_late(varta_observer *obs, uint64_t at_ns, uint64_t due_ns);

/**
 * Tells a simulated observer that the system was just suspended. Poll for the pause.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed; includes the suspended time.
 * ns: how long the system was suspended.
 *
 * Returns 0, or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_suspended(varta_observer *obs, uint64_t at_ns, uint64_t ns);

/**
 * Advances the clock of a simulated observer and checks its deadlines. First feed everything
 * that arrives until then. Poll for the stalls and exits that are due.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * flags: 0 or VARTA_ADVANCE_FULL; others are -EINVAL.
 *
 * Returns 0, or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_advance(varta_observer *obs, uint64_t at_ns, uint32_t flags);

/**
 * A process asks a simulated observer for a page of shared memory, which varta_connect does by
 * itself. Both have one clock: times in the page are in nanoseconds since the observer started.
 *
 * obs: from varta_observer_simulate, with VARTA_OBSERVER_LANE.
 * at_ns: as for varta_observer_feed.
 * process: the process. Not used after the call returns.
 * ret: receives the page; initialise it with VARTA_PAGE_INIT.
 *
 * Returns 0, an error of varta_observer_feed, or if the process may not have a page, the reason:
 *     -EACCES   its user, its pid or its pid namespace is not admitted
 *     -ENOSPC   the process or the observer has as many pages as it may have
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_attach(varta_observer *obs,
                               uint64_t at_ns,
                               const varta_attaching *process,
                               varta_page *ret);

/**
 * Tells a simulated observer that the process has mapped its page, which is then looked at for the
 * first time.
 *
 * obs: from varta_observer_simulate.
 * at_ns: as for varta_observer_feed.
 * page: the number of the page, from varta_observer_feed_attach.
 *
 * Returns 0; -EINVAL if no process has this page; or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_mapped(varta_observer *obs, uint64_t at_ns, uint32_t page);

/**
 * Tells a simulated observer that a process asks it to look at its page, which agents do when
 * something cannot wait.
 *
 * obs, at_ns, page: as for varta_observer_feed_mapped.
 *
 * Returns what varta_observer_feed_mapped returns.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_bell(varta_observer *obs, uint64_t at_ns, uint32_t page);

/**
 * Tells a simulated observer that a process gives up its page, for example by calling exec.
 *
 * obs, at_ns, page: as for varta_observer_feed_mapped.
 *
 * Returns what varta_observer_feed_mapped returns.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_detach(varta_observer *obs, uint64_t at_ns, uint32_t page);

/**
 * Writes lines of a page of a simulated observer, as a process would. The observer finds them at
 * its next look. This is for tests of observers; docs/lane.md describes the lines.
 *
 * obs: from varta_observer_simulate.
 * page: the number of the page, from varta_observer_feed_attach.
 * pair: 0 for the process itself, 1 to 31 for its tasks; others are -EINVAL.
 * cold: the eight words of the pair's cold line, or NULL to leave it as it is.
 * hot: the eight words of its hot line, or NULL.
 *
 * Returns what varta_observer_feed_mapped returns.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_line(varta_observer *obs,
                             uint32_t page,
                             uint32_t pair,
                             const uint64_t *cold,
                             const uint64_t *hot);

/**
 * Tells a simulated observer which program a process runs, before it hears of the process. It is
 * the name in varta_agent_info and the one for slack.
 *
 * obs: from varta_observer_simulate.
 * pid: the process.
 * name: the name of its program, of which 15 bytes are kept.
 *
 * Returns 0; -EINVAL if name is NULL or not UTF-8; or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_program(varta_observer *obs, uint32_t pid, const char *name);

/**
 * Tells a simulated observer which name a process declares. It is the label of its agent from now
 * on; without it, that is the name of its program.
 *
 * obs: from varta_observer_simulate.
 * pid: the process.
 * name: the name, of which 63 bytes are kept, cleaned so that it is safe to print.
 *
 * Returns 0; -EINVAL if name is NULL or not UTF-8; or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_name(varta_observer *obs, uint32_t pid, const char *name);

/**
 * Tells a simulated observer that a thread of a process has ended. A task of that thread which
 * breaks a promise has then ended, instead of a stall.
 *
 * obs: from varta_observer_simulate.
 * pid: the process.
 * thread: the id of the thread.
 *
 * Returns 0, or an error of varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_thread_gone(varta_observer *obs, uint32_t pid, uint32_t thread);

/**
 * Sets what a simulated observer can read of a process from now on, to find out why it is silent.
 * An earlier reading of it is replaced, with its threads. The observer must look up causes:
 * VARTA_OBSERVER_CAUSES.
 *
 * obs: from varta_observer_simulate.
 * pid: the process.
 * r: the reading, without threads. Not used after the call returns.
 *
 * Returns 0; -EINVAL if r is NULL, or a flag, bit or text in it is not valid; -ENOMEM; or an error of
 * varta_observer_feed.
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_reading(varta_observer *obs,
                                uint32_t pid,
                                const varta_reading *r);

/**
 * Adds a thread to what a simulated observer can read of a process. Add the first thread, whose id is
 * the pid, before others.
 *
 * obs: from varta_observer_simulate.
 * pid: the process, of which varta_observer_feed_reading has set a reading.
 * t: the thread. Not used after the call returns.
 *
 * Returns 0, an error of varta_observer_feed, or
 *     -EINVAL   t is NULL, or a text in it is not valid; the call may not exist on this machine
 *     -ESRCH    there is no reading of this process
 *     -ENOSPC   it has 64 threads already
 * Threads: one call at a time per observer. Since 0.3.0.
 */
int varta_observer_feed_thread_reading(varta_observer *obs,
                                       uint32_t pid,
                                       const varta_thread_reading *t);

/**
 * Declares a task, which is its first sign of life.
 *
 * Each call of a task is a sign of life, and a promise to make the next call within the
 * threshold. An observer that is asked for tasks reports each one by itself: that it was
 * declared, its beats, its stalls and recoveries, and its end. For any other observer,
 * varta_beat includes the tasks: a late task makes the status of the process critical. Keep one
 * varta_beat in the main loop.
 *
 * ret: receives the new handle. The caller owns it and ends it with varta_task_close. It does not
 *     need the agent any more.
 * agent: from varta_connect. All agents of a process with the same endpoint share their tasks.
 * name: 1 to 23 bytes of UTF-8 without control characters. Several tasks may have the same name.
 * threshold_ns: the longest time between two calls: 1 ms to 30 days, or VARTA_NEVER.
 * opt: options, or NULL for the defaults. Not used after the call returns.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, or the name, the threshold or an option is invalid
 *     -E2BIG         opt sets fields that this library does not know
 *     -ENOSPC        the process already has 31 tasks
 *     -ENOMEM        there is not enough memory for opt->spans spans
 *     -EBUSY         another call is using this agent
 *     VARTA_EPANIC   the library has a bug; the agent can only be closed
 * If opt->message is set, an error message is written there.
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_task_open(varta_task **ret,
                    varta_agent *agent,
                    const char *name,
                    uint64_t threshold_ns,
                    const varta_task_options *opt);

/**
 * Reports that the task is here, with a status and a number that the application chooses.
 *
 * It is a few stores, and never blocks, allocates or logs. It makes a system call only to let the
 * observer look at once, for example at a new status, and ten times a second to check whether the
 * observer is there. All other calls of a task cost the same.
 *
 * task: from varta_task_open.
 * status: VARTA_STATUS_OK, VARTA_STATUS_DEGRADED or VARTA_STATUS_CRITICAL.
 * payload: delivered unchanged in the observer's event.
 *
 * Returns 0 (VARTA_SENT): it was recorded; or
 *     -EINVAL        task is NULL, or the status is VARTA_STATUS_STALL or unknown
 *     -ENOSPC        this process is a forked child that has no room for the task
 *     -EBUSY         another call is using this task; nothing was recorded
 *     VARTA_EPANIC   the library has a bug; the task can only be closed
 * Threads: one call at a time per task. It may be called from a signal handler; if that
 * interrupted a call on the same task, it gets -EBUSY. Since 0.3.0.
 */
int varta_task_beat(varta_task *task, uint8_t status, uint32_t payload);

/**
 * Nothing is due until the next call of any kind, which ends this. Call it before waiting for
 * work. The time of open spans, of steps and of progress stands still meanwhile.
 *
 * task: from varta_task_open.
 * at_most_ns: the next call is due within this time; VARTA_NEVER for no limit.
 *
 * Returns 0, or
 *     -EINVAL        task is NULL
 *     -EBUSY         another call is using this task; nothing was recorded
 *     VARTA_EPANIC   the library has a bug; the task can only be closed
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int varta_task_idle(varta_task *task, uint64_t at_most_ns);

/**
 * Watches a block, which varta_task_unwatch ends. Blocks may be nested, and may overlap.
 *
 * task: from varta_task_open.
 * min_ns: the block must not end before this time has passed; 0 for no limit.
 * max_ns: it must end before this time has passed; VARTA_NEVER for no limit.
 *
 * Returns a positive number for varta_task_unwatch; 0 if the block is not watched, because as
 * many are open as the option spans permits; or an error of varta_task_idle.
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int64_t varta_task_watch(varta_task *task, uint64_t min_ns, uint64_t max_ns);

/**
 * As varta_task_watch, with a label that events about the block contain.
 *
 * task, min_ns, max_ns: as for varta_task_watch.
 * label: a number that the application chooses; 0 for none.
 *
 * Returns what varta_task_watch returns.
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int64_t varta_task_watch_labelled(varta_task *task,
                                  uint64_t min_ns,
                                  uint64_t max_ns,
                                  uint16_t label);

/**
 * Ends a block that varta_task_watch began.
 *
 * task: from varta_task_open.
 * span: what varta_task_watch returned. Any other number ends nothing.
 *
 * Returns 1 if the block was open, 0 if it was not; or an error of varta_task_idle.
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int varta_task_unwatch(varta_task *task, int64_t span);

/**
 * The task is at a checkpoint. With the option edges, only the steps that they permit are legal,
 * and each must be made in its time.
 *
 * task: from varta_task_open.
 * checkpoint: a number from 1 that the application chooses; 0 is outside of all, where a task
 *     begins.
 *
 * Returns 0, or an error of varta_task_idle.
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int varta_task_reach(varta_task *task, uint16_t checkpoint);

/**
 * Reports how much is done and how much is left. While something is left, done must change as
 * often as the option progress_ns requires.
 *
 * task: from varta_task_open.
 * done: how much is done. It may wrap.
 * left: how much is waiting.
 *
 * Returns 0, or an error of varta_task_idle.
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int varta_task_progress(varta_task *task, uint32_t done, uint32_t left);

/**
 * Ends a task, as planned. A task whose thread ends without this call is reported when it breaks
 * a promise.
 *
 * task: from varta_task_open, or NULL, which is ignored. No other call may be using it, and none
 *     may follow; debug builds of the library check that, and abort.
 * Threads: any. Since 0.3.0.
 */
void varta_task_close(varta_task *task);

/**
 * Ends a task that has failed: the observer reports VARTA_ENDED_FAILED.
 *
 * task: as for varta_task_close.
 * Threads: any. Since 0.3.0.
 */
void varta_task_fail(varta_task *task);

/**
 * Reads the counters of a task: what its calls did wrong so far.
 *
 * task: from varta_task_open.
 * ret: receives the counters; initialise it with VARTA_TASK_COUNTERS_INIT.
 *
 * Returns 0, or
 *     -EINVAL        a pointer is NULL, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this task
 *     VARTA_EPANIC   the library has a bug; the task can only be closed
 * Threads: as for varta_task_beat. Since 0.3.0.
 */
int varta_task_counts(varta_task *task, varta_task_counters *ret);

/**
 * Lists the tasks of this process, with what is late, for example for its own health check. They
 * are those of all its agents with the same endpoint.
 *
 * agent: from varta_connect.
 * ret: an array that receives the tasks. Initialise its first element with
 *     VARTA_TASK_INFO_INIT; the size there is the distance between elements. May be NULL if
 *     cap is 0.
 * cap: the number of elements in the array; no more are written. A process has at most 31 tasks.
 *
 * Returns the number of tasks, which may be more than cap; or
 *     -EINVAL        agent is NULL, ret is NULL while cap is not 0, or ret was not initialised
 *     -E2BIG         ret is from a newer header and sets fields that this library does not know
 *     -EBUSY         another call is using this agent
 *     VARTA_EPANIC   the library has a bug; the agent can only be closed
 * Threads: one call at a time per agent. Since 0.3.0.
 */
int varta_agent_tasks(varta_agent *agent, varta_task_info *ret, size_t cap);

/**
 * Returns the name of a promise: "beat", "span", "checkpoint", "progress".
 *
 * promise: a VARTA_PROMISE_ number.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_promise_name(uint8_t promise);

/**
 * Returns the name of a rule: "too-early", "too-late", "wrong-order", "too-few", "too-many".
 *
 * rule: a VARTA_RULE_ number, from an event of the kind VARTA_EVENT_VIOLATION.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_rule_name(uint8_t rule);

/**
 * Returns how a task ended: "closed", "failed", "thread-gone", "detached".
 *
 * ending: a VARTA_ENDED_ number, from the rule of an event of the kind VARTA_EVENT_ENDED.
 *
 * Returns a static string, "unknown" for any other number.
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_ending_name(uint8_t ending);

/**
 * Returns the version of the loaded library: major * 65536 + minor * 256 + patch. Compare it
 * with VARTA_VERSION, the version of the header.
 *
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_version(void);

/**
 * Returns the version of the loaded library as a static string, such as "0.3.0".
 *
 * Threads: any, at any time. Since 0.3.0.
 */
const char *varta_version_string(void);

/**
 * Returns the ABI version of the loaded library, which is the number in its soname:
 * libvarta.so.0. Compare it with VARTA_ABI_VERSION.
 *
 * Threads: any, at any time. Since 0.3.0.
 */
int varta_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* Initialisers for structs that begin with their own size. */
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
#define VARTA_TASK_OPTIONS_INIT VARTA_SIZED_(varta_task_options)
#define VARTA_TASK_COUNTERS_INIT VARTA_SIZED_(varta_task_counters)
#define VARTA_TASK_INFO_INIT VARTA_SIZED_(varta_task_info)
#define VARTA_CAUSE_INFO_INIT VARTA_SIZED_(varta_cause_info)
#define VARTA_ATTACHING_INIT VARTA_SIZED_(varta_attaching)
#define VARTA_READING_INIT VARTA_SIZED_(varta_reading)
#define VARTA_THREAD_READING_INIT VARTA_SIZED_(varta_thread_reading)
#define VARTA_PAGE_INIT VARTA_SIZED_(varta_page)

#endif  /* VARTA_H */
