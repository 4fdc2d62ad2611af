#include "workers/consul_reader/picked.h"

#include <stdlib.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/json_scan.h"
#include "workers/tree.h"

/* Strict in what is read: no NUL in a name, and no depth. */
static json_object *
parse(const char *bytes, size_t len, struct refusal *r)
{
	struct json_scan j;

	json_scan_init(&j, LIMIT_JSON_DEPTH - 1);
	json_scan(&j, bytes, len);
	if (j.status == JSON_DONE)
		return tree_parse(bytes, len, j.members, r);
	refuse(r, "%s", j.status == JSON_BAD ? j.why : "not JSON");
	return NULL;
}

json_object *
picked_parse(const struct excerpt_member *wanted, const char *bytes, size_t len,
    bool *large, struct refusal *r)
{
	/* Go's encoder writes no letter of a name as an escape. */
	struct excerpt_conf conf = { .wanted = wanted, .disguised = false };
	char *text = xmalloc(len);
	size_t n = excerpt(&conf, bytes, len, text);
	json_object *o = NULL;

	*large = n > PICKED_MAX;
	if (!*large)
		o = parse(text, n, r);
	free(text);
	return o;
}
