#include <check.h>
#include <stdlib.h>

#include "workers/kubelet_reader/interval.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define MIN      500
#define DEFAULT  1000
#define NO_PODS  0

/* A poll that began and ended then; what its list said; the next one. */
static const struct step {
	uint64_t began;
	uint64_t ended;
	uint64_t pods_ms;
	bool changed;
	uint64_t next;
} steps[] = {
	{ 0, 10, NO_PODS, false, 1000 },
	{ 1000, 1010, 2000, true, 1500 },
	{ 1500, 1510, 2000, false, 2000 },
	/* 10 s after the change. */
	{ 11000, 11009, 2000, false, 11500 },
	{ 11000, 11010, 2000, false, 13000 },
	{ 13000, 13010, 5000, false, 18000 },
	/* It took longer than the interval. */
	{ 18000, 25000, 5000, false, 25000 },
	/* Never slower than without the change. */
	{ 30000, 30010, 300, true, 30300 },
	{ 40010, 40020, 300, false, 40310 },
	{ 50000, 50010, NO_PODS, true, 50500 },
	{ 70000, 70010, NO_PODS, false, 71000 },
};

START_TEST(next_poll)
{
	struct interval iv;

	interval_init(&iv, MIN, DEFAULT);
	ck_assert_uint_eq(interval_steady(&iv), DEFAULT);
	for (size_t i = 0; i < COUNT(steps); i++) {
		const struct step *s = &steps[i];

		interval_list(&iv, s->pods_ms, s->changed, s->ended);
		ck_assert_msg(interval_next(&iv, s->began, s->ended) == s->next,
		    "step %zu", i);
		ck_assert_uint_eq(interval_steady(&iv),
		    s->pods_ms == NO_PODS ? DEFAULT : s->pods_ms);
	}
}
END_TEST

/* A poll that failed says nothing of the pods. */
START_TEST(failures_keep_the_pace)
{
	struct interval iv;

	interval_init(&iv, MIN, DEFAULT);
	interval_list(&iv, 3000, false, 0);
	ck_assert_uint_eq(interval_next(&iv, 5000, 5001), 8000);
	ck_assert_uint_eq(interval_next(&iv, 8000, 8001), 11000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("interval");
	TCase *t = tcase_create("interval");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, next_poll);
	tcase_add_test(t, failures_keep_the_pace);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
