/* Tools in C. Write functions from JSON to JSON, list them in REPRISE_TOOLS, and build with build.sh.
 *
 *     static json *twice(const json *input, const char *key) {
 *         int64_t number;
 *         if (!json_integer(json_get(input, "number"), &number)) return reprise_fail(REPRISE_INVALID_INPUT, "number is no whole number");
 *         return json_set(json_object(), "twice", json_from_integer(2 * number));
 *     }
 *
 *     REPRISE_TOOLS({.name = "numbers/twice", .description = "Doubles a number.", .effect = REPRISE_PURE, .call = twice, ...})
 */
#ifndef REPRISE_TOOL_H
#define REPRISE_TOOL_H

#include "json.h"

/* What calling a tool twice does to the world; it decides what happens after a crash in the middle of a call. */
typedef enum {
    /* The same input always gives the same output and nothing is touched. */
    REPRISE_PURE,
    /* Looks at the world and changes nothing. */
    REPRISE_READ,
    /* Repeating with the same key has the effect once. */
    REPRISE_IDEMPOTENT,
    /* Must never be repeated unasked. */
    REPRISE_ONCE,
} reprise_effect;

/* Why a tool did not do what it was asked. */
typedef enum {
    REPRISE_INVALID_INPUT,
    REPRISE_DENIED,
    REPRISE_NOT_FOUND,
    REPRISE_CONFLICT,
    /* Worth trying again later; promises that nothing happened. */
    REPRISE_UNAVAILABLE,
    /* Whether it happened is not known. */
    REPRISE_TIMEOUT,
    REPRISE_BROKEN,
    REPRISE_FAILED,
    REPRISE_CANCELLED,
} reprise_error_kind;

/* What became of an earlier call. */
typedef enum { REPRISE_HAPPENED, REPRISE_DID_NOT_HAPPEN, REPRISE_UNKNOWN } reprise_reconciliation;

typedef struct {
    /* Two words in lower case with a slash between: the namespace, the same for all, and the tool. */
    const char *name;
    /* One sentence for whoever chooses a tool. */
    const char *description;
    /* JSON Schemas (2020-12) of what it takes and gives. The host checks the input before it calls. */
    const char *input_schema, *output_schema;
    reprise_effect effect;
    /* `key` names this one call for good: a repeat after a crash carries the same. Gives the output, or what
     * reprise_fail gives. */
    json *(*call)(const json *input, const char *key);
    /* Asked after a crash whether the call with this key took effect; if it did, `output` is to be set. May be left
     * out: then it is not known. */
    reprise_reconciliation (*reconcile)(const json *input, const char *key, json **output);
} reprise_tool;

/* Ends a call with an error: `return reprise_fail(REPRISE_NOT_FOUND, "there is no %s", name);` */
json *reprise_fail(reprise_error_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with details that a playbook can look into. */
json *reprise_fail_with(reprise_error_kind kind, json *detail, const char *format, ...) __attribute__((format(printf, 3, 4)));

extern const reprise_tool reprise_tools[];
extern const size_t reprise_tools_count;

/* The tools of this component. Stands once. */
#define REPRISE_TOOLS(...) \
    const reprise_tool reprise_tools[] = {__VA_ARGS__}; \
    const size_t reprise_tools_count = sizeof reprise_tools / sizeof reprise_tools[0];

#endif
