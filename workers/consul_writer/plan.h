/*
 * The plan: desired services against what the agent has, and what to write
 * next. Pure: no I/O, no clock; times are CLOCK_MONOTONIC milliseconds.
 *
 * Each service stands on its own: one write at a time, its own back-off, its
 * own error. Work follows what changed: services that need a write wait in
 * queues, all others in one tree by the time of their next refresh.
 *
 * Nothing is written before there is a complete snapshot, nor once it is
 * older than stale_after (the checks run out then). Nothing is deregistered
 * unless it bears our mark and either the current epoch's producer said that
 * it went away, or the producer confirmed its snapshot and it is not in there;
 * if more than half of what the agent has is not, PLAN_DOUBT_MS later. And
 * that it is ours was read just before: see plan_wants_read().
 */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/service.h"
#include "workers/consul_writer/actual.h"

/* A kubelet that was just started knows all of its pods by then. */
#define PLAN_DOUBT_MS 15000
/* What is deregistered was ours so long ago, at most. */
#define PLAN_LOOK_MS 2000

struct plan;
struct plan_item;

struct plan_conf {
	uint64_t stale_after_ms;
	/*
	 * Another one in each process, so that the services that one did not
	 * get to refresh before it died are not last in the next one too.
	 */
	uint64_t seed;
	/*
	 * Called when what a report says has changed, with gone when the
	 * service is neither wanted nor there any more. *r is valid during
	 * the call. They must not call the plan.
	 */
	void (*report)(const struct service_report *r, void *arg);
	void (*gone)(const char *id, void *arg);
	/*
	 * What plan_view() says of that service has changed, or it was
	 * confirmed as asked for. May be NULL.
	 */
	void (*moved)(const char *id, void *arg);
	void *arg;
};

struct plan *plan_new(const struct plan_conf *conf);
void plan_free(struct plan *p);

/* ---- desired state ---- */

/* A new or changed service; s is the plan's from now on (free()). */
void plan_want(struct plan *p, struct service *s, const struct fingerprint *def,
    uint64_t now);
/* Not wanted any more. named: by a DEL, not by a snapshot that lacks it. */
void plan_drop(struct plan *p, const char *id, bool named, uint64_t now);
/* A snapshot was applied. */
void plan_synced(struct plan *p, bool new_epoch, uint64_t now);
/* The source was read at read_at; confirmed: what it lacks is gone. */
void plan_fresh(struct plan *p, uint64_t read_at, bool confirmed, uint64_t now);
/* The last snapshot is older than stale_after, or was never confirmed fresh. */
bool plan_stale(const struct plan *p, uint64_t now);
/* When that begins; 0 while there was no plan_fresh(). */
uint64_t plan_stale_at(const struct plan *p);

/* ---- actual state ---- */

/* A read of the agent starts, and ends with l, which stays the caller's. */
void plan_read_begin(struct plan *p);
void plan_read_end(struct plan *p, const struct actual_list *l, uint64_t now);

/* ---- writes ---- */

/* In the order of their urgency. */
enum plan_op {
	PLAN_UPDATE, /* the status of the check */
	PLAN_REFRESH, /* the same status again, before the TTL ends */
	PLAN_REGISTER,
	PLAN_DEREGISTER,
	PLAN_OPS
};

struct plan_action {
	enum plan_op op;
	struct plan_item *item; /* for plan_done() */
	const char *id; /* valid until plan_done() */
	const struct service *want; /* valid until the next call of the plan;
				       NULL: PLAN_DEREGISTER */
};

/* The next write to start, which is then under way. False: none now. */
bool plan_next(struct plan *p, uint64_t now, struct plan_action *a);
/*
 * When plan_next() may say true again without an event: 0 for now,
 * UINT64_MAX for never.
 */
uint64_t plan_due(struct plan *p, uint64_t now);
/* What is to be deregistered waits for a read of the agent. */
bool plan_wants_read(struct plan *p, uint64_t now);

enum plan_result {
	PLAN_DONE,
	PLAN_GONE, /* the agent does not know that service or check */
	PLAN_LOST, /* no answer: done or not */
	PLAN_BUSY, /* not done; the agent asks to wait */
	PLAN_REFUSED, /* this service is not to the agent's liking */
	PLAN_DENIED, /* the token may not */
	PLAN_BROKEN, /* 5xx: done or not */
	PLAN_RESULTS
};

/*
 * The end of a write; text says why it failed ("" for PLAN_DONE). True if it
 * failed otherwise than the service's last write did.
 */
bool plan_done(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text, uint64_t now);
/* Something changed (a certificate): what failed is tried again at once. */
void plan_retry(struct plan *p, uint64_t now);
/*
 * There is another token. The agent keeps the one that a service was
 * registered with, and writes to the catalog with it, also later and by
 * itself: all are registered once more.
 */
void plan_renew(struct plan *p, uint64_t now);

/* ---- how it goes ---- */

struct plan_counts {
	size_t desired;
	size_t actual; /* ours, known to be in the agent */
	/*
	 * Not as desired. A service that the agent refused for what it is, or
	 * whose ID is somebody else's, is not among them: waiting would not
	 * help.
	 */
	size_t pending;
	size_t busy; /* under way or to be started now */
	size_t blocked; /* wanted, but their IDs are somebody else's */
	size_t failed[PLAN_RESULTS]; /* whose last write ended so */
};

void plan_counts(const struct plan *p, struct plan_counts *c);

struct plan_view {
	/*
	 * The agent has it as it is wanted, and nothing is under way that
	 * might change that.
	 */
	bool written;
	/*
	 * The agent has nothing of ours by that ID, nor is it on its way;
	 * foreign: but something of somebody else.
	 */
	bool absent;
	bool foreign;
	/* As plan_stamp() was then; absent: after the last write. */
	uint64_t since;
	/*
	 * The stamp at the start of the last write that the agent took: it had
	 * the service, for others say that they don't know it.
	 */
	uint64_t confirmed;
	/* NULL: it is not wanted. It and error are valid until the next call
	 * of the plan. */
	const struct service *want;
	const char *error; /* why not, "": it is on its way */
};

/* Of a service that is not wanted: not written, no error. */
struct plan_view plan_view(struct plan *p, const char *id);
/*
 * Refreshes a service that is written before its time, so that it is
 * confirmed; moved() tells.
 */
void plan_confirm(struct plan *p, const char *id, uint64_t now);
/* Counts up with whatever happens. */
uint64_t plan_stamp(const struct plan *p);

#endif
