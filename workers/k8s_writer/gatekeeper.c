#include "workers/k8s_writer/gatekeeper.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/timer.h"
#include "workers/outage.h"

/* A pod as it is then, with what others put into it. */
#define ANSWER_MAX   LIMIT_POD
#define CONTENT_TYPE "application/strategic-merge-patch+json"
#define VERB         "patch"
#define RESOURCE     "pods/status"
/* evtimer's: far enough to be never. */
#define LONG_MS (3600 * 1000ULL)

struct patch {
	TAILQ_ENTRY(patch) link;
	struct gatekeeper *k;
	struct gate_write write;
	struct http_request *request;
};

struct gatekeeper {
	struct gatekeeper_conf conf;
	struct gates *gates;
	struct event *timer; /* pump() */
	TAILQ_HEAD(, patch) patches;
	bool started;
	bool stopped;
	bool complete; /* a snapshot came */
	bool synced;
	char trouble[LIMIT_TEXT]; /* with the cluster; "": none */
	struct outage outage; /* what was said of it */
	char denied[LIMIT_TEXT]; /* the first of them; "": none */
	struct outage denials;
};

static void pump(struct gatekeeper *k);

/* ---- what is said ---- */

static void
explain(const struct gate_write *w, const struct reply *r,
    char text[LIMIT_TEXT])
{
	struct reply_about about = { .verb = VERB,
		.resource = RESOURCE,
		.namespace = w->pod->namespace };

	reply_text(r, &about, text);
}

static void
say_trouble(struct gatekeeper *k, const char *text)
{
	strlcpy(k->trouble, text, sizeof(k->trouble));
	if (outage_failed(&k->outage, text))
		log_warnx("kubernetes at %s: " VERB " " RESOURCE
			  ": %s; trying again, readiness gates stay as they "
			  "are meanwhile",
		    k->conf.server, text);
}

static void
say_no_trouble(struct gatekeeper *k)
{
	if (k->trouble[0] == '\0')
		return;
	k->trouble[0] = '\0';
	log_info("kubernetes at %s: takes readiness gates again, after %llu "
		 "requests that failed",
	    k->conf.server, (unsigned long long)outage_ended(&k->outage));
}

/* Of all pods that may not be written the first is said. */
static void
say_denied(struct gatekeeper *k, const struct pod_gate *pod, long status,
    const char *text)
{
	char reason[32];

	snprintf(reason, sizeof(reason), "%ld", status);
	if (k->denied[0] == '\0')
		strlcpy(k->denied, text, sizeof(k->denied));
	if (outage_failed(&k->denials, reason))
		log_warnx("pod %s/%s: setting its readiness gate: %s; trying "
			  "again (others may follow)",
		    pod->namespace, pod->name, text);
}

static void
say_permitted(struct gatekeeper *k, const struct gates_counts *c)
{
	if (k->denied[0] == '\0' || c->failed[PLAN_DENIED] > 0)
		return;
	k->denied[0] = '\0';
	outage_ended(&k->denials);
	log_info("kubernetes at %s: katalogd may set readiness gates now",
	    k->conf.server);
}

static void
say_written(const struct gate_write *w)
{
	const struct pod_gate *pod = w->pod;
	const char *status = pod->synced ? "True" : "False";

	if (w->again)
		log_warnx("pod %s/%s: its readiness gate is not %s in the "
			  "kubelet's list: set again",
		    pod->namespace, pod->name, status);
	else
		log_info("pod %s/%s: readiness gate %s (%s)", pod->namespace,
		    pod->name, status, pod->reason);
}

static void
say_failed(struct gatekeeper *k, const struct gate_write *w,
    enum plan_result res, const struct reply *r, const char *text)
{
	const struct pod_gate *pod = w->pod;
	bool news = gate_news(w, text);

