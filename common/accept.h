/* A listener of libevent's that could not accept: not to be asked at once. */
#ifndef ACCEPT_H
#define ACCEPT_H

#include <event2/listener.h>

#include "common/log.h"

static inline void
accept_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	evconnlistener_enable((struct evconnlistener *)arg);
}

/* It accepts again in ms milliseconds (below 1000); it must live until then. */
static inline void
accept_pause(struct evconnlistener *l, unsigned ms)
{
	const struct timeval tv = { 0, (suseconds_t)ms * 1000 };

	evconnlistener_disable(l);
	if (event_base_once(evconnlistener_get_base(l), -1, EV_TIMEOUT,
		accept_again, l, &tv) == -1)
		fatalx("no memory for a timer");
}

#endif
