#include "grpc/client.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/timer.h"
#include "grpc/connect.h"
#include "grpc/h2.h"
#include "grpc/message.h"
#include "grpc/response.h"

#define TYPE "application/grpc"
/* As long as the kernel waits for an acknowledgement (connect.c). */
#define STALLED_MS 50000

struct call {
	char *path;
	uint8_t *msg; /* with its prefix */
	size_t len;
	size_t sent;
	uint64_t timeout_ms; /* 0: none */
	uint64_t deadline_ms; /* with a timeout */
	int32_t stream; /* 0: not sent yet */
	struct response response;
	enum grpc_code code; /* once it is finished */
	grpc_client_done *done;
	void *arg;
};

struct grpc_client {
	struct grpc_client_conf conf;
	char *host;
	char *authority;
	struct connect *connect; /* NULL: none is under way */
	struct h2 *h2; /* NULL: not connected */
	struct call *call; /* NULL: none */
	struct event *deadline;
	struct event *finish; /* done() is due */
	char peer[CONNECT_PEER];
};

static const nghttp2_settings_entry settings[] = {
	{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_GRPC_HEADERS },
};

/* ---- the end of a call --------------------------------------------------- */

static void
call_free(struct call *call)
{
	response_free(&call->response);
	free(call->path);
	free(call->msg);
	free(call);
}

/* The first end counts. Its text is in the response. */
static void
finish(struct grpc_client *c, enum grpc_code code)
{
	if (evtimer_pending(c->finish, NULL))
		return;
	c->call->code = code;
	evtimer_del(c->deadline);
	timer_arm(c->finish, 0);
}

static void
fail(struct grpc_client *c, enum grpc_code code, const char *text)
{
	if (evtimer_pending(c->finish, NULL))
		return;
	strlcpy(c->call->response.text, text, sizeof(c->call->response.text));
	finish(c, code);
}

/* done() may call again, or free the client. */
static void
on_finish(evutil_socket_t fd, short what, void *arg)
{
	struct grpc_client *c = arg;
	struct call *call = c->call;
	const struct response *r = &call->response;
	bool ok = call->code == GRPC_OK;

	(void)fd;
	(void)what;
	c->call = NULL;
	call->done(call->code, ok ? "" : r->text, ok ? r->body.msg : NULL,
	    ok ? r->body.len : 0, call->arg);
	call_free(call);
}

static void
reset(struct grpc_client *c)
{
	if (c->h2 == NULL || c->call->stream <= 0)
		return;
	nghttp2_submit_rst_stream(h2_session(c->h2), NGHTTP2_FLAG_NONE,
	    c->call->stream, NGHTTP2_CANCEL);
	h2_wake(c->h2);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct grpc_client *c = arg;
	char text[64];

	(void)fd;
	(void)what;
	snprintf(text, sizeof(text), "no answer in %" PRIu64 " ms",
	    c->call->timeout_ms);
	reset(c);
	fail(c, GRPC_DEADLINE_EXCEEDED, text);
}

/* ---- what nghttp2 tells -------------------------------------------------- */

/* The call of a stream, if it is not over. */
static struct call *
call_of(const struct grpc_client *c, int32_t stream)
{
	if (c->call == NULL || c->call->stream != stream ||
	    evtimer_pending(c->finish, NULL))
		return NULL;
	return c->call;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value, size_t len,
    uint8_t flags, void *arg)
{
	struct call *call = call_of(h2_arg(arg), frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (call != NULL)
		response_header(&call->response, (const char *)name, name_len,
		    (const char *)value, len);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
    const uint8_t *data, size_t len, void *arg)
{
	struct grpc_client *c = h2_arg(arg);
	struct call *call = call_of(c, stream);

	(void)session;
	(void)flags;
	if (call == NULL || response_data(&call->response, data, len))
		return 0;
	reset(c);
	finish(c, response_end(&call->response, NGHTTP2_CANCEL));
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error,
    void *arg)
{
	struct grpc_client *c = h2_arg(arg);
	struct call *call = call_of(c, stream);

	(void)session;
	if (call != NULL)
		finish(c, response_end(&call->response, error));
	return 0;
}

static void
add_callbacks(nghttp2_session_callbacks *cbs)
{
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs,
	    on_stream_close);
}

/* ---- sending a call ------------------------------------------------------ */

