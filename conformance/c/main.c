/*
 * Checks the vectors and stories that conformance/c/run writes to standard input, and prints one
 * line for each: "passed", "skipped", or "failed" and the reason.
 */

#include <stdio.h>
#include <string.h>

#include "story.h"
#include "vectors.h"

static void answer(const char *why)
{
    if (why == NULL)
        printf("passed\n");
    else
        printf("failed %s\n", why);
}

static void check(struct record *vector)
{
    const char *kind = text(vector, "kind");
    if (failed() || check_vector(kind, vector))
        answer(take_failure());
    else
        printf("skipped\n");
}

/* Runs a whole story, and reports the step at which it failed. */
static void run_story(struct record *record)
{
    char why[8192] = "";
    int step = -1;
    while (record_read(record, stdin) && strcmp(record->word, "end") != 0) {
        if (why[0] != '\0')
            continue;
        /* Events that are left over when the next step begins belong to the previous step. */
        bool next = strcmp(record->word, "step") == 0;
        story_record(record);
        const char *failure = take_failure();
        if (failure != NULL)
            snprintf(why, sizeof why, "step %d: %s", step + next, failure);
        step += next;
    }
    answer(why[0] == '\0' ? NULL : why);
}

int main(void)
{
    static struct record record;
    while (record_read(&record, stdin)) {
        if (strcmp(record.word, "story") == 0)
            run_story(&record);
        else
            check(&record);
    }
    return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
