#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/k8s_cluster.h"
#include "tests/unit/k8s_text.h"
#include "workers/k8s_writer/plan_inside.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define T0       1000000ULL
#define MANY     3000

static struct plan *p;
static uint64_t now;
static size_t reports, gones;
static size_t first; /* the number of the first endpoint */
static struct object_report last;
static char last_id[LIMIT_SET_KEY + 1], last_error[LIMIT_TEXT + 1];

static void
on_report(const struct object_report *r, void *arg)
{
	(void)arg;
	reports++;
	last = *r;
	snprintf(last_id, sizeof(last_id), "%s", r->id);
	snprintf(last_error, sizeof(last_error), "%s", r->error);
}

static void
on_gone(const char *id, void *arg)
{
	(void)arg;
	gones++;
	snprintf(last_id, sizeof(last_id), "%s", id);
}

static const struct plan_conf conf = {
	.objects = &k8s_conf,
	.max_delete = 500,
	.report = on_report,
	.gone = on_gone,
};

static void
setup(void)
{
	now = T0;
	reports = gones = first = 0;
	cluster_reset();
	p = plan_new(&conf);
}

static void
teardown(void)
{
	plan_free(p);
	cluster_reset();
}

/* ---- what is wanted ---- */

static struct backend_instance instances[MANY];
static char addresses[MANY][16];

/* A service with n endpoints 10.0.0.0, ..., all ready but that one. */
static struct wanted *
wanted_of(const char *name, size_t n, size_t unready, bool routes)
{
	static const struct backend_instance *v[MANY];
	struct backend_service s = {
		.service = name,
		.port_name = "",
		.app_protocol = "",
		.internal = routes,
	};

	for (size_t i = 0; i < n; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "10.0.%u.%u",
		    (unsigned)((first + i) / 250),
		    (unsigned)((first + i) % 250));
		instances[i] = (struct backend_instance){
			.address = addresses[i],
			.port = 80,
			.node = "",
			.zone = "",
			.ready = i != unready,
		};
		v[i] = &instances[i];
	}
	return wanted_new(&k8s_conf, name, &s, v, n);
}

#define ALL_READY SIZE_MAX

static void
want(const char *name, size_t n)
{
	plan_want(p, wanted_of(name, n, ALL_READY, false), now);
}

static void
want_routed(const char *name, size_t n)
{
	plan_want(p, wanted_of(name, n, ALL_READY, true), now);
}

static void
list_all(void)
{
	for (int kind = 0; kind < KUBE_KINDS; kind++)
		cluster_list(p, (enum kube_kind)kind, now);
}

static void
confirm(void)
{
	now++;
	plan_fresh(p, now, true, now);
}

/* Leads, knows the cluster, and holds a confirmed snapshot. */
static void
ready(void)
{
	list_all();
	plan_synced(p, true, now);
	confirm();
	plan_lead(p, true, now);
}

/* ---- writes ---- */

static struct plan_action
next(void)
{
	struct plan_action a;

	ck_assert_msg(plan_next(p, now, &a), "nothing to do");
	return a;
}

static void
nothing(void)
{
	struct plan_action a;

	ck_assert_msg(!plan_next(p, now, &a), "unexpected op %d on %s",
	    (int)a.op, a.name);
}

static void
next_is(enum plan_op op, enum kube_kind kind, const char *name,
    struct plan_action *a)
{
	*a = next();
	ck_assert_msg(a->op == op && a->kind == kind &&
		strcmp(a->name, name) == 0,
	    "op %d on %s %s", (int)a->op, kube_kind_name(a->kind), a->name);
}

static void
finish(struct plan_action *a)
{
	struct kube_object got;
	bool has_got;
	enum plan_result r = cluster_write(a, &got, &has_got);

	plan_done(p, a->item, r, has_got ? &got : NULL,
	    r == PLAN_DONE ? "" : "conflict", 0, now);
}

static void
does(enum plan_op op, enum kube_kind kind, const char *name)
{
	struct plan_action a;

	next_is(op, kind, name, &a);
	finish(&a);
}

/* The write fails in that way. */
static void
fails(enum plan_result r, uint64_t retry_after_ms)
{
	struct plan_action a = next();

	free(a.body);
	plan_done(p, a.item, r, NULL, "why", retry_after_ms, now);
}

static void
wait_due(void)
{
	uint64_t at = plan_due(p, now);

	ck_assert_uint_ne(at, UINT64_MAX);
	now = at > now ? at : now;
}

/* All that is to be done now; how many writes. */
static size_t
run(void)
{
	struct plan_action a;
	size_t n = 0;

	for (; plan_next(p, now, &a); n++) {
		ck_assert_uint_lt(n, 10000);
		finish(&a);
	}
	return n;
}

static struct plan_counts
counts(void)
{
	struct plan_counts c;

	plan_counts(p, &c);
	return c;
}

/* And what is to be done later. */
static void
run_all(void)
{
	while (run() > 0 || counts().pending > 0) {
		if (plan_due(p, now) != UINT64_MAX)
			wait_due();
	}
}

static void
must_be_at_rest(void)
{
	ck_assert_uint_eq(run(), 0);
	ck_assert_uint_eq(counts().pending, 0);
	ck_assert_uint_eq(counts().busy, 0);
	ck_assert_uint_eq(plan_due(p, now), UINT64_MAX);
	ck_assert_uint_eq(cluster_stats.foreign_touched, 0);
	ck_assert_uint_eq(cluster_stats.orphans, 0);
}

/* ---- the good case ---- */

START_TEST(a_service_comes_and_goes)
{
	ready();
	want_routed("web", 2);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	does(PLAN_APPLY, KUBE_ROUTE, "web-envoy-internal");
	must_be_at_rest();
	ck_assert_uint_eq(counts().desired[KUBE_SERVICE], 1);
	ck_assert_uint_eq(counts().desired[KUBE_SLICE], 1);
	ck_assert_uint_eq(counts().desired[KUBE_ROUTE], 1);
	ck_assert_uint_eq(counts().actual[KUBE_ROUTE], 1);
	ck_assert_uint_eq(counts().endpoints, 2);
	ck_assert_uint_eq(counts().ready, 2);

	plan_drop(p, "web", now);
	does(PLAN_DELETE, KUBE_ROUTE, "web-envoy-internal");
	does(PLAN_DELETE, KUBE_SLICE, "web-consul");
	does(PLAN_DELETE, KUBE_SERVICE, "web");
	must_be_at_rest();
	ck_assert_uint_eq(gones, 3);
	ck_assert_uint_eq(counts().endpoints, 0);
	ck_assert_uint_eq(counts().actual[KUBE_SERVICE], 0);
}
END_TEST

START_TEST(lists_and_events_change_nothing)
{
	ready();
	want_routed("web", 2);
	ck_assert_uint_eq(run(), 3);
	list_all();
	cluster_show(p, KUBE_SLICE, "web-consul", now);
	must_be_at_rest();
	want_routed("web", 2);
	must_be_at_rest();
}
END_TEST

START_TEST(one_flip_is_one_write)
{
	ready();
	want("web", 4);
	want("api", 4);
	run();
	plan_want(p, wanted_of("web", 4, 2, false), now);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	must_be_at_rest();
	ck_assert_uint_eq(counts().ready, 7);
}
END_TEST

START_TEST(one_of_2500_is_one_write)
{
	ready();
	want("web", 2500);
	ck_assert_uint_eq(run(), 4);
	want("web", 2499);
	ck_assert_uint_eq(run(), 1);
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 3);
	must_be_at_rest();
}
END_TEST

