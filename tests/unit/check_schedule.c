#include <check.h>
#include <stdlib.h>

#include "workers/consul_writer/schedule.h"

/* ttl and window -> the earliest and latest refresh. */
static const struct row {
	const struct window *win;
	uint64_t ttl_ms;
	uint64_t from;
	uint64_t to;
} rows[] = {
	{ &window_refresh, 20000, 10000, 14000 },
	{ &window_refresh, 1, 0, 0 },
	{ &window_refresh, 10, 5, 7 },
	{ &window_registered, 20000, 2000, 14000 },
	{ &window_found, 20000, 0, 200 },
	{ &window_refresh, UINT64_MAX, UINT64_MAX / 100 * 49,
	    UINT64_MAX / 100 * 70 },
};

START_TEST(stays_in_window)
{
	const struct row *r = &rows[_i];
	uint64_t least = UINT64_MAX, most = 0;

	for (uint64_t round = 0; round < 10000; round++) {
		uint64_t ms = schedule_refresh_ms(r->ttl_ms, r->win,
		    schedule_seed("katalog-sync_web_shop_web-1", round));

		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	ck_assert_uint_ge(least, r->from);
	ck_assert_uint_le(most, r->to);
	/* All of it is used. */
	ck_assert_uint_le(least - r->from, (r->to - r->from) / 20 + 1);
	ck_assert_uint_le(r->to - most, (r->to - r->from) / 20 + 1);
}
END_TEST

START_TEST(seeds_differ)
{
	ck_assert_uint_eq(schedule_seed("a", 1), schedule_seed("a", 1));
	ck_assert_uint_ne(schedule_seed("a", 1), schedule_seed("a", 2));
	ck_assert_uint_ne(schedule_seed("a", 1), schedule_seed("b", 1));
}
END_TEST

static const struct wait {
	unsigned failures;
	uint64_t seed;
	uint64_t ms;
} waits[] = {
	{ 0, 0, 0 },
	{ 1, 0, 250 },
	{ 2, 0, 500 },
	{ 3, 0, 1000 },
	{ 5, 0, 4000 },
	{ 6, 0, 5000 },
	{ 7, 0, 5000 },
	{ 4000000000, 0, 5000 },
	{ 1, 1024, 188 },
	{ 7, 1024, 3750 },
	{ 7, 512, 4375 },
	{ 7, 1025, 5000 },
};

START_TEST(backs_off)
{
	const struct wait *w = &waits[_i];

	ck_assert_uint_eq(schedule_backoff_ms(w->failures, 250, 5000, w->seed),
	    w->ms);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof(*(a)))

int
main(void)
{
	Suite *s = suite_create("schedule");
	TCase *t = tcase_create("schedule");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, stays_in_window, 0, COUNT(rows));
	tcase_add_test(t, seeds_differ);
	tcase_add_loop_test(t, backs_off, 0, COUNT(waits));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
