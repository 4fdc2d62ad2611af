#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/consul_reader/follow.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define T0       1000000
#define RESYNC   300000

static const struct follow_conf conf = { .resync_ms = RESYNC,
	.seed = 1,
	.concurrency = 4 };

static struct follow *f;

/* What was asked and not answered yet. */
static struct {
	struct follow_ask asks[64];
	size_t n;
} open_asks;

static void
set_up_with(const struct follow_conf *c)
{
	open_asks.n = 0;
	f = follow_new(c, T0);
}

static void
set_up(void)
{
	set_up_with(&conf);
}

static void
tear_down(void)
{
	for (size_t i = 0; i < open_asks.n; i++) {
		if (open_asks.asks[i].list == QUERY_LISTS)
			follow_done(f, open_asks.asks[i].target, FOLLOW_READ, 0,
			    T0);
	}
	follow_free(f);
}

static const char *
name_of(const struct follow_ask *ask)
{
	static const char *const names[] = { "catalog", "critical", "warning",
		"nodes", "pulse", "roster" };

	return ask->list == QUERY_LISTS ? ask->service : names[ask->list];
}

/* Asks all that is to be asked now: their names. */
static const char *
ask_all(uint64_t now)
{
	static char buf[1024];
	struct follow_ask ask;
	size_t len;

	buf[0] = '\0';
	while (follow_next(f, now, &ask)) {
		ck_assert_uint_lt(open_asks.n, COUNT(open_asks.asks));
		open_asks.asks[open_asks.n++] = ask;
		len = strlen(buf);
		snprintf(buf + len, sizeof(buf) - len, "%s%s", len ? " " : "",
		    name_of(&ask));
		if (ask.list != QUERY_LISTS && ask.index != 0)
			snprintf(buf + strlen(buf), 32, "@%llu",
			    (unsigned long long)ask.index);
	}
	/* Else the caller's timer would spin. */
	ck_assert_uint_gt(follow_due(f, now), now);
	return buf;
}

#define assert_asks(now, text) ck_assert_str_eq(ask_all(now), text)

static struct follow_ask
take(const char *name)
{
	for (size_t i = 0; i < open_asks.n; i++) {
		struct follow_ask ask = open_asks.asks[i];

		if (strcmp(name_of(&ask), name) != 0)
			continue;
		open_asks.asks[i] = open_asks.asks[--open_asks.n];
		return ask;
	}
	ck_abort_msg("%s was not asked for", name);
}

static enum index_news
list_came(const char *name, uint64_t index, uint64_t now)
{
	return follow_listed(f, take(name).list, index, now);
}

static bool
pulse_came(uint64_t index, uint64_t now)
{
	ck_assert_int_eq(take("pulse").list, QUERY_PULSE);
	return follow_pulse(f, index, now);
}

static void
list_failed(const char *name, uint64_t now)
{
	ck_assert(!follow_list_failed(f, take(name).list, FOLLOW_LOST, 0, now));
}

static void
list_is_useless(const char *name, enum follow_end end, uint64_t now)
{
	ck_assert(follow_list_failed(f, take(name).list, end, 0, now));
}

static void
service_came(const char *name, enum follow_end end, uint64_t now)
{
	follow_done(f, take(name).target, end, 0, now);
}

static void
all_came(const char *const *names, size_t n, enum follow_end end, uint64_t now)
{
	for (size_t i = 0; i < n; i++)
		service_came(names[i], end, now);
}

static const char *const abc[] = { "a", "b", "c" };

/* Answers all services that are asked for, at once: the lists' names. */
static const char *
ask_lists(uint64_t now)
{
	static char buf[1024];
	struct follow_ask ask;

	buf[0] = '\0';
	while (follow_next(f, now, &ask)) {
		if (ask.list == QUERY_LISTS) {
			follow_done(f, ask.target, FOLLOW_READ, 0, now);
			continue;
		}
		open_asks.asks[open_asks.n++] = ask;
		snprintf(buf + strlen(buf), 32, "%s ", name_of(&ask));
	}
	return buf;
}

/* Three services, read, both passes done, the lists waiting. */
static void
settle(void)
{
	assert_asks(T0, "catalog critical nodes pulse");
	list_came("catalog", 10, T0);
	list_came("critical", 10, T0);
	list_came("nodes", 10, T0);
	ck_assert(!pulse_came(10, T0));
	for (size_t i = 0; i < COUNT(abc); i++)
		follow_add(f, abc[i]);
	ck_assert(!follow_complete(f, T0));
	assert_asks(T0, "catalog@10 critical@10 nodes@10 pulse@10 a b c");
	all_came(abc, 3, FOLLOW_CHANGED, T0 + 50);
	ck_assert(follow_complete(f, T0 + 50));
	assert_asks(T0 + 50, "roster");
	list_came("roster", 10, T0 + 60);
	ck_assert(!follow_confirmed(f));
	assert_asks(T0 + 60, "");
	ck_assert_uint_eq(follow_due(f, T0 + 60), T0 + 50 + FOLLOW_CONFIRM_MS);
	assert_asks(T0 + 50 + FOLLOW_CONFIRM_MS, "a b");
	service_came("a", FOLLOW_READ, T0 + 2100);
	service_came("b", FOLLOW_READ, T0 + 2100);
	assert_asks(T0 + 2100, "c");
	service_came("c", FOLLOW_READ, T0 + 2150);
	assert_asks(T0 + 2150, "");
	ck_assert(follow_confirmed(f));
}

