// varta.hpp: process liveness from C++17. It wraps varta.h, which is the manual: it describes what
// each function does, when it fails and which threads may call it, under the same name.
//
//     auto agent = varta::Agent::connect("/run/varta.sock");
//     agent.beat(varta::Status::ok, 42);
//     auto worker = agent.task("worker", 2s);
//     { auto block = worker.watch(200ms); handle(job); }
//     auto observer = varta::Observer::bind("/run/varta.sock", 2s);
//     for (const varta::Event &event : observer.events())
//         std::cout << event.name() << " of " << event.pid << '\n';
//
// A function that can fail takes a std::error_code as its last argument, which it sets. Without
// one it throws a std::system_error, or aborts if exceptions are disabled. Agents, tasks and
// observers can be moved but not copied, and close themselves.
//
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef VARTA_HPP
#define VARTA_HPP
#include <varta.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace varta {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

enum class Status : std::uint8_t { ok, degraded, critical, stall };
enum class Kind : std::uint8_t {
    beat = 1, stall, recovered, exit, decode, auth_failure, io, paused, task, ended, violation,
    cause
};
enum class Promise : std::uint8_t { beat = 1, span, checkpoint, progress };
enum class Rule : std::uint8_t { too_early = 1, too_late, wrong_order, too_few, too_many };
enum class Ending : std::uint8_t { closed = 1, failed, thread_gone, detached };

// The errors of this library. All except -VARTA_EPANIC and -VARTA_EKEY compare with std::errc.
inline const std::error_category &category() noexcept
{
    struct Category final : std::error_category {
        const char *name() const noexcept override { return "varta"; }
        std::string message(int value) const override { return varta_strerror(-value); }
        std::error_condition default_error_condition(int value) const noexcept override
        {
            return {value, value > 4000 ? *this : std::generic_category()};
        }
    };
    static const Category instance;
    return instance;
}

// How to report an error: in a std::error_code that the caller passed, or as an exception.
class Errors {
public:
    Errors() noexcept = default;
    Errors(std::error_code &into) noexcept : into_(&into) {}

    // Reports the error if a function of varta.h returned one; else returns its number.
    int take(int code, [[maybe_unused]] const char *what) const
    {
        const std::error_code error(code < 0 ? -code : 0, category());
        if (into_ != nullptr) {
            *into_ = error;
        } else if (error) {
#ifdef __cpp_exceptions
            throw std::system_error(error, what);
#else
            std::abort();
#endif
        }
        return std::max(code, 0);
    }

private:
    std::error_code *into_ = nullptr;
};

// Durations, and their conversion to the integers of varta.h.
constexpr milliseconds forever{-1};
constexpr nanoseconds never = nanoseconds::max();
inline std::uint64_t count(nanoseconds span) noexcept
{
    return span == never ? VARTA_NEVER : static_cast<std::uint64_t>(span.count());
}
inline int whole(milliseconds timeout) noexcept
{
    return static_cast<int>(std::clamp<milliseconds::rep>(timeout.count(), INT_MIN, INT_MAX));
}

// A struct of varta.h that begins with its own size. Sets the size and zeroes everything else.
template <typename T> struct Sized : T {
    Sized() noexcept : T() { this->size = sizeof(T); }
};
using AgentOptions = Sized<varta_agent_options>;
using TaskOptions = Sized<varta_task_options>;
struct ObserverOptions : Sized<varta_observer_options> {
    ObserverOptions() noexcept = default;
    template <typename Number, typename Unit>
    ObserverOptions(std::chrono::duration<Number, Unit> of) noexcept { threshold_ns = count(of); }
};

// Closes a handle of varta.h.
template <typename T, void (*close)(T *)> struct Closer {
    void operator()(T *handle) const noexcept { close(handle); }
};

