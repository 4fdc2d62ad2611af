#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/timer.h"
#include "grpc/server_inside.h"

#define COUNT(a)         (sizeof(a) / sizeof(*(a)))

#define TYPE             "application/grpc"

#define HTTP_NOT_ALLOWED "405"
#define HTTP_UNSUPPORTED "415"

static void
submit(struct conn *c, int32_t stream, const nghttp2_nv *headers, size_t n,
    const nghttp2_data_provider *data)
{
	nghttp2_submit_response(h2_session(c->h2), stream, headers, n, data);
	h2_wake(c->h2);
}

void
call_refuse(struct conn *c, int32_t stream, enum grpc_code code,
    const char *text)
{
	char number[4], message[LIMIT_TEXT * 3 + 1];

	c->server->counts.ended[code]++;
	snprintf(number, sizeof(number), "%u", (unsigned)code);
	grpc_message_encode(text, message, sizeof(message));
	submit(c, stream,
	    (const nghttp2_nv[]){
		h2_nv(":status", "200"),
		h2_nv("content-type", TYPE),
		h2_nv("grpc-accept-encoding", "identity"),
		h2_nv("grpc-status", number),
		h2_nv("grpc-message", message),
	    },
	    5, NULL);
}

/* All that is left is to send an answer. True: it ran. */
static bool
ended(struct grpc_call *call)
{
	bool ran = call->phase == CALL_RUNS;

	call->phase = CALL_ENDED;
	call->late = false;
	timer_arm(call->timer, call->conn->server->patience.transfer_ms);
	if (ran)
		conn_ended(call->conn);
	return ran;
}

static void
fail(struct grpc_call *call, enum grpc_code code, const char *text)
{
	ended(call);
	call_refuse(call->conn, call->stream, code, text);
}

/* What is no gRPC gets an answer that any client of HTTP understands. */
static void
fail_http(struct grpc_call *call, const char *status)
{
	const nghttp2_nv header = h2_nv(":status", status);

	ended(call);
	call->conn->server->counts.ended[GRPC_UNKNOWN]++;
	submit(call->conn, call->stream, &header, 1, NULL);
}

/* ---- the answer ---------------------------------------------------------- */

