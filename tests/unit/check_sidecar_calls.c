#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/consul_pods.h"
#include "tests/unit/consul_views.h"
#include "workers/consul_writer/calls.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define WAITS    17 /* no answer yet */

static struct pods *p;
static struct calls *c;
/* The last answer, and how many there were. */
static unsigned code;
static char text[LIMIT_TEXT + 1];
static uint64_t answered;
static size_t answers;
static bool needed_catalog;

static void
on_answer(uint64_t id, enum call_code as, const char *why, void *arg)
{
	(void)arg;
	answered = id;
	answers++;
	code = as;
	snprintf(text, sizeof(text), "%s", why);
}

static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
setup_calls(bool verify)
{
	struct calls_conf conf = {
		.pods = p,
		.verify_peer = verify,
		.answer = on_answer,
	};

	c = calls_new(&conf);
}

static void
setup(void)
{
	log_set_sink(no_log, NULL);
	p = views_start();
	setup_calls(true);
	code = WAITS;
	answers = 0;
	text[0] = '\0';
	at = (struct service_view){ .error = "", .status = SERVICE_CRITICAL };
}

static void
teardown(void)
{
	calls_free(c);
	pods_free(p);
}

static struct call
a_call(enum call_op op)
{
	return (struct call){
		.id = 1,
		.op = op,
		.namespace = "shop",
		.pod = "web-1",
		.container = "sync",
		.peer = "10.1.2.3",
	};
}

static void
call(uint64_t id, enum call_op op)
{
	struct call call = a_call(op);

	call.id = id;
	ck_assert(calls_begin(c, &call));
}

static void
settle(void)
{
	struct outlook o = views_outlook();

	calls_settle(c, &o);
	needed_catalog = o.needs_catalog;
}

/* With one service, and the list is complete. */
static void
a_list_with(const struct pod_item *item)
{
	struct service s = a_service("web");
	struct pod_item copy = *item;

	copy.services = 1;
	s.pod_uid = item->uid;
	ck_assert(put_pod(p, &copy) && put_service(p, &s));
	pods_complete(p);
}

static void
a_list(void)
{
	struct pod_item item = a_pod();

	a_list_with(&item);
}

/* As it is after a registration, in all places. */
static void
all_passing(void)
{
	at = (struct service_view){ true, "", SERVICE_PASSING, false,
		CATALOG_PASSING, true };
}

/* ---- what is refused ---- */

#define IN_POD .namespace = "shop", .name = "web-1", .uid = UID_1
#define AT     .addresses = { "10.1.2.3", "fd00::3" }, .naddresses = 2
#define NODE   .node_addresses = { "192.0.2.1" }, .nnode_addresses = 1

