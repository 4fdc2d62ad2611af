/*
 * The listening sockets: TCP by metrics-bind-address and bind-address, Unix by
 * control-socket. Made here, where the rights are; served by http.
 */
#ifndef LISTENERS_H
#define LISTENERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/proto.h"
#include "supervisor/config.h"

struct listener {
	int fd; /* -1: none */
	char *address; /* as configured; NULL: none */
	/* Unix: what was made, so that only that is removed. */
	dev_t dev;
	ino_t ino;
};

struct listeners {
	struct listener l[LISTEN_MAX];
};

void listeners_init(struct listeners *ls);
/* Unix sockets are removed from the file system. */
void listeners_close(struct listeners *ls);

/*
 * Makes what the config asks for and what is not there yet; what it asks for
 * no more is closed. *changed gets LISTEN_BIT()s. False if one of them could
 * not be made: that was logged, and the one before stays in use, unless another
 * one has its place now.
 *
 * A control socket that is where it is by default and may not be made there
 * (not root) is done without: a warning, not an error.
 */
bool listeners_configure(struct listeners *ls, const struct config *c,
    unsigned *changed);
/* A duplicate, the caller's; -1 if there is no such listener. */
int listeners_fd(const struct listeners *ls, enum listen_id id);

#endif
