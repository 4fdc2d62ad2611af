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

int
main(void)
{
	Suite *s = suite_create("status");
	TCase *t = tcase_create("status");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, says_what_is_wrong, 0,
	    sizeof(table) / sizeof(*table));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
