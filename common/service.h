/*
 * One desired Consul service (one instance: service x pod) as kubelet-reader
 * derives it and consul-writer registers it, and its form on the wire: the
 * value of a PUT whose key is the service's ID.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

/*
 * By these everybody tells our services in Consul: an ID of NAME, NAMESPACE
 * and POD, and a mark in the meta.
 */
#define SERVICE_ID_PREFIX "katalog-sync_"
#define SERVICE_ID_FORMAT SERVICE_ID_PREFIX "%s_%s_%s"
#define SERVICE_MARK_KEY  "external-sync-source"
#define SERVICE_MARK      "katalog-sync"

enum service_status { SERVICE_PASSING, SERVICE_WARNING, SERVICE_CRITICAL };

struct service_meta {
	const char *key;
	const char *val;
};

struct service {
	const char *id; /* katalog-sync_NAME_NAMESPACE_POD; also
					   the check's ID; <= LIMIT_SERVICE_ID */
	const char *name;
	const char *namespace;
	const char *pod;
	const char *pod_uid;
	const char *address; /* pod IP, v4 or v6 literal */
	const char *lan_ipv4; /* the other family's pod IP, or NULL */
	const char *lan_ipv6;
	const char *notes; /* JSON: container -> ready */
	const char *output; /* of the check; constant while the
					   status is */
	const char *tags[LIMIT_TAGS];
	size_t ntags;
	struct service_meta meta[LIMIT_META]; /* ours included, sorted by key */
	size_t nmeta;
	uint64_t ttl_ms;
	uint16_t port; /* 1..65535 */
	enum service_status status;
	/* It may pass only while the pod's sidecar is registered (pod.h);
	   status leaves the sidecar out. */
	bool sidecar;
};

/* "passing", "warning", "critical". */
const char *service_status_name(enum service_status st);
bool service_status_parse(const char *s, enum service_status *st);

/* Bytes written, 0 if it does not fit in cap. */
size_t service_encode(const struct service *s, void *buf, size_t cap);
/*
 * One allocation that the caller frees with free(); NULL if the bytes are
 * not a service, or its id is not the key's.
 */
struct service *service_decode(const void *key, size_t key_len, const void *val,
    size_t len);
/*
 * Has the ID that its name, namespace and pod make, and the mark: what has
 * not would be written over somebody else's.
 */
bool service_is_own(const struct service *s);

/*
 * What consul-writer tells http about one service (a set of its own, same
 * key): for /v1/status.
 */
struct service_report {
	const char *id;
	const char *name;
	const char *namespace;
	const char *pod;
	const char *desired; /* status, or "absent" */
	const char *actual; /* status in the agent, "absent",
					   "unknown" */
	const char *error; /* last one, "" if it went well since */
};

size_t service_report_encode(const struct service_report *r, void *buf,
    size_t cap);
struct service_report *service_report_decode(const void *key, size_t key_len,
    const void *val, size_t len);

#endif
