/*
 * When Consul's silence about a service or an instance counts (safety rule
 * 5). Pure; times are CLOCK_MONOTONIC milliseconds.
 *
 * What an answer lacks is gone at once, as long as that is not too much of
 * all within a minute. Otherwise, and always after an index that went
 * backwards, it counts only when a later answer lacks it too.
 */
#ifndef TRUST_H
#define TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much later that answer must be. */
#define TRUST_CONFIRM_MS 2000
/*
 * After an index went backwards: Consul lost its state. Its agents register
 * anew what they have, most within seconds of their servers' return.
 */
#define TRUST_SETTLE_MS 30000
/* Losses are added up for so long. */
#define TRUST_WINDOW_MS 60000

enum trust_what { TRUST_SERVICES, TRUST_INSTANCES, TRUST_WHATS };

struct trust {
	unsigned ratio; /* thousandths of all that may be lost at once */
	uint64_t settled_at; /* 0: it never went backwards */
	struct {
		uint64_t since;
		size_t had; /* at its start */
		size_t lost;
	} window[TRUST_WHATS];
};

void trust_init(struct trust *t, unsigned ratio);
/* An index went backwards. */
void trust_reset(struct trust *t, uint64_t now);
bool trust_settled(const struct trust *t, uint64_t now);

/*
 * An answer lacks lost of the have that there are: for how long it must have
 * been so to count, 0: it counts, and is added up.
 */
uint64_t trust_lost(struct trust *t, enum trust_what what, size_t lost,
    size_t have, uint64_t now);
/* What was to wait counts now: it is added up too. */
void trust_took(struct trust *t, enum trust_what what);

#endif
