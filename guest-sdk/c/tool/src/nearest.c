/* "Did you mean ...?": which of some words are nearest to one that was written. */
#include "reprise/tool.h"

#include <string.h>

/* How many characters must be put in, taken out, changed or swapped with their neighbour to make one word of the
 * other. It compares bytes; a letter outside ASCII counts as the two or three that it has. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t width = b_length + 1;
    /* The last three lines of the table; the one before the last is for swaps. */
    size_t *before = reprise_take(width * sizeof *before), *last = reprise_take(width * sizeof *last), *line = reprise_take(width * sizeof *line);
    for (size_t j = 0; j < width; j++) last[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        line[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (line[j - 1] + 1 < best) best = line[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            line[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = line;
        line = oldest;
    }
    return last[b_length];
}

static json *nearest(const json *input, const char *key) {
    (void)key;
    const json *word = json_get(input, "word"), *among = json_get(input, "among");
    int64_t most = 3;
    json_integer(json_get(input, "most"), &most);
    json *found = json_list();
    size_t count = json_count(among), *distances = reprise_take(count * sizeof *distances);
    for (size_t i = 0; i < count; i++) {
        const json *other = json_at(among, i);
        distances[i] = distance(json_text(word), json_text_length(word), json_text(other), json_text_length(other));
    }
    /* The nearest first; of equal ones the one that was named first. */
    for (int64_t n = 0; n < most && (size_t)n < count; n++) {
        size_t best = count;
        for (size_t i = 0; i < count; i++) {
            if (distances[i] != SIZE_MAX && (best == count || distances[i] < distances[best])) best = i;
        }
        json *one = json_set(json_object(), "word", json_at(among, best));
        json_add(found, json_set(one, "distance", json_from_integer((int64_t)distances[best])));
        distances[best] = SIZE_MAX;
    }
    if (json_count(found) == 0) return reprise_fail(REPRISE_NOT_FOUND, "there is no word to compare \"%s\" with", json_text(word));
    return json_set(json_object(), "nearest", found);
}

REPRISE_TOOLS({
    .name = "words/nearest",
    .description = "Finds the words that are nearest to a misspelt one, the nearest first.",
    .input_schema = "{\"type\": \"object\", \"required\": [\"word\", \"among\"], \"additionalProperties\": false, \"properties\": {"
                    "\"word\": {\"type\": \"string\", \"maxLength\": 200},"
                    "\"among\": {\"type\": \"array\", \"maxItems\": 2000, \"items\": {\"type\": \"string\", \"maxLength\": 200}},"
                    "\"most\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 100}}}",
    .output_schema = "{\"type\": \"object\", \"required\": [\"nearest\"], \"properties\": {\"nearest\": {\"type\": \"array\", \"items\":"
                     "{\"type\": \"object\", \"required\": [\"word\", \"distance\"], \"properties\": {"
                     "\"word\": {\"type\": \"string\"}, \"distance\": {\"type\": \"integer\"}}}}}}",
    .effect = REPRISE_PURE,
    .call = nearest,
})
