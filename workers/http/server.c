#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "common/accept.h"
#include "common/ahead.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/timer.h"
#include "workers/http/clients.h"
#include "workers/http/page.h"
#include "workers/http/prometheus.h"
#include "workers/http/server.h"
#include "workers/http/status.h"

/* A scrape waits this long for the workers' figures, then has the last. */
#define STATS_WAIT_MS 1000
/*
 * /v1/status may be as old as so many times what it took to make it; a small
 * one is as things are now.
 */
#define STATUS_AGE   10
#define STATUS_SMALL (64 * 1024)
/* No descriptor left for a new client. */
#define ACCEPT_PAUSE_MS 10

/* A scrape that waits for the workers' figures. */
struct scrape {
	TAILQ_ENTRY(scrape) entry;
	struct server *server;
	struct evhttp_request *req;
};

struct server {
	struct server_conf conf;
	struct evhttp *http;
	struct event *stats_timer;
	struct clients clients;
	TAILQ_HEAD(, scrape) scrapes;
	/* Apart, so that those who ask for one do not cost the other. */
	struct pages statuses, metrics;
	struct page *status; /* NULL: none that is still fresh */
	struct event *status_timer;
};

static void
set_headers(struct evhttp_request *req, const char *type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
}

static void
reply(struct evhttp_request *req, int code, const char *type, const char *body,
    size_t len)
{
	set_headers(req, type);
	if (evbuffer_add(evhttp_request_get_output_buffer(req), body, len) ==
	    -1)
		fatalx("no memory for an answer");
	evhttp_send_reply(req, code, NULL, NULL);
}

static void
reply_text(struct evhttp_request *req, int code, const char *text)
{
	char line[LIMIT_TEXT + 128];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	reply(req, code, "text/plain; charset=utf-8", line, (size_t)n);
}

/* NULL: clients have taken too little of what they asked for. */
static struct page *
rendered(struct server *s, struct pages *all,
    void (*render)(FILE *, const struct model *, uint64_t))
{
	s->conf.refresh(s->conf.arg);
	return page_new(all, render, s->conf.model);
}

static void
reply_page(struct evhttp_request *req, const char *type, struct page *p)
{
	if (p == NULL) {
		reply_text(req, HTTP_SERVUNAVAIL,
		    "too much waits for clients that do not read it");
		return;
	}
	set_headers(req, type);
	page_add(p, evhttp_request_get_output_buffer(req));
	evhttp_send_reply(req, HTTP_OK, NULL, NULL);
}

static void
on_healthz(struct server *s, struct evhttp_request *req)
{
	char reason[LIMIT_TEXT];
	bool ok =
	    model_healthy(s->conf.model, clock_ms(), reason, sizeof(reason));

	reply_text(req, ok ? HTTP_OK : HTTP_SERVUNAVAIL, reason);
}

static void
on_readyz(struct server *s, struct evhttp_request *req)
{
	char reason[LIMIT_TEXT + 64];
	bool ok = model_ready(s->conf.model, reason, sizeof(reason));

	reply_text(req, ok ? HTTP_OK : HTTP_SERVUNAVAIL, reason);
}

static void
on_version(struct server *s, struct evhttp_request *req)
{
	static const char body[] =
	    "{\"name\":\"katalogd\",\"version\":\"" PACKAGE_VERSION "\"}\n";

	(void)s;
	reply(req, HTTP_OK, "application/json", body, sizeof(body) - 1);
}

static void
status_old(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	page_unref(s->status);
	s->status = NULL;
}

/* However many ask, to make it takes no more than a part of the time. */
static void
on_status(struct server *s, struct evhttp_request *req)
{
	uint64_t began = clock_ms(), keep = 0;

	if (s->status == NULL) {
		s->status = rendered(s, &s->statuses, status_render);
		if (s->status != NULL && page_len(s->status) > STATUS_SMALL)
			keep = (clock_ms() - began + 1) * STATUS_AGE;
		timer_arm(s->status_timer, keep);
	}
	reply_page(req, "application/json", s->status);
}

static void
scrape_free(struct scrape *sc)
{
	TAILQ_REMOVE(&sc->server->scrapes, sc, entry);
	free(sc);
}

/* The client went away before its answer: evhttp frees the request. */
static void
scrape_gone(struct evhttp_connection *conn, void *arg)
{
	(void)conn;
	scrape_free(arg);
}

