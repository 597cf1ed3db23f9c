/*
 * A story, record by record: config, then each step and the events that must be said after it,
 * then the counters. What is common to C and C++ is here and in observer.c; each has a simulated
 * observer of its own.
 */
#ifndef STORY_H
#define STORY_H

#include <varta.h>

#include "fields.h"

/* What a config comes to. The keys and uids are kept until the next one. */
varta_observer_options options_of(struct record *config);
/* The datagram of a step "frame". Its bytes are kept until the next one. */
varta_datagram datagram_of(struct record *step);
/* How the process of a step "exit" ended. */
uint8_t cause_of(struct record *step, int32_t *code);

void same_event(struct record *expected, const varta_event *said);
/* Compares what has been said with nothing. */
void nothing_more(const varta_event *said);
void same_counters(struct record *expected, const varta_observer_counters *counted);

/* Takes one record of a story; made by C and by C++. */
void story_record(struct record *record);

#endif
