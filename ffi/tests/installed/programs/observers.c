/* Observers as a program uses them: blocking, by descriptor, by deadline, and their events. */

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check.h"

static void ignore(int signal)
{
    (void)signal;
}

static void a_silent_agent_stalls_and_recovers(void)
{
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.threshold_ns = 50000000;
    /* Keeps the observer from reporting pauses on a slow machine. */
    options.pause_after_ns = (uint64_t)PATIENCE_S * 1000000000u;
    options.socket_mode = 0640;
    varta_observer *observer;
    RETURNS(varta_observer_bind(&observer, in_folder("silence"), &options), 0);
    struct stat file;
    CHECK(stat(in_folder("silence"), &file) == 0 && (file.st_mode & 0777) == 0640);
    CHECK(varta_observer_timeout_ms(observer) == INT_MAX);

    varta_agent *agent = agent_at(in_folder("silence"));
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 0), VARTA_SENT);
    varta_event beat = next_event(observer, VARTA_EVENT_BEAT);
    CHECK(varta_observer_timeout_ms(observer) <= 50);
    struct pollfd readable = {.fd = varta_observer_fd(observer), .events = POLLIN};
    CHECK(readable.fd >= 0 && poll(&readable, 1, PATIENCE_MS) == 1);
    varta_event stall = next_event(observer, VARTA_EVENT_STALL);
    CHECK(stall.agent == beat.agent && stall.nonce == 1 && stall.last_ns == beat.observer_ns);
    CHECK(stall.observer_ns - stall.last_ns >= options.threshold_ns);

    RETURNS(varta_observer_set_threshold(observer, beat.agent, 1000000000ull * PATIENCE_S), 0);
    RETURNS(varta_observer_set_threshold(observer, beat.agent, 0), -EINVAL);
    RETURNS(varta_observer_set_threshold(observer, 99, 1), -ESRCH);
    RETURNS(varta_beat(agent, VARTA_STATUS_DEGRADED, 9), VARTA_SENT);
    varta_event recovered = next_event(observer, VARTA_EVENT_RECOVERED);
    varta_event again = next_event(observer, VARTA_EVENT_BEAT);
    CHECK(again.nonce == 2 && again.observer_ns - stall.last_ns == recovered.duration_ns);

    varta_agent_info list[2];
    list[0] = (varta_agent_info)VARTA_AGENT_INFO_INIT;
    RETURNS(varta_observer_agents(observer, list, 2), 1);
    CHECK(list[0].agent == beat.agent && list[0].pid == (uint32_t)getpid());
    CHECK(list[0].uid == getuid() && list[0].beats == 2 && list[0].status == VARTA_STATUS_DEGRADED);
    CHECK(strcmp(list[0].name, "") != 0 && list[0].address[0] == '\0');
    RETURNS(varta_observer_agents(observer, NULL, 0), 1);

    varta_observer_counters counters = VARTA_OBSERVER_COUNTERS_INIT;
    RETURNS(varta_observer_stats(observer, &counters), 0);
    CHECK(counters.received == 2 && counters.beats == 2 && counters.stalls == 1 &&
          counters.recoveries == 1);
    varta_close(agent);
    varta_observer_close(observer);
}

static void exits_are_reported_with_their_cause(void)
{
    varta_observer *observer = observer_at(in_folder("exits"));
    for (int by_signal = 0; by_signal < 2; by_signal++) {
        pid_t child = fork();
        if (child == 0) {
            varta_agent *agent = agent_at(in_folder("exits"));
            CHECK(varta_beat(agent, VARTA_STATUS_OK, 0) == VARTA_SENT);
            if (by_signal)
                raise(SIGKILL);
            _exit(7);
        }
        CHECK(waitpid(child, NULL, 0) == child);
        varta_event exit_event = next_event(observer, VARTA_EVENT_EXIT);
        CHECK(exit_event.pid == (uint32_t)child);
        CHECK(exit_event.exit_cause == (by_signal ? VARTA_EXIT_SIGNAL : VARTA_EXIT_CODE));
        CHECK(exit_event.code == (by_signal ? SIGKILL : 7));
    }
    varta_observer_close(observer);
}

static void one_call_returns_several_events(void)
{
    varta_observer *observer = observer_at(in_folder("many"));
    RETURNS(varta_observer_listen(observer, in_folder("more")), 0);
    RETURNS(varta_observer_listen(observer, in_folder("more")), -EADDRINUSE);
    RETURNS(varta_observer_listen(observer, NULL), -EINVAL);
    varta_agent *one = agent_at(in_folder("many")), *other = agent_at(in_folder("more"));
    for (int i = 0; i < 3; i++) {
        RETURNS(varta_beat(one, VARTA_STATUS_OK, 0), VARTA_SENT);
        RETURNS(varta_beat(other, VARTA_STATUS_OK, 0), VARTA_SENT);
    }
    varta_event events[4];
    int heard = 0;
    while (heard < 6) {
        int got = varta_observer_poll_many(observer, events, 4, PATIENCE_MS);
        CHECK(got >= 1 && got <= 4);
        heard += got;
    }
    RETURNS(varta_observer_poll_many(observer, events, 4, 0), 0);
    RETURNS(varta_observer_poll_many(observer, events, 0, 0), -EINVAL);
    varta_close(one);
    varta_close(other);
    varta_observer_close(observer);
    CHECK(access(in_folder("many"), F_OK) != 0 && access(in_folder("more"), F_OK) != 0);
}

