#include "common/backend.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/tlv.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- keys ---- */

static const char letters[] = {
	[BACKEND_NONE] = '\0',
	[BACKEND_SERVICE] = 's',
	[BACKEND_INSTANCE] = 'i',
};

/* The letter, NUL, the service, without what follows. */
static size_t
key_begin(enum backend_kind kind, const char *service, char key[LIMIT_SET_KEY])
{
	size_t n = strlen(service);

	if (n == 0 || n > LIMIT_SERVICE_NAME)
		return 0;
	key[0] = letters[kind];
	key[1] = '\0';
	memcpy(key + 2, service, n);
	return n + 2;
}

size_t
backend_service_key(const char *service, char key[LIMIT_SET_KEY])
{
	return key_begin(BACKEND_SERVICE, service, key);
}

/* What all instances of a service begin with, and nothing else. */
static size_t
instance_prefix(const char *service, char key[LIMIT_SET_KEY])
{
	size_t n = key_begin(BACKEND_INSTANCE, service, key);

	if (n == 0)
		return 0;
	key[n] = '\0';
	return n + 1;
}

/* 32 hexadecimal digits and a NUL; the NULs in between count. */
static void
hash_names(const char *node, size_t node_len, const char *id, size_t id_len,
    char hex[33])
{
	XXH128_hash_t seed = XXH3_128bits(node, node_len);
	XXH128_hash_t h = XXH3_128bits_withSeed(id, id_len, seed.low64);

	snprintf(hex, 33, "%016llx%016llx",
	    (unsigned long long)(h.high64 ^ seed.high64),
	    (unsigned long long)h.low64);
}

size_t
backend_instance_key(const char *service, const char *node, const char *id,
    char key[LIMIT_SET_KEY])
{
	size_t n = instance_prefix(service, key);
	size_t node_len = strlen(node), id_len = strlen(id);
	char hex[33];

	if (n == 0)
		return 0;
	if (n + node_len + 1 + id_len > LIMIT_SET_KEY) {
		hash_names(node, node_len, id, id_len, hex);
		node_len = 0;
		id_len = 32;
		id = hex;
	}
	memcpy(key + n, node, node_len);
	key[n + node_len] = '\0';
	memcpy(key + n + node_len + 1, id, id_len);
	return n + node_len + 1 + id_len;
}

/* How many NULs are behind the service. */
static size_t
count_nuls(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += s[i] == '\0';
	return n;
}

enum backend_kind
backend_key(const void *key, size_t len, char service[LIMIT_SERVICE_NAME + 1])
{
	const char *s = key;
	size_t n;

	service[0] = '\0';
	if (len < 3 || s[1] != '\0')
		return BACKEND_NONE;
	n = strnlen(s + 2, len - 2);
	if (n == 0 || n > LIMIT_SERVICE_NAME)
		return BACKEND_NONE;
	if (s[0] == letters[BACKEND_SERVICE] && n == len - 2) {
		strlcpy(service, s + 2, n + 1);
		return BACKEND_SERVICE;
	}
	if (s[0] != letters[BACKEND_INSTANCE] ||
	    count_nuls(s + 2 + n, len - 2 - n) != 2)
		return BACKEND_NONE;
	strlcpy(service, s + 2, n + 1);
	return BACKEND_INSTANCE;
}

/* ---- what Kubernetes takes ---- */

struct range {
	uint8_t net[16];
	unsigned bits;
	const char *what;
};

static const struct range v4_ranges[] = {
	{ { 0, 0, 0, 0 }, 32, "the unspecified address" },
	{ { 127 }, 8, "a loopback address" },
	{ { 169, 254 }, 16, "a link-local address" },
	{ { 224, 0, 0 }, 24, "a link-local multicast address" },
};

static const struct range v6_ranges[] = {
	{ { 0 }, 128, "the unspecified address" },
	{ { [15] = 1 }, 128, "a loopback address" },
	{ { 0xfe, 0x80 }, 10, "a link-local address" },
};

static bool
in_range(const uint8_t *ip, const struct range *r)
{
	unsigned whole = r->bits / 8, rest = r->bits % 8;

	if (memcmp(ip, r->net, whole) != 0)
		return false;
	return rest == 0 || (ip[whole] ^ r->net[whole]) >> (8 - rest) == 0;
}

