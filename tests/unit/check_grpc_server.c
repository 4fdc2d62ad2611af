#include <arpa/inet.h>
#include <check.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "grpc/h2.h"
#include "grpc/server.h"
#include "tests/unit/h2_peer.h"
#include "tests/unit/h2_text.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* Longer than anything here takes, on a machine that is busy. */
#define PATIENCE_MS 20000
/* What the server waits for in vain where a test is about that. */
#define SHORT_MS   300

#define CALLS_MOST (2 * LIMIT_GRPC_CALLS)

static struct event_base *base;
static struct grpc_server *server;
static uint16_t port;
static int listen_fd;

static struct {
	unsigned begun, gone;
	struct grpc_call *calls[CALLS_MOST]; /* that wait */
	size_t ncalls;
	char peer[INET6_ADDRSTRLEN];
	uint16_t local_port;
} at;

/* ---- the methods --------------------------------------------------------- */

static void
note_ends(const struct grpc_call *c)
{
	struct sockaddr_in sin;

	memcpy(&sin, grpc_call_peer(c), sizeof(sin));
	inet_ntop(AF_INET, &sin.sin_addr, at.peer, sizeof(at.peer));
	memcpy(&sin, grpc_call_local(c), sizeof(sin));
	at.local_port = ntohs(sin.sin_port);
}

static void
begin_echo(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)arg;
	at.begun++;
	note_ends(c);
	grpc_call_end(c, GRPC_OK, "", msg, len);
}

static void
begin_fail(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)msg;
	(void)len;
	(void)arg;
	grpc_call_end(c, GRPC_NOT_FOUND, "no 100% pod", NULL, 0);
}

static void
begin_wait(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)msg;
	(void)len;
	(void)arg;
	ck_assert_ptr_null(grpc_call_arg(c));
	ck_assert_uint_lt(at.ncalls, CALLS_MOST);
	grpc_call_set_arg(c, &at.calls[at.ncalls]);
	at.calls[at.ncalls++] = c;
	at.begun++;
}

static void
gone(struct grpc_call *c, void *arg)
{
	struct grpc_call **slot = grpc_call_arg(c);

	(void)arg;
	ck_assert_ptr_eq(*slot, c);
	*slot = NULL;
	at.gone++;
}

/* Ends all that wait. */
static void
release(void)
{
	for (size_t i = 0; i < at.ncalls; i++)
		if (at.calls[i] != NULL)
			grpc_call_end(at.calls[i], GRPC_OK, "", "ok", 2);
	at.ncalls = 0;
}

static const struct grpc_method methods[] = {
	{ "/test/Echo", begin_echo, NULL },
	{ "/test/Fail", begin_fail, NULL },
	{ "/test/Wait", begin_wait, gone },
};

/* ---- around them --------------------------------------------------------- */

static void
run_once(uint64_t end, const char *what)
{
	ck_assert_msg(clock_ms() < end, "%s did not come", what);
	event_base_loop(base, EVLOOP_ONCE);
}

#define AWAIT(condition) \
	for (uint64_t end_ = clock_ms() + PATIENCE_MS; !(condition);) \
	run_once(end_, #condition)

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* So that a condition is seen that no event tells of. */
static struct event *
ticker(void)
{
	const struct timeval tv = { 0, 20000 };
	struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);

	event_add(tick, &tv);
	return tick;
}

static int
listening(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	port = ntohs(sin.sin_port);
	return fd;
}

static const struct grpc_patience long_ones = {
	.greeting_ms = PATIENCE_MS,
	.transfer_ms = PATIENCE_MS,
	.idle_ms = PATIENCE_MS,
	.silence_ms = PATIENCE_MS,
	.pong_ms = PATIENCE_MS,
	.stalled_ms = PATIENCE_MS,
};
static struct grpc_patience patience;

static void
start(void)
{
	const struct grpc_server_conf conf = { .base = base,
		.methods = methods,
		.nmethods = COUNT(methods),
		.patience = &patience };

	server = grpc_server_new(&conf);
	listen_fd = listening();
	grpc_server_listen(server, listen_fd);
}

static struct event *tick;

static void
setup(void)
{
	memset(&at, 0, sizeof(at));
	patience = long_ones;
	base = event_base_new();
	tick = ticker();
	start();
}

static void
teardown(void)
{
	grpc_server_free(server);
	event_free(tick);
	event_base_free(base);
}

/* With other times. */
static void
restart(void)
{
	grpc_server_free(server);
	start();
}

