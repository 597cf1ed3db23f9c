/* Helpers of the test programs, which exit with 0 or print what was wrong and where. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <varta.h>

/* How long to wait for something that must happen, on a busy machine. */
enum { PATIENCE_S = 60, PATIENCE_MS = 1000 * PATIENCE_S };

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #what); \
            exit(1); \
        } \
    } while (0)

/* Checks a code, and prints its meaning if it is wrong. */
#define RETURNS(code, expected) \
    do { \
        int got_ = (code), wanted_ = (expected); \
        if (got_ != wanted_) { \
            fprintf(stderr, "%s:%d: %s returned %d (%s), expected %d (%s)\n", __FILE__, __LINE__, \
                    #code, got_, varta_strerror(got_), wanted_, varta_strerror(wanted_)); \
            exit(1); \
        } \
    } while (0)

#ifdef __cplusplus
#define PER_THREAD thread_local
#else
#define PER_THREAD _Thread_local
#endif

/* A path in the test's folder. */
static inline const char *in_folder(const char *name)
{
    static PER_THREAD char paths[8][256];
    static PER_THREAD unsigned next;
    const char *folder = getenv("FOLDER");
    CHECK(folder != NULL);
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline varta_observer *observer_at(const char *endpoint)
{
    varta_observer *observer;
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.threshold_ns = (uint64_t)PATIENCE_S * 1000000000u;
    RETURNS(varta_observer_bind(&observer, endpoint, &options), 0);
    return observer;
}

static inline varta_agent *agent_at(const char *endpoint)
{
    varta_agent *agent;
    RETURNS(varta_connect(&agent, endpoint, NULL), 0);
    return agent;
}

/* The next event of a kind; skips events of other kinds. */
static inline varta_event next_event(varta_observer *observer, uint8_t kind)
{
    varta_event event;
    time_t until = time(NULL) + PATIENCE_S;
    do {
        CHECK(time(NULL) < until);
        int got = varta_observer_poll(observer, &event, PATIENCE_MS);
        CHECK(got == 1 || got == -EINTR);
        if (got < 0)
            event.kind = 0;
    } while (event.kind != kind);
    return event;
}

#endif