START_TEST(starts_and_makes_sure)
{
	settle();
	ck_assert_uint_eq(follow_counts(f).passes, 2);
	ck_assert(follow_counts(f).good);
	/* At rest: nothing but what waits, up to the resync. */
	ck_assert_uint_eq(follow_due(f, T0 + 2150), T0 + RESYNC);
	ck_assert(!follow_resync_due(f, T0 + RESYNC - 1));
	ck_assert(follow_resync_due(f, T0 + RESYNC));
	for (int i = 0; i < QUERY_PULSE; i++)
		ck_assert_int_eq(follow_restart(f, (enum query_list)i,
				     T0 + RESYNC),
		    i != QUERY_WARNING);
	open_asks.n = 0;
	follow_resynced(f, T0 + RESYNC);
	assert_asks(T0 + RESYNC, "catalog critical nodes a b");
}
END_TEST

START_TEST(warnings_only_where_they_matter)
{
	struct follow_conf c = conf;

	tear_down();
	c.warning = true;
	set_up_with(&c);
	assert_asks(T0, "catalog critical warning nodes pulse");
}
END_TEST

START_TEST(reads_what_is_dirty)
{
	settle();
	follow_dirty(f, "b");
	follow_dirty(f, "b");
	follow_dirty(f, "nobody");
	assert_asks(T0 + 3000, "b");
	/* While it is read, it becomes dirty again. */
	follow_dirty(f, "b");
	assert_asks(T0 + 3000, "");
	service_came("b", FOLLOW_CHANGED, T0 + 3010);
	assert_asks(T0 + 3010, "b");
	service_came("b", FOLLOW_READ, T0 + 3020);
	assert_asks(T0 + 3020, "");
}
END_TEST

START_TEST(keeps_to_its_concurrency)
{
	char name[2] = "a";

	settle();
	for (char c = 'd'; c <= 'k'; c++) {
		name[0] = c;
		follow_add(f, name);
	}
	assert_asks(T0 + 3000, "d e f g");
	service_came("e", FOLLOW_CHANGED, T0 + 3000);
	assert_asks(T0 + 3000, "h");
	/* A sweep takes no more than half of it, behind what is urgent. */
	service_came("d", FOLLOW_CHANGED, T0 + 3000);
	service_came("f", FOLLOW_CHANGED, T0 + 3000);
	follow_sweep(f, T0 + 3000);
	assert_asks(T0 + 3000, "i j");
	service_came("g", FOLLOW_CHANGED, T0 + 3000);
	service_came("h", FOLLOW_CHANGED, T0 + 3000);
	/* Those that were under way as it began are read once more for it. */
	assert_asks(T0 + 3000, "k g");
	service_came("i", FOLLOW_CHANGED, T0 + 3000);
	assert_asks(T0 + 3000, "h");
	service_came("j", FOLLOW_CHANGED, T0 + 3000);
	service_came("k", FOLLOW_CHANGED, T0 + 3000);
	assert_asks(T0 + 3000, "");
	service_came("g", FOLLOW_CHANGED, T0 + 3000);
	assert_asks(T0 + 3000, "a");
	service_came("h", FOLLOW_CHANGED, T0 + 3000);
	assert_asks(T0 + 3000, "b");
}
END_TEST

/* ---- registrations ---- */

START_TEST(a_registration_brings_roster_and_sweep)
{
	settle();
	ck_assert_int_eq(list_came("catalog", 11, T0 + 100000), INDEX_MOVED);
	assert_asks(T0 + 100000, "catalog@11 roster a b");
	list_came("roster", 11, T0 + 100010);
	all_came(abc, 2, FOLLOW_READ, T0 + 100010);
	assert_asks(T0 + 100010, "c");
	service_came("c", FOLLOW_READ, T0 + 100020);
	assert_asks(T0 + 100020, "");
	/* The next ones wait for a moment. */
	list_came("catalog", 12, T0 + 100100);
	assert_asks(T0 + 100100, "catalog@12");
	assert_asks(T0 + 100010 + FOLLOW_ROSTER_PAUSE_MS, "roster");
	list_came("roster", 12, T0 + 101015);
	assert_asks(T0 + 101015, "");
	assert_asks(T0 + 100020 + FOLLOW_SWEEP_PAUSE_MS, "a b");
}
END_TEST

START_TEST(a_list_without_news_brings_nothing)
{
	settle();
	ck_assert_int_eq(list_came("catalog", 10, T0 + 50000), INDEX_SAME);
	ck_assert_int_eq(list_came("critical", 15, T0 + 50000), INDEX_MOVED);
	ck_assert_int_eq(list_came("nodes", 15, T0 + 50000), INDEX_MOVED);
	assert_asks(T0 + 50000, "catalog@10 critical@15 nodes@15");
}
END_TEST

