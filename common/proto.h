/*
 * The messages between katalogd's processes.
 *
 * One packet of a SOCK_SEQPACKET socketpair is one message: a header of 16
 * bytes (version 8 bits, type 8, flags 16 (none yet: 0), length 32,
 * generation 64; network byte order), then TLV fields of length bytes. The
 * table in proto.c says for each type who may send it, who may receive it,
 * how long it may be and whether it carries a descriptor; what it does not
 * allow ends the peer.
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
#define PROTO_VERSION  1
#define PROTO_HEADER   16
#define PROTO_BODY_MAX (LIMIT_PACKET - PROTO_HEADER)

enum msg_type {
	/* Supervisor -> worker. */
	MSG_CONFIG = 1, /* the worker's slice, before anything else */
	MSG_BLOB, /* a secret or file, as sealed memfd; empty: none */
	MSG_LINK, /* an end of a socketpair to a sibling */
	MSG_LISTEN, /* a listening socket */
	MSG_CONNECTED, /* a connected socket that was asked for */
	MSG_START, /* blobs, sockets and links are there: work */
	MSG_PING,
	MSG_WORKER, /* to http: how a worker is */
	/* Worker -> supervisor. */
	MSG_READY, /* the sandbox is on */
	MSG_PONG,
	MSG_LOG,
	MSG_HEALTH, /* how the worker's work goes, when it changes */
	MSG_CONNECT, /* asks for a socket to Consul's unix:// path */
	/* Sibling -> sibling: a keyed set, see state.h. */
	MSG_SNAP_BEGIN,
	MSG_PUT,
	MSG_DEL,
	MSG_SNAP_END,
	MSG_RESYNC,
	MSG_FRESH, /* the source was read: the state is as of then */
	/* http <-> the other workers: figures, asked for when scraped. */
	MSG_STATS_GET,
	MSG_STATS,
	MSG_MAX
};

/* Tags of each message's fields. One space, so that no two are mixed up. */
enum msg_tag {
	/* BLOB, LISTEN, LINK, CONNECTED */
	TAG_ID = 1, /* u8: enum blob_id, listen_id, role of the peer */
	/* LOG */
	TAG_LEVEL, /* u8: enum log_level */
	TAG_TEXT, /* str */
	/* READY, WORKER */
	TAG_LAYERS, /* u32: SANDBOX_* bits that hold */
	TAG_MISSING, /* str: layers that the kernel lacks, for people */
	/* HEALTH, WORKER */
	TAG_HEALTH, /* u8: enum health */
	TAG_SYNCED, /* u8: 1 once the first full sync was done */
	/* WORKER */
	TAG_ROLE, /* u8 */
	TAG_STATE, /* u8: enum worker_state */
	TAG_PID, /* u32, 0: none */
	TAG_SINCE, /* u64: CLOCK_MONOTONIC ms of its start */
	TAG_RESTARTS, /* u32 */
	/* SNAP_BEGIN, SNAP_END */
	TAG_EPOCH, /* u64, random per start of the producer */
	TAG_COUNT, /* u32: entries in the snapshot */
	/* PUT, DEL */
	TAG_KEY, /* bytes */
	TAG_VALUE, /* bytes */
	/* FRESH */
	TAG_READ_AT, /* u64: CLOCK_MONOTONIC ms of the last good read */
	TAG_CONFIRMED, /* u8: 1: absence is sure, deletions may follow */
	/* STATS: repeated, see metrics.h */
	TAG_SAMPLE, /* bytes */
};

/* What a blob is. Which role gets which: blob_table in proto.c. */
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
	BLOB_MAX
};

enum listen_id {
	LISTEN_METRICS = 1, /* TCP */
	LISTEN_CONTROL, /* Unix socket */
	LISTEN_MAX
};

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

struct msg_rule {
	const char *name;
	role_mask from;
	role_mask to;
	uint32_t min; /* body, bytes */
	uint32_t max;
	bool fd; /* carries exactly one descriptor */
};

/* NULL for a type that does not exist. */
const struct msg_rule *msg_rule(unsigned type);

/* The supervisor's check of BLOB: whose is it. 0 for an unknown id. */
role_mask blob_roles(enum blob_id id);
const char *blob_name(enum blob_id id);

/* The pairs of workers that get a link. */
bool roles_linked(enum role a, enum role b);

/* Writes a header; buf has room for PROTO_HEADER bytes. */
void proto_header(uint8_t *buf, enum msg_type type, uint64_t generation,
    uint32_t body_len);

/*
 * Checks one packet (header, table, length, sender, receiver, descriptor) and
 * fills *m, whose body points into buf. NULL if it is fine, else why it is
 * not (a constant string).
 */
const char *proto_check(const uint8_t *buf, size_t len, bool has_fd,
    enum role from, enum role to, struct msg *m);

#endif
