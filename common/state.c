#include "common/state.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/table.h"

enum feed_state {
	FEED_DUE, /* a snapshot is to be sent from its start */
	FEED_SNAPSHOT, /* within one, waiting for the queue to drain */
	FEED_IN_SYNC /* deltas */
};

struct fresh {
	bool known; /* the producer has said it */
	bool due; /* the receiver is to be told */
	bool confirmed;
	uint64_t read_at;
};

struct feed {
	TAILQ_ENTRY(feed) link;
	struct set *set;
	struct channel *ch; /* NULL: no link */
	struct entry *next; /* FEED_SNAPSHOT: to be sent; NULL: the end */
	enum feed_state state;
	struct fresh fresh;
};
TAILQ_HEAD(feed_list, feed);

struct set {
	struct table *entries;
	struct feed_list feeds;
	uint64_t epoch; /* not 0 */
	uint64_t generation; /* goes up with each change */
	bool complete;
};

enum replica_state {
	REPLICA_LOST, /* all is ignored until SNAP_BEGIN */
	REPLICA_SNAPSHOT, /* collects one in staging */
	REPLICA_IN_SYNC /* deltas */
};

struct replica {
	const struct replica_ops *ops;
	void *arg;
	struct channel *ch; /* NULL: no link */
	struct table *have; /* what ops were told */
	struct table *staging;
	uint64_t epoch; /* of have; 0: never complete */
	uint64_t generation;
	uint64_t new_epoch; /* of staging */
	uint64_t new_generation;
	uint64_t serial; /* of the snapshot; marks its entries */
	enum replica_state state;
	bool asked; /* RESYNC went out */
};

static bool
feed_full(const struct feed *f)
{
	return channel_queued(f->ch) >= LIMIT_CHANNEL_QUEUE;
}

/* A channel that does not send any more is as good as none. */
static bool
feed_send(struct feed *f, enum msg_type type, const void *body, size_t len)
{
	if (channel_send(f->ch, type, f->set->generation, body, len, -1))
		return true;
	f->ch = NULL;
	return false;
}

static bool
feed_begin(struct feed *f)
{
	uint8_t buf[TLV_HEADER + sizeof(f->set->epoch)];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_EPOCH, f->set->epoch);
	f->next = table_first(f->set->entries);
	f->state = FEED_SNAPSHOT;
	return feed_send(f, MSG_SNAP_BEGIN, buf, w.len);
}

static void
feed_end(struct feed *f)
{
	uint8_t buf[2 * TLV_HEADER + sizeof(f->set->epoch) + sizeof(uint32_t)];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_EPOCH, f->set->epoch);
	tlv_put_u32(&w, TAG_COUNT, (uint32_t)table_count(f->set->entries));
	if (feed_send(f, MSG_SNAP_END, buf, w.len))
		f->state = FEED_IN_SYNC;
}

/* The snapshot as far as the queue allows it. */
static void
feed_snapshot(struct feed *f)
{
	if (f->ch == NULL || !f->set->complete || f->state == FEED_IN_SYNC)
		return;
	if (f->state == FEED_DUE && (feed_full(f) || !feed_begin(f)))
		return;
	for (; f->next != NULL; f->next = table_next(f->next)) {
		if (feed_full(f))
			return;
		if (!feed_send(f, MSG_PUT, f->next->body, f->next->put_len))
			return;
	}
	feed_end(f);
}

/* Not before all that it is about. */
static void
feed_tell_fresh(struct feed *f)
{
	uint8_t buf[2 * TLV_HEADER + sizeof(f->fresh.read_at) + 1];
	struct tlv_writer w;

	if (!f->fresh.due || f->ch == NULL || f->state != FEED_IN_SYNC ||
	    feed_full(f))
		return;
	f->fresh.due = false;
	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_READ_AT, f->fresh.read_at);
	tlv_put_u8(&w, TAG_CONFIRMED, f->fresh.confirmed);
	feed_send(f, MSG_FRESH, buf, w.len);
}

