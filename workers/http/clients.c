#include "workers/http/clients.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/limits.h"

/* No descriptor is higher: RLIMIT_NOFILE of the worker. */
#define FD_END (LIMIT_HTTP_CONNECTIONS + LIMIT_HTTP_OTHER_FDS)

/* False for what is no established TCP connection. */
static bool
silent_ms(int fd, uint32_t *ms)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1 ||
	    info.tcpi_state != TCP_ESTABLISHED)
		return false;
	*ms = info.tcpi_last_data_recv;
	return true;
}

static int
most_silent(void)
{
	uint32_t ms, most = 0;
	int found = -1;

	for (int fd = 0; fd < FD_END; fd++) {
		if (!silent_ms(fd, &ms) || (found != -1 && ms <= most))
			continue;
		found = fd;
		most = ms;
	}
	return found;
}

size_t
clients_evict(size_t n)
{
	size_t done = 0;
	int fd;

	/* shutdown() takes it out of TCP_ESTABLISHED: the next is another. */
	while (done < n && (fd = most_silent()) != -1) {
		if (shutdown(fd, SHUT_RDWR) == -1)
			break;
		done++;
	}
	return done;
}
