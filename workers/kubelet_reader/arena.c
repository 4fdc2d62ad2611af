#include "workers/kubelet_reader/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct arena_block {
	struct arena_block *next;
	size_t size;
	char text[];
};

static char *
block(struct arena *a, size_t size)
{
	struct arena_block *b = xmalloc(sizeof(*b) + size);

	b->next = a->blocks;
	b->size = size;
	a->blocks = b;
	a->held += size;
	if (a->held > a->most_held)
		a->most_held = a->held;
	return b->text;
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *text = block(a, len + 1);

	memcpy(text, s, len);
	text[len] = '\0';
	return text;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		fatal("vsnprintf");
	text = block(a, (size_t)len + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}

void
arena_release(struct arena *a, const struct arena_block *blocks)
{
	struct arena_block *b, *next;

	for (b = a->blocks; b != blocks; b = next) {
		next = b->next;
		a->held -= b->size;
		free(b);
	}
	a->blocks = b;
}

void
arena_free(struct arena *a)
{
	arena_release(a, NULL);
}
