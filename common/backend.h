/*
 * What consul-reader tells k8s-writer: the Consul services that are wanted in
 * Kubernetes and their instances, as items of one keyed set (state.h), and
 * what k8s-writer tells http about the objects that it makes of them. Pure.
 *
 * An item that decodes is one that Kubernetes can take: who makes items asks
 * the predicates below first, and leaves out what they refuse with a message
 * (rule 8); the decoder refuses the same, as a breach of the protocol.
 */
#ifndef BACKEND_H
#define BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

/*
 * Keys:
 *	s NUL SERVICE			a service
 *	i NUL SERVICE NUL NODE NUL ID	an instance of it
 * where SERVICE is Consul's name (1..LIMIT_SERVICE_NAME bytes without NUL),
 * NODE and ID name the instance in Consul; in place of a NODE and ID that
 * are too long together stand an empty NODE and their hash.
 */
enum backend_kind { BACKEND_NONE, BACKEND_SERVICE, BACKEND_INSTANCE };

/* Bytes of the key; 0: service is empty or too long. */
size_t backend_service_key(const char *service, char key[LIMIT_SET_KEY]);
size_t backend_instance_key(const char *service, const char *node,
    const char *id, char key[LIMIT_SET_KEY]);
/* BACKEND_NONE for what is no key of ours; service is "" then. */
enum backend_kind backend_key(const void *key, size_t len,
    char service[LIMIT_SERVICE_NAME + 1]);

struct backend_service {
	const char *service; /* Consul's name: the key's, not in the value */
	uint64_t create_index; /* least of its instances, 0: not known; the
				  smaller, the older */
	const char *port_name; /* "": "http"; see backend_is_label() */
	const char *app_protocol; /* "": none; see backend_is_qualified() */
	bool internal; /* wants a route by the internal gateway */
	bool external;
};

struct backend_instance {
	const char *service; /* the key's */
	const char *address; /* as backend_address() writes it */
	const char *node; /* Kubernetes' name; "": none; backend_is_subdomain()
			   */
	const char *zone; /* "": none; backend_is_label_value() */
	uint16_t port; /* 0: none */
	bool ready;
};

/* Bytes written, 0 if it does not fit in cap. */
size_t backend_service_encode(const struct backend_service *s, void *buf,
    size_t cap);
size_t backend_instance_encode(const struct backend_instance *i, void *buf,
    size_t cap);
/*
 * One allocation that the caller frees with free(); NULL if key or value are
 * not such an item.
 */
struct backend_service *backend_service_decode(const void *key, size_t key_len,
    const void *val, size_t len);
struct backend_instance *backend_instance_decode(const void *key,
    size_t key_len, const void *val, size_t len);

/* ---- what Kubernetes takes ---- */

#define BACKEND_ADDRESS 46

enum backend_family { BACKEND_IPV4, BACKEND_IPV6, BACKEND_FAMILIES };

/*
 * An IP literal in its shortest form, as EndpointSlices take it; an IPv4
 * address that is written as IPv6 (::ffff:10.0.0.1) becomes IPv4. NULL, or
 * why not (constant text), and out is "": not an IP address, or one that the
 * apiserver refuses, and the whole slice with it: unspecified, loopback,
 * link-local, link-local multicast.
 */
const char *backend_address(const char *text, char out[BACKEND_ADDRESS]);
/* Of an address that backend_address() wrote. */
enum backend_family backend_family(const char *address);

/* DNS-1123 label, 1..63: a port's name. */
bool backend_is_label(const char *s);
/* DNS-1123 subdomain, 1..253: a node's name. */
bool backend_is_subdomain(const char *s);
/* [SUBDOMAIN/]NAME, NAME as a label's value: appProtocol. */
bool backend_is_qualified(const char *s);
/* 1..63 of A-Z a-z 0-9 - _ ., letters or digits at its ends: a zone. */
bool backend_is_label_value(const char *s);

/* ---- for /v1/status ---- */

/* What k8s-writer tells http about one object (a set of its own, key id). */
struct object_report {
	const char *id; /* KIND/NAMESPACE/NAME */
	const char *kind; /* "Service", "EndpointSlice", "HTTPRoute" */
	const char *namespace;
	const char *name;
	const char *service; /* Consul's name, "" if not known */
	const char *desired; /* "present" or "absent" */
	const char *actual; /* "current", "outdated", "absent", "foreign",
			       "unknown" */
	const char *error; /* the last one, "" if it went well since */
};

size_t object_report_encode(const struct object_report *r, void *buf,
    size_t cap);
struct object_report *object_report_decode(const void *key, size_t key_len,
    const void *val, size_t len);

#endif
