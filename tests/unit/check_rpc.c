/* Linked with a gRPC server in memory in place of grpc/server.c. */
#include "workers/http/rpc.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/pod.h"
#include "grpc/message.h"
#include "grpc/server.h"
#include "workers/http/caller.h"
#include "workers/http/remember.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- the server in memory ---- */

struct grpc_call {
	struct sockaddr_in peer;
	struct sockaddr_in local;
	void *arg;
	bool ended;
	enum grpc_code code;
	char text[LIMIT_TEXT + 1];
	uint8_t answer[16];
	size_t answer_len;
};

static struct grpc_server_conf served;
static struct grpc_counts counts;
static int listened, owned;

struct grpc_server *
grpc_server_new(const struct grpc_server_conf *conf)
{
	served = *conf;
	return (struct grpc_server *)&served;
}

void
grpc_server_free(struct grpc_server *s)
{
	ck_assert_ptr_eq(s, &served);
}

void
grpc_server_listen(struct grpc_server *s, int fd)
{
	(void)s;
	listened = fd;
}

struct grpc_counts
grpc_server_counts(const struct grpc_server *s)
{
	(void)s;
	return counts;
}

bool
grpc_server_owns(const struct grpc_server *s, int fd)
{
	(void)s;
	return fd == owned;
}

const struct sockaddr *
grpc_call_peer(const struct grpc_call *c)
{
	return (const struct sockaddr *)&c->peer;
}

const struct sockaddr *
grpc_call_local(const struct grpc_call *c)
{
	return (const struct sockaddr *)&c->local;
}

void
grpc_call_set_arg(struct grpc_call *c, void *arg)
{
	c->arg = arg;
}

void *
grpc_call_arg(const struct grpc_call *c)
{
	return c->arg;
}

void
grpc_call_end(struct grpc_call *c, enum grpc_code code, const char *text,
    const void *msg, size_t len)
{
	ck_assert(!c->ended);
	ck_assert_uint_le(len, sizeof(c->answer));
	c->ended = true;
	c->code = code;
	snprintf(c->text, sizeof(c->text), "%s", text);
	if (len > 0)
		memcpy(c->answer, msg, len);
	c->answer_len = len;
}

static const struct grpc_method *
method_of(const char *path)
{
	for (size_t i = 0; i < served.nmethods; i++)
		if (strcmp(served.methods[i].path, path) == 0)
			return &served.methods[i];
	ck_abort_msg("no method %s", path);
}

static void
invoke(struct grpc_call *c, const char *path, const void *msg, size_t len)
{
	method_of(path)->begin(c, msg, len, served.arg);
}

static void
cancel(struct grpc_call *c, const char *path)
{
	method_of(path)->gone(c, served.arg);
	c->ended = true;
}

/* ---- the ends of a link ---- */

/* What consul-writer heard. */
static struct {
	struct channel *ch;
	struct channel *http; /* http's end */
	struct feed *feed;
	unsigned calls, ends, remembers, remembered;
	uint64_t id; /* of the last call, or end */
	uint8_t op;
	uint8_t local;
	char text[5][LIMIT_K8S_NAME + 1]; /* of a CALL */
	char pods[512]; /* that were remembered */
	bool broken; /* http found fault with it */
} writer;

static struct event_base *base;
static struct model model;
static struct rpc *rpc;
static struct set *reports;

static const enum msg_tag texts[] = { TAG_NAMESPACE, TAG_POD, TAG_CONTAINER,
	TAG_PEER };

static void
heard_call(const struct msg *m)
{
	writer.calls++;
	writer.id = msg_u64(m, TAG_CALL);
	writer.op = msg_u8(m, TAG_OP);
	writer.local = msg_u8(m, TAG_LOCAL);
	for (size_t i = 0; i < COUNT(texts); i++)
		msg_str(m, texts[i], writer.text[i], sizeof(writer.text[i]));
}

static void
heard_remember(const struct msg *m)
{
	struct tlv_field key = msg_field(m, TAG_KEY);
	struct tlv_field val = msg_field(m, TAG_VALUE);
	struct pod_report *r =
	    pod_report_decode(key.val, key.len, val.val, val.len);
	size_t at = strlen(writer.pods);

	ck_assert_ptr_nonnull(r);
	/* They stand before their end. */
	ck_assert_uint_eq(writer.remembered, 0);
	writer.remembers++;
	snprintf(writer.pods + at, sizeof(writer.pods) - at, "%s/%s %s %s;",
	    r->namespace, r->name, r->uid, pod_sidecar_name(r->sidecar));
	free(r);
}

