/* Playbooks in C. Name the tools, write `run`, and build with build.sh:
 *
 *     REPRISE_USES(fs_read, "fs/read")
 *
 *     json *run(const json *input) {
 *         reprise_step("read");
 *         json *file = fs_read(json_set(json_object(), "path", json_get(input, "path")));
 *         if (!file) return NULL;
 *         ...
 *
 * Every function that can go wrong gives NULL, or says no, and keeps the reason. `run` that gives NULL ends the job as
 * failed with the reason that was kept last; or it asks reprise_problem() for it and goes on.
 *
 * After a crash the playbook begins anew and is answered from the journal, so it must ask the same questions in the same
 * order. Nothing but what is declared here could make it do otherwise: there is no clock and no randomness beside. */
#ifndef REPRISE_PLAYBOOK_H
#define REPRISE_PLAYBOOK_H

#include "json.h"

/* The playbook itself. The output, or NULL after something went wrong. */
json *run(const json *input);

/* Makes a function `json *name(const json *input)` of a tool, such as REPRISE_USES(fs_read, "fs/read"): its output, or
 * NULL where it answered with an error. What is not named so cannot be called. */
#define REPRISE_USES(function, tool) \
    __attribute__((import_module("tool:" tool), import_name("call"))) \
    void reprise_import_##function(const char *input, size_t input_length, void *outcome); \
    static inline json *function(const json *input) { return reprise_called(tool, reprise_import_##function, input); }

json *reprise_called(const char *tool, void (*import)(const char *, size_t, void *), const json *input);

/* Why something went wrong. */
typedef enum {
    REPRISE_NO_PROBLEM,
    /* What a tool may answer. */
    REPRISE_INVALID_INPUT,
    REPRISE_DENIED,
    REPRISE_NOT_FOUND,
    REPRISE_CONFLICT,
    REPRISE_UNAVAILABLE,
    REPRISE_TIMEOUT,
    REPRISE_BROKEN,
    REPRISE_FAILED,
    /* Of tools and of waits: someone asked for the job to be cancelled. */
    REPRISE_CANCELLED,
    /* Of waits: the deadline passed first. */
    REPRISE_EXPIRED,
    /* A person said no; the detail is what they answered. */
    REPRISE_REJECTED,
    /* A job that was started by this one failed. */
    REPRISE_CHILD_FAILED,
    /* The playbook itself said so. */
    REPRISE_GAVE_UP,
} reprise_problem_kind;

typedef struct {
    reprise_problem_kind kind;
    const char *message;
    /* May be NULL. */
    json *detail;
} reprise_problem_told;

/* What went wrong last. */
reprise_problem_told reprise_problem(void);
/* Something went wrong that the playbook itself noticed; gives NULL: `return reprise_give_up("no %s", name);` */
json *reprise_give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Names the step that the calls from here on belong to. */
void reprise_step(const char *id);

/* How the calls of a step are made; 0 leaves a thing as the job says. */
typedef struct {
    uint32_t tries;
    uint64_t first_pause_ms, call_timeout_ms, step_timeout_ms;
} reprise_step_options;
void reprise_step_with(const char *id, reprise_step_options options);

/* Waits without holding an instance in memory. False where the job is to be cancelled. */
bool reprise_sleep(uint64_t milliseconds);
/* For a wait without a deadline. */
#define REPRISE_FOR_EVER UINT64_MAX
/* What came with the signal; NULL where none came. */
json *reprise_wait_signal(const char *name, uint64_t timeout_ms);
/* What the person answered who approved of it; NULL where nobody did. */
json *reprise_approve(const char *title, const json *request, uint64_t timeout_ms);

/* Which part of the playbook this job is to do: NULL, or the name that was given to reprise_start_branch. */
const char *reprise_branch(void);
/* Starts a job that does another branch of this same component, and names it. */
uint32_t reprise_start_branch(const char *branch, const json *input);
/* Starts a job of another playbook. False where that cannot be. */
bool reprise_start_playbook(const char *playbook, const json *input, uint32_t *child);
/* Waits for a child's end: its output, or NULL where it failed. */
json *reprise_join(uint32_t child);
/* Waits until one of them has ended, and says which. */
uint32_t reprise_first(const uint32_t *children, size_t count);
void reprise_cancel_child(uint32_t child);
/* From here on the playbook undoes what it did: calls and waits go through though the job is to be cancelled. */
void reprise_compensate(void);

/* Milliseconds since 1970, and random bits: kept in the journal. */
uint64_t reprise_now(void);
uint64_t reprise_random(void);

typedef enum { REPRISE_DEBUG, REPRISE_INFO, REPRISE_WARN, REPRISE_ERROR } reprise_level;
void reprise_log(reprise_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True where the value fits the JSON Schema (2020-12); what does not fit is the problem's message. */
bool reprise_check(const json *value, const char *schema);

#endif