// Owns a handle of varta.h.
template <typename T, typename End> class Handle {
public:
    void close() noexcept { handle_.reset(); }
    T *get() const noexcept { return handle_.get(); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }

protected:
    T *release() noexcept { return handle_.release(); }
    // An exception carries the library's error message.
    template <typename Self, typename Make, typename Options, typename... Arguments>
    static Self construct(Make make, Options &options, Errors errors, Arguments... arguments)
    {
        Self self;
        T *handle = nullptr;
        char message[512] = "";
        if (options.message == nullptr) {
            options.message = message;
            options.message_size = sizeof message;
        }
        const int code = make(&handle, arguments..., &options);
        self.handle_.reset(handle);
        errors.take(code, options.message);
        return self;
    }

private:
    std::unique_ptr<T, End> handle_;
};

// Elements of an array that begin with their own size, as many as the call has to report.
template <typename T, typename Call> std::vector<T> list(Call call)
{
    std::vector<T> found;
    std::size_t count = 1;
    while (found.size() < count) {
        found.assign(count, Sized<T>());
        count = static_cast<std::size_t>(call(found.data(), count));
    }
    found.resize(count);
    return found;
}

// The outcome of a beat: sent, dropped for a temporary reason, or failed.
struct Outcome {
    bool sent() const noexcept { return code == VARTA_SENT; }
    bool dropped() const noexcept { return code > 0; }
    bool failed() const noexcept { return code < 0; }
    std::error_code error() const noexcept { return {failed() ? -code : 0, category()}; }
    const char *name() const noexcept
    {
        return failed() ? varta_strerror(code) : varta_outcome_name(code);
    }
    int code;
};

// A block of a task, which must end in time. It ends when this is destroyed, which must be before
// the task is.
class Span {
public:
    Span(varta_task *task, std::int64_t id) noexcept : task_(task), id_(id) {}
    Span(Span &&other) noexcept : task_(other.task_), id_(std::exchange(other.id_, 0)) {}
    Span &operator=(Span &&other) noexcept
    {
        std::swap(task_, other.task_);
        std::swap(id_, other.id_);
        return *this;
    }
    ~Span() { end(); }
    // Ends the block early.
    void end() noexcept
    {
        if (id_ > 0)
            varta_task_unwatch(task_, std::exchange(id_, 0));
    }
    // False if as many blocks are open as the option spans permits.
    bool watched() const noexcept { return id_ > 0; }

private:
    varta_task *task_;
    std::int64_t id_;
};

// Ends a task as failed if an exception is unwinding the stack, but not if it already was when the
// task was declared.
struct EndTask {
    void operator()(varta_task *task) const noexcept
    {
        std::uncaught_exceptions() > exceptions ? varta_task_fail(task) : varta_task_close(task);
    }
    int exceptions = std::uncaught_exceptions();
};

// A named part of this process that is watched on its own. Its calls never throw, and allocate
// nothing.
class Task : public Handle<varta_task, EndTask> {
public:
    Outcome beat(Status status = Status::ok, std::uint32_t payload = 0) noexcept
    {
        return {varta_task_beat(get(), static_cast<std::uint8_t>(status), payload)};
    }
    // Nothing is due until the next call of any kind, or only after this time.
    void idle(nanoseconds at_most = never) noexcept { varta_task_idle(get(), count(at_most)); }
    // This block ends within max, and not before min.
    [[nodiscard]] Span watch(nanoseconds max, nanoseconds min = nanoseconds(0),
                             std::uint16_t label = 0) noexcept
    {
        return {get(), varta_task_watch_labelled(get(), count(min), count(max), label)};
    }
    void reach(std::uint16_t checkpoint) noexcept { varta_task_reach(get(), checkpoint); }
    void progress(std::uint32_t done, std::uint32_t left) noexcept
    {
        varta_task_progress(get(), done, left);
    }
    [[nodiscard]] varta_task_counters counts(Errors errors = {}) const
    {
        Sized<varta_task_counters> counters;
        errors.take(varta_task_counts(get(), &counters), "task counts");
        return counters;
    }
    // Ends the task as failed.
    void fail() noexcept { varta_task_fail(release()); }

private:
    friend class Agent;
};

