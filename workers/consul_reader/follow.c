#include "workers/consul_reader/follow.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* Where a service waits for its next read. */
enum place { PLACE_NONE, PLACE_URGENT, PLACE_SWEEP, PLACE_RETRY };

struct follow_target {
	RB_ENTRY(follow_target) link;
	TAILQ_ENTRY(follow_target) in_queue;
	enum place place;
	uint64_t retry_at; /* PLACE_RETRY */
	unsigned failures; /* in a row */
	uint64_t pass; /* of the last good read; 0: never */
	uint64_t asked_in; /* the pass in which the read in flight began */
	bool in_flight;
	bool swept; /* and nothing but a sweep asked for it */
	bool again; /* it became dirty meanwhile */
	bool removed; /* and is freed when its read ends */
	char name[];
};

RB_HEAD(target_tree, follow_target);
TAILQ_HEAD(target_queue, follow_target);

/* Work that is wanted now and then, and has its pace. */
struct errand {
	uint64_t wanted_at; /* UINT64_MAX: it is not */
	uint64_t not_before; /* whoever wants it */
	uint64_t began;
};

struct follow {
	struct follow_conf conf;
	struct target_tree tree;
	struct target_queue urgent, sweep, retry;
	size_t n;
	size_t unread;
	size_t in_flight;

	struct index lists[QUERY_LISTS]; /* that of the roster is not used */
	bool busy[QUERY_LISTS];
	bool useless[QUERY_LISTS]; /* sweeps take their place */
	uint64_t heard_at; /* since then all that is asked may be held back */
	bool listed; /* the catalog, once */
	uint64_t listed_at; /* for the first time */

	struct errand roster;
	struct errand pass; /* a sweep */
	bool passing;
	bool hidden; /* every pass is doubted */
	bool doubted;
	bool fruitful; /* this pass found what nothing else did */
	unsigned fruitless; /* passes, in a row */
	uint64_t paid_at; /* when the time that passes took is made up for */
	uint64_t pass_no; /* 1.. */
	size_t left; /* services not yet read in this pass */
	uint64_t passes; /* completed */
	unsigned good_passes; /* since the last one that was in doubt */
	bool confirmed;

	uint64_t resync_at;
	unsigned failures; /* of reads, in a row: Consul's, not a service's */
	uint64_t open_at; /* no read before that */
};

static int
by_name(const struct follow_target *a, const struct follow_target *b)
{
	return strcmp(a->name, b->name);
}

/* Not RB_GENERATE_STATIC, which wants an __unused that only BSDs have. */
RB_GENERATE_INTERNAL(target_tree, follow_target, link, by_name,
    static __attribute__((unused)))

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- errands ---- */

static void
errand_want(struct errand *e, uint64_t at)
{
	e->wanted_at = sooner(e->wanted_at, at);
}

static void
errand_begin(struct errand *e, uint64_t now)
{
	e->wanted_at = UINT64_MAX;
	e->began = now;
}

static uint64_t
errand_due(const struct errand *e)
{
	return later(e->wanted_at, e->not_before);
}

/* ---- failures ---- */

struct backoff {
	uint64_t min_ms;
	uint64_t max_ms;
};

static const struct backoff *
backoff_of(enum follow_end end)
{
	static const struct backoff large = { FOLLOW_LARGE_MIN_MS,
		FOLLOW_LARGE_MAX_MS };
	static const struct backoff own = { FOLLOW_RETRY_MIN_MS,
		FOLLOW_RETRY_MAX_MS };
	static const struct backoff of_consul = { FOLLOW_RETRY_MIN_MS,
		INDEX_RETRY_MAX_MS };

	if (end == FOLLOW_TOO_LARGE)
		return &large;
	return end == FOLLOW_UNREADABLE ? &own : &of_consul;
}

/* Its own trouble, not Consul's. */
static bool
is_its_own(enum follow_end end)
{
	return end == FOLLOW_UNREADABLE || end == FOLLOW_TOO_LARGE;
}

/* ---- queues ---- */

static struct target_queue *
queue_of(struct follow *f, enum place place)
{
	if (place == PLACE_URGENT)
		return &f->urgent;
	return place == PLACE_SWEEP ? &f->sweep : &f->retry;
}

static void
unplace(struct follow *f, struct follow_target *t)
{
	if (t->place != PLACE_NONE)
		TAILQ_REMOVE(queue_of(f, t->place), t, in_queue);
	t->place = PLACE_NONE;
}

