/*
 * What pods.c and services.c share while they derive one pod's services; not
 * for others.
 */
#ifndef DERIVATION_H
#define DERIVATION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/pod.h"
#include "workers/kubelet_reader/annotations.h"
#include "workers/kubelet_reader/arena.h"
#include "workers/kubelet_reader/containers.h"
#include "workers/kubelet_reader/pods.h"

/* What one derivation works with; all strings are the tree's or the arena's. */
struct derivation {
	const struct pod_conf *conf;
	struct refusal *r;
	struct pod *pod;
	struct arena arena;
	struct notices notices;
	struct annotations an;
	struct containers containers;

	json_object *metadata; /* NULL: not there */
	json_object *spec;
	json_object *status;

	const char *address; /* NULL: none yet */
	const char *lan_ipv4;
	const char *lan_ipv6;
	const char *notes;
	uint64_t ttl_ms;
	size_t services_len; /* of those so far, see LIMIT_POD_SERVICES */
	bool running;
	bool ending;
	struct pod_item item; /* what is known of it so far */
};

/*
 * Fills pod->services from what is known of the pod. Pure. The arena has little
 * more in it than before: what one service takes is freed for the next.
 */
void services_derive(struct derivation *d);

/*
 * What the sidecar and the readiness gate want to know of any pod. Pure.
 * False: refused.
 */
bool item_read(struct derivation *d);
/* Adds an address to a list of POD_ADDRESSES, if it is not there yet. */
void item_add_address(const char **list, size_t *n, const char *address);
/* Fills pod->item; when all else is known. */
void item_derive(struct derivation *d);

struct pod_entry entry_make(const void *key, size_t key_len, const void *value,
    size_t len);

#endif
