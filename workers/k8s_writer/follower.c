/* Lists and watches: what the cluster has. */
#include "common/clock.h"
#include "workers/k8s_writer/writer_inside.h"

/* It is a watch's lines that are bounded, not their sum. */
#define WATCH_BYTES UINT64_MAX

/* One that is refused ends sooner. */
#define WATCH_WORKS_MS 1000

void
follower_init(struct follower *f, struct writer *w, enum kube_kind kind)
{
	f->w = w;
	f->on = true;
	f->leftover = kind == KUBE_ROUTE && w->conf.objects.domain[0] == '\0';
	watch_init(&f->watch, kind, w->conf.resync_ms, w->conf.seed + kind);
	lines_init(&f->lines, WATCH_LINE);
	/* Nothing waits for what may be left. */
	if (f->leftover)
		plan_no_kind(w->plan, kind, clock_ms());
}

static enum kube_kind
kind_of(const struct follower *f)
{
	return f->watch.kind;
}

static void
trouble(struct follower *f, const char *verb, const struct reply *r)
{
	count_error(f->w, reply_result(r));
	say_trouble(f->w, TROUBLE_KIND(kind_of(f)), r, verb,
	    kube_kind_plural(kind_of(f)));
}

static void
no_trouble(struct follower *f)
{
	f->watch_failed = false;
	say_no_trouble(f->w, TROUBLE_KIND(kind_of(f)));
}

/* Only routes may be lacking: without the others it is no cluster. */
static void
absent(struct follower *f, const struct reply *r)
{
	if (kind_of(f) != KUBE_ROUTE) {
		trouble(f, "list", r);
		return;
	}
	plan_no_kind(f->w->plan, kind_of(f), clock_ms());
	no_trouble(f);
	say_absent(f->w, kind_of(f));
}

/* The rights for what nobody wants may be lacking, and the kind. */
static void
leftover_ended(struct follower *f, const struct reply *r, long status)
{
	if (r->status == 403 || r->status == 404)
		f->on = false;
	watch_end(&f->watch, status, r->retry_after_ms, clock_ms());
}

static void
ended(struct follower *f, const char *verb, const struct reply *r, long status)
{
	if (f->leftover) {
		leftover_ended(f, r, status);
		return;
	}
	switch (watch_end(&f->watch, status, r->retry_after_ms, clock_ms())) {
	case WATCH_ABSENT:
		absent(f, r);
		break;
	case WATCH_ERROR:
		f->watch_failed = f->watch.version[0] != '\0';
		trouble(f, verb, r);
		break;
	default:
		break;
	}
}

static void
unreadable(struct follower *f, const char *verb, const char *why)
{
	if (f->leftover)
		return;
	count_unreadable(f->w);
	say_broken(f->w, TROUBLE_KIND(kind_of(f)), verb,
	    kube_kind_plural(kind_of(f)), why);
}

/* ---- lists ---- */

/* Those that are left are to go; without any, there is nothing to follow. */
static void
end_leftover(struct follower *f)
{
	struct plan_counts c;

	plan_counts(f->w->plan, &c);
	if (f->leftover && c.actual[kind_of(f)] == 0)
		f->on = false;
}

static void
take_page(struct follower *f, struct kube_list *l)
{
	enum kube_kind kind = kind_of(f);
	struct plan *plan = f->w->plan;
	uint64_t now = clock_ms();
	bool was_absent = f->watch.absent;

	if (watch_begins(&f->watch))
		plan_list_begin(plan, kind);
	for (size_t i = 0; i < l->n; i++)
		plan_seen(plan, &l->v[i], now);
	if (watch_page(&f->watch, l, now) != WATCH_COMPLETE)
		return;
	plan_list_end(plan, kind, now);
	if (kind == KUBE_SERVICE) {
		f->w->knows_services = true;
		hold_names(f->w);
	}
	end_leftover(f);
	if (!f->watch_failed)
		no_trouble(f);
	if (was_absent)
		log_info("kubernetes at %s: has %s now", f->w->conf.server,
		    kube_kind_plural(kind));
}

static void
on_page(const struct http_response *r, void *arg)
{
	struct follower *f = arg;
	struct kube_list l;
	struct reply reply;
	const char *why;

	f->request = NULL;
	take_reply(f->w, &reply, r);
	if (r->too_large && watch_too_large(&f->watch, clock_ms())) {
		log_debug("list %s: %s; asking for %u objects at once",
		    kube_kind_plural(kind_of(f)), r->error, f->watch.limit);
		pump(f->w);
		return;
	}
	if (reply_result(&reply) != PLAN_DONE) {
		ended(f, "list", &reply, reply.status);
		pump(f->w);
		return;
	}
	why = kube_json_list(&f->w->conf.objects, kind_of(f), r->body,
	    r->body_len, &l);
	if (why == NULL) {
		take_page(f, &l);
		kube_list_free(&l);
	} else {
		watch_end(&f->watch, r->status, 0, clock_ms());
		unreadable(f, "list", why);
	}
	pump(f->w);
}

