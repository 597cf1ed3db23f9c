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
static bool bare;

static void install(uint32_t flags)
{
    if (!bare)
        GIVES(varta_install_crash_handler(in_folder("crash"), flags), 0);
}

static volatile int zero;
static int *volatile nowhere;

static void die_by_fault(void)
{
    install(0);
    *nowhere = 1;
}

static void die_by_abort(void)
{
    install(0);
    abort();
}

static void die_by_bus(void)
{
    install(0);
    int fd = open(in_folder("short"), O_RDWR | O_CREAT, 0600);
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED);
    page[0] = 1; /* past the end of the file */
}

static void die_by_instruction(void)
{
    install(0);
    __builtin_trap();
}

static void die_by_arithmetic(void)
{
    install(0);
#if defined(__x86_64__) || defined(__i386__)
    zero = getpid() / zero;
#else
    raise(SIGFPE);
#endif
}

static void die_by_request(void)
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

static void die_by_stack(void)
{
    install(0);
    CHECK(overflow(NULL) != 0);
}

static void die_by_stack_in_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, overflow_in_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

static void die_in_forked_child(void)
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

static void another(int signal, siginfo_t *info, void *context)
{
    (void)context;
    /* The handler of another library, installed first. */
    _exit(signal == SIGSEGV && info->si_addr == NULL ? 99 : 1);
}

static void die_through_another(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = another;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    install(0);
    install(0);
    *nowhere = 1;
}

/* The processes that sent a final beat, in the order in which they ended. */
static varta_event last_words(varta_observer *observer, pid_t of)
{
    varta_event words;
    do {
        words = next_event(observer, VARTA_EVENT_BEAT);
    } while (of != 0 && words.pid != (uint32_t)of);
    return words;
}

/* Runs a child that crashes in the folder, where its core dump goes, and returns its wait status. */
static pid_t dead(void (*die)(void), bool with_core, int *status)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit core;
        CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && chdir(in_folder(".")) == 0);
        core.rlim_cur = with_core ? core.rlim_max : 0;
        CHECK(setrlimit(RLIMIT_CORE, &core) == 0);
        alarm(PATIENCE_S);
        die();
        _exit(0);
    }
    CHECK(waitpid(child, status, 0) == child);
    return child;
}

static void dies(varta_observer *observer, void (*die)(void), int by, bool in_child)
{
    int status;
    pid_t child = dead(die, false, &status);
    if (die == die_through_another)
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 99);
    else
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == by);
    varta_event words = last_words(observer, in_child ? 0 : child);
    CHECK(words.status == VARTA_STATUS_CRITICAL && words.nonce == VARTA_NONCE_TERMINAL);
    CHECK(words.payload == (uint64_t)by && (words.pid == (uint32_t)child) == !in_child);
}

/* A process with the handler leaves a core dump if one without it does. */
static void leaves_its_core(varta_observer *observer, void (*die)(void), int by)
{
    int without, with;
    bare = true;
    dead(die, true, &without);
    bare = false;
    CHECK(WIFSIGNALED(without) && WTERMSIG(without) == by);
    pid_t child = dead(die, true, &with);
    CHECK(last_words(observer, child).nonce == VARTA_NONCE_TERMINAL);
    if (!WCOREDUMP(without))
        fprintf(stderr, "SKIPPED: no cores are dumped here; see ulimit -c and core_pattern in proc(5)\n");
    CHECK(with == without);
}

static void sigterm_is_not_told_unless_asked(varta_observer *observer)
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
    GIVES(varta_observer_poll(observer, &event, 0), 0);
}

int main(void)
{
    GIVES(varta_install_crash_handler(in_folder("nobody"), 0), -ENOENT);
    varta_observer *observer;
    varta_observer_options options = VARTA_OBSERVER_OPTIONS_INIT;
    options.flags = VARTA_OBSERVER_NO_EXITS;
    options.threshold_ns = (uint64_t)1000000000 * 86400;
    GIVES(varta_observer_bind(&observer, in_folder("crash"), &options), 0);
    sigterm_is_not_told_unless_asked(observer);
    dies(observer, die_by_fault, SIGSEGV, false);
    dies(observer, die_by_abort, SIGABRT, false);
    dies(observer, die_by_bus, SIGBUS, false);
#if defined(__x86_64__) || defined(__i386__)
    dies(observer, die_by_instruction, SIGILL, false);
#endif
    dies(observer, die_by_arithmetic, SIGFPE, false);
    dies(observer, die_by_request, SIGTERM, false);
    dies(observer, die_by_stack, SIGSEGV, false);
    dies(observer, die_by_stack_in_thread, SIGSEGV, false);
    dies(observer, die_in_forked_child, SIGABRT, true);
    dies(observer, die_through_another, SIGSEGV, false);
    leaves_its_core(observer, die_by_fault, SIGSEGV);
    leaves_its_core(observer, die_by_abort, SIGABRT);
    leaves_its_core(observer, die_by_stack_in_thread, SIGSEGV);
    varta_observer_close(observer);
    return 0;
}
