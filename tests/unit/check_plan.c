#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/consul_writer/plan.h"

#define MANY        500
#define STALE_AFTER 120000
#define TTL         20000
#define NONE        PLAN_OPS
/* Definitions from this one on are at another address. */
#define ELSEWHERE 10

/* The last report of the services a..z, and how many there were. */
static struct {
	char desired[16];
	char actual[16];
	char error[LIMIT_TEXT + 1];
	unsigned reports;
	bool gone;
} said[26];

static struct plan *p;
static uint64_t now;
static unsigned moves; /* of what plan_view() says */

static size_t
slot(const char *id)
{
	return (size_t)(id[strlen(id) - 1] - 'a') % 26;
}

static void
on_report(const struct service_report *r, void *arg)
{
	size_t i = slot(r->id);

	(void)arg;
	snprintf(said[i].desired, sizeof(said[i].desired), "%s", r->desired);
	snprintf(said[i].actual, sizeof(said[i].actual), "%s", r->actual);
	snprintf(said[i].error, sizeof(said[i].error), "%s", r->error);
	said[i].reports++;
	said[i].gone = false;
}

static void
on_gone(const char *id, void *arg)
{
	(void)arg;
	said[slot(id)].gone = true;
}

static void
on_moved(const char *id, void *arg)
{
	(void)id;
	(void)arg;
	moves++;
}

/* Blocked services are said. */
static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static const struct plan_conf conf = {
	.stale_after_ms = STALE_AFTER,
	.report = on_report,
	.gone = on_gone,
	.moved = on_moved,
};

static void
setup(void)
{
	memset(said, 0, sizeof(said));
	now = 1000000;
	moves = 0;
	log_set_sink(no_log, NULL);
	p = plan_new(&conf);
}

static void
teardown(void)
{
	plan_free(p);
}

static void
want_ttl(const char *id, enum service_status st, unsigned def, uint64_t ttl)
{
	struct service *s = xcalloc(1, sizeof(*s) + strlen(id) + 1);
	char *copy = (char *)(s + 1);
	struct fingerprint f = { .lo = def, .place = def / ELSEWHERE };

	memcpy(copy, id, strlen(id) + 1);
	s->id = copy;
	s->name = s->namespace = s->pod = "x";
	s->output = st == SERVICE_PASSING ? "" : "text";
	s->status = st;
	s->ttl_ms = ttl;
	plan_want(p, s, &f, now);
}

static void
want(const char *id, enum service_status st, unsigned def)
{
	want_ttl(id, st, def, TTL);
}

static void
fresh(bool confirmed)
{
	plan_fresh(p, now, confirmed, now);
}

static struct actual
actual(char *id, enum actual_state st, unsigned def)
{
	static char empty[] = "";

	return (struct actual){ .id = id,
		.name = empty,
		.namespace = empty,
		.pod = empty,
		.def = { .lo = def, .place = def / ELSEWHERE },
		.state = st };
}

static void
read_list(struct actual *v, size_t n)
{
	struct actual_list l = { .v = v, .n = n };

	plan_read_begin(p);
	plan_read_end(p, &l, now);
}

static void
read_nothing(void)
{
	read_list(NULL, 0);
}

/* The agent has the service a (and nothing else) like this. */
static void
read_a(enum actual_state st, unsigned def)
{
	char id[] = "a";
	struct actual v = actual(id, st, def);

	read_list(&v, 1);
}

/* The next write is that one, and it is started. */
static struct plan_item *
next_is(enum plan_op op, const char *id)
{
	struct plan_action a;

	ck_assert_msg(plan_next(p, now, &a), "nothing to do for %s", id);
	ck_assert_msg(a.op == op, "%s: op %d, not %d", id, (int)a.op, (int)op);
	ck_assert_str_eq(a.id, id);
	ck_assert((a.want == NULL) == (op == PLAN_DEREGISTER));
	return a.item;
}

static void
nothing(void)
{
	struct plan_action a;

	ck_assert_msg(!plan_next(p, now, &a), "unexpected op %d on %s",
	    (int)a.op, a.id);
}

static void
done(struct plan_item *it)
{
	plan_done(p, it, PLAN_DONE, "", now);
}

static void
does(enum plan_op op, const char *id)
{
	done(next_is(op, id));
}

static struct plan_counts
counts(void)
{
	struct plan_counts c;

	plan_counts(p, &c);
	return c;
}

/* A plan that has the service a, passing, both sides, confirmed. */
static void
settle_a(void)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	read_a(ACTUAL_PASSING, 1);
}

/* The agent does not have it. */
static void
lack_a(void)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	read_nothing();
}

/* What is left over of more than half may go, too. */
static void
no_doubt(void)
{
	now += PLAN_DOUBT_MS;
	fresh(true);
}

