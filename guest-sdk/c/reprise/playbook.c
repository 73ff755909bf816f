/* The border of a playbook: `reprise:playbook/flow`, `data` and `playbook` as wit/playbook.wit has them. What a playbook
 * does not call is not linked in, so that it does not import it. */
#include "playbook.h"

#include "abi.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FLOW "reprise:playbook/flow@0.1.0"
#define DATA "reprise:playbook/data@0.1.0"

static reprise_problem_told problem;

/* So much of a message is kept. */
#define MESSAGE_MAX 4096

static json *went_wrong(reprise_problem_kind kind, const char *message, json *detail) {
    problem = (reprise_problem_told){kind, message, detail};
    return NULL;
}

reprise_problem_told reprise_problem(void) { return problem; }

json *reprise_give_up(const char *format, ...) {
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return went_wrong(REPRISE_GAVE_UP, abi_c_text(message, strlen(message)), NULL);
}

/* The host puts what it hands over into memory that this gives it. */
ABI_EXPORT("cabi_realloc")
void *reprise_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
    (void)old_size;
    if (new_size == 0) return (void *)align;
    void *memory = realloc(old, new_size);
    if (!memory) __builtin_trap();
    return memory;
}

static json *json_of(abi_text text) { return abi_json(text.bytes, text.length); }
static json *json_of_option(abi_option_text option) { return option.is_some ? json_of(option.value) : NULL; }
static char *c_text_of(abi_text text) { return abi_c_text(text.bytes, text.length); }

/* Tools. */

static const char *const kinds[] = {"invalid-input", "denied", "not-found", "conflict", "unavailable", "timeout", "broken", "failed", "cancelled"};

json *reprise_called(const char *tool, void (*import)(const char *, size_t, void *), const json *input) {
    abi_outcome outcome;
    abi_text text = abi_text_of_json(input);
    import(text.bytes, text.length, &outcome);
    if (!outcome.is_error) return json_of(outcome.output);
    json *detail = json_set(json_set(json_object(), "tool", json_from_text(tool)), "kind", json_from_text(kinds[outcome.error.kind]));
    if (outcome.error.detail.is_some) json_set(detail, "detail", json_of_option(outcome.error.detail));
    const char *message = reprise_format("%s: %s: %s", tool, kinds[outcome.error.kind], c_text_of(outcome.error.message));
    return went_wrong(REPRISE_INVALID_INPUT + outcome.error.kind, message, detail);
}

/* Steps. */

static const char *step;

ABI_IMPORT(FLOW, "step") void flow_step(const char *id, size_t length);
void reprise_step(const char *id) {
    step = id;
    flow_step(id, strlen(id));
}

ABI_IMPORT(FLOW, "step-with")
void flow_step_with(const char *id, size_t length, int32_t has_tries, uint32_t tries, int32_t has_pause, uint64_t pause, int32_t has_call, uint64_t call, int32_t has_step, uint64_t step);
void reprise_step_with(const char *id, reprise_step_options o) {
    step = id;
    flow_step_with(id, strlen(id), o.tries != 0, o.tries, o.first_pause_ms != 0, o.first_pause_ms, o.call_timeout_ms != 0, o.call_timeout_ms, o.step_timeout_ms != 0, o.step_timeout_ms);
}

/* Waits. */

/* wit/playbook.wit, variant interruption. */
typedef struct {
    uint8_t kind;
    abi_text answer;
} abi_interruption;

typedef struct {
    uint8_t is_interrupted;
    union {
        abi_text value;
        abi_interruption interruption;
    };
} abi_waited;

_Static_assert(sizeof(abi_waited) == 16, "as the canonical ABI lays it out");

static json *waited(const abi_waited *waited, const char *what) {
    if (!waited->is_interrupted) return waited->value.length ? json_of(waited->value) : json_null();
    switch (waited->interruption.kind) {
    case 0: return went_wrong(REPRISE_EXPIRED, reprise_format("%s: the deadline passed first", what), NULL);
    case 1: return went_wrong(REPRISE_REJECTED, reprise_format("%s: a person said no", what), json_of(waited->interruption.answer));
    default: return went_wrong(REPRISE_CANCELLED, reprise_format("%s: the job is to be cancelled", what), NULL);
    }
}

ABI_IMPORT(FLOW, "sleep") void flow_sleep(uint64_t milliseconds, abi_waited *result);
bool reprise_sleep(uint64_t milliseconds) {
    abi_waited result = {0};
    flow_sleep(milliseconds, &result);
    return waited(&result, "sleep") != NULL;
}

ABI_IMPORT(FLOW, "wait-signal") void flow_wait_signal(const char *name, size_t length, int32_t has_timeout, uint64_t timeout, abi_waited *result);
json *reprise_wait_signal(const char *name, uint64_t timeout_ms) {
    abi_waited result = {0};
    flow_wait_signal(name, strlen(name), timeout_ms != REPRISE_FOR_EVER, timeout_ms, &result);
    return waited(&result, name);
}