class Agent : public Handle<varta_agent, Closer<varta_agent, varta_close>> {
public:
    [[nodiscard]] static Agent connect(const char *endpoint = nullptr, AgentOptions options = {},
                                       Errors errors = {})
    {
        return construct<Agent>(varta_connect, options, errors, endpoint);
    }
    // Never throws: a missing observer must not stop the work.
    Outcome beat(Status status = Status::ok, std::uint32_t payload = 0) noexcept
    {
        return {varta_beat(get(), static_cast<std::uint8_t>(status), payload)};
    }
    // Sends the final beat of this process.
    Outcome last_words(std::uint32_t payload = 0) noexcept
    {
        return {varta_last_words(get(), payload)};
    }
    // Tells the service manager that the process has started, that it is shutting down, or in words
    // what it does.
    Outcome ready() noexcept { return {varta_ready(get())}; }
    Outcome stopping() noexcept { return {varta_stopping(get())}; }
    Outcome status(const char *text) noexcept { return {varta_status(get(), text)}; }
    [[nodiscard]] Task task(const char *name, nanoseconds threshold, TaskOptions options = {},
                            Errors errors = {}) const
    {
        return Task::construct<Task>(varta_task_open, options, errors, get(), name,
                                     count(threshold));
    }
    [[nodiscard]] std::vector<varta_task_info> tasks(Errors errors = {}) const
    {
        return list<varta_task_info>([&](varta_task_info *ret, std::size_t cap) {
            return errors.take(varta_agent_tasks(get(), ret, cap), "agent tasks");
        });
    }
    // How long ago the observer looked, or std::nullopt if beats go as datagrams.
    [[nodiscard]] std::optional<nanoseconds> watched(Errors errors = {}) const
    {
        Sized<varta_agent_counters> counters;
        counters.watched_ns = VARTA_NEVER;
        errors.take(varta_agent_stats(get(), &counters), "watched");
        if (counters.watched_ns == VARTA_NEVER)
            return std::nullopt;
        return nanoseconds(static_cast<nanoseconds::rep>(counters.watched_ns));
    }
    void reconnect(Errors errors = {}) { errors.take(varta_reconnect(get()), "reconnect"); }
    [[nodiscard]] varta_agent_counters stats(Errors errors = {}) const
    {
        Sized<varta_agent_counters> counters;
        errors.take(varta_agent_stats(get(), &counters), "agent stats");
        return counters;
    }
};

inline void install_crash_handler(const char *endpoint = nullptr, std::uint32_t flags = 0,
                                  Errors errors = {})
{
    errors.take(varta_install_crash_handler(endpoint, flags), "install_crash_handler");
}

struct Event : varta_event {
    Event() noexcept : varta_event() {}
    Kind what() const noexcept { return static_cast<Kind>(kind); }
    const char *name() const noexcept { return varta_event_name(kind); }
    bool about_task() const noexcept { return task != 0; }
    // A stall or a recovery of a task.
    Promise which() const noexcept { return static_cast<Promise>(promise); }
    // A violation.
    Rule broken() const noexcept { return static_cast<Rule>(rule); }
    // The end of a task.
    Ending how() const noexcept { return static_cast<Ending>(rule); }
};

class Observer : public Handle<varta_observer, Closer<varta_observer, varta_observer_close>> {
public:
    [[nodiscard]] static Observer bind(const char *endpoint = nullptr,
                                       ObserverOptions options = {}, Errors errors = {})
    {
        return construct<Observer>(varta_observer_bind, options, errors, endpoint);
    }
    [[nodiscard]] static Observer simulate(ObserverOptions options = {}, Errors errors = {})
    {
        return construct<Observer>(varta_observer_simulate, options, errors);
    }
    void listen(const char *endpoint, Errors errors = {})
    {
        errors.take(varta_observer_listen(get(), endpoint), "listen");
    }
    void set_threshold(std::uint64_t agent, nanoseconds threshold, Errors errors = {})
    {
        errors.take(varta_observer_set_threshold(get(), agent, count(threshold)), "set_threshold");
    }
    void set_slack(const varta_slack *slack, std::size_t entries, Errors errors = {})
    {
        errors.take(varta_observer_set_slack(get(), slack, entries), "set_slack");
    }