START_TEST(no_endpoints_no_slice)
{
	ready();
	want("web", 0);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	must_be_at_rest();
}
END_TEST

/* What was made before us is ours, and only what differs is written. */
START_TEST(the_originals_are_taken_over)
{
	plan_free(p);
	p = plan_new(&conf);
	for (int kind = 0; kind < KUBE_KINDS; kind++)
		cluster_put((enum kube_kind)kind, k8s_answers[kind], false);
	ready();
	plan_want(p, k8s_web(), now);
	/* Its Service has another uid here, and there are two routes. */
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	does(PLAN_APPLY, KUBE_ROUTE, "web-envoy-external");
	must_be_at_rest();
}
END_TEST

/* ---- when nothing may be written ---- */

enum { LISTED = 1, SYNCED = 2, LEADS = 4, ALL = 7 };

START_TEST(not_before_all_is_there)
{
	want("web", 1);
	if (_i & LISTED)
		list_all();
	if (_i & SYNCED)
		plan_synced(p, true, now);
	if (_i & LEADS)
		plan_lead(p, true, now);
	if (_i == ALL)
		ck_assert_uint_eq(run(), 2);
	else
		nothing();
	ck_assert(_i != ALL || counts().pending == 0);
}
END_TEST

START_TEST(each_kind_on_its_own)
{
	plan_synced(p, true, now);
	plan_lead(p, true, now);
	want_routed("web", 1);
	cluster_list(p, KUBE_SERVICE, now);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	nothing();
	cluster_list(p, KUBE_ROUTE, now);
	does(PLAN_APPLY, KUBE_ROUTE, "web-envoy-internal");
	nothing();
	cluster_list(p, KUBE_SLICE, now);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	must_be_at_rest();
}
END_TEST

START_TEST(without_the_kind)
{
	cluster_list(p, KUBE_SERVICE, now);
	cluster_list(p, KUBE_SLICE, now);
	plan_no_kind(p, KUBE_ROUTE, now);
	plan_synced(p, true, now);
	confirm();
	plan_lead(p, true, now);
	want_routed("web", 1);
	ck_assert_uint_eq(run(), 2);
	must_be_at_rest();
	/* Deletions do not wait for it either. */
	want("api", 1);
	run();
	plan_drop(p, "api", now);
	ck_assert_uint_eq(run(), 2);
	/* It appears, goes, and appears. */
	for (int i = 0; i < 2; i++) {
		cluster_list(p, KUBE_ROUTE, now);
		does(PLAN_APPLY, KUBE_ROUTE, "web-envoy-internal");
		must_be_at_rest();
		cluster_delete(NULL, KUBE_ROUTE, "web-envoy-internal", now);
		plan_no_kind(p, KUBE_ROUTE, now);
		must_be_at_rest();
	}
}
END_TEST

/* ---- deletions ---- */

/* A cluster with n services of one endpoint each, made by another process. */
static void
old_cluster(size_t n)
{
	char name[32];

	ready();
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "old-%zu", i);
		want(name, 1);
	}
	run();
	plan_free(p);
	p = plan_new(&conf);
}

/* Only the first m of them. */
static void
want_old(size_t m)
{
	char name[32];

	for (size_t i = 0; i < m; i++) {
		snprintf(name, sizeof(name), "old-%zu", i);
		want(name, 1);
	}
}

START_TEST(nothing_goes_before_it_is_confirmed)
{
	old_cluster(4);
	list_all();
	plan_lead(p, true, now);
	want_old(3);
	nothing();
	plan_synced(p, true, now);
	nothing();
	plan_fresh(p, now, false, now);
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 2);
	must_be_at_rest();
}
END_TEST

START_TEST(nor_before_all_is_known)
{
	old_cluster(4);
	plan_lead(p, true, now);
	plan_synced(p, true, now);
	want_old(3);
	confirm();
	cluster_list(p, KUBE_SERVICE, now);
	cluster_list(p, KUBE_SLICE, now);
	nothing();
	cluster_list(p, KUBE_ROUTE, now);
	ck_assert_uint_eq(run(), 2);
}
END_TEST

START_TEST(a_new_epoch_is_confirmed_anew)
{
	old_cluster(4);
	want_old(4);
	ready();
	must_be_at_rest();
	plan_drop(p, "old-3", now);
	plan_synced(p, true, now);
	nothing();
	plan_fresh(p, now, false, now);
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 2);
}
END_TEST

START_TEST(not_confirmed_any_more)
{
	ready();
	want("web", 0);
	want("api", 0);
	run();
	plan_fresh(p, now, false, now);
	plan_drop(p, "api", now);
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 1);
}
END_TEST

/* A flip is written at once, all the same. */
START_TEST(endpoints_do_not_go_before_either)
{
	ready();
	want("web", 3);
	run();
	plan_synced(p, true, now);
	want("web", 2);
	nothing();
	ck_assert_uint_eq(counts().pending, 1);
	plan_want(p, wanted_of("web", 3, 1, false), now);
	ck_assert_uint_eq(run(), 1);
	want("web", 2);
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 1);
}
END_TEST

START_TEST(too_many_wait_for_a_second_read)
{
	old_cluster(10);
	want_old(4);
	ready();
	nothing();
	ck_assert(counts().held);
	/* The same read is no second one. */
	plan_fresh(p, now, true, now);
	nothing();
	confirm();
	ck_assert(!counts().held);
	ck_assert_uint_eq(run(), 12);
	must_be_at_rest();
}
END_TEST

/* One that is back stays; one that only the second lacks makes no majority. */
START_TEST(a_second_read_that_says_otherwise)
{
	old_cluster(10);
	want_old(3);
	ready();
	nothing();
	want("old-9", 1);
	plan_drop(p, "old-0", now);
	confirm();
	ck_assert(!counts().held);
	ck_assert_uint_eq(run(), 14);
	must_be_at_rest();
}
END_TEST

/* None may go by one read. */
static void
be_strict(void)
{
	struct plan_conf strict = conf;

	strict.max_delete = 0;
	plan_free(p);
	p = plan_new(&strict);
}

/* Whoever lets something go between any two reads keeps nothing else. */
START_TEST(each_waits_for_its_own_second_read)
{
	be_strict();
	ready();
	want_routed("web", 1);
	want("api", 1);
	want("db", 1);
	run();
	plan_synced(p, true, now);
	plan_drop(p, "web", now);
	confirm();
	nothing();
	plan_drop(p, "api", now);
	confirm();
	ck_assert(counts().held);
	ck_assert_uint_eq(run(), 3);
	ck_assert_ptr_null(cluster_text(KUBE_SERVICE, "web"));
	ck_assert_ptr_nonnull(cluster_text(KUBE_SLICE, "api-consul"));
	confirm();
	ck_assert(!counts().held);
	ck_assert_uint_eq(run(), 2);
	must_be_at_rest();
}
END_TEST

/* Neither of a slice's may go before the other, and one that was back counts
 * anew. */
START_TEST(endpoints_wait_for_their_own_second_read)
{
	be_strict();
	ready();
	want("web", 4);
	run();
	plan_synced(p, true, now);
	want("web", 3);
	confirm();
	want("web", 2);
	confirm();
	nothing();
	want("web", 3);
	plan_fresh(p, now, true, now);
	ck_assert_uint_eq(run(), 1);
	confirm();
	ck_assert(!counts().held);
	must_be_at_rest();
	plan_synced(p, true, now);
	want("web", 2);
	confirm();
	want("web", 3);
	want("db", 0);
	run();
	plan_drop(p, "db", now);
	confirm();
	ck_assert(counts().held);
	want("web", 2);
	confirm();
	ck_assert_uint_eq(run(), 1);
	ck_assert(counts().held);
	confirm();
	ck_assert_uint_eq(run(), 1);
	must_be_at_rest();
}
END_TEST