static const char *
find_range(const uint8_t *ip, const struct range *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (in_range(ip, &r[i]))
			return r[i].what;
	}
	return NULL;
}

static const char *
write_v4(const uint8_t *ip, char out[BACKEND_ADDRESS])
{
	const char *why = find_range(ip, v4_ranges, COUNT(v4_ranges));

	if (why == NULL)
		inet_ntop(AF_INET, ip, out, BACKEND_ADDRESS);
	return why;
}

/* Whatever its flags are. */
static bool
is_v6_multicast_of_link(const uint8_t *ip)
{
	return ip[0] == 0xff && (ip[1] & 0x0f) == 2;
}

static const char *
write_v6(const uint8_t *ip, char out[BACKEND_ADDRESS])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const char *why;

	if (memcmp(ip, mapped, sizeof(mapped)) == 0)
		return write_v4(ip + sizeof(mapped), out);
	why = find_range(ip, v6_ranges, COUNT(v6_ranges));
	if (why == NULL && is_v6_multicast_of_link(ip))
		why = "a link-local multicast address";
	if (why == NULL)
		inet_ntop(AF_INET6, ip, out, BACKEND_ADDRESS);
	return why;
}

const char *
backend_address(const char *text, char out[BACKEND_ADDRESS])
{
	uint8_t ip[16];

	out[0] = '\0';
	if (inet_pton(AF_INET, text, ip) == 1)
		return write_v4(ip, out);
	if (inet_pton(AF_INET6, text, ip) == 1)
		return write_v6(ip, out);
	return "not an IP address";
}

enum backend_family
backend_family(const char *address)
{
	return strchr(address, ':') != NULL ? BACKEND_IPV6 : BACKEND_IPV4;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* n bytes, 1..max, of the ends' bytes and, inside, of the middle's. */
static bool
is_made_of(const char *s, size_t n, size_t max, const char *ends,
    const char *middle)
{
	return n >= 1 && n <= max && strspn(s, middle) >= n &&
	    strchr(ends, s[0]) != NULL && strchr(ends, s[n - 1]) != NULL;
}

#define LABEL_MAX 63

static bool
is_label_of(const char *s, size_t n)
{
	return is_made_of(s, n, LABEL_MAX, LOWER DIGIT, LOWER DIGIT "-");
}

bool
backend_is_label(const char *s)
{
	return is_label_of(s, strlen(s));
}

/* Labels of any length, in all at most LIMIT_K8S_NAME: as the apiserver. */
static bool
is_subdomain_of(const char *s, size_t len)
{
	size_t n;

	if (len > LIMIT_K8S_NAME)
		return false;
	for (;; s += n + 1, len -= n + 1) {
		n = strcspn(s, ".");
		if (n > len)
			n = len;
		if (!is_made_of(s, n, len, LOWER DIGIT, LOWER DIGIT "-"))
			return false;
		if (n == len)
			return true;
	}
}

bool
backend_is_subdomain(const char *s)
{
	return is_subdomain_of(s, strlen(s));
}

bool
backend_is_label_value(const char *s)
{
	return is_made_of(s, strlen(s), LABEL_MAX, LOWER UPPER DIGIT,
	    LOWER UPPER DIGIT "-_.");
}

bool
backend_is_qualified(const char *s)
{
	const char *slash = strchr(s, '/');

	if (slash == NULL)
		return backend_is_label_value(s);
	return is_subdomain_of(s, (size_t)(slash - s)) &&
	    backend_is_label_value(slash + 1);
}

/* ---- values ---- */

enum service_tag {
	BSV_CREATE_INDEX,
	BSV_PORT_NAME,
	BSV_APP_PROTOCOL,
	BSV_INTERNAL,
	BSV_EXTERNAL,
	BSV_MAX
};

#define QUALIFIED_MAX (LIMIT_K8S_NAME + 1 + LABEL_MAX)

static const struct tlv_rule service_rules[BSV_MAX] = {
	[BSV_CREATE_INDEX] = { BSV_CREATE_INDEX, TLV_U64, 0, 8, 8 },
	[BSV_PORT_NAME] = { BSV_PORT_NAME, TLV_STR, 0, 0, LABEL_MAX },
	[BSV_APP_PROTOCOL] = { BSV_APP_PROTOCOL, TLV_STR, 0, 0, QUALIFIED_MAX },
	[BSV_INTERNAL] = { BSV_INTERNAL, TLV_U8, 0, 1, 1 },
	[BSV_EXTERNAL] = { BSV_EXTERNAL, TLV_U8, 0, 1, 1 },
};

enum instance_tag {
	BIN_ADDRESS,
	BIN_NODE,
	BIN_ZONE,
	BIN_PORT,
	BIN_READY,
	BIN_MAX
};

static const struct tlv_rule instance_rules[BIN_MAX] = {
	[BIN_ADDRESS] = { BIN_ADDRESS, TLV_STR, 0, 1, BACKEND_ADDRESS - 1 },
	[BIN_NODE] = { BIN_NODE, TLV_STR, 0, 0, LIMIT_K8S_NAME },
	[BIN_ZONE] = { BIN_ZONE, TLV_STR, 0, 0, LABEL_MAX },
	[BIN_PORT] = { BIN_PORT, TLV_U16, 0, 2, 2 },
	[BIN_READY] = { BIN_READY, TLV_U8, 0, 1, 1 },
};

size_t
backend_service_encode(const struct backend_service *s, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_u64(&w, BSV_CREATE_INDEX, s->create_index);
	tlv_put_str(&w, BSV_PORT_NAME, s->port_name);
	tlv_put_str(&w, BSV_APP_PROTOCOL, s->app_protocol);
	tlv_put_u8(&w, BSV_INTERNAL, s->internal);
	tlv_put_u8(&w, BSV_EXTERNAL, s->external);
	return w.overflow ? 0 : w.len;
}

size_t
backend_instance_encode(const struct backend_instance *i, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, BIN_ADDRESS, i->address);
	tlv_put_str(&w, BIN_NODE, i->node);
	tlv_put_str(&w, BIN_ZONE, i->zone);
	tlv_put_u16(&w, BIN_PORT, i->port);
	tlv_put_u8(&w, BIN_READY, i->ready);
	return w.overflow ? 0 : w.len;
}

