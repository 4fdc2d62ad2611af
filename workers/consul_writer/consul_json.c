#include "workers/consul_writer/consul_json.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/duration.h"
#include "common/log.h"

#define MARK_KEY      "external-sync-source"
#define MARK_VALUE    "katalog-sync"
#define NAMESPACE_KEY "external-k8s-namespace"
#define POD_KEY       "external-k8s-pod"

#define CHECK_NAME    128
#define TO_STRING     (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define TO_PEOPLE     (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)

static void
check_name(const struct service *s, uint64_t deregister_ms,
    char buf[CHECK_NAME])
{
	char ttl[DURATION_TEXT], after[DURATION_TEXT];

	duration_format(s->ttl_ms, ttl);
	duration_format(deregister_ms, after);
	if (deregister_ms == 0)
		snprintf(buf, CHECK_NAME, "Kubernetes readiness (TTL %s)", ttl);
	else
		snprintf(buf, CHECK_NAME,
		    "Kubernetes readiness (TTL %s, deregister after %s)", ttl,
		    after);
}

/* ---- fingerprints ---- */

/* With its NUL, so that no two lists of texts hash the same bytes. */
static void
hash_text(XXH3_state_t *h, const char *s)
{
	XXH3_128bits_update(h, s, strlen(s) + 1);
}

static void
hash_number(XXH3_state_t *h, uint64_t n)
{
	XXH3_128bits_update(h, &n, sizeof(n));
}

static XXH3_state_t *
hash_new(void)
{
	XXH3_state_t *h = XXH3_createState();

	if (h == NULL)
		fatal("consul: hash");
	XXH3_128bits_reset(h);
	return h;
}

static struct fingerprint
hash_end(XXH3_state_t *h)
{
	XXH128_hash_t d = XXH3_128bits_digest(h);

	XXH3_freeState(h);
	return (struct fingerprint){ .lo = d.low64, .hi = d.high64 };
}

/* Pairs of meta stand in no order: their hashes are added up. */
static void
hash_pair(struct fingerprint *sum, const char *key, const char *val)
{
	XXH3_state_t *h = hash_new();
	struct fingerprint one;

	hash_text(h, key);
	hash_text(h, val);
	one = hash_end(h);
	sum->lo += one.lo;
	sum->hi += one.hi;
}

/* What both sides hash, in this order; tags follow, then the check. */
struct outline {
	const char *name;
	const char *address;
	const char *lan_ipv4;
	const char *lan_ipv6;
	uint64_t port;
	struct fingerprint meta;
	size_t ntags;
};

static void
hash_outline(XXH3_state_t *h, const struct outline *o)
{
	hash_text(h, o->name);
	hash_text(h, o->address);
	hash_text(h, o->lan_ipv4);
	hash_text(h, o->lan_ipv6);
	hash_number(h, o->port);
	hash_number(h, o->meta.lo);
	hash_number(h, o->meta.hi);
	hash_number(h, o->ntags);
}

/* The agent adds the address itself as the tagged one of its family. */
static const char *
tagged(const struct service *s, const char *other, bool v6)
{
	bool own = (strchr(s->address, ':') != NULL) == v6;

	if (other != NULL)
		return other;
	return own ? s->address : "";
}

struct fingerprint
consul_json_def(const struct service *s, uint64_t deregister_ms)
{
	struct outline o = {
		.name = s->name,
		.address = s->address,
		.lan_ipv4 = tagged(s, s->lan_ipv4, false),
		.lan_ipv6 = tagged(s, s->lan_ipv6, true),
		.port = s->port,
		.ntags = s->ntags,
	};
	XXH3_state_t *h = hash_new();
	char name[CHECK_NAME];

	for (size_t i = 0; i < s->nmeta; i++)
		hash_pair(&o.meta, s->meta[i].key, s->meta[i].val);
	hash_outline(h, &o);
	for (size_t i = 0; i < s->ntags; i++)
		hash_text(h, s->tags[i]);
	check_name(s, deregister_ms, name);
	hash_text(h, name);
	hash_text(h, s->notes);
	return hash_end(h);
}

/* ---- what is sent ---- */

static struct json_object *
need(struct json_object *o)
{
	if (o == NULL)
		fatalx("consul: out of memory for a request");
	return o;
}

static void
add(struct json_object *o, const char *key, struct json_object *val)
{
	if (json_object_object_add(o, key, need(val)) != 0)
		fatalx("consul: out of memory for a request");
}