/* What was lost is gone; this one was not looked at yet. */
START_TEST(another_one_of_that_name_waits)
{
	be_strict();
	ready();
	want("web", 0);
	run();
	plan_synced(p, true, now);
	plan_drop(p, "web", now);
	confirm();
	cluster_delete(NULL, KUBE_SERVICE, "web", now);
	cluster_put(KUBE_SERVICE, k8s_answers[KUBE_SERVICE], false);
	cluster_show(p, KUBE_SERVICE, "web", now);
	confirm();
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 1);
	must_be_at_rest();
}
END_TEST

/* A second read that is not sure is none. */
START_TEST(not_confirmed_while_held)
{
	be_strict();
	ready();
	want("web", 0);
	run();
	plan_synced(p, true, now);
	plan_drop(p, "web", now);
	confirm();
	now++;
	plan_fresh(p, now, false, now);
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 1);
}
END_TEST

/* What the producer before it said is of no account. */
START_TEST(a_new_epoch_while_held)
{
	be_strict();
	ready();
	want("web", 0);
	run();
	plan_synced(p, true, now);
	plan_drop(p, "web", now);
	confirm();
	plan_synced(p, true, now);
	confirm();
	nothing();
	confirm();
	ck_assert_uint_eq(run(), 1);
}
END_TEST

START_TEST(half_of_them_are_not_too_many)
{
	old_cluster(10);
	want_old(5);
	ready();
	ck_assert(!counts().held);
	ck_assert_uint_eq(run(), 10);
}
END_TEST

START_TEST(too_many_endpoints)
{
	ready();
	want("web", 100);
	run();
	plan_synced(p, true, now);
	want("web", 49);
	confirm();
	nothing();
	ck_assert(counts().held);
	confirm();
	ck_assert_uint_eq(run(), 1);
}
END_TEST

START_TEST(a_new_leader_looks_again)
{
	old_cluster(10);
	want_old(10);
	ready();
	run();
	plan_lead(p, false, now);
	for (int i = 2; i < 10; i++) {
		char name[32];

		snprintf(name, sizeof(name), "old-%d", i);
		plan_drop(p, name, now);
	}
	plan_lead(p, true, now);
	nothing();
	ck_assert(counts().held);
	confirm();
	ck_assert_uint_eq(run(), 16);
}
END_TEST

/* ---- others' objects ---- */

#define FOREIGN_SERVICE \
	"{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{" \
	"\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.96.0.7\"}}"

START_TEST(a_foreign_service_is_left_alone)
{
	cluster_put(KUBE_SERVICE, FOREIGN_SERVICE, true);
	ready();
	want_routed("web", 2);
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 0);
	ck_assert_uint_eq(counts().foreign, 1);
	ck_assert_str_eq(last_id, "Service/network/web");
	ck_assert_str_eq(last.actual, "foreign");
	ck_assert_str_ne(last_error, "");
	plan_drop(p, "web", now);
	must_be_at_rest();
	ck_assert_uint_eq(counts().foreign, 0);
	ck_assert_uint_eq(cluster_count(KUBE_SERVICE), 1);
	ck_assert_str_eq(last_id, "Service/network/web");
	ck_assert_uint_ge(gones, 1);
}
END_TEST

START_TEST(it_goes_and_ours_comes)
{
	cluster_put(KUBE_SERVICE, FOREIGN_SERVICE, true);
	ready();
	want_routed("web", 2);
	nothing();
	cluster_delete(p, KUBE_SERVICE, "web", now);
	ck_assert_uint_eq(run(), 3);
	must_be_at_rest();
}
END_TEST

/* Somebody else takes the name: our slices do not serve his Service. */
START_TEST(it_takes_the_place_of_ours)
{
	ready();
	want_routed("web", 2);
	run();
	cluster_delete(NULL, KUBE_SERVICE, "web", now);
	cluster_put(KUBE_SERVICE, FOREIGN_SERVICE, true);
	cluster_show(p, KUBE_SERVICE, "web", now);
	does(PLAN_DELETE, KUBE_ROUTE, "web-envoy-internal");
	does(PLAN_DELETE, KUBE_SLICE, "web-consul");
	must_be_at_rest();
}
END_TEST

/* Made between our list and our write: the guard refuses the write. */
START_TEST(made_at_the_last_moment)
{
	ready();
	want("web", 2);
	cluster_put(KUBE_SERVICE, FOREIGN_SERVICE, true);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	ck_assert_uint_eq(cluster_stats.conflicts, 1);
	nothing();
	cluster_show(p, KUBE_SERVICE, "web", now);
	must_be_at_rest();
	ck_assert_uint_eq(counts().foreign, 1);
}
END_TEST

#define FOREIGN_SLICE \
	"{\"kind\":\"EndpointSlice\"," \
	"\"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{" \
	"\"name\":\"web-consul\"},\"addressType\":\"IPv4\"}"

/* The watch shows ours only: a look finds it, and another name is taken. */
START_TEST(a_foreign_slice_has_the_name)
{
	cluster_put(KUBE_SLICE, FOREIGN_SLICE, true);
	ready();
	want("web", 2);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	nothing();
	wait_due();
	does(PLAN_LOOK, KUBE_SLICE, "web-consul");
	ck_assert_uint_eq(run(), 1);
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 2);
	list_all();
	must_be_at_rest();
	ck_assert_uint_eq(cluster_stats.looks, 1);
}
END_TEST

#define FOREIGN_ROUTE \
	"{\"kind\":\"HTTPRoute\"," \
	"\"apiVersion\":\"gateway.networking.k8s.io/v1\",\"metadata\":{" \
	"\"name\":\"web-envoy-internal\"},\"spec\":{}}"

/* It is left alone, looked at again with each list, and replaced once gone. */
START_TEST(a_foreign_route_has_the_name)
{
	cluster_put(KUBE_ROUTE, FOREIGN_ROUTE, true);
	ready();
	want_routed("web", 2);
	ck_assert_uint_eq(run(), 3);
	ck_assert_uint_eq(counts().foreign, 0);
	wait_due();
	does(PLAN_LOOK, KUBE_ROUTE, "web-envoy-internal");
	must_be_at_rest();
	ck_assert_uint_eq(counts().foreign, 1);
	ck_assert_str_eq(last.actual, "foreign");

	reports = 0;
	list_all();
	does(PLAN_LOOK, KUBE_ROUTE, "web-envoy-internal");
	must_be_at_rest();
	ck_assert_uint_eq(reports, 0);

	cluster_delete(NULL, KUBE_ROUTE, "web-envoy-internal", now);
	list_all();
	does(PLAN_LOOK, KUBE_ROUTE, "web-envoy-internal");
	does(PLAN_APPLY, KUBE_ROUTE, "web-envoy-internal");
	must_be_at_rest();
	ck_assert_uint_eq(counts().foreign, 0);
}
END_TEST

