#include "common/proto.h"

#include <endian.h>
#include <string.h>

#include "common/log.h"

#define SUPERVISOR ROLE_BIT(ROLE_SUPERVISOR)
#define KUBELET_R  ROLE_BIT(ROLE_KUBELET_READER)
#define CONSUL_W   ROLE_BIT(ROLE_CONSUL_WRITER)
#define CONSUL_R   ROLE_BIT(ROLE_CONSUL_READER)
#define K8S_W      ROLE_BIT(ROLE_K8S_WRITER)
#define HTTP       ROLE_BIT(ROLE_HTTP)
#define KUBECONFIG ROLE_BIT(ROLE_KUBECONFIG)

#define SYNCERS    (KUBELET_R | CONSUL_W | CONSUL_R | K8S_W)
#define SIBLINGS   (SYNCERS | HTTP)
#define WORKERS    (SIBLINGS | KUBECONFIG)
#define CONSULS    (CONSUL_W | CONSUL_R)
#define READERS    (KUBELET_R | CONSUL_R)
#define WRITERS    (CONSUL_W | K8S_W)
#define TAKERS     (WRITERS | HTTP)

/* The bytes that fields take. */
#define LEN_VAR(n)   (TLV_HEADER + (n))
#define LEN_U8       LEN_VAR(1)
#define LEN_U32      LEN_VAR(4)
#define LEN_U64      LEN_VAR(8)

#define U8(t)        .tag = (t), .type = TLV_U8
#define U32(t)       .tag = (t), .type = TLV_U32
#define U64(t)       .tag = (t), .type = TLV_U64
#define STR(t, most) .tag = (t), .type = TLV_STR, .max = (most)
#define BYTES(t, least, most) \
	.tag = (t), .type = TLV_BYTES, .min = (least), .max = (most)
#define FIELDS(table) \
	.fields = (table), .nfields = sizeof(table) / sizeof(*(table))

static const struct tlv_rule id_fields[] = {
	{ U8(TAG_ID) },
};
static const struct tlv_rule ready_fields[] = {
	{ U32(TAG_LAYERS) },
	{ STR(TAG_MISSING, LIMIT_TEXT) },
};
static const struct tlv_rule log_fields[] = {
	{ U8(TAG_LEVEL) },
	{ STR(TAG_TEXT, LIMIT_LOG_LINE) },
};
static const struct tlv_rule health_fields[] = {
	{ U8(TAG_HEALTH) },
	{ U8(TAG_SYNCED) },
	{ STR(TAG_TEXT, LIMIT_TEXT) },
};
static const struct tlv_rule worker_fields[] = {
	{ U8(TAG_ROLE) },
	{ U8(TAG_STATE) },
	{ U32(TAG_PID) },
	{ U64(TAG_SINCE) },
	{ U32(TAG_RESTARTS) },
	{ U32(TAG_LAYERS) },
	{ STR(TAG_MISSING, LIMIT_TEXT) },
	{ U8(TAG_HEALTH) },
	{ U8(TAG_SYNCED) },
	{ STR(TAG_TEXT, LIMIT_TEXT) },
};
static const struct tlv_rule begin_fields[] = {
	{ U64(TAG_EPOCH) },
};
static const struct tlv_rule put_fields[] = {
	{ BYTES(TAG_KEY, 1, LIMIT_SET_KEY) },
	{ BYTES(TAG_VALUE, 0, LIMIT_SET_VALUE) },
};
static const struct tlv_rule del_fields[] = {
	{ BYTES(TAG_KEY, 1, LIMIT_SET_KEY) },
};
static const struct tlv_rule end_fields[] = {
	{ U64(TAG_EPOCH) },
	{ U32(TAG_COUNT) },
};
static const struct tlv_rule fresh_fields[] = {
	{ U64(TAG_READ_AT) },
	{ U8(TAG_CONFIRMED) },
};
static const struct tlv_rule call_fields[] = {
	{ U64(TAG_CALL) },
	{ U8(TAG_OP) },
	{ STR(TAG_NAMESPACE, LIMIT_K8S_NAMESPACE) },
	{ STR(TAG_POD, LIMIT_K8S_NAME) },
	{ STR(TAG_CONTAINER, LIMIT_K8S_NAMESPACE) },
	{ STR(TAG_PEER, LIMIT_ADDRESS) },
	{ U8(TAG_LOCAL) },
};
static const struct tlv_rule call_end_fields[] = {
	{ U64(TAG_CALL) },
};
static const struct tlv_rule answer_fields[] = {
	{ U64(TAG_CALL) },
	{ U8(TAG_CODE) },
	{ STR(TAG_TEXT, LIMIT_TEXT) },
};
static const struct tlv_rule kubeconfig_fields[] = {
	{ STR(TAG_TEXT, LIMIT_TEXT) },
	{ STR(TAG_URL, LIMIT_OPTION - 1) },
	{ STR(TAG_SERVER_NAME, LIMIT_K8S_NAME) },
	{ U8(TAG_INSECURE) },
	{ U8(TAG_INLINE) },
	{ BYTES(TAG_K8S_TOKEN, 0, LIMIT_K8S_TOKEN) },
	{ BYTES(TAG_K8S_CA, 0, LIMIT_K8S_CA) },
	{ BYTES(TAG_K8S_CERT, 0, LIMIT_K8S_CERT) },
	{ BYTES(TAG_K8S_KEY, 0, LIMIT_K8S_KEY) },
};

