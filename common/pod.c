#include "common/pod.h"

#include <stdlib.h>
#include <string.h>

#include "common/tlv.h"

/* Sorts before the IDs of services. */
#define KEY_MARK "P"

size_t
pod_key(const char *namespace, const char *name, char key[LIMIT_SET_KEY])
{
	size_t ns = strlen(namespace), n = strlen(name);

	if (ns > LIMIT_K8S_NAMESPACE || n > LIMIT_K8S_NAME)
		return 0;
	memcpy(key, KEY_MARK, sizeof(KEY_MARK));
	key += sizeof(KEY_MARK);
	memcpy(key, namespace, ns + 1);
	memcpy(key + ns + 1, name, n);
	return sizeof(KEY_MARK) + ns + 1 + n;
}

bool
pod_key_is(const void *key, size_t len)
{
	return len > sizeof(KEY_MARK) &&
	    memcmp(key, KEY_MARK, sizeof(KEY_MARK)) == 0;
}

/* A text without a NUL, as long as it may be. */
static bool
take_text(const char *from, size_t len, size_t max, char *to)
{
	if (len > max || memchr(from, '\0', len) != NULL)
		return false;
	memcpy(to, from, len);
	to[len] = '\0';
	return true;
}

bool
pod_key_split(const void *key, size_t len,
    char namespace[LIMIT_K8S_NAMESPACE + 1], char name[LIMIT_K8S_NAME + 1])
{
	const char *at, *nul;

	if (!pod_key_is(key, len))
		return false;
	at = (const char *)key + sizeof(KEY_MARK);
	len -= sizeof(KEY_MARK);
	if ((nul = memchr(at, '\0', len)) == NULL)
		return false;
	return take_text(at, (size_t)(nul - at), LIMIT_K8S_NAMESPACE,
		   namespace) &&
	    take_text(nul + 1, len - (size_t)(nul + 1 - at), LIMIT_K8S_NAME,
		name);
}

static bool
key_fits(const void *key, size_t key_len, const char *namespace,
    const char *name)
{
	char own[LIMIT_SET_KEY];
	size_t len = pod_key(namespace, name, own);

	return len == key_len && memcmp(own, key, len) == 0;
}

/* ---- items ---- */

/* Tags of the values (spaces of their own), and places in the rules. */
enum item_tag {
	ITM_NAMESPACE,
	ITM_NAME,
	ITM_UID,
	ITM_ADDRESS,
	ITM_NODE_ADDRESS,
	ITM_SIDECAR,
	ITM_SERVICES,
	ITM_FLAGS,
	ITM_CONDITION,
	ITM_MAX
};

enum item_flag {
	FLAG_OURS = 0x01,
	FLAG_HOST_NETWORK = 0x02,
	FLAG_WAITS = 0x04,
	FLAG_ENDING = 0x08,
	FLAG_READY = 0x10,
	FLAG_SIDECAR_READY = 0x20,
	FLAG_GATED = 0x40,
};
#define FLAGS_ALL 0x7f

#define NAMESPACE_RULE(tag) \
	{ \
		(tag), TLV_STR, 0, 1, LIMIT_K8S_NAMESPACE \
	}
#define NAME_RULE(tag) \
	{ \
		(tag), TLV_STR, 0, 1, LIMIT_K8S_NAME \
	}
#define UID_RULE(tag) \
	{ \
		(tag), TLV_STR, 0, 1, LIMIT_K8S_UID \
	}
#define ADDRESS_RULE(tag) \
	{ \
		(tag), TLV_STR, TLV_OPTIONAL | TLV_REPEAT, 1, LIMIT_ADDRESS \
	}
#define TEXT_RULE(tag) \
	{ \
		(tag), TLV_STR, 0, 0, LIMIT_TEXT \
	}
#define U8_RULE(tag) \
	{ \
		(tag), TLV_U8, 0, 1, 1 \
	}

static const struct tlv_rule item_rules[ITM_MAX] = {
	[ITM_NAMESPACE] = NAMESPACE_RULE(ITM_NAMESPACE),
	[ITM_NAME] = NAME_RULE(ITM_NAME),
	[ITM_UID] = UID_RULE(ITM_UID),
	[ITM_ADDRESS] = ADDRESS_RULE(ITM_ADDRESS),
	[ITM_NODE_ADDRESS] = ADDRESS_RULE(ITM_NODE_ADDRESS),
	[ITM_SIDECAR] = { ITM_SIDECAR, TLV_STR, 0, 0, LIMIT_K8S_NAME },
	[ITM_SERVICES] = { ITM_SERVICES, TLV_U32, 0, 4, 4 },
	[ITM_FLAGS] = U8_RULE(ITM_FLAGS),
	[ITM_CONDITION] = U8_RULE(ITM_CONDITION),
};

static void
put_addresses(struct tlv_writer *w, uint16_t tag, const char *const *list,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		tlv_put_str(w, tag, list[i]);
}

