/* The border of a tool component: `reprise:playbook/tools` as wit/tool.wit has it, on top of reprise_tools. */
#include "tool.h"

#include "abi.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TOOLS "reprise:playbook/tools@0.1.0#"

static struct {
    bool set;
    reprise_error_kind kind;
    char *message;
    json *detail;
} failure;

static void fail_list(reprise_error_kind kind, json *detail, const char *format, va_list arguments) {
    char message[4096];
    vsnprintf(message, sizeof message, format, arguments);
    failure.set = true;
    failure.kind = kind;
    failure.message = abi_c_text(message, strlen(message));
    failure.detail = detail;
}

json *reprise_fail(reprise_error_kind kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail_list(kind, NULL, format, arguments);
    va_end(arguments);
    return NULL;
}

json *reprise_fail_with(reprise_error_kind kind, json *detail, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail_list(kind, detail, format, arguments);
    va_end(arguments);
    return NULL;
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

/* wit/tool.wit, record tool-info. */
typedef struct {
    abi_text name, description, input_schema, output_schema;
    uint8_t effect;
} abi_tool_info;

typedef struct {
    abi_tool_info *items;
    size_t count;
} abi_tool_infos;

_Static_assert(sizeof(abi_tool_info) == 36, "as the canonical ABI lays it out");

ABI_EXPORT(TOOLS "describe")
abi_tool_infos *reprise_describe(void) {
    static abi_tool_infos all;
    all.items = reprise_take(reprise_tools_count * sizeof *all.items);
    all.count = reprise_tools_count;
    for (size_t i = 0; i < all.count; i++) {
        const reprise_tool *tool = &reprise_tools[i];
        all.items[i] = (abi_tool_info){
            abi_text_of(tool->name), abi_text_of(tool->description),
            abi_text_of(tool->input_schema ? tool->input_schema : "true"), abi_text_of(tool->output_schema ? tool->output_schema : "true"),
            (uint8_t)tool->effect,
        };
    }
    return &all;
}

static const reprise_tool *tool_named(const char *name, size_t length) {
    for (size_t i = 0; i < reprise_tools_count; i++) {
        if (strlen(reprise_tools[i].name) == length && memcmp(reprise_tools[i].name, name, length) == 0) return &reprise_tools[i];
    }
    return NULL;
}

ABI_EXPORT(TOOLS "call")
abi_outcome *reprise_call(const char *name, size_t name_length, const char *key, size_t key_length, const char *input, size_t input_length) {
    static abi_outcome outcome;
    const reprise_tool *tool = tool_named(name, name_length);
    failure.set = false;
    json *output = tool ? tool->call(abi_json(input, input_length), abi_c_text(key, key_length))
                        : reprise_fail(REPRISE_NOT_FOUND, "this component has no tool %.*s", (int)name_length, name);
    if (output) {
        outcome.is_error = 0;
        outcome.output = abi_text_of_json(output);
        return &outcome;
    }
    if (!failure.set) reprise_fail(REPRISE_BROKEN, "%s gave neither an output nor an error", tool->name);
    outcome.is_error = 1;
    outcome.error = (abi_tool_error){(uint8_t)failure.kind, abi_text_of(failure.message), abi_option_of_json(failure.detail)};
    return &outcome;
}

typedef struct {
    uint8_t what;
    abi_text output;
} abi_reconciliation;

ABI_EXPORT(TOOLS "reconcile")
abi_reconciliation *reprise_reconcile(const char *name, size_t name_length, const char *key, size_t key_length, const char *input, size_t input_length) {
    static abi_reconciliation answer;
    const reprise_tool *tool = tool_named(name, name_length);
    json *output = NULL;
    answer.what = REPRISE_UNKNOWN;
    if (tool && tool->reconcile) {
        answer.what = (uint8_t)tool->reconcile(abi_json(input, input_length), abi_c_text(key, key_length), &output);
    }
    answer.output = abi_text_of_json(output);
    return &answer;
}
