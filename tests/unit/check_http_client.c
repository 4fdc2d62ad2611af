#include <arpa/inet.h>
#include <bsd/string.h>
#include <check.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/dns_peer.h"
#include "tests/unit/http_peer.h"
#include "workers/http_client.h"

/* Longer than anything here takes, on a machine that is busy. */
#define PATIENCE_MS 20000

static const struct peer_answer answers[] = {
	{ "/ok", PEER_KEEP,
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	    "X-Consul-Index: 42\r\nContent-Length: 5\r\n\r\nhello",
	    NULL },
	{ "/chunked", PEER_KEEP,
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
	    NULL },
	{ "/chunked-loudly", PEER_KEEP,
	    "HTTP/1.1 200 OK\r\ntransfer-encoding:\t CHUNKED \r\n\r\n"
	    "5\r\nhello\r\n0\r\n\r\n",
	    NULL },
	/* These bytes are none: a decoder would say so. */
	{ "/gzip", PEER_CLOSE,
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
	    "5\r\nhello\r\n0\r\n\r\n",
	    NULL },
	{ "/deflate", PEER_CLOSE,
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: deflate\r\n\r\n"
	    "5\r\nhello\r\n0\r\n\r\n",
	    NULL },
	{ "/until-close", PEER_CLOSE, "HTTP/1.1 200 OK\r\n\r\nhello", NULL },
	{ "/interim", PEER_KEEP,
	    "HTTP/1.1 100 Continue\r\nX-Consul-Index: 1\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nX-Consul-Index: 2\r\n"
	    "Content-Length: 5\r\n\r\nhello",
	    NULL },
	{ "/busy", PEER_KEEP,
	    "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\n"
	    "wait",
	    NULL },
	{ "/for-years", PEER_KEEP,
	    "HTTP/1.1 503 No\r\nRetry-After: 99999999\r\n"
	    "Content-Length: 0\r\n\r\n",
	    NULL },
	{ "/elsewhere", PEER_KEEP,
	    "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: "
	    "0\r\n\r\n",
	    NULL },
	{ "/torn", PEER_CLOSE,
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", NULL },
	{ "/torn-chunk", PEER_CLOSE,
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel",
	    NULL },
	{ "/silent", PEER_CLOSE, "", NULL },
	{ "/not-http", PEER_CLOSE, "SSH-2.0-OpenSSH_9.2\r\n", NULL },
	{ "/large", PEER_KEEP,
	    "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", NULL },
	{ "/endless", PEER_FLOOD, "HTTP/1.1 200 OK\r\n\r\n", "hello" },
	{ "/headers", PEER_FLOOD, "HTTP/1.1 200 OK\r\n", "X: hello\r\n" },
	{ "/header", PEER_FLOOD, "HTTP/1.1 200 OK\r\nX: ", "hello" },
	{ "/hold", PEER_HOLD, "", NULL },
	{ NULL, PEER_KEEP, NULL, NULL },
};

static struct event_base *base;
static struct http_peer *peer;
static struct http_client *client;

/* What the last done() said; copied, as it ends with the call. */
static struct {
	unsigned done;
	long status;
	char error[600];
	char body[64];
	size_t body_len;
	char type[64];
	char index[16];
	uint64_t retry_after_ms, took_ms, bytes;
} got;

static void
on_done(const struct http_response *r, void *arg)
{
	(void)arg;
	got.done++;
	got.status = r->status;
	strlcpy(got.error, r->error != NULL ? r->error : "", sizeof(got.error));
	strlcpy(got.body, r->body, sizeof(got.body));
	ck_assert_uint_eq(r->body_len, strlen(r->body));
	got.body_len = r->body_len;
	strlcpy(got.type, r->content_type, sizeof(got.type));
	strlcpy(got.index, r->headers[0], sizeof(got.index));
	got.retry_after_ms = r->retry_after_ms;
	got.took_ms = r->took_ms;
	got.bytes = r->bytes;
}

static const struct http_request_conf get_conf = {
	.method = "GET",
	.path = "/ok",
	.headers = { "X-Consul-Index" },
	.timeout_ms = PATIENCE_MS,
	.max_body = 1000,
	.done = on_done,
};

static struct http_request_conf
conf_of(const char *method, const char *path)
{
	struct http_request_conf conf = get_conf;

	conf.method = method;
	conf.path = path;
	return conf;
}

static struct http_request *
get(const char *path)
{
	struct http_request_conf conf = conf_of("GET", path);

	return http_client_request(client, &conf);
}

static struct http_request *
put(const char *path, const char *body)
{
	struct http_request_conf conf = conf_of("PUT", path);

	conf.body = body;
	conf.body_len = strlen(body);
	return http_client_request(client, &conf);
}

/* Runs the loop until *value is at least n. */
static void
await(const unsigned *value, unsigned n)
{
	uint64_t end = clock_ms() + PATIENCE_MS;

	while (*value < n) {
		ck_assert_msg(clock_ms() < end, "%u of %u came", *value, n);
		event_base_loop(base, EVLOOP_ONCE);
	}
}

/* Whatever is ready now, until nothing is. */
static void
run_ready(void)
{
	for (int i = 0; i < 100; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static struct http_client_conf
client_conf(void)
{
	struct http_client_conf conf = {
		.base = base,
		.url = { .scheme = URL_HTTP,
		    .host = "127.0.0.1",
		    .host_is_ip = true,
		    .path = "/" },
		.what = "test",
		.max_connections = 8,
	};

	conf.url.port = http_peer_port(peer);
	return conf;
}

static void
setup(void)
{
	struct http_client_conf conf;
	bool dns;

	memset(&got, 0, sizeof(got));
	base = event_base_new();
	peer = http_peer_new(base, answers);
	conf = client_conf();
	client = http_client_preload(&conf, &dns);
	ck_assert(!dns);
}

static void
teardown(void)
{
	http_client_free(client);
	http_peer_free(peer);
	run_ready();
	event_base_free(base);
}

static const struct {
	const char *path;
	long status;
	const char *body, *index;
	uint64_t retry_after_ms;
} good[] = {
	{ "/ok", 200, "hello", "42", 0 },
	{ "/chunked", 200, "hello", "", 0 },
	{ "/chunked-loudly", 200, "hello", "", 0 },
	{ "/until-close", 200, "hello", "", 0 },
	{ "/interim", 200, "hello", "2", 0 },
	{ "/busy", 429, "wait", "", 7000 },
	{ "/for-years", 503, "", "", 3600000 },
	{ "/elsewhere", 302, "", "", 0 },
	{ "/nowhere", 404, "", "", 0 },
	{ "/ok", 200, "hello", "42", 0 },
};

START_TEST(answers_are_told)
{
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		get(good[i].path);
		await(&got.done, i + 1);
		ck_assert_str_eq(got.error, "");
		ck_assert_int_eq(got.status, good[i].status);
		ck_assert_str_eq(got.body, good[i].body);
		ck_assert_str_eq(got.index, good[i].index);
		ck_assert_uint_eq(got.retry_after_ms, good[i].retry_after_ms);
	}
	ck_assert_str_eq(got.type, "text/plain");
	ck_assert_uint_gt(got.bytes, got.body_len);
}
END_TEST

static const struct {
	const char *path, *error;
} bad[] = {
	{ "/torn", "closed the connection within its answer" },
	{ "/torn-chunk", "closed the connection within its answer" },
	{ "/silent", "closed the connection without an answer" },
	{ "/not-http", "is not HTTP" },
	{ "/gzip", "answer with an encoding that was not asked for" },
	{ "/deflate", "answer with an encoding that was not asked for" },
	{ "/endless", "answer larger than 1000 bytes" },
	{ "/headers", "headers of the answer larger than 65536 bytes" },
	{ "/header", "a header line without end" },
	{ "no-slash", "the path of the request is not escaped" },
	{ "/a b", "the path of the request is not escaped" },
	{ "/a\r\nX: y", "the path of the request is not escaped" },
};

START_TEST(bad_answers_are_errors)
{
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		get(bad[i].path);
		await(&got.done, i + 1);
		ck_assert_msg(strstr(got.error, bad[i].error) != NULL, "%s: %s",
		    bad[i].path, got.error);
		ck_assert_str_eq(got.body, "");
	}
	get("/ok");
	await(&got.done, sizeof(bad) / sizeof(*bad) + 1);
	ck_assert_str_eq(got.error, "");
}
END_TEST

START_TEST(body_is_bounded_to_the_byte)
{
	struct http_request_conf conf = conf_of("GET", "/large");

	conf.max_body = 11;
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_str_eq(got.error, "");
	ck_assert_str_eq(got.body, "hello world");
	conf.max_body = 10;
	http_client_request(client, &conf);
	await(&got.done, 2);
	ck_assert_str_eq(got.error, "answer larger than 10 bytes");
}
END_TEST

START_TEST(requests_are_as_asked)
{
	struct http_request_conf conf = conf_of("PUT", "/ok?x=%20y");
	const struct peer_seen *seen = http_peer_seen(peer);

	conf.body = "{}";
	conf.body_len = 2;
	conf.accept_headers[0] = "X-Extra: 1";
	http_client_token_header(client, "X-Consul-Token: ");
	http_client_blob(client, HTTP_TOKEN, " secret\n", 8);
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_ptr_eq(strstr(seen->head, "PUT /ok?x=%20y HTTP/1.1\r\n"),
	    seen->head);
	ck_assert_ptr_nonnull(strstr(seen->head, "X-Consul-Token: secret\r\n"));
	ck_assert_ptr_nonnull(
	    strstr(seen->head, "Content-Type: application/json\r\n"));
	ck_assert_ptr_nonnull(strstr(seen->head, "X-Extra: 1\r\n"));
	ck_assert_ptr_null(strstr(seen->head, "Expect"));
	ck_assert_str_eq(seen->body, "{}");

	http_client_blob(client, HTTP_TOKEN, NULL, 0);
	http_client_request(client,
	    &(struct http_request_conf){ .method = "PUT",
		.path = "/ok",
		.timeout_ms = PATIENCE_MS,
		.done = on_done });
	await(&got.done, 2);
	ck_assert_ptr_null(strstr(seen->head, "Token"));
	ck_assert_ptr_null(strstr(seen->head, "Content-Type"));
	ck_assert_ptr_nonnull(strstr(seen->head, "Content-Length: 0\r\n"));
	ck_assert_str_eq(seen->body, "");
}
END_TEST

START_TEST(token_injects_no_header)
{
	http_client_blob(client, HTTP_TOKEN, "a\r\nX: y", 7);
	get("/ok");
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "the token has a blank or control character");
	ck_assert_uint_eq(http_peer_seen(peer)->requests, 0);
}
END_TEST

