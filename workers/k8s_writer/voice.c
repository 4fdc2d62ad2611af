#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "workers/k8s_writer/writer_inside.h"

static const char *const op_names[PLAN_OPS] = {
	[PLAN_APPLY] = "applying it",
	[PLAN_REPAIR] = "taking away what is not ours",
	[PLAN_DELETE] = "deleting it",
	[PLAN_LOOK] = "looking at it",
};

/* ---- the cluster as a whole ---- */

static void
trouble(struct writer *w, unsigned whose, const char *text)
{
	w->trouble |= whose;
	strlcpy(w->trouble_text, text, sizeof(w->trouble_text));
	if (outage_failed(&w->outage, text))
		log_warnx("kubernetes at %s: %s; trying again, objects stay as "
			  "they are meanwhile",
		    w->conf.server, text);
}

/* Where there is no answer at all it does not matter what was asked for. */
void
say_trouble(struct writer *w, unsigned whose, const struct reply *r,
    const char *verb, const char *resource)
{
	struct reply_about about = { .verb = verb,
		.resource = resource,
		.namespace = w->conf.objects.namespace };
	char why[LIMIT_TEXT], text[LIMIT_TEXT];

	reply_text(r, &about, why);
	if (r->error != NULL)
		strlcpy(text, why, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s %s: %.450s", verb, resource,
		    why);
	trouble(w, whose, text);
}

void
say_broken(struct writer *w, unsigned whose, const char *verb,
    const char *resource, const char *why)
{
	char text[LIMIT_TEXT];

	snprintf(text, sizeof(text), "%s %s: not readable: %s", verb, resource,
	    why);
	trouble(w, whose, text);
}

void
say_no_trouble(struct writer *w, unsigned whose)
{
	if ((w->trouble & whose) == 0)
		return;
	w->trouble &= ~whose;
	if (w->trouble != 0)
		return;
	w->trouble_text[0] = '\0';
	log_info("kubernetes at %s: answers again, after %llu requests that "
		 "failed",
	    w->conf.server, (unsigned long long)outage_ended(&w->outage));
}

void
forget_trouble(struct writer *w, unsigned whose)
{
	w->trouble &= ~whose;
	if (w->trouble != 0)
		return;
	w->trouble_text[0] = '\0';
	outage_ended(&w->outage);
}

void
say_absent(struct writer *w, enum kube_kind kind)
{
	log_info("kubernetes at %s: has no %s (%s): there are none until it "
		 "has",
	    w->conf.server, kube_kind_plural(kind),
	    kube_kind_api_version(kind));
}

void
say_unheard(struct writer *w, const struct reply *r)
{
	struct reply_about about = { .verb = "watch",
		.resource = "customresourcedefinitions",
		.namespace = "" };
	char why[LIMIT_TEXT];

	reply_text(r, &about, why);
	log_info("kubernetes at %s: watch customresourcedefinitions: %s; a CRD "
		 "that is made is seen within resync-interval",
	    w->conf.server, why);
}

void
say_leads(struct writer *w, bool leads)
{
	const struct writer_conf *c = &w->conf;

	metric_set(c->metrics, M_K8S_LEADER, leads);
	if (!c->elect || w->stopping)
		return;
	if (leads)
		log_info("this copy (%s) holds the Lease %s/%s: it writes",
		    c->identity, c->objects.namespace, c->lease);
	else
		log_warnx("this copy (%s) no longer holds the Lease %s/%s: it "
			  "writes no more",
		    c->identity, c->objects.namespace, c->lease);
}

void
say_collision(const struct names_collision *c)
{
	log_warnx("service %s: the name %s is that of service %s, which has "
		  "it already or is older; it is called %s instead",
	    c->service, c->wanted, c->winner, c->given);
}

void
say_left_out(const struct wanted *w)
{
	if (w->left_out == 0)
		log_info("service %s: none of its endpoints is left out any "
			 "more",
		    w->service);
	else
		log_warnx("service %s: more than %d ports, or %d endpoints: "
			  "%zu endpoints are left out",
		    w->service, OBJECT_PORTS, OBJECT_ENDPOINTS, w->left_out);
}

