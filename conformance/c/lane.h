/*
 * The steps of a story about processes that beat through pages. A process has lines of its own, and
 * writes the same into its page while it has one.
 */
#ifndef LANE_H
#define LANE_H

#include <varta.h>

#include "fields.h"

/* What a process does to the simulated observer, which returns a code of varta.h. */
struct pages {
    int (*attach)(uint64_t at_ns, const varta_attaching *process, varta_page *ret);
    int (*mapped)(uint64_t at_ns, uint32_t page);
    int (*bell)(uint64_t at_ns, uint32_t page);
    int (*detach)(uint64_t at_ns, uint32_t page);
    int (*line)(uint32_t page, uint32_t pair, const uint64_t *cold, const uint64_t *hot);
    int (*thread_gone)(uint32_t pid, uint32_t thread);
    int (*program)(uint32_t pid, const char *name);
    int (*name)(uint32_t pid, const char *name);
};

/* Defined by both the C and the C++ runner. */
extern const struct pages pages;

/* A story begins, without processes. */
void lane_begin(void);
/* Applies a step, if its op is one of these. Stores the code of the last call. */
bool lane_step(const char *op, uint64_t at_ns, struct record *step, int *code);
/* The process ended. */
void lane_forget(uint32_t pid);

#endif
