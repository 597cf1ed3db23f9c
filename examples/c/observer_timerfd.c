/* An observer in a plain poll loop, next to a timer that lists the agents at intervals. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <varta.h>

static void end(int signal)
{
    (void)signal;
}

static void list(varta_observer *observer)
{
    varta_agent_info agents[16];
    agents[0] = (varta_agent_info)VARTA_AGENT_INFO_INIT;
    int count = varta_observer_agents(observer, agents, 16);
    for (int i = 0; i < count && i < 16; i++)
        printf("%s (pid %u): %s, %llu beats\n", agents[i].name, (unsigned)agents[i].pid,
               varta_status_name(agents[i].status), (unsigned long long)agents[i].beats);
    fflush(stdout);
}

static int print_all(varta_observer *observer)
{
    varta_event event;
    int got;
    while ((got = varta_observer_poll(observer, &event, 0)) > 0)
        printf("pid %u: %s\n", (unsigned)event.pid, varta_event_name(event.kind));
    fflush(stdout);
    return got;
}

int main(int argc, char **argv)
{
    signal(SIGTERM, end);
    signal(SIGINT, end);
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.threshold_ns = 500000000;
    varta_observer *observer;
    int err = varta_observer_bind(&observer, argc > 1 ? argv[1] : NULL, &options);
    if (err < 0) {
        fprintf(stderr, "no observer: %s\n", varta_strerror(err));
        return 1;
    }
    struct itimerspec interval = {.it_interval = {.tv_nsec = 100000000},
                                  .it_value = {.tv_nsec = 100000000}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer < 0 || timerfd_settime(timer, 0, &interval, NULL) < 0) {
        perror("cannot set up the timer");
        return 1;
    }
    struct pollfd watched[2] = {{.fd = timer, .events = POLLIN},
                                {.fd = varta_observer_fd(observer), .events = POLLIN}};
    while (err >= 0 && poll(watched, 2, -1) > 0) {
        uint64_t ticks;
        if ((watched[0].revents & POLLIN) && read(timer, &ticks, sizeof ticks) > 0)
            list(observer);
        if (watched[1].revents & POLLIN)
            err = print_all(observer);
    }
    close(timer);
    varta_observer_close(observer);
    return err < 0 ? 1 : 0;
}
