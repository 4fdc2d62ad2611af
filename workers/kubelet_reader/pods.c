#include "workers/kubelet_reader/pods.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/limits.h"
#include "common/log.h"
#include "workers/fields.h"
#include "workers/kubelet_reader/derivation.h"
#include "workers/tree.h"

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
	d->pod->lasting = d->running && !d->ending;
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

/*
 * One of podIPs. Services have the first of each family, where it is not the
 * pod's main address.
 */
static bool
take_address(struct derivation *d, const char *ip)
{
	int fam = family(ip);

	if (fam == 0)
		return refuse(d->r, "in its \"podIPs\" is no address");
	item_add_address(d->item.addresses, &d->item.naddresses, ip);
	if (d->address == NULL || fam == family(d->address))
		return true;
	if (fam == AF_INET && d->lan_ipv4 == NULL)
		d->lan_ipv4 = ip;
	if (fam == AF_INET6 && d->lan_ipv6 == NULL)
		d->lan_ipv6 = ip;
	return true;
}

static bool
take_node_address(struct derivation *d, const char *ip)
{
	if (family(ip) == 0)
		return refuse(d->r, "in its \"hostIPs\" is no address");
	item_add_address(d->item.node_addresses, &d->item.nnode_addresses, ip);
	return true;
}

/* A list of objects with an "ip". */
static bool
read_ips(struct derivation *d, const char *name,
    bool (*take)(struct derivation *d, const char *ip))
{
	json_object *ips = field_array(d->status, name, d->r);

	for (size_t i = 0; i < field_count(ips); i++) {
		json_object *o = field_element(ips, i, name, d->r);
		const char *ip = field_text(o, "ip", d->r);

		if (refused(d->r) || (ip != NULL && !take(d, ip)))
			return false;
	}
	return !refused(d->r);
}

/* *ip is NULL if there is none; an empty one is none. */
static bool
read_ip(struct derivation *d, const char *name, const char **ip)
{
	*ip = field_text(d->status, name, d->r);
	if (*ip != NULL && **ip == '\0')
		*ip = NULL;
	if (*ip != NULL && family(*ip) == 0)
		return refuse(d->r, "its \"%s\" is no address", name);
	return !refused(d->r);
}

static bool
read_addresses(struct derivation *d)
{
	struct pod_item *item = &d->item;
	const char *host;

	if (!read_ip(d, "podIP", &d->address) || !read_ip(d, "hostIP", &host))
		return false;
	item_add_address(item->addresses, &item->naddresses, d->address);
	item_add_address(item->node_addresses, &item->nnode_addresses, host);
	return read_ips(d, "podIPs", take_address) &&
	    read_ips(d, "hostIPs", take_node_address);
}

/* Annotations of the whole pod. */

static uint64_t
read_duration(struct derivation *d, const char *name, uint64_t otherwise)
{
	struct annotation an = annotation(&d->an, name);
	char text[DURATION_TEXT];
	uint64_t ms;

	if (an.value == NULL || an.unusable)
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
	struct list list = list_of(&an);
	const char *name;

	while ((name = list_next(&d->an, &list)) != NULL) {
		struct container *c = containers_find(&d->containers, name);

		if (c != NULL)
			c->excluded = true;
		else
			annotation_notice(&d->notices, &an, name,
			    "the pod has no such container; ignored");
	}
}

/* In place of what no container can be called. */
static const char no_container[] = "?";

