/* query.h and answer.h of consul-reader: what goes out, what comes back. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "workers/consul_reader/answer.h"
#include "workers/consul_reader/query.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define TAGGED \
	"filter=%60kubernetes%60%20in%20ServiceTags%20or%20ServiceName%20%3D" \
	"%3D%20%60consul%60"

static const struct query_conf plain = { "", "kubernetes", "", "" };
static const struct query_conf full = { "/proxy", "a\"b\\c", "dc-1", "ns_2" };

static const struct {
	const struct query_conf *conf;
	enum query_list list;
	uint64_t index;
	const char *path;
} lists[] = {
	{ &plain, QUERY_CATALOG, 0, "/v1/catalog/services?" TAGGED },
	{ &plain, QUERY_CATALOG, 17,
	    "/v1/catalog/services?" TAGGED "&stale=1&index=17&wait=50000ms" },
	{ &plain, QUERY_CRITICAL, 0, "/v1/health/state/critical" },
	{ &plain, QUERY_CRITICAL, 18446744073709551615ULL,
	    "/v1/health/state/critical?stale=1&index=18446744073709551615&"
	    "wait=50000ms" },
	{ &plain, QUERY_WARNING, 0, "/v1/health/state/warning" },
	{ &plain, QUERY_NODES, 0, "/v1/catalog/nodes" },
	{ &plain, QUERY_PULSE, 0,
	    "/v1/health/checks/consul?filter=CheckID%20%3D%3D%20%60%60&"
	    "stale=1" },
	{ &plain, QUERY_PULSE, 5,
	    "/v1/health/checks/consul?filter=CheckID%20%3D%3D%20%60%60&"
	    "stale=1&index=5&wait=5000ms" },
	{ &plain, QUERY_ROSTER, 0,
	    "/v1/health/state/any?filter=%60kubernetes%60%20in%20ServiceTags" },
	{ &full, QUERY_NODES, 1,
	    "/proxy/v1/catalog/nodes?dc=dc-1&ns=ns_2&stale=1&index=1&wait="
	    "50000ms" },
	{ &full, QUERY_ROSTER, 0,
	    "/proxy/v1/health/state/any?filter=%60a%22b%5Cc%60%20in%20"
	    "ServiceTags&dc=dc-1&ns=ns_2" },
};

START_TEST(asks_for_lists)
{
	char path[QUERY_PATH];

	query_list(lists[_i].conf, lists[_i].list, lists[_i].index, path);
	ck_assert_str_eq(path, lists[_i].path);
}
END_TEST

static const struct {
	const struct query_conf *conf;
	const char *name;
	const char *path;
} services[] = {
	{ &plain, "web", "/v1/health/service/web" },
	{ &plain, "a/b?c=d&e f", "/v1/health/service/a%2Fb%3Fc%3Dd%26e%20f" },
	{ &full, "\xc3\xbc",
	    "/proxy/v1/health/service/%C3%BC?dc=dc-1&ns=ns_2" },
};

START_TEST(asks_for_services)
{
	char path[QUERY_PATH];

	query_service(services[_i].conf, services[_i].name, path);
	ck_assert_str_eq(path, services[_i].path);
}
END_TEST

/* ---- answers ---- */

#define GOOD .status = 200, .index = "7", .leader = "true", .contact = "0"

