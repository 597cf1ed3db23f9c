/* A plugin that links libvarta.a (built with -DPLUGIN), and a program that loads it, lets it
   install the crash handler in a thread, and unloads it. SIGTERM must then still send a final
   beat and end the program. */
#define _GNU_SOURCE
#include <varta.h>

#ifdef PLUGIN
int plugin_install(const char *endpoint)
{
    return varta_install_crash_handler(endpoint, VARTA_CRASH_SIGTERM);
}
#else
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int (*install)(const char *);
static char endpoint[64];

static void *in_thread(void *unused)
{
    (void)unused;
    return install(endpoint) == 0 ? endpoint : NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(endpoint, sizeof endpoint, "@varta-plugin-%d", (int)getpid());
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%s", endpoint + 1);
    int observer = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t size = (socklen_t)(sizeof(sa_family_t) + (size_t)length);
    if (argc != 2 || bind(observer, (struct sockaddr *)&name, size) != 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL), *done;
        pthread_t thread;
        if (!plugin)
            return 3;
        *(void **)&install = dlsym(plugin, "plugin_install");
        if (pthread_create(&thread, NULL, in_thread, NULL) != 0 || pthread_join(thread, &done) != 0
            || !done || dlclose(plugin) != 0)
            return 4;
        raise(SIGTERM);
        return 5;
    }
    int status;
    unsigned char beat[64];
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM) {
        fprintf(stderr, "the process ended with status %#x\n", (unsigned)status);
        return 1;
    }
    return recv(observer, beat, sizeof beat, MSG_DONTWAIT) == 32 ? 0 : 1;
}
#endif
