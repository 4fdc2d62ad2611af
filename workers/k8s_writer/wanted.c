/* The first half of objects.h: what a service wants. */
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/k8s_writer/objects.h"

#define PORT_NAME "http"

/* ---- endpoints ---- */

static size_t
texts_size(const struct backend_instance *const *v, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += strlen(v[i]->node) + strlen(v[i]->zone) + 2;
	return size;
}

/* Copies to *at and moves *at behind it. */
static const char *
take(char **at, const char *s)
{
	char *to = *at;
	size_t n = strlen(s) + 1;

	memcpy(to, s, n);
	*at = to + n;
	return to;
}

static void
take_endpoints(struct wanted *w, const struct backend_instance *const *v,
    size_t n)
{
	char *at;

	w->endpoints = xcalloc(n + 1, sizeof(*w->endpoints));
	w->texts = at = xcalloc(texts_size(v, n) + 1, 1);
	for (size_t i = 0; i < n; i++) {
		struct endpoint *e = &w->endpoints[w->n];

		if (!address_parse(v[i]->address, &e->at))
			continue; /* the item's decoder saw to it */
		e->port = v[i]->port;
		e->ready = v[i]->ready;
		e->node = take(&at, v[i]->node);
		e->zone = take(&at, v[i]->zone);
		w->n++;
	}
	w->n = endpoints_unify(w->endpoints, w->n);
}

/* ---- ports ---- */

/* How many endpoints have it. */
struct port_count {
	uint16_t port; /* 0: none */
	size_t n;
};

static int
by_port(const void *a, const void *b)
{
	const struct port_count *x = a, *y = b;

	return (x->port > y->port) - (x->port < y->port);
}

/* That of most endpoints first; the lowest of those. */
static int
by_rank(const void *a, const void *b)
{
	const struct port_count *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return by_port(a, b);
}

/* By their ranks, for free(). */
static struct port_count *
count_ports(const struct wanted *w, size_t *n)
{
	struct port_count *v = xcalloc(w->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i < w->n; i++)
		v[i] = (struct port_count){ w->endpoints[i].port, 1 };
	qsort(v, w->n, sizeof(*v), by_port);
	for (size_t i = 0; i < w->n; i++) {
		if (*n > 0 && v[*n - 1].port == v[i].port)
			v[*n - 1].n++;
		else
			v[(*n)++] = v[i];
	}
	qsort(v, *n, sizeof(*v), by_rank);
	return v;
}

/* The Service's. */
static uint16_t
first_port(const struct port_count *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].port != 0)
			return v[i].port;
	}
	return 0;
}

/* ---- what is too much ---- */

static void
keep_ports(struct wanted *w, const struct port_count *v, size_t n)
{
	bool *kept = xcalloc(UINT16_MAX + 1, sizeof(*kept));
	size_t out = 0;

	for (size_t i = 0; i < n; i++)
		kept[v[i].port] = true;
	for (size_t i = 0; i < w->n; i++) {
		if (kept[w->endpoints[i].port])
			w->endpoints[out++] = w->endpoints[i];
	}
	w->n = out;
	free(kept);
}

static void
choose_ports(struct wanted *w)
{
	size_t had = w->n, n;
	struct port_count *v = count_ports(w, &n);

	w->port = first_port(v, n);
	if (n > OBJECT_PORTS)
		keep_ports(w, v, OBJECT_PORTS);
	if (w->n > OBJECT_ENDPOINTS)
		w->n = OBJECT_ENDPOINTS;
	w->left_out = had - w->n;
	free(v);
}

/* ---- routes ---- */

bool
object_route_name(const struct object_conf *conf, const struct wanted *w,
    size_t gateway, char out[LIMIT_K8S_NAME + 1])
{
	int n = snprintf(out, LIMIT_K8S_NAME + 1, "%s-%s", w->name,
	    conf->gateways[gateway]);

	return n > 0 && n <= LIMIT_K8S_NAME;
}

static void
choose_routes(struct wanted *w, const struct object_conf *conf, bool internal,
    bool external)
{
	bool asked[NAME_GATEWAYS] = { internal, external };
	char name[LIMIT_K8S_NAME + 1];

	if (w->port == 0 || *conf->domain == '\0')
		return;
	for (size_t i = 0; i < NAME_GATEWAYS; i++)
		w->routes[i] = asked[i] && *conf->gateways[i] != '\0' &&
		    object_route_name(conf, w, i, name);
	if (strcmp(conf->gateways[0], conf->gateways[1]) == 0 && w->routes[0])
		w->routes[1] = false;
}

/* ---- all of it ---- */

struct wanted *
wanted_new(const struct object_conf *conf, const char *name,
    const struct backend_service *s, const struct backend_instance *const *v,
    size_t n)
{
	struct wanted *w = xcalloc(1, sizeof(*w));
	const char *port = *s->port_name != '\0' ? s->port_name : PORT_NAME;

	w->service = xstrdup(s->service);
	w->name = xstrdup(name);
	w->port_name = xstrdup(port);
	w->app_protocol = xstrdup(s->app_protocol);
	take_endpoints(w, v, n);
	choose_ports(w);
	choose_routes(w, conf, s->internal, s->external);
	return w;
}

void
wanted_free(struct wanted *w)
{
	if (w == NULL)
		return;
	free(w->service);
	free(w->name);
	free(w->port_name);
	free(w->app_protocol);
	free(w->endpoints);
	free(w->texts);
	free(w);
}
