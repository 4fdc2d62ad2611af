/*
 * How fast fields, channels and keyed sets are. Not a test: prints figures.
 * bench_state [SO_SNDBUF]
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/state.h"

#define FIELD_ROUNDS 2000000
#define VALUE_LEN    400 /* of a service, about */
#define DELTAS       500000
#define SNAPSHOTS    20

static const unsigned sizes[] = { 500, 5000, 50000 };

static struct event_base *base;
static struct feed *feed;

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
bench_fields(void)
{
	static const struct tlv_rule rules[] = {
		{ .tag = 1, .type = TLV_STR, .max = 64 },
		{ .tag = 2, .type = TLV_U64 },
		{ .tag = 3, .type = TLV_U16 },
		{ .tag = 4, .type = TLV_BYTES, .max = VALUE_LEN },
	};
	const unsigned n = sizeof(rules) / sizeof(*rules);
	static uint8_t buf[1024], val[VALUE_LEN];
	struct tlv_field f[sizeof(rules) / sizeof(*rules)];
	struct tlv_writer w = { 0 };
	uint64_t sum = 0;
	double start = now_s(), put;

	for (unsigned i = 0; i < FIELD_ROUNDS; i++) {
		tlv_writer_init(&w, buf, sizeof(buf));
		tlv_put_str(&w, 1, "katalog-sync_web_shop_web-1");
		tlv_put_u64(&w, 2, i);
		tlv_put_u16(&w, 3, 8080);
		tlv_put(&w, 4, val, sizeof(val));
	}
	put = now_s();
	for (unsigned i = 0; i < FIELD_ROUNDS; i++) {
		if (!tlv_parse(buf, w.len, rules, n, f))
			fatalx("the fields cannot be read");
		sum += tlv_u64(&f[1]);
	}
	printf("fields: put %.1f ns, parse %.1f ns each (%llu)\n",
	    (put - start) * 1e9 / FIELD_ROUNDS / n,
	    (now_s() - put) * 1e9 / FIELD_ROUNDS / n,
	    (unsigned long long)sum % 10);
}

/*
 * The receiving process: a replica that asks for so many snapshots; with 0 it
 * takes deltas until the key "end".
 */
static struct replica *replica;
static struct channel *to;
static unsigned snapshots_left;

static bool
take(const struct set_entry *e, void *arg)
{
	(void)arg;
	if (e->key_len == 3 && memcmp(e->key, "end", 3) == 0)
		event_base_loopbreak(base);
	return true;
}

static void
drop(const void *key, size_t key_len, bool named, void *arg)
{
	(void)key;
	(void)key_len;
	(void)named;
	(void)arg;
}

static void
again(bool new_epoch, void *arg)
{
	(void)new_epoch;
	(void)arg;
	if (snapshots_left == 0)
		return;
	if (--snapshots_left > 0)
		channel_send(to, MSG_RESYNC, 0, NULL, 0, -1);
	else
		event_base_loopbreak(base);
}

static const struct replica_ops replica_ops = { .put = take,
	.del = drop,
	.synced = again };

static bool
to_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	return replica_message(replica, m);
}

static bool
from_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	return feed_message(feed, m);
}

static void
from_drained(struct channel *ch, void *arg)
{
	(void)ch;
	(void)arg;
	feed_drained(feed);
}

static void
closed(struct channel *ch, const char *why, void *arg)
{
	(void)ch;
	(void)arg;
	if (why != NULL)
		fatalx("channel: %s", why);
	event_base_loopbreak(base);
}

static const struct channel_ops to_ops = { to_message, closed, NULL };
static const struct channel_ops from_ops = { from_message, closed,
	from_drained };

static void
receive(int fd, unsigned snapshots)
{
	base = event_base_new();
	snapshots_left = snapshots;
	replica = replica_new(&replica_ops, NULL);
	to = channel_new(base, fd, ROLE_CONSUL_WRITER, ROLE_KUBELET_READER,
	    &to_ops, NULL);
	replica_attach(replica, to);
	event_base_dispatch(base);
	_exit(0);
}

static void
put(struct set *s, unsigned i, unsigned stamp)
{
	char key[64], val[VALUE_LEN] = "";

	snprintf(key, sizeof(key), "katalog-sync_web_shop_web-%u", i);
	snprintf(val, sizeof(val), "%u", stamp);
	set_put(s, key, strlen(key), val, sizeof(val));
}

/* A set of n, its feed, and a process with a replica of it. */
static struct set *
produce(unsigned n, unsigned snapshots, int sndbuf, struct channel **ch)
{
	struct set *s = set_new();
	int fds[2];

	for (unsigned i = 0; i < n; i++)
		put(s, i, 0);
	set_complete(s);
	if (!channel_pair(fds))
		fatal("cannot make a channel");
	if (sndbuf > 0)
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &sndbuf,
		    sizeof(sndbuf));
	if (fork() == 0) {
		close(fds[0]);
		receive(fds[1], snapshots);
	}
	close(fds[1]);
	base = event_base_new();
	*ch = channel_new(base, fds[0], ROLE_KUBELET_READER, ROLE_CONSUL_WRITER,
	    &from_ops, NULL);
	feed = feed_new(s);
	return s;
}

static void
end(struct set *s, struct channel *ch)
{
	feed_free(feed);
	set_free(s);
	channel_free(ch);
	event_base_free(base);
	wait(NULL);
}

static void
bench_snapshots(unsigned n, int sndbuf)
{
	struct channel *ch;
	struct set *s = produce(n, SNAPSHOTS, sndbuf, &ch);
	double start = now_s(), took;

	feed_attach(feed, ch);
	event_base_dispatch(base);
	took = now_s() - start;
	printf("snapshot of %u: %.1f ms, %.0f messages/s\n", n,
	    took * 1e3 / SNAPSHOTS, n * SNAPSHOTS / took);
	end(s, ch);
}

static void
bench_deltas(int sndbuf)
{
	struct channel *ch;
	struct set *s = produce(500, 0, sndbuf, &ch);
	double start, took;

	feed_attach(feed, ch);
	start = now_s();
	for (unsigned i = 0; i < DELTAS; i++) {
		put(s, i % 500, i);
		while (channel_queued(ch) > LIMIT_CHANNEL_QUEUE / 2)
			event_base_loop(base, EVLOOP_ONCE);
	}
	set_put(s, "end", 3, "", 0);
	event_base_dispatch(base);
	took = now_s() - start;
	printf("deltas: %.0f messages/s\n", DELTAS / took);
	end(s, ch);
}

int
main(int argc, char **argv)
{
	int sndbuf = argc > 1 ? atoi(argv[1]) : 0;

	bench_fields();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		bench_snapshots(sizes[i], sndbuf);
	bench_deltas(sndbuf);
	return 0;
}
