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

/* ---- the Service's port ---- */

static int
by_port(const void *a, const void *b)
{
	const uint16_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The one that stands there most often; the lowest of those. */
static uint16_t
most_frequent(const uint16_t *v, size_t n)
{
	size_t run = 0, most = 0;
	uint16_t best = 0;

	for (size_t i = 0; i < n; i++) {
		run = i > 0 && v[i] == v[i - 1] ? run + 1 : 1;
		if (run > most) {
			most = run;
			best = v[i];
		}
	}
	return best;
}

static uint16_t
port_of_most(const struct wanted *w)
{
	uint16_t *ports = xcalloc(w->n + 1, sizeof(*ports)), best;
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (w->endpoints[i].port != 0)
			ports[n++] = w->endpoints[i].port;
	}
	qsort(ports, n, sizeof(*ports), by_port);
	best = most_frequent(ports, n);
	free(ports);
	return best;
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
	w->port = port_of_most(w);
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
