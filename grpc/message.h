/*
 * The messages of katalogsync.KatalogSync and grpc.health.v1.Health, in
 * protobuf's wire format, and the 5 bytes that stand before each message of a
 * stream. Pure. Three strings and a number are no reason for a generator and
 * its library in processes that read from any pod.
 *
 *	Register, Deregister	Namespace = 1, PodName = 2, ContainerName = 3,
 *				all strings; answers are empty
 *	Health/Check		service = 1, a string; status = 1, a number
 */
#ifndef GRPC_MESSAGE_H
#define GRPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

#define GRPC_REGISTER   "/katalogsync.KatalogSync/Register"
#define GRPC_DEREGISTER "/katalogsync.KatalogSync/Deregister"
#define GRPC_HEALTH     "/grpc.health.v1.Health/Check"

/* Compressed or not (0, 1), and the length in network byte order. */
#define GRPC_PREFIX 5
void grpc_prefix_put(uint8_t *buf, uint32_t len);
/* False: the flag is neither 0 nor 1. */
bool grpc_prefix_get(const uint8_t *buf, bool *compressed, uint32_t *len);

struct sidecar_request {
	char namespace[LIMIT_K8S_NAMESPACE + 1];
	char pod[LIMIT_K8S_NAME + 1];
	char container[LIMIT_K8S_NAMESPACE + 1];
};

/* Bytes written, 0 if it does not fit in cap. */
size_t sidecar_request_encode(const struct sidecar_request *r, void *buf,
    size_t cap);
/*
 * Unknown fields are passed over, of a repeated one the last counts, as
 * protobuf has it. NULL, or why not (constant text): not protobuf, a text
 * that is too long, is not UTF-8 or has a NUL. What is not there is "".
 */
const char *sidecar_request_decode(const void *buf, size_t len,
    struct sidecar_request *r);

enum grpc_health { GRPC_HEALTH_UNKNOWN, GRPC_SERVING, GRPC_NOT_SERVING };

/* service has cap bytes. As sidecar_request_decode(). */
const char *health_request_decode(const void *buf, size_t len, char *service,
    size_t cap);
size_t health_answer_encode(enum grpc_health status, void *buf, size_t cap);

#endif
