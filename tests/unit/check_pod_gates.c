#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/consul_pods.h"
#include "tests/unit/consul_views.h"
#include "workers/consul_writer/gates.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct pods *p;
static bool needed_catalog;

static void
setup(void)
{
	p = views_start();
	at = (struct service_view){ .error = "" };
}

static void
teardown(void)
{
	pods_free(p);
}

/* A pod with one service, told as it is now. */
static const struct telling *
tell(const struct pod_item *item, bool gates)
{
	struct outlook o = views_outlook();
	struct service s = a_service("web");
	/* Its texts point into it. */
	static struct telling t;

	s.pod_uid = item->uid;
	ck_assert(put_pod(p, item));
	if (item->services > 0)
		ck_assert(put_service(p, &s));
	gates_tell(pods_find(p, "shop", "web-1"), gates, &o, &t);
	needed_catalog = o.needs_catalog;
	return &t;
}

#define IN_POD .namespace = "shop", .name = "web-1", .uid = UID_1
#define FINE   IN_POD, .ours = true, .ready = true, .services = 1, .gated = true
#define SHOWN(is) \
	{ \
		true, "", SERVICE_PASSING, false, CATALOG_##is, true \
	}

static const struct {
	struct pod_item item;
	struct service_view view;
	const char *reason;
	const char *message; /* in it */
	bool needs_catalog;
} gates[] = {
	{ { FINE, .sidecar = "" }, SHOWN(PASSING), "Synced", "all services",
	    false },
	{ { FINE, .sidecar = "" }, SHOWN(CRITICAL), "NotInCatalog",
	    "katalog-sync_web_shop_web-1 is not in", true },
	{ { FINE, .sidecar = "" }, SHOWN(UNKNOWN), "NotInCatalog", "", true },
	{ { FINE, .sidecar = "" }, SHOWN(ABSENT), "NotInCatalog", "", true },
	/* As its owner fixed it. */
	{ { FINE, .sidecar = "" },
	    { true, "", SERVICE_WARNING, false, CATALOG_WARNING, true },
	    "Synced", "", false },
	{ { FINE, .sidecar = "" },
	    { true, "", SERVICE_WARNING, false, CATALOG_PASSING, true },
	    "NotInCatalog", "", true },
	{ { FINE, .sidecar = "" },
	    { false, "", SERVICE_PASSING, false, 0, false }, "NotRegistered",
	    "not at the agent as it is to be", true },
	{ { FINE, .sidecar = "" },
	    { false, "HTTP 403", SERVICE_PASSING, false, 0, false },
	    "NotRegistered", ": HTTP 403", true },
	{ { FINE, .sidecar = "sync" }, SHOWN(PASSING), "WaitingForSidecar",
	    "container sync, has not registered", false },
	{ { FINE, .sidecar = "sync", .sidecar_ready = true }, SHOWN(PASSING),
	    "Synced", "", false },
	{ { IN_POD, .ours = true, .services = 1, .gated = true, .sidecar = "" },
	    SHOWN(PASSING), "PodNotReady", "containers", false },
	{ { IN_POD, .ours = true, .waits = true, .gated = true, .sidecar = "" },
	    SHOWN(PASSING), "PodNotReady", "not running yet", false },
	{ { IN_POD, .ours = true, .ready = true, .gated = true, .sidecar = "" },
	    SHOWN(PASSING), "NoServices", "annotations", false },
	{ { IN_POD, .ready = true, .gated = true, .sidecar = "" },
	    SHOWN(PASSING), "NoServices", "no annotation service-names",
	    false },
	/* The rest of them is still to come. */
	{ { IN_POD, .ours = true, .ready = true, .gated = true, .sidecar = "",
	      .services = 2 },
	    SHOWN(PASSING), "NotRegistered", "not all", true },
};

