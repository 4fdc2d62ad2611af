#include "workers/consul_reader/reader.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/timer.h"
#include "workers/consul_reader/reader_inside.h"

/* Reads of services at once, besides the lists. */
#define CONCURRENCY 16
/* How often it is looked whether k8s-writer is to hear that all is well... */
#define FRESH_TICK_MS 5000
/*
 * ...which it does no sooner than so. Less than between two pulses: else every
 * second one would say nothing, and k8s-writer waits for them to look at a
 * loss twice.
 */
#define FRESH_MS (QUERY_PULSE_WAIT_MS / 2)
/* A catalog that may hide something is asked again, so often so soon. */
#define HIDDEN_NEW    60
#define HIDDEN_NEW_MS 1000
#define HIDDEN_OLD_MS 10000
/* evtimer's: far enough to be never. */
#define LONG_MS (3600 * 1000ULL)

static const struct {
	enum listing_kind kind;
	/* The first answer is no news: services are read anyway then. */
	bool differs_only;
} list_kinds[QUERY_LISTS] = {
	[QUERY_CATALOG] = { LISTING_CATALOG, false },
	[QUERY_CRITICAL] = { LISTING_CHECKS, false },
	[QUERY_WARNING] = { LISTING_CHECKS, false },
	[QUERY_NODES] = { LISTING_NODES, true },
	[QUERY_PULSE] = { LISTING_CHECKS, true },
	[QUERY_ROSTER] = { LISTING_ROSTER, true },
};

/* ---- lists ---- */

static void
make_dirty(const char *service, void *arg)
{
	struct reader *r = arg;

	follow_dirty(r->follow, service);
}

/* Who is not in the catalog's list any more goes by catalog_listed(). */
static void
on_named(struct reader *r, const struct listing_change *c)
{
	if (!c->now)
		return;
	catalog_named(r->catalog, c->name);
	follow_add(r->follow, c->name);
	follow_dirty(r->follow, c->name);
}

static void
on_change(const struct listing_change *c, void *arg)
{
	struct list *l = arg;

	if (l->which == QUERY_CATALOG)
		on_named(l->r, c);
	else if (!l->counted && list_kinds[l->which].differs_only)
		return;
	else if (c->about == LISTING_SERVICE)
		follow_dirty(l->r->follow, c->name);
	else
		catalog_on_node(l->r->catalog, c->name, make_dirty, l->r);
}

static bool
is_named(const char *service, void *arg)
{
	struct listing *l = arg;

	return listing_has_service(l, service);
}

/* Consul's own service is in the default namespace. */
static bool
is_elsewhere(const struct reader *r)
{
	const char *namespace = r->query.namespace;

	return *namespace != '\0' && strcmp(namespace, "default") != 0;
}

/* Constant text why the catalog may hide something; NULL: it does not. */
static const char *
hidden(const struct list *l, enum answer_worth worth)
{
	if (worth == ANSWER_PARTIAL)
		return "katalogd's token may not see all services";
	if (!listing_has_consul(l->listing) && is_elsewhere(l->r))
		return "the namespace has no service: katalogd's token may "
		       "not see it, or there is none";
	if (!listing_has_consul(l->listing))
		return "the catalog lacks Consul's own service: katalogd's "
		       "token may not see it, or there is none";
	return NULL;
}

/* Often at first: a token or server that is wrong for a moment. */
static void
stay_hidden(struct reader *r, const char *why, uint64_t now)
{
	bool new = r->hidden++ < HIDDEN_NEW;

	follow_hidden(r->follow, true);
	follow_again(r->follow, QUERY_CATALOG,
	    new ? HIDDEN_NEW_MS : HIDDEN_OLD_MS, now);
	say_partial(r, why);
}

/* What was hidden in other answers is behind their indexes. */
static void
come_out(struct reader *r, uint64_t now)
{
	r->hidden = 0;
	follow_hidden(r->follow, false);
	for (int i = 0; i < QUERY_PULSE; i++) {
		if (i != QUERY_CATALOG)
			restart_list(r, (enum query_list)i, now);
	}
	follow_sweep(r->follow, now);
}

