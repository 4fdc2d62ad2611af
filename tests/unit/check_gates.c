#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/k8s_writer/gates.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define WALL_S   1795281113 /* 2026-11-21T17:11:53Z */
#define T0       5000000ULL

#define NONE     POD_CONDITION_NONE
#define NO       POD_CONDITION_FALSE
#define YES      POD_CONDITION_TRUE

static struct gates *g;
static uint64_t now;

static void
setup(void)
{
	g = gates_new(1);
	now = T0;
}

static void
teardown(void)
{
	gates_free(g);
}

/* ---- what is done to it ---- */

static bool
put_pod(const struct pod_gate *pod)
{
	char buf[4096];
	size_t len = pod_gate_encode(pod, buf, sizeof(buf));

	return gates_put(g, pod->uid, strlen(pod->uid), buf, len, now);
}

static void
put(const char *uid, bool synced, const char *reason, enum pod_condition seen)
{
	struct pod_gate pod = { .namespace = "shop",
		.name = "web-1",
		.uid = uid,
		.synced = synced,
		.reason = reason,
		.message = "what it waits for",
		.seen = seen };

	ck_assert(put_pod(&pod));
}

static void
del(const char *uid)
{
	gates_del(g, uid, strlen(uid));
}

static void
end_with(const struct gate_write *w, enum plan_result r, uint64_t retry_after)
{
	gates_done(g, w, r, r == PLAN_DONE ? "" : "why", retry_after, now);
}

static void
end(const struct gate_write *w, enum plan_result r)
{
	end_with(w, r, 0);
}

/* ---- what it does ---- */

static void
rests(void)
{
	struct gate_write w;

	ck_assert(!gates_next(g, now, &w));
}

static void
rests_for_ever(void)
{
	rests();
	ck_assert_uint_eq(gates_due(g), UINT64_MAX);
}

/* The next write is of that pod and says that; False may rest before. */
static struct gate_write
begins(const char *uid, bool synced, const char *reason)
{
	struct gate_write w;

	if (!synced && gates_due(g) <= now + GATES_REST_MS)
		now = gates_due(g) > now ? gates_due(g) : now;
	ck_assert_uint_le(gates_due(g), now);
	ck_assert(gates_next(g, now, &w));
	ck_assert_str_eq(w.pod->uid, uid);
	ck_assert_int_eq(w.pod->synced, synced);
	ck_assert_str_eq(w.pod->reason, reason);
	return w;
}

static struct gate_write
writes(const char *uid, bool synced, const char *reason)
{
	struct gate_write w = begins(uid, synced, reason);

	end(&w, PLAN_DONE);
	return w;
}

/* Nothing until then, and something then. */
static void
is_due_within(uint64_t least, uint64_t most)
{
	rests();
	ck_assert_uint_ge(gates_due(g), now + least);
	ck_assert_uint_le(gates_due(g), now + most);
	now = gates_due(g) - 1;
	rests();
	now++;
}

static void
is_due_in(uint64_t ms)
{
	is_due_within(ms, ms);
}

/* Written, and in the list. */
static void
stands(const char *uid, bool synced)
{
	put(uid, synced, "Old", NONE);
	writes(uid, synced, "Old");
	put(uid, synced, "Old", synced ? YES : NO);
	rests_for_ever();
}

/* ---- what is wanted ---- */

START_TEST(written_when_it_changes)
{
	rests_for_ever();
	put("u1", false, "PodNotReady", NONE);
	ck_assert(writes("u1", false, "PodNotReady").turns);
	put("u1", false, "PodNotReady", NO);
	rests_for_ever();
	put("u1", false, "NotInCatalog", NO);
	ck_assert(!writes("u1", false, "NotInCatalog").turns);
	rests_for_ever();
	put("u1", true, "Synced", NO);
	ck_assert(writes("u1", true, "Synced").turns);
	put("u1", true, "Synced", YES);
	rests_for_ever();
}
END_TEST

START_TEST(why_it_is_false_may_change_some_times)
{
	put("u1", false, "NotRegistered", NONE);
	now += 200;
	put("u1", false, "NotInCatalog", NONE);
	is_due_in(GATES_REST_MS - 200);
	writes("u1", false, "NotInCatalog");
}
END_TEST

START_TEST(false_rests_from_the_first_change)
{
	stands("u1", false);
	now += 5000;
	put("u1", false, "A", NO);
	is_due_in(GATES_REST_MS);
	put("u1", false, "B", NO);
	writes("u1", false, "B");
	put("u1", false, "C", NO);
	is_due_in(GATES_REST_MS);
	put("u1", true, "Synced", NO);
	writes("u1", true, "Synced");
}
END_TEST