START_TEST(proxies_of_the_environment_are_ignored)
{
	struct http_client_conf conf = client_conf();
	bool dns;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "socks5://127.0.0.1:1", 1);
	http_client_free(client);
	client = http_client_preload(&conf, &dns);
	get("/ok");
	await(&got.done, 1);
	ck_assert_str_eq(got.error, "");
}
END_TEST

START_TEST(connections_are_kept)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (i % 2 == 0)
			get("/ok");
		else
			put("/ok", "{\"a\":1}");
		await(&got.done, i + 1);
		ck_assert_str_eq(got.error, "");
	}
	ck_assert_uint_eq(http_peer_seen(peer)->accepted, 1);
	ck_assert_uint_eq(http_peer_seen(peer)->requests, 1000);
}
END_TEST

START_TEST(no_more_at_once_than_allowed)
{
	const struct peer_seen *seen = http_peer_seen(peer);

	for (int i = 0; i < 30; i++)
		get("/hold");
	await(&seen->held, 8);
	run_ready();
	ck_assert_uint_eq(seen->held, 8);
	while (got.done < 30) {
		http_peer_release(peer);
		event_base_loop(base, EVLOOP_ONCE);
	}
	ck_assert_uint_eq(seen->held_most, 8);
	ck_assert_uint_eq(seen->accepted, 8);
	ck_assert_uint_eq(seen->requests, 30);
}
END_TEST

