#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "workers/k8s_writer/crd.h"
#include "workers/k8s_writer/watch.h"

#define T0   1000000ULL
#define REST 300000

static struct crd c;
static uint64_t now;

static void
setup(void)
{
	now = T0;
	crd_init(&c, REST, 7);
	crd_want(&c, true);
}

static void
does(enum crd_do what)
{
	ck_assert_int_eq(crd_next(&c, now), what);
}

/* Does nothing for at least so long, and at most so long. */
static void
waits(uint64_t least, uint64_t most)
{
	uint64_t at = crd_due(&c, now);

	ck_assert_uint_ge(at, now + least);
	ck_assert_uint_le(at, now + most);
	does(CRD_NOTHING);
	now = at;
	ck_assert_uint_eq(crd_due(&c, now), 0);
}

/* The watch was not refused. */
static void
works(void)
{
	does(CRD_WATCH);
	ck_assert(!crd_tells(&c, now));
	ck_assert_uint_eq(crd_due(&c, now), now + CRD_WORKS_MS);
	now += CRD_WORKS_MS;
}

START_TEST(only_while_it_is_wanted)
{
	char path[CRD_PATH];

	setup();
	crd_want(&c, false);
	does(CRD_NOTHING);
	ck_assert_uint_eq(crd_due(&c, now), UINT64_MAX);
	crd_want(&c, true);
	ck_assert_uint_eq(crd_due(&c, now), 0);
	does(CRD_WATCH);
	crd_path(&c, path);
	ck_assert_ptr_nonnull(
	    strstr(path, "customresourcedefinitions?watch=1&"));
	ck_assert_ptr_nonnull(strstr(path,
	    "metadata.name%3Dhttproutes.gateway.networking.k8s.io"));
	ck_assert_ptr_nonnull(strstr(path, "&resourceVersion=0&"));
	does(CRD_NOTHING);
	crd_want(&c, false);
	ck_assert_uint_eq(crd_due(&c, now), 0);
	does(CRD_STOP);
	does(CRD_NOTHING);
	ck_assert(!crd_tells(&c, now));
}
END_TEST

START_TEST(it_comes_and_goes)
{
	setup();
	works();
	ck_assert(crd_tells(&c, now));
	ck_assert(!crd_event(&c, KUBE_BOOKMARK, now));
	ck_assert(crd_tells(&c, now));
	ck_assert(crd_event(&c, KUBE_CHANGED, now));
	ck_assert(!crd_tells(&c, now));
	/* Its conditions change. */
	ck_assert(crd_event(&c, KUBE_CHANGED, now));
	ck_assert(!crd_event(&c, KUBE_DELETED, now));
	ck_assert(crd_tells(&c, now));
}
END_TEST

START_TEST(it_goes_on_when_it_ended)
{
	setup();
	works();
	crd_event(&c, KUBE_CHANGED, now);
	crd_end(&c, 200, 0, now);
	/* What it said is said again, if it is so still. */
	works();
	ck_assert(crd_tells(&c, now));
}
END_TEST

static const struct {
	long status;
	uint64_t retry_after_ms;
	uint64_t least, most;
} ends[] = {
	{ 403, 0, REST, REST }, { 404, 0, REST, REST }, { 0, 0, 750, 1000 },
	{ 401, 0, 750, 1000 }, { 500, 0, 750, 1000 }, { 429, 5000, 5000, 5000 },
	{ 200, 0, 750, 1000 }, /* ended at once */
};

START_TEST(it_fails)
{
	setup();
	does(CRD_WATCH);
	now += CRD_WORKS_MS - 1;
	crd_end(&c, ends[_i].status, ends[_i].retry_after_ms, now);
	ck_assert(!crd_tells(&c, now));
	waits(ends[_i].least, ends[_i].most);
	does(CRD_WATCH);
}
END_TEST

START_TEST(it_fails_for_long)
{
	size_t tries = 0;

	setup();
	for (uint64_t end = now + 600000; now < end; tries++) {
		does(CRD_WATCH);
		crd_end(&c, 503, 0, now);
		now = crd_due(&c, now);
	}
	ck_assert_uint_lt(tries, 25);
	crd_end(&c, 503, 0, now);
	crd_retry(&c, now);
	does(CRD_WATCH);
	crd_end(&c, 503, 0, now);
	waits(750, 1000);
}
END_TEST

START_TEST(it_says_nothing)
{
	setup();
	works();
	now += WATCH_SILENCE_MS - CRD_WORKS_MS - 1;
	crd_event(&c, KUBE_BOOKMARK, now);
	now += WATCH_SILENCE_MS - 1;
	does(CRD_NOTHING);
	ck_assert_uint_eq(crd_due(&c, now), now + 1);
	now++;
	does(CRD_STOP);
	does(CRD_WATCH);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crd");
	TCase *t = tcase_create("crd");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, only_while_it_is_wanted);
	tcase_add_test(t, it_comes_and_goes);
	tcase_add_test(t, it_goes_on_when_it_ended);
	tcase_add_loop_test(t, it_fails, 0,
	    (int)(sizeof(ends) / sizeof(ends[0])));
	tcase_add_test(t, it_fails_for_long);
	tcase_add_test(t, it_says_nothing);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
