/*
 * One blocking query that is asked again and again: which index it waits for
 * and when it goes out. Pure; times are CLOCK_MONOTONIC milliseconds.
 *
 * An index that goes backwards (Consul lost its state), and every failure,
 * start over from 0, which answers at once. What Consul did meanwhile is in
 * that answer: nothing is missed, and an unmoved index says that nothing was.
 */
#ifndef INDEX_H
#define INDEX_H

#include <stdbool.h>
#include <stdint.h>

/* How often it may be answered: burst times at once, then each every_ms. */
struct index_pace {
	uint64_t every_ms;
	unsigned burst; /* 1.. */
};

struct index {
	struct index_pace pace;
	uint64_t index; /* to wait for a change of; 0: answer at once */
	uint64_t seen; /* the last answer's, whatever happened since; 0: none */
	uint64_t not_before; /* of the next request */
	uint64_t asked_zero_at; /* the last request without an index */
	uint64_t full_at; /* when the pace's burst is whole again */
	uint64_t seed; /* for jitter */
	unsigned failures; /* in a row */
	bool has_asked_zero;
};

/* Between two requests without an index, whatever the reason. */
#define INDEX_ZERO_PAUSE_MS 100
/*
 * Back-off after a failure: Consul is to be found again soon, it costs it
 * little. After 429 and 503 longer, and as long as Retry-After says.
 */
#define INDEX_RETRY_MIN_MS 100
#define INDEX_RETRY_MAX_MS 1000
#define INDEX_BUSY_MIN_MS  500
#define INDEX_BUSY_MAX_MS  10000
#define INDEX_HOLD_MAX_MS  60000

void index_init(struct index *ix, const struct index_pace *pace, uint64_t seed,
    uint64_t now);

/* When the next request may go out. */
uint64_t index_due(const struct index *ix);
/* It goes out: the index to send, 0 for none. */
uint64_t index_ask(struct index *ix, uint64_t now);

enum index_news {
	INDEX_SAME, /* the wait ended without a change */
	INDEX_MOVED, /* maybe a change; also the first answer */
	INDEX_BEHIND, /* older than the last: of a server that lags, maybe */
	INDEX_RESET /* backwards: Consul is not the one that it was */
};
/*
 * A good answer had this index (>= 1). One that goes backwards is to be passed
 * over if it came from waiting, which any server may have answered: the next
 * one, without an index, tells.
 */
enum index_news index_answered(struct index *ix, uint64_t index, uint64_t now);

/* It failed; busy: with a 429 or 503 and its Retry-After, or 0. */
void index_failed(struct index *ix, bool busy, uint64_t retry_after_ms,
    uint64_t now);
/* The next request, at that time, is to answer at once. */
void index_restart(struct index *ix, uint64_t at);

/*
 * min_ms doubled with each failure (1..) up to max_ms, of that a random part
 * between half and all of it.
 */
uint64_t index_backoff_ms(unsigned failures, uint64_t min_ms, uint64_t max_ms,
    uint64_t seed);

#endif
