#include <check.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/state.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* The producer's end. */
static struct {
	struct set *set;
	struct feed *feed;
	struct channel *ch;
	unsigned resyncs;
} from;

/* The receiver's end. */
static struct {
	struct replica *replica;
	struct channel *ch;
	struct set *mirror; /* what the replica's ops were told */
	unsigned puts, dels, named, synced, new_epochs, fresh;
	uint64_t read_at; /* of the last FRESH */
	bool confirmed;
	unsigned seen[MSG_MAX]; /* messages */
	unsigned closed;
	bool broken; /* closed with a reason */
	char bad_value; /* refused; 0: none */
} to;

static struct event_base *base;

static bool
replica_has(const void *key, size_t key_len)
{
	const struct set_entry *e = replica_first(to.replica);

	while (e != NULL &&
	    (e->key_len != key_len || memcmp(e->key, key, key_len) != 0))
		e = replica_next(to.replica, e);
	return e != NULL;
}

/* Only news are told: what is put differs, and what is deleted was there. */
static bool
mirror_put(const struct set_entry *e, void *arg)
{
	ck_assert_ptr_eq(arg, &to);
	if (to.bad_value != 0 && memchr(e->val, to.bad_value, e->val_len))
		return false;
	ck_assert(set_put(to.mirror, e->key, e->key_len, e->val, e->val_len));
	to.puts++;
	return true;
}

static void
mirror_del(const void *key, size_t key_len, bool named, void *arg)
{
	ck_assert_ptr_eq(arg, &to);
	ck_assert(!replica_has(key, key_len));
	ck_assert(set_del(to.mirror, key, key_len));
	to.dels++;
	to.named += named;
}

static void
mirror_synced(bool new_epoch, void *arg)
{
	ck_assert_ptr_eq(arg, &to);
	to.synced++;
	to.new_epochs += new_epoch;
}

static void check_same(void);

/* No test changes the set behind it: all that it is about was told. */
static void
mirror_fresh(uint64_t read_at, bool confirmed, void *arg)
{
	ck_assert_ptr_eq(arg, &to);
	check_same();
	to.read_at = read_at;
	to.confirmed = confirmed;
	to.fresh++;
}

static const struct replica_ops mirror_ops = { mirror_put, mirror_del,
	mirror_synced, mirror_fresh };

static bool
from_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	from.resyncs++;
	return feed_message(from.feed, m);
}

static void
from_drained(struct channel *ch, void *arg)
{
	(void)ch;
	(void)arg;
	feed_drained(from.feed);
}

static void
from_closed(struct channel *ch, const char *why, void *arg)
{
	(void)ch;
	(void)why;
	(void)arg;
	feed_attach(from.feed, NULL);
}

static bool
to_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	to.seen[m->type]++;
	return replica_message(to.replica, m);
}

static void
to_closed(struct channel *ch, const char *why, void *arg)
{
	(void)ch;
	(void)arg;
	to.closed++;
	to.broken = why != NULL;
	replica_attach(to.replica, NULL);
}

static const struct channel_ops from_ops = { from_message, from_closed,
	from_drained };
static const struct channel_ops to_ops = { to_message, to_closed, NULL };

static void
new_producer(void)
{
	feed_free(from.feed);
	set_free(from.set);
	from.set = set_new();
	from.feed = feed_new(from.set);
}

static void
unlink_ends(void)
{
	feed_attach(from.feed, NULL);
	replica_attach(to.replica, NULL);
	channel_free(from.ch);
	channel_free(to.ch);
	from.ch = to.ch = NULL;
}

/* sndbuf 0: as it is. */
static void
link_ends(int sndbuf)
{
	int fds[2];

	unlink_ends();
	ck_assert(channel_pair(fds));
	if (sndbuf > 0)
		ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF,
				     &sndbuf, sizeof(sndbuf)),
		    0);
	from.ch = channel_new(base, fds[0], ROLE_KUBELET_READER,
	    ROLE_CONSUL_WRITER, &from_ops, NULL);
	to.ch = channel_new(base, fds[1], ROLE_CONSUL_WRITER,
	    ROLE_KUBELET_READER, &to_ops, NULL);
	ck_assert(from.ch != NULL && to.ch != NULL);
	replica_attach(to.replica, to.ch);
	feed_attach(from.feed, from.ch);
}

