#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/kubelet_reader/derivation.h"

#define PORT_MAX 65535

/*
 * The outputs of the check: constant while the status is, for each change is a
 * write for Consul's servers. What is well has the one of a new check.
 */
static const char output_ready[] = "";
static const char output_not_ready[] = "pod is not ready";
static const char output_ending[] = "pod is terminating";
static const char output_fixed[] = "set by annotation";

/* Status. */

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

	if (an.value == NULL || an.unusable)
		return own;
	own.fixed =
	    service_status_parse(word(&d->arena, an.value), &own.status);
	if (!own.fixed)
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

/* The sidecar is left to consul-writer, which knows whether it registered. */
static void
derive_status(struct derivation *d, struct service *s)
{
	struct own_status own = read_health(d, s->name);

	if (d->ending)
		set_status(s, SERVICE_CRITICAL, output_ending);
	else if (own.fixed)
		set_status(s, own.status, output_fixed);
	else if (containers_ready(&d->containers))
		set_status(s, SERVICE_PASSING, output_ready);
	else
		set_status(s, SERVICE_CRITICAL, output_not_ready);
}

/* Port and tags. */

static bool
parse_port(struct arena *a, const char *text, uint16_t *port)
{
	const char *digits = word(a, text);
	unsigned long v;

	if (digits[strspn(digits, "0123456789")] != '\0' || strlen(digits) > 5)
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
tag_fault(const char *tag)
{
	if (has_control(tag))
		return "a control character in it; this tag left out";
	if (strlen(tag) > LIMIT_TAG)
		return "longer than 255 bytes; this tag left out";
	return NULL;
}

/* False: there are enough. */
static bool
take_tag(struct derivation *d, struct service *s, const struct annotation *an,
    const char *tag)
{
	const char *fault = tag_fault(tag);

	if (fault != NULL) {
		annotation_notice(&d->notices, an, tag, "%s", fault);
		return true;
	}
	if (s->ntags == LIMIT_TAGS) {
		annotation_notice(&d->notices, an, tag,
		    "more than %d tags; this and those behind it left out",
		    LIMIT_TAGS);
		return false;
	}
	s->tags[s->ntags++] = tag;
	return true;
}

static void
derive_tags(struct derivation *d, struct service *s)
{
	struct annotation an = annotation_for(&d->an, "service-tags", s->name);
	struct list list = list_of(&an);
	const char *tag;

	while ((tag = list_next(&d->an, &list)) != NULL) {
		if (!has_tag(s, tag) && !take_tag(d, s, &an, tag))
			break;
	}
}

/* Meta. */

/* By these Consul's users, and we, tell whose a service is. */
static const char *const own_meta[] = {
	"external-k8s-link",
	"external-k8s-namespace",
	"external-k8s-pod",
	"external-source",
	SERVICE_MARK_KEY,
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

	if (pair[len] == '\0')
		return m;
	m.key = word(a, arena_strndup(a, pair, len));
	m.val = word(a, pair + len + 1);
	return m;
}

/* What is given twice: the last one counts, as it did in the original. */
static bool
set_meta(struct service *s, const struct service_meta *m)
{
	struct service_meta *there = find_meta(s, m->key);

	if (there == NULL && s->nmeta == LIMIT_META)
		return false;
	*(there != NULL ? there : &s->meta[s->nmeta++]) = *m;
	return true;
}

/* False: there are enough. */
static bool
take_meta(struct derivation *d, struct service *s, const struct annotation *an,
    const char *pair)
{
	struct service_meta m = split_pair(&d->arena, pair);
	const char *fault = meta_fault(&m);

	if (fault != NULL) {
		annotation_notice(&d->notices, an, pair,
		    "%s; this pair left out", fault);
		return true;
	}
	if (set_meta(s, &m))
		return true;
	annotation_notice(&d->notices, an, pair,
	    "more than %d pairs, %zu of them katalogd's own; this and those "
	    "behind it left out",
	    LIMIT_META, sizeof(own_meta) / sizeof(*own_meta));
	return false;
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
	struct list list = list_of(&an);
	const char *pair;

	add_meta(s, "external-source", "kubernetes");
	add_meta(s, SERVICE_MARK_KEY, SERVICE_MARK);
	add_meta(s, "external-k8s-link", d->notices.pod);
	add_meta(s, "external-k8s-namespace", d->pod->namespace);
	add_meta(s, "external-k8s-pod", d->pod->name);
	while ((pair = list_next(&d->an, &list)) != NULL &&
	    take_meta(d, s, &an, pair))
		;
	qsort(s->meta, s->nmeta, sizeof(*s->meta), by_key);
}

/* One service, and all. */

static void
derive_fields(struct derivation *d, struct service *s)
{
	s->id = arena_printf(&d->arena, SERVICE_ID_FORMAT, s->name,
	    d->pod->namespace, d->pod->name);
	s->namespace = d->pod->namespace;
	s->pod = d->pod->name;
	s->pod_uid = d->pod->uid;
	s->address = d->address;
	s->lan_ipv4 = d->lan_ipv4;
	s->lan_ipv6 = d->lan_ipv6;
	s->notes = d->notes;
	s->ttl_ms = d->ttl_ms;
	s->sidecar = *d->item.sidecar != '\0';
}

/* How much longer a text is in Consul's JSON, which writes "<" as "\u003c". */
static size_t
escapes(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < 0x20 || strchr("<>&", *s) != NULL)
			n += strlen("\\u003c") - 1;
		else if (*s == '"' || *s == '\\')
			n++;
	}
	return n;
}

