#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/consul_reader/catalog_inside.h"

/* Addresses of one host name that are taken. */
#define ADDRESSES_MAX 8
/* Fits any item: a node's name, a zone and so on. */
#define ITEM_CAP 2048

/*
 * The key of an instance's nth address. All but hosts have one; the further
 * ones' IDs have a control character that no sane ID has.
 */
static size_t
instance_key(const struct svc *s, const struct inst *in, unsigned nth,
    char key[LIMIT_SET_KEY])
{
	size_t cap = strlen(in->d->id) + 16, len;
	char *id;

	if (nth == 0)
		return backend_instance_key(s->name, in->d->node, in->d->id,
		    key);
	id = xmalloc(cap);
	snprintf(id, cap, "%s\x1f%u", in->d->id, nth);
	len = backend_instance_key(s->name, in->d->node, id, key);
	free(id);
	return len;
}

static bool
put_address(struct catalog *c, const struct svc *s, const struct inst *in,
    unsigned nth, const char *address)
{
	const struct derived *d = in->d;
	struct backend_instance item = {
		.service = s->name,
		.address = address,
		.node = d->k8s_node,
		.zone = d->zone,
		.port = d->port,
		.ready = d->ready,
	};
	char key[LIMIT_SET_KEY];
	uint8_t val[ITEM_CAP];
	size_t key_len = instance_key(s, in, nth, key);
	size_t len = backend_instance_encode(&item, val, sizeof(val));

	if (key_len == 0 || len == 0)
		fatalx("service %s: an instance that does not fit", s->name);
	return c->conf.ops->put(key, key_len, val, len, c->conf.arg);
}

static void
del_addresses(struct catalog *c, const struct svc *s, struct inst *in,
    unsigned from)
{
	char key[LIMIT_SET_KEY];

	while (in->published > from) {
		size_t len = instance_key(s, in, --in->published, key);

		c->conf.ops->del(key, len, c->conf.arg);
	}
}

static bool
has_room(const struct catalog *c, const struct svc *s, unsigned n)
{
	return s->items + n < CATALOG_SERVICE_ITEMS &&
	    c->items + n < CATALOG_ITEMS;
}

/* The nth and last one so far; those that are there have their place. */
static void
add_address(struct catalog *c, const struct svc *s, struct inst *in,
    unsigned *n, const char *address)
{
	if (in->left_out)
		return;
	if ((*n < in->published || has_room(c, s, *n)) &&
	    put_address(c, s, in, *n, address))
		++*n;
	else
		in->left_out = true;
}

/* Those of "[::1],10.0.0.1" that can be endpoints. */
static unsigned
put_addresses(struct catalog *c, const struct svc *s, struct inst *in,
    const char *list)
{
	char *copy = xstrdup(list), *rest = copy, *word;
	char address[BACKEND_ADDRESS];
	unsigned n = 0;

	while (n < ADDRESSES_MAX && (word = strsep(&rest, ",")) != NULL) {
		word += *word == '[';
		word[strcspn(word, "]")] = '\0';
		if (backend_address(word, address) == NULL)
			add_address(c, s, in, &n, address);
	}
	free(copy);
	return n;
}

static unsigned
put_instance(struct catalog *c, const struct svc *s, struct inst *in)
{
	const char *list;
	unsigned n = 0;

	in->left_out = false;
	if (in->d->kind == DERIVED_TAKEN)
		add_address(c, s, in, &n, in->d->address);
	if (in->d->kind != DERIVED_HOST)
		return n;
	list = c->conf.ops->lookup(in->d->address, c->conf.arg);
	return list != NULL ? put_addresses(c, s, in, list) : 0;
}

void
publish_instance(struct catalog *c, struct svc *s, struct inst *in)
{
	unsigned n;

	inst_uncount(c, s, in);
	n = put_instance(c, s, in);
	c->room = c->room || n < in->published;
	del_addresses(c, s, in, n);
	in->published = n;
	inst_count(c, s, in);
}

void
unpublish_instance(struct catalog *c, struct svc *s, struct inst *in)
{
	inst_uncount(c, s, in);
	c->room = c->room || in->published > 0;
	del_addresses(c, s, in, 0);
	in->left_out = false;
	inst_count(c, s, in);
}

static void
say_left_out(struct catalog *c, struct svc *s)
{
	char line[LIMIT_TEXT];

	if (s->said_left_out == (s->left_out > 0))
		return;
	s->said_left_out = s->left_out > 0;
	if (s->said_left_out)
		snprintf(line, sizeof(line),
		    "service %.100s: more than %d instances, or %d of all "
		    "services: %zu are left out",
		    s->name, CATALOG_SERVICE_ITEMS, CATALOG_ITEMS, s->left_out);
	else
		snprintf(line, sizeof(line),
		    "service %.100s: no instance is left out any more",
		    s->name);
	c->conf.ops->notice(line, c->conf.arg);
}

void
publish_left_out(struct catalog *c, struct svc *s)
{
	struct inst *in = inst_first(s);

	for (; in != NULL && s->left_out > 0; in = inst_next(in)) {
		if (in->left_out)
			publish_instance(c, s, in);
		/* Nor is there room for the next one. */
		if (in->left_out)
			break;
	}
	say_left_out(c, s);
}

/* ---- the service ---- */

static bool
is_older(const struct derived *a, const struct derived *b)
{
	return b == NULL || a->create_index < b->create_index;
}

static void
take_age(struct svc *s, uint64_t create_index)
{
	if (create_index != 0 &&
	    (s->create_index == 0 || create_index < s->create_index))
		s->create_index = create_index;
}

/* The port's name and protocol are those of the oldest that has them. */
static bool
outline(struct svc *s, struct backend_service *item)
{
	const struct derived *named = NULL, *spoken = NULL;
	bool counts = false;

	for (struct inst *in = inst_first(s); in != NULL; in = inst_next(in)) {
		const struct derived *d = in->d;

		if (!derived_counts(d))
			continue;
		counts = true;
		take_age(s, d->create_index);
		item->internal |= d->internal;
		item->external |= d->external;
		if (*d->port_name != '\0' && is_older(d, named))
			named = d;
		if (*d->app_protocol != '\0' && is_older(d, spoken))
			spoken = d;
	}
	item->port_name = named != NULL ? named->port_name : "";
	item->app_protocol = spoken != NULL ? spoken->app_protocol : "";
	item->create_index = s->create_index;
	return counts;
}

static bool
put_service(struct catalog *c, struct svc *s, const char *key, size_t key_len,
    const struct backend_service *item)
{
	uint8_t val[ITEM_CAP];
	size_t len = backend_service_encode(item, val, sizeof(val));

	if (len == 0)
		fatalx("service %s: an item that does not fit", s->name);
	return c->conf.ops->put(key, key_len, val, len, c->conf.arg);
}

void
publish_service(struct catalog *c, struct svc *s)
{
	struct backend_service item = { .service = s->name };
	char key[LIMIT_SET_KEY];
	size_t key_len = backend_service_key(s->name, key);
	bool wanted = outline(s, &item);

	c->counts.services -= s->published;
	c->counts.left_out -= s->no_room;
	c->room = c->room || (s->published && !wanted);
	s->published = wanted && put_service(c, s, key, key_len, &item);
	s->no_room = wanted && !s->published;
	if (!wanted)
		c->conf.ops->del(key, key_len, c->conf.arg);
	c->counts.services += s->published;
	c->counts.left_out += s->no_room;
}