/* A sweep that takes that long from now on. */
static void
sweep(uint64_t now, uint64_t took, enum follow_end end)
{
	all_came(abc, 2, end, now + took / 2);
	assert_asks(now + took / 2, "c");
	service_came("c", end, now + took);
	assert_asks(now + took, "");
}

/* All that is open is answered, and what waits for registrations has one. */
static void
churn(uint64_t index, enum follow_end end, uint64_t now)
{
	for (size_t i = open_asks.n; i-- > 0;) {
		const char *name = name_of(&open_asks.asks[i]);

		if (strcmp(name, "catalog") == 0 || strcmp(name, "roster") == 0)
			list_came(name, index, now);
		else if (strlen(name) == 1)
			service_came(name, end, now);
	}
}

#define CHURN_MS 180000
#define TICK_MS  50
#define TOOK_MS  100

/* Sweeps in three minutes in which something is registered all the time. */
static unsigned
sweeps_of_churn(enum follow_end end)
{
	uint64_t begin = T0 + 100000, now;
	unsigned sweeps = 0;

	settle();
	for (now = begin; now < begin + CHURN_MS; now += TICK_MS) {
		churn(now, end, now);
		sweeps += strstr(ask_all(now), "a b") != NULL;
	}
	return sweeps;
}

static const unsigned most_sweeps =
    (CHURN_MS + FOLLOW_SWEEP_CREDIT_MS) / (FOLLOW_DUTY * TOOK_MS);

START_TEST(sweeps_take_a_part_of_the_time)
{
	unsigned sweeps = sweeps_of_churn(FOLLOW_CHANGED);

	ck_assert_uint_le(sweeps, most_sweeps + 1);
	ck_assert_uint_ge(sweeps, most_sweeps * 9 / 10);
}
END_TEST

START_TEST(sweeps_that_find_nothing_are_seldom)
{
	unsigned sweeps = sweeps_of_churn(FOLLOW_READ);

	ck_assert_uint_le(sweeps, most_sweeps / FOLLOW_SWEEP_FRUITLESS + 3);
	ck_assert_uint_ge(sweeps, most_sweeps / FOLLOW_SWEEP_FRUITLESS - 3);
}
END_TEST

/* When the sweep after one that took a second is due, if a read found that. */
static uint64_t
due_after(enum follow_end swept, enum follow_end urgent)
{
	settle();
	list_came("catalog", 11, T0 + 100000);
	assert_asks(T0 + 100000, "catalog@11 roster a b");
	list_came("roster", 11, T0 + 100000);
	service_came("a", swept, T0 + 100000);
	follow_dirty(f, "c");
	assert_asks(T0 + 100000, "c");
	service_came("c", urgent, T0 + 100000);
	service_came("b", FOLLOW_READ, T0 + 101000);
	assert_asks(T0 + 101000, "");
	list_came("catalog", 12, T0 + 101000);
	assert_asks(T0 + 101000, "catalog@12 roster");
	list_came("roster", 12, T0 + 101000);
	return follow_due(f, T0 + 101000);
}

START_TEST(what_a_list_found_is_no_fruit_of_a_sweep)
{
	/* It follows one that found nothing. */
	ck_assert_uint_eq(due_after(FOLLOW_READ, FOLLOW_CHANGED),
	    T0 + 100000 + 2 * 1000 * FOLLOW_DUTY - FOLLOW_SWEEP_CREDIT_MS);
	tear_down();
	set_up();
	ck_assert_uint_eq(due_after(FOLLOW_CHANGED, FOLLOW_READ),
	    T0 + 101000 + FOLLOW_SWEEP_PAUSE_MS);
}
END_TEST

START_TEST(a_slow_sweep_is_seldom)
{
	settle();
	list_came("catalog", 11, T0 + 100000);
	assert_asks(T0 + 100000, "catalog@11 roster a b");
	list_came("roster", 11, T0 + 100000);
	sweep(T0 + 100000, 7000, FOLLOW_CHANGED);
	list_came("catalog", 12, T0 + 107001);
	assert_asks(T0 + 107001, "catalog@12 roster");
	list_came("roster", 12, T0 + 107001);
	ck_assert_uint_eq(follow_due(f, T0 + 107001),
	    T0 + 100000 + 7000 * FOLLOW_DUTY - FOLLOW_SWEEP_CREDIT_MS);
}
END_TEST

START_TEST(a_slow_roster_is_seldom)
{
	settle();
	list_came("catalog", 11, T0 + 100000);
	assert_asks(T0 + 100000, "catalog@11 roster a b");
	sweep(T0 + 100000, 100, FOLLOW_CHANGED);
	list_came("roster", 11, T0 + 103000);
	list_came("catalog", 12, T0 + 103000);
	assert_asks(T0 + 103000, "catalog@12 a b");
	sweep(T0 + 103000, 100, FOLLOW_READ);
	ck_assert_uint_eq(follow_due(f, T0 + 103100),
	    T0 + 103000 + 3000 * FOLLOW_DUTY);
}
END_TEST

