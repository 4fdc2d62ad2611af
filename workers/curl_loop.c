#include "workers/curl_loop.h"

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/timer.h"

/*
 * After the last: how long bytes, or what asks an idle peer whether it is
 * there, may go without an answer. Keepalive alone asks no one that owes one.
 */
#define KEEPALIVE_IDLE_S 20
#define KEEPALIVE_EACH_S 5
#define UNHEARD_MS       30000

/*
 * A socket of curl's. Its read event stays when curl has no use for it between
 * two requests: that saves two system calls for each request on a kept
 * connection. It is gone before the descriptor is closed.
 */
struct watch {
	SLIST_ENTRY(watch) next;
	struct curl_loop *loop;
	curl_socket_t fd;
	bool idle; /* curl does not want to hear of it */
	struct event read, write;
};

/*
 * curl 7.88.0 and 7.88.1 (Debian 12) call connect() even on a socket that
 * their caller has declared to be connected already (curl's issue 10626). They
 * get a UDP socket to do that to: connect() succeeds there and sends nothing.
 * Before curl writes its first byte, the connected socket takes over the
 * descriptor.
 */
struct stand_in {
	int udp; /* -1: this curl does not need it */
	int connected; /* -1: none waits for its descriptor */
	curl_socket_t fd; /* that curl believes to be connected */
};

struct curl_loop {
	struct curl_loop_conf conf;
	CURLM *multi;
	struct event *timer;
	bool inside;
	unsigned sockets;
	struct stand_in stand_in;
	SLIST_HEAD(, watch) watches;
};

/* Everything that makes curl work goes through here. */
static void
act(struct curl_loop *l, curl_socket_t fd, int what)
{
	int running;

	l->inside = true;
	curl_multi_socket_action(l->multi, fd, what, &running);
	l->inside = false;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct curl_loop *l = w->loop;

	(void)what;
	/* The server closed an idle connection: curl sees at the next use. */
	if (w->idle) {
		event_del(&w->read);
		return;
	}
	act(l, fd, CURL_CSELECT_IN);
	l->conf.progress(l->conf.arg);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct curl_loop *l = ((struct watch *)arg)->loop;

	(void)what;
	act(l, fd, CURL_CSELECT_OUT);
	l->conf.progress(l->conf.arg);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct curl_loop *l = arg;

	(void)fd;
	(void)what;
	act(l, CURL_SOCKET_TIMEOUT, 0);
	l->conf.progress(l->conf.arg);
}

static struct watch *
watch_find(struct curl_loop *l, curl_socket_t fd)
{
	struct watch *w;

	SLIST_FOREACH(w, &l->watches, next)
		if (w->fd == fd)
			return w;
	return NULL;
}

static struct watch *
watch_new(struct curl_loop *l, curl_socket_t fd)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->loop = l;
	w->fd = fd;
	event_assign(&w->read, l->conf.base, fd, EV_READ | EV_PERSIST,
	    on_readable, w);
	event_assign(&w->write, l->conf.base, fd, EV_WRITE | EV_PERSIST,
	    on_writable, w);
	SLIST_INSERT_HEAD(&l->watches, w, next);
	return w;
}

static void
watch_free(struct curl_loop *l, struct watch *w)
{
	event_del(&w->read);
	event_del(&w->write);
	SLIST_REMOVE(&l->watches, w, watch, next);
	free(w);
}

static void
want(struct event *ev, bool wanted)
{
	if (wanted)
		event_add(ev, NULL);
	else
		event_del(ev);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct curl_loop *l = arg;
	struct watch *w = watch_find(l, fd);

	(void)easy;
	(void)unused;
	if (w == NULL)
		w = watch_new(l, fd);
	w->idle = what == CURL_POLL_REMOVE;
	want(&w->write, !w->idle && (what & CURL_POLL_OUT) != 0);
	if (!w->idle)
		want(&w->read, (what & CURL_POLL_IN) != 0);
	return 0;
}

/* Only sets the event: curl must not be called from inside its callbacks. */
static int
on_timeout_set(CURLM *multi, long ms, void *arg)
{
	struct curl_loop *l = arg;

	(void)multi;
	if (ms < 0)
		evtimer_del(l->timer);
	else
		timer_arm(l->timer, (uint64_t)ms);
	return 0;
}

/* Bound to the loopback: whoever gets hold of it can't send elsewhere. */
static void
stand_in_open(struct stand_in *s)
{
	const struct curl_version_info_data *v =
	    curl_version_info(CURLVERSION_NOW);
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	if (v->version_num < 0x075800 || v->version_num > 0x075801)
		return;
	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->udp < 0 || bind(s->udp, (struct sockaddr *)&sin, sizeof(sin)))
		fatal("UDP socket that stands in for connected ones");
}

