#include "workers/duplicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* Names of objects that are open, so that no input costs much time. */
#define NAMES_MAX 512

struct name {
	const char *text;
	size_t len;
	int depth;
};

/* The names of the objects that are open: those of the innermost on top. */
struct stack {
	struct name *names;
	size_t n;
	int depth;
};

/* Past the string whose opening quote is at p. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++) {
		if (*p == '\\')
			p++;
	}
	return p < end ? p + 1 : end;
}

static bool
is_name(const char *p, const char *end)
{
	while (p < end && memchr(" \t\r\n", *p, 4) != NULL)
		p++;
	return p < end && *p == ':';
}

static bool
same(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* True if it is there already. */
static bool
push(struct stack *s, const char *text, size_t len)
{
	struct name *new = &s->names[s->n], *other = new;

	*new = (struct name){ text, len, s->depth };
	while (other-- > s->names && other->depth == s->depth) {
		if (same(other, new))
			return true;
	}
	s->n++;
	return false;
}

static void
leave(struct stack *s)
{
	while (s->n > 0 && s->names[s->n - 1].depth == s->depth)
		s->n--;
	s->depth--;
}

static const struct name *
search(struct stack *s, const char *p, const char *end)
{
	while (p < end && s->n < NAMES_MAX) {
		const char *from = p;

		if (*p == '{' || *p == '[')
			s->depth++;
		else if (*p == '}' || *p == ']')
			leave(s);
		if (*p++ != '"')
			continue;
		p = skip_string(from, end);
		if (is_name(p, end) &&
		    push(s, from + 1, (size_t)(p - from) - 2))
			return &s->names[s->n];
	}
	return NULL;
}

bool
duplicate_find(const char *bytes, size_t len, char *name, size_t cap)
{
	struct stack s = { .n = 0 };
	const struct name *found;

	s.names = xcalloc(NAMES_MAX + 1, sizeof(*s.names));
	found = search(&s, bytes, bytes + len);
	if (found != NULL)
		snprintf(name, cap, "%.*s",
		    (int)(found->len < cap ? found->len : cap), found->text);
	free(s.names);
	return found != NULL;
}
