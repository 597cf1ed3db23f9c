/* Four threads with a task each. The last job of one of them waits for the end of standard input,
 * which takes too long: an observer that follows tasks (see observer_tasks.c) reports that thread, and
 * so does the program itself. */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <varta.h>

enum { WORKERS = 4, JOBS = 10, MS = 1000000 };

struct worker {
    int number;
    varta_task *task;
    pthread_t thread;
};

static void *work(void *argument)
{
    const struct worker *worker = argument;
    varta_task *task = worker->task;
    for (uint16_t job = 1; job <= JOBS; job++) {
        varta_task_idle(task, VARTA_NEVER);
        usleep(5000); /* wait for the job here; nothing is due meanwhile */
        int64_t span = varta_task_watch_labelled(task, 0, 50 * MS, job);
        if (worker->number == 0 && job == JOBS)
            while (getchar() != EOF)
                continue;
        varta_task_beat(task, VARTA_STATUS_OK, job);
        varta_task_unwatch(task, span);
    }
    varta_task_counters counters = VARTA_TASK_COUNTERS_INIT;
    if (varta_task_counts(task, &counters) == 0)
        printf("worker %d was late with %" PRIu32 " jobs\n", worker->number, counters.too_late);
    varta_task_close(task);
    return NULL;
}

int main(int argc, char **argv)
{
    char why[256] = "";
    varta_task_options options = VARTA_TASK_OPTIONS_INIT;
    options.finest_ns = 50 * MS; /* a job that hangs is to be reported at once */
    options.message = why;
    options.message_size = sizeof why;
    varta_agent *agent;
    int err = varta_connect(&agent, argc > 1 ? argv[1] : NULL, NULL);
    if (err < 0) {
        fprintf(stderr, "no agent: %s\n", varta_strerror(err));
        return 1;
    }
    struct worker workers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &workers[i];
        worker->number = i;
        if (varta_task_open(&worker->task, agent, "worker", VARTA_NEVER, &options) < 0) {
            fprintf(stderr, "%s\n", why);
            return 1;
        }
        if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
            perror("no thread");
            return 1;
        }
    }
    /* The heartbeat of the process itself. */
    varta_task_info tasks[WORKERS] = {VARTA_TASK_INFO_INIT};
    int left;
    while ((left = varta_agent_tasks(agent, tasks, WORKERS)) > 0) {
        int late = 0;
        for (int i = 0; i < left; i++)
            late += (tasks[i].flags & VARTA_TASK_LATE) != 0;
        varta_beat(agent, late > 0 ? VARTA_STATUS_DEGRADED : VARTA_STATUS_OK, (uint32_t)late);
        usleep(10000);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    varta_close(agent);
    return 0;
}
