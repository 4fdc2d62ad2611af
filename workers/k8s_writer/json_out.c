#include "workers/k8s_writer/json_out.h"

#include "common/log.h"

_Noreturn static void
out_of_memory(void)
{
	fatalx("kubernetes: out of memory for a request");
}

static struct json_object *
need(struct json_object *o)
{
	if (o == NULL)
		out_of_memory();
	return o;
}

struct json_object *
out_new(void)
{
	return need(json_object_new_object());
}

struct json_object *
out_new_array(void)
{
	return need(json_object_new_array());
}

void
out_add(struct json_object *o, const char *key, struct json_object *val)
{
	if (json_object_object_add(o, key, need(val)) != 0)
		out_of_memory();
}

void
out_str(struct json_object *o, const char *key, const char *val)
{
	out_add(o, key, json_object_new_string(val));
}

void
out_some(struct json_object *o, const char *key, const char *val)
{
	if (*val != '\0')
		out_str(o, key, val);
}

void
out_number(struct json_object *o, const char *key, int64_t val)
{
	out_add(o, key, json_object_new_int64(val));
}

struct json_object *
out_object(struct json_object *o, const char *key)
{
	struct json_object *val = out_new();

	out_add(o, key, val);
	return val;
}

struct json_object *
out_array(struct json_object *o, const char *key)
{
	struct json_object *val = out_new_array();

	out_add(o, key, val);
	return val;
}

void
out_append(struct json_object *array, struct json_object *val)
{
	if (json_object_array_add(array, need(val)) != 0)
		out_of_memory();
}

struct json_object *
out_append_object(struct json_object *array)
{
	struct json_object *val = out_new();

	out_append(array, val);
	return val;
}

char *
out_text(struct json_object *o)
{
	const char *s = json_object_to_json_string_ext(o,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *text;

	if (s == NULL)
		out_of_memory();
	text = xstrdup(s);
	json_object_put(o);
	return text;
}
