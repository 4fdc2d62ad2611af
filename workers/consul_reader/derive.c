#include "workers/consul_reader/derive.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/log.h"
#include "workers/consul_reader/picked.h"
#include "workers/consul_reader/text.h"
#include "workers/fields.h"

/* What is read of an instance, in all and of its names. */
#define LOOP_SOURCE  "external-source"
#define LOOP_SYNC    "external-sync-source"
#define PORT_NAME    "kubernetes-port-name"
#define APP_PROTOCOL "kubernetes-app-protocol"
#define NODE_NAME    "kubernetes-node-name"
#define ZONE         "kubernetes-zone"
#define PLAIN_ZONE   "zone"

static const struct excerpt_member in_locality[] = { { "Zone", NULL },
	EXCERPT_END };
static const struct excerpt_member in_node_meta[] = { { NODE_NAME, NULL },
	{ ZONE, NULL }, { PLAIN_ZONE, NULL }, EXCERPT_END };
static const struct excerpt_member in_service_meta[] = { { LOOP_SOURCE, NULL },
	{ LOOP_SYNC, NULL }, { PORT_NAME, NULL }, { APP_PROTOCOL, NULL },
	EXCERPT_END };
static const struct excerpt_member in_node[] = { { "Node", NULL },
	{ "Address", NULL }, { "Meta", in_node_meta },
	{ "Locality", in_locality }, EXCERPT_END };
static const struct excerpt_member in_service[] = { { "ID", NULL },
	{ "Service", NULL }, { "Tags", NULL }, { "Address", NULL },
	{ "Port", NULL }, { "Meta", in_service_meta }, { "CreateIndex", NULL },
	{ "Locality", in_locality }, EXCERPT_END };
static const struct excerpt_member in_check[] = { { "Status", NULL },
	EXCERPT_END };
static const struct excerpt_member in_instance[] = { { "Node", in_node },
	{ "Service", in_service }, { "Checks", in_check }, EXCERPT_END };

static const struct excerpt_member name_in_node[] = { { "Node", NULL },
	EXCERPT_END };
static const struct excerpt_member names_in_service[] = { { "ID", NULL },
	{ "Service", NULL }, EXCERPT_END };
static const struct excerpt_member names_in_instance[] = {
	{ "Node", name_in_node }, { "Service", names_in_service }, EXCERPT_END
};

struct source {
	json_object *node;
	json_object *service;
	json_object *checks;
	json_object *node_meta;
	json_object *service_meta;
	const char *name; /* of the service */
	const struct derive_conf *conf;
	struct refusal *refusal;
};

static void
set(char **to, const char *s)
{
	free(*to);
	*to = xstrdup(s);
}

/* The first notice stays. */
static void __attribute__((format(printf, 3, 4)))
notice(const struct source *src, struct derived *d, const char *fmt, ...)
{
	char text[LIMIT_TEXT], line[2 * LIMIT_TEXT];
	va_list ap;

	if (*d->notice != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line),
	    "service %.100s: instance %.150s on "
	    "%.150s: %s",
	    src->name, d->id, d->node, text);
	set(&d->notice, line);
}

/* ---- names ---- */

/*
 * Stands for a NUL. No text of JSON has these bytes: the name is nobody
 * else's.
 */
#define NUL_IN_NAME "\xc0\x80"

static void
set_without_nul(char **to, const struct text *t)
{
	size_t len = sizeof(NUL_IN_NAME) - 1;
	char *s = xcalloc(t->len + 1, len), *end = s;

	for (const char *p = t->s; p < t->s + t->len; p++) {
		if (*p != '\0')
			*end++ = *p;
		else
			end = (char *)memcpy(end, NUL_IN_NAME, len) + len;
	}
	free(*to);
	*to = s;
}

static bool
read_name(const struct source *src, json_object *o, const char *member,
    struct derived *d, char **to)
{
	struct text t;