static struct h2_peer *
peer_new(void)
{
	return h2_peer_new(base, 1, port);
}

static struct grpc_counts
counts(void)
{
	return grpc_server_counts(server);
}

#define BODY(s)  .body = (s), .len = sizeof(s) - 1
#define BYTES(s) (s), sizeof(s) - 1
#define HELLO    "\0\0\0\0\5hello"

static const struct h2_request echo = { .path = "/test/Echo", BODY(HELLO) };
static const struct h2_request wait_for = { .path = "/test/Wait", BODY(HELLO) };

static const struct h2_stream *
ask(struct h2_peer *p, const struct h2_request *r)
{
	const struct h2_stream *s = h2_peer_stream(p, h2_peer_request(p, r));

	AWAIT(s->ended);
	return s;
}

static void
must_echo(struct h2_peer *p)
{
	const struct h2_stream *s = ask(p, &echo);

	ck_assert_uint_eq(s->http, 200);
	ck_assert_int_eq(s->code, GRPC_OK);
	ck_assert_uint_eq(s->len, 10);
	ck_assert(memcmp(s->body, HELLO, 10) == 0);
	ck_assert_uint_eq(s->headers, 2);
	ck_assert_uint_eq(s->error, 0);
}

/* ---- calls --------------------------------------------------------------- */

START_TEST(answers_calls)
{
	struct h2_peer *p = h2_peer_new(base, 7, port);

	must_echo(p);
	must_echo(p);
	ck_assert_str_eq(at.peer, "127.0.0.7");
	ck_assert_uint_eq(at.local_port, port);
	ck_assert_str_eq(h2_peer_stream(p, 1)->type, "application/grpc");
	ck_assert_str_eq(h2_peer_stream(p, 1)->accepts, "identity");
	ck_assert_uint_eq(h2_peer_seen(p)->max_streams, LIMIT_GRPC_STREAMS);
	ck_assert_uint_eq(counts().ended[GRPC_OK], 2);
	ck_assert_uint_eq(counts().accepted, 1);
	ck_assert_uint_eq(counts().connections, 1);
	h2_peer_free(p);
	AWAIT(counts().connections == 0);
	ck_assert_uint_eq(counts().broken, 0);
}
END_TEST

static char large_header[LIMIT_GRPC_HEADERS + 1];
static char large_body[LIMIT_GRPC_MESSAGE + 6] = "\0\0\0\x10\1";

