/* An observer that prints each event as a line of JSON until its input ends:
 * `observer ENDPOINT THRESHOLD_MS [lane]`. Its last line has the counters. */

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <varta.h>

static void print_event(const varta_event *event)
{
    printf("{\"kind\": \"%s\"", varta_event_name(event->kind));
    if (event->agent != 0)
        printf(", \"pid\": %" PRIu32, event->claimed_pid);
    if (event->kind == VARTA_EVENT_BEAT)
        printf(", \"status\": \"%s\", \"payload\": %" PRIu64 ", \"nonce\": %" PRIu64
               ", \"count\": %" PRIu32,
               varta_status_name(event->status), event->payload, event->nonce, event->count);
    if (event->kind == VARTA_EVENT_EXIT && event->exit_cause != VARTA_EXIT_UNKNOWN)
        printf(", \"%s\": %" PRId32, event->exit_cause == VARTA_EXIT_CODE ? "code" : "signal",
               event->code);
    puts("}");
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: observer ENDPOINT THRESHOLD_MS [lane]\n");
        return 2;
    }
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.flags = VARTA_OBSERVER_VERSION1 | (argc > 3 ? VARTA_OBSERVER_LANE : 0);
    options.threshold_ns = strtoull(argv[2], NULL, 10) * 1000000;
    char why[256] = "";
    options.message = why;
    options.message_size = sizeof why;
    varta_observer *observer;
    if (varta_observer_bind(&observer, argv[1], &options) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    puts("ready");
    struct pollfd descriptors[2] = {{.fd = 0, .events = POLLIN},
                                {.fd = varta_observer_fd(observer), .events = POLLIN}};
    int got = 0;
    while (got >= 0 && descriptors[0].revents == 0) {
        varta_event event;
        fflush(stdout);
        if (poll(descriptors, 2, -1) < 0)
            break;
        while ((got = varta_observer_poll(observer, &event, 0)) > 0)
            print_event(&event);
    }
    varta_observer_counters counters = VARTA_OBSERVER_COUNTERS_INIT;
    if (got < 0 || (got = varta_observer_stats(observer, &counters)) < 0) {
        fprintf(stderr, "%s\n", varta_strerror(got));
        return 1;
    }
    printf("{\"received\": %" PRIu64 ", \"beats\": %" PRIu64 ", \"lane_beats\": %" PRIu64 "}\n",
           counters.received, counters.beats, counters.lane_beats);
    varta_observer_close(observer);
    return 0;
}
