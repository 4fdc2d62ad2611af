/* The watch of the CRD that HTTPRoutes need, see crd.h. */
#include "common/clock.h"
#include "workers/k8s_writer/writer_inside.h"

#define HERALD_BYTES UINT64_MAX
/* One line: metadata, with what kubectl apply keeps of the whole in it. */
#define HERALD_LINE LIMIT_POD

void
herald_init(struct herald *h, struct writer *w)
{
	h->w = w;
	crd_init(&h->crd, w->conf.resync_ms, w->conf.seed + KUBE_KINDS);
	lines_init(&h->lines, HERALD_LINE);
}

static struct watch *
routes_of(struct herald *h)
{
	return &h->w->followers[KUBE_ROUTE].watch;
}

static bool
on_line(const char *text, size_t len, void *arg)
{
	struct herald *h = arg;
	enum kube_event_type type;
	const char *why = kube_json_event_type(text, len, &type);
	uint64_t now = clock_ms();

	if (why != NULL) {
		log_debug("watch customresourcedefinitions: %s", why);
		return false;
	}
	if (crd_event(&h->crd, type, now))
		watch_hint(routes_of(h), now);
	kick(h->w);
	return type != KUBE_ERROR;
}

static bool
on_data(const char *data, size_t len, void *arg)
{
	struct herald *h = arg;

	h->stopped = !lines_feed(&h->lines, data, len, on_line, h);
	return !h->stopped;
}

/* Without it everything works, only later: that is no trouble. */
static void
on_end(const struct http_response *r, void *arg)
{
	struct herald *h = arg;
	struct reply reply;

	h->request = NULL;
	lines_clear(&h->lines);
	metric_add(h->w->conf.metrics, M_K8S_BYTES, r->bytes);
	reply_read(&reply, r->error, r->status, r->retry_after_ms, r->body,
	    r->body_len);
	if (reply.status == 403 && !h->said_refused) {
		h->said_refused = true;
		say_unheard(h->w, &reply);
	}
	crd_end(&h->crd, h->stopped ? 0 : reply.status, reply.retry_after_ms,
	    clock_ms());
	pump(h->w);
}

static void
watch_crd(struct herald *h)
{
	struct http_request_conf conf = {
		.method = "GET",
		/* crd.h ends it before that. */
		.timeout_ms = 2 * (uint64_t)WATCH_SILENCE_MS,
		.max_body = HERALD_BYTES,
		.accept_headers = { CRD_ACCEPT },
		.on_data = on_data,
		.done = on_end,
		.arg = h,
	};
	char path[CRD_PATH];

	crd_path(&h->crd, path);
	h->stopped = false;
	metric_inc(h->w->conf.metrics, M_K8S_WATCH);
	h->request = request(h->w, &conf, path);
}

void
herald_start(struct herald *h, uint64_t now)
{
	struct watch *routes = routes_of(h);
	enum crd_do what;

	crd_want(&h->crd, routes->absent && h->w->followers[KUBE_ROUTE].on);
	what = crd_next(&h->crd, now);
	if (what == CRD_STOP) {
		herald_cancel(h);
		what = crd_next(&h->crd, now);
	}
	if (what == CRD_WATCH)
		watch_crd(h);
	watch_told(routes, crd_tells(&h->crd, now));
}

uint64_t
herald_due(const struct herald *h, uint64_t now)
{
	return crd_due(&h->crd, now);
}

void
herald_cancel(struct herald *h)
{
	if (h->request != NULL)
		http_request_cancel(h->request);
	h->request = NULL;
	lines_clear(&h->lines);
}
