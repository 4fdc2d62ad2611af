/*
 * The messages between katalogd's processes.
 *
 * One packet of a SOCK_SEQPACKET socketpair is one message: a header of 16
 * bytes (version 8 bits, type 8, flags 16 (none yet: 0), length 32,
 * generation 64; network byte order), then TLV fields of length bytes. The
 * table in proto.c says for each type who may send it, who may receive it,
 * how long it may be, its fields and whether it carries a descriptor; what it
 * does not allow ends the peer.
 *
 * Each type's fields stand behind it below; all of them are there, in any
 * order, and texts may be empty. The header's generation is for keyed sets
 * (state.h) and for PING; elsewhere it is the sender's: 0, or a number that it
 * likes.
 */
#ifndef PROTO_H
#define PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/roles.h"
#include "common/tlv.h"

/* Goes up with every change of the messages. */
#define PROTO_VERSION  3
#define PROTO_HEADER   16
#define PROTO_BODY_MAX (LIMIT_PACKET - PROTO_HEADER)

enum msg_type {
	/*
	 * Supervisor -> worker.
	 */
	/* The worker's slice, before anything else: see options.h. */
	MSG_CONFIG = 1,
	/* A secret or file as sealed memfd, empty if there is none: ID. */
	MSG_BLOB,
	/* An end of a socketpair to a sibling: ID. */
	MSG_LINK,
	/* A listening socket: ID. */
	MSG_LISTEN,
	/* The socket that CONNECT asked for; no descriptor: it failed. */
	MSG_CONNECTED,
	/* Blobs, sockets and links are there: work. */
	MSG_START,
	/* Its generation is a number that the PONG brings back. */
	MSG_PING,
	/* To http, how a worker is: all of READY and HEALTH, ROLE, STATE,
	 * PID, SINCE, RESTARTS. */
	MSG_WORKER,

	/*
	 * Worker -> supervisor.
	 */
	/* The sandbox is on: LAYERS, MISSING. */
	MSG_READY,
	MSG_PONG,
	/* LEVEL, TEXT. */
	MSG_LOG,
	/* How the worker's work goes, when it changes: HEALTH, SYNCED, TEXT. */
	MSG_HEALTH,
	/* Asks for a socket to Consul's unix:// path. */
	MSG_CONNECT,
	/* The sibling ID broke the protocol on our link; it is started again,
	 * if that was not done lately (supervisor/restart.h). */
	MSG_BAD_LINK,
	/*
	 * kubeconfig's one answer: TEXT says why the file is of no use, or is
	 * empty. URL, SERVER_NAME, INSECURE, INLINE, K8S_TOKEN, K8S_CA,
	 * K8S_CERT, K8S_KEY.
	 */
	MSG_KUBECONFIG,

	/*
	 * Sibling -> sibling: a keyed set, see state.h.
	 */
	/* EPOCH */
	MSG_SNAP_BEGIN,
	/* KEY, VALUE */
	MSG_PUT,
	/* KEY */
	MSG_DEL,
	/* EPOCH, COUNT */
	MSG_SNAP_END,
	MSG_RESYNC,
	/* The source was read, the state is as of then: READ_AT, CONFIRMED. */
	MSG_FRESH,

	/*
	 * http <-> the other workers: figures, asked for when scraped.
	 */
	MSG_STATS_GET,
	/* SAMPLE, repeated: see metrics.h. */
	MSG_STATS,

	/*
	 * http <-> consul-writer: sidecars' calls. An id names a call on one
	 * link only.
	 */
	/* http: CALL, OP, NAMESPACE, POD, CONTAINER, PEER, LOCAL. */
	MSG_CALL,
	/* http: nobody waits for that answer any more: CALL. */
	MSG_CALL_END,
	/* consul-writer: CALL, CODE, TEXT. */
	MSG_ANSWER,
	/*
	 * http, first on a new link: what it was told of pods by an earlier
	 * consul-writer, as pod.h's reports: KEY, VALUE. Then the end of that.
	 */
	MSG_REMEMBER,
	MSG_REMEMBERED,
	MSG_MAX
};

/*
 * Tags of the messages' fields. One space, so that no two are mixed up.
 * Where an enum is named, proto_check() refuses what is not in it.
 */
