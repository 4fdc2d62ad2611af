#include "grpc/response.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define TYPE     "application/grpc"

#define HTTP_OK  200

static bool
is(const char *s, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(s, text, len) == 0;
}

static void
take_http(struct response *r, const char *value, size_t len)
{
	r->http = 0;
	for (size_t i = 0; i < len && i < 3; i++)
		r->http = r->http * 10 + (unsigned)(value[i] - '0');
}

static void
take_type(struct response *r, const char *value, size_t len)
{
	r->grpc = len >= strlen(TYPE) && memcmp(value, TYPE, strlen(TYPE)) == 0;
}

static void
take_code(struct response *r, const char *value, size_t len)
{
	r->has_code = true;
	r->code = grpc_code_parse(value, len);
}

static void
take_text(struct response *r, const char *value, size_t len)
{
	grpc_message_decode(value, len, r->text, sizeof(r->text));
}

static const struct {
	const char *name;
	void (*take)(struct response *r, const char *value, size_t len);
} taken[] = {
	{ ":status", take_http },
	{ "content-type", take_type },
	{ "grpc-status", take_code },
	{ "grpc-message", take_text },
};

void
response_header(struct response *r, const char *name, size_t name_len,
    const char *value, size_t len)
{
	for (size_t i = 0; i < COUNT(taken); i++)
		if (is(name, name_len, taken[i].name))
			taken[i].take(r, value, len);
}

/* An error's page is no message. */
bool
response_data(struct response *r, const void *data, size_t len)
{
	if (r->http != HTTP_OK || !r->grpc)
		return true;
	r->body_code = body_add(&r->body, data, len, &r->body_why);
	return r->body_code == GRPC_OK;
}

static enum grpc_code
end(struct response *r, enum grpc_code code, const char *text)
{
	strlcpy(r->text, text, sizeof(r->text));
	return code;
}

/* "HTTP2 Transport Mapping" of PROTOCOL-HTTP2.md; others are INTERNAL. */
static const struct {
	uint32_t error;
	enum grpc_code code;
	const char *text;
} errors[] = {
	{ 0x0, GRPC_INTERNAL, "the stream ended without a status" },
	{ 0x1, GRPC_INTERNAL, "the stream broke HTTP/2's rules" },
	{ 0x7, GRPC_UNAVAILABLE, "the server takes no call now" },
	{ 0x8, GRPC_CANCELLED, "the server cancelled the call" },
	{ 0xb, GRPC_RESOURCE_EXHAUSTED, "the server has enough of us" },
	{ 0xc, GRPC_PERMISSION_DENIED, "the server wants TLS" },
};

static enum grpc_code
end_reset(struct response *r, uint32_t error)
{
	for (size_t i = 0; i < COUNT(errors); i++)
		if (errors[i].error == error)
			return end(r, errors[i].code, errors[i].text);
	snprintf(r->text, sizeof(r->text), "the stream ended with error %u",
	    error);
	return GRPC_INTERNAL;
}

/* A server that answers what cannot be read is at fault, whatever it lacks. */
static enum grpc_code
end_message(struct response *r, enum grpc_code code)
{
	if (code == GRPC_OK)
		return end(r, GRPC_OK, "");
	return end(r, code == GRPC_RESOURCE_EXHAUSTED ? code : GRPC_INTERNAL,
	    r->body_why);
}

static enum grpc_code
end_http(struct response *r)
{
	snprintf(r->text, sizeof(r->text), "HTTP status %u in place of gRPC's",
	    r->http);
	return grpc_code_of_http(r->http);
}

enum grpc_code
response_end(struct response *r, uint32_t error)
{
	if (r->body_code != GRPC_OK)
		return end_message(r, r->body_code);
	if (r->has_code && r->code != GRPC_OK)
		return r->code;
	if (r->has_code)
		return end_message(r, body_end(&r->body, &r->body_why));
	if (r->http != 0 && r->http != HTTP_OK)
		return end_http(r);
	if (r->http == HTTP_OK && !r->grpc)
		return end(r, GRPC_UNKNOWN, "the answer is not gRPC");
	return end_reset(r, error);
}

void
response_free(struct response *r)
{
	body_free(&r->body);
}
