#include "workers/k8s_writer/objects.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/json_out.h"

/*
 * A version that no object has. An apply with it makes an object where there
 * is none, and is refused where there is one.
 */
#define NO_VERSION "1"

static const struct kind_text {
	const char *name;
	const char *plural;
	const char *api_version;
	const char *path; /* before "/namespaces" */
} kinds[KUBE_KINDS] = {
	[KUBE_SERVICE] = { "Service", "services", "v1", "/api/v1" },
	[KUBE_SLICE] = { "EndpointSlice", "endpointslices",
	    "discovery.k8s.io/v1", "/apis/discovery.k8s.io/v1" },
	[KUBE_ROUTE] = { "HTTPRoute", "httproutes", OBJECT_GATEWAY_GROUP "/v1",
	    "/apis/" OBJECT_GATEWAY_GROUP "/v1" },
};

static const char *const families[BACKEND_FAMILIES] = {
	[BACKEND_IPV4] = "IPv4",
	[BACKEND_IPV6] = "IPv6",
};

const char *
kube_kind_name(enum kube_kind kind)
{
	return kinds[kind].name;
}

const char *
kube_kind_plural(enum kube_kind kind)
{
	return kinds[kind].plural;
}

const char *
kube_kind_api_version(enum kube_kind kind)
{
	return kinds[kind].api_version;
}

/* ---- metadata ---- */

static void
add_labels(struct json_object *meta, const struct look_labels *l)
{
	struct json_object *o = out_object(meta, "labels");

	out_some(o, OBJECT_MANAGED_BY, l->managed_by);
	out_some(o, OBJECT_NAME, l->name);
	out_some(o, OBJECT_INSTANCE, l->instance);
	out_some(o, OBJECT_SERVICE_NAME, l->service_name);
	out_some(o, OBJECT_SLICE_MANAGED, l->slice_managed_by);
}

static void
add_annotation(struct json_object *meta, const char *service)
{
	if (*service != '\0')
		out_str(out_object(meta, "annotations"), OBJECT_CONSUL_NAME,
		    service);
}

static void
add_owner(struct json_object *meta, const char *name, const char *uid)
{
	struct json_object *o =
	    out_append_object(out_array(meta, "ownerReferences"));

	out_str(o, "apiVersion", kinds[KUBE_SERVICE].api_version);
	out_str(o, "kind", kinds[KUBE_SERVICE].name);
	out_str(o, "name", name);
	out_str(o, "uid", uid);
}

static void
add_guard(struct json_object *meta, const char *version)
{
	out_some(meta, "resourceVersion",
	    version != NULL ? version : NO_VERSION);
}

/* An object up to its labels; *meta is its metadata. */
static struct json_object *
begin_object(const struct object_conf *conf, enum kube_kind kind,
    const char *name, const char *version, struct json_object **meta)
{
	struct json_object *o = out_new();

	out_str(o, "apiVersion", kinds[kind].api_version);
	out_str(o, "kind", kinds[kind].name);
	*meta = out_object(o, "metadata");
	out_str(*meta, "name", name);
	out_str(*meta, "namespace", conf->namespace);
	add_guard(*meta, version);
	return o;
}

/* ---- Service ---- */

static struct look_labels
labels_of_name(const struct object_conf *conf, const struct wanted *w)
{
	return (struct look_labels){
		.managed_by = OBJECT_MANAGER,
		.name = w->name,
		.instance = conf->instance,
		.service_name = "",
		.slice_managed_by = "",
	};
}

static struct look_port
service_port(const struct wanted *w, char target[8])
{
	snprintf(target, 8, "%u", w->port);
	return (struct look_port){
		.name = w->port_name,
		.protocol = "TCP",
		.app_protocol = w->app_protocol,
		.target = target,
		.port = w->port,
	};
}

static struct json_object *
append_port(struct json_object *ports, const struct look_port *p)
{
	struct json_object *o = out_append_object(ports);

	out_str(o, "name", p->name);
	out_str(o, "protocol", p->protocol);
	out_number(o, "port", p->port);
	out_some(o, "appProtocol", p->app_protocol);
	return o;
}

struct look
object_ports_look(const struct wanted *w)
{
	XXH3_state_t *h = look_begin();
	char target[8];
	struct look_port p = service_port(w, target);

	look_number(h, w->port != 0);
	if (w->port != 0)
		look_port(h, &p);
	return look_end(h);
}

/* "": none. */
static const char *
annotation_of(const struct wanted *w)
{
	return strcmp(w->service, w->name) == 0 ? "" : w->service;
}

