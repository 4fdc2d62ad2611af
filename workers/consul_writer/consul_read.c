/* What the agent answers: the second half of consul_json.h. */
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/definition.h"

#define NAMESPACE_KEY "external-k8s-namespace"
#define POD_KEY       "external-k8s-pod"

/*
 * In place of a text with a NUL, an address whose port is not the service's:
 * none of ours has it, and somebody else's is no reason to refuse the rest.
 */
#define OTHER_TEXT "\001"

/* The whole text as one object, or NULL. */
static struct json_object *
parse_object(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(LIMIT_CONSUL_DEPTH);
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

/* NULL if it is no text. */
static const char *
text_in(struct json_object *o)
{
	const char *s;

	if (!json_object_is_type(o, json_type_string))
		return NULL;
	s = json_object_get_string(o);
	return strlen(s) == (size_t)json_object_get_string_len(o) ? s
								  : OTHER_TEXT;
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
	/* The agent takes any number: a foreign service may have it. */
	*port = (uint64_t)n;
	return true;
}

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
		*address = OTHER_TEXT;
	return true;
}

static bool
hash_tags(XXH3_state_t *h, struct json_object *tags, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *s = text_in(json_object_array_get_idx(tags, i));

		if (s == NULL)
			return false;
		definition_text(h, s);
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
		definition_pair(sum, key, s);
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
	definition_text(h, name);
	definition_text(h, notes);
	return true;
}

static bool
read_tagged(const struct source *src, struct outline *o)
{
	if (!get_tagged(src->tagged, "lan_ipv4", o->port, &o->lan_ipv4) ||
	    !get_tagged(src->tagged, "lan_ipv6", o->port, &o->lan_ipv6))
		return false;
	o->lan_ipv4 = definition_tagged(o->address, o->lan_ipv4, false);
	o->lan_ipv6 = definition_tagged(o->address, o->lan_ipv6, true);
	return true;
}

static bool
read_outline(const struct source *src, struct outline *o)
{
	o->ntags = array_length(src->tags);
	return get_text(src->service, "Service", &o->name) &&
	    get_text(src->service, "Address", &o->address) &&
	    get_port(src->service, &o->port) && read_tagged(src, o) &&
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
	h = definition_begin(&o);
	ok = hash_tags(h, src->tags, o.ntags) &&
	    (src->check == NULL || hash_check(h, src->check));
	*def = definition_end(h);
	def->place = definition_place(&o);
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
	if (!meta_is(src.meta, SERVICE_MARK_KEY, SERVICE_MARK))
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
	return strncmp(id, SERVICE_ID_PREFIX, strlen(SERVICE_ID_PREFIX)) == 0 &&
	    strlen(id) <= LIMIT_SERVICE_ID;
}

static int
by_id(const void *a, const void *b)
{
	const struct actual *x = a, *y = b;

	return strcmp(x->id, y->id);
}

/*
 * NULL if the map's key is the service's own ID, as it must be. Keys are cut
 * at a NUL: such an ID, which is none of ours, is "" here.
 */
static const char *
read_id(struct json_object *service, const char *key, const char **id)
{
	if (!json_object_is_type(service, json_type_object) ||
	    !get_text(service, "ID", id))
		return "a service without its ID";
	if (strcmp(*id, OTHER_TEXT) == 0)
		*id = "";
	else if (strcmp(*id, key) != 0)
		return "a service under another ID than its own";
	return NULL;
}

/* All checks are of the agent's own node; agents differ, and names may be odd. */
static char *
read_node(struct json_object *checks)
{
	const char *node;

	json_object_object_foreach(checks, id, check) {
		if (has_our_prefix(id) &&
		    json_object_is_type(check, json_type_object) &&
		    get_text(check, "Node", &node) && *node != '\0' &&
		    strcmp(node, OTHER_TEXT) != 0)
			return xstrdup(node);
	}
	return NULL;
}

static const char *
read_all(struct json_object *services, struct json_object *checks,
    struct actual_list *out)
{
	const char *id, *why;

	json_object_object_foreach(services, key, service) {
		if ((why = read_id(service, key, &id)) != NULL)
			return why;
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
	if ((why = read_all(services, checks, out)) != NULL) {
		actual_list_free(out);
		return why;
	}
	out->node = read_node(checks);
	qsort(out->v, out->n, sizeof(*out->v), by_id);
	return NULL;
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
	free(l->node);
	*l = (struct actual_list){ 0 };
}
