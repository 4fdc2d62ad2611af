#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/dns_peer.h"
#include "workers/resolve.h"

#define PATIENCE_MS 20000

static const struct dns_record first[] = {
	{ "web.test", "10.0.0.1", 60, 0 },
	{ "web.test", "2001:db8::1", 30, 0 },
	{ "four.test", "10.0.0.4", 60, 0 },
	{ "six.test", "2001:db8::6", 60, 0 },
	{ "many.test", "10.0.0.9", 60, 20 },
	{ "short.test", "10.0.0.5", 0, 0 },
	{ "long.test", "10.0.0.6", 100000, 0 },
	{ "empty.test", NULL, 0, 0 },
	{ "api.sub.example", "10.0.0.7", 60, 0 },
	{ "a.b.sub.example", "10.0.0.8", 60, 0 },
	{ NULL, NULL, 0, 0 },
};

static const struct dns_record moved[] = {
	{ "web.test", "10.0.0.2", 60, 0 },
	{ NULL, NULL, 0, 0 },
};

static const struct dns_record nothing[] = {
	{ NULL, NULL, 0, 0 },
};

static struct event_base *base;
static struct dns_peer *peer;
static struct resolve *res;
static char folder[] = "/tmp/check_resolve.XXXXXX";
static char hosts[64], resolv_conf[64];
static unsigned settled, warned;
static uint64_t now;

static uint64_t
test_now(void)
{
	return now;
}

static void
on_settled(void *arg)
{
	(void)arg;
	settled++;
}

static void
on_log(enum log_level level, const char *line, void *arg)
{
	(void)line;
	(void)arg;
	if (level == LOG_LVL_WARN)
		warned++;
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(hosts, sizeof(hosts), "%s/hosts", folder);
	snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", folder);
	write_file(hosts,
	    "# comment\n127.0.0.1 here Other.Name\n"
	    "::1 here # other.name\nnonsense here\n\n\t10.1.1.1\tlast");
	base = event_base_new();
	peer = dns_peer_new(base, first);
	dns_peer_write_conf(peer, resolv_conf, "options timeout:1\n");
	settled = warned = 0;
	now = 1000000;
	log_set_sink(on_log, NULL);
}

static void
teardown(void)
{
	resolve_free(res);
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	dns_peer_free(peer);
	event_base_free(base);
	unlink(hosts);
	unlink(resolv_conf);
	rmdir(folder);
}

static void
preload(const char *host)
{
	struct resolve_conf conf = {
		.base = base,
		.host = host,
		.hosts = hosts,
		.resolv_conf = resolv_conf,
		.now_ms = test_now,
		.settled = on_settled,
	};

	resolve_free(res);
	res = resolve_preload(&conf);
}

static void
await_settled(unsigned n)
{
	uint64_t end = clock_ms() + PATIENCE_MS;

	while (settled < n) {
		ck_assert_msg(clock_ms() < end, "the lookup did not end");
		event_base_loop(base, EVLOOP_ONCE);
	}
}

/* Asks, waits, and tells how it ended. */
static enum resolve_state
look_up(void)
{
	unsigned before = settled;

	ck_assert_int_eq(resolve_state(res), RESOLVE_PENDING);
	await_settled(before + 1);
	return resolve_state(res);
}

static const struct {
	const char *host, *list;
} fixed[] = {
	{ "10.0.0.1", "10.0.0.1" },
	{ "::1", "[::1]" },
	{ "2001:DB8:0::1", "[2001:db8::1]" },
	{ "here", "127.0.0.1,[::1]" },
	{ "HERE", "127.0.0.1,[::1]" },
	{ "other.name", "127.0.0.1" },
	{ "last", "10.1.1.1" },
	{ "last.", "10.1.1.1" },
	{ "localhost", "127.0.0.1,[::1]" },
	{ "web.localhost", "127.0.0.1,[::1]" },
};

