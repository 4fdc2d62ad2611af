/*
 * What the parts of the server share: server.c has the listeners and who of
 * the connections makes room, server_conn.c one connection, server_call.c one
 * call, and none calls the one before it but by what stands here.
 */
#ifndef GRPC_SERVER_INSIDE_H
#define GRPC_SERVER_INSIDE_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include "grpc/body.h"
#include "grpc/h2.h"
#include "grpc/server.h"

/* One address, as long as it has a connection. */
struct peer {
	RB_ENTRY(peer) entry;
	uint8_t address[16]; /* of IPv4: as IPv6 maps it */
	size_t connections;
	size_t calls; /* streams */
	TAILQ_HEAD(, conn) idle; /* oldest first */
};
RB_HEAD(peer_tree, peer);

struct listener {
	TAILQ_ENTRY(listener) link;
	struct evconnlistener *listener;
	struct event *again; /* accept, after a pause */
	struct grpc_server *server;
};

struct grpc_server {
	struct grpc_server_conf conf;
	TAILQ_HEAD(, listener) listeners;
	TAILQ_HEAD(, conn) idle; /* oldest first */
	TAILQ_HEAD(, conn) busy;
	struct peer_tree peers;
	struct grpc_counts counts;
	struct grpc_patience patience;
	size_t streams; /* calls that take memory, begun or not */
	size_t crowd; /* most connections since memory was given back */
	struct event *crowd_left;
	bool *owned; /* by descriptor */
	size_t nowned;
};

struct conn {
	TAILQ_ENTRY(conn) link; /* of the server's idle or busy ones */
	TAILQ_ENTRY(conn) peer_link; /* of its address's, while idle */
	struct grpc_server *server;
	struct peer *peer;
	struct h2 *h2;
	struct event *timer;
	TAILQ_HEAD(, grpc_call) calls;
	size_t running; /* of them; idle without */
	uint64_t pinged_ms; /* the last time; 0: never */
	int fd;
	bool greeted; /* its SETTINGS came */
	bool leaving; /* good-bye was said */
	struct sockaddr_storage remote;
	struct sockaddr_storage local;
};

/* What a request's headers said. */
struct request {
	size_t header_bytes;
	bool post;
	bool grpc; /* by its content type */
	bool encoded;
	bool bad_timeout;
	bool has_timeout;
	uint64_t timeout_ms;
};

enum call_phase {
	CALL_COMES, /* headers and message */
	CALL_RUNS, /* begin() was called */
	CALL_ENDED /* answered, or gone */
};

struct grpc_call {
	TAILQ_ENTRY(grpc_call) link;
	struct conn *conn;
	int32_t stream;
	enum call_phase phase;
	const struct grpc_method *method;
	struct request request;
	uint64_t deadline_ms; /* 0: none, or the headers are not all there */
	struct body body;
	struct event *timer;
	bool late; /* that timer is the deadline's, though it has not begun */
	uint8_t *answer; /* prefix and message */
	size_t answer_len;
	size_t answer_sent;
	void *arg;
};

/* server.c: what it holds. A new connection is idle. */
void server_accept(struct grpc_server *s, int fd, const struct sockaddr *sa,
    socklen_t len);
void server_remember(struct conn *c);
void server_forget(struct conn *c);
void server_idle(struct conn *c);
void server_busy(struct conn *c);

/* server_conn.c: takes the socket over. */
void conn_new(struct grpc_server *s, int fd, struct peer *peer,
    const struct sockaddr *remote, socklen_t len);
/* Its calls are gone(). */
void conn_free(struct conn *c);
/* One of its calls runs, or runs no more. */
void conn_started(struct conn *c);
void conn_ended(struct conn *c);
/* Good-bye; it may end its calls. */
void conn_leave(struct conn *c);
/* Good-bye at once. */
void conn_evict(struct conn *c);

/* server_call.c */
/* NULL: too many. */
struct grpc_call *call_new(struct conn *c, int32_t stream);
/* It is gone() if it runs. */
void call_free(struct grpc_call *call);
void call_header(struct grpc_call *call, const char *name, size_t name_len,
    const char *value, size_t len);
void call_headers_end(struct grpc_call *call);
void call_data(struct grpc_call *call, const void *data, size_t len);
void call_request_end(struct grpc_call *call);
/* Trailers only. */
void call_refuse(struct conn *c, int32_t stream, enum grpc_code code,
    const char *text);

#endif
