#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/lease.h"

#define WALL_US 1795281113123456ULL /* 2026-11-21T17:11:53.123456Z */
#define T0      1000000ULL

static struct lease a;
static uint64_t now;

static void
setup(void)
{
	now = T0;
	lease_init(&a, "network", "katalogd-to-k8s", "host-a", true, 1);
}

static struct kube_lease
record(const char *version, const char *holder)
{
	struct kube_lease l = { .duration_s = 15, .transitions = 3 };

	strlcpy(l.version, version, sizeof(l.version));
	strlcpy(l.holder, holder, sizeof(l.holder));
	strlcpy(l.acquired, "then", sizeof(l.acquired));
	return l;
}

/* The next request is that one, and is answered so after ms. */
static void
does(enum lease_do what, uint64_t ms, long status, const char *version,
    const char *holder)
{
	struct kube_lease l = record(version, holder);

	ck_assert_int_eq(lease_next(&a, now), what);
	ck_assert_int_eq(lease_next(&a, now), LEASE_NOTHING);
	now += ms;
	lease_answer(&a, status, *version != '\0' ? &l : NULL, now);
}

static void
idle_until(uint64_t at)
{
	ck_assert_int_eq(lease_next(&a, now), LEASE_NOTHING);
	ck_assert_uint_ge(lease_due(&a, now), at);
	now = lease_due(&a, now);
}

static void
lead(void)
{
	does(LEASE_GET, 1, 404, "", "");
	does(LEASE_CREATE, 1, 201, "1", "host-a");
	ck_assert(lease_may_write(&a, now));
}

/* ---- one copy ---- */

START_TEST(there_is_none_yet)
{
	setup();
	ck_assert(!lease_may_write(&a, now));
	ck_assert_uint_eq(lease_due(&a, now), 0);
	lead();
	ck_assert_uint_eq(lease_until(&a), T0 + 1 + LEASE_DEADLINE_MS);
	ck_assert_str_eq(lease_holder(&a), "host-a");
}
END_TEST

START_TEST(it_is_renewed)
{
	setup();
	lead();
	for (int i = 0; i < 10; i++) {
		idle_until(now + LEASE_RETRY_MS - 1);
		does(LEASE_UPDATE, 1, 200, i % 2 ? "2" : "3", "host-a");
		ck_assert(lease_may_write(&a, now));
	}
}
END_TEST

/* Counted from when the request was sent, not when it was answered. */
START_TEST(slow_answers_count_from_their_sending)
{
	setup();
	lead();
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	lease_answer(&a, 200, &(struct kube_lease){ .version = "2" },
	    now + 9000);
	ck_assert_uint_eq(lease_until(&a), now + LEASE_DEADLINE_MS);
	ck_assert(lease_may_write(&a, now + LEASE_DEADLINE_MS - 1));
	ck_assert(!lease_may_write(&a, now + LEASE_DEADLINE_MS));
}
END_TEST

