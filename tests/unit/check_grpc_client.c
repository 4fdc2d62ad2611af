/* The client against our own server; what others send is in bytes below. */
#include <arpa/inet.h>
#include <bsd/string.h>
#include <check.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "grpc/client.h"
#include "grpc/h2.h"
#include "grpc/message.h"
#include "grpc/server.h"
#include "tests/unit/h2_text.h"

/* Longer than anything here takes, on a machine that is busy. */
#define PATIENCE_MS 20000
#define NO_POD      "pod sh\xc3\xb6p/w: 100% away"

static struct event_base *base;
static struct grpc_server *server;
static struct grpc_client *client;
static struct evdns_base *dns;
static uint16_t port, wanted_port;
static uint64_t connect_ms;

static struct {
	unsigned begun, gone;
	struct grpc_call *call; /* that waits */
} at_server;

static struct {
	unsigned done;
	enum grpc_code code;
	char text[LIMIT_TEXT];
	char msg[LIMIT_GRPC_MESSAGE];
	size_t len;
} got;

static void
begin_echo(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)arg;
	at_server.begun++;
	grpc_call_end(c, GRPC_OK, "", msg, len);
}

static void
begin_fail(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)msg;
	(void)len;
	(void)arg;
	grpc_call_end(c, GRPC_NOT_FOUND, NO_POD, NULL, 0);
}

static void
begin_wait(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)msg;
	(void)len;
	(void)arg;
	at_server.begun++;
	at_server.call = c;
}

static void
gone(struct grpc_call *c, void *arg)
{
	(void)c;
	(void)arg;
	at_server.gone++;
	at_server.call = NULL;
}

static const struct grpc_method methods[] = {
	{ "/test/Echo", begin_echo, NULL },
	{ "/test/Fail", begin_fail, NULL },
	{ "/test/Wait", begin_wait, gone },
};

static int
listening(int backlog)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(wanted_port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	port = ntohs(sin.sin_port);
	return fd;
}

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
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
on_done(enum grpc_code code, const char *text, const void *msg, size_t len,
    void *arg)
{
	(void)arg;
	got.done++;
	got.code = code;
	strlcpy(got.text, text, sizeof(got.text));
	got.len = len;
	ck_assert_uint_le(len, sizeof(got.msg));
	if (len > 0)
		memcpy(got.msg, msg, len);
}

static void
call(const char *path, uint64_t timeout_ms)
{
	grpc_client_call(client, path, "hello", 5, timeout_ms, on_done, NULL);
}

static void
must_get(unsigned nth, enum grpc_code code, const char *text)
{
	await(&got.done, nth);
	ck_assert_str_eq(grpc_code_name(got.code), grpc_code_name(code));
	ck_assert_str_eq(got.text, text);
}

static void
start_server(void)
{
	const struct grpc_server_conf conf = { .base = base,
		.methods = methods,
		.nmethods = sizeof(methods) / sizeof(*methods) };

	server = grpc_server_new(&conf);
	grpc_server_listen(server, listening(128));
}

static struct grpc_client *
client_of(const char *host)
{
	const struct grpc_client_conf conf = { .base = base,
		.dns = dns,
		.host = host,
		.port = port,
		.authority = "test",
		.connect_ms = connect_ms };

	return grpc_client_new(&conf);
}

static void
setup(void)
{
	memset(&got, 0, sizeof(got));
	memset(&at_server, 0, sizeof(at_server));
	connect_ms = PATIENCE_MS;
	wanted_port = 0;
	base = event_base_new();
	start_server();
	client = client_of("127.0.0.1");
}

static void
teardown(void)
{
	grpc_client_free(client);
	grpc_server_free(server);
	if (dns != NULL) {
		/* It calls back even for what was cancelled. */
		run_ready();
		evdns_base_free(dns, 1);
		run_ready();
	}
	event_base_free(base);
}

/* "127.0.0.1:PORT: why" */
static const char *
at_peer(const char *why)
{
	static char text[256];

	snprintf(text, sizeof(text), "127.0.0.1:%u: %s", port, why);
	return text;
}

/* ---- with our own server ------------------------------------------------- */

START_TEST(has_its_answer)
{
	call("/test/Echo", 0);
	ck_assert_uint_eq(got.done, 0);
	must_get(1, GRPC_OK, "");
	ck_assert_uint_eq(got.len, 5);
	ck_assert(memcmp(got.msg, "hello", 5) == 0);
	/* on the same connection */
	call("/test/Echo", PATIENCE_MS);
	must_get(2, GRPC_OK, "");
	ck_assert_uint_eq(grpc_server_counts(server).accepted, 1);
}
END_TEST