static void
add_str(struct json_object *o, const char *key, const char *val)
{
	add(o, key, json_object_new_string(val));
}

static void
add_duration(struct json_object *o, const char *key, uint64_t ms)
{
	char text[DURATION_TEXT];

	add_str(o, key, duration_format(ms, text));
}

static void
append(struct json_object *a, struct json_object *val)
{
	if (json_object_array_add(a, need(val)) != 0)
		fatalx("consul: out of memory for a request");
}

static struct json_object *
tags_object(const struct service *s)
{
	struct json_object *a = need(json_object_new_array());

	for (size_t i = 0; i < s->ntags; i++)
		append(a, json_object_new_string(s->tags[i]));
	return a;
}

static struct json_object *
meta_object(const struct service *s)
{
	struct json_object *o = need(json_object_new_object());

	for (size_t i = 0; i < s->nmeta; i++)
		add_str(o, s->meta[i].key, s->meta[i].val);
	return o;
}

static void
add_tagged(struct json_object *o, const char *key, const char *address,
    uint16_t port)
{
	struct json_object *a;

	if (address == NULL)
		return;
	a = need(json_object_new_object());
	add_str(a, "Address", address);
	add(a, "Port", json_object_new_int(port));
	add(o, key, a);
}

static struct json_object *
tagged_object(const struct service *s)
{
	struct json_object *o = need(json_object_new_object());

	add_tagged(o, "lan_ipv4", s->lan_ipv4, s->port);
	add_tagged(o, "lan_ipv6", s->lan_ipv6, s->port);
	return o;
}

static struct json_object *
check_object(const struct service *s, uint64_t deregister_ms)
{
	struct json_object *o = need(json_object_new_object());
	char name[CHECK_NAME];

	check_name(s, deregister_ms, name);
	add_str(o, "CheckID", s->id);
	add_str(o, "Name", name);
	add_duration(o, "TTL", s->ttl_ms);
	add_str(o, "Status", service_status_name(s->status));
	add_str(o, "Notes", s->notes);
	if (deregister_ms != 0)
		add_duration(o, "DeregisterCriticalServiceAfter",
		    deregister_ms);
	return o;
}

static struct json_object *
register_object(const struct service *s, uint64_t deregister_ms)
{
	struct json_object *o = need(json_object_new_object());

	add_str(o, "ID", s->id);
	add_str(o, "Name", s->name);
	add_str(o, "Address", s->address);
	add(o, "Port", json_object_new_int(s->port));
	add(o, "Tags", tags_object(s));
	add(o, "Meta", meta_object(s));
	if (s->lan_ipv4 != NULL || s->lan_ipv6 != NULL)
		add(o, "TaggedAddresses", tagged_object(s));
	add(o, "Check", check_object(s, deregister_ms));
	return o;
}

/* The text of o, which is freed. */
static char *
text_of(struct json_object *o, int flags, const char *end)
{
	const char *s = json_object_to_json_string_ext(o, flags);
	char *text;

	if (s == NULL || asprintf(&text, "%s%s", s, end) < 0)
		fatalx("consul: out of memory for a request");
	json_object_put(o);
	return text;
}

char *
consul_json_register(const struct service *s, uint64_t deregister_ms)
{
	return text_of(register_object(s, deregister_ms), TO_STRING, "");
}

char *
consul_json_update(const struct service *s)
{
	struct json_object *o = need(json_object_new_object());

	add_str(o, "Status", service_status_name(s->status));
	add_str(o, "Output", s->output);
	return text_of(o, TO_STRING, "");
}

char *
consul_json_dry_run(const struct service *const *s, size_t n,
    uint64_t deregister_ms)
{
	struct json_object *a = need(json_object_new_array());

	for (size_t i = 0; i < n; i++)
		append(a, register_object(s[i], deregister_ms));
	return text_of(a, TO_PEOPLE, "\n");
}

/* ---- what the agent answers ---- */

