#include "workers/http/clients.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/limits.h"

/* So many go, for that many come without another look. */
#define EVICTED_AT_ONCE 16

struct client {
	int fd;
	uint32_t silent_ms;
};

/* False for what is no established TCP connection. */
static bool
look_at(struct client *cl)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(cl->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1 ||
	    info.tcpi_state != TCP_ESTABLISHED)
		return false;
	cl->silent_ms = info.tcpi_last_data_recv;
	return true;
}

/* No descriptor is higher: RLIMIT_NOFILE of the worker. */
static size_t
look_at_all(const struct clients *c, struct client all[LIMIT_HTTP_FDS])
{
	size_t n = 0;

	for (int fd = 0; fd < LIMIT_HTTP_FDS; fd++) {
		all[n].fd = fd;
		n += look_at(&all[n]) && !c->spared(fd, c->arg);
	}
	return n;
}

static int
most_silent_first(const void *a, const void *b)
{
	const struct client *x = a, *y = b;

	return (x->silent_ms < y->silent_ms) - (x->silent_ms > y->silent_ms);
}

/* shutdown() takes it out of TCP_ESTABLISHED: the next look passes it over. */
static size_t
evict(struct client *all, size_t n)
{
	size_t gone = 0;

	qsort(all, n, sizeof(*all), most_silent_first);
	for (size_t i = 0; i < n && i < EVICTED_AT_ONCE; i++)
		gone += shutdown(all[i].fd, SHUT_RDWR) == 0;
	return gone;
}

void
clients_admit(struct clients *c)
{
	struct client all[LIMIT_HTTP_FDS];
	size_t n;

	if (c->room == 0) {
		n = look_at_all(c, all);
		if (n > LIMIT_HTTP_CONNECTIONS)
			n -= evict(all, n);
		if (n <= LIMIT_HTTP_CONNECTIONS)
			c->room = LIMIT_HTTP_CONNECTIONS - n + 1;
	}
	if (c->room > 0)
		c->room--;
}
