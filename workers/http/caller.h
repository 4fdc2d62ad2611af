/* Who calls, by the two ends of its connection. */
#ifndef CALLER_H
#define CALLER_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/limits.h"

struct caller {
	/* IPv4 (also where it came as IPv6) or IPv6, without a scope. */
	char address[LIMIT_ADDRESS + 1];
	bool local; /* it is on this machine */
};

/* False: one of them is neither IPv4 nor IPv6. */
bool caller_of(const struct sockaddr *peer, const struct sockaddr *local,
    struct caller *c);

#endif
