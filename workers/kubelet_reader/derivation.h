/*
 * What pods.c and services.c share while they derive one pod's services; not
 * for others.
 */
#ifndef DERIVATION_H
#define DERIVATION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

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
	bool running;
	bool ending;
	bool waits_for_sidecar;
};

/* Fills pod->services from what is known of the pod. Pure. */
void services_derive(struct derivation *d);

#endif