static const struct refused {
	struct pod_item item;
	enum call_op op;
	const char *container; /* NULL: sync */
	const char *peer; /* NULL: 10.1.2.3 */
	bool local;
	unsigned code;
	const char *text; /* in it, besides the pod's name */
} judged[] = {
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .services = 1 },
	    .code = WAITS },
	/* annotations */
	{ { IN_POD, AT, .sidecar = "" }, .code = CALL_FAILED_PRECONDITION,
	    .text = "no annotation service-names" },
	{ { IN_POD, AT, .ours = true, .sidecar = "" },
	    .code = CALL_FAILED_PRECONDITION, .text = "no annotation sidecar" },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync" }, .container = "web",
	    .code = CALL_FAILED_PRECONDITION,
	    .text = "container sync, by its annotation, not web" },
	{ { IN_POD, AT, .ours = true, .sidecar = "" }, .op = CALL_DEREGISTER,
	    .code = CALL_FAILED_PRECONDITION, .text = "no annotation sidecar" },
	/* what becomes of it */
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .ending = true,
	      .services = 1 },
	    .code = CALL_FAILED_PRECONDITION, .text = "being deleted" },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .ending = true,
	      .services = 1 },
	    .op = CALL_DEREGISTER, .code = WAITS },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync" },
	    .code = CALL_FAILED_PRECONDITION,
	    .text = "no service can be made" },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .waits = true },
	    .code = WAITS },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync" },
	    .op = CALL_DEREGISTER, .code = CALL_OK },
	/* addresses */
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .services = 1 },
	    .peer = "fd00:0::3", .code = WAITS },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .services = 1 },
	    .peer = "::ffff:10.1.2.3", .code = WAITS },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .services = 1 },
	    .peer = "10.1.2.4", .code = CALL_PERMISSION_DENIED,
	    .text = "10.1.2.4 is not its address, 10.1.2.3;" },
	{ { IN_POD, AT, .ours = true, .sidecar = "sync", .services = 1 },
	    .peer = "", .code = CALL_PERMISSION_DENIED, .text = "" },
	{ { IN_POD, AT, NODE, .ours = true, .sidecar = "sync", .services = 1 },
	    .peer = "192.0.2.1", .local = true, .code = CALL_PERMISSION_DENIED,
	    .text = "192.0.2.1" },
	{ { IN_POD, AT, NODE, .ours = true, .sidecar = "sync", .services = 1,
	      .host_network = true },
	    .peer = "192.0.2.1", .code = WAITS },
	{ { IN_POD, AT, NODE, .ours = true, .sidecar = "sync", .services = 1,
	      .host_network = true },
	    .peer = "192.0.2.2", .local = true, .code = WAITS },
	{ { IN_POD, AT, NODE, .ours = true, .sidecar = "sync", .services = 1,
	      .host_network = true },
	    .peer = "192.0.2.2", .code = CALL_PERMISSION_DENIED,
	    .text = "nor its node's" },
	{ { IN_POD, .ours = true, .sidecar = "sync", .waits = true },
	    .code = CALL_UNAVAILABLE, .text = "its address yet" },
	/* Who may not is not told what is wrong with the pod. */
	{ { IN_POD, AT, .sidecar = "" }, .peer = "10.1.2.4",
	    .code = CALL_PERMISSION_DENIED, .text = "10.1.2.4" },
};

static void
begin_judged(const struct refused *r)
{
	struct call call = a_call(r->op);

	ck_assert(put_pod(p, &r->item));
	pods_complete(p);
	if (r->container != NULL)
		call.container = r->container;
	if (r->peer != NULL)
		call.peer = r->peer;
	call.local = r->local;
	ck_assert(calls_begin(c, &call));
	settle();
}

START_TEST(calls_are_judged)
{
	const struct refused *r = &judged[_i];
	const struct pod *pod;

	begin_judged(r);
	ck_assert_msg(code == r->code, "%u: %s", code, text);
	pod = pods_find(p, "shop", "web-1");
	if (r->text == NULL)
		return;
	ck_assert_msg(strstr(text, "pod shop/web-1: ") == text &&
		strstr(text, r->text) != NULL,
	    "%s", text);
	ck_assert_uint_eq(calls_count(c), 0);
	ck_assert_int_ne(pod->sidecar, POD_SIDECAR_REGISTERED);
	ck_assert_int_ne(pod->sidecar, POD_SIDECAR_DEREGISTERED);
}
END_TEST

START_TEST(without_verification)
{
	struct call other = a_call(CALL_REGISTER);

	calls_free(c);
	setup_calls(false);
	a_list();
	other.peer = "10.9.9.9";
	ck_assert(calls_begin(c, &other));
	ck_assert_uint_eq(code, WAITS);
}
END_TEST

static const struct {
	const char *namespace;
	const char *pod;
	const char *container;
	unsigned code;
	const char *text;
} names[] = {
	{ "", "web-1", "sync", CALL_INVALID_ARGUMENT, "the namespace is" },
	{ "shop", "", "sync", CALL_INVALID_ARGUMENT, "the pod's name is" },
	{ "shop", "web-1", "", CALL_INVALID_ARGUMENT, "container's name is" },
	{ "shop", "web-2", "sync", CALL_NOT_FOUND, "pod shop/web-2: " },
	{ "other", "web-1", "sync", CALL_NOT_FOUND, "pod other/web-1: " },
};

START_TEST(names_are_checked)
{
	struct call call = a_call(CALL_REGISTER);

	a_list();
	call.namespace = names[_i].namespace;
	call.pod = names[_i].pod;
	call.container = names[_i].container;
	ck_assert(calls_begin(c, &call));
	ck_assert_uint_eq(code, names[_i].code);
	ck_assert_ptr_nonnull(strstr(text, names[_i].text));
}
END_TEST

START_TEST(before_the_first_list)
{
	call(1, CALL_REGISTER);
	ck_assert_uint_eq(code, CALL_UNAVAILABLE);
	ck_assert_uint_eq(calls_count(c), 0);
}
END_TEST