/* False where True stands takes a pod out: that does not wait. */
START_TEST(what_turns_is_written_at_once)
{
	struct gate_write w;

	stands("u1", true);
	put("u1", false, "A", YES);
	ck_assert(gates_next(g, now, &w));
	end(&w, PLAN_DONE);
	put("u2", false, "A", YES);
	ck_assert(gates_next(g, now, &w));
	end(&w, PLAN_DONE);
}
END_TEST

/* The first item of a pod: what the list has of an earlier process. */
static const struct {
	bool synced;
	enum pod_condition seen;
	bool writes;
	bool turns;
} starts[] = {
	{ true, YES, false, false },
	{ true, NO, true, true },
	{ true, NONE, true, true },
	{ false, YES, true, true },
	{ false, NO, true, false },
	{ false, NONE, true, true },
};

START_TEST(starts_with_what_the_list_has)
{
	put("u1", starts[_i].synced, "Why", starts[_i].seen);
	if (starts[_i].writes)
		ck_assert_int_eq(writes("u1", starts[_i].synced, "Why").turns,
		    starts[_i].turns);
	else
		rests_for_ever();
}
END_TEST

START_TEST(true_comes_first)
{
	put("u1", false, "A", NONE);
	put("u2", true, "B", NONE);
	put("u3", false, "C", NONE);
	put("u4", true, "D", NONE);
	put("u0", false, "E", YES);
	writes("u2", true, "B");
	writes("u4", true, "D");
	writes("u0", false, "E");
	writes("u1", false, "A");
	writes("u3", false, "C");
}
END_TEST

START_TEST(some_at_once)
{
	struct gate_write w[GATES_AT_ONCE];
	char uid[16];

	for (int i = 0; i < GATES_AT_ONCE + 1; i++) {
		snprintf(uid, sizeof(uid), "u%d", i);
		put(uid, true, "Synced", NONE);
	}
	for (int i = 0; i < GATES_AT_ONCE; i++)
		ck_assert(gates_next(g, now, &w[i]));
	rests_for_ever();
	end(&w[1], PLAN_DONE);
	writes("u4", true, "Synced");
}
END_TEST

START_TEST(changes_during_a_write_come_after_it)
{
	struct gate_write w;

	put("u1", false, "A", NONE);
	w = begins("u1", false, "A");
	put("u1", false, "B", NONE);
	put("u1", false, "C", NONE);
	rests_for_ever();
	ck_assert_str_eq(w.pod->reason, "A");
	end(&w, PLAN_DONE);
	is_due_in(GATES_REST_MS);
	w = begins("u1", false, "C");
	put("u1", false, "D", NONE);
	put("u1", false, "C", NO);
	end(&w, PLAN_DONE);
	rests_for_ever();
}
END_TEST

/* ---- somebody else ---- */

START_TEST(changed_back_at_once_if_it_had_been_seen)
{
	struct gate_write w;

	stands("u1", true);
	now += 3600000;
	put("u1", true, "Old", NO);
	w = writes("u1", true, "Old");
	ck_assert(w.again);
	ck_assert(w.turns);
	put("u1", true, "Old", YES);
	rests_for_ever();
	/* Its reason alone is nobody else's business. */
	put("u1", true, "New", YES);
	w = writes("u1", true, "New");
	ck_assert(!w.again);
	ck_assert(!w.turns);
}
END_TEST

/* False to False: that the list has it says nothing yet. */
START_TEST(a_list_may_be_late)
{
	put("u1", false, "A", NO);
	writes("u1", false, "A");
	now += 1000;
	put("u1", false, "A", NONE);
	is_due_in(GATES_LAG_MS - 1000);
	ck_assert(writes("u1", false, "A").again);
	put("u1", false, "A", NO);
	rests_for_ever();
	put("u1", false, "A", YES);
	is_due_in(GATES_LAG_MS);
}
END_TEST

/* What it shows is of the time before. */
START_TEST(a_late_list_is_nobody_else)
{
	stands("u1", false);
	put("u1", true, "A", NO);
	ck_assert(writes("u1", true, "A").turns);
	now += 1000;
	put("u1", true, "B", NO);
	ck_assert(!writes("u1", true, "B").turns);
	is_due_in(GATES_LAG_MS);
}
END_TEST

