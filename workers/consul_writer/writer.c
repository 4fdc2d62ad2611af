#include "workers/consul_writer/writer.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/timer.h"
#include "workers/consul_writer/consul_json.h"
#include "workers/consul_writer/writer_inside.h"

/* What is under way at SIGTERM has so long to end. */
#define STOP_MS 2000
/*
 * libevent's clock is the kernel's coarse one: a timer may be a tick early,
 * and pump() would run in vain until then.
 */
#define TICK_MS 4
/* evtimer's: far enough to be never. */
#define LONG_MS (3600 * 1000ULL)

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

/* After an event: once, however many come at the same time. */
static void
kick(struct writer *w)
{
	if (w->started && !w->stopping)
		timer_arm(w->timer, 0);
}

static void
moved(struct writer *w)
{
	if (w->conf.moved != NULL)
		w->conf.moved(w->conf.arg);
}

static void
on_moved(const char *id, void *arg)
{
	(void)id;
	moved(arg);
}

/* An agent that was lost or found changes what is known of all services. */
static void
find_moved(struct writer *w)
{
	if (w->agent.known == w->was_known)
		return;
	w->was_known = w->agent.known;
	moved(w);
}

/* When pump() has something to do without an event. */
static uint64_t
next_due(struct writer *w, uint64_t now)
{
	uint64_t next = agent_next(&w->agent, now), at = UINT64_MAX;

	if (w->nwrites < w->conf.concurrency && agent_may_write(&w->agent, now))
		at = plan_due(w->plan, now);
	if (at < next)
		next = at;
	at = plan_stale_at(w->plan);
	return at > now && at < next ? at : next;
}

static void
arm(struct writer *w, uint64_t now)
{
	uint64_t next = next_due(w, now);
	uint64_t ms = next > now ? next - now : 0;

	if (ms > LONG_MS)
		ms = LONG_MS;
	timer_arm(w->timer, ms > 0 ? ms + TICK_MS : 0);
}

static void
stopped(struct writer *w)
{
	evtimer_del(w->timer);
	evtimer_del(w->stop_timer);
	w->conf.stopped(w->conf.arg);
}

void
pump(struct writer *w)
{
	uint64_t now = clock_ms();

	if (w->stopping) {
		if (w->nwrites == 0)
			stopped(w);
		return;
	}
	if (!w->agent.reading && plan_wants_read(w->plan, now))
		agent_doubt(&w->agent, now);
	start_read(w, now);
	start_writes(w, now);
	pass_end(w, now);
	tell(w, now);
	find_moved(w);
	arm(w, now);
}

static void
on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	struct writer *w = arg;

	(void)fd;
	(void)what;
	log_warnx("%u requests to consul were still under way", w->nwrites);
	cancel_all(w);
	stopped(w);
}

static void
on_report(const struct service_report *r, void *arg)
{
	struct writer *w = arg;

	w->conf.report(r, w->conf.arg);
}

static void
on_gone(const char *id, void *arg)
{
	struct writer *w = arg;

	w->conf.gone(id, w->conf.arg);
}

struct writer *
writer_new(const struct writer_conf *conf)
{
	struct writer *w = xcalloc(1, sizeof(*w));
	struct plan_conf plan_conf = {
		.stale_after_ms = conf->stale_after_ms,
		.seed = conf->seed,
		.report = on_report,
		.gone = on_gone,
		.moved = on_moved,
		.arg = w,
	};

	w->conf = *conf;
	w->plan = plan_new(&plan_conf);
	TAILQ_INIT(&w->writes);
	agent_init(&w->agent, conf->resync_ms, conf->seed, clock_ms());
	w->timer = evtimer_new(conf->base, on_timer, w);
	w->stop_timer = evtimer_new(conf->base, on_stop_timer, w);
	if (w->timer == NULL || w->stop_timer == NULL)
		fatalx("consul: no timer");
	return w;
}

void
writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	cancel_all(w);
	event_free(w->timer);
	event_free(w->stop_timer);
	plan_free(w->plan);
	free(w->node);
	free(w);
}

void
writer_want(struct writer *w, struct service *s)
{
	struct fingerprint def = consul_json_def(s, w->conf.deregister_ms);

	plan_want(w->plan, s, &def, clock_ms());
	kick(w);
}

void
writer_drop(struct writer *w, const char *id, bool named)
{
	plan_drop(w->plan, id, named, clock_ms());
	kick(w);
}

void
writer_synced(struct writer *w, bool new_epoch)
{
	w->complete = true;
	plan_synced(w->plan, new_epoch, clock_ms());
	kick(w);
}

void
writer_fresh(struct writer *w, uint64_t read_at, bool confirmed)
{
	plan_fresh(w->plan, read_at, confirmed, clock_ms());
	kick(w);
}

struct plan_view
writer_view(struct writer *w, const char *id)
{
	struct plan_view v = plan_view(w->plan, id);

	if (!w->agent.known || plan_stale(w->plan, clock_ms()))
		v.written = v.absent = v.foreign = false;
	return v;
}

void
writer_confirm(struct writer *w, const char *id)
{
	plan_confirm(w->plan, id, clock_ms());
	kick(w);
}

uint64_t
writer_stamp(const struct writer *w)
{
	return plan_stamp(w->plan);
}

const char *
writer_node(const struct writer *w)
{
	return w->node != NULL ? w->node : "";
}

void
writer_find_node(struct writer *w)
{
	uint64_t now = clock_ms();

	if (w->node != NULL || now < w->node_asked + AGENT_LOOK_AGAIN_MS)
		return;
	w->node_asked = now;
	agent_doubt(&w->agent, now);
	kick(w);
}

void
writer_lost(struct writer *w)
{
	agent_lost(&w->agent, clock_ms());
	find_moved(w);
	kick(w);
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
	agent_doubt(&w->agent, now);
	kick(w);
}

void
writer_renew(struct writer *w)
{
	uint64_t now = clock_ms();

	cancel_read(w);
	agent_forget(&w->agent, now);
	plan_renew(w->plan, now);
	find_moved(w);
	kick(w);
}

void
writer_stop(struct writer *w)
{
	if (w->stopping)
		return;
	w->stopping = true;
	cancel_read(w);
	timer_arm(w->stop_timer, STOP_MS);
	timer_arm(w->timer, 0);
}
