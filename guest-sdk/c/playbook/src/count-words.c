/* Counts the words of every text file below a directory, and writes a table of them beside the files.
 *
 * A file that is no UTF-8 text is left out, and named in the log. The table is written last, so that a job that is cut
 * off leaves none. */
#include "reprise/playbook.h"

#include <string.h>

REPRISE_USES(fs_list, "fs/list")
REPRISE_USES(fs_read, "fs/read")
REPRISE_USES(fs_write, "fs/write")

static const char table_name[] = "WORDS.md";

/* Words are what stands between white space. */
static int64_t words_in(const char *text) {
    int64_t words = 0;
    for (bool inside = false; *text; text++) {
        bool space = strchr(" \t\r\n\f\v", *text) != NULL;
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

static bool is_table(const char *path) {
    const char *name = strrchr(path, '/');
    return strcmp(name ? name + 1 : path, table_name) == 0;
}

json *run(const json *input) {
    if (!reprise_check(input, "{\"type\": \"object\", \"required\": [\"path\"], \"additionalProperties\": false, \"properties\": {\"path\": {\"type\": \"string\"}}}")) return NULL;
    const char *path = json_text(json_get(input, "path"));

    reprise_step("list");
    json *listed = fs_list(json_set(json_set(json_object(), "path", json_from_text(path)), "recursive", json_bool(true)));
    if (!listed) return NULL;

    reprise_step("count");
    const json *entries = json_get(listed, "entries");
    const char *rows = "";
    int64_t files = 0, words = 0;
    for (size_t i = 0; i < json_count(entries); i++) {
        const char *file = json_text(json_get(json_at(entries, i), "path"));
        const char *kind = json_text(json_get(json_at(entries, i), "kind"));
        if (strcmp(kind, "file") != 0 || is_table(file)) continue;
        json *read = fs_read(json_set(json_object(), "path", json_from_text(file)));
        if (!read && reprise_problem().kind == REPRISE_CONFLICT) {
            reprise_log(REPRISE_INFO, "left out: %s", reprise_problem().message);
            continue;
        }
        if (!read) return NULL;
        int64_t count = words_in(json_text(json_get(read, "text")));
        rows = reprise_format("%s| %s | %lld |\n", rows, file, (long long)count);
        files++;
        words += count;
    }
    if (files == 0) return reprise_give_up("there is no text file below %s", path);

    reprise_step("write");
    const char *table = reprise_format("| file | words |\n|---|---|\n%s| all | %lld |\n", rows, (long long)words);
    json *written = json_set(json_set(json_object(), "path", json_from_format("%s/%s", path, table_name)), "text", json_from_text(table));
    if (!fs_write(written)) return NULL;
    return json_set(json_set(json_object(), "files", json_from_integer(files)), "words", json_from_integer(words));
}
