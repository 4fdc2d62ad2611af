#include "workers/k8s_writer/desire.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct instance {
	RB_ENTRY(instance) link;
	struct backend_instance *item;
	size_t key_len;
	const void *key; /* behind this struct */
};
RB_HEAD(instance_tree, instance);

/* It is there as long as it has an item, or something is to be told of it. */
struct service {
	RB_ENTRY(service) link;
	TAILQ_ENTRY(service) changed_link;
	const char *name; /* behind this struct */
	struct backend_service *item; /* NULL: it is not wanted */
	struct instance_tree instances;
	size_t ninstances;
	bool changed; /* it is in that list */
	bool renamed; /* since it was told */
	bool is_cut; /* some of its endpoints were left out */
	char *told; /* its name as it was told; NULL: it is not wanted */
};
RB_HEAD(service_tree, service);

struct desire {
	struct desire_conf conf;
	struct names *names;
	struct service_tree services;
	TAILQ_HEAD(, service) changed;
};

static int
by_name(const struct service *a, const struct service *b)
{
	return strcmp(a->name, b->name);
}

static int
by_key(const struct instance *a, const struct instance *b)
{
	size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
	int c = memcmp(a->key, b->key, n);

	return c != 0 ? c
		      : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
#define STATIC static __attribute__((unused))
RB_GENERATE_INTERNAL(service_tree, service, link, by_name, STATIC)
RB_GENERATE_INTERNAL(instance_tree, instance, link, by_key, STATIC)

/* ---- services ---- */

static struct service *
service_find(struct desire *d, const char *name)
{
	struct service probe = { .name = name };

	return RB_FIND(service_tree, &d->services, &probe);
}

static struct service *
service_have(struct desire *d, const char *name)
{
	struct service *s = service_find(d, name);
	size_t len = strlen(name) + 1;

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s) + len);
	s->name = memcpy(s + 1, name, len);
	RB_INIT(&s->instances);
	RB_INSERT(service_tree, &d->services, s);
	return s;
}

static void
touch(struct desire *d, struct service *s)
{
	if (s->changed)
		return;
	s->changed = true;
	TAILQ_INSERT_TAIL(&d->changed, s, changed_link);
}

static void
untouch(struct desire *d, struct service *s)
{
	if (s->changed)
		TAILQ_REMOVE(&d->changed, s, changed_link);
	s->changed = s->renamed = false;
}

static void
instance_free(struct service *s, struct instance *i)
{
	RB_REMOVE(instance_tree, &s->instances, i);
	s->ninstances--;
	free(i->item);
	free(i);
}

static void
service_free(struct desire *d, struct service *s)
{
	struct instance *i;

	while ((i = RB_MIN(instance_tree, &s->instances)) != NULL)
		instance_free(s, i);
	untouch(d, s);
	RB_REMOVE(service_tree, &d->services, s);
	free(s->item);
	free(s->told);
	free(s);
}

static void
on_renamed(const char *service, const char *name, void *arg)
{
	struct desire *d = arg;
	struct service *s = service_find(d, service);

	(void)name;
	if (s == NULL)
		return;
	s->renamed = true;
	touch(d, s);
}

struct desire *
desire_new(const struct desire_conf *conf)
{
	struct desire *d = xcalloc(1, sizeof(*d));
	struct names_conf names = { .changed = on_renamed, .arg = d };

	d->conf = *conf;
	RB_INIT(&d->services);
	TAILQ_INIT(&d->changed);
	for (size_t i = 0; i < NAME_GATEWAYS; i++)
		names.gateways[i] = conf->objects->gateways[i];
	d->names = names_new(&names);
	return d;
}

void
desire_free(struct desire *d)
{
	struct service *s;

	if (d == NULL)
		return;
	while ((s = RB_MIN(service_tree, &d->services)) != NULL)
		service_free(d, s);
	names_free(d->names);
	free(d);
}

/* ---- items ---- */

static bool
put_service(struct desire *d, const char *name, struct backend_service *item)
{
	struct service *s;

	if (item == NULL)
		return false;
	s = service_have(d, name);
	free(s->item);
	s->item = item;
	names_put(d->names, name, item->create_index);
	touch(d, s);
	return true;
}

static struct instance *
instance_find(struct service *s, const void *key, size_t key_len)
{
	struct instance probe = { .key = key, .key_len = key_len };

	return RB_FIND(instance_tree, &s->instances, &probe);
}

