#include "workers/k8s_writer/json_in.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/json_scan.h"

/* The apiserver ends its answers in a newline. */
static bool
is_end(const char *text, size_t len)
{
	while (len > 0 && (*text == '\n' || *text == '\r')) {
		text++;
		len--;
	}
	return len == 0;
}

struct json_object *
in_parse(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(LIMIT_JSON_DEPTH);
	struct json_object *o = NULL;
	size_t end;

	if (tok == NULL)
		fatalx("kubernetes: out of memory for an answer");
	json_tokener_set_flags(tok,
	    JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
		JSON_TOKENER_ALLOW_TRAILING_CHARS);
	if (len <= INT_MAX)
		o = json_tokener_parse_ex(tok, text, (int)len);
	end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (json_object_is_type(o, json_type_object) &&
	    is_end(text + end, len - end))
		return o;
	json_object_put(o);
	return NULL;
}

/* One value and line ends behind it, which are not counted; 0: it is not. */
static size_t
value_len(const char *text, size_t len)
{
	struct json_scan scan;
	size_t end;

	json_scan_init(&scan, LIMIT_K8S_DEPTH);
	scan.any_names = true;
	end = json_scan(&scan, text, len);
	return scan.status == JSON_DONE && is_end(text + end, len - end) ? end
									 : 0;
}

struct json_object *
in_parse_some(const struct excerpt_member *wanted, const char *text, size_t len)
{
	const struct excerpt_conf conf = { .wanted = wanted };
	struct json_object *o = NULL;
	size_t n = value_len(text, len);
	char *some = xcalloc(n + 1, 1);

	if (n > 0)
		o = in_parse(some, excerpt(&conf, text, n, some));
	free(some);
	return o;
}

/* NULL if it is missing, null or of another type. */
static struct json_object *
typed(struct json_object *o, const char *key, enum json_type type, bool *bad)
{
	struct json_object *m;

	if (o == NULL || !json_object_object_get_ex(o, key, &m) || m == NULL)
		return NULL;
	if (json_object_is_type(m, type))
		return m;
	*bad = true;
	return NULL;
}

struct json_object *
in_object(struct json_object *o, const char *key, bool *bad)
{
	return typed(o, key, json_type_object, bad);
}

struct json_object *
in_array(struct json_object *o, const char *key, bool *bad)
{
	return typed(o, key, json_type_array, bad);
}

size_t
in_count(struct json_object *array)
{
	return array == NULL ? 0 : json_object_array_length(array);
}

struct json_object *
in_element(struct json_object *array, size_t i, bool *bad)
{
	struct json_object *m = json_object_array_get_idx(array, i);

	if (json_object_is_type(m, json_type_object))
		return m;
	*bad = true;
	return NULL;
}

static const char *
text_of(struct json_object *string, bool *bad)
{
	const char *s = json_object_get_string(string);

	if (strlen(s) == (size_t)json_object_get_string_len(string))
		return s;
	*bad = true;
	return "";
}

const char *
in_text(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *m = typed(o, key, json_type_string, bad);

	return m == NULL ? "" : text_of(m, bad);
}

const char *
in_text_max(struct json_object *o, const char *key, size_t max, bool *bad)
{
	const char *s = in_text(o, key, bad);

	if (strlen(s) <= max)
		return s;
	*bad = true;
	return "";
}

const char *
in_text_at(struct json_object *array, size_t i, bool *bad)
{
	struct json_object *m = json_object_array_get_idx(array, i);

	if (json_object_is_type(m, json_type_string))
		return text_of(m, bad);
	*bad = true;
	return "";
}

int64_t
in_number(struct json_object *o, const char *key, int64_t min, int64_t max,
    bool *bad)
{
	struct json_object *m = typed(o, key, json_type_int, bad);
	int64_t n;

	if (m == NULL)
		return 0;
	n = json_object_get_int64(m);
	if (n >= min && n <= max)
		return n;
	*bad = true;
	return 0;
}

unsigned
in_flag(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *m = typed(o, key, json_type_boolean, bad);

	if (m == NULL)
		return 2;
	return json_object_get_boolean(m) ? 1 : 0;
}