/* Least and most length of the bodies. */
enum {
	ID_LEN = LEN_U8,
	READY_MIN = LEN_U32 + LEN_VAR(0),
	READY_MAX = READY_MIN + LIMIT_TEXT,
	LOG_MIN = LEN_U8 + LEN_VAR(0),
	LOG_MAX = LOG_MIN + LIMIT_LOG_LINE,
	HEALTH_MIN = 2 * LEN_U8 + LEN_VAR(0),
	HEALTH_MAX = HEALTH_MIN + LIMIT_TEXT,
	WORKER_MIN =
	    READY_MIN + HEALTH_MIN + 2 * LEN_U8 + 2 * LEN_U32 + LEN_U64,
	WORKER_MAX = WORKER_MIN + 2 * LIMIT_TEXT,
	BEGIN_LEN = LEN_U64,
	PUT_MIN = LEN_VAR(1) + LEN_VAR(0),
	PUT_MAX = LEN_VAR(LIMIT_SET_KEY) + LEN_VAR(LIMIT_SET_VALUE),
	DEL_MIN = LEN_VAR(1),
	DEL_MAX = LEN_VAR(LIMIT_SET_KEY),
	END_LEN = LEN_U64 + LEN_U32,
	FRESH_LEN = LEN_U64 + LEN_U8,
	CALL_MIN = LEN_U64 + 2 * LEN_U8 + 4 * LEN_VAR(0),
	CALL_MAX =
	    CALL_MIN + 2 * LIMIT_K8S_NAMESPACE + LIMIT_K8S_NAME + LIMIT_ADDRESS,
	CALL_END_LEN = LEN_U64,
	ANSWER_MIN = LEN_U64 + LEN_U8 + LEN_VAR(0),
	ANSWER_MAX = ANSWER_MIN + LIMIT_TEXT,
	KUBECONFIG_MIN = 7 * LEN_VAR(0) + 2 * LEN_U8,
	KUBECONFIG_MAX = KUBECONFIG_MIN + LIMIT_TEXT + LIMIT_OPTION - 1 +
	    LIMIT_K8S_NAME + LIMIT_K8S_TOKEN + LIMIT_K8S_CA + LIMIT_K8S_CERT +
	    LIMIT_K8S_KEY,
};

_Static_assert(PUT_MAX <= PROTO_BODY_MAX, "an entry fits a packet");
_Static_assert(LOG_MAX <= PROTO_BODY_MAX, "a line fits a packet");
_Static_assert(KUBECONFIG_MAX <= PROTO_BODY_MAX, "credentials fit a packet");

#define MSG(n, by, whom, least, most) \
	.name = (n), .from = (by), .to = (whom), .min = (least), .max = (most)

