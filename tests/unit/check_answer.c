#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "workers/consul_writer/answer.h"

#define UNKNOWN_CHECK \
	"Unknown check ID \"x\". Ensure that the check ID is passed, not the " \
	"check name."

/* What agents answered, of 1.16.1 where nothing else is said. */
static const struct row {
	struct answer answer;
	enum plan_result result;
	const char *text;
} rows[] = {
	{ { NULL, 200, "" }, PLAN_DONE, "HTTP 200" },
	{ { "connection refused", 0, "" }, PLAN_LOST, "connection refused" },
	{ { NULL, 404, UNKNOWN_CHECK }, PLAN_GONE, "HTTP 404: " UNKNOWN_CHECK },
	{ { NULL, 400, "Invalid service address\n" }, PLAN_REFUSED,
	    "HTTP 400: Invalid service address" },
	{ { NULL, 301, "" }, PLAN_REFUSED, "HTTP 301" },
	{ { NULL, 429, "Too many\r\nrequests" }, PLAN_BUSY,
	    "HTTP 429: Too many" },
	{ { NULL, 503, "" }, PLAN_BUSY, "HTTP 503" },
	{ { NULL, 500, "No cluster leader" }, PLAN_BROKEN,
	    "HTTP 500: No cluster leader" },
	{ { NULL, 502, "" }, PLAN_BROKEN, "HTTP 502" },
	{ { NULL, 403, "ACL not found" }, PLAN_DENIED,
	    "HTTP 403: ACL not found; Consul does not know katalogd's token" },
	{ { NULL, 403,
	      "Permission denied: anonymous token lacks permission "
	      "'service:write' on \"web\"." },
	    PLAN_DENIED,
	    "HTTP 403: Permission denied: anonymous token lacks permission "
	    "'service:write' on \"web\"; katalogd has no token: set "
	    "consul-token-file or CONSUL_HTTP_TOKEN" },
	{ { NULL, 403,
	      "Permission denied: token with AccessorID 'a' lacks permission "
	      "'service:write' on \"web\"" },
	    PLAN_DENIED,
	    "HTTP 403: Permission denied: token with AccessorID 'a' lacks "
	    "permission 'service:write' on \"web\"; katalogd's token needs "
	    "service:write on it" },
	{ { NULL, 401, "" }, PLAN_DENIED,
	    "HTTP 401; katalogd's token needs service:write on it" },
	/* Before 1.12. */
	{ { NULL, 500, "Unknown check \"x\"" }, PLAN_GONE,
	    "HTTP 500: Unknown check \"x\"" },
	{ { NULL, 500, "CheckID \"x\" does not have associated TTL" },
	    PLAN_GONE, "HTTP 500: CheckID \"x\" does not have associated TTL" },
	{ { NULL, 500, "Permission denied" }, PLAN_DENIED,
	    "HTTP 500: Permission denied; katalogd's token needs "
	    "service:write on it" },
};

START_TEST(understands)
{
	const struct row *r = &rows[_i];
	char text[LIMIT_TEXT];

	ck_assert_int_eq(answer_result(&r->answer), r->result);
	answer_text(&r->answer, ANSWER_WRITES, text, sizeof(text));
	ck_assert_str_eq(text, r->text);
}
END_TEST

START_TEST(clips)
{
	char body[10000], text[LIMIT_TEXT];
	struct answer a = { NULL, 403, body };

	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	answer_text(&a, ANSWER_NODE, text, sizeof(text));
	ck_assert_ptr_nonnull(
	    strstr(text, "token needs node:read on its node"));
}
END_TEST

static const struct path {
	const char *prefix;
	const char *path;
	const char *id;
	const char *namespace;
	const char *full;
} paths[] = {
	{ "", "/v1/x", "", "", "/v1/x" },
	{ "", "/v1/x/", "a/b c", "", "/v1/x/a%2Fb%20c" },
	{ "", "/v1/x/", "a", "team 1", "/v1/x/a?ns=team%201" },
	{ "/p", "/v1/x?filter=y", "", "team", "/p/v1/x?filter=y&ns=team" },
};

START_TEST(makes_paths)
{
	const struct path *p = &paths[_i];
	char buf[ANSWER_PATH];

	ck_assert(answer_path(buf, sizeof(buf), p->prefix, p->path, p->id,
	    p->namespace));
	ck_assert_str_eq(buf, p->full);
	ck_assert(!answer_path(buf, strlen(p->full), p->prefix, p->path, p->id,
	    p->namespace));
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof(*(a)))

int
main(void)
{
	Suite *s = suite_create("answer");
	TCase *t = tcase_create("answer");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, understands, 0, COUNT(rows));
	tcase_add_test(t, clips);
	tcase_add_loop_test(t, makes_paths, 0, COUNT(paths));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
