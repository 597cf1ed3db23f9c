/* Loads the library, uses an agent and an observer, and unloads it, many times. After the first
   fifty rounds the number of memory mappings, descriptors and threads must not grow. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <varta.h>

static int entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int count = 0, c;
    while ((c = getc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

static int use(const char *library)
{
    char endpoint[64];
    varta_observer *obs;
    varta_agent *agent;
    varta_event event;
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        fprintf(stderr, "%s\n", dlerror());
        return 0;
    }
#define FUNCTION(name) __typeof__(&name) p_##name; *(void **)&p_##name = dlsym(handle, #name)
    FUNCTION(varta_observer_bind);
    FUNCTION(varta_observer_poll);
    FUNCTION(varta_observer_close);
    FUNCTION(varta_connect);
    FUNCTION(varta_beat);
    FUNCTION(varta_close);
    snprintf(endpoint, sizeof endpoint, "@varta-reload-%d", (int)getpid());
    int good = p_varta_observer_bind(&obs, endpoint, NULL) == 0
               && p_varta_connect(&agent, endpoint, NULL) == 0
               && p_varta_beat(agent, VARTA_STATUS_OK, 7) == VARTA_SENT
               && p_varta_observer_poll(obs, &event, -1) == 1 && event.payload == 7;
    p_varta_close(agent);
    p_varta_observer_close(obs);
    return good && dlclose(handle) == 0;
}

int main(int argc, char **argv)
{
    struct timespec start, end;
    if (argc != 2)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!dlopen(argv[1], RTLD_NOW | RTLD_LOCAL))
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (int i = 0; i < 50; i++)
        if (!use(argv[1]))
            return 1;
    int fds = entries("/proc/self/fd"), maps = mappings();
    long bytes = (long)mallinfo2().uordblks;
    for (int i = 0; i < 100; i++)
        if (!use(argv[1]))
            return 1;
    /* What malloc itself keeps may vary, but by less than the smallest block leaked in every round. */
    long more = ((long)mallinfo2().uordblks - bytes) / 100;
    if (entries("/proc/self/fd") != fds || mappings() != maps || more >= 16) {
        fprintf(stderr, "left behind: %d descriptors, %d mappings, %ld bytes a round\n",
                entries("/proc/self/fd") - fds, mappings() - maps, more);
        return 1;
    }
    if (entries("/proc/self/task") != 3) {
        fprintf(stderr, "the library started a thread\n");
        return 1;
    }
    printf("loaded in %.0f us\n",
           (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3);
    return 0;
}
