/*
 * What workers may say to the supervisor, and what it makes of one that was
 * taken over: the real messages.c, handout.c, links.c and proc.c, with workers
 * that are only the other ends of their channels.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sandbox.h"
#include "supervisor/handout.h"
#include "supervisor/messages.h"
#include "supervisor/supervisor.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
/* More than any queue holds by itself. */
#define FLOOD 20000
/* What handout.c lets wait for http, and one state more. */
#define WAITS_MOST (64 * 1024 + 2 * LIMIT_TEXT + 256)
#define LAYERS     UINT32_MAX

static struct supervisor sup;
static struct proc *http, *writer, *reader;
static int ends[ROLE_MAX]; /* the workers' ends */
static char ended_why[ROLE_MAX][160];
static char agent_path[64];
static int agent; /* Consul's Unix socket */
static unsigned lines; /* logged, warnings and errors */

static void
count_lines(enum log_level level, const char *line, void *arg)
{
	(void)line;
	(void)arg;
	lines += level <= LOG_LVL_WARN;
}

static bool
on_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	return message_handle(arg, m);
}

static void
on_closed(struct channel *ch, const char *why, void *arg)
{
	struct proc *p = arg;

	snprintf(ended_why[p->def->role], sizeof(*ended_why), "%s",
	    why != NULL ? why : "EOF");
	channel_free(ch);
	p->ch = NULL;
}

static const struct channel_ops ops = { .message = on_message,
	.closed = on_closed };

static struct proc *
add_proc(enum role role)
{
	const struct role_def *def = role_defs;
	struct proc *p;
	int fds[2];

	while (def->role != role)
		def++;
	p = sup.procs[role] = proc_new(&sup, def);
	ck_assert(channel_pair(fds));
	p->ch = channel_new(sup.base, fds[0], ROLE_SUPERVISOR, role, &ops, p);
	ck_assert_ptr_nonnull(p->ch);
	ends[role] = fds[1];
	*ended_why[role] = '\0';
	restart_event(&p->restart, RESTART_START, clock_ms(), 0);
	return p;
}

static void
listen_as_agent(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(agent_path, sizeof(agent_path), "/tmp/check_messages.%d",
	    (int)getpid());
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", agent_path);
	agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(agent, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(agent, 1024), 0);
}

static struct config *
load(void)
{
	char flag[96], name[] = "katalogd", none[] = "--config=/dev/null";
	char *argv[] = { name, none, flag, NULL }, *envp[] = { NULL };
	struct config_input in = config_input(3, argv, envp);
	struct config_report r;
	struct config *c;

	snprintf(flag, sizeof(flag), "--consul-addr=unix://%s", agent_path);
	config_report_init(&r);
	c = config_load(&in, &r);
	config_report_free(&r);
	ck_assert_ptr_nonnull(c);
	return c;
}

static void
set_up(void)
{
	listen_as_agent();
	sup = (struct supervisor){ .base = event_base_new(),
		.config = load(),
		.secrets = secrets_new(),
		.notify = { .fd = -1 },
		.told_ready = true };
	ck_assert_ptr_nonnull(sup.base);
	listeners_init(&sup.listeners);
	reader = add_proc(ROLE_KUBELET_READER);
	writer = add_proc(ROLE_CONSUL_WRITER);
	http = add_proc(ROLE_HTTP);
	lines = 0;
	log_set_sink(count_lines, NULL);
}

static void
tear_down(void)
{
	for (unsigned role = 0; role < ROLE_MAX; role++) {
		if (sup.procs[role] == NULL)
			continue;
		proc_free(sup.procs[role]);
		close(ends[role]);
	}
	secrets_free(sup.secrets);
	config_free(sup.config);
	event_base_free(sup.base);
	close(agent);
	unlink(agent_path);
}

/* All that is there to be read and sent. */
static void
run(void)
{
	event_base_loop(sup.base, EVLOOP_NONBLOCK);
}

