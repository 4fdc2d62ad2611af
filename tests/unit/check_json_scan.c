#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "workers/json_scan.h"

#define DEPTH 4

/* One value each; members: of all objects. */
static const struct {
	const char *text;
	uint32_t members;
} good[] = {
	{ "{}", 0 },
	{ "[]", 0 },
	{ " \t\r\n{ \"a\" : 1 , \"b\" : [ ] } ", 2 },
	{ "[1,-0,0.5,-12.75e+3,1E-9,0e0]", 0 },
	{ "[true,false,null]", 0 },
	{ "\"\"", 0 },
	{ "\"a\\\"b\\\\c\\/\\b\\f\\n\\r\\t\"", 0 },
	{ "\"\\u0000\\ud83d\\uABcd\"", 0 },
	{ "\"gr\xc3\xb6\xc3\x9f"
	  "e \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \x7f\"",
	    0 },
	{ "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xef\xbf\xbf\"", 0 },
	{ "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"", 0 },
	{ "{\"a:b\":{\"\":{}},\"{\":\"}\"}", 3 },
	{ "[[[[]]]]", 0 },
	{ "{\"a\":[{\"a\":[]}]}", 2 },
};

static const struct {
	const char *text;
	const char *why;
} bad[] = {
	{ "x", "value" },
	{ "+1", "value" },
	{ ".5", "value" },
	{ "]", "value" },
	{ "\v1", "value" },
	{ "[1,]", "value" },
	{ "[,]", "value" },
	{ "{\"a\":}", "value" },
	{ "{1:2}", "name" },
	{ "{\"a\":1,}", "name" },
	{ "{'a':1}", "name" },
	{ "{\"a\" 1}", "colon" },
	{ "{\"a\"}", "colon" },
	{ "[1 2]", "comma" },
	{ "[1:2]", "comma" },
	{ "[1}", "bracket" },
	{ "{\"a\":1]", "bracket" },
	{ "[01]", "comma" },
	{ "[-]", "number" },
	{ "[-x]", "number" },
	{ "[1.]", "number" },
	{ "[1.e5]", "number" },
	{ "[1e]", "number" },
	{ "[1e+]", "number" },
	{ "[truE]", "true" },
	{ "[nul]", "true" },
	{ "[NaN]", "value" },
	{ "\"\n\"", "control" },
	{ "\"\x1f\"", "control" },
	{ "\"\\x\"", "escape" },
	{ "\"\\u12g4\"", "escape" },
	{ "{\"\\u0000\":1}", "NUL" },
	{ "\"\x80\"", "UTF-8" },
	{ "\"\xc0\x80\"", "UTF-8" },
	{ "\"\xc3(\"", "UTF-8" },
	{ "\"\xe0\x9f\xbf\"", "UTF-8" },
	{ "\"\xed\xa0\x80\"", "UTF-8" },
	{ "\"\xf0\x8f\xbf\xbf\"", "UTF-8" },
	{ "\"\xf4\x90\x80\x80\"", "UTF-8" },
	{ "\"\xf5\x80\x80\x80\"", "UTF-8" },
	{ "\"\xe6\x97\"", "UTF-8" },
	{ "[[[[[]]]]]", "deep" },
	{ "{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}", "deep" },
};

/* Not bad yet, but never done. */
static const char *const unfinished[] = { "", " ", "{", "[", "[1", "[1,", "\"",
	"\"\\", "\"\\u12", "\"\xe6", "{\"a\"", "{\"a\":", "tru", "-", "12" };

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* In pieces of so many bytes. */
static struct json_scan
scan(const char *text, size_t len, size_t piece)
{
	struct json_scan j;

	json_scan_init(&j, DEPTH);
	for (size_t at = 0; at < len && j.status == JSON_MORE;) {
		size_t n = len - at < piece ? len - at : piece;

		at += json_scan(&j, text + at, n);
	}
	return j;
}

START_TEST(good_is_done)
{
	const char *text = good[_i].text;

	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct json_scan j = scan(text, strlen(text), piece);

		ck_assert_int_eq(j.status, JSON_DONE);
		ck_assert_uint_eq(j.members, good[_i].members);
	}
}
END_TEST

