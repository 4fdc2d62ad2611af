#include "workers/kubelet_reader/excerpt.h"

#include <stdbool.h>
#include <string.h>

struct member {
	const char *name; /* NULL: behind the last */
	/* What of it, or of each object in it if it is a list. NULL: all. */
	const struct member *inside;
};

#define END \
	{ \
		NULL, NULL \
	}

static const struct member in_port[] = { { "containerPort", NULL }, END };
static const struct member in_container[] = { { "name", NULL },
	{ "ports", in_port }, END };
static const struct member in_init_container[] = { { "name", NULL },
	{ "restartPolicy", NULL }, END };
static const struct member in_gate[] = { { "conditionType", NULL }, END };
static const struct member in_address[] = { { "ip", NULL }, END };
static const struct member in_condition[] = { { "type", NULL },
	{ "status", NULL }, END };
static const struct member in_container_status[] = { { "name", NULL },
	{ "ready", NULL }, END };

static const struct member in_metadata[] = { { "name", NULL },
	{ "namespace", NULL }, { "uid", NULL }, { "deletionTimestamp", NULL },
	{ "annotations", NULL }, END };
static const struct member in_spec[] = { { "nodeName", NULL },
	{ "hostNetwork", NULL }, { "readinessGates", in_gate },
	{ "containers", in_container }, { "initContainers", in_init_container },
	END };
static const struct member in_status[] = { { "phase", NULL }, { "podIP", NULL },
	{ "hostIP", NULL }, { "podIPs", in_address }, { "hostIPs", in_address },
	{ "conditions", in_condition },
	{ "containerStatuses", in_container_status },
	{ "initContainerStatuses", in_container_status }, END };

static const struct member in_pod[] = { { "metadata", in_metadata },
	{ "spec", in_spec }, { "status", in_status }, END };

/* at moves up to end, and to behind what was written. */
struct copy {
	const char *at;
	const char *end;
	char *to;
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

static void copy_object(struct copy *c, const struct member *wanted);

static void
copy_array(struct copy *c, const struct member *wanted)
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
copy_wanted(struct copy *c, const struct member *wanted)
{
	if (wanted != NULL && *c->at == '{')
		copy_object(c, wanted);
	else if (wanted != NULL && *c->at == '[')
		copy_array(c, wanted);
	else
		copy_value(c);
}

/* Of those that are wanted, the one of this name; NULL if it is none. */
static const struct member *
find(const struct member *wanted, const char *name, size_t len)
{
	static const struct member disguised = END;

	/* With an escape in it, it could be one of them. */
	if (memchr(name, '\\', len) != NULL)
		return &disguised;
	for (; wanted->name != NULL; wanted++) {
		if (strlen(wanted->name) == len &&
		    memcmp(wanted->name, name, len) == 0)
			return wanted;
	}
	return NULL;
}

/* NULL if it is not wanted; else the name is copied, and the value is to be. */
static const struct member *
copy_name(struct copy *c, const struct member *wanted, const char *comma)
{
	const char *from = c->at;
	const struct member *m;
	size_t len;

	skip_string(c);
	len = (size_t)(c->at - from);
	m = find(wanted, from + 1, len - 2);
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

/* No deeper than the members above are. */
static void
copy_object(struct copy *c, const struct member *wanted)
{
	const char *comma = "";

	c->at++;
	put(c, "{", 1);
	while (next(c)) {
		const struct member *m = copy_name(c, wanted, comma);

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
excerpt(const char *bytes, size_t len, char *to)
{
	struct copy c = { bytes, bytes + len, to };

	skip_space(&c);
	copy_object(&c, in_pod);
	return (size_t)(c.to - to);
}