/* One service: what is wanted x what the agent has -> the first write. */
static const struct decision {
	bool wanted;
	enum service_status status;
	enum actual_state state;
	unsigned def; /* wanted is 1 */
	enum plan_op op;
	size_t pending;
} decisions[] = {
	{ true, SERVICE_PASSING, ACTUAL_ABSENT, 0, PLAN_REGISTER, 1 },
	{ true, SERVICE_PASSING, ACTUAL_UNCHECKED, 1, PLAN_REGISTER, 1 },
	{ true, SERVICE_PASSING, ACTUAL_PASSING, 1, NONE, 0 },
	{ true, SERVICE_WARNING, ACTUAL_WARNING, 1, NONE, 0 },
	{ true, SERVICE_CRITICAL, ACTUAL_CRITICAL, 1, NONE, 0 },
	{ true, SERVICE_CRITICAL, ACTUAL_PASSING, 1, PLAN_UPDATE, 1 },
	{ true, SERVICE_PASSING, ACTUAL_CRITICAL, 1, PLAN_UPDATE, 1 },
	{ true, SERVICE_PASSING, ACTUAL_CRITICAL, 2, PLAN_UPDATE, 1 },
	{ true, SERVICE_PASSING, ACTUAL_PASSING, 2, PLAN_REGISTER, 1 },
	{ true, SERVICE_PASSING, ACTUAL_CRITICAL, ELSEWHERE, PLAN_REGISTER, 1 },
	{ true, SERVICE_WARNING, ACTUAL_CRITICAL, ELSEWHERE, PLAN_REGISTER, 1 },
	{ true, SERVICE_PASSING, ACTUAL_WARNING, ELSEWHERE, PLAN_REGISTER, 1 },
	{ true, SERVICE_WARNING, ACTUAL_PASSING, ELSEWHERE, PLAN_UPDATE, 1 },
	{ true, SERVICE_CRITICAL, ACTUAL_PASSING, ELSEWHERE, PLAN_UPDATE, 1 },
	{ true, SERVICE_PASSING, ACTUAL_PASSING, ELSEWHERE, PLAN_REGISTER, 1 },
	{ true, SERVICE_PASSING, ACTUAL_FOREIGN, 2, NONE, 0 },
	{ false, SERVICE_PASSING, ACTUAL_ABSENT, 0, NONE, 0 },
	{ false, SERVICE_PASSING, ACTUAL_UNCHECKED, 1, PLAN_DEREGISTER, 1 },
	{ false, SERVICE_PASSING, ACTUAL_PASSING, 1, PLAN_DEREGISTER, 1 },
	{ false, SERVICE_PASSING, ACTUAL_CRITICAL, 1, PLAN_DEREGISTER, 1 },
	{ false, SERVICE_PASSING, ACTUAL_FOREIGN, 1, NONE, 0 },
};

START_TEST(decides)
{
	const struct decision *d = &decisions[_i];

	if (d->wanted)
		want("a", d->status, 1);
	plan_synced(p, true, now);
	fresh(true);
	if (!d->wanted)
		no_doubt();
	if (d->state == ACTUAL_ABSENT)
		read_nothing();
	else
		read_a(d->state, d->def);
	ck_assert_uint_eq(counts().pending, d->pending);
	if (d->op != NONE)
		does(d->op, "a");
	else
		nothing();
}
END_TEST

START_TEST(nothing_without_snapshot)
{
	read_a(ACTUAL_PASSING, 1);
	fresh(true);
	want("a", SERVICE_CRITICAL, 2);
	nothing();
	ck_assert_uint_eq(plan_due(p, now), UINT64_MAX);
	plan_synced(p, true, now);
	fresh(true);
	ck_assert_uint_eq(plan_due(p, now), 0);
	does(PLAN_UPDATE, "a");
}
END_TEST

START_TEST(nothing_without_read)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	nothing();
	ck_assert_uint_eq(counts().pending, 1);
	ck_assert_str_eq(said[0].actual, "unknown");
	read_nothing();
	does(PLAN_REGISTER, "a");
	ck_assert_uint_eq(counts().pending, 0);
	ck_assert_str_eq(said[0].actual, "passing");
}
END_TEST

START_TEST(nothing_before_fresh)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	read_a(ACTUAL_CRITICAL, 1);
	ck_assert(plan_stale(p, now));
	nothing();
	fresh(false);
	does(PLAN_UPDATE, "a");
}
END_TEST

START_TEST(flip_before_definition)
{
	struct plan_item *it;

	settle_a();
	want("a", SERVICE_CRITICAL, 2);
	it = next_is(PLAN_UPDATE, "a");
	nothing();
	done(it);
	does(PLAN_REGISTER, "a");
	nothing();
	/* The registration kept the status that was written. */
	ck_assert_str_eq(said[0].actual, "critical");
}
END_TEST

/* That address may be another pod's by now. */
START_TEST(never_passes_at_an_address_of_before)
{
	struct plan_action a;

	settle_a();
	read_a(ACTUAL_CRITICAL, ELSEWHERE);
	/* It is refused for a long time: nothing passes meanwhile. */
	for (int i = 0; i < 20; i++) {
		ck_assert(plan_next(p, now, &a));
		ck_assert_int_eq(a.op, PLAN_REGISTER);
		plan_done(p, a.item, PLAN_REFUSED, "no", now);
		ck_assert_str_eq(said[0].actual, "critical");
		fresh(true);
		now = plan_due(p, now);
	}
	does(PLAN_REGISTER, "a");
	ck_assert_str_eq(said[0].actual, "critical");
	does(PLAN_UPDATE, "a");
	ck_assert_str_eq(said[0].actual, "passing");
	nothing();
}
END_TEST

/* What changes while a write is under way is written after it. */
START_TEST(change_in_flight)
{
	struct plan_item *it;

	settle_a();
	want("a", SERVICE_CRITICAL, 1);
	it = next_is(PLAN_UPDATE, "a");
	want("a", SERVICE_PASSING, 1);
	nothing();
	done(it);
	does(PLAN_UPDATE, "a");
	ck_assert_str_eq(said[0].actual, "passing");

	want("a", SERVICE_PASSING, 2);
	it = next_is(PLAN_REGISTER, "a");
	plan_drop(p, "a", true, now);
	nothing();
	done(it);
	does(PLAN_DEREGISTER, "a");
	ck_assert(said[0].gone);
	ck_assert_uint_eq(counts().actual, 0);
}
END_TEST

START_TEST(comes_back_while_deregistered)
{
	struct plan_item *it;

	settle_a();
	plan_drop(p, "a", true, now);
	it = next_is(PLAN_DEREGISTER, "a");
	want("a", SERVICE_PASSING, 1);
	done(it);
	does(PLAN_REGISTER, "a");
	ck_assert_str_eq(said[0].actual, "passing");
}
END_TEST

