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

static void
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
	c->conf.ops->put(key, key_len, val, len, c->conf.arg);
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

/* Those of "[::1],10.0.0.1" that can be endpoints. */
static unsigned
put_addresses(struct catalog *c, const struct svc *s, const struct inst *in,
    const char *list)
{
	char *copy = xstrdup(list), *rest = copy, *word;
	char address[BACKEND_ADDRESS];
	unsigned n = 0;

	while (n < ADDRESSES_MAX && (word = strsep(&rest, ",")) != NULL) {
		word += *word == '[';
		word[strcspn(word, "]")] = '\0';
		if (backend_address(word, address) == NULL)
			put_address(c, s, in, n++, address);
	}
	free(copy);
	return n;
}

void
publish_instance(struct catalog *c, const struct svc *s, struct inst *in)
{
	const char *list = NULL;
	unsigned n = 0;

	if (in->d->kind == DERIVED_TAKEN) {
		put_address(c, s, in, 0, in->d->address);
		n = 1;
	} else if (in->d->kind == DERIVED_HOST) {
		list = c->conf.ops->lookup(in->d->address, c->conf.arg);
		n = list != NULL ? put_addresses(c, s, in, list) : 0;
	}
	del_addresses(c, s, in, n);
	in->published = n;
}

void
unpublish_instance(struct catalog *c, const struct svc *s, struct inst *in)
{
	del_addresses(c, s, in, 0);
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

void
publish_service(struct catalog *c, struct svc *s)
{
	struct backend_service item = { .service = s->name };
	char key[LIMIT_SET_KEY];
	uint8_t val[ITEM_CAP];
	size_t key_len = backend_service_key(s->name, key), len;

	s->published = outline(s, &item);
	if (!s->published) {
		c->conf.ops->del(key, key_len, c->conf.arg);
		return;
	}
	len = backend_service_encode(&item, val, sizeof(val));
	if (len == 0)
		fatalx("service %s: an item that does not fit", s->name);
	c->conf.ops->put(key, key_len, val, len, c->conf.arg);
}
