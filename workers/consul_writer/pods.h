/*
 * The pods of this node as the kubelet's list has them, how each one's sidecar
 * stands, and what that makes of its services. Pure.
 *
 * A service of a pod with a sidecar passes only while that is registered. Its
 * state belongs to the pod's uid: what takes its place under the same name
 * starts anew.
 *
 * Only of pods that a sidecar or a gate makes interesting more is kept than
 * the item: they are watched.
 */
#ifndef CONSUL_PODS_H
#define CONSUL_PODS_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/pod.h"
#include "common/service.h"

/* Where a sidecar's state is known from; each knows better than those before. */
enum pod_source { POD_BY_NOBODY, POD_BY_LIST, POD_BY_MEMORY, POD_BY_CALL };

/* A service of a watched pod. */
struct pod_service {
	RB_ENTRY(pod_service) by_id;
	TAILQ_ENTRY(pod_service) link;
	struct pod *pod;
	char *id;
	void *val; /* as it came; NULL: the sidecar is nothing to it */
	size_t len;
};

struct pod {
	RB_ENTRY(pod) by_name;
	TAILQ_ENTRY(pod) link; /* watched only */
	struct pod_item *item;
	enum pod_sidecar sidecar;
	enum pod_source source;
	uint64_t turns_at; /* calls.h's: when all its turns are back */
	TAILQ_HEAD(, pod_service) services; /* watched only */
	size_t nservices;
	bool watched;
	bool synced; /* it was once, or had the condition from the start */
};

struct pods_conf {
	bool gates; /* readiness gates are ours to set */
	/* A service as it is wanted now; s is the callee's (free()). */
	void (*want)(struct service *s, void *arg);
	/* A pod is not watched any more, or another takes its place. */
	void (*unwatched)(const struct pod *pod, void *arg);
	void *arg;
};

struct pods;

struct pods *pods_new(const struct pods_conf *conf);
void pods_free(struct pods *p); /* NULL is fine */

/*
 * An entry of the set, a pod before its services. False: it is neither a pod
 * nor a service that is ours.
 */
bool pods_put(struct pods *p, const void *key, size_t key_len, const void *val,
    size_t len);
/*
 * named: by a DEL of its own, not by a snapshot that lacks it. Of a pod that
 * only a snapshot lacks, which may come back, its sidecar is remembered.
 */
void pods_del(struct pods *p, const void *key, size_t key_len, bool named);
/* A snapshot was applied. */
void pods_complete(struct pods *p);
bool pods_are_complete(const struct pods *p);
/* Whether what the list lacks is really gone; false until it is said. */
void pods_confirm(struct pods *p, bool confirmed);
bool pods_are_confirmed(const struct pods *p);

/*
 * What an earlier process told of a pod, also of one that is not there yet.
 * False: it is not a report.
 */
bool pods_remember(struct pods *p, const void *key, size_t key_len,
    const void *val, size_t len);
/* All was told, and the list is confirmed: the rest is of pods that went. */
void pods_forget(struct pods *p);

/* NULL if there is none. */
struct pod *pods_find(const struct pods *p, const char *namespace,
    const char *name);
/* The watched ones, in no order; NULL after the last. */
struct pod *pods_first(const struct pods *p);
struct pod *pods_next(const struct pod *pod);

/* A call made it so; its services are wanted anew. */
void pods_set_sidecar(struct pods *p, struct pod *pod, enum pod_sidecar s);
/* The status that a service has with its pod's sidecar as it is. */
void pods_judge(const struct pods *p, struct service *s);

#endif
