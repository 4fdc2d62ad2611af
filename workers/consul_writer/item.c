#include "workers/consul_writer/item.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define FOREIGN_TEXT \
	"the agent has a service with this ID that is not katalogd's; it is " \
	"left alone"

static int
cmp_id(const struct plan_item *a, const struct plan_item *b)
{
	return strcmp(a->id, b->id);
}

static int
cmp_time(const struct plan_item *a, const struct plan_item *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return strcmp(a->id, b->id);
}

/* RB_GENERATE_STATIC wants __unused, which glibc's headers use otherwise. */
#define TREE(name, field, cmp) \
	RB_GENERATE_INTERNAL(name, plan_item, field, cmp, \
	    __attribute__((unused)) static)

TREE(id_tree, by_id, cmp_id)
TREE(time_tree, by_time, cmp_time)

bool
item_present(const struct plan_item *it)
{
	return it->state >= ACTUAL_UNCHECKED;
}

/* ---- items ---- */

struct plan_item *
item_find(struct plan *p, const char *id)
{
	struct plan_item key = { 0 };

	/* The key is only compared. */
	memcpy(&key.id, &id, sizeof(id));
	return RB_FIND(id_tree, &p->items, &key);
}

struct plan_item *
item_first(struct plan *p)
{
	return RB_MIN(id_tree, &p->items);
}

struct plan_item *
item_after(struct plan_item *it)
{
	return RB_NEXT(id_tree, NULL, it);
}

struct plan_item *
item_new(struct plan *p, const char *id)
{
	struct plan_item *it = xcalloc(1, sizeof(*it));

	it->id = xstrdup(id);
	it->token = p->token;
	RB_INSERT(id_tree, &p->items, it);
	return it;
}

void
item_free(struct plan *p, struct plan_item *it)
{
	RB_REMOVE(id_tree, &p->items, it);
	free(it->id);
	free(it->want);
	free(it->name);
	free(it->namespace);
	free(it->pod);
	free(it->error);
	free(it);
}

void
item_unplace(struct plan *p, struct plan_item *it)
{
	if (it->queued) {
		TAILQ_REMOVE(&p->ready[it->next], it, ready);
		p->nready--;
	}
	if (it->timed)
		RB_REMOVE(time_tree, &p->timers, it);
	it->queued = it->timed = false;
}

static void
item_ready(struct plan *p, struct plan_item *it, enum plan_op op)
{
	it->next = op;
	it->queued = true;
	TAILQ_INSERT_TAIL(&p->ready[op], it, ready);
	p->nready++;
}

static void
item_timer(struct plan *p, struct plan_item *it, uint64_t at)
{
	it->at = at;
	it->timed = true;
	RB_INSERT(time_tree, &p->timers, it);
}

/* ---- what one service needs ---- */

static bool
may_delete(const struct plan *p, const struct plan_item *it)
{
	return p->sweeps || it->named_in == p->epoch;
}

static bool
has_status(const struct plan_item *it)
{
	return it->state == actual_of_status(it->want->status);
}

/* Its status is better than what the agent has, which is at another address. */
static bool
improves_elsewhere(const struct plan_item *it)
{
	return actual_of_status(it->want->status) < it->state &&
	    it->def.place != it->want_def.place;
}

/*
 * The status goes before all else that differs, except that nothing is said
 * to pass at an address that it is not at any more: that may be another pod's.
 */
static enum plan_op
wanted_op(const struct plan *p, const struct plan_item *it)
{
	if (it->state == ACTUAL_ABSENT || it->state == ACTUAL_UNCHECKED ||
	    improves_elsewhere(it))
		return PLAN_REGISTER;
	if (!has_status(it))
		return PLAN_UPDATE;
	if (!fingerprint_same(&it->def, &it->want_def) || it->token != p->token)
		return PLAN_REGISTER;
	return PLAN_REFRESH;
}

/* PLAN_OPS: nothing. */
static enum plan_op
needed_op(const struct plan *p, const struct plan_item *it)
{
	if (it->state == ACTUAL_UNKNOWN || it->state == ACTUAL_FOREIGN)
		return PLAN_OPS;
	if (it->want != NULL)
		return wanted_op(p, it);
	return item_present(it) && may_delete(p, it) ? PLAN_DEREGISTER
						     : PLAN_OPS;
}

