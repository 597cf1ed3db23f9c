/* Agents as a program uses them, and the outcomes of their beats. */

#include "check.h"

static void beats_are_heard(void)
{
    varta_observer *observer = observer_at(in_folder("beats"));
    varta_agent *agent = agent_at(in_folder("beats"));
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 1), VARTA_SENT);
    RETURNS(varta_beat(agent, VARTA_STATUS_DEGRADED, UINT32_MAX), VARTA_SENT);
    RETURNS(varta_beat(agent, VARTA_STATUS_CRITICAL, 0), VARTA_SENT);
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

static void a_drop_has_a_reason(void)
{
    varta_agent *agent = agent_at(in_folder("drops"));
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_DROPPED_NO_OBSERVER);
    varta_observer *observer = observer_at(in_folder("drops"));
    /* The agent tries to open a new session at most ten times a second. */
    time_t until = time(NULL) + PATIENCE_S;
    while (varta_beat(agent, VARTA_STATUS_OK, 0) != VARTA_SENT)
        CHECK(time(NULL) < until);
    int outcome = VARTA_SENT;
    for (int i = 0; i < 1000000 && outcome == VARTA_SENT; i++)
        outcome = varta_beat(agent, VARTA_STATUS_OK, 0);
    RETURNS(outcome, VARTA_DROPPED_KERNEL_QUEUE_FULL);
    varta_observer_close(observer);
    outcome = varta_beat(agent, VARTA_STATUS_OK, 0);
    CHECK(outcome == VARTA_DROPPED_NO_OBSERVER || outcome == VARTA_DROPPED_PEER_GONE);
    varta_close(agent);
}

static void reconnecting_finds_a_new_observer(void)
{
    varta_agent_options options = VARTA_AGENT_OPTIONS_INIT;
    char message[128] = "";
    options.flags = VARTA_AGENT_NO_FOLLOW;
    options.message = message;
    options.message_size = sizeof message;
    varta_agent *agent = NULL;
    RETURNS(varta_connect(&agent, in_folder("another"), &options), -ENOENT);
    CHECK(agent == NULL && strstr(message, "another") != NULL);

    varta_observer *first = observer_at(in_folder("another"));
    RETURNS(varta_connect(&agent, in_folder("another"), &options), 0);
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_SENT);
    varta_observer_close(first);
    RETURNS(varta_reconnect(agent), -ENOENT);
    varta_observer *second = observer_at(in_folder("another"));
    CHECK(varta_beat(agent, VARTA_STATUS_OK, 0) > 0);
    RETURNS(varta_reconnect(agent), 0);
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 7), VARTA_SENT);
    CHECK(next_event(second, VARTA_EVENT_BEAT).payload == 7);
    varta_close(agent);
    varta_observer_close(second);
}

static void counters_can_be_read(void)
{
    varta_agent *agent = agent_at(in_folder("counters"));
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    RETURNS(varta_agent_stats(agent, &counters), 0);
    CHECK(counters.size == sizeof counters && counters.fork_recoveries == 0);
    varta_close(agent);
}

static void the_default_endpoint_comes_from_the_environment(void)
{
    varta_observer *observer = observer_at(in_folder("default"));
    CHECK(setenv("VARTA_ENDPOINT", in_folder("default"), 1) == 0);
    varta_agent *agent = agent_at(NULL);
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 3), VARTA_SENT);
    CHECK(next_event(observer, VARTA_EVENT_BEAT).payload == 3);
    varta_close(agent);
    varta_observer_close(observer);
}

int main(void)
{
    beats_are_heard();
    a_drop_has_a_reason();
    reconnecting_finds_a_new_observer();
    counters_can_be_read();
    the_default_endpoint_comes_from_the_environment();
    CHECK(varta_version() == VARTA_VERSION && varta_abi_version() == VARTA_ABI_VERSION);
    return 0;
}
