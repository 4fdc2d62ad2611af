#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/tlv.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
/* A literal and its length, without the NUL. */
#define RAW(s) (s), sizeof(s) - 1

enum { NUM = 1, NAME, BLOB, LONG, MANY };

static const struct tlv_rule rules[] = {
	{ .tag = NUM, .type = TLV_U8 },
	{ .tag = NAME, .type = TLV_STR, .min = 1, .max = 4 },
	{ .tag = BLOB, .type = TLV_BYTES, .flags = TLV_OPTIONAL, .max = 3 },
	{ .tag = LONG, .type = TLV_U64, .flags = TLV_OPTIONAL },
	{ .tag = MANY, .type = TLV_U16, .flags = TLV_OPTIONAL | TLV_REPEAT },
};

#define F_NUM  "\0\1\0\1\x7f"
#define F_NAME "\0\2\0\2ab"

static const struct {
	const char *what;
	const char *buf;
	size_t len;
	bool good;
} bodies[] = {
	{ "what must be there", RAW(F_NUM F_NAME), true },
	{ "in another order", RAW(F_NAME F_NUM), true },
	{ "optional ones too", RAW(F_NUM F_NAME "\0\3\0\1x"), true },
	{ "an empty one", RAW(F_NUM F_NAME "\0\3\0\0"), true },
	{ "repeated where allowed",
	    RAW("\0\5\0\2\0\1" F_NUM "\0\5\0\2\0\2\0\5\0\2\0\3" F_NAME), true },
	{ "nothing", RAW(""), false },
	{ "one missing", RAW(F_NUM), false },
	{ "repeated where not allowed", RAW(F_NUM F_NAME F_NUM), false },
	{ "unknown tag", RAW(F_NUM F_NAME "\0\6\0\0"), false },
	{ "tag 0", RAW(F_NUM F_NAME "\0\0\0\0"), false },
	{ "tag's high byte", RAW(F_NUM F_NAME "\1\3\0\0"), false },
	{ "a trailing byte", RAW(F_NUM F_NAME "\0"), false },
	{ "half a header", RAW(F_NUM F_NAME "\0\3\0"), false },
	{ "longer than the rest", RAW(F_NUM "\0\2\0\3ab"), false },
	{ "far longer than the rest",
	    RAW(F_NUM "\0\2\xff\xff"
		      "ab"),
	    false },
	{ "number too short", RAW("\0\1\0\0" F_NAME), false },
	{ "number too long", RAW("\0\1\0\2\0\1" F_NAME), false },
	{ "u64 of 4 bytes", RAW(F_NUM F_NAME "\0\4\0\4\0\0\0\1"), false },
	{ "text too short", RAW(F_NUM "\0\2\0\0"), false },
	{ "longest text", RAW(F_NUM "\0\2\0\4abcd"), true },
	{ "text too long", RAW(F_NUM "\0\2\0\5abcde"), false },
	{ "NUL in a text", RAW(F_NUM "\0\2\0\2a\0"), false },
	{ "NUL in bytes", RAW(F_NUM F_NAME "\0\3\0\2\0\0"), true },
	{ "bytes too long", RAW(F_NUM F_NAME "\0\3\0\4wxyz"), false },
};

START_TEST(takes_what_the_rules_say)
{
	struct tlv_field f[COUNT(rules)];
	size_t len = bodies[_i].len;
	/* On the heap and of just that size, so that ASan sees a step over. */
	uint8_t *buf = malloc(len != 0 ? len : 1);

	ck_assert_ptr_nonnull(buf);
	memcpy(buf, bodies[_i].buf, len);
	ck_assert_msg(tlv_parse(buf, len, rules, COUNT(rules), f) ==
		bodies[_i].good,
	    "%s", bodies[_i].what);
	free(buf);
}
END_TEST

START_TEST(reads_what_was_written)
{
	static const struct tlv_rule all[] = {
		{ .tag = 1, .type = TLV_U8 },
		{ .tag = 2, .type = TLV_U16 },
		{ .tag = 3, .type = TLV_U32 },
		{ .tag = 4, .type = TLV_U64 },
		{ .tag = 5, .type = TLV_STR, .max = 10 },
		{ .tag = 6, .type = TLV_BYTES, .max = 10 },
		{ .tag = 7, .type = TLV_U64, .flags = TLV_OPTIONAL },
		{ .tag = 8, .type = TLV_STR, .max = 10 },
	};
	struct tlv_field f[COUNT(all)];
	struct tlv_writer w;
	uint8_t buf[128];
	char text[8];

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, 1, 0xfe);
	tlv_put_u16(&w, 2, 0xfedc);
	tlv_put_u32(&w, 3, 0xfedcba98);
	tlv_put_u64(&w, 4, 0xfedcba9876543210);
	tlv_put_str(&w, 5, "text");
	tlv_put(&w, 6, "a\0b", 3);
	tlv_put_str(&w, 8, NULL);
	ck_assert(!w.overflow);
	ck_assert(tlv_parse(buf, w.len, all, COUNT(all), f));
	ck_assert_uint_eq(tlv_u8(&f[0]), 0xfe);
	ck_assert_uint_eq(tlv_u16(&f[1]), 0xfedc);
	ck_assert_uint_eq(tlv_u32(&f[2]), 0xfedcba98);
	ck_assert_uint_eq(tlv_u64(&f[3]), 0xfedcba9876543210);
	ck_assert(tlv_str(&f[4], text, sizeof(text)));
	ck_assert_str_eq(text, "text");
	ck_assert_uint_eq(f[5].len, 3);
	ck_assert_mem_eq(f[5].val, "a\0b", 3);
	ck_assert_ptr_null(f[6].val);
	ck_assert(tlv_str(&f[7], text, sizeof(text)));
	ck_assert_str_eq(text, "");
	/* Network byte order, tag and length first. */
	ck_assert_mem_eq(buf + 5, "\0\2\0\2\xfe\xdc", 6);
}
END_TEST

