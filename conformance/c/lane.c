#include "lane.h"

#include <string.h>

enum { PAIRS = 32, MOST_PROCESSES = 64, NUMBER = 0, COUNTS = 3 };

struct line {
    uint64_t words[8];
};

/* A process, or one of several copies of the library in a process. */
struct process {
    uint32_t pid, copy;
    bool attached;
    uint32_t page;
    struct line cold[PAIRS], hot[PAIRS];
};

static struct process processes[MOST_PROCESSES];
static size_t process_count;

void lane_begin(void)
{
    process_count = 0;
}

void lane_forget(uint32_t pid)
{
    for (size_t i = process_count; i-- > 0;)
        if (processes[i].pid == pid)
            processes[i] = processes[--process_count];
}

/* The process of a step, which a story need not introduce. */
static struct process *process_of(struct record *step)
{
    uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
    uint32_t copy = has(step, "copy") ? (uint32_t)number(step, "copy", UINT32_MAX) : 0;
    for (size_t i = 0; i < process_count; i++)
        if (processes[i].pid == pid && processes[i].copy == copy)
            return &processes[i];
    if (process_count == MOST_PROCESSES) {
        fail("pid", "fewer processes", "another");
        return &processes[0];
    }
    struct process *process = &processes[process_count++];
    memset(process, 0, sizeof *process);
    process->pid = pid;
    process->copy = copy;
    /* The head of a process: live, layout 1, its first thread. */
    process->cold[0].words[0] = UINT64_C(1) << 48 | UINT64_C(1) << 32;
    process->cold[0].words[3] = pid;
    return process;
}

/* The number with the name in a field; 0 without that field. */
static uint64_t code_of(struct record *step, const char *name, const char *(*name_of)(uint8_t))
{
    if (!has(step, name))
        return 0;
    const char *word = text(step, name);
    for (uint8_t code = 0; code < 8; code++)
        if (strcmp(word, name_of(code)) == 0)
            return code;
    fail(name, "a known name", word);
    return 0;
}

static const char *state_name(uint8_t state)
{
    static const char *const names[] = {"free", "live", "closed", "failed"};
    return state < 4 ? names[state] : "unknown";
}

static uint64_t flag(struct record *step, const char *name, unsigned bit)
{
    return truth(step, name) ? UINT64_C(1) << bit : 0;
}

/* The cold line of pair 0. */
static struct line head_of(struct record *step)
{
    struct line line = {{0}};
    line.words[0] = number(step, "head.layout", UINT16_MAX) << 48 | UINT64_C(1) << 32;
    line.words[1] = number(step, "head.live", UINT32_MAX);
    line.words[3] = number(step, "head.thread", UINT32_MAX);
    return line;
}

/* An amount with 18 significant bits, and how far they are shifted. */
static uint64_t amount_of(uint64_t by)
{
    uint64_t exponent = 0;
    while (by >> exponent >> 18 != 0)
        exponent++;
    return exponent << 18 | by >> exponent;
}

static uint64_t violation_of(struct record *step)
{
    if (!has(step, "cold.last_violation.rule"))
        return 0;
    return code_of(step, "cold.last_violation.rule", varta_rule_name) |
           number(step, "cold.last_violation.from", UINT16_MAX) << 8 |
           number(step, "cold.last_violation.to", UINT16_MAX) << 24 |
           amount_of(number(step, "cold.last_violation.by", UINT64_MAX)) << 40;
}

/* The cold line of a task. */
static struct line cold_of(struct record *step)
{
    struct line line = {{0}};
    line.words[NUMBER] = number(step, "cold.number", UINT32_MAX) |
                         code_of(step, "cold.state", state_name) << 32 |
                         flag(step, "cold.vital", 40) | flag(step, "cold.roams", 41) |
                         code_of(step, "cold.ended", state_name) << 48;
    line.words[1] = number(step, "cold.threshold_ns", UINT64_MAX);
    line.words[2] = number(step, "cold.finest_ns", UINT64_MAX);
    line.words[COUNTS] = number(step, "cold.violations", UINT32_MAX) << 32 |
                         number(step, "cold.thread", UINT32_MAX);
    line.words[4] = violation_of(step);
    const char *name = text(step, "cold.name");
    for (size_t i = 0; i < 23 && name[i] != '\0'; i++)
        line.words[5 + i / 8] |= (uint64_t)(uint8_t)name[i] << 8 * (i % 8);
    return line;
}

static uint64_t broken_of(struct record *step)
{
    uint64_t bits = 0;
    if (!is_text(step, "hot.broken")) {
        (void)numbers(step, "hot.broken", NULL, 0);
        return bits;
    }
    const char *rest = text(step, "hot.broken");
    while (*rest != '\0') {
        size_t length = strcspn(rest, ",");
        uint8_t promise = VARTA_PROMISE_BEAT;
        while (promise <= VARTA_PROMISE_PROGRESS &&
               (strncmp(rest, varta_promise_name(promise), length) != 0 ||
                varta_promise_name(promise)[length] != '\0'))
            promise++;
        if (promise > VARTA_PROMISE_PROGRESS)
            fail("hot.broken", "the names of promises", rest);
        bits |= UINT64_C(1) << (promise - 1);
        rest += length + (rest[length] == ',');
    }
    return bits;
}

/* What a call says besides its time: a word, or its parts. */
static uint64_t info_of(struct record *step)
{
    if (has(step, "hot.info"))
        return number(step, "hot.info", UINT64_MAX);
    return code_of(step, "hot.status", varta_status_name) |
           code_of(step, "hot.which", varta_promise_name) << 8 | flag(step, "hot.idle", 11) |
           broken_of(step) << 12 | number(step, "hot.checkpoint", UINT16_MAX) << 16 |
           number(step, "hot.payload", UINT32_MAX) << 32;
}

