/* Converts the parts of a story to varta.h's structs, and compares events and counters. */

#include <string.h>

#include "story.h"

static uint32_t uids[64];
static uint8_t shared_keys[16 * VARTA_KEY_BYTES];
static uint8_t master_key[VARTA_KEY_BYTES];
static uint8_t datagram[65536];

/* The namespace of a process is kept until a step sets another. */
static struct {
    uint32_t pid;
    uint32_t pid_namespace;
    uint32_t innermost;
} namespaces[256];
static size_t namespace_count;

static varta_slack slack[16];

static const char *const STATUSES[] = {"ok", "degraded", "critical", "stall"};

/* An optional number. It must not be 0, which means the default in C. */
static uint64_t setting(struct record *config, const char *name, uint64_t most)
{
    if (!has(config, name))
        return 0;
    uint64_t read = number(config, name, most);
    if (read == 0)
        fail(name, "more than 0, which means the default in C", "0");
    return read;
}

static uint32_t flag(struct record *config, const char *name, bool when, uint32_t which)
{
    return has(config, name) && truth(config, name) == when ? which : 0;
}

/* Slack by the name of a task or a program, in fields "task_slack.NAME" and "program_slack.NAME". */
static size_t slack_of(struct record *config)
{
    size_t count = 0;
    for (size_t i = 0; i < config->count; i++) {
        const char *name = config->fields[i].name;
        const char *of = strchr(name, '.');
        bool task = strncmp(name, "task_slack.", 11) == 0;
        if (of == NULL || (!task && strncmp(name, "program_slack.", 14) != 0))
            continue;
        if (count == sizeof slack / sizeof slack[0]) {
            fail(name, "fewer names", "another");
            break;
        }
        uint64_t ns = number(config, name, UINT64_MAX);
        slack[count++] = (varta_slack){task ? NULL : of + 1, task ? of + 1 : NULL, ns};
    }
    return count;
}

varta_observer_options options_of(struct record *config)
{
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    namespace_count = 0;
    options.threshold_ns = number(config, "threshold_ns", UINT64_MAX);
    options.pause_after_ns = setting(config, "pause_after_ns", UINT64_MAX);
    options.capacity = (uint32_t)setting(config, "capacity", UINT32_MAX);
    options.agent_rate = (uint32_t)setting(config, "rate_per_agent.per_second", UINT32_MAX);
    options.agent_burst = (uint32_t)setting(config, "rate_per_agent.burst", UINT32_MAX);
    options.rate = (uint32_t)setting(config, "rate.per_second", UINT32_MAX);
    options.burst = (uint32_t)setting(config, "rate.burst", UINT32_MAX);
    options.flags |= flag(config, "namespaces", true, VARTA_OBSERVER_NAMESPACES);
    options.flags |= flag(config, "version1", true, VARTA_OBSERVER_VERSION1);
    options.flags |= flag(config, "detect_exits", false, VARTA_OBSERVER_NO_EXITS);
    options.flags |= flag(config, "lane", true, VARTA_OBSERVER_LANE);
    options.flags |= flag(config, "tasks", true, VARTA_OBSERVER_TASKS);
    options.flags |= flag(config, "causes", true, VARTA_OBSERVER_CAUSES);
    options.slack = slack;
    options.slack_count = slack_of(config);
    if (has(config, "shared_keys_hex")) {
        options.shared_key_count =
            arrays(config, "shared_keys_hex", shared_keys, VARTA_KEY_BYTES, 16);
        options.shared_keys = shared_keys;
    }
    if (has(config, "master_key_hex")) {
        exactly(config, "master_key_hex", master_key, sizeof master_key);
        options.master_key = master_key;
    }
    /* uids is a list or "any". */
    if (is_text(config, "uids")) {
        same_text("uids", "any", text(config, "uids"));
        options.flags |= VARTA_OBSERVER_ANY_UID;
    } else {
        options.uid_count = numbers(config, "uids", uids, sizeof uids / sizeof uids[0]);
        options.uids = uids;
    }
    nothing_else(config);
    return options;
}

static uint32_t index_of(const char *word, const char *const *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    fail("word", words[0], word);
    return 0;
}

static void set_namespace(struct record *step, varta_datagram *d)
{
    static const char *const words[] = {"same", "other", "unknown"};
    size_t place = 0;
    while (place < namespace_count && namespaces[place].pid != d->pid)
        place++;
    if (has(step, "sender.namespace")) {
        uint32_t pid_namespace = index_of(text(step, "sender.namespace"), words, 3);
        if (place == sizeof namespaces / sizeof namespaces[0]) {
            fail("sender.namespace", "fewer processes", "another");
            return;
        }
        namespaces[place].pid = d->pid;
        namespaces[place].pid_namespace = pid_namespace;
        namespaces[place].innermost = (uint32_t)setting(step, "sender.innermost", UINT32_MAX);
        namespace_count += place == namespace_count;
    }
    if (place < namespace_count) {
        d->pid_namespace = namespaces[place].pid_namespace;
        d->innermost_pid = namespaces[place].innermost;
    }
}

