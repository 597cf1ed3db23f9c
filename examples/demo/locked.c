/* Beats ten times a second, and each time takes a lock. Another thread holds that lock while it waits for
 * input, which is the mistake that this program shows: locked ENDPOINT FIFO. A line in FIFO makes it take
 * the lock, and the next line makes it let go. */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <varta.h>

static pthread_mutex_t ledger = PTHREAD_MUTEX_INITIALIZER;

static void *read_orders(void *path)
{
    char line;
    /* Also open for writing, so that the input never ends. */
    int orders = open(path, O_RDWR);
    while (read(orders, &line, 1) == 1) {
        pthread_mutex_lock(&ledger);
        ssize_t got = read(orders, &line, 1);
        pthread_mutex_unlock(&ledger);
        if (got != 1)
            break;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    varta_agent *agent;
    pthread_t reader;
    int err = argc == 3 ? varta_connect(&agent, argv[1], NULL) : -1;
    if (err < 0 || pthread_create(&reader, NULL, read_orders, argv[2]) != 0) {
        fprintf(stderr, "usage: %s ENDPOINT FIFO\n", argv[0]);
        return 2;
    }
    for (uint32_t piece = 1;; piece++) {
        pthread_mutex_lock(&ledger);
        varta_beat(agent, VARTA_STATUS_OK, piece);
        pthread_mutex_unlock(&ledger);
        nanosleep(&pause, NULL);
    }
}
