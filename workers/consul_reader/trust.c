#include "workers/consul_reader/trust.h"

void
trust_init(struct trust *t, unsigned ratio)
{
	*t = (struct trust){ .ratio = ratio };
}

void
trust_reset(struct trust *t, uint64_t now)
{
	t->settled_at = now + TRUST_SETTLE_MS;
}

bool
trust_settled(const struct trust *t, uint64_t now)
{
	return now >= t->settled_at;
}

static void
renew_window(struct trust *t, enum trust_what what, size_t have, uint64_t now)
{
	if (t->window[what].had > 0 &&
	    now - t->window[what].since < TRUST_WINDOW_MS)
		return;
	t->window[what].since = now;
	t->window[what].had = have;
	t->window[what].lost = 0;
}

uint64_t
trust_lost(struct trust *t, enum trust_what what, size_t lost, size_t have,
    uint64_t now)
{
	uint64_t all;

	if (!trust_settled(t, now))
		return TRUST_SETTLE_MS;
	renew_window(t, what, have, now);
	all = t->window[what].lost + lost;
	if (all * 1000 > (uint64_t)t->window[what].had * t->ratio)
		return TRUST_CONFIRM_MS;
	t->window[what].lost = all;
	return 0;
}

void
trust_took(struct trust *t, enum trust_what what)
{
	t->window[what].lost++;
}
