#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/consul_pods.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What the last service of each name was wanted as; "": none was. */
static struct {
	char name[16];
	char status[16];
	char output[64];
} wanted[8];
static size_t nwanted;
static size_t unwatched;
static struct pods *p;

static void
on_want(struct service *s, void *arg)
{
	size_t i = 0;

	(void)arg;
	while (i < nwanted && strcmp(wanted[i].name, s->name) != 0)
		i++;
	ck_assert_uint_lt(i, COUNT(wanted));
	if (i == nwanted)
		nwanted++;
	snprintf(wanted[i].name, sizeof(wanted[i].name), "%s", s->name);
	snprintf(wanted[i].status, sizeof(wanted[i].status), "%s",
	    service_status_name(s->status));
	snprintf(wanted[i].output, sizeof(wanted[i].output), "%s", s->output);
	free(s);
}

static const char *
status_of(const char *name)
{
	for (size_t i = 0; i < nwanted; i++) {
		if (strcmp(wanted[i].name, name) == 0)
			return wanted[i].status;
	}
	return "";
}

static void
on_unwatched(const struct pod *pod, void *arg)
{
	(void)pod;
	(void)arg;
	unwatched++;
}

static void
setup_gates(bool gates)
{
	const struct pods_conf conf = {
		.gates = gates,
		.want = on_want,
		.unwatched = on_unwatched,
	};

	memset(wanted, 0, sizeof(wanted));
	nwanted = unwatched = 0;
	p = pods_new(&conf);
}

static void
setup(void)
{
	setup_gates(true);
}

static void
teardown(void)
{
	pods_free(p);
}

static struct pod *
web(void)
{
	return pods_find(p, "shop", "web-1");
}

/* ---- the state of a sidecar ---- */

enum event {
	END, /* of the list */
	LIST, /* the pod, its sidecar not ready */
	LIST_READY,
	LIST_NONE, /* without the annotation */
	LIST_OTHER, /* under another uid */
	LIST_OTHER_READY,
	GONE,
	MISSED, /* by a snapshot */
	SAYS_REGISTERED, /* REMEMBER */
	SAYS_DEREGISTERED,
	SAYS_WAITING,
	SAYS_OTHER, /* that the other uid registered */
	FORGET,
	REGISTER, /* calls */
	DEREGISTER
};

static void
list(bool ready, const char *uid, const char *sidecar)
{
	struct pod_item item = a_pod();

	item.uid = uid;
	item.sidecar = sidecar;
	item.sidecar_ready = ready;
	ck_assert(put_pod(p, &item));
}

static void
says(enum pod_sidecar s, const char *uid)
{
	const struct pod_report r = {
		.namespace = "shop",
		.name = "web-1",
		.uid = uid,
		.sidecar = s,
		.text = "",
	};
	char key[LIMIT_SET_KEY];
	uint8_t buf[2048];
	size_t key_len = pod_key("shop", "web-1", key),
	       len = pod_report_encode(&r, buf, sizeof(buf));

	ck_assert(pods_remember(p, key, key_len, buf, len));
}

static void
happen(enum event e)
{
	switch (e) {
	case LIST:
	case LIST_READY:
		list(e == LIST_READY, UID_1, "sync");
		break;
	case LIST_NONE:
		list(false, UID_1, "");
		break;
	case LIST_OTHER:
	case LIST_OTHER_READY:
		list(e == LIST_OTHER_READY, UID_2, "sync");
		break;
	case GONE:
		del_pod(p, "shop", "web-1");
		break;
	case MISSED:
		miss_pod(p, "shop", "web-1");
		break;
	case SAYS_REGISTERED:
		says(POD_SIDECAR_REGISTERED, UID_1);
		break;
	case SAYS_DEREGISTERED:
		says(POD_SIDECAR_DEREGISTERED, UID_1);
		break;
	case SAYS_WAITING:
		says(POD_SIDECAR_WAITING, UID_1);
		break;
	case SAYS_OTHER:
		says(POD_SIDECAR_REGISTERED, UID_2);
		break;
	case FORGET:
		pods_forget(p);
		break;
	default:
		pods_set_sidecar(p, web(),
		    e == REGISTER ? POD_SIDECAR_REGISTERED
				  : POD_SIDECAR_DEREGISTERED);
	}
}

#define W POD_SIDECAR_WAITING
#define R POD_SIDECAR_REGISTERED
#define D POD_SIDECAR_DEREGISTERED
#define N POD_SIDECAR_NONE