static void
feed_run(struct feed *f)
{
	feed_snapshot(f);
	feed_tell_fresh(f);
}

/* What went to the receiver, if anything did, counts no more. */
static void
feed_restart(struct feed *f)
{
	f->state = FEED_DUE;
	f->fresh.due = f->fresh.known;
	feed_run(f);
}

/*
 * A feed that is not in sync has something in its queue, so feed_drained()
 * comes and starts the snapshot that is due here.
 */
static void
feed_change(struct feed *f, enum msg_type type, const struct entry *e)
{
	size_t len = type == MSG_PUT ? e->put_len : e->del_len;

	if (f->ch == NULL || !f->set->complete)
		return;
	if (f->state != FEED_IN_SYNC || feed_full(f)) {
		f->state = FEED_DUE;
		return;
	}
	feed_send(f, type, e->body, len);
}

static void
set_changed(struct set *s, enum msg_type type, const struct entry *e)
{
	struct feed *f;

	s->generation++;
	TAILQ_FOREACH(f, &s->feeds, link)
		feed_change(f, type, e);
}

static uint64_t
random_epoch(void)
{
	uint64_t epoch = 0;

	while (epoch == 0)
		if (getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch))
			fatal("cannot get a random epoch, giving up");
	return epoch;
}

struct set *
set_new(void)
{
	struct set *s = xmalloc(sizeof(*s));

	*s = (struct set){
		.entries = table_new(),
		.feeds = TAILQ_HEAD_INITIALIZER(s->feeds),
		.epoch = random_epoch(),
	};
	return s;
}

void
set_free(struct set *s)
{
	if (s == NULL)
		return;
	if (!TAILQ_EMPTY(&s->feeds))
		fatalx("bug: a set is freed before its feeds");
	table_free(s->entries);
	free(s);
}

static void
check_limits(const struct set *s, size_t key_len, size_t val_len, bool new_key)
{
	if (key_len == 0 || key_len > LIMIT_SET_KEY)
		fatalx("bug: a key of %zu bytes for a set", key_len);
	if (val_len > LIMIT_SET_VALUE)
		fatalx("bug: a value of %zu bytes for a set", val_len);
	if (new_key && table_count(s->entries) >= LIMIT_SET_ENTRIES)
		fatalx("bug: more than %d entries for a set",
		    LIMIT_SET_ENTRIES);
}

bool
set_put(struct set *s, const void *key, size_t key_len, const void *val,
    size_t val_len)
{
	struct entry *e = table_find(s->entries, key, key_len);

	if (e != NULL && entry_value_is(e, val, val_len))
		return false;
	check_limits(s, key_len, val_len, e == NULL);
	e = entry_new(key, key_len, val, val_len);
	table_put(s->entries, e);
	set_changed(s, MSG_PUT, e);
	return true;
}

bool
set_del(struct set *s, const void *key, size_t key_len)
{
	struct entry *e = table_find(s->entries, key, key_len);

	if (e == NULL)
		return false;
	table_take(s->entries, e);
	set_changed(s, MSG_DEL, e);
	free(e);
	return true;
}

static const struct set_entry *public(const struct entry *e)
{
	return e != NULL ? &e->e : NULL;
}

const struct set_entry *
set_get(const struct set *s, const void *key, size_t key_len)
{
	return public(table_find(s->entries, key, key_len));
}

size_t
set_count(const struct set *s)
{
	return table_count(s->entries);
}

const struct set_entry *
set_first(const struct set *s)
{
	return public(table_first(s->entries));
}

const struct set_entry *
set_next(const struct set *s, const struct set_entry *e)
{
	(void)s;
	return public(table_after(e));
}

void
set_complete(struct set *s)
{
	struct feed *f;

	if (s->complete)
		return;
	s->complete = true;
	TAILQ_FOREACH(f, &s->feeds, link)
		feed_run(f);
}

