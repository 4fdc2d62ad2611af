/*
 * The inside of plan.c: one service's place in the queues, its share in the
 * counts, its report.
 */
#ifndef ITEM_H
#define ITEM_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "workers/consul_writer/plan.h"
#include "workers/consul_writer/schedule.h"

struct plan_item {
	RB_ENTRY(plan_item) by_id;
	RB_ENTRY(plan_item) by_time;
	TAILQ_ENTRY(plan_item) ready;
	bool queued;
	enum plan_op next; /* queued */
	bool timed; /* may be both: it is looked at again meanwhile */
	uint64_t at; /* timed */

	char *id;
	struct service *want; /* NULL: not wanted */
	struct fingerprint want_def;
	uint64_t named_in; /* epoch whose DEL took it away; 0: none */

	char *name; /* of what is in the agent, where nothing is wanted */
	char *namespace;
	char *pod;
	enum actual_state state;
	struct fingerprint def;
	uint64_t token; /* plan's, of its registration */
	uint64_t stamp; /* of its last write's start or end */
	uint64_t seen; /* the read that last showed it, by its stamp */

	bool in_flight;
	enum plan_op op; /* in flight */
	uint64_t sent_at;
	enum service_status sent_status;
	struct fingerprint sent_def;
	uint64_t sent_token;
	uint64_t sent_ttl_ms;

	uint64_t refresh_at; /* 0: never written by this process */
	uint64_t retry_at;
	unsigned failures;
	enum plan_result result; /* of the last write */
	char *error; /* NULL: it went well */

	bool written; /* see plan_view() */
	bool away; /* absent or foreign, by the same */
	uint64_t written_since;
	uint64_t began; /* its last write: stamp of the start */
	uint64_t confirmed; /* began of the last one that went well */
	bool asked; /* to be confirmed */

	/* As the plan's counts and the last report have it. */
	bool pending;
	bool blocked;
	bool counted; /* as actual */
	bool reported;
	const char *said_desired;
	const char *said_actual;
	bool error_said;
};

RB_HEAD(id_tree, plan_item);
RB_HEAD(time_tree, plan_item);
TAILQ_HEAD(ready_list, plan_item);

struct plan {
	struct plan_conf conf;
	struct id_tree items;
	struct time_tree timers;
	struct ready_list ready[PLAN_OPS];
	struct plan_counts counts;
	size_t nready;
	size_t in_flight;

	bool was_read; /* once: what is not in items is not in the agent */
	bool complete; /* holds a snapshot */
	bool fresh; /* a FRESH came */
	bool confirmed; /* in this epoch */
	uint64_t confirmed_at;
	bool sweeps; /* what this epoch's snapshot lacks may go */
	uint64_t epoch; /* counts up, from 1 */
	uint64_t read_at;
	uint64_t seen_at; /* when the last read of the agent ended */
	uint64_t token; /* counts those that there were */

	uint64_t stamp; /* counts starts and ends of writes and reads */
	uint64_t read_stamp; /* of the last read's start */
};

/* NULL if there is none. */
struct plan_item *item_find(struct plan *p, const char *id);
/* The first in the tree of IDs, and the one after it; NULL: none. */
struct plan_item *item_first(struct plan *p);
struct plan_item *item_after(struct plan_item *it);
/* The agent has it, and it is ours. */
bool item_present(const struct plan_item *it);
/* As plan_view() has it. */
bool item_absent(const struct plan_item *it);
bool item_foreign(const struct plan_item *it);
/* Its state is ACTUAL_UNKNOWN. */
struct plan_item *item_new(struct plan *p, const char *id);
/* Without a word to anybody. */
void item_free(struct plan *p, struct plan_item *it);

/* Changes of the result go through this, as it is counted. */
void item_result(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text);

/* That its ID is somebody else's, the last write's error, or "". */
const char *item_error(const struct plan_item *it);

/* Sets the time of its next refresh, its TTL having started at that time. */
void item_refresh_in(const struct plan *p, struct plan_item *it,
    uint64_t ttl_ms, const struct window *win, uint64_t started);
uint64_t item_seed(const struct plan *p, const struct plan_item *it);

/*
 * After anything about an item changed: its place, the counts, its report.
 * An item that is neither wanted nor there ends here.
 */
void item_settle(struct plan *p, struct plan_item *it, uint64_t now);

/* Puts those that are due into their queues. */
void item_run_timers(struct plan *p, uint64_t now);
/* When the first of the others is due; UINT64_MAX: none. */
uint64_t item_next_timer(struct plan *p);
/* The most urgent one in the queues, NULL if they are empty. */
struct plan_item *item_first_ready(struct plan *p);
/* Out of the queues, as its write is under way. */
void item_unplace(struct plan *p, struct plan_item *it);

#endif