static const struct msg_rule rules[MSG_MAX] = {
	[MSG_CONFIG] = { MSG("CONFIG", SUPERVISOR, WORKERS, 0,
	    PROTO_BODY_MAX) },
	[MSG_BLOB] = { MSG("BLOB", SUPERVISOR, SYNCERS | KUBECONFIG, ID_LEN,
			   ID_LEN),
	    .fd = MSG_FD_REQUIRED, FIELDS(id_fields) },
	[MSG_LINK] = { MSG("LINK", SUPERVISOR, SIBLINGS, ID_LEN, ID_LEN),
	    .fd = MSG_FD_REQUIRED, FIELDS(id_fields) },
	[MSG_LISTEN] = { MSG("LISTEN", SUPERVISOR, HTTP, ID_LEN, ID_LEN),
	    .fd = MSG_FD_REQUIRED, FIELDS(id_fields) },
	[MSG_CONNECTED] = { MSG("CONNECTED", SUPERVISOR, CONSULS, 0, 0),
	    .fd = MSG_FD_OPTIONAL },
	[MSG_START] = { MSG("START", SUPERVISOR, WORKERS, 0, 0) },
	[MSG_PING] = { MSG("PING", SUPERVISOR, WORKERS, 0, 0) },
	[MSG_WORKER] = { MSG("WORKER", SUPERVISOR, HTTP, WORKER_MIN,
			     WORKER_MAX),
	    FIELDS(worker_fields) },

	[MSG_READY] = { MSG("READY", WORKERS, SUPERVISOR, READY_MIN, READY_MAX),
	    FIELDS(ready_fields) },
	[MSG_PONG] = { MSG("PONG", WORKERS, SUPERVISOR, 0, 0) },
	[MSG_LOG] = { MSG("LOG", WORKERS, SUPERVISOR, LOG_MIN, LOG_MAX),
	    FIELDS(log_fields) },
	[MSG_HEALTH] = { MSG("HEALTH", WORKERS, SUPERVISOR, HEALTH_MIN,
			     HEALTH_MAX),
	    FIELDS(health_fields) },
	[MSG_CONNECT] = { MSG("CONNECT", CONSULS, SUPERVISOR, 0, 0) },
	[MSG_BAD_LINK] = { MSG("BAD_LINK", SIBLINGS, SUPERVISOR, ID_LEN,
			       ID_LEN),
	    FIELDS(id_fields) },
	[MSG_KUBECONFIG] = { MSG("KUBECONFIG", KUBECONFIG, SUPERVISOR,
				 KUBECONFIG_MIN, KUBECONFIG_MAX),
	    FIELDS(kubeconfig_fields) },

	[MSG_SNAP_BEGIN] = { MSG("SNAP_BEGIN", SYNCERS, TAKERS, BEGIN_LEN,
				 BEGIN_LEN),
	    FIELDS(begin_fields) },
	[MSG_PUT] = { MSG("PUT", SYNCERS, TAKERS, PUT_MIN, PUT_MAX),
	    FIELDS(put_fields) },
	[MSG_DEL] = { MSG("DEL", SYNCERS, TAKERS, DEL_MIN, DEL_MAX),
	    FIELDS(del_fields) },
	[MSG_SNAP_END] = { MSG("SNAP_END", SYNCERS, TAKERS, END_LEN, END_LEN),
	    FIELDS(end_fields) },
	[MSG_RESYNC] = { MSG("RESYNC", TAKERS, SYNCERS, 0, 0) },
	[MSG_FRESH] = { MSG("FRESH", READERS, WRITERS, FRESH_LEN, FRESH_LEN),
	    FIELDS(fresh_fields) },

	[MSG_STATS_GET] = { MSG("STATS_GET", HTTP, SYNCERS, 0, 0) },
	[MSG_STATS] = { MSG("STATS", SYNCERS, HTTP, 0, PROTO_BODY_MAX) },

	[MSG_CALL] = { MSG("CALL", HTTP, CONSUL_W, CALL_MIN, CALL_MAX),
	    FIELDS(call_fields) },
	[MSG_CALL_END] = { MSG("CALL_END", HTTP, CONSUL_W, CALL_END_LEN,
			       CALL_END_LEN),
	    FIELDS(call_end_fields) },
	[MSG_ANSWER] = { MSG("ANSWER", CONSUL_W, HTTP, ANSWER_MIN, ANSWER_MAX),
	    FIELDS(answer_fields) },
	[MSG_REMEMBER] = { MSG("REMEMBER", HTTP, CONSUL_W, PUT_MIN, PUT_MAX),
	    FIELDS(put_fields) },
	[MSG_REMEMBERED] = { MSG("REMEMBERED", HTTP, CONSUL_W, 0, 0) },
};

