/*
 * gRPC's status codes, and its header values as text: timeouts and messages.
 * Pure. From "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and "Status codes"
 * (statuscodes.md) of the gRPC project.
 */
#ifndef GRPC_STATUS_H
#define GRPC_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
	GRPC_CODES
};

/* "NOT_FOUND"; "UNKNOWN" for what is none. */
const char *grpc_code_name(unsigned code);
/* grpc-status, 0..16, in decimal. Others, as the protocol says: UNKNOWN. */
enum grpc_code grpc_code_parse(const char *s, size_t len);
/* What an HTTP status other than 200 without grpc-status stands for. */
enum grpc_code grpc_code_of_http(unsigned status);

/*
 * grpc-timeout: 1 to 8 digits and a unit of H M S m u n. Rounded up to
 * milliseconds. False: not one.
 */
bool grpc_timeout_parse(const char *s, size_t len, uint64_t *ms);
#define GRPC_TIMEOUT 16
/* In the finest unit that fits; with a NUL. */
void grpc_timeout_format(uint64_t ms, char buf[GRPC_TIMEOUT]);

/*
 * grpc-message: what is not printable ASCII, and %, is percent-encoded; cut at
 * cap, never inside an escape. The other way, what is no escape stands for
 * itself. Both with a NUL.
 */
void grpc_message_encode(const char *text, char *buf, size_t cap);
void grpc_message_decode(const char *s, size_t len, char *buf, size_t cap);

#endif
