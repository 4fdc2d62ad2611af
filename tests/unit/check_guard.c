#include <check.h>
#include <stdlib.h>

#include "workers/kubelet_reader/guard.h"

#define COUNT(a)     (sizeof(a) / sizeof(*(a)))

#define INTERVAL     1000
#define MIN_INTERVAL 500
#define CUT_OFF      5000

enum { COUNTS = GUARD_COUNTS, WAITS = GUARD_WAITS };

/* One read: what the list is like, and what becomes of it. */
struct step {
	uint64_t at;
	size_t pods;
	size_t ours;
	size_t pods_lost;
	size_t ours_lost;
	uint64_t all; /* digests: the same number is the same pods */
	uint64_t our;
	int verdict;
	bool confirmed;
};

static const struct step first_list_counts[] = {
	{ 0, 6, 5, 0, 0, 1, 1, COUNTS, false },
	{ 499, 6, 5, 0, 0, 1, 1, COUNTS, false },
	{ 500, 6, 5, 0, 0, 1, 1, COUNTS, true },
	/* For ever. */
	{ 600, 7, 6, 0, 0, 2, 2, COUNTS, true },
};
static const struct step first_list_is_empty[] = {
	{ 0, 0, 0, 0, 0, 0, 0, WAITS, false },
	{ 999, 0, 0, 0, 0, 0, 0, WAITS, false },
	{ 1000, 0, 0, 0, 0, 0, 0, COUNTS, false },
	{ 1500, 0, 0, 0, 0, 0, 0, COUNTS, true },
};
static const struct step first_empty_then_there[] = {
	{ 0, 0, 0, 0, 0, 0, 0, WAITS, false },
	{ 1000, 6, 5, 0, 0, 1, 1, COUNTS, false },
	{ 2000, 6, 5, 0, 0, 1, 1, COUNTS, true },
};
static const struct step without_ours[] = {
	{ 0, 6, 0, 0, 0, 1, 0, COUNTS, false },
	{ 1000, 6, 0, 0, 0, 1, 0, COUNTS, true },
};
static const struct step turns_empty_once[] = {
	{ 0, 6, 5, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 0, 0, 6, 5, 0, 0, WAITS, false },
	{ 2000, 6, 5, 0, 0, 1, 1, COUNTS, true },
	/* What waited then is forgotten. */
	{ 3000, 0, 0, 6, 5, 0, 0, WAITS, true },
	{ 3500, 0, 0, 6, 5, 0, 0, WAITS, true },
	{ 4000, 0, 0, 6, 5, 0, 0, COUNTS, true },
	{ 5000, 0, 0, 0, 0, 0, 0, COUNTS, true },
};
static const struct step loses_half[] = {
	{ 0, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 3, 2, 3, 2, 2, 2, COUNTS, false },
	{ 2000, 3, 2, 0, 0, 2, 2, COUNTS, true },
};
static const struct step loses_more_than_half[] = {
	{ 0, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 2, 2, 4, 2, 2, 2, WAITS, false },
	{ 2000, 2, 2, 4, 2, 2, 2, COUNTS, false },
};
static const struct step loses_more_than_half_of_ours[] = {
	{ 0, 100, 3, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 98, 1, 2, 2, 2, 2, WAITS, false },
	{ 2000, 98, 1, 2, 2, 2, 2, COUNTS, false },
};
static const struct step loses_the_only_one[] = {
	{ 0, 6, 1, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 5, 0, 1, 1, 2, 0, WAITS, false },
	{ 2000, 5, 0, 1, 1, 2, 0, COUNTS, false },
};
static const struct step others_take_their_place[] = {
	{ 0, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 6, 4, 6, 4, 2, 2, WAITS, false },
	{ 2000, 6, 4, 6, 4, 2, 2, COUNTS, false },
};
static const struct step never_the_same_twice[] = {
	{ 0, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 1, 1, 5, 3, 2, 2, WAITS, false },
	{ 2000, 1, 1, 5, 3, 3, 3, WAITS, false },
	{ 3000, 1, 1, 5, 3, 2, 2, WAITS, false },
	{ 4000, 1, 1, 5, 3, 2, 2, COUNTS, false },
};
static const struct step ours_come_and_go[] = {
	{ 0, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1000, 6, 3, 1, 1, 2, 2, COUNTS, false },
	{ 1400, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1800, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 1900, 6, 4, 0, 0, 1, 1, COUNTS, true },
};
static const struct step clock_goes_back[] = {
	{ 9000, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 8000, 6, 4, 0, 0, 1, 1, COUNTS, false },
	{ 9100, 0, 0, 6, 4, 0, 0, WAITS, false },
	{ 8000, 0, 0, 6, 4, 0, 0, WAITS, false },
	{ 10100, 0, 0, 6, 4, 0, 0, COUNTS, false },
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
	HISTORY(first_list_is_empty),
	HISTORY(first_empty_then_there),
	HISTORY(without_ours),
	HISTORY(turns_empty_once),
	HISTORY(loses_half),
	HISTORY(loses_more_than_half),
	HISTORY(loses_more_than_half_of_ours),
	HISTORY(loses_the_only_one),
	HISTORY(others_take_their_place),
	HISTORY(never_the_same_twice),
	HISTORY(ours_come_and_go),
	HISTORY(clock_goes_back),
};

