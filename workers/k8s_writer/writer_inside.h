/*
 * The inside of writer.h: writer.c has the loop, follower.c the lists and
 * watches, herald.c the CRD that is waited for, leader.c the Lease, requests.c
 * the writes, voice.c what is said and counted.
 */
#ifndef WRITER_INSIDE_H
#define WRITER_INSIDE_H

#include <bsd/sys/queue.h>

#include "common/log.h"
#include "workers/k8s_writer/crd.h"
#include "workers/k8s_writer/desire.h"
#include "workers/k8s_writer/lease.h"
#include "workers/k8s_writer/lines.h"
#include "workers/k8s_writer/plan.h"
#include "workers/k8s_writer/reply.h"
#include "workers/k8s_writer/watch.h"
#include "workers/k8s_writer/writer.h"
#include "workers/outage.h"

struct write {
	TAILQ_ENTRY(write) link;
	struct writer *w;
	struct plan_item *item;
	enum plan_op op;
	enum kube_kind kind;
	struct http_request *request;
	const char *name; /* the plan's, until plan_done() */
};

/* One kind of objects that is followed. */
struct follower {
	struct writer *w;
	struct watch watch;
	struct lines lines;
	struct http_request *request; /* NULL: none under way */
	bool stopped; /* by an event that ends the watch */
	bool on; /* the kind is of interest */
	bool leftover; /* none is wanted: it is on until none of ours is left */
	bool watch_failed; /* the last one; that a list goes well is no cure */
};

/* Hears of the CRD that HTTPRoutes need, while the cluster has none. */
struct herald {
	struct writer *w;
	struct crd crd;
	struct lines lines;
	struct http_request *request; /* NULL: none under way */
	bool stopped; /* by an event that could not be read */
	bool said_refused;
};

struct leader {
	struct lease lease;
	struct http_request *request;
	bool led; /* when it was looked at last */
	char holder[KUBE_TEXT]; /* as said last */
};

/* A batch of writes, from the first to the last: for log and figures. */
struct pass {
	bool on;
	bool failed;
	uint64_t since;
	unsigned done[PLAN_OPS];
};

/* Whose requests fail, as bits. */
#define TROUBLE_KIND(kind) (1U << (kind))
#define TROUBLE_LEASE      (1U << KUBE_KINDS)
#define TROUBLE_WRITES     (2U << KUBE_KINDS)

struct writer {
	struct writer_conf conf;
	struct plan *plan;
	struct desire *desire;
	struct follower followers[KUBE_KINDS];
	struct herald herald;
	struct leader leader;
	struct event *timer; /* pump() */
	struct event *stop_timer;
	TAILQ_HEAD(, write) writes;
	unsigned nwrites;
	struct pass pass;
	bool started;
	bool stopping;
	bool released; /* the Lease, or that was begun */
	bool complete; /* a snapshot came */
	bool knows_services; /* they were listed */
	bool named; /* the services were, as the cluster has them */
	uint64_t settle_at; /* the desire; UINT64_MAX: nothing to */
	bool confirmed; /* in this epoch: what Consul lacks is gone */
	bool synced;

	unsigned trouble; /* TROUBLE_* */
	char trouble_text[LIMIT_TEXT]; /* the last one */
	struct outage outage; /* what was said of it */
	char denied[LIMIT_TEXT]; /* the first of the writes' */
	struct outage denials;
	struct log_once said_held;
};

/* ---- writer.c ---- */

/* Starts what may start now, says how it goes, arms the timer. */
void pump(struct writer *w);
/* pump() soon: once, however often it is asked for. */
void kick(struct writer *w);
/* What came of consul-reader is wanted, if all of it is there. */
void settle_desire(struct writer *w);
/* Services are called as the cluster has them: all, and one that is seen. */
void hold_names(struct writer *w);
void hold_name(struct writer *w, const struct kube_object *o);

/* ---- follower.c ---- */

void follower_init(struct follower *f, struct writer *w, enum kube_kind kind);
void follower_start(struct follower *f, uint64_t now);
/* When follower_start() has something to do without an event. */
uint64_t follower_due(const struct follower *f, uint64_t now);
void follower_cancel(struct follower *f);

/* ---- herald.c ---- */

void herald_init(struct herald *h, struct writer *w);
/* After followers were started: it is they who find that it is lacking. */
void herald_start(struct herald *h, uint64_t now);
/* When herald_start() has something to do without an event. */
uint64_t herald_due(const struct herald *h, uint64_t now);
void herald_cancel(struct herald *h);

/* ---- leader.c ---- */

void leader_init(struct leader *l, struct writer *w);
/* Also tells the plan whether this copy leads. */
void leader_start(struct writer *w, uint64_t now);
/* When leader_start() has something to do without an event. */
uint64_t leader_due(const struct leader *l, uint64_t now);
/* At this very moment. */
bool leader_may_write(const struct leader *l);
/* To give it back; leader_start() does so. */
void leader_release(struct leader *l);
void leader_cancel(struct leader *l);

/* ---- requests.c ---- */

struct http_request *request(struct writer *w, struct http_request_conf *conf,
    const char *path);
/* Reads an answer, and counts its bytes. */
void take_reply(struct writer *w, struct reply *r,
    const struct http_response *from);
/* One that was not hoped for. */
void count_error(struct writer *w, enum plan_result r);
void count_unreadable(struct writer *w);
void start_writes(struct writer *w, uint64_t now);
/* Whether they were done is not known then. */
void cancel_writes(struct writer *w, uint64_t now);

/* ---- voice.c ---- */

/* The cluster as a whole does not do as it should; and it does again. */
void say_trouble(struct writer *w, unsigned whose, const struct reply *r,
    const char *verb, const char *resource);
void say_broken(struct writer *w, unsigned whose, const char *verb,
    const char *resource, const char *why);
void say_no_trouble(struct writer *w, unsigned whose);
/* It is none of ours any more, whether it has ended or not. */
void forget_trouble(struct writer *w, unsigned whose);
void say_absent(struct writer *w, enum kube_kind kind);
/* Why nobody tells us when it is there. */
void say_unheard(struct writer *w, const struct reply *r);
void say_leads(struct writer *w, bool leads);
/* The end of a write; news: it failed otherwise than last time. */
void say_written(struct writer *w, const struct write *wr);
void say_failed(struct writer *w, const struct write *wr, enum plan_result res,
    const struct reply *r, const char *text, bool news);
void say_report(const struct object_report *r);
void say_collision(const struct names_collision *c);
void say_left_out(const struct wanted *w);
/* Health, figures, and conditions that began or ended. */
void tell(struct writer *w, uint64_t now);
void pass_begin(struct writer *w, uint64_t now);
/* If nothing is under way any more. */
void pass_end(struct writer *w, uint64_t now);

#endif
