/* An agent that sends its status and a number of its own, here the length of its queue. It checks
 * the outcome of its beats, and sends a final beat if it crashes. */

#include <stdio.h>
#include <varta.h>

static uint8_t status_of(uint32_t queued)
{
    if (queued > 90)
        return VARTA_STATUS_CRITICAL;
    return queued > 50 ? VARTA_STATUS_DEGRADED : VARTA_STATUS_OK;
}

int main(int argc, char **argv)
{
    const char *endpoint = argc > 1 ? argv[1] : NULL;
    char why[256] = "";
    varta_agent_options options = VARTA_AGENT_OPTIONS_INIT;
    options.message = why;
    options.message_size = sizeof why;

    varta_agent *agent;
    if (varta_connect(&agent, endpoint, &options) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    /* This fails if no observer is bound yet; an agent can start before its observer. */
    int err = varta_install_crash_handler(endpoint, VARTA_CRASH_SIGTERM);
    if (err < 0)
        fprintf(stderr, "no crash handler: %s\n", varta_strerror(err));

    for (uint32_t queued = 0; queued <= 100; queued += 20) {
        int outcome = varta_beat(agent, status_of(queued), queued);
        if (outcome < 0)
            fprintf(stderr, "failed: %s\n", varta_strerror(outcome));
        else
            printf("%s, %u queued: %s\n", varta_status_name(status_of(queued)),
                   (unsigned)queued, varta_outcome_name(outcome));
    }
    varta_close(agent);
    return 0;
}
