#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/pod_text.h"
#include "workers/json_scan.h"
#include "workers/kubelet_reader/pods.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* In memory of that size, so that a sanitizer sees what is beyond it. */
static char *
excerpt_of(const char *text, size_t len)
{
	char *copy = xmemdup(text, len), *to = xmalloc(len);
	size_t n = excerpt(&pod_excerpt, copy, len, to);
	char *s;

	ck_assert_uint_le(n, len);
	s = xstrndup(to, n);
	free(to);
	free(copy);
	return s;
}

static const struct {
	const char *text;
	const char *excerpt;
} pods[] = {
	{ "{}", "{}" },
	{ " { } ", "{}" },
	{ "{\"a\":1}", "{}" },
	{ "{\"a\":1,\"spec\":{},\"b\":{},\"status\":{} , \"c\":[]}",
	    "{\"spec\":{},\"status\":{}}" },
	/* What they are, and how often, is for others to judge. */
	{ "{\"metadata\":[],\"spec\":null,\"status\":-1.5e3,\"spec\":\"x\"}",
	    "{\"metadata\":[],\"spec\":null,\"status\":-1.5e3,\"spec\":"
	    "\"x\"}" },
	{ "{\"metadata\":[1,{\"name\":2,\"a\":3},[{\"a\":4}]]}",
	    "{\"metadata\":[1,{\"name\":2},[{\"a\":4}]]}" },
	{ "{ \"metadata\" : { \"name\" : \"p\" , \"labels\" : { \"name\" : 1 }"
	  " , \"uid\" : \"u\" } }\n",
	    "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"}}" },
	{ "{\"metadata\":{\"annotations\":{\"a\":\"{[,\",\"b\":\"\"},"
	  "\"namespace\":\"n\",\"deletionTimestamp\":\"t\",\"managedFields\":"
	  "[{\"a\":{}}]}}",
	    "{\"metadata\":{\"annotations\":{\"a\":\"{[,\",\"b\":\"\"},"
	    "\"namespace\":\"n\",\"deletionTimestamp\":\"t\"}}" },
	{ "{\"spec\":{\"volumes\":[{\"name\":\"v\"}],\"containers\":[{\"env\":["
	  "{"
	  "\"name\":\"e\"}],\"name\":\"c\",\"ports\":[{\"containerPort\":1,"
	  "\"protocol\":\"TCP\"},{}]},{\"name\":\"d\"}],\"nodeName\":\"n1\","
	  "\"hostNetwork\":true}}",
	    "{\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{"
	    "\"containerPort\":1},{}]},{\"name\":\"d\"}],\"nodeName\":\"n1\","
	    "\"hostNetwork\":true}}" },
	{ "{\"spec\":{\"initContainers\":[{\"restartPolicy\":\"Always\","
	  "\"name\":\"i\",\"ports\":[]}],\"readinessGates\":[{\"x\":0,"
	  "\"conditionType\":\"g\"}]}}",
	    "{\"spec\":{\"initContainers\":[{\"restartPolicy\":\"Always\","
	    "\"name\":\"i\"}],\"readinessGates\":[{\"conditionType\":\"g\"}]}"
	    "}" },
	{ "{\"status\":{\"phase\":\"P\",\"podIP\":\"1\",\"hostIP\":\"2\","
	  "\"podIPs\":[{\"ip\":\"1\",\"x\":1}],\"hostIPs\":[{\"ip\":\"2\"}],"
	  "\"conditions\":[{\"type\":\"t\",\"status\":\"s\",\"reason\":\"r\"}],"
	  "\"containerStatuses\":[{\"name\":\"c\",\"ready\":true,\"image\":"
	  "\"\"}],\"initContainerStatuses\":[{\"ready\":false}],\"qosClass\":1}"
	  "}",
	    "{\"status\":{\"phase\":\"P\",\"podIP\":\"1\",\"hostIP\":\"2\","
	    "\"podIPs\":[{\"ip\":\"1\"}],\"hostIPs\":[{\"ip\":\"2\"}],"
	    "\"conditions\":[{\"type\":\"t\",\"status\":\"s\"}],"
	    "\"containerStatuses\":[{\"name\":\"c\",\"ready\":true}],"
	    "\"initContainerStatuses\":[{\"ready\":false}]}}" },
	/* A name with an escape may be any; what is skipped may have quotes. */
	{ "{\"\\u0073pec\":{\"a\":1},\"x\\\"\":2}",
	    "{\"\\u0073pec\":{\"a\":1},\"x\\\"\":2}" },
	{ "{\"a\":\"\\\\\",\"b\":\"\\\"}\",\"c\":[\"]\\\\\\\"\",{\"}\":1}],"
	  "\"spec\":1}",
	    "{\"spec\":1}" },
	{ "{\"spe\":1,\"specs\":2,\"\":3,\"Spec\":4}", "{}" },
};

