/*
 * What is asked of Consul next. Pure; times are CLOCK_MONOTONIC milliseconds.
 *
 * Few queries wait for changes, however many services there are (index.h);
 * what they say makes services dirty, and those are read again, several at
 * once:
 *
 *	catalog		a service came, went, or has other tags
 *	critical	a check became critical, or no longer is
 *	warning		the same; only where it matters
 *	nodes		a node has another address or other meta
 *	pulse		nothing: whether Consul has a leader
 *
 * The catalog's index moves with each registration of any service, but the
 * list does not say which. So then the roster is read, which shows in one
 * answer which instances came or went by their checks, and all services in a
 * sweep, which shows the rest: changes of address or meta, and instances
 * without a check. Both begin at once, unless they did so just before. What
 * they may cost is a part of the time, so that a catalog that never rests is
 * read seldom, and one that is edited now and then at once.
 *
 * A sweep is a pass. Two good passes after the start, a while apart, make sure
 * of what is not there (confirmed).
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/consul_reader/query.h"
#include "workers/index.h"

struct follow;
struct follow_target;

struct follow_conf {
	uint64_t resync_ms;
	uint64_t seed; /* for jitter */
	unsigned concurrency; /* reads of services at once, 1.. */
	bool warning; /* whether checks in state warning matter */
};

/* The least pauses between two rosters and two sweeps, from end to start. */
#define FOLLOW_ROSTER_PAUSE_MS 1000
#define FOLLOW_SWEEP_PAUSE_MS  1000
/* They take at most 1 part in so many of the time. */
#define FOLLOW_DUTY 20
/* Sweeps that find nothing take up to so many times less. */
#define FOLLOW_SWEEP_FRUITLESS 4
/* Sweeps may draw on that part of the time that is still to come. */
#define FOLLOW_SWEEP_CREDIT_MS 20000
/* One that could not read all, or was in doubt, is followed by another. */
#define FOLLOW_SWEEP_AGAIN_MS 10000
/* Two passes that make sure are so far apart. */
#define FOLLOW_CONFIRM_MS 2000
/* What can't be read holds up the first snapshot no longer than this. */
#define FOLLOW_PATIENCE_MS 10000
/* What is held back for so long makes us ask for the pulse. */
#define FOLLOW_HELD_MS 1000
/*
 * Consul is well, and a service or list fails so often in a row: that is its
 * own trouble.
 */
#define FOLLOW_TRIES 10
/* A service or list that can't be read: its own back-off. */
#define FOLLOW_RETRY_MIN_MS 250
#define FOLLOW_RETRY_MAX_MS 10000
#define FOLLOW_LARGE_MIN_MS 5000
#define FOLLOW_LARGE_MAX_MS 60000

struct follow *follow_new(const struct follow_conf *conf, uint64_t now);
void follow_free(struct follow *f);

/* ---- what is to be asked ---- */

struct follow_ask {
	enum query_list list; /* QUERY_LISTS: a service */
	uint64_t index; /* a list: to wait for, 0: answer at once */
	const char *service; /* valid until it is answered */
	struct follow_target *target;
};

/* The next request to start, which is then under way. False: none now. */
bool follow_next(struct follow *f, uint64_t now, struct follow_ask *ask);
/* When that may say true again without an event; UINT64_MAX: never. */
uint64_t follow_due(struct follow *f, uint64_t now);

/* How a request ended. */
enum follow_end {
	FOLLOW_READ, /* and it was as before */
	FOLLOW_CHANGED,
	FOLLOW_LOST, /* Consul is in trouble */
	FOLLOW_BUSY, /* and asks to wait */
	FOLLOW_AGAIN, /* it was cancelled, and is to be read now */
	FOLLOW_UNREADABLE, /* this one can't be read */
	FOLLOW_TOO_LARGE /* nor can this, and to try costs Consul much */
};

/* ---- lists ---- */

