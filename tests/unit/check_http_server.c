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

#include "common/backend.h"
#include "common/clock.h"
#include "common/limits.h"
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

/* ---- what it keeps for clients ------------------------------------------- */

static bool
any_object(const struct set_entry *e, void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

static const struct replica_ops any_ops = { .put = any_object };

static void
hear(enum msg_type type, struct tlv_writer *w)
{
	struct msg m = { .type = type,
		.generation = 1,
		.body = w->buf,
		.len = w->len,
		.fd = -1 };

	ck_assert(replica_message(model.objects, &m));
	w->len = 0;
}

/* n objects with as many bytes each as one with a long name has. */
static void
report_objects(uint32_t n)
{
	struct object_report r = { .kind = "Service",
		.namespace = "shop",
		.name = "web",
		.service = "web",
		.desired = "present",
		.actual = "current" };
	char id[128], error[300];
	uint8_t body[2048], val[1024];
	struct tlv_writer w;

	memset(error, 'e', sizeof(error) - 1);
	error[sizeof(error) - 1] = '\0';
	r.error = error;
	r.id = id;
	replica_free(model.objects);
	model.objects = replica_new(&any_ops, NULL);
	replica_attach(model.objects, NULL);
	tlv_writer_init(&w, body, sizeof(body));
	tlv_put_u64(&w, TAG_EPOCH, 1);
	hear(MSG_SNAP_BEGIN, &w);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "Service/shop/web-%u", i);
		tlv_put(&w, TAG_KEY, id, strlen(id));
		tlv_put(&w, TAG_VALUE, val,
		    object_report_encode(&r, val, sizeof(val)));
		hear(MSG_PUT, &w);
	}
	tlv_put_u64(&w, TAG_EPOCH, 1);
	tlv_put_u32(&w, TAG_COUNT, n);
	hear(MSG_SNAP_END, &w);
}

/* Asks, and reads no more than the beginning. Its status. */
static int
ask_for_status(int fd)
{
	char *text;
	int code;

	send_all(fd, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
	text = receive(fd, "\r\n");
	ck_assert_int_eq(sscanf(text, "HTTP/1.1 %d ", &code), 1);
	free(text);
	return code;
}

/* 6 MB for each, of which the kernel may have 4. */
START_TEST(clients_share_a_status)
{
	enum { MANY = 32, SIZE = 6000000 };
	size_t used;
	int fds[MANY];

	report_objects(SIZE / 450);
	used = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (int i = 0; i < MANY; i++) {
		fds[i] = client_new();
		ck_assert_int_eq(ask_for_status(fds[i]), 200);
	}
	ck_assert_uint_lt(mallinfo2().uordblks + mallinfo2().hblkhd,
	    used + LIMIT_HTTP_ANSWERS + 2 * SIZE);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
}
END_TEST

/* One that is more than may wait, and then another. */
START_TEST(no_status_where_too_much_waits)
{
	uint64_t end = clock_ms() + PATIENCE_MS;
	int first, fd, code = 200;

	report_objects(LIMIT_HTTP_ANSWERS / 400);
	first = client_new();
	ck_assert_int_eq(ask_for_status(first), 200);
	while (code == 200) {
		ck_assert(clock_ms() < end);
		fd = client_new();
		code = ask_for_status(fd);
		close(fd);
	}
	ck_assert_int_eq(code, 503);
	close(first);
	while (code != 200) {
		ck_assert(clock_ms() < end);
		fd = client_new();
		code = ask_for_status(fd);
		close(fd);
	}
}
END_TEST

/* What is told is what is so, though one was told just before. */
START_TEST(status_is_of_now)
{
	for (uint32_t i = 1; i <= 3; i++) {
		uint64_t end = clock_ms() + PATIENCE_MS;
		char id[64], *text = NULL;

		report_objects(i);
		snprintf(id, sizeof(id), "\"Service/shop/web-%u\"", i - 1);
		do {
			int fd = client_new();

			free(text);
			ck_assert(clock_ms() < end);
			send_all(fd, "GET /v1/status HTTP/1.0\r\n\r\n");
			text = receive(fd, "]}\n");
			close(fd);
		} while (strstr(text, id) == NULL);
		free(text);
	}
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
	tcase_add_test(t, clients_share_a_status);
	tcase_add_test(t, no_status_where_too_much_waits);
	tcase_add_test(t, status_is_of_now);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