START_TEST(a_list_that_comes_in_time_costs_nothing)
{
	put("u1", true, "Synced", NO);
	writes("u1", true, "Synced");
	now += GATES_LAG_MS - 1;
	rests();
	put("u1", true, "Synced", YES);
	rests_for_ever();
}
END_TEST

static void
is_taken_again(uint64_t pause)
{
	put("u1", true, "Old", NO);
	if (pause > 0)
		is_due_in(pause);
	ck_assert(writes("u1", true, "Old").again);
	put("u1", true, "Old", YES);
	rests_for_ever();
}

START_TEST(who_fights_is_given_time)
{
	uint64_t pause = GATES_LAG_MS;

	stands("u1", true);
	is_taken_again(0);
	for (; pause < 300000; pause *= 2)
		is_taken_again(pause);
	is_taken_again(300000);
	is_taken_again(300000);
	/* A new want is written all the same. */
	put("u1", true, "New", YES);
	writes("u1", true, "New");
	put("u1", true, "Old", YES);
	writes("u1", true, "Old");
	/* And peace is believed in. */
	now += 700000;
	is_taken_again(0);
	is_taken_again(GATES_LAG_MS);
}
END_TEST

/* ---- pods that go and come ---- */

START_TEST(a_pod_that_went_is_not_written)
{
	struct gate_write w;

	put("u1", false, "A", NONE);
	del("u1");
	rests_for_ever();
	del("u1");
	put("u2", false, "A", NONE);
	w = begins("u2", false, "A");
	del("u2");
	rests_for_ever();
	ck_assert(!gate_news(&w, "why"));
	end(&w, PLAN_DENIED);
	rests_for_ever();
}
END_TEST

START_TEST(a_pod_that_came_back_during_its_write)
{
	struct gate_write w;

	put("u1", false, "A", NONE);
	w = begins("u1", false, "A");
	del("u1");
	put("u1", true, "Synced", NONE);
	rests_for_ever();
	end(&w, PLAN_DONE);
	ck_assert(writes("u1", true, "Synced").turns);
}
END_TEST

