#include "workers/k8s_writer/kube_json.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/json_in.h"

/* Objects of a page; the apiserver keeps to the limit that we ask for. */
#define PAGE_MAX 10000
/* The longest resourceVersion and continue token. */
#define VERSION_MAX  256
#define CONTINUE_MAX 4096

static const char no_object[] = "an object without a name, uid or version";

/* ---- what is read ---- */

#define ALL(name) \
	{ \
		name, NULL \
	}
#define PART(name, inside) \
	{ \
		name, inside \
	}

/* Whoever makes a Service writes in managedFields whatever he likes. */
static const struct excerpt_member in_nothing[] = { EXCERPT_END };
static const struct excerpt_member in_set_spec[] = {
	PART("f:ports", in_nothing), EXCERPT_END
};
static const struct excerpt_member in_set[] = { PART("f:spec", in_set_spec),
	EXCERPT_END };
static const struct excerpt_member in_manager[] = { ALL("manager"),
	ALL("operation"), PART("fieldsV1", in_set), EXCERPT_END };

static const struct excerpt_member in_labels[] = { ALL(OBJECT_MANAGED_BY),
	ALL(OBJECT_NAME), ALL(OBJECT_INSTANCE), ALL(OBJECT_SERVICE_NAME),
	ALL(OBJECT_SLICE_MANAGED), EXCERPT_END };
static const struct excerpt_member in_annotations[] = { ALL(OBJECT_CONSUL_NAME),
	EXCERPT_END };
static const struct excerpt_member in_owner[] = { ALL("kind"), ALL("name"),
	ALL("uid"), EXCERPT_END };

/* Of objects and of lists. */
static const struct excerpt_member in_metadata[] = { ALL("name"), ALL("uid"),
	ALL("resourceVersion"), ALL("continue"), ALL("deletionTimestamp"),
	PART("labels", in_labels), PART("annotations", in_annotations),
	PART("ownerReferences", in_owner), PART("managedFields", in_manager),
	EXCERPT_END };

/* What is not known of slices and routes counts, too. */
static const struct excerpt_member in_spec[] = { ALL("type"), ALL("clusterIP"),
	ALL("selector"), ALL("ports"), EXCERPT_END };
#define OBJECT_MEMBERS \
	ALL("kind"), ALL("apiVersion"), PART("metadata", in_metadata)
/* And of the Status that an event may have instead. */
#define STATUS_MEMBERS \
	ALL("code"), ALL("reason"), ALL("message"), ALL("details")
static const struct excerpt_member in_service[] = { OBJECT_MEMBERS,
	PART("spec", in_spec), STATUS_MEMBERS, EXCERPT_END };
static const struct excerpt_member in_slice[] = { OBJECT_MEMBERS,
	ALL("addressType"), ALL("endpoints"), ALL("ports"), STATUS_MEMBERS,
	EXCERPT_END };
static const struct excerpt_member in_route[] = { OBJECT_MEMBERS, ALL("spec"),
	STATUS_MEMBERS, EXCERPT_END };
static const struct excerpt_member in_lease[] = { OBJECT_MEMBERS, ALL("spec"),
	EXCERPT_END };

static const struct excerpt_member *const in_kind[KUBE_KINDS] = {
	[KUBE_SERVICE] = in_service,
	[KUBE_SLICE] = in_slice,
	[KUBE_ROUTE] = in_route,
};

static struct json_object *
parse_list(enum kube_kind kind, const char *text, size_t len)
{
	const struct excerpt_member wanted[] = { OBJECT_MEMBERS,
		PART("items", in_kind[kind]), EXCERPT_END };

	return in_parse_some(wanted, text, len);
}

static struct json_object *
parse_event(enum kube_kind kind, const char *text, size_t len)
{
	const struct excerpt_member wanted[] = { ALL("type"),
		PART("object", in_kind[kind]), EXCERPT_END };

	return in_parse_some(wanted, text, len);
}

/* ---- ports and labels ---- */

