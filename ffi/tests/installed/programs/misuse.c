/* Every function with NULL for every pointer, structs of every wrong size, and unknown numbers:
 * each call must fail and write nothing. */

#include "check.h"

static void options_of_wrong_sizes_are_refused(void)
{
    varta_agent *agent = NULL;
    varta_observer *observer = NULL;
    const uint32_t wrong[] = {0, 1, 3};
    for (unsigned i = 0; i < 3; i++) {
        varta_agent_options a = VARTA_AGENT_OPTIONS_INIT;
        varta_observer_options o = VARTA_OBSERVER_OPTIONS_INIT;
        a.size = o.size = wrong[i];
        RETURNS(varta_connect(&agent, "@none", &a), -EINVAL);
        RETURNS(varta_observer_bind(&observer, "@misuse", &o), -EINVAL);
        RETURNS(varta_observer_simulate(&observer, &o), -EINVAL);
    }
    CHECK(agent == NULL && observer == NULL);
}

static void unknown_numbers_are_refused(void)
{
    varta_agent *agent = NULL;
    varta_observer *observer = NULL;
    varta_agent_options a = VARTA_AGENT_OPTIONS_INIT;
    a.flags = 1u << 31;
    RETURNS(varta_connect(&agent, "@none", &a), -EINVAL);
    a = (varta_agent_options)VARTA_AGENT_OPTIONS_INIT;
    a.reserved = 1;
    RETURNS(varta_connect(&agent, "@none", &a), -EINVAL);

    varta_observer_options wrong[8];
    for (int i = 0; i < 8; i++)
        wrong[i] = (varta_observer_options)VARTA_OBSERVER_OPTIONS_INIT;
    const uint32_t uid = 0;
    wrong[0].flags = 1u << 31;
    wrong[1].capacity = UINT32_MAX;
    wrong[2].socket_mode = 01000;
    wrong[3].reserved = 1;
    wrong[4].uid_count = 1;
    wrong[5].shared_key_count = 1;
    wrong[6].flags = VARTA_OBSERVER_ANY_UID;
    wrong[6].uids = &uid;
    wrong[6].uid_count = 1;
    wrong[7].inherit = -1;
    for (int i = 0; i < 8; i++) {
        int code = varta_observer_bind(&observer, "@misuse", &wrong[i]);
        CHECK(code == -EINVAL || (i == 7 && code == -EBADF));
        CHECK(observer == NULL);
    }
    RETURNS(varta_install_crash_handler("@none", 1u << 31), -EINVAL);
    for (unsigned status = 3; status <= UINT8_MAX; status++) {
        CHECK(varta_connect(&agent, "@none", NULL) == 0);
        RETURNS(varta_beat(agent, (uint8_t)status, 0), -EINVAL);
        varta_close(agent);
    }
}

static void null_agents_are_refused(void)
{
    varta_agent *agent = agent_at("@none");
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    RETURNS(varta_connect(NULL, "@none", NULL), -EINVAL);
    RETURNS(varta_beat(NULL, VARTA_STATUS_OK, 0), -EINVAL);
    RETURNS(varta_reconnect(NULL), -EINVAL);
    RETURNS(varta_agent_stats(NULL, &counters), -EINVAL);
    RETURNS(varta_agent_stats(agent, NULL), -EINVAL);
    counters.size = 1;
    RETURNS(varta_agent_stats(agent, &counters), -EINVAL);
    varta_close(NULL);
    varta_close(agent);
}