START_TEST(times_out)
{
	struct http_request_conf conf = conf_of("GET", "/hold");

	/* The peer has it by then. */
	conf.timeout_ms = 1000;
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "timed out after 1s (waiting for the answer)");
	/* libevent counts from the beginning of its round. */
	ck_assert_uint_ge(got.took_ms, 950);
	run_ready();
	ck_assert_uint_eq(http_peer_seen(peer)->open, 0);
}
END_TEST

START_TEST(times_out_in_the_queue)
{
	struct http_request_conf conf = conf_of("GET", "/ok");

	for (int i = 0; i < 8; i++)
		get("/hold");
	await(&http_peer_seen(peer)->held, 8);
	conf.timeout_ms = 50;
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "timed out after 50ms (waiting for a connection)");
	ck_assert_uint_eq(http_peer_seen(peer)->requests, 8);
}
END_TEST

START_TEST(a_refused_connection_is_told)
{
	char expected[100];

	snprintf(expected, sizeof(expected),
	    "connect to 127.0.0.1:%u: Connection refused",
	    http_peer_port(peer));
	http_peer_free(peer);
	get("/ok");
	await(&got.done, 1);
	ck_assert_str_eq(got.error, expected);
	peer = http_peer_new(base, answers);
}
END_TEST

/* A port whose queue is full, so that connections to it stay half open. */
struct silence {
	int listener;
	int waiting[8];
};

