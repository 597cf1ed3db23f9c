// The features of varta.hpp: movable handles, both kinds of errors, events as a range.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <varta_codec.hpp>

#include "check.h"

using namespace std::chrono_literals;

static std::size_t allocations;

void *operator new(std::size_t size)
{
    allocations++;
    if (void *memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}

void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

namespace {

constexpr auto patience = std::chrono::seconds(PATIENCE_S);

void handles_move_and_close_themselves()
{
    auto observer = varta::Observer::bind(in_folder("moves"), patience);
    {
        auto agent = varta::Agent::connect(in_folder("moves"));
        CHECK(agent.beat().sent());
        varta::Agent other = std::move(agent);
        CHECK(!agent && other && other.beat(varta::Status::degraded, 7).sent());
        CHECK(agent.beat().failed() && agent.beat().error() == std::errc::invalid_argument);
        other = varta::Agent::connect(in_folder("moves"));
        CHECK(other.beat(varta::Status::critical, 8).sent());
        CHECK(other.stats().fork_recoveries == 0);
        other.reconnect();
    }
    std::uint64_t nonce = 0;
    for (const varta::Event &event : observer.events(patience)) {
        CHECK(event.what() == varta::Kind::beat && event.nonce == ++nonce);
        CHECK(std::string(event.name()) == "beat");
        if (nonce == 3)
            break;
    }
    CHECK(!observer.poll(0ms));
    const auto agents = observer.agents();
    CHECK(agents.size() == 1 && agents[0].beats == 3 && observer.stats().beats == 3);
    CHECK(observer.fd() >= 0 && observer.timeout() > 0ms);
    observer.close();
    CHECK(access(in_folder("moves"), F_OK) != 0);
}

void errors_are_codes_or_exceptions()
{
    auto observer = varta::Observer::bind(in_folder("taken"), patience);
    std::error_code error;
    auto none = varta::Observer::bind(in_folder("taken"), {}, error);
    CHECK(!none && error == std::errc::address_in_use && error.category() == varta::category());
    auto agent = varta::Agent::connect(in_folder("taken"), {}, error);
    CHECK(agent && !error);
    try {
        (void)varta::Observer::bind(in_folder("taken"));
        CHECK(!"it did not throw");
    } catch (const std::system_error &thrown) {
        CHECK(thrown.code() == std::errc::address_in_use);
        CHECK(std::string(thrown.what()).find("already listening") != std::string::npos);
    }
    observer.set_threshold(99, 1s, error);
    CHECK(error == std::errc::no_such_process);
    CHECK(std::error_code(-VARTA_EKEY, varta::category()).message() == varta_strerror(VARTA_EKEY));
    CHECK(varta::Outcome{VARTA_DROPPED_NO_OBSERVER}.dropped());
    varta::install_crash_handler(in_folder("nobody"), 0, error);
    CHECK(error == std::errc::no_such_file_or_directory);
}

void a_signal_ends_the_range()
{
    std::signal(SIGALRM, [](int) {});
    auto observer = varta::Observer::bind(in_folder("signal"), patience);
    // The timer repeats, because a signal may arrive before the wait begins.
    const itimerval often{{0, 10'000}, {0, 10'000}}, never{};
    setitimer(ITIMER_REAL, &often, nullptr);
    for (const varta::Event &event : observer.events())
        CHECK(event.what() == varta::Kind::paused);
    setitimer(ITIMER_REAL, &never, nullptr);
    // So does a timeout, and an error that a std::error_code receives.
    varta::Events quiet = observer.events(1ms);
    CHECK(quiet.begin() == quiet.end());
    std::error_code error;
    varta::Observer other = std::move(observer);
    for (const varta::Event &event : other.events(1ms, error))
        CHECK(event.what() == varta::Kind::paused);
    CHECK(!error);
    for (const varta::Event &event : observer.events(1ms, error))
        CHECK(event.what() == varta::Kind::paused);
    CHECK(error == std::errc::invalid_argument);
}

void one_call_returns_several_events()
{
    auto observer = varta::Observer::simulate(2s);
    varta_datagram datagram = VARTA_DATAGRAM_INIT;
    varta_frame frame{};
    frame.version = 2;
    frame.pid = datagram.pid = 4321;
    for (frame.nonce = 1; frame.nonce <= 5; frame.nonce++) {
        const varta::Wire wire = varta::frame_encode(frame);
        datagram.bytes = wire.data();
        datagram.length = wire.size();
        observer.feed(1s, datagram);
    }
    varta::Event events[8];
    CHECK(observer.poll_many(events, 8, 0ms) == 5 && events[4].nonce == 5);
    CHECK(!observer.cause(events[0].agent));
    // A stall is delayed while the queue is full, and then marked.
    observer.advance_full(3s);
    CHECK(!observer.poll(0ms) && observer.stats().full_looks == 1);
    observer.advance(5s);
    const auto stall = observer.poll(0ms);
    CHECK(stall->what() == varta::Kind::stall && stall->decode_error == VARTA_EVENT_DEAF);
    CHECK(observer.stats().stalls_deaf == 1);
}

void the_codec_reports_errors()
{
    varta_frame frame{};
    std::error_code error;
    (void)varta::frame_encode(frame, error);
    CHECK(error == std::errc::invalid_argument); // no version 0
    frame.version = 2;
    frame.pid = 4321;
    frame.nonce = 1;
    varta::Wire wire = varta::frame_encode(frame);
    varta_frame decoded{};
    wire[31] ^= 1;
    CHECK(varta::frame_decode(decoded, wire.data(), wire.size()) == VARTA_DECODE_BAD_CRC);
    (void)varta::frame_decode(decoded, wire.data(), 31, 2, error);
    CHECK(error == std::errc::message_size);
    varta::Sealed sealed = varta::frame_seal(varta::Key{1}, varta::Prefix{2}, 3, wire);
    CHECK(varta::frame_open(varta::Key{1}, sealed.data(), sealed.size()) == wire);
    try {
        (void)varta::frame_open(varta::Key{2}, sealed.data(), sealed.size());
        CHECK(!"it did not throw");
    } catch (const std::system_error &thrown) {
        CHECK(thrown.code() == std::errc::bad_message);
    }
}

// A simulated observer cannot be fed by an agent, so these have sockets.
varta::Observer observer_of_tasks(const char *name)
{
    // It looks twice in this time, and finds that tasks have ended.
    varta::ObserverOptions options = 200ms;
    options.pause_after_ns = varta::count(patience);
    options.flags = VARTA_OBSERVER_LANE | VARTA_OBSERVER_TASKS;
    return varta::Observer::bind(in_folder(name), options);
}

varta::Agent agent_on_lane(const char *name, varta::Observer &observer)
{
    auto agent = varta::Agent::connect(in_folder(name));
    while (!agent.watched()) {
        CHECK(!agent.beat().failed());
        (void)observer.poll(1ms);
    }
    return agent;
}

varta::Event next(varta::Observer &observer, varta::Kind kind)
{
    for (const varta::Event &event : observer.events(patience))
        if (event.what() == kind && event.about_task())
            return event;
    CHECK(!"no such event");
    return {};
}

void a_task_is_watched_until_it_is_destroyed()
{
    auto observer = observer_of_tasks("tasks");
    auto agent = agent_on_lane("tasks", observer);
    {
        varta::TaskOptions options;
        options.finest_ns = varta::count(20ms);
        auto task = agent.task("ingest", 1h, options);
        const varta::Event declared = next(observer, varta::Kind::task);
        CHECK(std::string(declared.task_name) == "ingest" && declared.task == 1);
        {
            auto block = task.watch(20ms, 0ms, 9);
            varta::Span moved = std::move(block);
            CHECK(moved.watched() && !block.watched());
            const varta::Event stall = next(observer, varta::Kind::stall);
            CHECK(stall.which() == varta::Promise::span && stall.checkpoint == 9);
            CHECK(agent.tasks().at(0).flags == VARTA_TASK_LATE);
            CHECK(observer.tasks(stall.agent).at(0).number == declared.task);
        }
        CHECK(next(observer, varta::Kind::recovered).which() == varta::Promise::span);
        CHECK(next(observer, varta::Kind::violation).broken() == varta::Rule::too_late);
        task.reach(3);
        task.progress(1, 2);
        CHECK(task.beat(varta::Status::degraded, 7).sent() && task.counts().too_late == 1);
        auto early = task.watch(varta::never, 1h);
        early.end();
        early.end();
        CHECK(task.counts().too_early == 1);
        task.idle();
        varta::Task other = std::move(task);
        CHECK(!task && task.beat().failed() && agent.tasks().at(0).flags == VARTA_TASK_IDLE);
    }
    CHECK(next(observer, varta::Kind::ended).how() == varta::Ending::closed);
    CHECK(agent.tasks().empty());
    std::error_code error;
    (void)agent.task("", 1h, {}, error);
    CHECK(error == std::errc::invalid_argument);
}

void a_task_fails_if_an_exception_destroys_it()
{
    auto observer = observer_of_tasks("fails");
    auto agent = agent_on_lane("fails", observer);
    // A task that ends before the observer has seen it is not reported.
    const auto declared = [&](const char *name) {
        auto task = agent.task(name, 1h);
        (void)next(observer, varta::Kind::task);
        return task;
    };
    const auto ended = [&] { return next(observer, varta::Kind::ended).how(); };
    try {
        auto task = declared("throws");
        auto block = task.watch(1h);
        throw 1;
    } catch (int) {
    }
    CHECK(ended() == varta::Ending::failed);
    // One that is declared while an exception unwinds the stack does not fail by that.
    struct CleaningUp {
        const decltype(declared) &declare;
        ~CleaningUp() { declare("cleans up").idle(); }
    };
    try {
        CleaningUp cleaning_up{declared};
        throw 1;
    } catch (int) {
    }
    CHECK(ended() == varta::Ending::closed);
    declared("gives up").fail();
    CHECK(ended() == varta::Ending::failed);
    CHECK(agent.last_words(5).sent());
    varta::Event last;
    do
        last = observer.poll(patience).value();
    while (last.nonce != VARTA_NONCE_TERMINAL);
    CHECK(last.payload == 5 && !last.about_task());
    observer.wake();
    std::error_code error;
    while (observer.poll(patience, error) && !error)
        continue;
    CHECK(error == std::errc::interrupted);
    const varta_slack slack[] = {{nullptr, "batch", 1000}};
    observer.set_slack(slack, 1);
}

void calls_of_a_task_allocate_nothing()
{
    auto agent = varta::Agent::connect(in_folder("nobody"));
    auto task = agent.task("task", 1h);
    const std::size_t before = allocations;
    for (int i = 0; i < 1000; i++) {
        auto outer = task.watch(1h);
        auto inner = task.watch(varta::never, 0ms, 3);
        (void)task.beat();
        task.reach(1);
        task.progress(2, 3);
        task.idle(1h);
    }
    CHECK(allocations == before);
}

void an_agent_notifies_the_service_manager()
{
    const std::string path = in_folder("manager");
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
    varta::AgentOptions options;
    CHECK(varta::Agent::connect(in_folder("nobody"), options).ready().code
          == VARTA_DROPPED_NOT_CONFIGURED);
    options.flags = VARTA_AGENT_NOTIFY;
    auto agent = varta::Agent::connect(in_folder("nobody"), options);
    CHECK(agent.ready().code == VARTA_DROPPED_NO_OBSERVER);
    const int manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    CHECK(bind(manager, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0);
    const auto received = [&] {
        char room[512];
        const ssize_t length = recv(manager, room, sizeof room, MSG_DONTWAIT);
        return std::string(room, length < 0 ? 0 : static_cast<std::size_t>(length));
    };
    CHECK(agent.ready().sent() && received() == "READY=1");
    CHECK(agent.status("two\nlines").sent() && received() == "STATUS=two lines");
    CHECK(agent.status(nullptr).error() == std::errc::invalid_argument);
    CHECK(agent.stopping().sent() && received() == "STOPPING=1");
    close(manager);
    unsetenv("NOTIFY_SOCKET");
}

// std::terminate aborts, and is reported as an abort.
void terminate_is_reported()
{
    varta::ObserverOptions options;
    options.flags = VARTA_OBSERVER_NO_EXITS;
    auto observer = varta::Observer::bind(in_folder("terminate"), options);
    const pid_t child = fork();
    if (child == 0) {
        varta::install_crash_handler(in_folder("terminate"));
        std::terminate();
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    const auto beat = observer.poll(patience);
    CHECK(beat && beat->nonce == VARTA_NONCE_TERMINAL && beat->payload == SIGABRT);
}

}  // namespace

int main()
{
    handles_move_and_close_themselves();
    errors_are_codes_or_exceptions();
    a_signal_ends_the_range();
    one_call_returns_several_events();
    the_codec_reports_errors();
    a_task_is_watched_until_it_is_destroyed();
    a_task_fails_if_an_exception_destroys_it();
    calls_of_a_task_allocate_nothing();
    an_agent_notifies_the_service_manager();
    terminate_is_reported();
}
