#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/consul_writer/catalog.h"

#define COUNT(a)          (sizeof(a) / sizeof(*(a)))
#define A                 "katalog-sync_a_shop_web-1"
#define B                 "katalog-sync_b_shop_web-1"
#define BOTH              "[" CHECK(A, "passing") "," CHECK(B, "critical") "]\n"
#define CHECK(id, status) CHECK_OF(id, "of it", status)
#define CHECK_OF(id, name, status) \
	"{\"Node\":\"n1\",\"ServiceID\":\"" id "\",\"CheckID\":\"" id \
	"\",\"Name\":\"" name "\",\"Status\":\"" status \
	"\",\"ServiceTags\":[],\"Definition\":{}}"

static struct catalog *c;
static uint64_t now, wait_ms;
static uint64_t stamp; /* the plan's */
static char path[CATALOG_PATH];

static void
setup(void)
{
	now = 1000000;
	stamp = 1;
	c = catalog_new(1);
}

static void
teardown(void)
{
	catalog_free(c);
}

static void
begin(void)
{
	catalog_node(c, "n1", now);
	catalog_want(c, true, now);
}

/* One is due; it goes out. */
static void
ask(void)
{
	uint64_t due = catalog_due(c);

	ck_assert_uint_ne(due, UINT64_MAX);
	if (now < due)
		now = due;
	catalog_ask(c, &(struct catalog_place){ "", "" }, stamp, now, path,
	    &wait_ms);
	ck_assert_uint_gt(catalog_due(c), now);
}

static struct catalog_answer
an_answer(const char *body, const char *index)
{
	return (struct catalog_answer){
		.status = 200,
		.body = body,
		.body_len = strlen(body),
		.index = index,
		.leader = "true",
		.filtered = "",
	};
}

static const char *
answer(const char *body, const char *index)
{
	struct catalog_answer a = an_answer(body, index);

	now += 5;
	return catalog_answered(c, &a, now);
}

static enum catalog_shown
shows(const char *id, uint64_t since)
{
	const struct catalog_check check = {
		.id = id,
		.name = "of it",
		.status = SERVICE_PASSING,
		.since = since,
	};

	return catalog_shows(c, &check);
}

/* ---- when it is asked ---- */

START_TEST(nothing_at_rest)
{
	ck_assert_uint_eq(catalog_due(c), UINT64_MAX);
	catalog_node(c, "n1", now);
	ck_assert_uint_eq(catalog_due(c), UINT64_MAX);
	catalog_want(c, true, now);
	ck_assert_uint_le(catalog_due(c), now);
	catalog_node(c, "", now);
	ck_assert_uint_eq(catalog_due(c), UINT64_MAX);
}
END_TEST

START_TEST(paths)
{
	catalog_node(c, "n 1", now);
	catalog_want(c, true, now);
	catalog_ask(c, &(struct catalog_place){ "/x", "team" }, stamp, now,
	    path, &wait_ms);
	ck_assert_str_eq(path,
	    "/x/v1/health/node/n%201?consistent&filter=ServiceID%20matches"
	    "%20%22%5Ekatalog-sync_%22&ns=team");
	ck_assert_uint_eq(wait_ms, 0);
	answer("[]", "42");
	ask();
	ck_assert_str_eq(path,
	    "/v1/health/node/n%201?consistent&filter=ServiceID%20matches"
	    "%20%22%5Ekatalog-sync_%22&index=42&wait=50000ms");
	ck_assert_uint_eq(wait_ms, CATALOG_WAIT_MS);
}
END_TEST

/* Who comes soon after finds the query still there. */
START_TEST(it_lingers)
{
	begin();
	ask();
	answer(BOTH, "42");
	ask();
	catalog_want(c, false, now);
	catalog_run(c, now + CATALOG_LINGER_MS - 1);
	ck_assert(!catalog_gives_up(c));
	ck_assert_uint_eq(catalog_due(c), now + CATALOG_LINGER_MS);
	catalog_want(c, true, now);
	catalog_run(c, now + CATALOG_LINGER_MS);
	ck_assert_int_eq(shows(A, 1), CATALOG_PASSING);
	catalog_want(c, false, now);
	catalog_run(c, now + CATALOG_LINGER_MS);
	ck_assert(catalog_gives_up(c));
	catalog_cancelled(c, now);
	ck_assert_uint_eq(catalog_due(c), UINT64_MAX);
	ck_assert_int_eq(shows(A, 1), CATALOG_UNKNOWN);
}
END_TEST

