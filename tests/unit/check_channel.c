#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What one end was told. */
struct end {
	struct channel *ch;
	unsigned messages;
	unsigned closed;
	unsigned drained;
	uint64_t generation; /* of the last message */
	uint8_t first; /* byte of its value */
	int fd; /* of the last message that had one */
	bool clean; /* closed() without a reason */
	char why[200];
	/* What it does. */
	bool refuse;
	bool free_in_message;
	bool free_in_closed;
	bool free_in_drained;
};

static struct event_base *base;
static struct end a, b;
static int errors; /* logged */

static void
forget(struct end *e)
{
	channel_free(e->ch);
	e->ch = NULL;
}

static bool
on_message(struct channel *ch, const struct msg *m, void *arg)
{
	struct end *e = arg;
	struct tlv_field val = msg_field(m, TAG_VALUE);

	ck_assert_ptr_eq(ch, e->ch);
	e->messages++;
	e->generation = m->generation;
	if (m->fd >= 0)
		e->fd = m->fd;
	if (e->free_in_message)
		forget(e);
	/* After that, too: the body is still ours. */
	if (val.val != NULL && val.len > 0)
		e->first = val.val[0];
	return !e->refuse;
}

static void
on_closed(struct channel *ch, const char *why, void *arg)
{
	struct end *e = arg;

	ck_assert_ptr_eq(ch, e->ch);
	e->closed++;
	e->clean = why == NULL;
	strncpy(e->why, why != NULL ? why : "", sizeof(e->why) - 1);
	if (e->free_in_closed)
		forget(e);
}

static void
on_drained(struct channel *ch, void *arg)
{
	struct end *e = arg;

	ck_assert_ptr_eq(ch, e->ch);
	ck_assert_uint_eq(channel_queued(ch), 0);
	e->drained++;
	if (e->free_in_drained)
		forget(e);
}

static const struct channel_ops ops = { on_message, on_closed, on_drained };

static void
count_errors(enum log_level level, const char *line, void *arg)
{
	(void)line;
	(void)arg;
	errors += level == LOG_LVL_ERROR;
}

static void
set_up(void)
{
	log_set_sink(count_errors, NULL);
	a = b = (struct end){ .fd = -1 };
	errors = 0;
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
}

static void
tear_down(void)
{
	forget(&a);
	forget(&b);
	if (a.fd >= 0)
		close(a.fd);
	if (b.fd >= 0)
		close(b.fd);
	event_base_free(base);
	libevent_global_shutdown();
}

/* a of one role, b of another, linked. */
static void
link_up(enum role ra, enum role rb)
{
	int fds[2];

	ck_assert(channel_pair(fds));
	a.ch = channel_new(base, fds[0], ra, rb, &ops, &a);
	b.ch = channel_new(base, fds[1], rb, ra, &ops, &b);
	ck_assert(a.ch != NULL && b.ch != NULL);
	ck_assert_int_eq(channel_peer(a.ch), rb);
}

/* b is a channel; the other end is for raw packets of the given role. */
static int
link_raw(enum role raw, enum role rb)
{
	int fds[2];

	ck_assert(channel_pair(fds));
	b.ch = channel_new(base, fds[1], rb, raw, &ops, &b);
	ck_assert_ptr_nonnull(b.ch);
	return fds[0];
}

/* The test's own time limit ends what never comes true. */
#define RUN_UNTIL(cond) \
	while (!(cond)) \
	event_base_loop(base, EVLOOP_ONCE)