START_TEST(hears_why_not)
{
	call("/test/Fail", 0);
	must_get(1, GRPC_NOT_FOUND, NO_POD);
	call("/test/Nothing", 0);
	must_get(2, GRPC_UNIMPLEMENTED, "there is no such method");
}
END_TEST

START_TEST(keeps_deadlines)
{
	/* The server has it by then. */
	call("/test/Wait", 1000);
	await(&got.done, 1);
	ck_assert_int_eq(got.code, GRPC_DEADLINE_EXCEEDED);
	await(&at_server.gone, 1);
	call("/test/Echo", 0);
	must_get(2, GRPC_OK, "");
	ck_assert_uint_eq(grpc_server_counts(server).accepted, 1);
}
END_TEST

START_TEST(cancels)
{
	grpc_client_cancel(client);
	call("/test/Wait", 0);
	await(&at_server.begun, 1);
	grpc_client_cancel(client);
	await(&at_server.gone, 1);
	/* before it is sent */
	call("/test/Wait", 0);
	grpc_client_cancel(client);
	call("/test/Echo", 0);
	must_get(1, GRPC_OK, "");
	ck_assert_uint_eq(grpc_server_counts(server).accepted, 1);
}
END_TEST

/* Between the connection's beginning and the answer. */
START_TEST(cancels_at_any_time)
{
	unsigned done;

	for (int turns = 0; turns < 30; turns++) {
		call("/test/Echo", PATIENCE_MS);
		for (int i = 0; i < turns; i++)
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		grpc_client_cancel(client);
		done = got.done;
		run_ready();
		ck_assert_uint_eq(got.done, done);
	}
	ck_assert_uint_gt(got.done, 0);
	ck_assert_uint_lt(got.done, 30);
	ck_assert_uint_eq(grpc_server_counts(server).accepted, 1);
}
END_TEST

START_TEST(notices_a_server_that_goes)
{
	call("/test/Wait", 0);
	await(&at_server.begun, 1);
	grpc_server_free(server);
	server = NULL;
	must_get(1, GRPC_UNAVAILABLE, at_peer("connection closed"));
	call("/test/Echo", 0);
	must_get(2, GRPC_UNAVAILABLE, at_peer("Connection refused"));
}
END_TEST

START_TEST(connects_anew)
{
	uint16_t old = port;

	call("/test/Echo", 0);
	must_get(1, GRPC_OK, "");
	grpc_server_free(server);
	wanted_port = old;
	start_server();
	run_ready();
	call("/test/Echo", 0);
	must_get(2, GRPC_OK, "");
}
END_TEST

static void
on_done_again(enum grpc_code code, const char *text, const void *msg,
    size_t len, void *arg)
{
	on_done(code, text, msg, len, arg);
	if (got.done == 1)
		call("/test/Echo", 0);
	if (got.done < 2)
		return;
	grpc_client_free(client);
	client = NULL;
}

START_TEST(may_be_called_and_freed_in_done)
{
	grpc_client_call(client, "/test/Fail", NULL, 0, 0, on_done_again, NULL);
	must_get(2, GRPC_OK, "");
	grpc_client_free(client);
	client = client_of("127.0.0.1");
	grpc_client_call(client, "/test/Fail", NULL, 0, 0, on_done_again, NULL);
	must_get(3, GRPC_NOT_FOUND, NO_POD);
	ck_assert_ptr_null(client);
}
END_TEST

START_TEST(may_be_freed_at_any_time)
{
	for (int turns = 0; turns < 30; turns++) {
		call("/test/Wait", 0);
		for (int i = 0; i < turns; i++)
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		grpc_client_free(client);
		client = client_of("127.0.0.1");
	}
	ck_assert_uint_eq(got.done, 0);
}
END_TEST

/* ---- names and addresses ------------------------------------------------- */

START_TEST(takes_addresses_only_without_dns)
{
	grpc_client_free(client);
	client = client_of("localhost.");
	call("/test/Echo", 0);
	await(&got.done, 1);
	ck_assert_int_eq(got.code, GRPC_UNAVAILABLE);
	ck_assert(strncmp(got.text, "localhost.: ", 12) == 0);
}
END_TEST

static struct evdns_base *
dns_of(const char *hosts)
{
	char path[] = "/tmp/check_grpc_client.XXXXXX";
	struct evdns_base *d = evdns_base_new(base, 0);
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, hosts, strlen(hosts)),
	    (ssize_t)strlen(hosts));
	close(fd);
	ck_assert_int_eq(evdns_base_load_hosts(d, path), 0);
	unlink(path);
	return d;
}

