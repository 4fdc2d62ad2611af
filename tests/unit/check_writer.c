#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/fake_agent.h"
#include "workers/consul_writer/agent.h"
#include "workers/consul_writer/writer.h"

/* Real time passes here: TTLs and waits are short. */
#define TTL         400
#define STALE_AFTER 2000
#define DEADLINE    10000
#define CONCURRENT  4
#define MANY        100
/* Of a check whose refresh must not be late, on a machine that is busy. */
#define LONG_TTL 3000

static struct event_base *base;
static struct event *tick; /* so that AWAIT sees its deadline */
static const struct timeval tick_time = { .tv_usec = 100000 };
static struct writer *w;
static struct metrics metrics;
static struct {
	enum health health;
	bool synced;
	char text[LIMIT_TEXT];
	char error[LIMIT_TEXT]; /* of the last report that had one */
	unsigned gone;
	unsigned permitted; /* said to be, in the log */
	bool stopped;
} seen;

static void
on_report(const struct service_report *r, void *arg)
{
	(void)arg;
	if (*r->error != '\0')
		snprintf(seen.error, sizeof(seen.error), "%s", r->error);
}

static void
on_gone(const char *id, void *arg)
{
	(void)id;
	(void)arg;
	seen.gone++;
}

static void
on_health(enum health h, bool synced, const char *text, void *arg)
{
	(void)arg;
	seen.health = h;
	seen.synced = synced;
	snprintf(seen.text, sizeof(seen.text), "%s", text);
}

static void
on_stopped(void *arg)
{
	(void)arg;
	ck_assert(!seen.stopped);
	seen.stopped = true;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void
on_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	if (strstr(line, "good for all services now") != NULL)
		seen.permitted++;
}

static void
new_writer(uint64_t stale_after_ms)
{
	const struct writer_conf conf = {
		.base = base,
		.client = fake_agent_client(),
		.metrics = &metrics,
		.server = "http://fake",
		.prefix = "",
		.namespace = "",
		.timeout_ms = 1000,
		.resync_ms = 60000,
		.stale_after_ms = stale_after_ms,
		.concurrency = CONCURRENT,
		.report = on_report,
		.gone = on_gone,
		.health = on_health,
		.stopped = on_stopped,
	};

	memset(&seen, 0, sizeof(seen));
	w = writer_new(&conf);
	writer_start(w);
}

static void
setup(void)
{
	log_set_sink(on_log, NULL);
	memset(&metrics, 0, sizeof(metrics));
	base = event_base_new();
	tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	event_add(tick, &tick_time);
	fake_agent_start(base);
	new_writer(60000);
}

static void
teardown(void)
{
	writer_free(w);
	fake_agent_stop();
	event_free(tick);
	event_base_free(base);
}

static const char *
id_of(unsigned i)
{
	static char id[64];

	snprintf(id, sizeof(id), "katalog-sync_web_shop_web-%u", i);
	return id;
}

static void
want_ttl(unsigned i, enum service_status st, const char *tag, uint64_t ttl)
{
	const char *id = id_of(i);
	struct service *s = xcalloc(1, sizeof(*s) + strlen(id) + 1);

	memcpy(s + 1, id, strlen(id) + 1);
	s->id = (char *)(s + 1);
	s->name = "web";
	s->namespace = "shop";
	s->pod = "web";
	s->address = "10.0.0.1";
	s->notes = "{}";
	s->output = st == SERVICE_PASSING ? "" : service_status_name(st);
	s->tags[0] = tag;
	s->ntags = 1;
	s->meta[0] =
	    (struct service_meta){ "external-sync-source", "katalog-sync" };
	s->nmeta = 1;
	s->ttl_ms = ttl;
	s->port = 80;
	s->status = st;
	writer_want(w, s);
}

/* With a TTL that is not refreshed during a test. */
static void
want(unsigned i, enum service_status st, const char *tag)
{
	want_ttl(i, st, tag, 3600000);
}

static void
fresh(bool confirmed)
{
	writer_fresh(w, clock_ms(), confirmed);
}