/* The queue of a flip is not the queue of the registrations. */
START_TEST(urgent_first)
{
	settle_a();
	plan_drop(p, "a", true, now);
	want("c", SERVICE_PASSING, 1);
	want("a", SERVICE_CRITICAL, 1);
	does(PLAN_UPDATE, "a");
	does(PLAN_REGISTER, "c");
	nothing();
}
END_TEST

/* ---- deletions ---- */

/* The agent has a, and no pod does. */
START_TEST(delete_needs_confirmation)
{
	plan_synced(p, true, now);
	fresh(false);
	read_a(ACTUAL_PASSING, 1);
	nothing();
	ck_assert_uint_eq(counts().pending, 1);
	ck_assert_str_eq(said[0].desired, "absent");
	ck_assert_str_eq(said[0].actual, "passing");
	fresh(true);
	no_doubt();
	nothing();
	read_a(ACTUAL_PASSING, 1);
	does(PLAN_DEREGISTER, "a");
	ck_assert(said[0].gone);
	ck_assert_uint_eq(counts().pending, 0);
}
END_TEST

START_TEST(snapshot_of_same_epoch_deletes)
{
	settle_a();
	plan_drop(p, "a", false, now);
	plan_synced(p, false, now);
	does(PLAN_DEREGISTER, "a");
}
END_TEST

/*
 * A producer that started anew: its snapshot lacks a. The drop is said
 * before the snapshot is known to be of another epoch.
 */
START_TEST(new_epoch_deletes_nothing)
{
	settle_a();
	plan_drop(p, "a", false, now);
	plan_synced(p, true, now);
	nothing();
	fresh(false);
	nothing();
	now += 600000;
	fresh(false);
	nothing();
	fresh(true);
	no_doubt();
	nothing();
	read_a(ACTUAL_PASSING, 1);
	does(PLAN_DEREGISTER, "a");
}
END_TEST

/*
 * The kubelet was restarted with us: its first lists lack all but one, and
 * say so again and again.
 */
START_TEST(most_left_over_waits)
{
	settle_a();
	want("b", SERVICE_PASSING, 1);
	want("c", SERVICE_PASSING, 1);
	does(PLAN_REGISTER, "b");
	does(PLAN_REGISTER, "c");
	plan_drop(p, "a", false, now);
	plan_drop(p, "b", false, now);
	plan_synced(p, true, now);
	fresh(true);
	nothing();
	ck_assert_uint_eq(counts().actual, 3);
	/* One of them is back: what is left is less than half. */
	want("b", SERVICE_PASSING, 1);
	fresh(true);
	does(PLAN_DEREGISTER, "a");
}
END_TEST

START_TEST(del_deletes_unconfirmed)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(false);
	read_a(ACTUAL_PASSING, 1);
	plan_drop(p, "a", true, now);
	does(PLAN_DEREGISTER, "a");
}
END_TEST

/* A DEL of an epoch that ended before it was written counts no more. */
START_TEST(del_of_old_epoch)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(false);
	read_a(ACTUAL_PASSING, 1);
	plan_drop(p, "a", true, now);
	plan_synced(p, true, now);
	nothing();
	fresh(true);
	no_doubt();
	nothing();
	read_a(ACTUAL_PASSING, 1);
	does(PLAN_DEREGISTER, "a");
}
END_TEST

START_TEST(deregister_of_gone_is_done)
{
	settle_a();
	plan_drop(p, "a", true, now);
	plan_done(p, next_is(PLAN_DEREGISTER, "a"), PLAN_GONE, "unknown", now);
	ck_assert(said[0].gone);
	nothing();
}
END_TEST

/* Ours by a read of long ago: it may be somebody else's by now. */
START_TEST(deletes_what_was_just_read)
{
	char a[] = "a", c[] = "c";
	struct actual v[] = {
		actual(a, ACTUAL_FOREIGN, 1),
		actual(c, ACTUAL_PASSING, 1),
	};

	settle_a();
	want("b", SERVICE_PASSING, 1);
	does(PLAN_REGISTER, "b");
	ck_assert(!plan_wants_read(p, now));
	now += PLAN_LOOK_MS + 1;
	fresh(true);
	ck_assert(!plan_wants_read(p, now));
	plan_drop(p, "a", true, now);
	plan_drop(p, "b", true, now);
	nothing();
	ck_assert(plan_wants_read(p, now));
	/* It is waited for, not asked for again and again. */
	ck_assert_uint_gt(plan_due(p, now), now);
	/* All else goes on. */
	want("c", SERVICE_PASSING, 1);
	ck_assert(!plan_wants_read(p, now));
	ck_assert_uint_eq(plan_due(p, now), 0);
	does(PLAN_REGISTER, "c");
	now = plan_due(p, now);
	does(PLAN_REFRESH, "c");
	ck_assert(plan_wants_read(p, now));
	/* b has gone, and a is somebody else's. */
	read_list(v, 2);
	ck_assert(!plan_wants_read(p, now));
	nothing();
	ck_assert(said[0].gone && said[1].gone);
}
END_TEST

START_TEST(one_read_for_many_deletions)
{
	static char ids[MANY][32];
	static struct actual v[MANY];
	struct plan_action a;

	for (int i = 0; i < MANY; i++) {
		snprintf(ids[i], sizeof(ids[i]), "katalog-sync_%03d", i);
		v[i] = actual(ids[i], ACTUAL_PASSING, 1);
		want(ids[i], SERVICE_PASSING, 1);
	}
	plan_synced(p, true, now);
	fresh(true);
	read_list(v, MANY);
	now += PLAN_LOOK_MS + 1;
	for (int i = 0; i < MANY; i++)
		plan_drop(p, ids[i], true, now);
	nothing();
	ck_assert(plan_wants_read(p, now));
	read_list(v, MANY);
	for (int i = 0; i < MANY; i++) {
		ck_assert(plan_next(p, now, &a));
		ck_assert_int_eq(a.op, PLAN_DEREGISTER);
		done(a.item);
		/* They take a while, and then the look is old again. */
		if (i == MANY / 2) {
			now += PLAN_LOOK_MS + 1;
			nothing();
			read_list(v + i + 1, (size_t)(MANY - i - 1));
		}
	}
	ck_assert_uint_eq(counts().actual, 0);
}
END_TEST

