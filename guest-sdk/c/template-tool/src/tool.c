/* The tools of the namespace {{namespace}}. */
#include "reprise/tool.h"

#include <stdlib.h>
#include <string.h>

static const char *const parts[] = {"major", "minor", "patch"};

/* Three numbers joined by dots, none of which is too large to be raised. */
static bool read_version(const char *text, unsigned long *numbers) {
    for (int n = 0; n < 3; n++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 9) return false;
        numbers[n] = strtoul(text, NULL, 10);
        text += digits;
        if (n < 2 && *text++ != '.') return false;
    }
    return *text == 0;
}

/* `key` is the name of this one call, which stays the same when the call is repeated. */
static json *bump(const json *input, const char *key) {
    (void)key;
    /* The host has held the input against the schema. */
    const char *version = json_text(json_get(input, "version")), *part = json_text(json_get(input, "part"));
    unsigned long numbers[3];
    if (!read_version(version, numbers)) return reprise_fail(REPRISE_INVALID_INPUT, "\"%s\" is not three numbers joined by dots", version);
    int at = 0;
    while (strcmp(parts[at], part) != 0) at++;
    numbers[at]++;
    for (int n = at + 1; n < 3; n++) numbers[n] = 0;
    return json_set(json_object(), "version", json_from_format("%lu.%lu.%lu", numbers[0], numbers[1], numbers[2]));
}

REPRISE_TOOLS({
    .name = "{{namespace}}/bump",
    .description = "Raises one part of a version, and sets those behind it to 0.",
    /* JSON Schemas. The host holds the input against the first before it calls, and the output against the second. */
    .input_schema = "{\"type\": \"object\", \"required\": [\"version\", \"part\"], \"additionalProperties\": false, \"properties\": {"
                    "\"version\": {\"type\": \"string\", \"description\": \"A version: three numbers joined by dots.\"},"
                    "\"part\": {\"enum\": [\"major\", \"minor\", \"patch\"], \"description\": \"Which of them is raised.\"}}}",
    .output_schema = "{\"type\": \"object\", \"required\": [\"version\"], \"properties\": {\"version\": {\"type\": \"string\"}}}",
    /* The same input gives the same output, and nothing is touched. The others are READ, IDEMPOTENT and ONCE. */
    .effect = REPRISE_PURE,
    .call = bump,
})