    // Ends the wait of poll in another thread, which then reports std::errc::interrupted.
    void wake(Errors errors = {}) const { errors.take(varta_observer_wake(get()), "wake"); }

    // The next event, or std::nullopt if there is none within the timeout.
    [[nodiscard]] std::optional<Event> poll(milliseconds timeout = forever, Errors errors = {})
    {
        Event event;
        const int got = errors.take(varta_observer_poll(get(), &event, whole(timeout)), "poll");
        return got > 0 ? std::optional(event) : std::nullopt;
    }
    // Writes the events that are available, at most cap, and returns their number.
    [[nodiscard]] std::size_t poll_many(Event *ret, std::size_t cap, milliseconds timeout = forever,
                                        Errors errors = {})
    {
        const int code = varta_observer_poll_many(get(), ret, cap, whole(timeout));
        return static_cast<std::size_t>(errors.take(code, "poll_many"));
    }
    // All events from now on, as a range. It ends when there is no event within the timeout, when
    // a signal interrupts the wait, and after an error that is stored in a std::error_code.
    [[nodiscard]] inline class Events events(milliseconds timeout = forever, Errors errors = {}) &;

    // For an event loop: wait for the descriptor, then call poll(milliseconds(0)) until it returns
    // nothing.
    int fd(Errors errors = {}) const { return errors.take(varta_observer_fd(get()), "fd"); }
    milliseconds timeout(Errors errors = {}) const
    {
        return milliseconds(errors.take(varta_observer_timeout_ms(get()), "timeout"));
    }
    [[nodiscard]] std::vector<varta_agent_info> agents(Errors errors = {}) const
    {
        return list<varta_agent_info>([&](varta_agent_info *ret, std::size_t cap) {
            return errors.take(varta_observer_agents(get(), ret, cap), "agents");
        });
    }
    // The name to show for an agent that is followed, or that an event of the last poll is about;
    // empty if none is known.
    [[nodiscard]] std::string label(std::uint64_t agent, Errors errors = {}) const
    {
        char name[sizeof(varta_agent_info::label)] = "";
        errors.take(varta_observer_label(get(), agent, name, sizeof name), "label");
        return name;
    }
    [[nodiscard]] std::vector<varta_task_info> tasks(std::uint64_t agent, Errors errors = {}) const
    {
        return list<varta_task_info>([&](varta_task_info *ret, std::size_t cap) {
            return errors.take(varta_observer_tasks(get(), agent, ret, cap), "tasks");
        });
    }
    // Why an agent or one of its tasks is silent, or std::nullopt if it is not, or if the flag
    // VARTA_OBSERVER_CAUSES is not set.
    [[nodiscard]] std::optional<varta_cause_info> cause(std::uint64_t agent, std::uint32_t task = 0,
                                                        Errors errors = {}) const
    {
        Sized<varta_cause_info> info;
        const int code = varta_observer_cause(get(), agent, task, &info);
        if (errors.take(code, "cause") == 0)
            return std::nullopt;
        return info;
    }
    [[nodiscard]] varta_observer_counters stats(Errors errors = {}) const
    {
        Sized<varta_observer_counters> counters;
        errors.take(varta_observer_stats(get(), &counters), "observer stats");
        return counters;
    }

