/* The final beat of fatal signals: each crash, in its own process, is reported to the observer and
 * ends the process as it would have without the handler. */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

/* Whether to crash without the handler, for comparison. */
static bool without_handler;

static void install(uint32_t flags)
{
    if (!without_handler)
        RETURNS(varta_install_crash_handler(in_folder("crash"), flags), 0);
}

static volatile int zero;
static int *volatile null_pointer;

static void crash_by_fault(void)
{
    install(0);
    *null_pointer = 1;
}

static void crash_by_abort(void)
{
    install(0);
    abort();
}

static void crash_by_bus(void)
{
    install(0);
    int fd = open(in_folder("short"), O_RDWR | O_CREAT, 0600);
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED);
    page[0] = 1; /* past the end of the file */
}

static void crash_by_instruction(void)
{
    install(0);
    __builtin_trap();
}

static void crash_by_arithmetic(void)
{
    install(0);
#if defined(__x86_64__) || defined(__i386__)
    zero = getpid() / zero;
#else
    raise(SIGFPE);
#endif
}

static void crash_by_request(void)
{
    install(VARTA_CRASH_SIGTERM);
    raise(SIGTERM);
}

static int overflow(volatile char *before)
{
    volatile char here[4096];
    here[0] = before == NULL ? 0 : before[0];
    return zero != 0 ? 0 : overflow(here) + here[0];
}

static void *overflow_in_thread(void *unused)
{
    (void)unused;
    install(0);
    CHECK(overflow(NULL) != 0);
    return NULL;
}

static void crash_by_stack(void)
{
    install(0);
    CHECK(overflow(NULL) != 0);
}

static void crash_by_stack_in_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, overflow_in_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

static void crash_in_forked_child(void)
{
    install(0);
    pid_t child = fork();
    if (child == 0)
        abort();
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    /* Its parent ends in the same way, without a final beat. */
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
}

static void earlier_handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    /* The handler of another library, installed first. */
    _exit(signal == SIGSEGV && info->si_addr == NULL ? 99 : 1);
}

static void crash_with_an_earlier_handler(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = earlier_handler;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    install(0);
    install(0);
    *null_pointer = 1;
}

/* The processes that sent a final beat, in the order in which they ended. */
static varta_event next_final_beat(varta_observer *observer, pid_t of)
{
    varta_event beat;
    do {
        beat = next_event(observer, VARTA_EVENT_BEAT);
    } while (of != 0 && beat.pid != (uint32_t)of);
    return beat;
}

/* Runs a child that crashes in the folder, where its core dump goes, and returns its wait status. */
static pid_t run_crash(void (*crash)(void), bool with_core, int *status)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit core;
        CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && chdir(in_folder(".")) == 0);
        core.rlim_cur = with_core ? core.rlim_max : 0;
        CHECK(setrlimit(RLIMIT_CORE, &core) == 0);
        alarm(PATIENCE_S);
        crash();
        _exit(0);
    }
    CHECK(waitpid(child, status, 0) == child);
    return child;
}

static void check_crash(varta_observer *observer, void (*crash)(void), int by, bool in_child)
{
    int status;
    pid_t child = run_crash(crash, false, &status);
    if (crash == crash_with_an_earlier_handler)
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 99);
    else
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == by);
    varta_event beat = next_final_beat(observer, in_child ? 0 : child);
    CHECK(beat.status == VARTA_STATUS_CRITICAL && beat.nonce == VARTA_NONCE_TERMINAL);
    CHECK(beat.payload == (uint64_t)by && (beat.pid == (uint32_t)child) == !in_child);
}

/* A process with the handler leaves a core dump if one without it does. */
static void check_core_dump(varta_observer *observer, void (*crash)(void), int by)
{
    int without, with;
    without_handler = true;
    run_crash(crash, true, &without);
    without_handler = false;
    CHECK(WIFSIGNALED(without) && WTERMSIG(without) == by);
    pid_t child = run_crash(crash, true, &with);
    CHECK(next_final_beat(observer, child).nonce == VARTA_NONCE_TERMINAL);
    if (!WCOREDUMP(without))
        fprintf(stderr, "SKIPPED: no cores are dumped here; see ulimit -c and core_pattern in proc(5)\n");
    CHECK(with == without);
}

static void sigterm_is_reported_only_if_asked(varta_observer *observer)
{
    pid_t child = fork();
    if (child == 0) {
        install(0);
        raise(SIGTERM);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGTERM);
    varta_event event;
    RETURNS(varta_observer_poll(observer, &event, 0), 0);
}

int main(void)
{
    RETURNS(varta_install_crash_handler(in_folder("nobody"), 0), -ENOENT);
    varta_observer *observer;
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.flags = VARTA_OBSERVER_NO_EXITS;
    options.threshold_ns = (uint64_t)1000000000 * 86400;
    RETURNS(varta_observer_bind(&observer, in_folder("crash"), &options), 0);
    sigterm_is_reported_only_if_asked(observer);
    check_crash(observer, crash_by_fault, SIGSEGV, false);
    check_crash(observer, crash_by_abort, SIGABRT, false);
    check_crash(observer, crash_by_bus, SIGBUS, false);
#if defined(__x86_64__) || defined(__i386__)
    check_crash(observer, crash_by_instruction, SIGILL, false);
#endif
    check_crash(observer, crash_by_arithmetic, SIGFPE, false);
    check_crash(observer, crash_by_request, SIGTERM, false);
    check_crash(observer, crash_by_stack, SIGSEGV, false);
    check_crash(observer, crash_by_stack_in_thread, SIGSEGV, false);
    check_crash(observer, crash_in_forked_child, SIGABRT, true);
    check_crash(observer, crash_with_an_earlier_handler, SIGSEGV, false);
    check_core_dump(observer, crash_by_fault, SIGSEGV);
    check_core_dump(observer, crash_by_abort, SIGABRT);
    check_core_dump(observer, crash_by_stack_in_thread, SIGSEGV);
    varta_observer_close(observer);
    return 0;
}
