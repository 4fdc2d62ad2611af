#include <check.h>
#include <stdlib.h>

#include "workers/kubelet_reader/guard.h"

#define COUNT(a)     (sizeof(a) / sizeof(*(a)))

#define INTERVAL     1000
#define MIN_INTERVAL 500
#define CUT_OFF      600000
#define ROW          GUARD_ROW_MS

enum {
	COUNTS = GUARD_COUNTS,
	WAITS = GUARD_WAITS,
	TOO_SOON = GUARD_TOO_SOON,
	CUT = GUARD_CUT_OFF,
	FAILS /* a read that gives no list */
};

/* One read: what the list is like, and what becomes of it. */
struct step {
	uint64_t at;
	size_t pods;
	size_t ours;
	size_t pods_lost;
	size_t ours_lost;
	/* Beside the list that waits. */
	size_t returned;
	size_t lost_more;
	size_t ours_lost_more;
	uint64_t our; /* digest: the same number is the same pods */
	int verdict;
	bool confirmed;
};

static const struct step first_list_counts[] = {
	{ 0, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 499, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 500, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, true },
	/* For ever. */
	{ 600, 7, 6, 0, 0, 0, 0, 0, 2, COUNTS, true },
	{ 700, .verdict = FAILS, .confirmed = true },
	{ 800, 7, 6, 0, 0, 0, 0, 0, 2, COUNTS, true },
};
static const struct step first_empty_then_there[] = {
	{ 0, 0, 0, 0, 0, 0, 0, 0, 0, WAITS, false },
	{ 1000, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 2000, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, true },
};
static const struct step without_ours[] = {
	{ 0, 6, 0, 0, 0, 0, 0, 0, 0, COUNTS, false },
	{ 1000, 6, 0, 0, 0, 0, 0, 0, 0, COUNTS, true },
};
static const struct step turns_small_once[] = {
	{ 0, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 1, 0, 5, 5, 0, 0, 0, 0, WAITS, false },
	{ 2000, 6, 5, 0, 0, 5, 0, 0, 1, COUNTS, false },
	{ 2500, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, true },
	/* What waited then is forgotten. */
	{ 3000, 1, 0, 5, 5, 0, 0, 0, 0, WAITS, true },
	{ 3500, 1, 0, 5, 5, 0, 0, 0, 0, TOO_SOON, true },
	{ 4000, 1, 0, 5, 5, 0, 0, 0, 0, COUNTS, true },
	{ 5000, 1, 0, 0, 0, 0, 0, 0, 0, COUNTS, true },
};
static const struct step loses_half[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 3, 2, 3, 2, 0, 0, 0, 2, COUNTS, false },
	{ 2000, 3, 2, 0, 0, 0, 0, 0, 2, COUNTS, true },
};
static const struct step loses_more_than_half[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 2, 2, 4, 2, 0, 0, 0, 2, WAITS, false },
	{ 2000, 2, 2, 4, 2, 0, 0, 0, 2, COUNTS, false },
};
static const struct step loses_more_than_half_of_few[] = {
	{ 0, 5, 5, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 2, 2, 3, 3, 0, 0, 0, 2, WAITS, false },
	{ 2000, 2, 2, 3, 3, 0, 0, 0, 2, COUNTS, false },
	{ 3000, 1, 1, 1, 1, 0, 0, 0, 3, COUNTS, false },
	{ 4000, 1, 1, 1, 1, 0, 0, 0, 4, WAITS, false },
};
static const struct step loses_more_than_half_of_ours[] = {
	{ 0, 100, 3, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 98, 1, 2, 2, 0, 0, 0, 2, WAITS, false },
	{ 2000, 98, 1, 2, 2, 0, 0, 0, 2, COUNTS, false },
};
static const struct step loses_the_only_one[] = {
	{ 0, 6, 1, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 5, 0, 1, 1, 0, 0, 0, 0, WAITS, false },
	{ 2000, 5, 0, 1, 1, 0, 0, 0, 0, COUNTS, false },
};
static const struct step others_take_their_place[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 6, 4, 6, 4, 0, 0, 0, 2, WAITS, false },
	{ 2000, 6, 4, 6, 4, 0, 0, 0, 2, COUNTS, false },
};
/* Somebody's pods come and go on the node all the time. */
static const struct step others_come_and_go[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 2, 1, 5, 3, 0, 0, 0, 2, WAITS, false },
	{ 1500, 4, 3, 5, 3, 0, 0, 0, 3, TOO_SOON, false },
	{ 2000, 3, 2, 5, 3, 0, 0, 0, 4, COUNTS, false },
};
static const struct step pods_return[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 1, 1, 5, 3, 0, 0, 0, 2, WAITS, false },
	{ 2000, 2, 1, 4, 3, 1, 0, 0, 2, WAITS, false },
	{ 3000, 2, 1, 4, 3, 0, 0, 0, 2, COUNTS, false },
};
/* As many as before are there, but not the same ones. */
static const struct step never_the_same_twice[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 1, 1, 5, 3, 0, 0, 0, 2, WAITS, false },
	{ 2000, 1, 1, 5, 3, 1, 1, 1, 3, WAITS, false },
	{ 3000, 1, 1, 5, 3, 1, 1, 1, 2, WAITS, false },
	{ 4000, 1, 1, 5, 3, 0, 0, 0, 2, COUNTS, false },
};
/* What goes meanwhile may be half of what was left, as at any time. */
static const struct step a_few_more_go[] = {
	{ 0, 16, 16, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 6, 6, 10, 10, 0, 0, 0, 2, WAITS, false },
	{ 2000, 3, 3, 13, 13, 0, 3, 3, 3, COUNTS, false },
};
static const struct step many_more_go[] = {
	{ 0, 16, 16, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 6, 6, 10, 10, 0, 0, 0, 2, WAITS, false },
	{ 2000, 2, 2, 14, 14, 0, 4, 4, 3, WAITS, false },
	{ 3000, 1, 1, 15, 15, 0, 1, 1, 4, COUNTS, false },
};
static const struct step many_more_of_ours_go[] = {
	{ 0, 100, 8, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 95, 3, 5, 5, 0, 0, 0, 2, WAITS, false },
	{ 2000, 93, 1, 7, 7, 0, 2, 2, 3, WAITS, false },
	{ 3000, 93, 1, 7, 7, 0, 0, 0, 3, COUNTS, false },
};
static const struct step many_more_of_others_go[] = {
	{ 0, 16, 2, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 7, 2, 9, 0, 0, 0, 0, 1, WAITS, false },
	{ 2000, 3, 2, 13, 0, 0, 4, 0, 1, WAITS, false },
	{ 3000, 3, 2, 13, 0, 0, 0, 0, 1, COUNTS, false },
};
/* A kubelet that starts: nothing, what is static (its own pods), all. */
static const struct step empty_then_some[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 0, 0, 6, 4, 0, 0, 0, 0, WAITS, false },
	{ 2000, 1, 0, 5, 4, 1, 0, 0, 0, WAITS, false },
	{ 2500, 6, 4, 0, 0, 5, 0, 0, 1, COUNTS, false },
};
static const struct step some_then_empty[] = {
	{ 0, 10, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 4, 0, 6, 4, 0, 0, 0, 0, WAITS, false },
	{ 2000, 0, 0, 10, 4, 0, 4, 0, 0, WAITS, false },
	{ 3000, 0, 0, 10, 4, 0, 0, 0, 0, COUNTS, false },
};
/* Of what waits none was there before: nothing of it is lost, and yet. */
static const struct step others_then_empty[] = {
	{ 0, 10, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 3, 0, 10, 4, 0, 0, 0, 0, WAITS, false },
	{ 2000, 0, 0, 10, 4, 0, 0, 0, 0, WAITS, false },
	{ 3000, 0, 0, 10, 4, 0, 0, 0, 0, COUNTS, false },
};
/* The second read is the next one, or it is none. */
static const struct step a_read_between_fails[] = {
	{ 0, 6, 5, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 0, 0, 6, 5, 0, 0, 0, 0, WAITS, false },
	{ 2000, .verdict = FAILS },
	{ 3000, 0, 0, 6, 5, 0, 0, 0, 0, WAITS, false },
	{ 3500, .verdict = FAILS },
	{ 4000, 0, 0, 6, 5, 0, 0, 0, 0, WAITS, false },
	{ 5000, 0, 0, 6, 5, 0, 0, 0, 0, COUNTS, false },
};
static const struct step ours_come_and_go[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, 6, 3, 1, 1, 0, 0, 0, 2, COUNTS, false },
	{ 1400, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1800, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1900, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, true },
};
/* At each read: a row of lists that count confirms, too. */
static const struct step ours_change_all_the_time[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ ROW / 2, 6, 3, 1, 1, 0, 0, 0, 2, COUNTS, false },
	{ ROW - 1, 6, 4, 0, 0, 0, 0, 0, 3, COUNTS, false },
	{ ROW, 6, 4, 0, 0, 0, 0, 0, 4, COUNTS, true },
};
static const struct step a_row_is_broken[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ ROW - 1, 6, 3, 1, 1, 0, 0, 0, 2, COUNTS, false },
	{ ROW, .verdict = FAILS },
	{ ROW + 1, 6, 4, 0, 0, 0, 0, 0, 3, COUNTS, false },
	{ ROW + 2, 1, 0, 5, 4, 0, 0, 0, 0, WAITS, false },
	{ ROW + 3, 6, 4, 0, 0, 5, 0, 0, 4, COUNTS, false },
	{ 2 * ROW + 2, 6, 4, 0, 0, 0, 0, 0, 5, COUNTS, false },
	{ 2 * ROW + 3, 6, 4, 0, 0, 0, 0, 0, 6, COUNTS, true },
};
static const struct step two_are_no_row[] = {
	{ 0, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 1000, .verdict = FAILS },
	{ 2000, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 2500, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, true },
};
static const struct step clock_goes_back[] = {
	{ 9000, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 8000, 6, 4, 0, 0, 0, 0, 0, 1, COUNTS, false },
	{ 9100, 1, 0, 5, 4, 0, 0, 0, 0, WAITS, false },
	{ 8000, 1, 0, 5, 4, 0, 0, 0, 0, TOO_SOON, false },
	{ 10100, 1, 0, 5, 4, 0, 0, 0, 0, COUNTS, false },
};

