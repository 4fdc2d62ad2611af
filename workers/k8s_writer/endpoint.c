#include "workers/k8s_writer/endpoint.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const int families[BACKEND_FAMILIES] = {
	[BACKEND_IPV4] = AF_INET,
	[BACKEND_IPV6] = AF_INET6,
};

bool
address_parse(const char *text, struct address *a)
{
	memset(a, 0, sizeof(*a));
	a->family = (uint8_t)backend_family(text);
	return inet_pton(families[a->family], text, a->ip) == 1;
}

void
address_text(const struct address *a, char out[BACKEND_ADDRESS])
{
	inet_ntop(families[a->family], a->ip, out, BACKEND_ADDRESS);
}

int
address_compare(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static int
place_compare(const struct endpoint *x, const struct endpoint *y)
{
	if (x->at.family != y->at.family)
		return x->at.family < y->at.family ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return memcmp(x->at.ip, y->at.ip, sizeof(x->at.ip));
}

/* All that is left decides among equals, so that the order is one. */
int
endpoint_compare(const void *a, const void *b)
{
	const struct endpoint *x = a, *y = b;
	int c = place_compare(x, y);

	if (c != 0)
		return c;
	if (x->ready != y->ready)
		return x->ready ? -1 : 1;
	if ((c = strcmp(x->node, y->node)) != 0)
		return c;
	return strcmp(x->zone, y->zone);
}

size_t
endpoints_unify(struct endpoint *v, size_t n)
{
	size_t out = 0;

	if (n == 0)
		return 0;
	qsort(v, n, sizeof(*v), endpoint_compare);
	for (size_t i = 1; i < n; i++) {
		if (place_compare(&v[out], &v[i]) != 0)
			v[++out] = v[i];
	}
	return out + 1;
}

static int
by_place(const void *a, const void *b)
{
	return place_compare(a, b);
}

const struct endpoint *
endpoints_find(const struct endpoint *v, size_t n, const struct address *at,
    uint16_t port)
{
	struct endpoint key = { .at = *at, .port = port };

	return n == 0 ? NULL : bsearch(&key, v, n, sizeof(*v), by_place);
}