static bool
is_open(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	return getpeername(fd, (struct sockaddr *)&sin, &len) == 0;
}

/* port 0: any. The port. */
static uint16_t
silence_begin(struct silence *s, const char *address, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	socklen_t len = sizeof(sin);
	size_t n = sizeof(s->waiting) / sizeof(*s->waiting);

	inet_pton(AF_INET, address, &sin.sin_addr);
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(s->listener, 0), 0);
	getsockname(s->listener, (struct sockaddr *)&sin, &len);
	for (size_t i = 0; i < n; i++) {
		s->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(s->waiting[i], (struct sockaddr *)&sin, len);
	}
	ck_assert(is_open(s->waiting[0]) && !is_open(s->waiting[n - 1]));
	return ntohs(sin.sin_port);
}

static void
silence_end(struct silence *s)
{
	for (size_t i = 0; i < sizeof(s->waiting) / sizeof(*s->waiting); i++)
		close(s->waiting[i]);
	close(s->listener);
}

/* Long before the request's own time is over. */
START_TEST(does_not_wait_long_for_a_connection)
{
	struct http_client_conf conf = client_conf();
	struct silence silence;
	char expected[100];
	bool dns;

	http_client_free(client);
	conf.url.port = silence_begin(&silence, "127.0.0.1", 0);
	conf.connect_timeout_ms = 50;
	client = http_client_preload(&conf, &dns);
	get("/ok");
	await(&got.done, 1);
	snprintf(expected, sizeof(expected),
	    "connect to 127.0.0.1:%u: ", conf.url.port);
	ck_assert_msg(strncmp(got.error, expected, strlen(expected)) == 0, "%s",
	    got.error);
	silence_end(&silence);
}
END_TEST