/* The whole text as one object, or NULL. */
static struct json_object *
parse_object(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(LIMIT_JSON_DEPTH);
	struct json_object *o = NULL;
	size_t end;

	if (tok == NULL)
		fatalx("consul: out of memory for an answer");
	json_tokener_set_flags(tok,
	    JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	if (len <= INT_MAX)
		o = json_tokener_parse_ex(tok, text, (int)len);
	end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (json_object_is_type(o, json_type_object) && end == len)
		return o;
	json_object_put(o);
	return NULL;
}

/* NULL if it is no text, or one with a NUL in it. */
static const char *
text_in(struct json_object *o)
{
	const char *s;

	if (!json_object_is_type(o, json_type_string))
		return NULL;
	s = json_object_get_string(o);
	return strlen(s) == (size_t)json_object_get_string_len(o) ? s : NULL;
}

/* A member's text; "" if it is missing or null. False if it is another type. */
static bool
get_text(struct json_object *o, const char *key, const char **s)
{
	struct json_object *m;

	*s = "";
	if (!json_object_object_get_ex(o, key, &m) || m == NULL)
		return true;
	*s = text_in(m);
	return *s != NULL;
}

/* A member of the given type, or NULL if it is missing or null. */
static bool
get_typed(struct json_object *o, const char *key, enum json_type type,
    struct json_object **m)
{
	if (!json_object_object_get_ex(o, key, m))
		*m = NULL;
	return *m == NULL || json_object_is_type(*m, type);
}

static bool
get_port(struct json_object *o, uint64_t *port)
{
	struct json_object *m;
	int64_t n = 0;

	if (!get_typed(o, "Port", json_type_int, &m))
		return false;
	if (m != NULL)
		n = json_object_get_int64(m);
	/* The agent takes any number here: one that is no port is not ours. */
	*port = (uint64_t)n;
	return true;
}

/* "" also for a port that differs from the service's: we never set one. */
static bool
get_tagged(struct json_object *all, const char *key, uint64_t port,
    const char **address)
{
	struct json_object *m;
	uint64_t own;

	*address = "";
	if (!get_typed(all, key, json_type_object, &m))
		return false;
	if (m == NULL)
		return true;
	if (!get_text(m, "Address", address) || !get_port(m, &own))
		return false;
	if (own != port)
		*address = "";
	return true;
}

static bool
hash_tags(XXH3_state_t *h, struct json_object *tags, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *s = text_in(json_object_array_get_idx(tags, i));

		if (s == NULL)
			return false;
		hash_text(h, s);
	}
	return true;
}

static bool
sum_meta(struct json_object *meta, struct fingerprint *sum)
{
	if (meta == NULL)
		return true;
	json_object_object_foreach(meta, key, val) {
		const char *s = text_in(val);

		if (s == NULL)
			return false;
		hash_pair(sum, key, s);
	}
	return true;
}

static size_t
array_length(struct json_object *a)
{
	return a == NULL ? 0 : json_object_array_length(a);
}

/* The two JSON objects of one service; check is NULL if there is none. */
struct source {
	struct json_object *service;
	struct json_object *tags;
	struct json_object *meta;
	struct json_object *tagged;
	struct json_object *check;
};

static bool
hash_check(XXH3_state_t *h, struct json_object *check)
{
	const char *name, *notes;

	if (!get_text(check, "Name", &name) ||
	    !get_text(check, "Notes", &notes))
		return false;
	hash_text(h, name);
	hash_text(h, notes);
	return true;
}

static bool
read_outline(const struct source *src, struct outline *o)
{
	o->ntags = array_length(src->tags);
	return get_text(src->service, "Service", &o->name) &&
	    get_text(src->service, "Address", &o->address) &&
	    get_port(src->service, &o->port) &&
	    get_tagged(src->tagged, "lan_ipv4", o->port, &o->lan_ipv4) &&
	    get_tagged(src->tagged, "lan_ipv6", o->port, &o->lan_ipv6) &&
	    sum_meta(src->meta, &o->meta);
}

static bool
read_def(const struct source *src, struct fingerprint *def)
{
	struct outline o = { 0 };
	XXH3_state_t *h;
	bool ok;

	if (!read_outline(src, &o))
		return false;
	h = hash_new();
	hash_outline(h, &o);
	ok = hash_tags(h, src->tags, o.ntags) &&
	    (src->check == NULL || hash_check(h, src->check));
	*def = hash_end(h);
	return ok;
}

