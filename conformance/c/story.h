/*
 * A story, record by record: config, then each step and the events that must follow it, then the
 * counters. The code that C and C++ share is here and in observer.c; each has its own simulated
 * observer.
 */
#ifndef STORY_H
#define STORY_H

#include <varta.h>

#include "fields.h"

/* The options of a config. The keys and uids are valid until the next call. */
varta_observer_options options_of(struct record *config);
/* The datagram of a step "frame". Its bytes are valid until the next call. */
varta_datagram datagram_of(struct record *step);
/* How the process of a step "exit" ended. */
uint8_t cause_of(struct record *step, int32_t *code);

/* What can be read of the process of a step "reading", and of the thread of a step "thread_reading".
 * Their texts are valid as long as the step. */
varta_reading reading_of(struct record *step);
varta_thread_reading thread_reading_of(struct record *step);

/* label: the name of the agent. info: why it or its task is silent, or NULL. */
void same_event(struct record *expected, const varta_event *event, const char *label,
                const varta_cause_info *info);
/* Fails because of an event that the story does not expect. */
void nothing_more(const varta_event *event);
void same_counters(struct record *expected, const varta_observer_counters *counted);

/* Runs one record of a story. Defined by both the C and the C++ runner. */
void story_record(struct record *record);

#endif
