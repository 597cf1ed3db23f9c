// A minimal agent. connect throws if it fails; beat never throws.

#include <cstdio>
#include <exception>
#include <varta.hpp>

int main(int argc, char **argv)
try {
    varta::Agent agent = varta::Agent::connect(argc > 1 ? argv[1] : nullptr);
    for (std::uint32_t piece = 1; piece <= 10; piece++) {
        const varta::Outcome outcome = agent.beat(varta::Status::ok, piece);
        std::printf("piece %u is done: %s\n", static_cast<unsigned>(piece), outcome.name());
    }
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
