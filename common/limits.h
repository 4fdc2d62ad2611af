/*
 * Every bound of katalogd in one place. Whoever changes one says here why it
 * has that value.
 */
#ifndef LIMITS_H
#define LIMITS_H

/* One packet on a channel, header included. SOCK_SEQPACKET keeps it whole. */
#define LIMIT_PACKET 65536
/* Bytes that a channel queues before its producer must wait. */
#define LIMIT_CHANNEL_QUEUE (1024 * 1024)
/* Packets that one channel handles in a row, so that none starves others. */
#define LIMIT_CHANNEL_BURST 64
/* A LOG line, after which it is cut. */
#define LIMIT_LOG_LINE 2048
/* A HEALTH or error text. */
#define LIMIT_TEXT 512

/* A keyed set: entries, bytes of a key, bytes of an encoded value. */
#define LIMIT_SET_ENTRIES 100000
#define LIMIT_SET_KEY     700
#define LIMIT_SET_VALUE   60000

/* An option's value, and a path or URL. */
#define LIMIT_OPTION 4096
/* A blob: a token, a key, a CA bundle (Debian's has 220 kB). */
#define LIMIT_BLOB (4 * 1024 * 1024)
/* A pod list from file:///path. */
#define LIMIT_PODS_FILE (64 * 1024 * 1024)

/*
 * The kubelet's answer. A pod object is at most 1.5 MiB in etcd (the request
 * limit of the apiserver is 3 MiB), and six times that in JSON, which writes
 * "<" as "\u003c"; a node has at most a few hundred. Go writes no more than
 * 10,000 levels; what is looked at has ten.
 */
#define LIMIT_POD_LIST   (256ULL * 1024 * 1024)
#define LIMIT_POD        (16 * 1024 * 1024)
#define LIMIT_POD_DEPTH  10100
#define LIMIT_PODS       10000
#define LIMIT_JSON_DEPTH 64
/* Items of one annotation that are looked at: 64 count, and some are wrong. */
#define LIMIT_LIST_ITEMS 256

/* Kubernetes: namespace is a DNS label, pod name a DNS subdomain. */
#define LIMIT_K8S_NAMESPACE 63
#define LIMIT_K8S_NAME      253
#define LIMIT_K8S_UID       64
/* The apiserver's answers: Go writes no more than 10,000 levels. */
#define LIMIT_K8S_DEPTH 10100

/*
 * One service. Consul: at most 64 pairs of meta, keys of 128 and values of
 * 512 bytes (agent/structs). The rest is ours, so that an item fits a packet.
 */
#define LIMIT_SERVICES_PER_POD 64
/*
 * Bytes of JSON that a pod's services take in the agent's answer, all in all,
 * so that no pods' owners fill LIMIT_CONSUL_BODY: 500 pods have that much.
 */
#define LIMIT_POD_SERVICES (128 * 1024)
/* Of a list: while it takes another's place, a set holds both, and the items of
 * their pods, for a moment. */
#define LIMIT_SERVICES     (LIMIT_SET_ENTRIES / 2 - LIMIT_PODS)
#define LIMIT_SERVICE_NAME 255
#define LIMIT_SERVICE_ID   600
#define LIMIT_TAGS         64
#define LIMIT_TAG          255
#define LIMIT_META         64
#define LIMIT_META_KEY     128
#define LIMIT_META_VALUE   512
#define LIMIT_NOTES        4096
#define LIMIT_ADDRESS      64

/*
 * Consul's answer to one request. Go's decoder, and so an agent, takes 10,000
 * levels: the Config of somebody's proxy may have them.
 */
#define LIMIT_CONSUL_BODY  (64 * 1024 * 1024)
#define LIMIT_CONSUL_DEPTH 10100
/* An element of its lists: an instance with its checks, whose outputs are cut
 * by the agent at 4 kB each. */
#define LIMIT_CONSUL_ELEMENT (4 * 1024 * 1024)
/* All instances of one service: 2 kB each, so some thousands. */
#define LIMIT_CONSUL_SERVICE (32 * 1024 * 1024)

/*
 * A kubeconfig: its bytes; how deep its YAML goes, how many values there are,
 * and how many names one mapping has (tools of clouds write hundreds of
 * clusters, as a list). The credentials are as large as they can be for all
 * of them to fit a packet; a chain of RSA-4096 certificates has 8 kB.
 */
#define LIMIT_KUBECONFIG       (1024 * 1024)
#define LIMIT_KUBECONFIG_DEPTH 32
#define LIMIT_KUBECONFIG_NODES 50000
#define LIMIT_KUBECONFIG_NAMES 256
#define LIMIT_K8S_TOKEN        8192
#define LIMIT_K8S_CA           26000
#define LIMIT_K8S_CERT         16384
#define LIMIT_K8S_KEY          8192

/*
 * Any server's answer: its headers; what is kept of an error's body for the
 * message when the body is read as a stream; the longest Retry-After obeyed.
 */
#define LIMIT_ANSWER_HEADERS (64 * 1024)
#define LIMIT_ERROR_BODY     4096
#define LIMIT_RETRY_AFTER_S  3600

/*
 * The http worker: what a client may send, and how much before it has taken the
 * answers to what it sent (any server's: more than it takes to see that a
 * request is too long); how many may be there; what of /v1/status may wait for
 * clients to read it (10,000 objects have 3 MB), and that of /metrics.
 */
#define LIMIT_HTTP_HEADERS     8192
#define LIMIT_HTTP_BODY        4096
#define LIMIT_HTTP_AHEAD       (LIMIT_HTTP_HEADERS + LIMIT_HTTP_BODY)
#define LIMIT_HTTP_ANSWERS     (16 * 1024 * 1024)
#define LIMIT_HTTP_CONNECTIONS 128
#define LIMIT_HTTP_IDLE_S      30

/*
 * Sidecars: connections (one each, and twice that while they are made anew),
 * calls that wait at once, all and from one address, streams of a connection,
 * connections from one address; a message (three names), its headers; how long
 * a connection may be there while it has no call.
 */
#define LIMIT_GRPC_CONNECTIONS 512
#define LIMIT_GRPC_CALLS       1024
#define LIMIT_GRPC_CALLS_EACH  256
#define LIMIT_GRPC_STREAMS     128
#define LIMIT_GRPC_PER_ADDRESS 128
#define LIMIT_GRPC_MESSAGE     4096
#define LIMIT_GRPC_HEADERS     8192
#define LIMIT_GRPC_IDLE_S      300

/*
 * The http worker's descriptors. The others are links, listeners, clients of
 * the Unix socket, and those whose connection was just ended.
 */
#define LIMIT_HTTP_OTHER_FDS 128
#define LIMIT_HTTP_FDS \
	(LIMIT_HTTP_CONNECTIONS + LIMIT_GRPC_CONNECTIONS + LIMIT_HTTP_OTHER_FDS)

/*
 * A sidecar's descriptors, and how many of them may be clients of its /ready:
 * probes come one by one.
 */
#define LIMIT_SIDECAR_FDS     64
#define LIMIT_SIDECAR_CLIENTS 16

#endif
