/*
 * A cluster for tests of the plan: takes its writes as an apiserver does
 * (versions, uids, apply, preconditions), and shows what it has.
 */
#ifndef K8S_CLUSTER_H
#define K8S_CLUSTER_H

#include "workers/k8s_writer/kube_json.h"
#include "workers/k8s_writer/plan.h"

/* Empties it. All other objects and writes are counted from here. */
void cluster_reset(void);

/* Writes that were accepted since cluster_reset(), or refused by a guard. */
extern struct cluster_stats {
	size_t applied;
	size_t repaired;
	size_t deleted;
	size_t looks;
	size_t conflicts;
	size_t orphans; /* slices whose owner was not there, when written */
	size_t foreign_touched; /* must stay 0 */
} cluster_stats;

/*
 * Does what the plan asks for, and frees its body; what plan_done() is to be
 * told.
 */
enum plan_result cluster_write(struct plan_action *a, struct kube_object *got,
    bool *has_got);

/* All objects of a kind go to the plan as a list. */
void cluster_list(struct plan *p, enum kube_kind kind, uint64_t now);
/* The object as a watch would show it now. */
void cluster_show(struct plan *p, enum kube_kind kind, const char *name,
    uint64_t now);

size_t cluster_count(enum kube_kind kind);
/* Without those that were put there as foreign. */
size_t cluster_count_ours(enum kube_kind kind);
/* Its JSON; NULL if it is not there. */
const char *cluster_text(enum kube_kind kind, const char *name);
/* Somebody's: JSON with metadata.name; uid and version are added. */
void cluster_put(enum kube_kind kind, const char *text, bool foreign);
/* A manual change. */
void cluster_edit(enum kube_kind kind, const char *name, const char *from,
    const char *to);
/* A manual deletion; the plan is told as by a watch, if it is not NULL. */
void cluster_delete(struct plan *p, enum kube_kind kind, const char *name,
    uint64_t now);
/* The name of the nth object of a kind; NULL after the last. */
const char *cluster_name(enum kube_kind kind, size_t n);

#endif
