/*
 * libFuzzer: messages and headers of gRPC as anybody may send them. What is
 * decoded can be encoded and decoded again; a body is the same in whatever
 * pieces it comes.
 */
#include <stdlib.h>
#include <string.h>

#include "grpc/body.h"
#include "grpc/message.h"
#include "grpc/response.h"
#include "grpc/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
requests(const uint8_t *data, size_t size)
{
	struct sidecar_request r, back;
	char buf[sizeof(r) + 16], service[8];
	size_t len;

	health_request_decode(data, size, service, sizeof(service));
	must(strnlen(service, sizeof(service)) < sizeof(service));
	if (sidecar_request_decode(data, size, &r) != NULL)
		return;
	len = sidecar_request_encode(&r, buf, sizeof(buf));
	must(len > 0);
	must(sidecar_request_decode(buf, len, &back) == NULL);
	must(strcmp(r.namespace, back.namespace) == 0);
	must(strcmp(r.pod, back.pod) == 0);
	must(strcmp(r.container, back.container) == 0);
}

static enum grpc_code
take_body(struct body *b, const uint8_t *data, size_t size, size_t piece)
{
	enum grpc_code code = GRPC_OK;
	const char *why;
	size_t n;

	for (; size > 0 && code == GRPC_OK; data += n, size -= n) {
		n = size < piece ? size : piece;
		code = body_add(b, data, n, &why);
	}
	return code == GRPC_OK ? body_end(b, &why) : code;
}

static void
bodies(const uint8_t *data, size_t size)
{
	struct body whole = { 0 }, torn = { 0 };
	enum grpc_code code = take_body(&whole, data, size, size);

	must(take_body(&torn, data, size, 1) == code);
	must(code != GRPC_OK || whole.len == torn.len);
	must(code != GRPC_OK || whole.len == 0 ||
	    memcmp(whole.msg, torn.msg, whole.len) == 0);
	body_free(&whole);
	body_free(&torn);
}

static void
headers(const char *s, size_t len)
{
	static const char *const names[] = { ":status", "content-type",
		"grpc-status", "grpc-message" };
	char text[64], wire[sizeof(text) * 3 + 1], back[64];
	struct response r = { 0 };
	uint64_t ms;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		response_header(&r, names[i], strlen(names[i]), s, len);
	must(response_end(&r, 0) < GRPC_CODES);
	response_free(&r);
	if (grpc_timeout_parse(s, len, &ms))
		grpc_timeout_format(ms, text);
	grpc_message_decode(s, len, text, sizeof(text));
	grpc_message_encode(text, wire, sizeof(wire));
	grpc_message_decode(wire, strlen(wire), back, sizeof(back));
	must(strcmp(text, back) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	requests(data, size);
	bodies(data, size);
	headers((const char *)data, size);
	return 0;
}
