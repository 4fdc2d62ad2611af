#include "workers/consul_reader/hosts.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/resolve.h"

/* More are not followed: each costs two queries in a TTL. */
#define HOSTS_MAX 1000
/* How often it is seen whose addresses have expired. */
#define TICK_S 5

struct host {
	TAILQ_ENTRY(host) link;
	struct hosts *hosts;
	struct resolve *resolve;
	unsigned generation; /* that changed() was called for */
	struct log_once failed;
	char name[];
};

struct hosts {
	struct hosts_conf conf;
	struct resolve *dns; /* looks up nothing itself */
	TAILQ_HEAD(, host) list;
	unsigned n;
	struct event *timer;
	struct log_once full;
};

static void
ignore(void *arg)
{
	(void)arg;
}

static void
on_settled(void *arg)
{
	struct host *h = arg;

	if (*resolve_error(h->resolve) != '\0')
		log_once_warn(&h->failed, "%s; its instances stay as they are",
		    resolve_error(h->resolve));
	else
		log_once_clear(&h->failed, "look up %s: answered", h->name);
	if (resolve_generation(h->resolve) == h->generation)
		return;
	h->generation = resolve_generation(h->resolve);
	h->hosts->conf.changed(h->name, h->hosts->conf.arg);
}

/* Asking for the state starts a lookup where it is due. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct hosts *h = arg;
	struct host *host;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(host, &h->list, link)
		resolve_state(host->resolve);
}

struct hosts *
hosts_preload(const struct hosts_conf *conf)
{
	static const struct timeval tick = { TICK_S, 0 };
	struct resolve_conf dns = {
		.base = conf->base,
		.host = "",
		.settled = ignore,
	};
	struct hosts *h = xcalloc(1, sizeof(*h));

	h->conf = *conf;
	TAILQ_INIT(&h->list);
	h->dns = resolve_preload(&dns);
	h->timer = event_new(conf->base, -1, EV_PERSIST, on_tick, h);
	if (h->timer == NULL || event_add(h->timer, &tick) == -1)
		fatalx("hosts: no timer");
	return h;
}

void
hosts_free(struct hosts *h)
{
	struct host *host;

	if (h == NULL)
		return;
	while ((host = TAILQ_FIRST(&h->list)) != NULL) {
		TAILQ_REMOVE(&h->list, host, link);
		resolve_free(host->resolve);
		free(host);
	}
	event_free(h->timer);
	resolve_free(h->dns);
	free(h);
}

static struct host *
find(struct hosts *h, const char *name)
{
	struct host *host;

	TAILQ_FOREACH(host, &h->list, link) {
		if (strcmp(host->name, name) == 0)
			break;
	}
	return host;
}

static struct host *
add(struct hosts *h, const char *name)
{
	size_t len = strlen(name) + 1;
	struct host *host = xcalloc(1, sizeof(*host) + len);

	host->hosts = h;
	memcpy(host->name, name, len);
	host->resolve = resolve_another(h->dns, name, on_settled, host);
	TAILQ_INSERT_TAIL(&h->list, host, link);
	h->n++;
	resolve_state(host->resolve);
	host->generation = resolve_generation(host->resolve);
	return host;
}

const char *
hosts_lookup(struct hosts *h, const char *name)
{
	struct host *host = find(h, name);

	if (host == NULL && h->n == HOSTS_MAX) {
		log_once_warn(&h->full,
		    "more than %d host names: the others are not looked up",
		    HOSTS_MAX);
		return "";
	}
	if (host == NULL)
		host = add(h, name);
	return resolve_list(host->resolve);
}
