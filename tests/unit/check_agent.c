#include <check.h>
#include <stdlib.h>

#include "workers/consul_writer/agent.h"

#define RESYNC 60000
#define START  1000

enum event {
	NOTHING,
	BEGIN, /* the read that it wants begins */
	READ_OK,
	READ_REFUSED,
	READ_LOST,
	LOST,
	DOUBT,
	FORGET,
	HOLD_SHORT, /* without Retry-After */
	HOLD, /* Retry-After: 2 s */
	HOLD_LONG, /* an hour */
	REFUSED,
	WRITTEN
};

/*
 * One event, and what is true right after it. next is not exact where a
 * back-off has its jitter: the time is the earliest, up to a third later.
 */
struct step {
	uint64_t at;
	enum event event;
	bool wants_read;
	bool may_write;
	uint64_t next;
};

static const struct step start[] = {
	{ 0, NOTHING, true, false, 0 },
	{ 0, BEGIN, false, false, 0 },
	{ 5, READ_OK, false, true, 1005 },
	/* The second look, then the usual interval. */
	{ 1005, NOTHING, true, true, 1005 },
	{ 1005, BEGIN, false, true, 0 },
	{ 1010, READ_OK, false, true, 61010 },
	{ 61010, BEGIN, false, true, 0 },
	{ 61011, READ_OK, false, true, 121011 },
};

static const struct step away[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 5, READ_LOST, false, false, 192 },
	{ 300, BEGIN, false, false, 0 },
	{ 300, READ_LOST, false, false, 675 },
	{ 1000, BEGIN, false, false, 0 },
	{ 1000, READ_OK, false, true, 2000 },
	/* Eight requests fail at once: one failure. */
	{ 1500, LOST, false, false, 1687 },
	{ 1500, LOST, false, false, 1687 },
	{ 1501, LOST, false, false, 1687 },
	{ 1800, BEGIN, false, false, 0 },
	{ 1801, LOST, false, false, 0 },
	/* That read may be older than the loss: again. */
	{ 1805, READ_OK, false, true, 2005 },
	{ 2005, BEGIN, false, true, 0 },
	{ 2006, READ_OK, false, true, 62006 },
};

static const struct step doubts[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 0, READ_OK, false, true, 1000 },
	{ 1000, BEGIN, false, true, 0 },
	{ 1000, READ_OK, false, true, 61000 },
	{ 5000, DOUBT, true, true, 5000 },
	{ 5000, BEGIN, false, true, 0 },
	{ 5001, DOUBT, false, true, 0 },
	{ 5002, READ_OK, false, true, 5202 },
	{ 5003, DOUBT, false, true, 5202 },
	{ 5202, BEGIN, false, true, 0 },
	{ 5203, READ_OK, false, true, 65203 },
	{ 5204, DOUBT, false, true, 5403 },
};

/* An answer that can't be read says nothing against what is known. */
static const struct step nonsense[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 0, READ_REFUSED, false, false, 187 },
	{ 500, BEGIN, false, false, 0 },
	{ 500, READ_OK, false, true, 1500 },
	{ 1500, BEGIN, false, true, 0 },
	{ 1500, READ_REFUSED, false, true, 1687 },
	/* Who is in doubt waits for the next one, too. */
	{ 1500, DOUBT, false, true, 1687 },
	{ 2000, BEGIN, false, true, 0 },
	{ 2000, READ_REFUSED, false, true, 2375 },
};

/* By another token: nothing of before counts, nor is it waited for. */
static const struct step another_token[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 0, READ_OK, false, true, 1000 },
	{ 500, FORGET, true, false, 500 },
	{ 500, BEGIN, false, false, 0 },
	{ 510, READ_REFUSED, false, false, 697 },
	{ 520, FORGET, true, false, 520 },
	{ 520, BEGIN, false, false, 0 },
	{ 525, READ_REFUSED, false, false, 712 },
	{ 525, FORGET, true, false, 525 },
	{ 525, BEGIN, false, false, 0 },
	/* The read under way was cancelled. */
	{ 530, FORGET, true, false, 530 },
	{ 530, BEGIN, false, false, 0 },
	{ 540, READ_OK, false, true, 1540 },
};

/* Requests that were under way together get the same answer. */
static const struct step burst[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 0, READ_OK, false, true, 1000 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 100, HOLD_SHORT, false, false, 287 },
	{ 350, NOTHING, false, true, 1000 },
	{ 350, HOLD_SHORT, false, false, 725 },
	/* It knows better how long that will be. */
	{ 360, HOLD, false, false, 2360 },
};