	if (res == PLAN_LOST || res == PLAN_BUSY)
		say_trouble(k, text);
	else if (news && res == PLAN_DENIED)
		say_denied(k, pod, r->status, text);
	else if (news && res != PLAN_GONE && res != PLAN_CONFLICT)
		log_warnx("pod %s/%s: setting its readiness gate: %s; trying "
			  "again",
		    pod->namespace, pod->name, text);
	else
		log_debug("pod %s/%s: setting its readiness gate: %s",
		    pod->namespace, pod->name, text);
}

/* ---- how it goes ---- */

static size_t
all_of(const struct gates_counts *c)
{
	return c->wanted[false] + c->wanted[true];
}

static bool
is_degraded(const struct gatekeeper *k, const struct gates_counts *c,
    char text[LIMIT_TEXT])
{
	size_t refused = c->failed[PLAN_REFUSED] + c->failed[PLAN_BROKEN];

	if (k->trouble[0] != '\0')
		snprintf(text, LIMIT_TEXT, "kubernetes at %.100s: %.350s",
		    k->conf.server, k->trouble);
	else if (c->failed[PLAN_DENIED] > 0)
		snprintf(text, LIMIT_TEXT, "%zu of %zu readiness gates: %.400s",
		    c->failed[PLAN_DENIED], all_of(c), k->denied);
	else if (refused > 0)
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu readiness gates are refused by the apiserver",
		    refused, all_of(c));
	else
		return false;
	return true;
}

static enum health
health_of(const struct gatekeeper *k, const struct gates_counts *c,
    char text[LIMIT_TEXT])
{
	if (!k->complete) {
		strlcpy(text, "waiting for the first snapshot of consul-writer",
		    LIMIT_TEXT);
		return HEALTH_STARTING;
	}
	if (is_degraded(k, c, text))
		return HEALTH_DEGRADED;
	if (all_of(c) == 0)
		strlcpy(text, "no pod with the readiness gate", LIMIT_TEXT);
	else if (c->pending > 0)
		snprintf(text, LIMIT_TEXT,
		    "%zu of %zu readiness gates are not yet set", c->pending,
		    all_of(c));
	else
		snprintf(text, LIMIT_TEXT, "%zu readiness gate%s", all_of(c),
		    all_of(c) == 1 ? "" : "s");
	return HEALTH_OK;
}

static void
set_figures(const struct gatekeeper *k, const struct gates_counts *c)
{
	struct metrics *m = k->conf.metrics;

	metric_set(m, M_GATES_TRUE, c->wanted[true]);
	metric_set(m, M_GATES_FALSE, c->wanted[false]);
	metric_set(m, M_GATES_PENDING, c->pending);
}

static void
tell(struct gatekeeper *k)
{
	char text[LIMIT_TEXT];
	struct gates_counts c;
	enum health h;

	gates_counts(k->gates, &c);
	set_figures(k, &c);
	say_permitted(k, &c);
	if (c.pending == 0)
		say_no_trouble(k);
	k->synced = k->synced || (k->complete && c.pending == 0);
	h = health_of(k, &c, text);
	k->conf.health(h, k->synced, text, k->conf.arg);
}

/* ---- requests ---- */

static void
patch_free(struct patch *p)
{
	TAILQ_REMOVE(&p->k->patches, p, link);
	free(p);
}

static void
settle(struct patch *p, const struct reply *r)
{
	enum plan_result res = gate_result(r);
	struct gatekeeper *k = p->k;
	char text[LIMIT_TEXT] = "";

	if (res == PLAN_DONE) {
		say_written(&p->write);
	} else {
		explain(&p->write, r, text);
		say_failed(k, &p->write, res, r, text);
	}
	if (res != PLAN_LOST && res != PLAN_BUSY)
		say_no_trouble(k);
	gates_done(k->gates, &p->write, res, text, r->retry_after_ms,
	    clock_ms());
}

static void
on_answer(const struct http_response *from, void *arg)
{
	struct patch *p = arg;
	struct gatekeeper *k = p->k;
	struct reply r;

	reply_read(&r, from->error, from->status, from->retry_after_ms,
	    from->body, from->body_len);
	reply_count(&r, from->bytes, k->conf.metrics);
	metric_observe_ms(k->conf.metrics, M_K8S_LATENCY, from->took_ms);
	settle(p, &r);
	patch_free(p);
	pump(k);
}