static void
place(struct follow *f, struct follow_target *t, enum place where)
{
	unplace(f, t);
	t->place = where;
	TAILQ_INSERT_TAIL(queue_of(f, where), t, in_queue);
}

/* What can't be read waits for its time, however dirty it is. */
static void
make_dirty(struct follow *f, struct follow_target *t, enum place where)
{
	if (t->in_flight)
		t->again = true;
	else if (t->place == PLACE_NONE || t->place == PLACE_SWEEP)
		place(f, t, where);
}

static void
end_retries(struct follow *f, uint64_t now)
{
	struct follow_target *t, *next;

	for (t = TAILQ_FIRST(&f->retry); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_queue);
		if (t->retry_at <= now)
			place(f, t, PLACE_URGENT);
	}
}

static uint64_t
first_retry(const struct follow *f)
{
	const struct follow_target *t;
	uint64_t at = UINT64_MAX;

	TAILQ_FOREACH(t, &f->retry, in_queue)
		at = sooner(at, t->retry_at);
	return at;
}

/* ---- services ---- */

static struct follow_target *
find(struct follow *f, const char *name)
{
	struct follow_target *t = RB_ROOT(&f->tree);
	int cmp;

	while (t != NULL && (cmp = strcmp(name, t->name)) != 0)
		t = cmp < 0 ? RB_LEFT(t, link) : RB_RIGHT(t, link);
	return t;
}

void
follow_add(struct follow *f, const char *service)
{
	size_t len = strlen(service) + 1;
	struct follow_target *t;

	if (find(f, service) != NULL)
		return;
	t = xcalloc(1, sizeof(*t) + len);
	memcpy(t->name, service, len);
	RB_INSERT(target_tree, &f->tree, t);
	f->n++;
	f->unread++;
	f->left += f->passing;
	place(f, t, PLACE_URGENT);
}

static bool
is_left(const struct follow *f, const struct follow_target *t)
{
	return f->passing && t->pass < f->pass_no;
}

void
follow_remove(struct follow *f, const char *service)
{
	struct follow_target *t = find(f, service);

	if (t == NULL)
		return;
	RB_REMOVE(target_tree, &f->tree, t);
	unplace(f, t);
	f->n--;
	f->unread -= t->pass == 0;
	f->left -= is_left(f, t);
	t->removed = true;
	if (!t->in_flight)
		free(t);
}

void
follow_dirty(struct follow *f, const char *service)
{
	struct follow_target *t = find(f, service);

	if (t != NULL)
		make_dirty(f, t, PLACE_URGENT);
}

/* ---- passes ---- */

static void
pass_begin(struct follow *f, uint64_t now)
{
	struct follow_target *t;

	errand_begin(&f->pass, now);
	f->passing = true;
	f->doubted = f->hidden;
	f->fruitful = false;
	f->pass_no++;
	f->left = f->n;
	RB_FOREACH(t, target_tree, &f->tree)
		make_dirty(f, t, PLACE_SWEEP);
}

/*
 * Those that brought nothing are made up for several times over. The first
 * one is free: it had to be.
 */
static uint64_t
price(struct follow *f, uint64_t now)
{
	uint64_t ms = (now - f->pass.began) * FOLLOW_DUTY;

	if (f->passes == 0)
		return 0;
	if (f->fruitful)
		f->fruitless = 0;
	ms <<= f->fruitless;
	if (!f->fruitful && 1U << f->fruitless < FOLLOW_SWEEP_FRUITLESS)
		f->fruitless++;
	return ms;
}

/* After a rest, several may follow each other soon. */
static void
keep_pace(struct follow *f, uint64_t now)
{
	f->paid_at = later(f->paid_at, f->pass.began) + price(f, now);
	f->pass.not_before = later(now + FOLLOW_SWEEP_PAUSE_MS,
	    later(f->paid_at, FOLLOW_SWEEP_CREDIT_MS) - FOLLOW_SWEEP_CREDIT_MS);
}

static bool
is_blind(const struct follow *f)
{
	bool any = false;

	for (int i = 0; i < QUERY_LISTS; i++)
		any |= f->useless[i];
	return any;
}

