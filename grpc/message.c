#include "grpc/message.h"

#include <arpa/inet.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* protobuf's wire types. Groups, which it gave up, count as nonsense. */
enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

#define TAG(number, wire) ((number) << 3 | (wire))
/* A tag is a uint32: numbers are 1..2^29-1. */
#define TAG_MOST UINT32_MAX

static const char not_protobuf[] = "the message is not protobuf";

struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

struct field {
	uint64_t tag;
	const uint8_t *bytes; /* NULL but for WIRE_BYTES */
	size_t len;
};

/* Where a string field goes. */
struct target {
	unsigned number;
	char *buf;
	size_t cap;
	const char *too_long;
	const char *no_text;
};

void
grpc_prefix_put(uint8_t *buf, uint32_t len)
{
	uint32_t n = htonl(len);

	buf[0] = 0;
	memcpy(buf + 1, &n, sizeof(n));
}

bool
grpc_prefix_get(const uint8_t *buf, bool *compressed, uint32_t *len)
{
	uint32_t n;

	memcpy(&n, buf + 1, sizeof(n));
	*compressed = buf[0] == 1;
	*len = ntohl(n);
	return buf[0] <= 1;
}

static bool
varint(struct reader *r, uint64_t *n)
{
	*n = 0;
	for (unsigned shift = 0; shift < 70 && r->at < r->end; shift += 7) {
		uint8_t byte = *r->at++;

		*n |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static bool
skip(struct reader *r, uint64_t n)
{
	if (n > (uint64_t)(r->end - r->at))
		return false;
	r->at += n;
	return true;
}

static bool
length_delimited(struct reader *r, struct field *f)
{
	uint64_t len;

	if (!varint(r, &len))
		return false;
	f->bytes = r->at;
	f->len = (size_t)len;
	return skip(r, len);
}

/* False: not protobuf. */
static bool
next_field(struct reader *r, struct field *f)
{
	uint64_t number;

	*f = (struct field){ 0 };
	if (!varint(r, &f->tag) || f->tag > TAG_MOST || f->tag >> 3 == 0)
		return false;
	switch (f->tag & 7) {
	case WIRE_VARINT:
		return varint(r, &number);
	case WIRE_64:
		return skip(r, 8);
	case WIRE_BYTES:
		return length_delimited(r, f);
	case WIRE_32:
		return skip(r, 4);
	default:
		return false;
	}
}

/*
 * How long the sequence is that a byte begins, and the range of the second
 * one, which keeps out surrogates, overlong forms and what is past U+10FFFF.
 */
static const struct utf8 {
	uint8_t first, last;
	uint8_t len;
	uint8_t low, high;
} sequences[] = {
	{ 0x01, 0x7f, 1, 0, 0 }, /* and no NUL */
	{ 0xc2, 0xdf, 2, 0x80, 0xbf },
	{ 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf },
	{ 0xed, 0xed, 3, 0x80, 0x9f },
	{ 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf },
	{ 0xf1, 0xf3, 4, 0x80, 0xbf },
	{ 0xf4, 0xf4, 4, 0x80, 0x8f },
};

static const struct utf8 *
sequence_of(uint8_t first)
{
	for (size_t i = 0; i < COUNT(sequences); i++)
		if (first >= sequences[i].first && first <= sequences[i].last)
			return &sequences[i];
	return NULL;
}

static bool
sequence_holds(const struct utf8 *u, const uint8_t *s, size_t len)
{
	if (u == NULL || u->len > len)
		return false;
	if (u->len > 1 && (s[1] < u->low || s[1] > u->high))
		return false;
	for (size_t i = 2; i < u->len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return false;
	return true;
}

static bool
is_text(const uint8_t *s, size_t len)
{
	const struct utf8 *u;

	for (size_t i = 0; i < len; i += u->len) {
		u = sequence_of(s[i]);
		if (!sequence_holds(u, s + i, len - i))
			return false;
	}
	return true;
}

static const char *
take(const struct target *t, const struct field *f)
{
	if (f->len >= t->cap)
		return t->too_long;
	if (!is_text(f->bytes, f->len))
		return t->no_text;
	if (f->len > 0)
		memcpy(t->buf, f->bytes, f->len);
	t->buf[f->len] = '\0';
	return NULL;
}

static const struct target *
target_of(const struct target *targets, size_t n, uint64_t tag)
{
	for (size_t i = 0; i < n; i++)
		if (TAG(targets[i].number, WIRE_BYTES) == tag)
			return &targets[i];
	return NULL;
}

static const char *
decode(const void *buf, size_t len, const struct target *targets, size_t n)
{
	struct reader r = { .at = buf };
	const struct target *t;
	const char *why;
	struct field f;

	for (size_t i = 0; i < n; i++)
		targets[i].buf[0] = '\0';
	if (len == 0)
		return NULL;
	r.end = r.at + len;
	while (r.at < r.end) {
		if (!next_field(&r, &f))
			return not_protobuf;
		t = target_of(targets, n, f.tag);
		if (t != NULL && (why = take(t, &f)) != NULL)
			return why;
	}
	return NULL;
}

const char *
sidecar_request_decode(const void *buf, size_t len, struct sidecar_request *r)
{
	const struct target targets[] = {
		{ 1, r->namespace, sizeof(r->namespace),
		    "Namespace is too long", "Namespace is not text" },
		{ 2, r->pod, sizeof(r->pod), "PodName is too long",
		    "PodName is not text" },
		{ 3, r->container, sizeof(r->container),
		    "ContainerName is too long", "ContainerName is not text" },
	};

	return decode(buf, len, targets, COUNT(targets));
}

const char *
health_request_decode(const void *buf, size_t len, char *service, size_t cap)
{
	const struct target target = { 1, service, cap, "service is too long",
		"service is not text" };

	return decode(buf, len, &target, 1);
}

static size_t
varint_put(uint8_t *buf, size_t n)
{
	size_t i = 0;

	for (; n >= 0x80; n >>= 7)
		buf[i++] = (uint8_t)(n | 0x80);
	buf[i++] = (uint8_t)n;
	return i;
}

size_t
sidecar_request_encode(const struct sidecar_request *r, void *buf, size_t cap)
{
	const char *const texts[] = { r->namespace, r->pod, r->container };
	uint8_t head[1 + sizeof(size_t) * 8 / 7 + 1], *out = buf;
	size_t n = 0, head_len, len;

	for (size_t i = 0; i < COUNT(texts); i++) {
		len = strlen(texts[i]);
		head[0] = (uint8_t)TAG(i + 1, WIRE_BYTES);
		head_len = 1 + varint_put(head + 1, len);
		if (head_len + len > cap - n)
			return 0;
		memcpy(out + n, head, head_len);
		memcpy(out + n + head_len, texts[i], len);
		n += head_len + len;
	}
	return n;
}

size_t
health_answer_encode(enum grpc_health status, void *buf, size_t cap)
{
	const uint8_t answer[] = { TAG(1, WIRE_VARINT), (uint8_t)status };

	if (cap < sizeof(answer))
		return 0;
	memcpy(buf, answer, sizeof(answer));
	return sizeof(answer);
}