static const struct {
	const struct step *steps;
	size_t n;
} histories[] = {
#define HISTORY(h) \
	{ \
		h, COUNT(h) \
	}
	HISTORY(first_list_counts),
	HISTORY(first_empty_then_there),
	HISTORY(without_ours),
	HISTORY(turns_small_once),
	HISTORY(loses_half),
	HISTORY(loses_more_than_half),
	HISTORY(loses_more_than_half_of_few),
	HISTORY(loses_more_than_half_of_ours),
	HISTORY(loses_the_only_one),
	HISTORY(others_take_their_place),
	HISTORY(others_come_and_go),
	HISTORY(pods_return),
	HISTORY(never_the_same_twice),
	HISTORY(a_few_more_go),
	HISTORY(many_more_go),
	HISTORY(many_more_of_ours_go),
	HISTORY(many_more_of_others_go),
	HISTORY(empty_then_some),
	HISTORY(some_then_empty),
	HISTORY(others_then_empty),
	HISTORY(a_read_between_fails),
	HISTORY(ours_come_and_go),
	HISTORY(ours_change_all_the_time),
	HISTORY(a_row_is_broken),
	HISTORY(two_are_no_row),
	HISTORY(clock_goes_back),
};

static const struct guard_times times = {
	.interval = INTERVAL,
	.min_interval = MIN_INTERVAL,
	.cut_off = CUT_OFF,
};

