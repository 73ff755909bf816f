/* The tools of the namespace {{namespace}}. */
#include "reprise/tool.h"

#include <string.h>

/* Says where in a text a word stands. */
static json *find(const json *input, const char *key) {
    (void)key; /* Names this one call; a tool that changes something can remember it. */
    const char *text = json_text(json_get(input, "text")), *word = json_text(json_get(input, "word"));
    const char *place = strstr(text, word);
    if (!place) return reprise_fail(REPRISE_NOT_FOUND, "\"%s\" does not stand in the text", word);
    return json_set(json_object(), "byte", json_from_integer(place - text));
}

REPRISE_TOOLS({
    .name = "{{namespace}}/find",
    .description = "Finds a word in a text, and says at which byte it begins.",
    .input_schema = "{\"type\": \"object\", \"required\": [\"text\", \"word\"], \"properties\": {"
                    "\"text\": {\"type\": \"string\"}, \"word\": {\"type\": \"string\"}}}",
    .output_schema = "{\"type\": \"object\", \"required\": [\"byte\"], \"properties\": {\"byte\": {\"type\": \"integer\"}}}",
    .effect = REPRISE_PURE, /* Nothing is looked at but the input, and nothing is touched. */
    .call = find,
})
