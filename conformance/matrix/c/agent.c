/* An agent that does as it is told: `agent ENDPOINT`, commands by line on its input. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <varta.h>

static varta_agent *agent;

/* A negative one is told by its number, for its words have spaces. */
static void say(int outcome, const char *end)
{
    const char *name = outcome < 0 ? "failed" : varta_outcome_name(outcome);
    for (; *name != '\0'; name++)
        putchar(*name == ' ' ? '-' : *name);
    if (outcome < 0)
        printf("%d", outcome);
    fputs(end, stdout);
}

static int beat(const char *status, uint32_t payload)
{
    uint8_t known = VARTA_STATUS_OK;
    while (known < VARTA_STATUS_STALL && strcmp(varta_status_name(known), status) != 0)
        known++;
    return varta_beat(agent, known, payload);
}

/* The child ends when it is told to, on the input that it shares with its parent. */
static void be_a_child(void)
{
    char byte = 0;
    printf("child %d ", (int)getpid());
    say(beat("ok", 101), " ");
    say(beat("degraded", 102), "\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        ;
    _exit(0);
}

static int obey(const char *line)
{
    char status[16];
    uint32_t payload;
    if (sscanf(line, "beat %15s %" SCNu32, status, &payload) == 2) {
        say(beat(status, payload), "\n");
    } else if (strcmp(line, "fork\n") == 0) {
        pid_t child = fork();
        if (child == 0)
            be_a_child();
        if (child < 0 || waitpid(child, NULL, 0) != child)
            return -1;
        puts("ended");
    } else {
        fprintf(stderr, "no such command: %s", line);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int err = varta_connect(&agent, argc == 2 ? argv[1] : NULL, NULL);
    if (err < 0) {
        fprintf(stderr, "no agent: %s\n", varta_strerror(err));
        return 1;
    }
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (obey(line) < 0)
            return 1;
        fflush(stdout);
    }
    varta_close(agent);
    return 0;
}