static const struct {
	struct answer a;
	enum answer_worth worth;
	const char *text; /* "": none; its beginning */
} answers[] = {
	{ { GOOD }, ANSWER_GOOD, "" },
	{ { GOOD, .filtered = "true" }, ANSWER_PARTIAL, "" },
	{ { GOOD, .filtered = "false" }, ANSWER_GOOD, "" },
	{ { GOOD, .filtered = "True" }, ANSWER_PARTIAL, "" },
	{ { .error = "timed out after 10s" }, ANSWER_LOST,
	    "timed out after 10s" },
	{ { .error = "answer larger than 4096 bytes", .too_large = true },
	    ANSWER_TOO_LARGE, "answer larger than 4096 bytes" },
	/* Not Consul's, not of a leader, or old. */
	{ { .status = 200 }, ANSWER_LOST, "an answer without an index" },
	{ { .status = 200, .index = "0", .leader = "true", .contact = "0" },
	    ANSWER_LOST, "an answer without an index" },
	{ { .status = 200, .index = "-1", .leader = "true", .contact = "0" },
	    ANSWER_LOST, "an answer without an index" },
	{ { .status = 200,
	      .index = "99999999999999999999",
	      .leader = "true",
	      .contact = "0" },
	    ANSWER_LOST, "an answer without an index" },
	{ { .status = 200, .index = "7", .leader = "false", .contact = "0" },
	    ANSWER_LOST, "Consul knows no leader" },
	{ { .status = 200, .index = "7", .contact = "0" }, ANSWER_LOST,
	    "Consul knows no leader" },
	{ { .status = 200, .index = "7", .leader = "true", .contact = "10001" },
	    ANSWER_LOST, "Consul's server lost its leader" },
	{ { .status = 200, .index = "7", .leader = "true", .contact = "10000" },
	    ANSWER_GOOD, "" },
	{ { .status = 200, .index = "7", .leader = "true", .contact = "x" },
	    ANSWER_LOST, "Consul's server lost its leader" },
	{ { .status = 500, .body = "No cluster leader\n" }, ANSWER_LOST,
	    "HTTP 500: No cluster leader" },
	{ { .status = 500, .body = "rpc error: Permission denied" },
	    ANSWER_DENIED, "HTTP 500: rpc error: Permission denied; katalogd" },
	{ { .status = 502 }, ANSWER_LOST, "HTTP 502" },
	{ { .status = 503 }, ANSWER_BUSY, "HTTP 503" },
	{ { .status = 429, .body = "Your IP is issuing too many" }, ANSWER_BUSY,
	    "HTTP 429: Your IP" },
	{ { .status = 403, .body = "ACL not found\nmore" }, ANSWER_DENIED,
	    "HTTP 403: ACL not found; Consul does not know katalogd's token" },
	{ { .status = 403, .body = "Permission denied: anonymous token lacks" },
	    ANSWER_DENIED,
	    "HTTP 403: Permission denied: anonymous token lacks; katalogd has "
	    "no token" },
	{ { .status = 400, .body = "Invalid filter" }, ANSWER_REFUSED,
	    "HTTP 400: Invalid filter" },
	{ { .status = 301 }, ANSWER_REFUSED, "HTTP 301" },
	{ { .status = 204 }, ANSWER_REFUSED, "HTTP 204" },
};

/* As the client gives them: never NULL. */
static struct answer
filled(struct answer a)
{
	const char **texts[] = { &a.body, &a.index, &a.leader, &a.contact,
		&a.filtered };

	for (size_t i = 0; i < COUNT(texts); i++) {
		if (*texts[i] == NULL)
			*texts[i] = "";
	}
	return a;
}

START_TEST(knows_what_an_answer_is_worth)
{
	struct answer a = filled(answers[_i].a);
	struct answer_said said = answer_read(&a);
	const char *want = answers[_i].text;
	char text[512];

	ck_assert_int_eq(said.worth, answers[_i].worth);
	ck_assert_int_eq(answer_counts(said.worth), *want == '\0');
	if (answer_counts(said.worth))
		ck_assert_uint_eq(said.index, 7);
	answer_text(&a, text, sizeof(text));
	ck_assert_msg(strncmp(text, want, strlen(want)) == 0, "%s", text);
	if (*want == '\0')
		ck_assert_str_eq(text, "");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reader_http");
	TCase *t = tcase_create("reader_http");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, asks_for_lists, 0, COUNT(lists));
	tcase_add_loop_test(t, asks_for_services, 0, COUNT(services));
	tcase_add_loop_test(t, knows_what_an_answer_is_worth, 0,
	    COUNT(answers));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