static ssize_t
read_answer(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t cap,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	const nghttp2_nv trailer = h2_nv("grpc-status", "0");
	struct grpc_call *call = source->ptr;
	size_t n = call->answer_len - call->answer_sent;

	(void)arg;
	if (n > cap)
		n = cap;
	memcpy(buf, call->answer + call->answer_sent, n);
	call->answer_sent += n;
	if (call->answer_sent < call->answer_len)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	if (nghttp2_submit_trailer(session, stream, &trailer, 1) != 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return (ssize_t)n;
}

static void
answer(struct grpc_call *call, const void *msg, size_t len)
{
	const nghttp2_nv headers[] = {
		h2_nv(":status", "200"),
		h2_nv("content-type", TYPE),
		h2_nv("grpc-accept-encoding", "identity"),
	};
	const nghttp2_data_provider data = { .source = { .ptr = call },
		.read_callback = read_answer };

	call->conn->server->counts.ended[GRPC_OK]++;
	call->answer_len = GRPC_PREFIX + len;
	call->answer = xmalloc(call->answer_len);
	grpc_prefix_put(call->answer, (uint32_t)len);
	if (len > 0)
		memcpy(call->answer + GRPC_PREFIX, msg, len);
	submit(call->conn, call->stream, headers, COUNT(headers), &data);
}

void
grpc_call_end(struct grpc_call *call, enum grpc_code code, const char *text,
    const void *msg, size_t len)
{
	if (call->phase != CALL_RUNS)
		fatalx("a call that does not run was ended");
	if (code != GRPC_OK) {
		fail(call, code, text);
		return;
	}
	ended(call);
	answer(call, msg, len);
}

/* ---- its end without an answer of the method's --------------------------- */

static void
tell_gone(struct grpc_call *call)
{
	struct grpc_server_conf *conf = &call->conn->server->conf;

	if (call->method->gone != NULL)
		call->method->gone(call, conf->arg);
}

static void
deadline(struct grpc_call *call)
{
	if (ended(call))
		tell_gone(call);
	call_refuse(call->conn, call->stream, GRPC_DEADLINE_EXCEEDED,
	    "the call's deadline has passed");
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct grpc_call *call = arg;

	(void)fd;
	(void)what;
	if (call->phase == CALL_RUNS || call->late) {
		deadline(call);
		return;
	}
	/* A request that comes, or an answer that is taken, too slowly. */
	nghttp2_submit_rst_stream(h2_session(call->conn->h2), NGHTTP2_FLAG_NONE,
	    call->stream, NGHTTP2_CANCEL);
	h2_wake(call->conn->h2);
}

/* ---- its life ------------------------------------------------------------ */

struct grpc_call *
call_new(struct conn *c, int32_t stream)
{
	struct grpc_call *call;

	if (c->server->streams >= LIMIT_GRPC_CALLS ||
	    c->peer->calls >= LIMIT_GRPC_CALLS_EACH)
		return NULL;
	call = xcalloc(1, sizeof(*call));
	call->conn = c;
	call->stream = stream;
	call->timer = evtimer_new(c->server->conf.base, on_timer, call);
	if (call->timer == NULL)
		fatalx("no memory for a call");
	timer_arm(call->timer, call->conn->server->patience.transfer_ms);
	TAILQ_INSERT_TAIL(&c->calls, call, link);
	c->server->streams++;
	c->peer->calls++;
	return call;
}

void
call_free(struct grpc_call *call)
{
	struct conn *c = call->conn;

	if (call->phase != CALL_ENDED) {
		c->server->counts.ended[GRPC_CANCELLED]++;
		if (ended(call))
			tell_gone(call);
	}
	TAILQ_REMOVE(&c->calls, call, link);
	c->server->streams--;
	c->peer->calls--;
	body_free(&call->body);
	event_free(call->timer);
	free(call->answer);
	free(call);
}

/* ---- the request --------------------------------------------------------- */

static bool
is(const char *value, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(value, text, len) == 0;
}

static void
take_method(struct grpc_call *call, const char *value, size_t len)
{
	call->request.post = is(value, len, "POST");
}

static void
take_path(struct grpc_call *call, const char *value, size_t len)
{
	const struct grpc_server_conf *conf = &call->conn->server->conf;

	for (size_t i = 0; i < conf->nmethods; i++)
		if (is(value, len, conf->methods[i].path))
			call->method = &conf->methods[i];
}

static void
take_type(struct grpc_call *call, const char *value, size_t len)
{
	const char *end = memchr(value, ';', len);

	if (end != NULL)
		len = (size_t)(end - value);
	while (len > 0 && value[len - 1] == ' ')
		len--;
	call->request.grpc =
	    is(value, len, TYPE) || is(value, len, TYPE "+proto");
}

static void
take_encoding(struct grpc_call *call, const char *value, size_t len)
{
	call->request.encoded = !is(value, len, "identity");
}

static void
take_timeout(struct grpc_call *call, const char *value, size_t len)
{
	struct request *r = &call->request;

	r->has_timeout = grpc_timeout_parse(value, len, &r->timeout_ms);
	r->bad_timeout = !r->has_timeout;
}

static const struct {
	const char *name;
	void (*take)(struct grpc_call *call, const char *value, size_t len);
} taken[] = {
	{ ":method", take_method },
	{ ":path", take_path },
	{ "content-type", take_type },
	{ "grpc-encoding", take_encoding },
	{ "grpc-timeout", take_timeout },
};

/* As SETTINGS_MAX_HEADER_LIST_SIZE counts a field (RFC 9113, 6.5.2). */
#define FIELD_OVERHEAD 32

void
call_header(struct grpc_call *call, const char *name, size_t name_len,
    const char *value, size_t len)
{
	struct request *r = &call->request;

	r->header_bytes += name_len + len + FIELD_OVERHEAD;
	if (r->header_bytes > LIMIT_GRPC_HEADERS)
		return;
	for (size_t i = 0; i < COUNT(taken); i++)
		if (is(name, name_len, taken[i].name))
			taken[i].take(call, value, len);
}

/* Its own, but no longer than a request may take to come. */
static void
start_deadline(struct grpc_call *call)
{
	const struct request *r = &call->request;

	if (!r->has_timeout)
		return;
	call->deadline_ms = clock_ms() + r->timeout_ms;
	if (r->timeout_ms >= call->conn->server->patience.transfer_ms)
		return;
	call->late = true;
	timer_arm(call->timer, r->timeout_ms);
}

void
call_headers_end(struct grpc_call *call)
{
	const struct request *r = &call->request;

	if (r->header_bytes > LIMIT_GRPC_HEADERS)
		fail(call, GRPC_RESOURCE_EXHAUSTED,
		    "the headers are too large");
	else if (!r->post)
		fail_http(call, HTTP_NOT_ALLOWED);
	else if (!r->grpc)
		fail_http(call, HTTP_UNSUPPORTED);
	else if (r->bad_timeout)
		fail(call, GRPC_INTERNAL, "grpc-timeout is not one");
	else if (call->method == NULL)
		fail(call, GRPC_UNIMPLEMENTED, "there is no such method");
	else if (r->encoded)
		fail(call, GRPC_UNIMPLEMENTED,
		    "the message is compressed; only identity is understood");
	else
		start_deadline(call);
}

/* What is wrong with its message ends it. */
static bool
message_holds(struct grpc_call *call, enum grpc_code code, const char *why)
{
	if (code == GRPC_OK)
		return true;
	body_free(&call->body);
	fail(call, code, why);
	return false;
}

void
call_data(struct grpc_call *call, const void *data, size_t len)
{
	enum grpc_code code;
	const char *why = NULL;

	if (call->phase != CALL_COMES)
		return;
	code = body_add(&call->body, data, len, &why);
	message_holds(call, code, why);
}

static void
begin(struct grpc_call *call)
{
	const struct grpc_server_conf *conf = &call->conn->server->conf;
	uint64_t now = clock_ms();

	call->phase = CALL_RUNS;
	conn_started(call->conn);
	if (call->deadline_ms == 0)
		evtimer_del(call->timer);
	else
		timer_arm(call->timer,
		    call->deadline_ms > now ? call->deadline_ms - now : 0);
	call->method->begin(call, call->body.msg, call->body.len, conf->arg);
	body_free(&call->body);
}

void
call_request_end(struct grpc_call *call)
{
	enum grpc_code code;
	const char *why = NULL;

	if (call->phase != CALL_COMES)
		return;
	code = body_end(&call->body, &why);
	if (message_holds(call, code, why))
		begin(call);
}

/* ---- for the methods ----------------------------------------------------- */

const struct sockaddr *
grpc_call_peer(const struct grpc_call *call)
{
	return (const struct sockaddr *)&call->conn->remote;
}

const struct sockaddr *
grpc_call_local(const struct grpc_call *call)
{
	return (const struct sockaddr *)&call->conn->local;
}

void
grpc_call_set_arg(struct grpc_call *call, void *arg)
{
	call->arg = arg;
}

void *
grpc_call_arg(const struct grpc_call *call)
{
	return call->arg;
}
