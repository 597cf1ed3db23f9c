/* Runs stories through a simulated observer of varta.h. */

#include "story.h"

#include "lane.h"

#include <errno.h>
#include <string.h>

static varta_observer *observer;

static int attach(uint64_t at_ns, const varta_attaching *process, varta_page *ret)
{
    return varta_observer_feed_attach(observer, at_ns, process, ret);
}

static int mapped(uint64_t at_ns, uint32_t page)
{
    return varta_observer_feed_mapped(observer, at_ns, page);
}

static int bell(uint64_t at_ns, uint32_t page)
{
    return varta_observer_feed_bell(observer, at_ns, page);
}

static int detach(uint64_t at_ns, uint32_t page)
{
    return varta_observer_feed_detach(observer, at_ns, page);
}

static int line(uint32_t page, uint32_t pair, const uint64_t *cold, const uint64_t *hot)
{
    return varta_observer_feed_line(observer, page, pair, cold, hot);
}

static int thread_gone(uint32_t pid, uint32_t thread)
{
    return varta_observer_feed_thread_gone(observer, pid, thread);
}

static int program(uint32_t pid, const char *name)
{
    return varta_observer_feed_program(observer, pid, name);
}

static int name(uint32_t pid, const char *declared)
{
    return varta_observer_feed_name(observer, pid, declared);
}

const struct pages pages = {attach, mapped, bell, detach, line, thread_gone, program, name};

static void expect_success(const char *what, int code)
{
    if (code < 0)
        fail(what, "no error", varta_strerror(code));
}

static void run_step(struct record *step)
{
    uint64_t at = number(step, "at_ns", UINT64_MAX);
    const char *op = text(step, "op");
    int code = 0;
    if (strcmp(op, "frame") == 0) {
        varta_datagram d = datagram_of(step);
        code = varta_observer_feed(observer, at, &d);
    } else if (strcmp(op, "poll") == 0) {
        code = varta_observer_advance(observer, at, 0);
    } else if (strcmp(op, "full") == 0) {
        code = varta_observer_advance(observer, at, VARTA_ADVANCE_FULL);
    } else if (strcmp(op, "exit") == 0) {
        int32_t status;
        uint8_t cause = cause_of(step, &status);
        uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
        code = varta_observer_feed_exit(observer, at, pid, cause, status);
        lane_forget(pid);
    } else if (strcmp(op, "late") == 0) {
        code = varta_observer_feed_late(observer, at, number(step, "due_ns", UINT64_MAX));
    } else if (strcmp(op, "suspend") == 0) {
        code = varta_observer_feed_suspended(observer, at, number(step, "ns", UINT64_MAX));
    } else if (strcmp(op, "set_threshold") == 0) {
        uint64_t agent = number(step, "agent", UINT64_MAX);
        code = varta_observer_set_threshold(observer, agent, number(step, "ns", UINT64_MAX));
        /* A story may name an agent that is gone. */
        code = code == -ESRCH ? 0 : code;
    } else if (strcmp(op, "reading") == 0) {
        varta_reading reading = reading_of(step);
        uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
        code = varta_observer_feed_reading(observer, pid, &reading);
    } else if (strcmp(op, "thread_reading") == 0) {
        varta_thread_reading thread = thread_reading_of(step);
        uint32_t pid = (uint32_t)number(step, "pid", UINT32_MAX);
        code = varta_observer_feed_thread_reading(observer, pid, &thread);
    } else if (!lane_step(op, at, step, &code)) {
        fail("op", "one of those in the README", op);
    }
    expect_success(op, code);
    nothing_else(step);
}

static void compare_event(struct record *expected, const varta_event *event)
{
    varta_cause_info info = VARTA_CAUSE_INFO_INIT;
    int silent = varta_observer_cause(observer, event->agent, event->task, &info);
    expect_success("cause", silent);
    char label[64];
    expect_success("label", varta_observer_label(observer, event->agent, label, sizeof label));
    same_event(expected, event, label, silent > 0 ? &info : NULL);
}

static void expect_no_more_events(void)
{
    varta_event event;
    int got = varta_observer_poll(observer, &event, 0);
    expect_success("poll", got);
    if (got > 0)
        nothing_more(&event);
}

void story_record(struct record *record)
{
    if (strcmp(record->word, "config") == 0) {
        varta_observer_close(observer);
        observer = NULL;
        lane_begin();
        varta_observer_options options = options_of(record);
        expect_success("config", varta_observer_simulate(&observer, &options));
    } else if (strcmp(record->word, "step") == 0) {
        expect_no_more_events();
        run_step(record);
    } else if (strcmp(record->word, "event") == 0) {
        varta_event event;
        int got = varta_observer_poll(observer, &event, 0);
        expect_success("poll", got);
        if (got > 0)
            compare_event(record, &event);
        else
            fail("events", text(record, "kind"), "nothing");
    } else if (strcmp(record->word, "counters") == 0) {
        varta_observer_counters counted = VARTA_OBSERVER_COUNTERS_INIT;
        expect_no_more_events();
        expect_success("stats", varta_observer_stats(observer, &counted));
        same_counters(record, &counted);
        varta_observer_close(observer);
        observer = NULL;
    } else {
        fail("story", "config, step, event or counters", record->word);
    }
}