    // Input of a simulated observer; its time is in nanoseconds since it started.
    void feed(nanoseconds at, const varta_datagram &d, Errors errors = {})
    {
        errors.take(varta_observer_feed(get(), count(at), &d), "feed");
    }
    void feed_exit(nanoseconds at, std::uint32_t pid, std::uint8_t cause, std::int32_t code,
                   Errors errors = {})
    {
        errors.take(varta_observer_feed_exit(get(), count(at), pid, cause, code), "feed_exit");
    }
    void feed_late(nanoseconds at, nanoseconds due, Errors errors = {})
    {
        errors.take(varta_observer_feed_late(get(), count(at), count(due)), "feed_late");
    }
    void feed_suspended(nanoseconds at, nanoseconds span, Errors errors = {})
    {
        errors.take(varta_observer_feed_suspended(get(), count(at), count(span)), "feed_suspended");
    }
    [[nodiscard]] varta_page feed_attach(nanoseconds at, const varta_attaching &process,
                                         Errors errors = {})
    {
        Sized<varta_page> page;
        errors.take(varta_observer_feed_attach(get(), count(at), &process, &page), "feed_attach");
        return page;
    }
    void feed_mapped(nanoseconds at, std::uint32_t page, Errors errors = {})
    {
        errors.take(varta_observer_feed_mapped(get(), count(at), page), "feed_mapped");
    }
    void feed_bell(nanoseconds at, std::uint32_t page, Errors errors = {})
    {
        errors.take(varta_observer_feed_bell(get(), count(at), page), "feed_bell");
    }
    void feed_detach(nanoseconds at, std::uint32_t page, Errors errors = {})
    {
        errors.take(varta_observer_feed_detach(get(), count(at), page), "feed_detach");
    }
    void feed_line(std::uint32_t page, std::uint32_t pair, const std::uint64_t *cold,
                   const std::uint64_t *hot, Errors errors = {})
    {
        errors.take(varta_observer_feed_line(get(), page, pair, cold, hot), "feed_line");
    }
    void feed_program(std::uint32_t pid, const char *name, Errors errors = {})
    {
        errors.take(varta_observer_feed_program(get(), pid, name), "feed_program");
    }
    void feed_name(std::uint32_t pid, const char *name, Errors errors = {})
    {
        errors.take(varta_observer_feed_name(get(), pid, name), "feed_name");
    }
    void feed_thread_gone(std::uint32_t pid, std::uint32_t thread, Errors errors = {})
    {
        errors.take(varta_observer_feed_thread_gone(get(), pid, thread), "feed_thread_gone");
    }
    // Sets what can be read of a process from now on, without threads, and adds a thread.
    void feed_reading(std::uint32_t pid, const varta_reading &reading, Errors errors = {})
    {
        errors.take(varta_observer_feed_reading(get(), pid, &reading), "feed_reading");
    }
    void feed_thread_reading(std::uint32_t pid, const varta_thread_reading &thread,
                             Errors errors = {})
    {
        errors.take(varta_observer_feed_thread_reading(get(), pid, &thread),
                    "feed_thread_reading");
    }
    void advance(nanoseconds at, Errors errors = {})
    {
        errors.take(varta_observer_advance(get(), count(at), 0), "advance");
    }
    // Like advance, while the observer's queue is full.
    void advance_full(nanoseconds at, Errors errors = {})
    {
        errors.take(varta_observer_advance(get(), count(at), VARTA_ADVANCE_FULL), "advance_full");
    }
};

// A range that is its own iterator, like std::filesystem::directory_iterator.
class Events {
public:
    struct End {};
    using value_type = Event;
    using difference_type = std::ptrdiff_t;
    Events(Observer &observer, milliseconds timeout, Errors errors) noexcept
        : observer_(&observer), timeout_(timeout), errors_(errors) {}
    Events &begin() { return ++*this; }
    End end() const noexcept { return {}; }
    const Event &operator*() const noexcept { return *current_; }
    bool operator==(End) const noexcept { return !current_; }
    bool operator!=(End) const noexcept { return current_.has_value(); }
    void operator++(int) { ++*this; }
    Events &operator++()
    {
        std::error_code error;
        current_ = observer_->poll(timeout_, error);
        errors_.take(error == std::errc::interrupted ? 0 : -error.value(), "poll");
        return *this;
    }

private:
    Observer *observer_;
    milliseconds timeout_;
    Errors errors_;
    std::optional<Event> current_;
};

Events Observer::events(milliseconds timeout, Errors errors) & { return {*this, timeout, errors}; }

}  // namespace varta

#endif  // VARTA_HPP
