/*
 * Clients of an evhttp server that send far ahead of it. It reads on, and uses
 * nothing of it, while an answer waits for its client to take it; and it bounds
 * no line that is to tell a chunk's size.
 */
#ifndef AHEAD_H
#define AHEAD_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/socket.h>

#include "common/limits.h"
#include "common/log.h"

static inline void
ahead_check(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
	size_t len = evbuffer_get_length(in);

	if (info->n_added == 0 || len <= LIMIT_HTTP_AHEAD)
		return;
	shutdown(bufferevent_getfd((struct bufferevent *)arg), SHUT_RDWR);
	evbuffer_drain(in, len);
}

/*
 * For evhttp_set_bevcb(): a client that is cut off when LIMIT_HTTP_AHEAD bytes
 * of it wait. (A watermark would not do: where it stops reading there is no
 * timeout and no EOF, and libevent calls evhttp again and again.)
 */
static inline struct bufferevent *
ahead_client_new(struct event_base *base)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);

	if (bev == NULL ||
	    evbuffer_add_cb(bufferevent_get_input(bev), ahead_check, bev) ==
		NULL)
		fatalx("no memory for a client");
	return bev;
}

#endif