static void
set_up(void)
{
	memset(&from, 0, sizeof(from));
	memset(&to, 0, sizeof(to));
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	new_producer();
	to.replica = replica_new(&mirror_ops, &to);
	to.mirror = set_new();
}

static void
tear_down(void)
{
	unlink_ends();
	feed_free(from.feed);
	set_free(from.set);
	replica_free(to.replica);
	set_free(to.mirror);
	event_base_free(base);
	libevent_global_shutdown();
}

#define RUN_UNTIL(cond) \
	while (!(cond)) \
	event_base_loop(base, EVLOOP_ONCE)

static void
run_dry(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static bool
put(const char *key, const char *val)
{
	return set_put(from.set, key, strlen(key), val, strlen(val));
}

static bool
del(const char *key)
{
	return set_del(from.set, key, strlen(key));
}

/* n entries of val_len bytes, with that byte. */
static void
put_many(unsigned n, char byte, size_t val_len)
{
	char key[16];
	char *val = malloc(val_len + 1);

	ck_assert_ptr_nonnull(val);
	memset(val, byte, val_len);
	val[val_len] = '\0';
	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		put(key, val);
	}
	free(val);
}

static bool
same_entry(const struct set_entry *x, const struct set_entry *y)
{
	return x->key_len == y->key_len && x->val_len == y->val_len &&
	    memcmp(x->key, y->key, x->key_len) == 0 &&
	    memcmp(x->val, y->val, x->val_len) == 0;
}

/* Replica, mirror and the producer's set hold the same. */
static void
check_same(void)
{
	const struct set_entry *r = replica_first(to.replica);
	const struct set_entry *m = set_first(to.mirror);
	const struct set_entry *s = set_first(from.set);

	ck_assert_uint_eq(replica_count(to.replica), set_count(from.set));
	ck_assert_uint_eq(set_count(to.mirror), set_count(from.set));
	while (s != NULL) {
		ck_assert(r != NULL && m != NULL);
		ck_assert(same_entry(s, r) && same_entry(s, m));
		s = set_next(from.set, s);
		r = replica_next(to.replica, r);
		m = set_next(to.mirror, m);
	}
	ck_assert(r == NULL && m == NULL);
}

/* A producer with a and b, and a receiver in sync. */
static void
sync_two(void)
{
	put("a", "1");
	put("b", "2");
	set_complete(from.set);
	link_ends(0);
	RUN_UNTIL(to.synced == 1);
	check_same();
}

START_TEST(a_set_is_ordered_by_bytes)
{
	static const struct {
		const char *key;
		size_t len;
	} keys[] = { { "\0", 1 }, { "\0\0", 2 }, { "a", 1 }, { "a\0", 2 },
		{ "aa", 2 }, { "b", 1 }, { "\xff", 1 } };
	const struct set_entry *e;
	size_t i = 0;

	for (size_t n = COUNT(keys); n > 0; n--)
		ck_assert(
		    set_put(from.set, keys[n - 1].key, keys[n - 1].len, "", 0));
	for (e = set_first(from.set); e != NULL; e = set_next(from.set, e)) {
		ck_assert_uint_eq(e->key_len, keys[i].len);
		ck_assert_mem_eq(e->key, keys[i].key, keys[i].len);
		i++;
	}
	ck_assert_uint_eq(i, COUNT(keys));
	ck_assert_uint_eq(set_count(from.set), COUNT(keys));
}
END_TEST

