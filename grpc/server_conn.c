#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/timer.h"
#include "grpc/server_inside.h"

static const nghttp2_settings_entry settings[] = {
	{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIMIT_GRPC_STREAMS },
	{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_GRPC_HEADERS },
	/* Nor does it build trees of priorities that clients think up. */
	{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
};

/* ---- what nghttp2 tells -------------------------------------------------- */

static struct grpc_call *
call_of(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
    void *arg)
{
	int32_t stream = frame->hd.stream_id;

	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		nghttp2_session_set_stream_user_data(session, stream,
		    call_new(h2_arg(arg), stream));
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value, size_t len,
    uint8_t flags, void *arg)
{
	struct grpc_call *call = call_of(session, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (call != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		call_header(call, (const char *)name, name_len,
		    (const char *)value, len);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
    const uint8_t *data, size_t len, void *arg)
{
	struct grpc_call *call = call_of(session, stream);

	(void)flags;
	(void)arg;
	if (call != NULL)
		call_data(call, data, len);
	return 0;
}

/* The headers of a request are there. */
static void
on_request(struct conn *c, struct grpc_call *call, int32_t stream)
{
	if (call != NULL)
		call_headers_end(call);
	else
		call_refuse(c, stream, GRPC_RESOURCE_EXHAUSTED,
		    "too many calls");
}

static void
greeted(struct conn *c)
{
	c->greeted = true;
	timer_arm(c->timer, c->server->patience.idle_ms);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_call *call = call_of(session, frame->hd.stream_id);
	struct conn *c = h2_arg(arg);

	if (frame->hd.type == NGHTTP2_SETTINGS && !c->greeted)
		greeted(c);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS &&
	    frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		on_request(c, call, frame->hd.stream_id);
	if (call != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
		call_request_end(call);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error,
    void *arg)
{
	struct grpc_call *call = call_of(session, stream);

	(void)error;
	(void)arg;
	if (call != NULL)
		call_free(call);
	return 0;
}

static void
add_callbacks(nghttp2_session_callbacks *cbs)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cbs,
	    on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs,
	    on_stream_close);
}

/* ---- time ---------------------------------------------------------------- */

/* Calls that are there may take their time to end; then it hangs up. */
static uint64_t
goodbye_ms(const struct grpc_server *s)
{
	return s->patience.transfer_ms + H2_LINGER_MS;
}

/* The last call ended long ago, or there never was one. */
static void
idle_for_long(struct conn *c)
{
	if (!c->greeted)
		c->server->counts.broken++;
	if (!c->greeted || c->leaving) {
		conn_free(c);
		return;
	}
	conn_leave(c);
}

/* It has calls that wait for us: is it still there? */
static void
look_after(struct conn *c)
{
	const struct grpc_patience *patience = &c->server->patience;
	uint64_t now = clock_ms(), heard = h2_heard_ms(c->h2);

	if (now - heard < patience->silence_ms) {
		timer_arm(c->timer, patience->silence_ms - (now - heard));
		return;
	}
	if (c->pinged_ms > heard) {
		conn_free(c);
		return;
	}
	c->pinged_ms = now;
	h2_ping(c->h2);
	timer_arm(c->timer, patience->pong_ms);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (c->running == 0)
		idle_for_long(c);
	else
		look_after(c);
}

void
conn_started(struct conn *c)
{
	c->server->counts.calls++;
	if (c->running++ > 0)
		return;
	server_busy(c);
	timer_arm(c->timer, c->server->patience.silence_ms);
}

void
conn_ended(struct conn *c)
{
	c->server->counts.calls--;
	if (--c->running > 0)
		return;
	server_idle(c);
	timer_arm(c->timer,
	    c->leaving ? goodbye_ms(c->server) : c->server->patience.idle_ms);
}

/* ---- its life ------------------------------------------------------------ */

static void
on_over(enum h2_end end, const char *why, void *arg)
{
	struct conn *c = arg;

	(void)why;
	if (end == H2_BROKEN)
		c->server->counts.broken++;
	conn_free(c);
}

static struct bufferevent *
bufferevent_of(struct conn *c)
{
	struct bufferevent *bev;
	const int on = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bev = bufferevent_socket_new(c->server->conf.base, c->fd,
	    BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		fatalx("no memory for a connection");
	return bev;
}

static void
take_addresses(struct conn *c, const struct sockaddr *remote, socklen_t len)
{
	socklen_t local_len = sizeof(c->local);

	if (len > sizeof(c->remote))
		len = sizeof(c->remote);
	memcpy(&c->remote, remote, len);
	getsockname(c->fd, (struct sockaddr *)&c->local, &local_len);
}

void
conn_new(struct grpc_server *s, int fd, struct peer *peer,
    const struct sockaddr *remote, socklen_t len)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	struct h2_conf conf = {
		.server = true,
		.stalled_ms = s->patience.stalled_ms,
		.callbacks = add_callbacks,
		.settings = settings,
		.nsettings = sizeof(settings) / sizeof(*settings),
		.over = on_over,
		.arg = c,
	};

	c->server = s;
	c->peer = peer;
	c->fd = fd;
	TAILQ_INIT(&c->calls);
	take_addresses(c, remote, len);
	conf.bev = bufferevent_of(c);
	c->h2 = h2_new(&conf);
	c->timer = evtimer_new(s->conf.base, on_timer, c);
	if (c->timer == NULL)
		fatalx("no memory for a connection");
	timer_arm(c->timer, s->patience.greeting_ms);
	server_remember(c);
}

void
conn_free(struct conn *c)
{
	struct grpc_call *call;

	while ((call = TAILQ_FIRST(&c->calls)) != NULL)
		call_free(call);
	server_forget(c);
	event_free(c->timer);
	h2_free(c->h2);
	free(c);
}

void
conn_leave(struct conn *c)
{
	c->leaving = true;
	h2_goodbye(c->h2);
	if (c->running == 0)
		timer_arm(c->timer, goodbye_ms(c->server));
}

void
conn_evict(struct conn *c)
{
	h2_last_words(c->h2);
	conn_free(c);
}