/* The most that the u8 fields with an enum or a truth value may hold. */
static const struct {
	enum msg_tag tag;
	uint8_t max;
} enums[] = {
	{ TAG_LEVEL, LOG_LVL_DEBUG },
	{ TAG_HEALTH, HEALTH_DEGRADED },
	{ TAG_SYNCED, 1 },
	{ TAG_ROLE, ROLE_MAX - 1 },
	{ TAG_STATE, WORKER_BACKOFF },
	{ TAG_CONFIRMED, 1 },
	{ TAG_INSECURE, 1 },
	{ TAG_INLINE, 15 },
	{ TAG_OP, CALL_DEREGISTER },
	{ TAG_LOCAL, 1 },
	{ TAG_CODE, 16 },
};

static const struct {
	const char *name;
	role_mask roles;
} blobs[BLOB_MAX] = {
	[BLOB_KUBELET_TOKEN] = { "kubelet-token", KUBELET_R },
	[BLOB_KUBELET_CA] = { "kubelet-ca", KUBELET_R },
	[BLOB_KUBELET_CERT] = { "kubelet-cert", KUBELET_R },
	[BLOB_KUBELET_KEY] = { "kubelet-key", KUBELET_R },
	[BLOB_KUBELET_PODS] = { "kubelet-pods", KUBELET_R },
	[BLOB_CONSUL_TOKEN] = { "consul-token", CONSULS },
	[BLOB_CONSUL_CA] = { "consul-ca", CONSULS },
	[BLOB_CONSUL_CERT] = { "consul-cert", CONSULS },
	[BLOB_CONSUL_KEY] = { "consul-key", CONSULS },
	[BLOB_K8S_TOKEN] = { "k8s-token", K8S_W },
	[BLOB_K8S_CA] = { "k8s-ca", K8S_W },
	[BLOB_K8S_CERT] = { "k8s-cert", K8S_W },
	[BLOB_K8S_KEY] = { "k8s-key", K8S_W },
	[BLOB_KUBECONFIG] = { "kubeconfig", KUBECONFIG },
};

static const role_mask links[ROLE_MAX] = {
	[ROLE_KUBELET_READER] = CONSUL_W | HTTP,
	[ROLE_CONSUL_WRITER] = KUBELET_R | K8S_W | HTTP,
	[ROLE_CONSUL_READER] = K8S_W | HTTP,
	[ROLE_K8S_WRITER] = CONSUL_W | CONSUL_R | HTTP,
	[ROLE_HTTP] = SYNCERS,
};

const struct msg_rule *
msg_rule(unsigned type)
{
	return type > 0 && type < MSG_MAX ? &rules[type] : NULL;
}

const char *
msg_name(unsigned type)
{
	const struct msg_rule *r = msg_rule(type);

	return r != NULL ? r->name : "unknown";
}

struct tlv_field
msg_field(const struct msg *m, enum msg_tag tag)
{
	struct tlv_field f;
	size_t off = 0;

	while (tlv_next(m->body, m->len, &off, &f))
		if (f.tag == tag)
			return f;
	return (struct tlv_field){ .tag = (uint16_t)tag };
}

uint8_t
msg_u8(const struct msg *m, enum msg_tag tag)
{
	struct tlv_field f = msg_field(m, tag);

	return tlv_u8(&f);
}

uint32_t
msg_u32(const struct msg *m, enum msg_tag tag)
{
	struct tlv_field f = msg_field(m, tag);

	return tlv_u32(&f);
}

uint64_t
msg_u64(const struct msg *m, enum msg_tag tag)
{
	struct tlv_field f = msg_field(m, tag);

	return tlv_u64(&f);
}

bool
msg_str(const struct msg *m, enum msg_tag tag, char *dst, size_t cap)
{
	struct tlv_field f = msg_field(m, tag);

	return tlv_str(&f, dst, cap);
}