START_TEST(a_pod_in_its_place_starts_anew)
{
	struct gate_write old, new;

	put("u1", true, "Synced", NONE);
	old = begins("u1", true, "Synced");
	put("u2", false, "A", NONE);
	new = begins("u2", false, "A");
	del("u1");
	end(&old, PLAN_GONE);
	end(&new, PLAN_DONE);
	put("u2", false, "A", NO);
	rests_for_ever();
	put("u2", true, "Synced", NO);
	writes("u2", true, "Synced");
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(a_pod_that_is_not_there_waits_for_its_item)
{
	struct gate_write w;

	stands("u1", false);
	put("u1", true, "Synced", NO);
	w = begins("u1", true, "Synced");
	end(&w, PLAN_GONE);
	rests_for_ever();
	gates_retry(g);
	rests_for_ever();
	put("u1", true, "Synced", NONE);
	w = begins("u1", true, "Synced");
	end(&w, PLAN_GONE);
	rests_for_ever();
	now += 5000;
	put("u1", false, "Old", NONE);
	is_due_in(GATES_REST_MS);
	ck_assert(!writes("u1", false, "Old").again);
}
END_TEST

/* Its own trouble; others go on. */
static const struct {
	enum plan_result result;
	uint64_t most;
} failures[] = {
	{ PLAN_CONFLICT, 4000 },
	{ PLAN_REFUSED, 60000 },
	{ PLAN_DENIED, 60000 },
	{ PLAN_BROKEN, 60000 },
};

START_TEST(a_failure_is_tried_again)
{
	enum plan_result r = failures[_i].result;
	uint64_t pause = 1000;
	struct gate_write w;

	put("u1", false, "A", NONE);
	for (int i = 0; i < 10; i++) {
		w = begins("u1", false, "A");
		ck_assert_int_eq(gate_news(&w, "why"), i == 0);
		end(&w, r);
		put("u2", true, i % 2 ? "B" : "C", YES);
		if (i > 0)
			writes("u2", true, i % 2 ? "B" : "C");
		is_due_within(pause - pause / 4, pause);
		pause = pause * 2 < failures[_i].most ? pause * 2
						      : failures[_i].most;
	}
	w = begins("u1", false, "A");
	end(&w, r);
	rests();
	gates_retry(g);
	writes("u1", false, "A");
	put("u1", false, "A", NO);
	rests_for_ever();
}
END_TEST

START_TEST(an_apiserver_that_is_away_is_asked_by_one)
{
	uint64_t pause = 250;
	struct gate_write w;

	put("u1", true, "A", NONE);
	put("u2", true, "B", NONE);
	for (int i = 0; i < 8; i++) {
		w = begins("u1", true, "A");
		if (i > 0)
			rests_for_ever();
		end(&w, PLAN_LOST);
		is_due_in(pause);
		pause = pause < 4000 ? pause * 2 : 4000;
	}
	writes("u1", true, "A");
	writes("u2", true, "B");
}
END_TEST

START_TEST(who_asks_to_wait_is_waited_for)
{
	struct gate_write w;

	put("u1", true, "A", NONE);
	put("u2", true, "B", NONE);
	w = begins("u1", true, "A");
	end_with(&w, PLAN_BUSY, 7000);
	is_due_in(7000);
	w = begins("u1", true, "A");
	end_with(&w, PLAN_BUSY, 0);
	is_due_in(500);
	w = begins("u1", true, "A");
	end_with(&w, PLAN_BUSY, 60000);
	gates_retry(g);
	writes("u1", true, "A");
	writes("u2", true, "B");
}
END_TEST

/* It may have been done: the list will say. */
START_TEST(a_lost_write_of_what_is_not_wanted_any_more)
{
	struct gate_write w;

	stands("u1", false);
	put("u1", true, "Synced", NO);
	w = begins("u1", true, "Synced");
	put("u1", false, "Old", NO);
	end(&w, PLAN_LOST);
	now += 1000;
	rests_for_ever();
	put("u1", false, "Old", YES);
	ck_assert(writes("u1", false, "Old").turns);
}
END_TEST

START_TEST(counts)
{
	struct gate_write denied, refused, gone;
	struct gates_counts c;

	put("u1", true, "A", YES);
	put("u2", true, "B", NONE);
	put("u3", false, "C", NO);
	put("u4", false, "D", NO);
	denied = begins("u2", true, "B");
	refused = begins("u3", false, "C");
	gates_counts(g, &c);
	ck_assert_uint_eq(c.wanted[true], 2);
	ck_assert_uint_eq(c.wanted[false], 2);
	ck_assert_uint_eq(c.pending, 3);
	end(&denied, PLAN_DENIED);
	end(&refused, PLAN_REFUSED);
	gone = begins("u4", false, "D");
	gates_counts(g, &c);
	ck_assert_uint_eq(c.failed[PLAN_DENIED], 1);
	ck_assert_uint_eq(c.failed[PLAN_REFUSED], 1);
	ck_assert_uint_eq(c.pending, 2);
	del("u4");
	gates_counts(g, &c);
	ck_assert_uint_eq(c.wanted[false], 1);
	ck_assert_uint_eq(c.pending, 1);
	end(&gone, PLAN_GONE);
}
END_TEST

/* ---- items ---- */

static const struct {
	const char *namespace;
	const char *name;
	bool good;
} items[] = {
	{ "shop", "web-1", true },
	{ "shop", "web.example", true },
	{ "shop", "..", false },
	{ "..", "web", false },
	{ "shop", "web/../../secrets/x", false },
	{ "shop", "web?x=y", false },
	{ "shop", "Web", false },
	{ "sh%6fp", "web", false },
};

START_TEST(names_are_checked)
{
	struct pod_gate pod = { .namespace = items[_i].namespace,
		.name = items[_i].name,
		.uid = "u1",
		.reason = "A",
		.message = "" };

	ck_assert_int_eq(put_pod(&pod), items[_i].good);
}
END_TEST

START_TEST(nonsense_is_none)
{
	ck_assert(!gates_put(g, "u1", 2, "nonsense", 8, now));
	ck_assert(!gates_put(g, "u1", 2, "", 0, now));
	rests_for_ever();
}
END_TEST

/* ---- requests ---- */

static const struct pod_gate asked = {
	.namespace = "shop",
	.name = "web-1",
	.uid = "0a-1",
	.reason = "NotInCatalog",
	.message = "service \"web\": not there",
};

START_TEST(request_of_a_change)
{
	struct gate_write w = { .pod = &asked, .turns = true };
	char path[GATE_PATH], *body = gate_body(&w, WALL_S);

	gate_path(&w, path);
	ck_assert_str_eq(path,
	    "/api/v1/namespaces/shop/pods/web-1/status?fieldManager=katalogd");
	ck_assert_str_eq(body,
	    "{\"metadata\":{\"uid\":\"0a-1\"},\"status\":{\"conditions\":[{"
	    "\"type\":\"katalog-sync.wish.com/synced\",\"status\":\"False\","
	    "\"reason\":\"NotInCatalog\","
	    "\"message\":\"service \\\"web\\\": not there\","
	    "\"lastTransitionTime\":\"2026-11-21T17:11:53Z\"}]}}");
	free(body);
}
END_TEST

START_TEST(the_time_of_the_last_change_is_kept)
{
	struct pod_gate pod = asked;
	struct gate_write w = { .pod = &pod };
	char *body;

	pod.synced = true;
	body = gate_body(&w, WALL_S);
	ck_assert_ptr_nonnull(strstr(body, "\"status\":\"True\""));
	ck_assert_ptr_null(strstr(body, "lastTransitionTime"));
	free(body);
}
END_TEST

#define INVALID(field) \
	"{\"kind\":\"Status\",\"message\":\"Pod \\\"web\\\" is " \
	"invalid: " field ": Invalid value: \\\"x\\\": field is immutable\"," \
	"\"reason\":\"Invalid\",\"details\":{\"name\":\"web\"," \
	"\"kind\":\"Pod\"}}"
#define NOT_FOUND \
	"{\"kind\":\"Status\",\"message\":\"pods \\\"web\\\" not found\"," \
	"\"details\":{\"name\":\"web\",\"kind\":\"pods\"}}"

static const struct {
	const char *error;
	long status;
	const char *body;
	enum plan_result result;
} replies[] = {
	{ NULL, 200, "{}", PLAN_DONE },
	{ "connection refused", 0, "", PLAN_LOST },
	{ NULL, 422, INVALID("metadata.uid"), PLAN_GONE },
	{ NULL, 422, INVALID("spec.nodeName"), PLAN_REFUSED },
	{ NULL, 404, NOT_FOUND, PLAN_GONE },
	{ NULL, 404, "404 page not found\n", PLAN_BROKEN },
	{ NULL, 409, "", PLAN_CONFLICT },
	{ NULL, 403, "", PLAN_DENIED },
	{ NULL, 503, "", PLAN_BUSY },
};

START_TEST(replies_mean)
{
	const char *body = replies[_i].body;
	struct reply r;

	reply_read(&r, replies[_i].error, replies[_i].status, 0, body,
	    strlen(body));
	ck_assert_int_eq(gate_result(&r), replies[_i].result);
}
END_TEST

static TCase *
new_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	return t;
}

