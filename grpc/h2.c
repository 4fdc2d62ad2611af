#include "grpc/h2.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/timer.h"

/* Bytes in a buffer, frames in nghttp2's queue; above it stops reading. */
#define OUT_MOST   65536
#define QUEUE_MOST 256
/* Answers to PING and SETTINGS that wait to be sent; nghttp2's is 1000. */
#define ACKS_MOST 64
/* More in one SETTINGS than there are kinds of them. */
#define SETTINGS_MOST 32

/* A budget is counted in thousandths of a frame. */
#define FRAME 1000

struct h2 {
	struct h2_conf conf;
	nghttp2_session *session;
	struct event *work; /* send, and see whether it is over */
	struct event *linger;
	uint64_t heard_ms;
	int64_t budget;
	uint64_t budget_ms; /* when it was last filled */
	bool lingers; /* all is said */
	bool broken; /* by what the peer sent */
	char why[128]; /* it is over */
};

void *
h2_arg(void *user_data)
{
	const struct h2 *h = user_data;

	return h->conf.arg;
}

nghttp2_session *
h2_session(const struct h2 *h)
{
	return h->session;
}

uint64_t
h2_heard_ms(const struct h2 *h)
{
	return h->heard_ms;
}

nghttp2_nv
h2_nv(const char *name, const char *value)
{
	/* nghttp2 takes no const, and writes nothing. */
	union {
		const char *in;
		uint8_t *out;
	} n = { name }, v = { value };

	return (nghttp2_nv){
		.name = n.out,
		.namelen = strlen(name),
		.value = v.out,
		.valuelen = strlen(value),
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

/* ---- what a peer may make us do ------------------------------------------ */

static void
budget_fill(struct h2 *h)
{
	const int64_t most = (int64_t)H2_BURST * FRAME;
	uint64_t now = clock_ms();

	h->budget += (int64_t)(now - h->budget_ms) * H2_RATE * FRAME / 1000;
	if (h->budget > most)
		h->budget = most;
	h->budget_ms = now;
}

/*
 * What a frame costs. A call pays for what good clients send with it (PING,
 * WINDOW_UPDATE), as streams and flow control bound calls; one that is
 * cancelled pays for nothing. Frames that HTTP/2 does not know never get here:
 * nghttp2 drops them as it reads.
 */
static int64_t
cost_of(const nghttp2_frame_hd *hd)
{
	switch (hd->type) {
	case NGHTTP2_HEADERS:
		return -H2_FRAMES_EACH;
	case NGHTTP2_RST_STREAM:
		return H2_FRAMES_EACH + 2;
	case NGHTTP2_DATA:
		return hd->length == 0 &&
		    (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
	default:
		return 1;
	}
}

static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h = arg;

	(void)session;
	budget_fill(h);
	h->budget -= cost_of(hd) * FRAME;
	return h->budget < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- sending ------------------------------------------------------------- */

/*
 * A server that has answered before it had the whole request says that it
 * wants no more of it (RFC 9113, 8.1).
 */
static void
stop_the_rest(nghttp2_session *session, const nghttp2_frame *frame)
{
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type != NGHTTP2_HEADERS ||
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
	    nghttp2_session_get_stream_remote_close(session, id) != 0)
		return;
	nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
	    NGHTTP2_NO_ERROR);
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;

	if (h->conf.server)
		stop_the_rest(session, frame);
	if (frame->hd.type != NGHTTP2_GOAWAY ||
	    frame->goaway.error_code == NGHTTP2_NO_ERROR)
		return 0;
	h->broken = true;
	snprintf(h->why, sizeof(h->why), "not as HTTP/2 has it (%s)",
	    nghttp2_http2_strerror(frame->goaway.error_code));
	return 0;
}

/* The last thing that its caller does: the owner may free it in here. */
static void
over(struct h2 *h, enum h2_end end, const char *why)
{
	bufferevent_disable(h->conf.bev, EV_READ | EV_WRITE);
	bufferevent_setcb(h->conf.bev, NULL, NULL, NULL, NULL);
	evtimer_del(h->work);
	evtimer_del(h->linger);
	h->conf.over(end, why, h->conf.arg);
}

static struct evbuffer *
output(const struct h2 *h)
{
	return bufferevent_get_output(h->conf.bev);
}

/* False: nghttp2 gave up. */
static bool
flush(struct h2 *h)
{
	const uint8_t *data;
	ssize_t n = 0;

	while (evbuffer_get_length(output(h)) < OUT_MOST &&
	    (n = nghttp2_session_mem_send(h->session, &data)) > 0)
		if (evbuffer_add(output(h), data, (size_t)n) == -1)
			fatalx("no memory to send HTTP/2");
	if (n >= 0)
		return true;
	snprintf(h->why, sizeof(h->why), "%s", nghttp2_strerror((int)n));
	return false;
}

/* Who does not read is not read. */
static void
balance(struct h2 *h)
{
	bool full = evbuffer_get_length(output(h)) >= OUT_MOST ||
	    nghttp2_session_get_outbound_queue_size(h->session) > QUEUE_MOST;

	if (full)
		bufferevent_disable(h->conf.bev, EV_READ);
	else
		bufferevent_enable(h->conf.bev, EV_READ);
}

static bool
all_said(const struct h2 *h)
{
	return !nghttp2_session_want_read(h->session) &&
	    !nghttp2_session_want_write(h->session) &&
	    evbuffer_get_length(output(h)) == 0;
}

/*
 * To close with bytes unread would take our last words back from the peer:
 * it is told that we are done, and closes first. A client's words are worth
 * less than its time.
 */
static void
end_well(struct h2 *h)
{
	if (!h->conf.server) {
		over(h, h->broken ? H2_BROKEN : H2_CLOSED, h->why);
		return;
	}
	h->lingers = true;
	shutdown(bufferevent_getfd(h->conf.bev), SHUT_WR);
	timer_arm(h->linger, H2_LINGER_MS);
}

static void
work(struct h2 *h)
{
	if (h->lingers)
		return;
	if (!flush(h)) {
		over(h, H2_LOST, h->why);
		return;
	}
	balance(h);
	if (all_said(h))
		end_well(h);
}

static void
on_work(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	work(arg);
}

static void
on_lingered(evutil_socket_t fd, short what, void *arg)
{
	struct h2 *h = arg;

	(void)fd;
	(void)what;
	over(h, h->broken ? H2_BROKEN : H2_CLOSED, h->why);
}

/* ---- receiving ----------------------------------------------------------- */

static const char *
reason_of(ssize_t n)
{
	if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		return "no HTTP/2";
	if (n == NGHTTP2_ERR_CALLBACK_FAILURE || n == NGHTTP2_ERR_FLOODED)
		return "a flood of frames";
	return nghttp2_strerror((int)n);
}

/* All that is there goes to nghttp2. 0, or its error. */
static ssize_t
feed(struct h2 *h, struct evbuffer *in)
{
	struct evbuffer_iovec piece;
	ssize_t n;

	while (evbuffer_peek(in, -1, NULL, &piece, 1) > 0) {
		n = nghttp2_session_mem_recv(h->session, piece.iov_base,
		    piece.iov_len);
		if (n < 0)
			return n;
		evbuffer_drain(in, piece.iov_len);
	}
	return 0;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct h2 *h = arg;
	ssize_t n;

	if (h->lingers) {
		evbuffer_drain(in, evbuffer_get_length(in));
		return;
	}
	h->heard_ms = clock_ms();
	if ((n = feed(h, in)) < 0) {
		over(h, H2_BROKEN, reason_of(n));
		return;
	}
	work(h);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	work(arg);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct h2 *h = arg;

	(void)bev;
	if (h->broken)
		over(h, H2_BROKEN, h->why);
	else if ((what & BEV_EVENT_TIMEOUT) != 0)
		over(h, H2_LOST, "it reads nothing");
	else if ((what & BEV_EVENT_ERROR) != 0)
		over(h, H2_LOST, strerror(errno));
	else
		over(h, H2_CLOSED, h->why);
}

/* ---- its life ------------------------------------------------------------ */

static nghttp2_session_callbacks *
callbacks_new(const struct h2_conf *conf)
{
	nghttp2_session_callbacks *cbs;

	if (nghttp2_session_callbacks_new(&cbs) != 0)
		fatalx("no memory for HTTP/2");
	nghttp2_session_callbacks_set_on_begin_frame_callback(cbs,
	    on_begin_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cbs,
	    on_frame_send);
	conf->callbacks(cbs);
	return cbs;
}

static nghttp2_option *
options_new(void)
{
	nghttp2_option *options;

	if (nghttp2_option_new(&options) != 0)
		fatalx("no memory for HTTP/2");
	nghttp2_option_set_no_closed_streams(options, 1);
	nghttp2_option_set_max_outbound_ack(options, ACKS_MOST);
	nghttp2_option_set_max_settings(options, SETTINGS_MOST);
	return options;
}

static nghttp2_session *
session_new(struct h2 *h)
{
	nghttp2_session_callbacks *cbs = callbacks_new(&h->conf);
	nghttp2_option *options = options_new();
	nghttp2_session *session;
	int error;

	if (h->conf.server)
		error = nghttp2_session_server_new2(&session, cbs, h, options);
	else
		error = nghttp2_session_client_new2(&session, cbs, h, options);
	if (error != 0 ||
	    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE,
		h->conf.settings, h->conf.nsettings) != 0)
		fatalx("no memory for HTTP/2");
	nghttp2_session_callbacks_del(cbs);
	nghttp2_option_del(options);
	return session;
}

