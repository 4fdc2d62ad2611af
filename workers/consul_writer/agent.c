#include "workers/consul_writer/agent.h"

#include "workers/consul_writer/schedule.h"

void
agent_init(struct agent *a, uint64_t resync_ms, uint64_t seed, uint64_t now)
{
	*a = (struct agent){
		.resync_ms = resync_ms,
		.seed = seed,
		.read_at = now,
	};
}

bool
agent_wants_read(const struct agent *a, uint64_t now)
{
	return !a->reading && now >= a->read_at && now >= a->hold_until;
}

bool
agent_may_write(const struct agent *a, uint64_t now)
{
	return a->known && now >= a->hold_until;
}

uint64_t
agent_next(const struct agent *a, uint64_t now)
{
	if (now < a->hold_until)
		return a->hold_until;
	return a->reading ? UINT64_MAX : a->read_at;
}

static uint64_t
backoff(struct agent *a, unsigned failures)
{
	return schedule_backoff_ms(failures, AGENT_BACKOFF_MIN_MS,
	    AGENT_BACKOFF_MAX_MS, a->seed++);
}

void
agent_read_begin(struct agent *a)
{
	a->reading = true;
	a->again = false;
}

/*
 * Found again, it is read a second time soon: what was on its way to it when
 * a writer died or lost it may have arrived after the first read.
 */
void
agent_read_ok(struct agent *a, uint64_t now)
{
	uint64_t wait = a->known ? a->resync_ms : AGENT_LOOK_AGAIN_MS;

	if (a->again)
		wait = AGENT_PAUSE_MS;
	a->reading = false;
	a->known = true;
	a->pause_until = now + AGENT_PAUSE_MS;
	a->failures = 0;
	a->holds = 0;
	a->read_at = now + (wait < a->resync_ms ? wait : a->resync_ms);
}

void
agent_read_refused(struct agent *a, uint64_t now)
{
	a->reading = false;
	a->read_at = now + backoff(a, ++a->failures);
}

void
agent_read_lost(struct agent *a, uint64_t now)
{
	a->known = false;
	agent_read_refused(a, now);
}

/* All requests under way fail together: that is one failure. */
void
agent_lost(struct agent *a, uint64_t now)
{
	bool first = a->known;

	a->known = false;
	a->refusals = 0;
	if (a->reading)
		a->again = true;
	else if (first)
		a->read_at = now + backoff(a, ++a->failures);
}

void
agent_doubt(struct agent *a, uint64_t now)
{
	uint64_t at = now > a->pause_until ? now : a->pause_until;

	if (a->reading)
		a->again = true;
	else if (a->known && a->failures == 0 && a->read_at > at)
		a->read_at = at;
}

void
agent_forget(struct agent *a, uint64_t now)
{
	a->known = false;
	a->reading = false;
	a->again = false;
	a->failures = 0;
	a->read_at = now;
}

/* Requests that were under way when it began to hold say nothing new. */
void
agent_hold(struct agent *a, uint64_t retry_after_ms, uint64_t now)
{
	uint64_t wait = now < a->hold_until ? 0 : backoff(a, ++a->holds);

	if (retry_after_ms > AGENT_HOLD_MAX_MS)
		retry_after_ms = AGENT_HOLD_MAX_MS;
	if (wait < retry_after_ms)
		wait = retry_after_ms;
	if (a->hold_until < now + wait)
		a->hold_until = now + wait;
}

bool
agent_refused(struct agent *a, uint64_t now)
{
	if (++a->refusals < AGENT_REFUSALS_MAX)
		return false;
	agent_lost(a, now);
	return true;
}

void
agent_written(struct agent *a)
{
	a->refusals = 0;
	a->holds = 0;
}