/* ---- failures ---- */

START_TEST(a_failed_list_starts_over)
{
	settle();
	list_failed("catalog", T0 + 50000);
	assert_asks(T0 + 50000, "");
	ck_assert_uint_eq(follow_counts(f).lists_failing, 1);
	ck_assert_uint_le(follow_due(f, T0 + 50000),
	    T0 + 50000 + INDEX_RETRY_MIN_MS);
	assert_asks(T0 + 50200, "catalog");
	/* Nothing was registered meanwhile. */
	list_came("catalog", 10, T0 + 50200);
	assert_asks(T0 + 50300, "catalog@10");
	ck_assert_uint_eq(follow_counts(f).lists_failing, 0);
}
END_TEST

/* Anybody's checks may make it so: nobody is to wait for that. */
START_TEST(what_one_list_cannot_say_the_sweep_does)
{
	uint64_t now = T0 + 50000;

	settle();
	list_is_useless("critical", FOLLOW_TOO_LARGE, now);
	ck_assert_uint_eq(follow_counts(f).lists_failing, 0);
	ck_assert_uint_eq(follow_counts(f).lists_useless, 1);
	assert_asks(now, "a b");
	service_came("a", FOLLOW_READ, now);
	service_came("b", FOLLOW_READ, now);
	assert_asks(now, "c");
	service_came("c", FOLLOW_CHANGED, now);
	/* And another one, as long as it lasts. */
	assert_asks(now, "");
	assert_asks(now + FOLLOW_SWEEP_AGAIN_MS, "critical a b");
	list_came("critical", 11, now + FOLLOW_SWEEP_AGAIN_MS);
	ck_assert_uint_eq(follow_counts(f).lists_useless, 0);
	service_came("a", FOLLOW_READ, now + FOLLOW_SWEEP_AGAIN_MS);
	service_came("b", FOLLOW_READ, now + FOLLOW_SWEEP_AGAIN_MS);
	assert_asks(now + FOLLOW_SWEEP_AGAIN_MS, "critical@11 c");
	service_came("c", FOLLOW_READ, now + FOLLOW_SWEEP_AGAIN_MS);
	assert_asks(now + 10 * FOLLOW_SWEEP_AGAIN_MS, "");
}
END_TEST

/* A second of its answer is paid for by 20 without it. */
START_TEST(a_useless_list_is_asked_seldom)
{
	uint64_t now = T0 + 50000;

	settle();
	list_is_useless("critical", FOLLOW_UNREADABLE, now);
	now += FOLLOW_RETRY_MAX_MS;
	ck_assert_str_eq(ask_lists(now), "critical ");
	list_is_useless("critical", FOLLOW_UNREADABLE, now + 1000);
	now += 1000 + FOLLOW_DUTY * 1000;
	ck_assert_str_eq(ask_lists(now - 1), "");
	ck_assert_str_eq(ask_lists(now), "critical ");
}
END_TEST

START_TEST(a_list_that_fails_alone_is_done_without)
{
	uint64_t now = T0 + 50000;

	settle();
	for (int i = 1; i < FOLLOW_TRIES; i++) {
		list_failed("nodes", now);
		now += 1000;
		ck_assert_str_eq(ask_lists(now), "nodes ");
	}
	ck_assert_uint_eq(follow_counts(f).lists_failing, 1);
	list_is_useless("nodes", FOLLOW_LOST, now);
	ck_assert_uint_eq(follow_counts(f).lists_failing, 0);
	/* Consul as a whole: not it, but that is the trouble. */
	list_failed("pulse", now);
	now += 1000;
	ck_assert_str_eq(ask_lists(now), "nodes pulse ");
	list_failed("nodes", now);
	ck_assert_uint_eq(follow_counts(f).lists_failing, 2);
}
END_TEST

START_TEST(nothing_goes_without_catalog_and_pulse)
{
	static const char *const needed[] = { "catalog", "pulse" };

	settle();
	for (size_t i = 0; i < COUNT(needed); i++)
		ck_assert(!follow_list_failed(f, take(needed[i]).list,
		    FOLLOW_UNREADABLE, 0, T0 + 50000));
	ck_assert_uint_eq(follow_counts(f).lists_failing, 2);
}
END_TEST

/* Before the first list there is nothing to sweep: no pass makes sure. */
START_TEST(a_list_that_is_useless_from_the_start)
{
	ask_all(T0);
	list_is_useless("critical", FOLLOW_UNREADABLE, T0);
	ask_all(T0);
	ck_assert_uint_eq(follow_counts(f).passes, 0);
	list_came("catalog", 10, T0);
	list_came("nodes", 10, T0);
	follow_add(f, "a");
	ask_all(T0);
	service_came("a", FOLLOW_CHANGED, T0);
	ck_assert(follow_complete(f, T0));
}
END_TEST

START_TEST(a_roster_that_is_useless_waits_for_a_registration)
{
	uint64_t now = T0 + 50000;

	settle();
	list_came("catalog", 11, now);
	ck_assert_str_eq(ask_lists(now), "catalog roster ");
	list_is_useless("roster", FOLLOW_TOO_LARGE, now);
	ck_assert_str_eq(ask_lists(now + 100000), "");
	list_came("catalog", 12, now + 100000);
	ck_assert_str_eq(ask_lists(now + 100000), "catalog roster ");
}
END_TEST