static int
look(struct guard *g, const struct step *s, size_t from_api)
{
	const struct guard_list list = {
		.pods = s->pods,
		.ours = s->ours,
		.pods_lost = s->pods_lost,
		.ours_lost = s->ours_lost,
		.returned = s->returned,
		.lost_more = s->lost_more,
		.ours_lost_more = s->ours_lost_more,
		.from_api = from_api,
		.our = { 7, s->our },
	};

	if (s->verdict != FAILS)
		return (int)guard_look(g, &list, s->at, &times);
	guard_failed(g);
	return FAILS;
}

START_TEST(history)
{
	struct guard g = { .has_list = false };

	for (size_t i = 0; i < histories[_i].n; i++) {
		const struct step *s = &histories[_i].steps[i];

		ck_assert_msg(look(&g, s, s->pods) == s->verdict,
		    "history %d, step %zu", _i, i);
		ck_assert_msg(guard_confirmed(&g) == s->confirmed,
		    "history %d, step %zu", _i, i);
	}
}
END_TEST

/* A kubelet that was restarted while the apiserver is away, and its like. */
static const struct source_step {
	uint64_t at; /* 0: the end */
	size_t pods; /* static ones and */
	size_t from_api; /* others */
	size_t lost;
	size_t vanished;
	int verdict;
	bool confirmed;
} sources[][8] = {
	/* Static pods only, again and again; then all are back. */
	{ { 1, 8, 6, 0, 0, COUNTS, false }, { 1001, 2, 0, 6, 6, CUT, false },
	    { 2001, 2, 0, 6, 6, CUT, false },
	    { CUT_OFF + 1000, 2, 0, 6, 6, CUT, false },
	    { CUT_OFF + 1100, 8, 6, 0, 0, COUNTS, false },
	    { CUT_OFF + 1200, 2, 0, 6, 6, CUT, false } },
	/* None at all. */
	{ { 1, 6, 6, 0, 0, COUNTS, false }, { 1001, 0, 0, 6, 6, CUT, false },
	    { 2001, 0, 0, 6, 6, CUT, false } },
	/* For so long that it must be so; a second read, too. */
	{ { 1, 8, 6, 0, 0, COUNTS, false }, { 1001, 2, 0, 6, 1, CUT, false },
	    { CUT_OFF + 1000, 2, 0, 6, 1, CUT, false },
	    { CUT_OFF + 1001, 2, 0, 6, 1, WAITS, false },
	    { CUT_OFF + 2001, 2, 0, 6, 1, COUNTS, false },
	    { CUT_OFF + 2501, 2, 0, 0, 0, COUNTS, true } },
	/* What waited before is no first one of two. */
	{ { 1, 8, 6, 0, 0, COUNTS, false }, { 1001, 2, 1, 6, 5, WAITS, false },
	    { 1501, 2, 0, 6, 6, CUT, false },
	    { 2001, 2, 1, 6, 5, WAITS, false },
	    { 3001, 2, 0, 6, 6, CUT, false },
	    { CUT_OFF + 3001, 2, 0, 6, 6, WAITS, false } },
	/* All of them were ending. */
	{ { 1, 8, 1, 0, 0, COUNTS, false },
	    { 1001, 7, 0, 1, 0, COUNTS, false } },
	/* One is left: the kubelet has heard from the apiserver. */
	{ { 1, 8, 6, 0, 0, COUNTS, false }, { 1001, 3, 1, 5, 5, WAITS, false },
	    { 2001, 3, 1, 5, 5, COUNTS, false } },
	/* We, too, were started meanwhile: what was before is not known. */
	{ { 1, 2, 0, 0, 0, COUNTS, false }, { 1001, 2, 0, 0, 0, COUNTS, false },
	    { CUT_OFF, 2, 0, 0, 0, COUNTS, false },
	    { CUT_OFF + 100, 8, 6, 0, 0, COUNTS, false },
	    { CUT_OFF + 200, 8, 6, 0, 0, COUNTS, false },
	    { CUT_OFF + 600, 8, 6, 0, 0, COUNTS, true } },
	/* The same, and there are no others, as it seems. */
	{ { 1, 2, 0, 0, 0, COUNTS, false },
	    { CUT_OFF, 2, 0, 0, 0, COUNTS, false },
	    { CUT_OFF + 1, 2, 0, 0, 0, COUNTS, false },
	    { CUT_OFF + 500, 2, 0, 0, 0, COUNTS, false },
	    { CUT_OFF + 501, 2, 0, 0, 0, COUNTS, true } },
	/* A node without pods. */
	{ { 1, 0, 0, 0, 0, WAITS, false },
	    { 1000, 0, 0, 0, 0, TOO_SOON, false },
	    { 1001, 0, 0, 0, 0, COUNTS, false },
	    { CUT_OFF, 0, 0, 0, 0, COUNTS, false },
	    { CUT_OFF + 1, 0, 0, 0, 0, COUNTS, false },
	    { CUT_OFF + 501, 0, 0, 0, 0, COUNTS, true } },
};