static void
add_wants(TCase *t)
{
	tcase_add_test(t, written_when_it_changes);
	tcase_add_test(t, why_it_is_false_may_change_some_times);
	tcase_add_test(t, false_rests_from_the_first_change);
	tcase_add_test(t, what_turns_is_written_at_once);
	tcase_add_loop_test(t, starts_with_what_the_list_has, 0, COUNT(starts));
	tcase_add_test(t, true_comes_first);
	tcase_add_test(t, some_at_once);
	tcase_add_test(t, changes_during_a_write_come_after_it);
	tcase_add_test(t, changed_back_at_once_if_it_had_been_seen);
	tcase_add_test(t, a_list_may_be_late);
	tcase_add_test(t, a_late_list_is_nobody_else);
	tcase_add_test(t, a_list_that_comes_in_time_costs_nothing);
	tcase_add_test(t, who_fights_is_given_time);
	tcase_add_test(t, a_pod_that_went_is_not_written);
	tcase_add_test(t, a_pod_that_came_back_during_its_write);
	tcase_add_test(t, a_pod_in_its_place_starts_anew);
}

static void
add_troubles(TCase *t)
{
	tcase_add_test(t, a_pod_that_is_not_there_waits_for_its_item);
	tcase_add_loop_test(t, a_failure_is_tried_again, 0, COUNT(failures));
	tcase_add_test(t, an_apiserver_that_is_away_is_asked_by_one);
	tcase_add_test(t, who_asks_to_wait_is_waited_for);
	tcase_add_test(t, a_lost_write_of_what_is_not_wanted_any_more);
	tcase_add_test(t, counts);
}

static void
add_texts(TCase *t)
{
	tcase_add_loop_test(t, names_are_checked, 0, COUNT(items));
	tcase_add_test(t, nonsense_is_none);
	tcase_add_test(t, request_of_a_change);
	tcase_add_test(t, the_time_of_the_last_change_is_kept);
	tcase_add_loop_test(t, replies_mean, 0, COUNT(replies));
}

int
main(void)
{
	Suite *s = suite_create("gates");
	SRunner *r = srunner_create(s);
	int failed;

	add_wants(new_case(s, "wants"));
	add_troubles(new_case(s, "troubles"));
	add_texts(new_case(s, "texts"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