/* Unlike follow_sweep(): it is asked for by what anybody may bring about. */
START_TEST(a_sweep_in_time_keeps_the_pace)
{
	uint64_t now = T0 + 50000;

	follow_sweep_in_time(f, T0);
	ask_all(T0);
	ck_assert_uint_eq(follow_counts(f).passes, 0);
	tear_down();
	set_up();
	settle();
	follow_sweep_in_time(f, now);
	assert_asks(now, "a b");
	all_came(abc, 2, FOLLOW_READ, now + 400);
	ck_assert_str_eq(ask_lists(now + 400), "");
	follow_sweep_in_time(f, now + 401);
	assert_asks(now + 401, "");
}
END_TEST

START_TEST(a_reset_brings_a_sweep)
{
	settle();
	ck_assert_int_eq(list_came("critical", 3, T0 + 50000), INDEX_BEHIND);
	assert_asks(T0 + 50000, "critical");
	ck_assert_int_eq(list_came("critical", 3, T0 + 50000), INDEX_RESET);
	assert_asks(T0 + 50000, "a b");
	assert_asks(T0 + 50000 + INDEX_ZERO_PAUSE_MS, "critical");
}
END_TEST

/* One probe at a time while Consul is away, and all at once after that. */
START_TEST(a_lost_consul_is_not_hammered)
{
	settle();
	for (size_t i = 0; i < 3; i++)
		follow_dirty(f, abc[i]);
	assert_asks(T0 + 3000, "a b c");
	all_came(abc, 3, FOLLOW_LOST, T0 + 3010);
	assert_asks(T0 + 3010, "");
	ck_assert_uint_eq(follow_counts(f).failing, 3);
	assert_asks(T0 + 3300, "a");
	service_came("a", FOLLOW_LOST, T0 + 3310);
	assert_asks(T0 + 3310, "");
	assert_asks(T0 + 10000, "b");
	service_came("b", FOLLOW_READ, T0 + 10010);
	assert_asks(T0 + 10010, "c a");
	ck_assert_uint_eq(follow_counts(f).failing, 0);
}
END_TEST

START_TEST(retry_after_is_honoured)
{
	settle();
	follow_dirty(f, "a");
	follow_dirty(f, "b");
	assert_asks(T0 + 3000, "a b");
	follow_done(f, take("a").target, FOLLOW_BUSY, 7000, T0 + 3000);
	service_came("b", FOLLOW_READ, T0 + 3000);
	follow_dirty(f, "b");
	assert_asks(T0 + 9999, "");
	assert_asks(T0 + 10000, "b a");
}
END_TEST

/* One that can't be read costs nobody else. */
START_TEST(what_cannot_be_read_has_its_own_back_off)
{
	unsigned tries = 0;
	uint64_t now = T0 + 3000;

	settle();
	follow_dirty(f, "a");
	while (now < T0 + 63000) {
		const char *asked = ask_all(now);

		if (strstr(asked, "a") == asked && *asked != '\0') {
			service_came("a", FOLLOW_UNREADABLE, now);
			tries++;
		}
		follow_dirty(f, "a");
		follow_dirty(f, "b");
		ask_all(now);
		service_came("b", FOLLOW_READ, now);
		now += 100;
	}
	ck_assert_uint_ge(tries, 5);
	ck_assert_uint_le(tries, 20);
}
END_TEST

/* Each try may be 32 MiB. Others are read as ever meanwhile. */
START_TEST(what_is_too_large_is_tried_seldom)
{
	uint64_t now = T0 + 3000;

	settle();
	follow_dirty(f, "a");
	for (int i = 0; i < 8; i++) {
		assert_asks(now, "a");
		service_came("a", FOLLOW_TOO_LARGE, now);
		follow_dirty(f, "a");
		follow_dirty(f, "b");
		assert_asks(now, "b");
		service_came("b", FOLLOW_READ, now);
		ck_assert_uint_ge(follow_due(f, now),
		    now + FOLLOW_LARGE_MIN_MS / 2);
		now = follow_due(f, now);
	}
	ck_assert_uint_ge(now, T0 + 100000);
	ck_assert_uint_eq(follow_counts(f).failing, 1);
}
END_TEST

/* As one whose answer never comes in time. */
START_TEST(a_service_that_fails_alone)
{
	uint64_t now = T0 + 50000;
	struct follow_ask ask;

	settle();
	follow_dirty(f, "a");
	for (int i = 1; i < FOLLOW_TRIES; i++) {
		assert_asks(now, "a");
		ask = take("a");
		ck_assert(!follow_fails_alone(f, ask.target));
		follow_done(f, ask.target, FOLLOW_LOST, 0, now);
		now += 2000;
	}
	assert_asks(now, "a");
	ask = take("a");
	ck_assert(follow_fails_alone(f, ask.target));
	/* Not while Consul is not well. */
	list_failed("pulse", now);
	ck_assert(!follow_fails_alone(f, ask.target));
	follow_done(f, ask.target, FOLLOW_LOST, 0, now);
}
END_TEST

