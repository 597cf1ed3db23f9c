// Does some work and sends a beat after it, ten times a second: worker ENDPOINT SECONDS

#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <varta.hpp>

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " ENDPOINT SECONDS\n";
        return 2;
    }
    auto agent = varta::Agent::connect(argv[1]);
    for (std::uint32_t piece = 1; piece <= 10 * std::stoul(argv[2]); piece++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        agent.beat(varta::Status::ok, piece);
    }
}
