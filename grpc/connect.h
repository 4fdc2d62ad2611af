/*
 * A TCP connection to a name or address: each of its addresses is tried in
 * turn. Dead hosts are found by the kernel's keepalive, in about 50 s: HTTP/2's
 * PING is for servers, as those of gRPC take it amiss of a client that waits.
 */
#ifndef GRPC_CONNECT_H
#define GRPC_CONNECT_H

#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <stdint.h>

struct connect;

/* "[2001:db8::1]:8501", or a name and its address. */
#define CONNECT_PEER 384

struct connect_conf {
	struct event_base *base;
	struct evdns_base *dns; /* NULL: host is an address */
	const char *host; /* the caller's, until it is freed */
	uint16_t port;
	uint64_t timeout_ms; /* in all */
	/*
	 * Once, from the event loop: the caller's connection, or NULL; the
	 * text is its peer then, or says what failed. To be freed, in here or
	 * later.
	 */
	void (*done)(struct bufferevent *bev, const char *text, void *arg);
	void *arg;
};

struct connect *connect_new(const struct connect_conf *conf);
/* done() is not called any more. NULL is fine. */
void connect_free(struct connect *c);

#endif