START_TEST(the_first_snapshot_waits_for_some_time_only)
{
	uint64_t late = T0 + FOLLOW_PATIENCE_MS;

	ask_all(T0);
	list_came("catalog", 10, T0);
	follow_add(f, "a");
	follow_add(f, "b");
	ask_all(T0);
	service_came("a", FOLLOW_UNREADABLE, T0);
	ck_assert(!follow_complete(f, T0));
	ck_assert(!follow_complete(f, late));
	service_came("b", FOLLOW_CHANGED, T0);
	ck_assert(!follow_complete(f, T0));
	ck_assert(follow_complete(f, late));
	/* But it makes sure of nothing. */
	for (uint64_t now = T0; now < T0 + 100000; now += 250) {
		const char *asked = ask_all(now);

		if (strstr(asked, "b") != NULL)
			service_came("b", FOLLOW_READ, now);
		if (strstr(asked, "a") == asked && *asked != '\0')
			service_came("a", FOLLOW_UNREADABLE, now);
	}
	ck_assert(!follow_confirmed(f));
	ck_assert_uint_gt(follow_counts(f).passes, 1);
	ck_assert(!follow_counts(f).good);
}
END_TEST

START_TEST(the_roster_waits_for_nobody_for_ever)
{
	ask_all(T0);
	list_came("catalog", 10, T0);
	follow_add(f, "a");
	follow_add(f, "b");
	assert_asks(T0, "catalog@10 a b");
	service_came("a", FOLLOW_UNREADABLE, T0);
	assert_asks(T0, "");
	service_came("b", FOLLOW_CHANGED, T0);
	assert_asks(T0, "roster");
}
END_TEST

START_TEST(a_doubted_pass_makes_sure_of_nothing)
{
	ask_all(T0);
	list_came("catalog", 10, T0);
	follow_doubt(f);
	follow_add(f, "a");
	ask_all(T0);
	service_came("a", FOLLOW_CHANGED, T0);
	ask_all(T0);
	list_came("roster", 10, T0);
	assert_asks(T0 + FOLLOW_CONFIRM_MS, "");
	/* It is tried again, as often as a sweep may be. */
	assert_asks(T0 + FOLLOW_SWEEP_AGAIN_MS, "a");
	service_came("a", FOLLOW_READ, T0 + 10100);
	assert_asks(T0 + 10100, "");
	ck_assert(!follow_confirmed(f));
	assert_asks(T0 + 10100 + FOLLOW_CONFIRM_MS, "a");
	service_came("a", FOLLOW_READ, T0 + 13000);
	assert_asks(T0 + 13000, "");
	ck_assert(follow_confirmed(f));
}
END_TEST

/* Also passes that have nothing to read, and so are over at once. */
START_TEST(nothing_is_sure_while_the_catalog_hides)
{
	ask_all(T0);
	list_came("catalog", 10, T0);
	follow_hidden(f, true);
	for (uint64_t now = T0; now < T0 + 200000; now += 250)
		ask_all(now);
	ck_assert_uint_gt(follow_counts(f).passes, 2);
	ck_assert(!follow_counts(f).good);
	ck_assert(!follow_confirmed(f));
	follow_hidden(f, false);
	follow_sweep(f, T0 + 200000);
	ask_all(T0 + 200000);
	ask_all(T0 + 200000 + FOLLOW_CONFIRM_MS);
	ck_assert(follow_confirmed(f));
}
END_TEST

/* A list that may hide something is asked again, and not for its index. */
START_TEST(what_hides_something_is_asked_again)
{
	settle();
	list_came("catalog", 10, T0 + 50000);
	follow_again(f, QUERY_CATALOG, 1000, T0 + 50000);
	assert_asks(T0 + 50999, "");
	assert_asks(T0 + 51000, "catalog");
	list_came("catalog", 10, T0 + 51000);
	assert_asks(T0 + 51500, "catalog@10");
}
END_TEST

START_TEST(a_new_token_tries_all_again)
{
	settle();
	list_failed("critical", T0 + 50000);
	follow_dirty(f, "a");
	ask_all(T0 + 50000);
	service_came("a", FOLLOW_UNREADABLE, T0 + 50000);
	follow_retry(f, T0 + 50001);
	assert_asks(T0 + 50001, "critical a b");
}
END_TEST

/* ---- no leader ---- */

/* What is held back makes it ask for the pulse, once in a while. */
START_TEST(what_is_held_back_is_a_doubt)
{
	uint64_t now = T0 + 3000;

	settle();
	ck_assert(!follow_in_doubt(f, T0 + 100000));
	follow_dirty(f, "a");
	assert_asks(now, "a");
	ck_assert_uint_eq(follow_due(f, now), now + FOLLOW_HELD_MS);
	ck_assert(!follow_in_doubt(f, now + FOLLOW_HELD_MS - 1));
	for (int i = 0; i < 3; i++) {
		now += FOLLOW_HELD_MS;
		ck_assert(follow_in_doubt(f, now));
		ck_assert(follow_restart(f, QUERY_PULSE, now));
		take("pulse");
		ck_assert(!follow_in_doubt(f, now));
		assert_asks(now, "pulse");
		/* It is slow itself. */
		ck_assert(!follow_in_doubt(f, now + 5000));
		/* There is a leader: it just takes its time. */
		ck_assert(!pulse_came(10, now));
		assert_asks(now, "pulse@10");
	}
	service_came("a", FOLLOW_READ, now);
	ck_assert(!follow_in_doubt(f, now + 100000));
}
END_TEST