START_TEST(what_is_read)
{
	const char *text = pods[_i].text;
	char *got = excerpt_of(text, strlen(text)), *again;

	ck_assert_str_eq(got, pods[_i].excerpt);
	again = excerpt_of(got, strlen(got));
	ck_assert_str_eq(again, got);
	free(again);
	free(got);
}
END_TEST

/* Of a server that writes no such names, they are nobody's. */
START_TEST(names_in_disguise)
{
	static const char text[] =
	    "[{\"\\u0073pec\":1,\"spec\":{\"a\\u0000\":[]}},7]";
	struct excerpt_conf conf = pod_excerpt;
	char to[sizeof(text)];
	size_t n;

	conf.disguised = false;
	n = excerpt(&conf, text, sizeof(text) - 1, to);
	ck_assert_uint_eq(n, strlen("[{\"spec\":{}},7]"));
	ck_assert_mem_eq(to, "[{\"spec\":{}},7]", n);
}
END_TEST

START_TEST(depth_that_is_skipped)
{
	size_t depth = JSON_SCAN_DEPTH_MAX - 2;
	char *text = xcalloc(2 * depth + 100, 1), *p = text, *got;

	p = stpcpy(p, "{\"spec\":{\"volumes\":");
	p = (char *)memset(p, '[', depth) + depth;
	p = (char *)memset(p, ']', depth) + depth;
	p = stpcpy(p, ",\"nodeName\":\"n\"}}");
	got = excerpt_of(text, (size_t)(p - text));
	ck_assert_str_eq(got, "{\"spec\":{\"nodeName\":\"n\"}}");
	free(got);
	free(text);
}
END_TEST

static bool
is_same(const char *a, const char *b)
{
	json_object *x = json_tokener_parse(a), *y = json_tokener_parse(b);
	bool same = x != NULL && json_object_equal(x, y) != 0;

	json_object_put(x);
	json_object_put(y);
	return same;
}

/* Of a real pod, the smaller part. */
START_TEST(real_pods)
{
	json_object *list = real_list();
	json_object *o =
	    json_object_array_get_idx(list_items(list), (size_t)_i);
	struct text plain = text_of_json(o, JSON_C_TO_STRING_PLAIN),
		    pretty = text_of_json(o, JSON_C_TO_STRING_PRETTY);
	char *a = excerpt_of(plain.s, plain.len),
	     *b = excerpt_of(pretty.s, pretty.len);

	ck_assert(is_same(a, b));
	ck_assert_uint_lt(strlen(a), plain.len / 2);
	free(a);
	free(b);
	text_free(&plain);
	text_free(&pretty);
	json_object_put(list);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("excerpt");
	TCase *t = tcase_create("excerpt");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, what_is_read, 0, COUNT(pods));
	tcase_add_test(t, names_in_disguise);
	tcase_add_test(t, depth_that_is_skipped);
	tcase_add_loop_test(t, real_pods, 0, 6);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