static bool
writer_hears(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	switch (m->type) {
	case MSG_CALL:
		heard_call(m);
		return true;
	case MSG_CALL_END:
		writer.ends++;
		writer.id = msg_u64(m, TAG_CALL);
		return true;
	case MSG_REMEMBER:
		heard_remember(m);
		return true;
	case MSG_REMEMBERED:
		writer.remembered++;
		return true;
	default:
		return feed_message(writer.feed, m);
	}
}

static bool
http_hears(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	return m->type == MSG_ANSWER ? rpc_message(rpc, m)
				     : replica_message(model.services, m);
}

static void
closed(struct channel *ch, const char *why, void *arg)
{
	(void)arg;
	if (ch == writer.http)
		writer.broken = why != NULL;
}

static const struct channel_ops writer_ops = { .message = writer_hears,
	.closed = closed };
static const struct channel_ops http_ops = { .message = http_hears,
	.closed = closed };

static void
run(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* As main.c does it. */
static void
link_up(void)
{
	int fds[2];

	ck_assert(channel_pair(fds));
	memset(&writer, 0, sizeof(writer));
	writer.ch = channel_new(base, fds[0], ROLE_CONSUL_WRITER, ROLE_HTTP,
	    &writer_ops, NULL);
	writer.http = channel_new(base, fds[1], ROLE_HTTP, ROLE_CONSUL_WRITER,
	    &http_ops, NULL);
	remember(writer.http, model.services);
	rpc_link(rpc, writer.http);
	replica_attach(model.services, writer.http);
}

static void
link_down(void)
{
	rpc_link(rpc, NULL);
	replica_attach(model.services, NULL);
	feed_free(writer.feed);
	writer.feed = NULL;
	channel_free(writer.http);
	channel_free(writer.ch);
	writer.http = writer.ch = NULL;
}

static bool
any_put(const struct set_entry *e, void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

static void
any_del(const void *key, size_t key_len, bool named, void *arg)
{
	(void)key;
	(void)key_len;
	(void)named;
	(void)arg;
}

static void
setup(void)
{
	static const struct replica_ops ops = { .put = any_put,
		.del = any_del };

	base = event_base_new();
	memset(&model, 0, sizeof(model));
	model.services = replica_new(&ops, NULL);
	reports = set_new();
	rpc = rpc_new(base, &model);
	link_up();
}

static void
teardown(void)
{
	link_down();
	rpc_free(rpc);
	set_free(reports);
	replica_free(model.services);
	event_base_free(base);
}

/* ---- calls ---- */

static struct sockaddr_in
ipv4(const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	ck_assert_int_eq(inet_pton(AF_INET, address, &in.sin_addr), 1);
	return in;
}

/* A call that came from a pod. */
static struct grpc_call
from_pod(void)
{
	return (struct grpc_call){ .peer = ipv4("10.1.2.3"),
		.local = ipv4("10.0.0.9") };
}

static void
begin(struct grpc_call *c, const char *path)
{
	struct sidecar_request r = { "shop", "web-1", "sync" };
	uint8_t msg[LIMIT_GRPC_MESSAGE];

	*c = from_pod();
	invoke(c, path, msg, sidecar_request_encode(&r, msg, sizeof(msg)));
}

static void
answer(uint64_t id, enum grpc_code code, const char *text)
{
	uint8_t buf[LIMIT_TEXT + 64];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u64(&w, TAG_CALL, id);
	tlv_put_u8(&w, TAG_CODE, (uint8_t)code);
	tlv_put_str(&w, TAG_TEXT, text);
	ck_assert(channel_send_tlv(writer.ch, MSG_ANSWER, 0, &w, -1));
	run();
}

static const struct {
	const char *path;
	enum call_op op;
	enum grpc_code code;
	const char *text;
} ways[] = {
	{ GRPC_REGISTER, CALL_REGISTER, GRPC_OK, "" },
	{ GRPC_DEREGISTER, CALL_DEREGISTER, GRPC_OK, "" },
	{ GRPC_REGISTER, CALL_REGISTER, GRPC_NOT_FOUND,
	    "pod shop/web-1: not on this node" },
	{ GRPC_DEREGISTER, CALL_DEREGISTER, GRPC_UNAUTHENTICATED, "?" },
};

START_TEST(a_call_goes_there_and_back)
{
	struct grpc_call c;

	begin(&c, ways[_i].path);
	run();
	ck_assert_uint_eq(writer.calls, 1);
	ck_assert_uint_eq(writer.op, ways[_i].op);
	ck_assert_str_eq(writer.text[0], "shop");
	ck_assert_str_eq(writer.text[1], "web-1");
	ck_assert_str_eq(writer.text[2], "sync");
	ck_assert_str_eq(writer.text[3], "10.1.2.3");
	ck_assert_uint_eq(writer.local, 0);
	ck_assert(!c.ended);
	answer(writer.id, ways[_i].code, ways[_i].text);
	ck_assert(c.ended);
	ck_assert_int_eq(c.code, ways[_i].code);
	ck_assert_str_eq(c.text, ways[_i].text);
	ck_assert_uint_eq(c.answer_len, 0);
	ck_assert_uint_eq(writer.ends, 0);
}
END_TEST

START_TEST(answers_come_in_any_order)
{
	struct grpc_call c[3];
	uint64_t ids[3];

	for (size_t i = 0; i < COUNT(c); i++) {
		begin(&c[i], GRPC_REGISTER);
		run();
		ids[i] = writer.id;
	}
	answer(ids[1], GRPC_ABORTED, "1");
	ck_assert(!c[0].ended && c[1].ended && !c[2].ended);
	answer(ids[2], GRPC_OK, "");
	answer(ids[0], GRPC_OK, "");
	ck_assert(c[0].ended && c[2].ended);
}
END_TEST

START_TEST(who_gave_up_is_told_of)
{
	struct grpc_call c;
	uint64_t id;

	begin(&c, GRPC_REGISTER);
	run();
	id = writer.id;
	cancel(&c, GRPC_REGISTER);
	run();
	ck_assert_uint_eq(writer.ends, 1);
	ck_assert_uint_eq(writer.id, id);
	/* Its answer was under way. */
	answer(id, GRPC_OK, "");
	ck_assert(!writer.broken);
}
END_TEST

/* What no link has seen breaks the protocol. */
START_TEST(an_answer_to_nobody_is_an_error)
{
	static const uint64_t nobody[] = { 0, 2, UINT64_MAX };
	struct grpc_call c;

	begin(&c, GRPC_REGISTER);
	run();
	ck_assert_uint_eq(writer.id, 1);
	answer(nobody[_i], GRPC_OK, "");
	ck_assert(writer.broken);
	ck_assert(!c.ended);
	cancel(&c, GRPC_REGISTER);
}
END_TEST

START_TEST(an_answer_before_any_call_is_an_error)
{
	answer(1, GRPC_OK, "");
	ck_assert(writer.broken);
}
END_TEST

START_TEST(no_link_no_success)
{
	struct grpc_call waiting[2], late;

	begin(&waiting[0], GRPC_REGISTER);
	begin(&waiting[1], GRPC_DEREGISTER);
	run();
	link_down();
	for (size_t i = 0; i < COUNT(waiting); i++) {
		ck_assert(waiting[i].ended);
		ck_assert_int_eq(waiting[i].code, GRPC_UNAVAILABLE);
	}
	begin(&late, GRPC_REGISTER);
	ck_assert_int_eq(late.code, GRPC_UNAVAILABLE);
	ck_assert_str_eq(late.text,
	    "consul-writer is being restarted; try again");
	/* Ids begin anew. */
	link_up();
	begin(&late, GRPC_REGISTER);
	run();
	ck_assert_uint_eq(writer.id, 1);
	answer(1, GRPC_OK, "");
	ck_assert_int_eq(late.code, GRPC_OK);
}
END_TEST

START_TEST(only_so_many_wait)
{
	struct grpc_call *all = xcalloc(LIMIT_GRPC_CALLS + 1, sizeof(*all));
	struct grpc_call *last = &all[LIMIT_GRPC_CALLS];

	for (size_t i = 0; i <= LIMIT_GRPC_CALLS; i++) {
		begin(&all[i], GRPC_REGISTER);
		run();
	}
	ck_assert_uint_eq(writer.calls, LIMIT_GRPC_CALLS);
	ck_assert(last->ended);
	ck_assert_int_eq(last->code, GRPC_RESOURCE_EXHAUSTED);
	answer(1, GRPC_OK, "");
	begin(last, GRPC_REGISTER);
	run();
	ck_assert_uint_eq(writer.calls, LIMIT_GRPC_CALLS + 1);
	link_down();
	ck_assert(last->ended);
	link_up();
	free(all);
}
END_TEST

/* Nobody reads, and callers give up and come again. */
START_TEST(the_queue_is_bounded)
{
	struct grpc_call c;
	size_t n = 0;

	do {
		begin(&c, GRPC_REGISTER);
		if (!c.ended)
			cancel(&c, GRPC_REGISTER);
		else
			ck_assert_int_eq(c.code, GRPC_UNAVAILABLE);
		ck_assert_uint_lt(++n, 100000);
	} while (c.text[0] == '\0');
	ck_assert_ptr_nonnull(strstr(c.text, "behind"));
	ck_assert_uint_lt(channel_queued(writer.http),
	    LIMIT_CHANNEL_QUEUE + 2048);
}
END_TEST

START_TEST(what_is_no_request_is_refused)
{
	struct grpc_call c = from_pod();

	invoke(&c, GRPC_REGISTER,
	    "\x0a\x7f"
	    "x",
	    3);
	ck_assert(c.ended);
	ck_assert_int_eq(c.code, GRPC_INVALID_ARGUMENT);
	ck_assert_uint_eq(strncmp(c.text, "the request: ", 13), 0);
	run();
	ck_assert_uint_eq(writer.calls, 0);
}
END_TEST

/* ---- callers ---- */

static const struct {
	const char *peer;
	const char *local;
	const char *address;
	bool is_local;
} callers[] = {
	{ "10.1.2.3", "10.0.0.9", "10.1.2.3", false },
	{ "10.0.0.9", "10.0.0.9", "10.0.0.9", true },
	{ "127.1.2.3", "127.0.0.1", "127.1.2.3", true },
	{ "126.255.255.255", "127.0.0.1", "126.255.255.255", false },
	{ "::ffff:10.1.2.3", "::ffff:10.0.0.9", "10.1.2.3", false },
	{ "::ffff:10.0.0.9", "::ffff:10.0.0.9", "10.0.0.9", true },
	{ "::ffff:127.0.0.2", "::ffff:127.0.0.1", "127.0.0.2", true },
	{ "::ffff:10.0.0.9", "10.0.0.9", "10.0.0.9", true },
	{ "fd00::0:1", "fd00::2", "fd00::1", false },
	{ "::1", "::1", "::1", true },
	{ "fe80::1", "fe80::2", "fe80::1", false },
};

/* With a scope, which is of no meaning to others. */
static void
address(const char *text, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	*ss = (struct sockaddr_storage){ .ss_family = AF_INET };
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
		return;
	ss->ss_family = AF_INET6;
	in6->sin6_scope_id = 1;
	ck_assert_int_eq(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
}

START_TEST(knows_the_caller)
{
	struct sockaddr_storage peer, local;
	struct caller c;

	address(callers[_i].peer, &peer);
	address(callers[_i].local, &local);
	ck_assert(
	    caller_of((struct sockaddr *)&peer, (struct sockaddr *)&local, &c));
	ck_assert_str_eq(c.address, callers[_i].address);
	ck_assert_int_eq(c.local, callers[_i].is_local);
}
END_TEST

START_TEST(a_unix_socket_is_no_caller)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX }, local;
	struct caller c;

	address("::1", &local);
	ck_assert(!caller_of((struct sockaddr *)&peer,
	    (struct sockaddr *)&local, &c));
}
END_TEST

/* ---- health ---- */

static const struct {
	const char *request; /* service = 1 */
	size_t len;
	bool linked;
	bool synced;
	enum grpc_code code;
	uint8_t status;
} checks[] = {
	{ "", 0, true, true, GRPC_OK, GRPC_SERVING },
	{ "\x0a\x17katalogsync.KatalogSync", 25, true, true, GRPC_OK,
	    GRPC_SERVING },
	{ "\x0a\x01x", 3, true, true, GRPC_NOT_FOUND, 0 },
	{ "", 0, true, false, GRPC_OK, GRPC_NOT_SERVING },
	{ "", 0, false, true, GRPC_OK, GRPC_NOT_SERVING },
	{ "\x0a\x05x", 3, true, true, GRPC_INVALID_ARGUMENT, 0 },
};

START_TEST(tells_its_health)
{
	struct grpc_call c = from_pod();

	model.workers[ROLE_KUBELET_READER].known = true;
	model.workers[ROLE_CONSUL_WRITER].known = true;
	if (checks[_i].synced)
		model.synced = ROLE_BIT(ROLE_CONSUL_WRITER);
	if (!checks[_i].linked)
		rpc_link(rpc, NULL);
	invoke(&c, GRPC_HEALTH, checks[_i].request, checks[_i].len);
	ck_assert(c.ended);
	ck_assert_int_eq(c.code, checks[_i].code);
	if (c.code != GRPC_OK)
		return;
	ck_assert_uint_eq(c.answer_len, 2);
	ck_assert_uint_eq(c.answer[0], 0x08);
	ck_assert_uint_eq(c.answer[1], checks[_i].status);
}
END_TEST

/* ---- what is remembered ---- */

static void
report(const char *name, enum pod_sidecar sidecar)
{
	struct pod_report r = { .namespace = "shop",
		.name = name,
		.uid = "u",
		.sidecar = sidecar,
		.text = "" };
	char key[LIMIT_SET_KEY];
	uint8_t val[2048];
	size_t len = pod_key("shop", name, key);

	set_put(reports, key, len, val,
	    pod_report_encode(&r, val, sizeof(val)));
}

/* consul-writer tells of its pods. */
static void
tell_reports(void)
{
	writer.feed = feed_new(reports);
	set_complete(reports);
	feed_attach(writer.feed, writer.ch);
	run();
}

START_TEST(nothing_to_remember)
{
	run();
	ck_assert_uint_eq(writer.remembers, 0);
	ck_assert_uint_eq(writer.remembered, 1);
}
END_TEST

START_TEST(a_new_consul_writer_is_told)
{
	report("none", POD_SIDECAR_NONE);
	report("waits", POD_SIDECAR_WAITING);
	report("out", POD_SIDECAR_DEREGISTERED);
	report("in", POD_SIDECAR_REGISTERED);
	set_put(reports, "katalog-sync_web_shop_in", 24, "x", 1);
	tell_reports();
	ck_assert_uint_eq(replica_count(model.services), 5);
	/* Twice: what was not told anew is still there. */
	for (int i = 0; i < 2; i++) {
		link_down();
		link_up();
		run();
		ck_assert_str_eq(writer.pods,
		    "shop/in u registered;shop/out u deregistered;");
		ck_assert_uint_eq(writer.remembered, 1);
	}
}
END_TEST

/* ---- the rest ---- */

START_TEST(counts_what_the_server_counts)
{
	struct metrics ms = { 0 };

	counts = (struct grpc_counts){ .connections = 1,
		.calls = 2,
		.accepted = 3,
		.refused = 4,
		.broken = 5,
		.ended = { [GRPC_OK] = 6, [GRPC_UNAUTHENTICATED] = 7 } };
	rpc_count(rpc, &ms);
	ck_assert_uint_eq(ms.m[M_SIDECAR_CONNECTIONS].value, 1);
	ck_assert_uint_eq(ms.m[M_SIDECAR_CALLS].value, 2);
	ck_assert_uint_eq(ms.m[M_SIDECAR_ACCEPTED].value, 3);
	ck_assert_uint_eq(ms.m[M_SIDECAR_REFUSED].value, 4);
	ck_assert_uint_eq(ms.m[M_SIDECAR_BROKEN].value, 5);
	ck_assert_uint_eq(ms.m[M_SIDECAR_ENDED].value, 6);
	ck_assert_uint_eq(ms.m[M_SIDECAR_ENDED_LAST].value, 7);
}
END_TEST

/* The labels are written out in a module that knows no gRPC. */
START_TEST(each_code_has_its_name)
{
	char labels[64];

	for (unsigned code = 0; code < GRPC_CODES; code++) {
		snprintf(labels, sizeof(labels), "code=\"%s\"",
		    grpc_code_name(code));
		ck_assert_str_eq(metric_def(
				     (enum metric)(M_SIDECAR_ENDED + code))
				     ->labels,
		    labels);
	}
}
END_TEST

START_TEST(passes_sockets_on)
{
	owned = 7;
	rpc_listen(rpc, 5);
	ck_assert_int_eq(listened, 5);
	ck_assert(rpc_owns(rpc, 7));
	ck_assert(!rpc_owns(rpc, 8));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rpc");
	TCase *t = tcase_create("rpc");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_call_goes_there_and_back, 0, COUNT(ways));
	tcase_add_test(t, answers_come_in_any_order);
	tcase_add_test(t, who_gave_up_is_told_of);
	tcase_add_loop_test(t, an_answer_to_nobody_is_an_error, 0, 3);
	tcase_add_test(t, an_answer_before_any_call_is_an_error);
	tcase_add_test(t, no_link_no_success);
	tcase_add_test(t, only_so_many_wait);
	tcase_add_test(t, the_queue_is_bounded);
	tcase_add_test(t, what_is_no_request_is_refused);
	tcase_add_loop_test(t, knows_the_caller, 0, COUNT(callers));
	tcase_add_test(t, a_unix_socket_is_no_caller);
	tcase_add_loop_test(t, tells_its_health, 0, COUNT(checks));
	tcase_add_test(t, nothing_to_remember);
	tcase_add_test(t, a_new_consul_writer_is_told);
	tcase_add_test(t, counts_what_the_server_counts);
	tcase_add_test(t, each_code_has_its_name);
	tcase_add_test(t, passes_sockets_on);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
