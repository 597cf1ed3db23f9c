// varta.hpp: process liveness from C++17. It wraps varta.h, which is the manual: it describes what
// each function does, when it fails and which threads may call it, under the same name.
//
//     auto agent = varta::Agent::connect("/run/varta.sock");
//     agent.beat(varta::Status::ok, 42);
//     auto observer = varta::Observer::bind("/run/varta.sock", 2s);
//     for (const varta::Event &event : observer.events())
//         std::cout << event.name() << " of " << event.pid << '\n';
//
// A function that can fail takes a std::error_code as its last argument, which it sets. Without
// one it throws a std::system_error, or aborts if exceptions are disabled. Agents and observers
// can be moved but not copied, and close themselves.
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
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace varta {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

enum class Status : std::uint8_t { ok, degraded, critical, stall };
enum class Kind : std::uint8_t {
    beat = 1, stall, recovered, exit, decode, auth_failure, io, paused, task, ended, violation
};

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
inline auto count(nanoseconds span) noexcept { return static_cast<std::uint64_t>(span.count()); }
inline int whole(milliseconds timeout) noexcept
{
    return static_cast<int>(std::clamp<milliseconds::rep>(timeout.count(), INT_MIN, INT_MAX));
}

// A struct of varta.h that begins with its own size. Sets the size and zeroes everything else.
template <typename T> struct Sized : T {
    Sized() noexcept : T() { this->size = sizeof(T); }
};
using AgentOptions = Sized<varta_agent_options>;
struct ObserverOptions : Sized<varta_observer_options> {
    ObserverOptions() noexcept = default;
    template <typename Number, typename Unit>
    ObserverOptions(std::chrono::duration<Number, Unit> of) noexcept { threshold_ns = count(of); }
};

// Owns a handle of varta.h.
template <typename T, void (*end)(T *)> class Handle {
public:
    void close() noexcept { handle_.reset(); }
    T *get() const noexcept { return handle_.get(); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }

protected:
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
    struct End { void operator()(T *handle) const noexcept { end(handle); } };
    std::unique_ptr<T, End> handle_;
};

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

class Agent : public Handle<varta_agent, varta_close> {
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
};

class Observer : public Handle<varta_observer, varta_observer_close> {
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
        std::vector<varta_agent_info> list;
        std::size_t count = 1;
        while (list.size() < count) {
            list.assign(count, Sized<varta_agent_info>());
            const int code = varta_observer_agents(get(), list.data(), count);
            count = static_cast<std::size_t>(errors.take(code, "agents"));
        }
        list.resize(count);
        return list;
    }
    [[nodiscard]] varta_observer_counters stats(Errors errors = {}) const
    {
        Sized<varta_observer_counters> counters;
        errors.take(varta_observer_stats(get(), &counters), "observer stats");
        return counters;
    }

    // Input of a simulated observer.
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
