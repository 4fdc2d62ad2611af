/*
 * Connections to a unix:// server for a process that may not connect by
 * itself: the supervisor makes them, one is kept in advance. At most one is
 * asked for at a time.
 */
#ifndef UNIX_POOL_H
#define UNIX_POOL_H

#include <stdbool.h>

struct unix_pool {
	int spare; /* -1: none */
	bool asked; /* unix_pool_give() has not come yet */
	bool failed; /* the last one could not be had */
	void (*want)(void *arg);
	void *arg;
};

/* want asks the supervisor; unix_pool_give() answers, never from inside it. */
void unix_pool_init(struct unix_pool *p, void (*want)(void *arg), void *arg);
void unix_pool_close(struct unix_pool *p);

bool unix_pool_has(const struct unix_pool *p);
/*
 * The caller's from now on. -1: there is none, or the server has closed it
 * while it lay here.
 */
int unix_pool_take(struct unix_pool *p);
/* A request needs one. */
void unix_pool_ask(struct unix_pool *p);
/* One may be needed: not if there is one, or the last could not be had. */
void unix_pool_ask_ahead(struct unix_pool *p);
/* A connected descriptor, the pool's from now on; -1: it could not be had. */
void unix_pool_give(struct unix_pool *p, int fd);

#endif