static const struct {
	enum event events[8];
	enum pod_sidecar is;
} states[] = {
	{ { LIST }, W },
	{ { LIST_READY }, R },
	{ { LIST_NONE }, N },
	{ { LIST, LIST_READY }, R },
	/* It does not lose it by a restart of the container. */
	{ { LIST_READY, LIST }, R },
	{ { LIST, REGISTER }, R },
	{ { LIST, REGISTER, LIST }, R },
	{ { LIST_READY, DEREGISTER }, D },
	/* The list lags behind. */
	{ { LIST_READY, DEREGISTER, LIST_READY }, D },
	{ { LIST_READY, DEREGISTER, REGISTER }, R },
	/* What was known before. */
	{ { SAYS_REGISTERED, LIST }, R },
	{ { LIST, SAYS_REGISTERED }, R },
	{ { SAYS_DEREGISTERED, LIST_READY }, D },
	{ { LIST_READY, SAYS_DEREGISTERED }, D },
	{ { SAYS_DEREGISTERED, LIST_READY, LIST_READY }, D },
	{ { SAYS_WAITING, LIST_READY }, R },
	{ { SAYS_REGISTERED, SAYS_DEREGISTERED, LIST }, D },
	{ { SAYS_REGISTERED, FORGET, LIST }, W },
	/* A call knows better. */
	{ { LIST, REGISTER, SAYS_DEREGISTERED }, R },
	{ { LIST, DEREGISTER, SAYS_REGISTERED }, D },
	/* Another uid. */
	{ { LIST, REGISTER, LIST_OTHER }, W },
	{ { LIST_READY, DEREGISTER, LIST_OTHER_READY }, R },
	{ { SAYS_REGISTERED, LIST_OTHER }, W },
	{ { LIST, SAYS_OTHER }, W },
	{ { LIST, SAYS_OTHER, LIST_OTHER }, R },
	{ { LIST, REGISTER, GONE, LIST }, W },
	/* It may come back, if the list was not whole. */
	{ { LIST, REGISTER, MISSED, LIST }, R },
	{ { LIST_READY, DEREGISTER, MISSED, LIST_READY }, D },
	{ { LIST, REGISTER, MISSED, LIST_OTHER }, W },
	{ { LIST, REGISTER, MISSED, FORGET, LIST }, W },
	/* The annotation comes and goes. */
	{ { LIST, REGISTER, LIST_NONE }, N },
	{ { LIST_NONE, LIST }, W },
	{ { LIST_NONE, LIST_READY }, R },
	{ { SAYS_REGISTERED, LIST_NONE }, N },
	{ { LIST_NONE, SAYS_REGISTERED }, N },
};

START_TEST(state_of_a_sidecar)
{
	for (const enum event *e = states[_i].events; *e != END; e++)
		happen(*e);
	ck_assert_str_eq(pod_sidecar_name(web()->sidecar),
	    pod_sidecar_name(states[_i].is));
}
END_TEST

/* ---- the status of a service ---- */

static const struct {
	enum pod_sidecar sidecar;
	enum service_status status;
	const char *wanted;
	const char *output;
} effective[] = {
	{ W, SERVICE_PASSING, "critical",
	    "waiting for the sidecar to register" },
	{ R, SERVICE_PASSING, "passing", "own" },
	{ D, SERVICE_PASSING, "critical", "deregistered by its sidecar" },
	{ W, SERVICE_WARNING, "warning", "own" },
	{ D, SERVICE_WARNING, "warning", "own" },
	{ R, SERVICE_CRITICAL, "critical", "own" },
	{ W, SERVICE_CRITICAL, "critical", "own" },
};

START_TEST(status_of_a_service)
{
	struct service s = a_service("web");

	happen(LIST);
	if (effective[_i].sidecar != W)
		pods_set_sidecar(p, web(), effective[_i].sidecar);
	s.status = effective[_i].status;
	s.output = "own";
	ck_assert(put_service(p, &s));
	ck_assert_str_eq(status_of("web"), effective[_i].wanted);
	ck_assert_str_eq(wanted[0].output, effective[_i].output);
}
END_TEST

START_TEST(services_follow_the_sidecar)
{
	struct service a = a_service("a"), b = a_service("b"),
		       plain = a_service("plain");

	happen(LIST);
	plain.sidecar = false;
	b.status = SERVICE_WARNING;
	ck_assert(
	    put_service(p, &a) && put_service(p, &b) && put_service(p, &plain));
	ck_assert_str_eq(status_of("a"), "critical");
	ck_assert_str_eq(status_of("plain"), "passing");
	nwanted = 0;
	happen(REGISTER);
	ck_assert_str_eq(status_of("a"), "passing");
	ck_assert_str_eq(status_of("b"), "warning");
	/* It is nothing to it. */
	ck_assert_str_eq(status_of("plain"), "");
	nwanted = 0;
	happen(REGISTER);
	ck_assert_uint_eq(nwanted, 0);
	happen(DEREGISTER);
	ck_assert_str_eq(status_of("a"), "critical");
	/* It has another uid until it comes anew. */
	happen(LIST_OTHER_READY);
	ck_assert_str_eq(status_of("a"), "critical");
	a.pod_uid = UID_2;
	ck_assert(put_service(p, &a));
	ck_assert_str_eq(status_of("a"), "passing");
}
END_TEST