static void
stand_in_close(struct stand_in *s)
{
	if (s->udp >= 0)
		close(s->udp);
}

static curl_socket_t
stand_in_give(struct stand_in *s, int connected)
{
	s->fd = fcntl(s->udp, F_DUPFD_CLOEXEC, 0);
	if (s->fd < 0) {
		close(connected);
		return CURL_SOCKET_BAD;
	}
	s->connected = connected;
	return s->fd;
}

/* One thread: the lowest free descriptor from fd on is fd. */
static bool
stand_in_swap(struct stand_in *s)
{
	int fd;

	if (s->connected < 0)
		return true;
	close(s->fd);
	fd = fcntl(s->connected, F_DUPFD_CLOEXEC, s->fd);
	close(s->connected);
	s->connected = -1;
	return fd == s->fd && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

bool
curl_loop_connected(struct curl_loop *l)
{
	return stand_in_swap(&l->stand_in);
}

static int
open_socket(struct curl_loop *l, const struct curl_sockaddr *a)
{
	int fd;

	if (l->conf.connected_socket == NULL)
		return socket(a->family,
		    a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
	fd = l->conf.connected_socket(l->conf.arg);
	if (fd >= 0 && l->stand_in.udp >= 0)
		return stand_in_give(&l->stand_in, fd);
	return fd;
}

static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct curl_loop *l = arg;
	int fd = open_socket(l, a);

	(void)purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	l->sockets++;
	return fd;
}

static void
set_option(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/* A peer that is gone without a word must not hold a long poll for ever. */
static void
set_alive(int fd)
{
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EACH_S);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNHEARD_MS);
}

static int
on_open_done(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	const struct curl_loop *l = arg;

	(void)purpose;
	if (l->conf.connected_socket == NULL)
		set_alive(fd);
	if (l->conf.connected_socket == NULL || l->stand_in.udp >= 0)
		return CURL_SOCKOPT_OK;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static int
on_close(void *arg, curl_socket_t fd)
{
	struct curl_loop *l = arg;
	struct watch *w = watch_find(l, fd);

	if (w != NULL)
		watch_free(l, w);
	if (l->stand_in.connected >= 0 && fd == l->stand_in.fd) {
		close(l->stand_in.connected);
		l->stand_in.connected = -1;
	}
	l->sockets--;
	return close(fd);
}

struct curl_loop *
curl_loop_new(const struct curl_loop_conf *conf)
{
	struct curl_loop *l = xcalloc(1, sizeof(*l));
	long max = (long)conf->max_connections;

	l->conf = *conf;
	SLIST_INIT(&l->watches);
	l->stand_in = (struct stand_in){ .udp = -1, .connected = -1 };
	if (conf->connected_socket != NULL)
		stand_in_open(&l->stand_in);
	l->timer = evtimer_new(conf->base, on_timer, l);
	l->multi = curl_multi_init();
	if (l->timer == NULL || l->multi == NULL)
		fatalx("curl: no multi handle");
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timeout_set);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, max);
	curl_multi_setopt(l->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max);
	return l;
}

void
curl_loop_free(struct curl_loop *l)
{
	struct watch *w;

	curl_multi_cleanup(l->multi);
	while ((w = SLIST_FIRST(&l->watches)) != NULL)
		watch_free(l, w);
	event_free(l->timer);
	stand_in_close(&l->stand_in);
	free(l);
}

void
curl_loop_adopt(struct curl_loop *l, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, l);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_open_done);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, l);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, l);
}

bool
curl_loop_add(struct curl_loop *l, CURL *easy)
{
	return curl_multi_add_handle(l->multi, easy) == CURLM_OK;
}

void
curl_loop_remove(struct curl_loop *l, CURL *easy)
{
	l->inside = true;
	curl_multi_remove_handle(l->multi, easy);
	l->inside = false;
}

void
curl_loop_run(struct curl_loop *l)
{
	act(l, CURL_SOCKET_TIMEOUT, 0);
}

CURL *
curl_loop_ended(struct curl_loop *l, CURLcode *code)
{
	const CURLMsg *msg;
	CURL *easy;
	int left;

	while ((msg = curl_multi_info_read(l->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		/* msg is gone once the handle is removed. */
		easy = msg->easy_handle;
		*code = msg->data.result;
		curl_loop_remove(l, easy);
		return easy;
	}
	return NULL;
}

bool
curl_loop_inside(const struct curl_loop *l)
{
	return l->inside;
}

unsigned
curl_loop_sockets(const struct curl_loop *l)
{
	return l->sockets;
}
