/*
 * GET /ready for the kubelet: 200 once registered, else 500 with the reason.
 * HTTP by libevent on one listening socket. Clients are bounded: of too many,
 * those go that were silent for the longest time.
 */
#ifndef SIDECAR_READY_H
#define SIDECAR_READY_H

#include <event2/event.h>

struct ready;

struct ready_conf {
	struct event_base *base;
	/* NULL: ready; else why not, for people, valid until the next call. */
	const char *(*fault)(void *arg);
	void *arg;
};

/*
 * Listens on address (":8888", "1.2.3.4:8888", "[::1]:8888"); NULL if that
 * can't be: why was logged.
 */
struct ready *ready_new(const struct ready_conf *conf, const char *address);
void ready_free(struct ready *r); /* NULL is fine. */

#endif
