/*
 * A stream's one message, taken out of its DATA as that comes in pieces. Pure.
 * Never more memory than the message has, and that is LIMIT_GRPC_MESSAGE at
 * most.
 */
#ifndef GRPC_BODY_H
#define GRPC_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "grpc/message.h"
#include "grpc/status.h"

/* Zeroed at first. */
struct body {
	uint8_t prefix[GRPC_PREFIX];
	size_t got; /* bytes, prefix and all; never past the message */
	uint32_t len; /* of the message, once the prefix is there */
	uint8_t *msg; /* NULL: empty, or not there */
};

/*
 * GRPC_OK, or what is wrong with it and, in *why, constant text. After that
 * nothing is to be added.
 */
enum grpc_code body_add(struct body *b, const void *data, size_t len,
    const char **why);
/* No more will come: GRPC_OK if there is one whole message. */
enum grpc_code body_end(const struct body *b, const char **why);
/* Frees the message; *b is as at first. */
void body_free(struct body *b);

#endif