static void wrong_tasks_are_refused(void)
{
    varta_agent *agent = agent_at("@none");
    varta_task *task = NULL;
    varta_task_counters counters = VARTA_TASK_COUNTERS_INIT;
    varta_task_info info = VARTA_TASK_INFO_INIT;
    RETURNS(varta_task_open(NULL, agent, "task", VARTA_NEVER, NULL), -EINVAL);
    RETURNS(varta_task_open(&task, NULL, "task", VARTA_NEVER, NULL), -EINVAL);
    RETURNS(varta_task_open(&task, agent, NULL, VARTA_NEVER, NULL), -EINVAL);
    RETURNS(varta_task_open(&task, agent, "", VARTA_NEVER, NULL), -EINVAL);
    RETURNS(varta_task_open(&task, agent, "\xff", VARTA_NEVER, NULL), -EINVAL);
    RETURNS(varta_task_open(&task, agent, "task", 0, NULL), -EINVAL);
    const varta_edge edge = {1, 2, 0, 5, 5};
    varta_task_options wrong[9];
    for (int i = 0; i < 9; i++)
        wrong[i] = (varta_task_options)VARTA_TASK_OPTIONS_INIT;
    wrong[0].size = 3;
    wrong[1].flags = 4;
    wrong[2].reserved = 1;
    wrong[3].most = 1;
    wrong[4].startup_ns = 1;
    wrong[5].spans = UINT32_MAX;
    wrong[6].edge_count = 1;
    wrong[7].edges = &edge;
    wrong[7].edge_count = 1;
    wrong[8].cycle_ns = 1;
    for (int i = 0; i < 9; i++)
        RETURNS(varta_task_open(&task, agent, "task", VARTA_NEVER, &wrong[i]), -EINVAL);
    CHECK(task == NULL);
    varta_task *all[31];
    for (int i = 0; i < 31; i++)
        RETURNS(varta_task_open(&all[i], agent, "task", VARTA_NEVER, NULL), 0);
    RETURNS(varta_task_open(&task, agent, "task", VARTA_NEVER, NULL), -ENOSPC);
    for (int i = 1; i < 31; i++)
        varta_task_close(all[i]);
    task = all[0];
    for (unsigned status = 3; status <= UINT8_MAX; status++)
        RETURNS(varta_task_beat(task, (uint8_t)status, 0), -EINVAL);
    RETURNS(varta_task_beat(NULL, VARTA_STATUS_OK, 0), -EINVAL);
    RETURNS(varta_task_idle(NULL, 0), -EINVAL);
    CHECK(varta_task_watch(NULL, 0, 1) == -EINVAL);
    CHECK(varta_task_watch_labelled(NULL, 0, 1, 1) == -EINVAL);
    RETURNS(varta_task_unwatch(NULL, 1), -EINVAL);
    RETURNS(varta_task_unwatch(task, -EINVAL), 0);
    RETURNS(varta_task_unwatch(task, 0), 0);
    RETURNS(varta_task_unwatch(task, INT64_MAX), 0);
    RETURNS(varta_task_reach(NULL, 1), -EINVAL);
    RETURNS(varta_task_progress(NULL, 1, 1), -EINVAL);
    RETURNS(varta_task_counts(NULL, &counters), -EINVAL);
    RETURNS(varta_task_counts(task, NULL), -EINVAL);
    counters.size = 0;
    RETURNS(varta_task_counts(task, &counters), -EINVAL);
    RETURNS(varta_agent_tasks(NULL, &info, 1), -EINVAL);
    RETURNS(varta_agent_tasks(agent, NULL, 1), -EINVAL);
    RETURNS(varta_agent_tasks(agent, NULL, 0), 1);
    info.size = 2;
    RETURNS(varta_agent_tasks(agent, &info, 1), -EINVAL);
    RETURNS(varta_last_words(NULL, 0), -EINVAL);
    RETURNS(varta_ready(NULL), -EINVAL);
    RETURNS(varta_stopping(NULL), -EINVAL);
    RETURNS(varta_status(NULL, "text"), -EINVAL);
    RETURNS(varta_status(agent, NULL), -EINVAL);
    RETURNS(varta_status(agent, "\xff"), -EINVAL);
    varta_task_fail(NULL);
    varta_task_close(NULL);
    varta_task_fail(task);
    varta_close(agent);
}

