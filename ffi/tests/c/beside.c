/* Uses two Rust archives in one program, each with its own Rust runtime. */
#include <stdio.h>
#include <unistd.h>

#include <varta.h>

uint32_t second_sum(uint32_t n);

int main(void)
{
    char endpoint[64];
    varta_observer *obs;
    varta_agent *agent;
    varta_event event;
    snprintf(endpoint, sizeof endpoint, "@varta-beside-%d", (int)getpid());
    if (varta_observer_bind(&obs, endpoint, NULL) != 0 || varta_connect(&agent, endpoint, NULL) != 0)
        return 1;
    if (varta_beat(agent, VARTA_STATUS_OK, second_sum(10)) != VARTA_SENT)
        return 2;
    if (varta_observer_poll(obs, &event, -1) != 1 || event.payload != 55)
        return 3;
    varta_close(agent);
    varta_observer_close(obs);
    return second_sum(99) == 0 ? 0 : 4;
}
