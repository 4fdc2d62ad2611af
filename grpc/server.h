/*
 * A gRPC server for unary calls: cleartext HTTP/2 by libnghttp2 on
 * bufferevents, on listening sockets that somebody else made. A call that
 * waits costs memory only.
 *
 * What a client sends is bounded (limits.h): connections, also by address,
 * streams, calls, headers, messages, time without a call. Of idle connections
 * the oldest makes room for a new one; one with a call is never closed for
 * that. Dead peers are found by PING. What breaks HTTP/2 ends its connection;
 * what breaks gRPC gets its status.
 */
#ifndef GRPC_SERVER_H
#define GRPC_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "grpc/status.h"

struct grpc_server;
struct grpc_call;

struct grpc_method {
	const char *path; /* "/package.Service/Method" */
	/*
	 * The request's message, whole and not compressed, valid during the
	 * call. To be answered by grpc_call_end(), here or later, once.
	 */
	void (*begin)(struct grpc_call *c, const void *msg, size_t len,
	    void *arg);
	/*
	 * It ends without an answer of ours: cancelled, its deadline passed,
	 * its connection gone. c is void afterwards. May be NULL for a method
	 * that answers in begin().
	 */
	void (*gone)(struct grpc_call *c, void *arg);
};

/* As counted so far; calls by the code that they ended with. */
struct grpc_counts {
	size_t connections; /* now */
	size_t calls; /* now */
	uint64_t accepted;
	uint64_t refused; /* connections, for want of room */
	uint64_t broken; /* connections that were no HTTP/2 */
	uint64_t ended[GRPC_CODES];
};

/* How long it is patient. */
struct grpc_patience {
	uint64_t greeting_ms; /* until preface and SETTINGS are there */
	uint64_t transfer_ms; /* for a request to come, an answer to go */
	uint64_t idle_ms; /* without a call */
	uint64_t silence_ms; /* with one: then it is asked */
	uint64_t pong_ms; /* and has this long to answer */
	uint64_t stalled_ms; /* it reads nothing of what was sent */
};

struct grpc_server_conf {
	struct event_base *base;
	const struct grpc_method *methods; /* the caller's, for its life */
	size_t nmethods;
	void *arg; /* for begin() and gone() */
	const struct grpc_patience *patience; /* NULL: as it should be */
};

struct grpc_server *grpc_server_new(const struct grpc_server_conf *conf);
/*
 * Closes all connections; calls that are there are gone(). Not from inside
 * begin() or gone(). NULL is fine.
 */
void grpc_server_free(struct grpc_server *s);
/* Takes the listening socket over. */
void grpc_server_listen(struct grpc_server *s, int fd);
/* No new calls (GOAWAY); those that are there may end. */
void grpc_server_drain(struct grpc_server *s);
struct grpc_counts grpc_server_counts(const struct grpc_server *s);
/* Whether a descriptor is one of its connections. */
bool grpc_server_owns(const struct grpc_server *s, int fd);

/* The two ends of its connection. */
const struct sockaddr *grpc_call_peer(const struct grpc_call *c);
const struct sockaddr *grpc_call_local(const struct grpc_call *c);
/* The caller's of this module, NULL at first. */
void grpc_call_set_arg(struct grpc_call *c, void *arg);
void *grpc_call_arg(const struct grpc_call *c);
/*
 * The end: for GRPC_OK the answer (len bytes, may be 0), else text for people.
 * c is void afterwards.
 */
void grpc_call_end(struct grpc_call *c, enum grpc_code code, const char *text,
    const void *msg, size_t len);

#endif