/* ---- when they end ---- */

START_TEST(register_waits_for_all)
{
	struct pod_item item = a_pod();

	item.ready = false;
	a_list_with(&item);
	call(1, CALL_REGISTER);
	settle();
	ck_assert(!needed_catalog);
	all_passing();
	at.written = false;
	settle();
	item.ready = true;
	a_list_with(&item);
	settle();
	/* It is asked while the agent is written to. */
	ck_assert(needed_catalog);
	at.written = true;
	at.shown = CATALOG_CRITICAL;
	settle();
	at.shown = CATALOG_UNKNOWN;
	settle();
	at.shown = CATALOG_ABSENT;
	settle();
	at.shown = CATALOG_OTHER;
	settle();
	ck_assert_uint_eq(answers, 0);
	at.shown = CATALOG_PASSING;
	settle();
	ck_assert_uint_eq(code, CALL_OK);
	ck_assert_str_eq(text, "");
	ck_assert(!needed_catalog);
	settle();
	ck_assert_uint_eq(answers, 1);
}
END_TEST

/* All of the pod's services, also those that are still to come. */
START_TEST(register_waits_for_each)
{
	struct service more = a_service("more");
	struct pod_item item = a_pod();

	a_list();
	item.services = 2;
	ck_assert(put_pod(p, &item));
	call(1, CALL_REGISTER);
	all_passing();
	settle();
	ck_assert_uint_eq(code, WAITS);
	ck_assert(put_service(p, &more));
	settle();
	ck_assert_uint_eq(code, CALL_OK);
}
END_TEST

/* The agent may have forgotten all before the catalog does. */
START_TEST(register_asks_the_agent_once_more)
{
	a_list();
	call(1, CALL_REGISTER);
	all_passing();
	at.shown = CATALOG_CRITICAL;
	confirmed = false;
	settle();
	ck_assert_uint_eq(confirms, 0);
	at.shown = CATALOG_PASSING;
	settle();
	ck_assert_uint_eq(confirms, 1);
	ck_assert_uint_eq(code, WAITS);
	ck_assert(needed_catalog);
	confirmed = true;
	settle();
	ck_assert_uint_eq(code, CALL_OK);
}
END_TEST

enum at_agent { WRITTEN, NOT_YET, NOT_THERE };

static const struct {
	enum at_agent agent;
	enum service_status status;
	enum catalog_shown shown;
	bool out;
} outs[] = {
	{ WRITTEN, SERVICE_CRITICAL, CATALOG_CRITICAL, true },
	{ WRITTEN, SERVICE_CRITICAL, CATALOG_ABSENT, true },
	{ WRITTEN, SERVICE_CRITICAL, CATALOG_WARNING, true },
	{ WRITTEN, SERVICE_WARNING, CATALOG_WARNING, true },
	{ WRITTEN, SERVICE_CRITICAL, CATALOG_PASSING, false },
	{ WRITTEN, SERVICE_CRITICAL, CATALOG_UNKNOWN, false },
	{ WRITTEN, SERVICE_CRITICAL, CATALOG_OTHER, false },
	{ WRITTEN, SERVICE_PASSING, CATALOG_CRITICAL, false },
	{ NOT_YET, SERVICE_CRITICAL, CATALOG_CRITICAL, false },
	/* The agent refused it, or has somebody else's. */
	{ NOT_THERE, SERVICE_CRITICAL, CATALOG_ABSENT, true },
	{ NOT_THERE, SERVICE_CRITICAL, CATALOG_PASSING, false },
	{ NOT_THERE, SERVICE_CRITICAL, CATALOG_UNKNOWN, false },
	{ NOT_THERE, SERVICE_PASSING, CATALOG_ABSENT, false },
};

START_TEST(deregister_waits)
{
	a_list();
	call(1, CALL_DEREGISTER);
	at = (struct service_view){
		.written = outs[_i].agent == WRITTEN,
		.absent = outs[_i].agent == NOT_THERE,
		.error = "",
		.status = outs[_i].status,
		.shown = outs[_i].shown,
	};
	settle();
	ck_assert_uint_eq(code, outs[_i].out ? CALL_OK : WAITS);
	ck_assert_int_eq(needed_catalog, !outs[_i].out);
}
END_TEST

