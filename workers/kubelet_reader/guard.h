/*
 * Which pod lists count (safety rule 3). Pure: times are CLOCK_MONOTONIC
 * milliseconds that the caller passes in.
 *
 * A kubelet that has just been started answers with too little: a list that
 * turns empty, or lacks more than half of what was there, counts only when a
 * second read, at least one interval later, says the same. So does a first
 * list that is empty.
 *
 * One that can't reach the apiserver since it was started lists static pods
 * only, again and again, while all others run on. So where nothing of the
 * apiserver's is left, and something of it did not go as pods go, the list
 * does not count for long.
 */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which pods there are, in whatever order: a sum of hashes of their names. */
struct digest {
	uint64_t low;
	uint64_t high;
};

struct guard_list {
	size_t pods;
	size_t ours;
	size_t pods_lost; /* of those in the last list that counted */
	size_t ours_lost;
	size_t from_api; /* not static pods */
	size_t vanished; /* lost, of the apiserver's, and it had not begun to
			    end */
	struct digest all;
	struct digest our;
};

enum guard_verdict {
	GUARD_COUNTS,
	GUARD_WAITS, /* for a second list like this one */
	GUARD_CUT_OFF /* the kubelet knows static pods only */
};

/* Milliseconds. */
struct guard_times {
	uint64_t interval; /* between two reads that confirm each other */
	uint64_t min_interval; /* the same for what our pods are after a start */
	uint64_t cut_off; /* static pods alone count after so long */
};

/* Zeroed at first. */
struct guard {
	bool has_list; /* one counted */
	size_t pods; /* in it */
	size_t ours;

	bool waits; /* for a second list like this one */
	struct digest waiting;
	uint64_t waits_since;

	bool cut_off;
	uint64_t cut_off_since;

	struct digest agreed; /* our pods, the same since then */
	uint64_t agreed_since;
	bool confirmed; /* stays so */
};

/* Looks at the list of a read that began at now. */
enum guard_verdict guard_look(struct guard *g, const struct guard_list *list,
    uint64_t now, const struct guard_times *times);

/*
 * True once two lists that counted agreed on which pods of ours there are:
 * what is not among them is really gone.
 */
bool guard_confirmed(const struct guard *g);

#endif
