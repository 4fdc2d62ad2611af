/*
 * consul-writer: makes the local Consul agent have the services that
 * kubelet-reader derives, and keeps their TTL checks alive.
 */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/service.h"
#include "common/state.h"
#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/writer.h"
#include "workers/http_client.h"
#include "workers/worker.h"

/* Connections, name servers, links and their like. */
#define NOFILE_REST 64

struct context {
	struct worker *w;
	struct http_client *client;
	struct writer *writer;
	struct replica *desired; /* from kubelet-reader */
	struct set *reports; /* to http */
	struct feed *feed;
	struct url url;
	char server[LIMIT_OPTION + 16];
	uint64_t deregister_ms;
	bool dry_run;
	bool started;
};

/* ---- desired services ---- */

static bool
on_put(const struct set_entry *e, void *arg)
{
	struct context *c = arg;
	struct service *s =
	    service_decode(e->key, e->key_len, e->val, e->val_len);

	if (s == NULL)
		return false;
	if (!service_is_own(s)) {
		free(s);
		return false;
	}
	if (c->dry_run)
		free(s);
	else
		writer_want(c->writer, s);
	return true;
}

static void
on_del(const void *key, size_t key_len, bool named, void *arg)
{
	struct context *c = arg;
	char *id = xstrndup(key, key_len);

	writer_drop(c->writer, id, named);
	free(id);
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
	     e = replica_next(c->desired, e))
		list[i++] =
		    service_decode(e->key, e->key_len, e->val, e->val_len);
	text = consul_json_dry_run((const struct service *const *)list, n,
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
	writer_synced(c->writer, new_epoch);
	set_complete(c->reports);
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

/* ---- reports ---- */

static void
on_report(const struct service_report *r, void *arg)
{
	struct context *c = arg;
	uint8_t buf[4096];
	size_t len = service_report_encode(r, buf, sizeof(buf));

	if (len > 0)
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

/* ---- the worker ---- */

static void
on_stopped(void *arg)
{
	struct context *c = arg;

	worker_exit(c->w);
}

static void
want_connection(void *arg)
{
	struct context *c = arg;

	worker_ask_connection(c->w);
}

/* The path of a unix:// URL is the socket's. */
static const char *
path_prefix(struct url *u)
{
	size_t len = strlen(u->path);

	while (len > 0 && u->path[len - 1] == '/')
		u->path[--len] = '\0';
	return u->scheme == URL_UNIX ? "" : u->path;
}

static void
preload_client(struct context *c, struct sandbox *sb)
{
	const struct settings *s = c->w->settings;
	unsigned n = (unsigned)settings_u64(s, OPT_CONSUL_CONCURRENCY);
	struct http_client_conf conf = {
		.base = c->w->base,
		.url = c->url,
		.what = "consul",
		.tls_server_name = settings_str(s, OPT_CONSUL_TLS_SERVER_NAME),
		.insecure = !settings_bool(s, OPT_CONSUL_SSL_VERIFY),
		/* One more for reads, so that they don't wait. */
		.max_connections = n + 1,
		.want_connection = want_connection,
		.arg = c,
	};

	c->client = http_client_preload(&conf, &sb->dns);
	http_client_token_header(c->client, "X-Consul-Token: ");
	if (c->url.scheme != URL_UNIX)
		sb->ports[sb->nports++] = c->url.port;
	sb->nofile = n + NOFILE_REST;
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
		.namespace = settings_str(s, OPT_CONSUL_NAMESPACE),
		.timeout_ms = settings_u64(s, OPT_CONSUL_TIMEOUT),
		.resync_ms = settings_u64(s, OPT_CONSUL_RESYNC_INTERVAL),
		.stale_after_ms = settings_u64(s, OPT_KUBELET_STALE_AFTER),
		.deregister_ms = c->deregister_ms,
		.concurrency =
		    (unsigned)settings_u64(s, OPT_CONSUL_CONCURRENCY),
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
preload(struct worker *w, struct sandbox *sb)
{
	const struct settings *s = w->settings;
	struct context *c = xcalloc(1, sizeof(*c));
	const char *why;

	w->ctx = c;
	c->w = w;
	c->dry_run = settings_bool(s, OPT_DRY_RUN);
	c->deregister_ms = settings_u64(s, OPT_DEREGISTER_CRITICAL_AFTER);
	why = option_url(OPT_CONSUL_ADDR, settings_str(s, OPT_CONSUL_ADDR),
	    &c->url);
	if (why != NULL)
		fatalx("consul-addr: %s", why);
	url_origin(&c->url, c->server);
	c->desired = replica_new(&desired_ops, c);
	c->reports = set_new();
	c->feed = feed_new(c->reports);
	/* A dry run needs no Consul. */
	if (!c->dry_run)
		preload_client(c, sb);
	c->writer = make_writer(c);
}

static void
start(struct worker *w)
{
	struct context *c = w->ctx;

	worker_health(w, HEALTH_STARTING, false,
	    "waiting for the first pod list");
	c->started = true;
	if (!c->dry_run)
		writer_start(c->writer);
}

static const enum http_client_blob client_blobs[BLOB_MAX] = {
	[BLOB_CONSUL_TOKEN] = HTTP_TOKEN,
	[BLOB_CONSUL_CA] = HTTP_CA,
	[BLOB_CONSUL_CERT] = HTTP_CERT,
	[BLOB_CONSUL_KEY] = HTTP_KEY,
};

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	struct context *c = w->ctx;

	if (c->dry_run || (blob_roles(id) & ROLE_BIT(ROLE_CONSUL_WRITER)) == 0)
		return;
	http_client_blob(c->client, client_blobs[id], data, len);
	if (c->started)
		writer_retry(c->writer);
}

static void
on_connected(struct worker *w, int fd)
{
	struct context *c = w->ctx;

	if (c->client != NULL)
		http_client_give_connection(c->client, fd);
	else if (fd != -1)
		close(fd);
}

static void
on_link(struct worker *w, enum role peer, struct channel *ch)
{
	struct context *c = w->ctx;

	if (peer == ROLE_KUBELET_READER)
		replica_attach(c->desired, ch);
	else if (peer == ROLE_HTTP)
		feed_attach(c->feed, ch);
}

static bool
on_message(struct worker *w, enum role peer, const struct msg *m)
{
	struct context *c = w->ctx;

	if (peer == ROLE_KUBELET_READER)
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
		.role = ROLE_CONSUL_WRITER,
		.preload = preload,
		.start = start,
		.blob = on_blob,
		.connected = on_connected,
		.link = on_link,
		.message = on_message,
		.drained = on_drained,
		.stop = stop,
	};

	return worker_main(&role);
}
