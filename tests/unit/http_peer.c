#include "tests/unit/http_peer.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct connection {
	TAILQ_ENTRY(connection) next;
	struct http_peer *peer;
	struct bufferevent *bev;
	const char *flood; /* NULL: none */
	bool held, closing;
};

struct http_peer {
	struct event_base *base;
	const struct peer_answer *answers;
	struct evconnlistener *listener;
	struct peer_seen seen;
	TAILQ_HEAD(, connection) connections;
};

static void
connection_free(struct connection *c)
{
	c->peer->seen.open--;
	if (c->held)
		c->peer->seen.held--;
	TAILQ_REMOVE(&c->peer->connections, c, next);
	bufferevent_free(c->bev);
	free(c);
}

static void
say(struct connection *c, const char *bytes)
{
	bufferevent_write(c->bev, bytes, strlen(bytes));
}

static void
hold(struct connection *c)
{
	struct peer_seen *seen = &c->peer->seen;

	c->held = true;
	if (++seen->held > seen->held_most)
		seen->held_most = seen->held;
}

static void
answer(struct connection *c, const char *path)
{
	const struct peer_answer *a = c->peer->answers;

	while (a->path != NULL && strcmp(a->path, path) != 0)
		a++;
	if (a->path == NULL) {
		say(c, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
		return;
	}
	if (a->act == PEER_HOLD) {
		hold(c);
		return;
	}
	if (*a->bytes == '\0') {
		connection_free(c);
		return;
	}
	c->closing = a->act == PEER_CLOSE;
	c->flood = a->act == PEER_FLOOD ? a->flood : NULL;
	say(c, a->bytes);
}

/* Copies the request out of in if all of it is there. */
static bool
take_request(struct peer_seen *seen, struct evbuffer *in)
{
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	size_t head_len, body_len = 0;
	const char *length;

	if (end.pos < 0)
		return false;
	head_len = (size_t)end.pos + 4;
	memset(seen->head, 0, sizeof(seen->head));
	evbuffer_copyout(in, seen->head,
	    head_len < sizeof(seen->head) ? head_len : sizeof(seen->head) - 1);
	length = strcasestr(seen->head, "\r\nContent-Length: ");
	if (length != NULL)
		body_len = strtoul(length + 18, NULL, 10);
	if (evbuffer_get_length(in) < head_len + body_len)
		return false;
	evbuffer_drain(in, head_len);
	memset(seen->body, 0, sizeof(seen->body));
	evbuffer_remove(in, seen->body,
	    body_len < sizeof(seen->body) ? body_len : sizeof(seen->body) - 1);
	return true;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct connection *c = arg;
	char path[256] = "";
	const char *from;

	if (!take_request(&c->peer->seen, bufferevent_get_input(bev)))
		return;
	c->peer->seen.requests++;
	from = strchr(c->peer->seen.head, ' ');
	if (from != NULL)
		strlcpy(path, from + 1, sizeof(path));
	path[strcspn(path, " ")] = '\0';
	answer(c, path);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	if (c->closing) {
		connection_free(c);
		return;
	}
	for (int i = 0; c->flood != NULL && i < 1000; i++)
		say(c, c->flood);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
		connection_free(arg);
}

void
http_peer_adopt(struct http_peer *p, int fd)
{
	struct connection *c = xcalloc(1, sizeof(*c));

	evutil_make_socket_nonblocking(fd);
	c->peer = p;
	c->bev = bufferevent_socket_new(p->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	TAILQ_INSERT_TAIL(&p->connections, c, next);
	p->seen.accepted++;
	p->seen.open++;
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	(void)l;
	(void)sa;
	(void)len;
	http_peer_adopt(arg, fd);
}

struct http_peer *
http_peer_new(struct event_base *base, const struct peer_answer *answers)
{
	struct http_peer *p = xcalloc(1, sizeof(*p));
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	p->base = base;
	p->answers = answers;
	TAILQ_INIT(&p->connections);
	p->listener = evconnlistener_new_bind(base, on_accept, p,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 128,
	    (struct sockaddr *)&sin, sizeof(sin));
	if (p->listener == NULL)
		fatal("listen on the loopback");
	return p;
}

void
http_peer_free(struct http_peer *p)
{
	http_peer_hang_up(p);
	evconnlistener_free(p->listener);
	free(p);
}

uint16_t
http_peer_port(const struct http_peer *p)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	getsockname(evconnlistener_get_fd(p->listener), (struct sockaddr *)&sin,
	    &len);
	return ntohs(sin.sin_port);
}

const struct peer_seen *
http_peer_seen(const struct http_peer *p)
{
	return &p->seen;
}

void
http_peer_release(struct http_peer *p)
{
	struct connection *c;

	TAILQ_FOREACH(c, &p->connections, next) {
		if (!c->held)
			continue;
		c->held = false;
		p->seen.held--;
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	}
}

void
http_peer_hang_up(struct http_peer *p)
{
	struct connection *c;

	while ((c = TAILQ_FIRST(&p->connections)) != NULL)
		connection_free(c);
}
