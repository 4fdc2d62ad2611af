#include "workers/consul_reader/hosts.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/timer.h"
#include "workers/resolve.h"

/* How often it is seen whose addresses have expired. */
#define TICK_S 5

struct host {
	RB_ENTRY(host) link;
	TAILQ_ENTRY(host) in_list;
	struct hosts *hosts;
	size_t holds;
	struct resolve *resolve; /* NULL: it waits for room */
	unsigned generation; /* that was told */
	bool changed;
	struct log_once failed;
	char name[];
};

RB_HEAD(host_tree, host);
TAILQ_HEAD(host_list, host);

struct hosts {
	struct hosts_conf conf;
	struct resolve *dns; /* looks up nothing itself */
	struct host_tree tree;
	struct host_list followed;
	struct host_list waiting;
	unsigned n; /* followed */
	struct event *tick;
	struct event *tell;
	struct log_once full;
};

static int
by_name(const struct host *a, const struct host *b)
{
	return strcmp(a->name, b->name);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(host_tree, host, link, by_name,
    static __attribute__((unused)))

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
	h->changed = true;
	if (!evtimer_pending(h->hosts->tell, NULL))
		timer_arm(h->hosts->tell, HOSTS_CHANGED_MS);
}

static void
on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct hosts *h = arg;
	struct host *host;

	(void)fd;
	(void)what;
	h->conf.changed(h->conf.arg);
	TAILQ_FOREACH(host, &h->followed, in_list)
		host->changed = false;
}

/* Asking for the state starts a lookup where it is due. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct hosts *h = arg;
	struct host *host;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(host, &h->followed, in_list)
		resolve_state(host->resolve);
}

struct hosts *
hosts_preload(const struct hosts_conf *conf)
{
	static const struct timeval tick = { TICK_S, 0 };
	struct resolve_conf dns = {
		.base = conf->base,
		.host = "",
		.resolv_conf = conf->resolv_conf,
		.settled = ignore,
	};
	struct hosts *h = xcalloc(1, sizeof(*h));

	h->conf = *conf;
	RB_INIT(&h->tree);
	TAILQ_INIT(&h->followed);
	TAILQ_INIT(&h->waiting);
	h->dns = resolve_preload(&dns);
	h->tell = evtimer_new(conf->base, on_tell, h);
	h->tick = event_new(conf->base, -1, EV_PERSIST, on_tick, h);
	if (h->tell == NULL || h->tick == NULL ||
	    event_add(h->tick, &tick) == -1)
		fatalx("hosts: no timer");
	return h;
}

/* ---- who is followed ---- */

static void
follow(struct hosts *h, struct host *host)
{
	host->resolve = resolve_another(h->dns, host->name, on_settled, host);
	TAILQ_INSERT_TAIL(&h->followed, host, in_list);
	h->n++;
	resolve_state(host->resolve);
	host->generation = resolve_generation(host->resolve);
}

static void
say_waiting(struct hosts *h)
{
	if (!TAILQ_EMPTY(&h->waiting))
		log_once_warn(&h->full,
		    "more than %u host names: the others are not looked up",
		    h->conf.max);
	else
		log_once_clear(&h->full, "all host names are looked up");
}

static struct host *
add(struct hosts *h, const char *name)
{
	size_t len = strlen(name) + 1;
	struct host *host = xcalloc(1, sizeof(*host) + len);

	host->hosts = h;
	memcpy(host->name, name, len);
	RB_INSERT(host_tree, &h->tree, host);
	if (h->n < h->conf.max)
		follow(h, host);
	else
		TAILQ_INSERT_TAIL(&h->waiting, host, in_list);
	say_waiting(h);
	return host;
}

static void
drop(struct hosts *h, struct host *host)
{
	bool followed = host->resolve != NULL;

	RB_REMOVE(host_tree, &h->tree, host);
	TAILQ_REMOVE(followed ? &h->followed : &h->waiting, host, in_list);
	h->n -= followed;
	if (followed)
		resolve_free(host->resolve);
	free(host);
}

static void
follow_next(struct hosts *h)
{
	struct host *host = TAILQ_FIRST(&h->waiting);

	if (host != NULL && h->n < h->conf.max) {
		TAILQ_REMOVE(&h->waiting, host, in_list);
		follow(h, host);
	}
	say_waiting(h);
}

static struct host *
find(const struct hosts *h, const char *name)
{
	struct host *host = RB_ROOT(&h->tree);
	int cmp;

	while (host != NULL && (cmp = strcmp(name, host->name)) != 0)
		host = cmp < 0 ? RB_LEFT(host, link) : RB_RIGHT(host, link);
	return host;
}

void
hosts_free(struct hosts *h)
{
	struct host *host;

	if (h == NULL)
		return;
	while ((host = RB_MIN(host_tree, &h->tree)) != NULL)
		drop(h, host);
	event_free(h->tick);
	event_free(h->tell);
	resolve_free(h->dns);
	free(h);
}

void
hosts_hold(struct hosts *h, const char *name)
{
	struct host *host = find(h, name);

	if (host == NULL)
		host = add(h, name);
	host->holds++;
}

void
hosts_release(struct hosts *h, const char *name)
{
	struct host *host = find(h, name);

	if (host == NULL || --host->holds > 0)
		return;
	drop(h, host);
	follow_next(h);
}

const char *
hosts_lookup(const struct hosts *h, const char *name)
{
	const struct host *host = find(h, name);

	return host != NULL && host->resolve != NULL
	    ? resolve_list(host->resolve)
	    : "";
}

bool
hosts_has_changed(const struct hosts *h, const char *name)
{
	const struct host *host = find(h, name);

	return host != NULL && host->changed;
}
