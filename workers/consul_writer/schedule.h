/*
 * When things are due: the refresh of a TTL check, the next try after an
 * error. Pure: what looks random comes from a seed that the caller gives.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdint.h>

/* A part of a TTL, in percent: the refresh falls into it. */
struct window {
	unsigned from;
	unsigned to; /* >= from, <= 100 */
};

/* Each refresh after a refresh or a flip. */
extern const struct window window_refresh;
/*
 * The first one after a registration: wider, so that services that came
 * together don't stay together.
 */
extern const struct window window_registered;
/*
 * The first one of a check that was found in the agent: another process may
 * have refreshed it up to 70 % of the TTL ago, and this one may not live long.
 * All at once, but not in the same order each time: a writer that keeps being
 * killed must not starve those at the end of it.
 */
extern const struct window window_found;

/* A seed for one service: the same for the same id and salt. */
uint64_t schedule_seed(const char *id, uint64_t salt);

/* Milliseconds from the last write to the next, within the window. */
uint64_t schedule_refresh_ms(uint64_t ttl_ms, const struct window *win,
    uint64_t seed);

/*
 * Milliseconds to wait after that many failures in a row (0: none): min_ms
 * doubled to max_ms, less up to a quarter.
 */
uint64_t schedule_backoff_ms(unsigned failures, uint64_t min_ms,
    uint64_t max_ms, uint64_t seed);

#endif
