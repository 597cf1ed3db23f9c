// A worker that owns its agent: the agent moves with the worker and closes when the worker ends.
// This example uses error codes rather than exceptions.

#include <chrono>
#include <iostream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#include <varta.hpp>

class Worker {
public:
    explicit Worker(varta::Agent agent) : agent_(std::move(agent)) {}

    void work()
    {
        std::this_thread::sleep_for(std::chrono::milliseconds(10)); // the real work goes here
        ++done_;
        const varta::Outcome outcome = agent_.beat(varta::Status::ok, done_);
        if (outcome.failed())
            std::cerr << "no beat: " << outcome.error().message() << '\n';
    }

private:
    varta::Agent agent_;
    std::uint32_t done_ = 0;
};

int main(int argc, char **argv)
{
    std::vector<Worker> workers;
    for (int i = 0; i < 3; i++) {
        std::error_code error;
        varta::Agent agent = varta::Agent::connect(argc > 1 ? argv[1] : nullptr, {}, error);
        if (error) {
            std::cerr << "no agent: " << error.message() << '\n';
            return 1;
        }
        workers.emplace_back(std::move(agent));
    }
    for (int round = 0; round < 5; round++)
        for (Worker &worker : workers)
            worker.work();
    std::cout << "15 beats\n";
}
