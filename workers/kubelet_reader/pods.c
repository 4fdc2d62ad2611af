#include "workers/kubelet_reader/pods.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/limits.h"
#include "common/log.h"
#include "workers/kubelet_reader/annotations.h"
#include "workers/kubelet_reader/arena.h"
#include "workers/kubelet_reader/containers.h"
#include "workers/kubelet_reader/duplicate.h"
#include "workers/kubelet_reader/fields.h"

#define PORT_MAX 65535

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

/* The outputs of the check: constant while the status is. */
static const char output_ready[] = "pod is ready";
static const char output_not_ready[] = "pod is not ready";
static const char output_ending[] = "pod is terminating";
static const char output_sidecar[] = "waiting for the sidecar to be ready";
static const char output_fixed[] = "set by annotation";

/* The tree. */

static size_t
count_members(json_object *o)
{
	size_t n = 0;

	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += count_members(json_object_array_get_idx(o, i));
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value) {
			(void)key;
			n += 1 + count_members(value);
		}
	}
	return n;
}

static json_object *
parse_tree(const char *bytes, size_t len, struct refusal *r)
{
	json_tokener *tok = json_tokener_new_ex(LIMIT_JSON_DEPTH);
	json_object *o;

	if (tok == NULL)
		fatal("json_tokener_new");
	json_tokener_set_flags(tok,
	    JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, bytes, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    json_tokener_get_parse_end(tok) != len) {
		refuse(r, "not JSON: %s",
		    json_tokener_error_desc(json_tokener_get_error(tok)));
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(tok);
	return o;
}

static bool
refuse_duplicate(const char *bytes, size_t len, struct refusal *r)
{
	char name[LIMIT_K8S_NAME];

	if (!duplicate_find(bytes, len, name, sizeof(name)))
		return refuse(r, "a member stands in an object twice");
	return refuse(r, "\"%s\" stands in an object twice", name);
}

static json_object *
pod_tree(const char *bytes, size_t len, uint32_t members, struct refusal *r)
{
	json_object *o = parse_tree(bytes, len, r);

	if (o == NULL)
		return NULL;
	if (count_members(o) == members)
		return o;
	refuse_duplicate(bytes, len, r);
	json_object_put(o);
	return NULL;
}

/* Identity. */

static bool
is_uid(const char *s)
{
	size_t len = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-._:");

	return len > 0 && s[len] == '\0' && len <= LIMIT_K8S_UID;
}

static bool
read_name(json_object *parent, const char *name, bool (*good)(const char *),
    struct refusal *r, char **to)
{
	const char *s = field_text(parent, name, r);

	if (refused(r))
		return false;
	if (s == NULL)
		return refuse(r, "it has no \"%s\"", name);
	if (!good(s))
		return refuse(r, "its \"%s\" is none", name);
	*to = xstrdup(s);
	return true;
}

static bool
read_node(struct derivation *d)
{
	const char *node = field_text(d->spec, "nodeName", d->r);

	if (refused(d->r))
		return false;
	if (node == NULL)
		node = "";
	if (*node != '\0' && !is_dns_subdomain(node))
		return refuse(d->r, "its \"nodeName\" is none");
	d->pod->node = xstrdup(node);
	return true;
}

static bool
read_identity(struct derivation *d, json_object *tree)
{
	struct pod *pod = d->pod;

	d->metadata = field_object(tree, "metadata", d->r);
	if (!read_name(d->metadata, "namespace", is_dns_label, d->r,
		&pod->namespace) ||
	    !read_name(d->metadata, "name", is_dns_subdomain, d->r, &pod->name))
		return false;
	d->notices.pod =
	    arena_printf(&d->arena, "%s/%s", pod->namespace, pod->name);
	refusal_at(d->r, "pod %s", d->notices.pod);
	d->spec = field_object(tree, "spec", d->r);
	d->status = field_object(tree, "status", d->r);
	return !refused(d->r) &&
	    read_name(d->metadata, "uid", is_uid, d->r, &pod->uid) &&
	    read_node(d);
}

/* Phase and addresses. */

static bool
read_phase(struct derivation *d)
{
	static const char *const phases[] = { "Pending", "Running", "Succeeded",
		"Failed", "Unknown", "" };
	const char *phase = field_text(d->status, "phase", d->r);
	size_t i = 0, n = sizeof(phases) / sizeof(*phases);

	if (refused(d->r))
		return false;
	while (phase != NULL && i < n && strcmp(phase, phases[i]) != 0)
		i++;
	if (i == n)
		return refuse(d->r, "its \"phase\" is none");
	d->running = phase != NULL && strcmp(phase, "Running") == 0;
	d->ending = field_text(d->metadata, "deletionTimestamp", d->r) != NULL;
	return !refused(d->r);
}

/* AF_INET, AF_INET6, or 0 for what is no address. */
static int
family(const char *address)
{
	struct in6_addr to;

	if (inet_pton(AF_INET, address, &to) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, address, &to) == 1 ? AF_INET6 : 0;
}

/* The first of each family, where it is not the pod's main address. */
static bool
take_address(struct derivation *d, const char *ip)
{
	int fam = family(ip);

	if (fam == 0)
		return refuse(d->r, "in its \"podIPs\" is no address");
	if (d->address == NULL || fam == family(d->address))
		return true;
	if (fam == AF_INET && d->lan_ipv4 == NULL)
		d->lan_ipv4 = ip;
	if (fam == AF_INET6 && d->lan_ipv6 == NULL)
		d->lan_ipv6 = ip;
	return true;
}

static bool
read_addresses(struct derivation *d)
{
	json_object *ips = field_array(d->status, "podIPs", d->r);
	const char *ip = field_text(d->status, "podIP", d->r);

	if (refused(d->r))
		return false;
	if (ip != NULL && *ip != '\0') {
		if (family(ip) == 0)
			return refuse(d->r, "its \"podIP\" is no address");
		d->address = ip;
	}
	for (size_t i = 0; i < field_count(ips); i++) {
		json_object *o = field_element(ips, i, "podIPs", d->r);

		ip = field_text(o, "ip", d->r);
		if (refused(d->r) || (ip != NULL && !take_address(d, ip)))
			return false;
	}
	return true;
}

/* Annotations of the whole pod. */

static uint64_t
read_duration(struct derivation *d, const char *name, uint64_t otherwise)
{
	struct annotation an = annotation(&d->an, name);
	char text[DURATION_TEXT];
	uint64_t ms;

	if (an.value == NULL)
		return otherwise;
	if (duration_parse(an.value, &ms))
		return ms;
	annotation_notice(&d->notices, &an, an.value,
	    "not a duration such as 1m30s; %s is taken",
	    duration_format(otherwise, text));
	return otherwise;
}

static uint64_t
clamp(uint64_t v, uint64_t min, uint64_t max)
{
	return v < min ? min : v > max ? max : v;
}

static void
read_times(struct derivation *d)
{
	const struct pod_conf *c = d->conf;
	uint64_t least;

	d->pod->interval_ms =
	    clamp(read_duration(d, "sync-interval", c->default_interval_ms),
		c->min_interval_ms, c->max_interval_ms);
	least = d->pod->interval_ms + c->ttl_buffer_ms;
	d->ttl_ms = read_duration(d, "service-check-ttl", c->default_ttl_ms);
	if (d->ttl_ms < least)
		d->ttl_ms = least;
}

static void
exclude_containers(struct derivation *d)
{
	struct annotation an = annotation(&d->an, "container-exclude");
	const char *rest = an.value != NULL ? an.value : "", *name;

	while ((name = list_next(&d->arena, &rest)) != NULL) {
		struct container *c = containers_find(&d->containers, name);

		if (c != NULL)
			c->excluded = true;
		else
			annotation_notice(&d->notices, &an, name,
			    "the pod has no such container; ignored");
	}
}

static void
read_sidecar(struct derivation *d)
{
	struct annotation an = annotation(&d->an, "sidecar");
	const char *name = list_first(&d->arena, an.value);
	struct container *c;

	if (name == NULL)
		return;
	if ((c = containers_find(&d->containers, name)) != NULL) {
		c->excluded = true;
		d->waits_for_sidecar = !c->ready;
		return;
	}
	d->waits_for_sidecar = true;
	annotation_notice(&d->notices, &an, name,
	    "the pod has no such container; its services are not passing");
}

static void
make_notes(struct derivation *d)
{
	char *notes = containers_notes(&d->containers);

	if (strlen(notes) <= LIMIT_NOTES) {
		d->notes = arena_printf(&d->arena, "%s", notes);
	} else {
		d->notes = "{}";
		notice(&d->notices,
		    "too many containers for the check's notes; left empty");
	}
	free(notes);
}

/* One service. */

struct own_status {
	bool fixed; /* by service-health */
	enum service_status status;
};

static struct own_status
read_health(struct derivation *d, const char *service)
{
	struct annotation an =
	    annotation_for(&d->an, "service-health", service);
	struct own_status own = { .fixed = false };
	const char *value = list_first(&d->arena, an.value);

	if (an.value == NULL)
		return own;
	if (value != NULL && service_status_parse(value, &own.status)) {
		own.fixed = true;
		return own;
	}
	annotation_notice(&d->notices, &an, an.value,
	    "not passing, warning or critical; readiness decides");
	return own;
}

static void
set_status(struct service *s, enum service_status status, const char *output)
{
	s->status = status;
	s->output = output;
}

/* What is not passing anyway may be so in the way that the owner says. */
static void
derive_status(struct derivation *d, struct service *s)
{
	struct own_status own = read_health(d, s->name);

	if (d->ending)
		set_status(s, SERVICE_CRITICAL, output_ending);
	else if (d->waits_for_sidecar &&
	    !(own.fixed && own.status != SERVICE_PASSING))
		set_status(s, SERVICE_CRITICAL, output_sidecar);
	else if (own.fixed)
		set_status(s, own.status, output_fixed);
	else if (containers_ready(&d->containers))
		set_status(s, SERVICE_PASSING, output_ready);
	else
		set_status(s, SERVICE_CRITICAL, output_not_ready);
}

static bool
parse_port(struct arena *a, const char *text, uint16_t *port)
{
	const char *digits = list_first(a, text);
	unsigned long v;

	if (digits == NULL || strchr(text, ',') != NULL ||
	    digits[strspn(digits, "0123456789")] != '\0' || strlen(digits) > 5)
		return false;
	v = strtoul(digits, NULL, 10);
	*port = (uint16_t)v;
	return v >= 1 && v <= PORT_MAX;
}

static bool
derive_port(struct derivation *d, struct service *s)
{
	struct annotation an = annotation_for(&d->an, "service-port", s->name);

	s->port = d->containers.first_port;
	if (an.value != NULL && !parse_port(&d->arena, an.value, &s->port)) {
		annotation_notice(&d->notices, &an, an.value,
		    "not a port (1-%d); service \"%.128s\" left out", PORT_MAX,
		    s->name);
		return false;
	}
	if (s->port == 0)
		notice(&d->notices,
		    "no service-port and no containerPort; "
		    "service \"%.128s\" left out",
		    s->name);
	return s->port != 0;
}

static bool
has_tag(const struct service *s, const char *tag)
{
	for (size_t i = 0; i < s->ntags; i++) {
		if (strcmp(s->tags[i], tag) == 0)
			return true;
	}
	return false;
}

/* NULL, or why a tag can't be one. */
static const char *
tag_fault(const struct service *s, const char *tag)
{
	if (has_control(tag))
		return "a control character in it; this tag left out";
	if (strlen(tag) > LIMIT_TAG)
		return "longer than 255 bytes; this tag left out";
	if (s->ntags == LIMIT_TAGS)
		return "more than 64 tags; this one left out";
	return NULL;
}

static void
derive_tags(struct derivation *d, struct service *s)
{
	struct annotation an = annotation_for(&d->an, "service-tags", s->name);
	const char *rest = an.value != NULL ? an.value : "", *tag, *fault;

	while ((tag = list_next(&d->arena, &rest)) != NULL) {
		if (has_tag(s, tag))
			continue;
		if ((fault = tag_fault(s, tag)) != NULL)
			annotation_notice(&d->notices, &an, tag, "%s", fault);
		else
			s->tags[s->ntags++] = tag;
	}
}

/* Meta. */

/* By these Consul's users, and we, tell whose a service is. */
static const char *const own_meta[] = {
	"external-k8s-link",
	"external-k8s-namespace",
	"external-k8s-pod",
	"external-source",
	"external-sync-source",
};

static bool
is_own_meta(const char *key)
{
	for (size_t i = 0; i < sizeof(own_meta) / sizeof(*own_meta); i++) {
		if (strcmp(key, own_meta[i]) == 0)
			return true;
	}
	return false;
}

/* NULL, or why a pair can't be meta: Consul would refuse the service. */
static const char *
meta_fault(const struct service_meta *m)
{
	size_t len = strspn(m->key,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_");

	if (len == 0 || m->key[len] != '\0')
		return "not KEY:VALUE with a key of A-Z a-z 0-9 - _";
	if (len > LIMIT_META_KEY)
		return "its key is longer than 128 bytes";
	if (strncmp(m->key, "consul-", 7) == 0)
		return "its key is Consul's own";
	if (is_own_meta(m->key))
		return "its key is katalogd's own";
	if (strlen(m->val) > LIMIT_META_VALUE)
		return "its value is longer than 512 bytes";
	return NULL;
}

static struct service_meta *
find_meta(struct service *s, const char *key)
{
	for (size_t i = 0; i < s->nmeta; i++) {
		if (strcmp(s->meta[i].key, key) == 0)
			return &s->meta[i];
	}
	return NULL;
}

/* "k:v", each without white space around it; no colon: no pair. */
static struct service_meta
split_pair(struct arena *a, const char *pair)
{
	struct service_meta m = { "", "" };
	size_t len = strcspn(pair, ":");
	const char *key, *val;

	if (pair[len] == '\0')
		return m;
	key = list_first(a, arena_strndup(a, pair, len));
	val = list_first(a, pair + len + 1);
	return (struct service_meta){
		.key = key != NULL ? key : "",
		.val = val != NULL ? val : "",
	};
}

/* What is given twice: the last one counts, as it did in the original. */
static void
take_meta(struct derivation *d, struct service *s, const struct annotation *an,
    const char *pair)
{
	struct service_meta m = split_pair(&d->arena, pair), *there;
	const char *fault = meta_fault(&m);

	there = find_meta(s, m.key);
	if (fault == NULL && there == NULL && s->nmeta == LIMIT_META)
		fault = "more than 64 pairs";
	if (fault != NULL)
		annotation_notice(&d->notices, an, pair,
		    "%s; this pair left out", fault);
	else if (there != NULL)
		*there = m;
	else
		s->meta[s->nmeta++] = m;
}

static int
by_key(const void *a, const void *b)
{
	const struct service_meta *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void
add_meta(struct service *s, const char *key, const char *val)
{
	s->meta[s->nmeta++] = (struct service_meta){ key, val };
}

static void
derive_meta(struct derivation *d, struct service *s)
{
	struct annotation an = annotation_for(&d->an, "service-meta", s->name);
	const char *rest = an.value != NULL ? an.value : "", *pair;

	add_meta(s, "external-source", "kubernetes");
	add_meta(s, "external-sync-source", "katalog-sync");
	add_meta(s, "external-k8s-link", d->notices.pod);
	add_meta(s, "external-k8s-namespace", d->pod->namespace);
	add_meta(s, "external-k8s-pod", d->pod->name);
	while ((pair = list_next(&d->arena, &rest)) != NULL)
		take_meta(d, s, &an, pair);
	qsort(s->meta, s->nmeta, sizeof(*s->meta), by_key);
}

static void
derive_fields(struct derivation *d, struct service *s)
{
	s->id = arena_printf(&d->arena, "katalog-sync_%s_%s_%s", s->name,
	    d->pod->namespace, d->pod->name);
	s->namespace = d->pod->namespace;
	s->pod = d->pod->name;
	s->pod_uid = d->pod->uid;
	s->address = d->address;
	s->lan_ipv4 = d->lan_ipv4;
	s->lan_ipv6 = d->lan_ipv6;
	s->notes = d->notes;
	s->ttl_ms = d->ttl_ms;
}

static void
keep_service(struct derivation *d, const struct service *s)
{
	struct pod *pod = d->pod;
	struct pod_service *to = &pod->services[pod->nservices];
	uint8_t *buf = xmalloc(LIMIT_SET_VALUE);
	size_t len = service_encode(s, buf, LIMIT_SET_VALUE);

	if (len == 0) {
		notice(&d->notices,
		    "too many tags and meta; service \"%.128s\" left out",
		    s->name);
	} else {
		to->id = xstrdup(s->id);
		to->value = xmemdup(buf, len);
		to->len = len;
		pod->nservices++;
	}
	free(buf);
}

/* NULL, or why a service can't have this name. */
static const char *
name_fault(const char *name)
{
	if (has_control(name))
		return "a control character in it";
	/* The check's ID stands in paths of Consul's API. */
	if (strchr(name, '/') != NULL)
		return "a slash in it";
	if (strlen(name) > LIMIT_SERVICE_NAME)
		return "longer than 255 bytes";
	return NULL;
}

static void
derive_service(struct derivation *d, const struct annotation *an,
    const char *name)
{
	struct service s = { .name = name };
	const char *fault = name_fault(name);

	if (fault != NULL) {
		annotation_notice(&d->notices, an, name,
		    "%s; this service left out", fault);
		return;
	}
	if (!derive_port(d, &s))
		return;
	derive_tags(d, &s);
	derive_meta(d, &s);
	derive_status(d, &s);
	derive_fields(d, &s);
	keep_service(d, &s);
}

static bool
seen_before(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static void
derive_services(struct derivation *d)
{
	struct annotation an = annotation(&d->an, "service-names");
	const char *rest = an.value != NULL ? an.value : "", *name;
	const char *names[LIMIT_SERVICES_PER_POD];
	size_t n = 0;

	d->pod->services =
	    xcalloc(LIMIT_SERVICES_PER_POD, sizeof(*d->pod->services));
	while ((name = list_next(&d->arena, &rest)) != NULL) {
		if (seen_before(names, n, name))
			continue;
		if (n == LIMIT_SERVICES_PER_POD) {
			annotation_notice(&d->notices, &an, name,
			    "more than %d services; this and those behind it "
			    "left out",
			    LIMIT_SERVICES_PER_POD);
			return;
		}
		names[n++] = name;
		derive_service(d, &an, name);
	}
}

static void
derive_ours(struct derivation *d)
{
	read_times(d);
	if (!d->running)
		return;
	if (d->address == NULL) {
		notice(&d->notices,
		    "it has no address yet; its services wait for one");
		return;
	}
	exclude_containers(d);
	read_sidecar(d);
	make_notes(d);
	derive_services(d);
}

static bool
read_pod(struct derivation *d, json_object *tree)
{
	if (!read_identity(d, tree) || !read_phase(d) || !read_addresses(d) ||
	    !containers_read(&d->containers, d->spec, d->status, d->r))
		return false;
	d->an.all = field_object(d->metadata, "annotations", d->r);
	if (refused(d->r) || !annotations_check(d->an.all, d->r))
		return false;
	d->pod->ours = annotation_there(&d->an, "service-names");
	if (d->pod->ours)
		derive_ours(d);
	return true;
}

static struct pod *
derive(json_object *tree, const struct pod_conf *conf, struct refusal *r)
{
	struct derivation d = {
		.conf = conf,
		.r = r,
		.pod = xcalloc(1, sizeof(struct pod)),
	};
	bool ok;

	d.an.arena = &d.arena;
	d.an.notices = &d.notices;
	ok = read_pod(&d, tree);
	d.pod->notices = d.notices.lines;
	d.pod->nnotices = d.notices.n;
	containers_free(&d.containers);
	arena_free(&d.arena);
	if (ok)
		return d.pod;
	pod_free(d.pod);
	return NULL;
}

struct pod *
pod_parse(const char *bytes, size_t len, uint32_t members,
    const struct pod_conf *conf, struct refusal *r)
{
	json_object *tree = pod_tree(bytes, len, members, r);
	struct pod *pod;

	if (tree == NULL)
		return NULL;
	pod = derive(tree, conf, r);
	json_object_put(tree);
	return pod;
}

void
pod_free(struct pod *pod)
{
	if (pod == NULL)
		return;
	for (size_t i = 0; i < pod->nservices; i++) {
		free(pod->services[i].id);
		free(pod->services[i].value);
	}
	for (size_t i = 0; i < pod->nnotices; i++)
		free(pod->notices[i]);
	free(pod->services);
	free(pod->notices);
	free(pod->namespace);
	free(pod->name);
	free(pod->uid);
	free(pod->node);
	free(pod);
}
