#include "workers/excerpt.h"

#include <string.h>

/* at moves up to end, and to behind what was written. */
struct copy {
	const char *at;
	const char *end;
	char *to;
	bool disguised; /* names with escapes are wanted */
};

static void
skip_space(struct copy *c)
{
	while (c->at < c->end && memchr(" \t\r\n", *c->at, 4) != NULL)
		c->at++;
}

static void
skip_string(struct copy *c)
{
	for (c->at++; c->at < c->end && *c->at != '"'; c->at++) {
		if (*c->at == '\\')
			c->at++;
	}
	c->at++;
}

/* A number, true, false or null. */
static void
skip_scalar(struct copy *c)
{
	while (c->at < c->end && memchr(" \t\r\n,]}", *c->at, 7) == NULL)
		c->at++;
}

/* Brackets are balanced: no need to tell one kind from the other. */
static void
skip_nested(struct copy *c)
{
	size_t depth = 0;

	do {
		if (*c->at == '"') {
			skip_string(c);
			continue;
		}
		if (*c->at == '{' || *c->at == '[')
			depth++;
		else if (*c->at == '}' || *c->at == ']')
			depth--;
		c->at++;
	} while (depth > 0 && c->at < c->end);
}

static void
skip_value(struct copy *c)
{
	if (*c->at == '"')
		skip_string(c);
	else if (*c->at == '{' || *c->at == '[')
		skip_nested(c);
	else
		skip_scalar(c);
}

static void
put(struct copy *c, const char *from, size_t len)
{
	memcpy(c->to, from, len);
	c->to += len;
}

static void
copy_value(struct copy *c)
{
	const char *from = c->at;

	skip_value(c);
	put(c, from, (size_t)(c->at - from));
}

/* Up to the next element or member, or behind the end: then false. */
static bool
next(struct copy *c)
{
	while (c->at < c->end && memchr(" \t\r\n,", *c->at, 5) != NULL)
		c->at++;
	if (c->at < c->end && *c->at != '}' && *c->at != ']')
		return true;
	c->at++;
	return false;
}

static void copy_object(struct copy *c, const struct excerpt_member *wanted);

static void
copy_array(struct copy *c, const struct excerpt_member *wanted)
{
	const char *comma = "";

	c->at++;
	put(c, "[", 1);
	while (next(c)) {
		put(c, comma, strlen(comma));
		comma = ",";
		if (*c->at == '{')
			copy_object(c, wanted);
		else
			copy_value(c);
	}
	put(c, "]", 1);
}

static void
copy_wanted(struct copy *c, const struct excerpt_member *wanted)
{
	if (wanted != NULL && *c->at == '{')
		copy_object(c, wanted);
	else if (wanted != NULL && *c->at == '[')
		copy_array(c, wanted);
	else
		copy_value(c);
}

/* Of those that are wanted, the one of this name; NULL if it is none. */
static const struct excerpt_member *
find(const struct copy *c, const struct excerpt_member *wanted,
    const char *name, size_t len)
{
	static const struct excerpt_member any = EXCERPT_END;

	/* With an escape in it, it could be one of them. */
	if (memchr(name, '\\', len) != NULL)
		return c->disguised ? &any : NULL;
	for (; wanted->name != NULL; wanted++) {
		if (strlen(wanted->name) == len &&
		    memcmp(wanted->name, name, len) == 0)
			return wanted;
	}
	return NULL;
}

/* NULL if it is not wanted; else the name is copied, and the value is to be. */
static const struct excerpt_member *
copy_name(struct copy *c, const struct excerpt_member *wanted,
    const char *comma)
{
	const char *from = c->at;
	const struct excerpt_member *m;
	size_t len;

	skip_string(c);
	len = (size_t)(c->at - from);
	m = find(c, wanted, from + 1, len - 2);
	if (m != NULL) {
		put(c, comma, strlen(comma));
		put(c, from, len);
		put(c, ":", 1);
	}
	skip_space(c);
	c->at++;
	skip_space(c);
	return m;
}

/* No deeper than the members that are wanted. */
static void
copy_object(struct copy *c, const struct excerpt_member *wanted)
{
	const char *comma = "";

	c->at++;
	put(c, "{", 1);
	while (next(c)) {
		const struct excerpt_member *m = copy_name(c, wanted, comma);

		if (m == NULL) {
			skip_value(c);
			continue;
		}
		comma = ",";
		copy_wanted(c, m->inside);
	}
	put(c, "}", 1);
}

size_t
excerpt(const struct excerpt_conf *conf, const char *bytes, size_t len,
    char *to)
{
	struct copy c = { bytes, bytes + len, to, conf->disguised };

	skip_space(&c);
	copy_wanted(&c, conf->wanted);
	return (size_t)(c.to - to);
}