START_TEST(reasons)
{
	const struct telling *t;

	at = gates[_i].view;
	t = tell(&gates[_i].item, true);
	ck_assert(t->has_gate && t->report.gated);
	ck_assert_str_eq(t->gate.reason, gates[_i].reason);
	ck_assert_int_eq(t->gate.synced, strcmp(t->gate.reason, "Synced") == 0);
	ck_assert_int_eq(t->report.synced, t->gate.synced);
	ck_assert_msg(strstr(t->gate.message, gates[_i].message) != NULL, "%s",
	    t->gate.message);
	ck_assert_str_eq(t->report.text, t->gate.synced ? "" : t->gate.message);
	ck_assert_str_eq(t->gate.uid, UID_1);
	ck_assert_int_eq(needed_catalog, gates[_i].needs_catalog);
}
END_TEST

START_TEST(the_agent_is_asked_once_more)
{
	struct pod_item item = { FINE, .sidecar = "" };

	at = (struct service_view)SHOWN(PASSING);
	confirmed = false;
	ck_assert_str_eq(tell(&item, true)->gate.reason, "NotRegistered");
	ck_assert_uint_eq(confirms, 1);
	confirmed = true;
	ck_assert(tell(&item, true)->gate.synced);
	/* Once is enough. */
	confirmed = false;
	ck_assert(tell(&item, true)->gate.synced);
	ck_assert_uint_eq(confirms, 1);
}
END_TEST

/* Once true, it stays so, and the catalog is asked no more. */
START_TEST(true_stays_true)
{
	struct pod_item item = { FINE, .sidecar = "" };

	at = (struct service_view)SHOWN(PASSING);
	ck_assert(tell(&item, true)->gate.synced);
	item.ready = false;
	at.written = false;
	item.condition = POD_CONDITION_FALSE;
	ck_assert(tell(&item, true)->gate.synced);
	ck_assert_str_eq(tell(&item, true)->gate.reason, "Synced");
	ck_assert_int_eq(tell(&item, true)->gate.seen, POD_CONDITION_FALSE);
	ck_assert(!needed_catalog);
	/* Not for the one that takes its place. */
	item.uid = UID_2;
	ck_assert(!tell(&item, true)->gate.synced);
}
END_TEST

START_TEST(true_from_the_start)
{
	struct pod_item item = { FINE, .sidecar = "",
		.condition = POD_CONDITION_TRUE };
	const struct telling *t = tell(&item, true);

	ck_assert(t->gate.synced);
	ck_assert(!needed_catalog);
	ck_assert_int_eq(t->gate.seen, POD_CONDITION_TRUE);
}
END_TEST

START_TEST(an_end_leaves_it_as_it_is)
{
	struct pod_item item = { FINE, .sidecar = "", .ending = true };

	at = (struct service_view)SHOWN(PASSING);
	ck_assert(!tell(&item, true)->has_gate);
	ck_assert(!needed_catalog);
}
END_TEST

START_TEST(gates_that_are_not_ours)
{
	struct pod_item item = { FINE, .sidecar = "sync" };
	const struct telling *t = tell(&item, false);

	ck_assert(!t->has_gate && !t->report.gated && !t->report.synced);
	ck_assert_int_eq(t->report.sidecar, POD_SIDECAR_WAITING);
	ck_assert_str_eq(t->report.text, "its sidecar has not registered");
	pods_set_sidecar(p, pods_find(p, "shop", "web-1"),
	    POD_SIDECAR_REGISTERED);
	t = tell(&item, false);
	ck_assert_int_eq(t->report.sidecar, POD_SIDECAR_REGISTERED);
	ck_assert_str_eq(t->report.text, "");
	ck_assert(!needed_catalog);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pod_gates");
	TCase *t = tcase_create("gates");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, reasons, 0, COUNT(gates));
	tcase_add_test(t, the_agent_is_asked_once_more);
	tcase_add_test(t, true_stays_true);
	tcase_add_test(t, true_from_the_start);
	tcase_add_test(t, an_end_leaves_it_as_it_is);
	tcase_add_test(t, gates_that_are_not_ours);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
