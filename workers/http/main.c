/*
 * The http worker: health, metrics, status, and sidecars' RPC. It listens on
 * sockets that it is given, can open no connection and holds no secret.
 */
#include <stdlib.h>

#include <event2/util.h>

#include "common/backend.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pod.h"
#include "common/service.h"
#include "workers/http/remember.h"
#include "workers/http/rpc.h"
#include "workers/http/server.h"
#include "workers/worker.h"

/* 100,000 objects, each with an error, and /v1/status of them take 170 MB. */
#define AS_BYTES ((size_t)256 * 1024 * 1024)

struct http {
	struct worker *w;
	struct model model;
	struct server *server;
	struct rpc *rpc;
	role_mask asked; /* whose STATS are awaited */
};

/* Whom http asks for figures. */
static const enum role counted[] = { ROLE_KUBELET_READER, ROLE_CONSUL_WRITER,
	ROLE_CONSUL_READER, ROLE_K8S_WRITER };

static bool
ask_stats(void *arg)
{
	struct http *h = arg;
	struct channel *ch;

	h->asked = 0;
	for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++) {
		ch = worker_link(h->w, counted[i]);
		if (ch != NULL &&
		    channel_send(ch, MSG_STATS_GET, 0, NULL, 0, -1))
			h->asked |= ROLE_BIT(counted[i]);
	}
	return h->asked != 0;
}

static void
refresh(void *arg)
{
	struct http *h = arg;

	rpc_count(h->rpc, &h->model.metrics[ROLE_HTTP]);
}

static bool
spared(int fd, void *arg)
{
	const struct http *h = arg;

	return rpc_owns(h->rpc, fd);
}

static void
answered(struct http *h, enum role peer)
{
	if ((h->asked & ROLE_BIT(peer)) == 0)
		return;
	h->asked &= ~ROLE_BIT(peer);
	if (h->asked == 0)
		server_stats_ready(h->server);
}

static struct replica *
reports_of(const struct http *h, enum role peer)
{
	if (peer == ROLE_CONSUL_WRITER)
		return h->model.services;
	return peer == ROLE_K8S_WRITER ? h->model.objects : NULL;
}

static bool
on_reports(struct http *h, enum role peer, const struct msg *m)
{
	struct replica *reports = reports_of(h, peer);

	return reports != NULL && replica_message(reports, m);
}

static bool
on_message(struct worker *w, enum role peer, const struct msg *m)
{
	struct http *h = w->ctx;

	if (m->type == MSG_ANSWER)
		return rpc_message(h->rpc, m);
	if (m->type != MSG_STATS)
		return on_reports(h, peer, m);
	if (!metrics_decode(m->body, m->len, peer, &h->model.metrics[peer]))
		return false;
	answered(h, peer);
	return true;
}

/* What is remembered is what the last one told: before this one tells. */
static void
on_consul_writer(struct http *h, struct channel *ch)
{
	if (ch != NULL)
		remember(ch, h->model.services);
	rpc_link(h->rpc, ch);
}

static void
on_link(struct worker *w, enum role peer, struct channel *ch)
{
	struct http *h = w->ctx;
	struct replica *reports = reports_of(h, peer);

	if (peer == ROLE_CONSUL_WRITER)
		on_consul_writer(h, ch);
	if (reports != NULL)
		replica_attach(reports, ch);
	/* Its last figures stand until it is back. */
	if (ch == NULL)
		answered(h, peer);
}

static bool
on_worker(struct worker *w, const struct msg *m)
{
	struct http *h = w->ctx;

	return model_worker(&h->model, m, clock_ms());
}

static void
on_listen(struct worker *w, enum listen_id id, int fd)
{
	struct http *h = w->ctx;

	if (id == LISTEN_SIDECAR)
		rpc_listen(h->rpc, fd);
	else
		server_listen(h->server, fd);
}

/* They are only shown: a report that makes no sense costs itself. */
static bool
on_report(const struct set_entry *e, void *arg)
{
	void *r;

	(void)arg;
	if (pod_key_is(e->key, e->key_len))
		r = pod_report_decode(e->key, e->key_len, e->val, e->val_len);
	else
		r = service_report_decode(e->key, e->key_len, e->val,
		    e->val_len);
	free(r);
	return r != NULL;
}

static bool
on_object(const struct set_entry *e, void *arg)
{
	struct object_report *r;

	(void)arg;
	r = object_report_decode(e->key, e->key_len, e->val, e->val_len);
	free(r);
	return r != NULL;
}

static void
on_report_gone(const void *key, size_t key_len, bool named, void *arg)
{
	(void)key;
	(void)key_len;
	(void)named;
	(void)arg;
}

static void
preload(struct worker *w, struct sandbox *sb)
{
	static const struct replica_ops services = { .put = on_report,
		.del = on_report_gone };
	static const struct replica_ops objects = { .put = on_object,
		.del = on_report_gone };
	struct http *h = xcalloc(1, sizeof(*h));
	struct server_conf conf = { .base = w->base,
		.model = &h->model,
		.ask_stats = ask_stats,
		.refresh = refresh,
		.spared = spared,
		.arg = h };

	h->w = w;
	h->model.services = replica_new(&services, h);
	h->model.objects = replica_new(&objects, h);
	h->server = server_new(&conf);
	h->rpc = rpc_new(w->base, &h->model);
	w->ctx = h;
	sb->nofile = LIMIT_HTTP_FDS;
	sb->as_bytes = AS_BYTES;
}

static void
start(struct worker *w)
{
	worker_health(w, HEALTH_OK, true, "serving");
}

int
main(void)
{
	static const struct worker_role role = {
		.role = ROLE_HTTP,
		.preload = preload,
		.start = start,
		.listen = on_listen,
		.worker_status = on_worker,
		.link = on_link,
		.message = on_message,
	};

	return worker_main(&role);
}
