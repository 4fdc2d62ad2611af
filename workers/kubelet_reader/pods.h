/*
 * A pod, as its JSON says it, and the Consul services that it stands for.
 * Pure.
 *
 * What the apiserver checks (names, addresses, types) is to be right, or the
 * list is refused; what a pod's owner writes freely (annotations) costs that
 * item only, with a notice. What is not read (excerpt.h) is not looked at.
 */
#ifndef PODS_H
#define PODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/service.h"
#include "workers/excerpt.h"
#include "workers/refusal.h"

/* What of a pod is read. */
extern const struct excerpt_conf pod_excerpt;

struct pod_conf {
	uint64_t min_interval_ms;
	uint64_t max_interval_ms;
	uint64_t default_interval_ms;
	uint64_t default_ttl_ms;
	uint64_t ttl_buffer_ms; /* between interval and TTL, at least */
};

/*
 * As it goes out, key and value of a set: a service (common/service.h), or the
 * pod itself (common/pod.h).
 */
struct pod_entry {
	char *key;
	size_t key_len;
	void *value;
	size_t len;
};

struct pod {
	char *namespace;
	char *name;
	char *uid;
	char *node; /* "": the pod does not say */
	bool ours; /* has service-names */
	bool from_api; /* the apiserver's, and not a static pod */
	bool lasting; /* Running, and has not begun to end */
	uint64_t interval_ms; /* ours only; min..max */
	struct pod_entry item;
	struct pod_entry *services; /* their keys are the IDs, with a NUL */
	size_t nservices;
	char **notices; /* lines for the log, each once */
	size_t nnotices;
};

/*
 * bytes: one JSON object that json_scan() found good, with any names. NULL:
 * refused. No two pods of different names have a service ID in common, for "_"
 * is in no namespace and no pod name.
 */
struct pod *pod_parse(const char *bytes, size_t len,
    const struct pod_conf *conf, struct refusal *r);
/* NULL is fine. */
void pod_free(struct pod *pod);

#endif
