/*
 * k8s-writer has two jobs, one or both of them: it makes the cluster have the
 * Services, EndpointSlices and HTTPRoutes of the Consul services that
 * consul-reader follows (writer.h), and sets the readiness gates of this
 * node's pods as consul-writer says (gatekeeper.h).
 */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/state.h"
#include "workers/k8s_writer/gatekeeper.h"
#include "workers/k8s_writer/writer.h"
#include "workers/publisher.h"
#include "workers/upstream.h"

/* A report: its texts and what stands between them. */
#define REPORT_MAX 4096

/* How a job goes. */
struct job {
	bool on;
	enum health health;
	bool synced;
	char text[LIMIT_TEXT];
};

struct context {
	struct worker *w;
	struct upstream cluster; /* a dry run does not ask it */
	struct job objects;
	struct writer *writer; /* NULL without to-k8s, as the next two */
	struct replica *desired; /* from consul-reader */
	struct publisher *reports; /* to http */
	struct job gates;
	struct gatekeeper *keeper; /* NULL without gates, as the next */
	struct replica *wanted; /* from consul-writer */
	char identity[LIMIT_K8S_NAME + 1];
	bool dry_run;
	bool started;
};

/* ---- desired objects ---- */

static bool
on_put(const struct set_entry *e, void *arg)
{
	struct context *c = arg;

	return writer_put(c->writer, e->key, e->key_len, e->val, e->val_len);
}

static void
on_del(const void *key, size_t key_len, bool named, void *arg)
{
	struct context *c = arg;

	(void)named;
	writer_del(c->writer, key, key_len);
}

static void
print_desired(struct context *c)
{
	char *text = writer_manifest(c->writer);

	worker_answer(text);
	free(text);
	worker_exit(c->w);
}

static void
on_synced(bool new_epoch, void *arg)
{
	struct context *c = arg;

	writer_synced(c->writer, new_epoch);
	publisher_complete(c->reports);
	if (c->dry_run)
		print_desired(c);
}

static void
on_fresh(uint64_t read_at, bool confirmed, void *arg)
{
	struct context *c = arg;

	writer_fresh(c->writer, read_at, confirmed);
}

static const struct replica_ops desired_ops = {
	.put = on_put,
	.del = on_del,
	.synced = on_synced,
	.fresh = on_fresh,
};

/* ---- wanted gates ---- */

static bool
on_gate_put(const struct set_entry *e, void *arg)
{
	struct context *c = arg;

	return gatekeeper_put(c->keeper, e->key, e->key_len, e->val,
	    e->val_len);
}

static void
on_gate_del(const void *key, size_t key_len, bool named, void *arg)
{
	struct context *c = arg;

	(void)named;
	gatekeeper_del(c->keeper, key, key_len);
}

static void
on_gates_synced(bool new_epoch, void *arg)
{
	struct context *c = arg;

	(void)new_epoch;
	gatekeeper_synced(c->keeper);
}

static const struct replica_ops gate_ops = {
	.put = on_gate_put,
	.del = on_gate_del,
	.synced = on_gates_synced,
};

/* ---- what is told ---- */

static void
on_report(const struct object_report *r, void *arg)
{
	struct context *c = arg;
	uint8_t buf[REPORT_MAX];
	size_t len = object_report_encode(r, buf, sizeof(buf));

	if (len > 0)
		publisher_put(c->reports, r->id, strlen(r->id), buf, len);
}

static void
on_gone(const char *id, void *arg)
{
	struct context *c = arg;

	publisher_del(c->reports, id, strlen(id));
}

static enum health
worse(enum health a, enum health b)
{
	static const unsigned badness[] = {
		[HEALTH_OK] = 0,
		[HEALTH_STARTING] = 1,
		[HEALTH_DEGRADED] = 2,
	};

	return badness[a] > badness[b] ? a : b;
}

/* Where there are objects nobody waits for gates, see workers/http/model.c. */
static void
tell(struct context *c)
{
	const struct job *o = &c->objects, *g = &c->gates;
	const struct job *only = o->on ? o : g;

	if (o->on && g->on)
		worker_health(c->w, worse(o->health, g->health), o->synced,
		    "%.250s; %.250s", o->text, g->text);
	else
		worker_health(c->w, only->health, only->synced, "%s",
		    only->text);
}

static void
set_job(struct job *job, enum health h, bool synced, const char *text)
{
	job->health = h;
	job->synced = synced;
	strlcpy(job->text, text, sizeof(job->text));
}

static void
on_health(enum health h, bool synced, const char *text, void *arg)
{
	struct context *c = arg;

	set_job(&c->objects, h, synced, text);
	tell(c);
}

static void
on_gates_health(enum health h, bool synced, const char *text, void *arg)
{
	struct context *c = arg;

	set_job(&c->gates, h, synced, text);
	tell(c);
}

static void
on_stopped(void *arg)
{
	struct context *c = arg;

	worker_exit(c->w);
}

/* ---- before the sandbox closes ---- */

static unsigned
concurrency(const struct settings *s)
{
	return (unsigned)settings_u64(s, OPT_K8S_CONCURRENCY);
}

/* The host's or the pod's name, and what no other process has. */
static void
make_identity(struct context *c)
{
	char host[128] = "";

	if (gethostname(host, sizeof(host) - 1) == -1)
		log_warn("the name of this host");
	snprintf(c->identity, sizeof(c->identity), "%s_%08x%08x", host,
	    arc4random(), arc4random());
}

