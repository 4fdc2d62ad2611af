#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "workers/k8s_writer/reply.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct reply_about about = {
	.verb = "patch",
	.resource = "services",
	.namespace = "network",
};

static const struct {
	const char *error;
	long status;
	const char *body;
	enum plan_result result;
	const char *text; /* NULL: it went well */
} replies[] = {
	{ NULL, 200, "{}", PLAN_DONE, NULL },
	{ NULL, 201, "", PLAN_DONE, NULL },
	{ "connection refused", 0, "", PLAN_LOST, "connection refused" },
	{ NULL, 403,
	    "{\"kind\":\"Status\",\"message\":\"services \\\"web\\\" is "
	    "forbidden: User \\\"x\\\" cannot create resource "
	    "\\\"services\\\"\"}",
	    PLAN_DENIED,
	    "HTTP 403: services \"web\" is forbidden: User \"x\" cannot "
	    "create resource \"services\"; katalogd's account needs the verb "
	    "create on services in the namespace network" },
	{ NULL, 403, "{\"kind\":\"Status\",\"message\":\"exceeded quota\"}",
	    PLAN_DENIED, "HTTP 403: exceeded quota" },
	{ NULL, 401, "{\"kind\":\"Status\",\"message\":\"Unauthorized\"}",
	    PLAN_STRANGER,
	    "HTTP 401: Unauthorized; katalogd's token or certificate is not "
	    "good, or no longer" },
	{ NULL, 404, "404 page not found\n", PLAN_GONE, "HTTP 404" },
	{ NULL, 409, "", PLAN_CONFLICT, "HTTP 409" },
	{ NULL, 422, "", PLAN_REFUSED, "HTTP 422" },
	{ NULL, 400, "", PLAN_REFUSED, "HTTP 400" },
	{ NULL, 429, "", PLAN_BUSY, "HTTP 429" },
	{ NULL, 503, "", PLAN_BUSY, "HTTP 503" },
	{ NULL, 500, "", PLAN_BROKEN, "HTTP 500" },
	{ NULL, 504, "", PLAN_BROKEN, "HTTP 504" },
	{ NULL, 302, "", PLAN_BROKEN, "HTTP 302" },
};

START_TEST(replies_mean)
{
	const char *body = replies[_i].body;
	char text[LIMIT_TEXT];
	struct reply r;

	reply_read(&r, replies[_i].error, replies[_i].status, 0, body,
	    strlen(body));
	ck_assert_int_eq(reply_result(&r), replies[_i].result);
	if (replies[_i].text == NULL)
		return;
	reply_text(&r, &about, text);
	ck_assert_str_eq(text, replies[_i].text);
}
END_TEST

#define INVALID "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"details\":"

static const struct {
	long status;
	const char *body;
	enum plan_result result;
} patches[] = {
	{ 200, "{}", PLAN_DONE },
	{ 422, INVALID "{}}", PLAN_CONFLICT },
	{ 422, "", PLAN_CONFLICT },
	{ 422, INVALID "{\"name\":\"web\",\"kind\":\"Service\"}}",
	    PLAN_REFUSED },
	{ 409, INVALID "{}}", PLAN_CONFLICT },
	{ 400, INVALID "{}}", PLAN_REFUSED },
};

/* As the apiserver says that a test of a JSON patch failed. */
START_TEST(patches_that_came_late)
{
	const char *body = patches[_i].body;
	struct reply r;

	reply_read(&r, NULL, patches[_i].status, 0, body, strlen(body));
	ck_assert_int_eq(reply_patch_result(&r), patches[_i].result);
}
END_TEST

/* Header and Status may both say how long to wait. */
static const struct {
	uint64_t header_ms;
	const char *body;
	uint64_t wait_ms;
} waits[] = {
	{ 0, "", 0 },
	{ 3000, "", 3000 },
	{ 3000, "{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":5}}",
	    5000 },
	{ 7000, "{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":5}}",
	    7000 },
};

START_TEST(the_longer_wait_counts)
{
	const char *body = waits[_i].body;
	struct reply r;

	reply_read(&r, NULL, 429, waits[_i].header_ms, body, strlen(body));
	ck_assert_uint_eq(r.retry_after_ms, waits[_i].wait_ms);
}
END_TEST

START_TEST(long_messages_fit)
{
	char body[2048] = "{\"kind\":\"Status\",\"message\":\"x";
	char text[LIMIT_TEXT];
	struct reply r;

	for (int i = 0; i < 600; i++)
		strcat(body, "\xc3\xb6");
	strcat(body, "\"}");
	reply_read(&r, NULL, 500, 0, body, strlen(body));
	reply_text(&r, &about, text);
	/* No half character at the end. */
	ck_assert_uint_eq((strlen(text) - strlen("HTTP 500: x")) % 2, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reply");
	TCase *t = tcase_create("reply");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, replies_mean, 0, COUNT(replies));
	tcase_add_loop_test(t, patches_that_came_late, 0, COUNT(patches));
	tcase_add_loop_test(t, the_longer_wait_counts, 0, COUNT(waits));
	tcase_add_test(t, long_messages_fit);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
