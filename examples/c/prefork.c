/* A server that forks its workers before it serves. The parent makes the agent once. In each
 * worker, the first beat detects the fork, opens a session of its own and counts from 1. The
 * observer reports each worker as an agent, and how it ends. */

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <varta.h>

enum { WORKERS = 3, REQUESTS = 5 };

static int serve(varta_agent *agent, int worker)
{
    for (uint32_t request = 1; request <= REQUESTS; request++) {
        usleep(50000); /* answer the request here */
        if (varta_beat(agent, VARTA_STATUS_OK, request) < 0)
            return 1;
    }
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    if (varta_agent_stats(agent, &counters) < 0 || counters.fork_recoveries != 1)
        return 1;
    return 10 + worker;
}

int main(int argc, char **argv)
{
    varta_agent *agent;
    int err = varta_connect(&agent, argc > 1 ? argv[1] : NULL, NULL);
    if (err < 0) {
        fprintf(stderr, "no agent: %s\n", varta_strerror(err));
        return 1;
    }
    for (int worker = 0; worker < WORKERS; worker++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("cannot fork");
            return 1;
        }
        if (pid == 0)
            _exit(serve(agent, worker));
    }
    for (int status, pid; (pid = wait(&status)) > 0;) {
        varta_beat(agent, VARTA_STATUS_OK, 0);
        printf("worker %d ended with %d\n", pid, WEXITSTATUS(status));
    }
    varta_close(agent);
    return 0;
}
