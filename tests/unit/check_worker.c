/*
 * The shared start of workers (workers/worker.c) in a child of its own, its
 * sandbox closed; the test is its supervisor.
 */
#include <bsd/unistd.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"
#include "supervisor/config.h"
#include "workers/worker.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static char runtime_dir[48];
static char empty_dir[64];
static struct config *config;
static pid_t child;
static int control; /* our end */
static uint8_t packet[LIMIT_PACKET];

/* A worker that tells by its health what it was given. */

static void
started(struct worker *w)
{
	worker_health(w, HEALTH_OK, true, "started");
}

static void
got_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	const char *text = data;

	worker_health(w, HEALTH_OK, false, "%s %zu %s", blob_name(id), len,
	    text[len] == '\0' ? text : "(no NUL)");
}

static void
got_link(struct worker *w, enum role peer, struct channel *ch)
{
	worker_health(w, HEALTH_DEGRADED, false, "%s %s", role_name(peer),
	    ch != NULL ? "up" : "gone");
}

static bool
got_message(struct worker *w, enum role peer, const struct msg *m)
{
	(void)w;
	return peer == ROLE_CONSUL_WRITER && m->type == MSG_RESYNC;
}

/* Its sets: http is told one, kubelet-reader tells the other. */

static bool
got_entry(const struct set_entry *e, void *arg)
{
	worker_health(arg, HEALTH_OK, true, "put %.*s", (int)e->key_len,
	    (const char *)e->key);
	return true;
}

static void
lost_entry(const void *key, size_t key_len, bool named, void *arg)
{
	(void)named;
	worker_health(arg, HEALTH_OK, true, "del %.*s", (int)key_len,
	    (const char *)key);
}

static const struct replica_ops told_ops = { .put = got_entry,
	.del = lost_entry };

static void
make_links(struct worker *w, struct sandbox *sb)
{
	struct set *set = set_new();

	(void)sb;
	set_put(set, "a", 1, "1", 1);
	set_complete(set);
	worker_feeds(w, ROLE_HTTP, feed_new(set));
	worker_follows(w, ROLE_KUBELET_READER, replica_new(&told_ops, w));
}

static const struct worker_role sets_role = {
	.role = ROLE_CONSUL_WRITER,
	.preload = make_links,
};

static const struct worker_role role = {
	.role = ROLE_KUBELET_READER,
	.start = started,
	.blob = got_blob,
	.link = got_link,
	.message = got_message,
};

/* That of the child. */
static const struct worker_role *played = &role;

static _Noreturn void
run_child(int fd)
{
	fd = fcntl(fd, F_DUPFD, 10);
	if (dup2(fd, 3) == -1)
		_exit(99);
	closefrom(4);
	log_set_sink(NULL, NULL);
	exit(worker_main(played));
}

static void
load_config(void)
{
	char flag[96], name[] = "katalogd", none[] = "--config=/dev/null";
	char *argv[] = { name, none, flag, NULL };
	char *envp[] = { NULL };
	struct config_input in = config_input(3, argv, envp);
	struct config_report r;

	snprintf(flag, sizeof(flag), "--runtime-dir=%s", runtime_dir);
	config_report_init(&r);
	config = config_load(&in, &r);
	config_report_print(&r, "config", stderr);
	config_report_free(&r);
	ck_assert_ptr_nonnull(config);
}

static void
send_msg(int fd, enum msg_type type, const struct tlv_writer *w, int passed)
{
	uint8_t buf[LIMIT_PACKET];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} cm = { 0 };
	size_t len = w != NULL ? w->len : 0;
	struct iovec iov = { buf, PROTO_HEADER + len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	proto_header(buf, type, 0, (uint32_t)len);
	if (len > 0)
		memcpy(buf + PROTO_HEADER, w->buf, len);
	if (passed != -1) {
		mh.msg_control = cm.buf;
		mh.msg_controllen = sizeof(cm.buf);
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), &passed, sizeof(int));
	}
	ck_assert_int_gt(sendmsg(fd, &mh, MSG_NOSIGNAL), 0);
	if (passed != -1)
		close(passed);
}

