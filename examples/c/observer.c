/* An observer that blocks in poll. A signal interrupts the wait and ends the program. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <varta.h>

static void end(int signal)
{
    (void)signal; /* interrupting the wait is enough */
}

static void print(const varta_event *event)
{
    printf("%.1f s: pid %" PRIu32 ": %s", (double)event->observer_ns / 1e9, event->pid,
           varta_event_name(event->kind));
    switch (event->kind) {
    case VARTA_EVENT_BEAT:
        printf(" %s, payload %" PRIu64, varta_status_name(event->status), event->payload);
        break;
    case VARTA_EVENT_EXIT:
        if (event->exit_cause == VARTA_EXIT_CODE)
            printf(" with %" PRId32, event->code);
        else if (event->exit_cause == VARTA_EXIT_SIGNAL)
            printf(" by signal %" PRId32, event->code);
        break;
    default:
        break;
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char why[256] = "";
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.threshold_ns = 500000000;
    options.message = why;
    options.message_size = sizeof why;

    signal(SIGTERM, end);
    signal(SIGINT, end);
    varta_observer *observer;
    if (varta_observer_bind(&observer, argc > 1 ? argv[1] : NULL, &options) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    varta_event event;
    int got;
    while ((got = varta_observer_poll(observer, &event, -1)) >= 0)
        if (got > 0)
            print(&event);
    if (got != -EINTR)
        fprintf(stderr, "cannot poll: %s\n", varta_strerror(got));
    varta_observer_close(observer);
    return got == -EINTR ? 0 : 1;
}
