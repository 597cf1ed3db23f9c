/* Smaller structs, from an older header, and larger ones, from a newer header: both work, unless a
 * newer one sets fields that this library does not know. */

#include <signal.h>
#include <sys/wait.h>

#include "../fixtures/older.h"
#include "check.h"

enum { GUARD = 0x5a };

/* Bytes after a small struct, which the library must not write. */
#define UNTOUCHED(after) \
    for (size_t i_ = 0; i_ < sizeof(after); i_++) \
    CHECK((after)[i_] == GUARD)

static void smaller_structs_work(void)
{
    struct older_observer_options o = {sizeof o, VARTA_OBSERVER_VERSION1, 1000};
    varta_observer *observer;
    RETURNS(varta_observer_simulate(&observer, (const varta_observer_options *)&o), 0);

    struct older_datagram d = {sizeof d, 0, (const uint8_t *)"no frame", 8};
    RETURNS(varta_observer_feed(observer, 1, (const varta_datagram *)&d), 0);

    struct {
        struct older_observer_counters counters;
        uint8_t after[512];
    } counted;
    memset(&counted, GUARD, sizeof counted);
    counted.counters.size = sizeof counted.counters;
    RETURNS(varta_observer_stats(observer, (varta_observer_counters *)&counted), 0);
    CHECK(counted.counters.size == sizeof counted.counters && counted.counters.beats == 0);
    UNTOUCHED(counted.after);
    varta_observer_close(observer);

    struct older_agent_options a = {sizeof a, VARTA_AGENT_NO_FOLLOW};
    varta_agent *agent;
    RETURNS(varta_connect(&agent, in_folder("nobody"), (const varta_agent_options *)&a), -ENOENT);
    a.flags = 0;
    RETURNS(varta_connect(&agent, in_folder("nobody"), (const varta_agent_options *)&a), 0);
    struct {
        struct older_agent_counters counters;
        uint8_t after[64];
    } agent_counted;
    memset(&agent_counted, GUARD, sizeof agent_counted);
    agent_counted.counters.size = sizeof agent_counted.counters;
    RETURNS(varta_agent_stats(agent, (varta_agent_counters *)&agent_counted), 0);
    CHECK(agent_counted.counters.clock_regressions == 0);
    UNTOUCHED(agent_counted.after);
    varta_close(agent);
}

/* The size of the first element is the distance between elements. */
static void the_first_size_is_the_stride_of_an_array(size_t stride)
{
    varta_observer *observer = observer_at(in_folder("stride"));
    varta_agent *agent = agent_at(in_folder("stride"));
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_SENT);
    pid_t child = fork();
    if (child == 0) {
        RETURNS(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_SENT);
        pause();
    }
    varta_event first = next_event(observer, VARTA_EVENT_BEAT);
    varta_event second = next_event(observer, VARTA_EVENT_BEAT);
    uint8_t *list = calloc(4, stride);
    CHECK(list != NULL);
    memcpy(list, &(uint32_t){(uint32_t)stride}, sizeof(uint32_t));
    memset(list + 2 * stride, GUARD, 2 * stride);
    RETURNS(varta_observer_agents(observer, (varta_agent_info *)list, 4), 2);
    uint64_t numbers[2];
    for (int i = 0; i < 2; i++)
        memcpy(&numbers[i], list + (size_t)i * stride + offsetof(varta_agent_info, agent), 8);
    CHECK(numbers[0] + numbers[1] == first.agent + second.agent && numbers[0] != numbers[1]);
    for (size_t i = 2 * stride; i < 4 * stride; i++)
        CHECK(list[i] == GUARD);
    free(list);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, NULL, 0) == child);
    varta_close(agent);
    varta_observer_close(observer);
}

static void larger_structs_work_without_unknown_fields(void)
{
    struct {
        varta_agent_options options;
        uint64_t unknown[2];
    } a = {VARTA_AGENT_OPTIONS_INIT, {0, 0}};
    struct {
        varta_observer_options options;
        uint64_t unknown[2];
    } o = {VARTA_OBSERVER_OPTIONS_INIT, {0, 0}};
    struct {
        varta_observer_counters counters;
        uint64_t unknown[2];
    } c = {VARTA_OBSERVER_COUNTERS_INIT, {0, 0}};
    a.options.size = sizeof a;
    o.options.size = sizeof o;
    c.counters.size = sizeof c;
    varta_agent *agent;
    varta_observer *observer, *none = NULL;
    RETURNS(varta_connect(&agent, in_folder("newer"), &a.options), 0);
    RETURNS(varta_observer_simulate(&observer, &o.options), 0);
    RETURNS(varta_observer_stats(observer, &c.counters), 0);
    CHECK(c.counters.size == sizeof c && c.unknown[0] == 0 && c.unknown[1] == 0);
    varta_close(agent);
    agent = NULL;
    a.unknown[1] = o.unknown[1] = c.unknown[1] = 1;
    RETURNS(varta_connect(&agent, in_folder("newer"), &a.options), -E2BIG);
    RETURNS(varta_observer_simulate(&none, &o.options), -E2BIG);
    RETURNS(varta_observer_stats(observer, &c.counters), -E2BIG);
    CHECK(agent == NULL && none == NULL);
    a.options.size = UINT32_MAX;
    RETURNS(varta_connect(&agent, in_folder("newer"), &a.options), -E2BIG);
    varta_observer_close(observer);
}

int main(void)
{
    smaller_structs_work();
    larger_structs_work_without_unknown_fields();
    the_first_size_is_the_stride_of_an_array(sizeof(struct older_agent_info));
    the_first_size_is_the_stride_of_an_array(sizeof(varta_agent_info));
    the_first_size_is_the_stride_of_an_array(sizeof(varta_agent_info) + 16);
    return 0;
}
