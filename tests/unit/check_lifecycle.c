#include <check.h>
#include <stdlib.h>

#include "sidecar/lifecycle.h"

#define COUNT(a)    (sizeof(a) / sizeof(*(a)))
#define MAX_BACKOFF 1000
#define DEREGISTER  25000

enum event { START, ANSWER, TIMER, STOP };

/* One call each; random is 0: no jitter. */
struct step {
	uint64_t at_ms;
	enum event event;
	enum grpc_code code; /* of ANSWER */
	enum life_do what;
	uint64_t ms;
	enum life_phase phase;
};

static struct life_step
happen(struct lifecycle *l, const struct step *s)
{
	switch (s->event) {
	case START:
		return life_start(l, s->at_ms);
	case ANSWER:
		return life_answer(l, s->code, s->at_ms, 0);
	case TIMER:
		return life_timer(l, s->at_ms);
	default:
		return life_stop(l, s->at_ms);
	}
}

static void
run(struct lifecycle *l, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		struct life_step got = happen(l, s);

		ck_assert_msg(got.what == s->what, "step %zu: does %d", i,
		    (int)got.what);
		ck_assert_msg(got.ms == s->ms, "step %zu: %llu ms", i,
		    (unsigned long long)got.ms);
		ck_assert_msg(l->phase == s->phase, "step %zu: phase %d", i,
		    (int)l->phase);
	}
}

#define RUN(l, steps) run(l, steps, COUNT(steps))

static struct lifecycle
fresh(void)
{
	struct lifecycle l;

	life_init(&l, MAX_BACKOFF, DEREGISTER);
	return l;
}

#define REGISTER   LIFE_CALL, LIFE_REGISTER_MS, LIFE_REGISTERING
#define WAIT(ms)   LIFE_WAIT, ms, LIFE_REGISTERING
#define REGISTERED LIFE_NOTHING, 0, LIFE_REGISTERED
#define TAKE(ms)   LIFE_CALL, ms, LIFE_DEREGISTERING
#define AGAIN(ms)  LIFE_WAIT, ms, LIFE_DEREGISTERING
#define OVER       LIFE_END, 0, LIFE_OVER
#define DEAD       LIFE_NOTHING, 0, LIFE_OVER

static const struct step plain[] = {
	{ 5, START, 0, REGISTER },
	{ 9, ANSWER, GRPC_OK, REGISTERED },
	{ 90, TIMER, 0, REGISTERED },
	{ 91, ANSWER, GRPC_UNAVAILABLE, REGISTERED },
	{ 100, STOP, 0, TAKE(DEREGISTER) },
	{ 150, ANSWER, GRPC_OK, OVER },
	{ 151, STOP, 0, DEAD },
	{ 152, TIMER, 0, DEAD },
	{ 153, ANSWER, GRPC_OK, DEAD },
};

START_TEST(registers_and_deregisters)
{
	struct lifecycle l = fresh();

	RUN(&l, plain);
	ck_assert(l.out);
}
END_TEST

/* Pauses grow to the most, and begin anew after a call that lasted. */
static const struct step patient[] = {
	{ 0, START, 0, REGISTER },
	{ 1, ANSWER, GRPC_UNAVAILABLE, WAIT(100) },
	{ 101, TIMER, 0, REGISTER },
	{ 102, ANSWER, GRPC_UNKNOWN, WAIT(200) },
	{ 302, TIMER, 0, REGISTER },
	{ 303, ANSWER, GRPC_NOT_FOUND, WAIT(400) },
	{ 703, TIMER, 0, REGISTER },
	{ 704, ANSWER, GRPC_UNAVAILABLE, WAIT(800) },
	{ 1504, TIMER, 0, REGISTER },
	{ 1505, ANSWER, GRPC_UNAVAILABLE, WAIT(1000) },
	{ 2505, TIMER, 0, REGISTER },
	{ 2506, ANSWER, GRPC_UNAVAILABLE, WAIT(1000) },
	{ 3506, TIMER, 0, REGISTER },
	{ 13505, ANSWER, GRPC_UNAVAILABLE, WAIT(1000) },
	{ 14505, TIMER, 0, REGISTER },
	{ 24505, ANSWER, GRPC_UNAVAILABLE, WAIT(100) },
	{ 24605, TIMER, 0, REGISTER },
	{ 84605, ANSWER, GRPC_DEADLINE_EXCEEDED, WAIT(100) },
	{ 84705, TIMER, 0, REGISTER },
	{ 84706, ANSWER, GRPC_OK, REGISTERED },
};

