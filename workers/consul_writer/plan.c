#include "workers/consul_writer/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/consul_writer/item.h"

/* One service's waits after errors of its own. */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 15000

/* Those of which in() is true; for what is rare enough to look at all. */
static void
settle_all(struct plan *p, bool (*in)(struct plan_item *it), uint64_t now)
{
	struct plan_item *it, *next;

	for (it = item_first(p); it != NULL; it = next) {
		next = item_after(it);
		if (in(it))
			item_settle(p, it, now);
	}
}

/* ---- the plan ---- */

struct plan *
plan_new(const struct plan_conf *conf)
{
	struct plan *p = xcalloc(1, sizeof(*p));

	p->conf = *conf;
	p->epoch = 1;
	RB_INIT(&p->items);
	RB_INIT(&p->timers);
	for (size_t i = 0; i < PLAN_OPS; i++)
		TAILQ_INIT(&p->ready[i]);
	return p;
}

void
plan_free(struct plan *p)
{
	struct plan_item *it;

	if (p == NULL)
		return;
	while ((it = item_first(p)) != NULL)
		item_free(p, it);
	free(p);
}

/* What failed for what it was may do now. */
static void
item_forgive(struct plan *p, struct plan_item *it)
{
	it->failures = 0;
	it->retry_at = 0;
	item_result(p, it, PLAN_DONE, "");
}

static bool
same_want(const struct plan_item *it, const struct service *s,
    const struct fingerprint *def)
{
	return it->want != NULL && it->want->status == s->status &&
	    fingerprint_same(&it->want_def, def);
}

/* After a read, what it did not show is not there. */
static struct plan_item *
item_wanted(struct plan *p, const char *id)
{
	struct plan_item *it = item_find(p, id);

	if (it != NULL)
		return it;
	it = item_new(p, id);
	if (p->was_read)
		it->state = ACTUAL_ABSENT;
	return it;
}

void
plan_want(struct plan *p, struct service *s, const struct fingerprint *def,
    uint64_t now)
{
	struct plan_item *it = item_wanted(p, s->id);

	if (!same_want(it, s, def))
		item_forgive(p, it);
	if (it->want == NULL)
		p->counts.desired++;
	free(it->want);
	it->want = s;
	it->want_def = *def;
	item_settle(p, it, now);
}

static void
item_names(struct plan_item *it, const char *name, const char *namespace,
    const char *pod)
{
	free(it->name);
	free(it->namespace);
	free(it->pod);
	it->name = xstrdup(name);
	it->namespace = xstrdup(namespace);
	it->pod = xstrdup(pod);
}

void
plan_drop(struct plan *p, const char *id, bool named, uint64_t now)
{
	struct plan_item *it = item_find(p, id);

	if (it == NULL || it->want == NULL)
		return;
	item_names(it, it->want->name, it->want->namespace, it->want->pod);
	free(it->want);
	it->want = NULL;
	it->named_in = named ? p->epoch : 0;
	p->counts.desired--;
	item_forgive(p, it);
	item_settle(p, it, now);
}

static bool
is_unwanted(struct plan_item *it)
{
	return it->want == NULL;
}

/*
 * The producer that started anew has said what there is. That much of what
 * the agent has is not in it that a kubelet which has just been started, too,
 * may be the reason: its first lists can lack all but the static pods, again
 * and again. So what is left over stays for a while longer. Nobody refreshes
 * it: it turns critical by its TTL.
 */
static bool
is_doubtful(struct plan *p, uint64_t now)
{
	size_t left_over = 0;

	if (now - p->confirmed_at >= PLAN_DOUBT_MS)
		return false;
	for (struct plan_item *it = item_first(p); it != NULL;
	     it = item_after(it))
		if (is_unwanted(it) && item_present(it))
			left_over++;
	return left_over > p->counts.actual - left_over;
}

/* Whether what an epoch's snapshot lacks may go; once it may, it may. */
static void
find_sweeps(struct plan *p, uint64_t now)
{
	if (p->sweeps || !p->confirmed || !p->was_read || is_doubtful(p, now))
		return;
	p->sweeps = true;
	settle_all(p, is_unwanted, now);
}

/* A producer that started anew knows nothing of what it had. */
void
plan_synced(struct plan *p, bool new_epoch, uint64_t now)
{
	p->complete = true;
	if (!new_epoch)
		return;
	p->epoch++;
	p->confirmed = false;
	p->sweeps = false;
	settle_all(p, is_unwanted, now);
}

void
plan_fresh(struct plan *p, uint64_t read_at, bool confirmed, uint64_t now)
{
	p->fresh = true;
	p->read_at = read_at < now ? read_at : now;
	if (confirmed && !p->confirmed)
		p->confirmed_at = now;
	p->confirmed = confirmed;
	find_sweeps(p, now);
}