/* Other states have messages of their own, or are in /v1/status. */
void
say_report(const struct object_report *r)
{
	if (strcmp(r->actual, "foreign") == 0)
		log_warnx("service %s: %s %s/%s is somebody else's: %s",
		    r->service, r->kind, r->namespace, r->name, r->error);
}

/* ---- writes ---- */

void
say_written(struct writer *w, const struct write *wr)
{
	w->pass.done[wr->op]++;
	log_debug("%s %s: %s: done", kube_kind_name(wr->kind), wr->name,
	    op_names[wr->op]);
	say_no_trouble(w, TROUBLE_WRITES);
}

/* Of all objects of a kind that may not be written the first is said. */
static void
say_denied(struct writer *w, const struct write *wr, long status,
    const char *text)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "%ld %d %s", status, wr->op,
	    kube_kind_plural(wr->kind));
	if (w->denied[0] == '\0')
		strlcpy(w->denied, text, sizeof(w->denied));
	if (outage_failed(&w->denials, reason))
		log_warnx("%s %s: %s: %s; trying again (others may follow, "
			  "see /v1/status)",
		    kube_kind_name(wr->kind), wr->name, op_names[wr->op], text);
}

void
say_failed(struct writer *w, const struct write *wr, enum plan_result res,
    const struct reply *r, const char *text, bool news)
{
	w->pass.failed = true;
	if (res == PLAN_LOST || res == PLAN_BUSY || res == PLAN_STRANGER)
		say_trouble(w, TROUBLE_WRITES, r, "patch",
		    kube_kind_plural(wr->kind));
	else if (res == PLAN_DENIED)
		say_denied(w, wr, r->status, text);
	else if (news && res != PLAN_CONFLICT && res != PLAN_GONE)
		log_warnx("%s %s: %s: %s; trying again",
		    kube_kind_name(wr->kind), wr->name, op_names[wr->op], text);
	else
		log_debug("%s %s: %s: %s", kube_kind_name(wr->kind), wr->name,
		    op_names[wr->op], text);
}

static void
say_permitted(struct writer *w, const struct plan_counts *c)
{
	if (w->denied[0] == '\0' || c->failed[PLAN_DENIED] > 0)
		return;
	w->denied[0] = '\0';
	outage_ended(&w->denials);
	log_info("kubernetes at %s: katalogd may write all objects now",
	    w->conf.server);
}

/* What failed may have been done all the same, or not be wanted any more. */
static void
end_trouble(struct writer *w, const struct plan_counts *c)
{
	if (c->failed[PLAN_LOST] == 0 && c->failed[PLAN_BUSY] == 0 &&
	    c->failed[PLAN_STRANGER] == 0)
		say_no_trouble(w, TROUBLE_WRITES);
}

static void
say_held(struct writer *w, bool held)
{
	if (held)
		log_once_warn(&w->said_held,
		    "Consul lacks more than max-delete-ratio of what the "
		    "cluster has: nothing is deleted before a second read says "
		    "so");
	else
		log_once_clear(&w->said_held,
		    "nothing waits for a second read of Consul any more");
}

/* ---- how it goes ---- */

static size_t
sum(const size_t v[KUBE_KINDS])
{
	size_t n = 0;

	for (int i = 0; i < KUBE_KINDS; i++)
		n += v[i];
	return n;
}

static void
say_waiting(const struct writer *w, char *text)
{
	if (!w->complete)
		strlcpy(text, "waiting for the first snapshot of consul-reader",
		    LIMIT_TEXT);
	else
		snprintf(text, LIMIT_TEXT, "reading what is in the cluster");
}

/* What stops all of it; false: nothing does. */
static bool
is_stopped(const struct writer *w, const struct plan_counts *c, enum health *h,
    char *text)
{
	if (w->trouble != 0)
		snprintf(text, LIMIT_TEXT, "kubernetes at %.100s: %.350s",
		    w->conf.server, w->trouble_text);
	else if (!w->complete || !c->known)
		say_waiting(w, text);
	else
		return false;
	*h = w->trouble != 0 ? HEALTH_DEGRADED : HEALTH_STARTING;
	return true;
}