/* A check under our ID that is not a TTL check of this service is none. */
static bool
read_check(const struct source *src, const char *id, enum actual_state *state)
{
	const char *service, *type, *status;
	enum service_status st;

	*state = ACTUAL_UNCHECKED;
	if (src->check == NULL)
		return true;
	if (!get_text(src->check, "ServiceID", &service) ||
	    !get_text(src->check, "Type", &type) ||
	    !get_text(src->check, "Status", &status) ||
	    !service_status_parse(status, &st))
		return false;
	/* Agents before 1.7 show no type. */
	if (strcmp(service, id) == 0 &&
	    (*type == '\0' || strcmp(type, "ttl") == 0))
		*state = actual_of_status(st);
	return true;
}

static bool
meta_is(struct json_object *meta, const char *key, const char *val)
{
	struct json_object *m;
	const char *s;

	if (meta == NULL || !json_object_object_get_ex(meta, key, &m))
		return false;
	s = text_in(m);
	return s != NULL && strcmp(s, val) == 0;
}

/* Never in the middle of a UTF-8 character. */
static char *
clipped(struct json_object *o, const char *key)
{
	const char *s;
	size_t n;

	if (o == NULL || !get_text(o, key, &s))
		s = "";
	n = strnlen(s, LIMIT_META_VALUE);
	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return xstrndup(s, n);
}

static bool
read_source(struct json_object *service, struct json_object *checks,
    const char *id, struct source *src)
{
	src->service = service;
	return get_typed(service, "Tags", json_type_array, &src->tags) &&
	    get_typed(service, "Meta", json_type_object, &src->meta) &&
	    get_typed(service, "TaggedAddresses", json_type_object,
		&src->tagged) &&
	    get_typed(checks, id, json_type_object, &src->check);
}

static bool
read_one(struct json_object *service, struct json_object *checks,
    const char *id, struct actual *a)
{
	struct source src;

	if (!read_source(service, checks, id, &src) ||
	    !read_def(&src, &a->def) || !read_check(&src, id, &a->state))
		return false;
	if (!meta_is(src.meta, MARK_KEY, MARK_VALUE))
		a->state = ACTUAL_FOREIGN;
	a->id = xstrdup(id);
	a->name = clipped(service, "Service");
	a->namespace = clipped(src.meta, NAMESPACE_KEY);
	a->pod = clipped(src.meta, POD_KEY);
	return true;
}

/* An ID longer than any of ours is somebody else's. */
static bool
has_our_prefix(const char *id)
{
	return strncmp(id, CONSUL_ID_PREFIX, strlen(CONSUL_ID_PREFIX)) == 0 &&
	    strlen(id) <= LIMIT_SERVICE_ID;
}

static int
by_id(const void *a, const void *b)
{
	const struct actual *x = a, *y = b;

	return strcmp(x->id, y->id);
}

/* The map's key and the service's own ID must be the same. */
static const char *
read_all(struct json_object *services, struct json_object *checks,
    struct actual_list *out)
{
	const char *id;

	json_object_object_foreach(services, key, service) {
		if (!json_object_is_type(service, json_type_object) ||
		    !get_text(service, "ID", &id) || strcmp(id, key) != 0)
			return "a service without its ID";
		if (!has_our_prefix(id))
			continue;
		if (out->n == LIMIT_SET_ENTRIES)
			return "too many services";
		if (!read_one(service, checks, id, &out->v[out->n]))
			return "a service or check with a member of the wrong "
			       "type";
		out->n++;
	}
	return NULL;
}

static const char *
read_objects(struct json_object *services, struct json_object *checks,
    struct actual_list *out)
{
	const char *why;
	int n;

	if (services == NULL)
		return "the services are not a JSON object";
	if (checks == NULL)
		return "the checks are not a JSON object";
	if ((n = json_object_object_length(services)) == 0)
		return NULL;
	out->v = xcalloc((size_t)n, sizeof(*out->v));
	if ((why = read_all(services, checks, out)) != NULL)
		actual_list_free(out);
	else
		qsort(out->v, out->n, sizeof(*out->v), by_id);
	return why;
}

const char *
consul_json_read(const char *services, size_t services_len, const char *checks,
    size_t checks_len, struct actual_list *out)
{
	struct json_object *s = parse_object(services, services_len);
	struct json_object *c = parse_object(checks, checks_len);
	const char *why;

	*out = (struct actual_list){ 0 };
	why = read_objects(s, c, out);
	json_object_put(s);
	json_object_put(c);
	return why;
}

void
actual_list_free(struct actual_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].id);
		free(l->v[i].name);
		free(l->v[i].namespace);
		free(l->v[i].pod);
	}
	free(l->v);
	*l = (struct actual_list){ 0 };
}
