#include "workers/k8s_writer/services.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct instance {
	RB_ENTRY(instance) link;
	struct backend_instance *item;
	size_t key_len;
	char key[];
};

RB_HEAD(instance_tree, instance);

struct service {
	RB_ENTRY(service) link;
	TAILQ_ENTRY(service) dirty;
	bool is_dirty;
	char *name; /* in Consul */
	char wanted_as[NAME_MAX_LEN + 1]; /* "": nothing is wanted of it */
	struct backend_service *item; /* NULL: only instances came yet */
	struct instance_tree instances;
	size_t n;
};

RB_HEAD(service_tree, service);

struct services {
	struct services_conf conf;
	struct names *names;
	struct service_tree tree;
	TAILQ_HEAD(, service) dirty;
};

/* In the order of the keys' bytes. */
static int
cmp_key(const struct instance *a, const struct instance *b)
{
	size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
	int c = memcmp(a->key, b->key, n);

	if (c != 0)
		return c;
	return (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int
cmp_name(const struct service *a, const struct service *b)
{
	return strcmp(a->name, b->name);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
#define STATIC static __attribute__((unused))
RB_GENERATE_INTERNAL(instance_tree, instance, link, cmp_key, STATIC)
RB_GENERATE_INTERNAL(service_tree, service, link, cmp_name, STATIC)

/* ---- services ---- */

static struct service *
find(struct services *ss, const char *name)
{
	struct service key = { 0 };

	/* The key is only compared. */
	memcpy(&key.name, &name, sizeof(name));
	return RB_FIND(service_tree, &ss->tree, &key);
}

static void
mark(struct services *ss, struct service *s)
{
	if (s->is_dirty)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&ss->dirty, s, dirty);
}

static struct service *
get(struct services *ss, const char *name)
{
	struct service *s = find(ss, name);

	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->name = xstrdup(name);
		RB_INIT(&s->instances);
		RB_INSERT(service_tree, &ss->tree, s);
	}
	mark(ss, s);
	return s;
}

static void
instance_free(struct service *s, struct instance *i)
{
	RB_REMOVE(instance_tree, &s->instances, i);
	s->n--;
	free(i->item);
	free(i);
}

static void
service_free(struct services *ss, struct service *s)
{
	struct instance *i;

	while ((i = RB_ROOT(&s->instances)) != NULL)
		instance_free(s, i);
	if (s->is_dirty)
		TAILQ_REMOVE(&ss->dirty, s, dirty);
	RB_REMOVE(service_tree, &ss->tree, s);
	free(s->item);
	free(s->name);
	free(s);
}

/* ---- the whole ---- */

static void
on_name(const char *service, const char *name, void *arg)
{
	struct services *ss = arg;

	(void)name;
	mark(ss, find(ss, service));
}

struct services *
services_new(const struct services_conf *conf)
{
	struct services *ss = xcalloc(1, sizeof(*ss));
	struct names_conf names = { .changed = on_name, .arg = ss };

	memcpy(names.gateways, conf->objects->gateways, sizeof(names.gateways));
	ss->conf = *conf;
	ss->names = names_new(&names);
	RB_INIT(&ss->tree);
	TAILQ_INIT(&ss->dirty);
	return ss;
}

void
services_free(struct services *ss)
{
	struct service *s;

	if (ss == NULL)
		return;
	while ((s = RB_ROOT(&ss->tree)) != NULL)
		service_free(ss, s);
	names_free(ss->names);
	free(ss);
}

const struct names *
services_names(const struct services *ss)
{
	return ss->names;
}

/* ---- items ---- */

static struct instance *
instance_new(const void *key, size_t key_len)
{
	struct instance *i = xcalloc(1, sizeof(*i) + key_len);

	i->key_len = key_len;
	memcpy(i->key, key, key_len);
	return i;
}

static bool
put_instance(struct services *ss, const void *key, size_t key_len,
    const void *val, size_t len)
{
	struct backend_instance *item =
	    backend_instance_decode(key, key_len, val, len);
	struct instance *i, *old;
	struct service *s;

	if (item == NULL)
		return false;
	s = get(ss, item->service);
	i = instance_new(key, key_len);
	i->item = item;
	if ((old = RB_FIND(instance_tree, &s->instances, i)) != NULL)
		instance_free(s, old);
	RB_INSERT(instance_tree, &s->instances, i);
	s->n++;
	return true;
}

static bool
put_service(struct services *ss, const void *key, size_t key_len,
    const void *val, size_t len)
{
	struct backend_service *item =
	    backend_service_decode(key, key_len, val, len);
	struct service *s;

	if (item == NULL)
		return false;
	s = get(ss, item->service);
	free(s->item);
	s->item = item;
	names_put(ss->names, s->name, item->create_index);
	return true;
}

bool
services_put(struct services *ss, const void *key, size_t key_len,
    const void *val, size_t len)
{
	char name[LIMIT_SERVICE_NAME + 1];

	switch (backend_key(key, key_len, name)) {
	case BACKEND_SERVICE:
		return put_service(ss, key, key_len, val, len);
	case BACKEND_INSTANCE:
		return put_instance(ss, key, key_len, val, len);
	default:
		return false;
	}
}

static void
del_instance(struct service *s, const void *key, size_t key_len)
{
	struct instance *probe = instance_new(key, key_len);
	struct instance *i = RB_FIND(instance_tree, &s->instances, probe);

	free(probe);
	if (i != NULL)
		instance_free(s, i);
}

void
services_del(struct services *ss, const void *key, size_t key_len)
{
	char name[LIMIT_SERVICE_NAME + 1];
	enum backend_kind kind = backend_key(key, key_len, name);
	struct service *s = find(ss, name);

	if (s == NULL)
		return;
	mark(ss, s);
	if (kind == BACKEND_INSTANCE) {
		del_instance(s, key, key_len);
		return;
	}
	free(s->item);
	s->item = NULL;
	names_del(ss->names, name);
}

/* ---- what follows from them ---- */

static const char *
name_of(const struct services *ss, const struct service *s)
{
	return s->item == NULL ? "" : names_get(ss->names, s->name);
}

static void
drop_one(struct services *ss, struct service *s)
{
	if (s->wanted_as[0] == '\0' ||
	    strcmp(s->wanted_as, name_of(ss, s)) == 0)
		return;
	ss->conf.drop(s->wanted_as, ss->conf.arg);
	s->wanted_as[0] = '\0';
}

static void
want_one(struct services *ss, struct service *s)
{
	const struct backend_instance **v = xcalloc(s->n + 1, sizeof(*v));
	struct instance *i;
	size_t n = 0;

	RB_FOREACH(i, instance_tree, &s->instances)
		v[n++] = i->item;
	strlcpy(s->wanted_as, name_of(ss, s), sizeof(s->wanted_as));
	ss->conf.want(wanted_new(ss->conf.objects, s->wanted_as, s->item, v, n),
	    ss->conf.arg);
	free(v);
}

static void
settle_one(struct services *ss, struct service *s)
{
	TAILQ_REMOVE(&ss->dirty, s, dirty);
	s->is_dirty = false;
	if (s->item != NULL)
		want_one(ss, s);
	else if (s->n == 0)
		service_free(ss, s);
}

void
services_settle(struct services *ss)
{
	struct service *s;

	names_settle(ss->names);
	TAILQ_FOREACH(s, &ss->dirty, dirty)
		drop_one(ss, s);
	while ((s = TAILQ_FIRST(&ss->dirty)) != NULL)
		settle_one(ss, s);
}