struct h2 *
h2_new(const struct h2_conf *conf)
{
	const struct timeval stalled = {
		.tv_sec = (time_t)(conf->stalled_ms / 1000),
		.tv_usec = (suseconds_t)(conf->stalled_ms % 1000 * 1000),
	};
	struct event_base *base = bufferevent_get_base(conf->bev);
	struct h2 *h = xcalloc(1, sizeof(*h));

	h->conf = *conf;
	snprintf(h->why, sizeof(h->why), "connection closed");
	h->heard_ms = h->budget_ms = clock_ms();
	h->budget = (int64_t)H2_BURST * FRAME;
	h->session = session_new(h);
	h->work = evtimer_new(base, on_work, h);
	h->linger = evtimer_new(base, on_lingered, h);
	if (h->work == NULL || h->linger == NULL)
		fatalx("no memory for HTTP/2");
	bufferevent_setcb(conf->bev, on_read, on_written, on_event, h);
	bufferevent_set_timeouts(conf->bev, NULL, &stalled);
	if (bufferevent_enable(conf->bev, EV_READ | EV_WRITE) == -1)
		fatalx("no memory for HTTP/2");
	h2_wake(h);
	return h;
}

void
h2_free(struct h2 *h)
{
	if (h == NULL)
		return;
	nghttp2_session_del(h->session);
	event_free(h->work);
	event_free(h->linger);
	bufferevent_free(h->conf.bev);
	free(h);
}

void
h2_wake(struct h2 *h)
{
	event_active(h->work, EV_TIMEOUT, 0);
}

void
h2_ping(struct h2 *h)
{
	nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
	h2_wake(h);
}

void
h2_goodbye(struct h2 *h)
{
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h->session),
	    NGHTTP2_NO_ERROR, NULL, 0);
	h2_wake(h);
}

/* The bufferevent writes from the event loop only, and keeps others off. */
void
h2_last_words(struct h2 *h)
{
	struct evbuffer *out = output(h);

	h2_goodbye(h);
	if (!flush(h))
		return;
	evbuffer_unfreeze(out, 1);
	evbuffer_write(out, bufferevent_getfd(h->conf.bev));
	evbuffer_freeze(out, 1);
}