/* A request that was lost has taken the time of a pause, and more. */
START_TEST(lost_renewals_are_made_anew_soon)
{
	uint64_t renewed;

	setup();
	lead();
	renewed = lease_until(&a) - LEASE_DEADLINE_MS;
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	now += 4000;
	lease_answer(&a, 0, NULL, now);
	ck_assert_uint_le(lease_due(&a, now), now + 150);
	now = lease_due(&a, now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
	lease_answer(&a, 200,
	    &(struct kube_lease){ .version = "2", .holder = "host-a" }, now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	lease_answer(&a, 200,
	    &(struct kube_lease){ .version = "3", .holder = "host-a" }, now);
	ck_assert_uint_lt(now, renewed + LEASE_DEADLINE_MS);
	ck_assert(lease_may_write(&a, now + LEASE_DEADLINE_MS - 1));
}
END_TEST

/* One that fails at once waits for the next turn. */
START_TEST(refused_renewals_wait)
{
	setup();
	lead();
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	lease_answer(&a, 503, NULL, now + 5);
	ck_assert_uint_ge(lease_due(&a, now), now + LEASE_RETRY_MS);
}
END_TEST

START_TEST(told_to_wait)
{
	setup();
	lead();
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	lease_answer(&a, 429, NULL, now);
	lease_hold(&a, 5000, now);
	ck_assert_uint_eq(lease_due(&a, now), now + 5000);
	lease_hold(&a, 0, now);
	ck_assert_uint_eq(lease_due(&a, now), now + 5000);
	/* It does not write longer for that. */
	lease_hold(&a, 60000, now);
	ck_assert_uint_eq(lease_due(&a, now), lease_until(&a));
}
END_TEST

START_TEST(an_answer_after_the_deadline_is_none)
{
	setup();
	lead();
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	now += 60000;
	ck_assert(!lease_may_write(&a, now));
	lease_answer(&a, 200, &(struct kube_lease){ .version = "2" }, now);
	ck_assert(!lease_may_write(&a, now));
	ck_assert_uint_eq(lease_until(&a), 0);
}
END_TEST

START_TEST(errors_until_the_deadline)
{
	uint64_t until;

	setup();
	lead();
	until = lease_until(&a);
	while (now < until) {
		now = lease_due(&a, now) > now ? lease_due(&a, now) : now;
		if (now >= until)
			break;
		ck_assert(lease_may_write(&a, now));
		ck_assert_int_ne(lease_next(&a, now), LEASE_NOTHING);
		lease_answer(&a, 0, NULL, now + 10);
	}
	ck_assert_uint_eq(now, until);
	ck_assert(!lease_may_write(&a, now));
	/* Nobody took it: it is ours again by what it says. */
	now += LEASE_RETRY_MS;
	does(LEASE_GET, 1, 200, "1", "host-a");
	does(LEASE_UPDATE, 1, 200, "2", "host-a");
	ck_assert(lease_may_write(&a, now));
}
END_TEST

START_TEST(after_a_long_stop)
{
	setup();
	lead();
	now += 60000;
	ck_assert(!lease_may_write(&a, now));
	does(LEASE_GET, 1, 200, "9", "host-b");
	ck_assert(!lease_may_write(&a, now));
	ck_assert_str_eq(lease_holder(&a), "host-b");
	idle_until(now + 1);
}
END_TEST

/* Statuses of a renewal after which it is not ours for the moment. */
START_TEST(a_conflict_is_looked_into)
{
	static const long statuses[] = { 409, 404 };

	setup();
	lead();
	idle_until(now);
	does(LEASE_UPDATE, 1, statuses[_i], "", "");
	ck_assert(!lease_may_write(&a, now));
	idle_until(now + 100);
	does(LEASE_GET, 1, 200, "5", "host-b");
	ck_assert(!lease_may_write(&a, now));
}
END_TEST

START_TEST(an_unreadable_answer_to_a_renewal)
{
	setup();
	lead();
	idle_until(now);
	does(LEASE_UPDATE, 1, 200, "", "");
	ck_assert(lease_may_write(&a, now));
	idle_until(now);
	does(LEASE_GET, 1, 200, "7", "host-a");
	does(LEASE_UPDATE, 1, 200, "8", "host-a");
	ck_assert(lease_may_write(&a, now));
}
END_TEST

START_TEST(without_election)
{
	lease_init(&a, "n", "l", "x", false, 1);
	ck_assert(lease_may_write(&a, T0));
	ck_assert_int_eq(lease_next(&a, T0), LEASE_NOTHING);
	ck_assert_uint_eq(lease_due(&a, T0), UINT64_MAX);
	ck_assert_uint_eq(lease_until(&a), UINT64_MAX);
	lease_release(&a, T0);
	ck_assert(lease_released(&a));
	ck_assert(!lease_may_write(&a, T0));
}
END_TEST

/* ---- somebody else has it ---- */

/* Polls while b has it; version changes until stop. */
static void
poll_until_taken(uint64_t unchanged_since)
{
	while (true) {
		enum lease_do what;

		now = lease_due(&a, now) > now ? lease_due(&a, now) : now;
		what = lease_next(&a, now);
		if (what == LEASE_UPDATE)
			return;
		ck_assert_int_eq(what, LEASE_GET);
		ck_assert_uint_lt(now, unchanged_since + LEASE_DURATION_MS);
		now++;
		lease_answer(&a, 200,
		    &(struct kube_lease){ .version = "5",
			.holder = "host-b",
			.duration_s = 15 },
		    now);
	}
}

START_TEST(it_expires_by_our_clock)
{
	setup();
	does(LEASE_GET, 1, 200, "5", "host-b");
	poll_until_taken(T0 + 1);
	ck_assert_uint_eq(now, T0 + 1 + LEASE_DURATION_MS);
	lease_answer(&a, 200, &(struct kube_lease){ .version = "6" }, now + 1);
	ck_assert(lease_may_write(&a, now + 1));
}
END_TEST

START_TEST(each_change_starts_anew)
{
	setup();
	does(LEASE_GET, 1, 200, "4", "host-b");
	idle_until(now + 1);
	does(LEASE_GET, 1, 200, "5", "host-b");
	poll_until_taken(now);
}
END_TEST

START_TEST(a_shorter_time_is_not_believed)
{
	setup();
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
	lease_answer(&a, 200,
	    &(struct kube_lease){ .version = "5",
		.holder = "host-b",
		.duration_s = 1 },
	    now);
	now += 5000;
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
}
END_TEST

START_TEST(a_longer_time_is)
{
	setup();
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
	lease_answer(&a, 200,
	    &(struct kube_lease){ .version = "5",
		.holder = "host-b",
		.duration_s = 60 },
	    now);
	now += 59999;
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
	lease_answer(&a, 0, NULL, now);
	now += LEASE_RETRY_MS + LEASE_RETRY_MS / 5;
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
}
END_TEST

START_TEST(a_released_one_is_taken_at_once)
{
	setup();
	does(LEASE_GET, 1, 200, "5", "");
	does(LEASE_UPDATE, 1, 200, "6", "host-a");
	ck_assert(lease_may_write(&a, now));
}
END_TEST

START_TEST(another_one_was_faster)
{
	setup();
	does(LEASE_GET, 1, 404, "", "");
	does(LEASE_CREATE, 1, 409, "", "");
	ck_assert(!lease_may_write(&a, now));
	idle_until(now + 100);
	does(LEASE_GET, 1, 200, "5", "host-b");
	idle_until(now + 1);
}
END_TEST

/* Who held it does not know yet that it is gone. */
START_TEST(a_deleted_one_is_waited_for)
{
	setup();
	does(LEASE_GET, 1, 200, "5", "host-b");
	idle_until(now + 1);
	does(LEASE_GET, 1, 404, "", "");
	while (now < T0 + LEASE_DURATION_MS) {
		idle_until(now + 1);
		if (now >= T0 + 1 + LEASE_DURATION_MS)
			break;
		does(LEASE_GET, 1, 404, "", "");
	}
	does(LEASE_CREATE, 1, 201, "1", "host-a");
	ck_assert(lease_may_write(&a, now));
}
END_TEST

START_TEST(errors_are_tried_again)
{
	static const long statuses[] = { 0, 401, 403, 429, 500, 200 };

	setup();
	does(LEASE_GET, 1, statuses[_i], "", "");
	ck_assert(!lease_may_write(&a, now));
	idle_until(now + LEASE_RETRY_MS);
	ck_assert_uint_le(now, T0 + 1 + LEASE_RETRY_MS + LEASE_RETRY_MS / 5);
	does(LEASE_GET, 1, statuses[_i], "", "");
}
END_TEST

/* ---- what is sent ---- */

static void
body_is(const char *wanted)
{
	char *text = lease_body(&a, WALL_US);

	ck_assert_str_eq(text, wanted);
	free(text);
}

START_TEST(bodies_and_paths)
{
	char path[LEASE_PATH];

	setup();
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
	lease_path(&a, path);
	ck_assert_str_eq(path,
	    "/apis/coordination.k8s.io/v1/namespaces/network/leases/"
	    "katalogd-to-k8s");
	lease_answer(&a, 404, NULL, now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_CREATE);
	lease_path(&a, path);
	ck_assert_str_eq(path,
	    "/apis/coordination.k8s.io/v1/namespaces/network/leases");
	body_is("{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\","
		"\"metadata\":{\"name\":\"katalogd-to-k8s\","
		"\"namespace\":\"network\"},\"spec\":{"
		"\"holderIdentity\":\"host-a\",\"leaseDurationSeconds\":15,"
		"\"acquireTime\":\"2026-11-21T17:11:53.123456Z\","
		"\"renewTime\":\"2026-11-21T17:11:53.123456Z\","
		"\"leaseTransitions\":0}}");
}
END_TEST

START_TEST(a_renewal_keeps_what_is_there)
{
	setup();
	lead();
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	body_is(
	    "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\","
	    "\"metadata\":{\"name\":\"katalogd-to-k8s\","
	    "\"namespace\":\"network\",\"resourceVersion\":\"1\"},\"spec\":{"
	    "\"holderIdentity\":\"host-a\",\"leaseDurationSeconds\":15,"
	    "\"acquireTime\":\"then\","
	    "\"renewTime\":\"2026-11-21T17:11:53.123456Z\","
	    "\"leaseTransitions\":3}}");
}
END_TEST

START_TEST(a_new_holder_is_a_transition)
{
	char *text;

	setup();
	does(LEASE_GET, 1, 200, "5", "");
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	text = lease_body(&a, WALL_US);
	ck_assert_ptr_nonnull(strstr(text, "\"leaseTransitions\":4"));
	ck_assert_ptr_nonnull(strstr(text, "\"acquireTime\":\"2026-"));
	free(text);
}
END_TEST

/* ---- a clean stop ---- */

START_TEST(it_is_given_back)
{
	char *text;

	setup();
	lead();
	lease_release(&a, now);
	ck_assert(!lease_may_write(&a, now));
	ck_assert(!lease_released(&a));
	ck_assert_uint_eq(lease_due(&a, now), 0);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	text = lease_body(&a, WALL_US);
	ck_assert_ptr_nonnull(strstr(text, "\"holderIdentity\":\"\""));
	free(text);
	lease_answer(&a, 200, &(struct kube_lease){ .version = "2" }, now);
	ck_assert(lease_released(&a));
	ck_assert_int_eq(lease_next(&a, now), LEASE_NOTHING);
}
END_TEST

START_TEST(a_renewal_is_under_way_then)
{
	struct kube_lease l = record("2", "host-a");

	setup();
	lead();
	idle_until(now);
	ck_assert_int_eq(lease_next(&a, now), LEASE_UPDATE);
	lease_release(&a, now);
	ck_assert(!lease_released(&a));
	lease_answer(&a, 200, &l, now);
	ck_assert(!lease_released(&a));
	does(LEASE_UPDATE, 1, 500, "", "");
	ck_assert(lease_released(&a));
}
END_TEST

START_TEST(nothing_to_give_back)
{
	setup();
	does(LEASE_GET, 1, 200, "5", "host-b");
	lease_release(&a, now);
	ck_assert(lease_released(&a));
	ck_assert_uint_eq(lease_due(&a, now), UINT64_MAX);

	setup();
	lead();
	lease_release(&a, now + 60000);
	ck_assert(lease_released(&a));

	setup();
	ck_assert_int_eq(lease_next(&a, now), LEASE_GET);
	lease_release(&a, now);
	ck_assert(!lease_released(&a));
	lease_answer(&a, 404, NULL, now);
	ck_assert(lease_released(&a));
}
END_TEST

/* ---- several copies and a server, with all that may happen ---- */

#define COPIES 3
#define STEP   50
#define STEPS  40000

static struct server {
	struct kube_lease lease;
	bool there;
	unsigned version;
} server;

static struct copy {
	struct lease l;
	enum lease_do what; /* under way */
	char version[KUBE_TEXT]; /* that it replaces */
	char holder[KUBE_TEXT]; /* that it writes */
	uint64_t arrives_at;
	uint64_t answered_at;
	bool arrived;
	bool lost;
	long status;
	struct kube_lease got;
	uint64_t stopped_until;
	char identity[16];
} copies[COPIES];

static uint64_t seed;

static uint64_t
dice(uint64_t sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % sides;
}

static bool
is_accepted(const struct copy *c)
{
	if (c->what == LEASE_CREATE)
		return !server.there;
	return server.there && strcmp(server.lease.version, c->version) == 0;
}

static void
serve(struct copy *c)
{
	c->arrived = true;
	c->status = server.there ? 200 : 404;
	if (c->what != LEASE_GET) {
		if (!is_accepted(c)) {
			c->status = 409;
			return;
		}
		server.there = true;
		snprintf(server.lease.version, KUBE_TEXT, "%u",
		    ++server.version);
		strlcpy(server.lease.holder, c->holder, KUBE_TEXT);
		server.lease.duration_s = 15;
		c->status = 200;
	}
	c->got = server.lease;
}

static void
send_next(struct copy *c)
{
	c->what = lease_next(&c->l, now);
	if (c->what == LEASE_NOTHING)
		return;
	strlcpy(c->version, c->l.seen.version, sizeof(c->version));
	strlcpy(c->holder, c->l.release_sent ? "" : c->identity,
	    sizeof(c->holder));
	c->arrived = false;
	c->lost = dice(20) == 0;
	c->arrives_at = now + dice(dice(30) == 0 ? 4000 : 100);
	c->answered_at = c->arrives_at + dice(dice(30) == 0 ? 4000 : 100);
}

static void
answer(struct copy *c)
{
	bool ok = !c->lost && c->status == 200;

	c->what = LEASE_NOTHING;
	lease_answer(&c->l, c->lost ? 0 : c->status, ok ? &c->got : NULL, now);
}

static void
run_copy(struct copy *c)
{
	if (now < c->stopped_until)
		return;
	if (c->what != LEASE_NOTHING && now >= c->answered_at)
		answer(c);
	if (c->what == LEASE_NOTHING)
		send_next(c);
	if (dice(4000) == 0)
		c->stopped_until = now + dice(60000);
	else if (dice(4000) == 0)
		lease_release(&c->l, now);
}

/* A new process: its identity is a new one. */
static void
restart_copy(struct copy *c)
{
	static unsigned n;

	memset(c, 0, sizeof(*c));
	snprintf(c->identity, sizeof(c->identity), "copy-%u", n++);
	lease_init(&c->l, "n", "l", c->identity, true, n);
}

static size_t
writers(void)
{
	size_t n = 0;

	/* A stopped one does not ask, and so does not write. */
	for (size_t i = 0; i < COPIES; i++)
		n += now >= copies[i].stopped_until &&
		    lease_may_write(&copies[i].l, now);
	return n;
}

static void
run_all(void)
{
	/* What was sent arrives, even from those who were stopped since. */
	for (size_t i = 0; i < COPIES; i++) {
		if (copies[i].what != LEASE_NOTHING && !copies[i].arrived &&
		    now >= copies[i].arrives_at)
			serve(&copies[i]);
	}
	for (size_t i = 0; i < COPIES; i++) {
		run_copy(&copies[i]);
		if (lease_released(&copies[i].l) || dice(8000) == 0)
			restart_copy(&copies[i]);
	}
}

START_TEST(never_two_writers)
{
	size_t led = 0, most = 0;

	seed = (uint64_t)_i + 1;
	memset(&server, 0, sizeof(server));
	for (size_t i = 0; i < COPIES; i++)
		restart_copy(&copies[i]);
	now = T0;
	for (int i = 0; i < STEPS; i++) {
		size_t n;

		now += 1 + dice(STEP);
		run_all();
		n = writers();
		led += n > 0;
		most = n > most ? n : most;
	}
	ck_assert_uint_eq(most, 1);
	/* And mostly there is one. */
	ck_assert_uint_gt(led, STEPS / 2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lease");
	TCase *t = tcase_create("lease");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, there_is_none_yet);
	tcase_add_test(t, it_is_renewed);
	tcase_add_test(t, slow_answers_count_from_their_sending);
	tcase_add_test(t, lost_renewals_are_made_anew_soon);
	tcase_add_test(t, refused_renewals_wait);
	tcase_add_test(t, told_to_wait);
	tcase_add_test(t, an_answer_after_the_deadline_is_none);
	tcase_add_test(t, errors_until_the_deadline);
	tcase_add_test(t, after_a_long_stop);
	tcase_add_loop_test(t, a_conflict_is_looked_into, 0, 2);
	tcase_add_test(t, an_unreadable_answer_to_a_renewal);
	tcase_add_test(t, without_election);
	tcase_add_test(t, it_expires_by_our_clock);
	tcase_add_test(t, each_change_starts_anew);
	tcase_add_test(t, a_shorter_time_is_not_believed);
	tcase_add_test(t, a_longer_time_is);
	tcase_add_test(t, a_released_one_is_taken_at_once);
	tcase_add_test(t, another_one_was_faster);
	tcase_add_test(t, a_deleted_one_is_waited_for);
	tcase_add_loop_test(t, errors_are_tried_again, 0, 6);
	tcase_add_test(t, bodies_and_paths);
	tcase_add_test(t, a_renewal_keeps_what_is_there);
	tcase_add_test(t, a_new_holder_is_a_transition);
	tcase_add_test(t, it_is_given_back);
	tcase_add_test(t, a_renewal_is_under_way_then);
	tcase_add_test(t, nothing_to_give_back);
	tcase_add_loop_test(t, never_two_writers, 0, 20);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
