/*
 * A record is one line: a word, and then fields, as conformance/c/run writes them. "name=value"
 * is a number, true or false, or a list of numbers; "name:value" is a string or a list of
 * strings. Commas separate the items of a list. Fields that are null are left out.
 *
 * Only the first failure is kept, so a caller that reads several fields need not check after
 * each one.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct field {
    char *name;
    char *value;
    bool is_text;
    bool was_read;
};

struct record {
    char *line;
    size_t room;
    char *word;
    struct field fields[64];
    size_t count;
};

/* Reads the next line; false at the end. */
bool record_read(struct record *record, FILE *from);

bool has(const struct record *record, const char *name);
/* Whether the field is a string or a list of strings, rather than numbers. */
bool is_text(const struct record *record, const char *name);
const char *text(struct record *record, const char *name);
uint64_t number(struct record *record, const char *name, uint64_t most);
int32_t signed_number(struct record *record, const char *name);
bool truth(struct record *record, const char *name);

/* Returns the number of bytes, and writes as many as there is room for. */
size_t bytes(struct record *record, const char *name, uint8_t *ret, size_t room);
void exactly(struct record *record, const char *name, uint8_t *ret, size_t length);

/* Read a list and return the number of its items, at most room. */
size_t numbers(struct record *record, const char *name, uint32_t *ret, size_t room);
size_t arrays(struct record *record, const char *name, uint8_t *ret, size_t length, size_t room);

/* Accepts a field whose value does not matter, or all that begin like this. */
void ignore(struct record *record, const char *name);
void ignore_all_of(struct record *record, const char *prefix);

/* Fails if a field was never read. */
void nothing_else(const struct record *record);

void fail(const char *what, const char *expected, const char *got);
bool failed(void);
/* Returns the failure, or NULL, and clears it. */
const char *take_failure(void);

void same_text(const char *what, const char *expected, const char *got);
void same_number(const char *what, uint64_t expected, uint64_t got);
void same_bytes(const char *what, const uint8_t *expected, const uint8_t *got, size_t length);

#endif