/* A quota says 409, too: as often as that is, the name is nobody's. */
START_TEST(refused_again_and_again)
{
	struct plan_action a;
	size_t requests = 0;

	ready();
	want("web", 2);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	for (uint64_t end = now + 60000; now < end; requests++) {
		a = next();
		ck_assert_str_eq(a.name, "web-consul");
		if (a.op == PLAN_LOOK) {
			finish(&a);
		} else {
			free(a.body);
			plan_done(p, a.item, PLAN_CONFLICT, NULL, "quota", 0,
			    now);
		}
		ck_assert_uint_eq(counts().foreign, 0);
		ck_assert_uint_eq(counts().failed[PLAN_CONFLICT], 1);
		wait_due();
	}
	ck_assert_uint_lt(requests, 50);
	run_all();
	must_be_at_rest();
	ck_assert_ptr_nonnull(cluster_text(KUBE_SLICE, "web-consul"));
}
END_TEST

/* Ours, but the watch is late: taken as it is. */
START_TEST(a_slice_that_the_watch_did_not_show)
{
	struct plan_action a;
	struct kube_object got;
	bool has_got;

	ready();
	want("web", 2);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	next_is(PLAN_APPLY, KUBE_SLICE, "web-consul", &a);
	ck_assert_int_eq(cluster_write(&a, &got, &has_got), PLAN_DONE);
	kube_object_clear(&got);
	plan_done(p, a.item, PLAN_LOST, NULL, "lost", 0, now);
	wait_due();
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	wait_due();
	does(PLAN_LOOK, KUBE_SLICE, "web-consul");
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 1);
	ck_assert_uint_eq(counts().failed[PLAN_CONFLICT], 0);
}
END_TEST

/* The watch says that it was deleted: for it, it is none any more. */
START_TEST(somebody_takes_our_mark_away)
{
	struct kube_object o;
	const char *text;

	ready();
	want("web", 2);
	run();
	cluster_edit(KUBE_SLICE, "web-consul",
	    "\"app.kubernetes.io/managed-by\":\"consul-sync\",", "");
	text = cluster_text(KUBE_SLICE, "web-consul");
	ck_assert_ptr_null(
	    kube_json_object(&k8s_conf, KUBE_SLICE, text, strlen(text), &o));
	plan_deleted(p, &o, now);
	kube_object_clear(&o);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	wait_due();
	does(PLAN_LOOK, KUBE_SLICE, "web-consul");
	ck_assert_uint_eq(run(), 1);
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 2);
}
END_TEST

/* What it says counts only as long as the watch has not said more. */
START_TEST(the_watch_is_faster_than_a_look)
{
	struct plan_action a;
	struct kube_object got;
	bool has_got;

	ready();
	want("web", 0);
	run();
	cluster_edit(KUBE_SERVICE, "web", "\"metadata\":{",
	    "\"metadata\":{\"generation\":2,");
	plan_drop(p, "web", now);
	does(PLAN_DELETE, KUBE_SERVICE, "web");
	wait_due();
	next_is(PLAN_LOOK, KUBE_SERVICE, "web", &a);
	ck_assert_int_eq(cluster_write(&a, &got, &has_got), PLAN_DONE);
	cluster_delete(p, KUBE_SERVICE, "web", now);
	plan_done(p, a.item, PLAN_DONE, &got, "", 0, now);
	must_be_at_rest();
	ck_assert_uint_eq(counts().actual[KUBE_SERVICE], 0);
}
END_TEST

/* ---- manual changes ---- */

static const struct {
	enum kube_kind kind;
	const char *name;
	const char *from;
	const char *to;
	enum plan_op op;
} edits[] = {
	{ KUBE_SERVICE, "web", "\"port\":80", "\"port\":81", PLAN_REPAIR },
	{ KUBE_SERVICE, "web", "\"port\":80",
	    "\"port\":80,\"appProtocol\":\"x\"", PLAN_REPAIR },
	{ KUBE_SERVICE, "web", "\"app.kubernetes.io/name\":\"web\"",
	    "\"app.kubernetes.io/name\":\"x\"", PLAN_APPLY },
	{ KUBE_SERVICE, "web", "\"spec\":{",
	    "\"spec\":{\"selector\":{\"a\":\"b\"},", PLAN_REPAIR },
	{ KUBE_SERVICE, "web", "\"ports\":[",
	    "\"ports\":[{\"name\":\"x\",\"port\":90},", PLAN_REPAIR },
	{ KUBE_SLICE, "web-consul", "true", "false", PLAN_APPLY },
	{ KUBE_SLICE, "web-consul", "\"endpoints\":[",
	    "\"endpoints\":[{\"addresses\":[\"10.9.9.9\"]},", PLAN_APPLY },
	{ KUBE_SLICE, "web-consul", "\"port\":80", "\"port\":81", PLAN_APPLY },
	{ KUBE_ROUTE, "web-envoy-internal", "\"hostnames\":[",
	    "\"hostnames\":[\"x.y\",", PLAN_APPLY },
};

static void
somebody_edits(const char *from, const char *to)
{
	char *port_from, *port_to;

	ck_assert_int_gt(asprintf(&port_from, "\"port\":%s", from), 0);
	ck_assert_int_gt(asprintf(&port_to, "\"port\":%s", to), 0);
	cluster_edit(KUBE_SERVICE, "web", port_from, port_to);
	cluster_show(p, KUBE_SERVICE, "web", now);
	free(port_from);
	free(port_to);
}

START_TEST(changes_are_put_right)
{
	ready();
	want_routed("web", 2);
	run();
	now += 60000;
	cluster_edit(edits[_i].kind, edits[_i].name, edits[_i].from,
	    edits[_i].to);
	cluster_show(p, edits[_i].kind, edits[_i].name, now);
	does(edits[_i].op, edits[_i].kind, edits[_i].name);
	must_be_at_rest();
}
END_TEST

static void
want_port(uint16_t port)
{
	struct wanted *w = wanted_of("web", 2, ALL_READY, false);

	w->port = port;
	for (size_t i = 0; i < w->n; i++)
		w->endpoints[i].port = port;
	plan_want(p, w, now);
}

/* By an apply, as long as nobody else has set a port. */
/* The apiserver takes such ports in slices. */
START_TEST(slices_with_odd_ports)
{
	char *odd = k8s_replace(k8s_answers[KUBE_SLICE], "\"port\":8080",
	    "\"port\":70000");
	char *stray = k8s_replace(odd, "\"web-consul\"", "\"stray\"");

	cluster_put(KUBE_SLICE, odd, false);
	cluster_put(KUBE_SLICE, stray, false);
	ready();
	confirm();
	want("web", 2);
	run_all();
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 1);
	free(odd);
	free(stray);
}
END_TEST

START_TEST(another_port_is_wanted)
{
	ready();
	want_port(80);
	run();
	want_port(81);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	must_be_at_rest();
	somebody_edits("81", "82");
	does(PLAN_REPAIR, KUBE_SERVICE, "web");
	must_be_at_rest();
	want_port(83);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	does(PLAN_REPAIR, KUBE_SERVICE, "web");
	must_be_at_rest();
	want_port(0);
	run();
	must_be_at_rest();
}
END_TEST

/* Somebody was faster than the repair: looked at, and done anew. */
START_TEST(a_repair_that_comes_late)
{
	ready();
	want("web", 1);
	run();
	now += 60000;
	somebody_edits("80", "81");
	cluster_edit(KUBE_SERVICE, "web", "81", "82");
	does(PLAN_REPAIR, KUBE_SERVICE, "web");
	ck_assert_uint_eq(cluster_stats.conflicts, 1);
	wait_due();
	does(PLAN_LOOK, KUBE_SERVICE, "web");
	does(PLAN_REPAIR, KUBE_SERVICE, "web");
	must_be_at_rest();
}
END_TEST

