/*
 * What katalogd's workers tell each other about pods, for the sidecar and the
 * readiness gate. Pure.
 *
 *	pod_item	kubelet-reader to consul-writer: each pod of the node
 *	pod_report	consul-writer to http: how sidecar and gate stand
 *	pod_gate	consul-writer to k8s-writer: a condition that is wanted
 *
 * Items and reports stand in one set with services (service.h); their keys
 * begin otherwise, and come before those. Gates are a set of their own.
 */
#ifndef POD_H
#define POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

/* "P" NUL NAMESPACE NUL NAME; at most LIMIT_SET_KEY. 0: a name is too long. */
size_t pod_key(const char *namespace, const char *name,
    char key[LIMIT_SET_KEY]);
/* Whether it is a pod's key, and not a service's. */
bool pod_key_is(const void *key, size_t len);
/* The other way; false: not one that pod_key() makes. */
bool pod_key_split(const void *key, size_t len,
    char namespace[LIMIT_K8S_NAMESPACE + 1], char name[LIMIT_K8S_NAME + 1]);

#define POD_ADDRESSES 16

/* The condition katalog-sync.wish.com/synced of a pod with that gate. */
enum pod_condition {
	POD_CONDITION_NONE, /* not there yet */
	POD_CONDITION_FALSE,
	POD_CONDITION_TRUE
};

struct pod_item {
	const char *namespace;
	const char *name;
	const char *uid;
	/* IPv4 and IPv6 literals: its own, and its node's. */
	const char *addresses[POD_ADDRESSES];
	size_t naddresses;
	const char *node_addresses[POD_ADDRESSES];
	size_t nnode_addresses;
	const char *sidecar; /* the container's name; "": no annotation */
	uint32_t services; /* how many of them follow as items */
	bool ours; /* has service-names */
	bool host_network;
	bool waits; /* not Running, or without an address, yet */
	bool ending; /* has a deletionTimestamp */
	bool ready; /* every container but the excluded and the sidecar */
	bool sidecar_ready; /* the container, as the list says */
	bool gated; /* has the readiness gate */
	enum pod_condition condition; /* as the list says */
};

/* Bytes written, 0 if it does not fit in cap. */
size_t pod_item_encode(const struct pod_item *p, void *buf, size_t cap);
/*
 * One allocation that the caller frees with free(); NULL if the bytes are not
 * an item, or of another key.
 */
struct pod_item *pod_item_decode(const void *key, size_t key_len,
    const void *val, size_t len);

/*
 * What is known of a pod's sidecar. It belongs to the uid: a pod of the same
 * name that takes its place starts anew.
 */
enum pod_sidecar {
	POD_SIDECAR_NONE, /* no annotation */
	POD_SIDECAR_WAITING, /* it has not registered */
	POD_SIDECAR_REGISTERED, /* it has, or its container is ready */
	POD_SIDECAR_DEREGISTERED /* it has taken the pod out */
};

struct pod_report {
	const char *namespace;
	const char *name;
	const char *uid;
	enum pod_sidecar sidecar;
	bool gated;
	bool synced; /* what the gate is to say */
	const char *text; /* what it waits for, "": nothing */
};

size_t pod_report_encode(const struct pod_report *r, void *buf, size_t cap);
struct pod_report *pod_report_decode(const void *key, size_t key_len,
    const void *val, size_t len);

/* "none", "waiting", "registered", "deregistered". */
const char *pod_sidecar_name(enum pod_sidecar s);

/* The key is the uid. */
struct pod_gate {
	const char *namespace;
	const char *name;
	const char *uid;
	bool synced; /* the condition's status */
	const char *reason; /* CamelCase, 1.. */
	const char *message; /* for people */
	enum pod_condition seen; /* as the kubelet's list has it */
};

size_t pod_gate_encode(const struct pod_gate *g, void *buf, size_t cap);
struct pod_gate *pod_gate_decode(const void *key, size_t key_len,
    const void *val, size_t len);

#endif
