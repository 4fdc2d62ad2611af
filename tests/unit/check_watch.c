#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/k8s_text.h"
#include "workers/k8s_writer/lines.h"
#include "workers/k8s_writer/watch.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define T0       1000000ULL
#define RELIST   600000

/* ---- lines ---- */

static char got[256];
static size_t refuse_at; /* the line that is refused; 0: none */

static bool
note_line(const char *text, size_t len, void *arg)
{
	size_t *n = arg;

	strlcat(got, "[", sizeof(got));
	strncat(got, text, len);
	strlcat(got, "]", sizeof(got));
	return ++*n != refuse_at;
}

static bool
feed(struct lines *l, const char *data, size_t len, size_t step)
{
	size_t n = 0;

	got[0] = '\0';
	for (size_t i = 0; i < len; i += step) {
		size_t part = len - i < step ? len - i : step;

		if (!lines_feed(l, data + i, part, note_line, &n))
			return false;
	}
	return true;
}

/* Lines of at most 5 bytes. */
static const struct {
	const char *data;
	const char *got;
	bool ok;
} line_rows[] = {
	{ "", "", true },
	{ "a", "", true },
	{ "a\n", "[a]", true },
	{ "a\nbc\nd", "[a][bc]", true },
	{ "\n\n\n", "", true },
	{ "a\r\nb\n", "[a][b]", true },
	{ "\r\n", "", true },
	{ "a\rb\n", "[a\rb]", true },
	{ "12345\n", "[12345]", true },
	{ "12345\r\n", "[12345]", true },
	{ "123456\n", "", false },
	{ "ok\n1234567", "[ok]", false },
	{ "ok\n123456\r\n", "[ok]", false },
};

START_TEST(lines_in_pieces_of_any_size)
{
	const char *data = line_rows[_i].data;
	struct lines l;

	refuse_at = 0;
	for (size_t step = 1; step <= 16; step++) {
		lines_init(&l, 5);
		ck_assert_int_eq(feed(&l, data, strlen(data), step),
		    line_rows[_i].ok);
		ck_assert_str_eq(got, line_rows[_i].got);
		lines_clear(&l);
	}
}
END_TEST

START_TEST(a_refused_line_ends_it)
{
	struct lines l;

	lines_init(&l, 5);
	refuse_at = 2;
	ck_assert(!feed(&l, "a\nb\nc\n", 6, 6));
	ck_assert_str_eq(got, "[a][b]");
	refuse_at = 0;
	ck_assert(feed(&l, "d\n", 2, 2));
	ck_assert_str_eq(got, "[d]");
	lines_clear(&l);
}
END_TEST

START_TEST(nothing_is_kept)
{
	struct lines l;

	lines_init(&l, 1000);
	refuse_at = 0;
	for (size_t i = 1; i <= 1000; i++) {
		ck_assert(feed(&l, "x", 1, 1));
		ck_assert_uint_eq(l.n, i);
	}
	lines_clear(&l);
	ck_assert_uint_eq(l.n, 0);
	ck_assert(feed(&l, "a\n", 2, 2));
	ck_assert_str_eq(got, "[a]");
	ck_assert_ptr_null(l.held);
}
END_TEST

/* ---- the watch ---- */

static struct watch w;
static uint64_t now;

static void
setup(void)
{
	now = T0;
	watch_init(&w, KUBE_SLICE, RELIST, 7);
}

static enum watch_news
page(const char *next)
{
	char version[] = "100", token[64];
	struct kube_list l = { .version = version, .next = token };

	strlcpy(token, next, sizeof(token));
	return watch_page(&w, &l, now);
}

static enum watch_news
event(enum kube_event_type type, const char *version)
{
	char text[32];
	struct kube_event e = { .type = type, .object = { .version = text } };

	strlcpy(text, version, sizeof(text));
	return watch_event(&w, &e, now);
}

static void
does(enum watch_do what)
{
	ck_assert_int_eq(watch_next(&w, now), what);
}

static void
path_has(const char *part)
{
	static char path[WATCH_PATH];

	ck_assert(watch_path(&w, &k8s_conf, path));
	ck_assert_msg(strstr(path, part) != NULL, "%s", path);
}

/* Nothing is to be done before at least ms, nor after at most. */
static void
waits(uint64_t least, uint64_t most)
{
	does(WATCH_NOTHING);
	ck_assert_uint_ge(watch_due(&w, now), now + least);
	ck_assert_uint_le(watch_due(&w, now), now + most);
	now = watch_due(&w, now);
}