static void
on_metrics(struct server *s, struct evhttp_request *req)
{
	struct scrape *sc;
	bool first = TAILQ_EMPTY(&s->scrapes);

	sc = xcalloc(1, sizeof(*sc));
	sc->server = s;
	sc->req = req;
	TAILQ_INSERT_TAIL(&s->scrapes, sc, entry);
	evhttp_connection_set_closecb(evhttp_request_get_connection(req),
	    scrape_gone, sc);
	/* Who comes while the workers are asked shares their answer. */
	if (!first)
		return;
	if (!s->conf.ask_stats(s->conf.arg)) {
		server_stats_ready(s);
		return;
	}
	timer_arm(s->stats_timer, STATS_WAIT_MS);
}

void
server_stats_ready(struct server *s)
{
	struct evhttp_request *req;
	struct scrape *sc;
	struct page *p;

	evtimer_del(s->stats_timer);
	if (TAILQ_EMPTY(&s->scrapes))
		return;
	p = rendered(s, &s->metrics, prometheus_render);
	while ((sc = TAILQ_FIRST(&s->scrapes)) != NULL) {
		req = sc->req;
		evhttp_connection_set_closecb(evhttp_request_get_connection(
						  req),
		    NULL, NULL);
		scrape_free(sc);
		reply_page(req, PROMETHEUS_TYPE, p);
	}
	page_unref(p);
}

static void
stats_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	server_stats_ready(arg);
}

static const struct route {
	const char *path;
	void (*handler)(struct server *, struct evhttp_request *);
} routes[] = {
	{ "/healthz", on_healthz },
	{ "/readyz", on_readyz },
	{ "/version", on_version },
	{ "/metrics", on_metrics },
	{ "/v1/status", on_status },
};

static bool
is_read(const struct evhttp_request *req)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(req);

	return method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;
}

static void
reply_not_allowed(struct evhttp_request *req)
{
	evhttp_add_header(evhttp_request_get_output_headers(req), "Allow",
	    "GET, HEAD");
	reply_text(req, HTTP_BADMETHOD, "there is only GET and HEAD");
}

static void
on_request(struct evhttp_request *req, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;

	if (!is_read(req)) {
		reply_not_allowed(req);
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		if (path != NULL && strcmp(path, routes[i].path) == 0) {
			routes[i].handler(arg, req);
			return;
		}
	}
	reply_text(req, HTTP_NOTFOUND,
	    "not found; there is /healthz /readyz /version /metrics "
	    "/v1/status");
}

/* Most likely EMFILE: there are many at the Unix socket. Do not spin. */
static void
accept_failed(struct evconnlistener *l, void *arg)
{
	/* arg is evhttp's: it made itself the listener's argument. */
	(void)arg;
	accept_pause(l, ACCEPT_PAUSE_MS);
}

/* evhttp asks for one just before it takes a client in. */
static struct bufferevent *
new_client(struct event_base *base, void *arg)
{
	struct server *s = arg;

	clients_admit(&s->clients);
	return ahead_client_new(base);
}

void
server_listen(struct server *s, int fd)
{
	struct evconnlistener *l;

	if (evutil_make_socket_nonblocking(fd) == -1)
		fatal("non-blocking listener");
	l = evconnlistener_new(s->conf.base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (l == NULL || evhttp_bind_listener(s->http, l) == NULL)
		fatalx("no memory for a listener");
	evconnlistener_set_error_cb(l, accept_failed);
}

struct server *
server_new(const struct server_conf *conf)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->conf = *conf;
	s->clients =
	    (struct clients){ .spared = conf->spared, .arg = conf->arg };
	TAILQ_INIT(&s->scrapes);
	s->http = evhttp_new(conf->base);
	s->stats_timer = evtimer_new(conf->base, stats_late, s);
	s->status_timer = evtimer_new(conf->base, status_old, s);
	if (s->http == NULL || s->stats_timer == NULL ||
	    s->status_timer == NULL)
		fatalx("no memory for the HTTP server");
	/* evhttp calls the others unknown: 501. */
	evhttp_set_allowed_methods(s->http, UINT16_MAX);
	evhttp_set_max_headers_size(s->http, LIMIT_HTTP_HEADERS);
	evhttp_set_max_body_size(s->http, LIMIT_HTTP_BODY);
	evhttp_set_timeout(s->http, LIMIT_HTTP_IDLE_S);
	evhttp_set_bevcb(s->http, new_client, s);
	evhttp_set_gencb(s->http, on_request, s);
	return s;
}
