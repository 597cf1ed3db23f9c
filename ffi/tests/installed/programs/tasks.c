/* Tasks: one in each of sixteen threads, threads that end without a word, forks, an observer that
 * is woken. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "check.h"

enum { THREADS = 16, CALLS = 500 };

#define HOUR_NS (UINT64_C(3600) * 1000000000)

static atomic_int finished;

static varta_observer *observer_of_tasks(const char *endpoint)
{
    varta_observer *observer;
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    /* It looks twice in this time, and finds that tasks have ended. */
    options.threshold_ns = 200 * 1000000;
    options.pause_after_ns = HOUR_NS;
    options.flags = VARTA_OBSERVER_LANE | VARTA_OBSERVER_TASKS;
    RETURNS(varta_observer_bind(&observer, endpoint, &options), 0);
    return observer;
}

static bool on_lane(varta_agent *agent)
{
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    RETURNS(varta_agent_stats(agent, &counters), 0);
    return counters.watched_ns != VARTA_NEVER;
}

/* Beats until the observer has given this process a page. */
static varta_agent *agent_on_lane(const char *endpoint, varta_observer *observer)
{
    varta_agent *agent = agent_at(endpoint);
    time_t until = time(NULL) + PATIENCE_S;
    while (!on_lane(agent)) {
        varta_event event;
        CHECK(time(NULL) < until && varta_beat(agent, VARTA_STATUS_OK, 0) >= 0);
        CHECK(varta_observer_poll(observer, &event, 1) >= 0);
    }
    return agent;
}

static varta_task *task_of(varta_agent *agent, const char *name, uint64_t threshold_ns)
{
    varta_task *task;
    RETURNS(varta_task_open(&task, agent, name, threshold_ns, NULL), 0);
    return task;
}

static void *work(void *argument)
{
    varta_task *task = argument;
    for (uint32_t i = 0; i < CALLS; i++) {
        int64_t outer = varta_task_watch(task, 0, HOUR_NS);
        int64_t inner = varta_task_watch_labelled(task, 0, VARTA_NEVER, 7);
        CHECK(outer > 0 && inner > 0 && outer != inner);
        RETURNS(varta_task_beat(task, VARTA_STATUS_OK, i), VARTA_SENT);
        RETURNS(varta_task_reach(task, (uint16_t)i), 0);
        RETURNS(varta_task_progress(task, i, CALLS - i), 0);
        RETURNS(varta_task_unwatch(task, outer), 1);
        RETURNS(varta_task_idle(task, VARTA_NEVER), 0);
        RETURNS(varta_task_unwatch(task, inner), 1);
    }
    varta_task_counters counters = VARTA_TASK_COUNTERS_INIT;
    RETURNS(varta_task_counts(task, &counters), 0);
    CHECK(counters.too_late == 0 && counters.wrong_order == 0 && counters.unwatched == 0);
    varta_task_close(task);
    finished++;
    return NULL;
}

