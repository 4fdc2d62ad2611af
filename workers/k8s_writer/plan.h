/*
 * The plan: what is wanted in Kubernetes against what is there, and what to
 * write next. Pure: no I/O, no clock; times are CLOCK_MONOTONIC milliseconds.
 *
 * Each object stands on its own: one write at a time, its own back-off, its
 * own error. Objects that need a write wait in queues, so that work follows
 * what changed. What belongs to one Service is a group: its slices and routes
 * are written once it is there (slices name its uid), and deleted before it.
 *
 * Nothing is written before this copy leads, holds a complete snapshot, and
 * knows all objects of the kind. Nothing is deleted, and no endpoint leaves a
 * slice, before the current epoch's snapshot was confirmed; and, where that
 * would be more than max_delete of the Services or of the endpoints that the
 * cluster has, before a later read lacks it, too: each thing waits for its own
 * second read.
 *
 * An object that has a wanted name but not our marks is left alone, and so
 * are the slices and routes of a Service whose name is taken. Each write says
 * what version it replaces: one that is refused for that waits for what the
 * watch will say, and where that says nothing the object is looked at. Only
 * what was seen to lack our marks is somebody else's.
 */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/k8s_writer/kube_json.h"
#include "workers/k8s_writer/objects.h"

struct plan;
struct plan_item;

struct plan_conf {
	const struct object_conf *objects;
	uint64_t max_delete; /* thousandths, 0..1000 */
	/*
	 * Called when what a report says has changed, with gone when the
	 * object is neither wanted nor there any more. *r is valid during
	 * the call. They must not call the plan.
	 */
	void (*report)(const struct object_report *r, void *arg);
	void (*gone)(const char *id, void *arg);
	void *arg;
};

/* conf's texts stay the caller's, for the life of the plan. */
struct plan *plan_new(const struct plan_conf *conf);
void plan_free(struct plan *p);

/* ---- what is wanted ---- */

/* A new or changed service, by its name; w is the plan's from now on. */
void plan_want(struct plan *p, struct wanted *w, uint64_t now);
/* The Service of that name is not wanted any more. */
void plan_drop(struct plan *p, const char *name, uint64_t now);
/* A snapshot was applied. */
void plan_synced(struct plan *p, bool new_epoch, uint64_t now);
/* Consul was read at read_at; confirmed: what it lacks is gone. */
void plan_fresh(struct plan *p, uint64_t read_at, bool confirmed, uint64_t now);

/* ---- what is there ---- */

/* A list of a kind: begin, each object, end. A new begin starts it over. */
void plan_list_begin(struct plan *p, enum kube_kind kind);
void plan_list_end(struct plan *p, enum kube_kind kind, uint64_t now);
/*
 * An object as a list or a watch shows it; *o is emptied. One that is older
 * than what is known is passed over.
 */
void plan_seen(struct plan *p, struct kube_object *o, uint64_t now);
/* A watch says that it was deleted; o stays the caller's. */
void plan_deleted(struct plan *p, const struct kube_object *o, uint64_t now);
/* The cluster has no such kind. It stays so until the next plan_list_end(). */
void plan_no_kind(struct plan *p, enum kube_kind kind, uint64_t now);

/* ---- writes ---- */

/* This copy begins or ends to lead: see lease.h. */
void plan_lead(struct plan *p, bool leads, uint64_t now);

enum plan_op {
	PLAN_APPLY,
	PLAN_REPAIR,
	PLAN_DELETE,
	PLAN_LOOK, /* no write: what is there is not what is known of it */
	PLAN_OPS
};

struct plan_action {
	enum plan_op op;
	struct plan_item *item; /* for plan_done() */
	enum kube_kind kind;
	const char *name; /* valid until plan_done() */
	const char *method; /* "PATCH", "DELETE", "GET" */
	const char *content_type; /* NULL without a body */
	char path[OBJECT_PATH]; /* with query; that of PLAN_LOOK is a list's */
	char *body; /* the caller frees it; NULL: none */
};

/* The next write to start, which is then under way. False: none now. */
bool plan_next(struct plan *p, uint64_t now, struct plan_action *a);
/*
 * When plan_next() may say true again without an event: 0 for now,
 * UINT64_MAX for never.
 */
uint64_t plan_due(struct plan *p, uint64_t now);

enum plan_result {
	PLAN_DONE,
	PLAN_GONE, /* 404 */
	PLAN_CONFLICT, /* 409: it is not as it was when the write was made */
	PLAN_LOST, /* no answer, or cancelled: done or not */
	PLAN_BUSY, /* 429, 503: not done; the apiserver asks to wait */
	PLAN_REFUSED, /* this object is not to the apiserver's liking */
	PLAN_STRANGER, /* 401: it does not know who we are */
	PLAN_DENIED, /* 403 */
	PLAN_BROKEN, /* another 5xx, or an answer that makes no sense */
	PLAN_DIFFERS, /* done, but what is there is not what was applied; the
			 plan's own finding */
	PLAN_RESULTS
};

/*
 * The end of a write; text says why it failed ("" for PLAN_DONE). got, if not
 * NULL, is the object as the answer of a PATCH (or of a DELETE that takes
 * time) shows it, or as PLAN_LOOK found it (NULL: there is none), and is
 * emptied. retry_after_ms: no write before that, 0: nothing was said. True if
 * it failed otherwise than the object's last write.
 */
bool plan_done(struct plan *p, struct plan_item *it, enum plan_result r,
    struct kube_object *got, const char *text, uint64_t retry_after_ms,
    uint64_t now);
/* Something changed (a token): what failed is tried again at once. */
void plan_retry(struct plan *p, uint64_t now);

/* ---- how it goes ---- */

struct plan_counts {
	size_t desired[KUBE_KINDS];
	size_t actual[KUBE_KINDS]; /* ours, in the cluster */
	size_t endpoints; /* wanted */
	size_t ready; /* of those */
	/*
	 * Not as desired. An object that the apiserver refused for what it
	 * is, or whose name is somebody else's, is not among them: waiting
	 * would not help.
	 */
	size_t pending;
	size_t busy; /* under way or to be started now */
	size_t foreign; /* others' objects that have a wanted name */
	size_t failed[PLAN_RESULTS]; /* whose last write ended so */
	bool known; /* all that is in the cluster is */
	bool held; /* deletions wait for a second read */
};

void plan_counts(const struct plan *p, struct plan_counts *c);

/* Each Service of ours that is there, with its name in Consul. */
void plan_each_service(struct plan *p,
    void (*each)(const char *name, const char *service, void *arg), void *arg);

/* All that is wanted, as YAML documents (of JSON) for kubectl; for free(). */
char *plan_manifest(struct plan *p);

#endif
