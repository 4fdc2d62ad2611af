#include <stdio.h>

#include "common/duration.h"
#include "workers/consul_writer/writer_inside.h"

/* By a 429 or 503, or by no answer, it is the agent that is in trouble. */
#define TROUBLE_TEXT \
	"consul at %s: %s; trying again, services stay as they are meanwhile"

static const char *const op_names[PLAN_OPS] = {
	[PLAN_UPDATE] = "updating its check",
	[PLAN_REFRESH] = "refreshing its check",
	[PLAN_REGISTER] = "registering it",
	[PLAN_DEREGISTER] = "deregistering it",
};

void
say_trouble(struct writer *w, const char *text)
{
	snprintf(w->trouble, sizeof(w->trouble), "%s", text);
	log_once_warn(&w->said_trouble, TROUBLE_TEXT, w->conf.server, text);
}

void
say_no_trouble(struct writer *w)
{
	w->trouble[0] = '\0';
	w->busy = false;
	log_once_clear(&w->said_trouble, "consul at %s: answers again",
	    w->conf.server);
}

/* Of all services that the token may not write only the first is said. */
static void
say_denied(struct writer *w, const struct write *wr, const char *text)
{
	if (w->denied[0] != '\0') {
		log_debug("service %s: %s: %s", wr->id, op_names[wr->op], text);
		return;
	}
	snprintf(w->denied, sizeof(w->denied), "%s", text);
	w->permitted = false;
	log_warnx("service %s: %s: %s; trying again (others may follow, see "
		  "/v1/status)",
	    wr->id, op_names[wr->op], text);
}

void
say_written(struct writer *w, const struct write *wr)
{
	w->pass.done[wr->op]++;
	log_debug("service %s: %s: done", wr->id, op_names[wr->op]);
	if (w->busy)
		say_no_trouble(w);
}

void
say_failed(struct writer *w, const struct write *wr, enum plan_result r,
    const char *text, bool news)
{
	w->busy = w->busy || r == PLAN_BUSY;
	if (r == PLAN_LOST || r == PLAN_BUSY)
		say_trouble(w, text);
	else if (r == PLAN_DENIED)
		say_denied(w, wr, text);
	else if (news && (r != PLAN_GONE || wr->op == PLAN_REGISTER))
		log_warnx("service %s: %s: %s; trying again", wr->id,
		    op_names[wr->op], text);
	else
		log_debug("service %s: %s: %s", wr->id, op_names[wr->op], text);
}

/* Or none of them is wanted any more, which says nothing of the token. */
static void
say_permitted(struct writer *w, const struct plan_counts *c)
{
	if (w->denied[0] == '\0' || c->failed[PLAN_DENIED] > 0)
		return;
	w->denied[0] = '\0';
	if (!w->permitted)
		return;
	log_info("consul at %s: katalogd's token is good for all services now",
	    w->conf.server);
}

static void
say_stale(struct writer *w, bool stale)
{
	char text[DURATION_TEXT];

	if (stale)
		log_once_warn(&w->said_stale,
		    "the pods could not be read for %s: checks are not "
		    "refreshed any more and turn critical by their TTL",
		    duration_format(w->conf.stale_after_ms, text));
	else
		log_once_clear(&w->said_stale,
		    "the pods are read again: checks are refreshed");
}

/* What stops all of it; false: nothing does. */
static bool
is_stopped(const struct writer *w, bool stale, enum health *h, char *text)
{
	bool waits = !w->complete || plan_stale_at(w->plan) == 0;

	if (w->trouble[0] != '\0')
		snprintf(text, LIMIT_TEXT, "consul at %.100s: %.350s",
		    w->conf.server, w->trouble);
	else if (waits)
		snprintf(text, LIMIT_TEXT, "waiting for the first pod list");
	else if (stale)
		snprintf(text, LIMIT_TEXT,
		    "the pods can't be read: checks are not refreshed");
	else
		return false;
	*h = w->trouble[0] == '\0' && waits ? HEALTH_STARTING : HEALTH_DEGRADED;
	return true;
}

/* What is wrong with some services; false: nothing is. */
static bool
is_degraded(const struct writer *w, const struct plan_counts *c, char *text)
{
	size_t refused = c->failed[PLAN_REFUSED] + c->failed[PLAN_BROKEN];

	if (c->failed[PLAN_DENIED] > 0)
		snprintf(text, LIMIT_TEXT, "%zu of %zu services: %.400s",
		    c->failed[PLAN_DENIED], c->desired, w->denied);
	else if (refused > 0)
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu services are refused by the agent", refused,
		    c->desired);
	else if (c->blocked > 0)
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu services have an ID that is somebody else's",
		    c->blocked, c->desired);
	else
		return false;
	return true;
}

static enum health
health_of(const struct writer *w, const struct plan_counts *c, bool stale,
    char text[LIMIT_TEXT])
{
	enum health h;

	if (is_stopped(w, stale, &h, text))
		return h;
	if (is_degraded(w, c, text))
		return HEALTH_DEGRADED;
	if (w->synced) {
		snprintf(text, LIMIT_TEXT, "in step");
		return HEALTH_OK;
	}
	snprintf(text, LIMIT_TEXT, "%zu of %zu services are not yet as desired",
	    c->pending, c->desired);
	return HEALTH_STARTING;
}

static void
find_synced(struct writer *w, const struct plan_counts *c, bool stale)
{
	if (w->synced || !w->complete || stale || !w->agent.known ||
	    c->pending > 0)
		return;
	w->synced = true;
	log_info("first sync done: %zu of %zu services are in the agent as "
		 "desired",
	    c->desired - c->blocked - c->failed[PLAN_REFUSED], c->desired);
}

void
tell(struct writer *w, uint64_t now)
{
	bool stale = plan_stale(w->plan, now);
	char text[LIMIT_TEXT];
	struct plan_counts c;
	enum health h;

	plan_counts(w->plan, &c);
	metric_set(w->conf.metrics, M_SERVICES_DESIRED, c.desired);
	metric_set(w->conf.metrics, M_SERVICES_ACTUAL, c.actual);
	say_stale(w, stale && plan_stale_at(w->plan) != 0);
	say_permitted(w, &c);
	find_synced(w, &c, stale);
	h = health_of(w, &c, stale, text);
	w->conf.health(h, w->synced, text, w->conf.arg);
}

/* ---- passes ---- */

void
pass_begin(struct writer *w, uint64_t now)
{
	if (!w->pass.on)
		w->pass = (struct pass){ .on = true, .since = now };
}

void
pass_end(struct writer *w, uint64_t now)
{
	const struct pass *pass = &w->pass;
	uint64_t took = now - pass->since;
	bool ok = !pass->failed;

	if (!pass->on || w->nwrites > 0 || w->reading.request != NULL)
		return;
	w->pass.on = false;
	metric_inc(w->conf.metrics, ok ? M_CONSUL_SYNC_OK : M_CONSUL_SYNC_ERR);
	metric_observe_ms(w->conf.metrics,
	    ok ? M_CONSUL_SYNC_S_OK : M_CONSUL_SYNC_S_ERR, took);
	if (pass->done[PLAN_REGISTER] + pass->done[PLAN_UPDATE] +
		pass->done[PLAN_DEREGISTER] >
	    0)
		log_info("%u registered, %u changed their status, %u "
			 "deregistered in %llu ms",
		    pass->done[PLAN_REGISTER], pass->done[PLAN_UPDATE],
		    pass->done[PLAN_DEREGISTER], (unsigned long long)took);
}