static void
watching(void)
{
	does(WATCH_LIST);
	ck_assert_int_eq(page(""), WATCH_COMPLETE);
	does(WATCH_WATCH);
}

START_TEST(a_list_then_a_watch)
{
	setup();
	ck_assert_uint_eq(watch_due(&w, now), 0);
	does(WATCH_LIST);
	does(WATCH_NOTHING);
	ck_assert_uint_eq(watch_due(&w, now), UINT64_MAX);
	path_has("/apis/discovery.k8s.io/v1/namespaces/network/"
		 "endpointslices?limit=100&labelSelector="
		 "app.kubernetes.io/managed-by%3Dconsul-sync");
	ck_assert(watch_begins(&w));
	ck_assert_int_eq(page(""), WATCH_COMPLETE);
	does(WATCH_WATCH);
	path_has("?watch=1&allowWatchBookmarks=true&timeoutSeconds=");
	path_has("&resourceVersion=100&labelSelector=");
}
END_TEST

START_TEST(services_of_all)
{
	watch_init(&w, KUBE_SERVICE, RELIST, 7);
	now = T0;
	does(WATCH_LIST);
	path_has("/api/v1/namespaces/network/services?limit=500");
}
END_TEST

START_TEST(pages)
{
	setup();
	does(WATCH_LIST);
	ck_assert_int_eq(page("a=b"), WATCH_NO_NEWS);
	ck_assert(!watch_begins(&w));
	does(WATCH_LIST);
	path_has("&continue=a%3Db");
	ck_assert_int_eq(page("c"), WATCH_NO_NEWS);
	does(WATCH_LIST);
	ck_assert_int_eq(page(""), WATCH_COMPLETE);
	ck_assert(watch_begins(&w));
	does(WATCH_WATCH);
}
END_TEST

/* A token that is too old, an error: the list begins anew. */
START_TEST(a_failed_page_costs_the_list)
{
	static const long statuses[] = { 410, 500, 0, 200 };

	setup();
	does(WATCH_LIST);
	page("a");
	does(WATCH_LIST);
	ck_assert_int_eq(watch_end(&w, statuses[_i], 0, now), WATCH_ERROR);
	ck_assert(watch_begins(&w));
	waits(100, 200);
	does(WATCH_LIST);
	path_has("limit=100&labelSelector=app.kubernetes.io/managed-by%3D"
		 "consul-sync");
	ck_assert_int_eq(page(""), WATCH_COMPLETE);
}
END_TEST

START_TEST(a_page_that_is_too_large)
{
	setup();
	does(WATCH_LIST);
	ck_assert(watch_too_large(&w, now));
	ck_assert_uint_eq(watch_due(&w, now), 0);
	does(WATCH_LIST);
	path_has("limit=50&");
	ck_assert(watch_begins(&w));
	page("a");
	/* The same page, and not the list from its beginning. */
	for (int limit = 25; limit > 0; limit /= 2) {
		does(WATCH_LIST);
		ck_assert(watch_too_large(&w, now));
	}
	does(WATCH_LIST);
	path_has("limit=1&");
	path_has("&continue=a");
	ck_assert(!watch_too_large(&w, now));
	ck_assert_int_eq(watch_end(&w, 0, 0, now), WATCH_ERROR);
}
END_TEST

START_TEST(pages_grow_again)
{
	static const char *const limits[] = { "limit=50&", "limit=100&",
		"limit=100&" };

	setup();
	does(WATCH_LIST);
	ck_assert(watch_too_large(&w, now));
	for (size_t i = 0; i < COUNT(limits); i++) {
		does(WATCH_LIST);
		path_has(limits[i]);
		ck_assert_int_eq(page(""), WATCH_COMPLETE);
		watch_relist(&w);
	}
	does(WATCH_LIST);
	page("");
	does(WATCH_WATCH);
	ck_assert(!watch_too_large(&w, now));
}
END_TEST

START_TEST(it_goes_on_where_it_ended)
{
	setup();
	watching();
	now += 5000;
	ck_assert_int_eq(event(KUBE_CHANGED, "101"), WATCH_NO_NEWS);
	ck_assert_int_eq(event(KUBE_DELETED, "102"), WATCH_NO_NEWS);
	ck_assert_int_eq(event(KUBE_BOOKMARK, "170"), WATCH_NO_NEWS);
	ck_assert_int_eq(watch_end(&w, 200, 0, now), WATCH_NO_NEWS);
	does(WATCH_WATCH);
	path_has("&resourceVersion=170&");
}
END_TEST

