/*
 * The containers of a pod that make up its readiness: those of the spec, and
 * of the init containers those that go on running (restartPolicy Always).
 * Pure.
 */
#ifndef CONTAINERS_H
#define CONTAINERS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/refusal.h"

struct container {
	const char *name; /* the tree's */
	bool ready;
	bool has_status;
	bool excluded; /* says nothing about the pod's readiness */
};

struct containers {
	struct container *list; /* sorted by name */
	size_t n;
	uint16_t first_port; /* of the first that has one; 0: none */
};

/* False: refused. To be freed in both cases. */
bool containers_read(struct containers *cs, json_object *spec,
    json_object *status, struct refusal *r);
void containers_free(struct containers *cs);

/* NULL if there is none. */
struct container *containers_find(const struct containers *cs,
    const char *name);
/* All that are not excluded. */
bool containers_ready(const struct containers *cs);
/* {"name":ready,...} of all that are not excluded; to be freed. */
char *containers_notes(const struct containers *cs);

/* Kubernetes' names: DNS label (at most 63), DNS subdomain (at most 253). */
bool is_dns_label(const char *s);
bool is_dns_subdomain(const char *s);

#endif