/* At the first of them nobody listens, and then at none. */
START_TEST(tries_all_addresses_of_a_name)
{
	char why[128];

	grpc_client_free(client);
	dns = dns_of("127.0.0.9 both.test\n127.0.0.1 both.test\n");
	client = client_of("both.test");
	call("/test/Echo", 0);
	must_get(1, GRPC_OK, "");
	grpc_server_free(server);
	server = NULL;
	run_ready();
	call("/test/Echo", 0);
	snprintf(why, sizeof(why),
	    "both.test (127.0.0.1:%u): Connection refused", port);
	must_get(2, GRPC_UNAVAILABLE, why);
}
END_TEST

/* A name server that says nothing. */
START_TEST(waits_for_no_name)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	grpc_client_free(client);
	dns = evdns_base_new(base, 0);
	evdns_base_nameserver_sockaddr_add(dns, (struct sockaddr *)&sin, len,
	    0);
	connect_ms = 100;
	client = client_of("nowhere.test");
	call("/test/Echo", 0);
	must_get(1, GRPC_UNAVAILABLE, "nowhere.test: no address in 100 ms");
	/* freed while it is asked */
	call("/test/Echo", 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	close(fd);
}
END_TEST

/* A server whose backlog is full. */
START_TEST(waits_for_no_connection)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fds[4];

	grpc_server_free(server);
	server = NULL;
	wanted_port = 0;
	fds[0] = listening(0);
	sin.sin_port = htons(port);
	for (size_t i = 1; i < 4; i++) {
		fds[i] = socket(AF_INET,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&sin, sizeof(sin));
	}
	grpc_client_free(client);
	connect_ms = 100;
	client = client_of("127.0.0.1");
	call("/test/Echo", 0);
	must_get(1, GRPC_UNAVAILABLE, at_peer("no connection in 100 ms"));
	for (size_t i = 0; i < 4; i++)
		close(fds[i]);
}
END_TEST

/* ---- what other servers may say ------------------------------------------ */

/* Answers each connection's first bytes with its own; none: it hangs up. */
static struct {
	struct evconnlistener *listener;
	struct h2_text text;
	unsigned accepted;
	struct bufferevent *conns[4];
} script;

static void
script_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);

	(void)arg;
	evbuffer_drain(in, evbuffer_get_length(in));
	bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
	if (script.text.len > 0)
		bufferevent_write(bev, script.text.bytes, script.text.len);
	else
		shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void
