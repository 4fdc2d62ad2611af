#include "workers/consul_reader/elements.h"

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/json_scan.h"

enum state {
	ST_BEGIN,
	ST_FIRST, /* behind the opening bracket */
	ST_NEXT, /* behind a comma */
	ST_NAME,
	ST_COLON,
	ST_VALUE_BEGIN,
	ST_VALUE,
	ST_BEHIND,
	ST_END,
	ST_MAX
};

struct buffer {
	char *bytes;
	size_t len;
	size_t cap;
	bool large; /* too much came: it is not kept */
};

struct elements {
	elements_fn fn;
	void *arg;
	bool object;

	enum state state;
	struct json_scan scan; /* of the name or value that we are in */
	uint64_t offset; /* of what is looked at, for messages */
	struct buffer name;
	struct buffer value; /* of which a part came in an earlier piece */

	struct refusal *refusal;
};

/* A run of bytes: at moves up to end. */
struct piece {
	const char *at;
	const char *end;
};

static size_t
left(const struct piece *p)
{
	return (size_t)(p->end - p->at);
}

static bool
stop(struct elements *s, const char *why)
{
	refuse(s->refusal, "%s", why);
	return refusal_at(s->refusal, "byte %llu",
	    (unsigned long long)s->offset);
}

struct elements *
elements_new(bool object, elements_fn fn, struct refusal *r, void *arg)
{
	struct elements *s = xcalloc(1, sizeof(*s));

	s->object = object;
	s->fn = fn;
	s->arg = arg;
	s->refusal = r;
	return s;
}

void
elements_free(struct elements *s)
{
	if (s == NULL)
		return;
	free(s->name.bytes);
	free(s->value.bytes);
	free(s);
}

static void
clear(struct buffer *b)
{
	b->len = 0;
	b->large = false;
}

void
elements_begin(struct elements *s)
{
	s->state = ST_BEGIN;
	s->offset = 0;
	clear(&s->name);
	clear(&s->value);
	refusal_clear(s->refusal);
}

static void
append(struct buffer *b, const char *bytes, size_t len)
{
	size_t cap = b->cap > 0 ? b->cap : 4096;

	b->large = b->large || len > LIMIT_CONSUL_ELEMENT - b->len;
	if (b->large) {
		b->len = 0;
		return;
	}
	while (cap < b->len + len)
		cap *= 2;
	if (cap != b->cap)
		b->bytes = xreallocarray(b->bytes, cap, 1);
	b->cap = cap;
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
}

/* Runs the scan over the piece. */
static bool
scan(struct elements *s, struct piece *p)
{
	size_t n = json_scan(&s->scan, p->at, left(p));

	p->at += n;
	s->offset += n;
	if (s->scan.status == JSON_BAD)
		return stop(s, s->scan.why);
	return true;
}

static bool
expect(struct elements *s, struct piece *p, char c, enum state next,
    const char *why)
{
	if (*p->at != c)
		return stop(s, why);
	p->at++;
	s->offset++;
	s->state = next;
	return true;
}

static char
closing(const struct elements *s)
{
	return s->object ? '}' : ']';
}

static bool
on_begin(struct elements *s, struct piece *p)
{
	if (s->object)
		return expect(s, p, '{', ST_FIRST, "not a JSON object");
	return expect(s, p, '[', ST_FIRST, "not a JSON array");
}

static bool
on_next(struct elements *s, struct piece *p)
{
	if (!s->object) {
		s->state = ST_VALUE_BEGIN;
		return true;
	}
	if (*p->at != '"')
		return stop(s, "a member's name was expected");
	json_scan_init(&s->scan, 0);
	clear(&s->name);
	s->state = ST_NAME;
	return true;
}

static bool
on_first(struct elements *s, struct piece *p)
{
	if (*p->at == closing(s))
		return expect(s, p, closing(s), ST_END, "");
	return on_next(s, p);
}

static bool
on_name(struct elements *s, struct piece *p)
{
	const char *from = p->at;

	if (!scan(s, p))
		return false;
	append(&s->name, from, (size_t)(p->at - from));
	if (s->scan.status == JSON_DONE)
		s->state = ST_COLON;
	return true;
}

static bool
on_colon(struct elements *s, struct piece *p)
{
	return expect(s, p, ':', ST_VALUE_BEGIN, "a colon was expected");
}

static bool
on_value_begin(struct elements *s, struct piece *p)
{
	(void)p;
	json_scan_init(&s->scan, LIMIT_CONSUL_DEPTH);
	s->scan.any_names = true;
	clear(&s->value);
	s->state = ST_VALUE;
	return true;
}

static bool
hand_out(struct elements *s, const char *bytes, size_t len)
{
	struct element e = {
		.name = s->object ? s->name.bytes : "",
		.name_len = s->object ? s->name.len : 0,
		.bytes = bytes,
		.len = len,
		.large = s->name.large || s->value.large,
	};

	s->state = ST_BEHIND;
	return s->fn(&e, s->arg) || stop(s, "an element is not as expected");
}

/* Whole in this piece, or with its start in the buffer. */
static bool
on_value(struct elements *s, struct piece *p)
{
	const char *from = p->at;
	bool done;

	if (!scan(s, p))
		return false;
	done = s->scan.status == JSON_DONE;
	if (done && s->value.len == 0 && !s->value.large)
		return hand_out(s, from, (size_t)(p->at - from));
	append(&s->value, from, (size_t)(p->at - from));
	return !done || hand_out(s, s->value.bytes, s->value.len);
}

static bool
on_behind(struct elements *s, struct piece *p)
{
	if (*p->at == ',')
		return expect(s, p, ',', ST_NEXT, "");
	return expect(s, p, closing(s), ST_END,
	    "a comma or closing bracket was expected");
}

static bool
on_end(struct elements *s, struct piece *p)
{
	(void)p;
	return stop(s, "something stands behind it");
}

static bool (*const steps[ST_MAX])(struct elements *, struct piece *) = {
	[ST_BEGIN] = on_begin,
	[ST_FIRST] = on_first,
	[ST_NEXT] = on_next,
	[ST_NAME] = on_name,
	[ST_COLON] = on_colon,
	[ST_VALUE_BEGIN] = on_value_begin,
	[ST_VALUE] = on_value,
	[ST_BEHIND] = on_behind,
	[ST_END] = on_end,
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Inside of a name or value, white space is the scan's. */
static bool
skips_space(enum state state)
{
	return state != ST_NAME && state != ST_VALUE;
}

bool
elements_feed(struct elements *s, const char *data, size_t len)
{
	struct piece p = { data, data + len };

	if (refused(s->refusal))
		return false;
	while (p.at < p.end) {
		if (skips_space(s->state) && is_space(*p.at)) {
			p.at++;
			s->offset++;
		} else if (!steps[s->state](s, &p)) {
			return false;
		}
	}
	return true;
}

bool
elements_end(struct elements *s)
{
	if (refused(s->refusal))
		return false;
	if (s->state == ST_BEGIN)
		return stop(s, "the body is empty");
	return s->state == ST_END || stop(s, "the body is cut off");
}