START_TEST(lists_are_held_back_too)
{
	settle();
	list_came("catalog", 11, T0 + 50000);
	assert_asks(T0 + 50000, "catalog@11 roster a b");
	service_came("a", FOLLOW_READ, T0 + 50000);
	service_came("b", FOLLOW_READ, T0 + 50000);
	assert_asks(T0 + 50000, "c");
	/* Another answer meanwhile says that Consul answers. */
	service_came("c", FOLLOW_READ, T0 + 50900);
	ck_assert(!follow_in_doubt(f, T0 + 51800));
	ck_assert(follow_in_doubt(f, T0 + 51900));
	list_came("roster", 11, T0 + 51900);
	ck_assert(!follow_in_doubt(f, T0 + 90000));
	list_failed("critical", T0 + 90000);
	assert_asks(T0 + 90100, "critical");
	ck_assert(follow_in_doubt(f, T0 + 90100 + FOLLOW_HELD_MS));
}
END_TEST

/* All that is held back is asked again at once. */
START_TEST(a_leader_that_is_back_is_asked_at_once)
{
	static const char *const waiting[] = { "catalog", "critical", "nodes" };

	settle();
	follow_dirty(f, "a");
	follow_dirty(f, "b");
	assert_asks(T0 + 50000, "a b");
	service_came("b", FOLLOW_LOST, T0 + 50000);
	list_failed("pulse", T0 + 50000);
	list_failed("catalog", T0 + 50000);
	ck_assert_uint_eq(follow_counts(f).lists_failing, 2);
	assert_asks(T0 + 50100, "catalog pulse");
	ck_assert(pulse_came(10, T0 + 50110));
	follow_back(f, T0 + 50110);
	for (size_t i = 0; i < COUNT(waiting); i++)
		ck_assert(follow_restart(f, take(waiting[i]).list, T0 + 50110));
	service_came("a", FOLLOW_AGAIN, T0 + 50110);
	assert_asks(T0 + 50110, "critical nodes pulse@10 a b");
	/* Not twice in a row without a pause. */
	assert_asks(T0 + 50200, "catalog");
	ck_assert_uint_eq(follow_counts(f).failing, 0);
}
END_TEST

START_TEST(a_cancelled_roster_is_asked_again)
{
	settle();
	list_came("catalog", 11, T0 + 50000);
	ask_all(T0 + 50000);
	ck_assert(follow_restart(f, QUERY_ROSTER, T0 + 50010));
	take("roster");
	assert_asks(T0 + 50010, "roster");
	list_came("roster", 11, T0 + 50020);
	ck_assert(!follow_restart(f, QUERY_ROSTER, T0 + 90000));
	assert_asks(T0 + 90000, "");
}
END_TEST

/* ---- who comes and goes ---- */

START_TEST(the_removed_are_not_read)
{
	settle();
	follow_dirty(f, "a");
	follow_remove(f, "a");
	follow_remove(f, "a");
	assert_asks(T0 + 3000, "");
	follow_dirty(f, "b");
	assert_asks(T0 + 3000, "b");
	follow_remove(f, "b");
	follow_add(f, "b");
	assert_asks(T0 + 3000, "b");
	service_came("b", FOLLOW_CHANGED, T0 + 3000);
	service_came("b", FOLLOW_LOST, T0 + 3000);
	ck_assert_uint_eq(follow_counts(f).in_flight, 0);
	ck_assert_uint_eq(follow_counts(f).services, 2);
}
END_TEST

START_TEST(a_pass_ends_without_the_removed)
{
	settle();
	follow_sweep(f, T0 + 50000);
	assert_asks(T0 + 50000, "a b");
	follow_remove(f, "a");
	service_came("a", FOLLOW_READ, T0 + 50010);
	service_came("b", FOLLOW_READ, T0 + 50010);
	follow_remove(f, "c");
	follow_add(f, "d");
	assert_asks(T0 + 50010, "d");
	ck_assert_uint_eq(follow_counts(f).passes, 2);
	service_came("d", FOLLOW_READ, T0 + 50020);
	assert_asks(T0 + 50020, "");
	ck_assert_uint_eq(follow_counts(f).passes, 3);
}
END_TEST

