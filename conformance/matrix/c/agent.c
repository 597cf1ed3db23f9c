/* An agent that reads commands from its input: `agent ENDPOINT`. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <varta.h>

static varta_agent *agent;

/* Prints a negative outcome as its number. */
static void print_outcome(int outcome, const char *end)
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

/* The child waits for a line on the input that it shares with its parent. */
static void run_child(void)
{
    char byte = 0;
    printf("child %d ", (int)getpid());
    print_outcome(beat("ok", 101), " ");
    print_outcome(beat("degraded", 102), "\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        ;
    _exit(0);
}

static int run_command(const char *line)
{
    char status[16];
    uint32_t payload;
    if (sscanf(line, "beat %15s %" SCNu32, status, &payload) == 2) {
        print_outcome(beat(status, payload), "\n");
    } else if (strcmp(line, "fork\n") == 0) {
        pid_t child = fork();
        if (child == 0)
            run_child();
        if (child < 0 || waitpid(child, NULL, 0) != child)
            return -1;
        puts("ended");
    } else {
        fprintf(stderr, "unknown command: %s", line);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int err = varta_connect(&agent, argc == 2 ? argv[1] : NULL, NULL);
    if (err < 0) {
        fprintf(stderr, "cannot connect: %s\n", varta_strerror(err));
        return 1;
    }
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (run_command(line) < 0)
            return 1;
        fflush(stdout);
    }
    varta_close(agent);
    return 0;
}