static struct look_labels
labels_in(struct json_object *meta, bool *bad)
{
	struct json_object *o = in_object(meta, "labels", bad);

	return (struct look_labels){
		.managed_by = in_text(o, OBJECT_MANAGED_BY, bad),
		.name = in_text(o, OBJECT_NAME, bad),
		.instance = in_text(o, OBJECT_INSTANCE, bad),
		.service_name = in_text(o, OBJECT_SERVICE_NAME, bad),
		.slice_managed_by = in_text(o, OBJECT_SLICE_MANAGED, bad),
	};
}

static uint16_t
port_in(struct json_object *o, const char *key, bool *bad)
{
	return (uint16_t)in_number(o, key, 1, UINT16_MAX, bad);
}

static const char *
or_else(const char *s, const char *otherwise)
{
	return *s != '\0' ? s : otherwise;
}

/* A name or a number; not said, it is the port. */
static const char *
target_in(struct json_object *o, uint16_t port, char number[24], bool *bad)
{
	struct json_object *m;
	int64_t n = port;

	if (json_object_object_get_ex(o, "targetPort", &m) &&
	    json_object_is_type(m, json_type_string))
		return in_text(o, "targetPort", bad);
	if (m != NULL)
		n = in_number(o, "targetPort", 0, UINT16_MAX, bad);
	snprintf(number, 24, "%lld", (long long)(n == 0 ? port : n));
	return number;
}

static struct look_port
look_of_port(struct json_object *o, bool *bad)
{
	return (struct look_port){
		.name = in_text(o, "name", bad),
		.protocol = or_else(in_text(o, "protocol", bad), "TCP"),
		.app_protocol = in_text(o, "appProtocol", bad),
		.target = "",
		.port = port_in(o, "port", bad),
	};
}

/* ---- Services ---- */

static struct look
service_ports(struct json_object *spec, bool *bad)
{
	struct json_object *ports = in_array(spec, "ports", bad), *o;
	XXH3_state_t *h = look_begin();
	size_t n = in_count(ports);
	char number[24];

	look_number(h, n);
	for (size_t i = 0; i < n && (o = in_element(ports, i, bad)); i++) {
		struct look_port p = look_of_port(o, bad);

		p.target = target_in(o, p.port, number, bad);
		look_port(h, &p);
	}
	return look_end(h);
}

static bool
has_set_ports(struct json_object *manager, bool *bad)
{
	struct json_object *o = in_object(manager, "fieldsV1", bad);

	o = in_object(o, "f:spec", bad);
	return in_object(o, "f:ports", bad) != NULL;
}

static bool
is_our_apply(struct json_object *manager, bool *bad)
{
	return strcmp(in_text(manager, "manager", bad), OBJECT_MANAGER) == 0 &&
	    strcmp(in_text(manager, "operation", bad), "Apply") == 0;
}

static bool
ports_are_applied(struct json_object *meta, bool *bad)
{
	struct json_object *all = in_array(meta, "managedFields", bad), *o;
	size_t n = in_count(all);
	bool applied = false;

	for (size_t i = 0; i < n && (o = in_element(all, i, bad)); i++) {
		if (!has_set_ports(o, bad))
			continue;
		if (!is_our_apply(o, bad))
			return false;
		applied = true;
	}
	return applied;
}

static struct look
look_service(struct kube_object *out, struct json_object *o,
    const struct look_labels *labels, bool *bad)
{
	struct json_object *meta = in_object(o, "metadata", bad);
	struct json_object *notes = in_object(meta, "annotations", bad);
	struct json_object *spec = in_object(o, "spec", bad);
	struct json_object *selector = in_object(spec, "selector", bad);
	XXH3_state_t *h = look_begin();

	out->selector =
	    selector != NULL && json_object_object_length(selector) > 0;
	out->consul_name = xstrdup(
	    in_text_max(notes, OBJECT_CONSUL_NAME, LIMIT_SERVICE_NAME, bad));
	look_labels(h, labels);
	look_text(h, out->consul_name);
	look_text(h, or_else(in_text(spec, "type", bad), "ClusterIP"));
	look_text(h, in_text(spec, "clusterIP", bad));
	look_number(h, out->selector);
	out->ports = service_ports(spec, bad);
	out->ports_applied = in_count(in_array(spec, "ports", bad)) == 0 ||
	    ports_are_applied(meta, bad);
	look_look(h, &out->ports);
	return look_end(h);
}

/* ---- slices ---- */