static void sixteen_threads_have_a_task_each(void)
{
    varta_observer *observer = observer_of_tasks(in_folder("sixteen"));
    varta_agent *agent = agent_on_lane(in_folder("sixteen"), observer);
    pthread_t threads[THREADS];
    varta_task_info info[THREADS] = {VARTA_TASK_INFO_INIT};
    varta_task *tasks[THREADS];
    for (int i = 0; i < THREADS; i++)
        tasks[i] = task_of(agent, "worker", HOUR_NS);
    for (int i = 0; i < THREADS; i++)
        (void)next_event(observer, VARTA_EVENT_TASK);
    RETURNS(varta_agent_tasks(agent, info, THREADS), THREADS);
    CHECK(strcmp(info[THREADS - 1].name, "worker") == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, tasks[i]) == 0);
    int ended = 0;
    while (ended < THREADS) {
        varta_event event;
        CHECK(varta_observer_poll(observer, &event, PATIENCE_MS) == 1);
        CHECK(event.kind != VARTA_EVENT_VIOLATION);
        CHECK(event.kind != VARTA_EVENT_STALL || event.task == 0);
        CHECK(event.kind != VARTA_EVENT_ENDED || event.rule == VARTA_ENDED_CLOSED);
        ended += event.kind == VARTA_EVENT_ENDED;
        /* Meanwhile the process asks about them. */
        CHECK(varta_agent_tasks(agent, info, THREADS) >= 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(finished == THREADS);
    RETURNS(varta_agent_tasks(agent, NULL, 0), 0);
    varta_close(agent);
    varta_observer_close(observer);
}

static void *leave(void *argument)
{
    RETURNS(varta_task_beat(argument, VARTA_STATUS_OK, 0), VARTA_SENT);
    pthread_exit(NULL);
}

static void a_thread_that_exits_without_a_word_is_noticed(void)
{
    varta_observer *observer = observer_of_tasks(in_folder("gone"));
    varta_agent *agent = agent_on_lane(in_folder("gone"), observer);
    varta_task *task = task_of(agent, "worker", 50 * 1000000);
    (void)next_event(observer, VARTA_EVENT_TASK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, leave, task) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    varta_event ended = next_event(observer, VARTA_EVENT_ENDED);
    CHECK(ended.rule == VARTA_ENDED_THREAD_GONE && strcmp(ended.task_name, "worker") == 0);
    varta_task_close(task);
    varta_close(agent);
    varta_observer_close(observer);
}

static void a_child_goes_on_with_the_task_of_its_parent(void)
{
    varta_observer *observer = observer_of_tasks(in_folder("forks"));
    varta_agent *agent = agent_on_lane(in_folder("forks"), observer);
    varta_task *task = task_of(agent, "inherited", HOUR_NS);
    (void)next_event(observer, VARTA_EVENT_TASK);
    int seen[2];
    char byte;
    CHECK(pipe(seen) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(PATIENCE_S);
        while (!on_lane(agent)) {
            CHECK(varta_beat(agent, VARTA_STATUS_OK, 0) >= 0);
            usleep(1000);
        }
        RETURNS(varta_task_beat(task, VARTA_STATUS_OK, 0), VARTA_SENT);
        RETURNS(varta_observer_wake(observer), -ECHILD);
        /* Until the observer has seen the task. */
        CHECK(read(seen[0], &byte, 1) == 1);
        varta_task_fail(task);
        varta_close(agent);
        _exit(0);
    }
    varta_event event = next_event(observer, VARTA_EVENT_TASK);
    CHECK(event.pid == (uint32_t)child && strcmp(event.task_name, "inherited") == 0);
    CHECK(write(seen[1], "", 1) == 1 && close(seen[0]) == 0 && close(seen[1]) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    do
        event = next_event(observer, VARTA_EVENT_EXIT);
    while (event.pid != (uint32_t)child);
    RETURNS(varta_task_beat(task, VARTA_STATUS_OK, 1), VARTA_SENT);
    varta_task_close(task);
    event = next_event(observer, VARTA_EVENT_ENDED);
    CHECK(event.pid == (uint32_t)getpid() && event.rule == VARTA_ENDED_CLOSED);
    varta_close(agent);
    varta_observer_close(observer);
}

static void *wake(void *observer)
{
    RETURNS(varta_observer_wake(observer), 0);
    return NULL;
}

static void another_thread_ends_the_wait_of_a_poll(void)
{
    varta_observer *observer = observer_of_tasks(in_folder("wake"));
    varta_event event;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wake, observer) == 0);
    RETURNS(varta_observer_poll(observer, &event, PATIENCE_MS), -EINTR);
    CHECK(pthread_join(thread, NULL) == 0);
    RETURNS(varta_observer_poll(observer, &event, 0), 0);
    varta_observer_close(observer);
}

int main(void)
{
    sixteen_threads_have_a_task_each();
    a_thread_that_exits_without_a_word_is_noticed();
    a_child_goes_on_with_the_task_of_its_parent();
    another_thread_ends_the_wait_of_a_poll();
    return 0;
}