/* No routes without a domain: "" stands for both reasons. */
static struct object_conf
object_conf(const struct settings *s)
{
	bool routes = settings_bool(s, OPT_ENABLE_HTTPROUTES) &&
	    *settings_str(s, OPT_DOMAIN_SUFFIX) != '\0';
	struct object_conf conf = {
		.namespace = settings_str(s, OPT_TARGET_NAMESPACE),
		.instance = settings_str(s, OPT_INSTANCE_ID),
		.domain = "",
		.gateways = { "", "" },
		.gateway_namespace = settings_str(s, OPT_GATEWAY_NAMESPACE),
		.listener = settings_str(s, OPT_GATEWAY_LISTENER),
	};

	if (!routes)
		return conf;
	conf.domain = settings_str(s, OPT_DOMAIN_SUFFIX);
	conf.gateways[0] = settings_str(s, OPT_INTERNAL_GATEWAY);
	conf.gateways[1] = settings_str(s, OPT_EXTERNAL_GATEWAY);
	return conf;
}

static struct writer *
make_writer(struct context *c)
{
	const struct settings *s = c->w->settings;
	struct writer_conf conf = {
		.base = c->w->base,
		.client = c->cluster.client,
		.metrics = &c->w->metrics,
		.server = c->cluster.name,
		.prefix = c->cluster.prefix,
		.objects = object_conf(s),
		.lease = settings_str(s, OPT_LEADER_ELECT_NAME),
		.identity = c->identity,
		.elect = strcmp(settings_str(s, OPT_LEADER_ELECT), "yes") == 0,
		.timeout_ms = settings_u64(s, OPT_K8S_TIMEOUT),
		.resync_ms = settings_u64(s, OPT_RESYNC_INTERVAL),
		.max_delete = settings_u64(s, OPT_MAX_DELETE_RATIO),
		.concurrency = concurrency(s),
		.report = on_report,
		.gone = on_gone,
		.health = on_health,
		.stopped = on_stopped,
		.arg = c,
	};

	arc4random_buf(&conf.seed, sizeof(conf.seed));
	return writer_new(&conf);
}

static struct gatekeeper *
make_keeper(struct context *c)
{
	struct gatekeeper_conf conf = {
		.base = c->w->base,
		.client = c->cluster.client,
		.metrics = &c->w->metrics,
		.server = c->cluster.name,
		.prefix = c->cluster.prefix,
		.timeout_ms = settings_u64(c->w->settings, OPT_K8S_TIMEOUT),
		.health = on_gates_health,
		.arg = c,
	};

	arc4random_buf(&conf.seed, sizeof(conf.seed));
	return gatekeeper_new(&conf);
}

static void
prepare_objects(struct context *c)
{
	make_identity(c);
	c->desired = replica_new(&desired_ops, c);
	worker_follows(c->w, ROLE_CONSUL_READER, c->desired);
	c->reports = publisher_new(0);
	worker_feeds(c->w, ROLE_HTTP, publisher_feed(c->reports));
	c->writer = make_writer(c);
}

static void
prepare_gates(struct context *c)
{
	c->wanted = replica_new(&gate_ops, c);
	worker_follows(c->w, ROLE_CONSUL_WRITER, c->wanted);
	c->keeper = make_keeper(c);
}

static unsigned
connections(const struct context *c)
{
	unsigned n = 0;

	if (c->objects.on)
		n += concurrency(c->w->settings) + WRITER_OTHERS;
	if (c->gates.on)
		n += GATEKEEPER_REQUESTS;
	return n;
}

static void
preload(struct worker *w, struct sandbox *sb)
{
	const struct settings *s = w->settings;
	struct context *c = xcalloc(1, sizeof(*c));

	w->ctx = c;
	c->w = w;
	c->dry_run = settings_bool(s, OPT_DRY_RUN);
	c->objects.on = settings_bool(s, OPT_TO_K8S);
	c->gates.on = strcmp(settings_str(s, OPT_READINESS_GATES), "yes") == 0;
	upstream_init(&c->cluster, UPSTREAM_KUBERNETES, s);
	if (!c->dry_run)
		upstream_preload(&c->cluster, w, sb, connections(c));
	if (c->objects.on)
		prepare_objects(c);
	if (c->gates.on)
		prepare_gates(c);
}

/* ---- the worker ---- */

static void
start(struct worker *w)
{
	struct context *c = w->ctx;

	set_job(&c->objects, HEALTH_STARTING, false,
	    "waiting for the first snapshot of consul-reader");
	set_job(&c->gates, HEALTH_STARTING, false,
	    "waiting for the first snapshot of consul-writer");
	tell(c);
	c->started = true;
	if (c->dry_run)
		return;
	if (c->objects.on)
		writer_start(c->writer);
	if (c->gates.on)
		gatekeeper_start(c->keeper);
}

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	struct context *c = w->ctx;

	if (!upstream_blob(&c->cluster, id, data, len) || !c->started)
		return;
	if (c->objects.on)
		writer_retry(c->writer);
	if (c->gates.on)
		gatekeeper_retry(c->keeper);
}

static void
stop(struct worker *w)
{
	struct context *c = w->ctx;

	if (c->gates.on)
		gatekeeper_stop(c->keeper);
	if (c->objects.on && !c->dry_run)
		writer_stop(c->writer);
	else
		worker_exit(w);
}

int
main(void)
{
	static const struct worker_role role = {
		.role = ROLE_K8S_WRITER,
		.preload = preload,
		.start = start,
		.blob = on_blob,
		.stop = stop,
	};

	return worker_main(&role);
}