/* False at the end. */
static bool
look_at_source(struct guard *g, const struct source_step *s,
    const struct guard_times *t)
{
	const struct guard_list list = {
		.pods = s->pods,
		.pods_lost = s->lost,
		.from_api = s->from_api,
		.vanished = s->vanished,
		.lost_more = 0,
	};

	if (s->at == 0)
		return false;
	ck_assert_int_eq((int)guard_look(g, &list, s->at, t), s->verdict);
	ck_assert_int_eq(guard_confirmed(g), s->confirmed);
	return true;
}

START_TEST(static_pods_only)
{
	const struct source_step *s = sources[_i];
	struct guard g = { .has_list = false };

	while (look_at_source(&g, s, &times))
		s++;
}
END_TEST

/* A file has no source that may be away. */
START_TEST(without_sources)
{
	static const struct source_step steps[] = {
		{ 1, 8, 6, 0, 0, COUNTS, false },
		{ 1001, 2, 0, 6, 6, WAITS, false },
		{ 2001, 2, 0, 6, 6, COUNTS, false },
		{ 2501, 2, 0, 0, 0, COUNTS, true },
		{ .at = 0 },
	};
	const struct guard_times file = { INTERVAL, MIN_INTERVAL, 0 };
	const struct source_step *s = steps;
	struct guard g = { .has_list = false };

	while (look_at_source(&g, s, &file))
		s++;
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("guard");
	TCase *t = tcase_create("guard");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, history, 0, COUNT(histories));
	tcase_add_loop_test(t, static_pods_only, 0, COUNT(sources));
	tcase_add_test(t, without_sources);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
