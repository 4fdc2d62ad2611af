#include "workers/kubelet_reader/interval.h"

void
interval_init(struct interval *iv, uint64_t min_ms, uint64_t default_ms)
{
	*iv = (struct interval){ .min_ms = min_ms, .default_ms = default_ms };
}

void
interval_list(struct interval *iv, uint64_t pods_ms, bool changed, uint64_t now)
{
	iv->pods_ms = pods_ms;
	if (changed)
		iv->burst_until = now + INTERVAL_BURST_MS;
}

uint64_t
interval_steady(const struct interval *iv)
{
	return iv->pods_ms > 0 ? iv->pods_ms : iv->default_ms;
}

static uint64_t
current(const struct interval *iv, uint64_t now)
{
	uint64_t steady = interval_steady(iv);

	return now < iv->burst_until && iv->min_ms < steady ? iv->min_ms
							    : steady;
}

uint64_t
interval_next(const struct interval *iv, uint64_t began, uint64_t now)
{
	uint64_t next = began + current(iv, now);

	return next > now ? next : now;
}