static const struct {
	struct h2_request request;
	unsigned http;
	int code;
	const char *text;
} refusals[] = {
	{ { .path = "/test/Fail", BODY(HELLO) }, 200, GRPC_NOT_FOUND,
	    "no 100%25 pod" },
	{ { .path = "/test/Other", BODY(HELLO) }, 200, GRPC_UNIMPLEMENTED,
	    "there is no such method" },
	{ { .path = "/test/Ech", BODY(HELLO) }, 200, GRPC_UNIMPLEMENTED,
	    "there is no such method" },
	{ { .path = "/test/Echo",
	      .type = "application/grpc+proto",
	      .more = { "x", "y" },
	      BODY(HELLO) },
	    200, GRPC_OK, "" },
	{ { .path = "/test/Echo", .type = "application/grpc; a=b", BODY(HELLO) },
	    200, GRPC_OK, "" },
	{ { .path = "/test/Echo", .type = "application/grpc+json", BODY(HELLO) },
	    415, -1, "" },
	{ { .path = "/test/Echo", .type = "text/plain", BODY(HELLO) }, 415, -1,
	    "" },
	{ { .path = "/test/Echo", .type = "", BODY(HELLO) }, 415, -1, "" },
	{ { .path = "/test/Echo", .method = "GET" }, 405, -1, "" },
	{ { .path = "/test/Echo",
	      .more = { "grpc-encoding", "identity" },
	      BODY(HELLO) },
	    200, GRPC_OK, "" },
	{ { .path = "/test/Echo",
	      .more = { "grpc-encoding", "gzip" },
	      BODY("\1\0\0\0\5hello") },
	    200, GRPC_UNIMPLEMENTED,
	    "the message is compressed; only identity is understood" },
	{ { .path = "/test/Echo", BODY("\1\0\0\0\5hello") }, 200,
	    GRPC_UNIMPLEMENTED,
	    "the message is compressed, with which encoding nobody said" },
	{ { .path = "/test/Echo", BODY("\7\0\0\0\5hello") }, 200, GRPC_INTERNAL,
	    "the message's compressed flag is neither 0 nor 1" },
	{ { .path = "/test/Echo" }, 200, GRPC_UNIMPLEMENTED,
	    "no message, where a unary call has one" },
	{ { .path = "/test/Echo", BODY("\0\0\0\0\5hell") }, 200, GRPC_INTERNAL,
	    "the message is cut short" },
	{ { .path = "/test/Echo", BODY("\0\0\0") }, 200, GRPC_INTERNAL,
	    "the message is cut short" },
	{ { .path = "/test/Echo", BODY(HELLO HELLO) }, 200, GRPC_UNIMPLEMENTED,
	    "more than the one message of a unary call" },
	{ { .path = "/test/Echo", BODY(HELLO "x") }, 200, GRPC_UNIMPLEMENTED,
	    "more than the one message of a unary call" },
	{ { .path = "/test/Echo",
	      .body = large_body,
	      .len = sizeof(large_body) },
	    200, GRPC_RESOURCE_EXHAUSTED, "the message is too large" },
	{ { .path = "/test/Echo", .more = { "x", large_header }, BODY(HELLO) },
	    200, GRPC_RESOURCE_EXHAUSTED, "the headers are too large" },
	{ { .path = "/test/Echo",
	      .more = { "grpc-timeout", "soon" },
	      BODY(HELLO) },
	    200, GRPC_INTERNAL, "grpc-timeout is not one" },
	{ { .path = "/test/Echo",
	      .more = { "grpc-timeout", "99999999H" },
	      BODY(HELLO) },
	    200, GRPC_OK, "" },
	{ { .path = "/test/Wait",
	      .more = { "grpc-timeout", "20m" },
	      BODY(HELLO) },
	    200, GRPC_DEADLINE_EXCEEDED, "the call's deadline has passed" },
	{ { .path = "/test/Wait",
	      .more = { "grpc-timeout", "0n" },
	      BODY(HELLO) },
	    200, GRPC_DEADLINE_EXCEEDED, "the call's deadline has passed" },
	/* its end does not come: still the answer, and no wish for the rest */
	{ { .path = "/test/Wait",
	      .more = { "grpc-timeout", "20m" },
	      .open = true,
	      BODY("\0\0") },
	    200, GRPC_DEADLINE_EXCEEDED, "the call's deadline has passed" },
	{ { .path = "/test/Other", .open = true, BODY("\0\0") }, 200,
	    GRPC_UNIMPLEMENTED, "there is no such method" },
	{ { .path = "/test/Echo", .open = true, BODY(HELLO "x") }, 200,
	    GRPC_UNIMPLEMENTED, "more than the one message of a unary call" },
};

static void
must_refuse(struct h2_peer *p, size_t i)
{
	const struct h2_stream *s = ask(p, &refusals[i].request);
	unsigned headers = refusals[i].code == GRPC_OK ? 2 : 1;

	ck_assert_msg(s->http == refusals[i].http, "%zu: HTTP %u", i, s->http);
	ck_assert_msg(s->code == refusals[i].code, "%zu: gRPC %d", i, s->code);
	ck_assert_str_eq(s->text, refusals[i].text);
	ck_assert_msg(s->headers == headers, "%zu: %u headers", i, s->headers);
	ck_assert_msg(s->error == 0, "%zu: reset with %u", i, s->error);
}

START_TEST(refuses_calls)
{
	struct h2_peer *p = peer_new();

	memset(large_header, 'x', sizeof(large_header) - 1);
	for (size_t i = 0; i < COUNT(refusals); i++)
		must_refuse(p, i);
	must_echo(p);
	ck_assert_uint_eq(counts().connections, 1);
	ck_assert_uint_eq(counts().ended[GRPC_DEADLINE_EXCEEDED], 3);
	ck_assert_uint_eq(counts().ended[GRPC_UNKNOWN], 4);
	ck_assert_uint_eq(at.gone, 2);
	ck_assert_uint_eq(counts().calls, 0);
	h2_peer_free(p);
}
END_TEST

START_TEST(many_calls_wait_at_once)
{
	struct h2_peer *p = peer_new();

	for (unsigned i = 0; i < 100; i++)
		h2_peer_request(p, &wait_for);
	AWAIT(at.begun == 100);
	ck_assert_uint_eq(counts().calls, 100);
	must_echo(p);
	release();
	for (int32_t id = 1; id < 200; id += 2) {
		AWAIT(h2_peer_stream(p, id)->ended);
		ck_assert_int_eq(h2_peer_stream(p, id)->code, GRPC_OK);
	}
	ck_assert_uint_eq(counts().calls, 0);
	ck_assert_uint_eq(at.gone, 0);
	h2_peer_free(p);
}
END_TEST

