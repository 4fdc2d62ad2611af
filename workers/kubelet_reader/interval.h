/* When the kubelet is polled next. Pure. Milliseconds. */
#ifndef INTERVAL_H
#define INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

/* As long after a change of one of our pods, polls are at the least interval. */
#define INTERVAL_BURST_MS 10000

struct interval {
	uint64_t min_ms;
	uint64_t default_ms; /* without any pod of ours */
	uint64_t pods_ms; /* least of our pods' (min..max); 0: none */
	uint64_t burst_until;
};

void interval_init(struct interval *iv, uint64_t min_ms, uint64_t default_ms);
/*
 * What a list that counted says: the least interval of our pods, and whether
 * one of them appeared, changed, began to end or went.
 */
void interval_list(struct interval *iv, uint64_t pods_ms, bool changed,
    uint64_t now);
/* Without the burst: what two reads that confirm each other are apart. */
uint64_t interval_steady(const struct interval *iv);
/*
 * The next poll's time: one interval after the last one began, so that it is
 * a period, or now, if that took longer.
 */
uint64_t interval_next(const struct interval *iv, uint64_t began, uint64_t now);

#endif
