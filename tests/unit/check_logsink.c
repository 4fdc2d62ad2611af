#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/logsink.h"

#define PREFIX "1970-01-01T00:01:40.007Z warn http[42]: "

static const struct text {
	const char *text;
	const char *visible;
} texts[] = {
	{ "plain text, with \"quotes\"", "plain text, with \"quotes\"" },
	{ "", "" },
	{ "two\nlines", "two\\nlines" },
	{ "\033[31mred\033[0m", "\\033[31mred\\033[0m" },
	{ "tab\there", "tab\\there" },
	{ "back\\slash", "back\\\\slash" },
	{ "bell\a cr\r del\177", "bell\\a cr\\r del\\177" },
	/* C1 controls are escape sequences too where terminals are UTF-8. */
	{ "\302\233x \303\244", "\\302\\233x \\303\\244" },
	{ "%s %n", "%s %n" },
};

static size_t
format(char *buf, const char *text, size_t len)
{
	const struct timespec when = { .tv_sec = 100, .tv_nsec = 7999999 };
	const struct logsink_line l = {
		.level = LOG_LVL_WARN,
		.process = "http",
		.pid = 42,
		.text = text,
		.len = len,
	};

	return logsink_format(buf, &when, &l);
}

START_TEST(text_is_visible)
{
	const struct text *t = &texts[_i];
	char buf[LOGSINK_LINE], want[LOGSINK_LINE];
	size_t n = format(buf, t->text, strlen(t->text));

	snprintf(want, sizeof(want), PREFIX "%s\n", t->visible);
	ck_assert_str_eq(buf, want);
	ck_assert_uint_eq(n, strlen(want));
}
END_TEST

START_TEST(nul_is_visible)
{
	char buf[LOGSINK_LINE];

	format(buf, "a\0b", 3);
	ck_assert_str_eq(buf, PREFIX "a\\0b\n");
}
END_TEST

START_TEST(the_longest_line_fits)
{
	static char text[2 * LIMIT_LOG_LINE];
	char buf[LOGSINK_LINE];

	memset(text, '\001', sizeof(text));
	ck_assert_uint_eq(format(buf, text, sizeof(text)),
	    strlen(PREFIX) + 4 * LIMIT_LOG_LINE + 1);
}
END_TEST

static const struct target {
	const char *target;
	bool managed;
	bool stderr_closed;
	bool to_syslog;
} targets[] = {
	{ "auto", false, false, false },
	{ "auto", true, false, true },
	{ "auto", false, true, true },
	{ "stderr", true, true, false },
	{ "syslog", false, false, true },
};

START_TEST(picks_the_target)
{
	const struct target *t = &targets[_i];
	struct logsink s;

	if (t->managed)
		setenv("NOTIFY_SOCKET", "@x", 1);
	else
		unsetenv("NOTIFY_SOCKET");
	logsink_init(&s, t->stderr_closed);
	ck_assert(!s.to_syslog);
	logsink_target(&s, t->target);
	ck_assert(s.to_syslog == t->to_syslog);
	logsink_target(&s, "stderr");
	ck_assert(!s.to_syslog);
}
END_TEST

START_TEST(burst_then_trickle)
{
	struct log_rate r = { 0 };
	unsigned i;

	for (i = 0; log_rate_take(&r, 1000); i++)
		;
	ck_assert_uint_eq(i, LOG_RATE_BURST);
	ck_assert(!log_rate_take(&r, 1000 + 1000 / LOG_RATE_PER_SECOND - 1));
	ck_assert_uint_eq(log_rate_take_suppressed(&r, 1000), 0);
	/* Two are gone: this says so, and is a line itself. */
	ck_assert_uint_eq(log_rate_take_suppressed(&r,
			      1000 + 1000 / LOG_RATE_PER_SECOND),
	    2);
	ck_assert(!log_rate_take(&r, 1000 + 1000 / LOG_RATE_PER_SECOND));
	ck_assert_uint_eq(log_rate_take_suppressed(&r, 100000), 1);
	ck_assert_uint_eq(log_rate_take_suppressed(&r, 100000), 0);
}
END_TEST

START_TEST(never_more_than_the_burst)
{
	struct log_rate r = { 0 };
	unsigned i;

	ck_assert(log_rate_take(&r, 1000));
	for (i = 0; log_rate_take(&r, UINT32_MAX); i++)
		;
	ck_assert_uint_eq(i, LOG_RATE_BURST);
	/* A clock that goes back gives nothing. */
	ck_assert(!log_rate_take(&r, 5));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("logsink");
	TCase *t = tcase_create("logsink");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, text_is_visible, 0,
	    sizeof(texts) / sizeof(*texts));
	tcase_add_test(t, nul_is_visible);
	tcase_add_test(t, the_longest_line_fits);
	tcase_add_loop_test(t, picks_the_target, 0,
	    sizeof(targets) / sizeof(*targets));
	tcase_add_test(t, burst_then_trickle);
	tcase_add_test(t, never_more_than_the_burst);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