START_TEST(deletions_are_put_right)
{
	static const char *const names[KUBE_KINDS] = { "web", "web-consul",
		"web-envoy-internal" };

	ready();
	want_routed("web", 2);
	run();
	now += 60000;
	cluster_delete(p, (enum kube_kind)_i, names[_i], now);
	/* A new Service has a new uid, which its slices name. */
	ck_assert_uint_eq(run(), _i == KUBE_SERVICE ? 2 : 1);
	must_be_at_rest();
}
END_TEST

START_TEST(a_fight_is_slowed_down)
{
	size_t writes = 0;

	ready();
	want("web", 2);
	run();
	somebody_edits("80", "81");
	for (uint64_t end = now + 60000; now < end; now += 10) {
		if (run() == 0)
			continue;
		writes++;
		somebody_edits("80", "81");
	}
	ck_assert_uint_ge(writes, 3);
	ck_assert_uint_lt(writes, 20);
}
END_TEST

/* A webhook that changes what is applied, each time. */
START_TEST(what_is_applied_does_not_stay)
{
	struct kube_object got;
	size_t writes = 0;

	ready();
	want("web", 0);
	for (uint64_t end = now + 600000; now < end; writes++) {
		struct plan_action a;
		bool has_got;

		wait_due();
		a = next();
		ck_assert_int_eq(cluster_write(&a, &got, &has_got), PLAN_DONE);
		kube_object_clear(&got);
		cluster_edit(KUBE_SERVICE, "web", "\"None\"", "\"10.0.0.9\"");
		ck_assert_ptr_null(kube_json_object(&k8s_conf, KUBE_SERVICE,
		    cluster_text(KUBE_SERVICE, "web"),
		    strlen(cluster_text(KUBE_SERVICE, "web")), &got));
		ck_assert_int_eq(plan_done(p, a.item, PLAN_DONE, &got, "", 0,
				     now),
		    writes == 0);
		ck_assert_uint_eq(counts().failed[PLAN_DIFFERS], 1);
	}
	ck_assert_uint_lt(writes, 25);
}
END_TEST

/* ---- what the watch says, and when ---- */

static struct kube_object
object_as_of(enum kube_kind kind, const char *name)
{
	const char *text = cluster_text(kind, name);
	struct kube_object o;

	ck_assert_ptr_null(
	    kube_json_object(&k8s_conf, kind, text, strlen(text), &o));
	return o;
}

START_TEST(late_events_are_passed_over)
{
	struct kube_object old;

	ready();
	want("web", 2);
	run();
	old = object_as_of(KUBE_SLICE, "web-consul");
	plan_want(p, wanted_of("web", 2, 1, false), now);
	run();
	plan_seen(p, &old, now);
	must_be_at_rest();
}
END_TEST

/* A restored backup: versions went back, and a list says so. */
START_TEST(lists_are_believed)
{
	struct kube_object old;

	ready();
	want("web", 2);
	run();
	old = object_as_of(KUBE_SLICE, "web-consul");
	plan_want(p, wanted_of("web", 2, 1, false), now);
	run();
	plan_list_begin(p, KUBE_SLICE);
	plan_seen(p, &old, now);
	plan_list_end(p, KUBE_SLICE, now);
	free(next().body);
}
END_TEST

/* But not where a write ended since the list began. */
START_TEST(lists_may_be_late_too)
{
	struct kube_object old;

	ready();
	want("web", 2);
	run();
	old = object_as_of(KUBE_SLICE, "web-consul");
	plan_list_begin(p, KUBE_SLICE);
	plan_want(p, wanted_of("web", 2, 1, false), now);
	run();
	plan_seen(p, &old, now);
	plan_list_end(p, KUBE_SLICE, now);
	must_be_at_rest();

	/* What was made since is not in it. */
	plan_list_begin(p, KUBE_SERVICE);
	want("api", 0);
	run();
	plan_list_end(p, KUBE_SERVICE, now);
	/* web is gone, by this list; api is not */
	does(PLAN_APPLY, KUBE_SERVICE, "web");
}
END_TEST

START_TEST(the_deletion_of_one_before)
{
	struct kube_object old;

	ready();
	want("web", 0);
	run();
	old = object_as_of(KUBE_SERVICE, "web");
	cluster_delete(p, KUBE_SERVICE, "web", now);
	run();
	plan_deleted(p, &old, now);
	kube_object_clear(&old);
	must_be_at_rest();
}
END_TEST

/* The answer to a write, when the watch has shown its end already. */
START_TEST(the_deletion_of_what_is_being_made)
{
	struct plan_action a;
	struct kube_object got;
	bool has_got;

	ready();
	want("web", 0);
	a = next();
	ck_assert_int_eq(cluster_write(&a, &got, &has_got), PLAN_DONE);
	cluster_edit(KUBE_SERVICE, "web", "\"metadata\":{",
	    "\"metadata\":{\"generation\":2,");
	cluster_delete(p, KUBE_SERVICE, "web", now);
	plan_done(p, a.item, PLAN_DONE, &got, "", 0, now);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	must_be_at_rest();
}
END_TEST

/* It is still there, with a finalizer: nothing can be done but wait. */
START_TEST(what_is_leaving_is_waited_for)
{
	ready();
	want("web", 1);
	run();
	cluster_edit(KUBE_SERVICE, "web", "\"metadata\":{",
	    "\"metadata\":{\"deletionTimestamp\":\"t\",");
	cluster_show(p, KUBE_SERVICE, "web", now);
	nothing();
	cluster_delete(p, KUBE_SERVICE, "web", now);
	ck_assert_uint_eq(run(), 2);
	must_be_at_rest();
}
END_TEST

/* ---- errors ---- */

START_TEST(conflicts_wait_for_the_watch)
{
	ready();
	want("web", 1);
	run();
	cluster_edit(KUBE_SLICE, "web-consul", "\"metadata\":{",
	    "\"metadata\":{\"generation\":2,");
	plan_want(p, wanted_of("web", 1, 0, false), now);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	nothing();
	cluster_show(p, KUBE_SLICE, "web-consul", now);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	must_be_at_rest();
	ck_assert_uint_eq(cluster_stats.looks, 0);
}
END_TEST

/* What is no fault of the object's. */
static const enum plan_result results_of_none[] = { PLAN_LOST, PLAN_BUSY,
	PLAN_STRANGER };

START_TEST(told_to_wait)
{
	ready();
	want("web", 0);
	want("api", 0);
	fails(PLAN_BUSY, 7000);
	nothing();
	ck_assert_uint_eq(plan_due(p, now), now + 7000);
	ck_assert_uint_eq(counts().failed[PLAN_BUSY], 1);
	now += 7000;
	ck_assert_uint_eq(run(), 1);
	wait_due();
	ck_assert_uint_eq(run(), 1);
	must_be_at_rest();
	ck_assert_uint_eq(counts().failed[PLAN_BUSY], 0);
}
END_TEST

START_TEST(nobody_answers)
{
	size_t writes = 0;

	ready();
	for (int i = 0; i < 50; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s-%d", i);
		want(name, 0);
	}
	for (uint64_t end = now + 60000; now < end; writes++) {
		fails(PLAN_LOST, 0);
		wait_due();
	}
	/* No hot loop, and not long to wait when it is back. */
	ck_assert_uint_lt(writes, 40);
	run();
	wait_due();
	run();
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SERVICE), 50);
}
END_TEST