START_TEST(fixed_addresses_need_no_server)
{
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
		preload(fixed[i].host);
		ck_assert(!resolve_uses_dns(res));
		ck_assert_int_eq(resolve_state(res), RESOLVE_READY);
		ck_assert_str_eq(resolve_list(res), fixed[i].list);
		ck_assert_uint_eq(resolve_generation(res), 1);
		now += 1000ULL * 86400 * 365;
		resolve_doubt(res);
		ck_assert_int_eq(resolve_state(res), RESOLVE_READY);
	}
	ck_assert_uint_eq(dns_peer_asked(peer), 0);
}
END_TEST

static const struct {
	const char *host, *list;
	uint64_t kept_ms;
} found[] = {
	{ "web.test", "[2001:db8::1],10.0.0.1", 30000 },
	{ "four.test", "10.0.0.4", 60000 },
	{ "six.test.", "[2001:db8::6]", 60000 },
	{ "short.test", "10.0.0.5", 5000 },
	{ "long.test", "10.0.0.6", 300000 },
	{ "many.test",
	    "10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,"
	    "10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9",
	    60000 },
};

START_TEST(names_are_kept_for_their_ttl)
{
	for (size_t i = 0; i < sizeof(found) / sizeof(*found); i++) {
		unsigned asked;

		preload(found[i].host);
		ck_assert(resolve_uses_dns(res));
		ck_assert_str_eq(resolve_list(res), "");
		ck_assert_uint_eq(resolve_generation(res), 0);
		ck_assert_int_eq(look_up(), RESOLVE_READY);
		ck_assert_str_eq(resolve_list(res), found[i].list);
		asked = dns_peer_asked(peer);
		now += found[i].kept_ms - 1;
		ck_assert_int_eq(resolve_state(res), RESOLVE_READY);
		ck_assert_uint_eq(dns_peer_asked(peer), asked);
		now += 1;
		ck_assert_int_eq(look_up(), RESOLVE_READY);
		ck_assert_uint_eq(dns_peer_asked(peer), asked + 2);
		/* The same answer is no new generation. */
		ck_assert_uint_eq(resolve_generation(res), 1);
	}
}
END_TEST

static const struct {
	const char *host, *options;
	enum resolve_state state;
} searched[] = {
	{ "api", "search none.example sub.example\n", RESOLVE_READY },
	{ "api.", "search sub.example\n", RESOLVE_FAILED },
	{ "a.b", "search sub.example\noptions ndots:5\n", RESOLVE_READY },
	{ "a.b", "search sub.example\noptions ndots:1\n", RESOLVE_READY },
	{ "api", "search none.example\n", RESOLVE_FAILED },
};

START_TEST(search_domains_are_tried)
{
	for (size_t i = 0; i < sizeof(searched) / sizeof(*searched); i++) {
		dns_peer_write_conf(peer, resolv_conf, searched[i].options);
		preload(searched[i].host);
		ck_assert_msg(look_up() == searched[i].state, "%s: %s",
		    searched[i].host, searched[i].options);
	}
}
END_TEST

static const struct {
	const char *host, *error;
} missing[] = {
	{ "no.test", "look up no.test: name does not exist" },
	{ "empty.test", "look up empty.test: no records in the reply" },
};

START_TEST(failures_are_told_and_not_repeated_at_once)
{
	for (size_t i = 0; i < sizeof(missing) / sizeof(*missing); i++) {
		unsigned asked;

		preload(missing[i].host);
		ck_assert_int_eq(look_up(), RESOLVE_FAILED);
		ck_assert_str_eq(resolve_error(res), missing[i].error);
		asked = dns_peer_asked(peer);
		now += 999;
		ck_assert_int_eq(resolve_state(res), RESOLVE_FAILED);
		ck_assert_uint_eq(dns_peer_asked(peer), asked);
		now += 1;
		ck_assert_int_eq(look_up(), RESOLVE_FAILED);
	}
	ck_assert_uint_eq(warned, 0);
}
END_TEST