START_TEST(foreign_is_left_alone)
{
	settle_a();
	read_a(ACTUAL_FOREIGN, 1);
	nothing();
	ck_assert_uint_eq(counts().blocked, 1);
	ck_assert_ptr_nonnull(strstr(said[0].error, "left alone"));
	now += 600000;
	fresh(true);
	nothing();
	plan_drop(p, "a", true, now);
	nothing();
	ck_assert(said[0].gone);
	ck_assert_uint_eq(counts().blocked, 0);
	want("a", SERVICE_PASSING, 1);
	nothing();
	ck_assert_uint_eq(counts().blocked, 1);
	ck_assert_ptr_nonnull(strstr(said[0].error, "left alone"));
	/* Its owner took it away: the ID is free. */
	read_nothing();
	does(PLAN_REGISTER, "a");
	ck_assert_str_eq(said[0].error, "");
	ck_assert_uint_eq(counts().blocked, 0);
}
END_TEST

/* ---- refreshes ---- */

/* The time of the next write, which is a refresh of a. */
static uint64_t
refresh_at(void)
{
	uint64_t at = plan_due(p, now);

	ck_assert_uint_ne(at, UINT64_MAX);
	ck_assert_uint_ne(at, 0);
	now = at - 1;
	nothing();
	now = at;
	does(PLAN_REFRESH, "a");
	return at;
}

/* A new check has no output: it follows at once where there is one. */
START_TEST(output_follows)
{
	want("a", SERVICE_CRITICAL, 1);
	want("b", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	read_nothing();
	does(PLAN_REGISTER, "a");
	does(PLAN_REFRESH, "a");
	does(PLAN_REGISTER, "b");
	nothing();
}
END_TEST

START_TEST(refreshes_in_time)
{
	uint64_t start = now, last, at;

	settle_a();
	/* Whoever wrote it last may have done so 70 % of the TTL ago. */
	last = refresh_at();
	ck_assert_uint_le(last - start, TTL * 10 / 100);
	for (int i = 0; i < 100; i++) {
		fresh(true);
		at = refresh_at();
		ck_assert_uint_ge(at - last, TTL * 50 / 100);
		ck_assert_uint_le(at - last, TTL * 70 / 100);
		last = at;
	}
}
END_TEST

/* A refresh counts from the last write, of whatever kind. */
START_TEST(refresh_after_write)
{
	uint64_t at;

	settle_a();
	now += 2000;
	want("a", SERVICE_CRITICAL, 1);
	does(PLAN_UPDATE, "a");
	at = plan_due(p, now);
	ck_assert_uint_ge(at - now, TTL * 50 / 100);
	now += 2000;
	want_ttl("a", SERVICE_CRITICAL, 2, 60000);
	does(PLAN_REGISTER, "a");
	at = plan_due(p, now);
	ck_assert_uint_ge(at - now, 60000 * 10 / 100);
	ck_assert_uint_le(at - now, 60000 * 70 / 100);
}
END_TEST

/* The TTL started before a slow answer came. */
START_TEST(refresh_after_slow_write)
{
	uint64_t sent = now;
	struct plan_item *it;

	settle_a();
	want("a", SERVICE_CRITICAL, 1);
	it = next_is(PLAN_UPDATE, "a");
	now += TTL * 40 / 100;
	done(it);
	ck_assert_uint_ge(plan_due(p, now), sent + TTL * 50 / 100);
	ck_assert_uint_le(plan_due(p, now), sent + TTL * 70 / 100);
}
END_TEST

/* A registration that is refused for ever does not let the check run out. */
START_TEST(refreshes_what_cannot_be_registered)
{
	uint64_t last = now, end = now + 20 * TTL;
	struct plan_action a;
	unsigned refused = 0;

	settle_a();
	want("a", SERVICE_PASSING, 2);
	while (now < end) {
		fresh(true);
		ck_assert(plan_next(p, now, &a));
		ck_assert_uint_le(now - last, TTL * 70 / 100);
		if (a.op == PLAN_REGISTER) {
			plan_done(p, a.item, PLAN_REFUSED, "no", now);
			refused++;
		} else {
			ck_assert_int_eq(a.op, PLAN_REFRESH);
			done(a.item);
			last = now;
		}
		ck_assert_str_eq(said[0].error, "no");
		ck_assert_uint_eq(counts().failed[PLAN_REFUSED], 1);
		now = plan_due(p, now) > now ? plan_due(p, now) : now;
	}
	ck_assert_uint_ge(refused, 10);
	/* The back-off goes on: refreshes are no reason to ask more often. */
	ck_assert_uint_le(refused, 20 * TTL / 10000);
}
END_TEST

/* Nor one that waits for many others: each takes the agent a while. */
START_TEST(refreshes_what_waits_for_its_registration)
{
	static char ids[MANY][32];
	static struct actual v[MANY];
	uint64_t ttl = 11000, written[MANY];
	struct plan_action a;
	size_t i;

	for (i = 0; i < MANY; i++) {
		snprintf(ids[i], sizeof(ids[i]), "katalog-sync_%03zu", i);
		v[i] = actual(ids[i], ACTUAL_PASSING, 2);
		want_ttl(ids[i], SERVICE_PASSING, 1, ttl);
		/* By the process that was there before. */
		written[i] = now - ttl * 70 / 100;
	}
	plan_synced(p, true, now);
	read_list(v, MANY);
	while (counts().pending > 0) {
		fresh(true);
		ck_assert(plan_next(p, now, &a));
		ck_assert(a.op == PLAN_REGISTER || a.op == PLAN_REFRESH);
		i = strtoul(a.id + strlen("katalog-sync_"), NULL, 10);
		now += a.op == PLAN_REGISTER ? 50 : 1;
		ck_assert_msg(now - written[i] < ttl, "%s ran out", a.id);
		written[i] = now;
		done(a.item);
	}
	for (i = 0; i < MANY; i++)
		ck_assert_uint_lt(now - written[i], ttl);
}
END_TEST

/* An agent that says 5xx to what it did: its disk is full. */
START_TEST(refreshes_though_told_of_errors)
{
	uint64_t last = now, end = now + 20 * TTL;
	struct plan_action a;
	unsigned writes = 0;

	settle_a();
	/* Or its registration is said to fail, too, and did so or not. */
	want("a", SERVICE_PASSING, _i == 0 ? 1 : 2);
	while (now < end) {
		now = plan_due(p, now) > now ? plan_due(p, now) : now;
		fresh(true);
		ck_assert(plan_next(p, now, &a));
		if (a.op == PLAN_REFRESH) {
			ck_assert_uint_le(now - last, TTL * 70 / 100);
			last = now;
		} else {
			ck_assert_int_eq(a.op, PLAN_REGISTER);
		}
		plan_done(p, a.item, PLAN_BROKEN, "HTTP 500", now);
		/* A read follows, as nobody knows whether it was done. */
		nothing();
		read_a(ACTUAL_PASSING, _i == 2 ? 2 : 1);
		writes++;
	}
	ck_assert_uint_le(writes, 20 * 10);
}
END_TEST

/* Neither does the one hurry the other on when both fail. */
START_TEST(waits_when_refresh_and_registration_fail)
{
	struct plan_action a;
	unsigned writes = 0;
	uint64_t end;

	settle_a();
	want("a", SERVICE_PASSING, 2);
	for (end = now + 60000; now < end; writes++) {
		fresh(true);
		ck_assert(plan_next(p, now, &a));
		plan_done(p, a.item, PLAN_DENIED, "no", now);
		now = plan_due(p, now) > now ? plan_due(p, now) : now;
	}
	ck_assert_uint_le(writes, 20);
}
END_TEST

/* A second read changes nothing about what is known and as desired. */
START_TEST(read_again_changes_nothing)
{
	uint64_t at;
	unsigned reports;

	settle_a();
	at = plan_due(p, now);
	reports = said[0].reports;
	now++;
	read_a(ACTUAL_PASSING, 1);
	nothing();
	ck_assert_uint_eq(plan_due(p, now), at);
	ck_assert_uint_eq(said[0].reports, reports);
}
END_TEST

START_TEST(spread_over_time)
{
	uint64_t first = UINT64_MAX, last = 0;
	struct plan_action a;
	char id[32];

	plan_synced(p, true, now);
	fresh(true);
	read_nothing();
	for (int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "katalog-sync_%d", i);
		want(id, SERVICE_PASSING, 1);
	}
	while (plan_next(p, now, &a))
		done(a.item);
	ck_assert_uint_eq(counts().actual, MANY);
	for (int i = 0; i < MANY; i++) {
		now = plan_due(p, now);
		first = now < first ? now : first;
		last = now > last ? now : last;
		ck_assert(plan_next(p, now, &a));
		ck_assert_int_eq(a.op, PLAN_REFRESH);
		done(a.item);
	}
	ck_assert_uint_ge(last - first, TTL / 2);
}
END_TEST