/* Members of o that we never write. */
static unsigned
count_others(struct json_object *o, const char *const *known)
{
	unsigned n = 0;

	json_object_object_foreach(o, key, val) {
		size_t i = 0;

		while (known[i] != NULL && strcmp(known[i], key) != 0)
			i++;
		n += known[i] == NULL && val != NULL;
	}
	return n;
}

static unsigned
odd_conditions(struct json_object *o)
{
	static const char *const known[] = { "ready", NULL };

	return o == NULL ? 0 : count_others(o, known);
}

static unsigned
odd_endpoint(struct json_object *o, size_t naddresses)
{
	static const char *const known[] = { "addresses", "conditions",
		"nodeName", "zone", NULL };

	return count_others(o, known) + (naddresses != 1);
}

static void
endpoint_in(struct kube_object *out, struct json_object *o, struct look *sum,
    bool *bad)
{
	struct json_object *addresses = in_array(o, "addresses", bad);
	struct json_object *conditions = in_object(o, "conditions", bad);
	struct address *at = &out->at[out->n];
	size_t n = in_count(addresses);
	unsigned odd = odd_endpoint(o, n) + odd_conditions(conditions);
	const char *text = n > 0 ? in_text_at(addresses, 0, bad) : "";

	if (address_parse(text, at))
		out->n++;
	else
		odd++;
	look_add(sum,
	    look_endpoint(at, in_flag(conditions, "ready", bad),
		in_text(o, "nodeName", bad), in_text(o, "zone", bad), odd));
}

static int
by_address(const void *a, const void *b)
{
	return address_compare(a, b);
}

static void
unify_addresses(struct kube_object *out)
{
	size_t n = 0;

	if (out->n == 0)
		return;
	qsort(out->at, out->n, sizeof(*out->at), by_address);
	for (size_t i = 1; i < out->n; i++) {
		if (address_compare(&out->at[n], &out->at[i]) != 0)
			out->at[++n] = out->at[i];
	}
	out->n = n + 1;
}

static void
endpoints_in(struct kube_object *out, struct json_object *o, struct look *sum,
    bool *bad)
{
	struct json_object *all = in_array(o, "endpoints", bad), *e;
	size_t n = in_count(all);

	/* One more: an address that is none is looked at, too. */
	out->at = xcalloc(n + 1, sizeof(*out->at));
	for (size_t i = 0; i < n && (e = in_element(all, i, bad)); i++)
		endpoint_in(out, e, sum, bad);
	unify_addresses(out);
}

static const struct {
	const char *text;
	enum backend_family family;
} families[] = {
	{ "IPv4", BACKEND_IPV4 },
	{ "IPv6", BACKEND_IPV6 },
	{ "FQDN", BACKEND_FAMILIES },
};

static enum backend_family
family_in(const char *text, bool *bad)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
		if (strcmp(families[i].text, text) == 0)
			return families[i].family;
	}
	*bad = true;
	return BACKEND_FAMILIES;
}

static void
slice_ports(struct kube_object *out, XXH3_state_t *h, struct json_object *o,
    bool *bad)
{
	struct json_object *ports = in_array(o, "ports", bad), *e;
	size_t n = in_count(ports);

	look_number(h, n);
	for (size_t i = 0; i < n && (e = in_element(ports, i, bad)); i++) {
		struct look_port p = look_of_port(e, bad);

		look_port(h, &p);
		if (i == 0)
			out->port = p.port;
	}
}

static bool
is_our_owner(struct json_object *o, const char *service, bool *bad)
{
	return strcmp(in_text(o, "kind", bad), kube_kind_name(KUBE_SERVICE)) ==
	    0 &&
	    strcmp(in_text(o, "name", bad), service) == 0;
}

static void
owners_in(struct json_object *meta, const char *service, struct look *sum,
    bool *bad)
{
	struct json_object *all = in_array(meta, "ownerReferences", bad), *o;
	size_t n = in_count(all);

	for (size_t i = 0; i < n && (o = in_element(all, i, bad)); i++) {
		if (is_our_owner(o, service, bad))
			look_add(sum, look_owner(in_text(o, "uid", bad)));
	}
}

