/*
 * What a server answered to a unary call, as its headers, bytes and trailers
 * come, and what that means. Pure.
 */
#ifndef GRPC_RESPONSE_H
#define GRPC_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "grpc/body.h"
#include "grpc/status.h"

/* Zeroed at first. */
struct response {
	unsigned http; /* 0: no status came */
	bool grpc; /* by its content type */
	bool has_code;
	enum grpc_code code;
	enum grpc_code body_code; /* and what is wrong with the message */
	const char *body_why;
	struct body body; /* its msg is the answer */
	char text[LIMIT_TEXT];
};

/* Of headers and trailers alike. */
void response_header(struct response *r, const char *name, size_t name_len,
    const char *value, size_t len);
/* False: it will come to nothing. */
bool response_data(struct response *r, const void *data, size_t len);
/*
 * The stream was closed with HTTP/2's error code: what became of the call, and
 * in r->text why; "" for GRPC_OK.
 */
enum grpc_code response_end(struct response *r, uint32_t error);
void response_free(struct response *r);

#endif
