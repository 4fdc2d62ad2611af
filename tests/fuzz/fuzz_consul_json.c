/*
 * libFuzzer: two answers of an agent (services, NUL, checks) of any bytes are
 * read or refused. What was read is in order, ours by its ID, and has all
 * that a report needs.
 */
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "workers/consul_writer/consul_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_one(const struct actual *a)
{
	size_t prefix = strlen(SERVICE_ID_PREFIX);

	if (strncmp(a->id, SERVICE_ID_PREFIX, prefix) != 0 ||
	    strlen(a->id) > LIMIT_SERVICE_ID)
		abort();
	if (strlen(a->name) > LIMIT_META_VALUE ||
	    strlen(a->namespace) > LIMIT_META_VALUE ||
	    strlen(a->pod) > LIMIT_META_VALUE)
		abort();
	if (a->state < ACTUAL_FOREIGN || a->state > ACTUAL_CRITICAL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	size_t n = strnlen(text, size);
	size_t rest = n < size ? n + 1 : n;
	struct actual_list l;
	const char *why =
	    consul_json_read(text, n, text + rest, size - rest, &l);

	if (why != NULL && (l.n != 0 || l.v != NULL || l.node != NULL))
		abort();
	for (size_t i = 0; i < l.n; i++) {
		check_one(&l.v[i]);
		if (i > 0 && strcmp(l.v[i - 1].id, l.v[i].id) >= 0)
			abort();
	}
	actual_list_free(&l);
	return 0;
}
