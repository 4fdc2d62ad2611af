#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MAX_MS   (1ULL << 53)

static const struct {
	const char *text;
	uint64_t ms;
} good[] = {
	{ "0", 0 },
	{ "+0", 0 },
	{ "0s", 0 },
	{ "0h0m0.0s", 0 },
	{ "1s", 1000 },
	{ "+5s", 5000 },
	{ "500ms", 500 },
	{ "1m30s", 90000 },
	{ "1h15m30.918s", 4530918 },
	{ "1.5s", 1500 },
	{ "1.s", 1000 },
	{ ".5s", 500 },
	{ "1.0005s", 1001 }, /* rounded up */
	{ "1ns", 1 },
	{ "999us", 1 },
	{ "1000us", 1 },
	{ "1001us", 2 },
	{ "1\xc2\xb5s", 1 },
	{ "1\xce\xbcs", 1 },
	{ "500us500us", 1 }, /* parts are added before */
	{ "999999ns1ns", 1 },
	{ "0.000000000001h", 1 }, /* less than a nanosecond is not nothing */
	{ "0.00000000000000000000000000000s", 0 },
	{ "1s1h", 3601000 }, /* in any order */
	{ "0.1m", 6000 },
	{ "0.5h", 1800000 },
	{ "009s", 9000 },
	{ "9007199254740992ms", MAX_MS },
	{ "2501999792.9836h", 9007199254740960 },
};

START_TEST(reads)
{
	uint64_t ms = 77;

	ck_assert_msg(duration_parse(good[_i].text, &ms), "%s", good[_i].text);
	ck_assert_msg(ms == good[_i].ms, "%s: %llu", good[_i].text,
	    (unsigned long long)ms);
}
END_TEST

static const char *const bad[] = {
	"",
	" ",
	"1",
	"5 s",
	" 5s",
	"5s ",
	"s",
	".s",
	".",
	"+",
	"-1s",
	"-0s",
	"--1s",
	"+-1s",
	"00",
	"0x10s",
	"1e3s",
	"1,5s",
	"1d",
	"1w",
	"1S",
	"1M",
	"1min",
	"1sec",
	"1.5.5s",
	"1s1",
	"1s.",
	"1m 30s",
	"inf",
	"1\xc2s",
	"9007199254740993ms",
	"9007199254740992ms1ns",
	"9007199254740992ms0.9ms",
	"18446744073709551615s",
	"18446744073709551616ns",
	"184467440737095516150000000000000000000h",
	"5124095576031h",
};

START_TEST(refuses)
{
	uint64_t ms = 77;

	ck_assert_msg(!duration_parse(bad[_i], &ms), "\"%s\"", bad[_i]);
	ck_assert_uint_eq(ms, 77);
}
END_TEST

static const struct {
	uint64_t ms;
	const char *text;
} formats[] = {
	{ 0, "0s" },
	{ 1, "1ms" },
	{ 999, "999ms" },
	{ 1000, "1s" },
	{ 1001, "1.001s" },
	{ 1500, "1.5s" },
	{ 59999, "59.999s" },
	{ 60000, "1m0s" },
	{ 90050, "1m30.05s" },
	{ 3600000, "1h0m0s" },
	{ 4530918, "1h15m30.918s" },
	{ MAX_MS, "2501999792h59m0.992s" },
	{ UINT64_MAX, "5124095576030h25m51.615s" },
};

START_TEST(prints_as_go_does)
{
	char buf[DURATION_TEXT];

	ck_assert_str_eq(duration_format(formats[_i].ms, buf),
	    formats[_i].text);
}
END_TEST

START_TEST(reads_what_it_prints)
{
	char buf[DURATION_TEXT];
	uint64_t back;

	for (uint64_t ms = 0; ms <= MAX_MS; ms = ms * 3 / 2 + 1) {
		ck_assert(duration_parse(duration_format(ms, buf), &back));
		ck_assert_uint_eq(back, ms);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("duration");
	TCase *t = tcase_create("duration");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, reads, 0, COUNT(good));
	tcase_add_loop_test(t, refuses, 0, COUNT(bad));
	tcase_add_loop_test(t, prints_as_go_does, 0, COUNT(formats));
	tcase_add_test(t, reads_what_it_prints);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