START_TEST(a_set_knows_what_changed)
{
	const struct set_entry *e;

	ck_assert(put("a", "1"));
	ck_assert(!put("a", "1"));
	ck_assert(put("a", "2"));
	ck_assert(put("a", ""));
	ck_assert(!put("a", ""));
	ck_assert(put("a", "22"));
	ck_assert_uint_eq(set_count(from.set), 1);
	e = set_get(from.set, "a", 1);
	ck_assert_ptr_nonnull(e);
	ck_assert_uint_eq(e->val_len, 2);
	ck_assert_mem_eq(e->val, "22", 2);
	ck_assert_ptr_null(set_get(from.set, "b", 1));
	ck_assert(del("a"));
	ck_assert(!del("a"));
	ck_assert_ptr_null(set_first(from.set));
}
END_TEST

/* The caller's bugs, each of which ends the process. */
static const struct {
	size_t key_len, val_len;
	unsigned entries;
} too_much[] = {
	{ 0, 1, 0 },
	{ LIMIT_SET_KEY + 1, 1, 0 },
	{ 1, LIMIT_SET_VALUE + 1, 0 },
	{ 1, 1, LIMIT_SET_ENTRIES },
};

START_TEST(a_set_has_limits)
{
	static const char bytes[LIMIT_SET_VALUE + 1] = "x";

	put_many(too_much[_i].entries, 'x', 1);
	/* What is there may still change. */
	if (too_much[_i].entries > 0)
		ck_assert(put("key-0", "other"));
	set_put(from.set, bytes, too_much[_i].key_len, bytes,
	    too_much[_i].val_len);
}
END_TEST

START_TEST(nothing_is_said_before_it_is_complete)
{
	link_ends(0);
	put("a", "1");
	run_dry();
	ck_assert_uint_eq(to.seen[MSG_SNAP_BEGIN] + to.seen[MSG_PUT], 0);
	ck_assert_uint_eq(to.synced, 0);
	set_complete(from.set);
	RUN_UNTIL(to.synced == 1);
	check_same();
	set_complete(from.set);
	run_dry();
	ck_assert_uint_eq(to.synced, 1);
}
END_TEST

START_TEST(an_empty_set_is_a_truth_too)
{
	set_complete(from.set);
	link_ends(0);
	RUN_UNTIL(to.synced == 1);
	ck_assert_uint_eq(replica_count(to.replica), 0);
	ck_assert_uint_eq(to.new_epochs, 1);
}
END_TEST

START_TEST(deltas_follow_at_once)
{
	sync_two();
	ck_assert_uint_eq(to.seen[MSG_PUT], 2);
	put("c", "3");
	RUN_UNTIL(to.seen[MSG_PUT] == 3);
	put("a", "4");
	put("a", "4");
	RUN_UNTIL(to.seen[MSG_PUT] == 4);
	del("b");
	del("b");
	RUN_UNTIL(to.seen[MSG_DEL] == 1);
	run_dry();
	check_same();
	ck_assert_uint_eq(to.puts, 4);
	ck_assert_uint_eq(to.dels, 1);
	ck_assert_uint_eq(to.named, 1);
	ck_assert_uint_eq(to.synced, 1);
	ck_assert_uint_eq(to.seen[MSG_SNAP_BEGIN], 1);
	ck_assert_uint_eq(from.resyncs, 0);
}
END_TEST

START_TEST(the_largest_entry_passes)
{
	static char key[LIMIT_SET_KEY], val[LIMIT_SET_VALUE];

	sync_two();
	memset(key, 'k', sizeof(key));
	memset(val, 'v', sizeof(val));
	ck_assert(set_put(from.set, key, sizeof(key), val, sizeof(val)));
	RUN_UNTIL(to.puts == 3);
	check_same();
}
END_TEST

START_TEST(the_end_of_a_link_deletes_nothing)
{
	sync_two();
	channel_free(from.ch);
	from.ch = NULL;
	feed_attach(from.feed, NULL);
	RUN_UNTIL(to.closed == 1);
	ck_assert(!to.broken);
	ck_assert_uint_eq(replica_count(to.replica), 2);
	ck_assert_uint_eq(to.dels, 0);
	/* Changes while there is no link, then a new one: only they are told. */
	put("a", "9");
	del("b");
	link_ends(0);
	RUN_UNTIL(to.synced == 2);
	check_same();
	ck_assert_uint_eq(to.puts, 3);
	ck_assert_uint_eq(to.dels, 1);
	ck_assert_uint_eq(to.named, 0);
	ck_assert_uint_eq(to.new_epochs, 1);
}
END_TEST