static void
run_one_turn(void)
{
	event_base_loop(sup.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

/* As the worker; waits for room, unless the supervisor has ended it. */
static void
say(struct proc *p, enum msg_type type, uint64_t generation,
    const struct tlv_writer *w)
{
	static uint8_t packet[LIMIT_PACKET];
	size_t len = w != NULL ? w->len : 0;
	int fd = ends[p->def->role];

	proto_header(packet, type, generation, (uint32_t)len);
	if (len > 0)
		memcpy(packet + PROTO_HEADER, w->buf, len);
	len += PROTO_HEADER;
	while (p->ch != NULL &&
	    send(fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL) == -1) {
		ck_assert_int_eq(errno, EAGAIN);
		run_one_turn();
	}
}

static void
say_ready(struct proc *p, uint32_t layers)
{
	uint8_t buf[64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u32(&w, TAG_LAYERS, layers);
	tlv_put_str(&w, TAG_MISSING, "");
	say(p, MSG_READY, 0, &w);
	run();
}

static void
say_health(struct proc *p, const char *text)
{
	uint8_t buf[LIMIT_TEXT + 64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_HEALTH, HEALTH_OK);
	tlv_put_u8(&w, TAG_SYNCED, 1);
	tlv_put_str(&w, TAG_TEXT, text);
	say(p, MSG_HEALTH, 0, &w);
}

static void
complain(struct proc *p, enum role of)
{
	uint8_t buf[16];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_ID, (uint8_t)of);
	say(p, MSG_BAD_LINK, 0, &w);
}

/* One message to the worker, its descriptor closed; false: there is none. */
static bool
hear(struct proc *p, struct msg *m)
{
	static uint8_t buf[LIMIT_PACKET];
	int fd = ends[p->def->role];
	char byte;

	if (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == -1)
		return false;
	ck_assert_ptr_null(
	    channel_recv_one(fd, p->def->role, ROLE_SUPERVISOR, buf, m));
	if (m->fd != -1)
		close(m->fd);
	return true;
}

static struct msg
hear_next(struct proc *p, enum msg_type type)
{
	struct msg m = { 0 };

	while (m.type != type) {
		run();
		ck_assert_msg(hear(p, &m), "no %s", msg_name(type));
	}
	return m;
}

/* All that is there, and comes while it is read. How many of that type. */
static unsigned
hear_all(struct proc *p, enum msg_type type)
{
	bool heard = true;
	unsigned n = 0;
	struct msg m;

	while (heard) {
		run();
		for (heard = false; hear(p, &m); heard = true)
			n += m.type == type;
	}
	return n;
}

static void
all_ready(void)
{
	say_ready(reader, LAYERS);
	say_ready(writer, LAYERS);
	say_ready(http, LAYERS);
	ck_assert(
	    proc_usable(reader) && proc_usable(writer) && proc_usable(http));
	hear_all(reader, MSG_START);
	hear_all(writer, MSG_START);
	hear_all(http, MSG_START);
}

/* What was killed is there again. */
static void
come_back(struct proc *p)
{
	ck_assert(p->restart.ending);
	restart_event(&p->restart, RESTART_EXIT, clock_ms(), 0);
	restart_event(&p->restart, RESTART_TIMER, clock_ms(), 0);
	say_ready(p, LAYERS);
	ck_assert(proc_usable(p));
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

/* ---- complaints ---- */

START_TEST(one_that_complains_of_all_others_keeps_none_down)
{
	all_ready();
	complain(http, ROLE_CONSUL_WRITER);
	run();
	ck_assert_str_eq(writer->restart.why, "accused by a sibling");
	ck_assert_uint_ge(lines, 1);
	come_back(writer);
	lines = 0;
	for (int i = 0; i < 1000; i++) {
		complain(http, ROLE_CONSUL_WRITER);
		complain(reader, ROLE_CONSUL_WRITER);
	}
	run();
	ck_assert(proc_usable(writer));
	ck_assert_uint_le(lines, 2);
	/* It costs the others nothing either. */
	ck_assert(proc_usable(http) && proc_usable(reader));
}
END_TEST

START_TEST(who_is_not_there_cannot_be_complained_of)
{
	say_ready(http, LAYERS);
	complain(http, ROLE_CONSUL_WRITER);
	run();
	ck_assert(!writer->restart.ending);
	ck_assert(proc_usable(http));
	ck_assert_uint_eq(lines, 0);
	/* Nor one that does not run here. */
	complain(http, ROLE_K8S_WRITER);
	run();
	ck_assert_str_eq(ended_why[ROLE_HTTP], "BAD_LINK: makes no sense here");
}
END_TEST

/* ---- floods ---- */

START_TEST(a_flood_of_health_is_bounded)
{
	struct proc *from = _i == 0 ? http : writer;
	char text[LIMIT_TEXT + 1];
	struct msg m, last = { 0 };

	all_ready();
	memset(text, 'x', LIMIT_TEXT);
	text[LIMIT_TEXT] = '\0';
	for (int i = 0; i < FLOOD; i++) {
		text[0] = i % 2 == 0 ? 'a' : 'b';
		say_health(from, text);
		ck_assert_uint_le(channel_queued(http->ch), WAITS_MOST);
	}
	run();
	ck_assert_uint_gt(channel_queued(http->ch), 0);
	ck_assert(from->untold);
	/* It may well be innocent. */
	ck_assert(proc_usable(http));
	/* Once it reads it is told how that ended. */
	hear_all(http, MSG_WORKER);
	ck_assert_uint_eq(channel_queued(http->ch), 0);
	handout_untold(&sup);
	while (hear(http, &m))
		last = m;
	ck_assert_int_eq(last.type, MSG_WORKER);
	ck_assert_uint_eq(msg_u8(&last, TAG_ROLE), from->def->role);
	ck_assert_int_eq(msg_field(&last, TAG_TEXT).val[0], 'b');
	ck_assert(!from->untold);
}
END_TEST

START_TEST(the_same_health_is_no_news)
{
	all_ready();
	for (int i = 0; i < 100; i++)
		say_health(writer, "all is well");
	run();
	ck_assert_uint_eq(hear_all(http, MSG_WORKER), 1);
	say_health(writer, "not so well");
	run();
	ck_assert_uint_eq(hear_all(http, MSG_WORKER), 1);
}
END_TEST

START_TEST(connections_are_given_one_by_one)
{
	size_t before;

	all_ready();
	before = open_fds();
	for (int i = 0; i < 500; i++) {
		say(writer, MSG_CONNECT, 0, NULL);
		hear_next(writer, MSG_CONNECTED);
	}
	ck_assert_str_eq(ended_why[ROLE_CONSUL_WRITER], "");
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

/* Nothing of it is read: each would be a descriptor of ours. */
START_TEST(a_flood_of_connections_ends_it)
{
	size_t before;

	all_ready();
	before = open_fds();
	for (int i = 0; i < FLOOD && writer->ch != NULL; i++) {
		say(writer, MSG_CONNECT, 0, NULL);
		ck_assert_uint_le(open_fds(), before + 1);
	}
	ck_assert_str_eq(ended_why[ROLE_CONSUL_WRITER],
	    "CONNECT: makes no sense here");
}
END_TEST

/* ---- PING ---- */

static void
ping(struct proc *p)
{
	p->restart.deadline_ms = clock_ms();
	proc_event(p, RESTART_TIMER);
}

START_TEST(a_pong_answers_its_ping)
{
	all_ready();
	for (int i = 0; i < 3; i++) {
		ping(writer);
		say(writer, MSG_PONG, hear_next(writer, MSG_PING).generation,
		    NULL);
		run();
		ck_assert(!writer->restart.pinged);
		ck_assert(proc_usable(writer));
	}
}
END_TEST

/* From one that does not read, at a guess. */
START_TEST(a_pong_cannot_be_guessed)
{
	all_ready();
	ping(writer);
	say(writer, MSG_PONG, 0, NULL);
	run();
	ck_assert_str_eq(ended_why[ROLE_CONSUL_WRITER],
	    "PONG: makes no sense here");
}
END_TEST

/* We come late: the PONG is there, behind what was sent before it. */
START_TEST(a_verdict_waits_for_what_was_sent)
{
	all_ready();
	ping(writer);
	hear_next(writer, MSG_PING);
	for (int i = 0; i < 2 * LIMIT_CHANNEL_BURST; i++)
		say_health(writer, i % 2 == 0 ? "a" : "b");
	if (_i == 0)
		say(writer, MSG_PONG, writer->ping, NULL);
	writer->restart.deadline_ms = clock_ms();
	event_active(writer->timer, EV_TIMEOUT, 0);
	while (writer->restart.pinged && !writer->restart.ending)
		event_base_loop(sup.base, EVLOOP_ONCE);
	ck_assert_int_eq(writer->restart.ending, _i == 1);
}
END_TEST

/* One that sends and sends is not waited for. */
START_TEST(a_verdict_comes)
{
	uint64_t start = clock_ms();

	all_ready();
	ping(writer);
	writer->restart.deadline_ms = clock_ms();
	event_active(writer->timer, EV_TIMEOUT, 0);
	for (unsigned i = 0; !writer->restart.ending; i++) {
		say_health(writer, i % 2 == 0 ? "a" : "b");
		if (i % (2 * LIMIT_CHANNEL_BURST) == 0)
			run_one_turn();
	}
	ck_assert_str_eq(writer->restart.why, "no answer to PING");
	/* It was given time, for what it had sent by then. */
	ck_assert_uint_ge(clock_ms() - start, 500);
}
END_TEST

/* ---- READY ---- */

static const enum msg_type too_early[] = { MSG_PONG, MSG_HEALTH, MSG_CONNECT,
	MSG_BAD_LINK };

START_TEST(nothing_is_heard_before_ready)
{
	enum msg_type type = too_early[_i];

	if (type == MSG_HEALTH)
		say_health(writer, "");
	else if (type == MSG_BAD_LINK)
		complain(writer, ROLE_HTTP);
	else
		say(writer, type, 0, NULL);
	run();
	ck_assert_ptr_nonnull(
	    strstr(ended_why[ROLE_CONSUL_WRITER], "makes no sense here"));
}
END_TEST

/* Each of those that always hold. */
static const uint32_t layers_needed[] = { SANDBOX_LIMITS, SANDBOX_CAPS,
	SANDBOX_NODUMP, SANDBOX_NO_NEW_PRIVS, SANDBOX_SECCOMP };

START_TEST(no_sandbox_no_secrets)
{
	char byte;

	say_ready(writer, LAYERS & ~layers_needed[_i]);
	ck_assert_str_eq(ended_why[ROLE_CONSUL_WRITER],
	    "READY: makes no sense here");
	/* Closed, and nothing was sent before. */
	ck_assert_int_eq(recv(ends[ROLE_CONSUL_WRITER], &byte, 1, MSG_DONTWAIT),
	    0);
}
END_TEST

START_TEST(one_that_ends_asks_for_nothing)
{
	all_ready();
	proc_event(writer, RESTART_FAULT);
	say(writer, MSG_CONNECT, 0, NULL);
	complain(writer, ROLE_HTTP);
	say_health(writer, "last words");
	run();
	ck_assert_uint_eq(hear_all(writer, MSG_CONNECTED), 0);
	ck_assert(proc_usable(http));
	ck_assert_uint_eq(hear_all(http, MSG_WORKER), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("messages");
	TCase *t = tcase_create("messages");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, one_that_complains_of_all_others_keeps_none_down);
	tcase_add_test(t, who_is_not_there_cannot_be_complained_of);
	tcase_add_loop_test(t, a_flood_of_health_is_bounded, 0, 2);
	tcase_add_test(t, the_same_health_is_no_news);
	tcase_add_test(t, connections_are_given_one_by_one);
	tcase_add_test(t, a_flood_of_connections_ends_it);
	tcase_add_test(t, a_pong_answers_its_ping);
	tcase_add_test(t, a_pong_cannot_be_guessed);
	tcase_add_loop_test(t, a_verdict_waits_for_what_was_sent, 0, 2);
	tcase_add_test(t, a_verdict_comes);
	tcase_add_loop_test(t, nothing_is_heard_before_ready, 0,
	    COUNT(too_early));
	tcase_add_loop_test(t, no_sandbox_no_secrets, 0, COUNT(layers_needed));
	tcase_add_test(t, one_that_ends_asks_for_nothing);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