struct feed *
feed_new(struct set *s)
{
	struct feed *f = xmalloc(sizeof(*f));

	*f = (struct feed){ .set = s, .state = FEED_DUE };
	TAILQ_INSERT_TAIL(&s->feeds, f, link);
	return f;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	TAILQ_REMOVE(&f->set->feeds, f, link);
	free(f);
}

void
feed_attach(struct feed *f, struct channel *ch)
{
	f->ch = ch;
	feed_restart(f);
}

bool
feed_message(struct feed *f, const struct msg *m)
{
	if (m->type != MSG_RESYNC)
		return false;
	feed_restart(f);
	return true;
}

void
feed_drained(struct feed *f)
{
	feed_run(f);
}

void
feed_fresh(struct feed *f, uint64_t read_at, bool confirmed)
{
	f->fresh = (struct fresh){
		.known = true,
		.due = true,
		.confirmed = confirmed,
		.read_at = read_at,
	};
	feed_tell_fresh(f);
}

struct replica *
replica_new(const struct replica_ops *ops, void *arg)
{
	struct replica *r = xmalloc(sizeof(*r));

	*r = (struct replica){
		.ops = ops,
		.arg = arg,
		.have = table_new(),
		.staging = table_new(),
	};
	return r;
}

void
replica_free(struct replica *r)
{
	if (r == NULL)
		return;
	table_free(r->have);
	table_free(r->staging);
	free(r);
}

void
replica_attach(struct replica *r, struct channel *ch)
{
	table_clear(r->staging);
	r->ch = ch;
	r->state = REPLICA_LOST;
	r->asked = false;
}

static bool
snap_begin(struct replica *r, const struct msg *m)
{
	table_clear(r->staging);
	r->new_epoch = msg_u64(m, TAG_EPOCH);
	r->new_generation = m->generation;
	r->state = REPLICA_SNAPSHOT;
	r->asked = false;
	return r->new_epoch != 0;
}

static struct entry *
entry_of(const struct msg *m)
{
	struct tlv_field key = msg_field(m, TAG_KEY);
	struct tlv_field val = msg_field(m, TAG_VALUE);

	return entry_new(key.val, key.len, val.val, val.len);
}

static bool
snap_put(struct replica *r, const struct msg *m)
{
	struct tlv_field key = msg_field(m, TAG_KEY);

	if (m->generation != r->new_generation)
		return false;
	if (table_count(r->staging) >= LIMIT_SET_ENTRIES)
		return false;
	if (table_find(r->staging, key.val, key.len) != NULL)
		return false;
	table_put(r->staging, entry_of(m));
	return true;
}

/* Takes e over. The same bytes again are no news to ops. */
static bool
apply_put(struct replica *r, struct entry *e)
{
	struct entry *old = table_find(r->have, e->e.key, e->e.key_len);

	e->mark = r->serial;
	if (old != NULL && entry_value_is(old, e->e.val, e->e.val_len)) {
		old->mark = r->serial;
		free(e);
		return true;
	}
	if (!r->ops->put(&e->e, r->arg)) {
		free(e);
		return false;
	}
	table_put(r->have, e);
	return true;
}

static void
apply_del(struct replica *r, struct entry *e, bool named)
{
	table_take(r->have, e);
	r->ops->del(e->e.key, e->e.key_len, named, r->arg);
	free(e);
}

/* Nothing is deleted until all that is new was found good. */
static bool
apply_snapshot(struct replica *r)
{
	struct entry *e, *next;

	r->serial++;
	while ((e = table_first(r->staging)) != NULL) {
		table_take(r->staging, e);
		if (!apply_put(r, e))
			return false;
	}
	for (e = table_first(r->have); e != NULL; e = next) {
		next = table_next(e);
		if (e->mark != r->serial)
			apply_del(r, e, false);
	}
	return true;
}

