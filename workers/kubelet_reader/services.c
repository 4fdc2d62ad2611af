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
	add_meta(s, SERVICE_MARK_KEY, SERVICE_MARK);
	add_meta(s, "external-k8s-link", d->notices.pod);
	add_meta(s, "external-k8s-namespace", d->pod->namespace);
	add_meta(s, "external-k8s-pod", d->pod->name);
	while ((pair = list_next(&d->arena, &rest)) != NULL)
		take_meta(d, s, &an, pair);
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

static void
keep_service(struct derivation *d, const struct service *s)
{
	struct pod *pod = d->pod;
	uint8_t *buf = xmalloc(LIMIT_SET_VALUE);
	size_t len = service_encode(s, buf, LIMIT_SET_VALUE);

	if (len == 0) {
		notice(&d->notices,
		    "too many tags and meta; service \"%.128s\" left out",
		    s->name);
	} else {
		pod->services[pod->nservices++] =
		    entry_make(s->id, strlen(s->id), buf, len);
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

void
services_derive(struct derivation *d)
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
