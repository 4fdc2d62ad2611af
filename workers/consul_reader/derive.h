/*
 * One instance of a service, as /v1/health/service/NAME says it, and what it
 * is for Kubernetes. Pure.
 *
 * What anybody may register as he likes (address, port, meta) costs that
 * instance or that meta only, with a notice. The keys of meta that matter:
 *
 *	of the service	kubernetes-port-name		name of the port
 *			kubernetes-app-protocol		its appProtocol
 *			external-source, external-sync-source	see loops
 *	of the node	kubernetes-node-name		nodeName of the endpoint
 *			kubernetes-zone, else zone	its zone, else Consul's
 *							locality has it
 */
#ifndef DERIVE_H
#define DERIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/backend.h"
#include "workers/consul_reader/elements.h"
#include "workers/refusal.h"

struct derive_conf {
	const char *tag;
	const char *internal_tag; /* "": none */
	const char *external_tag;
	bool warning_is_ready;
	bool allow_loops;
};

enum derived_kind {
	DERIVED_TAKEN, /* address is an IP literal */
	DERIVED_HOST, /* address is a host name, to be looked up */
	DERIVED_BAD, /* cannot be an endpoint: the notice says why */
	DERIVED_LOOP, /* came from Kubernetes */
	DERIVED_UNTAGGED,
	DERIVED_OTHERS /* an instance of another service */
};

/* Texts are never NULL. */
struct derived {
	enum derived_kind kind;
	char *node; /* Consul's names of node and instance */
	char *id;
	char *address;
	char *k8s_node;
	char *zone;
	char *port_name;
	char *app_protocol;
	char *notice; /* a line for the log; "": none */
	uint64_t create_index;
	uint16_t port; /* 0: none */
	bool ready;
	bool internal;
	bool external;
};

/*
 * An element of the answer for that service. NULL: the answer is refused. To
 * be freed with derived_free().
 */
struct derived *derive(const struct element *e, const char *service,
    const struct derive_conf *conf, struct refusal *r);
/* The nth that is too large to be looked at: bad. */
struct derived *derive_large(unsigned nth, const char *service);
void derived_free(struct derived *d); /* NULL is fine */

/* Whether it makes its service one that Kubernetes is to have. */
bool derived_counts(const struct derived *d);

#endif