	if (!text_member(o, member, &t, src->refusal))
		return false;
	if (!text_has_nul(&t)) {
		set(to, t.s);
		return true;
	}
	set_without_nul(to, &t);
	d->kind = DERIVED_BAD;
	notice(src, d, "its \"%s\" holds a NUL; left out", member);
	return true;
}

static bool
read_names(const struct source *src, struct derived *d)
{
	struct text name;

	if (!read_name(src, src->node, "Node", d, &d->node) ||
	    !read_name(src, src->service, "ID", d, &d->id) ||
	    !text_member(src->service, "Service", &name, src->refusal))
		return false;
	if (*d->node == '\0' || *d->id == '\0')
		return refuse(src->refusal, "an instance without node or ID");
	if (text_has_nul(&name) || strcmp(name.s, src->name) != 0)
		d->kind = DERIVED_OTHERS;
	return true;
}

/* ---- tags and loops ---- */

static bool
read_tags(const struct source *src, struct derived *d)
{
	json_object *tags = field_array(src->service, "Tags", src->refusal);
	size_t n = field_count(tags);
	bool tagged = false;

	for (size_t i = 0; i < n; i++) {
		struct text t;

		if (!text_of(json_object_array_get_idx(tags, i), &t))
			return refuse(src->refusal, "a tag is not text");
		if (text_has_nul(&t) || t.len == 0)
			continue;
		tagged |= strcmp(t.s, src->conf->tag) == 0;
		d->internal |= strcmp(t.s, src->conf->internal_tag) == 0;
		d->external |= strcmp(t.s, src->conf->external_tag) == 0;
	}
	if (!tagged)
		d->kind = DERIVED_UNTAGGED;
	return !refused(src->refusal);
}

/* What tells that an instance came from Kubernetes (safety rule 7). */
static const struct {
	const char *key;
	const char *value;
} loop_marks[] = {
	{ LOOP_SOURCE, "kubernetes" },
	{ LOOP_SYNC, "katalog-sync" },
};

static bool
find_loop(const struct source *src, struct derived *d)
{
	for (size_t i = 0; i < sizeof(loop_marks) / sizeof(*loop_marks); i++) {
		struct text t;

		if (!text_member(src->service_meta, loop_marks[i].key, &t,
			src->refusal))
			return false;
		if (strcmp(t.s, loop_marks[i].value) == 0 &&
		    d->kind == DERIVED_TAKEN)
			d->kind = DERIVED_LOOP;
	}
	return true;
}

/* ---- readiness ---- */

/* Critical, which is maintenance too, and what we do not know are not. */
static bool
is_ready(const struct source *src, const char *status)
{
	if (strcmp(status, "warning") == 0)
		return src->conf->warning_is_ready;
	return strcmp(status, "passing") == 0;
}

static bool
read_checks(const struct source *src, struct derived *d)
{
	size_t n = field_count(src->checks);

	d->ready = true;
	for (size_t i = 0; i < n; i++) {
		json_object *check =
		    field_element(src->checks, i, "Checks", src->refusal);
		struct text status;

		if (check == NULL ||
		    !text_member(check, "Status", &status, src->refusal))
			return false;
		d->ready = d->ready && is_ready(src, status.s);
	}
	return true;
}

/* ---- address and port ---- */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool
is_host_name(const char *s)
{
	return strpbrk(s, LETTERS) != NULL && strlen(s) <= LIMIT_K8S_NAME &&
	    s[strspn(s, LETTERS "0123456789-_.")] == '\0';
}

static bool
read_address(const struct source *src, struct derived *d)
{
	char address[BACKEND_ADDRESS];
	const char *why;
	struct text t;

	if (!text_member(src->service, "Address", &t, src->refusal) ||
	    (t.len == 0 &&
		!text_member(src->node, "Address", &t, src->refusal)))
		return false;
	set(&d->address, t.s);
	why = text_has_nul(&t) ? "holds a NUL" : backend_address(t.s, address);
	if (why == NULL) {
		set(&d->address, address);
	} else if (!text_has_nul(&t) && is_host_name(t.s)) {
		d->kind = DERIVED_HOST;
	} else {
		d->kind = DERIVED_BAD;
		notice(src, d, "address \"%.100s\": %s; left out", t.s, why);
	}
	return true;
}