struct look
object_service_look(const struct object_conf *conf, const struct wanted *w)
{
	struct look_labels labels = labels_of_name(conf, w);
	struct look ports = object_ports_look(w);
	XXH3_state_t *h = look_begin();

	look_labels(h, &labels);
	look_text(h, annotation_of(w));
	look_text(h, "ClusterIP");
	look_text(h, "None");
	look_number(h, 0); /* members of the selector */
	look_look(h, &ports);
	return look_end(h);
}

static void
add_service_ports(struct json_object *o, const char *key,
    const struct wanted *w)
{
	struct json_object *ports = out_array(o, key);
	char target[8];
	struct look_port p = service_port(w, target);

	if (w->port == 0)
		return;
	out_number(append_port(ports, &p), "targetPort", w->port);
}

char *
object_service_body(const struct object_conf *conf, const struct wanted *w,
    const char *version)
{
	struct look_labels labels = labels_of_name(conf, w);
	struct json_object *meta, *spec, *o;

	o = begin_object(conf, KUBE_SERVICE, w->name, version, &meta);
	add_labels(meta, &labels);
	add_annotation(meta, annotation_of(w));
	spec = out_object(o, "spec");
	out_str(spec, "type", "ClusterIP");
	out_str(spec, "clusterIP", "None");
	add_service_ports(spec, "ports", w);
	return out_text(o);
}

/* ---- EndpointSlice ---- */

static struct look_labels
labels_of_slice(const struct object_conf *conf, const struct wanted *w)
{
	return (struct look_labels){
		.managed_by = OBJECT_MANAGER,
		.name = "",
		.instance = conf->instance,
		.service_name = w->name,
		.slice_managed_by = OBJECT_MANAGER,
	};
}

static struct look_port
slice_port(const struct wanted *w, const struct slice *s)
{
	return (struct look_port){
		.name = w->port_name,
		.protocol = "TCP",
		.app_protocol = w->app_protocol,
		.target = "",
		.port = s->port,
	};
}

static struct look
head_look(const struct object_conf *conf, const struct wanted *w,
    const struct slice *s)
{
	struct look_labels labels = labels_of_slice(conf, w);
	struct look_port p = slice_port(w, s);
	XXH3_state_t *h = look_begin();

	look_labels(h, &labels);
	look_text(h, families[s->family]);
	look_number(h, s->port != 0);
	if (s->port != 0)
		look_port(h, &p);
	return look_end(h);
}

struct look
object_slice_look(const struct object_conf *conf, const struct wanted *w,
    const struct slice *s, const char *owner)
{
	struct look sum = head_look(conf, w, s);

	if (*owner != '\0')
		look_add(&sum, look_owner(owner));
	for (size_t i = 0; i < s->n; i++) {
		const struct endpoint *e = &w->endpoints[s->members[i]];

		look_add(&sum,
		    look_endpoint(&e->at, e->ready, e->node, e->zone, 0));
	}
	return sum;
}

static void
append_endpoint(struct json_object *a, const struct endpoint *e)
{
	struct json_object *o = out_append_object(a);
	char text[BACKEND_ADDRESS];

	address_text(&e->at, text);
	out_append(out_array(o, "addresses"), json_object_new_string(text));
	out_add(out_object(o, "conditions"), "ready",
	    json_object_new_boolean(e->ready));
	out_some(o, "nodeName", e->node);
	out_some(o, "zone", e->zone);
}

static void
add_slice_ports(struct json_object *o, const struct wanted *w,
    const struct slice *s)
{
	struct json_object *ports = out_array(o, "ports");
	struct look_port p = slice_port(w, s);

	if (s->port != 0)
		append_port(ports, &p);
}

char *
object_slice_body(const struct object_conf *conf, const struct wanted *w,
    const struct slice *s, const char *owner, const char *version)
{
	struct look_labels labels = labels_of_slice(conf, w);
	struct json_object *meta, *endpoints, *o;

	o = begin_object(conf, KUBE_SLICE, slice_name(s), version, &meta);
	add_labels(meta, &labels);
	if (*owner != '\0')
		add_owner(meta, w->name, owner);
	out_str(o, "addressType", families[s->family]);
	add_slice_ports(o, w, s);
	endpoints = out_array(o, "endpoints");
	for (size_t i = 0; i < s->n; i++)
		append_endpoint(endpoints, &w->endpoints[s->members[i]]);
	return out_text(o);
}

/* ---- HTTPRoute ---- */