static void
run_dry(void)
{
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static size_t
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* A PUT whose value has len bytes of that kind. */
static bool
put(struct end *e, uint64_t generation, uint8_t byte, size_t len)
{
	static uint8_t body[PROTO_BODY_MAX], val[LIMIT_SET_VALUE];
	struct tlv_writer w;

	memset(val, byte, len);
	tlv_writer_init(&w, body, sizeof(body));
	tlv_put(&w, TAG_KEY, "k", 1);
	tlv_put(&w, TAG_VALUE, val, len);
	return channel_send_tlv(e->ch, MSG_PUT, generation, &w, -1);
}

/* Puts until something waits; returns how many. */
static unsigned
put_until_queued(struct end *e, size_t len)
{
	unsigned n = 0;

	while (channel_queued(e->ch) == 0) {
		n++;
		ck_assert(put(e, n, (uint8_t)n, len));
	}
	return n;
}

START_TEST(messages_arrive_as_sent)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert(put(&a, 1ULL << (20 * i), (uint8_t)i, 100 * i));
		RUN_UNTIL(b.messages == i);
		ck_assert_uint_eq(b.generation, 1ULL << (20 * i));
		ck_assert_uint_eq(b.first, i);
	}
	ck_assert(channel_send(b.ch, MSG_RESYNC, 0, NULL, 0, -1));
	RUN_UNTIL(a.messages == 1);
	ck_assert_uint_eq(a.closed + b.closed, 0);
	ck_assert_uint_eq(channel_queued(a.ch), 0);
	/* Nothing ever waited. */
	ck_assert_uint_eq(a.drained, 0);
}
END_TEST

START_TEST(the_largest_message_passes)
{
	static uint8_t body[PROTO_BODY_MAX + 1];

	link_up(ROLE_SUPERVISOR, ROLE_HTTP);
	ck_assert(channel_send(a.ch, MSG_CONFIG, 0, body, PROTO_BODY_MAX, -1));
	RUN_UNTIL(b.messages == 1);
	ck_assert(!channel_send(a.ch, MSG_CONFIG, 0, body, sizeof(body), -1));
	ck_assert_int_eq(errors, 1);
}
END_TEST

START_TEST(knows_what_is_unread)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	ck_assert(!channel_unread(b.ch));
	put(&a, 1, 1, 1);
	put(&a, 2, 1, 1);
	ck_assert(channel_unread(b.ch));
	RUN_UNTIL(b.messages == 2);
	ck_assert(!channel_unread(b.ch));
	forget(&a);
	ck_assert(channel_unread(b.ch));
	RUN_UNTIL(b.closed == 1);
	ck_assert(!channel_unread(b.ch));
}
END_TEST

START_TEST(what_does_not_fit_waits_in_order)
{
	unsigned n;
	size_t queued;

	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	n = put_until_queued(&a, 5000);
	queued = channel_queued(a.ch);
	ck_assert_uint_gt(queued, 5000);
	n++;
	ck_assert(put(&a, n, (uint8_t)n, 5000));
	ck_assert_uint_eq(channel_queued(a.ch), 2 * queued);
	while (b.messages < n) {
		event_base_loop(base, EVLOOP_ONCE);
		ck_assert_uint_eq(b.generation, b.messages);
		ck_assert_uint_eq(b.first, (uint8_t)b.messages);
	}
	RUN_UNTIL(a.drained == 1);
	ck_assert_uint_eq(channel_queued(a.ch), 0);
	run_dry();
	ck_assert_uint_eq(a.drained, 1);
	ck_assert_uint_eq(b.messages, n);
}
END_TEST

/* The generation of the next raw packet of a socket. */
static uint64_t
recv_generation(int sock)
{
	static uint8_t buf[LIMIT_PACKET];
	struct msg m;

	ck_assert_ptr_null(channel_recv_one(sock, ROLE_CONSUL_WRITER,
	    ROLE_KUBELET_READER, buf, &m));
	return m.generation;
}

START_TEST(nothing_overtakes_the_queue)
{
	int sock = link_raw(ROLE_CONSUL_WRITER, ROLE_KUBELET_READER);
	unsigned n = put_until_queued(&b, 5000);

	/* There is room again, but what waits goes first. */
	for (unsigned i = 1; i < n; i++)
		ck_assert_uint_eq(recv_generation(sock), i);
	ck_assert(put(&b, n + 1, 0, 1));
	RUN_UNTIL(b.drained == 1);
	ck_assert_uint_eq(recv_generation(sock), n);
	ck_assert_uint_eq(recv_generation(sock), n + 1);
	close(sock);
}
END_TEST