static void null_observers_are_refused(void)
{
    varta_observer *observer;
    varta_event event;
    varta_agent_info info = VARTA_AGENT_INFO_INIT;
    varta_observer_counters counters = VARTA_OBSERVER_COUNTERS_INIT;
    varta_datagram datagram = VARTA_DATAGRAM_INIT;
    char advice[8];
    RETURNS(varta_observer_bind(NULL, "@misuse", NULL), -EINVAL);
    RETURNS(varta_observer_simulate(NULL, NULL), -EINVAL);
    RETURNS(varta_observer_simulate(&observer, NULL), 0);
    RETURNS(varta_observer_listen(NULL, "@misuse"), -EINVAL);
    RETURNS(varta_observer_set_threshold(NULL, 1, 1), -EINVAL);
    RETURNS(varta_observer_poll(NULL, &event, 0), -EINVAL);
    RETURNS(varta_observer_poll(observer, NULL, 0), -EINVAL);
    RETURNS(varta_observer_poll_many(NULL, &event, 1, 0), -EINVAL);
    RETURNS(varta_observer_poll_many(observer, NULL, 1, 0), -EINVAL);
    RETURNS(varta_observer_poll_many(observer, &event, 0, 0), -EINVAL);
    RETURNS(varta_observer_fd(NULL), -EINVAL);
    RETURNS(varta_observer_timeout_ms(NULL), -EINVAL);
    RETURNS(varta_observer_agents(NULL, &info, 1), -EINVAL);
    RETURNS(varta_observer_agents(observer, NULL, 1), -EINVAL);
    info.size = 2;
    RETURNS(varta_observer_agents(observer, &info, 1), -EINVAL);
    RETURNS(varta_observer_stats(NULL, &counters), -EINVAL);
    RETURNS(varta_observer_stats(observer, NULL), -EINVAL);
    counters.size = 0;
    RETURNS(varta_observer_stats(observer, &counters), -EINVAL);
    RETURNS(varta_observer_advice(NULL, advice, sizeof advice), -EINVAL);
    RETURNS(varta_observer_feed(NULL, 0, &datagram), -EINVAL);
    RETURNS(varta_observer_feed(observer, 0, NULL), -EINVAL);
    RETURNS(varta_observer_feed_exit(NULL, 0, 1, 0, 0), -EINVAL);
    RETURNS(varta_observer_feed_exit(observer, 0, 1, 3, 0), -EINVAL);
    RETURNS(varta_observer_feed_late(NULL, 0, 0), -EINVAL);
    RETURNS(varta_observer_feed_suspended(NULL, 0, 0), -EINVAL);
    RETURNS(varta_observer_set_slack(observer, NULL, 1), -EINVAL);
    RETURNS(varta_observer_set_slack(observer, &(varta_slack){NULL, NULL, 1}, 1), -EINVAL);
    RETURNS(varta_observer_tasks(observer, 1, NULL, 1), -EINVAL);
    RETURNS(varta_observer_wake(NULL), -EINVAL);
    RETURNS(varta_observer_wake(observer), -EOPNOTSUPP);
    RETURNS(varta_observer_feed_line(observer, 0, 0, NULL, NULL), -EINVAL);
    RETURNS(varta_observer_advance(NULL, 0, 0), -EINVAL);
    RETURNS(varta_observer_advance(observer, 0, 2), -EINVAL);

    varta_datagram wrong[6];
    for (int i = 0; i < 6; i++)
        wrong[i] = datagram;
    wrong[0].size = 0;
    wrong[1].flags = 1u << 31;
    wrong[2].length = 1;
    wrong[3].listener = UINT32_MAX;
    wrong[4].sender = 3;
    wrong[5].pid_namespace = 3;
    for (int i = 0; i < 6; i++)
        RETURNS(varta_observer_feed(observer, 0, &wrong[i]), -EINVAL);
    datagram.sender = VARTA_SENDER_NETWORK;
    RETURNS(varta_observer_feed(observer, 0, &datagram), -EINVAL);
    datagram.source = "a name";
    RETURNS(varta_observer_feed(observer, 0, &datagram), -EINVAL);

    RETURNS(varta_observer_listen(observer, "@misuse"), -EOPNOTSUPP);
    RETURNS(varta_observer_fd(observer), -EOPNOTSUPP);
    RETURNS(varta_observer_timeout_ms(observer), -EOPNOTSUPP);
    varta_observer_close(NULL);
    varta_observer_close(observer);
    observer = observer_at("@misuse-sockets");
    datagram = (varta_datagram)VARTA_DATAGRAM_INIT;
    RETURNS(varta_observer_feed(observer, 0, &datagram), -EOPNOTSUPP);
    RETURNS(varta_observer_advance(observer, 0, 0), -EOPNOTSUPP);
    varta_observer_close(observer);
}

