#include <event2/listener.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/timer.h"
#include "grpc/server_inside.h"

/* No descriptor left for a new one: so many others go, and then again. */
#define EVICTED_AT_ONCE 8
#define ACCEPT_PAUSE_MS 10

/* What so many took is worth giving back, once most of them have left. */
#define CROWD         16
#define CROWD_LEFT_MS 1000

static const struct grpc_patience as_it_should_be = {
	.greeting_ms = 10000,
	.transfer_ms = 10000,
	.idle_ms = LIMIT_GRPC_IDLE_S * 1000ULL,
	.silence_ms = 20000,
	.pong_ms = 20000,
	.stalled_ms = 30000,
};

/* ---- addresses ----------------------------------------------------------- */

static int
peer_compare(const struct peer *a, const struct peer *b)
{
	return memcmp(a->address, b->address, sizeof(a->address));
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(peer_tree, peer, entry, peer_compare,
    static __attribute__((unused)))

/* What is no IP counts as one address. */
static void
address_of(const struct sockaddr *sa, uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	memset(address, 0, 16);
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(address, mapped, sizeof(mapped));
		memcpy(address + sizeof(mapped), &in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		memcpy(address, &in6.sin6_addr, 16);
	}
}

/* NULL: it has no connection. */
static struct peer *
peer_find(struct grpc_server *s, const struct sockaddr *sa)
{
	struct peer wanted = { 0 };

	address_of(sa, wanted.address);
	return RB_FIND(peer_tree, &s->peers, &wanted);
}

static struct peer *
peer_get(struct grpc_server *s, const struct sockaddr *sa)
{
	struct peer *peer = peer_find(s, sa);

	if (peer != NULL)
		return peer;
	peer = xcalloc(1, sizeof(*peer));
	address_of(sa, peer->address);
	TAILQ_INIT(&peer->idle);
	RB_INSERT(peer_tree, &s->peers, peer);
	return peer;
}

static void
peer_put(struct grpc_server *s, struct peer *peer)
{
	if (peer->connections > 0)
		return;
	RB_REMOVE(peer_tree, &s->peers, peer);
	free(peer);
}

/* ---- connections --------------------------------------------------------- */

static void
own(struct grpc_server *s, int fd, bool owned)
{
	size_t n = (size_t)fd + 1;

	if (n > s->nowned) {
		s->owned = xreallocarray(s->owned, n, sizeof(*s->owned));
		memset(s->owned + s->nowned, 0, n - s->nowned);
		s->nowned = n;
	}
	s->owned[fd] = owned;
}

bool
grpc_server_owns(const struct grpc_server *s, int fd)
{
	return fd >= 0 && (size_t)fd < s->nowned && s->owned[fd];
}

static void
idle_insert(struct conn *c)
{
	TAILQ_INSERT_TAIL(&c->server->idle, c, link);
	TAILQ_INSERT_TAIL(&c->peer->idle, c, peer_link);
}

static void
idle_remove(struct conn *c)
{
	TAILQ_REMOVE(&c->server->idle, c, link);
	TAILQ_REMOVE(&c->peer->idle, c, peer_link);
}

void
server_idle(struct conn *c)
{
	TAILQ_REMOVE(&c->server->busy, c, link);
	idle_insert(c);
}

void
server_busy(struct conn *c)
{
	idle_remove(c);
	TAILQ_INSERT_TAIL(&c->server->busy, c, link);
}

void
server_remember(struct conn *c)
{
	struct grpc_server *s = c->server;

	idle_insert(c);
	own(s, c->fd, true);
	c->peer->connections++;
	s->counts.connections++;
	s->counts.accepted++;
	if (s->counts.connections > s->crowd)
		s->crowd = s->counts.connections;
}

/* Else one long-lived block behind it keeps all that a crowd had. */
static void
give_back(evutil_socket_t fd, short what, void *arg)
{
	struct grpc_server *s = arg;

	(void)fd;
	(void)what;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
	s->crowd = s->counts.connections;
}

/* It has no call any more, and so is idle. */
void
server_forget(struct conn *c)
{
	struct grpc_server *s = c->server;

	idle_remove(c);
	own(s, c->fd, false);
	s->counts.connections--;
	c->peer->connections--;
	peer_put(s, c->peer);
	if (s->crowd >= CROWD && s->counts.connections <= s->crowd / 4)
		timer_arm(s->crowd_left, CROWD_LEFT_MS);
}

/* ---- accepting ----------------------------------------------------------- */

/* False: there is none that may go. */
static bool
evict(struct conn *oldest)
{
	if (oldest == NULL)
		return false;
	conn_evict(oldest);
	return true;
}

/*
 * An address that has all it may have makes room itself: its peer entry
 * outlives that.
 */
static bool
make_room(struct grpc_server *s, const struct sockaddr *sa)
{
	struct peer *peer = peer_find(s, sa);

	if (peer != NULL && peer->connections >= LIMIT_GRPC_PER_ADDRESS)
		return evict(TAILQ_FIRST(&peer->idle));
	if (s->counts.connections >= LIMIT_GRPC_CONNECTIONS)
		return evict(TAILQ_FIRST(&s->idle));
	return true;
}

void
server_accept(struct grpc_server *s, int fd, const struct sockaddr *sa,
    socklen_t len)
{
	if (!make_room(s, sa)) {
		s->counts.refused++;
		close(fd);
		return;
	}
	conn_new(s, fd, peer_get(s, sa), sa, len);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	const struct listener *listener = arg;

	(void)l;
	server_accept(listener->server, fd, sa, (socklen_t)len);
}

static void
accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(listener->listener);
}

