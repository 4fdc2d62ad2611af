#include "common/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/tlv.h"

/* Tags of a PUT's value (a space of their own), and places in the rules. */
enum service_tag {
	SVC_ID,
	SVC_NAME,
	SVC_NAMESPACE,
	SVC_POD,
	SVC_POD_UID,
	SVC_ADDRESS,
	SVC_LAN_IPV4,
	SVC_LAN_IPV6,
	SVC_NOTES,
	SVC_OUTPUT,
	SVC_TAG,
	SVC_META, /* key, NUL, value */
	SVC_TTL,
	SVC_PORT,
	SVC_STATUS,
	SVC_SIDECAR,
	SVC_MAX
};

#define META_MAX (LIMIT_META_KEY + 1 + LIMIT_META_VALUE)

static const struct tlv_rule service_rules[SVC_MAX] = {
	[SVC_ID] = { SVC_ID, TLV_STR, 0, 1, LIMIT_SERVICE_ID },
	[SVC_NAME] = { SVC_NAME, TLV_STR, 0, 1, LIMIT_SERVICE_NAME },
	[SVC_NAMESPACE] = { SVC_NAMESPACE, TLV_STR, 0, 1, LIMIT_K8S_NAMESPACE },
	[SVC_POD] = { SVC_POD, TLV_STR, 0, 1, LIMIT_K8S_NAME },
	[SVC_POD_UID] = { SVC_POD_UID, TLV_STR, 0, 1, LIMIT_K8S_UID },
	[SVC_ADDRESS] = { SVC_ADDRESS, TLV_STR, 0, 1, LIMIT_ADDRESS },
	[SVC_LAN_IPV4] = { SVC_LAN_IPV4, TLV_STR, TLV_OPTIONAL, 1,
	    LIMIT_ADDRESS },
	[SVC_LAN_IPV6] = { SVC_LAN_IPV6, TLV_STR, TLV_OPTIONAL, 1,
	    LIMIT_ADDRESS },
	[SVC_NOTES] = { SVC_NOTES, TLV_STR, 0, 0, LIMIT_NOTES },
	[SVC_OUTPUT] = { SVC_OUTPUT, TLV_STR, 0, 0, LIMIT_TEXT },
	[SVC_TAG] = { SVC_TAG, TLV_STR, TLV_OPTIONAL | TLV_REPEAT, 1,
	    LIMIT_TAG },
	[SVC_META] = { SVC_META, TLV_BYTES, TLV_OPTIONAL | TLV_REPEAT, 2,
	    META_MAX },
	[SVC_TTL] = { SVC_TTL, TLV_U64, 0, 8, 8 },
	[SVC_PORT] = { SVC_PORT, TLV_U16, 0, 2, 2 },
	[SVC_STATUS] = { SVC_STATUS, TLV_U8, 0, 1, 1 },
	[SVC_SIDECAR] = { SVC_SIDECAR, TLV_U8, 0, 1, 1 },
};

static const char *const status_names[] = {
	[SERVICE_PASSING] = "passing",
	[SERVICE_WARNING] = "warning",
	[SERVICE_CRITICAL] = "critical",
};
#define STATUS_MAX (sizeof(status_names) / sizeof(*status_names))

const char *
service_status_name(enum service_status st)
{
	return st < STATUS_MAX ? status_names[st] : "unknown";
}

bool
service_status_parse(const char *s, enum service_status *st)
{
	for (size_t i = 0; i < STATUS_MAX; i++) {
		if (strcmp(s, status_names[i]) == 0) {
			*st = (enum service_status)i;
			return true;
		}
	}
	return false;
}

static void
put_optional(struct tlv_writer *w, uint16_t tag, const char *s)
{
	if (s != NULL)
		tlv_put_str(w, tag, s);
}

static void
put_meta(struct tlv_writer *w, const struct service_meta *m)
{
	char pair[META_MAX];
	size_t key = strlen(m->key) + 1, val = strlen(m->val);

	if (key + val > sizeof(pair)) {
		w->overflow = true;
		return;
	}
	memcpy(pair, m->key, key);
	memcpy(pair + key, m->val, val);
	tlv_put(w, SVC_META, pair, key + val);
}

