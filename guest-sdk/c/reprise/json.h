/* JSON for tools and playbooks in C: read a document into a tree, look into it, make one, print one.
 *
 * Nothing here is ever freed. A tool's instance lives for one call and a playbook's for one job; the host takes all of
 * its memory back at once. Running out of memory ends the instance.
 *
 * Every function that looks into a value takes NULL for "not there", so that questions can be put one into the other:
 * json_text(json_get(json_get(input, "order"), "id")) is NULL if any part is missing. */
#ifndef REPRISE_JSON_H
#define REPRISE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { JSON_ABSENT, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;
typedef struct json json;

/* Reads a whole document. NULL where it is not JSON; `problem` then says why. */
json *json_parse(const char *text, size_t length, const char **problem);

/* What a value is; JSON_ABSENT for NULL. */
json_kind json_kind_of(const json *value);
/* The field of an object, or NULL. */
json *json_get(const json *object, const char *field);
/* How many elements a list has, or fields an object; 0 for anything else. */
size_t json_count(const json *value);
/* The element of a list, or the value of an object's field, at this place, from 0; or NULL. */
json *json_at(const json *value, size_t place);
/* The name of the field at this place of an object, or NULL. */
const char *json_field(const json *object, size_t place);
/* A string's characters as UTF-8 with a 0 behind them; NULL where the value is no string. */
const char *json_text(const json *value);
/* How many bytes json_text has; a string may hold 0 bytes of its own. */
size_t json_text_length(const json *value);
/* A whole number that fits; false for anything else. */
bool json_integer(const json *value, int64_t *into);
/* Any number, as the nearest double; false for anything else. */
bool json_number(const json *value, double *into);
/* The value is `true`. */
bool json_is_true(const json *value);

json *json_null(void);
json *json_bool(bool value);
json *json_from_integer(int64_t value);
/* null where the value is not finite: JSON has no word for it. */
json *json_from_number(double value);
/* A string of what stands before the 0; null for NULL. */
json *json_from_text(const char *text);
json *json_from_bytes(const char *text, size_t length);
/* A string made as printf does. */
json *json_from_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
json *json_list(void);
json *json_object(void);
/* Puts a value at a list's end; gives the list back. */
json *json_add(json *list, json *value);
/* Puts a field behind the others, or in place of the one of this name; gives the object back. */
json *json_set(json *object, const char *field, json *value);

/* The document as text, with a 0 behind it; `length` may be NULL. */
char *json_print(const json *value, size_t *length);

/* Memory that is not given back; ends the instance where there is none left. */
void *reprise_take(size_t bytes);
/* As printf, into memory of its own. */
char *reprise_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