static void
read_sidecar(struct derivation *d)
{
	struct annotation an = annotation(&d->an, "sidecar");
	const char *name = an.value != NULL ? word(&d->arena, an.value) : "";
	struct container *c;

	if (*name == '\0' && !an.unusable)
		return;
	if ((c = containers_find(&d->containers, name)) != NULL) {
		c->excluded = true;
		d->item.sidecar = c->name;
		d->item.sidecar_ready = c->ready;
		return;
	}
	d->item.sidecar = is_dns_label(name) ? name : no_container;
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

static void
derive_ours(struct derivation *d)
{
	read_times(d);
	exclude_containers(d);
	read_sidecar(d);
	if (!d->running)
		return;
	if (d->address == NULL) {
		notice(&d->notices,
		    "it has no address yet; its services wait for one");
		return;
	}
	make_notes(d);
	services_derive(d);
}

/* The kubelet adds where it has a pod from: api, file or http. */
static bool
is_from_api(struct derivation *d)
{
	const char *source =
	    field_text(d->an.all, "kubernetes.io/config.source", d->r);

	return source != NULL && strcmp(source, "api") == 0;
}

static bool
read_pod(struct derivation *d, json_object *tree)
{
	if (!read_identity(d, tree) || !read_phase(d) || !read_addresses(d) ||
	    !item_read(d) ||
	    !containers_read(&d->containers, d->spec, d->status, d->r))
		return false;
	d->an.all = field_object(d->metadata, "annotations", d->r);
	if (refused(d->r) || !annotations_check(d->an.all, d->r))
		return false;
	d->pod->from_api = is_from_api(d);
	d->pod->ours = annotation_there(&d->an, "service-names");
	if (d->pod->ours)
		derive_ours(d);
	item_derive(d);
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

	d.item.sidecar = "";
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

/* ---- what is read ---- */

static const struct excerpt_member in_port[] = { { "containerPort", NULL },
	EXCERPT_END };
static const struct excerpt_member in_container[] = { { "name", NULL },
	{ "ports", in_port }, EXCERPT_END };
static const struct excerpt_member in_init_container[] = { { "name", NULL },
	{ "restartPolicy", NULL }, EXCERPT_END };
static const struct excerpt_member in_gate[] = { { "conditionType", NULL },
	EXCERPT_END };
static const struct excerpt_member in_address[] = { { "ip", NULL },
	EXCERPT_END };
static const struct excerpt_member in_condition[] = { { "type", NULL },
	{ "status", NULL }, EXCERPT_END };
static const struct excerpt_member in_container_status[] = { { "name", NULL },
	{ "ready", NULL }, EXCERPT_END };

static const struct excerpt_member in_metadata[] = { { "name", NULL },
	{ "namespace", NULL }, { "uid", NULL }, { "deletionTimestamp", NULL },
	{ "annotations", NULL }, EXCERPT_END };
static const struct excerpt_member in_spec[] = { { "nodeName", NULL },
	{ "hostNetwork", NULL }, { "readinessGates", in_gate },
	{ "containers", in_container }, { "initContainers", in_init_container },
	EXCERPT_END };
static const struct excerpt_member in_status[] = { { "phase", NULL },
	{ "podIP", NULL }, { "hostIP", NULL }, { "podIPs", in_address },
	{ "hostIPs", in_address }, { "conditions", in_condition },
	{ "containerStatuses", in_container_status },
	{ "initContainerStatuses", in_container_status }, EXCERPT_END };

static const struct excerpt_member in_pod[] = { { "metadata", in_metadata },
	{ "spec", in_spec }, { "status", in_status }, EXCERPT_END };

const struct excerpt_conf pod_excerpt = { in_pod, true };

/* Strict in what is read: no NUL in a name, and no depth. */
static json_object *
parse(const char *bytes, size_t len, struct refusal *r)
{
	char *text = xmalloc(len);
	size_t n = excerpt(&pod_excerpt, bytes, len, text);
	json_object *tree = tree_parse(text, n, LIMIT_JSON_DEPTH - 2, r);

	free(text);
	return tree;
}

struct pod *
pod_parse(const char *bytes, size_t len, const struct pod_conf *conf,
    struct refusal *r)
{
	json_object *tree = parse(bytes, len, r);
	struct pod *pod;

	if (tree == NULL)
		return NULL;
	pod = derive(tree, conf, r);
	json_object_put(tree);
	return pod;
}

struct pod_entry
entry_make(const void *key, size_t key_len, const void *value, size_t len)
{
	struct pod_entry e = {
		.key = xmalloc(key_len + 1),
		.key_len = key_len,
		.value = xmemdup(value, len),
		.len = len,
	};

	memcpy(e.key, key, key_len);
	e.key[key_len] = '\0';
	return e;
}

static void
entry_clear(struct pod_entry *e)
{
	free(e->key);
	free(e->value);
}

void
pod_free(struct pod *pod)
{
	if (pod == NULL)
		return;
	entry_clear(&pod->item);
	for (size_t i = 0; i < pod->nservices; i++)
		entry_clear(&pod->services[i]);
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
