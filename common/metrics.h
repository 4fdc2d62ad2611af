/*
 * The figures that katalogd counts, one table: Prometheus name, type, help,
 * labels. Each worker counts its own in a struct metrics and answers
 * MSG_STATS_GET with MSG_STATS; http renders them. Nobody pays for figures
 * that are not looked at.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/roles.h"
#include "common/tlv.h"

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_SUMMARY,
	METRIC_HISTOGRAM
};

/* Same family: consecutive, same name, other labels. */
enum metric {
	/* katalog-sync's names */
	M_KUBELET_SYNC_OK, /* katalog_sync_kubelet_sync_count_total */
	M_KUBELET_SYNC_ERR,
	M_CONSUL_SYNC_OK, /* katalog_sync_consul_sync_count_total */
	M_CONSUL_SYNC_ERR,
	M_KUBELET_SYNC_S_OK, /* katalog_sync_kubelet_sync_duration_seconds */
	M_KUBELET_SYNC_S_ERR,
	M_CONSUL_SYNC_S_OK, /* katalog_sync_consul_sync_duration_seconds */
	M_CONSUL_SYNC_S_ERR,
	/* kubelet-reader's */
	M_PODS, /* katalogd_pods: pods in the last list */
	M_PODS_OURS, /* katalogd_pods_annotated */
	M_PODS_PARSED, /* katalogd_pods_parsed_total */
	M_PODS_SKIPPED, /* katalogd_pods_skipped_total: same bytes */
	M_KUBELET_BYTES, /* katalogd_kubelet_bytes_total */
	M_KUBELET_LATENCY, /* katalogd_kubelet_request_seconds */
	M_ERR_KUBELET_CONNECT, /* katalogd_errors_total{worker,kind} */
	M_ERR_KUBELET_HTTP, /* a status that is not 200 */
	M_ERR_KUBELET_BODY, /* not a PodList, torn, too large... */
	M_ERR_KUBELET_NODE, /* another node's pods */
	M_ERR_KUBELET_GUARD, /* a list that shrank, not yet confirmed */
	M_ERR_ANNOTATION, /* an item that was left out */
	/* consul-writer's */
	M_ERR_CONSUL_CONNECT,
	M_ERR_CONSUL_HTTP,
	M_ERR_CONSUL_ACL,
	M_ERR_CONSUL_BODY,
	M_SERVICES_DESIRED, /* katalogd_services{state=} */
	M_SERVICES_ACTUAL,
	M_CONSUL_REGISTER, /* katalogd_consul_requests_total{op=} */
	M_CONSUL_DEREGISTER,
	M_CONSUL_CHECK_UPDATE, /* a status that changed */
	M_CONSUL_CHECK_REFRESH, /* a TTL that was kept alive */
	M_CONSUL_READ,
	M_CONSUL_BYTES, /* katalogd_consul_bytes_total */
	M_CONSUL_LATENCY, /* katalogd_consul_request_seconds */
	/* consul-reader's, the first three by consul-sync's names */
	M_READER_SERVICES, /* consul_sync_services_total */
	M_READER_ENDPOINTS, /* consul_sync_endpoints_total: that are ready */
	M_READER_ERRORS, /* consul_sync_consul_errors_total */
	M_READER_ERR_CONNECT, /* katalogd_consul_reader_errors_total{kind} */
	M_READER_ERR_HTTP, /* a status that is not 200, or no leader */
	M_READER_ERR_ACL,
	M_READER_ERR_BODY,
	M_READER_ERR_RESET, /* an index that went backwards */
	M_READER_LISTS, /* katalogd_consul_reader_requests_total{op=} */
	M_READER_READS, /* of one service */
	M_READER_UNCHANGED, /* katalogd_consul_reader_unchanged_total */
	M_READER_BYTES, /* katalogd_consul_reader_bytes_total */
	M_READER_LATENCY, /* katalogd_consul_reader_request_seconds */
	M_READER_WAITING, /* katalogd_consul_reader_waiting */
	M_READER_LEFT_OUT_BAD, /* katalogd_consul_reader_left_out{reason=} */
	M_READER_LEFT_OUT_LOOP,
	M_READER_LEFT_OUT_FULL,
	/* k8s-writer's, the first four by consul-sync's names */
	M_K8S_ROUTES, /* consul_sync_httproutes_total */
	M_K8S_SYNC_OK, /* consul_sync_reconcile_total{status} */
	M_K8S_SYNC_ERR,
	M_K8S_ERRORS, /* consul_sync_kubernetes_errors_total */
	M_K8S_ERR_CONNECT, /* katalogd_k8s_errors_total{kind} */
	M_K8S_ERR_HTTP, /* a status that is not 2xx */
	M_K8S_ERR_DENIED, /* 401, 403 */
	M_K8S_ERR_CONFLICT, /* 409: it was not as it had been seen */
	M_K8S_ERR_BODY, /* an answer that could not be read */
	M_K8S_APPLY, /* katalogd_k8s_requests_total{op=} */
	M_K8S_REPAIR,
	M_K8S_DELETE,
	M_K8S_LIST,
	M_K8S_WATCH,
	M_K8S_LEASE,
	M_K8S_GATE, /* a PATCH of a pod's condition */
	M_K8S_EVENTS, /* katalogd_k8s_watch_events_total */
	M_K8S_BYTES, /* katalogd_k8s_bytes_total */
	M_K8S_LATENCY, /* katalogd_k8s_request_seconds: of a write */
	M_K8S_SYNC_S, /* katalogd_k8s_sync_seconds */
	M_K8S_DESIRED, /* katalogd_k8s_objects{state=} */
	M_K8S_PENDING, /* not yet as desired */
	M_K8S_FOREIGN, /* that somebody else has under a wanted name */
	M_K8S_COLLISIONS, /* katalogd_k8s_name_collisions */
	M_K8S_LEADER, /* katalogd_k8s_leader */
	M_GATES_TRUE, /* katalogd_readiness_gates{status=}: as wanted */
	M_GATES_FALSE,
	M_GATES_PENDING, /* katalogd_readiness_gates_pending */
	/* http's */
	M_SIDECAR_CONNECTIONS, /* katalogd_sidecar_connections: now */
	M_SIDECAR_ACCEPTED, /* katalogd_sidecar_connections_total{result=} */
	M_SIDECAR_REFUSED, /* for want of room */
	M_SIDECAR_BROKEN, /* it was no HTTP/2 */
	M_SIDECAR_CALLS, /* katalogd_sidecar_calls: that wait */
	/* katalogd_sidecar_calls_ended_total{code=}: gRPC's codes, in order */
	M_SIDECAR_ENDED,
	M_SIDECAR_ENDED_LAST = M_SIDECAR_ENDED + 16,
	METRIC_MAX
};