/* Copies bytes and a NUL to *at and moves *at behind them. */
static const char *
take_bytes(char **at, const void *s, size_t len)
{
	char *to = *at;

	memcpy(to, s, len);
	to[len] = '\0';
	*at = to + len + 1;
	return to;
}

static bool
is_flag(const struct tlv_field *f)
{
	return tlv_u8(f) <= 1;
}

static bool
service_is_valid(const struct backend_service *s)
{
	if (*s->port_name != '\0' && !backend_is_label(s->port_name))
		return false;
	return *s->app_protocol == '\0' ||
	    backend_is_qualified(s->app_protocol);
}

/* Each field's header of 4 bytes leaves room for the NUL of its text. */
struct backend_service *
backend_service_decode(const void *key, size_t key_len, const void *val,
    size_t len)
{
	char name[LIMIT_SERVICE_NAME + 1];
	struct tlv_field f[BSV_MAX];
	struct backend_service *s;
	char *at;

	if (backend_key(key, key_len, name) != BACKEND_SERVICE ||
	    !tlv_parse(val, len, service_rules, BSV_MAX, f) ||
	    !is_flag(&f[BSV_INTERNAL]) || !is_flag(&f[BSV_EXTERNAL]))
		return NULL;
	if ((s = calloc(1, sizeof(*s) + len + key_len)) == NULL)
		return NULL;
	at = (char *)(s + 1);
	s->service = take_bytes(&at, name, strlen(name));
	s->create_index = tlv_u64(&f[BSV_CREATE_INDEX]);
	s->port_name = tlv_take(&f[BSV_PORT_NAME], &at);
	s->app_protocol = tlv_take(&f[BSV_APP_PROTOCOL], &at);
	s->internal = tlv_u8(&f[BSV_INTERNAL]) != 0;
	s->external = tlv_u8(&f[BSV_EXTERNAL]) != 0;
	if (service_is_valid(s))
		return s;
	free(s);
	return NULL;
}

static bool
instance_is_valid(const struct backend_instance *i)
{
	char canonical[BACKEND_ADDRESS];

	if (backend_address(i->address, canonical) != NULL ||
	    strcmp(i->address, canonical) != 0)
		return false;
	if (*i->node != '\0' && !backend_is_subdomain(i->node))
		return false;
	return *i->zone == '\0' || backend_is_label_value(i->zone);
}