static void
pass_end(struct follow *f, uint64_t now)
{
	bool good = f->left == 0 && !f->doubted;

	keep_pace(f, now);
	f->passing = false;
	f->passes++;
	f->good_passes = good ? f->good_passes + 1 : 0;
	f->confirmed = f->confirmed || f->good_passes >= 2;
	if (!good || is_blind(f))
		errand_want(&f->pass, now + FOLLOW_SWEEP_AGAIN_MS);
	if (f->good_passes == 1) {
		f->pass.not_before = now + FOLLOW_CONFIRM_MS;
		errand_want(&f->pass, f->pass.not_before);
	}
}

/* All that are left could not be read in this pass. */
static bool
is_over(const struct follow *f)
{
	const struct follow_target *t;
	size_t failed = 0;

	if (!f->passing || !TAILQ_EMPTY(&f->sweep) || f->in_flight > 0)
		return f->passing && f->left == 0;
	TAILQ_FOREACH(t, &f->retry, in_queue)
		failed += is_left(f, t) && t->asked_in == f->pass_no;
	return failed == f->left;
}

/* One that is over as it begins has nothing to read. */
static void
run_passes(struct follow *f, uint64_t now)
{
	if (is_over(f))
		pass_end(f, now);
	if (!f->passing && now >= errand_due(&f->pass))
		pass_begin(f, now);
	if (is_over(f))
		pass_end(f, now);
}

void
follow_sweep(struct follow *f, uint64_t now)
{
	errand_want(&f->pass, now);
	f->pass.not_before = sooner(f->pass.not_before, now);
}

/* Before the first list there is nothing to read. */
void
follow_sweep_in_time(struct follow *f, uint64_t now)
{
	if (f->listed)
		errand_want(&f->pass, now);
}

void
follow_doubt(struct follow *f)
{
	f->doubted = true;
}

void
follow_hidden(struct follow *f, bool hidden)
{
	f->hidden = hidden;
	f->doubted = f->doubted || hidden;
}

/* ---- lists ---- */

/* The burst lets what happens alone through at once. */
static const struct index_pace paces[QUERY_LISTS] = {
	[QUERY_CATALOG] = { 250, 4 },
	[QUERY_CRITICAL] = { 50, 20 },
	[QUERY_WARNING] = { 50, 20 },
	[QUERY_NODES] = { 5000, 3 },
	[QUERY_PULSE] = { 1000, 4 },
	[QUERY_ROSTER] = { 1000, 1 },
};

struct follow *
follow_new(const struct follow_conf *conf, uint64_t now)
{
	struct follow *f = xcalloc(1, sizeof(*f));

	f->conf = *conf;
	RB_INIT(&f->tree);
	TAILQ_INIT(&f->urgent);
	TAILQ_INIT(&f->sweep);
	TAILQ_INIT(&f->retry);
	for (int i = 0; i < QUERY_LISTS; i++)
		index_init(&f->lists[i], &paces[i],
		    conf->seed + (uint64_t)i * 1000003, now);
	f->roster.wanted_at = f->pass.wanted_at = UINT64_MAX;
	f->resync_at = now + conf->resync_ms;
	return f;
}

static void
free_queue(struct target_queue *q)
{
	struct follow_target *t;

	while ((t = TAILQ_FIRST(q)) != NULL) {
		TAILQ_REMOVE(q, t, in_queue);
		t->place = PLACE_NONE;
	}
}

/* Those that were removed while they were in flight are the caller's loss. */
void
follow_free(struct follow *f)
{
	struct follow_target *t;

	if (f == NULL)
		return;
	free_queue(&f->urgent);
	free_queue(&f->sweep);
	free_queue(&f->retry);
	while ((t = RB_MIN(target_tree, &f->tree)) != NULL) {
		RB_REMOVE(target_tree, &f->tree, t);
		free(t);
	}
	free(f);
}

static void
roster_end(struct follow *f, uint64_t pause_ms, uint64_t now)
{
	f->roster.not_before =
	    now + later(pause_ms, (now - f->roster.began) * FOLLOW_DUTY);
}

static void
first_list(struct follow *f, uint64_t now)
{
	f->listed = true;
	f->listed_at = now;
	errand_want(&f->roster, now);
	pass_begin(f, now);
}

static void
on_registrations(struct follow *f, uint64_t now)
{
	errand_want(&f->roster, now);
	errand_want(&f->pass, now);
}

