#include "workers/tree.h"

#include <stdbool.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/duplicate.h"
#include "workers/json_scan.h"

static size_t
count_members(json_object *o)
{
	size_t n = 0;

	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += count_members(json_object_array_get_idx(o, i));
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value) {
			(void)key;
			n += 1 + count_members(value);
		}
	}
	return n;
}

static json_object *
parse(const char *bytes, size_t len, struct refusal *r)
{
	json_tokener *tok = json_tokener_new_ex(LIMIT_JSON_DEPTH);
	json_object *o;

	if (tok == NULL)
		fatal("json_tokener_new");
	json_tokener_set_flags(tok,
	    JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, bytes, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    json_tokener_get_parse_end(tok) != len) {
		refuse(r, "not JSON: %s",
		    json_tokener_error_desc(json_tokener_get_error(tok)));
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(tok);
	return o;
}

static bool
refuse_duplicate(const char *bytes, size_t len, struct refusal *r)
{
	char name[LIMIT_K8S_NAME];

	if (!duplicate_find(bytes, len, name, sizeof(name)))
		return refuse(r, "a member stands in an object twice");
	return refuse(r, "\"%s\" stands in an object twice", name);
}

json_object *
tree_parse(const char *bytes, size_t len, unsigned max_depth, struct refusal *r)
{
	struct json_scan scan;
	json_object *o;

	json_scan_init(&scan, max_depth);
	if (json_scan(&scan, bytes, len) != len || scan.status != JSON_DONE) {
		refuse(r, "%s",
		    scan.status == JSON_BAD ? scan.why : "not one JSON value");
		return NULL;
	}
	o = parse(bytes, len, r);
	if (o == NULL)
		return NULL;
	/* There are fewer in the tree if a name stands in an object twice. */
	if (count_members(o) == scan.members)
		return o;
	refuse_duplicate(bytes, len, r);
	json_object_put(o);
	return NULL;
}
