/*
 * What of an object is ours, as a hash: two objects with the same look need
 * no write. It is taken of what is wanted (objects.h) and of what the cluster
 * has (kube_json.h) in the same way. Pure.
 *
 * What the apiserver fills in by itself is no part of it, or counts as said.
 */
#ifndef LOOK_H
#define LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "workers/k8s_writer/endpoint.h"

struct look {
	uint64_t lo;
	uint64_t hi;
};

static inline bool
look_same(const struct look *a, const struct look *b)
{
	return a->lo == b->lo && a->hi == b->hi;
}

/* Looks of what has no order are added up. */
static inline void
look_add(struct look *sum, struct look l)
{
	sum->lo += l.lo;
	sum->hi += l.hi;
}

/* Fatal without memory; ended by look_end(). */
XXH3_state_t *look_begin(void);
void look_text(XXH3_state_t *h, const char *s);
void look_number(XXH3_state_t *h, uint64_t n);
void look_look(XXH3_state_t *h, const struct look *l);
struct look look_end(XXH3_state_t *h);

/* The values of our labels; "" where there is none. */
struct look_labels {
	const char *managed_by;
	const char *name; /* Services and routes */
	const char *instance;
	const char *service_name; /* slices */
	const char *slice_managed_by;
};
void look_labels(XXH3_state_t *h, const struct look_labels *l);

struct look_port {
	const char *name;
	const char *protocol;
	const char *app_protocol;
	const char *target; /* Services: targetPort as text; else "" */
	uint16_t port; /* 0: none */
};
void look_port(XXH3_state_t *h, const struct look_port *p);

/*
 * odd: how much of it is there that we never write, or not as we write it.
 * ready: 0, 1; 2 where it is not said.
 */
struct look look_endpoint(const struct address *at, unsigned ready,
    const char *node, const char *zone, unsigned odd);
/* An owner of a slice. */
struct look look_owner(const char *uid);

struct look_parent {
	const char *group;
	const char *kind;
	const char *namespace;
	const char *name;
	const char *section;
};
void look_parent(XXH3_state_t *h, const struct look_parent *p);

struct look_backend {
	const char *group;
	const char *kind;
	const char *name;
	uint16_t port;
};
void look_backend(XXH3_state_t *h, const struct look_backend *b);

#endif