START_TEST(another_producer_is_another_epoch)
{
	sync_two();
	unlink_ends();
	new_producer();
	put("b", "2");
	put("c", "3");
	link_ends(0);
	run_dry();
	/* It does not know all yet. */
	ck_assert_uint_eq(to.synced, 1);
	ck_assert_uint_eq(replica_count(to.replica), 2);
	set_complete(from.set);
	RUN_UNTIL(to.synced == 2);
	check_same();
	ck_assert_uint_eq(to.new_epochs, 2);
	ck_assert_uint_eq(to.puts, 3);
	ck_assert_uint_eq(to.dels, 1);
}
END_TEST

/* A PUT of the producer's channel that its feed knows nothing of. */
static void
stray_put(uint64_t generation)
{
	static const uint8_t body[] = { 0, TAG_KEY, 0, 1, 'z', 0, TAG_VALUE, 0,
		1, 'z' };

	ck_assert(
	    channel_send(from.ch, MSG_PUT, generation, body, sizeof(body), -1));
}

START_TEST(a_gap_asks_once_for_all)
{
	sync_two();
	stray_put(100);
	stray_put(200);
	stray_put(3);
	RUN_UNTIL(to.synced == 2);
	ck_assert_uint_eq(from.resyncs, 1);
	check_same();
	put("c", "3");
	RUN_UNTIL(to.puts == 3);
	check_same();
	/* And for the next one, again. */
	stray_put(100);
	RUN_UNTIL(to.synced == 3);
	ck_assert_uint_eq(from.resyncs, 2);
	ck_assert_uint_eq(to.new_epochs, 1);
	check_same();
}
END_TEST

START_TEST(deltas_before_a_snapshot_ask_for_it)
{
	link_ends(0);
	stray_put(1);
	stray_put(2);
	RUN_UNTIL(from.resyncs == 1);
	run_dry();
	ck_assert_uint_eq(from.resyncs, 1);
	ck_assert_uint_eq(to.puts, 0);
	ck_assert(!to.broken);
}
END_TEST

START_TEST(a_slow_receiver_costs_a_snapshot_not_a_queue)
{
	link_ends(4096);
	put_many(5000, 'x', 500);
	set_complete(from.set);
	ck_assert_uint_lt(channel_queued(from.ch),
	    LIMIT_CHANNEL_QUEUE + LIMIT_PACKET);
	RUN_UNTIL(to.synced == 1);
	check_same();
	ck_assert_uint_eq(to.seen[MSG_SNAP_BEGIN], 1);
	/* In sync, it is not read while more changes than fit the queue. */
	for (char c = 'a'; c < 'e'; c++) {
		put_many(5000, c, 500);
		ck_assert_uint_lt(channel_queued(from.ch),
		    LIMIT_CHANNEL_QUEUE + LIMIT_PACKET);
	}
	RUN_UNTIL(to.synced == 2);
	check_same();
	ck_assert_uint_eq(to.seen[MSG_SNAP_BEGIN], 2);
	ck_assert_uint_eq(from.resyncs, 0);
	/* And deltas again. */
	put("last", "1");
	RUN_UNTIL(to.puts > 0 && replica_count(to.replica) == 5001);
	check_same();
	ck_assert_uint_eq(to.synced, 2);
}
END_TEST

