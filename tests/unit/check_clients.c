#include "workers/http/clients.h"

#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/limits.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
/* Both ends of each are in this process. */
#define CLIENTS_MAX (LIMIT_HTTP_CONNECTIONS + 64)

static int listening;
static struct {
	int server; /* what http has */
	int client;
} pairs[CLIENTS_MAX];
static size_t npairs;
static int theirs; /* a server's end that is not to be touched */
static struct clients clients;

/* The clients' ends are none of http's, either. */
static bool
spared(int fd, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < npairs; i++)
		if (pairs[i].server == fd)
			return fd == theirs;
	return true;
}

static void
setup(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&in, sizeof(in)),
	    0);
	ck_assert_int_eq(listen(listening, 16), 0);
	npairs = 0;
	theirs = -1;
	clients = (struct clients){ .spared = spared };
}

static void
teardown(void)
{
	for (size_t i = 0; i < npairs; i++) {
		close(pairs[i].client);
		close(pairs[i].server);
	}
	close(listening);
}

static void
come(void)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockname(listening, (struct sockaddr *)&in, &len);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, len), 0);
	ck_assert_uint_lt(npairs, CLIENTS_MAX);
	pairs[npairs].client = fd;
	pairs[npairs].server = accept(listening, NULL, NULL);
	ck_assert_int_ne(pairs[npairs].server, -1);
	npairs++;
	clients_admit(&clients);
}

/* Its owner sees EOF. */
static bool
is_gone(size_t i)
{
	struct pollfd p = { .fd = pairs[i].server, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

static size_t
gone(void)
{
	size_t n = 0;

	for (size_t i = 0; i < npairs; i++)
		n += is_gone(i);
	return n;
}

START_TEST(as_many_as_may_be_stay)
{
	while (npairs < LIMIT_HTTP_CONNECTIONS)
		come();
	ck_assert_uint_eq(gone(), 0);
}
END_TEST

START_TEST(the_rest_makes_room)
{
	while (npairs < CLIENTS_MAX) {
		come();
		ck_assert_uint_le(npairs - gone(), LIMIT_HTTP_CONNECTIONS);
	}
	ck_assert_uint_ge(npairs - gone(), LIMIT_HTTP_CONNECTIONS / 2);
	ck_assert(!is_gone(npairs - 1));
}
END_TEST

START_TEST(who_talks_stays)
{
	static const size_t talk[] = { 0, 5, 6, 20 };

	while (npairs < LIMIT_HTTP_CONNECTIONS)
		come();
	/* Milliseconds count: all the others are older. */
	usleep(20000);
	for (size_t i = 0; i < COUNT(talk); i++)
		ck_assert_int_eq(send(pairs[talk[i]].client, "x", 1, 0), 1);
	come();
	ck_assert_uint_gt(gone(), 0);
	for (size_t i = 0; i < COUNT(talk); i++)
		ck_assert(!is_gone(talk[i]));
}
END_TEST

START_TEST(others_are_left_alone)
{
	come();
	theirs = pairs[0].server;
	usleep(20000);
	while (npairs < CLIENTS_MAX)
		come();
	ck_assert_uint_gt(gone(), 0);
	ck_assert(!is_gone(0));
}
END_TEST

START_TEST(who_left_is_not_counted)
{
	for (size_t i = 0; i < 4 * (size_t)LIMIT_HTTP_CONNECTIONS; i++) {
		come();
		close(pairs[0].client);
		close(pairs[0].server);
		npairs = 0;
	}
	while (npairs < LIMIT_HTTP_CONNECTIONS)
		come();
	ck_assert_uint_eq(gone(), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("clients");
	TCase *t = tcase_create("clients");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, as_many_as_may_be_stay);
	tcase_add_test(t, the_rest_makes_room);
	tcase_add_test(t, who_talks_stays);
	tcase_add_test(t, others_are_left_alone);
	tcase_add_test(t, who_left_is_not_counted);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
