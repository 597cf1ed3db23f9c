// Computes for 20 ms of CPU time and sends a beat after it, ten times a second: worker ENDPOINT

#include <chrono>
#include <ctime>
#include <iostream>
#include <thread>
#include <varta.hpp>

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " ENDPOINT\n";
        return 2;
    }
    auto agent = varta::Agent::connect(argv[1]);
    for (std::uint32_t piece = 1;; piece++) {
        for (const std::clock_t begun = std::clock(); std::clock() - begun < CLOCKS_PER_SEC / 50;) {
        }
        agent.beat(varta::Status::ok, piece);
        std::this_thread::sleep_for(std::chrono::milliseconds(80));
    }
}
