/* See json.h. */
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As deep as the host takes JSON. */
#define DEPTH_MAX 64

struct json {
    json_kind kind;
    /* The characters of a string or, as they were written, of a number; a 0 stands behind them. */
    char *text;
    size_t length;
    /* The elements of a list or the values of an object, and beside them the names of an object's fields. */
    json **items;
    char **names;
    size_t count, room;
};

void *reprise_take(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory) __builtin_trap();
    return memory;
}

static char *copy(const char *text, size_t length) {
    char *made = reprise_take(length + 1);
    if (length) memcpy(made, text, length);
    made[length] = 0;
    return made;
}

static char *format_list(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) __builtin_trap();
    char *made = reprise_take((size_t)length + 1);
    vsnprintf(made, (size_t)length + 1, format, arguments);
    return made;
}

char *reprise_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *made = format_list(format, arguments);
    va_end(arguments);
    return made;
}

static json *make(json_kind kind) {
    json *value = reprise_take(sizeof *value);
    memset(value, 0, sizeof *value);
    value->kind = kind;
    return value;
}

static json *make_text(json_kind kind, char *text, size_t length) {
    json *value = make(kind);
    value->text = text;
    value->length = length;
    return value;
}

json *json_null(void) { return make(JSON_NULL); }
json *json_bool(bool value) { return make(value ? JSON_TRUE : JSON_FALSE); }
json *json_list(void) { return make(JSON_LIST); }
json *json_object(void) { return make(JSON_OBJECT); }
json *json_from_bytes(const char *text, size_t length) { return make_text(JSON_TEXT, copy(text, length), length); }
json *json_from_text(const char *text) { return text ? json_from_bytes(text, strlen(text)) : json_null(); }

json *json_from_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *made = format_list(format, arguments);
    va_end(arguments);
    return make_text(JSON_TEXT, made, strlen(made));
}

json *json_from_integer(int64_t value) {
    char *made = reprise_format("%lld", (long long)value);
    return make_text(JSON_NUMBER, made, strlen(made));
}

json *json_from_number(double value) {
    if (value - value != 0) return json_null();
    /* The shortest that reads back as the same number. */
    for (int digits = 15;; digits++) {
        char *made = reprise_format("%.*g", digits, value);
        if (digits == 17 || strtod(made, NULL) == value) return make_text(JSON_NUMBER, made, strlen(made));
    }
}

/* A place at the end of a list or object. */
static size_t place_in(json *value, json *item, char *name) {
    if (value->count == value->room) {
        size_t room = value->room ? value->room * 2 : 4;
        json **items = reprise_take(room * sizeof *items);
        char **names = reprise_take(room * sizeof *names);
        if (value->count) {
            memcpy(items, value->items, value->count * sizeof *items);
            memcpy(names, value->names, value->count * sizeof *names);
        }
        value->items = items;
        value->names = names;
        value->room = room;
    }
    value->items[value->count] = item ? item : json_null();
    value->names[value->count] = name;
    return value->count++;
}

json *json_add(json *list, json *value) {
    if (list && list->kind == JSON_LIST) place_in(list, value, NULL);
    return list;
}

json *json_set(json *object, const char *field, json *value) {
    if (!object || object->kind != JSON_OBJECT) return object;
    for (size_t i = 0; i < object->count; i++) {
        if (strcmp(object->names[i], field) == 0) {
            object->items[i] = value ? value : json_null();
            return object;
        }
    }
    place_in(object, value, copy(field, strlen(field)));
    return object;
}

json_kind json_kind_of(const json *value) { return value ? value->kind : JSON_ABSENT; }
bool json_is_true(const json *value) { return value && value->kind == JSON_TRUE; }
const char *json_text(const json *value) { return value && value->kind == JSON_TEXT ? value->text : NULL; }
size_t json_text_length(const json *value) { return json_text(value) ? value->length : 0; }
size_t json_count(const json *value) { return value ? value->count : 0; }
json *json_at(const json *value, size_t place) { return place < json_count(value) ? value->items[place] : NULL; }