START_TEST(a_lost_connection)
{
	setup();
	watching();
	now += 5000;
	event(KUBE_CHANGED, "101");
	ck_assert_int_eq(watch_end(&w, 0, 0, now), WATCH_ERROR);
	waits(100, 200);
	does(WATCH_WATCH);
	path_has("&resourceVersion=101&");
}
END_TEST

START_TEST(too_old_a_version)
{
	setup();
	watching();
	now += 5000;
	ck_assert_int_eq(event(KUBE_ERROR, ""), WATCH_AGAIN);
	/* The stream ends then, which is no further news. */
	ck_assert_int_eq(watch_end(&w, 200, 0, now), WATCH_NO_NEWS);
	waits(100, 200);
	does(WATCH_LIST);
}
END_TEST

START_TEST(told_to_wait_by_an_event)
{
	struct kube_event e = { .type = KUBE_ERROR,
		.status = { .code = 429, .retry_after_ms = 5000 } };

	setup();
	watching();
	ck_assert_int_eq(watch_event(&w, &e, now), WATCH_AGAIN);
	waits(5000, 5000);
	does(WATCH_LIST);
}
END_TEST

START_TEST(refused_or_unreadable)
{
	static const long statuses[] = { 410, 404, WATCH_UNREADABLE };

	setup();
	watching();
	ck_assert_int_eq(watch_end(&w, statuses[_i], 0, now), WATCH_AGAIN);
	waits(100, 200);
	does(WATCH_LIST);
}
END_TEST

/* Ends at once, each time: no hot loop. */
START_TEST(watches_that_do_not_last)
{
	uint64_t begun;
	int rounds = 0;

	setup();
	watching();
	begun = now;
	while (now < begun + 30000) {
		now++;
		watch_end(&w, 200, 0, now);
		now = watch_due(&w, now);
		does(WATCH_WATCH);
		rounds++;
	}
	ck_assert_int_lt(rounds, 20);
}
END_TEST

START_TEST(errors_back_off)
{
	uint64_t begun, longest = 0;
	int rounds = 0;

	setup();
	for (begun = now; now < begun + 60000; rounds++) {
		uint64_t before = now;

		does(WATCH_LIST);
		ck_assert_int_eq(watch_end(&w, 0, 0, now), WATCH_ERROR);
		now = watch_due(&w, now);
		if (now - before > longest)
			longest = now - before;
	}
	ck_assert_int_lt(rounds, 40);
	/* An apiserver that is back is found soon. */
	ck_assert_uint_le(longest, 3000);
	watch_retry(&w, now - 1);
	does(WATCH_LIST);
}
END_TEST

START_TEST(it_waits_as_told)
{
	setup();
	does(WATCH_LIST);
	ck_assert_int_eq(watch_end(&w, 429, 7000, now), WATCH_ERROR);
	waits(7000, 7000);
	watching();
	ck_assert_int_eq(watch_end(&w, 429, 9000, now), WATCH_ERROR);
	waits(9000, 9000);
	does(WATCH_WATCH);
}
END_TEST

START_TEST(a_retry_waits_no_longer)
{
	setup();
	does(WATCH_LIST);
	watch_end(&w, 401, 0, now);
	does(WATCH_NOTHING);
	watch_retry(&w, now);
	does(WATCH_LIST);
}
END_TEST

START_TEST(what_the_cluster_does_not_have)
{
	setup();
	does(WATCH_LIST);
	ck_assert_int_eq(watch_end(&w, 404, 0, now), WATCH_ABSENT);
	for (uint64_t ms = WATCH_ABSENT_MS; ms < RELIST; ms *= 2) {
		waits(ms, ms);
		does(WATCH_LIST);
		ck_assert_int_eq(watch_end(&w, 404, 0, now), WATCH_NO_NEWS);
	}
	waits(RELIST, RELIST);
	watching();
	/* And gone again. */
	watch_end(&w, 404, 0, now);
	waits(100, 200);
	does(WATCH_LIST);
	ck_assert_int_eq(watch_end(&w, 404, 0, now), WATCH_ABSENT);
}
END_TEST

