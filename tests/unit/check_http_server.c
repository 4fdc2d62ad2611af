#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "workers/http/server.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
/* Longer than anything here takes, on a machine that is busy. */
#define PATIENCE_MS 20000
/* What one client may cost, where it costs what it sends if nobody looks. */
#define COST_MOST 1000000

static const struct replica_ops no_ops;
static struct event_base *base;
static struct server *server;
static struct model model;
static struct sockaddr_in address;

static bool
ask_nobody(void *arg)
{
	(void)arg;
	return false;
}

static void
refresh(void *arg)
{
	(void)arg;
}

/* The clients' ends are in this process, too. */
static bool
spare_all(int fd, void *arg)
{
	(void)fd;
	(void)arg;
	return true;
}

static void
listen_on_loopback(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);

	address = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	server_listen(server, fd);
}

static void
setup(void)
{
	struct server_conf conf = {
		.model = &model,
		.ask_stats = ask_nobody,
		.refresh = refresh,
		.spared = spare_all,
	};

	signal(SIGPIPE, SIG_IGN);
	conf.base = base = event_base_new();
	model = (struct model){ .services = replica_new(&no_ops, NULL),
		.objects = replica_new(&no_ops, NULL) };
	/* So that its figures are there. */
	model.workers[ROLE_HTTP].known = true;
	server = server_new(&conf);
	listen_on_loopback();
}

/* Its window is small, so that answers soon wait for it to read. */
static int
client_new(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int small = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ck_assert(
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
	    errno == EINPROGRESS);
	return fd;
}

/* Text again and again, as much as goes. False: the server hung up. */
static bool
push(int fd, const char *text, size_t *sent)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	size_t len = strlen(text);
	ssize_t n;

	while ((n = send(fd, text + *sent % len, len - *sent % len,
		    MSG_NOSIGNAL)) > 0)
		*sent += (size_t)n;
	return errno == EAGAIN && poll(&p, 1, 0) == 0;
}

/* Runs the loop until the client has sent all of it. */
static void
send_all(int fd, const char *text)
{
	uint64_t end = clock_ms() + PATIENCE_MS;
	size_t len = strlen(text), sent = 0;
	ssize_t n;

	while (sent < len) {
		n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		/* Who was answered too early may have no ear any more. */
		if (n < 0 && errno != EAGAIN)
			return;
		ck_assert(clock_ms() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

/* All that comes until it holds what, or the server has closed. */
static char *
receive(int fd, const char *what)
{
	uint64_t end = clock_ms() + PATIENCE_MS;
	size_t cap = 65536, len = 0;
	char *text = calloc(cap, 1);
	ssize_t n;

	while (strstr(text, what) == NULL) {
		n = recv(fd, text + len, cap - len - 1, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		len += n > 0 ? (size_t)n : 0;
		ck_assert_uint_lt(len, cap - 1);
		ck_assert(clock_ms() < end);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	return text;
}

/* ---- what a client may send ---------------------------------------------- */

static const struct {
	const char *head; /* sent once */
	const char *text; /* sent for ever */
} floods[] = {
	/* Its answers are not read, and so not written. */
	{ "", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" },
	/* How large the chunk is. */
	{ "POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "0000000000000000000000000000000000000000000000000000000" },
};

START_TEST(cuts_off_who_sends_without_end)
{
	uint64_t end = clock_ms() + PATIENCE_MS;
	size_t used = mallinfo2().uordblks, sent = 0;
	int fd = client_new();

	send_all(fd, floods[_i].head);
	while (push(fd, floods[_i].text, &sent)) {
		ck_assert_msg(clock_ms() < end, "%zu bytes sent", sent);
		ck_assert_uint_lt(mallinfo2().uordblks, used + COST_MOST);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	close(fd);
}
END_TEST

/* More than may come ahead, and more than the server takes at once. */
START_TEST(tells_that_it_is_too_long)
{
	static const struct {
		const char *head;
		const char *answer;
	} rows[] = {
		{ "GET /", "HTTP/1.1 400 " },
		{ "GET / HTTP/1.1\r\nX: ", "HTTP/1.1 400 " },
		{ "POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n",
		    "HTTP/1.1 413 " },
		{ "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "1fff\r\n",
		    "HTTP/1.1 413 " },
	};
	char filling[50000];

	memset(filling, 'x', sizeof(filling) - 1);
	filling[sizeof(filling) - 1] = '\0';
	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd = client_new();
		char *text;

		send_all(fd, rows[i].head);
		send_all(fd, filling);
		text = receive(fd, "</HTML>");
		ck_assert_msg(strncmp(text, rows[i].answer,
				  strlen(rows[i].answer)) == 0,
		    "row %zu: %s", i, text);
		free(text);
		close(fd);
	}
}
END_TEST

/* As many at once as there are, each answered. */
START_TEST(answers_what_comes_ahead)
{
	static const char request[] =
	    "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
	enum { MANY = 200 };
	char all[MANY * (sizeof(request) - 1) + 100] = "", *text;
	unsigned n = 0;
	int fd = client_new();

	for (int i = 0; i < MANY; i++)
		strcat(all, request);
	strcat(all, "GET /end HTTP/1.1\r\nHost: x\r\n\r\n");
	send_all(fd, all);
	text = receive(fd, "/v1/status");
	for (const char *at = text; (at = strstr(at, " 200 OK")) != NULL; at++)
		n++;
	ck_assert_uint_eq(n, MANY);
	free(text);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http_server");
	TCase *t = tcase_create("http_server");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, cuts_off_who_sends_without_end, 0,
	    COUNT(floods));
	tcase_add_test(t, tells_that_it_is_too_long);
	tcase_add_test(t, answers_what_comes_ahead);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