static void a_signal_interrupts_a_wait(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ignore;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    varta_observer *observer = observer_at(in_folder("waits"));
    varta_event event;
    RETURNS(varta_observer_poll(observer, &event, 0), 0);
    RETURNS(varta_observer_poll(observer, &event, 20), 0);
    RETURNS(varta_observer_poll(observer, &event, -2), -EINVAL);
    /* The timer repeats, because a signal may arrive before the wait begins. */
    const struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    RETURNS(varta_observer_poll(observer, &event, -1), -EINTR);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    varta_observer_close(observer);
}

static void a_child_cannot_use_its_parents_observer(void)
{
    varta_observer *observer = observer_at(in_folder("parent"));
    pid_t child = fork();
    if (child == 0) {
        varta_event event;
        varta_observer_counters counters = VARTA_OBSERVER_COUNTERS_INIT;
        char advice[8];
        RETURNS(varta_observer_poll(observer, &event, 0), -ECHILD);
        RETURNS(varta_observer_poll_many(observer, &event, 1, 0), -ECHILD);
        RETURNS(varta_observer_listen(observer, in_folder("child")), -ECHILD);
        RETURNS(varta_observer_set_threshold(observer, 1, 1), -ECHILD);
        RETURNS(varta_observer_fd(observer), -ECHILD);
        RETURNS(varta_observer_timeout_ms(observer), -ECHILD);
        RETURNS(varta_observer_agents(observer, NULL, 0), -ECHILD);
        RETURNS(varta_observer_stats(observer, &counters), -ECHILD);
        RETURNS(varta_observer_advice(observer, advice, sizeof advice), -ECHILD);
        varta_observer_close(observer);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(access(in_folder("parent"), F_OK) == 0);
    varta_agent *agent = agent_at(in_folder("parent"));
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 4), VARTA_SENT);
    CHECK(next_event(observer, VARTA_EVENT_BEAT).payload == 4);
    varta_close(agent);
    varta_observer_close(observer);
}

static void unusable_endpoints_are_refused(void)
{
    varta_observer *observer = observer_at(in_folder("taken")), *none = NULL;
    char message[256] = "";
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.message = message;
    options.message_size = sizeof message;
    RETURNS(varta_observer_bind(&none, in_folder("taken"), &options), -EADDRINUSE);
    CHECK(strstr(message, "already") != NULL);
    options.message_size = 5;
    RETURNS(varta_observer_bind(&none, in_folder("taken"), &options), -EADDRINUSE);
    CHECK(strlen(message) == 4);
    RETURNS(varta_observer_bind(&none, in_folder("no/folder"), NULL), -ENOENT);
    FILE *file = fopen(in_folder("file"), "w");
    CHECK(file != NULL && fclose(file) == 0);
    RETURNS(varta_observer_bind(&none, in_folder("file"), NULL), -EEXIST);
    RETURNS(varta_observer_bind(&none, "udp://localhost:1", NULL), -EINVAL);
    file = fopen(in_folder("key"), "w");
    CHECK(file != NULL && fputs("no key", file) >= 0 && fclose(file) == 0);
    char endpoint[512];
    snprintf(endpoint, sizeof endpoint, "udp+secure://127.0.0.1:9?key-file=%s", in_folder("key"));
    CHECK(chmod(in_folder("key"), 0600) == 0);
    RETURNS(varta_observer_bind(&none, endpoint, NULL), VARTA_EKEY);
    CHECK(chmod(in_folder("key"), 0644) == 0);
    RETURNS(varta_observer_bind(&none, endpoint, NULL), -EACCES);
    CHECK(none == NULL);
    varta_observer_close(observer);
}

static void an_inherited_socket_is_used(void)
{
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_folder("inherited"));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.inherit = fd;
    varta_observer *observer;
    RETURNS(varta_observer_bind(&observer, NULL, &options), 0);
    varta_agent *agent = agent_at(in_folder("inherited"));
    RETURNS(varta_beat(agent, VARTA_STATUS_OK, 5), VARTA_SENT);
    CHECK(next_event(observer, VARTA_EVENT_BEAT).payload == 5);
    varta_close(agent);
    varta_observer_close(observer);
    CHECK(access(in_folder("inherited"), F_OK) == 0 && fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

int main(void)
{
    a_silent_agent_stalls_and_recovers();
    exits_are_reported_with_their_cause();
    one_call_returns_several_events();
    a_signal_interrupts_a_wait();
    a_child_cannot_use_its_parents_observer();
    unusable_endpoints_are_refused();
    an_inherited_socket_is_used();
    return 0;
}