enum index_news
follow_listed(struct follow *f, enum query_list list, uint64_t index,
    uint64_t now)
{
	enum index_news news;

	f->busy[list] = f->useless[list] = false;
	f->heard_at = now;
	if (list == QUERY_ROSTER) {
		roster_end(f, FOLLOW_ROSTER_PAUSE_MS, now);
		return INDEX_MOVED;
	}
	news = index_answered(&f->lists[list], index, now);
	if (list == QUERY_CATALOG && !f->listed)
		first_list(f, now);
	else if (list == QUERY_CATALOG && news == INDEX_MOVED)
		on_registrations(f, now);
	if (news == INDEX_RESET)
		follow_sweep(f, now);
	return news;
}

/* The sweep that each registration brings does without it. */
static void
roster_failed(struct follow *f, enum follow_end end, uint64_t retry_after_ms,
    uint64_t now)
{
	if (is_its_own(end)) {
		roster_end(f, FOLLOW_LARGE_MAX_MS, now);
		return;
	}
	errand_want(&f->roster, now);
	roster_end(f, later(FOLLOW_ROSTER_PAUSE_MS, retry_after_ms), now);
}

/* It is nothing without these: they speak for Consul as a whole. */
static bool
is_needed(enum query_list list)
{
	return list == QUERY_CATALOG || list == QUERY_PULSE;
}

static bool
consul_is_well(const struct follow *f)
{
	return f->lists[QUERY_CATALOG].failures == 0 &&
	    f->lists[QUERY_PULSE].failures == 0;
}

static bool
fails_alone(const struct follow *f, enum query_list list, enum follow_end end)
{
	if (is_needed(list) || is_its_own(end))
		return !is_needed(list);
	return f->lists[list].failures >= FOLLOW_TRIES && consul_is_well(f);
}

/*
 * One that was asked without an index did not wait: all of the time that it
 * took is what it costs.
 */
static uint64_t
own_pause(struct follow *f, enum query_list list, enum follow_end end,
    uint64_t now)
{
	const struct backoff *b = backoff_of(end);
	const struct index *ix = &f->lists[list];
	uint64_t cost = 0;

	if (ix->index == 0 && !is_needed(list))
		cost = now - ix->asked_zero_at;
	return later(cost * FOLLOW_DUTY,
	    index_backoff_ms(ix->failures + 1, b->min_ms, b->max_ms,
		f->conf.seed++));
}

bool
follow_list_failed(struct follow *f, enum query_list list, enum follow_end end,
    uint64_t retry_after_ms, uint64_t now)
{
	f->busy[list] = false;
	f->heard_at = now;
	if (list == QUERY_ROSTER) {
		roster_failed(f, end, retry_after_ms, now);
		return is_its_own(end);
	}
	if (is_its_own(end))
		retry_after_ms = own_pause(f, list, end, now);
	index_failed(&f->lists[list], end == FOLLOW_BUSY, retry_after_ms, now);
	f->useless[list] = fails_alone(f, list, end);
	if (f->useless[list])
		follow_sweep_in_time(f, now);
	return f->useless[list];
}

void
follow_again(struct follow *f, enum query_list list, uint64_t ms, uint64_t now)
{
	index_restart(&f->lists[list], now + ms);
}

bool
follow_restart(struct follow *f, enum query_list list, uint64_t now)
{
	bool busy = f->busy[list];

	index_restart(&f->lists[list], now);
	f->busy[list] = false;
	f->heard_at = now;
	if (list == QUERY_ROSTER && busy)
		errand_want(&f->roster, now);
	return busy;
}

static bool
is_followed(const struct follow *f, enum query_list list)
{
	return list != QUERY_ROSTER &&
	    (list != QUERY_WARNING || f->conf.warning);
}

static bool
is_waiting(const struct follow *f, enum query_list list)
{
	return f->busy[list] && f->lists[list].index != 0;
}

/* Something is asked that Consul should answer at once. */
static bool
awaits_answer(const struct follow *f)
{
	bool any = f->in_flight > 0;

	for (int i = 0; i < QUERY_LISTS; i++)
		any |= i != QUERY_PULSE && f->busy[i] &&
		    !is_waiting(f, (enum query_list)i);
	return any;
}

/* When the list may be asked for; UINT64_MAX: not before an event. */
static uint64_t
list_due(const struct follow *f, enum query_list list)
{
	if (!is_followed(f, list) || f->busy[list])
		return UINT64_MAX;
	return index_due(&f->lists[list]);
}