START_TEST(tells_of_calls_that_are_gone)
{
	struct h2_peer *p = peer_new();
	int32_t id = h2_peer_request(p, &wait_for);

	h2_peer_request(p, &wait_for);
	h2_peer_request(p, &wait_for);
	AWAIT(at.begun == 3);
	h2_peer_reset(p, id);
	AWAIT(at.gone == 1);
	ck_assert_uint_eq(counts().calls, 2);
	h2_peer_free(p);
	AWAIT(at.gone == 3);
	ck_assert_uint_eq(counts().calls, 0);
	ck_assert_uint_eq(counts().ended[GRPC_CANCELLED], 3);
	AWAIT(counts().connections == 0);
}
END_TEST

START_TEST(ends_calls_with_the_server)
{
	struct h2_peer *p = peer_new();

	h2_peer_request(p, &wait_for);
	AWAIT(at.begun == 1);
	grpc_server_free(server);
	server = NULL;
	ck_assert_uint_eq(at.gone, 1);
	AWAIT(h2_peer_seen(p)->closed);
	h2_peer_free(p);
}
END_TEST

/* A message is for a stream's whole life, or some seconds. */
START_TEST(resets_requests_that_do_not_come)
{
	const struct h2_request half = { .path = "/test/Echo",
		.open = true,
		BODY("\0\0\0\0\5hel") };
	struct h2_peer *p;

	patience.transfer_ms = SHORT_MS;
	restart();
	p = peer_new();
	ck_assert_uint_eq(ask(p, &half)->error, 8);
	ck_assert_uint_eq(counts().ended[GRPC_CANCELLED], 1);
	ck_assert_uint_eq(at.begun, 0);
	must_echo(p);
	h2_peer_free(p);
}
END_TEST

/* Longer than a request may take to come. */
START_TEST(keeps_long_deadlines)
{
	const struct h2_request later = { .path = "/test/Wait",
		.more = { "grpc-timeout", "1000m" },
		BODY(HELLO) };
	uint64_t start = clock_ms();
	struct h2_peer *p;

	patience.transfer_ms = SHORT_MS;
	restart();
	p = peer_new();
	ck_assert_int_eq(ask(p, &later)->code, GRPC_DEADLINE_EXCEEDED);
	ck_assert_uint_ge(clock_ms() - start, 3 * SHORT_MS);
	h2_peer_free(p);
}
END_TEST

START_TEST(answers_through_a_small_window)
{
	struct h2_peer *p = peer_new();

	h2_peer_window(p, 1);
	must_echo(p);
	h2_peer_free(p);
}
END_TEST

START_TEST(keeps_no_answer_that_nobody_takes)
{
	struct h2_peer *p;

	patience.transfer_ms = SHORT_MS;
	restart();
	p = peer_new();
	h2_peer_window(p, 0);
	ck_assert_uint_eq(ask(p, &echo)->error, 8);
	ck_assert_uint_eq(counts().ended[GRPC_OK], 1);
	ck_assert_uint_eq(counts().calls, 0);
	h2_peer_free(p);
}
END_TEST

/* ---- what is no HTTP/2, or too much of it -------------------------------- */

static void
must_break(const void *bytes, size_t len)
{
	struct h2_peer *p = peer_new();
	uint64_t broken = counts().broken;

	h2_peer_raw(p, bytes, len);
	AWAIT(h2_peer_seen(p)->closed);
	AWAIT(counts().connections == 0);
	ck_assert_uint_eq(counts().broken, broken + 1);
	ck_assert_uint_eq(at.begun, 0);
	h2_peer_free(p);
}

