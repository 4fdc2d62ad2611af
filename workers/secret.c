#include "workers/secret.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void
secret_set(struct secret *s, const void *data, size_t len)
{
	char *copy = NULL;

	if (len > 0) {
		copy = xcalloc(len + 1, 1);
		memcpy(copy, data, len);
	}
	freezero(s->data, s->len);
	*s = (struct secret){ .data = copy, .len = len };
}

bool
secret_is(const struct secret *s, const void *data, size_t len)
{
	return len == s->len && (len == 0 || memcmp(data, s->data, len) == 0);
}