static ssize_t
read_message(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t cap,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct call *call = call_of(source->ptr, stream);
	size_t n;

	(void)session;
	(void)arg;
	if (call == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = call->len - call->sent;
	if (n > cap)
		n = cap;
	memcpy(buf, call->msg + call->sent, n);
	call->sent += n;
	if (call->sent == call->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static uint64_t
time_left(const struct call *call)
{
	uint64_t now = clock_ms();

	return call->deadline_ms > now ? call->deadline_ms - now : 1;
}

static void
send_call(struct grpc_client *c)
{
	struct call *call = c->call;
	const nghttp2_data_provider data = { .source = { .ptr = c },
		.read_callback = read_message };
	char timeout[GRPC_TIMEOUT];
	nghttp2_nv headers[] = {
		h2_nv(":method", "POST"),
		h2_nv(":scheme", "http"),
		h2_nv(":path", call->path),
		h2_nv(":authority", c->authority),
		h2_nv("content-type", TYPE),
		h2_nv("te", "trailers"),
		h2_nv("user-agent", "katalogd/" PACKAGE_VERSION),
		h2_nv("grpc-timeout", ""),
	};
	size_t n = sizeof(headers) / sizeof(*headers);

	if (call->timeout_ms == 0) {
		n--;
	} else {
		grpc_timeout_format(time_left(call), timeout);
		headers[n - 1] = h2_nv("grpc-timeout", timeout);
	}
	call->stream = nghttp2_submit_request(h2_session(c->h2), NULL, headers,
	    n, &data, NULL);
	if (call->stream < 0)
		fail(c, GRPC_INTERNAL, nghttp2_strerror(call->stream));
	h2_wake(c->h2);
}

/* ---- its connection ------------------------------------------------------ */

static void
on_over(enum h2_end end, const char *why, void *arg)
{
	struct grpc_client *c = arg;
	char text[CONNECT_PEER + LIMIT_TEXT];

	(void)end;
	snprintf(text, sizeof(text), "%s: %s", c->peer, why);
	h2_free(c->h2);
	c->h2 = NULL;
	if (c->call != NULL && c->call->stream != 0)
		fail(c, GRPC_UNAVAILABLE, text);
}

static void
connected(struct grpc_client *c, struct bufferevent *bev)
{
	const struct h2_conf conf = {
		.bev = bev,
		.stalled_ms = STALLED_MS,
		.callbacks = add_callbacks,
		.settings = settings,
		.nsettings = sizeof(settings) / sizeof(*settings),
		.over = on_over,
		.arg = c,
	};

	c->h2 = h2_new(&conf);
	if (c->call != NULL && !evtimer_pending(c->finish, NULL))
		send_call(c);
}

static void
on_connect(struct bufferevent *bev, const char *text, void *arg)
{
	struct grpc_client *c = arg;

	if (bev != NULL) {
		strlcpy(c->peer, text, sizeof(c->peer));
		connected(c, bev);
	} else if (c->call != NULL) {
		fail(c, GRPC_UNAVAILABLE, text);
	}
	connect_free(c->connect);
	c->connect = NULL;
}

static void
start_connect(struct grpc_client *c)
{
	const struct connect_conf conf = {
		.base = c->conf.base,
		.dns = c->conf.dns,
		.host = c->host,
		.port = c->conf.port,
		.timeout_ms = c->conf.connect_ms,
		.done = on_connect,
		.arg = c,
	};

	if (c->connect == NULL)
		c->connect = connect_new(&conf);
}

/* False once the server has said GOAWAY, too. */
static bool
usable(const struct grpc_client *c)
{
	return c->h2 != NULL &&
	    nghttp2_session_check_request_allowed(h2_session(c->h2)) != 0;
}

/* ---- for its user -------------------------------------------------------- */

void
grpc_client_call(struct grpc_client *c, const char *path, const void *msg,
    size_t len, uint64_t timeout_ms, grpc_client_done *done, void *arg)
{
	struct call *call;

	if (c->call != NULL)
		fatalx("%s: the call before it has not ended", path);
	c->call = call = xcalloc(1, sizeof(*call));
	call->path = xstrdup(path);
	call->len = GRPC_PREFIX + len;
	call->msg = xmalloc(call->len);
	grpc_prefix_put(call->msg, (uint32_t)len);
	if (len > 0)
		memcpy(call->msg + GRPC_PREFIX, msg, len);
	call->done = done;
	call->arg = arg;
	call->timeout_ms = timeout_ms;
	call->deadline_ms = clock_ms() + timeout_ms;
	if (timeout_ms > 0)
		timer_arm(c->deadline, timeout_ms);
	if (usable(c)) {
		send_call(c);
		return;
	}
	h2_free(c->h2);
	c->h2 = NULL;
	start_connect(c);
}

void
grpc_client_cancel(struct grpc_client *c)
{
	if (c->call == NULL)
		return;
	if (!evtimer_pending(c->finish, NULL))
		reset(c);
	evtimer_del(c->finish);
	evtimer_del(c->deadline);
	call_free(c->call);
	c->call = NULL;
}

struct grpc_client *
grpc_client_new(const struct grpc_client_conf *conf)
{
	struct grpc_client *c = xcalloc(1, sizeof(*c));

	c->conf = *conf;
	c->host = xstrdup(conf->host);
	c->authority = xstrdup(conf->authority);
	c->deadline = evtimer_new(conf->base, on_deadline, c);
	c->finish = evtimer_new(conf->base, on_finish, c);
	if (c->deadline == NULL || c->finish == NULL)
		fatalx("no memory for a client");
	return c;
}

void
grpc_client_free(struct grpc_client *c)
{
	if (c == NULL)
		return;
	if (c->call != NULL)
		call_free(c->call);
	connect_free(c->connect);
	h2_free(c->h2);
	event_free(c->deadline);
	event_free(c->finish);
	free(c->host);
	free(c->authority);
	free(c);
}
