/* Does some work and sends a beat after it, ten times a second: worker ENDPOINT SECONDS */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <varta.h>

int main(int argc, char **argv)
{
    const struct timespec work = {.tv_nsec = 100000000};
    varta_agent *agent;
    int err = argc == 3 ? varta_connect(&agent, argv[1], NULL) : -1;
    if (err < 0) {
        fprintf(stderr, "usage: %s ENDPOINT SECONDS\n", argv[0]);
        return 2;
    }
    for (uint32_t piece = 1; piece <= 10 * strtoul(argv[2], NULL, 10); piece++) {
        nanosleep(&work, NULL);
        varta_beat(agent, VARTA_STATUS_OK, piece);
    }
    varta_close(agent);
}