varta_datagram datagram_of(struct record *step)
{
    static const char *const listeners[] = {"uds", "udp", "secure-udp"};
    varta_datagram d = VARTA_DATAGRAM_INIT;
    d.bytes = datagram;
    d.length = bytes(step, "hex", datagram, sizeof datagram);
    d.listener = index_of(text(step, "listener"), listeners, 3);
    /* The listeners have the same order as the kinds of senders. */
    d.sender = d.listener;
    d.flags |= flag(step, "truncated", true, VARTA_DATAGRAM_TRUNCATED);
    d.flags |= flag(step, "control_truncated", true, VARTA_DATAGRAM_CONTROL_TRUNCATED);
    d.flags |= flag(step, "fresh", true, VARTA_DATAGRAM_FRESH);
    if (d.sender == VARTA_SENDER_KERNEL) {
        d.pid = (uint32_t)number(step, "sender.pid", UINT32_MAX);
        d.uid = (uint32_t)number(step, "sender.uid", UINT32_MAX);
        d.process = setting(step, "sender.process", UINT64_MAX);
        set_namespace(step, &d);
    } else {
        d.source = text(step, "sender.source");
    }
    return d;
}

/* A number or a text that may be absent: 0 or NULL. */
static uint64_t known(struct record *step, const char *name, uint64_t most)
{
    return has(step, name) ? number(step, name, most) : 0;
}

static const char *known_text(struct record *step, const char *name)
{
    return has(step, name) ? text(step, name) : NULL;
}

varta_reading reading_of(struct record *step)
{
    varta_reading reading = VARTA_READING_INIT;
    reading.flags |= flag(step, "dumping", true, VARTA_READING_DUMPING);
    reading.flags |= flag(step, "killed", true, VARTA_READING_KILLED);
    reading.flags |= flag(step, "frozen", true, VARTA_READING_FROZEN);
    reading.flags |= flag(step, "under_oom", true, VARTA_READING_UNDER_OOM);
    reading.tracer = (uint32_t)known(step, "tracer", UINT32_MAX);
    reading.threads = (uint32_t)known(step, "thread_count", UINT32_MAX);
    reading.spent_ns = known(step, "spent_ns", UINT64_MAX);
    reading.cpu_ns = known(step, "cpu_ns", UINT64_MAX);
    reading.executable_device = known(step, "device", UINT64_MAX);
    reading.executable_inode = known(step, "inode", UINT64_MAX);
    reading.quota_periods = known(step, "quota_periods", UINT64_MAX);
    reading.quota_throttled = known(step, "quota_throttled", UINT64_MAX);
    reading.memory_pressure_ns = known(step, "memory_pressure_ns", UINT64_MAX);
    reading.name = known_text(step, "name");
    reading.group = known_text(step, "group");
    reading.lacks = (uint8_t)known(step, "lacks", UINT8_MAX);
    return reading;
}

varta_thread_reading thread_reading_of(struct record *step)
{
    varta_thread_reading thread = VARTA_THREAD_READING_INIT;
    uint32_t arguments[4];
    thread.thread = (uint32_t)number(step, "thread", UINT32_MAX);
    thread.state = has(step, "state") ? (uint8_t)text(step, "state")[0] : 0;
    thread.stop_signal = (uint8_t)known(step, "stop_signal", UINT8_MAX);
    thread.flags = (uint32_t)known(step, "flags", UINT32_MAX);
    thread.run_ns = known(step, "run_ns", UINT64_MAX);
    thread.wait_ns = known(step, "wait_ns", UINT64_MAX);
    thread.slices = known(step, "slices", UINT64_MAX);
    thread.major_faults = known(step, "major_faults", UINT64_MAX);
    thread.wait_channel = known_text(step, "wait_channel");
    thread.call = known_text(step, "call");
    if (has(step, "arguments")) {
        same_number("arguments", 4, numbers(step, "arguments", arguments, 4));
        for (int i = 0; i < 4; i++)
            thread.arguments[i] = arguments[i];
    }
    return thread;
}

