/* The playbook {{name}}: copies a file to another place. */
#include "reprise/playbook.h"

/* The tools that it calls. It can reach nothing else, and what they reach is for its job's grants to say. */
REPRISE_USES(fs_read, "fs/read")
REPRISE_USES(fs_write, "fs/write")

/* After a crash this begins anew, and every call that was made is answered from the journal. */
json *run(const json *input) {
    reprise_step("read");
    json *file = fs_read(json_set(json_object(), "path", json_get(input, "from")));
    if (!file) return NULL; /* The job fails with what the tool said. */

    reprise_step("write");
    json *copy = json_set(json_set(json_object(), "path", json_get(input, "to")), "text", json_get(file, "text"));
    return fs_write(copy);
}