static size_t
all_escapes(const struct service *s)
{
	size_t n = escapes(s->id) + escapes(s->name) + escapes(s->notes);

	for (size_t i = 0; i < s->ntags; i++)
		n += escapes(s->tags[i]);
	for (size_t i = 0; i < s->nmeta; i++)
		n += escapes(s->meta[i].val);
	return n;
}

/* True if there is room for it beside the pod's other services. */
static bool
has_room(struct derivation *d, const struct service *s, size_t encoded)
{
	size_t len = encoded + all_escapes(s);

	if (len > LIMIT_POD_SERVICES - d->services_len)
		return false;
	d->services_len += len;
	return true;
}

static void
keep_service(struct derivation *d, const struct service *s)
{
	struct pod *pod = d->pod;
	uint8_t *buf = xmalloc(LIMIT_SET_VALUE);
	size_t len = service_encode(s, buf, LIMIT_SET_VALUE);

	if (len == 0)
		notice(&d->notices,
		    "too many tags and meta; service \"%.128s\" left out",
		    s->name);
	else if (!has_room(d, s, len))
		notice(&d->notices,
		    "its services take more than %d kB; service \"%.128s\" "
		    "left out",
		    LIMIT_POD_SERVICES / 1024, s->name);
	else
		pod->services[pod->nservices++] =
		    entry_make(s->id, strlen(s->id), buf, len);
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

struct names {
	const char *list[LIMIT_SERVICES_PER_POD];
	size_t n;
};

/*
 * NULL, or the one before it whose IDs are the same in Consul's catalog, which
 * has them in lower case; its agents have not.
 */
static const char *
namesake(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcasecmp(names->list[i], name) == 0)
			return names->list[i];
	}
	return NULL;
}

/* True if it is another service than those before it. */
static bool
is_another(struct derivation *d, const struct names *names,
    const struct annotation *an, const char *name)
{
	const char *other = namesake(names, name);

	if (other != NULL && strcmp(other, name) != 0)
		annotation_notice(&d->notices, an, name,
		    "to Consul the same as \"%.128s\"; this service left out",
		    other);
	return other == NULL;
}

static void
derive_named(struct derivation *d, struct names *names,
    const struct annotation *an, const char *name)
{
	const struct arena_block *before = d->arena.blocks;

	names->list[names->n++] = name;
	derive_service(d, an, name);
	arena_release(&d->arena, before);
}

void
services_derive(struct derivation *d)
{
	struct annotation an = annotation(&d->an, "service-names");
	struct list list = list_of(&an);
	struct names names = { .n = 0 };
	const char *name;

	d->pod->services =
	    xcalloc(LIMIT_SERVICES_PER_POD, sizeof(*d->pod->services));
	while ((name = list_next(&d->an, &list)) != NULL) {
		if (!is_another(d, &names, &an, name))
			continue;
		if (names.n == LIMIT_SERVICES_PER_POD) {
			annotation_notice(&d->notices, &an, name,
			    "more than %d services; this and those behind it "
			    "left out",
			    LIMIT_SERVICES_PER_POD);
			return;
		}
		derive_named(d, &names, &an, name);
	}
}
