/*
 * Which endpoint stands in which EndpointSlice. Pure.
 *
 * A slice has one address family, one port (or none) and at most
 * SLICE_ENDPOINTS endpoints. Writes are dear (each goes to every node of the
 * cluster), so an endpoint stays where it is; a new one goes where a write is
 * due anyway, else into the slice with the most free places, and only then
 * into a new slice. A slice that would be empty is used again for another
 * port of its family, or is no more.
 *
 * The first slice of a service is NAME-consul, further ones NAME-consul-HASH.
 * At the start, IPv4 comes before IPv6, and the service's own port before
 * others.
 *
 * The work is as the endpoints and the slices that are there, times the new
 * slices: objects.h bounds how many a service has.
 */
#ifndef SLICES_H
#define SLICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/k8s_writer/endpoint.h"
#include "workers/k8s_writer/names.h"

/* The most that the apiserver takes. */
#define SLICE_ENDPOINTS 1000
/* A name and its NUL: ours are shorter, but one is taken over as it is. */
#define SLICE_NAME (LIMIT_K8S_NAME + 1)

/* A slice as it is now. */
struct slice_now {
	const char *name;
	/* False: its name is taken, and nothing else is to be known. */
	bool usable;
	enum backend_family family;
	uint16_t port;
	const struct address *at; /* ascending, none twice */
	size_t n;
};

struct slices_input {
	const char *service; /* the Service's name */
	uint16_t port; /* the Service's */
	const struct endpoint *endpoints; /* as endpoints_unify() left them */
	size_t n;
	const struct slice_now *now; /* ascending by name, none twice */
	size_t nnow;
};

struct slice {
	char name[SLICE_NAME]; /* "": as now's */
	const struct slice_now *now; /* NULL: a new slice */
	enum backend_family family;
	uint16_t port;
	const size_t *members; /* ascending indexes of endpoints */
	size_t n; /* 1..SLICE_ENDPOINTS */
};

struct slices {
	struct slice *v; /* first those of now, then new ones */
	size_t n;
	size_t *members; /* of all */
};

/* *out is for slices_free(). A slice of now that is not in it is to go. */
void slices_assign(const struct slices_input *in, struct slices *out);
void slices_free(struct slices *s);

const char *slice_name(const struct slice *s);

#endif