START_TEST(a_change_during_a_snapshot_starts_it_anew)
{
	put_many(5000, 'x', 500);
	set_complete(from.set);
	link_ends(4096);
	ck_assert_uint_ge(channel_queued(from.ch), LIMIT_CHANNEL_QUEUE);
	RUN_UNTIL(to.seen[MSG_PUT] > 10);
	/* Each of these touches what the feed is about to send. */
	for (unsigned i = 0; i < 5000; i += 7) {
		char key[16];

		snprintf(key, sizeof(key), "key-%u", i);
		ck_assert(i % 2 == 0 ? del(key) : put(key, "new"));
	}
	RUN_UNTIL(to.synced == 1);
	check_same();
	ck_assert_uint_eq(to.seen[MSG_SNAP_BEGIN], 2);
	ck_assert_uint_eq(to.seen[MSG_SNAP_END], 1);
	ck_assert_uint_eq(to.dels, 0);
	ck_assert_uint_eq(from.resyncs, 0);
}
END_TEST

START_TEST(fresh_follows_deltas)
{
	sync_two();
	put("c", "3");
	del("a");
	feed_fresh(from.feed, 7, false);
	feed_fresh(from.feed, 8, true);
	RUN_UNTIL(to.fresh == 2);
	ck_assert_uint_eq(to.read_at, 8);
	ck_assert(to.confirmed);
}
END_TEST

/* The queue is full: what changed comes by a snapshot, FRESH behind it. */
START_TEST(fresh_waits_for_a_slow_receiver)
{
	put_many(5000, 'x', 500);
	set_complete(from.set);
	feed_fresh(from.feed, 1, false);
	link_ends(4096);
	RUN_UNTIL(to.fresh == 1);
	put_many(5000, 'y', 500);
	feed_fresh(from.feed, 2, false);
	put("last", "1");
	del("key-7");
	feed_fresh(from.feed, 3, true);
	RUN_UNTIL(to.fresh == 2);
	ck_assert_uint_eq(to.read_at, 3);
	ck_assert(to.confirmed);
	ck_assert_uint_eq(to.synced, 2);
}
END_TEST

START_TEST(fresh_waits_for_the_end_of_a_snapshot)
{
	put_many(5000, 'x', 500);
	set_complete(from.set);
	link_ends(4096);
	RUN_UNTIL(to.seen[MSG_PUT] > 10);
	feed_fresh(from.feed, 1, true);
	RUN_UNTIL(to.fresh == 1);
	ck_assert_uint_eq(to.seen[MSG_SNAP_END], 1);
}
END_TEST

START_TEST(fresh_is_said_to_whoever_starts_anew)
{
	set_complete(from.set);
	feed_fresh(from.feed, 1, true);
	sync_two();
	RUN_UNTIL(to.fresh == 1);
	link_ends(0);
	RUN_UNTIL(to.fresh == 2);
	stray_put(100);
	RUN_UNTIL(to.fresh == 3);
	ck_assert_uint_eq(from.resyncs, 1);
	ck_assert_uint_eq(to.read_at, 1);
}
END_TEST

/* A receiver that lost its way hears it behind the next snapshot. */
START_TEST(fresh_about_an_old_copy_is_none)
{
	sync_two();
	stray_put(100);
	feed_fresh(from.feed, 1, true);
	RUN_UNTIL(to.seen[MSG_FRESH] == 1);
	ck_assert_uint_eq(to.fresh, 0);
	RUN_UNTIL(to.fresh == 1);
	ck_assert_uint_eq(to.synced, 2);
}
END_TEST

START_TEST(a_link_that_ends_in_a_snapshot_leaves_the_old_state)
{
	sync_two();
	put_many(5000, 'x', 500);
	del("a");
	link_ends(4096);
	RUN_UNTIL(to.seen[MSG_PUT] > 100);
	ck_assert_uint_eq(replica_count(to.replica), 2);
	link_ends(0);
	RUN_UNTIL(to.synced == 2);
	check_same();
	ck_assert_uint_eq(to.dels, 1);
}
END_TEST

START_TEST(a_resync_during_a_snapshot_starts_it_anew)
{
	put_many(5000, 'x', 500);
	set_complete(from.set);
	link_ends(4096);
	ck_assert(channel_send(to.ch, MSG_RESYNC, 0, NULL, 0, -1));
	RUN_UNTIL(to.synced == 1);
	check_same();
	ck_assert_uint_eq(to.seen[MSG_SNAP_BEGIN], 2);
}
END_TEST

