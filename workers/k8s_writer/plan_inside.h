/*
 * The inside of plan.c: objects with their places in the queues, their shares
 * in the counts and their reports (plan_item.c), and groups of them
 * (plan_group.c). Pure.
 */
#ifndef PLAN_INSIDE_H
#define PLAN_INSIDE_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "workers/k8s_writer/plan.h"

enum place { PLACE_NONE, PLACE_READY, PLACE_TIMER };

/*
 * The order in which writes are started. Each has a ring of the groups that
 * have ready items in it, which take turns: a group of many items keeps no
 * other one waiting. So that those of one kind do not, either, each
 * QUEUE_TURNth write while others wait is of the next queue that has any.
 */
#define QUEUE_TURN 4
enum plan_queue {
	QUEUE_SLICE, /* first what a check's change leads to */
	QUEUE_SERVICE,
	QUEUE_ROUTE,
	QUEUE_DELETE_ROUTE,
	QUEUE_DELETE_SLICE,
	QUEUE_DELETE_SERVICE,
	PLAN_QUEUES
};

enum actual_state {
	ACTUAL_ABSENT, /* or not known, while its kind was not listed */
	ACTUAL_OURS,
	ACTUAL_FOREIGN
};

/* Something that the cluster has and Consul lacks. */
struct loss {
	struct address part; /* an endpoint's; zeros: the object */
	uint64_t since; /* the first of the reads that lacked it */
};

/* As the plan's counts have it. */
struct tally {
	bool desired;
	bool ours;
	bool pending;
	bool foreign;
};

struct plan_item {
	RB_ENTRY(plan_item) by_id;
	RB_ENTRY(plan_item) by_time;
	TAILQ_ENTRY(plan_item) ready;
	TAILQ_ENTRY(plan_item) in_group;
	enum place place;
	enum plan_op next; /* while it has a place */
	enum plan_queue queue;
	uint64_t at; /* PLACE_TIMER */

	enum kube_kind kind;
	char *name;
	struct plan_group *group;

	bool wanted;
	struct look want_look; /* of slices: without the owner */
	size_t gateway; /* routes */
	size_t slice; /* slices: index in the group's slices */
	struct address *want_at; /* slices: as assigned */
	size_t want_n;
	enum backend_family want_family;
	uint16_t want_port;

	enum actual_state state;
	struct kube_object actual; /* empty if absent, or foreign and unseen */
	uint64_t gone; /* order of its last deletion that was seen, or 0 */
	bool unsure; /* it is not as we know it: to be looked at */
	uint64_t stamp; /* of its last write's start or end */
	uint64_t seen; /* the list that last showed it, by its stamp */
	struct loss *losses; /* ascending; while they are looked at */
	size_t nlosses;

	bool in_flight;
	enum plan_op op; /* in flight */
	struct look sent_look;
	uint64_t done_at; /* of the last write that went well; 0: none */
	unsigned fights; /* others' changes soon after it, in a row */
	uint64_t retry_at;
	unsigned failures;
	enum plan_result result; /* of the last write */
	char *error; /* NULL: it went well */

	struct tally tally;
	bool reported;
	bool error_said;
	const char *said_desired;
	const char *said_actual;
};

RB_HEAD(id_tree, plan_item);
RB_HEAD(time_tree, plan_item);
TAILQ_HEAD(item_list, plan_item);

/* A Service's name and what belongs to it. */
struct plan_group {
	RB_ENTRY(plan_group) link;
	char *name;
	struct wanted *want; /* NULL: not wanted */
	struct slices slices; /* of want, once assigned */
	bool assigned;
	struct plan_item *service; /* NULL: neither wanted nor there */
	struct item_list items; /* that one too */
	struct group_queue {
		TAILQ_ENTRY(plan_group) in_ring; /* while it has items */
		struct item_list items;
	} queues[PLAN_QUEUES];
};

RB_HEAD(group_tree, plan_group);
TAILQ_HEAD(group_ring, plan_group);