script_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct bufferevent *bev =
	    bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)l;
	(void)sa;
	(void)len;
	(void)arg;
	ck_assert_uint_lt(script.accepted, 4);
	script.conns[script.accepted++] = bev;
	bufferevent_setcb(bev, script_read, NULL, NULL, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void
script_start(void)
{
	memset(&script, 0, sizeof(script));
	wanted_port = 0;
	script.listener = evconnlistener_new(base, script_accept, NULL,
	    LEV_OPT_CLOSE_ON_FREE, 0, listening(128));
	evutil_make_socket_nonblocking(evconnlistener_get_fd(script.listener));
	grpc_client_free(client);
	client = client_of("127.0.0.1");
}

static void
script_stop(void)
{
	evconnlistener_free(script.listener);
	for (unsigned i = 0; i < script.accepted; i++)
		bufferevent_free(script.conns[i]);
	free(script.text.bytes);
}

static const char *const good_headers[] = { ":status", "200", "content-type",
	"application/grpc", NULL };
static const char *const early_headers[] = { ":status", "103", NULL };
static const char *const good_trailers[] = { "grpc-status", "0", NULL };
static const char *const not_found[] = { ":status", "200", "content-type",
	"application/grpc", "grpc-status", "5", "grpc-message", "no%20pod",
	NULL };
static const char *const http_error[] = { ":status", "502", "content-type",
	"text/html", NULL };

static void
say(uint8_t type, uint8_t flags, uint32_t id, const void *bytes, size_t len)
{
	h2_text_frame(&script.text, type, flags, id, bytes, len);
}

static void
say_good(void)
{
	h2_text_headers(&script.text, H2_END_HEADERS, 1, good_headers);
	say(H2_DATA, 0, 1, "\0\0\0\0\2ok", 7);
	h2_text_headers(&script.text, H2_END_HEADERS | H2_END_STREAM, 1,
	    good_trailers);
}

static void
say_early(void)
{
	h2_text_headers(&script.text, H2_END_HEADERS, 1, early_headers);
	say_good();
}

static void
say_not_found(void)
{
	h2_text_headers(&script.text, H2_END_HEADERS | H2_END_STREAM, 1,
	    not_found);
}

static void
say_http_error(void)
{
	h2_text_headers(&script.text, H2_END_HEADERS, 1, http_error);
	say(H2_DATA, H2_END_STREAM, 1, "<html>", 6);
}

static void
say_reset(void)
{
	say(H2_RST_STREAM, 0, 1, "\0\0\0\x8", 4);
}

static void
say_goaway(void)
{
	say(H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
}

static void
say_last_goaway(void)
{
	say(H2_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
	say_good();
}

static void
say_large(void)
{
	h2_text_headers(&script.text, H2_END_HEADERS, 1, good_headers);
	say(H2_DATA, 0, 1, "\0\0\0\x10\1x", 6);
}

static void
say_no_status(void)
{
	h2_text_headers(&script.text, H2_END_HEADERS, 1, good_headers);
	say(H2_DATA, H2_END_STREAM, 1, "\0\0\0\0\0", 5);
}

static void
say_flood(void)
{
	for (int i = 0; i < 4000; i++)
		say(H2_PING, 0, 0, "12345678", 8);
}

static void
say_http1(void)
{
	static const char text[] =
	    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

	script.text.len = 0;
	h2_text_add(&script.text, text, sizeof(text) - 1);
}

static void
say_nothing(void)
{
	script.text.len = 0;
}

static const struct {
	void (*say)(void);
	enum grpc_code code;
	const char *text;
	bool lost; /* with its peer before the text */
} says[] = {
	{ say_good, GRPC_OK, "", false },
	{ say_early, GRPC_OK, "", false },
	{ say_last_goaway, GRPC_OK, "", false },
	{ say_not_found, GRPC_NOT_FOUND, "no pod", false },
	{ say_http_error, GRPC_UNAVAILABLE,
	    "HTTP status 502 in place of gRPC's", false },
	{ say_reset, GRPC_CANCELLED, "the server cancelled the call", false },
	{ say_goaway, GRPC_UNAVAILABLE, "the server takes no call now", false },
	{ say_large, GRPC_RESOURCE_EXHAUSTED, "the message is too large",
	    false },
	{ say_no_status, GRPC_INTERNAL, "the stream ended without a status",
	    false },
	{ say_flood, GRPC_UNAVAILABLE, "a flood of frames", true },
	{ say_http1, GRPC_UNAVAILABLE, "not as HTTP/2 has it (PROTOCOL_ERROR)",
	    true },
	{ say_nothing, GRPC_UNAVAILABLE, "connection closed", true },
};

/* And does not wait for what more they might say. */
START_TEST(understands_servers)
{
	uint64_t start = clock_ms();

	script_start();
	say(H2_SETTINGS, 0, 0, NULL, 0);
	says[_i].say();
	call("/test/Any", 0);
	must_get(1, says[_i].code,
	    says[_i].lost ? at_peer(says[_i].text) : says[_i].text);
	ck_assert_uint_lt(clock_ms() - start, H2_LINGER_MS / 2);
	if (says[_i].code == GRPC_OK)
		ck_assert(got.len == 2 && memcmp(got.msg, "ok", 2) == 0);
	script_stop();
}
END_TEST

START_TEST(goes_elsewhere_when_told_to)
{
	script_start();
	say(H2_SETTINGS, 0, 0, NULL, 0);
	say_last_goaway();
	call("/test/Any", 0);
	must_get(1, GRPC_OK, "");
	call("/test/Any", 0);
	must_get(2, GRPC_OK, "");
	ck_assert_uint_eq(script.accepted, 2);
	script_stop();
}
END_TEST

START_TEST(waits_for_no_answer)
{
	script_start();
	say(H2_SETTINGS, 0, 0, NULL, 0);
	call("/test/Any", 50);
	must_get(1, GRPC_DEADLINE_EXCEEDED, "no answer in 50 ms");
	script_stop();
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("grpc_client");
	TCase *t = tcase_create("grpc_client");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, has_its_answer);
	tcase_add_test(t, hears_why_not);
	tcase_add_test(t, keeps_deadlines);
	tcase_add_test(t, cancels);
	tcase_add_test(t, cancels_at_any_time);
	tcase_add_test(t, notices_a_server_that_goes);
	tcase_add_test(t, connects_anew);
	tcase_add_test(t, may_be_called_and_freed_in_done);
	tcase_add_test(t, may_be_freed_at_any_time);
	tcase_add_test(t, takes_addresses_only_without_dns);
	tcase_add_test(t, tries_all_addresses_of_a_name);
	tcase_add_test(t, waits_for_no_name);
	tcase_add_test(t, waits_for_no_connection);
	tcase_add_loop_test(t, understands_servers, 0,
	    (int)(sizeof(says) / sizeof(*says)));
	tcase_add_test(t, goes_elsewhere_when_told_to);
	tcase_add_test(t, waits_for_no_answer);
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