static bool
read_port(const struct source *src, struct derived *d)
{
	int64_t port = field_int(src->service, "Port", src->refusal);

	if (port >= 0 && port <= UINT16_MAX) {
		d->port = (uint16_t)port;
		return !refused(src->refusal);
	}
	d->kind = DERIVED_BAD;
	notice(src, d, "port %lld: not a port (0-65535); left out",
	    (long long)port);
	return true;
}

/* ---- meta ---- */

enum owner { OF_SERVICE, OF_NODE };

static const struct meta_key {
	const char *key;
	enum owner owner;
	size_t to; /* where in a struct derived; one that is set stays */
	bool (*good)(const char *s);
	const char *what;
} meta_keys[] = {
	{ PORT_NAME, OF_SERVICE, offsetof(struct derived, port_name),
	    backend_is_label,
	    "not the name of a port (at most 63 lower-case letters, digits "
	    "and -)" },
	{ APP_PROTOCOL, OF_SERVICE, offsetof(struct derived, app_protocol),
	    backend_is_qualified, "not an appProtocol" },
	{ NODE_NAME, OF_NODE, offsetof(struct derived, k8s_node),
	    backend_is_subdomain, "not the name of a node" },
	{ ZONE, OF_NODE, offsetof(struct derived, zone), backend_is_label_value,
	    "not a zone" },
	{ PLAIN_ZONE, OF_NODE, offsetof(struct derived, zone),
	    backend_is_label_value, "not a zone" },
};

static char **
member_at(struct derived *d, size_t offset)
{
	return (char **)((char *)d + offset);
}

static bool
read_meta_key(const struct source *src, const struct meta_key *k,
    struct derived *d)
{
	json_object *meta =
	    k->owner == OF_NODE ? src->node_meta : src->service_meta;
	char **to = member_at(d, k->to);
	struct text t;

	if (!text_member(meta, k->key, &t, src->refusal))
		return false;
	if (t.len == 0 || **to != '\0')
		return true;
	if (!text_has_nul(&t) && k->good(t.s))
		set(to, t.s);
	else
		notice(src, d, "meta %s \"%.100s\": %s; taken as not there",
		    k->key, t.s, k->what);
	return true;
}

/* Consul's own idea of zones, from 1.16 on. */
static bool
read_locality(const struct source *src, json_object *owner, struct derived *d)
{
	json_object *locality = field_object(owner, "Locality", src->refusal);
	struct text t;

	if (refused(src->refusal) ||
	    !text_member(locality, "Zone", &t, src->refusal))
		return false;
	if (*d->zone == '\0' && !text_has_nul(&t) &&
	    backend_is_label_value(t.s))
		set(&d->zone, t.s);
	return true;
}

static bool
read_meta(const struct source *src, struct derived *d)
{
	for (size_t i = 0; i < sizeof(meta_keys) / sizeof(*meta_keys); i++) {
		if (!read_meta_key(src, &meta_keys[i], d))
			return false;
	}
	return read_locality(src, src->service, d) &&
	    read_locality(src, src->node, d);
}

/* ---- the whole ---- */

static bool
read_objects(json_object *o, struct source *src)
{
	struct refusal *r = src->refusal;

	src->node = field_object(o, "Node", r);
	src->service = field_object(o, "Service", r);
	src->checks = field_array(o, "Checks", r);
	src->node_meta = field_object(src->node, "Meta", r);
	src->service_meta = field_object(src->service, "Meta", r);
	if (src->node == NULL || src->service == NULL)
		refuse(r, "an instance without its node or service");
	return !refused(r);
}

