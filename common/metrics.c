#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

#include "common/metrics.h"
#include "common/proto.h"

const double metric_buckets[METRIC_BUCKETS] = { 0.0005, 0.001, 0.0025, 0.005,
	0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10 };

#define READER           ROLE_KUBELET_READER
#define WRITER           ROLE_CONSUL_WRITER
#define ERR_READER(kind) "worker=\"kubelet-reader\",kind=\"" kind "\""
#define ERR_WRITER(kind) "worker=\"consul-writer\",kind=\"" kind "\""

static const char kubelet_count[] = "katalog_sync_kubelet_sync_count_total";
static const char kubelet_time[] = "katalog_sync_kubelet_sync_duration_seconds";
static const char consul_count[] = "katalog_sync_consul_sync_count_total";
static const char consul_time[] = "katalog_sync_consul_sync_duration_seconds";
static const char errors[] = "katalogd_errors_total";
static const char services[] = "katalogd_services";
static const char requests[] = "katalogd_consul_requests_total";

static const char errors_help[] = "What went wrong, by worker and kind.";
static const char requests_help[] = "Requests to the Consul agent.";
static const char services_help[] =
    "Services that ought to be at the agent, and that are.";

#define FOLLOWER ROLE_CONSUL_READER

static const char follower_errors[] = "katalogd_consul_reader_errors_total";
static const char follower_requests[] = "katalogd_consul_reader_requests_total";
static const char left_out[] = "katalogd_consul_reader_left_out";

#define CLUSTER ROLE_K8S_WRITER

static const char reconciles[] = "consul_sync_reconcile_total";
static const char cluster_errors[] = "katalogd_k8s_errors_total";
static const char cluster_requests[] = "katalogd_k8s_requests_total";
static const char readiness_gates[] = "katalogd_readiness_gates";
static const char cluster_objects[] = "katalogd_k8s_objects";

#define SERVER ROLE_HTTP

static const char sidecar_connections[] = "katalogd_sidecar_connections_total";
static const char sidecar_ended[] = "katalogd_sidecar_calls_ended_total";

#define ENDED(n, code, help) \
	[M_SIDECAR_ENDED + (n)] = { sidecar_ended, "code=\"" code "\"", help, \
		METRIC_COUNTER, SERVER }

