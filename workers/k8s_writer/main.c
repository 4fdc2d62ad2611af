/*
 * k8s-writer: makes the cluster have the Services, EndpointSlices and
 * HTTPRoutes of the Consul services that consul-reader follows.
 */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/state.h"
#include "workers/k8s_writer/writer.h"
#include "workers/worker.h"

/* Name servers, links and their like. */
#define NOFILE_REST 64
/* A report: its texts and what stands between them. */
#define REPORT_MAX 4096

struct context {
	struct worker *w;
	struct http_client *client; /* NULL: a dry run */
	struct writer *writer;
	struct replica *desired; /* from consul-reader */
	struct set *reports; /* to http */
	struct feed *feed;
	struct url url;
	char server[LIMIT_OPTION + 16];
	char identity[LIMIT_K8S_NAME + 1];
	bool dry_run;
	bool started;
};

/* ---- what is desired ---- */

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
	set_complete(c->reports);
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

/* ---- what is told ---- */

static void
on_report(const struct object_report *r, void *arg)
{
	struct context *c = arg;
	uint8_t buf[REPORT_MAX];
	size_t len = object_report_encode(r, buf, sizeof(buf));

	if (len > 0 && set_count(c->reports) < LIMIT_SET_ENTRIES)
		set_put(c->reports, r->id, strlen(r->id), buf, len);
}

static void
on_gone(const char *id, void *arg)
{
	struct context *c = arg;

	set_del(c->reports, id, strlen(id));
}

static void
on_health(enum health h, bool synced, const char *text, void *arg)
{
	struct context *c = arg;

	worker_health(c->w, h, synced, "%s", text);
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

static void
preload_client(struct context *c, struct sandbox *sb)
{
	const struct settings *s = c->w->settings;
	unsigned n = concurrency(s) + WRITER_OTHERS;
	struct http_client_conf conf = {
		.base = c->w->base,
		.url = c->url,
		.what = "kubernetes",
		.tls_server_name = settings_str(s, OPT_K8S_TLS_SERVER_NAME),
		.insecure = settings_bool(s, OPT_K8S_INSECURE),
		.max_connections = n,
	};

	c->client = http_client_preload(&conf, &sb->dns);
	http_client_token_header(c->client, "Authorization: Bearer ");
	sb->ports[sb->nports++] = c->url.port;
	sb->nofile = n + NOFILE_REST;
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

/* The path of the URL without a slash at its end. */
static const char *
path_prefix(struct url *u)
{
	size_t len = strlen(u->path);

	while (len > 0 && u->path[len - 1] == '/')
		u->path[--len] = '\0';
	return u->path;
}

static struct writer *
make_writer(struct context *c)
{
	const struct settings *s = c->w->settings;
	struct writer_conf conf = {
		.base = c->w->base,
		.client = c->client,
		.metrics = &c->w->metrics,
		.server = c->server,
		.prefix = path_prefix(&c->url),
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

static void
read_url(struct context *c)
{
	const char *text = settings_str(c->w->settings, OPT_K8S_API);
	const char *why = option_url(OPT_K8S_API, text, &c->url);

	if (why != NULL)
		fatalx("k8s-api: %s", why);
	url_origin(&c->url, c->server);
}

static void
preload(struct worker *w, struct sandbox *sb)
{
	struct context *c = xcalloc(1, sizeof(*c));

	w->ctx = c;
	c->w = w;
	c->dry_run = settings_bool(w->settings, OPT_DRY_RUN);
	read_url(c);
	make_identity(c);
	c->desired = replica_new(&desired_ops, c);
	c->reports = set_new();
	c->feed = feed_new(c->reports);
	/* A dry run needs no cluster. */
	if (!c->dry_run)
		preload_client(c, sb);
	c->writer = make_writer(c);
}

/* ---- the worker ---- */

static void
start(struct worker *w)
{
	struct context *c = w->ctx;

	worker_health(w, HEALTH_STARTING, false,
	    "waiting for the first snapshot of consul-reader");
	c->started = true;
	if (!c->dry_run)
		writer_start(c->writer);
}

static const enum http_client_blob client_blobs[BLOB_MAX] = {
	[BLOB_K8S_TOKEN] = HTTP_TOKEN,
	[BLOB_K8S_CA] = HTTP_CA,
	[BLOB_K8S_CERT] = HTTP_CERT,
	[BLOB_K8S_KEY] = HTTP_KEY,
};

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	struct context *c = w->ctx;

	if (c->dry_run || (blob_roles(id) & ROLE_BIT(ROLE_K8S_WRITER)) == 0)
		return;
	http_client_blob(c->client, client_blobs[id], data, len);
	if (c->started)
		writer_retry(c->writer);
}

static void
on_link(struct worker *w, enum role peer, struct channel *ch)
{
	struct context *c = w->ctx;

	if (peer == ROLE_CONSUL_READER)
		replica_attach(c->desired, ch);
	else if (peer == ROLE_HTTP)
		feed_attach(c->feed, ch);
}

static bool
on_message(struct worker *w, enum role peer, const struct msg *m)
{
	struct context *c = w->ctx;

	if (peer == ROLE_CONSUL_READER)
		return replica_message(c->desired, m);
	return peer == ROLE_HTTP && feed_message(c->feed, m);
}

static void
on_drained(struct worker *w, enum role peer)
{
	struct context *c = w->ctx;

	if (peer == ROLE_HTTP)
		feed_drained(c->feed);
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
		.role = ROLE_K8S_WRITER,
		.preload = preload,
		.start = start,
		.blob = on_blob,
		.link = on_link,
		.message = on_message,
		.drained = on_drained,
		.stop = stop,
	};

	return worker_main(&role);
}
