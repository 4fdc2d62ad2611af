#include "workers/consul_reader/listing.h"

#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/consul_reader/elements.h"
#include "workers/consul_reader/marks.h"
#include "workers/consul_reader/picked.h"
#include "workers/consul_reader/text.h"
#include "workers/fields.h"

#define CONSUL_ITSELF "consul"

/* A mark's name begins with what it is about. */
#define MARK_SERVICE 's'
#define MARK_NODE    'n'

struct listing {
	struct listing_conf conf;
	struct elements *elements;
	struct marks *marks;
	struct refusal refusal;
	struct listing_odd odd;
	bool has_consul;
};

/* ---- hashes ---- */

static XXH3_state_t *
hash_begin(const struct listing *l)
{
	XXH3_state_t *h = XXH3_createState();

	if (h == NULL)
		fatalx("out of memory for a hash");
	XXH3_128bits_reset_withSecret(h, l->conf.secret, LISTING_SECRET);
	return h;
}

/* With its length: no two lists of texts are the same bytes. */
static void
hash_text(XXH3_state_t *h, const struct text *t)
{
	uint64_t len = t->len;

	XXH3_128bits_update(h, &len, sizeof(len));
	XXH3_128bits_update(h, t->s, t->len);
}

static XXH128_hash_t
hash_end(XXH3_state_t *h)
{
	XXH128_hash_t hash = XXH3_128bits_digest(h);

	XXH3_freeState(h);
	return hash;
}

/* Names that we could not ask for, or not tell apart, are passed over. */
static bool
is_odd(const struct text *name)
{
	return text_has_nul(name) || name->len == 0 ||
	    name->len > LIMIT_SERVICE_NAME;
}

/* Of a service. In a path dots are another path, and Consul redirects to it. */
static bool
can_be_asked_for(const struct text *name)
{
	return !is_odd(name) && strcmp(name->s, ".") != 0 &&
	    strcmp(name->s, "..") != 0;
}

static void
mark(struct listing *l, char about, const struct text *name, XXH128_hash_t row)
{
	char key[LIMIT_SERVICE_NAME + 2];

	if (is_odd(name))
		return;
	key[0] = about;
	memcpy(key + 1, name->s, name->len + 1);
	marks_add(l->marks, key, row);
}

/* ---- /v1/catalog/services: "NAME": ["TAG", ...] ---- */

static bool
hash_tags(struct listing *l, json_object *tags, XXH3_state_t *h, bool *tagged)
{
	size_t n = field_count(tags);

	for (size_t i = 0; i < n; i++) {
		struct text t;

		if (!text_of(json_object_array_get_idx(tags, i), &t))
			return refuse(&l->refusal, "a tag is not text");
		hash_text(h, &t);
		*tagged = *tagged ||
		    (!text_has_nul(&t) && strcmp(t.s, l->conf.tag) == 0);
	}
	return true;
}

static void
mark_tagged(struct listing *l, const struct text *name, XXH128_hash_t row)
{
	if (can_be_asked_for(name)) {
		mark(l, MARK_SERVICE, name, row);
		return;
	}
	l->odd.names++;
	strlcpy(l->odd.name, name->s, sizeof(l->odd.name));
}

static bool
add_tags(struct listing *l, const struct text *name, json_object *tags)
{
	XXH3_state_t *h = hash_begin(l);
	bool tagged = false, ok = hash_tags(l, tags, h, &tagged);
	XXH128_hash_t row = hash_end(h);

	if (ok && tagged)
		mark_tagged(l, name, row);
	return ok;
}

static bool
add_service(struct listing *l, json_object *name, json_object *tags)
{
	struct text t;

	if (!text_of(name, &t) ||
	    (tags != NULL && !json_object_is_type(tags, json_type_array)))
		return refuse(&l->refusal, "not a service and its tags");
	if (l->conf.elsewhere)
		l->has_consul = true;
	if (text_has_nul(&t) || strcmp(t.s, CONSUL_ITSELF) != 0)
		return add_tags(l, &t, tags);
	l->has_consul = true;
	return true;
}

/* NULL: refused, or it is large. */
static json_object *
pick(struct listing *l, const struct excerpt_member *wanted, const char *bytes,
    size_t len)
{
	bool large;
	json_object *o = picked_parse(wanted, bytes, len, &large, &l->refusal);

	l->odd.large += large;
	return o;
}

/*
 * Its tags are too many to be looked at, but Consul named it for having ours:
 * what its instances say counts.
 */
static bool
add_large(struct listing *l, json_object *name)
{
	struct text t;
	XXH128_hash_t none = { 0, 0 };

	if (text_of(name, &t))
		mark_tagged(l, &t, none);
	return true;
}

/* A parser by pieces would wait for what is behind a word like this. */
static bool
is_null(const struct element *e)
{
	return e->len == 4 && memcmp(e->bytes, "null", 4) == 0;
}

static bool
add_named(struct listing *l, const struct element *e, json_object *name)
{
	size_t large = l->odd.large;
	json_object *tags = NULL;
	bool ok;

	if (e->len > 0 && !is_null(e))
		tags = pick(l, NULL, e->bytes, e->len);
	if (refused(&l->refusal))
		return false;
	ok = e->len == 0 || l->odd.large > large ? add_large(l, name)
						 : add_service(l, name, tags);
	json_object_put(tags);
	return ok;
}

static bool
on_service(struct listing *l, const struct element *e)
{
	json_object *name = NULL;
	bool ok = true;

	l->odd.large += e->large;
	if (e->name_len > 0)
		name = pick(l, NULL, e->name, e->name_len);
	if (name != NULL)
		ok = add_named(l, e, name);
	json_object_put(name);
	return ok && !refused(&l->refusal);
}

