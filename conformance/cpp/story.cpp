// Runs stories through a simulated observer of varta.hpp.

#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>

#include <varta.hpp>

extern "C" {
#include "../c/story.h"
}

namespace {

using std::chrono::nanoseconds;

varta::Observer observer;

void expect_success(const char *what, std::error_code error)
{
    if (error)
        fail(what, "no error", error.message().c_str());
}

// A chrono duration is signed, so it cannot hold every time that JSON can; no story needs more.
nanoseconds span(record *record, const char *name)
{
    return nanoseconds(static_cast<nanoseconds::rep>(number(record, name, INT64_MAX)));
}

void run_step(record *step)
{
    const nanoseconds at = span(step, "at_ns");
    const std::string op = text(step, "op");
    std::error_code error;
    if (op == "frame") {
        observer.feed(at, datagram_of(step), error);
    } else if (op == "poll") {
        observer.advance(at, error);
    } else if (op == "full") {
        observer.advance_full(at, error);
    } else if (op == "exit") {
        std::int32_t status = 0;
        const std::uint8_t cause = cause_of(step, &status);
        const auto pid = static_cast<std::uint32_t>(number(step, "pid", UINT32_MAX));
        observer.feed_exit(at, pid, cause, status, error);
    } else if (op == "late") {
        observer.feed_late(at, span(step, "due_ns"), error);
    } else if (op == "suspend") {
        observer.feed_suspended(at, span(step, "ns"), error);
    } else if (op == "set_threshold") {
        const std::uint64_t agent = number(step, "agent", UINT64_MAX);
        observer.set_threshold(agent, span(step, "ns"), error);
        // A story may name an agent that is gone.
        if (error == std::errc::no_such_process)
            error.clear();
    } else {
        fail("op", "one of those in the README", op.c_str());
    }
    expect_success(op.c_str(), error);
    nothing_else(step);
}

std::optional<varta::Event> poll()
{
    std::error_code error;
    std::optional<varta::Event> event = observer.poll(varta::milliseconds(0), error);
    expect_success("poll", error);
    return event;
}

void expect_no_more_events()
{
    if (const auto event = poll())
        nothing_more(&*event);
}

}  // namespace

extern "C" void story_record(record *record)
{
    const std::string word = record->word;
    std::error_code error;
    if (word == "config") {
        varta::ObserverOptions options;
        static_cast<varta_observer_options &>(options) = options_of(record);
        observer = varta::Observer::simulate(options, error);
        expect_success("config", error);
    } else if (word == "step") {
        expect_no_more_events();
        run_step(record);
    } else if (word == "event") {
        if (const auto event = poll())
            same_event(record, &*event);
        else
            fail("events", text(record, "kind"), "nothing");
    } else if (word == "counters") {
        expect_no_more_events();
        const varta_observer_counters counted = observer.stats(error);
        expect_success("stats", error);
        same_counters(record, &counted);
        observer.close();
    } else {
        fail("story", "config, step, event or counters", word.c_str());
    }
}