START_TEST(a_missing_field_is_zero)
{
	struct tlv_field none = { .tag = 1 };
	char text[4] = "x";

	ck_assert_uint_eq(tlv_u8(&none), 0);
	ck_assert_uint_eq(tlv_u16(&none), 0);
	ck_assert_uint_eq(tlv_u32(&none), 0);
	ck_assert_uint_eq(tlv_u64(&none), 0);
	ck_assert(tlv_str(&none, text, sizeof(text)));
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(text_must_fit_with_its_nul)
{
	struct tlv_field f = { .val = (const uint8_t *)"abcd", .len = 4 };
	char text[5];

	ck_assert(tlv_str(&f, text, 5));
	ck_assert_str_eq(text, "abcd");
	ck_assert(!tlv_str(&f, text, 4));
	ck_assert_str_eq(text, "");
	ck_assert(!tlv_str(&f, text, 0));
}
END_TEST

/* How much room a field of 4 bytes needs, after one of 1 byte. */
static const struct {
	size_t cap;
	bool fits;
} rooms[] = { { 0, false }, { 5, false }, { 9, false }, { 12, false },
	{ 13, true }, { 14, true } };

START_TEST(stays_in_its_buffer)
{
	struct tlv_writer w;
	uint8_t buf[16];
	size_t cap = rooms[_i].cap;

	memset(buf, 0xee, sizeof(buf));
	tlv_writer_init(&w, buf, cap);
	tlv_put_u8(&w, 1, 1);
	tlv_put_u32(&w, 2, 2);
	ck_assert_msg(w.overflow == !rooms[_i].fits, "room for %zu", cap);
	ck_assert_uint_le(w.len, cap);
	for (size_t i = cap; i < sizeof(buf); i++)
		ck_assert_uint_eq(buf[i], 0xee);
}
END_TEST

/* A hole in the middle would read as a whole. */
START_TEST(writes_nothing_after_an_overflow)
{
	struct tlv_writer w;
	uint8_t buf[16];

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, 1, 1);
	tlv_put(&w, 2, "0123456789abcdef", 16);
	tlv_put_u8(&w, 3, 3);
	ck_assert(w.overflow);
	ck_assert_uint_eq(w.len, 5);
}
END_TEST

START_TEST(refuses_what_the_length_cannot_say)
{
	size_t cap = TLV_HEADER + TLV_LEN_MAX + 1;
	uint8_t *buf = malloc(cap), *val = calloc(1, TLV_LEN_MAX + 1);
	struct tlv_writer w;

	ck_assert(buf != NULL && val != NULL);
	tlv_writer_init(&w, buf, cap);
	tlv_put(&w, 1, val, TLV_LEN_MAX + 1);
	ck_assert(w.overflow);
	tlv_writer_init(&w, buf, cap);
	tlv_put(&w, 1, val, TLV_LEN_MAX);
	ck_assert(!w.overflow);
	free(buf);
	free(val);
}
END_TEST

START_TEST(walks_all_fields)
{
	static const char buf[] = F_NUM "\0\5\0\2\0\1" F_NAME "\0\5\0\2\0\2";
	static const uint16_t tags[] = { NUM, MANY, NAME, MANY };
	struct tlv_field f;
	size_t off = 0, n = 0;

	while (tlv_next(buf, sizeof(buf) - 1, &off, &f)) {
		ck_assert_uint_lt(n, COUNT(tags));
		ck_assert_uint_eq(f.tag, tags[n++]);
	}
	ck_assert_uint_eq(n, COUNT(tags));
	ck_assert_uint_eq(off, sizeof(buf) - 1);
	ck_assert_uint_eq(tlv_u16(&f), 2);
}
END_TEST

START_TEST(has_a_bound_on_rules)
{
	struct tlv_rule many[65];
	struct tlv_field f[65];

	for (uint16_t i = 0; i < 65; i++)
		many[i] = (struct tlv_rule){ .tag = i,
			.type = TLV_U8,
			.flags = TLV_OPTIONAL };
	ck_assert(tlv_parse("\0\x3f\0\1x", 5, many, 64, f));
	ck_assert_uint_eq(tlv_u8(&f[63]), 'x');
	ck_assert(!tlv_parse("", 0, many, 65, f));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tlv");
	TCase *t = tcase_create("tlv");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, takes_what_the_rules_say, 0, COUNT(bodies));
	tcase_add_test(t, reads_what_was_written);
	tcase_add_test(t, a_missing_field_is_zero);
	tcase_add_test(t, text_must_fit_with_its_nul);
	tcase_add_loop_test(t, stays_in_its_buffer, 0, COUNT(rooms));
	tcase_add_test(t, writes_nothing_after_an_overflow);
	tcase_add_test(t, refuses_what_the_length_cannot_say);
	tcase_add_test(t, walks_all_fields);
	tcase_add_test(t, has_a_bound_on_rules);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
