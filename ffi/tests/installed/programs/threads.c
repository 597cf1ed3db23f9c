/* Eight threads use one handle: every call either completes or returns -EBUSY. Forks happen during
 * beats and connects: each child can beat at once. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "check.h"

enum { THREADS = 8, BEATS = 2000, FORKS = 200 };

static varta_agent *shared;
static atomic_int sent, busy;
static atomic_bool stopping;

static void *beat(void *unused)
{
    (void)unused;
    for (int i = 0; i < BEATS; i++) {
        int outcome = varta_beat(shared, VARTA_STATUS_OK, 0);
        CHECK(outcome == VARTA_SENT || outcome == VARTA_DROPPED_KERNEL_QUEUE_FULL ||
              outcome == -EBUSY);
        sent += outcome == VARTA_SENT;
        busy += outcome == -EBUSY;
    }
    return NULL;
}

static void eight_threads_share_a_handle(void)
{
    varta_observer *observer = observer_at(in_folder("threads"));
    shared = agent_at(in_folder("threads"));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, beat, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    varta_event event;
    int heard = 0;
    while (varta_observer_poll(observer, &event, 0) == 1)
        heard += event.kind == VARTA_EVENT_BEAT;
    CHECK(sent > 0 && heard == sent);
    varta_close(shared);
    varta_observer_close(observer);
}

static void *connect_and_beat(void *unused)
{
    (void)unused;
    while (!stopping) {
        varta_agent *own = agent_at(in_folder("forks"));
        CHECK(varta_beat(own, VARTA_STATUS_OK, 0) >= 0);
        int outcome = varta_beat(shared, VARTA_STATUS_OK, 0);
        CHECK(outcome >= VARTA_SENT || outcome == -EBUSY);
        varta_close(own);
    }
    return NULL;
}

static void a_forked_child_can_beat_at_once(void)
{
    varta_observer *observer = observer_at(in_folder("forks"));
    shared = agent_at(in_folder("forks"));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, connect_and_beat, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(PATIENCE_S);
            /* A lock that a thread of the parent held must not block the child. */
            int outcome;
            do
                outcome = varta_beat(shared, VARTA_STATUS_OK, 42);
            while (outcome == VARTA_DROPPED_KERNEL_QUEUE_FULL);
            _exit(outcome == VARTA_SENT ? 0 : 1);
        }
        varta_event event;
        do {
            event = next_event(observer, VARTA_EVENT_BEAT);
        } while (event.pid != (uint32_t)child);
        CHECK(event.payload == 42 && event.nonce >= 1);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    stopping = true;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    varta_close(shared);
    varta_observer_close(observer);
}

int main(void)
{
    eight_threads_share_a_handle();
    a_forked_child_can_beat_at_once();
    return 0;
}
