/* Agents as a program uses them, and the outcomes of their beats. */

#include "check.h"

static void beats_are_heard(void)
{
    varta_observer *observer = observer_at(in_folder("beats"));
    varta_agent *agent = agent_at(in_folder("beats"));
    GIVES(varta_beat(agent, VARTA_STATUS_OK, 1), VARTA_SENT);
    GIVES(varta_beat(agent, VARTA_STATUS_DEGRADED, UINT32_MAX), VARTA_SENT);
    GIVES(varta_beat(agent, VARTA_STATUS_CRITICAL, 0), VARTA_SENT);
    const uint32_t payloads[] = {1, UINT32_MAX, 0};
    for (unsigned i = 0; i < 3; i++) {
        varta_event event = next_event(observer, VARTA_EVENT_BEAT);
        CHECK(event.pid == (uint32_t)getpid() && event.claimed_pid == event.pid);
        CHECK(event.origin == VARTA_ORIGIN_KERNEL_ATTESTED && event.agent == 1);
        CHECK(event.status == i && event.payload == payloads[i] && event.nonce == i + 1);
    }
    varta_close(agent);
    varta_observer_close(observer);
    CHECK(access(in_folder("beats"), F_OK) != 0);
}

static void drops_say_why(void)
{
    varta_agent *agent = agent_at(in_folder("drops"));
    GIVES(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_DROPPED_NO_OBSERVER);
    varta_observer *observer = observer_at(in_folder("drops"));
    /* The agent tries to open a new session at most ten times a second. */
    time_t until = time(NULL) + PATIENCE_S;
    while (varta_beat(agent, VARTA_STATUS_OK, 0) != VARTA_SENT)
        CHECK(time(NULL) < until);
    int outcome = VARTA_SENT;
    for (int i = 0; i < 1000000 && outcome == VARTA_SENT; i++)
        outcome = varta_beat(agent, VARTA_STATUS_OK, 0);
    GIVES(outcome, VARTA_DROPPED_KERNEL_QUEUE_FULL);
    varta_observer_close(observer);
    outcome = varta_beat(agent, VARTA_STATUS_OK, 0);
    CHECK(outcome == VARTA_DROPPED_NO_OBSERVER || outcome == VARTA_DROPPED_PEER_GONE);
    varta_close(agent);
}

static void reconnecting_finds_another(void)
{
    varta_agent_options options = VARTA_AGENT_OPTIONS_INIT;
    char why[128] = "";
    options.flags = VARTA_AGENT_NO_FOLLOW;
    options.message = why;
    options.message_size = sizeof why;
    varta_agent *agent = NULL;
    GIVES(varta_connect(&agent, in_folder("another"), &options), -ENOENT);
    CHECK(agent == NULL && strstr(why, "another") != NULL);

    varta_observer *first = observer_at(in_folder("another"));
    GIVES(varta_connect(&agent, in_folder("another"), &options), 0);
    GIVES(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_SENT);
    varta_observer_close(first);
    GIVES(varta_reconnect(agent), -ENOENT);
    varta_observer *second = observer_at(in_folder("another"));
    CHECK(varta_beat(agent, VARTA_STATUS_OK, 0) > 0);
    GIVES(varta_reconnect(agent), 0);
    GIVES(varta_beat(agent, VARTA_STATUS_OK, 7), VARTA_SENT);
    CHECK(next_event(second, VARTA_EVENT_BEAT).payload == 7);
    varta_close(agent);
    varta_observer_close(second);
}

static void counters_are_read(void)
{
    varta_agent *agent = agent_at(in_folder("counters"));
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    GIVES(varta_agent_stats(agent, &counters), 0);
    CHECK(counters.size == sizeof counters && counters.fork_recoveries == 0);
    varta_close(agent);
}

static void the_environment_names_the_default(void)
{
    varta_observer *observer = observer_at(in_folder("default"));
    CHECK(setenv("VARTA_ENDPOINT", in_folder("default"), 1) == 0);
    varta_agent *agent = agent_at(NULL);
    GIVES(varta_beat(agent, VARTA_STATUS_OK, 3), VARTA_SENT);
    CHECK(next_event(observer, VARTA_EVENT_BEAT).payload == 3);
    varta_close(agent);
    varta_observer_close(observer);
}

int main(void)
{
    beats_are_heard();
    drops_say_why();
    reconnecting_finds_another();
    counters_are_read();
    the_environment_names_the_default();
    CHECK(varta_version() == VARTA_VERSION && varta_abi_version() == VARTA_ABI_VERSION);
    return 0;
}