START_TEST(registers_for_ever)
{
	struct lifecycle l = fresh();

	RUN(&l, patient);
}
END_TEST

/* What only people can change: soon at first, since pods begin, then slowly. */
START_TEST(refusals_slow_down)
{
	struct lifecycle l = fresh();
	uint64_t now = 0, last = 0;
	unsigned n = 0;

	life_start(&l, now);
	while (last < LIFE_SLOW_MS) {
		struct life_step s =
		    life_answer(&l, GRPC_PERMISSION_DENIED, now, 0);

		ck_assert_int_eq(s.what, LIFE_WAIT);
		ck_assert_uint_eq(s.ms,
		    last == 0                     ? 100
			: last * 2 < LIFE_SLOW_MS ? last * 2
						  : LIFE_SLOW_MS);
		last = s.ms;
		now += s.ms;
		life_timer(&l, now);
		n++;
	}
	ck_assert_uint_eq(n, 8);
	/* And another failure's pause is another's again. */
	ck_assert_uint_eq(life_answer(&l, GRPC_UNAVAILABLE, now, 0).ms,
	    MAX_BACKOFF);
}
END_TEST

static const struct {
	enum grpc_code code;
	bool refusal;
} codes[] = {
	{ GRPC_OK, false },
	{ GRPC_CANCELLED, false },
	{ GRPC_UNKNOWN, false },
	{ GRPC_INVALID_ARGUMENT, true },
	{ GRPC_DEADLINE_EXCEEDED, false },
	{ GRPC_NOT_FOUND, false },
	{ GRPC_PERMISSION_DENIED, true },
	{ GRPC_RESOURCE_EXHAUSTED, false },
	{ GRPC_FAILED_PRECONDITION, true },
	{ GRPC_ABORTED, false },
	{ GRPC_UNIMPLEMENTED, true },
	{ GRPC_INTERNAL, false },
	{ GRPC_UNAVAILABLE, false },
	{ GRPC_UNAUTHENTICATED, true },
	{ GRPC_CODES, false },
};

START_TEST(knows_what_people_must_change)
{
	ck_assert_int_eq(life_is_refusal(codes[_i].code), codes[_i].refusal);
}
END_TEST

static const struct step stubborn[] = {
	{ 0, START, 0, REGISTER },
	{ 1, ANSWER, GRPC_OK, REGISTERED },
	{ 1000, STOP, 0, TAKE(25000) },
	{ 1001, ANSWER, GRPC_UNAVAILABLE, AGAIN(100) },
	{ 1101, TIMER, 0, TAKE(24899) },
	{ 1102, ANSWER, GRPC_UNKNOWN, AGAIN(200) },
	{ 1302, TIMER, 0, TAKE(24698) },
	{ 25950, ANSWER, GRPC_INTERNAL, OVER },
};

START_TEST(deregisters_until_time_is_up)
{
	struct lifecycle l = fresh();

	RUN(&l, stubborn);
	ck_assert(!l.out);
}
END_TEST

/* A timer that came late. */
static const struct step late[] = {
	{ 0, START, 0, REGISTER },
	{ 1, ANSWER, GRPC_OK, REGISTERED },
	{ 1000, STOP, 0, TAKE(25000) },
	{ 1001, ANSWER, GRPC_UNAVAILABLE, AGAIN(100) },
	{ 26000, TIMER, 0, OVER },
};

START_TEST(does_not_call_past_its_time)
{
	struct lifecycle l = fresh();

	RUN(&l, late);
	ck_assert(!l.out);
}
END_TEST