static const struct guard_times times = {
	.interval = INTERVAL,
	.min_interval = MIN_INTERVAL,
	.cut_off = CUT_OFF,
};

START_TEST(history)
{
	struct guard g = { .has_list = false };

	for (size_t i = 0; i < histories[_i].n; i++) {
		const struct step *s = &histories[_i].steps[i];
		const struct guard_list list = {
			.pods = s->pods,
			.ours = s->ours,
			.pods_lost = s->pods_lost,
			.ours_lost = s->ours_lost,
			.from_api = s->pods,
			.all = { s->all, 7 },
			.our = { 7, s->our },
		};

		ck_assert_msg((int)guard_look(&g, &list, s->at, &times) ==
			s->verdict,
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
	uint64_t all;
	enum guard_verdict verdict;
} sources[][8] = {
	/* Static pods only, again and again; then all are back. */
	{ { 1, 8, 6, 0, 0, 1, GUARD_COUNTS },
	    { 1001, 2, 0, 6, 6, 2, GUARD_CUT_OFF },
	    { 2001, 2, 0, 6, 6, 2, GUARD_CUT_OFF },
	    { 6000, 2, 0, 6, 6, 2, GUARD_CUT_OFF },
	    { 6100, 8, 6, 0, 0, 1, GUARD_COUNTS },
	    { 6200, 2, 0, 6, 6, 2, GUARD_CUT_OFF } },
	/* None at all. */
	{ { 1, 6, 6, 0, 0, 1, GUARD_COUNTS },
	    { 1001, 0, 0, 6, 6, 0, GUARD_CUT_OFF },
	    { 2001, 0, 0, 6, 6, 0, GUARD_CUT_OFF } },
	/* For so long that it must be so; a second read, too. */
	{ { 1, 8, 6, 0, 0, 1, GUARD_COUNTS },
	    { 1001, 2, 0, 6, 1, 2, GUARD_CUT_OFF },
	    { 6000, 2, 0, 6, 1, 2, GUARD_CUT_OFF },
	    { 6001, 2, 0, 6, 1, 2, GUARD_WAITS },
	    { 7001, 2, 0, 6, 1, 2, GUARD_COUNTS } },
	/* All of them were ending. */
	{ { 1, 8, 1, 0, 0, 1, GUARD_COUNTS },
	    { 1001, 7, 0, 1, 0, 2, GUARD_COUNTS } },
	/* One is left: the kubelet has heard from the apiserver. */
	{ { 1, 8, 6, 0, 0, 1, GUARD_COUNTS },
	    { 1001, 3, 1, 5, 5, 2, GUARD_WAITS },
	    { 2001, 3, 1, 5, 5, 2, GUARD_COUNTS } },
};

START_TEST(static_pods_only)
{
	struct guard g = { .has_list = false };

	for (const struct source_step *s = sources[_i]; s->at != 0; s++) {
		const struct guard_list list = {
			.pods = s->pods,
			.pods_lost = s->lost,
			.from_api = s->from_api,
			.vanished = s->vanished,
			.all = { s->all, 7 },
		};

		ck_assert_int_eq(guard_look(&g, &list, s->at, &times),
		    s->verdict);
	}
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
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