/* The client's end of its only connection to the peer. */
static int
client_socket(void)
{
	struct sockaddr_in sin;
	int fd = 3;

	for (;; fd++) {
		socklen_t len = sizeof(sin);

		ck_assert_int_lt(fd, 1000);
		if (getpeername(fd, (struct sockaddr *)&sin, &len) == 0 &&
		    sin.sin_family == AF_INET &&
		    ntohs(sin.sin_port) == http_peer_port(peer))
			return fd;
	}
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* Who went away without a word is noticed in half a minute. */
START_TEST(connections_are_kept_an_eye_on)
{
	int fd;

	get("/ok");
	await(&got.done, 1);
	fd = client_socket();
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
}
END_TEST

START_TEST(a_restarted_server_is_no_error)
{
	for (int i = 0; i < 8; i++)
		get("/hold");
	await(&http_peer_seen(peer)->held, 8);
	http_peer_release(peer);
	await(&got.done, 8);
	http_peer_hang_up(peer);
	/* Whether curl has seen the end of the connection yet or not. */
	for (unsigned i = 0; i < 8; i++) {
		put("/ok", "{}");
		await(&got.done, 9 + i);
		ck_assert_str_eq(got.error, "");
		ck_assert_str_eq(http_peer_seen(peer)->body, "{}");
	}
	ck_assert_uint_eq(http_peer_seen(peer)->accepted, 9);
}
END_TEST

/* ---- readers ------------------------------------------------------------ */

static char read_text[64];

static bool
read_some(const char *data, size_t len, void *arg)
{
	ck_assert_uint_lt(strlen(read_text) + len, sizeof(read_text));
	strncat(read_text, data, len);
	return arg == NULL;
}

static bool
read_and_cancel(const char *data, size_t len, void *arg)
{
	struct http_request **r = arg;

	(void)data;
	(void)len;
	http_request_cancel(r[0]);
	http_request_cancel(r[1]);
	get("/ok");
	return true;
}

static bool
read_and_free(const char *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	(void)arg;
	http_client_free(client);
	client = NULL;
	return true;
}

static struct http_request *
stream(const char *path, bool (*reader)(const char *, size_t, void *),
    void *arg)
{
	struct http_request_conf conf = conf_of("GET", path);

	conf.on_data = reader;
	conf.arg = arg;
	read_text[0] = '\0';
	return http_client_request(client, &conf);
}

START_TEST(bodies_are_streamed)
{
	stream("/chunked", read_some, NULL);
	await(&got.done, 1);
	ck_assert_str_eq(read_text, "hello");
	ck_assert_str_eq(got.body, "");
	ck_assert_str_eq(got.error, "");
}
END_TEST

START_TEST(a_reader_gets_no_error_page)
{
	stream("/busy", read_some, NULL);
	await(&got.done, 1);
	ck_assert_str_eq(read_text, "");
	ck_assert_int_eq(got.status, 429);
	ck_assert_str_eq(got.body, "wait");
}
END_TEST

START_TEST(a_reader_can_stop)
{
	stream("/ok", read_some, read_text);
	await(&got.done, 1);
	ck_assert_str_eq(got.error, "stopped by the reader");
	ck_assert_str_eq(read_text, "hello");
}
END_TEST

static bool
say(void *arg)
{
	const bool *may = arg;

	return *may;
}

/* On new connections and on a kept one. */
START_TEST(asks_before_it_sends)
{
	struct http_request_conf conf = conf_of("PUT", "/ok");
	bool may = false;

	conf.may_send = say;
	conf.arg = &may;
	for (unsigned i = 1; i <= 4; i++) {
		http_client_request(client, &conf);
		await(&got.done, i);
		ck_assert_str_eq(got.error,
		    may ? "" : "not sent: no longer wanted");
		ck_assert_uint_eq(http_peer_seen(peer)->requests, i / 2);
		may = !may;
	}
}
END_TEST

START_TEST(a_reader_is_bounded)
{
	struct http_request_conf conf = conf_of("GET", "/large");

	conf.on_data = read_some;
	conf.max_body = 10;
	read_text[0] = '\0';
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_str_eq(got.error, "answer larger than 10 bytes");
	ck_assert_str_eq(read_text, "");
}
END_TEST

START_TEST(a_reader_can_cancel)
{
	struct http_request *r[2];

	r[1] = get("/hold");
	r[0] = stream("/ok", read_and_cancel, r);
	await(&got.done, 1);
	ck_assert_str_eq(got.body, "hello");
	run_ready();
	ck_assert_uint_eq(got.done, 1);
}
END_TEST

START_TEST(a_reader_can_free_the_client)
{
	get("/hold");
	stream("/ok", read_and_free, NULL);
	while (client != NULL)
		event_base_loop(base, EVLOOP_ONCE);
	run_ready();
	ck_assert_uint_eq(got.done, 0);
	ck_assert_uint_eq(http_peer_seen(peer)->open, 0);
}
END_TEST

/* ---- cancel -------------------------------------------------------------- */

START_TEST(cancelled_is_never_done)
{
	struct http_request *r = get("/ok");

	http_request_cancel(r);
	run_ready();
	ck_assert_uint_eq(http_peer_seen(peer)->requests, 0);
	r = get("/hold");
	await(&http_peer_seen(peer)->held, 1);
	http_request_cancel(r);
	run_ready();
	ck_assert_uint_eq(http_peer_seen(peer)->open, 0);
	ck_assert_uint_eq(got.done, 0);
}
END_TEST

static struct http_request *others[4];

static void
done_cancels(const struct http_response *r, void *arg)
{
	(void)r;
	(void)arg;
	for (int i = 0; i < 4; i++)
		http_request_cancel(others[i]);
	got.done++;
	get("/ok");
}

START_TEST(cancel_inside_done)
{
	struct http_request_conf conf = conf_of("GET", "/a b");

	conf.done = done_cancels;
	others[0] = http_client_request(client, &conf); /* itself */
	others[1] = get("/hold");
	others[2] = get("/a b");
	others[3] = get("/hold");
	await(&got.done, 2);
	ck_assert_str_eq(got.body, "hello");
	run_ready();
	ck_assert_uint_eq(got.done, 2);
}
END_TEST

static void
done_frees(const struct http_response *r, void *arg)
{
	(void)r;
	(void)arg;
	got.done++;
	http_client_free(client);
	client = NULL;
}

START_TEST(free_inside_done)
{
	struct http_request_conf conf = conf_of("GET", "/ok");

	conf.done = done_frees;
	get("/hold");
	http_client_request(client, &conf);
	await(&got.done, 1);
	run_ready();
	ck_assert_uint_eq(http_peer_seen(peer)->open, 0);
	ck_assert_uint_eq(got.done, 1);
}
END_TEST

static void
done_asks_badly_again(const struct http_response *r, void *arg)
{
	struct http_request_conf conf = conf_of("GET", "not a path");

	(void)r;
	(void)arg;
	conf.done = done_asks_badly_again;
	http_client_request(client, &conf);
}

/* Failing at once for ever must leave the loop time for the others. */
START_TEST(failing_starves_nobody)
{
	done_asks_badly_again(NULL, NULL);
	get("/ok");
	await(&got.done, 1);
	ck_assert_str_eq(got.body, "hello");
}
END_TEST

/* ---- names --------------------------------------------------------------- */

/* 127.0.0.3 is the loopback too, but nobody listens there. */
static const struct dns_record elsewhere[] = {
	{ "web.test", "127.0.0.3", 60, 0 },
	{ NULL, NULL, 0, 0 },
};

static const struct dns_record right[] = {
	{ "web.test", "127.0.0.1", 60, 0 },
	{ NULL, NULL, 0, 0 },
};

static struct dns_peer *dns_peer;
static char resolv_conf[] = "/tmp/check_http_client.XXXXXX";

static struct http_client_conf
names_conf(void)
{
	struct http_client_conf conf = client_conf();

	strlcpy(conf.url.host, "web.test", sizeof(conf.url.host));
	conf.url.host_is_ip = false;
	conf.hosts = "/dev/null";
	conf.resolv_conf = resolv_conf;
	return conf;
}

static void
setup_names(void)
{
	struct http_client_conf conf;
	int fd = mkstemp(resolv_conf);
	bool dns;

	ck_assert_int_ge(fd, 0);
	close(fd);
	setup();
	http_client_free(client);
	dns_peer = dns_peer_new(base, elsewhere);
	dns_peer_write_conf(dns_peer, resolv_conf, "options timeout:1\n");
	conf = names_conf();
	client = http_client_preload(&conf, &dns);
	ck_assert(dns);
	unlink(resolv_conf);
}

static void
teardown_names(void)
{
	dns_peer_free(dns_peer);
	dns_peer = NULL;
	teardown();
}

START_TEST(names_are_looked_up)
{
	dns_peer_set(dns_peer, right);
	for (unsigned i = 0; i < 3; i++) {
		get("/ok");
		await(&got.done, i + 1);
		ck_assert_str_eq(got.error, "");
	}
	ck_assert_ptr_nonnull(
	    strstr(http_peer_seen(peer)->head, "\r\nHost: web.test:"));
	ck_assert_uint_eq(http_peer_seen(peer)->accepted, 1);
	ck_assert_uint_eq(dns_peer_asked(dns_peer), 2);
}
END_TEST

START_TEST(names_are_looked_up_again_where_nobody_answers)
{
	unsigned n = 1;

	get("/ok");
	await(&got.done, n);
	ck_assert_ptr_nonnull(strstr(got.error, "Connection refused"));
	dns_peer_set(dns_peer, right);
	while (got.status != 200 && n < 1000000) {
		get("/ok");
		await(&got.done, ++n);
	}
	ck_assert_str_eq(got.error, "");
}
END_TEST

/* 127.0.0.3 takes connections in, and says nothing more. */
START_TEST(names_are_looked_up_again_where_nothing_comes)
{
	struct http_client_conf conf = client_conf();
	struct silence silence;
	unsigned n = 0;
	bool dns;

	silence_begin(&silence, "127.0.0.3", conf.url.port);
	http_client_free(client);
	dns_peer_write_conf(dns_peer, resolv_conf, "options timeout:1\n");
	conf = names_conf();
	conf.connect_timeout_ms = 200;
	client = http_client_preload(&conf, &dns);
	get("/ok");
	await(&got.done, ++n);
	ck_assert_ptr_nonnull(strstr(got.error, "connect to web.test:"));
	dns_peer_set(dns_peer, right);
	while (got.status != 200 && n < 100) {
		get("/ok");
		await(&got.done, ++n);
	}
	ck_assert_str_eq(got.error, "");
	silence_end(&silence);
	unlink(resolv_conf);
}
END_TEST

START_TEST(names_that_are_missing_are_told)
{
	dns_peer_set(dns_peer, elsewhere + 1);
	get("/ok");
	get("/ok");
	await(&got.done, 2);
	ck_assert_str_eq(got.error, "look up web.test: name does not exist");
	ck_assert_uint_eq(dns_peer_asked(dns_peer), 2);
}
END_TEST

START_TEST(names_without_answer_time_out)
{
	struct http_request_conf conf = conf_of("GET", "/ok");

	dns_peer_set(dns_peer, NULL);
	conf.timeout_ms = 50;
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "timed out after 50ms (looking up web.test)");
}
END_TEST

