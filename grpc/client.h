/*
 * A gRPC client for one server and unary calls, one at a time is enough for
 * whom it serves: cleartext HTTP/2 by libnghttp2 on a bufferevent. Connects
 * when a call wants it and keeps the connection.
 */
#ifndef GRPC_CLIENT_H
#define GRPC_CLIENT_H

#include <event2/dns.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/status.h"

struct grpc_client;

struct grpc_client_conf {
	struct event_base *base;
	/* NULL: host is an address. */
	struct evdns_base *dns;
	const char *host; /* a name or address */
	uint16_t port;
	const char *authority; /* the :authority header */
	uint64_t connect_ms; /* until it is connected, name and all */
};

/*
 * The call's end. text says why it failed, "" for GRPC_OK; what has no answer
 * is GRPC_UNAVAILABLE or GRPC_DEADLINE_EXCEEDED. Not called from inside
 * grpc_client_call().
 */
typedef void grpc_client_done(enum grpc_code code, const char *text,
    const void *msg, size_t len, void *arg);

struct grpc_client *grpc_client_new(const struct grpc_client_conf *conf);
/* Ends a call without a word to done(). NULL is fine. */
void grpc_client_free(struct grpc_client *c);
/*
 * One at a time: a call while another is there is a bug, and fatal. msg is
 * copied. timeout_ms 0: none; else sent along, and kept here, too.
 */
void grpc_client_call(struct grpc_client *c, const char *path, const void *msg,
    size_t len, uint64_t timeout_ms, grpc_client_done *done, void *arg);
/* RST_STREAM; done() is not called. Fine without a call. */
void grpc_client_cancel(struct grpc_client *c);

#endif
