#include "workers/k8s_writer/lines.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void
lines_init(struct lines *l, size_t max)
{
	*l = (struct lines){ .max = max };
}

void
lines_clear(struct lines *l)
{
	free(l->held);
	lines_init(l, l->max);
}

static bool
hold(struct lines *l, const char *data, size_t len)
{
	/* One more: an "\r" that may turn out to be the end. */
	if (len > l->max + 1 - l->n)
		return false;
	if (l->n + len > l->cap) {
		l->cap = 2 * (l->n + len);
		l->held = xreallocarray(l->held, l->cap, 1);
	}
	memcpy(l->held + l->n, data, len);
	l->n += len;
	return true;
}

static bool
whole(const struct lines *l, const char *text, size_t len,
    bool (*line)(const char *text, size_t len, void *arg), void *arg)
{
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len > l->max)
		return false;
	return len == 0 || line(text, len, arg);
}

/* data ends the line that is held, if one is. */
static bool
end_line(struct lines *l, const char *data, size_t len,
    bool (*line)(const char *text, size_t len, void *arg), void *arg)
{
	bool ok;

	if (l->n == 0)
		return whole(l, data, len, line, arg);
	ok = hold(l, data, len) && whole(l, l->held, l->n, line, arg);
	lines_clear(l);
	return ok;
}

bool
lines_feed(struct lines *l, const char *data, size_t len,
    bool (*line)(const char *text, size_t len, void *arg), void *arg)
{
	const char *end;
	bool ok = true;

	while (ok && (end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(end - data);

		ok = end_line(l, data, n, line, arg);
		data = end + 1;
		len -= n + 1;
	}
	ok = ok && (len == 0 || hold(l, data, len));
	if (!ok)
		lines_clear(l);
	return ok;
}
