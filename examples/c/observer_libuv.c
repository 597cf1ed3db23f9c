/* An observer in a libuv loop, like any other descriptor. */

#include <signal.h>
#include <stdio.h>
#include <uv.h>
#include <varta.h>

static void on_readable(uv_poll_t *watch, int status, int events)
{
    (void)events;
    varta_observer *observer = watch->data;
    varta_event event;
    int got = status;
    while (got >= 0 && (got = varta_observer_poll(observer, &event, 0)) > 0)
        printf("pid %u: %s\n", (unsigned)event.pid, varta_event_name(event.kind));
    fflush(stdout);
    if (got < 0) {
        fprintf(stderr, "cannot poll: %s\n", varta_strerror(got));
        uv_stop(watch->loop);
    }
}

static void on_signal(uv_signal_t *watch, int signal)
{
    (void)signal;
    uv_stop(watch->loop);
}

static void close_it(uv_handle_t *handle, void *unused)
{
    (void)unused;
    uv_close(handle, NULL);
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
    uv_loop_t *loop = uv_default_loop();
    uv_poll_t watch;
    uv_signal_t terminated;
    watch.data = observer;
    if (uv_poll_init(loop, &watch, varta_observer_fd(observer)) < 0 ||
        uv_poll_start(&watch, UV_READABLE, on_readable) < 0 ||
        uv_signal_init(loop, &terminated) < 0 ||
        uv_signal_start(&terminated, on_signal, SIGTERM) < 0) {
        fprintf(stderr, "cannot set up the event loop\n");
        return 1;
    }
    uv_run(loop, UV_RUN_DEFAULT);

    /* libuv must release the descriptor before the observer closes it. */
    uv_walk(loop, close_it, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    varta_observer_close(observer);
    return 0;
}