/* Another copy writes, or one is to be found. */
static bool
is_follower(const struct writer *w, enum health *h, char *text)
{
	const char *holder = lease_holder(&w->leader.lease);

	if (w->leader.led)
		return false;
	*h = *holder != '\0' ? HEALTH_OK : HEALTH_STARTING;
	if (*holder != '\0')
		snprintf(text, LIMIT_TEXT, "following: %.300s holds the Lease",
		    holder);
	else
		snprintf(text, LIMIT_TEXT, "waiting for the Lease %s/%s",
		    w->conf.objects.namespace, w->conf.lease);
	return true;
}

/* What is wrong with some objects; false: nothing is. */
static bool
is_degraded(const struct writer *w, const struct plan_counts *c, char *text)
{
	size_t refused = c->failed[PLAN_REFUSED] + c->failed[PLAN_BROKEN] +
	    c->failed[PLAN_DIFFERS];
	size_t all = sum(c->desired);

	if (c->failed[PLAN_DENIED] > 0)
		snprintf(text, LIMIT_TEXT, "%zu of %zu objects: %.400s",
		    c->failed[PLAN_DENIED], all, w->denied);
	else if (refused > 0)
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu objects are refused by the apiserver", refused,
		    all);
	else if (c->foreign > 0)
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu objects have a name that is somebody else's",
		    c->foreign, all);
	else if (c->held)
		strlcpy(text, "deletions wait for a second read of Consul",
		    LIMIT_TEXT);
	else
		return false;
	return true;
}

static enum health
health_of(const struct writer *w, const struct plan_counts *c,
    char text[LIMIT_TEXT])
{
	enum health h;

	if (is_stopped(w, c, &h, text) || is_follower(w, &h, text))
		return h;
	if (is_degraded(w, c, text))
		return HEALTH_DEGRADED;
	if (w->synced && c->pending == 0) {
		strlcpy(text, "in step", LIMIT_TEXT);
		return HEALTH_OK;
	}
	if (c->pending == 0)
		strlcpy(text, "waiting for a second read of Consul",
		    LIMIT_TEXT);
	else
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu objects are not yet as desired", c->pending,
		    sum(c->desired));
	return w->synced ? HEALTH_OK : HEALTH_STARTING;
}

/*
 * A copy that could take over is as ready as the one that writes. While it is
 * not sure that Consul showed all, what is to go is not gone.
 */
static void
find_synced(struct writer *w, const struct plan_counts *c)
{
	bool follows =
	    !w->leader.led && *lease_holder(&w->leader.lease) != '\0';

	if (w->synced || !w->confirmed || !c->known || w->trouble != 0)
		return;
	if (follows) {
		w->synced = true;
		log_info("ready to take over from %s",
		    lease_holder(&w->leader.lease));
	} else if (w->leader.led && c->pending == 0) {
		w->synced = true;
		log_info("first sync done: %zu services are in the cluster as "
			 "desired",
		    c->desired[KUBE_SERVICE]);
	}
}

static void
set_figures(struct writer *w, const struct plan_counts *c)
{
	struct metrics *m = w->conf.metrics;

	metric_set(m, M_K8S_ROUTES, c->desired[KUBE_ROUTE]);
	metric_set(m, M_K8S_DESIRED, sum(c->desired));
	metric_set(m, M_K8S_PENDING, c->pending);
	metric_set(m, M_K8S_FOREIGN, c->foreign);
	metric_set(m, M_K8S_COLLISIONS, desire_collisions(w->desire));
}

void
tell(struct writer *w, uint64_t now)
{
	char text[LIMIT_TEXT];
	struct plan_counts c;
	enum health h;

	(void)now;
	plan_counts(w->plan, &c);
	set_figures(w, &c);
	end_trouble(w, &c);
	say_permitted(w, &c);
	say_held(w, c.held);
	find_synced(w, &c);
	h = health_of(w, &c, text);
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

	if (!pass->on || w->nwrites > 0)
		return;
	w->pass.on = false;
	metric_inc(w->conf.metrics,
	    pass->failed ? M_K8S_SYNC_ERR : M_K8S_SYNC_OK);
	metric_observe_ms(w->conf.metrics, M_K8S_SYNC_S, took);
	if (pass->done[PLAN_APPLY] + pass->done[PLAN_REPAIR] +
		pass->done[PLAN_DELETE] >
	    0)
		log_info("%u objects applied, %u deleted in %llu ms",
		    pass->done[PLAN_APPLY] + pass->done[PLAN_REPAIR],
		    pass->done[PLAN_DELETE], (unsigned long long)took);
}