static uint8_t
flags_of(const struct pod_item *p)
{
	return (uint8_t)((p->ours ? FLAG_OURS : 0) |
	    (p->host_network ? FLAG_HOST_NETWORK : 0) |
	    (p->waits ? FLAG_WAITS : 0) | (p->ending ? FLAG_ENDING : 0) |
	    (p->ready ? FLAG_READY : 0) |
	    (p->sidecar_ready ? FLAG_SIDECAR_READY : 0) |
	    (p->gated ? FLAG_GATED : 0));
}

size_t
pod_item_encode(const struct pod_item *p, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, ITM_NAMESPACE, p->namespace);
	tlv_put_str(&w, ITM_NAME, p->name);
	tlv_put_str(&w, ITM_UID, p->uid);
	put_addresses(&w, ITM_ADDRESS, p->addresses, p->naddresses);
	put_addresses(&w, ITM_NODE_ADDRESS, p->node_addresses,
	    p->nnode_addresses);
	tlv_put_str(&w, ITM_SIDECAR, p->sidecar);
	tlv_put_u32(&w, ITM_SERVICES, p->services);
	tlv_put_u8(&w, ITM_FLAGS, flags_of(p));
	tlv_put_u8(&w, ITM_CONDITION, (uint8_t)p->condition);
	return w.overflow ? 0 : w.len;
}

static bool
take_address(char **at, const struct tlv_field *f, const char **list, size_t *n)
{
	if (*n == POD_ADDRESSES)
		return false;
	list[(*n)++] = tlv_take(f, at);
	return true;
}

static bool
take_addresses(struct pod_item *p, char **at, const void *val, size_t len)
{
	struct tlv_field f;
	size_t off = 0;

	while (tlv_next(val, len, &off, &f)) {
		if (f.tag == ITM_ADDRESS &&
		    !take_address(at, &f, p->addresses, &p->naddresses))
			return false;
		if (f.tag == ITM_NODE_ADDRESS &&
		    !take_address(at, &f, p->node_addresses,
			&p->nnode_addresses))
			return false;
	}
	return true;
}

static void
take_flags(struct pod_item *p, uint8_t flags)
{
	p->ours = (flags & FLAG_OURS) != 0;
	p->host_network = (flags & FLAG_HOST_NETWORK) != 0;
	p->waits = (flags & FLAG_WAITS) != 0;
	p->ending = (flags & FLAG_ENDING) != 0;
	p->ready = (flags & FLAG_READY) != 0;
	p->sidecar_ready = (flags & FLAG_SIDECAR_READY) != 0;
	p->gated = (flags & FLAG_GATED) != 0;
}

/* Each field's header of 4 bytes leaves room for the NUL of its text. */
struct pod_item *
pod_item_decode(const void *key, size_t key_len, const void *val, size_t len)
{
	struct tlv_field f[ITM_MAX];
	struct pod_item *p;
	char *at;

	if (!tlv_parse(val, len, item_rules, ITM_MAX, f) ||
	    tlv_u8(&f[ITM_CONDITION]) > POD_CONDITION_TRUE ||
	    tlv_u8(&f[ITM_FLAGS]) > FLAGS_ALL ||
	    (p = calloc(1, sizeof(*p) + len)) == NULL)
		return NULL;
	at = (char *)(p + 1);
	p->namespace = tlv_take(&f[ITM_NAMESPACE], &at);
	p->name = tlv_take(&f[ITM_NAME], &at);
	p->uid = tlv_take(&f[ITM_UID], &at);
	p->sidecar = tlv_take(&f[ITM_SIDECAR], &at);
	p->services = tlv_u32(&f[ITM_SERVICES]);
	p->condition = (enum pod_condition)tlv_u8(&f[ITM_CONDITION]);
	take_flags(p, tlv_u8(&f[ITM_FLAGS]));
	if (key_fits(key, key_len, p->namespace, p->name) &&
	    take_addresses(p, &at, val, len))
		return p;
	free(p);
	return NULL;
}

/* ---- reports ---- */

enum report_tag {
	REP_NAMESPACE,
	REP_NAME,
	REP_UID,
	REP_SIDECAR,
	REP_GATED,
	REP_SYNCED,
	REP_TEXT,
	REP_MAX
};

static const struct tlv_rule report_rules[REP_MAX] = {
	[REP_NAMESPACE] = NAMESPACE_RULE(REP_NAMESPACE),
	[REP_NAME] = NAME_RULE(REP_NAME),
	[REP_UID] = UID_RULE(REP_UID),
	[REP_SIDECAR] = U8_RULE(REP_SIDECAR),
	[REP_GATED] = U8_RULE(REP_GATED),
	[REP_SYNCED] = U8_RULE(REP_SYNCED),
	[REP_TEXT] = TEXT_RULE(REP_TEXT),
};

static const char *const sidecar_names[] = {
	[POD_SIDECAR_NONE] = "none",
	[POD_SIDECAR_WAITING] = "waiting",
	[POD_SIDECAR_REGISTERED] = "registered",
	[POD_SIDECAR_DEREGISTERED] = "deregistered",
};