static void
send_id(enum msg_type type, uint8_t id, int passed)
{
	uint8_t buf[TLV_HEADER + 1];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_ID, id);
	send_msg(control, type, &w, passed);
}

static void
send_config(enum role slice)
{
	uint8_t buf[PROTO_BODY_MAX];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	ck_assert(settings_encode(config->settings, slice, &w));
	send_msg(control, MSG_CONFIG, &w, -1);
}

/* The next message that is no LOG. */
static struct msg
receive(enum msg_type type)
{
	struct msg m;
	const char *why;

	do
		why = channel_recv_one(control, ROLE_SUPERVISOR, played->role,
		    packet, &m);
	while (why == NULL && m.type == MSG_LOG);
	ck_assert_msg(why == NULL, "%s, waiting for %s", why, msg_name(type));
	ck_assert_str_eq(msg_name(m.type), msg_name(type));
	return m;
}

static void
expect_health(const char *text)
{
	struct msg m = receive(MSG_HEALTH);
	struct tlv_field f = msg_field(&m, TAG_TEXT);
	char buf[LIMIT_TEXT + 1];

	ck_assert(tlv_str(&f, buf, sizeof(buf)));
	ck_assert_str_eq(buf, text);
}

static void
expect_exit(int status)
{
	int got;

	ck_assert_int_eq(waitpid(child, &got, 0), child);
	child = 0;
	ck_assert(WIFEXITED(got));
	ck_assert_int_eq(WEXITSTATUS(got), status);
}

