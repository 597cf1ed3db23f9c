/* An observer in an epoll loop, next to a signalfd. Its descriptor is readable whenever it has an
 * event, including a stall. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <varta.h>

static int add(int loop, int fd)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted);
}

/* Prints the events so far; later ones make the descriptor readable again. */
static int print_all(varta_observer *observer)
{
    varta_event events[64];
    int got;
    while ((got = varta_observer_poll_many(observer, events, 64, 0)) > 0)
        for (int i = 0; i < got; i++)
            printf("pid %u: %s\n", (unsigned)events[i].pid, varta_event_name(events[i].kind));
    fflush(stdout);
    return got;
}

int main(int argc, char **argv)
{
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.threshold_ns = 500000000;
    varta_observer *observer;
    int err = varta_observer_bind(&observer, argc > 1 ? argv[1] : NULL, &options);
    if (err < 0) {
        fprintf(stderr, "no observer: %s\n", varta_strerror(err));
        return 1;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    if (add(loop, signals) < 0 || add(loop, varta_observer_fd(observer)) < 0) {
        perror("cannot set up the event loop");
        return 1;
    }
    for (;;) {
        struct epoll_event ready;
        if (epoll_wait(loop, &ready, 1, -1) < 1)
            continue;
        if (ready.data.fd == signals)
            break;
        err = print_all(observer);
        if (err < 0) {
            fprintf(stderr, "cannot poll: %s\n", varta_strerror(err));
            break;
        }
    }
    close(loop);
    close(signals);
    varta_observer_close(observer);
    return err < 0 ? 1 : 0;
}