/* Safety rule 4. */
START_TEST(stale_runs_out)
{
	uint64_t read = now;

	settle_a();
	ck_assert_uint_eq(plan_stale_at(p), read + STALE_AFTER + 1);
	now = read + STALE_AFTER;
	does(PLAN_REFRESH, "a");
	now = read + STALE_AFTER + 1;
	ck_assert(plan_stale(p, now));
	now += TTL;
	nothing();
	ck_assert_uint_eq(plan_due(p, now), UINT64_MAX);
	/* Its TTL ended: that is not to be repaired now. */
	read_a(ACTUAL_CRITICAL, 1);
	nothing();
	fresh(true);
	does(PLAN_UPDATE, "a");
}
END_TEST

START_TEST(fresh_from_the_future)
{
	plan_fresh(p, now + 5000, true, now);
	ck_assert_uint_eq(plan_stale_at(p), now + STALE_AFTER + 1);
}
END_TEST

/* ---- reads ---- */

/* A write that ended or began after the read did knows better. */
START_TEST(read_older_than_write)
{
	char id[] = "a";
	struct actual old = actual(id, ACTUAL_PASSING, 1);
	struct actual_list l = { .v = &old, .n = 1 };
	struct plan_item *it;

	settle_a();
	plan_read_begin(p);
	want("a", SERVICE_CRITICAL, 1);
	it = next_is(PLAN_UPDATE, "a");
	plan_read_end(p, &l, now);
	done(it);
	nothing();
	ck_assert_str_eq(said[0].actual, "critical");

	plan_read_begin(p);
	want("a", SERVICE_PASSING, 1);
	done(next_is(PLAN_UPDATE, "a"));
	old.state = ACTUAL_CRITICAL;
	plan_read_end(p, &l, now);
	nothing();

	plan_read_begin(p);
	want("a", SERVICE_WARNING, 1);
	it = next_is(PLAN_UPDATE, "a");
	l.n = 0;
	plan_read_end(p, &l, now);
	done(it);
	nothing();
}
END_TEST

/* Registered again, a check keeps the status that it has. */
START_TEST(expires_while_registered)
{
	struct plan_item *it;

	settle_a();
	want("a", SERVICE_PASSING, 2);
	it = next_is(PLAN_REGISTER, "a");
	read_a(ACTUAL_CRITICAL, 1);
	nothing();
	done(it);
	does(PLAN_UPDATE, "a");
}
END_TEST