START_TEST(a_feed_without_a_link_holds_nobody_up)
{
	struct feed *second = feed_new(from.set);

	sync_two();
	feed_drained(second);
	put("c", "3");
	RUN_UNTIL(to.puts == 3);
	feed_free(second);
	del("a");
	RUN_UNTIL(to.dels == 1);
	check_same();
}
END_TEST

START_TEST(a_feed_takes_only_resync)
{
	struct msg m = { .type = MSG_PUT, .fd = -1 };

	ck_assert(!feed_message(from.feed, &m));
	m.type = MSG_RESYNC;
	/* Without a link or a complete set there is nothing to do. */
	ck_assert(feed_message(from.feed, &m));
}
END_TEST

/* One message for the replica, and whether it is taken. */
struct step {
	enum msg_type type; /* 0: no more steps */
	uint64_t generation;
	uint64_t epoch;
	uint32_t count;
	const char *key;
	const char *val;
};

#define BEGIN(g, e) \
	{ \
		MSG_SNAP_BEGIN, (g), (e), 0, NULL, NULL \
	}
#define PUT(g, k, v) \
	{ \
		MSG_PUT, (g), 0, 0, (k), (v) \
	}
#define DEL(g, k) \
	{ \
		MSG_DEL, (g), 0, 0, (k), NULL \
	}
#define END(g, e, n) \
	{ \
		MSG_SNAP_END, (g), (e), (n), NULL, NULL \
	}
#define SNAP_OF_A(e) BEGIN(5, e), PUT(5, "a", "1"), END(5, e, 1)

/* The last step of each decides; those before it are taken. */
static const struct {
	const char *what;
	bool good;
	const char *keys; /* that the replica holds in the end, one letter */
	struct step steps[10];
} plays[] = {
	{ "a snapshot", true, "a", { SNAP_OF_A(1) } },
	{ "an empty one", true, "", { BEGIN(0, 1), END(0, 1, 0) } },
	{ "one more replaces it", true, "b",
	    { SNAP_OF_A(1), BEGIN(6, 1), PUT(6, "b", "1"), END(6, 1, 1) } },
	{ "another epoch may count from anew", true, "b",
	    { SNAP_OF_A(1), BEGIN(1, 2), PUT(1, "b", "1"), END(1, 2, 1) } },
	{ "a begin drops what was begun", true, "b",
	    { BEGIN(5, 1), PUT(5, "a", "1"), BEGIN(6, 1), PUT(6, "b", "1"),
		END(6, 1, 1) } },
	{ "not applied before its end", true, "a",
	    { SNAP_OF_A(1), BEGIN(9, 1), PUT(9, "b", "1") } },
	{ "deltas", true, "b",
	    { SNAP_OF_A(1), PUT(6, "b", "1"), DEL(7, "a") } },
	{ "a gap waits", true, "a",
	    { SNAP_OF_A(1), PUT(7, "b", "1"), PUT(8, "c", "1"), DEL(9, "x"),
		END(9, 1, 0) } },
	{ "the same delta again", true, "ab",
	    { SNAP_OF_A(1), PUT(6, "b", "1"), PUT(6, "c", "1") } },
	{ "count too low", false, "",
	    { BEGIN(5, 1), PUT(5, "a", "1"), END(5, 1, 0) } },
	{ "count too high", false, "a",
	    { SNAP_OF_A(1), BEGIN(6, 1), PUT(6, "b", "1"), END(6, 1, 2) } },
	{ "end of another epoch", false, "a",
	    { SNAP_OF_A(1), BEGIN(6, 2), END(6, 1, 0) } },
	{ "end of another generation", false, "a",
	    { SNAP_OF_A(1), BEGIN(6, 1), END(7, 1, 0) } },
	{ "entry of another generation", false, "a",
	    { SNAP_OF_A(1), BEGIN(6, 1), PUT(7, "b", "1") } },
	{ "a key twice", false, "",
	    { BEGIN(5, 1), PUT(5, "a", "1"), PUT(5, "a", "1") } },
	{ "del in a snapshot", false, "",
	    { BEGIN(5, 1), PUT(5, "a", "1"), DEL(5, "a") } },
	{ "end without a begin", false, "a", { SNAP_OF_A(1), END(5, 1, 1) } },
	{ "epoch 0", false, "", { BEGIN(5, 0) } },
	{ "del of what is not there", false, "a",
	    { SNAP_OF_A(1), DEL(6, "b") } },
	{ "a bad value in a delta", false, "a",
	    { SNAP_OF_A(1), PUT(6, "b", "!") } },
	{ "a bad new value in a delta", false, "a",
	    { SNAP_OF_A(1), PUT(6, "a", "!") } },
	/* What is good before it counts, but nothing is deleted. */
	{ "a bad value in a snapshot", false, "ab",
	    { SNAP_OF_A(1), BEGIN(6, 1), PUT(6, "b", "1"), PUT(6, "c", "!"),
		PUT(6, "d", "1"), END(6, 1, 3) } },
	{ "not a message for a replica", false, "a",
	    { SNAP_OF_A(1), { .type = MSG_RESYNC } } },
};

