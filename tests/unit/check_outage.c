#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "workers/outage.h"

START_TEST(each_reason_once)
{
	struct outage o = { .reads = 0 };

	ck_assert_uint_eq(outage_ended(&o), 0);
	ck_assert(outage_failed(&o, "connection refused"));
	ck_assert(!outage_failed(&o, "connection refused"));
	ck_assert(outage_failed(&o, "timed out"));
	ck_assert(!outage_failed(&o, "connection refused"));
	ck_assert_uint_eq(outage_ended(&o), 4);
	ck_assert_uint_eq(outage_ended(&o), 0);
	/* Another outage. */
	ck_assert(outage_failed(&o, "timed out"));
}
END_TEST

START_TEST(long_numbers_make_no_difference)
{
	struct outage o = { .reads = 0 };

	ck_assert(outage_failed(&o, "status 401"));
	ck_assert(outage_failed(&o, "status 403"));
	ck_assert(outage_failed(&o, "closed with 4711 bytes left"));
	ck_assert(!outage_failed(&o, "closed with 1048576 bytes left"));
	ck_assert(outage_failed(&o, "closed with 1048576 bytes right"));
}
END_TEST

START_TEST(not_without_end)
{
	struct outage o = { .reads = 0 };
	size_t said = 0;
	char why[20];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(why, sizeof(why), "reason %u", i);
		said += outage_failed(&o, why);
	}
	ck_assert_uint_eq(said, OUTAGE_REASONS);
	ck_assert_uint_eq(outage_ended(&o), 1000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("outage");
	TCase *t = tcase_create("outage");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, each_reason_once);
	tcase_add_test(t, long_numbers_make_no_difference);
	tcase_add_test(t, not_without_end);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