/* What becomes of the pod while a call waits. */
enum meanwhile {
	GONE,
	MISSED, /* in a list that is not confirmed */
	REPLACED,
	ENDING,
	NO_ANNOTATION,
	OTHER_CONTAINER,
	NO_SERVICES,
	OTHER_ADDRESS,
	OPPOSITE
};

static const struct {
	enum call_op op;
	enum meanwhile what;
	unsigned code;
} meanwhiles[] = {
	{ CALL_REGISTER, GONE, CALL_NOT_FOUND },
	{ CALL_REGISTER, REPLACED, CALL_ABORTED },
	{ CALL_REGISTER, ENDING, CALL_FAILED_PRECONDITION },
	{ CALL_REGISTER, NO_ANNOTATION, CALL_FAILED_PRECONDITION },
	{ CALL_REGISTER, OTHER_CONTAINER, CALL_FAILED_PRECONDITION },
	{ CALL_REGISTER, NO_SERVICES, CALL_FAILED_PRECONDITION },
	/* It was who it said it was. */
	{ CALL_REGISTER, OTHER_ADDRESS, WAITS },
	{ CALL_REGISTER, OPPOSITE, CALL_ABORTED },
	{ CALL_DEREGISTER, GONE, CALL_NOT_FOUND },
	/* Its services are still there, and passing. */
	{ CALL_DEREGISTER, MISSED, CALL_UNAVAILABLE },
	{ CALL_REGISTER, MISSED, CALL_NOT_FOUND },
	{ CALL_DEREGISTER, REPLACED, CALL_ABORTED },
	{ CALL_DEREGISTER, ENDING, WAITS },
	{ CALL_DEREGISTER, OPPOSITE, CALL_ABORTED },
};

static void
change(enum meanwhile what, enum call_op op)
{
	struct pod_item item = a_pod();

	item.services = what != NO_SERVICES;
	if (what == REPLACED)
		item.uid = UID_2;
	item.ending = what == ENDING;
	if (what == NO_ANNOTATION)
		item.sidecar = "";
	if (what == OTHER_CONTAINER)
		item.sidecar = "other";
	if (what == OTHER_ADDRESS)
		item.addresses[0] = "10.9.9.9";
	ck_assert(put_pod(p, &item));
	if (what == GONE)
		del_pod(p, "shop", "web-1");
	if (what == MISSED)
		miss_pod(p, "shop", "web-1");
	pods_confirm(p, what != MISSED);
	if (what == OPPOSITE)
		call(2, op == CALL_REGISTER ? CALL_DEREGISTER : CALL_REGISTER);
}

START_TEST(what_happens_meanwhile)
{
	a_list();
	call(1, meanwhiles[_i].op);
	settle();
	ck_assert_uint_eq(answers, 0);
	change(meanwhiles[_i].what, meanwhiles[_i].op);
	settle();
	ck_assert_msg(code == meanwhiles[_i].code, "%u: %s", code, text);
	if (code != WAITS)
		ck_assert_uint_eq(answered, 1);
}
END_TEST

/* A caller that lost its connection may be the last to know. */
START_TEST(a_newer_one_takes_its_place)
{
	a_list();
	call(1, CALL_REGISTER);
	ck_assert_uint_eq(answers, 0);
	call(2, CALL_REGISTER);
	ck_assert_uint_eq(answered, 1);
	ck_assert_uint_eq(code, CALL_ABORTED);
	ck_assert_ptr_nonnull(strstr(text, "pod shop/web-1: a newer call"));
	ck_assert_uint_eq(calls_count(c), 1);
	calls_end(c, 99);
	all_passing();
	settle();
	ck_assert_uint_eq(answers, 2);
	ck_assert_uint_eq(answered, 2);
	ck_assert_uint_eq(code, CALL_OK);
	ck_assert_uint_eq(calls_count(c), 0);
}
END_TEST

START_TEST(nobody_waits_any_more)
{
	a_list();
	call(1, CALL_REGISTER);
	calls_end(c, 1);
	call(2, CALL_REGISTER);
	calls_end(c, 2);
	all_passing();
	settle();
	ck_assert_uint_eq(answers, 0);
}
END_TEST