static int
some_file(struct stat *st)
{
	int fd = memfd_create("check_channel", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, st), 0);
	return fd;
}

static const uint8_t listen_body[] = { 0, TAG_ID, 0, 1, LISTEN_METRICS };

START_TEST(descriptors_change_hands)
{
	struct stat sent, got;
	int fd;

	link_up(ROLE_SUPERVISOR, ROLE_HTTP);
	fd = some_file(&sent);
	ck_assert(channel_send(a.ch, MSG_LISTEN, 0, listen_body,
	    sizeof(listen_body), fd));
	ck_assert(!is_open(fd));
	RUN_UNTIL(b.messages == 1);
	ck_assert_int_ge(b.fd, 0);
	ck_assert_int_eq(fcntl(b.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fstat(b.fd, &got), 0);
	ck_assert_uint_eq(sent.st_ino, got.st_ino);
}
END_TEST

START_TEST(descriptors_wait_in_the_queue)
{
	static uint8_t body[PROTO_BODY_MAX];
	struct stat sent, got;
	unsigned n = 0;
	int fd;

	link_up(ROLE_SUPERVISOR, ROLE_HTTP);
	for (; channel_queued(a.ch) == 0; n++)
		ck_assert(
		    channel_send(a.ch, MSG_CONFIG, 0, body, sizeof(body), -1));
	fd = some_file(&sent);
	ck_assert(channel_send(a.ch, MSG_LISTEN, 0, listen_body,
	    sizeof(listen_body), fd));
	ck_assert(is_open(fd));
	RUN_UNTIL(b.messages == n + 1);
	ck_assert(!is_open(fd) || fd == b.fd);
	ck_assert_int_eq(fstat(b.fd, &got), 0);
	ck_assert_uint_eq(sent.st_ino, got.st_ino);
}
END_TEST

START_TEST(an_optional_descriptor_may_be_missing)
{
	struct stat st;

	link_up(ROLE_SUPERVISOR, ROLE_CONSUL_WRITER);
	ck_assert(channel_send(a.ch, MSG_CONNECTED, 0, NULL, 0, -1));
	RUN_UNTIL(b.messages == 1);
	ck_assert_int_eq(b.fd, -1);
	ck_assert(
	    channel_send(a.ch, MSG_CONNECTED, 0, NULL, 0, some_file(&st)));
	RUN_UNTIL(b.messages == 2);
	ck_assert_int_ge(b.fd, 0);
}
END_TEST

START_TEST(refused_sends_close_their_descriptor)
{
	struct tlv_writer w;
	struct stat st;
	uint8_t small[4];
	int fd;

	link_up(ROLE_SUPERVISOR, ROLE_HTTP);
	fd = some_file(&st);
	ck_assert(!channel_send(a.ch, MSG_PING, 0, NULL, 0, fd));
	ck_assert(!is_open(fd));
	ck_assert(!channel_send(a.ch, MSG_PONG, 0, NULL, 0, -1));
	ck_assert(!channel_send(a.ch, MSG_LISTEN, 0, listen_body,
	    sizeof(listen_body), -1));
	tlv_writer_init(&w, small, sizeof(small));
	tlv_put_u8(&w, TAG_ID, LISTEN_METRICS);
	fd = some_file(&st);
	ck_assert(!channel_send_tlv(a.ch, MSG_LISTEN, 0, &w, fd));
	ck_assert(!is_open(fd));
	ck_assert_int_eq(errors, 4);
	run_dry();
	ck_assert_uint_eq(b.messages + b.closed, 0);
}
END_TEST

START_TEST(freeing_closes_what_waits)
{
	static uint8_t body[PROTO_BODY_MAX];
	struct stat st;
	size_t before = open_fds();

	link_up(ROLE_SUPERVISOR, ROLE_HTTP);
	while (channel_queued(a.ch) == 0)
		ck_assert(
		    channel_send(a.ch, MSG_CONFIG, 0, body, sizeof(body), -1));
	ck_assert(channel_send(a.ch, MSG_LISTEN, 0, listen_body,
	    sizeof(listen_body), some_file(&st)));
	forget(&a);
	forget(&b);
	ck_assert_uint_eq(open_fds(), before);
	channel_free(NULL);
}
END_TEST

/* A raw packet with so many descriptors. */
static void
send_raw(int sock, const void *buf, size_t len, size_t nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[8] = { 2, 2, 2, 2, 2, 2, 2, 2 };

	memcpy(&iov.iov_base, &buf, sizeof(buf));
	if (nfds > 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), fds, nfds * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(sock, &mh, 0), len);
}

