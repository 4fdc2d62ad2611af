#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/limits.h"
#include "common/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct {
	unsigned lines;
	enum log_level level;
	char text[LIMIT_LOG_LINE + 1];
} last;

static void catch (enum log_level level, const char *line, void *arg)
{
	ck_assert_ptr_eq(arg, &last);
	ck_assert_uint_le(strlen(line), LIMIT_LOG_LINE);
	last.lines++;
	last.level = level;
	strcpy(last.text, line);
	errno = EBADF;
}

static void
set_up(void)
{
	memset(&last, 0, sizeof(last));
	log_init("check", LOG_LVL_INFO);
	log_set_sink(catch, &last);
}

START_TEST(says_what_the_level_allows)
{
	static const struct {
		void (*say)(const char *fmt, ...);
		enum log_level level;
		const char *text;
	} calls[] = {
		{ log_error, LOG_LVL_ERROR, "pod 7" },
		{ log_warn, LOG_LVL_WARN, "pod 7: No such file or directory" },
		{ log_warnx, LOG_LVL_WARN, "pod 7" },
		{ log_info, LOG_LVL_INFO, "pod 7" },
		{ log_debug, LOG_LVL_DEBUG, "pod 7" },
	};
	enum log_level level = (enum log_level)_i;

	log_set_level(level);
	for (size_t i = 0; i < COUNT(calls); i++) {
		bool said = calls[i].level <= level;

		last.lines = 0;
		errno = ENOENT;
		calls[i].say("pod %d", 7);
		ck_assert_int_eq(errno, ENOENT);
		ck_assert_uint_eq(last.lines, said);
		if (!said)
			continue;
		ck_assert_str_eq(last.text, calls[i].text);
		ck_assert_int_eq(last.level, calls[i].level);
	}
}
END_TEST

/* A text of n bytes comes out with that length and end. */
static const struct {
	size_t n;
	bool with_errno;
	size_t len;
	const char *end;
} lengths[] = {
	{ 0, false, 0, "" },
	{ LIMIT_LOG_LINE - 1, false, LIMIT_LOG_LINE - 1, "xxx" },
	{ LIMIT_LOG_LINE, false, LIMIT_LOG_LINE, "xxx" },
	{ LIMIT_LOG_LINE + 1, false, LIMIT_LOG_LINE, "x..." },
	{ 10 * LIMIT_LOG_LINE, false, LIMIT_LOG_LINE, "x..." },
	{ LIMIT_LOG_LINE - 13, true, LIMIT_LOG_LINE, "xxx: Broken pipe" },
	{ LIMIT_LOG_LINE - 12, true, LIMIT_LOG_LINE, "x...: Broken pipe" },
	{ LIMIT_LOG_LINE, true, LIMIT_LOG_LINE, "x...: Broken pipe" },
};

START_TEST(cuts_long_lines)
{
	static char text[10 * LIMIT_LOG_LINE + 1];
	size_t end = strlen(lengths[_i].end);

	memset(text, 'x', lengths[_i].n);
	errno = EPIPE;
	if (lengths[_i].with_errno)
		log_warn("%s", text);
	else
		log_warnx("%s", text);
	ck_assert_uint_eq(strlen(last.text), lengths[_i].len);
	ck_assert_str_eq(last.text + lengths[_i].len - end, lengths[_i].end);
}
END_TEST

START_TEST(errors_of_the_format_are_no_crash)
{
	/* EILSEQ: not a character of the C locale. */
	log_info("pod %lc", (wint_t)0x10ffff);
	ck_assert_uint_eq(last.lines, 1);
	ck_assert_str_eq(last.text, "");
}
END_TEST

static void
log_again(enum log_level level, const char *line, void *arg)
{
	catch (level, line, arg);
	log_error("the sink failed");
}

START_TEST(a_sink_that_logs_is_not_called_again)
{
	log_set_sink(log_again, &last);
	log_info("once");
	ck_assert_uint_eq(last.lines, 1);
	log_info("twice");
	ck_assert_uint_eq(last.lines, 2);
}
END_TEST

START_TEST(a_condition_is_said_when_it_changes)
{
	struct log_once o = { 0 };

	ck_assert(!log_once_clear(&o, "well"));
	errno = EPIPE;
	ck_assert(log_once_warn(&o, "down: %d", 1));
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_int_eq(last.level, LOG_LVL_WARN);
	ck_assert_str_eq(last.text, "down: 1");
	for (int i = 0; i < 3; i++)
		ck_assert(!log_once_warn(&o, "down: %d", 1));
	ck_assert_uint_eq(o.repeats, 3);
	ck_assert(log_once_warn(&o, "down: %d", 2));
	ck_assert_uint_eq(o.repeats, 0);
	ck_assert(log_once_clear(&o, "up"));
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_int_eq(last.level, LOG_LVL_INFO);
	ck_assert_str_eq(last.text, "up");
	ck_assert(!log_once_clear(&o, "up"));
	ck_assert(log_once_warn(&o, "down: %d", 2));
	ck_assert_uint_eq(last.lines, 4);
}
END_TEST