uint8_t cause_of(struct record *step, int32_t *code)
{
    *code = 0;
    if (has(step, "code") && has(step, "signal"))
        fail("cause", "a code or a signal", "both");
    if (has(step, "code")) {
        *code = signed_number(step, "code");
        return VARTA_EXIT_CODE;
    }
    if (has(step, "signal")) {
        *code = signed_number(step, "signal");
        return VARTA_EXIT_SIGNAL;
    }
    return VARTA_EXIT_UNKNOWN;
}

static void same_field(struct record *expected, const char *name, uint64_t actual)
{
    uint64_t wanted = number(expected, name, UINT64_MAX);
    if (!failed())
        same_number(name, wanted, actual);
}

static void same_word(struct record *expected, const char *name, const char *actual)
{
    const char *wanted = text(expected, name);
    if (!failed())
        same_text(name, wanted, actual);
}

static void same_code(const char *name, int32_t wanted, int32_t actual)
{
    char expected[16], got[16];
    snprintf(expected, sizeof expected, "%ld", (long)wanted);
    snprintf(got, sizeof got, "%ld", (long)actual);
    same_text(name, expected, got);
}

static void same_end(struct record *expected, const varta_event *event)
{
    int32_t code;
    same_word(expected, "last_status", varta_status_name(event->status));
    same_number("cause", cause_of(expected, &code), event->exit_cause);
    same_code("code", code, event->code);
}

/* Why a process or a task is silent: the cause in the event, and the details that go with it. */
static void same_cause(struct record *expected, const varta_event *event,
                       const varta_cause_info *info)
{
    static const char *const certainties[] = {"guess", "likely", "certain"};
    if (info == NULL) {
        fail("why", has(expected, "why.cause") ? text(expected, "why.cause") : "nothing", "nothing");
        return;
    }
    same_word(expected, "why.cause", varta_cause_name((uint8_t)event->code));
    same_number("cause of the event", info->cause, (uint8_t)event->code);
    same_number("certainty", index_of(text(expected, "why.certainty"), certainties, 3),
                event->exit_cause);
    same_number("certainty of the event", info->certainty, event->exit_cause);
    same_field(expected, "why.flags", event->decode_error & 0x7f);
    same_field(expected, "why.thread", event->found);
    same_field(expected, "why.other", event->expected);
    same_field(expected, "why.looked_ns", info->looked_ns);
    same_field(expected, "why.signal", info->signal);
    same_field(expected, "why.window_ns", info->window_ns);
    same_field(expected, "why.run_ns", info->run_ns);
    same_field(expected, "why.wait_ns", info->wait_ns);
    same_field(expected, "why.switches", info->switches);
    same_field(expected, "why.major_faults", info->major_faults);
    same_word(expected, "why.detail", info->detail);
}

void same_event(struct record *expected, const varta_event *event, const char *label,
                const varta_cause_info *info)
{
    static const char *const decode_errors[] = {"BadMagic",    "BadVersion", "BadCrc",
                                                "BadStatus",   "StallOnWire", "BadPid",
                                                "BadTimestamp", "BadNonce"};
    (void)number(expected, "step", UINT64_MAX);
    same_word(expected, "kind", varta_event_name(event->kind));
    same_field(expected, "observer_ns", event->observer_ns);
    if (event->agent != 0) {
        same_field(expected, "agent", event->agent);
        same_field(expected, "pid", event->pid);
        same_field(expected, "claimed_pid", event->claimed_pid);
        same_word(expected, "origin", varta_origin_name(event->origin));
        same_text("label", has(expected, "label") ? text(expected, "label") : "", label);
    }
    if (event->task != 0) {
        same_field(expected, "task", event->task);
        same_word(expected, "task_name", event->task_name);
    }
    switch (event->kind) {
    case VARTA_EVENT_BEAT:
        same_word(expected, "status", event->status < 4 ? STATUSES[event->status] : "unknown");
        same_field(expected, "payload", event->payload);
        same_field(expected, "nonce", event->nonce);
        same_field(expected, "missed", event->missed);
        same_number("count", has(expected, "count") ? number(expected, "count", UINT32_MAX) : 1,
                    event->count);
        break;
    case VARTA_EVENT_STALL:
        same_field(expected, "last_nonce", event->nonce);
        same_field(expected, "last_ns", event->last_ns);
        same_number("deaf", flag(expected, "deaf", true, VARTA_EVENT_DEAF),
                    event->decode_error & VARTA_EVENT_DEAF);
        if (has(expected, "why.cause") || info != NULL)
            same_cause(expected, event, info);
        if (event->task != 0) {
            same_word(expected, "promise", varta_promise_name(event->promise));
            same_field(expected, "due_ns", event->due_ns);
            same_field(expected, "checkpoint", event->checkpoint);
        }
        break;
    case VARTA_EVENT_CAUSE:
        same_cause(expected, event, info);
        break;
    case VARTA_EVENT_RECOVERED:
        same_field(expected, "silent_ns", event->duration_ns);
        if (event->task != 0)
            same_word(expected, "promise", varta_promise_name(event->promise));
        break;
    case VARTA_EVENT_EXIT:
        same_end(expected, event);
        break;
    case VARTA_EVENT_DECODE:
        same_word(expected, "error", varta_decode_error_name(event->decode_error));
        same_number("decode_error", event->decode_error,
                    1 + index_of(text(expected, "error"), decode_errors, 8));
        break;
    case VARTA_EVENT_AUTH_FAILURE:
        same_field(expected, "claimed_pid", event->claimed_pid);
        same_field(expected, "true_pid", event->pid);
        break;
    case VARTA_EVENT_PAUSED:
        same_field(expected, "ns", event->duration_ns);
        break;
    case VARTA_EVENT_TASK:
        same_field(expected, "threshold_ns", event->duration_ns);
        break;
    case VARTA_EVENT_ENDED:
        same_word(expected, "how", varta_ending_name(event->rule));
        break;
    case VARTA_EVENT_VIOLATION:
        same_word(expected, "rule", varta_rule_name(event->rule));
        same_field(expected, "count", event->count);
        same_field(expected, "from", event->from);
        same_field(expected, "to", event->checkpoint);
        same_field(expected, "by", event->duration_ns);
        break;
    default:
        fail("event", "a kind that stories have", varta_event_name(event->kind));
    }
    nothing_else(expected);
}

