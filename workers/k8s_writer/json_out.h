/* Builds JSON for requests; fatal without memory. Pure. */
#ifndef JSON_OUT_H
#define JSON_OUT_H

#include <json-c/json.h>
#include <stdint.h>

struct json_object *out_new(void);
struct json_object *out_new_array(void);
/* What is added is owned by what it is added to. */
void out_add(struct json_object *o, const char *key, struct json_object *val);
void out_str(struct json_object *o, const char *key, const char *val);
/* Not where it is "". */
void out_some(struct json_object *o, const char *key, const char *val);
void out_number(struct json_object *o, const char *key, int64_t val);
/* A new object or array, which is returned. */
struct json_object *out_object(struct json_object *o, const char *key);
struct json_object *out_array(struct json_object *o, const char *key);
void out_append(struct json_object *array, struct json_object *val);
struct json_object *out_append_object(struct json_object *array);

/* The text of o, for free(); o is freed. */
char *out_text(struct json_object *o);

#endif
