#include "workers/k8s_writer/objects.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define TO_STRING (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
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

/* ---- JSON ---- */

static struct json_object *
need(struct json_object *o)
{
	if (o == NULL)
		fatalx("kubernetes: out of memory for a request");
	return o;
}

static void
add(struct json_object *o, const char *key, struct json_object *val)
{
	if (json_object_object_add(o, key, need(val)) != 0)
		fatalx("kubernetes: out of memory for a request");
}

static void
add_str(struct json_object *o, const char *key, const char *val)
{
	add(o, key, json_object_new_string(val));
}

/* Not where it is "". */
static void
add_some(struct json_object *o, const char *key, const char *val)
{
	if (*val != '\0')
		add_str(o, key, val);
}

static struct json_object *
add_object(struct json_object *o, const char *key)
{
	struct json_object *val = need(json_object_new_object());

	add(o, key, val);
	return val;
}

static struct json_object *
add_array(struct json_object *o, const char *key)
{
	struct json_object *val = need(json_object_new_array());

	add(o, key, val);
	return val;
}

static void
append(struct json_object *a, struct json_object *val)
{
	if (json_object_array_add(a, need(val)) != 0)
		fatalx("kubernetes: out of memory for a request");
}

static struct json_object *
append_object(struct json_object *a)
{
	struct json_object *val = need(json_object_new_object());

	append(a, val);
	return val;
}

/* The text of o, which is freed. */
static char *
text_of(struct json_object *o)
{
	const char *s = json_object_to_json_string_ext(o, TO_STRING);
	char *text;

	if (s == NULL)
		fatalx("kubernetes: out of memory for a request");
	text = xstrdup(s);
	json_object_put(o);
	return text;
}

/* ---- metadata ---- */

static void
add_labels(struct json_object *meta, const struct look_labels *l)
{
	struct json_object *o = add_object(meta, "labels");

	add_some(o, OBJECT_MANAGED_BY, l->managed_by);
	add_some(o, OBJECT_NAME, l->name);
	add_some(o, OBJECT_INSTANCE, l->instance);
	add_some(o, OBJECT_SERVICE_NAME, l->service_name);
	add_some(o, OBJECT_SLICE_MANAGED, l->slice_managed_by);
}

static void
add_owner(struct json_object *meta, const char *name, const char *uid)
{
	struct json_object *o =
	    append_object(add_array(meta, "ownerReferences"));

	add_str(o, "apiVersion", kinds[KUBE_SERVICE].api_version);
	add_str(o, "kind", kinds[KUBE_SERVICE].name);
	add_str(o, "name", name);
	add_str(o, "uid", uid);
}

static void
add_guard(struct json_object *meta, const char *version)
{
	add_some(meta, "resourceVersion",
	    version != NULL ? version : NO_VERSION);
}

/* An object up to its labels; *meta is its metadata. */
static struct json_object *
begin_object(const struct object_conf *conf, enum kube_kind kind,
    const char *name, const char *version, struct json_object **meta)
{
	struct json_object *o = need(json_object_new_object());

	add_str(o, "apiVersion", kinds[kind].api_version);
	add_str(o, "kind", kinds[kind].name);
	*meta = add_object(o, "metadata");
	add_str(*meta, "name", name);
	add_str(*meta, "namespace", conf->namespace);
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
	struct json_object *o = append_object(ports);

	add_str(o, "name", p->name);
	add_str(o, "protocol", p->protocol);
	add(o, "port", json_object_new_int(p->port));
	add_some(o, "appProtocol", p->app_protocol);
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

struct look
object_service_look(const struct object_conf *conf, const struct wanted *w)
{
	struct look_labels labels = labels_of_name(conf, w);
	struct look ports = object_ports_look(w);
	XXH3_state_t *h = look_begin();

	look_labels(h, &labels);
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
	struct json_object *ports = add_array(o, key);
	char target[8];
	struct look_port p = service_port(w, target);

	if (w->port == 0)
		return;
	add(append_port(ports, &p), "targetPort", json_object_new_int(w->port));
}

char *
object_service_body(const struct object_conf *conf, const struct wanted *w,
    const char *version)
{
	struct look_labels labels = labels_of_name(conf, w);
	struct json_object *meta, *spec, *o;

	o = begin_object(conf, KUBE_SERVICE, w->name, version, &meta);
	add_labels(meta, &labels);
	spec = add_object(o, "spec");
	add_str(spec, "type", "ClusterIP");
	add_str(spec, "clusterIP", "None");
	add_service_ports(spec, "ports", w);
	return text_of(o);
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
	struct json_object *o = append_object(a);
	char text[BACKEND_ADDRESS];

	address_text(&e->at, text);
	append(add_array(o, "addresses"), json_object_new_string(text));
	add(add_object(o, "conditions"), "ready",
	    json_object_new_boolean(e->ready));
	add_some(o, "nodeName", e->node);
	add_some(o, "zone", e->zone);
}

static void
add_slice_ports(struct json_object *o, const struct wanted *w,
    const struct slice *s)
{
	struct json_object *ports = add_array(o, "ports");
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
	add_str(o, "addressType", families[s->family]);
	add_slice_ports(o, w, s);
	endpoints = add_array(o, "endpoints");
	for (size_t i = 0; i < s->n; i++)
		append_endpoint(endpoints, &w->endpoints[s->members[i]]);
	return text_of(o);
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
	struct json_object *o = append_object(add_array(spec, "parentRefs"));

	add_str(o, "name", p.name);
	add_str(o, "namespace", p.namespace);
	add_some(o, "sectionName", p.section);
}

static void
add_rule(struct json_object *spec, const struct wanted *w)
{
	struct json_object *rule = append_object(add_array(spec, "rules"));
	struct json_object *o = append_object(add_array(rule, "backendRefs"));

	add_str(o, "name", w->name);
	add(o, "port", json_object_new_int(w->port));
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
	spec = add_object(o, "spec");
	add_parent(spec, conf, gateway);
	append(add_array(spec, "hostnames"), json_object_new_string(hostname));
	add_rule(spec, w);
	free(hostname);
	return text_of(o);
}

/* ---- other bodies ---- */

char *
object_delete_body(const char *uid, const char *version)
{
	struct json_object *o = need(json_object_new_object()), *pre;

	add_str(o, "apiVersion", "v1");
	add_str(o, "kind", "DeleteOptions");
	pre = add_object(o, "preconditions");
	add_str(pre, "uid", uid);
	add_str(pre, "resourceVersion", version);
	return text_of(o);
}

static struct json_object *
append_op(struct json_object *a, const char *op, const char *path)
{
	struct json_object *o = append_object(a);

	add_str(o, "op", op);
	add_str(o, "path", path);
	return o;
}

/* To add a member that is there replaces it. */
char *
object_repair_body(const struct wanted *w, bool selector, const char *version)
{
	struct json_object *a = need(json_object_new_array());

	add_str(append_op(a, "test", "/metadata/resourceVersion"), "value",
	    version);
	add_service_ports(append_op(a, "add", "/spec/ports"), "value", w);
	if (selector)
		append_op(a, "remove", "/spec/selector");
	return text_of(a);
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
