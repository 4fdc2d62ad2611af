/*
 * sd_notify(3) without libsystemd: states as lines in a datagram to the socket
 * that NOTIFY_SOCKET names (a path, or "@name" for an abstract one).
 *
 * A manager that is busy may have no room in its queue. notify_status() and
 * notify_watchdog() do not wait for it, the others do for up to a second.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un to;
	socklen_t to_len;
	uint64_t watchdog_ms; /* WATCHDOG=1 this often; 0: never */
};

/*
 * Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment.
 * False if the first is there but useless: that was logged, and there will be
 * no messages.
 */
bool notify_open(struct notify *n);
void notify_close(struct notify *n);

void notify_ready(const struct notify *n);
/* One line; others than visible characters are escaped. */
void notify_status(const struct notify *n, const char *text);
void notify_watchdog(const struct notify *n);
/* Then notify_ready() once that is done. */
void notify_reloading(const struct notify *n);
void notify_stopping(const struct notify *n);

#endif
