#include <check.h>
#include <stdlib.h>

#include "workers/index.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct index_pace slow = { .every_ms = 1000, .burst = 2 };

/* One query's life: what is sent, and what the answer means. */
static const struct step {
	uint64_t at_ms;
	uint64_t sent;
	uint64_t answer; /* 0: it failed */
	enum index_news news;
} steps[] = {
	{ 0, 0, 40, INDEX_MOVED },
	{ 5000, 40, 40, INDEX_SAME }, /* the wait ended */
	{ 10000, 40, 42, INDEX_MOVED },
	{ 20000, 42, 41, INDEX_BEHIND }, /* backwards: from 0 again */
	{ 22000, 0, 42, INDEX_SAME }, /* it was a server that lagged */
	{ 24000, 42, 41, INDEX_BEHIND },
	{ 26000, 0, 41, INDEX_RESET }, /* it was not */
	{ 30000, 0, 41, INDEX_SAME },
	{ 40000, 41, 0, INDEX_SAME },
	{ 50000, 0, 41, INDEX_SAME }, /* nothing happened meanwhile */
	{ 60000, 41, 0, INDEX_SAME },
	{ 70000, 0, 50, INDEX_MOVED }, /* something did */
	{ 80000, 50, 0, INDEX_SAME },
	{ 90000, 0, 7, INDEX_RESET }, /* Consul lost its state meanwhile */
	{ 100000, 0, 8, INDEX_MOVED },
	{ 110000, 8, 8, INDEX_SAME },
};

START_TEST(follows_the_index)
{
	struct index ix;

	index_init(&ix, &slow, 1, 0);
	for (size_t i = 0; i < COUNT(steps); i++) {
		const struct step *s = &steps[i];

		ck_assert_msg(index_due(&ix) <= s->at_ms, "step %zu", i);
		ck_assert_uint_eq(index_ask(&ix, s->at_ms), s->sent);
		if (s->answer == 0)
			index_failed(&ix, false, 0, s->at_ms);
		else
			ck_assert_msg(index_answered(&ix, s->answer,
					  s->at_ms) == s->news,
			    "step %zu", i);
	}
}
END_TEST

START_TEST(lets_a_burst_through_then_keeps_its_pace)
{
	static const uint64_t due[] = { 0, 0, 1000, 2000, 3000 };
	struct index ix;
	uint64_t now = 0;

	index_init(&ix, &slow, 1, 0);
	for (size_t i = 0; i < COUNT(due); i++) {
		ck_assert_uint_eq(index_due(&ix), due[i]);
		now = due[i];
		index_ask(&ix, now);
		index_answered(&ix, 10 + i, now);
	}
	/* At rest, the burst comes back. */
	index_ask(&ix, 20000);
	index_answered(&ix, 100, 20000);
	ck_assert_uint_eq(index_due(&ix), 20000);
}
END_TEST

/* However often it is restarted, it never asks without an index in a row. */
START_TEST(pauses_between_requests_without_an_index)
{
	struct index ix;

	index_init(&ix, &slow, 1, 0);
	index_ask(&ix, 500);
	index_answered(&ix, 10, 500);
	index_restart(&ix, 510);
	ck_assert_uint_eq(index_due(&ix), 500 + INDEX_ZERO_PAUSE_MS);
	index_ask(&ix, 600);
	index_answered(&ix, 3, 600);
	ck_assert_uint_ge(index_due(&ix), 600 + INDEX_ZERO_PAUSE_MS);
}
END_TEST

START_TEST(a_restart_does_not_shorten_a_back_off)
{
	struct index ix;
	uint64_t due;

	index_init(&ix, &slow, 1, 0);
	index_ask(&ix, 0);
	index_failed(&ix, true, 5000, 0);
	due = index_due(&ix);
	ck_assert_uint_ge(due, 5000);
	index_restart(&ix, 100);
	ck_assert_uint_eq(index_due(&ix), due);
}
END_TEST

static const struct {
	bool busy;
	uint64_t retry_after_ms;
	unsigned failures;
	uint64_t min;
	uint64_t max;
} waits[] = {
	{ false, 0, 1, INDEX_RETRY_MIN_MS / 2, INDEX_RETRY_MIN_MS },
	{ false, 0, 2, INDEX_RETRY_MIN_MS, 2 * INDEX_RETRY_MIN_MS },
	{ false, 0, 100, INDEX_RETRY_MAX_MS / 2, INDEX_RETRY_MAX_MS },
	{ true, 0, 1, INDEX_BUSY_MIN_MS / 2, INDEX_BUSY_MIN_MS },
	{ true, 0, 100, INDEX_BUSY_MAX_MS / 2, INDEX_BUSY_MAX_MS },
	{ true, 20000, 1, 20000, 20000 },
	{ true, 9999999, 1, INDEX_HOLD_MAX_MS, INDEX_HOLD_MAX_MS },
};

START_TEST(backs_off)
{
	struct index ix;
	uint64_t least = UINT64_MAX, most = 0;

	for (uint64_t seed = 0; seed < 200; seed++) {
		uint64_t wait = 0;

		index_init(&ix, &slow, seed * 7919, 0);
		for (unsigned i = 0; i < waits[_i].failures; i++) {
			index_failed(&ix, waits[_i].busy,
			    waits[_i].retry_after_ms, 1000);
			wait = index_due(&ix) - 1000;
		}
		least = wait < least ? wait : least;
		most = wait > most ? wait : most;
	}
	ck_assert_uint_ge(least, waits[_i].min);
	ck_assert_uint_le(most, waits[_i].max);
	/* Jitter: a fleet of them does not come back at once. */
	if (waits[_i].min != waits[_i].max)
		ck_assert_uint_gt(most - least, (most + 3) / 4);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("index");
	TCase *t = tcase_create("index");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, follows_the_index);
	tcase_add_test(t, lets_a_burst_through_then_keeps_its_pace);
	tcase_add_test(t, pauses_between_requests_without_an_index);
	tcase_add_test(t, a_restart_does_not_shorten_a_back_off);
	tcase_add_loop_test(t, backs_off, 0, COUNT(waits));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