START_TEST(wiped_agent)
{
	settle_a();
	now += TTL;
	plan_done(p, next_is(PLAN_REFRESH, "a"), PLAN_GONE, "unknown check",
	    now);
	nothing();
	ck_assert_str_eq(said[0].actual, "unknown");
	read_nothing();
	does(PLAN_REGISTER, "a");
	ck_assert_str_eq(said[0].actual, "passing");
	ck_assert_str_eq(said[0].error, "");
}
END_TEST

START_TEST(lost_agent)
{
	struct plan_item *it;

	settle_a();
	want("a", SERVICE_CRITICAL, 1);
	it = next_is(PLAN_UPDATE, "a");
	plan_done(p, it, PLAN_LOST, "connection refused", now);
	nothing();
	ck_assert_uint_eq(counts().pending, 1);
	ck_assert_uint_eq(counts().failed[PLAN_LOST], 1);
	ck_assert_str_eq(said[0].error, "connection refused");
	/* It had arrived. */
	read_a(ACTUAL_CRITICAL, 1);
	nothing();
	ck_assert_str_eq(said[0].error, "");
	ck_assert_uint_eq(counts().failed[PLAN_LOST], 0);
	ck_assert_uint_eq(counts().pending, 0);
}
END_TEST

/* ---- errors ---- */

/* One failed write of a; is it tried again at once, and is a read needed? */
static const struct failure {
	enum plan_result result;
	bool at_once;
	bool read;
	size_t pending;
} failures[] = {
	{ PLAN_GONE, true, true, 1 },
	{ PLAN_LOST, true, true, 1 },
	{ PLAN_BUSY, true, false, 1 },
	{ PLAN_REFUSED, false, false, 0 },
	{ PLAN_DENIED, false, false, 1 },
	{ PLAN_BROKEN, false, true, 1 },
};

START_TEST(fails_alone)
{
	const struct failure *f = &failures[_i];
	struct plan_item *it;

	settle_a();
	want("a", SERVICE_PASSING, 2);
	it = next_is(PLAN_REGISTER, "a");
	want("b", SERVICE_PASSING, 1);
	plan_done(p, it, f->result, "no", now);
	ck_assert_str_eq(said[0].error, "no");
	ck_assert_uint_eq(counts().failed[f->result], 1);
	does(PLAN_REGISTER, "b");
	ck_assert_uint_eq(counts().pending, f->pending);
	ck_assert_str_eq(said[0].actual, f->read ? "unknown" : "passing");
	if (f->read) {
		nothing();
		read_a(ACTUAL_PASSING, 1);
		/* The read does not have b, which is another matter. */
		plan_drop(p, "b", true, now);
	}
	if (!f->at_once) {
		/* Not put off by that, and no reason to forget it. */
		refresh_at();
		ck_assert_str_eq(said[0].error, "no");
		nothing();
		now += 1000;
	}
	does(PLAN_REGISTER, "a");
	ck_assert_str_eq(said[0].error, "");
	ck_assert_uint_eq(counts().failed[f->result], 0);
}
END_TEST

START_TEST(backs_off)
{
	uint64_t last = 0, wait;

	lack_a();
	for (int i = 0; i < 20; i++) {
		plan_done(p, next_is(PLAN_REGISTER, "a"), PLAN_REFUSED, "no",
		    now);
		fresh(true);
		wait = plan_due(p, now) - now;
		ck_assert_uint_ge(wait, 750);
		ck_assert_uint_le(wait, 15000);
		ck_assert(i > 3 || wait > last);
		last = wait;
		now += wait;
	}
	ck_assert_uint_ge(last, 11250);
	/* Something new is tried at once. */
	plan_done(p, next_is(PLAN_REGISTER, "a"), PLAN_REFUSED, "no", now);
	nothing();
	want("a", SERVICE_PASSING, 2);
	does(PLAN_REGISTER, "a");
}
END_TEST

START_TEST(retries_with_a_new_token)
{
	lack_a();
	plan_done(p, next_is(PLAN_REGISTER, "a"), PLAN_DENIED, "no", now);
	nothing();
	plan_retry(p, now);
	does(PLAN_REGISTER, "a");
}
END_TEST

/* The agent keeps the token of the registration, and writes with that. */
START_TEST(registers_with_a_new_token)
{
	struct plan_item *it;

	settle_a();
	plan_renew(p, now);
	ck_assert(!plan_view(p, "a").written);
	/* It is refreshed by its time, all the same. */
	it = next_is(PLAN_REGISTER, "a");
	plan_done(p, it, PLAN_DENIED, "no", now);
	now += TTL * 2 / 100;
	read_a(ACTUAL_PASSING, 1);
	does(PLAN_REFRESH, "a");
	nothing();
	/* There is another one before it was done. */
	now += 1000;
	it = next_is(PLAN_REGISTER, "a");
	plan_renew(p, now);
	done(it);
	ck_assert(!plan_view(p, "a").written);
	/* The status goes first. */
	want("a", SERVICE_CRITICAL, 1);
	does(PLAN_UPDATE, "a");
	does(PLAN_REGISTER, "a");
	ck_assert_str_eq(said[0].actual, "critical");
	ck_assert(plan_view(p, "a").written);
	nothing();
	/* What is registered anew needs no more. */
	want("b", SERVICE_PASSING, 1);
	plan_renew(p, now);
	does(PLAN_REGISTER, "a");
	does(PLAN_REGISTER, "b");
	nothing();
}
END_TEST

/* A service that the agent takes and then does not know costs a back-off. */
START_TEST(never_sticks)
{
	settle_a();
	for (int i = 0; i < 2; i++) {
		want("a", SERVICE_PASSING, 2);
		plan_done(p, next_is(PLAN_REGISTER, "a"), PLAN_GONE, "404",
		    now);
		read_nothing();
	}
	nothing();
	now += 1000;
	does(PLAN_REGISTER, "a");
}
END_TEST