role_mask
blob_roles(enum blob_id id)
{
	return id < BLOB_MAX ? blobs[id].roles : 0;
}

const char *
blob_name(enum blob_id id)
{
	return blob_roles(id) != 0 ? blobs[id].name : "unknown";
}

bool
roles_linked(enum role a, enum role b)
{
	return a < ROLE_MAX && b < ROLE_MAX && (links[a] & ROLE_BIT(b)) != 0;
}

void
proto_header(uint8_t *buf, enum msg_type type, uint64_t generation,
    uint32_t body_len)
{
	body_len = htobe32(body_len);
	generation = htobe64(generation);
	buf[0] = PROTO_VERSION;
	buf[1] = (uint8_t)type;
	buf[2] = buf[3] = 0;
	memcpy(buf + 4, &body_len, sizeof(body_len));
	memcpy(buf + 8, &generation, sizeof(generation));
}

static bool
talk(enum role from, enum role to)
{
	return from == ROLE_SUPERVISOR || to == ROLE_SUPERVISOR ||
	    roles_linked(from, to);
}

static bool
id_allowed(const struct msg *m, uint8_t id, enum role from, enum role to)
{
	switch (m->type) {
	case MSG_BAD_LINK:
		return roles_linked(from, id);
	case MSG_BLOB:
		return (blob_roles(id) & ROLE_BIT(to)) != 0;
	case MSG_LINK:
		return roles_linked(to, id);
	case MSG_LISTEN:
		return id > 0 && id < LISTEN_MAX;
	default:
		return true;
	}
}

static bool
value_allowed(const struct msg *m, const struct tlv_field *f, enum role from,
    enum role to)
{
	if (f->tag == TAG_ID)
		return id_allowed(m, tlv_u8(f), from, to);
	for (size_t i = 0; i < sizeof(enums) / sizeof(*enums); i++)
		if (enums[i].tag == f->tag)
			return tlv_u8(f) <= enums[i].max;
	return true;
}

static const char *
check_fields(const struct msg *m, const struct msg_rule *r, enum role from,
    enum role to)
{
	struct tlv_field f[sizeof(worker_fields) / sizeof(*worker_fields)];

	if (r->fields == NULL)
		return NULL;
	if (!tlv_parse(m->body, m->len, r->fields, r->nfields, f))
		return "its fields are not those of its type";
	for (size_t i = 0; i < r->nfields; i++)
		if (!value_allowed(m, &f[i], from, to))
			return "a field has a value that does not exist";
	return NULL;
}

const char *
proto_check_msg(const struct msg *m, bool has_fd, enum role from, enum role to)
{
	const struct msg_rule *r = msg_rule(m->type);

	if (r == NULL)
		return "unknown type";
	if (!(r->from & ROLE_BIT(from)))
		return "not a message that this sender may send";
	if (!(r->to & ROLE_BIT(to)) || !talk(from, to))
		return "not a message that this receiver may get";
	if (m->len < r->min || m->len > r->max)
		return "length out of range";
	if (has_fd && r->fd == MSG_FD_NONE)
		return "a descriptor where none may be";
	if (!has_fd && r->fd == MSG_FD_REQUIRED)
		return "no descriptor where one must be";
	return check_fields(m, r, from, to);
}

const char *
proto_check(const uint8_t *buf, size_t len, bool has_fd, enum role from,
    enum role to, struct msg *m)
{
	uint32_t body_len;
	uint64_t generation;

	if (len < PROTO_HEADER)
		return "shorter than a header";
	if (len > LIMIT_PACKET)
		return "longer than a packet may be";
	if (buf[0] != PROTO_VERSION)
		return "another version of the protocol";
	if (buf[2] != 0 || buf[3] != 0)
		return "unknown flags";
	memcpy(&body_len, buf + 4, sizeof(body_len));
	memcpy(&generation, buf + 8, sizeof(generation));
	if (be32toh(body_len) != len - PROTO_HEADER)
		return "length differs from the packet's";
	*m = (struct msg){
		.type = buf[1],
		.generation = be64toh(generation),
		.body = buf + PROTO_HEADER,
		.len = len - PROTO_HEADER,
		.fd = -1,
	};
	return proto_check_msg(m, has_fd, from, to);
}
