// Runs stories through a simulated observer of varta.hpp.

#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>

#include <varta.hpp>

extern "C" {
#include "../c/lane.h"
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

// Calls a function of varta.hpp, and returns the result as varta.h does.
template <typename Call> int code_of(Call call)
{
    std::error_code error;
    call(error);
    return -error.value();
}

nanoseconds time(std::uint64_t ns)
{
    return nanoseconds(static_cast<nanoseconds::rep>(ns));
}

int attach(std::uint64_t at_ns, const varta_attaching *process, varta_page *ret)
{
    return code_of([=](auto &error) {
        *ret = observer.feed_attach(time(at_ns), *process, error);
    });
}

int mapped(std::uint64_t at_ns, std::uint32_t page)
{
    return code_of([=](auto &error) { observer.feed_mapped(time(at_ns), page, error); });
}

int bell(std::uint64_t at_ns, std::uint32_t page)
{
    return code_of([=](auto &error) { observer.feed_bell(time(at_ns), page, error); });
}

int detach(std::uint64_t at_ns, std::uint32_t page)
{
    return code_of([=](auto &error) { observer.feed_detach(time(at_ns), page, error); });
}

int line(std::uint32_t page, std::uint32_t pair, const std::uint64_t *cold, const std::uint64_t *hot)
{
    return code_of([=](auto &error) { observer.feed_line(page, pair, cold, hot, error); });
}

int thread_gone(std::uint32_t pid, std::uint32_t thread)
{
    return code_of([=](auto &error) { observer.feed_thread_gone(pid, thread, error); });
}

int program(std::uint32_t pid, const char *name)
{
    return code_of([=](auto &error) { observer.feed_program(pid, name, error); });
}

int name(std::uint32_t pid, const char *declared)
{
    return code_of([=](auto &error) { observer.feed_name(pid, declared, error); });
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
        lane_forget(pid);
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
    } else if (op == "reading") {
        const varta_reading reading = reading_of(step);
        const auto pid = static_cast<std::uint32_t>(number(step, "pid", UINT32_MAX));
        observer.feed_reading(pid, reading, error);
    } else if (op == "thread_reading") {
        const varta_thread_reading thread = thread_reading_of(step);
        const auto pid = static_cast<std::uint32_t>(number(step, "pid", UINT32_MAX));
        observer.feed_thread_reading(pid, thread, error);
    } else if (int code = 0; lane_step(op.c_str(), number(step, "at_ns", UINT64_MAX), step, &code)) {
        error = std::error_code(-code, varta::category());
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

void compare_event(record *expected, const varta::Event &event)
{
    std::error_code error;
    const auto info = observer.cause(event.agent, event.task, error);
    expect_success("cause", error);
    const std::string label = observer.label(event.agent, error);
    expect_success("label", error);
    same_event(expected, &event, label.c_str(), info ? &*info : nullptr);
}

void expect_no_more_events()
{
    if (const auto event = poll())
        nothing_more(&*event);
}

}  // namespace

extern "C" const struct pages pages = {
    attach, mapped, bell, detach, line, thread_gone, program, name,
};

extern "C" void story_record(record *record)
{
    const std::string word = record->word;
    std::error_code error;
    if (word == "config") {
        lane_begin();
        varta::ObserverOptions options;
        static_cast<varta_observer_options &>(options) = options_of(record);
        observer = varta::Observer::simulate(options, error);
        expect_success("config", error);
    } else if (word == "step") {
        expect_no_more_events();
        run_step(record);
    } else if (word == "event") {
        if (const auto event = poll())
            compare_event(record, *event);
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