/* Thousands of random events: no write twice at once, an end is reached. */
START_TEST(survives_anything)
{
	struct plan_item *flying[26] = { 0 };
	struct plan_action a;
	char id[2] = "a";
	unsigned seed = (unsigned)_i;

	for (int i = 0; i < 20000; i++) {
		unsigned r = (unsigned)rand_r(&seed);
		size_t n = r / 16 % 26;

		id[0] = (char)('a' + n);
		now += r / 512 % 300;
		switch (r % 8) {
		case 0:
			want(id, (enum service_status)(r / 512 % 3),
			    r / 2048 % 2);
			break;
		case 1:
			plan_drop(p, id, r / 512 % 2, now);
			break;
		case 2:
			plan_synced(p, r / 512 % 8 == 0, now);
			break;
		case 3:
			fresh(r / 512 % 2);
			break;
		case 4:
			if (r / 512 % 4 == 0)
				read_nothing();
			else
				read_a((enum actual_state)(
					   ACTUAL_FOREIGN + r / 2048 % 5),
				    r / 16384 % 2);
			break;
		case 5:
			if (flying[n] == NULL)
				break;
			plan_done(p, flying[n],
			    (enum plan_result)(r / 512 % PLAN_RESULTS), "no",
			    now);
			flying[n] = NULL;
			break;
		default:
			if (!plan_next(p, now, &a))
				break;
			ck_assert_ptr_null(flying[slot(a.id)]);
			flying[slot(a.id)] = a.item;
		}
	}
	for (size_t n = 0; n < 26; n++) {
		if (flying[n] != NULL)
			plan_done(p, flying[n], PLAN_LOST, "", now);
	}
	for (char c = 'a'; c <= 'z'; c++) {
		id[0] = c;
		want(id, SERVICE_PASSING, 7);
	}
	plan_synced(p, true, now);
	fresh(true);
	read_nothing();
	now += 20000;
	while (plan_next(p, now, &a))
		done(a.item);
	ck_assert_uint_eq(counts().desired, 26);
	ck_assert_uint_eq(counts().actual, 26);
	ck_assert_uint_eq(counts().pending, 0);
	ck_assert_uint_eq(counts().busy, 0);
	ck_assert_uint_eq(counts().blocked, 0);
	for (size_t i = 0; i < PLAN_RESULTS; i++)
		ck_assert_uint_eq(counts().failed[i], 0);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof(*(a)))

static void
add_desired(Suite *s)
{
	TCase *t = tcase_create("desired");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, decides, 0, COUNT(decisions));
	tcase_add_test(t, nothing_without_snapshot);
	tcase_add_test(t, nothing_without_read);
	tcase_add_test(t, nothing_before_fresh);
	tcase_add_test(t, flip_before_definition);
	tcase_add_test(t, never_passes_at_an_address_of_before);
	tcase_add_test(t, change_in_flight);
	tcase_add_test(t, comes_back_while_deregistered);
	tcase_add_test(t, urgent_first);
	tcase_add_test(t, delete_needs_confirmation);
	tcase_add_test(t, snapshot_of_same_epoch_deletes);
	tcase_add_test(t, new_epoch_deletes_nothing);
	tcase_add_test(t, most_left_over_waits);
	tcase_add_test(t, del_deletes_unconfirmed);
	tcase_add_test(t, del_of_old_epoch);
	tcase_add_test(t, deregister_of_gone_is_done);
	tcase_add_test(t, deletes_what_was_just_read);
	tcase_add_test(t, one_read_for_many_deletions);
	tcase_add_test(t, foreign_is_left_alone);
	suite_add_tcase(s, t);
}

static void
add_actual(Suite *s)
{
	TCase *t = tcase_create("actual");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, output_follows);
	tcase_add_test(t, refreshes_in_time);
	tcase_add_test(t, refresh_after_write);
	tcase_add_test(t, refresh_after_slow_write);
	tcase_add_test(t, refreshes_what_cannot_be_registered);
	tcase_add_test(t, refreshes_what_waits_for_its_registration);
	tcase_add_loop_test(t, refreshes_though_told_of_errors, 0, 3);
	tcase_add_test(t, waits_when_refresh_and_registration_fail);
	tcase_add_test(t, read_again_changes_nothing);
	tcase_add_test(t, spread_over_time);
	tcase_add_test(t, stale_runs_out);
	tcase_add_test(t, fresh_from_the_future);
	tcase_add_test(t, read_older_than_write);
	tcase_add_test(t, expires_while_registered);
	tcase_add_test(t, wiped_agent);
	tcase_add_test(t, lost_agent);
	tcase_add_loop_test(t, fails_alone, 0, COUNT(failures));
	tcase_add_test(t, backs_off);
	tcase_add_test(t, retries_with_a_new_token);
	tcase_add_test(t, registers_with_a_new_token);
	tcase_add_test(t, never_sticks);
	tcase_add_loop_test(t, survives_anything, 0, 20);
	suite_add_tcase(s, t);
}

/* ---- what others wait for ---- */

static bool
written(const char *id)
{
	return plan_view(p, id).written;
}

START_TEST(written_when_the_agent_has_it)
{
	struct plan_item *it;
	uint64_t first;

	ck_assert(!written("a"));
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	ck_assert(!written("a"));
	read_nothing();
	it = next_is(PLAN_REGISTER, "a");
	ck_assert(!written("a"));
	done(it);
	ck_assert(written("a"));
	/* Absent, and written. */
	ck_assert_uint_eq(moves, 2);
	ck_assert_int_eq(plan_view(p, "a").want->status, SERVICE_PASSING);
	first = plan_view(p, "a").since;
	ck_assert_uint_le(first, plan_stamp(p));
	/* Another status, and back, is a state of its own. */
	want("a", SERVICE_CRITICAL, 1);
	ck_assert(!written("a"));
	done(next_is(PLAN_UPDATE, "a"));
	ck_assert(written("a"));
	ck_assert_uint_gt(plan_view(p, "a").since, first);
	plan_drop(p, "a", true, now);
	ck_assert(!written("a"));
	ck_assert_uint_eq(moves, 5);
}
END_TEST

