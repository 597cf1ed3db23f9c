/* Every function with NULL for every pointer, structs of every wrong size, and unknown numbers:
 * each call must fail and write nothing. */

#include "check.h"

static void sizes_of_options(void)
{
    varta_agent *agent = NULL;
    varta_observer *observer = NULL;
    const uint32_t wrong[] = {0, 1, 3};
    for (unsigned i = 0; i < 3; i++) {
        varta_agent_options a = VARTA_AGENT_OPTIONS_INIT;
        varta_observer_options o = VARTA_OBSERVER_OPTIONS_INIT;
        a.size = o.size = wrong[i];
        GIVES(varta_connect(&agent, "@none", &a), -EINVAL);
        GIVES(varta_observer_bind(&observer, "@misuse", &o), -EINVAL);
        GIVES(varta_observer_simulate(&observer, &o), -EINVAL);
    }
    CHECK(agent == NULL && observer == NULL);
}

static void numbers_nobody_knows(void)
{
    varta_agent *agent = NULL;
    varta_observer *observer = NULL;
    varta_agent_options a = VARTA_AGENT_OPTIONS_INIT;
    a.flags = 1u << 31;
    GIVES(varta_connect(&agent, "@none", &a), -EINVAL);
    a = (varta_agent_options)VARTA_AGENT_OPTIONS_INIT;
    a.reserved = 1;
    GIVES(varta_connect(&agent, "@none", &a), -EINVAL);

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
    GIVES(varta_install_crash_handler("@none", 1u << 31), -EINVAL);
    for (unsigned status = 3; status <= UINT8_MAX; status++) {
        CHECK(varta_connect(&agent, "@none", NULL) == 0);
        GIVES(varta_beat(agent, (uint8_t)status, 0), -EINVAL);
        varta_close(agent);
    }
}

static void null_for_an_agent(void)
{
    varta_agent *agent = agent_at("@none");
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    GIVES(varta_connect(NULL, "@none", NULL), -EINVAL);
    GIVES(varta_beat(NULL, VARTA_STATUS_OK, 0), -EINVAL);
    GIVES(varta_reconnect(NULL), -EINVAL);
    GIVES(varta_agent_stats(NULL, &counters), -EINVAL);
    GIVES(varta_agent_stats(agent, NULL), -EINVAL);
    counters.size = 1;
    GIVES(varta_agent_stats(agent, &counters), -EINVAL);
    varta_close(NULL);
    varta_close(agent);
}

static void null_for_an_observer(void)
{
    varta_observer *observer;
    varta_event event;
    varta_agent_info info = VARTA_AGENT_INFO_INIT;
    varta_observer_counters counters = VARTA_OBSERVER_COUNTERS_INIT;
    varta_datagram datagram = VARTA_DATAGRAM_INIT;
    char words[8];
    GIVES(varta_observer_bind(NULL, "@misuse", NULL), -EINVAL);
    GIVES(varta_observer_simulate(NULL, NULL), -EINVAL);
    GIVES(varta_observer_simulate(&observer, NULL), 0);
    GIVES(varta_observer_listen(NULL, "@misuse"), -EINVAL);
    GIVES(varta_observer_set_threshold(NULL, 1, 1), -EINVAL);
    GIVES(varta_observer_poll(NULL, &event, 0), -EINVAL);
    GIVES(varta_observer_poll(observer, NULL, 0), -EINVAL);
    GIVES(varta_observer_poll_many(NULL, &event, 1, 0), -EINVAL);
    GIVES(varta_observer_poll_many(observer, NULL, 1, 0), -EINVAL);
    GIVES(varta_observer_poll_many(observer, &event, 0, 0), -EINVAL);
    GIVES(varta_observer_fd(NULL), -EINVAL);
    GIVES(varta_observer_timeout_ms(NULL), -EINVAL);
    GIVES(varta_observer_agents(NULL, &info, 1), -EINVAL);
    GIVES(varta_observer_agents(observer, NULL, 1), -EINVAL);
    info.size = 2;
    GIVES(varta_observer_agents(observer, &info, 1), -EINVAL);
    GIVES(varta_observer_stats(NULL, &counters), -EINVAL);
    GIVES(varta_observer_stats(observer, NULL), -EINVAL);
    counters.size = 0;
    GIVES(varta_observer_stats(observer, &counters), -EINVAL);
    GIVES(varta_observer_advice(NULL, words, sizeof words), -EINVAL);
    GIVES(varta_observer_feed(NULL, 0, &datagram), -EINVAL);
    GIVES(varta_observer_feed(observer, 0, NULL), -EINVAL);
    GIVES(varta_observer_feed_exit(NULL, 0, 1, 0, 0), -EINVAL);
    GIVES(varta_observer_feed_exit(observer, 0, 1, 3, 0), -EINVAL);
    GIVES(varta_observer_feed_late(NULL, 0, 0), -EINVAL);
    GIVES(varta_observer_feed_suspended(NULL, 0, 0), -EINVAL);
    GIVES(varta_observer_advance(NULL, 0, 0), -EINVAL);
    GIVES(varta_observer_advance(observer, 0, 2), -EINVAL);

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
        GIVES(varta_observer_feed(observer, 0, &wrong[i]), -EINVAL);
    datagram.sender = VARTA_SENDER_NETWORK;
    GIVES(varta_observer_feed(observer, 0, &datagram), -EINVAL);
    datagram.source = "a name";
    GIVES(varta_observer_feed(observer, 0, &datagram), -EINVAL);

    GIVES(varta_observer_listen(observer, "@misuse"), -EOPNOTSUPP);
    GIVES(varta_observer_fd(observer), -EOPNOTSUPP);
    GIVES(varta_observer_timeout_ms(observer), -EOPNOTSUPP);
    varta_observer_close(NULL);
    varta_observer_close(observer);
    observer = observer_at("@misuse-sockets");
    datagram = (varta_datagram)VARTA_DATAGRAM_INIT;
    GIVES(varta_observer_feed(observer, 0, &datagram), -EOPNOTSUPP);
    GIVES(varta_observer_advance(observer, 0, 0), -EOPNOTSUPP);
    varta_observer_close(observer);
}

