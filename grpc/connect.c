#include "grpc/connect.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/timer.h"

#define KEEPALIVE_IDLE_S     20
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_COUNT      3
/* Bytes that are not acknowledged: keepalive does not count those. */
#define UNHEARD_MS 50000

/*
 * Outlives its connect if that is freed meanwhile: evdns calls back even for
 * what was cancelled.
 */
struct lookup {
	struct connect *owner; /* NULL: gone */
	struct evdns_getaddrinfo_request *request; /* NULL: has called back */
};

struct connect {
	struct connect_conf conf;
	struct lookup *lookup;
	struct evutil_addrinfo *addresses;
	const struct evutil_addrinfo *next; /* NULL: all were tried */
	struct bufferevent *bev;
	struct event *start; /* nothing happens inside connect_new() */
	struct event *timer;
	char peer[CONNECT_PEER]; /* that is tried */
	char why[CONNECT_PEER + LIMIT_TEXT]; /* the last one failed */
};

static void try_next(struct connect *c);

/* The last thing that its caller does: the owner may free it in here. */
static void
failed(struct connect *c, const char *why)
{
	evtimer_del(c->timer);
	evtimer_del(c->start);
	c->conf.done(NULL, why, c->conf.arg);
}

/* ---- one address --------------------------------------------------------- */

static void
address_text(const struct sockaddr *sa, char *buf, size_t cap)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
		snprintf(buf, cap, "[%s]:%u", text, ntohs(in6.sin6_port));
		return;
	}
	memcpy(&in, sa, sizeof(in));
	inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
	snprintf(buf, cap, "%s:%u", text, ntohs(in.sin_port));
}

/* The name, too, where there is one. */
static void
name_peer(struct connect *c, const struct sockaddr *sa)
{
	char text[INET6_ADDRSTRLEN + 16];

	address_text(sa, text, sizeof(text));
	if (c->conf.dns == NULL || strstr(text, c->conf.host) != NULL)
		strlcpy(c->peer, text, sizeof(c->peer));
	else
		snprintf(c->peer, sizeof(c->peer), "%s (%s)", c->conf.host,
		    text);
}

static void
set_option(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

static int
socket_new(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    IPPROTO_TCP);

	if (fd == -1)
		return -1;
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNHEARD_MS);
	return fd;
}

static void
address_failed(struct connect *c, int error)
{
	snprintf(c->why, sizeof(c->why), "%s: %s", c->peer, strerror(error));
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	c->bev = NULL;
	try_next(c);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connect *c = arg;

	if ((what & BEV_EVENT_CONNECTED) == 0) {
		address_failed(c, errno);
		return;
	}
	evtimer_del(c->timer);
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	c->bev = NULL;
	c->conf.done(bev, c->peer, c->conf.arg);
}

static void
await(struct connect *c, int fd)
{
	c->bev =
	    bufferevent_socket_new(c->conf.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL)
		fatalx("no memory for a connection");
	bufferevent_setcb(c->bev, NULL, NULL, on_event, c);
	if (bufferevent_socket_connect(c->bev, NULL, 0) == -1)
		fatalx("no memory for a connection");
}

/* By ourselves: libevent loses why a connect() failed at once. */
static void
try_address(struct connect *c, const struct evutil_addrinfo *ai)
{
	int fd = socket_new(ai->ai_family), error;

	name_peer(c, ai->ai_addr);
	if (fd != -1 &&
	    (connect(fd, ai->ai_addr, (socklen_t)ai->ai_addrlen) == 0 ||
		errno == EINPROGRESS)) {
		await(c, fd);
		return;
	}
	error = errno;
	if (fd != -1)
		close(fd);
	address_failed(c, error);
}

static void
try_next(struct connect *c)
{
	const struct evutil_addrinfo *ai = c->next;

	if (ai == NULL) {
		failed(c, c->why);
		return;
	}
	c->next = ai->ai_next;
	try_address(c, ai);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct connect *c = arg;

	(void)fd;
	(void)what;
	snprintf(c->why, sizeof(c->why), "%s: %s in %" PRIu64 " ms",
	    c->bev != NULL ? c->peer : c->conf.host,
	    c->bev != NULL ? "no connection" : "no address",
	    c->conf.timeout_ms);
	failed(c, c->why);
}

/* ---- its addresses ------------------------------------------------------- */

static void
resolved(struct connect *c, int error, struct evutil_addrinfo *addresses)
{
	snprintf(c->why, sizeof(c->why), "%s: %s", c->conf.host,
	    error != 0 ? evutil_gai_strerror(error) : "no address");
	c->addresses = addresses;
	c->next = addresses;
	try_next(c);
}

static void
on_resolved(int error, struct evutil_addrinfo *addresses, void *arg)
{
	struct lookup *l = arg;
	struct connect *c = l->owner;

	if (c == NULL) {
		if (addresses != NULL)
			evutil_freeaddrinfo(addresses);
		free(l);
		return;
	}
	c->lookup = NULL;
	free(l);
	resolved(c, error, addresses);
}

static void
look_up(struct connect *c, const char *port,
    const struct evutil_addrinfo *hints)
{
	struct evdns_getaddrinfo_request *request;
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->owner = c;
	c->lookup = l;
	request = evdns_getaddrinfo(c->conf.dns, c->conf.host, port, hints,
	    on_resolved, l);
	/* NULL: it has called back, and both may be gone. */
	if (request != NULL)
		l->request = request;
}

static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	struct evutil_addrinfo hints = { .ai_flags = EVUTIL_AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP };
	struct evutil_addrinfo *found = NULL;
	struct connect *c = arg;
	char port[8];
	int error;

	(void)fd;
	(void)what;
	snprintf(port, sizeof(port), "%u", c->conf.port);
	if (c->conf.dns != NULL) {
		look_up(c, port, &hints);
		return;
	}
	hints.ai_flags |= EVUTIL_AI_NUMERICHOST;
	error = evutil_getaddrinfo(c->conf.host, port, &hints, &found);
	resolved(c, error, found);
}

/* ---- its life ------------------------------------------------------------ */

struct connect *
connect_new(const struct connect_conf *conf)
{
	struct connect *c = xcalloc(1, sizeof(*c));

	c->conf = *conf;
	c->start = evtimer_new(conf->base, on_start, c);
	c->timer = evtimer_new(conf->base, on_timeout, c);
	if (c->start == NULL || c->timer == NULL)
		fatalx("no memory for a connection");
	event_active(c->start, EV_TIMEOUT, 0);
	timer_arm(c->timer, conf->timeout_ms);
	return c;
}

void
connect_free(struct connect *c)
{
	if (c == NULL)
		return;
	if (c->lookup != NULL) {
		c->lookup->owner = NULL;
		evdns_getaddrinfo_cancel(c->lookup->request);
	}
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	if (c->addresses != NULL)
		evutil_freeaddrinfo(c->addresses);
	event_free(c->start);
	event_free(c->timer);
	free(c);
}