/* A node's start changes much: asked at once at first, then paced. */
START_TEST(it_is_paced)
{
	char index[16];
	uint64_t began;

	begin();
	began = now;
	for (unsigned i = 0; i < 100; i++) {
		ask();
		snprintf(index, sizeof(index), "%u", i + 10);
		ck_assert_ptr_null(answer(BOTH, index));
		if (i == 15)
			ck_assert_uint_le(now, began + 150);
	}
	ck_assert_uint_ge(now, began + 4000);
}
END_TEST

#define LARGE 800 /* checks */

static char *
large_body(void)
{
	static char body[LARGE * (sizeof(CHECK(A, "passing")) + 8)];
	int n = snprintf(body, sizeof(body), "[");

	for (unsigned i = 0; i < LARGE; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n,
		    "%s" CHECK_OF("%s%u", "of it", "passing"),
		    i == 0 ? "" : ",", A, i, A, i);
	snprintf(body + n, sizeof(body) - (size_t)n, "]");
	return body;
}

/* Consul says all of it each time: the more, the less often. */
START_TEST(large_answers_are_paced)
{
	const char *body = large_body();
	char index[16];
	uint64_t began;

	begin();
	began = now;
	for (unsigned i = 0; i < 20; i++) {
		ask();
		snprintf(index, sizeof(index), "%u", i + 10);
		ck_assert_ptr_null(answer(body, index));
		/* A call and its end. */
		if (i == 1)
			ck_assert_uint_le(now, began + 20);
	}
	ck_assert_uint_ge(now, began + 7000);
	ck_assert_int_eq(shows(A "799", 1), CATALOG_PASSING);
}
END_TEST

START_TEST(another_node)
{
	begin();
	ask();
	answer(BOTH, "42");
	ask();
	catalog_node(c, "n2", now);
	ck_assert_int_eq(shows(A, 1), CATALOG_UNKNOWN);
	ck_assert(catalog_gives_up(c));
	catalog_cancelled(c, now);
	ask();
	ck_assert_ptr_nonnull(strstr(path, "/n2?"));
	ck_assert_ptr_null(strstr(path, "index="));
}
END_TEST

/* What was refused, or filtered, may not be so any more. */
START_TEST(another_token)
{
	struct catalog_answer a = an_answer("[]", "42");
	const struct catalog_answer denied = {
		.status = 403,
		.body = "",
		.index = "",
		.leader = "",
		.filtered = "",
	};

	begin();
	ask();
	a.filtered = "true";
	catalog_answered(c, &a, now);
	ask();
	catalog_retry(c, now);
	ck_assert(catalog_gives_up(c));
	catalog_cancelled(c, now);
	ck_assert_uint_le(catalog_due(c), now);
	ask();
	ck_assert_uint_eq(wait_ms, 0);
	catalog_answered(c, &denied, now);
	ck_assert_uint_gt(catalog_due(c), now);
	catalog_retry(c, now);
	ck_assert_uint_le(catalog_due(c), now);
}
END_TEST

/* ---- what it shows ---- */

static const struct {
	const char *body;
	enum catalog_shown a;
	enum catalog_shown b;
} bodies[] = {
	{ BOTH, CATALOG_PASSING, CATALOG_CRITICAL },
	{ "[" CHECK(B, "warning") "," CHECK(A, "critical") "]",
	    CATALOG_CRITICAL, CATALOG_WARNING },
	{ "[]", CATALOG_ABSENT, CATALOG_ABSENT },
	/* Of the pod that had its name before. */
	{ "[" CHECK_OF(A, "of another", "passing") "," CHECK(B, "passing") "]",
	    CATALOG_OTHER, CATALOG_PASSING },
	/* Another check of our service, and one of a service without ID. */
	{ "[{\"ServiceID\":\"" A "\",\"CheckID\":\"x\",\"Status\":\"passing\"},"
	  "{\"CheckID\":\"serfHealth\",\"Status\":\"odd\"}]",
	    CATALOG_ABSENT, CATALOG_ABSENT },
};