static struct look
look_slice(struct kube_object *out, struct json_object *o,
    const struct look_labels *labels, bool *bad)
{
	const char *type = in_text(o, "addressType", bad);
	XXH3_state_t *h = look_begin();
	struct look sum;

	out->family = family_in(type, bad);
	look_labels(h, labels);
	look_text(h, type);
	slice_ports(out, h, o, bad);
	sum = look_end(h);
	owners_in(in_object(o, "metadata", bad), labels->service_name, &sum,
	    bad);
	endpoints_in(out, o, &sum, bad);
	return sum;
}

/* ---- routes ---- */

static unsigned
look_of_parent(XXH3_state_t *h, struct json_object *o, bool *bad)
{
	static const char *const known[] = { "group", "kind", "namespace",
		"name", "sectionName", NULL };
	struct look_parent p = {
		.group =
		    or_else(in_text(o, "group", bad), OBJECT_GATEWAY_GROUP),
		.kind = or_else(in_text(o, "kind", bad), "Gateway"),
		.namespace = in_text(o, "namespace", bad),
		.name = in_text(o, "name", bad),
		.section = in_text(o, "sectionName", bad),
	};

	look_parent(h, &p);
	return count_others(o, known);
}

static unsigned
parents_in(XXH3_state_t *h, struct json_object *spec, bool *bad)
{
	struct json_object *all = in_array(spec, "parentRefs", bad), *o;
	size_t n = in_count(all);
	unsigned odd = 0;

	look_number(h, n);
	for (size_t i = 0; i < n && (o = in_element(all, i, bad)); i++)
		odd += look_of_parent(h, o, bad);
	return odd;
}

static void
hostnames_in(XXH3_state_t *h, struct json_object *spec, bool *bad)
{
	struct json_object *all = in_array(spec, "hostnames", bad);
	size_t n = in_count(all);

	look_number(h, n);
	for (size_t i = 0; i < n; i++)
		look_text(h, in_text_at(all, i, bad));
}

static bool
has_default_weight(struct json_object *o, bool *bad)
{
	struct json_object *m;

	return !json_object_object_get_ex(o, "weight", &m) || m == NULL ||
	    in_number(o, "weight", 0, INT32_MAX, bad) == 1;
}

static unsigned
look_of_backend(XXH3_state_t *h, struct json_object *o, bool *bad)
{
	static const char *const known[] = { "group", "kind", "name", "port",
		"weight", NULL };
	struct look_backend b = {
		.group = in_text(o, "group", bad),
		.kind = or_else(in_text(o, "kind", bad),
		    kube_kind_name(KUBE_SERVICE)),
		.name = in_text(o, "name", bad),
		.port = port_in(o, "port", bad),
	};

	look_backend(h, &b);
	return count_others(o, known) + !has_default_weight(o, bad);
}

/* All paths, as the API fills it in. */
static bool
is_default_match(struct json_object *matches, bool *bad)
{
	static const char *const known_match[] = { "path", NULL };
	static const char *const known_path[] = { "type", "value", NULL };
	struct json_object *match, *path;

	if (in_count(matches) == 0)
		return true;
	match = in_element(matches, 0, bad);
	path = match == NULL ? NULL : in_object(match, "path", bad);
	if (path == NULL)
		return false;
	return in_count(matches) == 1 &&
	    count_others(match, known_match) == 0 &&
	    count_others(path, known_path) == 0 &&
	    strcmp(in_text(path, "type", bad), "PathPrefix") == 0 &&
	    strcmp(in_text(path, "value", bad), "/") == 0;
}

static unsigned
look_of_rule(XXH3_state_t *h, struct json_object *rule, bool *bad)
{
	static const char *const known[] = { "backendRefs", "matches", NULL };
	struct json_object *all = in_array(rule, "backendRefs", bad), *o;
	struct json_object *matches = in_array(rule, "matches", bad);
	unsigned odd = count_others(rule, known);
	size_t n = in_count(all);

	look_number(h, n);
	for (size_t i = 0; i < n && (o = in_element(all, i, bad)); i++)
		odd += look_of_backend(h, o, bad);
	return odd + !is_default_match(matches, bad);
}

