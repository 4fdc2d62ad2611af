/*
 * consul-writer: makes the local Consul agent have the services that
 * kubelet-reader derives, and keeps their TTL checks alive.
 */
#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/log.h"
#include "common/pod.h"
#include "common/service.h"
#include "common/state.h"
#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/sidecars.h"
#include "workers/consul_writer/writer.h"
#include "workers/publisher.h"
#include "workers/upstream.h"

struct context {
	struct worker *w;
	struct upstream consul; /* a dry run does not ask it */
	struct writer *writer;
	struct replica *desired; /* from kubelet-reader */
	struct sidecars *sidecars;
	struct publisher *reports; /* to http */
	struct publisher *gates; /* to k8s-writer */
	uint64_t deregister_ms;
	uint64_t seed;
	uint64_t token; /* its hash; 0: there was none */
	bool dry_run;
	bool started;
};

/* ---- desired services ---- */

static bool
on_put(const struct set_entry *e, void *arg)
{
	struct context *c = arg;

	return sidecars_put(c->sidecars, e);
}

static void
on_del(const void *key, size_t key_len, bool named, void *arg)
{
	struct context *c = arg;

	sidecars_del(c->sidecars, key, key_len, named);
}

static struct service *
desired_service(struct context *c, const struct set_entry *e)
{
	struct service *s =
	    service_decode(e->key, e->key_len, e->val, e->val_len);

	sidecars_judge(c->sidecars, s);
	return s;
}

/* --dry-run: what would be registered, in the order of the IDs. */
static void
print_desired(struct context *c)
{
	size_t n = replica_count(c->desired), i = 0;
	struct service **list = xcalloc(n + 1, sizeof(struct service *));
	const struct set_entry *e;
	char *text;

	for (e = replica_first(c->desired); e != NULL;
	     e = replica_next(c->desired, e)) {
		if (!pod_key_is(e->key, e->key_len))
			list[i++] = desired_service(c, e);
	}
	text = consul_json_dry_run((const struct service *const *)list, i,
	    c->deregister_ms);
	worker_answer(text);
	free(text);
	while (i > 0)
		free(list[--i]);
	free(list);
	worker_exit(c->w);
}

static void
on_synced(bool new_epoch, void *arg)
{
	struct context *c = arg;

	if (c->dry_run) {
		print_desired(c);
		return;
	}
	sidecars_synced(c->sidecars, new_epoch);
	writer_synced(c->writer, new_epoch);
}

static void
on_fresh(uint64_t read_at, bool confirmed, void *arg)
{
	struct context *c = arg;

	writer_fresh(c->writer, read_at, confirmed);
	sidecars_fresh(c->sidecars, confirmed);
}

static const struct replica_ops desired_ops = {
	.put = on_put,
	.del = on_del,
	.synced = on_synced,
	.fresh = on_fresh,
};

/* ---- reports ---- */

static void
on_report(const struct service_report *r, void *arg)
{
	struct context *c = arg;
	uint8_t buf[4096];
	size_t len = service_report_encode(r, buf, sizeof(buf));

	if (len > 0)
		publisher_put(c->reports, r->id, strlen(r->id), buf, len);
}

static void
on_gone(const char *id, void *arg)
{
	struct context *c = arg;

	publisher_del(c->reports, id, strlen(id));
}

static void
on_moved(void *arg)
{
	struct context *c = arg;

	sidecars_moved(c->sidecars);
}

static void
on_health(enum health h, bool synced, const char *text, void *arg)
{
	struct context *c = arg;

	worker_health(c->w, h, synced, "%s", text);
}

/* ---- the worker ---- */

static void
on_ready(void *arg)
{
	struct context *c = arg;

	if (!c->dry_run)
		writer_start(c->writer);
}

static void
on_stopped(void *arg)
{
	struct context *c = arg;

	worker_exit(c->w);
}

static unsigned
concurrency(const struct settings *s)
{
	return (unsigned)settings_u64(s, OPT_CONSUL_CONCURRENCY);
}

static struct writer *
make_writer(struct context *c)
{
	const struct settings *s = c->w->settings;
	struct writer_conf conf = {
		.base = c->w->base,
		.client = c->consul.client,
		.metrics = &c->w->metrics,
		.server = c->consul.name,
		.prefix = c->consul.prefix,
		.namespace = settings_str(s, OPT_CONSUL_NAMESPACE),
		.timeout_ms = settings_u64(s, OPT_CONSUL_TIMEOUT),
		.resync_ms = settings_u64(s, OPT_CONSUL_RESYNC_INTERVAL),
		.stale_after_ms = settings_u64(s, OPT_KUBELET_STALE_AFTER),
		.deregister_ms = c->deregister_ms,
		.concurrency = concurrency(s),
		.report = on_report,
		.gone = on_gone,
		.moved = on_moved,
		.health = on_health,
		.stopped = on_stopped,
		.arg = c,
	};

	arc4random_buf(&conf.seed, sizeof(conf.seed));
	return writer_new(&conf);
}