static void null_for_the_codec(void)
{
    uint8_t b[64] = {0};
    uint32_t crc;
    varta_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.version = 2;
    GIVES(varta_frame_encode(NULL, &frame), -EINVAL);
    GIVES(varta_frame_encode(b, NULL), -EINVAL);
    GIVES(varta_frame_decode(NULL, b, 32, 2), -EINVAL);
    GIVES(varta_frame_decode(&frame, NULL, 32, 2), -EINVAL);
    GIVES(varta_frame_decode(&frame, b, 32, 0), -EINVAL);
    GIVES(varta_frame_decode(&frame, b, 32, 3), -EINVAL);
    GIVES(varta_frame_decode(&frame, b, 31, 2), -EMSGSIZE);
    GIVES(varta_crc32c(NULL, b, 1), -EINVAL);
    GIVES(varta_crc32c(&crc, NULL, 1), -EINVAL);
    GIVES(varta_crc32c(&crc, NULL, 0), 0);
    GIVES(varta_frame_seal(NULL, b, b, 0, b), -EINVAL);
    GIVES(varta_frame_seal(b, NULL, b, 0, b), -EINVAL);
    GIVES(varta_frame_seal(b, b, NULL, 0, b), -EINVAL);
    GIVES(varta_frame_seal(b, b, b, 0, NULL), -EINVAL);
    GIVES(varta_frame_seal_as(NULL, b, 2, b, 0, b), -EINVAL);
    GIVES(varta_frame_seal_as(b, NULL, 2, b, 0, b), -EINVAL);
    GIVES(varta_frame_seal_as(b, b, 2, NULL, 0, b), -EINVAL);
    GIVES(varta_frame_seal_as(b, b, 2, b, 0, NULL), -EINVAL);
    GIVES(varta_frame_open(NULL, b, b, 60), -EINVAL);
    GIVES(varta_frame_open(b, NULL, b, 60), -EINVAL);
    GIVES(varta_frame_open(b, b, NULL, 60), -EINVAL);
    GIVES(varta_frame_open_from(NULL, b, b, 64), -EINVAL);
    GIVES(varta_frame_open_from(b, NULL, b, 64), -EINVAL);
    GIVES(varta_frame_open_from(b, b, NULL, 64), -EINVAL);
    GIVES(varta_derive_agent_key(NULL, b, 2), -EINVAL);
    GIVES(varta_derive_agent_key(b, NULL, 2), -EINVAL);
    GIVES(varta_derive_iv_prefix(NULL, b, 0), -EINVAL);
    GIVES(varta_derive_iv_prefix(b, NULL, 0), -EINVAL);
    for (unsigned field = 0; field < 3; field++) {
        varta_frame wrong = frame;
        wrong.version = field == 0 ? 3 : 2;
        wrong.status = field == 1 ? 4 : 0;
        wrong.payload = field == 2 ? (uint64_t)UINT32_MAX + 1 : 0;
        GIVES(varta_frame_encode(b, &wrong), -EINVAL);
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
    }
    CHECK(strcmp(varta_strerror(VARTA_EPANIC), varta_strerror(-999)) != 0);
    CHECK(strcmp(varta_strerror(VARTA_EKEY), varta_strerror(-999)) != 0);
    CHECK(strcmp(varta_status_name(4), "unknown") == 0);
}

int main(void)
{
    sizes_of_options();
    numbers_nobody_knows();
    null_for_an_agent();
    null_for_an_observer();
    null_for_the_codec();
    every_number_has_a_name();
    return 0;
}
