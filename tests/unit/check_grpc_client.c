/* The client against our own server; what others send is in bytes below. */
#include <arpa/inet.h>
#include <bsd/string.h>
#include <check.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "grpc/client.h"
#include "grpc/message.h"
#include "grpc/server.h"

/* Longer than anything here takes, on a machine that is busy. */
#define PATIENCE_MS 20000

static struct event_base *base;
static struct grpc_server *server;
static struct grpc_client *client;
static uint16_t port;

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
	grpc_call_end(c, GRPC_NOT_FOUND,
	    "pod shop/w\xc3\xa4"
	    "b: 100%",
	    NULL, 0);
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
listening(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(fd, 128), 0);
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
	grpc_server_listen(server, listening());
}

static struct grpc_client *
client_of(const char *host)
{
	const struct grpc_client_conf conf = { .base = base,
		.host = host,
		.port = port,
		.authority = "test",
		.connect_ms = PATIENCE_MS };

	return grpc_client_new(&conf);
}

static void
setup(void)
{
	memset(&got, 0, sizeof(got));
	memset(&at_server, 0, sizeof(at_server));
	base = event_base_new();
	start_server();
	client = client_of("127.0.0.1");
}

static void
teardown(void)
{
	grpc_client_free(client);
	grpc_server_free(server);
	event_base_free(base);
}

START_TEST(has_its_answer)
{
	call("/test/Echo", 0);
	ck_assert_uint_eq(got.done, 0);
	must_get(1, GRPC_OK, "");
	ck_assert_uint_eq(got.len, 5);
	ck_assert(memcmp(got.msg, "hello", 5) == 0);
	/* on the same connection */
	call("/test/Echo", 1000);
	must_get(2, GRPC_OK, "");
	ck_assert_uint_eq(grpc_server_counts(server).accepted, 1);
}
END_TEST

START_TEST(hears_why_not)
{
	call("/test/Fail", 0);
	must_get(1, GRPC_NOT_FOUND,
	    "pod shop/w\xc3\xa4"
	    "b: 100%");
	call("/test/Nothing", 0);
	must_get(2, GRPC_UNIMPLEMENTED, "there is no such method");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("grpc_client");
	TCase *t = tcase_create("grpc_client");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, has_its_answer);
	tcase_add_test(t, hears_why_not);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