static bool
snap_end(struct replica *r, const struct msg *m)
{
	bool changed = r->new_epoch != r->epoch;

	if (m->generation != r->new_generation ||
	    msg_u64(m, TAG_EPOCH) != r->new_epoch ||
	    msg_u32(m, TAG_COUNT) != table_count(r->staging))
		return false;
	if (!apply_snapshot(r))
		return false;
	r->epoch = r->new_epoch;
	r->generation = r->new_generation;
	r->state = REPLICA_IN_SYNC;
	if (r->ops->synced != NULL)
		r->ops->synced(changed, r->arg);
	return true;
}

static bool
delta_put(struct replica *r, const struct msg *m)
{
	struct tlv_field key = msg_field(m, TAG_KEY);

	if (table_count(r->have) >= LIMIT_SET_ENTRIES &&
	    table_find(r->have, key.val, key.len) == NULL)
		return false;
	return apply_put(r, entry_of(m));
}

static bool
delta_del(struct replica *r, const struct msg *m)
{
	struct tlv_field key = msg_field(m, TAG_KEY);
	struct entry *e = table_find(r->have, key.val, key.len);

	if (e == NULL)
		return false;
	apply_del(r, e, true);
	return true;
}

/* One RESYNC is enough: what comes before its snapshot is of no use. */
static bool
lost(struct replica *r)
{
	r->state = REPLICA_LOST;
	if (!r->asked && r->ch != NULL)
		channel_send(r->ch, MSG_RESYNC, 0, NULL, 0, -1);
	r->asked = true;
	return true;
}

static bool
delta(struct replica *r, const struct msg *m)
{
	if (m->generation != r->generation + 1)
		return lost(r);
	r->generation++;
	return m->type == MSG_PUT ? delta_put(r, m) : delta_del(r, m);
}

static bool
refuse(struct replica *r, const struct msg *m)
{
	(void)r;
	(void)m;
	return false;
}

static bool
ignore(struct replica *r, const struct msg *m)
{
	(void)m;
	return lost(r);
}

static bool
fresh(struct replica *r, const struct msg *m)
{
	if (r->ops->fresh != NULL)
		r->ops->fresh(msg_u64(m, TAG_READ_AT),
		    msg_u8(m, TAG_CONFIRMED) == 1, r->arg);
	return true;
}

/* Another one follows the snapshot. */
static bool
fresh_too_soon(struct replica *r, const struct msg *m)
{
	(void)r;
	(void)m;
	return true;
}

static bool (*const handlers[][MSG_MAX])(struct replica *,
    const struct msg *) = {
	[REPLICA_LOST] = {
		[MSG_SNAP_BEGIN] = snap_begin,
		[MSG_PUT] = ignore,
		[MSG_DEL] = ignore,
		[MSG_SNAP_END] = ignore,
		[MSG_FRESH] = fresh_too_soon,
	},
	[REPLICA_SNAPSHOT] = {
		[MSG_SNAP_BEGIN] = snap_begin,
		[MSG_PUT] = snap_put,
		[MSG_DEL] = refuse,
		[MSG_SNAP_END] = snap_end,
		[MSG_FRESH] = fresh_too_soon,
	},
	[REPLICA_IN_SYNC] = {
		[MSG_SNAP_BEGIN] = snap_begin,
		[MSG_PUT] = delta,
		[MSG_DEL] = delta,
		[MSG_SNAP_END] = refuse,
		[MSG_FRESH] = fresh,
	},
};

bool
replica_knows(const struct msg *m)
{
	return m->type < MSG_MAX && handlers[REPLICA_LOST][m->type] != NULL;
}

bool
replica_message(struct replica *r, const struct msg *m)
{
	return replica_knows(m) && handlers[r->state][m->type](r, m);
}

const struct set_entry *
replica_first(const struct replica *r)
{
	return public(table_first(r->have));
}

const struct set_entry *
replica_next(const struct replica *r, const struct set_entry *e)
{
	(void)r;
	return public(table_after(e));
}

size_t
replica_count(const struct replica *r)
{
	return table_count(r->have);
}
