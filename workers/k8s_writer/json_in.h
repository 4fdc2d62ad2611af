/*
 * Reads members of JSON with all their types checked. Pure.
 *
 * A member that is missing or null counts as empty. One of the wrong type
 * makes *bad true (which nothing makes false again), and counts as empty.
 */
#ifndef JSON_IN_H
#define JSON_IN_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/excerpt.h"

/*
 * The whole text as one object: strict JSON, valid UTF-8, no deeper than
 * LIMIT_JSON_DEPTH. NULL if it is not; else for json_object_put().
 */
struct json_object *in_parse(const char *text, size_t len);

/*
 * Of the whole text what is wanted (excerpt.h), in the same way. The rest of it
 * is JSON, too, but may be as deep as Go writes: others wrote it.
 */
struct json_object *in_parse_some(const struct excerpt_member *wanted,
    const char *text, size_t len);

/* NULL if there is none. */
struct json_object *in_object(struct json_object *o, const char *key,
    bool *bad);
struct json_object *in_array(struct json_object *o, const char *key, bool *bad);
/* 0 for NULL. */
size_t in_count(struct json_object *array);
/* An element that must be an object; NULL if it is not. */
struct json_object *in_element(struct json_object *array, size_t i, bool *bad);

/* "" if there is none; a NUL in it is bad. */
const char *in_text(struct json_object *o, const char *key, bool *bad);
/* As in_text(), of at most max bytes. */
const char *in_text_max(struct json_object *o, const char *key, size_t max,
    bool *bad);
/* The text that an element is; bad if it is none. */
const char *in_text_at(struct json_object *array, size_t i, bool *bad);
/* 0 if there is none; bad if it is not in min..max. */
int64_t in_number(struct json_object *o, const char *key, int64_t min,
    int64_t max, bool *bad);
/* 0, 1; 2 if there is none. */
unsigned in_flag(struct json_object *o, const char *key, bool *bad);

#endif
