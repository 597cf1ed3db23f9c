/* Loads the library named by the first argument a hundred times, uses it, and lets it go:
 * neither memory nor descriptors grow. */

#include <dirent.h>
#include <dlfcn.h>

#include "check.h"

static int descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static long pages(void)
{
    long size;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld", &size) == 1);
    fclose(file);
    return size;
}

#define FUNCTION(name) \
    __typeof__(&name) name##_; \
    *(void **)&name##_ = dlsym(library, #name); \
    CHECK(name##_ != NULL)

static void use(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    FUNCTION(varta_connect);
    FUNCTION(varta_beat);
    FUNCTION(varta_close);
    FUNCTION(varta_observer_bind);
    FUNCTION(varta_observer_poll);
    FUNCTION(varta_observer_close);
    varta_observer *observer;
    varta_agent *agent;
    varta_event event;
    CHECK(varta_observer_bind_(&observer, in_folder("loading"), NULL) == 0);
    CHECK(varta_connect_(&agent, in_folder("loading"), NULL) == 0);
    CHECK(varta_beat_(agent, VARTA_STATUS_OK, 1) == VARTA_SENT);
    CHECK(varta_observer_poll_(observer, &event, PATIENCE_MS) == 1 && event.payload == 1);
    varta_close_(agent);
    varta_observer_close_(observer);
    CHECK(dlclose(library) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    for (int i = 0; i < 100; i++)
        use(argv[1]);
    int open = descriptors();
    long size = pages();
    for (int i = 0; i < 100; i++)
        use(argv[1]);
    CHECK(descriptors() == open);
    /* Less than half a page a time: what malloc takes for itself, not what is lost. */
    CHECK(pages() - size < 50);
    return 0;
}