/* A packet from the supervisor to http; its body is that of LISTEN. */
static const struct {
	enum msg_type type;
	uint32_t claim; /* length that the header claims */
	size_t len; /* of the packet */
	size_t nfds;
	const char *why; /* part of the text; NULL: it is taken */
} raw[] = {
	{ MSG_LISTEN, 5, 21, 1, NULL },
	{ MSG_LISTEN, 5, 21, 0, "LISTEN: no descriptor" },
	{ MSG_LISTEN, 5, 21, 2, "more than one descriptor" },
	{ MSG_LISTEN, 5, 21, 3, "descriptors cut off" },
	{ MSG_LISTEN, 5, 21, 8, "descriptors cut off" },
	{ MSG_LISTEN, 6, 21, 1, "LISTEN: length differs" },
	{ MSG_LISTEN, 5, 2, 0, "LISTEN: shorter than a header" },
	{ MSG_LISTEN, 5, 1, 1, "unknown: shorter than a header" },
	{ MSG_PING, 0, 16, 0, NULL },
	{ MSG_PING, 0, 16, 1, "PING: a descriptor" },
	{ MSG_PING, 5, 21, 0, "PING: length out of range" },
	{ MSG_CONNECTED, 0, 16, 0, "CONNECTED: not a message that this rec" },
	{ MSG_PUT, 0, 16, 0, "PUT: not a message that this sender" },
	{ 0, 0, 16, 0, "unknown: unknown type" },
	{ (enum msg_type)255, 0, 16, 0, "unknown: unknown type" },
};

static void
send_packet(int sock, enum msg_type type, uint32_t claim, size_t len,
    size_t nfds)
{
	uint8_t packet[PROTO_HEADER + sizeof(listen_body)];

	proto_header(packet, type, 0, claim);
	memcpy(packet + PROTO_HEADER, listen_body, sizeof(listen_body));
	send_raw(sock, packet, len, nfds);
}

static void
send_ping(int sock)
{
	send_packet(sock, MSG_PING, 0, PROTO_HEADER, 0);
}

static void
send_listen(int sock, size_t nfds)
{
	send_packet(sock, MSG_LISTEN, sizeof(listen_body),
	    PROTO_HEADER + sizeof(listen_body), nfds);
}

START_TEST(a_broken_protocol_ends_it)
{
	int sock = link_raw(ROLE_SUPERVISOR, ROLE_HTTP);
	size_t before = open_fds();

	send_packet(sock, raw[_i].type, raw[_i].claim, raw[_i].len,
	    raw[_i].nfds);
	send_ping(sock);
	RUN_UNTIL(b.messages == 2 || b.closed == 1);
	if (raw[_i].why == NULL) {
		ck_assert_uint_eq(b.messages, 2);
		ck_assert_uint_eq(b.closed, 0);
	} else {
		ck_assert_uint_eq(b.messages, 0);
		ck_assert(!b.clean);
		ck_assert_msg(strstr(b.why, raw[_i].why) != NULL, "%s", b.why);
		ck_assert_uint_eq(open_fds(), before);
		run_dry();
		ck_assert_uint_eq(b.messages, 0);
		ck_assert_uint_eq(b.closed, 1);
	}
	close(sock);
}
END_TEST

