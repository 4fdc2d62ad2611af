/*
 * Which pod lists count (safety rule 3). Pure: times are CLOCK_MONOTONIC
 * milliseconds that the caller passes in.
 *
 * A kubelet that has just been started answers with too little: a list that
 * turns empty, or lacks more than half of what was there, counts only when the
 * next read, at least one interval later, says the same: no pod is back that
 * was lacking. Others may have come, and some may have gone. So does a first
 * list that is empty.
 *
 * One that can't reach the apiserver since it was started lists static pods
 * only, again and again, while all others run on. So where nothing of the
 * apiserver's is left, and something of it did not go as pods go, the list
 * does not count for long. Nor is it said of such lists for as long that they
 * are confirmed: what an earlier process had registered may still be running.
 */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As long a row of lists that count confirms, though our pods change. */
#define GUARD_ROW_MS 30000

/* Which pods there are, in whatever order: a sum of hashes of their names. */
struct digest {
	uint64_t low;
	uint64_t high;
};

struct guard_list {
	size_t pods;
	size_t ours;
	/* Of those in the last list that counted. */
	size_t pods_lost;
	size_t ours_lost;
	/* Of the same, compared with the list that waits, if one does. */
	size_t returned; /* not in that one, and in this */
	size_t lost_more; /* in that one, and not in this */
	size_t ours_lost_more;
	size_t from_api; /* not static pods */
	size_t vanished; /* lost, of the apiserver's, and it had not begun to
			    end */
	struct digest our;
};

enum guard_verdict {
	GUARD_COUNTS,
	GUARD_WAITS, /* for a second list; this is the one that waits now */
	GUARD_TOO_SOON, /* it is like the one that waits */
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

	bool waits; /* for a second list, since then */
	uint64_t waits_since;
	bool waiting_empty; /* the first one has no pod at all */
	size_t kept; /* of the last list that counted, in the first one */
	size_t ours_kept;

	bool static_only; /* no pod of the apiserver's, since then */
	uint64_t static_since;

	bool in_row; /* lists count one after another, since then */
	uint64_t row_since;
	struct digest agreed; /* our pods in them, the same since then */
	uint64_t agreed_since;
	bool confirmed; /* stays so */
};

/* Looks at the list of a read that began at now. */
enum guard_verdict guard_look(struct guard *g, const struct guard_list *list,
    uint64_t now, const struct guard_times *times);

/* A read that failed: the lists on its two sides don't follow each other. */
void guard_failed(struct guard *g);

/*
 * True once two lists that counted, one after the other, agreed on which pods
 * of ours there are, or lists counted for GUARD_ROW_MS without a break: what is
 * not among them is really gone.
 */
bool guard_confirmed(const struct guard *g);

#endif
