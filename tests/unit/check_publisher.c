/* What is told is what state.h sends; here: when FRESH is due, and bounds. */
#include "workers/publisher.h"

#include <check.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define FRESH_MS 5000

static struct event_base *base;
static struct publisher *pub;
static struct replica *replica;
static struct channel *ends[2];
static struct {
	unsigned synced, fresh;
	uint64_t read_at;
	bool confirmed;
} told;

static bool
on_put(const struct set_entry *e, void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

static void
on_del(const void *key, size_t key_len, bool named, void *arg)
{
	(void)key;
	(void)key_len;
	(void)named;
	(void)arg;
}

static void
on_synced(bool new_epoch, void *arg)
{
	(void)new_epoch;
	(void)arg;
	told.synced++;
}

static void
on_fresh(uint64_t read_at, bool confirmed, void *arg)
{
	(void)arg;
	told.fresh++;
	told.read_at = read_at;
	told.confirmed = confirmed;
}

static const struct replica_ops ops = { on_put, on_del, on_synced, on_fresh };

static bool
on_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	return replica_message(replica, m);
}

static void
on_closed(struct channel *ch, const char *why, void *arg)
{
	(void)ch;
	(void)arg;
	ck_abort_msg("closed: %s", why != NULL ? why : "EOF");
}

static const struct channel_ops channel_ops = { on_message, on_closed, NULL };

static void
setup(void)
{
	int fds[2];

	memset(&told, 0, sizeof(told));
	base = event_base_new();
	ck_assert(channel_pair(fds));
	ends[0] = channel_new(base, fds[0], ROLE_KUBELET_READER,
	    ROLE_CONSUL_WRITER, &channel_ops, NULL);
	ends[1] = channel_new(base, fds[1], ROLE_CONSUL_WRITER,
	    ROLE_KUBELET_READER, &channel_ops, NULL);
	replica = replica_new(&ops, NULL);
	replica_attach(replica, ends[1]);
	pub = publisher_new(FRESH_MS);
	feed_attach(publisher_feed(pub), ends[0]);
}

static void
teardown(void)
{
	publisher_free(pub);
	replica_free(replica);
	channel_free(ends[0]);
	channel_free(ends[1]);
	event_base_free(base);
}

static void
run(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

START_TEST(says_nothing_before_it_is_complete)
{
	ck_assert(publisher_put(pub, "a", 1, "1", 1));
	run();
	ck_assert_uint_eq(told.synced, 0);
	publisher_complete(pub);
	run();
	ck_assert_uint_eq(told.synced, 1);
	ck_assert_uint_eq(replica_count(replica), 1);
	ck_assert_uint_eq(told.fresh, 0);
}
END_TEST

/* One read each: what changed before it, and whether FRESH follows. */
static const struct {
	uint64_t at;
	const char *put; /* the value of "a"; NULL: no change */
	bool confirmed;
	bool fresh;
} reads[] = {
	{ 100000, "1", false, true },
	{ 101000, NULL, false, false },
	{ 102000, "1", false, false },
	{ 103000, "2", false, true },
	{ 103000 + FRESH_MS - 1, NULL, false, false },
	{ 103000 + FRESH_MS, NULL, false, true },
	{ 108001, NULL, true, true },
	{ 108002, NULL, true, false },
	{ 108003, "", true, true }, /* deleted */
	{ 108004, "", true, false },
};

static void
change(const char *val)
{
	if (*val == '\0')
		publisher_del(pub, "a", 1);
	else
		ck_assert(publisher_put(pub, "a", 1, val, strlen(val)));
}

START_TEST(tells_when_it_was_read)
{
	for (size_t i = 0; i < COUNT(reads); i++) {
		told.fresh = 0;
		if (reads[i].put != NULL)
			change(reads[i].put);
		publisher_read(pub, reads[i].at, reads[i].confirmed);
		run();
		ck_assert_msg(told.fresh == reads[i].fresh, "read %zu", i);
		if (!reads[i].fresh)
			continue;
		ck_assert_uint_eq(told.read_at, reads[i].at);
		ck_assert_int_eq(told.confirmed, reads[i].confirmed);
	}
	ck_assert_uint_eq(told.synced, 1);
}
END_TEST

START_TEST(leaves_out_what_is_too_much)
{
	unsigned put = 0;
	char key[16];

	for (unsigned i = 0; i < LIMIT_SET_ENTRIES; i++) {
		snprintf(key, sizeof(key), "%u", i);
		put += publisher_put(pub, key, strlen(key), "1", 1);
	}
	ck_assert_uint_eq(put, LIMIT_SET_ENTRIES);
	ck_assert(!publisher_put(pub, "more", 4, "1", 1));
	ck_assert(publisher_put(pub, "7", 1, "2", 1));
	publisher_del(pub, "7", 1);
	ck_assert(publisher_put(pub, "more", 4, "1", 1));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("publisher");
	TCase *t = tcase_create("publisher");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, says_nothing_before_it_is_complete);
	tcase_add_test(t, tells_when_it_was_read);
	tcase_add_test(t, leaves_out_what_is_too_much);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