/*
 * A good answer, before what it says is told by follow_dirty() and so on. Not
 * of the pulse.
 */
enum index_news follow_listed(struct follow *f, enum query_list list,
    uint64_t index, uint64_t now);
/*
 * end: FOLLOW_LOST, FOLLOW_BUSY, or the body is FOLLOW_UNREADABLE or
 * FOLLOW_TOO_LARGE: what costs much is asked again seldom. True if the list is
 * to be done without: it fails by itself, and by what anybody may register.
 * Sweeps take its place until it is read again.
 */
bool follow_list_failed(struct follow *f, enum query_list list,
    enum follow_end end, uint64_t retry_after_ms, uint64_t now);
/*
 * Its answer may have hidden something, and what it hid does not come by
 * waiting for the index: it is asked again in ms, without one.
 */
void follow_again(struct follow *f, enum query_list list, uint64_t ms,
    uint64_t now);
/*
 * It is to be read again now, without waiting. True if its request is under
 * way: the caller cancels it, it is no longer.
 */
bool follow_restart(struct follow *f, enum query_list list, uint64_t now);

/* ---- whether Consul has a leader ---- */

/*
 * Something that should be answered at once is not: the pulse is to be
 * restarted, which says whether Consul holds it back for want of a leader.
 */
bool follow_in_doubt(const struct follow *f, uint64_t now);
/*
 * The pulse was good. True if it was not before: Consul is back, and what it
 * still holds back is best asked again. The caller restarts the lists, ends
 * the reads with FOLLOW_AGAIN, and calls follow_back().
 */
bool follow_pulse(struct follow *f, uint64_t index, uint64_t now);
/* What failed may work now. */
void follow_back(struct follow *f, uint64_t now);

/* ---- services ---- */

/* One to be followed, if it is not yet: it is dirty. */
void follow_add(struct follow *f, const char *service);
void follow_remove(struct follow *f, const char *service);
/* To be read again; one that is not followed is passed over. */
void follow_dirty(struct follow *f, const char *service);

/* t may be freed by it. */
void follow_done(struct follow *f, struct follow_target *t, enum follow_end end,
    uint64_t retry_after_ms, uint64_t now);
/* Tries to read it that failed, in a row; before follow_done(). */
unsigned follow_failures(const struct follow_target *t);
/*
 * Consul is well, and it failed so often in a row (FOLLOW_TRIES): who would
 * say FOLLOW_LOST says FOLLOW_TOO_LARGE.
 */
bool follow_fails_alone(const struct follow *f, const struct follow_target *t);

/* ---- how it goes ---- */

/* All is to be read again, soon (sweep). */
void follow_sweep(struct follow *f, uint64_t now);
/* The same, as soon as sweeps may be. */
void follow_sweep_in_time(struct follow *f, uint64_t now);
/* Something may have been hidden: this pass makes sure of nothing. */
void follow_doubt(struct follow *f);
/* The catalog may hide services: until it does not, no pass makes sure. */
void follow_hidden(struct follow *f, bool hidden);
/* The resync is due: follow_sweep(), and the caller restarts the lists. */
bool follow_resync_due(const struct follow *f, uint64_t now);
void follow_resynced(struct follow *f, uint64_t now);
/* A token or certificate is new: follow_back(), and all is read again. */
void follow_retry(struct follow *f, uint64_t now);

/* All services were read at least once, but those that can't be. */
bool follow_complete(const struct follow *f, uint64_t now);
bool follow_confirmed(const struct follow *f);

struct follow_counts {
	size_t services;
	size_t unread; /* never read yet */
	size_t failing; /* the last try to read failed */
	size_t in_flight; /* reads of services */
	unsigned lists_failing; /* without: */
	unsigned lists_useless; /* that are done without */
	uint64_t passes; /* that were completed */
	bool good; /* the last of them, without a doubt */
};
struct follow_counts follow_counts(const struct follow *f);

#endif