uint64_t
item_seed(const struct plan *p, const struct plan_item *it)
{
	return schedule_seed(it->id, p->conf.seed + p->stamp);
}

void
item_refresh_in(const struct plan *p, struct plan_item *it, uint64_t ttl_ms,
    const struct window *win, uint64_t started)
{
	it->refresh_at =
	    started + schedule_refresh_ms(ttl_ms, win, item_seed(p, it));
}

/* When its check is to be refreshed, whatever else it needs. */
static uint64_t
refresh_due(struct plan *p, struct plan_item *it, uint64_t now)
{
	if (it->want == NULL || !has_status(it))
		return UINT64_MAX;
	if (it->refresh_at == 0)
		item_refresh_in(p, it, it->want->ttl_ms, &window_found, now);
	return it->refresh_at;
}

static void
item_at(struct plan *p, struct plan_item *it, enum plan_op op, uint64_t at,
    uint64_t now)
{
	if (at > now)
		item_timer(p, it, at);
	else
		item_ready(p, it, op);
}

/*
 * A registration that waits, in a long queue or after an error, must not keep
 * the check from being refreshed, or it would run out.
 */
static void
item_place(struct plan *p, struct plan_item *it, enum plan_op op, uint64_t now)
{
	uint64_t refresh_at = refresh_due(p, it, now), at = it->retry_at;

	if (op == PLAN_REFRESH || refresh_at <= now || refresh_at < at) {
		item_at(p, it, PLAN_REFRESH, refresh_at, now);
		return;
	}
	item_at(p, it, op, at, now);
	if (it->queued && refresh_at != UINT64_MAX)
		item_timer(p, it, refresh_at);
}

/* ---- counts and reports ---- */

static bool
is_pending(const struct plan_item *it, enum plan_op op)
{
	if (it->state == ACTUAL_UNKNOWN)
		return true;
	if (it->want == NULL)
		return item_present(it);
	if (it->state == ACTUAL_FOREIGN)
		return false;
	return op != PLAN_REFRESH && it->result != PLAN_REFUSED;
}

/* Somebody else's, but wanted. */
static bool
is_blocked(const struct plan_item *it)
{
	return it->want != NULL && it->state == ACTUAL_FOREIGN;
}

/* Adds it to a count, or takes it away, if that has changed. */
static void
count_if(bool is, bool *was, size_t *n)
{
	if (is && !*was)
		(*n)++;
	else if (!is && *was)
		(*n)--;
	*was = is;
}

static void
item_count(struct plan *p, struct plan_item *it, enum plan_op op)
{
	if (is_blocked(it) && !it->blocked)
		log_warnx("service %s: " FOREIGN_TEXT, it->id);
	count_if(is_blocked(it), &it->blocked, &p->counts.blocked);
	count_if(is_pending(it, op), &it->pending, &p->counts.pending);
	count_if(item_present(it), &it->counted, &p->counts.actual);
}

void
item_result(struct plan *p, struct plan_item *it, enum plan_result r,
    const char *text)
{
	if (it->result != PLAN_DONE)
		p->counts.failed[it->result]--;
	if (r != PLAN_DONE)
		p->counts.failed[r]++;
	it->result = r;
	if (r == PLAN_DONE && it->error == NULL)
		return;
	it->error_said = false;
	free(it->error);
	it->error = r == PLAN_DONE ? NULL : xstrndup(text, LIMIT_TEXT);
}

static const char *
desired_word(const struct plan_item *it)
{
	return it->want == NULL ? "absent"
				: service_status_name(it->want->status);
}

static const char *
actual_word(const struct plan_item *it)
{
	static const char *const words[] = {
		[ACTUAL_UNKNOWN] = "unknown",
		[ACTUAL_ABSENT] = "absent",
		[ACTUAL_FOREIGN] = "unknown",
		[ACTUAL_UNCHECKED] = "unknown",
		[ACTUAL_PASSING] = "passing",
		[ACTUAL_WARNING] = "warning",
		[ACTUAL_CRITICAL] = "critical",
	};

	return words[it->state];
}

