/* Eight threads on one agent and one observer, for ThreadSanitizer. With an argument they use
   the function of the planted race, which asks for no mark. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>

#include <varta.h>

int varta_planted_race(varta_agent *agent);

enum { THREADS = 8, BEATS = 500 };

static varta_agent *agent;
static varta_observer *obs;
static int planted;
static int strange;

static void *work(void *number)
{
    varta_agent_counters counters = VARTA_AGENT_COUNTERS_INIT;
    varta_event event;
    for (int i = 0; i < BEATS; i++) {
        int beat = planted ? varta_planted_race(agent) : varta_beat(agent, VARTA_STATUS_OK, 0);
        int poll = varta_observer_poll(obs, &event, 0);
        int stats = varta_agent_stats(agent, &counters);
        if ((beat < 0 && beat != -EBUSY) || (poll < 0 && poll != -EBUSY) || (stats < 0 && stats != -EBUSY))
            __atomic_store_n(&strange, 1, __ATOMIC_RELAXED);
        if ((long)number == 0 && i % 50 == 0)
            varta_reconnect(agent);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    char endpoint[64];
    (void)argv;
    planted = argc > 1;
    snprintf(endpoint, sizeof endpoint, "@varta-race-%d", (int)getpid());
    if (varta_observer_bind(&obs, endpoint, NULL) != 0 || varta_connect(&agent, endpoint, NULL) != 0)
        return 2;
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    varta_close(agent);
    varta_observer_close(obs);
    return strange;
}