/*
 * In this order: what is not ours gets no notice about its address. Instances
 * of others are in the answer where the names differ in case only: Consul's
 * index has them as one.
 */
static bool
read_all(const struct source *src, struct derived *d)
{
	if (!read_names(src, d))
		return false;
	if (d->kind == DERIVED_OTHERS)
		return true;
	if (!read_tags(src, d) || !read_checks(src, d))
		return false;
	if (!src->conf->allow_loops && !find_loop(src, d))
		return false;
	if (d->kind != DERIVED_TAKEN)
		return true;
	d->create_index =
	    (uint64_t)field_int(src->service, "CreateIndex", src->refusal);
	return read_address(src, d) && read_port(src, d) && read_meta(src, d);
}

static struct derived *
derived_new(void)
{
	struct derived *d = xcalloc(1, sizeof(*d));

	d->node = xstrdup("");
	d->id = xstrdup("");
	d->address = xstrdup("");
	d->k8s_node = xstrdup("");
	d->zone = xstrdup("");
	d->port_name = xstrdup("");
	d->app_protocol = xstrdup("");
	d->notice = xstrdup("");
	return d;
}

void
derived_free(struct derived *d)
{
	if (d == NULL)
		return;
	free(d->node);
	free(d->id);
	free(d->address);
	free(d->k8s_node);
	free(d->zone);
	free(d->port_name);
	free(d->app_protocol);
	free(d->notice);
	free(d);
}

static void
read_picked(json_object *o, struct source *src, struct derived *d)
{
	if (!json_object_is_type(o, json_type_object))
		refuse(src->refusal, "an instance is not an object");
	else if (read_objects(o, src))
		read_all(src, d);
}

/* Whose names are as large, too, has one by its bytes. */
static void
name_by_hash(const struct element *e, struct derived *d)
{
	XXH128_hash_t h = XXH3_128bits(e->bytes, e->len);
	char name[64];

	snprintf(name, sizeof(name), NUL_IN_NAME "%016llx%016llx",
	    (unsigned long long)h.high64, (unsigned long long)h.low64);
	set(&d->id, name);
}

/* Its names are, and maybe not even they. */
static void
read_large(const struct element *e, struct source *src, struct derived *d)
{
	bool large;
	json_object *o = picked_parse(names_in_instance, e->bytes, e->len,
	    &large, src->refusal);

	if (large)
		name_by_hash(e, d);
	else if (o != NULL && json_object_is_type(o, json_type_object) &&
	    read_objects(o, src))
		read_names(src, d);
	if (d->kind != DERIVED_OTHERS) {
		d->kind = DERIVED_BAD;
		notice(src, d,
		    "what is read of it has more than %d bytes; "
		    "left out",
		    PICKED_MAX);
	}
	json_object_put(o);
}

struct derived *
derive(const struct element *e, const char *service,
    const struct derive_conf *conf, struct refusal *r)
{
	struct source src = { .name = service, .conf = conf, .refusal = r };
	struct derived *d = derived_new();
	bool large;
	json_object *o = picked_parse(in_instance, e->bytes, e->len, &large, r);

	if (large)
		read_large(e, &src, d);
	else if (!refused(r))
		read_picked(o, &src, d);
	json_object_put(o);
	if (!refused(r))
		return d;
	derived_free(d);
	return NULL;
}

struct derived *
derive_large(unsigned nth, const char *service)
{
	struct source src = { .name = service };
	struct derived *d = derived_new();
	char name[32];

	snprintf(name, sizeof(name), NUL_IN_NAME "%u", nth);
	set(&d->id, name);
	d->kind = DERIVED_BAD;
	notice(&src, d, "more than %d bytes; left out", LIMIT_CONSUL_ELEMENT);
	return d;
}

bool
derived_counts(const struct derived *d)
{
	return d->kind == DERIVED_TAKEN || d->kind == DERIVED_HOST ||
	    d->kind == DERIVED_BAD;
}
