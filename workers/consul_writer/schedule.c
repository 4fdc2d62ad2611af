#include "workers/consul_writer/schedule.h"

#include <string.h>
#include <xxhash.h>

const struct window window_refresh = { .from = 50, .to = 70 };
const struct window window_registered = { .from = 10, .to = 70 };
const struct window window_found = { .from = 0, .to = 1 };

/* Seeds in steps of 1/PARTS. */
#define PARTS 1024

uint64_t
schedule_seed(const char *id, uint64_t salt)
{
	return XXH3_64bits_withSeed(id, strlen(id), salt);
}

uint64_t
schedule_refresh_ms(uint64_t ttl_ms, const struct window *win, uint64_t seed)
{
	uint64_t part =
	    win->from * PARTS + (win->to - win->from) * (seed % (PARTS + 1));

	/* A TTL of years must not overflow. */
	if (ttl_ms > UINT64_MAX / (100 * PARTS))
		return ttl_ms / (100 * PARTS) * part;
	return ttl_ms * part / (100 * PARTS);
}

uint64_t
schedule_backoff_ms(unsigned failures, uint64_t min_ms, uint64_t max_ms,
    uint64_t seed)
{
	uint64_t ms = min_ms;

	if (failures == 0)
		return 0;
	while (--failures > 0 && ms < max_ms)
		ms *= 2;
	if (ms > max_ms)
		ms = max_ms;
	return ms - ms / 4 * (seed % (PARTS + 1)) / PARTS;
}
