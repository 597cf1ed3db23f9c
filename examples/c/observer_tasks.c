/* An observer that offers shared memory and follows the tasks of processes. Another thread ends its
 * wait after a signal. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <varta.h>

static varta_observer *observer;

static void *wait_for_a_signal(void *signals)
{
    int signal;
    if (sigwait(signals, &signal) == 0)
        varta_observer_wake(observer);
    return NULL;
}

static void print(const varta_event *event)
{
    printf("pid %" PRIu32, event->pid);
    if (event->task != 0)
        printf(", task %" PRIu32 " (%s)", event->task, event->task_name);
    printf(": %s", varta_event_name(event->kind));
    switch (event->kind) {
    case VARTA_EVENT_BEAT:
        printf(" for %" PRIu32 " beats", event->count);
        break;
    case VARTA_EVENT_STALL:
    case VARTA_EVENT_RECOVERED:
        if (event->task != 0)
            printf(" of its promise %s", varta_promise_name(event->promise));
        break;
    case VARTA_EVENT_VIOLATION:
        printf(", %s, %" PRIu32 " times", varta_rule_name(event->rule), event->count);
        break;
    case VARTA_EVENT_ENDED:
        printf(", %s", varta_ending_name(event->rule));
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
    const varta_slack slack[] = {{.task = "batch", .slack_ns = 10000000000}};
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.flags = VARTA_OBSERVER_LANE | VARTA_OBSERVER_TASKS;
    options.threshold_ns = 500000000;
    options.slack = slack;
    options.slack_count = 1;
    options.message = why;
    options.message_size = sizeof why;

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (varta_observer_bind(&observer, argc > 1 ? argv[1] : NULL, &options) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    pthread_t waiter;
    if (pthread_create(&waiter, NULL, wait_for_a_signal, &signals) != 0) {
        perror("no thread");
        return 1;
    }
    varta_event event;
    int got;
    while ((got = varta_observer_poll(observer, &event, -1)) >= 0)
        if (got > 0)
            print(&event);
    pthread_join(waiter, NULL);
    varta_observer_close(observer);
    return got == -EINTR ? 0 : 1;
}
