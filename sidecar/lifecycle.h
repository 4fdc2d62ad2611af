/*
 * A sidecar's life: registering until the daemon takes it, registered,
 * deregistering within bounds, over. Pure: the clock and random numbers are
 * passed in, what is to be done comes back. Times are CLOCK_MONOTONIC in
 * milliseconds.
 *
 *	REGISTERING ---answer OK---> REGISTERED
 *	     |                           |
 *	     `----------- stop ----------'
 *	                   |
 *	             DEREGISTERING ---answer, time, stop---> OVER
 *
 * Register is tried for ever. Deregister is tried until the daemon says that
 * the pod is out or gone, refuses for good, or time is up. Where Register was
 * never answered with OK the daemon may still have taken it: Deregister is
 * then tried once, and no error if it fails.
 */
#ifndef SIDECAR_LIFECYCLE_H
#define SIDECAR_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "grpc/status.h"

/* First pause between two tries; doubled up to max_backoff_ms. */
#define LIFE_BACKOFF_MS 100
/* Longest pause where only people can help (life_is_refusal()). */
#define LIFE_SLOW_MS 10000
/* A call that was there for so long makes the next pause the first again. */
#define LIFE_STABLE_MS 10000
/*
 * How long a call of Register may wait before it is made anew: a daemon that
 * vanished without a word is not waited for any longer.
 */
#define LIFE_REGISTER_MS 60000
/* How long Deregister may take for who was never registered. */
#define LIFE_ONCE_MS 5000

enum life_phase {
	LIFE_REGISTERING,
	LIFE_REGISTERED,
	LIFE_DEREGISTERING,
	LIFE_OVER
};

enum life_do {
	LIFE_NOTHING,
	LIFE_CALL, /* in place of any that is there; by the phase */
	LIFE_WAIT, /* then life_timer() */
	LIFE_END
};

struct life_step {
	enum life_do what;
	uint64_t ms; /* CALL: its time; WAIT: how long */
};

struct lifecycle {
	uint64_t max_backoff_ms; /* >= LIFE_BACKOFF_MS */
	uint64_t deregister_ms; /* after a stop, for all tries together */
	enum life_phase phase;
	bool was_registered;
	/* When OVER: false if the pod may still be registered. */
	bool out;
	uint64_t pause_ms; /* the next one, without jitter */
	uint64_t called_ms;
	uint64_t deadline_ms; /* when DEREGISTERING */
};

void life_init(struct lifecycle *l, uint64_t max_backoff_ms,
    uint64_t deregister_ms);
struct life_step life_start(struct lifecycle *l, uint64_t now_ms);
/* The call ended; random: any number. */
struct life_step life_answer(struct lifecycle *l, enum grpc_code code,
    uint64_t now_ms, uint32_t random);
/* The pause is over. */
struct life_step life_timer(struct lifecycle *l, uint64_t now_ms);
/* A signal, or the end of what is registered; a second one ends it at once. */
struct life_step life_stop(struct lifecycle *l, uint64_t now_ms);

/*
 * True if asking again does not help before somebody changes the pod or a
 * configuration.
 */
bool life_is_refusal(enum grpc_code code);

#endif