static unsigned
rules_in(XXH3_state_t *h, struct json_object *spec, bool *bad)
{
	struct json_object *all = in_array(spec, "rules", bad), *o;
	size_t n = in_count(all);
	unsigned odd = 0;

	look_number(h, n);
	for (size_t i = 0; i < n && (o = in_element(all, i, bad)); i++)
		odd += look_of_rule(h, o, bad);
	return odd;
}

static struct look
look_route(struct kube_object *out, struct json_object *o,
    const struct look_labels *labels, bool *bad)
{
	static const char *const known[] = { "parentRefs", "hostnames", "rules",
		NULL };
	struct json_object *spec = in_object(o, "spec", bad);
	XXH3_state_t *h = look_begin();
	unsigned odd;

	(void)out;
	odd = spec == NULL ? 1 : count_others(spec, known);
	look_labels(h, labels);
	odd += parents_in(h, spec, bad);
	hostnames_in(h, spec, bad);
	odd += rules_in(h, spec, bad);
	look_number(h, odd);
	return look_end(h);
}

/* ---- any object ---- */

static struct look (*const lookers[KUBE_KINDS])(struct kube_object *out,
    struct json_object *o, const struct look_labels *labels, bool *bad) = {
	[KUBE_SERVICE] = look_service,
	[KUBE_SLICE] = look_slice,
	[KUBE_ROUTE] = look_route,
};

static bool
labels_are_ours(const struct look_labels *l, const struct object_conf *conf)
{
	return strcmp(l->managed_by, OBJECT_MANAGER) == 0 &&
	    strcmp(l->instance, conf->instance) == 0;
}

/* resourceVersions are numbers in fact, in the order of the changes. */
static uint64_t
order_of(const char *version)
{
	char *end;
	unsigned long long n;

	if (*version < '0' || *version > '9')
		return 0;
	n = strtoull(version, &end, 10);
	return *end == '\0' ? n : 0;
}

static void
metadata_in(struct kube_object *out, struct json_object *meta, bool *bad)
{
	out->name = xstrdup(in_text_max(meta, "name", LIMIT_K8S_NAME, bad));
	out->uid = xstrdup(in_text_max(meta, "uid", LIMIT_K8S_UID, bad));
	out->version =
	    xstrdup(in_text_max(meta, "resourceVersion", VERSION_MAX, bad));
	out->order = order_of(out->version);
	out->leaving = *in_text(meta, "deletionTimestamp", bad) != '\0';
	if (!backend_is_subdomain(out->name) || *out->uid == '\0' ||
	    *out->version == '\0')
		*bad = true;
}

static bool
is_of_kind(struct json_object *o, enum kube_kind kind, const char *suffix,
    bool *bad)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s", kube_kind_name(kind), suffix);
	return strcmp(in_text(o, "kind", bad), name) == 0 &&
	    strcmp(in_text(o, "apiVersion", bad),
		kube_kind_api_version(kind)) == 0;
}

/* None that is wanted: those begin with labels. */
static struct look
odd_look(enum kube_kind kind)
{
	XXH3_state_t *h = look_begin();

	look_number(h, kind);
	return look_end(h);
}

static bool
object_in(const struct object_conf *conf, enum kube_kind kind,
    struct json_object *o, struct kube_object *out)
{
	struct look_labels labels;
	struct json_object *meta;
	bool bad = false, odd = false;

	*out = (struct kube_object){ .kind = kind };
	meta = in_object(o, "metadata", &bad);
	metadata_in(out, meta, &bad);
	labels = labels_in(meta, &odd);
	out->ours = labels_are_ours(&labels, conf);
	out->service =
	    xstrdup(kind == KUBE_SLICE ? labels.service_name : labels.name);
	out->look = lookers[kind](out, o, &labels, &odd);
	if (odd)
		out->look = odd_look(kind);
	if (bad)
		kube_object_clear(out);
	return !bad;
}

void
kube_object_clear(struct kube_object *o)
{
	free(o->name);
	free(o->uid);
	free(o->version);
	free(o->service);
	free(o->consul_name);
	free(o->at);
	*o = (struct kube_object){ 0 };
}

const char *
kube_service_name(const struct kube_object *o)
{
	return o->consul_name != NULL && *o->consul_name != '\0'
	    ? o->consul_name
	    : o->name;
}