static void
snapshot(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		want(i, SERVICE_PASSING, "a");
	writer_synced(w, true);
	fresh(true);
}

/* Turns the loop until cond is true; it is looked at after each event. */
#define AWAIT(cond) \
	do { \
		uint64_t start_ = clock_ms(); \
		while (!(cond)) { \
			ck_assert_msg(clock_ms() - start_ < DEADLINE, \
			    "never: %s", #cond); \
			event_base_loop(base, EVLOOP_ONCE); \
		} \
	} while (0)

/* Nothing is under way any more, and what was asked for was seen. */
#define IN_STEP (seen.health == HEALTH_OK && fake_agent.flying == 0)

static void
on_pause(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

/* Lets time pass in which nothing is awaited but what must not come. */
static void
pass_ms(unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	event_base_once(base, -1, EV_TIMEOUT, on_pause, base, &tv);
	event_base_dispatch(base);
}

static uint64_t
figure(enum metric m)
{
	return metrics.m[m].value;
}

START_TEST(fills_an_agent)
{
	AWAIT(fake_agent.gets == 1 && fake_agent.flying == 0);
	ck_assert(!seen.synced);
	ck_assert_int_eq(seen.health, HEALTH_STARTING);
	snapshot(MANY);
	AWAIT(IN_STEP);
	ck_assert(seen.synced);
	ck_assert_uint_eq(fake_agent_count(), MANY);
	ck_assert_uint_eq(fake_agent.registers, MANY);
	ck_assert_uint_eq(fake_agent.updates, 0);
	ck_assert_uint_eq(fake_agent.most_flying, CONCURRENT);
	ck_assert_str_eq(fake_agent_status(id_of(7)), "passing");
	ck_assert_uint_eq(figure(M_CONSUL_REGISTER), MANY);
	ck_assert_uint_eq(figure(M_SERVICES_DESIRED), MANY);
	ck_assert_uint_eq(figure(M_SERVICES_ACTUAL), MANY);
	ck_assert_uint_ge(figure(M_CONSUL_SYNC_OK), 1);
	ck_assert_uint_eq(figure(M_CONSUL_SYNC_ERR), 0);
}
END_TEST

START_TEST(second_run_changes_nothing)
{
	snapshot(MANY);
	AWAIT(IN_STEP);
	writer_free(w);
	new_writer(60000);
	snapshot(MANY);
	AWAIT(IN_STEP);
	ck_assert_uint_eq(fake_agent.registers, MANY);
	ck_assert_uint_eq(fake_agent.updates, 0);
	ck_assert_uint_eq(fake_agent.deregisters, 0);
}
END_TEST

START_TEST(writes_changes_at_once)
{
	snapshot(2);
	AWAIT(IN_STEP);
	want(1, SERVICE_CRITICAL, "a");
	AWAIT(strcmp(fake_agent_status(id_of(1)), "critical") == 0);
	ck_assert_str_eq(fake_agent.last_path,
	    "/v1/agent/check/update/katalog-sync_web_shop_web-1");
	ck_assert_str_eq(fake_agent.last_body,
	    "{\"Status\":\"critical\",\"Output\":\"critical\"}");
	want(1, SERVICE_CRITICAL, "b");
	AWAIT(fake_agent.registers == 3);
	ck_assert_str_eq(fake_agent_status(id_of(1)), "critical");
	writer_drop(w, id_of(0), true);
	AWAIT(fake_agent_count() == 1);
	ck_assert_str_eq(fake_agent.last_path,
	    "/v1/agent/service/deregister/katalog-sync_web_shop_web-0");
	AWAIT(seen.gone == 1);
}
END_TEST

START_TEST(keeps_checks_alive)
{
	uint64_t start = clock_ms();

	want_ttl(0, SERVICE_PASSING, "a", LONG_TTL);
	writer_synced(w, true);
	fresh(true);
	AWAIT(fake_agent.updates >= 1);
	ck_assert_uint_lt(clock_ms() - start, LONG_TTL);
	start = clock_ms();
	AWAIT(fake_agent.updates >= 2);
	/* Half of it, if we did not hear of the first one late. */
	ck_assert_uint_ge(clock_ms() - start, LONG_TTL / 2 - LONG_TTL / 10);
	ck_assert_uint_lt(clock_ms() - start, LONG_TTL);
	ck_assert_uint_eq(figure(M_CONSUL_CHECK_REFRESH), 2);
	ck_assert_uint_eq(figure(M_CONSUL_CHECK_UPDATE), 0);
}
END_TEST

START_TEST(stops_when_stale)
{
	unsigned updates;

	writer_free(w);
	new_writer(STALE_AFTER);
	want_ttl(0, SERVICE_PASSING, "a", TTL / 4);
	writer_synced(w, true);
	fresh(true);
	AWAIT(strstr(seen.text, "can't be read") != NULL);
	ck_assert_int_eq(seen.health, HEALTH_DEGRADED);
	ck_assert(seen.synced);
	AWAIT(fake_agent.flying == 0);
	updates = fake_agent.updates;
	ck_assert_uint_ge(updates, 3);
	pass_ms(TTL);
	ck_assert_uint_eq(fake_agent.updates, updates);
	fresh(true);
	AWAIT(fake_agent.updates > updates);
	ck_assert_int_eq(seen.health, HEALTH_OK);
}
END_TEST

START_TEST(waits_for_an_agent)
{
	uint64_t start = clock_ms();

	fake_agent.error = "connection refused";
	snapshot(MANY);
	AWAIT(figure(M_ERR_CONSUL_CONNECT) >= 3);
	/* At once, after 250 ms and after 500 ms, less up to a quarter. */
	ck_assert_uint_ge(clock_ms() - start, 3 * 750 / 4 - 20);
	ck_assert_uint_eq(figure(M_CONSUL_REGISTER), 0);
	ck_assert_int_eq(seen.health, HEALTH_DEGRADED);
	ck_assert_ptr_nonnull(strstr(seen.text, "connection refused"));
	fake_agent.error = NULL;
	AWAIT(IN_STEP);
	ck_assert_uint_eq(fake_agent_count(), MANY);
}
END_TEST

/* It went away with writes under way, which may have arrived or not. */
START_TEST(loses_an_agent)
{
	unsigned gets;

	snapshot(MANY);
	AWAIT(IN_STEP);
	gets = fake_agent.gets;
	fake_agent.error = "timed out";
	for (unsigned i = 0; i < MANY; i++)
		want(i, SERVICE_CRITICAL, "a");
	AWAIT(seen.health == HEALTH_DEGRADED && fake_agent.flying == 0);
	ck_assert_uint_eq(figure(M_CONSUL_CHECK_UPDATE), CONCURRENT);
	fake_agent_set_status(id_of(0), "critical");
	fake_agent.error = NULL;
	AWAIT(IN_STEP);
	ck_assert_uint_gt(fake_agent.gets, gets);
	ck_assert_uint_eq(fake_agent.updates, MANY - 1);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_str_eq(fake_agent_status(id_of(i)), "critical");
}
END_TEST

START_TEST(fills_a_wiped_agent)
{
	unsigned updates;

	snapshot(MANY);
	want_ttl(0, SERVICE_PASSING, "a", TTL);
	AWAIT(IN_STEP);
	updates = fake_agent.updates;
	fake_agent_wipe();
	AWAIT(fake_agent_count() == MANY);
	ck_assert_uint_eq(fake_agent.updates, updates + 1);
}
END_TEST

START_TEST(says_what_is_denied)
{
	snapshot(3);
	AWAIT(IN_STEP);
	fake_agent.only = "web-1";
	fake_agent.status = 403;
	fake_agent.text = "Permission denied: token with AccessorID 'x' "
			  "lacks permission 'service:write' on \"web\"\n";
	want(1, SERVICE_CRITICAL, "a");
	want(2, SERVICE_CRITICAL, "a");
	AWAIT(strcmp(fake_agent_status(id_of(2)), "critical") == 0 &&
	    seen.health == HEALTH_DEGRADED);
	ck_assert_ptr_nonnull(strstr(seen.text, "1 of 3 services: HTTP 403"));
	ck_assert_ptr_nonnull(strstr(seen.error, "needs service:write"));
	ck_assert_ptr_null(strchr(seen.error, '\n'));
	ck_assert_uint_eq(figure(M_ERR_CONSUL_ACL), 1);
	/* A new token: no back-off. */
	fake_agent.status = 0;
	writer_retry(w);
	AWAIT(IN_STEP);
	ck_assert_str_eq(fake_agent_status(id_of(1)), "critical");
	ck_assert_uint_eq(figure(M_CONSUL_CHECK_UPDATE), 3);
	ck_assert_uint_eq(seen.permitted, 1);
}
END_TEST

/* That says nothing of the token. */
START_TEST(what_is_denied_goes_away)
{
	snapshot(2);
	AWAIT(IN_STEP);
	fake_agent.only = "web-1";
	fake_agent.status = 403;
	want(1, SERVICE_CRITICAL, "a");
	AWAIT(seen.health == HEALTH_DEGRADED);
	/* Not by us: it may not do that, either. */
	fake_agent_wipe();
	writer_drop(w, id_of(1), true);
	fake_agent.status = 404;
	AWAIT(seen.gone == 1 && seen.health == HEALTH_OK);
	ck_assert_uint_eq(seen.permitted, 0);
}
END_TEST

/* The agent is read by it, and then all is registered by it. */
START_TEST(another_token)
{
	unsigned gets;

	snapshot(2);
	AWAIT(IN_STEP && fake_agent.gets == 2);
	gets = fake_agent.gets;
	/* The last one showed nothing, or what it showed has run out. */
	fake_agent_set_status(id_of(1), "critical");
	fake_agent.error = "connection refused";
	writer_renew(w);
	ck_assert(!writer_view(w, id_of(0)).written);
	AWAIT(fake_agent.flying == 0 && seen.health == HEALTH_DEGRADED);
	ck_assert_uint_eq(figure(M_CONSUL_REGISTER), 2);
	fake_agent.error = NULL;
	AWAIT(fake_agent.registers == 4 && IN_STEP);
	ck_assert_uint_gt(fake_agent.gets, gets);
	ck_assert_str_eq(fake_agent_status(id_of(1)), "passing");
	ck_assert_uint_eq(fake_agent.updates, 1);
}
END_TEST

START_TEST(another_token_while_it_is_read)
{
	snapshot(1);
	AWAIT(IN_STEP && fake_agent.gets == 2);
	fake_agent.holds = true;
	writer_renew(w);
	AWAIT(fake_agent.flying == 1);
	writer_renew(w);
	ck_assert_uint_eq(fake_agent.flying, 0);
	fake_agent_release();
	AWAIT(fake_agent.registers == 2 && IN_STEP);
}
END_TEST

/* What is known goes on: refreshes, and what changes. */
START_TEST(takes_no_list_without_end)
{
	unsigned updates;

	want_ttl(0, SERVICE_PASSING, "a", TTL);
	want(1, SERVICE_PASSING, "a");
	writer_synced(w, true);
	fresh(true);
	AWAIT(IN_STEP);
	fake_agent.only = "/v1/agent/services";
	fake_agent.error = "answer larger than 1000 bytes";
	fake_agent.too_large = true;
	AWAIT(strstr(seen.text, "larger than") != NULL);
	updates = fake_agent.updates;
	want(1, SERVICE_CRITICAL, "a");
	AWAIT(strcmp(fake_agent_status(id_of(1)), "critical") == 0);
	AWAIT(fake_agent.updates > updates + 2);
	ck_assert_uint_eq(fake_agent.registers, 2);
}
END_TEST

START_TEST(never_ready_while_denied)
{
	fake_agent.only = "/service/";
	fake_agent.status = 403;
	fake_agent.text = "anonymous token lacks permission";
	snapshot(3);
	AWAIT(seen.health == HEALTH_DEGRADED && fake_agent.flying == 0);
	ck_assert(!seen.synced);
	ck_assert_ptr_nonnull(strstr(seen.text, "consul-token-file"));
}
END_TEST

/* One service that the agent does not take stands in nobody's way. */
START_TEST(one_is_refused)
{
	fake_agent_register(
	    "{\"ID\":\"katalog-sync_web_shop_web-2\","
	    "\"Name\":\"x\",\"Check\":{\"Status\":\"passing\"}}");
	fake_agent.text = "Invalid service address";
	snapshot(3);
	fake_agent.only = "register";
	fake_agent.status = 400;
	AWAIT(fake_agent.registers == 0 && seen.synced);
	ck_assert_int_eq(seen.health, HEALTH_DEGRADED);
	ck_assert_uint_eq(figure(M_ERR_CONSUL_HTTP), 2);
	ck_assert_uint_eq(fake_agent.deregisters, 0);
	ck_assert_uint_eq(fake_agent_count(), 1);
}
END_TEST

START_TEST(waits_when_told)
{
	uint64_t start;

	snapshot(1);
	AWAIT(IN_STEP);
	fake_agent.only = "update";
	fake_agent.status = 429;
	fake_agent.retry_after_ms = 700;
	start = clock_ms();
	want(0, SERVICE_CRITICAL, "a");
	AWAIT(seen.health == HEALTH_DEGRADED);
	fake_agent.status = 0;
	AWAIT(IN_STEP);
	ck_assert_uint_ge(clock_ms() - start, 700);
	ck_assert_uint_eq(fake_agent.updates, 1);
}
END_TEST

/* All requests under way are told so: that is to be waited for once. */
START_TEST(waits_once_for_many)
{
	uint64_t start;

	snapshot(CONCURRENT);
	AWAIT(IN_STEP);
	fake_agent.only = "update";
	fake_agent.status = 429;
	for (unsigned i = 0; i < CONCURRENT; i++)
		want(i, SERVICE_CRITICAL, "a");
	AWAIT(figure(M_ERR_CONSUL_HTTP) == CONCURRENT);
	start = clock_ms();
	fake_agent.status = 0;
	AWAIT(IN_STEP);
	ck_assert_uint_eq(fake_agent.updates, CONCURRENT);
	/* The fourth wait would be eight times as long, less up to a quarter. */
	ck_assert_uint_le(clock_ms() - start, 5 * AGENT_BACKOFF_MIN_MS);
}
END_TEST

/* Statuses that it says it did not take, and may have: it is not away. */
START_TEST(is_not_lost_by_broken_updates)
{
	bool held = true;

	snapshot(1 + AGENT_REFUSALS_MAX);
	AWAIT(IN_STEP);
	fake_agent.only = "update";
	fake_agent.status = 500;
	for (unsigned i = 1; i <= AGENT_REFUSALS_MAX; i++)
		want(i, SERVICE_CRITICAL, "a");
	AWAIT((held = held && writer_view(w, id_of(0)).written,
	    figure(M_ERR_CONSUL_HTTP) >= AGENT_REFUSALS_MAX));
	ck_assert(held && writer_view(w, id_of(0)).written);
	fake_agent.status = 0;
	AWAIT(IN_STEP);
	ck_assert_str_eq(fake_agent_status(id_of(1)), "critical");
}
END_TEST

/* The ID was ours, long ago, and is somebody else's by now. */
START_TEST(looks_before_it_deletes)
{
	uint64_t looked;
	unsigned gets;
	char text[200];

	snapshot(3);
	/* After its start it looks twice. */
	AWAIT(IN_STEP && fake_agent.gets == 2);
	looked = clock_ms();
	AWAIT(clock_ms() > looked + PLAN_LOOK_MS);
	snprintf(text, sizeof(text),
	    "{\"ID\":\"%s\",\"Name\":\"x\","
	    "\"Check\":{\"Status\":\"passing\"}}",
	    id_of(0));
	fake_agent_register(text);
	gets = fake_agent.gets;
	writer_drop(w, id_of(0), true);
	writer_drop(w, id_of(1), true);
	AWAIT(seen.gone == 2 && fake_agent.flying == 0);
	ck_assert_uint_eq(fake_agent.deregisters, 1);
	ck_assert_uint_eq(fake_agent_count(), 2);
	ck_assert_str_eq(fake_agent_status(id_of(0)), "passing");
	/* It knows now. */
	writer_drop(w, id_of(2), true);
	AWAIT(fake_agent_count() == 1);
	ck_assert_uint_eq(fake_agent.gets, gets + 1);
}
END_TEST

START_TEST(takes_no_nonsense)
{
	fake_agent.status = 200;
	fake_agent.text = "<html>";
	snapshot(3);
	AWAIT(seen.health == HEALTH_DEGRADED);
	ck_assert_ptr_nonnull(strstr(seen.text, "not a JSON object"));
	ck_assert_uint_ge(figure(M_ERR_CONSUL_BODY), 1);
	ck_assert_uint_eq(figure(M_CONSUL_REGISTER), 0);
	fake_agent.status = 0;
	AWAIT(IN_STEP);
}
END_TEST

START_TEST(cleans_up_when_confirmed)
{
	snapshot(3);
	AWAIT(IN_STEP);
	writer_free(w);
	new_writer(60000);
	want(0, SERVICE_PASSING, "a");
	want(1, SERVICE_PASSING, "a");
	writer_synced(w, true);
	fresh(false);
	AWAIT(strstr(seen.text, "1 of 2 services") != NULL);
	pass_ms(100);
	ck_assert_uint_eq(fake_agent.deregisters, 0);
	ck_assert(!seen.synced);
	fresh(true);
	AWAIT(IN_STEP);
	ck_assert_uint_eq(fake_agent_count(), 2);
}
END_TEST

START_TEST(stops_after_writes)
{
	AWAIT(fake_agent.gets == 1 && fake_agent.flying == 0);
	fake_agent.holds = true;
	snapshot(MANY);
	AWAIT(fake_agent.flying == CONCURRENT);
	writer_stop(w);
	writer_stop(w);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert(!seen.stopped);
	fake_agent_release();
	AWAIT(seen.stopped);
	ck_assert_uint_eq(fake_agent.registers, CONCURRENT);
	ck_assert_uint_eq(fake_agent.deregisters, 0);
	fresh(true);
	event_base_loop(base, EVLOOP_NONBLOCK);
}
END_TEST

START_TEST(stops_in_time)
{
	uint64_t start;

	AWAIT(fake_agent.gets == 1 && fake_agent.flying == 0);
	fake_agent.holds = true;
	snapshot(1);
	AWAIT(fake_agent.flying == 1);
	start = clock_ms();
	writer_stop(w);
	AWAIT(seen.stopped);
	ck_assert_uint_ge(clock_ms() - start, 1990);
	ck_assert_uint_le(clock_ms() - start, 5000);
	ck_assert_uint_eq(fake_agent.flying, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("writer");
	TCase *t = tcase_create("writer");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, fills_an_agent);
	tcase_add_test(t, second_run_changes_nothing);
	tcase_add_test(t, writes_changes_at_once);
	tcase_add_test(t, keeps_checks_alive);
	tcase_add_test(t, stops_when_stale);
	tcase_add_test(t, waits_for_an_agent);
	tcase_add_test(t, loses_an_agent);
	tcase_add_test(t, fills_a_wiped_agent);
	tcase_add_test(t, says_what_is_denied);
	tcase_add_test(t, what_is_denied_goes_away);
	tcase_add_test(t, another_token);
	tcase_add_test(t, another_token_while_it_is_read);
	tcase_add_test(t, takes_no_list_without_end);
	tcase_add_test(t, never_ready_while_denied);
	tcase_add_test(t, one_is_refused);
	tcase_add_test(t, waits_when_told);
	tcase_add_test(t, waits_once_for_many);
	tcase_add_test(t, is_not_lost_by_broken_updates);
	tcase_add_test(t, looks_before_it_deletes);
	tcase_add_test(t, takes_no_nonsense);
	tcase_add_test(t, cleans_up_when_confirmed);
	tcase_add_test(t, stops_after_writes);
	tcase_add_test(t, stops_in_time);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