static const struct metric_def table[METRIC_MAX] = {
	[M_KUBELET_SYNC_OK] = { kubelet_count, "status=\"success\"",
	    "Reads of the pod list.", METRIC_COUNTER, READER },
	[M_KUBELET_SYNC_ERR] = { kubelet_count, "status=\"error\"", NULL,
	    METRIC_COUNTER, READER },
	[M_CONSUL_SYNC_OK] = { consul_count, "status=\"success\"",
	    "Passes that made the agent match.", METRIC_COUNTER, WRITER },
	[M_CONSUL_SYNC_ERR] = { consul_count, "status=\"error\"", NULL,
	    METRIC_COUNTER, WRITER },
	[M_KUBELET_SYNC_S_OK] = { kubelet_time, "status=\"success\"",
	    "Time of a read of the pod list.", METRIC_SUMMARY, READER },
	[M_KUBELET_SYNC_S_ERR] = { kubelet_time, "status=\"error\"", NULL,
	    METRIC_SUMMARY, READER },
	[M_CONSUL_SYNC_S_OK] = { consul_time, "status=\"success\"",
	    "Time of a pass that made the agent match.", METRIC_SUMMARY,
	    WRITER },
	[M_CONSUL_SYNC_S_ERR] = { consul_time, "status=\"error\"", NULL,
	    METRIC_SUMMARY, WRITER },
	[M_PODS] = { "katalogd_pods", NULL, "Pods in the last good list.",
	    METRIC_GAUGE, READER },
	[M_PODS_OURS] = { "katalogd_pods_annotated", NULL,
	    "Pods of it that name services.", METRIC_GAUGE, READER },
	[M_PODS_PARSED] = { "katalogd_pods_parsed_total", NULL,
	    "Pods that were parsed because their bytes had changed.",
	    METRIC_COUNTER, READER },
	[M_PODS_SKIPPED] = { "katalogd_pods_skipped_total", NULL,
	    "Pods that were not parsed because their bytes were the same.",
	    METRIC_COUNTER, READER },
	[M_KUBELET_BYTES] = { "katalogd_kubelet_bytes_total", NULL,
	    "Bytes of the kubelet's answers.", METRIC_COUNTER, READER },
	[M_KUBELET_LATENCY] = { "katalogd_kubelet_request_seconds", NULL,
	    "Time of a request to the kubelet.", METRIC_HISTOGRAM, READER },
	[M_ERR_KUBELET_CONNECT] = { errors, ERR_READER("connect"), errors_help,
	    METRIC_COUNTER, READER },
	[M_ERR_KUBELET_HTTP] = { errors, ERR_READER("http"), NULL,
	    METRIC_COUNTER, READER },
	[M_ERR_KUBELET_BODY] = { errors, ERR_READER("body"), NULL,
	    METRIC_COUNTER, READER },
	[M_ERR_KUBELET_NODE] = { errors, ERR_READER("node"), NULL,
	    METRIC_COUNTER, READER },
	[M_ERR_KUBELET_GUARD] = { errors, ERR_READER("guard"), NULL,
	    METRIC_COUNTER, READER },
	[M_ERR_ANNOTATION] = { errors, ERR_READER("annotation"), NULL,
	    METRIC_COUNTER, READER },
	[M_ERR_CONSUL_CONNECT] = { errors, ERR_WRITER("connect"), NULL,
	    METRIC_COUNTER, WRITER },
	[M_ERR_CONSUL_HTTP] = { errors, ERR_WRITER("http"), NULL,
	    METRIC_COUNTER, WRITER },
	[M_ERR_CONSUL_ACL] = { errors, ERR_WRITER("acl"), NULL, METRIC_COUNTER,
	    WRITER },
	[M_ERR_CONSUL_BODY] = { errors, ERR_WRITER("body"), NULL,
	    METRIC_COUNTER, WRITER },
	[M_SERVICES_DESIRED] = { services, "state=\"desired\"", services_help,
	    METRIC_GAUGE, WRITER },
	[M_SERVICES_ACTUAL] = { services, "state=\"actual\"", NULL,
	    METRIC_GAUGE, WRITER },
	[M_CONSUL_REGISTER] = { requests, "op=\"register\"", requests_help,
	    METRIC_COUNTER, WRITER },
	[M_CONSUL_DEREGISTER] = { requests, "op=\"deregister\"", NULL,
	    METRIC_COUNTER, WRITER },
	[M_CONSUL_CHECK_UPDATE] = { requests, "op=\"check_update\"", NULL,
	    METRIC_COUNTER, WRITER },
	[M_CONSUL_CHECK_REFRESH] = { requests, "op=\"check_refresh\"", NULL,
	    METRIC_COUNTER, WRITER },
	[M_CONSUL_READ] = { requests, "op=\"read\"", NULL, METRIC_COUNTER,
	    WRITER },
	[M_CONSUL_BYTES] = { "katalogd_consul_bytes_total", NULL,
	    "Bytes of the agent's answers.", METRIC_COUNTER, WRITER },
	[M_CONSUL_LATENCY] = { "katalogd_consul_request_seconds", NULL,
	    "Time of a request to the Consul agent.", METRIC_HISTOGRAM,
	    WRITER },
	[M_READER_SERVICES] = { "consul_sync_services_total", NULL,
	    "Consul's services that Kubernetes is to have.", METRIC_GAUGE,
	    FOLLOWER },
	[M_READER_ENDPOINTS] = { "consul_sync_endpoints_total", NULL,
	    "Their instances that are ready.", METRIC_GAUGE, FOLLOWER },
	[M_READER_ERRORS] = { "consul_sync_consul_errors_total", NULL,
	    "Reads of Consul that failed.", METRIC_COUNTER, FOLLOWER },
	[M_READER_ERR_CONNECT] = { follower_errors, "kind=\"connect\"",
	    "Reads of Consul that failed, by kind.", METRIC_COUNTER, FOLLOWER },
	[M_READER_ERR_HTTP] = { follower_errors, "kind=\"http\"", NULL,
	    METRIC_COUNTER, FOLLOWER },
	[M_READER_ERR_ACL] = { follower_errors, "kind=\"acl\"", NULL,
	    METRIC_COUNTER, FOLLOWER },
	[M_READER_ERR_BODY] = { follower_errors, "kind=\"body\"", NULL,
	    METRIC_COUNTER, FOLLOWER },
	[M_READER_ERR_RESET] = { follower_errors, "kind=\"reset\"", NULL,
	    METRIC_COUNTER, FOLLOWER },
	[M_READER_LISTS] = { follower_requests, "op=\"list\"",
	    "Requests to Consul: lists, most of them blocking, and services.",
	    METRIC_COUNTER, FOLLOWER },
	[M_READER_READS] = { follower_requests, "op=\"service\"", NULL,
	    METRIC_COUNTER, FOLLOWER },
	[M_READER_UNCHANGED] = { "katalogd_consul_reader_unchanged_total", NULL,
	    "Services that were read and were as before.", METRIC_COUNTER,
	    FOLLOWER },
	[M_READER_BYTES] = { "katalogd_consul_reader_bytes_total", NULL,
	    "Bytes of Consul's answers.", METRIC_COUNTER, FOLLOWER },
	[M_READER_LATENCY] = { "katalogd_consul_reader_request_seconds", NULL,
	    "Time of a read of one service.", METRIC_HISTOGRAM, FOLLOWER },
	[M_READER_WAITING] = { "katalogd_consul_reader_waiting", NULL,
	    "Services and instances that Consul no longer shows, kept until a "
	    "second look.",
	    METRIC_GAUGE, FOLLOWER },
	[M_READER_LEFT_OUT_BAD] = { left_out, "reason=\"bad\"",
	    "Instances that are no endpoints, and services left out, by "
	    "reason.",
	    METRIC_GAUGE, FOLLOWER },
	[M_READER_LEFT_OUT_LOOP] = { left_out, "reason=\"loop\"", NULL,
	    METRIC_GAUGE, FOLLOWER },
	[M_READER_LEFT_OUT_FULL] = { left_out, "reason=\"full\"", NULL,
	    METRIC_GAUGE, FOLLOWER },
	[M_K8S_ROUTES] = { "consul_sync_httproutes_total", NULL,
	    "HTTPRoutes that Kubernetes is to have.", METRIC_GAUGE, CLUSTER },
	[M_K8S_SYNC_OK] = { reconciles, "status=\"success\"",
	    "Passes that made the cluster match.", METRIC_COUNTER, CLUSTER },
	[M_K8S_SYNC_ERR] = { reconciles, "status=\"error\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_ERRORS] = { "consul_sync_kubernetes_errors_total", NULL,
	    "Requests to Kubernetes that failed.", METRIC_COUNTER, CLUSTER },
	[M_K8S_ERR_CONNECT] = { cluster_errors, "kind=\"connect\"",
	    "Requests to Kubernetes that failed, by kind.", METRIC_COUNTER,
	    CLUSTER },
	[M_K8S_ERR_HTTP] = { cluster_errors, "kind=\"http\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_ERR_DENIED] = { cluster_errors, "kind=\"denied\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_ERR_CONFLICT] = { cluster_errors, "kind=\"conflict\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_ERR_BODY] = { cluster_errors, "kind=\"body\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_APPLY] = { cluster_requests, "op=\"apply\"",
	    "Requests to Kubernetes.", METRIC_COUNTER, CLUSTER },
	[M_K8S_REPAIR] = { cluster_requests, "op=\"repair\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_DELETE] = { cluster_requests, "op=\"delete\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_LIST] = { cluster_requests, "op=\"list\"", NULL, METRIC_COUNTER,
	    CLUSTER },
	[M_K8S_WATCH] = { cluster_requests, "op=\"watch\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_LEASE] = { cluster_requests, "op=\"lease\"", NULL,
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_GATE] = { cluster_requests, "op=\"gate\"", NULL, METRIC_COUNTER,
	    CLUSTER },
	[M_K8S_EVENTS] = { "katalogd_k8s_watch_events_total", NULL,
	    "Changes that watches told.", METRIC_COUNTER, CLUSTER },
	[M_K8S_BYTES] = { "katalogd_k8s_bytes_total", NULL,
	    "Bytes of the answers of Kubernetes, watches when they end.",
	    METRIC_COUNTER, CLUSTER },
	[M_K8S_LATENCY] = { "katalogd_k8s_request_seconds", NULL,
	    "Time of a write to Kubernetes.", METRIC_HISTOGRAM, CLUSTER },
	[M_K8S_SYNC_S] = { "katalogd_k8s_sync_seconds", NULL,
	    "Time of a pass that wrote something.", METRIC_SUMMARY, CLUSTER },
	[M_K8S_DESIRED] = { cluster_objects, "state=\"desired\"",
	    "Objects that Kubernetes is to have, that are not yet so, and "
	    "whose name somebody else's has.",
	    METRIC_GAUGE, CLUSTER },
	[M_K8S_PENDING] = { cluster_objects, "state=\"pending\"", NULL,
	    METRIC_GAUGE, CLUSTER },
	[M_K8S_FOREIGN] = { cluster_objects, "state=\"foreign\"", NULL,
	    METRIC_GAUGE, CLUSTER },
	[M_K8S_COLLISIONS] = { "katalogd_k8s_name_collisions", NULL,
	    "Services whose name another one had first.", METRIC_GAUGE,
	    CLUSTER },
	[M_K8S_LEADER] = { "katalogd_k8s_leader", NULL,
	    "1 while this copy is the one that writes.", METRIC_GAUGE,
	    CLUSTER },
	[M_GATES_TRUE] = { readiness_gates, "status=\"true\"",
	    "Readiness gates, by the status that they ought to have.",
	    METRIC_GAUGE, CLUSTER },
	[M_GATES_FALSE] = { readiness_gates, "status=\"false\"", NULL,
	    METRIC_GAUGE, CLUSTER },
	[M_GATES_PENDING] = { "katalogd_readiness_gates_pending", NULL,
	    "Readiness gates that are not yet set so.", METRIC_GAUGE, CLUSTER },
	[M_SIDECAR_CONNECTIONS] = { "katalogd_sidecar_connections", NULL,
	    "Sidecars that are connected.", METRIC_GAUGE, SERVER },
	[M_SIDECAR_ACCEPTED] = { sidecar_connections, "result=\"accepted\"",
	    "Connections of sidecars; broken were no HTTP/2.", METRIC_COUNTER,
	    SERVER },
	[M_SIDECAR_REFUSED] = { sidecar_connections, "result=\"refused\"", NULL,
	    METRIC_COUNTER, SERVER },
	[M_SIDECAR_BROKEN] = { sidecar_connections, "result=\"broken\"", NULL,
	    METRIC_COUNTER, SERVER },
	[M_SIDECAR_CALLS] = { "katalogd_sidecar_calls", NULL,
	    "Calls of sidecars that wait for their end.", METRIC_GAUGE,
	    SERVER },
	ENDED(0, "OK", "Calls of sidecars that ended, by gRPC's code."),
	ENDED(1, "CANCELLED", NULL),
	ENDED(2, "UNKNOWN", NULL),
	ENDED(3, "INVALID_ARGUMENT", NULL),
	ENDED(4, "DEADLINE_EXCEEDED", NULL),
	ENDED(5, "NOT_FOUND", NULL),
	ENDED(6, "ALREADY_EXISTS", NULL),
	ENDED(7, "PERMISSION_DENIED", NULL),
	ENDED(8, "RESOURCE_EXHAUSTED", NULL),
	ENDED(9, "FAILED_PRECONDITION", NULL),
	ENDED(10, "ABORTED", NULL),
	ENDED(11, "OUT_OF_RANGE", NULL),
	ENDED(12, "UNIMPLEMENTED", NULL),
	ENDED(13, "INTERNAL", NULL),
	ENDED(14, "UNAVAILABLE", NULL),
	ENDED(15, "DATA_LOSS", NULL),
	ENDED(16, "UNAUTHENTICATED", NULL),
};

