#include <check.h>
#include <stdlib.h>

#include "supervisor/restart.h"

#define NEVER RESTART_NEVER
/* No jitter for the delay of 250 ms; 500 becomes 450, 1000 850. */
#define RANDOM 50

/* One call each; wait is what restart_wait_ms() says then. */
struct step {
	uint64_t at_ms;
	enum restart_event event;
	enum restart_action action;
	enum worker_state state;
	uint64_t wait_ms;
};

static void
run(struct restart *r, const struct step *steps, size_t n, uint32_t random)
{
	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];

		ck_assert_msg(restart_event(r, s->event, s->at_ms, random) ==
			s->action,
		    "step %zu: action", i);
		ck_assert_msg(r->state == s->state, "step %zu: state %d", i,
		    (int)r->state);
		ck_assert_msg(restart_wait_ms(r, s->at_ms) == s->wait_ms,
		    "step %zu: waits %llu", i,
		    (unsigned long long)restart_wait_ms(r, s->at_ms));
	}
}

#define RUN(r, steps) run(r, steps, sizeof(steps) / sizeof(*(steps)), RANDOM)

static struct restart
fresh(void)
{
	struct restart r;

	restart_init(&r, 250, 1000);
	return r;
}

static const struct step life[] = {
	{ 0, RESTART_TIMER, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 0, RESTART_START, RESTART_DO_NOTHING, WORKER_STARTING, 10000 },
	{ 100, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 10100, RESTART_TIMER, RESTART_DO_PING, WORKER_READY, 10000 },
	{ 10200, RESTART_PONG, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 20200, RESTART_TIMER, RESTART_DO_PING, WORKER_READY, 10000 },
	{ 30200, RESTART_TIMER, RESTART_DO_KILL, WORKER_READY, NEVER },
	{ 30201, RESTART_PONG, RESTART_DO_NOTHING, WORKER_READY, NEVER },
	{ 30202, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 30452, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
};

START_TEST(lives_and_is_probed)
{
	struct restart r = fresh();

	RUN(&r, life);
	ck_assert_uint_eq(r.restarts, 1);
	ck_assert_uint_eq(r.since_ms, 30452);
}
END_TEST

static const struct step slow_start[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 9999, RESTART_FAULT, RESTART_DO_KILL, WORKER_STARTING, NEVER },
	{ 10000, RESTART_READY, RESTART_DO_NOTHING, WORKER_STARTING, NEVER },
	{ 10001, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 10251, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 20251, RESTART_TIMER, RESTART_DO_KILL, WORKER_STARTING, NEVER },
	{ 20252, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 450 },
};

START_TEST(kills_what_is_not_ready)
{
	struct restart r = fresh();

	RUN(&r, slow_start);
	ck_assert_str_eq(r.why, "not READY in time");
}
END_TEST

