#include "grpc/body.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

static enum grpc_code
refused(enum grpc_code code, const char *text, const char **why)
{
	*why = text;
	return code;
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static enum grpc_code
prefix_done(struct body *b, const char **why)
{
	bool compressed;

	if (!grpc_prefix_get(b->prefix, &compressed, &b->len))
		return refused(GRPC_INTERNAL,
		    "the message's compressed flag is neither 0 nor 1", why);
	if (compressed)
		return refused(GRPC_UNIMPLEMENTED,
		    "the message is compressed, with which encoding nobody "
		    "said",
		    why);
	if (b->len > LIMIT_GRPC_MESSAGE)
		return refused(GRPC_RESOURCE_EXHAUSTED,
		    "the message is too large", why);
	if (b->len > 0)
		b->msg = xmalloc(b->len);
	return GRPC_OK;
}

/* Takes what it needs of *data. */
static enum grpc_code
add_prefix(struct body *b, const uint8_t **data, size_t *len, const char **why)
{
	size_t n;

	if (b->got >= GRPC_PREFIX)
		return GRPC_OK;
	n = smaller(*len, GRPC_PREFIX - b->got);
	memcpy(b->prefix + b->got, *data, n);
	b->got += n;
	*data += n;
	*len -= n;
	return b->got == GRPC_PREFIX ? prefix_done(b, why) : GRPC_OK;
}

enum grpc_code
body_add(struct body *b, const void *data, size_t len, const char **why)
{
	const uint8_t *at = data;
	enum grpc_code code;
	size_t have, n;

	if (len == 0)
		return GRPC_OK;
	if ((code = add_prefix(b, &at, &len, why)) != GRPC_OK || len == 0)
		return code;
	have = b->got - GRPC_PREFIX;
	n = smaller(len, b->len - have);
	if (n > 0)
		memcpy(b->msg + have, at, n);
	b->got += n;
	/* statuscodes.md: a violation of the request's cardinality */
	if (n < len)
		return refused(GRPC_UNIMPLEMENTED,
		    "more than the one message of a unary call", why);
	return GRPC_OK;
}

enum grpc_code
body_end(const struct body *b, const char **why)
{
	if (b->got == 0)
		return refused(GRPC_UNIMPLEMENTED,
		    "no message, where a unary call has one", why);
	if (b->got < GRPC_PREFIX || b->got - GRPC_PREFIX < b->len)
		return refused(GRPC_INTERNAL, "the message is cut short", why);
	return GRPC_OK;
}

void
body_free(struct body *b)
{
	free(b->msg);
	*b = (struct body){ 0 };
}