/* A refresh says what the agent has; it changes nothing, unless it fails. */
START_TEST(written_while_it_is_refreshed)
{
	struct plan_item *it;
	uint64_t since;

	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	read_a(ACTUAL_PASSING, 1);
	ck_assert(written("a"));
	since = plan_view(p, "a").since;
	now += TTL;
	it = next_is(PLAN_REFRESH, "a");
	ck_assert(written("a"));
	done(it);
	ck_assert_uint_eq(plan_view(p, "a").since, since);
	ck_assert_uint_eq(moves, 1);
	now += TTL;
	it = next_is(PLAN_REFRESH, "a");
	plan_done(p, it, PLAN_LOST, "connection reset", now);
	ck_assert(!written("a"));
	ck_assert_str_eq(plan_view(p, "a").error, "connection reset");
	read_a(ACTUAL_PASSING, 1);
	ck_assert(written("a"));
	ck_assert_str_eq(plan_view(p, "a").error, "");
}
END_TEST

/* What is on its way may still arrive: the agent's state is not sure. */
START_TEST(not_written_while_another_write_is_under_way)
{
	struct plan_item *it;

	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	read_a(ACTUAL_PASSING, 1);
	want("a", SERVICE_CRITICAL, 1);
	it = next_is(PLAN_UPDATE, "a");
	want("a", SERVICE_PASSING, 1);
	ck_assert(!written("a"));
	done(it);
	ck_assert(!written("a"));
	done(next_is(PLAN_UPDATE, "a"));
	ck_assert(written("a"));
}
END_TEST

/* By a write that began after it was asked for. */
START_TEST(confirmed_when_asked)
{
	struct plan_item *it;
	uint64_t stamp;

	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	plan_confirm(p, "a", now);
	read_a(ACTUAL_PASSING, 1);
	ck_assert_uint_eq(plan_view(p, "a").confirmed, 0);
	moves = 0;
	stamp = plan_stamp(p);
	now++;
	plan_confirm(p, "a", now);
	it = next_is(PLAN_REFRESH, "a");
	ck_assert_uint_eq(moves, 0);
	ck_assert_uint_le(plan_view(p, "a").confirmed, stamp);
	/* That one began too early. */
	stamp = plan_stamp(p);
	plan_confirm(p, "a", now);
	done(it);
	ck_assert_uint_eq(moves, 1);
	ck_assert_uint_le(plan_view(p, "a").confirmed, stamp);
	plan_confirm(p, "a", now);
	done(next_is(PLAN_REFRESH, "a"));
	ck_assert_uint_eq(moves, 2);
	ck_assert_uint_gt(plan_view(p, "a").confirmed, stamp);
	nothing();
	/* An agent that does not know it any more. */
	plan_confirm(p, "a", now);
	plan_done(p, next_is(PLAN_REFRESH, "a"), PLAN_GONE, "gone", now);
	ck_assert(!written("a"));
	plan_confirm(p, "a", now);
	plan_confirm(p, "unknown", now);
	nothing();
}
END_TEST

/* What was read before, or what differs besides the status. */
START_TEST(not_written_with_another_definition)
{
	struct plan_item *it;

	want("a", SERVICE_PASSING, 2);
	plan_synced(p, true, now);
	fresh(true);
	read_a(ACTUAL_PASSING, 1);
	ck_assert(!written("a"));
	it = next_is(PLAN_REGISTER, "a");
	plan_done(p, it, PLAN_REFUSED, "HTTP 400", now);
	ck_assert(!written("a"));
	ck_assert_str_eq(plan_view(p, "a").error, "HTTP 400");
}
END_TEST

START_TEST(absent_while_nothing_is_on_its_way)
{
	struct plan_item *it;

	want("a", SERVICE_CRITICAL, 1);
	plan_synced(p, true, now);
	fresh(true);
	ck_assert(!plan_view(p, "a").absent);
	ck_assert_uint_eq(moves, 0);
	read_nothing();
	ck_assert(plan_view(p, "a").absent);
	ck_assert_uint_eq(moves, 1);
	it = next_is(PLAN_REGISTER, "a");
	ck_assert(!plan_view(p, "a").absent);
	plan_done(p, it, PLAN_REFUSED, "HTTP 400", now);
	ck_assert(plan_view(p, "a").absent);
	ck_assert_uint_eq(moves, 2);
	ck_assert_uint_eq(plan_view(p, "a").since, plan_stamp(p));
	now += 60000;
	it = next_is(PLAN_REGISTER, "a");
	plan_done(p, it, PLAN_LOST, "connection reset", now);
	ck_assert(!plan_view(p, "a").absent);
}
END_TEST

START_TEST(never_written_over_others)
{
	want("a", SERVICE_PASSING, 1);
	plan_synced(p, true, now);
	fresh(true);
	read_a(ACTUAL_FOREIGN, 1);
	ck_assert(!written("a"));
	ck_assert(plan_view(p, "a").foreign && !plan_view(p, "a").absent);
	ck_assert_ptr_nonnull(
	    strstr(plan_view(p, "a").error, "not katalogd's"));
}
END_TEST

static void
add_views(Suite *s)
{
	TCase *t = tcase_create("views");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, written_when_the_agent_has_it);
	tcase_add_test(t, written_while_it_is_refreshed);
	tcase_add_test(t, not_written_while_another_write_is_under_way);
	tcase_add_test(t, confirmed_when_asked);
	tcase_add_test(t, not_written_with_another_definition);
	tcase_add_test(t, absent_while_nothing_is_on_its_way);
	tcase_add_test(t, never_written_over_others);
	suite_add_tcase(s, t);
}

int
main(void)
{
	Suite *s = suite_create("plan");
	SRunner *r = srunner_create(s);
	int failed;

	add_desired(s);
	add_actual(s);
	add_views(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