const char *json_field(const json *object, size_t place) {
    return json_kind_of(object) == JSON_OBJECT && place < object->count ? object->names[place] : NULL;
}

json *json_get(const json *object, const char *field) {
    if (json_kind_of(object) != JSON_OBJECT) return NULL;
    for (size_t i = 0; i < object->count; i++) {
        if (strcmp(object->names[i], field) == 0) return object->items[i];
    }
    return NULL;
}

bool json_number(const json *value, double *into) {
    if (json_kind_of(value) != JSON_NUMBER) return false;
    *into = strtod(value->text, NULL);
    return true;
}

bool json_integer(const json *value, int64_t *into) {
    if (json_kind_of(value) != JSON_NUMBER) return false;
    const char *digit = value->text + (*value->text == '-');
    bool negative = digit != value->text;
    uint64_t size = 0, most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        uint64_t next = (uint64_t)(*digit - '0');
        if (size > (most - next) / 10) return false;
        size = size * 10 + next;
    }
    if (*digit) return false;
    *into = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

/* Reading. */

typedef struct {
    const char *at, *end, *problem;
    int depth;
} reader;

static json *read_value(reader *r);

static void *wrong(reader *r, const char *problem) {
    if (!r->problem) r->problem = problem;
    return NULL;
}

static void skip_space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

/* True, and past it, where this character is next. */
static bool next_is(reader *r, char character) {
    skip_space(r);
    if (r->at == r->end || *r->at != character) return false;
    r->at++;
    return true;
}

static bool word(reader *r, const char *text) {
    size_t length = strlen(text);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, text, length) != 0) return false;
    r->at += length;
    return true;
}

/* Four hexadecimal digits, or -1. */
static long unit(reader *r) {
    if (r->end - r->at < 4) return -1;
    long value = 0;
    for (int i = 0; i < 4; i++) {
        char c = *r->at++;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *to, long c) {
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* A \u escape, of which \u was read: one unit, or two that belong together. -1 where it is neither. */
static long escaped(reader *r) {
    long high = unit(r);
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high > 0xdbff || !word(r, "\\u")) return -1;
    long low = unit(r);
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) : -1;
}

/* A string, of which the first quotation mark was read. No escape is shorter than what it stands for. */
static char *read_text(reader *r, size_t *length) {
    const char *close = r->at;
    while (close < r->end && *close != '"') close += *close == '\\' && close + 1 < r->end ? 2 : 1;
    if (close >= r->end) return wrong(r, "a string does not end");
    char *made = reprise_take((size_t)(close - r->at) + 1), *to = made;
    while (r->at < close) {
        char c = *r->at++;
        if ((unsigned char)c < 0x20) return wrong(r, "a control character stands in a string without an escape");
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        c = *r->at++;
        long code = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f'
                  : c == '"' || c == '\\' || c == '/' ? c : c == 'u' ? escaped(r) : -1;
        if (code < 0) return wrong(r, "a string holds an escape that there is not");
        to = put_utf8(to, code);
    }
    r->at = close + 1;
    *to = 0;
    *length = (size_t)(to - made);
    return made;
}

static bool digits(reader *r) {
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return r->at > from;
}

static json *read_number(reader *r) {
    const char *from = r->at;
    if (r->at < r->end && *r->at == '-') r->at++;
    if (r->at < r->end && *r->at == '0') r->at++;
    else if (!digits(r)) return wrong(r, "a value is expected");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!digits(r)) return wrong(r, "a number has no digit behind its point");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        if (!digits(r)) return wrong(r, "a number has no digit in its exponent");
    }
    size_t length = (size_t)(r->at - from);
    return make_text(JSON_NUMBER, copy(from, length), length);
}