static const struct step backs_off[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 1, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 2, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 249 },
	{ 251, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 251, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 450 },
	{ 751, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 752, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	/* READY, but not for 60 s: the delay goes on to grow, to its bound. */
	{ 60751, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 850 },
	{ 61751, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 61751, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 850 },
	{ 62751, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 63000, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 123000, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
};

START_TEST(delay_doubles_and_resets)
{
	struct restart r = fresh();

	RUN(&r, backs_off);
	ck_assert_uint_eq(r.restarts, 4);
}
END_TEST

/* What runs once, and again when there is something new. */
static const struct step runs_once[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 1, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 2, RESTART_DONE, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
	{ 90, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 91, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	/* It died in place of an answer. */
	{ 92, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 342, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 343, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	/* Something new while it runs; it had answered all the same. */
	{ 344, RESTART_RELOAD, RESTART_DO_TERM, WORKER_READY, 4000 },
	{ 345, RESTART_DONE, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 346, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 347, RESTART_RELOAD, RESTART_DO_TERM, WORKER_READY, 4000 },
	{ 348, RESTART_STOP, RESTART_DO_NOTHING, WORKER_READY, 3999 },
	{ 349, RESTART_DONE, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
};

START_TEST(stays_down_when_it_is_done)
{
	struct restart r = fresh();

	RUN(&r, runs_once);
	ck_assert_uint_eq(r.restarts, 1);
	/* The next death is the first one again. */
	ck_assert_uint_eq(r.delay_ms, 250);
}
END_TEST

static const struct jitter {
	uint32_t random;
	uint64_t wait_ms;
} jitters[] = {
	{ 0, 200 },
	{ 50, 250 },
	{ 100, 300 },
	{ 101, 200 },
	{ UINT32_MAX, 200 + UINT32_MAX % 101 },
};

START_TEST(jitter_is_a_fifth)
{
	const struct jitter *j = &jitters[_i];
	struct restart r = fresh();

	restart_event(&r, RESTART_START, 0, j->random);
	restart_event(&r, RESTART_EXIT, 0, j->random);
	ck_assert_uint_eq(restart_wait_ms(&r, 0), j->wait_ms);
}
END_TEST

static const struct step reloads[] = {
	{ 0, RESTART_RELOAD, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 1, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 100, RESTART_RELOAD, RESTART_DO_TERM, WORKER_READY, 4000 },
	{ 101, RESTART_RELOAD, RESTART_DO_NOTHING, WORKER_READY, 3999 },
	{ 4100, RESTART_TIMER, RESTART_DO_KILL, WORKER_READY, NEVER },
	{ 4101, RESTART_EXIT, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 4102, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 4103, RESTART_RELOAD, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 4104, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
};

START_TEST(reload_waits_for_nothing)
{
	struct restart r = fresh();

	RUN(&r, reloads);
	/* Only the one in BACKOFF had died. */
	ck_assert_uint_eq(r.restarts, 1);
	ck_assert_str_eq(r.why, "did not end in time");
}
END_TEST

static const struct step stops[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 1, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 100, RESTART_RELOAD, RESTART_DO_TERM, WORKER_READY, 4000 },
	{ 200, RESTART_STOP, RESTART_DO_NOTHING, WORKER_READY, 3900 },
	{ 4100, RESTART_TIMER, RESTART_DO_KILL, WORKER_READY, NEVER },
	{ 4101, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
	{ 4102, RESTART_RELOAD, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
};

START_TEST(stop_is_for_good)
{
	struct restart r = fresh();

	RUN(&r, stops);
}
END_TEST

static const struct step stops_in_backoff[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 0, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 1, RESTART_STOP, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
	{ 250, RESTART_TIMER, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
};

START_TEST(stop_ends_the_back_off)
{
	struct restart r = fresh();

	RUN(&r, stops_in_backoff);
}
END_TEST

/* 250 ms each time, however often it is accused. */
static const struct step accusations[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 0, RESTART_ACCUSED, RESTART_DO_NOTHING, WORKER_STARTING, 10000 },
	{ 0, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 60000, RESTART_ACCUSED, RESTART_DO_KILL, WORKER_READY, NEVER },
	{ 60000, RESTART_ACCUSED, RESTART_DO_NOTHING, WORKER_READY, NEVER },
	{ 60001, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 60002, RESTART_ACCUSED, RESTART_DO_NOTHING, WORKER_BACKOFF, 249 },
	{ 60251, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 60300, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	/* Too soon; and then, when it is probed, not any more. */
	{ 61000, RESTART_ACCUSED, RESTART_DO_NOTHING, WORKER_READY, 9300 },
	{ 179998, RESTART_TIMER, RESTART_DO_PING, WORKER_READY, 10000 },
	{ 179999, RESTART_PONG, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 180000, RESTART_TIMER, RESTART_DO_KILL, WORKER_READY, NEVER },
	{ 180001, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_BACKOFF, 250 },
	{ 180251, RESTART_TIMER, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 180300, RESTART_READY, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	/* Its start made it good. */
	{ 300000, RESTART_TIMER, RESTART_DO_PING, WORKER_READY, 10000 },
	{ 300001, RESTART_PONG, RESTART_DO_NOTHING, WORKER_READY, 10000 },
	{ 300002, RESTART_ACCUSED, RESTART_DO_KILL, WORKER_READY, NEVER },
};

START_TEST(a_siblings_word_counts_now_and_then)
{
	struct restart r = fresh();

	RUN(&r, accusations);
	ck_assert_str_eq(r.why, "accused by a sibling");
}
END_TEST

static const struct step once[] = {
	{ 0, RESTART_START, RESTART_DO_SPAWN, WORKER_STARTING, 10000 },
	{ 1, RESTART_EXIT, RESTART_DO_NOTHING, WORKER_DOWN, NEVER },
};

START_TEST(once_is_once)
{
	struct restart r = fresh();

	r.once = true;
	RUN(&r, once);
}
END_TEST

static const struct refused {
	enum restart_event first;
	enum restart_event second;
	const char *why;
} refused[] = {
	{ RESTART_READY, RESTART_READY, "READY twice" },
	{ RESTART_READY, RESTART_PONG, "PONG without PING" },
	{ RESTART_TIMER, RESTART_FAULT, "protocol error" },
	{ RESTART_READY, RESTART_FAULT, "protocol error" },
};

START_TEST(nonsense_is_the_end)
{
	const struct refused *f = &refused[_i];
	struct restart r = fresh();

	restart_event(&r, RESTART_START, 0, 0);
	restart_event(&r, f->first, 1, 0);
	ck_assert_int_eq(restart_event(&r, f->second, 2, 0), RESTART_DO_KILL);
	ck_assert_str_eq(r.why, f->why);
}
END_TEST

START_TEST(delays_stay_sane)
{
	struct restart r;

	restart_init(&r, 0, 0);
	ck_assert_uint_eq(r.delay_ms, 1);
	restart_delays(&r, 500, 100);
	ck_assert_uint_eq(r.delay_max_ms, 500);
	r.delay_ms = 400;
	restart_delays(&r, 100, 200);
	ck_assert_uint_eq(r.delay_ms, 200);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("restart");
	TCase *t = tcase_create("restart");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, lives_and_is_probed);
	tcase_add_test(t, kills_what_is_not_ready);
	tcase_add_test(t, delay_doubles_and_resets);
	tcase_add_test(t, stays_down_when_it_is_done);
	tcase_add_loop_test(t, jitter_is_a_fifth, 0,
	    sizeof(jitters) / sizeof(*jitters));
	tcase_add_test(t, reload_waits_for_nothing);
	tcase_add_test(t, stop_is_for_good);
	tcase_add_test(t, stop_ends_the_back_off);
	tcase_add_test(t, a_siblings_word_counts_now_and_then);
	tcase_add_test(t, once_is_once);
	tcase_add_loop_test(t, nonsense_is_the_end, 0,
	    sizeof(refused) / sizeof(*refused));
	tcase_add_test(t, delays_stay_sane);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
