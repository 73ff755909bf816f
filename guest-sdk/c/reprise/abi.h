/* How values cross the border, by the component model's canonical ABI: what tool.c and playbook.c share. */
#ifndef REPRISE_ABI_H
#define REPRISE_ABI_H

#include "json.h"

#include <string.h>

/* A string: its bytes and how many. A `json` of wit/types.wit is one. */
typedef struct {
    const char *bytes;
    size_t length;
} abi_text;

typedef struct {
    uint8_t is_some;
    abi_text value;
} abi_option_text;

/* wit/types.wit, record tool-error. */
typedef struct {
    uint8_t kind;
    abi_text message;
    abi_option_text detail;
} abi_tool_error;

typedef struct {
    uint8_t is_error;
    union {
        abi_text output;
        abi_tool_error error;
    };
} abi_outcome;

_Static_assert(sizeof(void *) == 4 && sizeof(size_t) == 4, "built for wasm32");
_Static_assert(sizeof(abi_option_text) == 12 && sizeof(abi_tool_error) == 24 && sizeof(abi_outcome) == 28, "as the canonical ABI lays it out");

#define ABI_EXPORT(name) __attribute__((export_name(name), used, visibility("default")))
#define ABI_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

static inline abi_text abi_text_of(const char *text) { return (abi_text){text ? text : "", text ? strlen(text) : 0}; }

static inline abi_text abi_text_of_json(const json *value) {
    abi_text text;
    text.bytes = json_print(value, &text.length);
    return text;
}

static inline abi_option_text abi_option_of_json(const json *value) {
    abi_option_text option = {value != NULL, {"", 0}};
    if (value) option.value = abi_text_of_json(value);
    return option;
}

/* Bytes from the host as a string of C. */
static inline char *abi_c_text(const char *bytes, size_t length) {
    char *text = reprise_take(length + 1);
    if (length) memcpy(text, bytes, length);
    text[length] = 0;
    return text;
}

/* What the host hands over is JSON; it checks that itself. */
static inline json *abi_json(const char *bytes, size_t length) {
    json *value = json_parse(bytes, length, NULL);
    if (!value) __builtin_trap();
    return value;
}

#endif