START_TEST(old_addresses_outlive_a_failure)
{
	preload("web.test");
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	dns_peer_set(peer, nothing);
	for (int i = 0; i < 3; i++) {
		now += 30000;
		ck_assert_int_eq(look_up(), RESOLVE_READY);
		ck_assert_str_eq(resolve_list(res), "[2001:db8::1],10.0.0.1");
	}
	ck_assert_uint_eq(warned, 1);
	dns_peer_set(peer, moved);
	now += 30000;
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	ck_assert_str_eq(resolve_list(res), "10.0.0.2");
	ck_assert_uint_eq(resolve_generation(res), 2);
}
END_TEST

/* The old addresses are used after a second, the late answer afterwards. */
START_TEST(a_slow_server_holds_nobody_up)
{
	uint64_t started;

	preload("web.test");
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	dns_peer_set(peer, NULL);
	now += 30000;
	started = clock_ms();
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	ck_assert_uint_lt(clock_ms() - started, 4000);
	dns_peer_set(peer, moved);
	await_settled(3);
	ck_assert_str_eq(resolve_list(res), "10.0.0.2");
}
END_TEST

START_TEST(doubt_asks_again)
{
	preload("web.test");
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	dns_peer_set(peer, moved);
	resolve_doubt(res); /* too early */
	ck_assert_int_eq(resolve_state(res), RESOLVE_READY);
	now += 1000;
	resolve_doubt(res);
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	ck_assert_str_eq(resolve_list(res), "10.0.0.2");
}
END_TEST

START_TEST(may_be_freed_while_it_asks)
{
	dns_peer_set(peer, NULL);
	preload("web.test");
	ck_assert_int_eq(resolve_state(res), RESOLVE_PENDING);
	event_base_loop(base, EVLOOP_NONBLOCK);
	resolve_free(res);
	res = NULL;
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(settled, 0);
}
END_TEST

/* When the sandbox is closed, and for hosts that were not known before. */
START_TEST(others_are_looked_up_by_the_same_servers)
{
	struct resolve *dns, *others[2];

	preload("");
	dns = res;
	ck_assert(resolve_uses_dns(dns));
	unlink(hosts);
	unlink(resolv_conf);
	res = others[0] = resolve_another(dns, "web.test", on_settled, NULL);
	ck_assert_int_eq(look_up(), RESOLVE_READY);
	ck_assert_str_eq(resolve_list(res), "[2001:db8::1],10.0.0.1");
	/* What the hosts file had does not count. */
	res = others[1] = resolve_another(dns, "last", on_settled, NULL);
	ck_assert_int_eq(look_up(), RESOLVE_FAILED);
	resolve_free(others[0]);
	resolve_free(others[1]);
	res = resolve_another(dns, "10.0.0.3", on_settled, NULL);
	ck_assert_int_eq(resolve_state(res), RESOLVE_READY);
	ck_assert_str_eq(resolve_list(res), "10.0.0.3");
	resolve_free(res);
	res = dns;
}
END_TEST

START_TEST(files_are_not_needed_later)
{
	preload("api");
	unlink(hosts);
	unlink(resolv_conf);
	preload("web.localhost");
	ck_assert_int_eq(resolve_state(res), RESOLVE_READY);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resolve");
	TCase *t = tcase_create("resolve");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, fixed_addresses_need_no_server);
	tcase_add_test(t, names_are_kept_for_their_ttl);
	tcase_add_test(t, search_domains_are_tried);
	tcase_add_test(t, failures_are_told_and_not_repeated_at_once);
	tcase_add_test(t, old_addresses_outlive_a_failure);
	tcase_add_test(t, a_slow_server_holds_nobody_up);
	tcase_add_test(t, doubt_asks_again);
	tcase_add_test(t, may_be_freed_while_it_asks);
	tcase_add_test(t, others_are_looked_up_by_the_same_servers);
	tcase_add_test(t, files_are_not_needed_later);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