const char *
kube_json_object(const struct object_conf *conf, enum kube_kind kind,
    const char *text, size_t len, struct kube_object *out)
{
	struct json_object *o = in_parse_some(in_kind[kind], text, len);
	const char *why = NULL;
	bool bad = false;

	*out = (struct kube_object){ 0 };
	if (o == NULL)
		why = "not a JSON object";
	else if (!is_of_kind(o, kind, "", &bad))
		why = "an object of another kind";
	else if (!object_in(conf, kind, o, out))
		why = no_object;
	json_object_put(o);
	return why;
}

/* ---- lists ---- */

static const char *
items_in(const struct object_conf *conf, enum kube_kind kind,
    struct json_object *items, struct kube_list *out)
{
	struct json_object *o;
	size_t n = in_count(items);
	bool bad = false;

	if (n > PAGE_MAX)
		return "too many objects";
	out->v = xcalloc(n + 1, sizeof(*out->v));
	for (size_t i = 0; i < n; i++) {
		o = in_element(items, i, &bad);
		if (o == NULL || !object_in(conf, kind, o, &out->v[i]))
			return no_object;
		out->n++;
	}
	return NULL;
}

static const char *
list_in(const struct object_conf *conf, enum kube_kind kind,
    struct json_object *o, struct kube_list *out)
{
	struct json_object *meta, *items;
	bool bad = false;

	if (!is_of_kind(o, kind, "List", &bad))
		return "an object of another kind";
	meta = in_object(o, "metadata", &bad);
	items = in_array(o, "items", &bad);
	out->version =
	    xstrdup(in_text_max(meta, "resourceVersion", VERSION_MAX, &bad));
	out->next = xstrdup(in_text_max(meta, "continue", CONTINUE_MAX, &bad));
	/* "items": null is an empty list; without it, it is none. */
	if (bad || *out->version == '\0' ||
	    !json_object_object_get_ex(o, "items", NULL))
		return "a list without version or items";
	return items_in(conf, kind, items, out);
}

const char *
kube_json_list(const struct object_conf *conf, enum kube_kind kind,
    const char *text, size_t len, struct kube_list *out)
{
	struct json_object *o = parse_list(kind, text, len);
	const char *why = "not a JSON object";

	*out = (struct kube_list){ 0 };
	if (o != NULL)
		why = list_in(conf, kind, o, out);
	json_object_put(o);
	if (why != NULL)
		kube_list_free(out);
	return why;
}

void
kube_list_free(struct kube_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		kube_object_clear(&l->v[i]);
	free(l->v);
	free(l->version);
	free(l->next);
	*l = (struct kube_list){ 0 };
}

/* ---- Status ---- */

#define RETRY_AFTER_MAX_S LIMIT_RETRY_AFTER_S

/* Never in the middle of a UTF-8 character. */
static void
clip(char *dst, const char *src, size_t cap)
{
	size_t n = strnlen(src, cap - 1);

	while (n > 0 && ((unsigned char)src[n] & 0xc0) == 0x80)
		n--;
	strlcpy(dst, src, n + 1);
}

static void
status_in(struct json_object *o, struct kube_status *out)
{
	bool bad = false;
	struct json_object *details;
	int64_t s;

	*out = (struct kube_status){ 0 };
	if (strcmp(in_text(o, "kind", &bad), "Status") != 0)
		return;
	details = in_object(o, "details", &bad);
	out->code = in_number(o, "code", 100, 999, &bad);
	clip(out->reason, in_text(o, "reason", &bad), sizeof(out->reason));
	clip(out->message, in_text(o, "message", &bad), sizeof(out->message));
	out->named = *in_text(details, "name", &bad) != '\0';
	s = in_number(details, "retryAfterSeconds", 0, INT32_MAX, &bad);
	if (s > RETRY_AFTER_MAX_S)
		s = RETRY_AFTER_MAX_S;
	out->retry_after_ms = (uint64_t)s * 1000;
}

void
kube_json_status(const char *text, size_t len, struct kube_status *out)
{
	struct json_object *o = in_parse(text, len);

	status_in(o, out);
	json_object_put(o);
}

/* ---- watch events ---- */

