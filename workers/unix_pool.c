#include "workers/unix_pool.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void
unix_pool_init(struct unix_pool *p, void (*want)(void *arg), void *arg)
{
	*p = (struct unix_pool){ .spare = -1, .want = want, .arg = arg };
}

void
unix_pool_close(struct unix_pool *p)
{
	if (p->spare >= 0)
		close(p->spare);
	p->spare = -1;
}

bool
unix_pool_has(const struct unix_pool *p)
{
	return p->spare >= 0;
}

static bool
is_quiet(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK);
}

int
unix_pool_take(struct unix_pool *p)
{
	int fd = p->spare;

	if (fd >= 0 && !is_quiet(fd)) {
		unix_pool_close(p);
		return -1;
	}
	p->spare = -1;
	return fd;
}

void
unix_pool_ask(struct unix_pool *p)
{
	if (p->asked)
		return;
	p->asked = true;
	p->failed = false;
	p->want(p->arg);
}

void
unix_pool_ask_ahead(struct unix_pool *p)
{
	if (p->spare < 0 && !p->failed)
		unix_pool_ask(p);
}

void
unix_pool_give(struct unix_pool *p, int fd)
{
	unix_pool_close(p);
	p->asked = false;
	p->failed = fd < 0;
	p->spare = fd;
}