const char *
pod_sidecar_name(enum pod_sidecar s)
{
	return s <= POD_SIDECAR_DEREGISTERED ? sidecar_names[s] : "unknown";
}

size_t
pod_report_encode(const struct pod_report *r, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, REP_NAMESPACE, r->namespace);
	tlv_put_str(&w, REP_NAME, r->name);
	tlv_put_str(&w, REP_UID, r->uid);
	tlv_put_u8(&w, REP_SIDECAR, (uint8_t)r->sidecar);
	tlv_put_u8(&w, REP_GATED, r->gated);
	tlv_put_u8(&w, REP_SYNCED, r->synced);
	tlv_put_str(&w, REP_TEXT, r->text);
	return w.overflow ? 0 : w.len;
}

struct pod_report *
pod_report_decode(const void *key, size_t key_len, const void *val, size_t len)
{
	struct tlv_field f[REP_MAX];
	struct pod_report *r;
	char *at;

	if (!tlv_parse(val, len, report_rules, REP_MAX, f) ||
	    tlv_u8(&f[REP_SIDECAR]) > POD_SIDECAR_DEREGISTERED ||
	    tlv_u8(&f[REP_GATED]) > 1 || tlv_u8(&f[REP_SYNCED]) > 1 ||
	    (r = calloc(1, sizeof(*r) + len)) == NULL)
		return NULL;
	at = (char *)(r + 1);
	r->namespace = tlv_take(&f[REP_NAMESPACE], &at);
	r->name = tlv_take(&f[REP_NAME], &at);
	r->uid = tlv_take(&f[REP_UID], &at);
	r->text = tlv_take(&f[REP_TEXT], &at);
	r->sidecar = (enum pod_sidecar)tlv_u8(&f[REP_SIDECAR]);
	r->gated = tlv_u8(&f[REP_GATED]) != 0;
	r->synced = tlv_u8(&f[REP_SYNCED]) != 0;
	if (key_fits(key, key_len, r->namespace, r->name))
		return r;
	free(r);
	return NULL;
}

/* ---- gates ---- */

enum gate_tag {
	GAT_NAMESPACE,
	GAT_NAME,
	GAT_UID,
	GAT_SYNCED,
	GAT_REASON,
	GAT_MESSAGE,
	GAT_SEEN,
	GAT_MAX
};

static const struct tlv_rule gate_rules[GAT_MAX] = {
	[GAT_NAMESPACE] = NAMESPACE_RULE(GAT_NAMESPACE),
	[GAT_NAME] = NAME_RULE(GAT_NAME),
	[GAT_UID] = UID_RULE(GAT_UID),
	[GAT_SYNCED] = U8_RULE(GAT_SYNCED),
	[GAT_REASON] = { GAT_REASON, TLV_STR, 0, 1, LIMIT_TEXT },
	[GAT_MESSAGE] = TEXT_RULE(GAT_MESSAGE),
	[GAT_SEEN] = U8_RULE(GAT_SEEN),
};

size_t
pod_gate_encode(const struct pod_gate *g, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, GAT_NAMESPACE, g->namespace);
	tlv_put_str(&w, GAT_NAME, g->name);
	tlv_put_str(&w, GAT_UID, g->uid);
	tlv_put_u8(&w, GAT_SYNCED, g->synced);
	tlv_put_str(&w, GAT_REASON, g->reason);
	tlv_put_str(&w, GAT_MESSAGE, g->message);
	tlv_put_u8(&w, GAT_SEEN, (uint8_t)g->seen);
	return w.overflow ? 0 : w.len;
}

struct pod_gate *
pod_gate_decode(const void *key, size_t key_len, const void *val, size_t len)
{
	struct tlv_field f[GAT_MAX];
	struct pod_gate *g;
	char *at;

	if (!tlv_parse(val, len, gate_rules, GAT_MAX, f) ||
	    f[GAT_UID].len != key_len ||
	    memcmp(f[GAT_UID].val, key, key_len) != 0 ||
	    tlv_u8(&f[GAT_SYNCED]) > 1 ||
	    tlv_u8(&f[GAT_SEEN]) > POD_CONDITION_TRUE ||
	    (g = calloc(1, sizeof(*g) + len)) == NULL)
		return NULL;
	at = (char *)(g + 1);
	g->namespace = tlv_take(&f[GAT_NAMESPACE], &at);
	g->name = tlv_take(&f[GAT_NAME], &at);
	g->uid = tlv_take(&f[GAT_UID], &at);
	g->reason = tlv_take(&f[GAT_REASON], &at);
	g->message = tlv_take(&f[GAT_MESSAGE], &at);
	g->synced = tlv_u8(&f[GAT_SYNCED]) != 0;
	g->seen = (enum pod_condition)tlv_u8(&f[GAT_SEEN]);
	return g;
}