static struct look_parent
parent_of(const struct object_conf *conf, size_t gateway)
{
	return (struct look_parent){
		.group = OBJECT_GATEWAY_GROUP,
		.kind = "Gateway",
		.namespace = conf->gateway_namespace,
		.name = conf->gateways[gateway],
		.section = conf->listener,
	};
}

static char *
hostname_of(const struct object_conf *conf, const struct wanted *w)
{
	char *text;

	if (asprintf(&text, "%s.%s", w->name, conf->domain) < 0)
		fatalx("kubernetes: out of memory for a name");
	return text;
}

struct look
object_route_look(const struct object_conf *conf, const struct wanted *w,
    size_t gateway)
{
	struct look_labels labels = labels_of_name(conf, w);
	struct look_parent parent = parent_of(conf, gateway);
	struct look_backend backend = {
		.group = "",
		.kind = kinds[KUBE_SERVICE].name,
		.name = w->name,
		.port = w->port,
	};
	char *hostname = hostname_of(conf, w);
	XXH3_state_t *h = look_begin();

	look_labels(h, &labels);
	look_number(h, 1);
	look_parent(h, &parent);
	look_number(h, 1);
	look_text(h, hostname);
	look_number(h, 1); /* rules */
	look_number(h, 1); /* backends of it */
	look_backend(h, &backend);
	look_number(h, 0); /* what is odd */
	free(hostname);
	return look_end(h);
}

/* Group and kind are what the API takes them for where they are not said. */
static void
add_parent(struct json_object *spec, const struct object_conf *conf,
    size_t gateway)
{
	struct look_parent p = parent_of(conf, gateway);
	struct json_object *o =
	    out_append_object(out_array(spec, "parentRefs"));

	out_str(o, "name", p.name);
	out_str(o, "namespace", p.namespace);
	out_some(o, "sectionName", p.section);
}

static void
add_rule(struct json_object *spec, const struct wanted *w)
{
	struct json_object *rule = out_append_object(out_array(spec, "rules"));
	struct json_object *o =
	    out_append_object(out_array(rule, "backendRefs"));

	out_str(o, "name", w->name);
	out_number(o, "port", w->port);
}

char *
object_route_body(const struct object_conf *conf, const struct wanted *w,
    size_t gateway, const char *version)
{
	struct look_labels labels = labels_of_name(conf, w);
	struct json_object *meta, *spec, *o;
	char name[LIMIT_K8S_NAME + 1], *hostname = hostname_of(conf, w);

	object_route_name(conf, w, gateway, name);
	o = begin_object(conf, KUBE_ROUTE, name, version, &meta);
	add_labels(meta, &labels);
	spec = out_object(o, "spec");
	add_parent(spec, conf, gateway);
	out_append(out_array(spec, "hostnames"),
	    json_object_new_string(hostname));
	add_rule(spec, w);
	free(hostname);
	return out_text(o);
}

/* ---- other bodies ---- */

char *
object_delete_body(const char *uid, const char *version)
{
	struct json_object *o = out_new(), *pre;

	out_str(o, "apiVersion", "v1");
	out_str(o, "kind", "DeleteOptions");
	pre = out_object(o, "preconditions");
	out_str(pre, "uid", uid);
	out_str(pre, "resourceVersion", version);
	return out_text(o);
}

static struct json_object *
append_op(struct json_object *a, const char *op, const char *path)
{
	struct json_object *o = out_append_object(a);

	out_str(o, "op", op);
	out_str(o, "path", path);
	return o;
}

/* To add a member that is there replaces it. */
char *
object_repair_body(const struct wanted *w, bool selector, const char *version)
{
	struct json_object *a = out_new_array();

	out_str(append_op(a, "test", "/metadata/resourceVersion"), "value",
	    version);
	add_service_ports(append_op(a, "add", "/spec/ports"), "value", w);
	if (selector)
		append_op(a, "remove", "/spec/selector");
	return out_text(a);
}

/* ---- paths ---- */

bool
object_path(char buf[OBJECT_PATH], const struct object_conf *conf,
    enum kube_kind kind, const char *name, const char *query)
{
	int n = snprintf(buf, OBJECT_PATH, "%s/namespaces/%s/%s%s%s%s%s",
	    kinds[kind].path, conf->namespace, kinds[kind].plural,
	    name == NULL ? "" : "/", name == NULL ? "" : name,
	    *query == '\0' ? "" : "?", query);

	return n > 0 && n < OBJECT_PATH;
}