START_TEST(a_condition_that_was_kept_back_is_said_later)
{
	struct log_once o = { 0 };

	log_set_level(LOG_LVL_ERROR);
	ck_assert(!log_once_warn(&o, "down"));
	log_set_level(LOG_LVL_WARN);
	ck_assert(log_once_warn(&o, "down"));
	/* Its end is info: kept back, but it did end. */
	ck_assert(!log_once_clear(&o, "up"));
	ck_assert(log_once_warn(&o, "down"));
	ck_assert_uint_eq(last.lines, 2);
}
END_TEST

START_TEST(knows_the_names_of_levels)
{
	static const struct {
		const char *name;
		int level; /* -1: none */
	} names[] = {
		{ "error", LOG_LVL_ERROR },
		{ "warn", LOG_LVL_WARN },
		{ "warning", LOG_LVL_WARN },
		{ "info", LOG_LVL_INFO },
		{ "INFO", LOG_LVL_INFO },
		{ "debug", LOG_LVL_DEBUG },
		{ "trace", LOG_LVL_DEBUG },
		{ "fatal", LOG_LVL_ERROR },
		{ "panic", LOG_LVL_ERROR },
		{ "", -1 },
		{ "inf", -1 },
		{ "information", -1 },
		{ "3", -1 },
	};

	for (size_t i = 0; i < COUNT(names); i++) {
		enum log_level level = LOG_LVL_WARN;
		bool good = log_level_parse(names[i].name, &level);

		ck_assert_msg(good == (names[i].level >= 0), "%s",
		    names[i].name);
		ck_assert_int_eq((int)level,
		    good ? names[i].level : LOG_LVL_WARN);
	}
	ck_assert_str_eq(log_level_name(LOG_LVL_ERROR), "error");
	ck_assert_str_eq(log_level_name(LOG_LVL_WARN), "warn");
	ck_assert_str_eq(log_level_name(LOG_LVL_INFO), "info");
	ck_assert_str_eq(log_level_name(LOG_LVL_DEBUG), "debug");
}
END_TEST

static void
check_fatal(enum log_level level, const char *line, void *arg)
{
	catch (level, line, arg);
	if (level != LOG_LVL_ERROR ||
	    strcmp(line, "no way: Is a directory") != 0)
		exit(2);
}

START_TEST(fatal_says_why_and_exits_1)
{
	log_set_sink(check_fatal, &last);
	log_set_level(LOG_LVL_ERROR);
	if (_i == 0) {
		errno = EISDIR;
		fatal("no %s", "way");
	}
	fatalx("no %s: Is a directory", "way");
}
END_TEST

START_TEST(allocates)
{
	char *p = xstrdup("abc"), *q = xstrndup("abcdef", 4),
	     *r = xmemdup("a\0b", 3);
	int *n = xcalloc(4, sizeof(*n));

	ck_assert_str_eq(p, "abc");
	ck_assert_str_eq(q, "abcd");
	ck_assert_mem_eq(r, "a\0b", 3);
	ck_assert_int_eq(n[3], 0);
	n = xreallocarray(n, 1000, sizeof(*n));
	n[999] = 1;
	free(p);
	free(q);
	free(r);
	free(n);
	/* Nothing is something too: NULL would mean an error elsewhere. */
	ck_assert_ptr_nonnull(p = xmalloc(0));
	ck_assert_ptr_nonnull(q = xcalloc(0, 8));
	ck_assert_ptr_nonnull(r = xreallocarray(NULL, 0, 8));
	free(p);
	free(q);
	free(r);
}
END_TEST

#ifndef KATALOGD_SANITIZE /* which ends the process itself */
START_TEST(no_memory_is_fatal)
{
	/* Overflows: no allocator is asked for that much. */
	xreallocarray(NULL, SIZE_MAX / 2, 4);
}
END_TEST
#endif

int
main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_loop_test(t, says_what_the_level_allows, LOG_LVL_ERROR,
	    LOG_LVL_DEBUG + 1);
	tcase_add_loop_test(t, cuts_long_lines, 0, COUNT(lengths));
	tcase_add_test(t, errors_of_the_format_are_no_crash);
	tcase_add_test(t, a_sink_that_logs_is_not_called_again);
	tcase_add_test(t, a_condition_is_said_when_it_changes);
	tcase_add_test(t, a_condition_that_was_kept_back_is_said_later);
	tcase_add_test(t, knows_the_names_of_levels);
	tcase_add_loop_exit_test(t, fatal_says_why_and_exits_1, 1, 0, 2);
	tcase_add_test(t, allocates);
#ifndef KATALOGD_SANITIZE
	tcase_add_exit_test(t, no_memory_is_fatal, 1);
#endif
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