size_t
service_encode(const struct service *s, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, SVC_ID, s->id);
	tlv_put_str(&w, SVC_NAME, s->name);
	tlv_put_str(&w, SVC_NAMESPACE, s->namespace);
	tlv_put_str(&w, SVC_POD, s->pod);
	tlv_put_str(&w, SVC_POD_UID, s->pod_uid);
	tlv_put_str(&w, SVC_ADDRESS, s->address);
	put_optional(&w, SVC_LAN_IPV4, s->lan_ipv4);
	put_optional(&w, SVC_LAN_IPV6, s->lan_ipv6);
	tlv_put_str(&w, SVC_NOTES, s->notes);
	tlv_put_str(&w, SVC_OUTPUT, s->output);
	for (size_t i = 0; i < s->ntags; i++)
		tlv_put_str(&w, SVC_TAG, s->tags[i]);
	for (size_t i = 0; i < s->nmeta; i++)
		put_meta(&w, &s->meta[i]);
	tlv_put_u64(&w, SVC_TTL, s->ttl_ms);
	tlv_put_u16(&w, SVC_PORT, s->port);
	tlv_put_u8(&w, SVC_STATUS, (uint8_t)s->status);
	tlv_put_u8(&w, SVC_SIDECAR, s->sidecar);
	return w.overflow ? 0 : w.len;
}

static bool
take_tag(struct service *s, char **at, const struct tlv_field *f)
{
	if (s->ntags == LIMIT_TAGS)
		return false;
	s->tags[s->ntags++] = tlv_take(f, at);
	return true;
}

/* Keys ascend, so that none stands there twice. */
static bool
take_meta(struct service *s, char **at, const struct tlv_field *f)
{
	const uint8_t *nul = memchr(f->val, '\0', f->len);
	struct service_meta *m = &s->meta[s->nmeta];
	size_t key;

	if (s->nmeta == LIMIT_META || nul == NULL || nul == f->val)
		return false;
	key = (size_t)(nul - f->val);
	if (memchr(nul + 1, '\0', f->len - key - 1) != NULL)
		return false;
	if (key > LIMIT_META_KEY || f->len - key - 1 > LIMIT_META_VALUE)
		return false;
	m->key = tlv_take(f, at);
	m->val = m->key + key + 1;
	s->nmeta++;
	return s->nmeta == 1 || strcmp(m[-1].key, m->key) < 0;
}

static bool
take_lists(struct service *s, char **at, const void *val, size_t len)
{
	struct tlv_field f;
	size_t off = 0;

	while (tlv_next(val, len, &off, &f)) {
		if (f.tag == SVC_TAG && !take_tag(s, at, &f))
			return false;
		if (f.tag == SVC_META && !take_meta(s, at, &f))
			return false;
	}
	return true;
}

static bool
key_is(const struct tlv_field *f, const void *key, size_t key_len)
{
	return f->len == key_len && memcmp(f->val, key, key_len) == 0;
}

/* Each field's header of 4 bytes leaves room for the NUL of its text. */
struct service *
service_decode(const void *key, size_t key_len, const void *val, size_t len)
{
	struct tlv_field f[SVC_MAX];
	struct service *s;
	char *at;

	if (!tlv_parse(val, len, service_rules, SVC_MAX, f) ||
	    !key_is(&f[SVC_ID], key, key_len))
		return NULL;
	if (tlv_u8(&f[SVC_STATUS]) >= STATUS_MAX ||
	    tlv_u8(&f[SVC_SIDECAR]) > 1 || tlv_u16(&f[SVC_PORT]) == 0 ||
	    tlv_u64(&f[SVC_TTL]) == 0)
		return NULL;
	if ((s = calloc(1, sizeof(*s) + len)) == NULL)
		return NULL;
	at = (char *)(s + 1);
	s->id = tlv_take(&f[SVC_ID], &at);
	s->name = tlv_take(&f[SVC_NAME], &at);
	s->namespace = tlv_take(&f[SVC_NAMESPACE], &at);
	s->pod = tlv_take(&f[SVC_POD], &at);
	s->pod_uid = tlv_take(&f[SVC_POD_UID], &at);
	s->address = tlv_take(&f[SVC_ADDRESS], &at);
	s->lan_ipv4 = tlv_take(&f[SVC_LAN_IPV4], &at);
	s->lan_ipv6 = tlv_take(&f[SVC_LAN_IPV6], &at);
	s->notes = tlv_take(&f[SVC_NOTES], &at);
	s->output = tlv_take(&f[SVC_OUTPUT], &at);
	s->ttl_ms = tlv_u64(&f[SVC_TTL]);
	s->port = tlv_u16(&f[SVC_PORT]);
	s->status = (enum service_status)tlv_u8(&f[SVC_STATUS]);
	s->sidecar = tlv_u8(&f[SVC_SIDECAR]) != 0;
	if (!take_lists(s, &at, val, len)) {
		free(s);
		return NULL;
	}
	return s;
}