struct plan {
	struct plan_conf conf;
	struct id_tree items;
	struct time_tree timers;
	struct group_tree groups;
	struct group_ring rings[PLAN_QUEUES];
	unsigned turns; /* of the first queue in a row, while others wait */
	size_t turn; /* the queue that had the last one out of order */
	struct plan_counts counts;
	size_t nready;
	size_t in_flight;

	bool leads;
	bool complete; /* holds a snapshot */
	bool confirmed; /* in this epoch */
	bool check_due; /* the losses of this epoch are to be looked at */
	bool held;
	uint64_t read_at;
	uint64_t not_before; /* Retry-After */
	unsigned failing; /* requests that failed by no object's fault */

	bool listed[KUBE_KINDS];
	bool no_kind[KUBE_KINDS];
	bool listing[KUBE_KINDS]; /* between a list's begin and end */
	uint64_t stamp; /* counts starts and ends of writes and lists */
	uint64_t list_stamp[KUBE_KINDS]; /* of the last list's start */
};

/* ---- plan_item.c ---- */

/* NULL if there is none. */
struct plan_item *item_find(struct plan *p, enum kube_kind kind,
    const char *name);
/* Made if there is none; in that group from now on. */
struct plan_item *item_get(struct plan *p, enum kube_kind kind,
    const char *name, struct plan_group *g);
struct plan_item *item_first(struct plan *p);
struct plan_item *item_after(struct plan_item *it);
/* Without a word to anybody. */
void item_free(struct plan *p, struct plan_item *it);

/* Takes *o over and empties it; NULL: nothing is known of it. */
void item_actual(struct plan_item *it, enum actual_state state,
    struct kube_object *o);
void item_result(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text);
/* What failed for what it was may do now. */
void item_forgive(struct plan *p, struct plan_item *it);
/* In the cluster, ours, and as wanted. */
bool item_is_current(const struct plan_item *it);
/* It has what an apply does not take away: see object_repair_body(). */
bool item_needs_repair(const struct plan_item *it);
/* What to wait after its failures in a row, the last of which was r. */
uint64_t item_backoff_ms(const struct plan_item *it, enum plan_result r);
/* Wanted, and not in a group whose Service's name is somebody else's. */
bool item_is_wanted(const struct plan_item *it);
/*
 * What of it is not wanted any more, by the read at read_at: an endpoint of a
 * slice, or the object. How much of that no earlier read lacked.
 */
size_t item_note_losses(struct plan_item *it, uint64_t read_at);
void item_forget_losses(struct plan_item *it);

/*
 * After anything about an item changed: its place, the counts, its report.
 * An item that is neither wanted nor there ends here.
 */
void item_settle(struct plan *p, struct plan_item *it, uint64_t now);

void item_run_timers(struct plan *p, uint64_t now);
uint64_t item_next_timer(struct plan *p);
/* The next one whose turn it is, without a place from now on, or NULL. */
struct plan_item *item_next_ready(struct plan *p);

/* ---- plan_group.c ---- */

/* NULL if there is none. */
struct plan_group *group_find(struct plan *p, const char *name);
struct plan_group *group_get(struct plan *p, const char *name);
struct plan_group *group_first(struct plan *p);
struct plan_group *group_after(struct plan_group *g);
/* If it wants nothing and nothing is in it. */
void group_end(struct plan *p, struct plan_group *g);
/* What it wants from now on (w is the group's), or NULL: nothing. */
void group_want(struct plan *p, struct plan_group *g, struct wanted *w,
    uint64_t now);
/* Assigns the slices anew, if all that is there is known. */
void group_assign(struct plan *p, struct plan_group *g, uint64_t now);
/* Settles all items, and ends the group if there is nothing left of it. */
void group_settle(struct plan *p, struct plan_group *g, uint64_t now);

/* ---- plan.c ---- */

/* All objects of the kinds that the cluster has are known. */
bool plan_knows_all(const struct plan *p);
/* What Consul lacks can be told, and what may not be deleted yet. */
bool plan_may_count(const struct plan *p);
/* All that is not wanted may be deleted. */
bool plan_may_delete(const struct plan *p);

#endif
