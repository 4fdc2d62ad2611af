#include "workers/k8s_writer/writer.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/timer.h"
#include "workers/k8s_writer/writer_inside.h"

/* What is under way at SIGTERM, and giving the Lease back, has so long. */
#define STOP_MS 2000
/* Items of one change come one by one, and FRESH behind them; if it does. */
#define SETTLE_MS 20
/* evtimer's: far enough to be never. */
#define LONG_MS (3600 * 1000ULL)

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

void
kick(struct writer *w)
{
	if (w->started)
		timer_arm(w->timer, 0);
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When pump() has something to do without an event. */
static uint64_t
next_due(struct writer *w, uint64_t now)
{
	uint64_t at = leader_due(&w->leader, now);

	at = least(at, w->settle_at);
	for (int i = 0; i < KUBE_KINDS; i++)
		at = least(at, follower_due(&w->followers[i], now));
	at = least(at, herald_due(&w->herald, now));
	if (w->leader.led && w->nwrites < w->conf.concurrency)
		at = least(at, plan_due(w->plan, now));
	return at;
}

static void
arm(struct writer *w, uint64_t now)
{
	uint64_t next = next_due(w, now);

	timer_arm(w->timer, next > now ? least(next - now, LONG_MS) : 0);
}

static void
cancel_reads(struct writer *w)
{
	for (int i = 0; i < KUBE_KINDS; i++)
		follower_cancel(&w->followers[i]);
	herald_cancel(&w->herald);
}

static void
stopped(struct writer *w)
{
	evtimer_del(w->timer);
	evtimer_del(w->stop_timer);
	w->conf.stopped(w->conf.arg);
}

/* First the writes end, then the Lease is given back. */
static void
pump_stopping(struct writer *w, uint64_t now)
{
	if (w->nwrites > 0)
		return;
	if (!w->released) {
		w->released = true;
		leader_release(&w->leader);
	}
	leader_start(w, now);
	if (lease_released(&w->leader.lease))
		stopped(w);
}

/* What came since is wanted. */
void
settle_desire(struct writer *w)
{
	if (!w->complete)
		return;
	desire_settle(w->desire);
	w->settle_at = UINT64_MAX;
}

void
pump(struct writer *w)
{
	uint64_t now = clock_ms();

	if (!w->started)
		return;
	if (w->stopping) {
		pump_stopping(w, now);
		return;
	}
	if (now >= w->settle_at)
		settle_desire(w);
	leader_start(w, now);
	for (int i = 0; i < KUBE_KINDS; i++)
		follower_start(&w->followers[i], now);
	herald_start(&w->herald, now);
	start_writes(w, now);
	pass_end(w, now);
	tell(w, now);
	arm(w, now);
}

static void
on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	struct writer *w = arg;

	(void)fd;
	(void)what;
	log_warnx("kubernetes: at the end, %s",
	    w->nwrites > 0 ? "writes were still under way"
			   : "the Lease could not be given back: other copies "
			     "wait until it expires");
	cancel_writes(w, clock_ms());
	leader_cancel(&w->leader);
	stopped(w);
}

/* ---- what is wanted ---- */

static void
on_want(struct wanted *wanted, void *arg)
{
	struct writer *w = arg;

	plan_want(w->plan, wanted, clock_ms());
}

static void
on_drop(const char *name, void *arg)
{
	struct writer *w = arg;

	plan_drop(w->plan, name, clock_ms());
}

static void
on_collision(const struct names_collision *c, void *arg)
{
	(void)arg;
	say_collision(c);
}

static void
on_left_out(const struct wanted *wanted, void *arg)
{
	(void)arg;
	say_left_out(wanted);
}

static void
settle_soon(struct writer *w)
{
	if (!w->complete || w->settle_at != UINT64_MAX)
		return;
	w->settle_at = clock_ms() + SETTLE_MS;
	kick(w);
}

static void
on_service(const char *name, const char *service, void *arg)
{
	struct writer *w = arg;

	desire_hold(w->desire, name, service);
}

/* What a copy has written itself it knows, and better than the watch. */
static bool
learns_names(const struct writer *w)
{
	return w->complete && w->knows_services && !(w->leader.led && w->named);
}

