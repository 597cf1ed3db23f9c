// An observer that prints each event as a line of JSON until its input ends:
// `observer ENDPOINT THRESHOLD_MS [lane]`. Its last line has the counters.

#include <chrono>
#include <exception>
#include <iostream>
#include <poll.h>
#include <string>

#include <varta.hpp>

namespace {

void print_event(const varta::Event &event)
{
    std::cout << "{\"kind\": \"" << event.name() << '"';
    if (event.agent != 0)
        std::cout << ", \"pid\": " << event.claimed_pid;
    if (event.what() == varta::Kind::beat)
        std::cout << ", \"status\": \"" << varta_status_name(event.status)
                  << "\", \"payload\": " << event.payload << ", \"nonce\": " << event.nonce
                  << ", \"count\": " << event.count;
    if (event.what() == varta::Kind::exit && event.exit_cause != VARTA_EXIT_UNKNOWN)
        std::cout << ", \"" << (event.exit_cause == VARTA_EXIT_CODE ? "code" : "signal")
                  << "\": " << event.code;
    std::cout << '}' << std::endl;
}

}  // namespace

int main(int argc, char **argv)
try {
    if (argc < 3) {
        std::cerr << "usage: observer ENDPOINT THRESHOLD_MS [lane]\n";
        return 2;
    }
    varta::ObserverOptions options = std::chrono::milliseconds(std::stoll(argv[2]));
    options.flags = VARTA_OBSERVER_VERSION1 | (argc > 3 ? VARTA_OBSERVER_LANE : 0);
    auto observer = varta::Observer::bind(argv[1], options);
    std::cout << "ready" << std::endl;
    pollfd descriptors[2] = {{0, POLLIN, 0}, {observer.fd(), POLLIN, 0}};
    while (descriptors[0].revents == 0 && poll(descriptors, 2, -1) > 0)
        for (const varta::Event &event : observer.events(std::chrono::milliseconds(0)))
            print_event(event);
    const auto counters = observer.stats();
    std::cout << "{\"received\": " << counters.received << ", \"beats\": " << counters.beats
              << ", \"lane_beats\": " << counters.lane_beats << '}' << std::endl;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