START_TEST(too_large_a_packet_ends_it)
{
	static uint8_t big[LIMIT_PACKET + 1];
	int sock = link_raw(ROLE_SUPERVISOR, ROLE_HTTP);

	proto_header(big, MSG_CONFIG, 0, sizeof(big) - PROTO_HEADER);
	send_raw(sock, big, sizeof(big), 0);
	RUN_UNTIL(b.closed == 1);
	ck_assert_str_eq(b.why, "packet larger than the limit");
	close(sock);
}
END_TEST

START_TEST(no_descriptor_left_ends_it)
{
	int sock = link_raw(ROLE_SUPERVISOR, ROLE_HTTP);
	struct rlimit was, now;

	send_listen(sock, 1);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = (struct rlimit){ .rlim_cur = 3, .rlim_max = was.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	RUN_UNTIL(b.closed + b.messages == 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	ck_assert_msg(strstr(b.why, "cut off") != NULL, "%s", b.why);
	ck_assert_int_eq(b.fd, -1);
	close(sock);
}
END_TEST

START_TEST(a_refused_message_ends_it)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	b.refuse = true;
	put(&a, 1, 1, 1);
	put(&a, 2, 2, 1);
	RUN_UNTIL(b.closed == 1);
	ck_assert_uint_eq(b.messages, 1);
	ck_assert_str_eq(b.why, "PUT: makes no sense here");
	ck_assert(!channel_send(b.ch, MSG_RESYNC, 0, NULL, 0, -1));
	run_dry();
	ck_assert_uint_eq(b.closed, 1);
	ck_assert_uint_eq(a.closed, 0);
}
END_TEST

START_TEST(the_end_of_a_peer_is_told_once)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	put(&a, 1, 1, 1);
	forget(&a);
	RUN_UNTIL(b.closed == 1);
	ck_assert_uint_eq(b.messages, 1);
	ck_assert(b.clean);
	run_dry();
	ck_assert_uint_eq(b.closed, 1);
}
END_TEST

/* It dies with our packets unread, which resets the socket. */
START_TEST(last_words_are_heard)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	ck_assert(channel_send(b.ch, MSG_RESYNC, 0, NULL, 0, -1));
	for (unsigned i = 1; i <= 3; i++)
		put(&a, i, 1, 1);
	forget(&a);
	RUN_UNTIL(b.closed == 1);
	ck_assert_uint_eq(b.messages, 3);
	ck_assert(b.clean);
}
END_TEST

START_TEST(sending_to_the_dead_is_no_crash)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	ck_assert(put(&b, 0, 0, 0) == false); /* not a message of b's */
	put(&a, 1, 1, 1);
	put(&a, 2, 1, 1);
	forget(&a);
	ck_assert(!channel_send(b.ch, MSG_RESYNC, 0, NULL, 0, -1));
	ck_assert(!channel_send(b.ch, MSG_RESYNC, 0, NULL, 0, -1));
	/* Not from inside of a send. */
	ck_assert_uint_eq(b.closed, 0);
	RUN_UNTIL(b.closed == 1);
	ck_assert_uint_eq(b.messages, 2);
	ck_assert(b.clean);
}
END_TEST

/* The peer lives, but what cannot be sent would be missing there. */
START_TEST(a_send_that_fails_ends_it)
{
	int fds[2], small = 4096;

	ck_assert(channel_pair(fds));
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small,
			     sizeof(small)),
	    0);
	a.ch = channel_new(base, fds[0], ROLE_KUBELET_READER,
	    ROLE_CONSUL_WRITER, &ops, &a);
	ck_assert_ptr_nonnull(a.ch);
	ck_assert(put(&a, 1, 1, 100));
	ck_assert(!put(&a, 2, 1, 50000));
	ck_assert(!put(&a, 3, 1, 100));
	ck_assert_uint_eq(a.closed, 0);
	RUN_UNTIL(a.closed == 1);
	ck_assert_str_eq(a.why, strerror(EMSGSIZE));
	close(fds[1]);
}
END_TEST