/* Upper bounds in seconds, the same for all; +Inf is one more. */
#define METRIC_BUCKETS 12
extern const double metric_buckets[METRIC_BUCKETS];

struct metric_def {
	const char *name;
	const char *labels; /* `status="success"`, or NULL */
	const char *help;
	enum metric_type type;
	enum role role; /* whose it is */
};

const struct metric_def *metric_def(enum metric m);

/* Zeroed at first. Counters and gauges in value; else sum and count. */
struct metric_value {
	uint64_t value;
	uint64_t count;
	double sum; /* seconds */
	uint64_t buckets[METRIC_BUCKETS + 1]; /* not cumulative */
};
struct metrics {
	struct metric_value m[METRIC_MAX];
};

void metric_inc(struct metrics *ms, enum metric m);
void metric_add(struct metrics *ms, enum metric m, uint64_t n);
void metric_set(struct metrics *ms, enum metric m, uint64_t v);
/* For summaries and histograms. */
void metric_observe_ms(struct metrics *ms, enum metric m, uint64_t ms_taken);

/* All of a role's figures as TAG_SAMPLE fields of MSG_STATS. */
void metrics_encode(const struct metrics *ms, enum role role,
    struct tlv_writer *w);
/* Into *ms, those of that role only. False if a field is nonsense. */
bool metrics_decode(const void *buf, size_t len, enum role role,
    struct metrics *ms);

#endif
