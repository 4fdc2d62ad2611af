/*
 * What the apiserver answers: lists, watch events, single objects, Leases and
 * Statuses. Pure.
 *
 * An answer is taken as a whole or not at all: what is not as the API says
 * (types, UTF-8, depth, bounds) makes it unreadable. But of objects, which
 * anybody may make, only the metadata: one whose other members are not as the
 * API says (the apiserver takes a slice's port 70000) has a look that nothing
 * wanted has, and is ours or not as its labels say. Members that are not known
 * are passed over, unless they are part of what we own, and what is in them
 * costs nothing.
 */
#ifndef KUBE_JSON_H
#define KUBE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/k8s_writer/objects.h"

/* One object, as far as we need it. */
struct kube_object {
	enum kube_kind kind;
	char *name;
	char *uid;
	char *version; /* resourceVersion */
	uint64_t order; /* the same as a number, 0: it is none */
	char *service; /* whose it is by its labels: a Service's name, or "" */
	bool ours;
	bool leaving; /* has a deletionTimestamp */
	struct look look;

	/* Services */
	char *consul_name; /* by our annotation, "": as name; else NULL */
	bool selector;
	struct look ports; /* see object_ports_look() */
	bool ports_applied; /* nobody but our applies has set any of them */

	/* Slices */
	enum backend_family family; /* BACKEND_FAMILIES: names, no addresses */
	uint16_t port; /* the first one; 0: none */
	struct address *at; /* ascending, none twice */
	size_t n;
};

void kube_object_clear(struct kube_object *o);
/* A Service's name in Consul. */
const char *kube_service_name(const struct kube_object *o);

/* A page of a list. */
struct kube_list {
	struct kube_object *v;
	size_t n;
	char *version; /* of the list */
	char *next; /* for the next page; "": this was the last one */
};

/* NULL, or why not (constant text), and *out is empty. */
const char *kube_json_list(const struct object_conf *conf, enum kube_kind kind,
    const char *text, size_t len, struct kube_list *out);
void kube_list_free(struct kube_list *l);

/* One object of that kind, as writes are answered with. */
const char *kube_json_object(const struct object_conf *conf,
    enum kube_kind kind, const char *text, size_t len, struct kube_object *out);

/* A Status, or what is left of it: it is always there. */
struct kube_status {
	int64_t code; /* 0: not said */
	char reason[64];
	char message[LIMIT_TEXT]; /* "" if that was no Status */
	bool named; /* it says which object it is about */
	uint64_t retry_after_ms; /* 0: not said */
};
void kube_json_status(const char *text, size_t len, struct kube_status *out);

/* A line of a watch. */
enum kube_event_type {
	KUBE_CHANGED, /* added or modified */
	KUBE_DELETED, /* object is as it was at last */
	KUBE_BOOKMARK, /* of object, only version is there */
	KUBE_ERROR /* status */
};
struct kube_event {
	enum kube_event_type type;
	struct kube_object object;
	struct kube_status status;
};
const char *kube_json_event(const struct object_conf *conf, enum kube_kind kind,
    const char *line, size_t len, struct kube_event *out);
void kube_event_clear(struct kube_event *e);
/* Of an event of any kind nothing but its type. */
const char *kube_json_event_type(const char *line, size_t len,
    enum kube_event_type *type);

/* A Lease, with bounded copies of what is in it. */
#define KUBE_TEXT 256
struct kube_lease {
	char version[KUBE_TEXT];
	char holder[KUBE_TEXT]; /* "": nobody */
	char acquired[KUBE_TEXT]; /* RFC 3339 as it stands there */
	char renewed[KUBE_TEXT];
	int64_t duration_s; /* 0: not said */
	int64_t transitions;
};
const char *kube_json_lease(const char *text, size_t len,
    struct kube_lease *out);

#endif