START_TEST(a_queue_ends_with_its_peer)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	put_until_queued(&a, 5000);
	forget(&b);
	RUN_UNTIL(a.closed == 1);
	ck_assert_uint_eq(channel_queued(a.ch), 0);
	ck_assert_uint_eq(a.drained, 0);
	ck_assert(!put(&a, 1, 1, 1));
}
END_TEST

START_TEST(may_be_freed_in_message)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	b.free_in_message = true;
	put(&a, 1, 7, 100);
	put(&a, 2, 8, 100);
	RUN_UNTIL(b.messages == 1);
	run_dry();
	ck_assert_uint_eq(b.messages, 1);
	ck_assert_uint_eq(b.first, 7);
	ck_assert_uint_eq(b.closed, 0);
	ck_assert_uint_eq(a.closed, 1);
}
END_TEST

START_TEST(may_be_freed_in_closed)
{
	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	b.free_in_closed = true;
	/* By a protocol error and by EOF. */
	b.refuse = _i == 0;
	put(&a, 1, 7, 100);
	if (_i == 1)
		forget(&a);
	RUN_UNTIL(b.closed == 1);
	ck_assert_ptr_null(b.ch);
}
END_TEST

START_TEST(may_be_freed_in_drained)
{
	unsigned n;

	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	a.free_in_drained = true;
	n = put_until_queued(&a, 5000);
	RUN_UNTIL(b.closed == 1);
	ck_assert_uint_eq(a.drained, 1);
	ck_assert_uint_eq(b.messages, n);
	ck_assert(b.clean);
}
END_TEST

START_TEST(one_peer_does_not_starve_others)
{
	unsigned n;

	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	for (n = 0; n < 2 * LIMIT_CHANNEL_BURST; n++)
		ck_assert(put(&a, n, 1, 1));
	ck_assert_uint_eq(channel_queued(a.ch), 0);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(b.messages, LIMIT_CHANNEL_BURST);
	RUN_UNTIL(b.messages == n);
}
END_TEST

/* A child that reads so many packets; its status is 0 if it could. */
static pid_t
fork_reader(int sock, unsigned n)
{
	static char buf[LIMIT_PACKET];
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	fcntl(sock, F_SETFL, 0);
	while (n > 0 && recv(sock, buf, sizeof(buf), 0) > 0)
		n--;
	_exit(n != 0);
}

START_TEST(flush_waits_for_a_slow_peer)
{
	int sock = link_raw(ROLE_CONSUL_WRITER, ROLE_KUBELET_READER), status;
	unsigned n = put_until_queued(&b, 50000);
	pid_t pid;

	for (unsigned i = 0; i < 3; i++)
		ck_assert(put(&b, i, 1, 50000));
	/* Nobody reads: it gives up. */
	channel_flush(b.ch, 1);
	ck_assert_uint_gt(channel_queued(b.ch), 0);
	pid = fork_reader(sock, n + 3);
	channel_flush(b.ch, 10000);
	ck_assert_uint_eq(channel_queued(b.ch), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(sock);
}
END_TEST

START_TEST(flush_after_the_end_is_no_wait)
{
	uint64_t start = clock_ms();

	link_up(ROLE_KUBELET_READER, ROLE_CONSUL_WRITER);
	put_until_queued(&a, 5000);
	forget(&b);
	channel_flush(a.ch, 60000);
	RUN_UNTIL(a.closed == 1);
	channel_flush(a.ch, 60000);
	ck_assert_uint_lt(clock_ms() - start, 20000);
}
END_TEST

START_TEST(receives_one_without_a_loop)
{
	static uint8_t buf[LIMIT_PACKET];
	struct msg m;
	int fds[2];

	ck_assert(channel_pair(fds));
	send_ping(fds[0]);
	ck_assert_ptr_null(
	    channel_recv_one(fds[1], ROLE_HTTP, ROLE_SUPERVISOR, buf, &m));
	ck_assert_int_eq(m.type, MSG_PING);
	ck_assert_int_eq(m.fd, -1);
	send_listen(fds[0], 1);
	ck_assert_ptr_null(
	    channel_recv_one(fds[1], ROLE_HTTP, ROLE_SUPERVISOR, buf, &m));
	ck_assert_int_eq(m.type, MSG_LISTEN);
	ck_assert_uint_eq(m.len, sizeof(listen_body));
	ck_assert_mem_eq(m.body, listen_body, m.len);
	ck_assert(is_open(m.fd));
	close(m.fd);
	for (size_t nfds = 0; nfds <= 2; nfds += 2) {
		send_listen(fds[0], nfds);
		ck_assert_ptr_nonnull(channel_recv_one(fds[1], ROLE_HTTP,
		    ROLE_SUPERVISOR, buf, &m));
	}
	close(fds[0]);
	ck_assert_ptr_nonnull(
	    channel_recv_one(fds[1], ROLE_HTTP, ROLE_SUPERVISOR, buf, &m));
	close(fds[1]);
}
END_TEST

START_TEST(waits_for_that_one)
{
	static uint8_t buf[LIMIT_PACKET];
	struct msg m;
	int fds[2];
	pid_t pid;

	ck_assert(channel_pair(fds));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		send_ping(fds[0]);
		_exit(0);
	}
	close(fds[0]);
	ck_assert_ptr_null(
	    channel_recv_one(fds[1], ROLE_HTTP, ROLE_SUPERVISOR, buf, &m));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(fds[1]);
}
END_TEST

