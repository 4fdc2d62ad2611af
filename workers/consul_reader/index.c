#include "workers/consul_reader/index.h"

/* splitmix64: spreads a counter. */
static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t
index_backoff_ms(unsigned failures, uint64_t min_ms, uint64_t max_ms,
    uint64_t seed)
{
	uint64_t ms = min_ms;

	while (failures-- > 1 && ms < max_ms)
		ms *= 2;
	if (ms > max_ms)
		ms = max_ms;
	return ms - mix(seed) % (ms / 2 + 1);
}

void
index_init(struct index *ix, const struct index_pace *pace, uint64_t seed,
    uint64_t now)
{
	*ix = (struct index){
		.pace = *pace,
		.seed = seed,
		.not_before = now,
		.full_at = now,
	};
}

uint64_t
index_due(const struct index *ix)
{
	if (ix->index != 0 || !ix->has_asked_zero)
		return ix->not_before;
	return later(ix->not_before, ix->asked_zero_at + INDEX_ZERO_PAUSE_MS);
}

uint64_t
index_ask(struct index *ix, uint64_t now)
{
	if (ix->index == 0) {
		ix->has_asked_zero = true;
		ix->asked_zero_at = now;
	}
	return ix->index;
}

/* Each answer takes one from the burst; when it is used up, it is waited. */
static void
keep_pace(struct index *ix, uint64_t now)
{
	uint64_t burst_ms = ix->pace.every_ms * (ix->pace.burst - 1);

	ix->full_at = later(ix->full_at, now) + ix->pace.every_ms;
	ix->not_before = now;
	if (ix->full_at > now + burst_ms)
		ix->not_before = ix->full_at - burst_ms;
}

enum index_news
index_answered(struct index *ix, uint64_t index, uint64_t now)
{
	uint64_t before = ix->seen;
	bool waited = ix->index != 0;

	ix->failures = 0;
	keep_pace(ix, now);
	ix->index = index < before ? 0 : index;
	if (index < before && waited)
		return INDEX_BEHIND;
	ix->seen = index;
	if (index < before)
		return INDEX_RESET;
	return index == before ? INDEX_SAME : INDEX_MOVED;
}

void
index_failed(struct index *ix, bool busy, uint64_t retry_after_ms, uint64_t now)
{
	uint64_t wait = index_backoff_ms(++ix->failures,
	    busy ? INDEX_BUSY_MIN_MS : INDEX_RETRY_MIN_MS,
	    busy ? INDEX_BUSY_MAX_MS : INDEX_RETRY_MAX_MS, ix->seed++);

	if (retry_after_ms > INDEX_HOLD_MAX_MS)
		retry_after_ms = INDEX_HOLD_MAX_MS;
	ix->index = 0;
	ix->not_before = now + later(wait, retry_after_ms);
}

void
index_restart(struct index *ix, uint64_t at)
{
	ix->index = 0;
	if (ix->failures == 0)
		ix->not_before = at;
}