void
hold_names(struct writer *w)
{
	if (!learns_names(w))
		return;
	w->named = true;
	plan_each_service(w->plan, on_service, w);
	settle_desire(w);
}

void
hold_name(struct writer *w, const struct kube_object *o)
{
	if (o->kind != KUBE_SERVICE || !o->ours || !learns_names(w))
		return;
	desire_hold(w->desire, o->name, kube_service_name(o));
	settle_soon(w);
}

bool
writer_put(struct writer *w, const void *key, size_t key_len, const void *val,
    size_t len)
{
	settle_soon(w);
	return desire_put(w->desire, key, key_len, val, len);
}

void
writer_del(struct writer *w, const void *key, size_t key_len)
{
	desire_del(w->desire, key, key_len);
	settle_soon(w);
}

void
writer_synced(struct writer *w, bool new_epoch)
{
	w->complete = true;
	hold_names(w);
	settle_desire(w);
	if (new_epoch)
		w->confirmed = false;
	plan_synced(w->plan, new_epoch, clock_ms());
	kick(w);
}

void
writer_fresh(struct writer *w, uint64_t read_at, bool confirmed)
{
	settle_desire(w);
	w->confirmed = confirmed;
	plan_fresh(w->plan, read_at, confirmed, clock_ms());
	kick(w);
}

/* As for a cluster that has none of it. */
char *
writer_manifest(struct writer *w)
{
	for (int i = 0; i < KUBE_KINDS; i++) {
		plan_list_begin(w->plan, (enum kube_kind)i);
		plan_list_end(w->plan, (enum kube_kind)i, clock_ms());
	}
	return plan_manifest(w->plan);
}

/* ---- its life ---- */

static void
on_report(const struct object_report *r, void *arg)
{
	struct writer *w = arg;

	say_report(r);
	w->conf.report(r, w->conf.arg);
}

static void
on_gone(const char *id, void *arg)
{
	struct writer *w = arg;

	w->conf.gone(id, w->conf.arg);
}

static void
make_plan(struct writer *w)
{
	struct plan_conf plan = {
		.objects = &w->conf.objects,
		.max_delete = w->conf.max_delete,
		.report = on_report,
		.gone = on_gone,
		.arg = w,
	};
	struct desire_conf desire = {
		.objects = &w->conf.objects,
		.want = on_want,
		.drop = on_drop,
		.collision = on_collision,
		.left_out = on_left_out,
		.arg = w,
	};

	w->plan = plan_new(&plan);
	w->desire = desire_new(&desire);
}

struct writer *
writer_new(const struct writer_conf *conf)
{
	struct writer *w = xcalloc(1, sizeof(*w));

	w->conf = *conf;
	w->settle_at = UINT64_MAX;
	TAILQ_INIT(&w->writes);
	make_plan(w);
	for (int i = 0; i < KUBE_KINDS; i++)
		follower_init(&w->followers[i], w, (enum kube_kind)i);
	herald_init(&w->herald, w);
	leader_init(&w->leader, w);
	w->timer = evtimer_new(conf->base, on_timer, w);
	w->stop_timer = evtimer_new(conf->base, on_stop_timer, w);
	if (w->timer == NULL || w->stop_timer == NULL)
		fatalx("kubernetes: no timer");
	return w;
}

void
writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	cancel_reads(w);
	cancel_writes(w, clock_ms());
	leader_cancel(&w->leader);
	event_free(w->timer);
	event_free(w->stop_timer);
	desire_free(w->desire);
	plan_free(w->plan);
	free(w);
}

void
writer_start(struct writer *w)
{
	w->started = true;
	kick(w);
}

void
writer_retry(struct writer *w)
{
	uint64_t now = clock_ms();

	plan_retry(w->plan, now);
	for (int i = 0; i < KUBE_KINDS; i++)
		if (w->followers[i].request == NULL)
			watch_retry(&w->followers[i].watch, now);
	crd_retry(&w->herald.crd, now);
	kick(w);
}

void
writer_stop(struct writer *w)
{
	if (w->stopping)
		return;
	w->stopping = true;
	cancel_reads(w);
	timer_arm(w->stop_timer, STOP_MS);
	timer_arm(w->timer, 0);
}