static bool
play(const struct step *s)
{
	uint8_t body[64];
	struct tlv_writer w;
	struct msg m = { .type = s->type, .generation = s->generation };

	tlv_writer_init(&w, body, sizeof(body));
	if (s->type == MSG_SNAP_BEGIN || s->type == MSG_SNAP_END)
		tlv_put_u64(&w, TAG_EPOCH, s->epoch);
	if (s->type == MSG_SNAP_END)
		tlv_put_u32(&w, TAG_COUNT, s->count);
	if (s->key != NULL)
		tlv_put_str(&w, TAG_KEY, s->key);
	if (s->val != NULL)
		tlv_put_str(&w, TAG_VALUE, s->val);
	m.body = body;
	m.len = w.len;
	m.fd = -1;
	return replica_message(to.replica, &m);
}

START_TEST(a_replica_takes_only_what_agrees)
{
	const struct step *s = plays[_i].steps;
	const struct set_entry *e;
	char keys[16] = "";

	to.bad_value = '!';
	for (; s[1].type != 0; s++)
		ck_assert_msg(play(s), "%s", plays[_i].what);
	ck_assert_msg(play(s) == plays[_i].good, "%s", plays[_i].what);
	for (e = replica_first(to.replica); e != NULL;
	     e = replica_next(to.replica, e)) {
		strncat(keys, e->key, 1);
		ck_assert_ptr_nonnull(set_get(to.mirror, e->key, e->key_len));
	}
	ck_assert_msg(strcmp(keys, plays[_i].keys) == 0, "%s: holds %s",
	    plays[_i].what, keys);
	ck_assert_uint_eq(set_count(to.mirror), strlen(keys));
}
END_TEST

START_TEST(what_a_bad_snapshot_hid_is_told_later)
{
	static const struct step bad[] = { SNAP_OF_A(1), BEGIN(6, 1),
		PUT(6, "b", "1"), PUT(6, "c", "!"), PUT(6, "d", "1"),
		END(6, 1, 3) };
	static const struct step good[] = { BEGIN(7, 1), PUT(7, "b", "1"),
		PUT(7, "c", "2"), END(7, 1, 2) };

	to.bad_value = '!';
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert(play(&bad[i]) == (i + 1 < COUNT(bad)));
	replica_attach(to.replica, NULL);
	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert(play(&good[i]));
	ck_assert_uint_eq(replica_count(to.replica), 2);
	ck_assert_uint_eq(set_count(to.mirror), 2);
	ck_assert_uint_eq(to.dels, 1);
}
END_TEST

