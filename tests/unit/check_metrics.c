#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"
#include "common/proto.h"
#include "tests/unit/manual.h"

/* Families stand together: Prometheus wants one HELP and TYPE for each. */
START_TEST(families_are_consecutive)
{
	for (unsigned i = 0; i < METRIC_MAX; i++) {
		const struct metric_def *d = metric_def((enum metric)i);
		bool left = false;

		ck_assert_msg(d->name != NULL, "metric %u has no name", i);
		for (unsigned j = i + 1; j < METRIC_MAX; j++) {
			const char *name = metric_def((enum metric)j)->name;
			bool same = strcmp(name, d->name) == 0;

			ck_assert_msg(!(same && left), "%s is torn", name);
			left = left || !same;
		}
	}
	ck_assert_ptr_null(metric_def(METRIC_MAX));
}
END_TEST

START_TEST(only_the_first_of_a_family_has_help)
{
	const char *last = "";

	for (unsigned i = 0; i < METRIC_MAX; i++) {
		const struct metric_def *d = metric_def((enum metric)i);

		if (strcmp(d->name, last) != 0)
			ck_assert_msg(d->help != NULL, "%s", d->name);
		last = d->name;
	}
}
END_TEST

static const struct {
	uint64_t ms;
	size_t bucket;
} observed[] = {
	{ 0, 0 },
	{ 1, 1 }, /* bounds are inclusive */
	{ 2, 2 },
	{ 3, 3 },
	{ 250, 8 },
	{ 251, 9 },
	{ 10000, 11 },
	{ 10001, 12 },
	{ 3600000, 12 },
};

START_TEST(observes_into_buckets)
{
	struct metrics ms = { 0 };
	struct metric_value *v = &ms.m[M_CONSUL_LATENCY];

	for (size_t i = 0; i < sizeof(observed) / sizeof(*observed); i++) {
		uint64_t before = v->buckets[observed[i].bucket];

		metric_observe_ms(&ms, M_CONSUL_LATENCY, observed[i].ms);
		ck_assert_msg(v->buckets[observed[i].bucket] == before + 1,
		    "%llu ms", (unsigned long long)observed[i].ms);
		ck_assert_uint_eq(v->count, i + 1);
	}
}
END_TEST

START_TEST(goes_over_the_wire)
{
	static uint8_t buf[PROTO_BODY_MAX];
	struct metrics from = { 0 }, to = { 0 };
	struct tlv_writer w;

	metric_inc(&from, M_KUBELET_SYNC_OK);
	metric_add(&from, M_KUBELET_BYTES, UINT64_MAX - 1);
	metric_set(&from, M_PODS, 110);
	metric_observe_ms(&from, M_KUBELET_SYNC_S_OK, 1500);
	metric_observe_ms(&from, M_KUBELET_LATENCY, 7);
	metric_inc(&from, M_CONSUL_READ); /* another role's: not sent */
	tlv_writer_init(&w, buf, sizeof(buf));
	metrics_encode(&from, ROLE_KUBELET_READER, &w);
	ck_assert(!w.overflow);
	ck_assert(metrics_decode(buf, w.len, ROLE_KUBELET_READER, &to));
	from.m[M_CONSUL_READ].value = 0;
	ck_assert_mem_eq(&from, &to, sizeof(to));
}
END_TEST

START_TEST(refuses_nonsense)
{
	static uint8_t buf[PROTO_BODY_MAX];
	struct metrics ms = { 0 };
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	metrics_encode(&ms, ROLE_KUBELET_READER, &w);
	/* Another role's figures, and every cut. */
	ck_assert(!metrics_decode(buf, w.len, ROLE_CONSUL_WRITER, &ms));
	for (size_t cut = 1; cut < TLV_HEADER + 2 + 8; cut++)
		ck_assert_msg(!metrics_decode(buf, w.len - cut,
				  ROLE_KUBELET_READER, &ms),
		    "cut by %zu", cut);
	/* A figure that does not exist. */
	buf[TLV_HEADER] = 0xff;
	ck_assert(!metrics_decode(buf, w.len, ROLE_KUBELET_READER, &ms));
}
END_TEST

/* What http counts itself, of workers: prometheus.c. */
static const char *const of_workers[] = { "katalogd_build_info",
	"katalogd_synced", "katalogd_worker_ready",
	"katalogd_worker_restarts_total", "katalogd_worker_uptime_seconds" };

#define OF_WORKERS (sizeof(of_workers) / sizeof(*of_workers))

/* "\n.It Va NAME\n", with " Brq LABEL , LABEL" behind the name. */
static void
item_of(const struct metric_def *d, char *buf, size_t cap)
{
	const char *label = d->labels != NULL ? d->labels : "";
	const char *before = " Brq ";
	char name[64];
	size_t n = (size_t)snprintf(buf, cap, "\n.It Va %s", d->name);

	while (sscanf(label, "%63[a-z]=", name) == 1) {
		n += (size_t)snprintf(buf + n, cap - n, "%s%s", before, name);
		before = " , ";
		label += strcspn(label, ",");
		label += *label == ',';
	}
	snprintf(buf + n, cap - n, "\n");
}

START_TEST(stands_in_the_manual)
{
	char *text = manual_text("katalogd.8"), item[256];

	for (unsigned i = 0; i < METRIC_MAX; i++) {
		item_of(metric_def((enum metric)i), item, sizeof(item));
		ck_assert_msg(strstr(text, item) != NULL, "%s", item);
	}
	free(text);
}
END_TEST

static bool
exists(const char *name)
{
	for (unsigned i = 0; i < METRIC_MAX; i++)
		if (strcmp(metric_def((enum metric)i)->name, name) == 0)
			return true;
	for (size_t i = 0; i < OF_WORKERS; i++)
		if (strcmp(of_workers[i], name) == 0)
			return true;
	return false;
}

START_TEST(manual_knows_no_more)
{
	char *text = manual_text("katalogd.8"), *at = text, name[64];

	for (; (at = strstr(at, "\n.It Va ")) != NULL; at++) {
		ck_assert_int_eq(sscanf(at, "\n.It Va %63s", name), 1);
		ck_assert_msg(exists(name), "%s", name);
	}
	for (size_t i = 0; i < OF_WORKERS; i++)
		ck_assert_msg(strstr(text, of_workers[i]) != NULL, "%s",
		    of_workers[i]);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("metrics");
	TCase *t = tcase_create("metrics");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, families_are_consecutive);
	tcase_add_test(t, only_the_first_of_a_family_has_help);
	tcase_add_test(t, observes_into_buckets);
	tcase_add_test(t, goes_over_the_wire);
	tcase_add_test(t, refuses_nonsense);
	tcase_add_test(t, stands_in_the_manual);
	tcase_add_test(t, manual_knows_no_more);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
