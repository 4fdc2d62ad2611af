/*
 * The objects that a Consul service wants in Kubernetes: how they look, and
 * the bodies and paths of the requests that make them so. Pure.
 *
 *	Service		NAME: clusterIP None, one port
 *	EndpointSlice	NAME-consul...: see slices.h; owned by the Service
 *	HTTPRoute	NAME-GATEWAY, for each gateway that is wanted
 *
 * A Service that is not called as in Consul has OBJECT_CONSUL_NAME, too: where
 * names collide it keeps its name over a restart (names.h).
 *
 * All bear app.kubernetes.io/managed-by=consul-sync, and OBJECT_INSTANCE where
 * an instance id is set: that is what "ours" means.
 *
 * Instances of one service may have different ports. A headless Service has
 * no proxy: who looks up the name (A, AAAA) gets the endpoints' addresses and
 * brings a port of its own; who follows the Service's port (SRV records,
 * gateways by an HTTPRoute's backendRef) goes by the port's name to the
 * slices and takes the port that stands there. So each slice has the port of
 * its endpoints under the Service's port name, each instance is reached at its
 * own port, and the number in the Service is a name for people: that of most
 * instances, of the lowest ports among equals. Instances without a port stand
 * in a slice without ports. A service without any port has a Service without
 * ports, and no route, as a route must name one.
 *
 * Each port of a family is a slice of its own, and whoever registers instances
 * chooses their ports. So a service has endpoints of OBJECT_PORTS ports, those
 * that most of its endpoints have (the lowest among equals), and of those the
 * first OBJECT_ENDPOINTS; the rest is left out.
 */
#ifndef OBJECTS_H
#define OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/k8s_writer/endpoint.h"
#include "workers/k8s_writer/look.h"
#include "workers/k8s_writer/names.h"
#include "workers/k8s_writer/slices.h"

#define OBJECT_MANAGER       "consul-sync"
#define OBJECT_MANAGED_BY    "app.kubernetes.io/managed-by"
#define OBJECT_NAME          "app.kubernetes.io/name"
#define OBJECT_INSTANCE      "katalogd/instance-id"
#define OBJECT_SERVICE_NAME  "kubernetes.io/service-name"
#define OBJECT_SLICE_MANAGED "endpointslice.kubernetes.io/managed-by"
#define OBJECT_CONSUL_NAME   "katalogd/consul-service" /* an annotation */
#define OBJECT_GATEWAY_GROUP "gateway.networking.k8s.io"

/* At most so many ports and endpoints of a service: 137 slices. */
#define OBJECT_PORTS     64
#define OBJECT_ENDPOINTS 10000

enum kube_kind { KUBE_SERVICE, KUBE_SLICE, KUBE_ROUTE, KUBE_KINDS };

/* "Service", "EndpointSlice", "HTTPRoute"; "services" and so on. */
const char *kube_kind_name(enum kube_kind kind);
const char *kube_kind_plural(enum kube_kind kind);
const char *kube_kind_api_version(enum kube_kind kind);

/* All texts are the caller's, for the life of what is given it. */
struct object_conf {
	const char *namespace;
	const char *instance; /* "": none */
	const char *domain; /* "": no routes */
	const char *gateways[NAME_GATEWAYS]; /* internal, external */
	const char *gateway_namespace;
	const char *listener;
};

/* A service as it is wanted. */
struct wanted {
	char *service; /* Consul's name */
	char *name; /* the Service's */
	char *port_name;
	char *app_protocol; /* "": none */
	uint16_t port; /* 0: none */
	bool routes[NAME_GATEWAYS]; /* by gateway; none twice */
	struct endpoint *endpoints; /* as endpoints_unify() left them */
	size_t n;
	size_t left_out; /* endpoints: there were too many, or too many ports */
	char *texts; /* of the endpoints */
};

/*
 * Out of the items of one service (backend.h), which stay the caller's; name
 * is the Service's. The caller gives it to wanted_free().
 */
struct wanted *wanted_new(const struct object_conf *conf, const char *name,
    const struct backend_service *s, const struct backend_instance *const *v,
    size_t n);
void wanted_free(struct wanted *w); /* NULL is fine */

/* NAME-GATEWAY; false if that is no name: too long. */
bool object_route_name(const struct object_conf *conf, const struct wanted *w,
    size_t gateway, char out[LIMIT_K8S_NAME + 1]);

/* ---- looks ---- */

struct look object_service_look(const struct object_conf *conf,
    const struct wanted *w);
/* Of a Service's ports alone. */
struct look object_ports_look(const struct wanted *w);
/* owner: the uid of the Service. */
struct look object_slice_look(const struct object_conf *conf,
    const struct wanted *w, const struct slice *s, const char *owner);
struct look object_route_look(const struct object_conf *conf,
    const struct wanted *w, size_t gateway);

/* ---- bodies: the caller frees them ---- */

/*
 * version is that of the object as it was seen: if it is another one now, the
 * apiserver refuses the apply (409), and so neither a change that was not
 * seen nor another writer is overrun. NULL: there was none; then one that
 * somebody else has made meanwhile is left alone. "": without such a guard,
 * for people.
 */
char *object_service_body(const struct object_conf *conf,
    const struct wanted *w, const char *version);
/* owner "": not known, for people. */
char *object_slice_body(const struct object_conf *conf, const struct wanted *w,
    const struct slice *s, const char *owner, const char *version);
char *object_route_body(const struct object_conf *conf, const struct wanted *w,
    size_t gateway, const char *version);
/* DeleteOptions: only if it is still as it was seen. */
char *object_delete_body(const char *uid, const char *version);

/*
 * What an apply does not take away, as others put it there: a JSON patch that
 * makes a Service's ports the wanted ones, and removes its selector if it has
 * one. All at once: it is never without ports. Only if it is still as it was
 * seen.
 */
char *object_repair_body(const struct wanted *w, bool selector,
    const char *version);

/* ---- paths, with query ---- */

#define OBJECT_PATH 1024

/* name NULL: of all. query "" or "x=y&..."; false: does not fit. */
bool object_path(char buf[OBJECT_PATH], const struct object_conf *conf,
    enum kube_kind kind, const char *name, const char *query);
/* The query of an apply, and its content type. */
#define OBJECT_APPLY_QUERY  "fieldManager=" OBJECT_MANAGER "&force=true"
#define OBJECT_APPLY_TYPE   "application/apply-patch+yaml"
#define OBJECT_REPAIR_QUERY "fieldManager=" OBJECT_MANAGER
#define OBJECT_REPAIR_TYPE  "application/json-patch+json"

#endif