static void null_buffers_are_refused(void)
{
    uint8_t b[64] = {0};
    uint32_t crc;
    varta_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.version = 2;
    RETURNS(varta_frame_encode(NULL, &frame), -EINVAL);
    RETURNS(varta_frame_encode(b, NULL), -EINVAL);
    RETURNS(varta_frame_decode(NULL, b, 32, 2), -EINVAL);
    RETURNS(varta_frame_decode(&frame, NULL, 32, 2), -EINVAL);
    RETURNS(varta_frame_decode(&frame, b, 32, 0), -EINVAL);
    RETURNS(varta_frame_decode(&frame, b, 32, 3), -EINVAL);
    RETURNS(varta_frame_decode(&frame, b, 31, 2), -EMSGSIZE);
    RETURNS(varta_crc32c(NULL, b, 1), -EINVAL);
    RETURNS(varta_crc32c(&crc, NULL, 1), -EINVAL);
    RETURNS(varta_crc32c(&crc, NULL, 0), 0);
    RETURNS(varta_frame_seal(NULL, b, b, 0, b), -EINVAL);
    RETURNS(varta_frame_seal(b, NULL, b, 0, b), -EINVAL);
    RETURNS(varta_frame_seal(b, b, NULL, 0, b), -EINVAL);
    RETURNS(varta_frame_seal(b, b, b, 0, NULL), -EINVAL);
    RETURNS(varta_frame_seal_as(NULL, b, 2, b, 0, b), -EINVAL);
    RETURNS(varta_frame_seal_as(b, NULL, 2, b, 0, b), -EINVAL);
    RETURNS(varta_frame_seal_as(b, b, 2, NULL, 0, b), -EINVAL);
    RETURNS(varta_frame_seal_as(b, b, 2, b, 0, NULL), -EINVAL);
    RETURNS(varta_frame_open(NULL, b, b, 60), -EINVAL);
    RETURNS(varta_frame_open(b, NULL, b, 60), -EINVAL);
    RETURNS(varta_frame_open(b, b, NULL, 60), -EINVAL);
    RETURNS(varta_frame_open_from(NULL, b, b, 64), -EINVAL);
    RETURNS(varta_frame_open_from(b, NULL, b, 64), -EINVAL);
    RETURNS(varta_frame_open_from(b, b, NULL, 64), -EINVAL);
    RETURNS(varta_derive_agent_key(NULL, b, 2), -EINVAL);
    RETURNS(varta_derive_agent_key(b, NULL, 2), -EINVAL);
    RETURNS(varta_derive_iv_prefix(NULL, b, 0), -EINVAL);
    RETURNS(varta_derive_iv_prefix(b, NULL, 0), -EINVAL);
    for (unsigned field = 0; field < 3; field++) {
        varta_frame wrong = frame;
        wrong.version = field == 0 ? 3 : 2;
        wrong.status = field == 1 ? 4 : 0;
        wrong.payload = field == 2 ? (uint64_t)UINT32_MAX + 1 : 0;
        RETURNS(varta_frame_encode(b, &wrong), -EINVAL);
    }
}

static void every_number_has_a_name(void)
{
    for (int number = -5000; number < 5000; number++) {
        CHECK(strlen(varta_strerror(number)) > 0);
        CHECK(strlen(varta_outcome_name(number)) > 0);
        CHECK(strlen(varta_decode_error_name(number)) > 0);
        CHECK(strlen(varta_status_name((uint8_t)number)) > 0);
        CHECK(strlen(varta_event_name((uint8_t)number)) > 0);
        CHECK(strlen(varta_origin_name((uint8_t)number)) > 0);
        CHECK(strlen(varta_promise_name((uint8_t)number)) > 0);
        CHECK(strlen(varta_rule_name((uint8_t)number)) > 0);
        CHECK(strlen(varta_ending_name((uint8_t)number)) > 0);
    }
    CHECK(strcmp(varta_strerror(VARTA_EPANIC), varta_strerror(-999)) != 0);
    CHECK(strcmp(varta_strerror(VARTA_EKEY), varta_strerror(-999)) != 0);
    CHECK(strcmp(varta_status_name(4), "unknown") == 0);
}

int main(void)
{
    options_of_wrong_sizes_are_refused();
    unknown_numbers_are_refused();
    null_agents_are_refused();
    wrong_tasks_are_refused();
    null_observers_are_refused();
    null_buffers_are_refused();
    every_number_has_a_name();
    return 0;
}