/* One request shows whether it is there again; then all are made. */
START_TEST(one_of_all_is_asked)
{
	struct plan_action a, b;

	ready();
	want("web", 0);
	want("api", 0);
	want("db", 0);
	a = next();
	b = next();
	free(a.body);
	free(b.body);
	plan_done(p, a.item, results_of_none[_i], NULL, "why", 0, now);
	ck_assert_uint_eq(plan_due(p, now), UINT64_MAX);
	plan_done(p, b.item, results_of_none[_i], NULL, "why", 0, now);
	ck_assert_uint_eq(counts().failed[results_of_none[_i]], 2);
	wait_due();
	/* Not one of those that failed. */
	next_is(PLAN_APPLY, KUBE_SERVICE, "db", &a);
	now += 10000;
	nothing();
	ck_assert_uint_eq(plan_due(p, now), UINT64_MAX);
	finish(&a);
	a = next();
	b = next();
	finish(&a);
	finish(&b);
	must_be_at_rest();
}
END_TEST

#define OUR_SERVICE \
	"{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{" \
	"\"name\":\"web\",\"labels\":{" \
	"\"app.kubernetes.io/managed-by\":\"consul-sync\"}},\"spec\":{}}"

/* How long an object waits at most after that result, and in what counts. */
static const struct {
	enum plan_result r;
	uint64_t most;
	size_t pending;
} failures[] = {
	{ PLAN_GONE, 60000, 1 },
	{ PLAN_CONFLICT, 4000, 1 },
	{ PLAN_REFUSED, 60000, 0 },
	{ PLAN_DENIED, 60000, 1 },
	{ PLAN_BROKEN, 4000, 1 },
};

START_TEST(failures_of_one_object)
{
	uint64_t longest = 0;

	cluster_put(KUBE_SERVICE, OUR_SERVICE, false);
	ready();
	want("web", 0);
	for (int i = 0; i < 12; i++) {
		uint64_t before = now;

		fails(failures[_i].r, 0);
		ck_assert_uint_eq(counts().pending, failures[_i].pending);
		ck_assert_uint_eq(counts().failed[failures[_i].r], 1);
		wait_due();
		longest = now - before > longest ? now - before : longest;
	}
	ck_assert_uint_le(longest, failures[_i].most);
	ck_assert_uint_ge(longest, failures[_i].most * 3 / 4);
	run_all();
	must_be_at_rest();
	ck_assert_uint_eq(counts().failed[failures[_i].r], 0);
}
END_TEST

/* The watch shows it before the write is given up. */
START_TEST(lost_but_done)
{
	struct plan_action a;
	struct kube_object got;
	bool has_got;

	ready();
	want("web", 0);
	a = next();
	ck_assert_int_eq(cluster_write(&a, &got, &has_got), PLAN_DONE);
	plan_seen(p, &got, now);
	plan_done(p, a.item, PLAN_LOST, NULL, "lost", 0, now);
	must_be_at_rest();
	ck_assert_uint_eq(counts().failed[PLAN_LOST], 0);
	ck_assert_str_eq(last_error, "");
}
END_TEST

START_TEST(one_failure_stops_no_other)
{
	ready();
	want("web", 0);
	want("api", 0);
	fails(PLAN_REFUSED, 0);
	ck_assert_uint_eq(run(), 1);
	ck_assert_uint_eq(counts().pending, 0);
	/* A change of what is wanted, or a retry, tries at once. */
	want("api", 1);
	plan_retry(p, now);
	run();
	must_be_at_rest();
}
END_TEST

START_TEST(news_are_news_once)
{
	struct plan_action a;

	ready();
	want("web", 0);
	for (int i = 0; i < 3; i++) {
		a = next();
		free(a.body);
		ck_assert_int_eq(plan_done(p, a.item, PLAN_DENIED, NULL,
				     i < 2 ? "no" : "never", 0, now),
		    i != 1);
		wait_due();
	}
}
END_TEST

START_TEST(gone_is_deleted)
{
	ready();
	want("web", 0);
	run();
	plan_drop(p, "web", now);
	fails(PLAN_GONE, 0);
	must_be_at_rest();
}
END_TEST

/* ---- whose turn it is ---- */

/* A port each, and so a slice each. */
static struct wanted *
wanted_ports(const char *name, size_t n, bool ready)
{
	static const struct backend_instance *v[OBJECT_PORTS];
	struct backend_service s = {
		.service = name,
		.port_name = "",
		.app_protocol = "",
	};

	for (size_t i = 0; i < n; i++) {
		instances[i] = (struct backend_instance){
			.address = "10.9.0.1",
			.port = (uint16_t)(i + 1),
			.node = "",
			.zone = "",
			.ready = ready,
		};
		v[i] = &instances[i];
	}
	return wanted_new(&k8s_conf, name, &s, v, n);
}

/* Writes until that object's comes: how many. */
static size_t
writes_until(enum plan_op op, enum kube_kind kind, const char *name)
{
	struct plan_action a;
	size_t n = 0;
	bool found = false;

	for (; !found; n++) {
		ck_assert_uint_lt(n, 1000);
		a = next();
		found =
		    a.op == op && a.kind == kind && strcmp(a.name, name) == 0;
		finish(&a);
	}
	return n;
}

/* Of the others' slices, which were ready before it, one each comes first. */
START_TEST(groups_take_turns)
{
	ready();
	plan_want(p, wanted_ports("a", OBJECT_PORTS, true), now);
	plan_want(p, wanted_ports("b", OBJECT_PORTS, true), now);
	want("web", 1);
	run();
	plan_want(p, wanted_ports("a", OBJECT_PORTS, false), now);
	plan_want(p, wanted_ports("b", OBJECT_PORTS, false), now);
	want("web", 2);
	ck_assert_uint_eq(writes_until(PLAN_APPLY, KUBE_SLICE, "web-consul"),
	    3);
	run();
	must_be_at_rest();
}
END_TEST

/* What is asked for again and again does not lose its turn. */
START_TEST(a_change_costs_no_turn)
{
	size_t n = 0;

	ready();
	want("web", 1);
	plan_want(p, wanted_ports("b", 8, true), now);
	run();
	want("web", 2);
	plan_want(p, wanted_ports("b", 8, false), now);
	want("web", 3);
	n = writes_until(PLAN_APPLY, KUBE_SLICE, "web-consul");
	ck_assert_uint_eq(n, 1);
	run();
	must_be_at_rest();
}
END_TEST

START_TEST(what_waits_changes_groups)
{
	cluster_put(KUBE_SLICE, k8s_answers[KUBE_SLICE], false);
	ready();
	confirm();
	cluster_edit(KUBE_SLICE, "web-consul", "service-name\":\"web",
	    "service-name\":\"api");
	cluster_show(p, KUBE_SLICE, "web-consul", now);
	does(PLAN_DELETE, KUBE_SLICE, "web-consul");
	must_be_at_rest();
}
END_TEST

/* As long as slices change all the time, all else is done, too. */
START_TEST(kinds_take_turns)
{
	struct plan_action a;
	bool is_ready = false;
	size_t n = 0;

	ready();
	plan_want(p, wanted_ports("a", OBJECT_PORTS, true), now);
	want("gone", 1);
	want("stays", 1);
	run();
	want_routed("new", 1);
	plan_drop(p, "gone", now);
	confirm();
	/* Service, slice and route come; slice and Service go. */
	while (cluster_text(KUBE_ROUTE, "new-envoy-internal") == NULL ||
	    cluster_text(KUBE_SLICE, "new-consul") == NULL ||
	    cluster_text(KUBE_SERVICE, "gone") != NULL) {
		plan_want(p, wanted_ports("a", OBJECT_PORTS, is_ready), now);
		is_ready = !is_ready;
		a = next();
		finish(&a);
		ck_assert_uint_le(++n, 5 * QUEUE_TURN * PLAN_QUEUES);
	}
	/* Slices still come first. */
	ck_assert_uint_gt(n, 3 * QUEUE_TURN);
	run();
	must_be_at_rest();
}
END_TEST

