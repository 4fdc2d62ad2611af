#include "workers/k8s_writer/look.h"

#include <string.h>

#include "common/log.h"

XXH3_state_t *
look_begin(void)
{
	XXH3_state_t *h = XXH3_createState();

	if (h == NULL)
		fatalx("kubernetes: out of memory for a hash");
	XXH3_128bits_reset(h);
	return h;
}

/* With its NUL, so that no two lists of texts hash the same bytes. */
void
look_text(XXH3_state_t *h, const char *s)
{
	XXH3_128bits_update(h, s, strlen(s) + 1);
}

void
look_number(XXH3_state_t *h, uint64_t n)
{
	XXH3_128bits_update(h, &n, sizeof(n));
}

void
look_look(XXH3_state_t *h, const struct look *l)
{
	look_number(h, l->lo);
	look_number(h, l->hi);
}

struct look
look_end(XXH3_state_t *h)
{
	XXH128_hash_t d = XXH3_128bits_digest(h);

	XXH3_freeState(h);
	return (struct look){ .lo = d.low64, .hi = d.high64 };
}

void
look_labels(XXH3_state_t *h, const struct look_labels *l)
{
	look_text(h, l->managed_by);
	look_text(h, l->name);
	look_text(h, l->instance);
	look_text(h, l->service_name);
	look_text(h, l->slice_managed_by);
}

void
look_port(XXH3_state_t *h, const struct look_port *p)
{
	look_text(h, p->name);
	look_text(h, p->protocol);
	look_text(h, p->app_protocol);
	look_text(h, p->target);
	look_number(h, p->port);
}

struct look
look_endpoint(const struct address *at, unsigned ready, const char *node,
    const char *zone, unsigned odd)
{
	XXH3_state_t *h = look_begin();

	look_number(h, at->family);
	XXH3_128bits_update(h, at->ip, sizeof(at->ip));
	look_number(h, ready);
	look_text(h, node);
	look_text(h, zone);
	look_number(h, odd);
	return look_end(h);
}

struct look
look_owner(const char *uid)
{
	XXH3_state_t *h = look_begin();

	look_text(h, uid);
	return look_end(h);
}

void
look_parent(XXH3_state_t *h, const struct look_parent *p)
{
	look_text(h, p->group);
	look_text(h, p->kind);
	look_text(h, p->namespace);
	look_text(h, p->name);
	look_text(h, p->section);
}

void
look_backend(XXH3_state_t *h, const struct look_backend *b)
{
	look_text(h, b->group);
	look_text(h, b->kind);
	look_text(h, b->name);
	look_number(h, b->port);
}