/* All that were never read failed, and wait for their next try. */
static bool
all_were_tried(const struct follow *f)
{
	const struct follow_target *t;
	size_t tried = 0;

	TAILQ_FOREACH(t, &f->retry, in_queue)
		tried += t->pass == 0;
	return tried == f->unread;
}

/* Not while services wait that were never read. */
static uint64_t
roster_due(const struct follow *f)
{
	if (f->busy[QUERY_ROSTER] || !all_were_tried(f))
		return UINT64_MAX;
	return errand_due(&f->roster);
}

/* One more is asked: if nothing else is, it has all its time. */
static void
may_be_held(struct follow *f, uint64_t now)
{
	if (!awaits_answer(f))
		f->heard_at = now;
}

static bool
ask_list(struct follow *f, uint64_t now, struct follow_ask *ask)
{
	for (int i = 0; i < QUERY_LISTS; i++) {
		if (list_due(f, (enum query_list)i) > now)
			continue;
		may_be_held(f, now);
		f->busy[i] = true;
		*ask = (struct follow_ask){
			.list = (enum query_list)i,
			.index = index_ask(&f->lists[i], now),
		};
		return true;
	}
	return false;
}

static bool
ask_roster(struct follow *f, uint64_t now, struct follow_ask *ask)
{
	if (roster_due(f) > now)
		return false;
	may_be_held(f, now);
	f->busy[QUERY_ROSTER] = true;
	errand_begin(&f->roster, now);
	*ask = (struct follow_ask){ .list = QUERY_ROSTER };
	return true;
}

/* ---- reads of services ---- */

/* A sweep leaves room for what is urgent. */
static struct follow_target *
next_target(struct follow *f)
{
	size_t most = f->failures > 0 ? 1 : f->conf.concurrency;

	if (f->in_flight >= most)
		return NULL;
	if (!TAILQ_EMPTY(&f->urgent))
		return TAILQ_FIRST(&f->urgent);
	return f->in_flight < (most + 1) / 2 ? TAILQ_FIRST(&f->sweep) : NULL;
}

static bool
ask_service(struct follow *f, uint64_t now, struct follow_ask *ask)
{
	struct follow_target *t;

	if (now < f->open_at || (t = next_target(f)) == NULL)
		return false;
	may_be_held(f, now);
	t->swept = t->place == PLACE_SWEEP;
	unplace(f, t);
	t->in_flight = true;
	t->again = false;
	t->asked_in = f->pass_no;
	f->in_flight++;
	*ask = (struct follow_ask){
		.list = QUERY_LISTS,
		.service = t->name,
		.target = t,
	};
	return true;
}

bool
follow_next(struct follow *f, uint64_t now, struct follow_ask *ask)
{
	run_passes(f, now);
	end_retries(f, now);
	return ask_list(f, now, ask) || ask_roster(f, now, ask) ||
	    ask_service(f, now, ask);
}

/* Only a pulse that waits can be asked for sooner. */
static uint64_t
doubt_due(const struct follow *f)
{
	if (!awaits_answer(f) || !is_waiting(f, QUERY_PULSE))
		return UINT64_MAX;
	return f->heard_at + FOLLOW_HELD_MS;
}

uint64_t
follow_due(struct follow *f, uint64_t now)
{
	uint64_t at = sooner(roster_due(f), first_retry(f));

	for (int i = 0; i < QUERY_LISTS; i++)
		at = sooner(at, list_due(f, (enum query_list)i));
	if (!f->passing)
		at = sooner(at, errand_due(&f->pass));
	if (is_over(f))
		at = now;
	if (next_target(f) != NULL)
		at = sooner(at, f->open_at);
	at = sooner(at, doubt_due(f));
	if (!f->listed)
		return at;
	if (f->unread > 0 && now < f->listed_at + FOLLOW_PATIENCE_MS)
		at = sooner(at, f->listed_at + FOLLOW_PATIENCE_MS);
	return sooner(at, f->resync_at);
}

static void
read_well(struct follow *f, struct follow_target *t, bool changed)
{
	f->failures = 0;
	t->failures = 0;
	f->fruitful = f->fruitful || (changed && t->swept);
	if (t->removed)
		return;
	f->unread -= t->pass == 0;
	f->left -= is_left(f, t) && t->asked_in == f->pass_no;
	t->pass = t->asked_in;
}