static void
patch_start(struct gatekeeper *k, const struct gate_write *w)
{
	struct patch *p = xcalloc(1, sizeof(*p));
	char path[GATE_PATH], *whole,
	    *body = gate_body(w, (uint64_t)time(NULL));
	struct http_request_conf conf = {
		.method = "PATCH",
		.content_type = CONTENT_TYPE,
		.body = body,
		.body_len = strlen(body),
		.timeout_ms = k->conf.timeout_ms,
		.max_body = ANSWER_MAX,
		.done = on_answer,
		.arg = p,
	};

	gate_path(w, path);
	if (asprintf(&whole, "%s%s", k->conf.prefix, path) < 0)
		fatalx("kubernetes: out of memory for a path");
	conf.path = whole;
	p->k = k;
	p->write = *w;
	TAILQ_INSERT_TAIL(&k->patches, p, link);
	metric_inc(k->conf.metrics, M_K8S_GATE);
	p->request = http_client_request(k->conf.client, &conf);
	free(whole);
	free(body);
}

static void
cancel_all(struct gatekeeper *k)
{
	struct patch *p;

	while ((p = TAILQ_FIRST(&k->patches)) != NULL) {
		http_request_cancel(p->request);
		gates_done(k->gates, &p->write, PLAN_LOST, "cancelled", 0,
		    clock_ms());
		patch_free(p);
	}
}

/* ---- the loop ---- */

static void
kick(struct gatekeeper *k)
{
	if (k->started && !k->stopped)
		timer_arm(k->timer, 0);
}

static void
arm(struct gatekeeper *k, uint64_t now)
{
	uint64_t at = gates_due(k->gates);

	if (at == UINT64_MAX)
		evtimer_del(k->timer);
	else if (at <= now)
		timer_arm(k->timer, 0);
	else
		timer_arm(k->timer, at - now < LONG_MS ? at - now : LONG_MS);
}

static void
pump(struct gatekeeper *k)
{
	uint64_t now = clock_ms();
	struct gate_write w;

	if (!k->started || k->stopped)
		return;
	/* What came so far may be half a snapshot. */
	while (k->complete && gates_next(k->gates, now, &w))
		patch_start(k, &w);
	tell(k);
	if (k->complete)
		arm(k, now);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

/* ---- what is wanted ---- */

bool
gatekeeper_put(struct gatekeeper *k, const void *key, size_t key_len,
    const void *val, size_t len)
{
	kick(k);
	return gates_put(k->gates, key, key_len, val, len, clock_ms());
}

void
gatekeeper_del(struct gatekeeper *k, const void *key, size_t key_len)
{
	gates_del(k->gates, key, key_len);
	kick(k);
}

void
gatekeeper_synced(struct gatekeeper *k)
{
	k->complete = true;
	kick(k);
}

/* ---- its life ---- */

struct gatekeeper *
gatekeeper_new(const struct gatekeeper_conf *conf)
{
	struct gatekeeper *k = xcalloc(1, sizeof(*k));

	k->conf = *conf;
	k->gates = gates_new(conf->seed);
	TAILQ_INIT(&k->patches);
	k->timer = evtimer_new(conf->base, on_timer, k);
	if (k->timer == NULL)
		fatalx("kubernetes: no timer");
	return k;
}

void
gatekeeper_free(struct gatekeeper *k)
{
	if (k == NULL)
		return;
	cancel_all(k);
	event_free(k->timer);
	gates_free(k->gates);
	free(k);
}

void
gatekeeper_start(struct gatekeeper *k)
{
	k->started = true;
	kick(k);
}

void
gatekeeper_retry(struct gatekeeper *k)
{
	gates_retry(k->gates);
	kick(k);
}

void
gatekeeper_stop(struct gatekeeper *k)
{
	k->stopped = true;
	evtimer_del(k->timer);
	cancel_all(k);
}