uint64_t
plan_stale_at(const struct plan *p)
{
	return p->fresh ? p->read_at + p->conf.stale_after_ms + 1 : 0;
}

bool
plan_stale(const struct plan *p, uint64_t now)
{
	return now >= plan_stale_at(p);
}

/* ---- actual state ---- */

void
plan_read_begin(struct plan *p)
{
	p->read_stamp = ++p->stamp;
}

/* A write that began or ended since the read began knows better. */
static bool
read_counts(const struct plan *p, const struct plan_item *it)
{
	return it->stamp < p->read_stamp;
}

/* The read answers what a write left open. */
static void
item_read(struct plan *p, struct plan_item *it, enum actual_state state)
{
	bool open = it->result == PLAN_LOST || it->result == PLAN_GONE;

	it->state = state;
	if (open)
		item_result(p, it, PLAN_DONE, "");
}

static void
read_one(struct plan *p, const struct actual *a, uint64_t now)
{
	struct plan_item *it = item_find(p, a->id);

	if (it == NULL)
		it = item_new(p, a->id);
	it->seen = p->read_stamp;
	if (!read_counts(p, it))
		return;
	if (it->want == NULL)
		item_names(it, a->name, a->namespace, a->pod);
	it->def = a->def;
	item_read(p, it, a->state);
	item_settle(p, it, now);
}

static void
read_absent(struct plan *p, struct plan_item *it, uint64_t now)
{
	if (it->seen == p->read_stamp || !read_counts(p, it))
		return;
	item_read(p, it, ACTUAL_ABSENT);
	item_settle(p, it, now);
}

void
plan_read_end(struct plan *p, const struct actual_list *l, uint64_t now)
{
	struct plan_item *it, *next;

	p->was_read = true;
	p->seen_at = now;
	for (size_t i = 0; i < l->n; i++)
		read_one(p, &l->v[i], now);
	for (it = item_first(p); it != NULL; it = next) {
		next = item_after(it);
		read_absent(p, it, now);
	}
	find_sweeps(p, now);
}

/* ---- writes ---- */

static void
item_start(struct plan *p, struct plan_item *it, uint64_t now)
{
	item_unplace(p, it);
	it->in_flight = true;
	it->op = it->next;
	it->stamp = ++p->stamp;
	it->began = it->stamp;
	it->sent_at = now;
	p->in_flight++;
	if (it->want == NULL)
		return;
	it->sent_status = it->want->status;
	it->sent_def = it->want_def;
	it->sent_token = p->token;
	it->sent_ttl_ms = it->want->ttl_ms;
}

/*
 * What was ours when the agent was last read may be somebody else's by now,
 * under the same ID. Nothing else waits when it is a deregistration's turn.
 */
static bool
is_unsure(const struct plan *p, const struct plan_item *it, uint64_t now)
{
	return it->next == PLAN_DEREGISTER && now - p->seen_at > PLAN_LOOK_MS;
}

bool
plan_wants_read(struct plan *p, uint64_t now)
{
	const struct plan_item *it = item_first_ready(p);

	return p->complete && !plan_stale(p, now) && it != NULL &&
	    is_unsure(p, it, now);
}

bool
plan_next(struct plan *p, uint64_t now, struct plan_action *a)
{
	struct plan_item *it;

	if (!p->complete || plan_stale(p, now))
		return false;
	item_run_timers(p, now);
	if ((it = item_first_ready(p)) == NULL || is_unsure(p, it, now))
		return false;
	item_start(p, it, now);
	*a = (struct plan_action){
		.op = it->op,
		.item = it,
		.id = it->id,
		.want = it->want,
	};
	return true;
}

uint64_t
plan_due(struct plan *p, uint64_t now)
{
	const struct plan_item *it = item_first_ready(p);

	if (!p->complete || plan_stale(p, now))
		return UINT64_MAX;
	return it != NULL && !is_unsure(p, it, now) ? 0 : item_next_timer(p);
}

/* The TTL started when the agent took the write: not before it was sent. */
static void
done_update(struct plan *p, struct plan_item *it)
{
	it->state = actual_of_status(it->sent_status);
	item_refresh_in(p, it, it->sent_ttl_ms, &window_refresh, it->sent_at);
}

/*
 * A check that is there keeps its status and output when it is registered
 * again; its TTL starts anew.
 */
static void
done_register(struct plan *p, struct plan_item *it)
{
	bool is_new = it->state < ACTUAL_PASSING;

	it->def = it->sent_def;
	it->token = it->sent_token;
	item_refresh_in(p, it, it->sent_ttl_ms, &window_registered,
	    it->sent_at);
	if (!is_new)
		return;
	it->state = actual_of_status(it->sent_status);
	/* A registration has no output for its check: it follows at once. */
	if (it->want != NULL && it->want->output[0] != '\0')
		it->refresh_at = it->sent_at;
}

