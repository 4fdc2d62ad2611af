#include "workers/unix_pool.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct unix_pool pool;
static unsigned asked;

static void
want(void *arg)
{
	(void)arg;
	asked++;
}

static void
setup(void)
{
	asked = 0;
	unix_pool_init(&pool, want, NULL);
}

static void
teardown(void)
{
	unix_pool_close(&pool);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* Gives one end of a connection; the other one. */
static int
give(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	unix_pool_give(&pool, fds[0]);
	return fds[1];
}

START_TEST(asks_for_one_at_a_time)
{
	unix_pool_ask(&pool);
	unix_pool_ask(&pool);
	unix_pool_ask_ahead(&pool);
	ck_assert_uint_eq(asked, 1);
	close(give());
	unix_pool_ask(&pool);
	ck_assert_uint_eq(asked, 2);
}
END_TEST

START_TEST(asks_ahead_until_it_has_one)
{
	int server;

	unix_pool_ask_ahead(&pool);
	ck_assert_uint_eq(asked, 1);
	server = give();
	ck_assert(unix_pool_has(&pool));
	unix_pool_ask_ahead(&pool);
	ck_assert_uint_eq(asked, 1);
	close(server);
}
END_TEST

/* Else the supervisor would be asked as fast as it can answer. */
START_TEST(asks_ahead_no_more_when_none_could_be_had)
{
	unix_pool_ask_ahead(&pool);
	unix_pool_give(&pool, -1);
	ck_assert(!unix_pool_has(&pool));
	unix_pool_ask_ahead(&pool);
	ck_assert_uint_eq(asked, 1);
	unix_pool_ask(&pool);
	ck_assert_uint_eq(asked, 2);
	close(give());
	close(unix_pool_take(&pool));
	unix_pool_ask_ahead(&pool);
	ck_assert_uint_eq(asked, 3);
}
END_TEST

START_TEST(hands_out_what_lives)
{
	int server = give(), fd = unix_pool_take(&pool);

	ck_assert(is_open(fd));
	ck_assert_int_eq(unix_pool_take(&pool), -1);
	close(fd);
	close(server);
}
END_TEST

START_TEST(closes_what_the_server_has_closed)
{
	int server = give(), spare = pool.spare;

	close(server);
	ck_assert_int_eq(unix_pool_take(&pool), -1);
	ck_assert(!is_open(spare));
	ck_assert(!unix_pool_has(&pool));
}
END_TEST

START_TEST(closes_the_one_before)
{
	int old = give(), spare = pool.spare, server = give();

	ck_assert_int_ne(pool.spare, spare);
	ck_assert(!is_open(spare));
	close(old);
	close(server);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("unix_pool");
	TCase *tc = tcase_create("pool");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, asks_for_one_at_a_time);
	tcase_add_test(tc, asks_ahead_until_it_has_one);
	tcase_add_test(tc, asks_ahead_no_more_when_none_could_be_had);
	tcase_add_test(tc, hands_out_what_lives);
	tcase_add_test(tc, closes_what_the_server_has_closed);
	tcase_add_test(tc, closes_the_one_before);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
