/*
 * Says that reads fail when that begins and when the reason is a new one, not
 * each time. Pure.
 */
#ifndef OUTAGE_H
#define OUTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reasons that are told apart; the rest of an outage is silent after those. */
#define OUTAGE_REASONS 16

/* Zeroed at first. */
struct outage {
	uint64_t said[OUTAGE_REASONS]; /* hashes */
	size_t nsaid;
	uint64_t reads; /* that failed, one after another */
};

/*
 * A read failed; true if the reason was not said in this outage. Numbers of
 * four digits and more make no difference.
 */
bool outage_failed(struct outage *o, const char *why);
/* A read went well; how many had failed before it. */
uint64_t outage_ended(struct outage *o);

#endif