static void
setup(void)
{
	int fds[2];

	snprintf(runtime_dir, sizeof(runtime_dir), "/tmp/check-worker-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(runtime_dir));
	snprintf(empty_dir, sizeof(empty_dir), "%s/empty", runtime_dir);
	ck_assert_int_eq(mkdir(empty_dir, 0555), 0);
	load_config();
	ck_assert(channel_pair(fds));
	control = fds[0];
	child = fork();
	ck_assert_int_ne(child, -1);
	if (child == 0)
		run_child(fds[1]);
	close(fds[1]);
}

static void
teardown(void)
{
	if (child != 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	close(control);
	config_free(config);
	rmdir(empty_dir);
	rmdir(runtime_dir);
}

static void
make_ready(void)
{
	send_config(played->role);
	receive(MSG_READY);
}

static int
memfd_with(const char *text, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

START_TEST(says_ready_with_its_layers)
{
	uint32_t must = SANDBOX_LIMITS | SANDBOX_CAPS | SANDBOX_NODUMP |
	    SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP;
	struct tlv_field f;
	struct msg m;

	send_config(played->role);
	m = receive(MSG_READY);
	f = msg_field(&m, TAG_LAYERS);
	ck_assert_uint_eq(tlv_u32(&f) & must, must);
	send_msg(control, MSG_START, NULL, -1);
	expect_health("started");
	send_msg(control, MSG_PING, NULL, -1);
	receive(MSG_PONG);
}
END_TEST

START_TEST(takes_only_its_own_slice)
{
	send_config(ROLE_HTTP);
	expect_exit(1);
}
END_TEST

START_TEST(takes_nothing_before_its_config)
{
	send_msg(control, MSG_PING, NULL, -1);
	expect_exit(1);
}
END_TEST

START_TEST(takes_sealed_blobs)
{
	make_ready();
	send_id(MSG_BLOB, BLOB_KUBELET_TOKEN, memfd_with("secret", SEALS));
	expect_health("kubelet-token 6 secret");
	send_id(MSG_BLOB, BLOB_KUBELET_CA, memfd_with("", SEALS));
	expect_health("kubelet-ca 0 ");
}
END_TEST

static const int few_seals[] = {
	0,
	F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
	F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL,
	F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL,
};

START_TEST(refuses_what_could_change)
{
	make_ready();
	send_id(MSG_BLOB, BLOB_KUBELET_TOKEN, memfd_with("x", few_seals[_i]));
	expect_exit(1);
}
END_TEST

START_TEST(refuses_what_is_no_memfd)
{
	make_ready();
	send_id(MSG_BLOB, BLOB_KUBELET_TOKEN,
	    open("/dev/null", O_RDONLY | O_CLOEXEC));
	expect_exit(1);
}
END_TEST

START_TEST(refuses_what_is_too_large)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	make_ready();
	ck_assert_int_eq(ftruncate(fd, LIMIT_BLOB + 1), 0);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	send_id(MSG_BLOB, BLOB_KUBELET_TOKEN, fd);
	expect_exit(1);
}
END_TEST

START_TEST(starts_once)
{
	make_ready();
	send_msg(control, MSG_START, NULL, -1);
	send_msg(control, MSG_START, NULL, -1);
	expect_exit(1);
}
END_TEST

/* Our end of a new link to the peer. */
static int
give_link(enum role peer)
{
	int fds[2];

	ck_assert(channel_pair(fds));
	send_id(MSG_LINK, (uint8_t)peer, fds[1]);
	return fds[0];
}

START_TEST(links_come_and_go)
{
	int link;

	make_ready();
	link = give_link(ROLE_CONSUL_WRITER);
	expect_health("consul-writer up");
	send_msg(link, MSG_RESYNC, NULL, -1);
	close(link);
	expect_health("consul-writer gone");
	link = give_link(ROLE_CONSUL_WRITER);
	expect_health("consul-writer up");
	close(link);
}
END_TEST

START_TEST(a_new_link_replaces_the_old_one)
{
	int old, new;
	char c;

	make_ready();
	old = give_link(ROLE_CONSUL_WRITER);
	expect_health("consul-writer up");
	new = give_link(ROLE_CONSUL_WRITER);
	expect_health("consul-writer gone");
	expect_health("consul-writer up");
	ck_assert_int_eq(recv(old, &c, 1, 0), 0);
	close(old);
	close(new);
}
END_TEST

START_TEST(a_sibling_without_manners_is_told_of)
{
	struct tlv_field f;
	struct msg m;
	int link;

	make_ready();
	link = give_link(ROLE_CONSUL_WRITER);
	expect_health("consul-writer up");
	send_msg(link, MSG_PING, NULL, -1);
	m = receive(MSG_BAD_LINK);
	f = msg_field(&m, TAG_ID);
	ck_assert_uint_eq(tlv_u8(&f), ROLE_CONSUL_WRITER);
	expect_health("consul-writer gone");
	close(link);
}
END_TEST

START_TEST(answers_for_its_figures)
{
	struct metrics ms;
	struct msg m;
	int link;

	make_ready();
	link = give_link(ROLE_HTTP);
	expect_health("http up");
	send_msg(link, MSG_STATS_GET, NULL, -1);
	ck_assert_ptr_null(
	    channel_recv_one(link, ROLE_HTTP, played->role, packet, &m));
	ck_assert_int_eq(m.type, MSG_STATS);
	ck_assert(metrics_decode(m.body, m.len, played->role, &ms));
	close(link);
}
END_TEST

/* What the child says by that link. */
static struct msg
receive_from(int link, enum role peer, enum msg_type type)
{
	struct msg m;

	ck_assert_ptr_null(
	    channel_recv_one(link, peer, played->role, packet, &m));
	ck_assert_str_eq(msg_name(m.type), msg_name(type));
	return m;
}

static void
receive_snapshot(int link)
{
	receive_from(link, ROLE_HTTP, MSG_SNAP_BEGIN);
	receive_from(link, ROLE_HTTP, MSG_PUT);
	receive_from(link, ROLE_HTTP, MSG_SNAP_END);
}

START_TEST(a_link_carries_a_set_away)
{
	int link;

	make_ready();
	link = give_link(ROLE_HTTP);
	receive_snapshot(link);
	send_msg(link, MSG_RESYNC, NULL, -1);
	receive_snapshot(link);
	close(link);
	link = give_link(ROLE_HTTP);
	receive_snapshot(link);
	close(link);
}
END_TEST

static void
send_put(int link, const char *key)
{
	uint8_t buf[64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_str(&w, TAG_KEY, key);
	tlv_put_str(&w, TAG_VALUE, "");
	send_msg(link, MSG_PUT, &w, -1);
}

static void
send_begin(int link)
{
	uint8_t buf[64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_EPOCH, 1);
	send_msg(link, MSG_SNAP_BEGIN, &w, -1);
}

static void
send_end(int link, uint32_t count)
{
	uint8_t buf[64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_EPOCH, 1);
	tlv_put_u32(&w, TAG_COUNT, count);
	send_msg(link, MSG_SNAP_END, &w, -1);
}

/* A snapshot of one entry, or of none (key NULL). */
static void
send_snapshot(int link, const char *key)
{
	send_begin(link);
	if (key != NULL)
		send_put(link, key);
	send_end(link, key != NULL);
}

START_TEST(a_link_carries_a_set_here)
{
	int link;

	make_ready();
	link = give_link(ROLE_KUBELET_READER);
	send_snapshot(link, "b");
	expect_health("put b");
	close(link);
	link = give_link(ROLE_KUBELET_READER);
	send_put(link, "c");
	receive_from(link, ROLE_KUBELET_READER, MSG_RESYNC);
	send_snapshot(link, NULL);
	expect_health("del b");
	close(link);
}
END_TEST

START_TEST(a_set_that_does_not_add_up_ends_its_link)
{
	struct tlv_field f;
	struct msg m;
	int link;

	make_ready();
	link = give_link(ROLE_KUBELET_READER);
	send_snapshot(link, "b");
	expect_health("put b");
	send_begin(link);
	/* The last that is sent: the link may be gone right after it. */
	send_end(link, 1);
	m = receive(MSG_BAD_LINK);
	f = msg_field(&m, TAG_ID);
	ck_assert_uint_eq(tlv_u8(&f), ROLE_KUBELET_READER);
	close(link);
}
END_TEST

START_TEST(ends_with_the_supervisor)
{
	make_ready();
	close(control);
	control = -1;
	expect_exit(0);
}
END_TEST

START_TEST(ends_on_sigterm)
{
	make_ready();
	kill(child, SIGTERM);
	expect_exit(0);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, says_ready_with_its_layers);
	tcase_add_test(t, takes_only_its_own_slice);
	tcase_add_test(t, takes_nothing_before_its_config);
	tcase_add_test(t, takes_sealed_blobs);
	tcase_add_loop_test(t, refuses_what_could_change, 0,
	    sizeof(few_seals) / sizeof(*few_seals));
	tcase_add_test(t, refuses_what_is_no_memfd);
	tcase_add_test(t, refuses_what_is_too_large);
	tcase_add_test(t, starts_once);
	tcase_add_test(t, links_come_and_go);
	tcase_add_test(t, a_new_link_replaces_the_old_one);
	tcase_add_test(t, a_sibling_without_manners_is_told_of);
	tcase_add_test(t, answers_for_its_figures);
	tcase_add_test(t, ends_with_the_supervisor);
	tcase_add_test(t, ends_on_sigterm);
}

static void
setup_sets(void)
{
	played = &sets_role;
	setup();
}

static void
add_set_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup_sets, teardown);
	tcase_add_test(t, a_link_carries_a_set_away);
	tcase_add_test(t, a_link_carries_a_set_here);
	tcase_add_test(t, a_set_that_does_not_add_up_ends_its_link);
}

int
main(void)
{
	Suite *s = suite_create("worker");
	TCase *t = tcase_create("worker");
	TCase *sets = tcase_create("sets");
	SRunner *r = srunner_create(s);
	int failed;

	add_tests(t);
	suite_add_tcase(s, t);
	add_set_tests(sets);
	suite_add_tcase(s, sets);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
