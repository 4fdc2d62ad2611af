/*
 * Members of a json-c object, each with the type that its API gives it. Pure. A
 * missing member and null are the same. Another type refuses the answer: the
 * server did not say it.
 */
#ifndef FIELDS_H
#define FIELDS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "workers/refusal.h"

/* NULL (or 0, false): not there, or refused. parent may be NULL: no members. */
json_object *field_object(json_object *parent, const char *name,
    struct refusal *r);
json_object *field_array(json_object *parent, const char *name,
    struct refusal *r);
const char *field_text(json_object *parent, const char *name,
    struct refusal *r);
bool field_bool(json_object *parent, const char *name, struct refusal *r);
int64_t field_int(json_object *parent, const char *name, struct refusal *r);

/* Element i of a list that holds objects only. */
json_object *field_element(json_object *array, size_t i, const char *name,
    struct refusal *r);
/* 0 for NULL. */
size_t field_count(json_object *array);

/* The text of a string; NULL if there is a NUL in it. */
const char *text_without_nul(json_object *string);

#endif
