/* The playbook {{name}}: has a person sign a document, and writes down that they did. */
#include "reprise/playbook.h"

#include <string.h>

/* The tools that it calls. They become the imports of the component, and it can reach nothing else. */
REPRISE_USES(fs_read, "fs/read")
REPRISE_USES(fs_write, "fs/write")

/* How long a person may take, in milliseconds. */
static const uint64_t day = 24 * 60 * 60 * 1000;

/* After a crash this begins anew, and is given the same answers up to where it was, so it must ask the same again. */
json *run(const json *input) {
    const char *document = json_text(json_get(input, "document"));
    if (!document) return reprise_give_up("the input has no text \"document\"");

    reprise_step("read");
    json *file = fs_read(json_set(json_object(), "path", json_from_text(document)));
    if (!file) return NULL; /* The job fails with what the tool said. */
    const char *text = json_text(json_get(file, "text"));
    json *title = json_from_bytes(text, strcspn(text, "\n"));

    reprise_step("ask");
    json *request = json_set(json_set(json_object(), "document", json_from_text(document)), "title", title);
    json *answer = reprise_approve(reprise_format("Sign %s?", document), request, day);
    if (!answer) return NULL; /* It was rejected, or nobody came in time. */

    reprise_step("write");
    json *signature = json_from_format("%s.signed", document);
    json *line = json_from_format("%s\nsigned at %llu ms: %s\n", json_text(title), (unsigned long long)reprise_now(), json_print(answer, NULL));
    if (!fs_write(json_set(json_set(json_object(), "path", signature), "text", line))) return NULL;
    return json_set(json_object(), "signature", signature);
}