static void
done_deregister(struct plan *p, struct plan_item *it)
{
	(void)p;
	it->state = ACTUAL_ABSENT;
}

static void (*const done_ops[PLAN_OPS])(struct plan *p,
    struct plan_item *it) = {
	[PLAN_UPDATE] = done_update,
	[PLAN_REFRESH] = done_update,
	[PLAN_REGISTER] = done_register,
	[PLAN_DEREGISTER] = done_deregister,
};

static void
item_confirm(struct plan *p, struct plan_item *it)
{
	bool asked = it->asked;

	it->confirmed = it->began;
	it->asked = false;
	if (asked && p->conf.moved != NULL)
		p->conf.moved(it->id, p->conf.arg);
}

static void
item_done(struct plan *p, struct plan_item *it)
{
	/* Else another write's error, which is still to be waited for. */
	bool own = it->retry_at <= it->sent_at;

	done_ops[it->op](p, it);
	item_confirm(p, it);
	if (own)
		item_forgive(p, it);
}

/* Results after which nobody knows what the agent has: a read will tell. */
static const bool is_open[PLAN_RESULTS] = {
	[PLAN_GONE] = true,
	[PLAN_LOST] = true,
	[PLAN_BROKEN] = true,
};

/* The agent's state, not this service, made these fail: no back-off. */
static const bool is_no_fault[PLAN_RESULTS] = {
	[PLAN_LOST] = true,
	[PLAN_BUSY] = true,
};

/*
 * An agent may say 5xx to what it did: one whose disk is full sets a check's
 * status, then fails to keep it. Such a check would run out between tries that
 * are further and further apart.
 */
static uint64_t
wait_after(const struct plan *p, const struct plan_item *it, enum plan_result r)
{
	/* Registered again at once, unless that does not help. */
	uint64_t ms = schedule_backoff_ms(it->failures - (r == PLAN_GONE),
	    RETRY_MIN_MS, RETRY_MAX_MS, item_seed(p, it));
	uint64_t most = it->sent_ttl_ms / 4;

	if (r != PLAN_BROKEN ||
	    (it->op != PLAN_UPDATE && it->op != PLAN_REFRESH))
		return ms;
	if (most < RETRY_MIN_MS)
		most = RETRY_MIN_MS;
	return ms < most ? ms : most;
}

static bool
item_failed(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text, uint64_t now)
{
	bool news = it->error == NULL || strcmp(it->error, text) != 0;

	if (!is_no_fault[r])
		it->failures++;
	it->retry_at = now + wait_after(p, it, r);
	if (it->op == PLAN_REFRESH)
		it->refresh_at = it->retry_at;
	if (is_open[r])
		it->state = ACTUAL_UNKNOWN;
	item_result(p, it, r, text);
	return news;
}

bool
plan_done(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text, uint64_t now)
{
	bool news = false;

	it->in_flight = false;
	/* It was on its way: that it is away again is news. */
	it->away = false;
	it->stamp = ++p->stamp;
	p->in_flight--;
	/* It is gone: that is what was asked for. */
	if (r == PLAN_DONE || (r == PLAN_GONE && it->op == PLAN_DEREGISTER))
		item_done(p, it);
	else
		news = item_failed(p, it, r, text, now);
	item_settle(p, it, now);
	return news;
}

static bool
forgive_failed(struct plan_item *it)
{
	it->failures = 0;
	it->retry_at = 0;
	return it->result != PLAN_DONE;
}

void
plan_retry(struct plan *p, uint64_t now)
{
	settle_all(p, forgive_failed, now);
}

static bool
forgive_any(struct plan_item *it)
{
	forgive_failed(it);
	return true;
}

void
plan_renew(struct plan *p, uint64_t now)
{
	p->token++;
	settle_all(p, forgive_any, now);
}

struct plan_view
plan_view(struct plan *p, const char *id)
{
	const struct plan_item *it = item_find(p, id);

	if (it == NULL || it->want == NULL)
		return (struct plan_view){ .error = "" };
	return (struct plan_view){
		.written = it->written,
		.absent = item_absent(it),
		.foreign = item_foreign(it),
		.since = it->written ? it->written_since : it->stamp,
		.confirmed = it->confirmed,
		.want = it->want,
		.error = item_error(it),
	};
}

void
plan_confirm(struct plan *p, const char *id, uint64_t now)
{
	struct plan_item *it = item_find(p, id);

	if (it == NULL || !it->written)
		return;
	it->asked = true;
	it->refresh_at = now;
	item_settle(p, it, now);
}

uint64_t
plan_stamp(const struct plan *p)
{
	return p->stamp;
}

void
plan_counts(const struct plan *p, struct plan_counts *c)
{
	*c = p->counts;
	c->busy = p->nready + p->in_flight;
}