/* ---- checks ---- */

enum { NODE, CHECK_ID, SERVICE_ID, SERVICE_NAME, STATUS, CHECK_TEXTS };

static const char *const check_texts[CHECK_TEXTS] = {
	[NODE] = "Node",
	[CHECK_ID] = "CheckID",
	[SERVICE_ID] = "ServiceID",
	[SERVICE_NAME] = "ServiceName",
	[STATUS] = "Status",
};

static const struct excerpt_member in_check[] = { { "Node", NULL },
	{ "CheckID", NULL }, { "ServiceID", NULL }, { "ServiceName", NULL },
	{ "Status", NULL }, { "CreateIndex", NULL }, EXCERPT_END };

/*
 * A row's identity and state, not its output: that changes without a meaning
 * for us. For the roster not the state, but the index of its registration.
 */
static XXH128_hash_t
hash_check(struct listing *l, const struct text t[CHECK_TEXTS], int64_t created)
{
	bool roster = l->conf.kind == LISTING_ROSTER;
	XXH3_state_t *h = hash_begin(l);

	for (int i = 0; i < (roster ? STATUS : CHECK_TEXTS); i++)
		hash_text(h, &t[i]);
	if (roster)
		XXH3_128bits_update(h, &created, sizeof(created));
	return hash_end(h);
}

/* A check of no service is one of its node's. */
static bool
on_check(struct listing *l, json_object *o)
{
	struct text t[CHECK_TEXTS];
	int64_t created;
	bool of_node;

	for (int i = 0; i < CHECK_TEXTS; i++) {
		if (!text_member(o, check_texts[i], &t[i], &l->refusal))
			return false;
	}
	created = field_int(o, "CreateIndex", &l->refusal);
	if (t[NODE].len == 0 || t[CHECK_ID].len == 0)
		return refuse(&l->refusal, "a check without node or ID");
	of_node = t[SERVICE_ID].len == 0;
	mark(l, of_node ? MARK_NODE : MARK_SERVICE,
	    &t[of_node ? NODE : SERVICE_NAME], hash_check(l, t, created));
	return !refused(&l->refusal);
}

/* ---- nodes: all that Consul says of one, its own index included ---- */

static const struct excerpt_member in_node[] = { { "Node", NULL },
	EXCERPT_END };

static bool
on_node(struct listing *l, json_object *o, const struct element *e)
{
	struct text name;

	if (!text_member(o, "Node", &name, &l->refusal))
		return false;
	if (name.len == 0)
		return refuse(&l->refusal, "a node without a name");
	mark(l, MARK_NODE, &name,
	    XXH3_128bits_withSecret(e->bytes, e->len, l->conf.secret,
		LISTING_SECRET));
	return true;
}

static bool
on_row(struct listing *l, const struct element *e)
{
	bool nodes = l->conf.kind == LISTING_NODES, ok = true;
	json_object *o;

	l->odd.large += e->large;
	if (e->large)
		return true;
	o = pick(l, nodes ? in_node : in_check, e->bytes, e->len);
	if (refused(&l->refusal))
		ok = false;
	else if (o != NULL && !json_object_is_type(o, json_type_object))
		ok = refuse(&l->refusal, "a row is not an object");
	else if (o != NULL)
		ok = nodes ? on_node(l, o, e) : on_check(l, o);
	json_object_put(o);
	return ok;
}

static bool
on_element(const struct element *e, void *arg)
{
	struct listing *l = arg;

	if (l->conf.kind == LISTING_CATALOG)
		return on_service(l, e);
	return on_row(l, e);
}

/* ---- the whole ---- */

struct listing *
listing_new(const struct listing_conf *conf)
{
	struct listing *l = xcalloc(1, sizeof(*l));

	l->conf = *conf;
	l->marks = marks_new();
	l->elements = elements_new(conf->kind == LISTING_CATALOG, on_element,
	    &l->refusal, l);
	return l;
}

void
listing_free(struct listing *l)
{
	if (l == NULL)
		return;
	elements_free(l->elements);
	marks_free(l->marks);
	free(l);
}

void
listing_begin(struct listing *l)
{
	l->has_consul = false;
	l->odd = (struct listing_odd){ 0 };
	marks_begin(l->marks);
	elements_begin(l->elements);
}

bool
listing_feed(struct listing *l, const char *data, size_t len)
{
	return elements_feed(l->elements, data, len);
}

bool
listing_end(struct listing *l)
{
	return elements_end(l->elements);
}

static void
on_change(const struct marks_change *m, void *arg)
{
	struct listing *l = arg;
	struct listing_change c = {
		.about =
		    m->name[0] == MARK_NODE ? LISTING_NODE : LISTING_SERVICE,
		.name = m->name + 1,
		.now = m->now,
	};

	l->conf.changed(&c, l->conf.arg);
}

void
listing_commit(struct listing *l)
{
	marks_commit(l->marks, on_change, l);
}

void
listing_drop(struct listing *l)
{
	marks_drop(l->marks);
}

const struct listing_odd *
listing_odd(const struct listing *l)
{
	return &l->odd;
}

const struct refusal *
listing_refusal(const struct listing *l)
{
	return &l->refusal;
}

bool
listing_has_service(const struct listing *l, const char *name)
{
	char key[LIMIT_SERVICE_NAME + 2] = { MARK_SERVICE };

	return strlcpy(key + 1, name, sizeof(key) - 1) < sizeof(key) - 1 &&
	    marks_has(l->marks, key);
}

bool
listing_has_consul(const struct listing *l)
{
	return l->has_consul;
}