static struct instance *
instance_have(struct service *s, const void *key, size_t key_len)
{
	struct instance *i = instance_find(s, key, key_len);

	if (i != NULL)
		return i;
	i = xcalloc(1, sizeof(*i) + key_len);
	i->key = memcpy(i + 1, key, key_len);
	i->key_len = key_len;
	RB_INSERT(instance_tree, &s->instances, i);
	s->ninstances++;
	return i;
}

static bool
put_instance(struct desire *d, const char *name, const void *key,
    size_t key_len, struct backend_instance *item)
{
	struct instance *i;
	struct service *s;

	if (item == NULL)
		return false;
	s = service_have(d, name);
	i = instance_have(s, key, key_len);
	free(i->item);
	i->item = item;
	touch(d, s);
	return true;
}

bool
desire_put(struct desire *d, const void *key, size_t key_len, const void *val,
    size_t len)
{
	char name[LIMIT_SERVICE_NAME + 1];

	switch (backend_key(key, key_len, name)) {
	case BACKEND_SERVICE:
		return put_service(d, name,
		    backend_service_decode(key, key_len, val, len));
	case BACKEND_INSTANCE:
		return put_instance(d, name, key, key_len,
		    backend_instance_decode(key, key_len, val, len));
	case BACKEND_NONE:
		break;
	}
	return false;
}

static void
del_service(struct desire *d, struct service *s)
{
	free(s->item);
	s->item = NULL;
	names_del(d->names, s->name);
}

static void
del_instance(struct service *s, const void *key, size_t key_len)
{
	struct instance *i = instance_find(s, key, key_len);

	if (i != NULL)
		instance_free(s, i);
}

void
desire_del(struct desire *d, const void *key, size_t key_len)
{
	char name[LIMIT_SERVICE_NAME + 1];
	enum backend_kind kind = backend_key(key, key_len, name);
	struct service *s = service_find(d, name);

	if (s == NULL)
		return;
	if (kind == BACKEND_SERVICE)
		del_service(d, s);
	else
		del_instance(s, key, key_len);
	touch(d, s);
}

void
desire_hold(struct desire *d, const char *name, const char *service)
{
	struct service *s = service_find(d, service);

	if (s != NULL && names_hold(d->names, name, service))
		touch(d, s);
}

/* ---- what is told ---- */

/* NULL: it is not wanted. */
static const char *
name_of(const struct desire *d, const struct service *s)
{
	return s->item != NULL ? names_get(d->names, s->name) : NULL;
}

static void
tell_freed(struct desire *d, struct service *s)
{
	const char *name = name_of(d, s);

	if (s->told == NULL || (name != NULL && strcmp(name, s->told) == 0))
		return;
	d->conf.drop(s->told, d->conf.arg);
	free(s->told);
	s->told = NULL;
}

static void
tell_left_out(struct desire *d, struct service *s, const struct wanted *w)
{
	bool is_cut = w->left_out > 0;

	if (is_cut == s->is_cut)
		return;
	s->is_cut = is_cut;
	d->conf.left_out(w, d->conf.arg);
}

static void
tell_wanted(struct desire *d, struct service *s, const char *name)
{
	const struct backend_instance **v =
	    xcalloc(s->ninstances + 1, sizeof(*v));
	struct instance *i;
	struct wanted *w;
	size_t n = 0;

	RB_FOREACH(i, instance_tree, &s->instances)
		v[n++] = i->item;
	if (s->told == NULL)
		s->told = xstrdup(name);
	w = wanted_new(d->conf.objects, name, s->item, v, n);
	tell_left_out(d, s, w);
	d->conf.want(w, d->conf.arg);
	free(v);
}

static void
tell_rest(struct desire *d, struct service *s)
{
	const char *name = name_of(d, s);

	untouch(d, s);
	if (name != NULL)
		tell_wanted(d, s, name);
	else if (s->ninstances == 0)
		service_free(d, s);
}

static void
on_collision(const struct names_collision *c, void *arg)
{
	struct desire *d = arg;
	const struct service *s = service_find(d, c->service);

	if (s != NULL && s->renamed)
		d->conf.collision(c, d->conf.arg);
}

void
desire_settle(struct desire *d)
{
	struct service *s;

	if (TAILQ_EMPTY(&d->changed))
		return;
	names_settle(d->names);
	names_each_collision(d->names, on_collision, d);
	TAILQ_FOREACH(s, &d->changed, changed_link)
		tell_freed(d, s);
	while ((s = TAILQ_FIRST(&d->changed)) != NULL)
		tell_rest(d, s);
}

size_t
desire_collisions(const struct desire *d)
{
	return names_collisions(d->names);
}