/* ---- https and unix ------------------------------------------------------ */

START_TEST(tls_needs_a_ca)
{
	struct http_client_conf conf = client_conf();
	bool dns;

	http_client_free(client);
	conf.url.scheme = URL_HTTPS;
	client = http_client_preload(&conf, &dns);
	get("/ok");
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "TLS: no CA is given to verify the server with");
}
END_TEST

static unsigned wanted;

static void
on_want(void *arg)
{
	(void)arg;
	wanted++;
}

static void
give_pair(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	http_peer_adopt(peer, fd[0]);
	http_client_give_connection(client, fd[1]);
}

static void
give_dead(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	close(fd[0]);
	http_client_give_connection(client, fd[1]);
}

static void
setup_unix(void)
{
	struct http_client_conf conf;
	bool dns;

	setup();
	http_client_free(client);
	conf = client_conf();
	conf.url.scheme = URL_UNIX;
	conf.url.port = 0;
	strlcpy(conf.url.host, "", sizeof(conf.url.host));
	strlcpy(conf.url.path, "/run/consul.sock", sizeof(conf.url.path));
	conf.max_connections = 2;
	conf.want_connection = on_want;
	wanted = 0;
	client = http_client_preload(&conf, &dns);
}

START_TEST(unix_connections_are_asked_for)
{
	const struct peer_seen *seen = http_peer_seen(peer);

	get("/ok");
	await(&wanted, 1);
	give_pair();
	await(&got.done, 1);
	ck_assert_str_eq(got.error, "");
	ck_assert_str_eq(got.body, "hello");
	ck_assert_ptr_nonnull(strstr(seen->head, "Host: localhost\r\n"));
	/* One more in advance, and the first is used again. */
	await(&wanted, 2);
	put("/ok", "{}");
	await(&got.done, 2);
	ck_assert_uint_eq(seen->accepted, 1);
	/* The spare one serves a second at once; no third is asked for. */
	give_pair();
	get("/hold");
	get("/hold");
	get("/ok");
	await(&seen->held, 2);
	run_ready();
	ck_assert_uint_eq(wanted, 2);
	http_peer_release(peer);
	await(&got.done, 5);
	ck_assert_str_eq(got.error, "");
	ck_assert_uint_eq(seen->accepted, 2);
}
END_TEST