static struct sidecars *
make_sidecars(struct context *c)
{
	const struct settings *s = c->w->settings;
	struct sidecars_conf conf = {
		.base = c->w->base,
		.client = c->consul.client,
		.writer = c->writer,
		.metrics = &c->w->metrics,
		.reports = c->reports,
		.gates = c->gates,
		.server = c->consul.name,
		.prefix = c->consul.prefix,
		.namespace = settings_str(s, OPT_CONSUL_NAMESPACE),
		.timeout_ms = settings_u64(s, OPT_CONSUL_TIMEOUT),
		.deregister_ms = c->deregister_ms,
		.calls = *settings_str(s, OPT_BIND_ADDRESS) != '\0',
		.verify_peer = settings_bool(s, OPT_SIDECAR_VERIFY_PEER),
		.set_gates =
		    strcmp(settings_str(s, OPT_READINESS_GATES), "yes") == 0,
		.ready = on_ready,
		.arg = c,
	};

	arc4random_buf(&conf.seed, sizeof(conf.seed));
	return sidecars_new(&conf);
}

static void
make_links(struct context *c)
{
	c->desired = replica_new(&desired_ops, c);
	worker_follows(c->w, ROLE_KUBELET_READER, c->desired);
	c->reports = publisher_new(0);
	worker_feeds(c->w, ROLE_HTTP, publisher_feed(c->reports));
	c->gates = publisher_new(0);
	worker_feeds(c->w, ROLE_K8S_WRITER, publisher_feed(c->gates));
}

static void
preload(struct worker *w, struct sandbox *sb)
{
	const struct settings *s = w->settings;
	struct context *c = xcalloc(1, sizeof(*c));

	w->ctx = c;
	c->w = w;
	c->dry_run = settings_bool(s, OPT_DRY_RUN);
	c->deregister_ms = settings_u64(s, OPT_DEREGISTER_CRITICAL_AFTER);
	arc4random_buf(&c->seed, sizeof(c->seed));
	upstream_init(&c->consul, UPSTREAM_CONSUL, s);
	/* Two connections more for reads, so that they don't wait: the
	 * agent's state, and the catalog. */
	if (!c->dry_run)
		upstream_preload(&c->consul, w, sb, concurrency(s) + 2);
	make_links(c);
	c->writer = make_writer(c);
	c->sidecars = make_sidecars(c);
}

static void
start(struct worker *w)
{
	struct context *c = w->ctx;

	worker_health(w, HEALTH_STARTING, false,
	    "waiting for the first pod list");
	c->started = true;
	sidecars_start(c->sidecars);
}

/* What is read again is not always another one. */
static bool
is_new_token(struct context *c, enum blob_id id, const void *data, size_t len)
{
	uint64_t was = c->token;

	if (id == BLOB_CONSUL_TOKEN)
		c->token = XXH3_64bits_withSeed(data, len, c->seed);
	return c->token != was;
}

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	struct context *c = w->ctx;
	bool renew = is_new_token(c, id, data, len);

	if (!upstream_blob(&c->consul, id, data, len) || !c->started)
		return;
	if (renew)
		writer_renew(c->writer);
	else
		writer_retry(c->writer);
	sidecars_retry(c->sidecars);
}

static void
on_connected(struct worker *w, int fd)
{
	struct context *c = w->ctx;

	upstream_connected(&c->consul, fd);
}

static void
on_link(struct worker *w, enum role peer, struct channel *ch)
{
	struct context *c = w->ctx;

	if (peer == ROLE_HTTP)
		sidecars_link(c->sidecars, ch);
}

static bool
on_message(struct worker *w, enum role peer, const struct msg *m)
{
	struct context *c = w->ctx;

	return peer == ROLE_HTTP && sidecars_message(c->sidecars, m);
}

static void
stop(struct worker *w)
{
	struct context *c = w->ctx;

	if (c->dry_run)
		worker_exit(w);
	else
		writer_stop(c->writer);
}

int
main(void)
{
	static const struct worker_role role = {
		.role = ROLE_CONSUL_WRITER,
		.preload = preload,
		.start = start,
		.blob = on_blob,
		.connected = on_connected,
		.link = on_link,
		.message = on_message,
		.stop = stop,
	};

	return worker_main(&role);
}