/* Neither another pod's, nor the same pod's of the other kind, as such. */
START_TEST(others_keep_their_places)
{
	struct call other = a_call(CALL_REGISTER);
	struct pod_item item = a_pod();

	a_list();
	item.name = "web-2";
	item.uid = UID_2;
	item.services = 1;
	ck_assert(put_pod(p, &item));
	call(1, CALL_REGISTER);
	other.id = 2;
	other.pod = "web-2";
	ck_assert(calls_begin(c, &other));
	call(3, CALL_DEREGISTER);
	ck_assert_uint_eq(answers, 0);
	ck_assert_uint_eq(calls_count(c), 3);
}
END_TEST

START_TEST(an_id_is_one_call)
{
	struct call again = a_call(CALL_REGISTER);

	a_list();
	call(1, CALL_REGISTER);
	ck_assert(!calls_begin(c, &again));
	calls_end(c, 1);
	ck_assert(calls_begin(c, &again));
}
END_TEST

static unsigned
turn(uint64_t id, uint64_t now)
{
	struct call call = a_call(id % 2 ? CALL_REGISTER : CALL_DEREGISTER);

	call.id = id;
	call.now = now;
	answers = 0;
	ck_assert(calls_begin(c, &call));
	settle();
	return answers > 0 ? code : WAITS;
}

START_TEST(turns_have_a_bound)
{
	uint64_t id = 1, now = 5000;

	a_list();
	for (; id <= CALL_TURNS; id++)
		ck_assert_uint_ne(turn(id, now), CALL_RESOURCE_EXHAUSTED);
	ck_assert_uint_eq(turn(id, now), CALL_RESOURCE_EXHAUSTED);
	ck_assert(strstr(text, "shop/web-1") != NULL);
	/* What is no turn is free, and did not cost one. */
	for (int i = 0; i < 3; i++)
		ck_assert_uint_ne(turn(100 + 2 * (uint64_t)i, now),
		    CALL_RESOURCE_EXHAUSTED);
	ck_assert_uint_eq(turn(id, now + CALL_TURN_MS - 1),
	    CALL_RESOURCE_EXHAUSTED);
	now += CALL_TURN_MS;
	ck_assert_uint_ne(turn(id, now), CALL_RESOURCE_EXHAUSTED);
	ck_assert_uint_eq(turn(id + 1, now), CALL_RESOURCE_EXHAUSTED);
}
END_TEST

/* The call of a pod of its own. */
static void
call_of_pod(unsigned id)
{
	struct call call = a_call(CALL_REGISTER);
	struct pod_item item = a_pod();
	char name[32];

	snprintf(name, sizeof(name), "web-%u", id);
	item.name = item.uid = name;
	item.services = 1;
	ck_assert(put_pod(p, &item));
	call.id = id;
	call.pod = name;
	ck_assert(calls_begin(c, &call));
}

START_TEST(calls_have_a_bound)
{
	a_list();
	for (unsigned id = 1; id <= LIMIT_GRPC_CALLS; id++)
		call_of_pod(id);
	ck_assert_uint_eq(answers, 0);
	call_of_pod(LIMIT_GRPC_CALLS + 1);
	ck_assert_uint_eq(code, CALL_RESOURCE_EXHAUSTED);
	calls_clear(c);
	ck_assert_uint_eq(calls_count(c), 0);
	ck_assert_uint_eq(answers, 1);
	/* What was registered stays so. */
	ck_assert_int_eq(pods_find(p, "shop", "web-1")->sidecar,
	    POD_SIDECAR_REGISTERED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sidecar_calls");
	TCase *t = tcase_create("calls");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, calls_are_judged, 0, COUNT(judged));
	tcase_add_test(t, without_verification);
	tcase_add_loop_test(t, names_are_checked, 0, COUNT(names));
	tcase_add_test(t, before_the_first_list);
	tcase_add_test(t, register_waits_for_all);
	tcase_add_test(t, register_waits_for_each);
	tcase_add_test(t, register_asks_the_agent_once_more);
	tcase_add_loop_test(t, deregister_waits, 0, COUNT(outs));
	tcase_add_loop_test(t, what_happens_meanwhile, 0, COUNT(meanwhiles));
	tcase_add_test(t, a_newer_one_takes_its_place);
	tcase_add_test(t, nobody_waits_any_more);
	tcase_add_test(t, others_keep_their_places);
	tcase_add_test(t, an_id_is_one_call);
	tcase_add_test(t, turns_have_a_bound);
	tcase_add_test(t, calls_have_a_bound);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