START_TEST(unix_dead_connections_are_replaced)
{
	get("/ok");
	await(&wanted, 1);
	give_pair();
	await(&got.done, 1);
	await(&wanted, 2);
	give_pair(); /* lies in the pool */
	http_peer_hang_up(peer);
	put("/ok", "{}");
	await(&wanted, 3);
	give_pair();
	await(&got.done, 2);
	ck_assert_str_eq(got.error, "");
	ck_assert_str_eq(got.body, "hello");
}
END_TEST

START_TEST(unix_without_a_server)
{
	get("/ok");
	await(&wanted, 1);
	http_client_give_connection(client, -1);
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "connect to unix:///run/consul.sock: the "
	    "supervisor could not");
	run_ready();
	ck_assert_uint_eq(wanted, 1);
	get("/ok");
	await(&wanted, 2);
	give_pair();
	await(&got.done, 2);
	ck_assert_str_eq(got.error, "");
}
END_TEST

START_TEST(unix_server_that_hangs_up)
{
	get("/ok");
	for (unsigned i = 1; got.done == 0; i++) {
		ck_assert_uint_lt(i, 10);
		await(&wanted, i);
		give_dead();
		run_ready();
	}
	ck_assert_str_eq(got.error,
	    "connect to unix:///run/consul.sock: the "
	    "server closes connections at once");
}
END_TEST