/* How a deregistration ends for who was registered. */
static const struct {
	enum grpc_code code;
	bool out;
} ends[] = {
	{ GRPC_OK, true },
	{ GRPC_NOT_FOUND, true },
	{ GRPC_PERMISSION_DENIED, false },
	{ GRPC_FAILED_PRECONDITION, false },
	{ GRPC_UNIMPLEMENTED, false },
};

START_TEST(answers_that_end_it)
{
	struct lifecycle l = fresh();

	life_start(&l, 0);
	life_answer(&l, GRPC_OK, 1, 0);
	life_stop(&l, 2);
	ck_assert_int_eq(life_answer(&l, ends[_i].code, 3, 0).what, LIFE_END);
	ck_assert_int_eq(l.out, ends[_i].out);
}
END_TEST

/* Stopped while a call is there, and in a pause: asked once, briefly. */
static const struct step early[] = {
	{ 0, START, 0, REGISTER },
	{ 1, STOP, 0, TAKE(LIFE_ONCE_MS) },
	{ 2, ANSWER, GRPC_UNAVAILABLE, OVER },
};
static const struct step earlier[] = {
	{ 0, START, 0, REGISTER },
	{ 1, ANSWER, GRPC_UNAVAILABLE, WAIT(100) },
	{ 2, STOP, 0, TAKE(LIFE_ONCE_MS) },
	{ 3, ANSWER, GRPC_FAILED_PRECONDITION, OVER },
};

START_TEST(stopped_before_it_was_registered)
{
	struct lifecycle l = fresh();

	RUN(&l, early);
	ck_assert(l.out);
	l = fresh();
	RUN(&l, earlier);
	ck_assert(l.out);
}
END_TEST

static const struct step twice[] = {
	{ 0, START, 0, REGISTER },
	{ 1, ANSWER, GRPC_OK, REGISTERED },
	{ 2, STOP, 0, TAKE(DEREGISTER) },
	{ 3, STOP, 0, OVER },
};

START_TEST(second_stop_ends_it)
{
	struct lifecycle l = fresh();

	RUN(&l, twice);
	ck_assert(!l.out);
}
END_TEST

START_TEST(no_time_is_no_call)
{
	struct lifecycle l;

	life_init(&l, MAX_BACKOFF, 0);
	life_start(&l, 0);
	life_answer(&l, GRPC_OK, 1, 0);
	ck_assert_int_eq(life_stop(&l, 2).what, LIFE_END);
	ck_assert(!l.out);
}
END_TEST

/* The pause is 400; at most a quarter goes. */
static const struct {
	uint32_t random;
	uint64_t ms;
} jitters[] = {
	{ 0, 400 },
	{ 1, 399 },
	{ 100, 300 },
	{ 101, 400 },
	{ UINT32_MAX, 400 - UINT32_MAX % 101 },
};

START_TEST(jitter_is_a_quarter)
{
	struct lifecycle l = fresh();

	life_start(&l, 0);
	life_answer(&l, GRPC_UNAVAILABLE, 0, 7);
	life_answer(&l, GRPC_UNAVAILABLE, 0, 7);
	ck_assert_uint_eq(life_answer(&l, GRPC_UNAVAILABLE, 0,
			      jitters[_i].random)
			      .ms,
	    jitters[_i].ms);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lifecycle");
	TCase *t = tcase_create("lifecycle");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, registers_and_deregisters);
	tcase_add_test(t, registers_for_ever);
	tcase_add_test(t, refusals_slow_down);
	tcase_add_loop_test(t, knows_what_people_must_change, 0, COUNT(codes));
	tcase_add_test(t, deregisters_until_time_is_up);
	tcase_add_test(t, does_not_call_past_its_time);
	tcase_add_loop_test(t, answers_that_end_it, 0, COUNT(ends));
	tcase_add_test(t, stopped_before_it_was_registered);
	tcase_add_test(t, second_stop_ends_it);
	tcase_add_test(t, no_time_is_no_call);
	tcase_add_loop_test(t, jitter_is_a_quarter, 0, COUNT(jitters));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