/* By a snapshot, and by a delta. */
START_TEST(a_replica_has_a_limit)
{
	uint64_t g = 5;
	struct step s = BEGIN(5, 1);
	char key[16];

	ck_assert(play(&s));
	for (unsigned i = 0; i < LIMIT_SET_ENTRIES; i++) {
		snprintf(key, sizeof(key), "%u", i);
		s = (struct step)PUT(5, key, "1");
		ck_assert(play(&s));
	}
	if (_i == 1) {
		s = (struct step)END(5, 1, LIMIT_SET_ENTRIES);
		ck_assert(play(&s));
		/* Changes of what is there go on. */
		s = (struct step)PUT(++g, "0", "2");
		ck_assert(play(&s));
		g++;
	}
	s = (struct step)PUT(g, "one more", "1");
	ck_assert(!play(&s));
}
END_TEST

/* The next of a fixed row of numbers, 0..n-1. */
static unsigned
dice(unsigned n)
{
	static uint32_t x = 12345;

	x = x * 1664525 + 1013904223;
	return (x >> 8) % n;
}

static void
random_change(void)
{
	char key[8];
	static char val[4000];

	snprintf(key, sizeof(key), "%u", dice(400));
	if (dice(3) == 0) {
		del(key);
		return;
	}
	memset(val, 'a' + (int)dice(4), sizeof(val));
	set_put(from.set, key, strlen(key), val, dice(sizeof(val)));
}

static void
random_trouble(void)
{
	switch (dice(20)) {
	case 0:
		link_ends(8192);
		break;
	case 1:
		stray_put(dice(1000) + 100000);
		break;
	case 2:
		unlink_ends();
		new_producer();
		link_ends(0);
		set_complete(from.set);
		break;
	default:
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

START_TEST(whatever_happens_both_agree_in_the_end)
{
	set_complete(from.set);
	link_ends(8192);
	for (unsigned i = 0; i < 500; i++) {
		for (unsigned n = dice(100); n > 0; n--)
			random_change();
		random_trouble();
		ck_assert(!to.broken);
		ck_assert_uint_lt(channel_queued(from.ch),
		    LIMIT_CHANNEL_QUEUE + LIMIT_PACKET);
	}
	put("the end", "");
	RUN_UNTIL(replica_has("the end", 7));
	check_same();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("state");
	TCase *t = tcase_create("state");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_set_is_ordered_by_bytes);
	tcase_add_test(t, a_set_knows_what_changed);
	tcase_add_loop_exit_test(t, a_set_has_limits, 1, 0, COUNT(too_much));
	tcase_add_test(t, nothing_is_said_before_it_is_complete);
	tcase_add_test(t, an_empty_set_is_a_truth_too);
	tcase_add_test(t, deltas_follow_at_once);
	tcase_add_test(t, the_largest_entry_passes);
	tcase_add_test(t, the_end_of_a_link_deletes_nothing);
	tcase_add_test(t, another_producer_is_another_epoch);
	tcase_add_test(t, a_gap_asks_once_for_all);
	tcase_add_test(t, deltas_before_a_snapshot_ask_for_it);
	tcase_add_test(t, a_slow_receiver_costs_a_snapshot_not_a_queue);
	tcase_add_test(t, a_change_during_a_snapshot_starts_it_anew);
	tcase_add_test(t, fresh_follows_deltas);
	tcase_add_test(t, fresh_waits_for_a_slow_receiver);
	tcase_add_test(t, fresh_waits_for_the_end_of_a_snapshot);
	tcase_add_test(t, fresh_is_said_to_whoever_starts_anew);
	tcase_add_test(t, fresh_about_an_old_copy_is_none);
	tcase_add_test(t, a_link_that_ends_in_a_snapshot_leaves_the_old_state);
	tcase_add_test(t, a_resync_during_a_snapshot_starts_it_anew);
	tcase_add_test(t, a_feed_without_a_link_holds_nobody_up);
	tcase_add_test(t, a_feed_takes_only_resync);
	tcase_add_loop_test(t, a_replica_takes_only_what_agrees, 0,
	    COUNT(plays));
	tcase_add_test(t, what_a_bad_snapshot_hid_is_told_later);
	tcase_add_loop_test(t, a_replica_has_a_limit, 0, 2);
	tcase_add_test(t, whatever_happens_both_agree_in_the_end);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