START_TEST(hangs_up_on_what_is_no_http2)
{
	struct h2_text t = { 0 };

	must_break(BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
	must_break(BYTES("\x16\x03\x01\x02\x00\x01\x00"));
	must_break(BYTES("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
	h2_text_preface(&t);
	h2_text_add(&t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	must_break(t.bytes, t.len);
	free(t.bytes);
}
END_TEST

START_TEST(hangs_up_on_who_says_nothing)
{
	struct h2_peer *silent, *half;

	patience.greeting_ms = SHORT_MS;
	restart();
	silent = peer_new();
	half = peer_new();
	h2_peer_raw(half, BYTES("PRI * HTTP/2.0\r\n"));
	AWAIT(h2_peer_seen(silent)->closed && h2_peer_seen(half)->closed);
	ck_assert_uint_eq(counts().broken, 2);
	ck_assert_uint_eq(counts().connections, 0);
	h2_peer_free(silent);
	h2_peer_free(half);
}
END_TEST

/* A probe of the port is no error. */
START_TEST(bears_who_only_connects)
{
	struct h2_peer *p = peer_new();

	AWAIT(counts().connections == 1);
	h2_peer_free(p);
	AWAIT(counts().connections == 0);
	ck_assert_uint_eq(counts().broken, 0);
}
END_TEST

static const char *const request_headers[] = { ":method", "POST", ":scheme",
	"http", ":path", "/test/Echo", ":authority", "x", "content-type",
	"application/grpc", NULL };

static const uint8_t zeros[8];

static void
flood_simple(struct h2_text *t, unsigned i, uint8_t type, uint32_t id,
    size_t len)
{
	(void)i;
	h2_text_frame(t, type, 0, id, zeros, len);
}

static void
flood_settings(struct h2_text *t, unsigned i)
{
	flood_simple(t, i, H2_SETTINGS, 0, 0);
}

static void
flood_ping(struct h2_text *t, unsigned i)
{
	flood_simple(t, i, H2_PING, 0, 8);
}

static void
flood_priority(struct h2_text *t, unsigned i)
{
	h2_text_frame(t, H2_PRIORITY, 0, 2 * i + 3, zeros, 5);
}

static void
flood_window(struct h2_text *t, unsigned i)
{
	(void)i;
	h2_text_frame(t, H2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void
flood_reset(struct h2_text *t, unsigned i)
{
	h2_text_headers(t, H2_END_HEADERS, 2 * i + 1, request_headers);
	h2_text_frame(t, H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\x8", 4);
}

static void
flood_continuation(struct h2_text *t, unsigned i)
{
	if (i == 0)
		h2_text_headers(t, 0, 1, request_headers);
	else
		h2_text_frame(t, H2_CONTINUATION, 0, 1, NULL, 0);
}

static void
flood_data(struct h2_text *t, unsigned i)
{
	if (i == 0)
		h2_text_headers(t, H2_END_HEADERS, 1, request_headers);
	else
		h2_text_frame(t, H2_DATA, 0, 1, NULL, 0);
}

static void (*const floods[])(struct h2_text *t, unsigned i) = {
	flood_settings,
	flood_ping,
	flood_priority,
	flood_window,
	flood_reset,
	flood_continuation,
	flood_data,
};

START_TEST(ends_floods)
{
	struct h2_text t = { 0 };

	h2_text_preface(&t);
	for (unsigned i = 0; i < 4000; i++)
		floods[_i](&t, i);
	must_break(t.bytes, t.len);
	free(t.bytes);
}
END_TEST

/* What clients of gRPC send with each call, thousands of calls long. */
START_TEST(bears_good_clients)
{
	enum { BATCH = 50, BATCHES = 60 };
	struct h2_peer *p = peer_new();
	struct h2_text t = { 0 };

	h2_text_preface(&t);
	for (uint32_t i = 0; i < BATCH * BATCHES; i++) {
		uint32_t id = 2 * i + 1;

		h2_text_headers(&t, H2_END_HEADERS, id, request_headers);
		h2_text_frame(&t, H2_DATA, H2_END_STREAM, id, HELLO, 10);
		flood_window(&t, i);
		flood_window(&t, i);
		flood_ping(&t, i);
		if (i % BATCH != BATCH - 1)
			continue;
		h2_peer_raw(p, t.bytes, t.len);
		t.len = 0;
		AWAIT(counts().ended[GRPC_OK] == i + 1);
	}
	ck_assert_uint_eq(counts().broken, 0);
	h2_peer_free(p);
	free(t.bytes);
}
END_TEST

/* Streams that it did not allow, by who takes no notice of its SETTINGS. */
START_TEST(bounds_streams)
{
	struct h2_text t = { 0 };
	struct h2_peer *p = peer_new();

	h2_text_preface(&t);
	for (uint32_t i = 0; i < LIMIT_GRPC_CALLS_EACH + 100; i++)
		h2_text_headers(&t, H2_END_HEADERS, 2 * i + 1, request_headers);
	h2_peer_raw(p, t.bytes, t.len);
	AWAIT(h2_peer_seen(p)->any);
	h2_peer_free(p);
	AWAIT(counts().connections == 0);
	ck_assert_uint_eq(counts().ended[GRPC_CANCELLED], LIMIT_GRPC_STREAMS);
	free(t.bytes);
}
END_TEST

/* More than fits between them, so that something is left if it does so. */
START_TEST(reads_nothing_from_who_does_not_read)
{
	struct h2_text t = { 0 };
	size_t begin_used, most;
	struct h2_peer *p;

	h2_text_preface(&t);
	for (uint32_t i = 0; i < 300000; i++)
		h2_text_headers(&t, H2_END_HEADERS | H2_END_STREAM, 2 * i + 1,
		    request_headers);
	patience.stalled_ms = 10 * SHORT_MS;
	restart();
	p = peer_new();
	h2_peer_read(p, false);
	h2_peer_raw(p, t.bytes, t.len);
	AWAIT(counts().ended[GRPC_UNIMPLEMENTED] > 0);
	begin_used = most = mallinfo2().uordblks;
	while (counts().connections > 0) {
		event_base_loop(base, EVLOOP_ONCE);
		if (mallinfo2().uordblks > most)
			most = mallinfo2().uordblks;
	}
	/* What the peer sends leaves its memory, and goes nowhere else. */
	ck_assert_uint_lt(most - begin_used, 2000000);
	ck_assert_uint_gt(h2_peer_unsent(p), 0);
	h2_peer_free(p);
	free(t.bytes);
}
END_TEST

/* ---- room ---------------------------------------------------------------- */

static void
raise_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static struct h2_peer *peers[LIMIT_GRPC_CONNECTIONS + 1];

static void
connect_many(size_t n)
{
	raise_descriptors();
	for (size_t i = 0; i < n; i++)
		peers[i] = h2_peer_new(base, (uint8_t)(2 + i / 100), port);
	AWAIT(counts().connections == n);
}

static void
disconnect_many(size_t n)
{
	for (size_t i = 0; i < n; i++)
		h2_peer_free(peers[i]);
	AWAIT(counts().connections == 0);
}

START_TEST(makes_room_by_the_oldest_idle_one)
{
	struct h2_peer *p;

	connect_many(LIMIT_GRPC_CONNECTIONS);
	/* It listens, but has called nothing. */
	h2_peer_window(peers[1], 65535);
	AWAIT(h2_peer_seen(peers[1])->settings == 1);
	h2_peer_request(peers[0], &wait_for);
	AWAIT(at.begun == 1);
	p = h2_peer_new(base, 1, port);
	must_echo(p);
	AWAIT(h2_peer_seen(peers[1])->closed);
	ck_assert_uint_eq(h2_peer_seen(peers[1])->goaways, 1);
	ck_assert(!h2_peer_seen(peers[0])->closed);
	ck_assert_uint_eq(counts().connections, LIMIT_GRPC_CONNECTIONS);
	ck_assert_uint_eq(counts().refused, 0);
	h2_peer_free(p);
	disconnect_many(LIMIT_GRPC_CONNECTIONS);
}
END_TEST

START_TEST(refuses_where_all_have_calls)
{
	struct h2_peer *p;

	connect_many(LIMIT_GRPC_CONNECTIONS);
	for (size_t i = 0; i < LIMIT_GRPC_CONNECTIONS; i++)
		h2_peer_request(peers[i], &wait_for);
	AWAIT(at.begun == LIMIT_GRPC_CONNECTIONS);
	p = h2_peer_new(base, 1, port);
	AWAIT(counts().refused == 1);
	AWAIT(h2_peer_seen(p)->closed);
	h2_peer_free(p);
	/* as soon as one has none, it goes */
	grpc_call_end(at.calls[9], GRPC_OK, "", NULL, 0);
	at.calls[9] = NULL;
	p = h2_peer_new(base, 1, port);
	must_echo(p);
	h2_peer_free(p);
	release();
	disconnect_many(LIMIT_GRPC_CONNECTIONS);
}
END_TEST

START_TEST(bounds_an_address)
{
	struct h2_peer *others = h2_peer_new(base, 9, port);

	must_echo(others);
	raise_descriptors();
	for (size_t i = 0; i <= LIMIT_GRPC_PER_ADDRESS; i++)
		peers[i] = peer_new();
	AWAIT(counts().accepted == LIMIT_GRPC_PER_ADDRESS + 2);
	/* the oldest of that address, not of all */
	AWAIT(counts().connections == LIMIT_GRPC_PER_ADDRESS + 1);
	must_echo(others);
	must_echo(peers[LIMIT_GRPC_PER_ADDRESS]);
	AWAIT(h2_peer_seen(peers[0])->closed);
	h2_peer_free(others);
	disconnect_many(LIMIT_GRPC_PER_ADDRESS + 1);
}
END_TEST

START_TEST(bounds_calls_of_an_address)
{
	struct h2_peer *p[] = { peer_new(), peer_new(), peer_new() };
	struct h2_peer *other = h2_peer_new(base, 2, port);

	for (size_t i = 0; i < LIMIT_GRPC_CALLS_EACH; i++)
		h2_peer_request(p[i / LIMIT_GRPC_STREAMS], &wait_for);
	AWAIT(at.begun == LIMIT_GRPC_CALLS_EACH);
	ck_assert_int_eq(ask(p[2], &wait_for)->code, GRPC_RESOURCE_EXHAUSTED);
	must_echo(other);
	release();
	AWAIT(ask(p[2], &echo)->code == GRPC_OK);
	for (size_t i = 0; i < 3; i++)
		h2_peer_free(p[i]);
	h2_peer_free(other);
}
END_TEST

/* How it was before. */
static struct rlimit
leave_descriptors(void)
{
	struct rlimit limit, few;
	int next = dup(0);

	close(next);
	getrlimit(RLIMIT_NOFILE, &limit);
	few = limit;
	few.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &few);
	return limit;
}

START_TEST(lives_without_descriptors)
{
	struct rlimit limit;
	struct h2_peer *p;

	connect_many(16);
	p = peer_new();
	limit = leave_descriptors();
	/* one of the idle ones makes room */
	must_echo(p);
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_uint_lt(counts().connections, 17);
	h2_peer_free(p);
	disconnect_many(16);
}
END_TEST

START_TEST(waits_for_descriptors_in_peace)
{
	struct rlimit limit;
	struct h2_peer *p;
	unsigned turns = 0;

	connect_many(1);
	h2_peer_request(peers[0], &wait_for);
	AWAIT(at.begun == 1);
	p = peer_new();
	limit = leave_descriptors();
	for (uint64_t end = clock_ms() + 2 * SHORT_MS; clock_ms() < end;)
		turns += event_base_loop(base, EVLOOP_ONCE) == 0;
	ck_assert_uint_lt(turns, 2 * SHORT_MS);
	/* The one that has a call is not for that. */
	ck_assert_uint_eq(counts().connections, 1);
	release();
	must_echo(p);
	setrlimit(RLIMIT_NOFILE, &limit);
	h2_peer_free(p);
	disconnect_many(1);
}
END_TEST

START_TEST(knows_its_descriptors)
{
	struct h2_peer *p = peer_new();
	unsigned owned = 0;

	must_echo(p);
	for (int fd = -1; fd < 1000; fd++)
		owned += grpc_server_owns(server, fd);
	ck_assert_uint_eq(owned, 1);
	ck_assert(!grpc_server_owns(server, listen_fd));
	h2_peer_free(p);
	AWAIT(counts().connections == 0);
	for (int fd = -1; fd < 1000; fd++)
		ck_assert(!grpc_server_owns(server, fd));
}
END_TEST

/* ---- time ---------------------------------------------------------------- */

/* So that it hangs up itself, and soon. */
START_TEST(says_good_bye_to_who_is_idle)
{
	struct h2_peer *p;
	uint64_t told;

	patience.idle_ms = SHORT_MS;
	restart();
	p = peer_new();
	must_echo(p);
	AWAIT(h2_peer_seen(p)->goaways == 1);
	told = clock_ms();
	AWAIT(h2_peer_seen(p)->closed);
	ck_assert_uint_lt(clock_ms() - told, H2_LINGER_MS / 2);
	ck_assert_uint_eq(h2_peer_seen(p)->goaway_error, 0);
	ck_assert_uint_eq(counts().broken, 0);
	h2_peer_free(p);
	AWAIT(counts().connections == 0);
}
END_TEST

START_TEST(keeps_who_waits)
{
	struct h2_peer *p;

	patience.idle_ms = patience.silence_ms = SHORT_MS;
	patience.pong_ms = 5 * SHORT_MS;
	restart();
	p = peer_new();
	h2_peer_request(p, &wait_for);
	AWAIT(h2_peer_seen(p)->pings >= 3);
	ck_assert(!h2_peer_seen(p)->closed);
	release();
	AWAIT(h2_peer_stream(p, 1)->ended);
	ck_assert_int_eq(h2_peer_stream(p, 1)->code, GRPC_OK);
	h2_peer_free(p);
}
END_TEST

START_TEST(finds_who_is_dead)
{
	struct h2_peer *p;

	patience.silence_ms = patience.pong_ms = SHORT_MS;
	restart();
	p = peer_new();
	h2_peer_request(p, &wait_for);
	AWAIT(at.begun == 1);
	h2_peer_read(p, false);
	AWAIT(at.gone == 1);
	ck_assert_uint_eq(counts().connections, 0);
	h2_peer_free(p);
}
END_TEST

START_TEST(drains)
{
	struct h2_peer *busy = peer_new(), *idle = peer_new();

	must_echo(idle);
	h2_peer_request(busy, &wait_for);
	AWAIT(at.begun == 2);
	grpc_server_drain(server);
	AWAIT(h2_peer_seen(idle)->closed && h2_peer_seen(busy)->goaways == 1);
	ck_assert(!h2_peer_seen(busy)->closed);
	release();
	AWAIT(h2_peer_seen(busy)->closed);
	ck_assert_int_eq(h2_peer_stream(busy, 1)->code, GRPC_OK);
	h2_peer_free(busy);
	h2_peer_free(idle);
	AWAIT(counts().connections == 0);
	busy = peer_new();
	AWAIT(h2_peer_seen(busy)->closed);
	h2_peer_free(busy);
}
END_TEST

/* ---- memory -------------------------------------------------------------- */

static void
busy_time(void)
{
	const struct h2_request half = { .path = "/test/Echo",
		.open = true,
		BODY("\0\0\0\0\5hel") };
	struct h2_peer *p = peer_new();

	for (unsigned i = 0; i < 50; i++) {
		h2_peer_request(p, &wait_for);
		h2_peer_reset(p, h2_peer_request(p, &wait_for));
		h2_peer_request(p, &half);
		must_echo(p);
		must_refuse(p, i % 8);
	}
	h2_peer_free(p);
	AWAIT(counts().connections == 0);
	at.ncalls = at.begun = 0;
	must_break(BYTES("GET / HTTP/1.1\r\n\r\n"));
}

/* 5 bytes for each of the 5,000 calls: malloc's caches count as used. */
#define MALLOC_KEEPS 25000

START_TEST(gives_memory_back)
{
	struct mallinfo2 before, after;

	busy_time();
	before = mallinfo2();
	for (unsigned i = 0; i < 20; i++)
		busy_time();
	after = mallinfo2();
	ck_assert_uint_lt(after.uordblks, before.uordblks + MALLOC_KEEPS);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("grpc_server");
	TCase *t = tcase_create("grpc_server");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, answers_calls);
	tcase_add_test(t, refuses_calls);
	tcase_add_test(t, many_calls_wait_at_once);
	tcase_add_test(t, tells_of_calls_that_are_gone);
	tcase_add_test(t, ends_calls_with_the_server);
	tcase_add_test(t, resets_requests_that_do_not_come);
	tcase_add_test(t, keeps_long_deadlines);
	tcase_add_test(t, answers_through_a_small_window);
	tcase_add_test(t, keeps_no_answer_that_nobody_takes);
	tcase_add_test(t, hangs_up_on_what_is_no_http2);
	tcase_add_test(t, hangs_up_on_who_says_nothing);
	tcase_add_test(t, bears_who_only_connects);
	tcase_add_loop_test(t, ends_floods, 0, (int)COUNT(floods));
	tcase_add_test(t, bears_good_clients);
	tcase_add_test(t, bounds_streams);
	tcase_add_test(t, reads_nothing_from_who_does_not_read);
	tcase_add_test(t, makes_room_by_the_oldest_idle_one);
	tcase_add_test(t, refuses_where_all_have_calls);
	tcase_add_test(t, bounds_an_address);
	tcase_add_test(t, bounds_calls_of_an_address);
	tcase_add_test(t, lives_without_descriptors);
	tcase_add_test(t, waits_for_descriptors_in_peace);
	tcase_add_test(t, knows_its_descriptors);
	tcase_add_test(t, says_good_bye_to_who_is_idle);
	tcase_add_test(t, keeps_who_waits);
	tcase_add_test(t, finds_who_is_dead);
	tcase_add_test(t, drains);
	tcase_add_test(t, gives_memory_back);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
