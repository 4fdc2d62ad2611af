#include "tests/unit/consul_views.h"

#include <stdlib.h>

struct service_view at;
bool confirmed;
size_t confirms;

static void
on_want(struct service *s, void *arg)
{
	(void)arg;
	free(s);
}

static void
on_unwatched(const struct pod *pod, void *arg)
{
	(void)pod;
	(void)arg;
}

struct pods *
views_start(void)
{
	static const struct pods_conf conf = {
		.gates = true,
		.want = on_want,
		.unwatched = on_unwatched,
	};

	confirmed = true;
	confirms = 0;
	return pods_new(&conf);
}

static struct service_view
on_view(const char *id, void *arg)
{
	struct service_view v = at;

	(void)id;
	(void)arg;
	v.confirmed = confirmed;
	return v;
}

static void
on_confirm(const char *id, void *arg)
{
	(void)id;
	(void)arg;
	confirms++;
}

struct outlook
views_outlook(void)
{
	return (struct outlook){ .view = on_view, .confirm = on_confirm };
}