START_TEST(a_service_without_its_pod)
{
	struct service s = a_service("web");

	ck_assert(put_service(p, &s));
	ck_assert_str_eq(status_of("web"), "critical");
	/* Its annotation went; the service follows. */
	happen(LIST_NONE);
	ck_assert(put_service(p, &s));
	ck_assert_str_eq(status_of("web"), "passing");
}
END_TEST

/* ---- who is watched ---- */

static const struct {
	const char *sidecar;
	bool gated;
	bool gates; /* are ours to set */
	bool watched;
} watches[] = {
	{ "", false, true, false },
	{ "sync", false, true, true },
	{ "sync", false, false, true },
	{ "", true, true, true },
	{ "", true, false, false },
	{ "sync", true, true, true },
};

START_TEST(who_is_watched)
{
	struct pod_item item = a_pod();
	struct service s = a_service("web");

	pods_free(p);
	setup_gates(watches[_i].gates);
	item.sidecar = watches[_i].sidecar;
	item.gated = watches[_i].gated;
	s.sidecar = *item.sidecar != '\0';
	ck_assert(put_pod(p, &item) && put_service(p, &s));
	ck_assert_uint_eq(web()->nservices, watches[_i].watched);
	ck_assert_ptr_eq(pods_first(p), watches[_i].watched ? web() : NULL);
	del_service(p, s.id);
	ck_assert_uint_eq(web()->nservices, 0);
	del_pod(p, "shop", "web-1");
	ck_assert_ptr_null(web());
	ck_assert_uint_eq(unwatched, watches[_i].watched);
}
END_TEST

START_TEST(another_takes_its_place)
{
	happen(LIST);
	happen(LIST);
	ck_assert_uint_eq(unwatched, 0);
	happen(LIST_OTHER);
	ck_assert_uint_eq(unwatched, 1);
	list(false, UID_2, "");
	ck_assert_uint_eq(unwatched, 2);
	ck_assert_ptr_null(pods_first(p));
}
END_TEST

START_TEST(a_condition_that_is_there)
{
	struct pod_item item = a_pod();

	item.gated = true;
	item.condition = POD_CONDITION_TRUE;
	ck_assert(put_pod(p, &item));
	ck_assert(web()->synced);
	/* Not the other's. */
	item.uid = UID_2;
	item.condition = POD_CONDITION_FALSE;
	ck_assert(put_pod(p, &item));
	ck_assert(!web()->synced);
	/* Somebody else set it meanwhile: it is not for them to say. */
	item.condition = POD_CONDITION_TRUE;
	ck_assert(put_pod(p, &item));
	ck_assert(!web()->synced);
}
END_TEST

START_TEST(nonsense_is_refused)
{
	struct service s = a_service("web");

	ck_assert(!pods_put(p, "x", 1, "y", 1));
	ck_assert(!pods_put(p, "P\0shop\0web", 10, "y", 1));
	s.nmeta = 0;
	ck_assert(!put_service(p, &s));
	ck_assert(!pods_remember(p, "x", 1, "y", 1));
	ck_assert_uint_eq(nwanted, 0);
	/* Not there: nothing to do. */
	pods_del(p, "x", 1, true);
	del_pod(p, "shop", "web-1");
}
END_TEST

START_TEST(memories_have_a_bound)
{
	for (int i = 0; i < LIMIT_PODS + 10; i++) {
		char name[32], key[LIMIT_SET_KEY];
		const struct pod_report r = {
			.namespace = "shop",
			.name = name,
			.uid = UID_1,
			.sidecar = POD_SIDECAR_REGISTERED,
			.text = "",
		};
		uint8_t buf[2048];
		size_t key_len, len;

		snprintf(name, sizeof(name), "web-%d", i);
		key_len = pod_key("shop", name, key);
		len = pod_report_encode(&r, buf, sizeof(buf));
		ck_assert(pods_remember(p, key, key_len, buf, len));
	}
	happen(LIST);
	ck_assert_int_eq(web()->sidecar, POD_SIDECAR_REGISTERED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sidecar_pods");
	TCase *t = tcase_create("pods");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, state_of_a_sidecar, 0, COUNT(states));
	tcase_add_loop_test(t, status_of_a_service, 0, COUNT(effective));
	tcase_add_test(t, services_follow_the_sidecar);
	tcase_add_test(t, a_service_without_its_pod);
	tcase_add_loop_test(t, who_is_watched, 0, COUNT(watches));
	tcase_add_test(t, another_takes_its_place);
	tcase_add_test(t, a_condition_that_is_there);
	tcase_add_test(t, nonsense_is_refused);
	tcase_add_test(t, memories_have_a_bound);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