const struct metric_def *
metric_def(enum metric m)
{
	return m < METRIC_MAX ? &table[m] : NULL;
}

void
metric_inc(struct metrics *ms, enum metric m)
{
	ms->m[m].value++;
}

void
metric_add(struct metrics *ms, enum metric m, uint64_t n)
{
	ms->m[m].value += n;
}

void
metric_set(struct metrics *ms, enum metric m, uint64_t v)
{
	ms->m[m].value = v;
}

void
metric_observe_ms(struct metrics *ms, enum metric m, uint64_t ms_taken)
{
	struct metric_value *v = &ms->m[m];
	double seconds = (double)ms_taken / 1000;
	size_t i = 0;

	v->count++;
	v->sum += seconds;
	if (table[m].type != METRIC_HISTOGRAM)
		return;
	while (i < METRIC_BUCKETS && seconds > metric_buckets[i])
		i++;
	v->buckets[i]++;
}

/*
 * A sample on the wire: metric (16 bits), then 64-bit words: the value, or
 * count, sum in microseconds, and for histograms the buckets.
 */
#define WORDS_MAX (2 + METRIC_BUCKETS + 1)

static size_t
words_of(enum metric_type type)
{
	switch (type) {
	case METRIC_COUNTER:
	case METRIC_GAUGE:
		return 1;
	case METRIC_SUMMARY:
		return 2;
	case METRIC_HISTOGRAM:
		break;
	}
	return WORDS_MAX;
}