bool
service_is_own(const struct service *s)
{
	char id[LIMIT_SERVICE_ID + 1];
	int n = snprintf(id, sizeof(id), SERVICE_ID_FORMAT, s->name,
	    s->namespace, s->pod);

	if (n >= (int)sizeof(id) || strcmp(id, s->id) != 0)
		return false;
	for (size_t i = 0; i < s->nmeta; i++) {
		if (strcmp(s->meta[i].key, SERVICE_MARK_KEY) == 0)
			return strcmp(s->meta[i].val, SERVICE_MARK) == 0;
	}
	return false;
}

enum report_tag {
	REP_ID,
	REP_NAME,
	REP_NAMESPACE,
	REP_POD,
	REP_DESIRED,
	REP_ACTUAL,
	REP_ERROR,
	REP_MAX
};

/* A word such as "passing", "absent", "unknown". */
#define STATUS_WORD 31

/*
 * What is only in Consul may have any name there, and namespace and pod only
 * if its meta says so: their bounds are those of meta.
 */
static const struct tlv_rule report_rules[REP_MAX] = {
	[REP_ID] = { REP_ID, TLV_STR, 0, 1, LIMIT_SET_KEY },
	[REP_NAME] = { REP_NAME, TLV_STR, 0, 0, LIMIT_META_VALUE },
	[REP_NAMESPACE] = { REP_NAMESPACE, TLV_STR, 0, 0, LIMIT_META_VALUE },
	[REP_POD] = { REP_POD, TLV_STR, 0, 0, LIMIT_META_VALUE },
	[REP_DESIRED] = { REP_DESIRED, TLV_STR, 0, 1, STATUS_WORD },
	[REP_ACTUAL] = { REP_ACTUAL, TLV_STR, 0, 1, STATUS_WORD },
	[REP_ERROR] = { REP_ERROR, TLV_STR, 0, 0, LIMIT_TEXT },
};

size_t
service_report_encode(const struct service_report *r, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, REP_ID, r->id);
	tlv_put_str(&w, REP_NAME, r->name);
	tlv_put_str(&w, REP_NAMESPACE, r->namespace);
	tlv_put_str(&w, REP_POD, r->pod);
	tlv_put_str(&w, REP_DESIRED, r->desired);
	tlv_put_str(&w, REP_ACTUAL, r->actual);
	tlv_put_str(&w, REP_ERROR, r->error);
	return w.overflow ? 0 : w.len;
}

struct service_report *
service_report_decode(const void *key, size_t key_len, const void *val,
    size_t len)
{
	struct tlv_field f[REP_MAX];
	struct service_report *r;
	char *at;

	if (!tlv_parse(val, len, report_rules, REP_MAX, f) ||
	    !key_is(&f[REP_ID], key, key_len))
		return NULL;
	if ((r = calloc(1, sizeof(*r) + len)) == NULL)
		return NULL;
	at = (char *)(r + 1);
	r->id = tlv_take(&f[REP_ID], &at);
	r->name = tlv_take(&f[REP_NAME], &at);
	r->namespace = tlv_take(&f[REP_NAMESPACE], &at);
	r->pod = tlv_take(&f[REP_POD], &at);
	r->desired = tlv_take(&f[REP_DESIRED], &at);
	r->actual = tlv_take(&f[REP_ACTUAL], &at);
	r->error = tlv_take(&f[REP_ERROR], &at);
	return r;
}