static json *read_list(reader *r) {
    json *list = json_list();
    if (next_is(r, ']')) return list;
    do {
        json *item = read_value(r);
        if (!item) return NULL;
        json_add(list, item);
    } while (next_is(r, ','));
    return next_is(r, ']') ? list : wrong(r, "a list goes on with , or ends with ]");
}

static json *read_object(reader *r) {
    json *object = json_object();
    if (next_is(r, '}')) return object;
    do {
        size_t length;
        if (!next_is(r, '"')) return wrong(r, "a field begins with its name in quotation marks");
        char *name = read_text(r, &length);
        if (!name) return NULL;
        if (!next_is(r, ':')) return wrong(r, "a field's name is followed by :");
        json *value = read_value(r);
        if (!value) return NULL;
        place_in(object, value, name);
    } while (next_is(r, ','));
    return next_is(r, '}') ? object : wrong(r, "an object goes on with , or ends with }");
}

static json *read_value(reader *r) {
    skip_space(r);
    if (r->at == r->end) return wrong(r, "the text ends where a value is expected");
    if (word(r, "null")) return json_null();
    if (word(r, "true")) return json_bool(true);
    if (word(r, "false")) return json_bool(false);
    char first = *r->at;
    if (first == '"') {
        size_t length;
        r->at++;
        char *text = read_text(r, &length);
        return text ? make_text(JSON_TEXT, text, length) : NULL;
    }
    if (first != '[' && first != '{') return read_number(r);
    if (r->depth == DEPTH_MAX) return wrong(r, "more levels than 64");
    r->at++;
    r->depth++;
    json *value = first == '[' ? read_list(r) : read_object(r);
    r->depth--;
    return value;
}

json *json_parse(const char *text, size_t length, const char **problem) {
    reader r = {text, text + length, NULL, 0};
    json *value = read_value(&r);
    skip_space(&r);
    if (value && r.at < r.end) value = wrong(&r, "something follows the document's end");
    if (problem) *problem = r.problem;
    return value;
}

/* Printing. */

typedef struct {
    char *text;
    size_t length, room;
} writer;

static void put(writer *w, const char *text, size_t length) {
    if (w->room - w->length <= length) {
        size_t room = (w->length + length + 1) * 2;
        char *text_now = realloc(w->text, room);
        if (!text_now) __builtin_trap();
        w->text = text_now;
        w->room = room;
    }
    memcpy(w->text + w->length, text, length);
    w->length += length;
    w->text[w->length] = 0;
}

static void put_text(writer *w, const char *text, size_t length) {
    put(w, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        put(w, text + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\') {
            char pair[2] = {'\\', (char)c};
            put(w, pair, 2);
        } else {
            char escape[7];
            snprintf(escape, sizeof escape, "\\u%04x", c);
            put(w, escape, 6);
        }
    }
    put(w, text + from, length - from);
    put(w, "\"", 1);
}

static void put_value(writer *w, const json *value) {
    switch (json_kind_of(value)) {
    case JSON_FALSE: put(w, "false", 5); return;
    case JSON_TRUE: put(w, "true", 4); return;
    case JSON_NUMBER: put(w, value->text, value->length); return;
    case JSON_TEXT: put_text(w, value->text, value->length); return;
    case JSON_LIST:
        put(w, "[", 1);
        for (size_t i = 0; i < value->count; i++) {
            if (i) put(w, ",", 1);
            put_value(w, value->items[i]);
        }
        put(w, "]", 1);
        return;
    case JSON_OBJECT:
        put(w, "{", 1);
        for (size_t i = 0; i < value->count; i++) {
            if (i) put(w, ",", 1);
            put_text(w, value->names[i], strlen(value->names[i]));
            put(w, ":", 1);
            put_value(w, value->items[i]);
        }
        put(w, "}", 1);
        return;
    default: put(w, "null", 4); return;
    }
}

char *json_print(const json *value, size_t *length) {
    writer w = {0};
    put_value(&w, value);
    if (length) *length = w.length;
    return w.text;
}