/* ---- changes while a write is under way ---- */

START_TEST(wanted_otherwise_meanwhile)
{
	struct plan_action a;

	ready();
	want("web", 1);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	next_is(PLAN_APPLY, KUBE_SLICE, "web-consul", &a);
	want("web", 2);
	nothing();
	finish(&a);
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	must_be_at_rest();
}
END_TEST

/* They stay where they are about to be, though the cluster has none yet. */
START_TEST(an_endpoint_goes_while_slices_are_made)
{
	struct plan_action a, b;

	ready();
	want("web", 1500);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	a = next();
	b = next();
	first = 1;
	want("web", 1499);
	finish(&a);
	finish(&b);
	ck_assert_uint_eq(run(), 1);
	must_be_at_rest();
}
END_TEST

START_TEST(a_service_goes_last)
{
	struct plan_action a;

	ready();
	want("web", 1);
	run();
	plan_drop(p, "web", now);
	next_is(PLAN_DELETE, KUBE_SLICE, "web-consul", &a);
	nothing();
	finish(&a);
	does(PLAN_DELETE, KUBE_SERVICE, "web");
	must_be_at_rest();
}
END_TEST

START_TEST(not_wanted_any_more_meanwhile)
{
	struct plan_action a;

	ready();
	want("web", 0);
	next_is(PLAN_APPLY, KUBE_SERVICE, "web", &a);
	plan_drop(p, "web", now);
	nothing();
	finish(&a);
	does(PLAN_DELETE, KUBE_SERVICE, "web");
	must_be_at_rest();
}
END_TEST

START_TEST(leadership_ends_meanwhile)
{
	struct plan_action a;

	ready();
	want("web", 3);
	does(PLAN_APPLY, KUBE_SERVICE, "web");
	a = next();
	plan_lead(p, false, now);
	nothing();
	ck_assert_uint_eq(plan_due(p, now), UINT64_MAX);
	free(a.body);
	plan_done(p, a.item, PLAN_LOST, NULL, "cancelled", 0, now);
	nothing();
	plan_lead(p, true, now);
	now += 10000;
	does(PLAN_APPLY, KUBE_SLICE, "web-consul");
	must_be_at_rest();
}
END_TEST

/* The next leader put endpoints where it liked: they stay there. */
START_TEST(what_another_leader_did_counts)
{
	ready();
	want("web", 1500);
	run();
	plan_lead(p, false, now);
	cluster_delete(p, KUBE_SLICE, "web-consul", now);
	cluster_put(KUBE_SLICE,
	    "{\"kind\":\"EndpointSlice\","
	    "\"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{"
	    "\"name\":\"web-other\",\"labels\":{"
	    "\"app.kubernetes.io/managed-by\":\"consul-sync\","
	    "\"kubernetes.io/service-name\":\"web\"}},"
	    "\"addressType\":\"IPv4\",\"ports\":[{\"port\":80}],"
	    "\"endpoints\":[{\"addresses\":[\"10.0.0.0\"]}]}",
	    false);
	cluster_show(p, KUBE_SLICE, "web-other", now);
	confirm();
	plan_lead(p, true, now);
	run();
	must_be_at_rest();
	ck_assert_uint_eq(cluster_count(KUBE_SLICE), 2);
	ck_assert_ptr_nonnull(cluster_text(KUBE_SLICE, "web-other"));
}
END_TEST

/* ---- for people ---- */

START_TEST(a_manifest)
{
	char *text;

	for (int kind = 0; kind < KUBE_KINDS; kind++) {
		plan_list_begin(p, (enum kube_kind)kind);
		plan_list_end(p, (enum kube_kind)kind, now);
	}
	want_routed("web", 1);
	text = plan_manifest(p);
	ck_assert(strncmp(text, "---\n{\n", 6) == 0);
	ck_assert_ptr_nonnull(strstr(text, "\"kind\": \"Service\""));
	ck_assert_ptr_nonnull(strstr(text, "\"kind\": \"EndpointSlice\""));
	ck_assert_ptr_nonnull(strstr(text, "\"kind\": \"HTTPRoute\""));
	ck_assert_ptr_null(strstr(text, "resourceVersion"));
	ck_assert_ptr_null(strstr(text, "ownerReferences"));
	free(text);
}
END_TEST

START_TEST(reports_say_how_it_is)
{
	ready();
	want("web", 0);
	ck_assert_str_eq(last_id, "Service/network/web");
	ck_assert_str_eq(last.desired, "present");
	ck_assert_str_eq(last.actual, "absent");
	fails(PLAN_DENIED, 0);
	ck_assert_str_eq(last_error, "why");
	wait_due();
	run();
	ck_assert_str_eq(last.actual, "current");
	ck_assert_str_eq(last_error, "");
	reports = 0;
	list_all();
	ck_assert_uint_eq(reports, 0);
	plan_drop(p, "web", now);
	ck_assert_str_eq(last.desired, "absent");
	ck_assert_str_eq(last.actual, "outdated");
}
END_TEST

/* ---- any sequence ---- */

#define NAMES 8

static uint64_t seed;

static uint64_t
dice(uint64_t sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % sides;
}

static const char *
some_name(void)
{
	static const char *const names[NAMES] = { "a", "b", "c", "d", "e", "f",
		"web", "web-consul" };

	return names[dice(NAMES)];
}

static void
some_want(void)
{
	size_t n = dice(5);

	plan_want(p, wanted_of(some_name(), n, dice(5), dice(2) == 0), now);
}

static void
some_drop(void)
{
	plan_drop(p, some_name(), now);
}

static void
some_deletion(void)
{
	enum kube_kind kind = (enum kube_kind)dice(KUBE_KINDS);
	const char *name = cluster_name(kind, dice(6));

	/* Sometimes the watch does not say so. */
	if (name != NULL && strstr(cluster_text(kind, name), "helm") == NULL)
		cluster_delete(dice(3) == 0 ? NULL : p, kind, name, now);
}

static void
some_edit(void)
{
	const char *name = cluster_name(KUBE_SLICE, dice(6));

	if (name == NULL ||
	    strstr(cluster_text(KUBE_SLICE, name), "true") == NULL)
		return;
	cluster_edit(KUBE_SLICE, name, "true", "false");
	if (dice(3) != 0)
		cluster_show(p, KUBE_SLICE, name, now);
}

/* Only of Services the watch says so, and not always. */
static void
some_foreign(void)
{
	static const struct {
		const char *suffix;
		const char *rest;
	} kinds[KUBE_KINDS] = {
		[KUBE_SERVICE] = { "", "\"spec\":{}" },
		[KUBE_SLICE] = { "-consul", "\"addressType\":\"IPv4\"" },
		[KUBE_ROUTE] = { "-envoy-internal", "\"spec\":{}" },
	};
	enum kube_kind kind = (enum kube_kind)dice(KUBE_KINDS);
	char name[64], *text;

	snprintf(name, sizeof(name), "%s%s", some_name(), kinds[kind].suffix);
	if (cluster_text(kind, name) != NULL)
		return;
	ck_assert_int_gt(asprintf(&text,
			     "{\"kind\":\"%s\",\"apiVersion\":\"%s\","
			     "\"metadata\":{\"name\":\"%s\",\"labels\":{"
			     "\"app.kubernetes.io/managed-by\":\"helm\"}},%s}",
			     kube_kind_name(kind), kube_kind_api_version(kind),
			     name, kinds[kind].rest),
	    0);
	cluster_put(kind, text, true);
	free(text);
	if (kind == KUBE_SERVICE && dice(2) == 0)
		cluster_show(p, kind, name, now);
}