enum msg_tag {
	/* u8: enum blob_id (BLOB), enum listen_id (LISTEN), enum role of the
	 * peer (LINK, BAD_LINK). */
	TAG_ID = 1,
	TAG_LEVEL, /* u8: enum log_level */
	TAG_TEXT, /* str, LIMIT_TEXT; in LOG LIMIT_LOG_LINE */
	TAG_LAYERS, /* u32: SANDBOX_* bits that hold */
	TAG_MISSING, /* str: layers that the kernel lacks, for people */
	TAG_HEALTH, /* u8: enum health */
	TAG_SYNCED, /* u8: 1 once the first full sync was done, else 0 */
	TAG_ROLE, /* u8: enum role */
	TAG_STATE, /* u8: enum worker_state */
	TAG_PID, /* u32, 0: none */
	TAG_SINCE, /* u64: CLOCK_MONOTONIC ms of its start */
	TAG_RESTARTS, /* u32 */
	TAG_EPOCH, /* u64, random per start of the producer, not 0 */
	TAG_COUNT, /* u32: entries in the snapshot */
	TAG_KEY, /* 1..LIMIT_SET_KEY bytes */
	TAG_VALUE, /* 0..LIMIT_SET_VALUE bytes */
	TAG_READ_AT, /* u64: CLOCK_MONOTONIC ms of the last good read */
	TAG_CONFIRMED, /* u8: 1: absence is sure, deletions may follow; or 0 */
	TAG_SAMPLE, /* bytes */
	TAG_URL, /* str: https://host:port/path */
	TAG_SERVER_NAME, /* str, "": the host of the URL */
	TAG_INSECURE, /* u8: 1: any certificate is good; or 0 */
	/* u8: bit 0 for K8S_TOKEN, 1 for K8S_CA, 2 for K8S_CERT, 3 for K8S_KEY:
	 * set, it is the bytes themselves; else the path of a file, as it
	 * stands there, or nothing. In the order of BLOB_K8S_TOKEN.. */
	TAG_INLINE,
	TAG_K8S_TOKEN, /* bytes */
	TAG_K8S_CA, /* bytes, PEM */
	TAG_K8S_CERT, /* bytes, PEM */
	TAG_K8S_KEY, /* bytes, PEM */
	TAG_CALL, /* u64 */
	TAG_OP, /* u8: enum call_op */
	TAG_NAMESPACE, /* str, 1..LIMIT_K8S_NAMESPACE */
	TAG_POD, /* str, 1..LIMIT_K8S_NAME */
	TAG_CONTAINER, /* str, LIMIT_K8S_NAMESPACE: a DNS label */
	TAG_PEER, /* str: IPv4 or IPv6 literal of the caller */
	TAG_LOCAL, /* u8: 1: the caller's address is one of this machine's; or 0 */
	TAG_CODE, /* u8: gRPC's status code, 0..16 */
};

/* What a blob is. Which role gets which: blob_roles(). */
enum blob_id {
	BLOB_KUBELET_TOKEN = 1,
	BLOB_KUBELET_CA,
	BLOB_KUBELET_CERT,
	BLOB_KUBELET_KEY,
	BLOB_KUBELET_PODS, /* the file of kubelet-api = file:///path */
	BLOB_CONSUL_TOKEN,
	BLOB_CONSUL_CA,
	BLOB_CONSUL_CERT,
	BLOB_CONSUL_KEY,
	BLOB_K8S_TOKEN,
	BLOB_K8S_CA,
	BLOB_K8S_CERT,
	BLOB_K8S_KEY,
	BLOB_KUBECONFIG,
	BLOB_MAX
};

enum listen_id {
	LISTEN_METRICS = 1, /* TCP */
	LISTEN_CONTROL, /* Unix socket */
	LISTEN_SIDECAR, /* TCP, gRPC */
	LISTEN_MAX
};

enum call_op { CALL_REGISTER, CALL_DEREGISTER };

enum health {
	HEALTH_STARTING,
	HEALTH_OK,
	HEALTH_DEGRADED /* the text says why and what happens now */
};

enum worker_state {
	WORKER_DOWN,
	WORKER_STARTING,
	WORKER_READY,
	WORKER_BACKOFF
};

struct msg {
	enum msg_type type;
	uint64_t generation;
	const uint8_t *body; /* len bytes of TLV, the channel's */
	size_t len;
	int fd; /* -1: none; the receiver owns it */
};

/* Whether a message carries a descriptor; never more than one. */
enum msg_fd { MSG_FD_NONE, MSG_FD_REQUIRED, MSG_FD_OPTIONAL };

struct msg_rule {
	const char *name;
	role_mask from;
	role_mask to;
	uint32_t min; /* body, bytes */
	uint32_t max;
	enum msg_fd fd;
	/* NULL: no fields (max is 0), or checked by the body's decoder. */
	const struct tlv_rule *fields;
	size_t nfields;
};

/* NULL for a type that does not exist. */
const struct msg_rule *msg_rule(unsigned type);
/* "PUT"; "unknown" for a type that does not exist. */
const char *msg_name(unsigned type);

/*
 * The (first) field with that tag in a message that proto_check() accepted;
 * val NULL if it has none.
 */
struct tlv_field msg_field(const struct msg *m, enum msg_tag tag);
/* Its value, as tlv_u8() and so on have it. */
uint8_t msg_u8(const struct msg *m, enum msg_tag tag);
uint32_t msg_u32(const struct msg *m, enum msg_tag tag);
uint64_t msg_u64(const struct msg *m, enum msg_tag tag);
bool msg_str(const struct msg *m, enum msg_tag tag, char *dst, size_t cap);

/* Whose blob it is. 0 for an unknown id. */
role_mask blob_roles(enum blob_id id);
/* "kubelet-token"; "unknown" for an unknown id. */
const char *blob_name(enum blob_id id);

/* The pairs of workers that get a link. */
bool roles_linked(enum role a, enum role b);

/* Writes a header; buf has room for PROTO_HEADER bytes. */
void proto_header(uint8_t *buf, enum msg_type type, uint64_t generation,
    uint32_t body_len);

/*
 * Checks one packet (header, table, length, sender, receiver, descriptor,
 * fields) and fills *m, whose body points into buf and whose fd is -1. NULL
 * if it is fine, else why it is not (a constant string); *m is void then.
 */
const char *proto_check(const uint8_t *buf, size_t len, bool has_fd,
    enum role from, enum role to, struct msg *m);
/* The same for a message that has no header yet: what a sender asks. */
const char *proto_check_msg(const struct msg *m, bool has_fd, enum role from,
    enum role to);

#endif