START_TEST(bodies_are_read)
{
	begin();
	ask();
	ck_assert_ptr_null(answer(bodies[_i].body, "42"));
	ck_assert_int_eq(shows(A, 1), bodies[_i].a);
	ck_assert_int_eq(shows(B, 1), bodies[_i].b);
	ck_assert(!catalog_is_partial(c));
}
END_TEST

static const char *const bad_bodies[] = {
	"",
	"null",
	"{}",
	"[1]",
	"[null]",
	"[" CHECK(A, "passing"),
	"[" CHECK(A, "passing") "] []",
	"[" CHECK(A, "fine") "]",
	"[{\"ServiceID\":\"" A "\",\"CheckID\":\"" A "\"}]",
	"[{\"ServiceID\":1}]",
	"[{\"CheckID\":\"x\",\"CheckID\":\"y\"}]",
	"[\"\xff\"]",
};

START_TEST(bad_bodies_are_none)
{
	begin();
	ask();
	ck_assert_ptr_null(answer(BOTH, "42"));
	ask();
	ck_assert_ptr_nonnull(answer(bad_bodies[_i], "43"));
	ck_assert_int_eq(shows(A, 1), CATALOG_UNKNOWN);
	ask();
	ck_assert_uint_eq(wait_ms, 0);
	ck_assert_ptr_null(answer(BOTH, "43"));
	ck_assert_int_eq(shows(A, 1), CATALOG_PASSING);
}
END_TEST

/*
 * What was asked before the last write is no answer, and what shows the wanted
 * already will not change: it is asked again, at once.
 */
START_TEST(an_older_answer)
{
	begin();
	stamp = 5;
	ask();
	answer(BOTH, "42");
	ask();
	ck_assert_int_eq(shows(A, 6), CATALOG_UNKNOWN);
	ck_assert(catalog_gives_up(c));
	catalog_cancelled(c, now);
	ck_assert_uint_le(catalog_due(c), now);
	stamp = 6;
	ask();
	ck_assert_uint_eq(wait_ms, 0);
	answer(BOTH, "42");
	ck_assert_int_eq(shows(A, 6), CATALOG_PASSING);
	/* What it does not show yet will come by itself. */
	ask();
	ck_assert_int_eq(shows(B, 7), CATALOG_UNKNOWN);
	ck_assert(!catalog_gives_up(c));
}
END_TEST

START_TEST(an_older_answer_between_two)
{
	begin();
	ask();
	answer(BOTH, "42");
	ck_assert_int_eq(shows(A, 6), CATALOG_UNKNOWN);
	ask();
	ck_assert_uint_eq(wait_ms, 0);
	/* One that does not wait is soon over. */
	ck_assert_int_eq(shows(A, 7), CATALOG_UNKNOWN);
	ck_assert(!catalog_gives_up(c));
	answer(BOTH, "42");
	ck_assert_int_eq(shows(A, 7), CATALOG_UNKNOWN);
	stamp = 7;
	ask();
	answer(BOTH, "42");
	ck_assert_int_eq(shows(A, 7), CATALOG_PASSING);
}
END_TEST

START_TEST(filtered_answers)
{
	struct catalog_answer a = an_answer("[" CHECK(A, "passing") "]", "42");
	const char *why;

	begin();
	ask();
	a.filtered = "true";
	why = catalog_answered(c, &a, now);
	ck_assert_ptr_nonnull(why);
	ck_assert_ptr_nonnull(strstr(why, "node:read"));
	ck_assert(catalog_is_partial(c));
	ck_assert_int_eq(shows(A, 1), CATALOG_PASSING);
	/* Not seen is not absent. */
	ck_assert_int_eq(shows(B, 1), CATALOG_UNKNOWN);
}
END_TEST