void nothing_more(const varta_event *event)
{
    fail("events", "nothing more", varta_event_name(event->kind));
}

void same_counters(struct record *expected, const varta_observer_counters *c)
{
    const struct {
        const char *name;
        uint64_t counted;
    } all[] = {
        {"beats", c->beats},
        {"bad_magic", c->bad_magic},
        {"bad_version", c->bad_version},
        {"bad_crc", c->bad_crc},
        {"bad_status", c->bad_status},
        {"stall_on_wire", c->stall_on_wire},
        {"bad_pid", c->bad_pid},
        {"bad_timestamp", c->bad_timestamp},
        {"bad_nonce", c->bad_nonce},
        {"wrong_length", c->wrong_length},
        {"auth_failures", c->auth_failures},
        {"decrypt_failures", c->decrypt_failures},
        {"replays", c->replays},
        {"rate_limited_agent", c->rate_limited_agent},
        {"rate_limited_global", c->rate_limited_global},
        {"capacity_exceeded", c->capacity_exceeded},
        {"sender_memory_full", c->sender_memory_full},
        {"uid_refused", c->uid_refused},
        {"namespace_refused", c->namespace_refused},
        {"origin_conflicts", c->origin_conflicts},
        {"control_truncated", c->control_truncated},
        {"probes", c->probes},
        {"received", c->received},
        {"kernel_drops", c->kernel_drops},
        {"evictions", c->evictions},
        {"missed", c->missed},
        {"not_forward", c->not_forward},
        {"stalls", c->stalls},
        {"recoveries", c->recoveries},
        {"exits", c->exits},
        {"pauses", c->pauses},
        {"stalls_deaf", c->stalls_deaf},
        {"full_looks", c->full_looks},
        {"io_errors", c->io_errors},
        {"open_attempts", c->open_attempts},
        {"lane_attached", c->lane_attached},
        {"lane_refused", c->lane_refused},
        {"lane_bad_messages", c->lane_bad_messages},
        {"lane_muted", c->lane_muted},
        {"lane_looks", c->lane_looks},
        {"lane_beats", c->lane_beats},
        {"lane_invalid", c->lane_invalid},
        {"lane_raised", c->lane_raised},
        {"lane_without_room", c->lane_without_room},
        {"tasks", c->tasks},
        {"tasks_ended", c->tasks_ended},
        {"tasks_without_room", c->tasks_without_room},
        {"task_beats", c->task_beats},
        {"task_stalls", c->task_stalls},
        {"task_recoveries", c->task_recoveries},
        {"violations", c->violations},
        {"cause_looks", c->cause_looks},
        {"cause_refused", c->cause_refused},
        {"cause_ns", c->cause_ns},
        {"cause_stuck", c->cause_stuck},
    };
    uint64_t settled = 0;
    bool received = false;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint64_t wanted = has(expected, all[i].name) ? number(expected, all[i].name, UINT64_MAX) : 0;
        same_number(all[i].name, wanted, all[i].counted);
        received = received || strcmp(all[i].name, "received") == 0;
        settled += received ? 0 : all[i].counted;
    }
    same_number("the sum of the counters", c->received, settled);
    nothing_else(expected);
}