ABI_IMPORT(FLOW, "approve")
void flow_approve(const char *title, size_t title_length, const char *request, size_t request_length, int32_t has_timeout, uint64_t timeout, abi_waited *result);
json *reprise_approve(const char *title, const json *request, uint64_t timeout_ms) {
    abi_waited result = {0};
    abi_text text = abi_text_of_json(request);
    flow_approve(title, strlen(title), text.bytes, text.length, timeout_ms != REPRISE_FOR_EVER, timeout_ms, &result);
    return waited(&result, title);
}

/* Children. */

/* wit/types.wit, record failure. */
typedef struct {
    abi_option_text step;
    abi_text message;
    abi_option_text detail;
} abi_failure;

typedef struct {
    uint8_t is_failure;
    union {
        abi_text output;
        uint32_t child;
        abi_failure failure;
    };
} abi_ending;

_Static_assert(sizeof(abi_failure) == 32 && sizeof(abi_ending) == 36, "as the canonical ABI lays it out");

static json *child_failed(const abi_failure *failure) {
    return went_wrong(REPRISE_CHILD_FAILED, c_text_of(failure->message), json_of_option(failure->detail));
}

ABI_IMPORT(FLOW, "branch") void flow_branch(abi_option_text *name);
const char *reprise_branch(void) {
    abi_option_text name;
    flow_branch(&name);
    return name.is_some ? c_text_of(name.value) : NULL;
}

ABI_IMPORT(FLOW, "start-branch") uint32_t flow_start_branch(const char *branch, size_t length, const char *input, size_t input_length);
uint32_t reprise_start_branch(const char *branch, const json *input) {
    abi_text text = abi_text_of_json(input);
    return flow_start_branch(branch, strlen(branch), text.bytes, text.length);
}

ABI_IMPORT(FLOW, "start-playbook") void flow_start_playbook(const char *playbook, size_t length, const char *input, size_t input_length, abi_ending *started);
bool reprise_start_playbook(const char *playbook, const json *input, uint32_t *child) {
    abi_ending started;
    abi_text text = abi_text_of_json(input);
    flow_start_playbook(playbook, strlen(playbook), text.bytes, text.length, &started);
    if (started.is_failure) child_failed(&started.failure);
    else *child = started.child;
    return !started.is_failure;
}

ABI_IMPORT(FLOW, "join") void flow_join(uint32_t child, abi_ending *ending);
json *reprise_join(uint32_t child) {
    abi_ending ending;
    flow_join(child, &ending);
    return ending.is_failure ? child_failed(&ending.failure) : json_of(ending.output);
}

ABI_IMPORT(FLOW, "first") uint32_t flow_first(const uint32_t *children, size_t count);
uint32_t reprise_first(const uint32_t *children, size_t count) { return flow_first(children, count); }

ABI_IMPORT(FLOW, "cancel-child") void flow_cancel_child(uint32_t child);
void reprise_cancel_child(uint32_t child) { flow_cancel_child(child); }

ABI_IMPORT(FLOW, "compensate") void flow_compensate(void);
void reprise_compensate(void) { flow_compensate(); }

/* The rest. */

ABI_IMPORT(FLOW, "now") uint64_t flow_now(void);
uint64_t reprise_now(void) { return flow_now(); }

ABI_IMPORT(FLOW, "random-u64") uint64_t flow_random(void);
uint64_t reprise_random(void) { return flow_random(); }

ABI_IMPORT(FLOW, "log") void flow_log(int32_t level, const char *message, size_t length);
void reprise_log(reprise_level level, const char *format, ...) {
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    flow_log((int32_t)level, message, strlen(message));
}

typedef struct {
    uint8_t does_not_fit;
    abi_text why;
} abi_checked;

ABI_IMPORT(DATA, "check") void data_check(const char *document, size_t length, const char *schema, size_t schema_length, abi_checked *checked);
bool reprise_check(const json *value, const char *schema) {
    abi_checked checked;
    abi_text text = abi_text_of_json(value);
    data_check(text.bytes, text.length, schema, strlen(schema), &checked);
    if (checked.does_not_fit) went_wrong(REPRISE_GAVE_UP, reprise_format("the value does not fit: %s", c_text_of(checked.why)), NULL);
    return !checked.does_not_fit;
}

/* The export. */

ABI_EXPORT("reprise:playbook/playbook@0.1.0#run")
abi_ending *reprise_run(const char *input, size_t length) {
    static abi_ending ending;
    json *output = run(abi_json(input, length));
    ending.is_failure = output == NULL;
    if (output) {
        ending.output = abi_text_of_json(output);
        return &ending;
    }
    const char *message = problem.kind == REPRISE_NO_PROBLEM ? "the playbook gave neither an output nor a reason" : problem.message;
    ending.failure = (abi_failure){{step != NULL, abi_text_of(step)}, abi_text_of(message), abi_option_of_json(problem.detail)};
    return &ending;
}