static void
list(struct follower *f, const char *path)
{
	struct http_request_conf conf = {
		.method = "GET",
		.timeout_ms = f->w->conf.timeout_ms,
		.max_body = WATCH_PAGE_BYTES,
		.done = on_page,
		.arg = f,
	};

	metric_inc(f->w->conf.metrics, M_K8S_LIST);
	f->request = request(f->w, &conf, path);
}

/* ---- watches ---- */

static void
take_event(struct follower *f, struct kube_event *e)
{
	uint64_t now = clock_ms();

	metric_inc(f->w->conf.metrics, M_K8S_EVENTS);
	watch_event(&f->watch, e, now);
	if (e->type == KUBE_CHANGED) {
		hold_name(f->w, &e->object);
		plan_seen(f->w->plan, &e->object, now);
	} else if (e->type == KUBE_DELETED) {
		plan_deleted(f->w->plan, &e->object, now);
	} else if (e->type == KUBE_ERROR) {
		log_debug("watch %s: %lld %s: %s", kube_kind_plural(kind_of(f)),
		    (long long)e->status.code, e->status.reason,
		    e->status.message);
	}
	no_trouble(f);
}

/* False ends the watch: after an error, too. */
static bool
on_line(const char *text, size_t len, void *arg)
{
	struct follower *f = arg;
	struct kube_event e;
	const char *why =
	    kube_json_event(&f->w->conf.objects, kind_of(f), text, len, &e);
	bool good;

	if (why != NULL) {
		unreadable(f, "watch", why);
		return false;
	}
	take_event(f, &e);
	good = e.type != KUBE_ERROR;
	kube_event_clear(&e);
	kick(f->w);
	return good;
}

static bool
on_data(const char *data, size_t len, void *arg)
{
	struct follower *f = arg;

	f->stopped = !lines_feed(&f->lines, data, len, on_line, f);
	return !f->stopped;
}

static void
on_watch_end(const struct http_response *r, void *arg)
{
	struct follower *f = arg;
	struct reply reply;

	f->request = NULL;
	lines_clear(&f->lines);
	if (f->stopped) {
		watch_end(&f->watch, WATCH_UNREADABLE, 0, clock_ms());
	} else {
		take_reply(f->w, &reply, r);
		/* One that was torn off after it had begun only ended. */
		ended(f, "watch", &reply, r->status);
	}
	pump(f->w);
}

static void
watch(struct follower *f, const char *path)
{
	struct http_request_conf conf = {
		.method = "GET",
		/* watch.h ends it before that. */
		.timeout_ms = 2 * (uint64_t)WATCH_SILENCE_MS,
		.max_body = WATCH_BYTES,
		.on_data = on_data,
		.done = on_watch_end,
		.arg = f,
	};

	f->stopped = false;
	metric_inc(f->w->conf.metrics, M_K8S_WATCH);
	f->request = request(f->w, &conf, path);
}

/* A watch that has nothing to say shows only so that it works. */
static uint64_t
cured_at(const struct follower *f)
{
	if (!f->watch_failed || f->watch.under_way != WATCH_WATCH)
		return UINT64_MAX;
	return f->watch.begun_at + WATCH_WORKS_MS;
}

/* ---- both ---- */

void
follower_cancel(struct follower *f)
{
	if (f->request != NULL)
		http_request_cancel(f->request);
	f->request = NULL;
	lines_clear(&f->lines);
}

void
follower_start(struct follower *f, uint64_t now)
{
	char path[WATCH_PATH];
	enum watch_do what = WATCH_NOTHING;

	if (now >= cured_at(f))
		no_trouble(f);
	if (f->on)
		what = watch_next(&f->watch, now);
	if (what == WATCH_STOP) {
		follower_cancel(f);
		what = watch_next(&f->watch, now);
	}
	if (what != WATCH_LIST && what != WATCH_WATCH)
		return;
	if (!watch_path(&f->watch, &f->w->conf.objects, path))
		fatalx("kubernetes: the path for %s is too long",
		    kube_kind_plural(kind_of(f)));
	if (what == WATCH_LIST)
		list(f, path);
	else
		watch(f, path);
}

uint64_t
follower_due(const struct follower *f, uint64_t now)
{
	uint64_t at = cured_at(f), due = UINT64_MAX;

	if (f->on)
		due = watch_due(&f->watch, now);
	return at < due ? at : due;
}
