#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/status.h"

static const struct line {
	enum worker_state reader;
	enum health health;
	const char *text;
	enum worker_state http;
	const char *line;
	bool ready;
} table[] = {
	{ WORKER_READY, HEALTH_OK, "fine", WORKER_READY, "all workers are fine",
	    true },
	{ WORKER_READY, HEALTH_DEGRADED, "kubelet: refused; tried again",
	    WORKER_READY, "kubelet-reader: kubelet: refused; tried again",
	    true },
	{ WORKER_STARTING, HEALTH_STARTING, "", WORKER_READY,
	    "kubelet-reader: starting", false },
	{ WORKER_BACKOFF, HEALTH_OK, "", WORKER_DOWN,
	    "kubelet-reader: died, waits for its next start; http: down",
	    false },
};

START_TEST(says_what_is_wrong)
{
	const struct line *l = &table[_i];
	struct role_def defs[] = { { .role = ROLE_KUBELET_READER },
		{ .role = ROLE_HTTP } };
	struct proc reader = { .def = &defs[0], .health = l->health };
	struct proc http = { .def = &defs[1], .health = HEALTH_OK };
	struct proc *procs[ROLE_MAX] = { [ROLE_KUBELET_READER] = &reader,
		[ROLE_HTTP] = &http };
	char buf[LIMIT_TEXT], small[16];

	reader.restart.state = l->reader;
	http.restart.state = l->http;
	snprintf(reader.text, sizeof(reader.text), "%s", l->text);
	status_line(procs, buf, sizeof(buf));
	ck_assert_str_eq(buf, l->line);
	ck_assert(status_all_ready(procs) == l->ready);
	status_line(procs, small, sizeof(small));
	ck_assert_int_eq(strncmp(small, l->line, sizeof(small) - 1), 0);
}
END_TEST

/* The way to a cluster: its reader, and who waits for that. */
static const struct cluster {
	enum worker_state reader;
	enum worker_state writer;
	bool held;
	enum health health;
	const char *text;
	const char *line;
	bool ready;
} clusters[] = {
	{ WORKER_STARTING, WORKER_DOWN, true, HEALTH_STARTING, "waits",
	    "k8s-writer: waits", false },
	{ WORKER_DOWN, WORKER_DOWN, true, HEALTH_DEGRADED, "kubeconfig: bad",
	    "k8s-writer: kubeconfig: bad", true },
	{ WORKER_DOWN, WORKER_STARTING, false, HEALTH_STARTING, "",
	    "k8s-writer: starting", false },
	{ WORKER_DOWN, WORKER_READY, false, HEALTH_OK, "",
	    "all workers are fine", true },
	{ WORKER_BACKOFF, WORKER_READY, false, HEALTH_OK, "",
	    "kubeconfig: died, waits for its next start", true },
};

START_TEST(knows_who_waits_for_a_cluster)
{
	const struct cluster *c = &clusters[_i];
	struct role_def defs[] = { { .role = ROLE_KUBECONFIG, .once = true },
		{ .role = ROLE_K8S_WRITER, .needs_cluster = true } };
	struct proc reader = { .def = &defs[0] };
	struct proc writer = { .def = &defs[1], .held = c->held };
	struct proc *procs[ROLE_MAX] = { [ROLE_KUBECONFIG] = &reader,
		[ROLE_K8S_WRITER] = &writer };
	char buf[LIMIT_TEXT];

	reader.restart.state = c->reader;
	writer.restart.state = c->writer;
	writer.health = c->health;
	snprintf(writer.text, sizeof(writer.text), "%s", c->text);
	status_line(procs, buf, sizeof(buf));
	ck_assert_str_eq(buf, c->line);
	ck_assert(status_all_ready(procs) == c->ready);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("status");
	TCase *t = tcase_create("status");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, says_what_is_wrong, 0,
	    sizeof(table) / sizeof(*table));
	tcase_add_loop_test(t, knows_who_waits_for_a_cluster, 0,
	    sizeof(clusters) / sizeof(*clusters));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
