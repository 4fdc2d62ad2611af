#include "supervisor/restart.h"

#include <string.h>

/* Jitter of +-20 %: workers that died together don't come back together. */
#define JITTER_PARTS 5

typedef enum restart_action (
    *handler)(struct restart *r, uint64_t now_ms, uint32_t random);

void
restart_init(struct restart *r, uint64_t delay_min_ms, uint64_t delay_max_ms)
{
	memset(r, 0, sizeof(*r));
	r->state = WORKER_DOWN;
	r->deadline_ms = r->heeded_ms = RESTART_NEVER;
	restart_delays(r, delay_min_ms, delay_max_ms);
	r->delay_ms = r->delay_min_ms;
}

void
restart_delays(struct restart *r, uint64_t delay_min_ms, uint64_t delay_max_ms)
{
	r->delay_min_ms = delay_min_ms > 0 ? delay_min_ms : 1;
	r->delay_max_ms =
	    delay_max_ms > r->delay_min_ms ? delay_max_ms : r->delay_min_ms;
	if (r->delay_ms > r->delay_max_ms)
		r->delay_ms = r->delay_max_ms;
}

static uint64_t
with_jitter(uint64_t delay_ms, uint32_t random)
{
	uint64_t part = delay_ms / JITTER_PARTS;

	return delay_ms - part + random % (2 * part + 1);
}

static enum restart_action
spawn(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	r->state = WORKER_STARTING;
	r->since_ms = now_ms;
	r->deadline_ms = now_ms + RESTART_READY_MS;
	r->pinged = r->ending = r->again = r->accused = false;
	return RESTART_DO_SPAWN;
}

static enum restart_action
down(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)now_ms;
	(void)random;
	r->state = WORKER_DOWN;
	r->deadline_ms = RESTART_NEVER;
	return RESTART_DO_NOTHING;
}

static enum restart_action
kill_it(struct restart *r, const char *why)
{
	r->ending = true;
	r->deadline_ms = RESTART_NEVER;
	r->why = why;
	return RESTART_DO_KILL;
}

static enum restart_action
term(struct restart *r, uint64_t now_ms)
{
	if (r->ending)
		return RESTART_DO_NOTHING;
	r->ending = true;
	r->deadline_ms = now_ms + RESTART_STOP_MS;
	return RESTART_DO_TERM;
}

static enum restart_action
back_off(struct restart *r, uint64_t now_ms, uint32_t random)
{
	r->state = WORKER_BACKOFF;
	r->deadline_ms = now_ms + with_jitter(r->delay_ms, random);
	r->delay_ms = r->delay_ms < r->delay_max_ms / 2 ? r->delay_ms * 2
							: r->delay_max_ms;
	return RESTART_DO_NOTHING;
}

static enum restart_action
back_from_death(struct restart *r, uint64_t now_ms, uint32_t random)
{
	r->restarts++;
	return spawn(r, now_ms, random);
}

static enum restart_action
ended(struct restart *r, uint64_t now_ms, uint32_t random)
{
	if (r->stopping || r->once)
		return down(r, now_ms, random);
	if (r->again)
		return spawn(r, now_ms, random);
	return back_off(r, now_ms, random);
}

static enum restart_action
ready_ended(struct restart *r, uint64_t now_ms, uint32_t random)
{
	if (now_ms - r->ready_ms >= RESTART_STABLE_MS)
		r->delay_ms = r->delay_min_ms;
	return ended(r, now_ms, random);
}

static enum restart_action
done(struct restart *r, uint64_t now_ms, uint32_t random)
{
	r->delay_ms = r->delay_min_ms;
	if (r->again && !r->stopping)
		return spawn(r, now_ms, random);
	return down(r, now_ms, random);
}

static enum restart_action
became_ready(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	if (r->ending)
		return RESTART_DO_NOTHING;
	r->state = WORKER_READY;
	r->ready_ms = now_ms;
	r->deadline_ms = now_ms + RESTART_PING_MS;
	return RESTART_DO_NOTHING;
}