static void
encode_one(const struct metric_value *v, enum metric m, struct tlv_writer *w)
{
	size_t n = words_of(table[m].type);
	uint64_t words[WORDS_MAX] = { v->value };
	uint8_t buf[2 + sizeof(words)];
	uint16_t id = htons((uint16_t)m);

	if (n > 1) {
		words[0] = v->count;
		words[1] = (uint64_t)(v->sum * 1e6);
		memcpy(&words[2], v->buckets, sizeof(v->buckets));
	}
	for (size_t i = 0; i < n; i++)
		words[i] = htobe64(words[i]);
	memcpy(buf, &id, sizeof(id));
	memcpy(buf + sizeof(id), words, n * sizeof(*words));
	tlv_put(w, TAG_SAMPLE, buf, sizeof(id) + n * sizeof(*words));
}

void
metrics_encode(const struct metrics *ms, enum role role, struct tlv_writer *w)
{
	for (unsigned m = 0; m < METRIC_MAX; m++) {
		if (table[m].role == role)
			encode_one(&ms->m[m], (enum metric)m, w);
	}
}

static bool
decode_one(const struct tlv_field *f, enum role role, struct metrics *ms)
{
	uint64_t words[WORDS_MAX];
	struct metric_value *v;
	uint16_t id;
	size_t n;

	if (f->tag != TAG_SAMPLE || f->len < sizeof(id))
		return false;
	memcpy(&id, f->val, sizeof(id));
	id = ntohs(id);
	if (id >= METRIC_MAX || table[id].role != role)
		return false;
	n = words_of(table[id].type);
	if (f->len != sizeof(id) + n * sizeof(*words))
		return false;
	memcpy(words, f->val + sizeof(id), n * sizeof(*words));
	for (size_t i = 0; i < n; i++)
		words[i] = be64toh(words[i]);
	v = &ms->m[id];
	if (n == 1) {
		v->value = words[0];
		return true;
	}
	v->count = words[0];
	v->sum = (double)words[1] / 1e6;
	if (n == WORDS_MAX)
		memcpy(v->buckets, &words[2], sizeof(v->buckets));
	return true;
}

bool
metrics_decode(const void *buf, size_t len, enum role role, struct metrics *ms)
{
	struct tlv_field f;
	size_t off = 0;

	while (tlv_next(buf, len, &off, &f)) {
		if (!decode_one(&f, role, ms))
			return false;
	}
	return off == len;
}