static void
some_list(void)
{
	cluster_list(p, (enum kube_kind)dice(KUBE_KINDS), now);
}

static void
some_epoch(void)
{
	plan_synced(p, dice(2) == 0, now);
	plan_fresh(p, now, dice(2) == 0, now);
}

static void
some_leading(void)
{
	plan_lead(p, dice(4) != 0, now);
}

/* Up to four writes at once, which end in any order, well or badly. */
static void
some_writes(void)
{
	static const enum plan_result bad[] = { PLAN_LOST, PLAN_BUSY,
		PLAN_STRANGER, PLAN_REFUSED, PLAN_DENIED, PLAN_BROKEN };
	struct plan_action v[4];
	size_t n = 0;

	while (n < 4 && plan_next(p, now, &v[n]))
		n++;
	while (n > 0) {
		size_t i = dice(n);
		struct plan_action a = v[i];

		v[i] = v[--n];
		if (dice(4) != 0) {
			finish(&a);
			continue;
		}
		/* Without an answer it may have been done all the same. */
		if (dice(2) == 0) {
			struct kube_object got;
			bool has_got;

			cluster_write(&a, &got, &has_got);
			if (has_got)
				kube_object_clear(&got);
			plan_done(p, a.item, PLAN_LOST, NULL, "lost", 0, now);
			continue;
		}
		free(a.body);
		plan_done(p, a.item, bad[dice(COUNT(bad))], NULL, "bad", 0,
		    now);
	}
}

static void (*const steps[])(void) = {
	some_want,
	some_want,
	some_want,
	some_drop,
	some_deletion,
	some_edit,
	some_foreign,
	some_list,
	some_epoch,
	some_leading,
	some_writes,
	some_writes,
	some_writes,
	some_writes,
};

/* From any state, quiet leads to what is wanted. */
static void
come_to_rest(void)
{
	list_all();
	cluster_stats.orphans = 0;
	plan_synced(p, false, now);
	plan_lead(p, true, now);
	for (int i = 0; i < 40; i++) {
		list_all();
		confirm();
		now += 70000;
		run();
	}
	must_be_at_rest();
}

static void
must_be_as_wanted(void)
{
	struct plan_counts c = counts();
	size_t desired = 0, actual = 0, failed = 0;

	for (int kind = 0; kind < KUBE_KINDS; kind++) {
		desired += c.desired[kind];
		actual += c.actual[kind];
		ck_assert_uint_eq(c.actual[kind],
		    cluster_count_ours((enum kube_kind)kind));
	}
	ck_assert_uint_eq(desired - c.foreign, actual);
	for (int r = 0; r < PLAN_RESULTS; r++)
		failed += c.failed[r];
	ck_assert_uint_eq(failed, 0);
}

START_TEST(any_sequence)
{
	seed = (uint64_t)_i + 1;
	ready();
	for (int round = 0; round < 300; round++) {
		steps[dice(COUNT(steps))]();
		now += dice(3000);
	}
	come_to_rest();
	must_be_as_wanted();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kube_plan");
	TCase *t = tcase_create("kube_plan");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_service_comes_and_goes);
	tcase_add_test(t, lists_and_events_change_nothing);
	tcase_add_test(t, one_flip_is_one_write);
	tcase_add_test(t, one_of_2500_is_one_write);
	tcase_add_test(t, no_endpoints_no_slice);
	tcase_add_test(t, the_originals_are_taken_over);
	tcase_add_loop_test(t, not_before_all_is_there, 0, ALL + 1);
	tcase_add_test(t, each_kind_on_its_own);
	tcase_add_test(t, without_the_kind);
	tcase_add_test(t, nothing_goes_before_it_is_confirmed);
	tcase_add_test(t, nor_before_all_is_known);
	tcase_add_test(t, a_new_epoch_is_confirmed_anew);
	tcase_add_test(t, not_confirmed_any_more);
	tcase_add_test(t, endpoints_do_not_go_before_either);
	tcase_add_test(t, too_many_wait_for_a_second_read);
	tcase_add_test(t, a_second_read_that_says_otherwise);
	tcase_add_test(t, each_waits_for_its_own_second_read);
	tcase_add_test(t, endpoints_wait_for_their_own_second_read);
	tcase_add_test(t, another_one_of_that_name_waits);
	tcase_add_test(t, not_confirmed_while_held);
	tcase_add_test(t, a_new_epoch_while_held);
	tcase_add_test(t, half_of_them_are_not_too_many);
	tcase_add_test(t, too_many_endpoints);
	tcase_add_test(t, a_new_leader_looks_again);
	tcase_add_test(t, a_foreign_service_is_left_alone);
	tcase_add_test(t, it_goes_and_ours_comes);
	tcase_add_test(t, it_takes_the_place_of_ours);
	tcase_add_test(t, made_at_the_last_moment);
	tcase_add_test(t, a_foreign_slice_has_the_name);
	tcase_add_test(t, a_foreign_route_has_the_name);
	tcase_add_test(t, refused_again_and_again);
	tcase_add_test(t, a_slice_that_the_watch_did_not_show);
	tcase_add_test(t, somebody_takes_our_mark_away);
	tcase_add_test(t, the_watch_is_faster_than_a_look);
	tcase_add_loop_test(t, changes_are_put_right, 0, COUNT(edits));
	tcase_add_test(t, slices_with_odd_ports);
	tcase_add_test(t, another_port_is_wanted);
	tcase_add_test(t, a_repair_that_comes_late);
	tcase_add_loop_test(t, deletions_are_put_right, 0, KUBE_KINDS);
	tcase_add_test(t, a_fight_is_slowed_down);
	tcase_add_test(t, what_is_applied_does_not_stay);
	tcase_add_test(t, late_events_are_passed_over);
	tcase_add_test(t, lists_are_believed);
	tcase_add_test(t, lists_may_be_late_too);
	tcase_add_test(t, the_deletion_of_one_before);
	tcase_add_test(t, the_deletion_of_what_is_being_made);
	tcase_add_test(t, what_is_leaving_is_waited_for);
	tcase_add_test(t, conflicts_wait_for_the_watch);
	tcase_add_test(t, told_to_wait);
	tcase_add_test(t, nobody_answers);
	tcase_add_loop_test(t, one_of_all_is_asked, 0, COUNT(results_of_none));
	tcase_add_loop_test(t, failures_of_one_object, 0, COUNT(failures));
	tcase_add_test(t, lost_but_done);
	tcase_add_test(t, one_failure_stops_no_other);
	tcase_add_test(t, news_are_news_once);
	tcase_add_test(t, gone_is_deleted);
	tcase_add_test(t, groups_take_turns);
	tcase_add_test(t, a_change_costs_no_turn);
	tcase_add_test(t, what_waits_changes_groups);
	tcase_add_test(t, kinds_take_turns);
	tcase_add_test(t, wanted_otherwise_meanwhile);
	tcase_add_test(t, an_endpoint_goes_while_slices_are_made);
	tcase_add_test(t, a_service_goes_last);
	tcase_add_test(t, not_wanted_any_more_meanwhile);
	tcase_add_test(t, leadership_ends_meanwhile);
	tcase_add_test(t, what_another_leader_did_counts);
	tcase_add_test(t, a_manifest);
	tcase_add_test(t, reports_say_how_it_is);
	tcase_add_loop_test(t, any_sequence, 0, 40);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