START_TEST(index_goes_backwards)
{
	begin();
	ask();
	answer(BOTH, "42");
	ask();
	/* Of a server that lags: it shows nothing. */
	ck_assert_ptr_null(answer("[]", "41"));
	ck_assert_int_eq(shows(A, 1), CATALOG_UNKNOWN);
	ask();
	ck_assert_uint_eq(wait_ms, 0);
	ck_assert_ptr_null(answer(BOTH, "7"));
	ck_assert_int_eq(shows(A, 1), CATALOG_PASSING);
}
END_TEST

/* ---- failures ---- */

static const struct {
	const char *error;
	long status;
	const char *index;
	const char *leader;
	const char *body;
	const char *text;
	uint64_t least_ms; /* until the next one */
} failures[] = {
	{ "connection refused", 0, "", "", "", "connection refused", 50 },
	{ NULL, 500, "", "", "rpc error: No cluster leader", "No cluster", 50 },
	{ NULL, 403, "", "", "Permission denied", "node:read", 250 },
	{ NULL, 403, "", "", "ACL not found", "does not know katalogd's", 250 },
	{ NULL, 403, "", "", "anonymous token lacks", "has no token", 250 },
	{ NULL, 500, "", "", "Permission denied", "node:read", 250 },
	{ NULL, 429, "", "", "", "HTTP 429", 250 },
	{ NULL, 503, "", "", "", "HTTP 503", 250 },
	{ NULL, 200, "", "true", BOTH, "without an index", 50 },
	{ NULL, 200, "0", "true", BOTH, "without an index", 50 },
	{ NULL, 200, "x", "true", BOTH, "without an index", 50 },
	{ NULL, 200, "-1", "true", BOTH, "without an index", 50 },
	{ NULL, 200, "42", "false", BOTH, "no leader", 50 },
};

START_TEST(failures_are_said)
{
	struct catalog_answer a = {
		.error = failures[_i].error,
		.status = failures[_i].status,
		.body = failures[_i].body,
		.body_len = strlen(failures[_i].body),
		.index = failures[_i].index,
		.leader = failures[_i].leader,
		.filtered = "",
	};
	const char *why;

	begin();
	ask();
	answer(BOTH, "42");
	ask();
	why = catalog_answered(c, &a, now);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, failures[_i].text) != NULL, "%s", why);
	ck_assert_int_eq(shows(A, 1), CATALOG_UNKNOWN);
	ck_assert_uint_ge(catalog_due(c), now + failures[_i].least_ms);
	ask();
	ck_assert_uint_eq(wait_ms, 0);
}
END_TEST

START_TEST(retry_after_is_obeyed)
{
	struct catalog_answer a = {
		.status = 429,
		.body = "",
		.index = "",
		.leader = "",
		.filtered = "",
		.retry_after_ms = 7000,
	};

	begin();
	ask();
	catalog_answered(c, &a, now);
	ck_assert_uint_ge(catalog_due(c), now + 7000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("node_catalog");
	TCase *t = tcase_create("catalog");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_at_rest);
	tcase_add_test(t, paths);
	tcase_add_test(t, it_lingers);
	tcase_add_test(t, it_is_paced);
	tcase_add_test(t, large_answers_are_paced);
	tcase_add_test(t, another_node);
	tcase_add_test(t, another_token);
	tcase_add_loop_test(t, bodies_are_read, 0, COUNT(bodies));
	tcase_add_loop_test(t, bad_bodies_are_none, 0, COUNT(bad_bodies));
	tcase_add_test(t, an_older_answer);
	tcase_add_test(t, an_older_answer_between_two);
	tcase_add_test(t, filtered_answers);
	tcase_add_test(t, index_goes_backwards);
	tcase_add_loop_test(t, failures_are_said, 0, COUNT(failures));
	tcase_add_test(t, retry_after_is_obeyed);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