void
take_list(struct reader *r, struct list *l, enum answer_worth worth)
{
	uint64_t now = clock_ms();
	const char *why;

	l->counted = true;
	if (worth == ANSWER_PARTIAL)
		follow_doubt(r->follow);
	if (l->which != QUERY_CATALOG)
		return;
	why = hidden(l, worth);
	if (why != NULL) {
		stay_hidden(r, why, now);
		return;
	}
	catalog_listed(r->catalog, is_named, l->listing, now);
	if (r->hidden > 0)
		come_out(r, now);
}

/* ---- items ---- */

static bool
on_put(const void *key, size_t key_len, const void *val, size_t val_len,
    void *arg)
{
	struct reader *r = arg;

	return publisher_put(r->publisher, key, key_len, val, val_len);
}

static void
on_del(const void *key, size_t key_len, void *arg)
{
	struct reader *r = arg;

	publisher_del(r->publisher, key, key_len);
}

static void
on_notice(const char *line, void *arg)
{
	(void)arg;
	log_warnx("%s", line);
}

static const char *
on_lookup(const char *host, void *arg)
{
	struct reader *r = arg;

	return r->hosts != NULL ? hosts_lookup(r->hosts, host) : NULL;
}

static void
on_hold(const char *host, void *arg)
{
	struct reader *r = arg;

	if (r->hosts != NULL)
		hosts_hold(r->hosts, host);
}

static void
on_release(const char *host, void *arg)
{
	struct reader *r = arg;

	if (r->hosts != NULL)
		hosts_release(r->hosts, host);
}

static void
on_forgotten(const char *service, void *arg)
{
	struct reader *r = arg;

	follow_remove(r->follow, service);
	log_info("service %s: no longer in Consul's catalog with our tag",
	    service);
}

static const struct catalog_ops catalog_ops = {
	.put = on_put,
	.del = on_del,
	.notice = on_notice,
	.lookup = on_lookup,
	.hold = on_hold,
	.release = on_release,
	.forgotten = on_forgotten,
};

static bool
has_changed(const char *host, void *arg)
{
	return hosts_has_changed(arg, host);
}

static void
on_addresses(void *arg)
{
	struct reader *r = arg;

	catalog_rehost(r->catalog, has_changed, r->hosts);
	pump(r);
}

/* ---- the loop ---- */

static void
look_again(const char *service, void *arg)
{
	struct reader *r = arg;

	if (service != NULL)
		follow_dirty(r->follow, service);
	else
		restart_list(r, QUERY_CATALOG, clock_ms());
}

static void
resync(struct reader *r, uint64_t now)
{
	restart_lists(r, now);
	follow_resynced(r->follow, now);
}

static void
publish(struct reader *r, uint64_t now)
{
	if (!r->complete && follow_complete(r->follow, now)) {
		r->complete = true;
		log_info("consul at %s: following %zu services", r->consul.name,
		    follow_counts(r->follow).services);
	}
	/* While Consul is away, the set is as of the last time it was not. */
	if (r->complete && r->trouble[0] == '\0')
		publisher_read(r->publisher, now, follow_confirmed(r->follow));
}

/* After a whole pass in which nothing was hidden, nothing is. */
static void
look_at_passes(struct reader *r)
{
	struct follow_counts c = follow_counts(r->follow);

	if (c.passes == r->passes)
		return;
	r->passes = c.passes;
	if (c.good)
		say_partial(r, "");
}

static void
arm(struct reader *r, uint64_t now)
{
	uint64_t at = follow_due(r->follow, now);
	uint64_t look = catalog_look_due(r->catalog);
	uint64_t ms = r->complete ? FRESH_TICK_MS : LONG_MS;

	if (look < at)
		at = look;
	if (at <= now)
		ms = 0;
	else if (at - now < ms)
		ms = at - now;
	timer_arm(r->timer, ms);
}

