// An agent that reads commands from its input: `agent ENDPOINT`.

#include <algorithm>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <varta.hpp>

namespace {

std::string beat(varta::Agent &agent, const std::string &status, std::uint32_t payload)
{
    auto known = static_cast<std::uint8_t>(varta::Status::ok);
    while (known < VARTA_STATUS_STALL && status != varta_status_name(known))
        known++;
    std::string name = agent.beat(static_cast<varta::Status>(known), payload).name();
    std::replace(name.begin(), name.end(), ' ', '-');
    return name;
}

// The child waits for a line on the input that it shares with its parent.
[[noreturn]] void run_child(varta::Agent &agent)
{
    std::cout << "child " << getpid() << ' ' << beat(agent, "ok", 101);
    std::cout << ' ' << beat(agent, "degraded", 102) << std::endl;
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        ;
    _exit(0);
}

}  // namespace

int main(int argc, char **argv)
try {
    auto agent = varta::Agent::connect(argc == 2 ? argv[1] : nullptr);
    std::cout << "ready " << getpid() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command, status;
        std::uint32_t payload = 0;
        words >> command >> status >> payload;
        if (command == "beat") {
            std::cout << beat(agent, status, payload) << std::endl;
        } else if (command == "fork") {
            const pid_t child = fork();
            if (child == 0)
                run_child(agent);
            if (child < 0 || waitpid(child, nullptr, 0) != child)
                return 1;
            std::cout << "ended" << std::endl;
        } else {
            std::cerr << "unknown command: " << line << '\n';
            return 1;
        }
    }
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