static const struct {
	const char *text;
	enum kube_event_type type;
} event_types[] = {
	{ "ADDED", KUBE_CHANGED },
	{ "MODIFIED", KUBE_CHANGED },
	{ "DELETED", KUBE_DELETED },
	{ "BOOKMARK", KUBE_BOOKMARK },
	{ "ERROR", KUBE_ERROR },
};

static bool
event_type_in(const char *text, enum kube_event_type *type)
{
	for (size_t i = 0; i < sizeof(event_types) / sizeof(*event_types);
	     i++) {
		if (strcmp(event_types[i].text, text) == 0) {
			*type = event_types[i].type;
			return true;
		}
	}
	return false;
}

static const char *
bookmark_in(struct json_object *o, struct kube_object *out)
{
	bool bad = false;
	struct json_object *meta = in_object(o, "metadata", &bad);
	const char *version =
	    in_text_max(meta, "resourceVersion", VERSION_MAX, &bad);

	if (bad || *version == '\0')
		return "a bookmark without a version";
	out->version = xstrdup(version);
	return NULL;
}

static const char *
event_in(const struct object_conf *conf, enum kube_kind kind,
    struct json_object *event, struct kube_event *out)
{
	bool bad = false;
	struct json_object *o = in_object(event, "object", &bad);

	if (!event_type_in(in_text(event, "type", &bad), &out->type) ||
	    o == NULL)
		return "an event without a known type or an object";
	if (out->type == KUBE_ERROR) {
		status_in(o, &out->status);
		return NULL;
	}
	if (!is_of_kind(o, kind, "", &bad))
		return "an object of another kind";
	if (out->type == KUBE_BOOKMARK)
		return bookmark_in(o, &out->object);
	if (!object_in(conf, kind, o, &out->object))
		return no_object;
	return NULL;
}

const char *
kube_json_event(const struct object_conf *conf, enum kube_kind kind,
    const char *line, size_t len, struct kube_event *out)
{
	struct json_object *o = parse_event(kind, line, len);
	const char *why = "not a JSON object";

	*out = (struct kube_event){ 0 };
	if (o != NULL)
		why = event_in(conf, kind, o, out);
	json_object_put(o);
	return why;
}

const char *
kube_json_event_type(const char *line, size_t len, enum kube_event_type *type)
{
	static const struct excerpt_member wanted[] = { ALL("type"),
		EXCERPT_END };
	struct json_object *o = in_parse_some(wanted, line, len);
	const char *why = "not a JSON object";
	bool bad = false;

	if (o != NULL && event_type_in(in_text(o, "type", &bad), type))
		why = NULL;
	else if (o != NULL)
		why = "an event without a known type";
	json_object_put(o);
	return why;
}

void
kube_event_clear(struct kube_event *e)
{
	kube_object_clear(&e->object);
}

/* ---- Leases ---- */

static void
copy_text(char dst[KUBE_TEXT], struct json_object *o, const char *key,
    bool *bad)
{
	strlcpy(dst, in_text_max(o, key, KUBE_TEXT - 1, bad), KUBE_TEXT);
}

static bool
lease_in(struct json_object *o, struct kube_lease *out)
{
	bool bad = false;
	struct json_object *meta = in_object(o, "metadata", &bad);
	struct json_object *spec = in_object(o, "spec", &bad);

	if (strcmp(in_text(o, "kind", &bad), "Lease") != 0)
		return false;
	copy_text(out->version, meta, "resourceVersion", &bad);
	copy_text(out->holder, spec, "holderIdentity", &bad);
	copy_text(out->acquired, spec, "acquireTime", &bad);
	copy_text(out->renewed, spec, "renewTime", &bad);
	out->duration_s =
	    in_number(spec, "leaseDurationSeconds", 1, INT32_MAX, &bad);
	out->transitions =
	    in_number(spec, "leaseTransitions", 0, INT32_MAX, &bad);
	return !bad && out->version[0] != '\0';
}

const char *
kube_json_lease(const char *text, size_t len, struct kube_lease *out)
{
	struct json_object *o = in_parse_some(in_lease, text, len);
	bool ok;

	*out = (struct kube_lease){ 0 };
	ok = o != NULL && lease_in(o, out);
	json_object_put(o);
	if (ok)
		return NULL;
	*out = (struct kube_lease){ 0 };
	return "not a Lease";
}
