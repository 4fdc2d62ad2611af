/*
 * Who of several copies writes: leader election by a coordination.k8s.io/v1
 * Lease. Pure: no clock, no I/O; times are CLOCK_BOOTTIME milliseconds, but
 * where a wall clock is asked for: while this machine sleeps others go on.
 *
 * One request at a time. The holder writes its Lease anew every
 * LEASE_RETRY_MS; whoever is not the holder reads it as often, and takes it
 * when it has not changed for LEASE_DURATION_MS by its own clock (what time
 * stands in it is for people). Each write names the version that it replaces,
 * so that of two that take it one gets it. One that is deleted is waited for
 * as long as the holder that was seen before may believe in it.
 *
 * A leader may write for LEASE_DEADLINE_MS after it *sent* the last renewal
 * that went well: less than the LEASE_DURATION_MS that others wait after they
 * saw it. So it ends before another one can begin, however long it was
 * stopped in between: lease_may_write() is to be asked before each write, and
 * what is under way to be cancelled once it says no.
 */
#ifndef LEASE_H
#define LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/k8s_writer/kube_json.h"

#define LEASE_DURATION_MS 15000
#define LEASE_DEADLINE_MS 10000
#define LEASE_RETRY_MS    2000

enum lease_do {
	LEASE_NOTHING, /* until lease_due() or an answer */
	LEASE_GET,
	LEASE_CREATE, /* POST of lease_body() */
	LEASE_UPDATE /* PUT of lease_body() */
};

struct lease {
	const char *namespace; /* the caller's texts, for its life */
	const char *name;
	const char *identity; /* of this process: no other one ever has it */
	bool enabled; /* false: this is the only copy */
	uint64_t seed;

	bool leads;
	bool releasing;
	bool release_sent; /* what is under way gives it back */
	bool must_read; /* what is known may be old */
	bool absent; /* there is no Lease; seen is what was there before */
	enum lease_do under_way;
	uint64_t sent_at;
	uint64_t next_at;
	uint64_t renewed_at; /* sending of the last good renewal */
	uint64_t observed_at; /* when what was seen last was new */
	struct kube_lease seen; /* version "": nothing */
	unsigned rounds;
};

/* seed: any number, another one in each process. */
void lease_init(struct lease *l, const char *namespace, const char *name,
    const char *identity, bool enabled, uint64_t seed);

/* What to send now; it is under way then. */
enum lease_do lease_next(struct lease *l, uint64_t now);
/* When lease_next() may say more without an answer; UINT64_MAX: never. */
uint64_t lease_due(const struct lease *l, uint64_t now);

#define LEASE_PATH 512
/* Path of what is under way. */
void lease_path(const struct lease *l, char buf[LEASE_PATH]);
/*
 * Body of what is under way (not LEASE_GET), for free(). wall_us:
 * microseconds since 1970.
 */
char *lease_body(const struct lease *l, uint64_t wall_us);

/*
 * The answer to what is under way: the HTTP status, 0 if there was none, and
 * the Lease that came with a 2xx (NULL: it was unreadable).
 */
void lease_answer(struct lease *l, long status, const struct kube_lease *got,
    uint64_t now);
/* After it, too: the apiserver asks to send nothing for so long. */
void lease_hold(struct lease *l, uint64_t ms, uint64_t now);

/* Now, and until lease_until(); false at once when releasing. */
bool lease_may_write(const struct lease *l, uint64_t now);
/* When the right to write ends, if there is no renewal; 0: there is none. */
uint64_t lease_until(const struct lease *l);
/* The holder as it was last seen; "" if there is none or it is not known. */
const char *lease_holder(const struct lease *l);

/*
 * A clean stop, once no write is under way: gives the Lease back, if it is
 * ours. lease_released(): that is done, or was of no use.
 */
void lease_release(struct lease *l, uint64_t now);
bool lease_released(const struct lease *l);

#endif