struct backend_instance *
backend_instance_decode(const void *key, size_t key_len, const void *val,
    size_t len)
{
	char name[LIMIT_SERVICE_NAME + 1];
	struct tlv_field f[BIN_MAX];
	struct backend_instance *i;
	char *at;

	if (backend_key(key, key_len, name) != BACKEND_INSTANCE ||
	    !tlv_parse(val, len, instance_rules, BIN_MAX, f) ||
	    !is_flag(&f[BIN_READY]))
		return NULL;
	if ((i = calloc(1, sizeof(*i) + len + key_len)) == NULL)
		return NULL;
	at = (char *)(i + 1);
	i->service = take_bytes(&at, name, strlen(name));
	i->address = tlv_take(&f[BIN_ADDRESS], &at);
	i->node = tlv_take(&f[BIN_NODE], &at);
	i->zone = tlv_take(&f[BIN_ZONE], &at);
	i->port = tlv_u16(&f[BIN_PORT]);
	i->ready = tlv_u8(&f[BIN_READY]) != 0;
	if (instance_is_valid(i))
		return i;
	free(i);
	return NULL;
}

/* ---- reports ---- */

enum report_tag {
	OBR_ID,
	OBR_KIND,
	OBR_NAMESPACE,
	OBR_NAME,
	OBR_SERVICE,
	OBR_DESIRED,
	OBR_ACTUAL,
	OBR_ERROR,
	OBR_MAX
};

/* A kind, or a word such as "outdated". */
#define WORD_MAX 31

static const struct tlv_rule report_rules[OBR_MAX] = {
	[OBR_ID] = { OBR_ID, TLV_STR, 0, 1, LIMIT_SET_KEY },
	[OBR_KIND] = { OBR_KIND, TLV_STR, 0, 1, WORD_MAX },
	[OBR_NAMESPACE] = { OBR_NAMESPACE, TLV_STR, 0, 1, LIMIT_K8S_NAMESPACE },
	[OBR_NAME] = { OBR_NAME, TLV_STR, 0, 1, LIMIT_K8S_NAME },
	[OBR_SERVICE] = { OBR_SERVICE, TLV_STR, 0, 0, LIMIT_SERVICE_NAME },
	[OBR_DESIRED] = { OBR_DESIRED, TLV_STR, 0, 1, WORD_MAX },
	[OBR_ACTUAL] = { OBR_ACTUAL, TLV_STR, 0, 1, WORD_MAX },
	[OBR_ERROR] = { OBR_ERROR, TLV_STR, 0, 0, LIMIT_TEXT },
};

size_t
object_report_encode(const struct object_report *r, void *buf, size_t cap)
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, cap);
	tlv_put_str(&w, OBR_ID, r->id);
	tlv_put_str(&w, OBR_KIND, r->kind);
	tlv_put_str(&w, OBR_NAMESPACE, r->namespace);
	tlv_put_str(&w, OBR_NAME, r->name);
	tlv_put_str(&w, OBR_SERVICE, r->service);
	tlv_put_str(&w, OBR_DESIRED, r->desired);
	tlv_put_str(&w, OBR_ACTUAL, r->actual);
	tlv_put_str(&w, OBR_ERROR, r->error);
	return w.overflow ? 0 : w.len;
}

struct object_report *
object_report_decode(const void *key, size_t key_len, const void *val,
    size_t len)
{
	struct tlv_field f[OBR_MAX];
	struct object_report *r;
	char *at;

	if (!tlv_parse(val, len, report_rules, OBR_MAX, f) ||
	    f[OBR_ID].len != key_len ||
	    memcmp(f[OBR_ID].val, key, key_len) != 0)
		return NULL;
	if ((r = calloc(1, sizeof(*r) + len)) == NULL)
		return NULL;
	at = (char *)(r + 1);
	r->id = tlv_take(&f[OBR_ID], &at);
	r->kind = tlv_take(&f[OBR_KIND], &at);
	r->namespace = tlv_take(&f[OBR_NAMESPACE], &at);
	r->name = tlv_take(&f[OBR_NAME], &at);
	r->service = tlv_take(&f[OBR_SERVICE], &at);
	r->desired = tlv_take(&f[OBR_DESIRED], &at);
	r->actual = tlv_take(&f[OBR_ACTUAL], &at);
	r->error = tlv_take(&f[OBR_ERROR], &at);
	return r;
}