START_TEST(unix_waits_no_longer_than_its_timeout)
{
	struct http_request_conf conf = conf_of("GET", "/ok");

	conf.timeout_ms = 50;
	http_client_request(client, &conf);
	await(&got.done, 1);
	ck_assert_str_eq(got.error,
	    "timed out after 50ms (waiting for a connection)");
}
END_TEST

/* On new connections and on a kept one. */
START_TEST(unix_asks_before_it_sends)
{
	struct http_request_conf conf = conf_of("PUT", "/ok");
	unsigned given = 0;
	bool may = false;

	conf.may_send = say;
	conf.arg = &may;
	for (unsigned i = 1; i <= 4; i++) {
		http_client_request(client, &conf);
		while (got.done < i) {
			event_base_loop(base, EVLOOP_ONCE);
			for (; given < wanted; given++)
				give_pair();
		}
		ck_assert_str_eq(got.error,
		    may ? "" : "not sent: no longer wanted");
		ck_assert_uint_eq(http_peer_seen(peer)->requests, i / 2);
		may = !may;
	}
}
END_TEST

static const TTest **tcp_tests[] = {
	&answers_are_told,
	&bad_answers_are_errors,
	&body_is_bounded_to_the_byte,
	&requests_are_as_asked,
	&token_injects_no_header,
	&proxies_of_the_environment_are_ignored,
	&connections_are_kept,
	&no_more_at_once_than_allowed,
	&times_out,
	&times_out_in_the_queue,
	&a_refused_connection_is_told,
	&does_not_wait_long_for_a_connection,
	&connections_are_kept_an_eye_on,
	&a_restarted_server_is_no_error,
	&bodies_are_streamed,
	&a_reader_gets_no_error_page,
	&a_reader_can_stop,
	&asks_before_it_sends,
	&a_reader_is_bounded,
	&a_reader_can_cancel,
	&a_reader_can_free_the_client,
	&cancelled_is_never_done,
	&cancel_inside_done,
	&free_inside_done,
	&failing_starves_nobody,
	&tls_needs_a_ca,
};

static const TTest **name_tests[] = {
	&names_are_looked_up,
	&names_are_looked_up_again_where_nobody_answers,
	&names_are_looked_up_again_where_nothing_comes,
	&names_that_are_missing_are_told,
	&names_without_answer_time_out,
};

static const TTest **unix_tests[] = {
	&unix_connections_are_asked_for,
	&unix_dead_connections_are_replaced,
	&unix_without_a_server,
	&unix_server_that_hangs_up,
	&unix_waits_no_longer_than_its_timeout,
	&unix_asks_before_it_sends,
};

static TCase *
case_of(const char *name, void (*before)(void), void (*after)(void),
    const TTest **const *tests, size_t ntests)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, before, after);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < ntests; i++)
		tcase_add_test(t, *tests[i]);
	return t;
}

int
main(void)
{
	Suite *s = suite_create("http_client");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s,
	    case_of("tcp", setup, teardown, tcp_tests,
		sizeof(tcp_tests) / sizeof(*tcp_tests)));
	suite_add_tcase(s,
	    case_of("names", setup_names, teardown_names, name_tests,
		sizeof(name_tests) / sizeof(*name_tests)));
	suite_add_tcase(s,
	    case_of("unix", setup_unix, teardown, unix_tests,
		sizeof(unix_tests) / sizeof(*unix_tests)));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
