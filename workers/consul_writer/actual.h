/*
 * What the agent has of one service: read from its answers (consul_json.h),
 * compared with what is wanted (plan.h).
 */
#ifndef ACTUAL_H
#define ACTUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/service.h"

/*
 * All that a registration says besides status and output, as a hash: two
 * registrations with the same one are the same for the agent.
 */
struct fingerprint {
	uint64_t lo;
	uint64_t hi;
	uint64_t place; /* of addresses and port alone */
};

enum actual_state {
	ACTUAL_UNKNOWN, /* not read yet, or a write's end is not known */
	ACTUAL_ABSENT,
	ACTUAL_FOREIGN, /* our ID without our mark: never touched */
	ACTUAL_UNCHECKED, /* ours, but its check is gone */
	ACTUAL_PASSING,
	ACTUAL_WARNING,
	ACTUAL_CRITICAL
};

struct actual {
	char *id; /* 1..LIMIT_SERVICE_ID bytes */
	char *name; /* these three clipped to LIMIT_META_VALUE bytes */
	char *namespace; /* "" if its meta does not say */
	char *pod;
	struct fingerprint def;
	enum actual_state state; /* neither UNKNOWN nor ABSENT */
};

/* One read of the agent: ascending by ID, none twice. */
struct actual_list {
	struct actual *v;
	size_t n;
	char *node; /* of our checks; NULL: there are none */
};

static inline bool
fingerprint_same(const struct fingerprint *a, const struct fingerprint *b)
{
	return a->lo == b->lo && a->hi == b->hi;
}

static inline enum actual_state
actual_of_status(enum service_status st)
{
	return (enum actual_state)(ACTUAL_PASSING + (int)st);
}

#endif