/* All that are under way fail together: that is one failure of Consul. */
static void
close_gate(struct follow *f, bool busy, uint64_t retry_after_ms, uint64_t now)
{
	uint64_t wait;

	if (now < f->open_at)
		return;
	wait = index_backoff_ms(++f->failures,
	    busy ? INDEX_BUSY_MIN_MS : INDEX_RETRY_MIN_MS,
	    busy ? INDEX_BUSY_MAX_MS : INDEX_RETRY_MAX_MS, f->conf.seed++);
	f->open_at =
	    now + later(wait, sooner(retry_after_ms, INDEX_HOLD_MAX_MS));
}

static void
read_badly(struct follow *f, struct follow_target *t, enum follow_end end,
    uint64_t now)
{
	const struct backoff *b = backoff_of(end);

	if (is_its_own(end))
		f->failures = 0;
	t->failures++;
	if (t->removed)
		return;
	t->retry_at = now +
	    index_backoff_ms(t->failures, b->min_ms, b->max_ms, f->conf.seed++);
	place(f, t, PLACE_RETRY);
}

void
follow_done(struct follow *f, struct follow_target *t, enum follow_end end,
    uint64_t retry_after_ms, uint64_t now)
{
	f->in_flight--;
	f->heard_at = now;
	t->in_flight = false;
	if (end == FOLLOW_LOST || end == FOLLOW_BUSY)
		close_gate(f, end == FOLLOW_BUSY, retry_after_ms, now);
	if (end == FOLLOW_READ || end == FOLLOW_CHANGED)
		read_well(f, t, end == FOLLOW_CHANGED);
	else if (end == FOLLOW_AGAIN)
		t->again = true;
	else
		read_badly(f, t, end, now);
	if (t->removed)
		free(t);
	else if (t->again && t->place == PLACE_NONE)
		place(f, t, PLACE_URGENT);
}

unsigned
follow_failures(const struct follow_target *t)
{
	return t->failures;
}

bool
follow_fails_alone(const struct follow *f, const struct follow_target *t)
{
	return t->failures + 1 >= FOLLOW_TRIES && consul_is_well(f);
}

/* ---- how it goes ---- */

bool
follow_resync_due(const struct follow *f, uint64_t now)
{
	return f->listed && now >= f->resync_at;
}

void
follow_resynced(struct follow *f, uint64_t now)
{
	f->resync_at = now + f->conf.resync_ms;
	follow_sweep(f, now);
}

bool
follow_in_doubt(const struct follow *f, uint64_t now)
{
	return doubt_due(f) <= now;
}

bool
follow_pulse(struct follow *f, uint64_t index, uint64_t now)
{
	bool back = f->lists[QUERY_PULSE].failures > 0;

	f->busy[QUERY_PULSE] = false;
	index_answered(&f->lists[QUERY_PULSE], index, now);
	return back;
}

void
follow_back(struct follow *f, uint64_t now)
{
	struct follow_target *t;

	TAILQ_FOREACH(t, &f->retry, in_queue)
		t->retry_at = now;
	f->failures = 0;
	f->open_at = now;
	for (int i = 0; i < QUERY_LISTS; i++)
		f->lists[i].not_before = sooner(f->lists[i].not_before, now);
}

void
follow_retry(struct follow *f, uint64_t now)
{
	follow_back(f, now);
	if (f->listed)
		follow_sweep(f, now);
}

bool
follow_complete(const struct follow *f, uint64_t now)
{
	if (!f->listed)
		return false;
	return f->unread == 0 ||
	    (now - f->listed_at >= FOLLOW_PATIENCE_MS && f->failures == 0 &&
		all_were_tried(f));
}

bool
follow_confirmed(const struct follow *f)
{
	return f->confirmed;
}

struct follow_counts
follow_counts(const struct follow *f)
{
	const struct follow_target *t;
	struct follow_counts c = {
		.services = f->n,
		.unread = f->unread,
		.in_flight = f->in_flight,
		.passes = f->passes,
		.good = f->good_passes > 0,
	};

	TAILQ_FOREACH(t, &f->retry, in_queue)
		c.failing++;
	for (int i = 0; i < QUERY_LISTS; i++) {
		c.lists_failing += f->lists[i].failures > 0 && !f->useless[i];
		c.lists_useless += f->useless[i];
	}
	return c;
}