/* Writes a hot line: into the copy that is not complete, and then the sequence. */
static void write_hot(struct line *line, uint64_t at_ns, struct record *step)
{
    uint64_t next = line->words[0] + 1;
    uint64_t *copy = &line->words[next % 2 == 0 ? 1 : 4];
    copy[0] = has(step, "hot.at") ? number(step, "hot.at", UINT64_MAX) : at_ns;
    copy[1] = number(step, "hot.until", UINT64_MAX);
    copy[2] = info_of(step);
    line->words[7] = number(step, "hot.last", UINT64_MAX);
    line->words[0] = next;
}

static int publish(const struct process *process, uint32_t pair, bool cold, bool hot)
{
    if (!process->attached)
        return 0;
    return pages.line(process->page, pair, cold ? process->cold[pair].words : NULL,
                      hot ? process->hot[pair].words : NULL);
}

static uint32_t page_of(const struct process *process)
{
    if (!process->attached)
        fail("pid", "a process that has a page", "another one");
    return process->page;
}

static int attach(struct process *process, uint64_t at_ns, struct record *step)
{
    varta_attaching asking = VARTA_ATTACHING_INIT;
    varta_page page = VARTA_PAGE_INIT;
    asking.pid = process->pid;
    asking.uid = (uint32_t)number(step, "uid", UINT32_MAX);
    asking.process = has(step, "process") ? number(step, "process", UINT64_MAX) : 0;
    asking.nonce = number(step, "nonce", UINT64_MAX);
    int code = pages.attach(at_ns, &asking, &page);
    process->attached = code == 0;
    process->page = page.page;
    if (has(step, "errno")) {
        same_text("the refusal", varta_strerror(-signed_number(step, "errno")),
                  varta_strerror(code));
        return 0;
    }
    same_number("threshold_ns", number(step, "page.threshold_ns", UINT64_MAX), page.threshold_ns);
    same_number("tasks", truth(step, "page.tasks"), page.tasks);
    for (uint32_t pair = 0; pair < PAIRS && code >= 0; pair++)
        code = publish(process, pair, true, true);
    return code;
}

static int write_lines(struct process *process, uint64_t at_ns, struct record *step)
{
    uint32_t pair = (uint32_t)number(step, "pair", PAIRS - 1);
    uint64_t times = has(step, "times") ? number(step, "times", 1000) : 1;
    bool head = has(step, "head.layout"), hot = has(step, "hot.until");
    if (head)
        process->cold[pair] = head_of(step);
    for (uint64_t i = 0; hot && i < times; i++)
        write_hot(&process->hot[pair], at_ns, step);
    return publish(process, pair, head, hot);
}

/* A call of a task writes the lines that the story gives. */
static int call(struct process *process, uint64_t at_ns, struct record *step)
{
    static const char *const arguments[] = {"verb",   "name",   "threshold_ns", "status",
                                            "payload", "span",   "max_ns",      "min_ns",
                                            "label",  "done",   "left",         "checkpoint",
                                            "at_most_ns"};
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++)
        ignore(step, arguments[i]);
    ignore_all_of(step, "options.");
    uint32_t pair = (uint32_t)number(step, "pair", PAIRS - 1);
    bool cold = has(step, "cold.number");
    if (cold)
        process->cold[pair] = cold_of(step);
    write_hot(&process->hot[pair], at_ns, step);
    return publish(process, pair, cold, true);
}

static int close_task(struct process *process, struct record *step)
{
    uint32_t pair = (uint32_t)number(step, "pair", PAIRS - 1);
    uint64_t *number_and_state = &process->cold[pair].words[NUMBER];
    *number_and_state &= ~(UINT64_C(0xff) << 32);
    *number_and_state |= code_of(step, "state", state_name) << 32;
    process->cold[0].words[1] &= ~(UINT64_C(1) << pair);
    int code = publish(process, pair, true, false);
    return code < 0 ? code : publish(process, 0, true, false);
}

bool lane_step(const char *op, uint64_t at_ns, struct record *step, int *code)
{
    if (strcmp(op, "thread_gone") == 0) {
        uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
        *code = pages.thread_gone(pid, (uint32_t)number(step, "thread", UINT32_MAX));
        return true;
    }
    if (strcmp(op, "program") == 0) {
        uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
        *code = pages.program(pid, text(step, "name"));
        return true;
    }
    if (strcmp(op, "name") == 0) {
        uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
        *code = pages.name(pid, text(step, "name"));
        return true;
    }
    static const char *const ops[] = {"attach", "mapped", "bell", "detach", "write", "call", "close"};
    size_t which = 0;
    while (which < 7 && strcmp(op, ops[which]) != 0)
        which++;
    if (which == 7)
        return false;
    struct process *process = process_of(step);
    switch (which) {
    case 0:
        *code = attach(process, at_ns, step);
        break;
    case 1:
        *code = pages.mapped(at_ns, page_of(process));
        break;
    case 2:
        *code = pages.bell(at_ns, page_of(process));
        break;
    case 3:
        *code = pages.detach(at_ns, page_of(process));
        process->attached = false;
        break;
    case 4:
        *code = write_lines(process, at_ns, step);
        break;
    case 5:
        *code = call(process, at_ns, step);
        break;
    default:
        *code = close_task(process, step);
    }
    return true;
}