/* Somebody says when it is there: it is not asked for, or at once. */
START_TEST(what_somebody_tells_of)
{
	setup();
	does(WATCH_LIST);
	watch_end(&w, 404, 0, now);
	watch_told(&w, true);
	ck_assert_uint_eq(watch_due(&w, now), now + RELIST);
	watch_told(&w, false);
	ck_assert_uint_eq(watch_due(&w, now), now + WATCH_ABSENT_MS);
	watch_told(&w, true);
	now += 5000;
	watch_hint(&w, now);
	does(WATCH_LIST);
	/* Not yet served: it is asked for soon again. */
	watch_told(&w, false);
	watch_end(&w, 404, 0, now);
	waits(WATCH_ABSENT_MS, WATCH_ABSENT_MS);
	watching();
	/* To one that is there it is no matter. */
	watch_hint(&w, now);
	watch_told(&w, true);
	does(WATCH_NOTHING);
}
END_TEST

START_TEST(a_silent_watch_is_dead)
{
	watch_init(&w, KUBE_SLICE, 10 * WATCH_SILENCE_MS, 7);
	now = T0;
	watching();
	now += WATCH_SILENCE_MS - 1;
	event(KUBE_BOOKMARK, "101");
	now += WATCH_SILENCE_MS - 1;
	does(WATCH_NOTHING);
	ck_assert_uint_eq(watch_due(&w, now), now + 1);
	now++;
	ck_assert_uint_eq(watch_due(&w, now), 0);
	does(WATCH_STOP);
	does(WATCH_WATCH);
	path_has("&resourceVersion=101&");
}
END_TEST

START_TEST(lists_are_made_anew)
{
	setup();
	watching();
	for (int i = 0; i < 5; i++) {
		now += RELIST / 5 - 1;
		event(KUBE_CHANGED, "101");
		does(WATCH_NOTHING);
	}
	waits(5, 5);
	does(WATCH_STOP);
	does(WATCH_LIST);
	ck_assert_int_eq(page(""), WATCH_COMPLETE);
	does(WATCH_WATCH);
}
END_TEST

START_TEST(a_list_is_asked_for)
{
	setup();
	watching();
	watch_relist(&w);
	ck_assert_uint_eq(watch_due(&w, now), 0);
	does(WATCH_STOP);
	does(WATCH_LIST);
	page("a");
	watch_relist(&w);
	does(WATCH_LIST);
	ck_assert(watch_begins(&w));
	page("");
	does(WATCH_WATCH);
}
END_TEST

/* Not all watches of a kind, nor those of all kinds, end together. */
START_TEST(timeouts_differ)
{
	static char a[WATCH_PATH], b[WATCH_PATH];

	setup();
	watching();
	ck_assert(watch_path(&w, &k8s_conf, a));
	watch_init(&w, KUBE_SLICE, RELIST, 1234);
	watching();
	ck_assert(watch_path(&w, &k8s_conf, b));
	ck_assert_str_ne(a, b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("watch");
	TCase *t = tcase_create("watch");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, lines_in_pieces_of_any_size, 0,
	    COUNT(line_rows));
	tcase_add_test(t, a_refused_line_ends_it);
	tcase_add_test(t, nothing_is_kept);
	tcase_add_test(t, a_list_then_a_watch);
	tcase_add_test(t, services_of_all);
	tcase_add_test(t, pages);
	tcase_add_loop_test(t, a_failed_page_costs_the_list, 0, 4);
	tcase_add_test(t, a_page_that_is_too_large);
	tcase_add_test(t, pages_grow_again);
	tcase_add_test(t, it_goes_on_where_it_ended);
	tcase_add_test(t, a_lost_connection);
	tcase_add_test(t, too_old_a_version);
	tcase_add_test(t, told_to_wait_by_an_event);
	tcase_add_loop_test(t, refused_or_unreadable, 0, 3);
	tcase_add_test(t, watches_that_do_not_last);
	tcase_add_test(t, errors_back_off);
	tcase_add_test(t, it_waits_as_told);
	tcase_add_test(t, a_retry_waits_no_longer);
	tcase_add_test(t, what_the_cluster_does_not_have);
	tcase_add_test(t, what_somebody_tells_of);
	tcase_add_test(t, a_silent_watch_is_dead);
	tcase_add_test(t, lists_are_made_anew);
	tcase_add_test(t, a_list_is_asked_for);
	tcase_add_test(t, timeouts_differ);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
