// varta.hpp: process liveness from C++17, over varta.h, which is the manual: what a function
// does, when it fails and which threads may call it stands there, under the same name.
//
//     auto agent = varta::Agent::connect("/run/varta.sock");
//     agent.beat(varta::Status::ok, 42);
//     auto observer = varta::Observer::bind("/run/varta.sock", 2s);
//     for (const varta::Event &event : observer.events())
//         std::cout << event.name() << " of " << event.pid << '\n';
//
// What can fail takes a std::error_code as its last argument, and says there whether it did;
// without one it throws a std::system_error, or aborts where exceptions are turned off.
// Agents and observers are moved, not copied, and close themselves.
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

constexpr milliseconds forever{-1};

enum class Status : std::uint8_t { ok, degraded, critical, stall };
enum class Kind : std::uint8_t {
    beat = 1, stall, recovered, exit, decode, auth_failure, io, paused
};

// The errors of this library. They compare with std::errc, but for -VARTA_EPANIC, -VARTA_EKEY.
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
    static const Category one;
    return one;
}

// Where an error goes: into the std::error_code that this is made of, or up, as an exception.
class Errors {
public:
    Errors() noexcept = default;
    Errors(std::error_code &into) noexcept : into_(&into) {}

    // Passes on what a function of varta.h answered: the error, or else the number, not negative.
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

inline auto count(nanoseconds span) noexcept { return static_cast<std::uint64_t>(span.count()); }

// A struct of varta.h that begins with its own size: that is set, and all else is zero.
template <typename T> struct Sized : T {
    Sized() noexcept : T() { this->size = sizeof(T); }
};
using AgentOptions = Sized<varta_agent_options>;
struct ObserverOptions : Sized<varta_observer_options> {
    ObserverOptions() noexcept = default;
    template <typename Number, typename Unit>
    ObserverOptions(std::chrono::duration<Number, Unit> of) noexcept { threshold_ns = count(of); }
};

// Owns what a function of varta.h has made.
template <typename T, void (*end)(T *)> class Handle {
public:
    void close() noexcept { handle_.reset(); }
    T *get() const noexcept { return handle_.get(); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }

protected:
    // An error is thrown with the sentence that the library has for it.
    template <typename Options, typename Make>
    void make(Options &options, Errors errors, Make call)
    {
        T *made = nullptr;
        char sentence[512] = "";
        if (options.message == nullptr) {
            options.message = sentence;
            options.message_size = sizeof sentence;
        }
        const int code = call(&made, &options);
        handle_.reset(made);
        errors.take(code, options.message);
    }

private:
    struct End { void operator()(T *handle) const noexcept { end(handle); } };
    std::unique_ptr<T, End> handle_;
};

// What became of a beat: sent, dropped for a reason that passes by itself, or failed.
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
        Agent agent;
        agent.make(options, errors,
                   [=](auto ret, auto opt) { return varta_connect(ret, endpoint, opt); });
        return agent;
    }
    // Never throws: that nobody listens is no reason to stop working.
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
        Observer observer;
        observer.make(options, errors,
                      [=](auto ret, auto opt) { return varta_observer_bind(ret, endpoint, opt); });
        return observer;
    }
    [[nodiscard]] static Observer simulate(ObserverOptions options = {}, Errors errors = {})
    {
        Observer observer;
        observer.make(options, errors, varta_observer_simulate);
        return observer;
    }
    void listen(const char *endpoint, Errors errors = {})
    {
        errors.take(varta_observer_listen(get(), endpoint), "listen");
    }
    void set_threshold(std::uint64_t agent, nanoseconds threshold, Errors errors = {})
    {
        errors.take(varta_observer_set_threshold(get(), agent, count(threshold)), "set_threshold");
    }

    // The next event, or none within the timeout.
    [[nodiscard]] std::optional<Event> poll(milliseconds timeout = forever, Errors errors = {})
    {
        Event event;
        const int got = errors.take(varta_observer_poll(get(), &event, whole(timeout)), "poll");
        return got > 0 ? std::optional(event) : std::nullopt;
    }
    // As many as are there, up to cap; answers how many.
    [[nodiscard]] std::size_t poll_many(Event *ret, std::size_t cap, milliseconds timeout = forever,
                                        Errors errors = {})
    {
        const int code = varta_observer_poll_many(get(), ret, cap, whole(timeout));
        return static_cast<std::size_t>(errors.take(code, "poll_many"));
    }
    // All from now on, as a range. It ends when none came for the timeout, when a signal has
    // interrupted the wait, and with an error that goes into a std::error_code.
    [[nodiscard]] inline class Events events(milliseconds timeout = forever, Errors errors = {}) &;

    // For a loop of the caller's own: wait for it, then poll(milliseconds(0)) until nothing comes.
    int fd(Errors errors = {}) const { return errors.take(varta_observer_fd(get()), "fd"); }
    milliseconds timeout(Errors errors = {}) const
    {
        return milliseconds(errors.take(varta_observer_timeout_ms(get()), "timeout"));
    }
    [[nodiscard]] std::vector<varta_agent_info> agents(Errors errors = {}) const
    {
        std::vector<varta_agent_info> list;
        std::size_t there = 1;
        while (list.size() < there) {
            list.assign(there, Sized<varta_agent_info>());
            const int code = varta_observer_agents(get(), list.data(), there);
            there = static_cast<std::size_t>(errors.take(code, "agents"));
        }
        list.resize(there);
        return list;
    }
    [[nodiscard]] varta_observer_counters stats(Errors errors = {}) const
    {
        Sized<varta_observer_counters> counters;
        errors.take(varta_observer_stats(get(), &counters), "observer stats");
        return counters;
    }

    // What a simulated observer is told; the rest of varta_observer_feed_ takes get().
    void feed(nanoseconds at, const varta_datagram &d, Errors errors = {})
    {
        errors.take(varta_observer_feed(get(), count(at), &d), "feed");
    }
    void advance(nanoseconds at, Errors errors = {})
    {
        errors.take(varta_observer_advance(get(), count(at), 0), "advance");
    }

private:
    static int whole(milliseconds timeout) noexcept
    {
        return static_cast<int>(std::clamp<milliseconds::rep>(timeout.count(), INT_MIN, INT_MAX));
    }
};

class Events {
public:
    struct End {};
    struct Iterator {
        using value_type = Event;
        using difference_type = std::ptrdiff_t;

        const Event &operator*() const noexcept { return *of->now_; }
        Iterator &operator++() { return of->next(), *this; }
        void operator++(int) { of->next(); }
        bool operator==(End) const noexcept { return !of->now_; }
        bool operator!=(End) const noexcept { return of->now_.has_value(); }
        Events *of;
    };

    Events(Observer &of, milliseconds timeout, Errors errors) noexcept
        : of_(&of), timeout_(timeout), errors_(errors) {}
    Iterator begin() { return next(), Iterator{this}; }
    End end() const noexcept { return {}; }

private:
    void next()
    {
        std::error_code error;
        now_ = of_->poll(timeout_, error);
        errors_.take(error == std::errc::interrupted ? 0 : -error.value(), "poll");
    }

    Observer *of_;
    milliseconds timeout_;
    Errors errors_;
    std::optional<Event> now_;
};

Events Observer::events(milliseconds timeout, Errors errors) & { return {*this, timeout, errors}; }

}  // namespace varta

#endif  // VARTA_HPP
