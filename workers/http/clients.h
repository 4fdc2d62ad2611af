/*
 * The TCP clients of the HTTP server, as the kernel knows them. evhttp does
 * not bound their number: past LIMIT_HTTP_CONNECTIONS idle ones make room.
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <stdbool.h>
#include <stddef.h>

struct clients {
	/* Whether a connection is none of these; arg is for it. */
	bool (*spared)(int fd, void *arg);
	void *arg;
	size_t room; /* so many may come without a look; 0 at first */
};

/*
 * One more was accepted. If that is too many, those from which nothing has
 * come for the longest time go: their owner sees EOF and closes them.
 */
void clients_admit(struct clients *c);

#endif
