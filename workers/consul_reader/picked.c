#include "workers/consul_reader/picked.h"

#include <stdlib.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/tree.h"

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
		/* Strict in what is read: no NUL in a name, and no depth. */
		o = tree_parse(text, n, LIMIT_JSON_DEPTH - 1, r);
	free(text);
	return o;
}