START_TEST(bad_is_bad)
{
	const char *text = bad[_i].text;

	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct json_scan j = scan(text, strlen(text), piece);

		ck_assert_int_eq(j.status, JSON_BAD);
		ck_assert_msg(strstr(j.why, bad[_i].why) != NULL, "%s: %s",
		    text, j.why);
	}
}
END_TEST

START_TEST(unfinished_wants_more)
{
	const char *text = unfinished[_i];

	ck_assert_int_eq(scan(text, strlen(text), 1).status, JSON_MORE);
}
END_TEST

START_TEST(nul_is_refused)
{
	ck_assert_int_eq(scan("\0", 1, 1).status, JSON_BAD);
	ck_assert_int_eq(scan("\"\0\"", 3, 3).status, JSON_BAD);
	ck_assert_int_eq(scan("\"\\\0\"", 4, 4).status, JSON_BAD);
	ck_assert_int_eq(scan("[1\0]", 4, 4).status, JSON_BAD);
}
END_TEST

START_TEST(names_as_the_caller_will)
{
	static const char text[] = "{\"a\\u0000\":1}";
	struct json_scan j;

	json_scan_init(&j, DEPTH);
	j.any_names = true;
	ck_assert_uint_eq(json_scan(&j, text, strlen(text)), strlen(text));
	ck_assert_int_eq(j.status, JSON_DONE);
	/* For this value only. */
	json_scan_init(&j, DEPTH);
	json_scan(&j, text, strlen(text));
	ck_assert_int_eq(j.status, JSON_BAD);
}
END_TEST

/* So deep that it has a value, and no two words of bits are the same. */
static size_t
write_deep(char *to, unsigned depth)
{
	char *p = to;

	for (unsigned i = 0; i < depth; i++)
		p = stpcpy(p, i % 3 == 0 ? "{\"a\":" : "[");
	for (unsigned i = depth; i-- > 0;)
		p = stpcpy(p, i % 3 == 0 ? "}" : "]");
	return (size_t)(p - to);
}

START_TEST(depth_has_a_bound)
{
	static char text[8 * JSON_SCAN_DEPTH_MAX];
	size_t len = write_deep(text, JSON_SCAN_DEPTH_MAX);
	struct json_scan j;

	json_scan_init(&j, UINT16_MAX);
	ck_assert_uint_eq(json_scan(&j, text, len), len);
	ck_assert_int_eq(j.status, JSON_DONE);
	ck_assert_uint_eq(j.members, JSON_SCAN_DEPTH_MAX / 3 + 1);
	len = write_deep(text, JSON_SCAN_DEPTH_MAX + 1);
	json_scan_init(&j, UINT16_MAX);
	json_scan(&j, text, len);
	ck_assert_str_eq(j.why, "nested too deeply");
}
END_TEST

/* No bracket closes one of another kind, however deep it is. */
START_TEST(brackets_in_the_depth)
{
	static char text[8 * JSON_SCAN_DEPTH_MAX];
	size_t len = write_deep(text, 1001);
	struct json_scan j;

	for (size_t at = len - 1000; at < len; at += 111) {
		char was = text[at];

		text[at] = was == ']' ? '}' : ']';
		json_scan_init(&j, UINT16_MAX);
		ck_assert_uint_eq(json_scan(&j, text, len), at);
		ck_assert_str_eq(j.why, "a bracket that closes nothing");
		text[at] = was;
	}
}
END_TEST

START_TEST(takes_no_more_than_the_value)
{
	struct json_scan j;

	json_scan_init(&j, DEPTH);
	ck_assert_uint_eq(json_scan(&j, "{\"a\":1},{}", 10), 7);
	json_scan_init(&j, DEPTH);
	ck_assert_uint_eq(json_scan(&j, "12,", 3), 2);
	ck_assert_int_eq(j.status, JSON_DONE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json_scan");
	TCase *t = tcase_create("json_scan");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, good_is_done, 0, COUNT(good));
	tcase_add_loop_test(t, bad_is_bad, 0, COUNT(bad));
	tcase_add_loop_test(t, unfinished_wants_more, 0, COUNT(unfinished));
	tcase_add_test(t, nul_is_refused);
	tcase_add_test(t, names_as_the_caller_will);
	tcase_add_test(t, depth_has_a_bound);
	tcase_add_test(t, brackets_in_the_depth);
	tcase_add_test(t, takes_no_more_than_the_value);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