/* Without a descriptor to give, accept() fails though nobody is there. */
static bool
somebody_waits(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Most likely EMFILE: idle ones lock nobody out; and do not spin. */
static void
accept_failed(struct evconnlistener *l, void *arg)
{
	struct listener *listener = arg;

	if (!somebody_waits(evconnlistener_get_fd(l)))
		return;
	for (int i = 0; i < EVICTED_AT_ONCE; i++)
		if (!evict(TAILQ_FIRST(&listener->server->idle)))
			break;
	evconnlistener_disable(l);
	timer_arm(listener->again, ACCEPT_PAUSE_MS);
}

static void
listener_free(struct listener *listener)
{
	TAILQ_REMOVE(&listener->server->listeners, listener, link);
	event_free(listener->again);
	evconnlistener_free(listener->listener);
	free(listener);
}

void
grpc_server_listen(struct grpc_server *s, int fd)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));
	struct event_base *base = s->conf.base;

	if (evutil_make_socket_nonblocking(fd) == -1)
		fatal("non-blocking listener");
	listener->server = s;
	listener->again = evtimer_new(base, accept_again, listener);
	listener->listener = evconnlistener_new(base, on_accept, listener,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener->again == NULL || listener->listener == NULL)
		fatalx("no memory for a listener");
	evconnlistener_set_error_cb(listener->listener, accept_failed);
	TAILQ_INSERT_TAIL(&s->listeners, listener, link);
}

/* ---- its life ------------------------------------------------------------ */

struct grpc_server *
grpc_server_new(const struct grpc_server_conf *conf)
{
	struct grpc_server *s = xcalloc(1, sizeof(*s));

	s->conf = *conf;
	s->patience =
	    conf->patience != NULL ? *conf->patience : as_it_should_be;
	s->crowd_left = evtimer_new(conf->base, give_back, s);
	if (s->crowd_left == NULL)
		fatalx("no memory for a server");
	TAILQ_INIT(&s->listeners);
	TAILQ_INIT(&s->idle);
	TAILQ_INIT(&s->busy);
	RB_INIT(&s->peers);
	return s;
}

static void
stop_listening(struct grpc_server *s)
{
	struct listener *listener;

	while ((listener = TAILQ_FIRST(&s->listeners)) != NULL)
		listener_free(listener);
}

void
grpc_server_free(struct grpc_server *s)
{
	struct conn *c;

	if (s == NULL)
		return;
	stop_listening(s);
	while ((c = TAILQ_FIRST(&s->busy)) != NULL ||
	    (c = TAILQ_FIRST(&s->idle)) != NULL)
		conn_free(c);
	event_free(s->crowd_left);
	free(s->owned);
	free(s);
}

void
grpc_server_drain(struct grpc_server *s)
{
	struct conn *c;

	stop_listening(s);
	TAILQ_FOREACH(c, &s->idle, link)
		conn_leave(c);
	TAILQ_FOREACH(c, &s->busy, link)
		conn_leave(c);
}

struct grpc_counts
grpc_server_counts(const struct grpc_server *s)
{
	return s->counts;
}
