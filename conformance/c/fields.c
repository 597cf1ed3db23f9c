#include "fields.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static char failure[4096];

void fail(const char *what, const char *expected, const char *got)
{
    if (!failed())
        snprintf(failure, sizeof failure, "%s: expected %s, got %s", what, expected, got);
}

bool failed(void)
{
    return failure[0] != '\0';
}

const char *take_failure(void)
{
    static char taken[sizeof failure];
    if (!failed())
        return NULL;
    memcpy(taken, failure, sizeof taken);
    failure[0] = '\0';
    return taken;
}

bool record_read(struct record *record, FILE *from)
{
    ssize_t length = getline(&record->line, &record->room, from);
    if (length <= 0)
        return false;
    record->line[strcspn(record->line, "\n")] = '\0';
    char *rest = NULL;
    record->word = strtok_r(record->line, " ", &rest);
    record->count = 0;
    for (char *part; (part = strtok_r(NULL, " ", &rest)) != NULL;) {
        if (record->count == sizeof record->fields / sizeof record->fields[0]) {
            fail("record", "fewer fields", part);
            break;
        }
        struct field *field = &record->fields[record->count++];
        size_t name = strcspn(part, "=:");
        field->name = part;
        field->is_text = part[name] == ':';
        field->was_read = false;
        field->value = part + name + (part[name] != '\0');
        part[name] = '\0';
    }
    return record->word != NULL;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct field *find(const struct record *record, const char *name)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return (struct field *)&record->fields[i];
    return NULL;
}

bool has(const struct record *record, const char *name)
{
    return find(record, name) != NULL;
}

bool is_text(const struct record *record, const char *name)
{
    const struct field *field = find(record, name);
    return field != NULL && field->is_text;
}

static const char *value(struct record *record, const char *name, bool is_text)
{
    struct field *field = find(record, name);
    if (field != NULL)
        field->was_read = true;
    if (field != NULL && field->is_text == is_text)
        return field->value;
    fail(name, is_text ? "a string" : "a number", field == NULL ? "nothing" : field->value);
    return "";
}

/* A digit after "%", which is of upper case. */
static int quoted_digit(char c)
{
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : digit(c);
}

/* Decodes "%20" and the like in place. */
static void unquote(char *from)
{
    char *to = from;
    for (; *from != '\0'; from++)
        if (*from == '%' && quoted_digit(from[1]) >= 0 && quoted_digit(from[2]) >= 0) {
            *to++ = (char)(quoted_digit(from[1]) << 4 | quoted_digit(from[2]));
            from += 2;
        } else {
            *to++ = *from;
        }
    *to = '\0';
}

const char *text(struct record *record, const char *name)
{
    struct field *field = find(record, name);
    if (field != NULL && field->is_text && !field->was_read)
        unquote(field->value);
    return value(record, name, true);
}

static bool is_number(const char *digits)
{
    return digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits);
}

uint64_t number(struct record *record, const char *name, uint64_t most)
{
    const char *digits = value(record, name, false);
    errno = 0;
    uint64_t read = strtoull(digits, NULL, 10);
    if (!is_number(digits) || errno == ERANGE || read > most)
        fail(name, "an unsigned number that fits", digits);
    return read;
}

int32_t signed_number(struct record *record, const char *name)
{
    const char *digits = value(record, name, false);
    errno = 0;
    long long read = strtoll(digits, NULL, 10);
    if (!is_number(digits + (digits[0] == '-')) || errno == ERANGE || read < INT32_MIN ||
        read > INT32_MAX)
        fail(name, "a signed number of 32 bits", digits);
    return (int32_t)read;
}

bool truth(struct record *record, const char *name)
{
    const char *word = value(record, name, false);
    if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0)
        fail(name, "true or false", word);
    return strcmp(word, "true") == 0;
}

/* Decodes hex up to a comma or the end. */
static size_t from_hex(const char *name, const char *hex, uint8_t *ret, size_t room)
{
    size_t length = strcspn(hex, ",");
    if (length % 2 != 0)
        fail(name, "lower-case hex", hex);
    for (size_t i = 0; i + 1 < length; i += 2) {
        int high = digit(hex[i]), low = digit(hex[i + 1]);
        if (high < 0 || low < 0) {
            fail(name, "lower-case hex", hex);
            return 0;
        }
        if (i / 2 < room)
            ret[i / 2] = (uint8_t)(high << 4 | low);
    }
    return length / 2;
}

size_t bytes(struct record *record, const char *name, uint8_t *ret, size_t room)
{
    return from_hex(name, text(record, name), ret, room);
}

void exactly(struct record *record, const char *name, uint8_t *ret, size_t length)
{
    memset(ret, 0, length);
    if (bytes(record, name, ret, length) != length)
        fail(name, "hex of another length", text(record, name));
}

size_t numbers(struct record *record, const char *name, uint32_t *ret, size_t room)
{
    const char *rest = value(record, name, false);
    size_t count = 0;
    while (*rest != '\0' && count < room && !failed()) {
        char *end;
        errno = 0;
        unsigned long long read = strtoull(rest, &end, 10);
        if (end == rest || *rest == '-' || errno == ERANGE || read > UINT32_MAX)
            fail(name, "unsigned numbers of 32 bits", rest);
        ret[count++] = (uint32_t)read;
        rest = end + (*end == ',');
    }
    if (*rest != '\0')
        fail(name, "fewer numbers", rest);
    return count;
}

size_t arrays(struct record *record, const char *name, uint8_t *ret, size_t length, size_t room)
{
    const char *rest = text(record, name);
    size_t count = 0;
    while (*rest != '\0' && count < room && !failed()) {
        if (from_hex(name, rest, ret + count * length, length) != length)
            fail(name, "hex of another length", rest);
        count++;
        rest += strcspn(rest, ",");
        rest += *rest == ',';
    }
    if (*rest != '\0')
        fail(name, "fewer strings", rest);
    return count;
}

void ignore(struct record *record, const char *name)
{
    struct field *field = find(record, name);
    if (field != NULL)
        field->was_read = true;
}

void ignore_all_of(struct record *record, const char *prefix)
{
    for (size_t i = 0; i < record->count; i++)
        if (strncmp(record->fields[i].name, prefix, strlen(prefix)) == 0)
            record->fields[i].was_read = true;
}

void nothing_else(const struct record *record)
{
    for (size_t i = 0; i < record->count; i++)
        if (!record->fields[i].was_read)
            fail(record->word, "no such field", record->fields[i].name);
}

void same_text(const char *what, const char *expected, const char *got)
{
    if (strcmp(expected, got) != 0)
        fail(what, expected, got);
}

void same_number(const char *what, uint64_t expected, uint64_t got)
{
    char wanted[24], came[24];
    snprintf(wanted, sizeof wanted, "%" PRIu64, expected);
    snprintf(came, sizeof came, "%" PRIu64, got);
    same_text(what, wanted, came);
}

void same_bytes(const char *what, const uint8_t *expected, const uint8_t *got, size_t length)
{
    char wanted[256] = "", came[256] = "";
    for (size_t i = 0; i < length && i < 127; i++) {
        snprintf(wanted + 2 * i, 3, "%02x", expected[i]);
        snprintf(came + 2 * i, 3, "%02x", got[i]);
    }
    same_text(what, wanted, came);
}
