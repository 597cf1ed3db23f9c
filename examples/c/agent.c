/* A minimal agent: connect, and beat from the loop that does the work. */

#include <stdio.h>
#include <varta.h>

static void work(uint32_t piece)
{
    printf("piece %u is done\n", (unsigned)piece);
}

int main(int argc, char **argv)
{
    varta_agent *agent;
    int err = varta_connect(&agent, argc > 1 ? argv[1] : NULL, NULL);
    if (err < 0) {
        fprintf(stderr, "no agent: %s\n", varta_strerror(err));
        return 1;
    }
    for (uint32_t piece = 1; piece <= 10; piece++) {
        work(piece);
        varta_beat(agent, VARTA_STATUS_OK, piece);
    }
    varta_close(agent);
    return 0;
}