static const struct step busy[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 0, READ_OK, false, true, 1000 },
	{ 1000, HOLD, false, false, 3000 },
	{ 2999, NOTHING, false, false, 3000 },
	{ 3000, NOTHING, true, true, 1000 },
	{ 3000, BEGIN, false, true, 3000 },
	{ 3000, READ_OK, false, true, 63000 },
	{ 3000, HOLD_LONG, false, false, 33000 },
	{ 32999, NOTHING, false, false, 33000 },
	{ 33000, NOTHING, false, true, 63000 },
};

static const struct step broken[] = {
	{ 0, BEGIN, false, false, 0 },
	{ 0, READ_OK, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, WRITTEN, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, true, 1000 },
	{ 1, REFUSED, false, false, 188 },
};

static void
apply(struct agent *a, enum event e, uint64_t now)
{
	switch (e) {
	case NOTHING:
		break;
	case BEGIN:
		ck_assert(agent_wants_read(a, now));
		agent_read_begin(a);
		break;
	case READ_OK:
		agent_read_ok(a, now);
		break;
	case READ_REFUSED:
		agent_read_refused(a, now);
		break;
	case READ_LOST:
		agent_read_lost(a, now);
		break;
	case LOST:
		agent_lost(a, now);
		break;
	case DOUBT:
		agent_doubt(a, now);
		break;
	case FORGET:
		agent_forget(a, now);
		break;
	case HOLD_SHORT:
		agent_hold(a, 0, now);
		break;
	case HOLD:
		agent_hold(a, 2000, now);
		break;
	case HOLD_LONG:
		agent_hold(a, 3600000, now);
		break;
	case REFUSED:
		agent_refused(a, now);
		break;
	case WRITTEN:
		agent_written(a);
		break;
	}
}

static void
run(const struct step *steps, size_t n)
{
	struct agent a;

	agent_init(&a, RESYNC, 1, START);
	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		uint64_t now = START + s->at, next, slack;

		apply(&a, s->event, now);
		ck_assert_msg(agent_wants_read(&a, now) == s->wants_read,
		    "step %zu: wants a read", i);
		ck_assert_msg(agent_may_write(&a, now) == s->may_write,
		    "step %zu: may be written to", i);
		if (a.reading)
			continue;
		next = agent_next(&a, now) - START;
		slack = s->next > s->at ? (s->next - s->at) / 3 + 1 : 0;
		ck_assert_msg(next >= s->next && next <= s->next + slack,
		    "step %zu: next at %llu", i, (unsigned long long)next);
	}
}

#define RUN(steps) run(steps, sizeof(steps) / sizeof(*(steps)))

START_TEST(starts)
{
	RUN(start);
}
END_TEST

START_TEST(is_away)
{
	RUN(away);
}
END_TEST

START_TEST(is_in_doubt)
{
	RUN(doubts);
}
END_TEST

START_TEST(answers_nonsense)
{
	RUN(nonsense);
}
END_TEST

START_TEST(is_asked_with_another_token)
{
	RUN(another_token);
}
END_TEST

START_TEST(is_busy_for_many)
{
	RUN(burst);
}
END_TEST

START_TEST(is_busy)
{
	RUN(busy);
}
END_TEST

START_TEST(is_broken)
{
	RUN(broken);
}
END_TEST

/* A busy agent is asked less and less often, and at once when it was not. */
START_TEST(holds_longer)
{
	struct agent a;
	uint64_t now = START;

	agent_init(&a, RESYNC, 0, now);
	agent_read_begin(&a);
	agent_read_ok(&a, now);
	for (int i = 0; i < 10; i++) {
		agent_hold(&a, 0, now);
		now = a.hold_until;
	}
	agent_hold(&a, 0, now);
	ck_assert_uint_ge(a.hold_until - now, AGENT_BACKOFF_MAX_MS * 3 / 4);
	ck_assert_uint_le(a.hold_until - now, AGENT_BACKOFF_MAX_MS);
	now = a.hold_until;
	if (_i == 0)
		agent_written(&a);
	else
		agent_read_ok(&a, now);
	agent_hold(&a, 0, now);
	ck_assert_uint_le(a.hold_until - now, AGENT_BACKOFF_MIN_MS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("agent");
	TCase *t = tcase_create("agent");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, starts);
	tcase_add_test(t, is_away);
	tcase_add_test(t, is_in_doubt);
	tcase_add_test(t, answers_nonsense);
	tcase_add_test(t, is_asked_with_another_token);
	tcase_add_test(t, is_busy_for_many);
	tcase_add_test(t, is_busy);
	tcase_add_test(t, is_broken);
	tcase_add_loop_test(t, holds_longer, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