static enum restart_action
ready_again(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)now_ms;
	(void)random;
	return r->ending ? RESTART_DO_NOTHING : kill_it(r, "READY twice");
}

static enum restart_action
start_too_slow(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)now_ms;
	(void)random;
	return kill_it(r,
	    r->ending ? "did not end in time" : "not READY in time");
}

static bool
may_heed(const struct restart *r, uint64_t now_ms)
{
	return r->heeded_ms == RESTART_NEVER ||
	    now_ms - r->heeded_ms >= RESTART_HEED_MS;
}

static enum restart_action
heed(struct restart *r, uint64_t now_ms)
{
	r->heeded_ms = now_ms;
	return kill_it(r, "accused by a sibling");
}

static enum restart_action
probe(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	if (r->ending)
		return kill_it(r, "did not end in time");
	if (r->accused && may_heed(r, now_ms))
		return heed(r, now_ms);
	if (r->pinged)
		return kill_it(r, "no answer to PING");
	r->pinged = true;
	r->deadline_ms = now_ms + RESTART_PONG_MS;
	return RESTART_DO_PING;
}

static enum restart_action
answered(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	if (r->ending)
		return RESTART_DO_NOTHING;
	if (!r->pinged)
		return kill_it(r, "PONG without PING");
	r->pinged = false;
	r->deadline_ms = now_ms + RESTART_PING_MS;
	return RESTART_DO_NOTHING;
}

static enum restart_action
fault(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)now_ms;
	(void)random;
	return kill_it(r, "protocol error");
}

/* Who is right, nobody can tell; it is not to cost more than a start. */
static enum restart_action
accused(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	if (r->ending)
		return RESTART_DO_NOTHING;
	r->accused = true;
	return may_heed(r, now_ms) ? heed(r, now_ms) : RESTART_DO_NOTHING;
}

static enum restart_action
reload(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	r->again = true;
	r->delay_ms = r->delay_min_ms;
	return term(r, now_ms);
}

/* In BACKOFF there is no process to end. */
static enum restart_action
reload_now(struct restart *r, uint64_t now_ms, uint32_t random)
{
	r->delay_ms = r->delay_min_ms;
	return back_from_death(r, now_ms, random);
}

static enum restart_action
stop(struct restart *r, uint64_t now_ms, uint32_t random)
{
	(void)random;
	r->stopping = true;
	return term(r, now_ms);
}

static const handler table[][RESTART_EVENTS] = {
	[WORKER_DOWN] = {
		[RESTART_START] = spawn,
	},
	[WORKER_STARTING] = {
		[RESTART_READY] = became_ready,
		[RESTART_PONG] = answered,
		[RESTART_EXIT] = ended,
		[RESTART_TIMER] = start_too_slow,
		[RESTART_FAULT] = fault,
		[RESTART_RELOAD] = reload,
		[RESTART_STOP] = stop,
	},
	[WORKER_READY] = {
		[RESTART_READY] = ready_again,
		[RESTART_PONG] = answered,
		[RESTART_EXIT] = ready_ended,
		[RESTART_DONE] = done,
		[RESTART_TIMER] = probe,
		[RESTART_FAULT] = fault,
		[RESTART_ACCUSED] = accused,
		[RESTART_RELOAD] = reload,
		[RESTART_STOP] = stop,
	},
	[WORKER_BACKOFF] = {
		[RESTART_TIMER] = back_from_death,
		[RESTART_RELOAD] = reload_now,
		[RESTART_STOP] = down,
	},
};

enum restart_action
restart_event(struct restart *r, enum restart_event event, uint64_t now_ms,
    uint32_t random)
{
	handler h = table[r->state][event];

	return h == NULL ? RESTART_DO_NOTHING : h(r, now_ms, random);
}

uint64_t
restart_wait_ms(const struct restart *r, uint64_t now_ms)
{
	if (r->deadline_ms == RESTART_NEVER)
		return RESTART_NEVER;
	return r->deadline_ms > now_ms ? r->deadline_ms - now_ms : 0;
}
