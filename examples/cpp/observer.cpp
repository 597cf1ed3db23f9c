// An observer as a range of events. A signal interrupts the wait, which ends the range.

#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <varta.hpp>

using namespace std::chrono_literals;

int main(int argc, char **argv)
try {
    std::signal(SIGTERM, [](int) {});
    std::signal(SIGINT, [](int) {});
    auto observer = varta::Observer::bind(argc > 1 ? argv[1] : nullptr, 500ms);
    for (const varta::Event &event : observer.events()) {
        std::cout << "pid " << event.pid << ": " << event.name();
        switch (event.what()) {
        case varta::Kind::beat: std::cout << ", payload " << event.payload; break;
        case varta::Kind::exit: std::cout << " with " << event.code; break;
        default: break;
        }
        std::cout << std::endl;
    }
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