const char *
item_error(const struct plan_item *it)
{
	if (is_blocked(it))
		return FOREIGN_TEXT;
	return it->error == NULL ? "" : it->error;
}

static bool
is_said(const struct plan_item *it, const struct service_report *r)
{
	return it->reported && it->error_said &&
	    r->desired == it->said_desired && r->actual == it->said_actual;
}

static void
item_say(struct plan *p, struct plan_item *it)
{
	struct service_report r = {
		.id = it->id,
		.name = it->want != NULL ? it->want->name : it->name,
		.namespace =
		    it->want != NULL ? it->want->namespace : it->namespace,
		.pod = it->want != NULL ? it->want->pod : it->pod,
		.desired = desired_word(it),
		.actual = actual_word(it),
		.error = item_error(it),
	};

	if (is_said(it, &r))
		return;
	it->reported = true;
	it->error_said = true;
	it->said_desired = r.desired;
	it->said_actual = r.actual;
	p->conf.report(&r, p->conf.arg);
}

bool
item_absent(const struct plan_item *it)
{
	return !it->in_flight && it->state == ACTUAL_ABSENT;
}

bool
item_foreign(const struct plan_item *it)
{
	return !it->in_flight && it->state == ACTUAL_FOREIGN;
}

/* A refresh says again what the agent has. */
static bool
is_written(const struct plan_item *it, enum plan_op op)
{
	if (it->want == NULL || op != PLAN_REFRESH)
		return false;
	return !it->in_flight ||
	    (it->op == PLAN_REFRESH && it->sent_status == it->want->status);
}

static void
item_mark(struct plan *p, struct plan_item *it, enum plan_op op)
{
	bool was = it->written, was_away = it->away;

	it->written = is_written(it, op);
	it->away = item_absent(it) || item_foreign(it);
	if (it->written == was && it->away == was_away)
		return;
	if (it->written && !was)
		it->written_since = ++p->stamp;
	if (p->conf.moved != NULL)
		p->conf.moved(it->id, p->conf.arg);
}

static void
item_unsay(struct plan *p, struct plan_item *it)
{
	if (it->reported)
		p->conf.gone(it->id, p->conf.arg);
	it->reported = false;
}

static void
item_end(struct plan *p, struct plan_item *it)
{
	item_result(p, it, PLAN_DONE, "");
	item_count(p, it, PLAN_OPS);
	item_mark(p, it, PLAN_OPS);
	item_unsay(p, it);
	item_free(p, it);
}

void
item_settle(struct plan *p, struct plan_item *it, uint64_t now)
{
	enum plan_op op = needed_op(p, it);

	item_unplace(p, it);
	if (it->want == NULL && !it->in_flight && it->state == ACTUAL_ABSENT) {
		item_end(p, it);
		return;
	}
	if (!it->in_flight && op != PLAN_OPS)
		item_place(p, it, op, now);
	item_count(p, it, op);
	item_mark(p, it, op);
	/* Somebody else's is no concern of ours, unless it is in the way. */
	if (it->want == NULL && it->state == ACTUAL_FOREIGN)
		item_unsay(p, it);
	else
		item_say(p, it);
}

/* ---- queues ---- */

void
item_run_timers(struct plan *p, uint64_t now)
{
	struct plan_item *it;
	enum plan_op op;

	while ((it = RB_MIN(time_tree, &p->timers)) != NULL && it->at <= now) {
		item_unplace(p, it);
		if ((op = needed_op(p, it)) != PLAN_OPS)
			item_place(p, it, op, now);
	}
}

uint64_t
item_next_timer(struct plan *p)
{
	const struct plan_item *it = RB_MIN(time_tree, &p->timers);

	return it == NULL ? UINT64_MAX : it->at;
}

struct plan_item *
item_first_ready(struct plan *p)
{
	struct plan_item *it = NULL;

	for (size_t op = 0; op < PLAN_OPS && it == NULL; op++)
		it = TAILQ_FIRST(&p->ready[op]);
	return it;
}