START_TEST(a_pass_counts_only_reads_that_began_in_it)
{
	settle();
	follow_dirty(f, "a");
	assert_asks(T0 + 50000, "a");
	follow_sweep(f, T0 + 50000);
	assert_asks(T0 + 50000, "b");
	service_came("a", FOLLOW_READ, T0 + 50010);
	assert_asks(T0 + 50010, "a");
	service_came("b", FOLLOW_READ, T0 + 50020);
	assert_asks(T0 + 50020, "c");
	service_came("c", FOLLOW_READ, T0 + 50030);
	assert_asks(T0 + 50030, "");
	ck_assert_uint_eq(follow_counts(f).passes, 2);
	service_came("a", FOLLOW_READ, T0 + 50040);
	assert_asks(T0 + 50040, "");
	ck_assert_uint_eq(follow_counts(f).passes, 3);
}
END_TEST

/* One that failed before it began is tried in it, too. */
START_TEST(a_pass_waits_for_those_that_failed_before)
{
	settle();
	follow_dirty(f, "a");
	ask_all(T0 + 50000);
	service_came("a", FOLLOW_UNREADABLE, T0 + 50000);
	follow_sweep(f, T0 + 50000);
	assert_asks(T0 + 50000, "b c");
	service_came("b", FOLLOW_READ, T0 + 50010);
	service_came("c", FOLLOW_READ, T0 + 50010);
	assert_asks(T0 + 50010, "");
	ck_assert_uint_eq(follow_counts(f).passes, 2);
	assert_asks(T0 + 50000 + FOLLOW_RETRY_MIN_MS, "a");
	service_came("a", FOLLOW_UNREADABLE, T0 + 50300);
	assert_asks(T0 + 50300, "");
	ck_assert_uint_eq(follow_counts(f).passes, 3);
	ck_assert(!follow_counts(f).good);
}
END_TEST

START_TEST(nothing_to_follow_is_complete)
{
	ask_all(T0);
	ck_assert(!follow_complete(f, T0 + 1000));
	list_came("catalog", 10, T0);
	ck_assert(follow_complete(f, T0));
	ask_all(T0);
	ask_all(T0 + FOLLOW_CONFIRM_MS);
	ck_assert_uint_gt(follow_due(f, T0 + 2 * FOLLOW_CONFIRM_MS),
	    T0 + 2 * FOLLOW_CONFIRM_MS);
	ck_assert(follow_confirmed(f));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, starts_and_makes_sure);
	tcase_add_test(t, warnings_only_where_they_matter);
	tcase_add_test(t, reads_what_is_dirty);
	tcase_add_test(t, keeps_to_its_concurrency);
	tcase_add_test(t, a_registration_brings_roster_and_sweep);
	tcase_add_test(t, a_list_without_news_brings_nothing);
	tcase_add_test(t, sweeps_take_a_part_of_the_time);
	tcase_add_test(t, sweeps_that_find_nothing_are_seldom);
	tcase_add_test(t, what_a_list_found_is_no_fruit_of_a_sweep);
	tcase_add_test(t, a_slow_sweep_is_seldom);
	tcase_add_test(t, a_slow_roster_is_seldom);
	tcase_add_test(t, a_failed_list_starts_over);
	tcase_add_test(t, what_one_list_cannot_say_the_sweep_does);
	tcase_add_test(t, a_useless_list_is_asked_seldom);
	tcase_add_test(t, a_list_that_fails_alone_is_done_without);
	tcase_add_test(t, nothing_goes_without_catalog_and_pulse);
	tcase_add_test(t, a_list_that_is_useless_from_the_start);
	tcase_add_test(t, a_roster_that_is_useless_waits_for_a_registration);
	tcase_add_test(t, a_sweep_in_time_keeps_the_pace);
	tcase_add_test(t, a_reset_brings_a_sweep);
	tcase_add_test(t, a_lost_consul_is_not_hammered);
	tcase_add_test(t, retry_after_is_honoured);
	tcase_add_test(t, what_cannot_be_read_has_its_own_back_off);
	tcase_add_test(t, what_is_too_large_is_tried_seldom);
	tcase_add_test(t, a_service_that_fails_alone);
	tcase_add_test(t, the_first_snapshot_waits_for_some_time_only);
	tcase_add_test(t, the_roster_waits_for_nobody_for_ever);
	tcase_add_test(t, a_doubted_pass_makes_sure_of_nothing);
	tcase_add_test(t, nothing_is_sure_while_the_catalog_hides);
	tcase_add_test(t, what_hides_something_is_asked_again);
	tcase_add_test(t, a_new_token_tries_all_again);
	tcase_add_test(t, what_is_held_back_is_a_doubt);
	tcase_add_test(t, lists_are_held_back_too);
	tcase_add_test(t, a_leader_that_is_back_is_asked_at_once);
	tcase_add_test(t, a_cancelled_roster_is_asked_again);
	tcase_add_test(t, the_removed_are_not_read);
	tcase_add_test(t, a_pass_ends_without_the_removed);
	tcase_add_test(t, a_pass_counts_only_reads_that_began_in_it);
	tcase_add_test(t, a_pass_waits_for_those_that_failed_before);
	tcase_add_test(t, nothing_to_follow_is_complete);
}

int
main(void)
{
	Suite *s = suite_create("follow");
	TCase *t = tcase_create("follow");
	SRunner *r = srunner_create(s);
	int failed;

	add_tests(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