void
pump(struct reader *r)
{
	uint64_t now = clock_ms();

	if (!r->started)
		return;
	if (follow_resync_due(r->follow, now))
		resync(r, now);
	if (follow_in_doubt(r->follow, now))
		restart_list(r, QUERY_PULSE, now);
	if (catalog_look_due(r->catalog) <= now)
		catalog_look(r->catalog, now, look_again, r);
	start_requests(r, now);
	look_at_passes(r);
	publish(r, now);
	tell(r);
	arm(r, now);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

/* ---- the worker ---- */

static void
preload_hosts(struct reader *r, struct sandbox *sb)
{
	struct hosts_conf conf = {
		.base = r->w->base,
		.max = HOSTS_MAX,
		.changed = on_addresses,
		.arg = r,
	};

	if (!settings_bool(r->w->settings, OPT_RESOLVE_HOSTNAMES))
		return;
	r->hosts = hosts_preload(&conf);
	sb->dns = true;
}

static void
read_settings(struct reader *r)
{
	const struct settings *s = r->w->settings;

	upstream_init(&r->consul, UPSTREAM_CONSUL, s);
	r->query = (struct query_conf){
		.prefix = r->consul.prefix,
		.tag = settings_str(s, OPT_CONSUL_TAG),
		.datacenter = settings_str(s, OPT_CONSUL_DATACENTER),
		.namespace = settings_str(s, OPT_CONSUL_NAMESPACE),
	};
	r->timeout_ms = settings_u64(s, OPT_CONSUL_TIMEOUT);
	r->dry_run = settings_bool(s, OPT_DRY_RUN);
}

static void
make_lists(struct reader *r)
{
	for (int i = 0; i < QUERY_LISTS; i++) {
		struct list *l = &r->lists[i];
		struct listing_conf conf = {
			.kind = list_kinds[i].kind,
			.tag = r->query.tag,
			.elsewhere = is_elsewhere(r),
			.secret = r->secret,
			.changed = on_change,
			.arg = l,
		};

		l->r = r;
		l->which = (enum query_list)i;
		l->listing = listing_new(&conf);
	}
}

static void
make_follow(struct reader *r)
{
	const struct settings *s = r->w->settings;
	struct follow_conf conf = {
		.resync_ms = settings_u64(s, OPT_RESYNC_INTERVAL),
		.concurrency = CONCURRENCY,
		.warning = !settings_bool(s, OPT_WARNING_IS_READY),
	};

	arc4random_buf(&conf.seed, sizeof(conf.seed));
	r->follow = follow_new(&conf, clock_ms());
}

static void
make_catalog(struct reader *r)
{
	const struct settings *s = r->w->settings;
	struct catalog_conf conf = {
		.derive = {
			.tag = r->query.tag,
			.internal_tag = settings_str(s, OPT_INTERNAL_TAG),
			.external_tag = settings_str(s, OPT_EXTERNAL_TAG),
			.warning_is_ready =
			    settings_bool(s, OPT_WARNING_IS_READY),
			.allow_loops = settings_bool(s, OPT_ALLOW_LOOPS),
		},
		.ops = &catalog_ops,
		.trust = &r->trust,
		.secret = r->secret,
		.arg = r,
	};

	trust_init(&r->trust, (unsigned)settings_u64(s, OPT_MAX_DELETE_RATIO));
	r->catalog = catalog_new(&conf);
}

struct reader *
reader_preload(struct worker *w, struct sandbox *sb)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->w = w;
	r->metrics = &w->metrics;
	arc4random_buf(r->secret, sizeof(r->secret));
	read_settings(r);
	make_lists(r);
	make_follow(r);
	make_catalog(r);
	TAILQ_INIT(&r->reads);
	r->publisher = publisher_new(FRESH_MS);
	worker_feeds(w, ROLE_K8S_WRITER, publisher_feed(r->publisher));
	r->timer = evtimer_new(w->base, on_timer, r);
	if (r->timer == NULL)
		fatalx("consul: no timer");
	upstream_preload(&r->consul, w, sb, CONCURRENCY + QUERY_LISTS);
	preload_hosts(r, sb);
	return r;
}

void
reader_start(struct reader *r)
{
	r->started = true;
	pump(r);
}

/* With a new token, more may be seen, or less: all is read again. */
void
reader_blob(struct reader *r, enum blob_id id, const void *data, size_t len)
{
	uint64_t now = clock_ms();

	if (!upstream_blob(&r->consul, id, data, len) || !r->started)
		return;
	follow_retry(r->follow, now);
	restart_lists(r, now);
	pump(r);
}

void
reader_connected(struct reader *r, int fd)
{
	upstream_connected(&r->consul, fd);
}