START_TEST(ends_are_private_and_never_block)
{
	int fds[2];

	ck_assert(channel_pair(fds));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		ck_assert(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		close(fds[i]);
	}
	/* One that came by exec is made so. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	a.ch = channel_new(base, fds[0], ROLE_HTTP, ROLE_SUPERVISOR, &ops, &a);
	ck_assert_ptr_nonnull(a.ch);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	close(fds[1]);
	errno = 0;
	ck_assert_ptr_null(
	    channel_new(base, -1, ROLE_HTTP, ROLE_SUPERVISOR, &ops, &a));
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("channel");
	TCase *t = tcase_create("channel");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 20);
	tcase_add_test(t, messages_arrive_as_sent);
	tcase_add_test(t, the_largest_message_passes);
	tcase_add_test(t, knows_what_is_unread);
	tcase_add_test(t, what_does_not_fit_waits_in_order);
	tcase_add_test(t, nothing_overtakes_the_queue);
	tcase_add_test(t, descriptors_change_hands);
	tcase_add_test(t, descriptors_wait_in_the_queue);
	tcase_add_test(t, an_optional_descriptor_may_be_missing);
	tcase_add_test(t, refused_sends_close_their_descriptor);
	tcase_add_test(t, freeing_closes_what_waits);
	tcase_add_loop_test(t, a_broken_protocol_ends_it, 0, COUNT(raw));
	tcase_add_test(t, too_large_a_packet_ends_it);
	tcase_add_test(t, no_descriptor_left_ends_it);
	tcase_add_test(t, a_refused_message_ends_it);
	tcase_add_test(t, the_end_of_a_peer_is_told_once);
	tcase_add_test(t, last_words_are_heard);
	tcase_add_test(t, sending_to_the_dead_is_no_crash);
	tcase_add_test(t, a_send_that_fails_ends_it);
	tcase_add_test(t, a_queue_ends_with_its_peer);
	tcase_add_test(t, may_be_freed_in_message);
	tcase_add_loop_test(t, may_be_freed_in_closed, 0, 2);
	tcase_add_test(t, may_be_freed_in_drained);
	tcase_add_test(t, one_peer_does_not_starve_others);
	tcase_add_test(t, flush_waits_for_a_slow_peer);
	tcase_add_test(t, flush_after_the_end_is_no_wait);
	tcase_add_test(t, receives_one_without_a_loop);
	tcase_add_test(t, waits_for_that_one);
	tcase_add_test(t, ends_are_private_and_never_block);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
