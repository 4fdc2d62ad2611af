/* The Lease: whether this copy is the one that writes. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "workers/k8s_writer/writer_inside.h"

/* A renewal that takes longer is of no use, and the next one may be. */
#define LEASE_TIMEOUT_MS 4000
#define LEASE_BODY       65536

static const struct {
	const char *method;
	const char *verb;
} lease_requests[] = {
	[LEASE_GET] = { "GET", "get" },
	[LEASE_CREATE] = { "POST", "create" },
	[LEASE_UPDATE] = { "PUT", "update" },
};

/* See lease.h. */
static uint64_t
lease_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
leader_init(struct leader *l, struct writer *w)
{
	lease_init(&l->lease, w->conf.objects.namespace, w->conf.lease,
	    w->conf.identity, w->conf.elect, w->conf.seed);
}

/* A Lease that is not there yet, or that somebody else got first, is fine. */
static bool
is_fine(const struct reply *r, enum lease_do what)
{
	if (reply_result(r) == PLAN_DONE || r->status == 409)
		return true;
	return r->status == 404 && what != LEASE_CREATE;
}

static void
say_answer(struct writer *w, const struct reply *r, enum lease_do what,
    const char *why)
{
	const char *verb = lease_requests[what].verb;

	if (why != NULL) {
		count_unreadable(w);
		say_broken(w, TROUBLE_LEASE, verb, "leases", why);
	} else if (!is_fine(r, what)) {
		count_error(w, reply_result(r));
		say_trouble(w, TROUBLE_LEASE, r, verb, "leases");
	} else {
		say_no_trouble(w, TROUBLE_LEASE);
	}
}

static void
on_answer(const struct http_response *r, void *arg)
{
	struct writer *w = arg;
	struct lease *l = &w->leader.lease;
	enum lease_do what = l->under_way;
	struct kube_lease got;
	struct reply reply;
	const char *why = NULL;
	bool done;

	w->leader.request = NULL;
	take_reply(w, &reply, r);
	done = reply_result(&reply) == PLAN_DONE;
	if (done)
		why = kube_json_lease(r->body, r->body_len, &got);
	lease_answer(l, reply.status, done && why == NULL ? &got : NULL,
	    lease_ms());
	lease_hold(l, reply.retry_after_ms, lease_ms());
	say_answer(w, &reply, what, why);
	pump(w);
}

static uint64_t
wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void
send_lease(struct writer *w, enum lease_do what)
{
	struct lease *l = &w->leader.lease;
	char *body = what == LEASE_GET ? NULL : lease_body(l, wall_us());
	uint64_t timeout = w->conf.timeout_ms;
	struct http_request_conf conf = {
		.method = lease_requests[what].method,
		.body = body,
		.body_len = body == NULL ? 0 : strlen(body),
		.timeout_ms =
		    timeout < LEASE_TIMEOUT_MS ? timeout : LEASE_TIMEOUT_MS,
		.max_body = LEASE_BODY,
		.done = on_answer,
		.arg = w,
	};
	char path[LEASE_PATH];

	lease_path(l, path);
	metric_inc(w->conf.metrics, M_K8S_LEASE);
	w->leader.request = request(w, &conf, path);
	free(body);
}

static void
look(struct writer *w, uint64_t now)
{
	bool leads = leader_may_write(&w->leader);

	if (leads == w->leader.led)
		return;
	w->leader.led = leads;
	settle_desire(w);
	if (!leads) {
		cancel_writes(w, now);
		forget_trouble(w, TROUBLE_WRITES);
	}
	plan_lead(w->plan, leads, now);
	say_leads(w, leads);
}

void
leader_start(struct writer *w, uint64_t now)
{
	enum lease_do what = lease_next(&w->leader.lease, lease_ms());

	look(w, now);
	if (what != LEASE_NOTHING)
		send_lease(w, what);
}

uint64_t
leader_due(const struct leader *l, uint64_t now)
{
	uint64_t lease_now = lease_ms(), at = lease_due(&l->lease, lease_now);

	if (at == UINT64_MAX)
		return at;
	return at > lease_now ? now + (at - lease_now) : 0;
}

bool
leader_may_write(const struct leader *l)
{
	return lease_may_write(&l->lease, lease_ms());
}

void
leader_release(struct leader *l)
{
	lease_release(&l->lease, lease_ms());
}

void
leader_cancel(struct leader *l)
{
	if (l->request != NULL)
		http_request_cancel(l->request);
	l->request = NULL;
}
