/* hosts.h, with a name server in the same event loop. */
#include <bsd/string.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/dns_peer.h"
#include "workers/consul_reader/hosts.h"

#define PATIENCE_MS 20000

static const struct dns_record records[] = {
	{ "a.test", "10.0.0.1", 60, 0 },
	{ "b.test", "10.0.0.2", 60, 0 },
	{ "c.test", "10.0.0.3", 60, 0 },
	{ NULL, NULL, 0, 0 },
};

static struct event_base *base;
static struct dns_peer *peer;
static struct hosts *hosts;
static char folder[] = "/tmp/check_hosts.XXXXXX";
static char resolv_conf[64];
static char changed[256]; /* names, each with ";", in their order */
static unsigned calls;

static void
on_changed(void *arg)
{
	static const char *const names[] = { "a.test", "b.test", "c.test" };

	(void)arg;
	calls++;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!hosts_has_changed(hosts, names[i]))
			continue;
		strlcat(changed, names[i], sizeof(changed));
		strlcat(changed, ";", sizeof(changed));
	}
}

static void
set_up(void)
{
	struct hosts_conf conf = {
		.max = 2,
		.resolv_conf = resolv_conf,
		.changed = on_changed,
	};

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", folder);
	conf.base = base = event_base_new();
	peer = dns_peer_new(base, records);
	dns_peer_write_conf(peer, resolv_conf, "options timeout:1\n");
	changed[0] = '\0';
	calls = 0;
	hosts = hosts_preload(&conf);
}

static void
tear_down(void)
{
	hosts_free(hosts);
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	dns_peer_free(peer);
	event_base_free(base);
	unlink(resolv_conf);
	rmdir(folder);
}

static void
await_changed(const char *names)
{
	uint64_t end = clock_ms() + PATIENCE_MS;

	while (strlen(changed) < strlen(names)) {
		ck_assert_msg(clock_ms() < end, "no more than %s", changed);
		event_base_loop(base, EVLOOP_ONCE);
	}
	ck_assert_str_eq(changed, names);
	changed[0] = '\0';
}

START_TEST(who_is_held_is_followed)
{
	ck_assert_str_eq(hosts_lookup(hosts, "a.test"), "");
	hosts_hold(hosts, "a.test");
	hosts_hold(hosts, "a.test");
	ck_assert_str_eq(hosts_lookup(hosts, "a.test"), "");
	await_changed("a.test;");
	ck_assert_str_eq(hosts_lookup(hosts, "a.test"), "10.0.0.1");
	ck_assert(!hosts_has_changed(hosts, "a.test"));
	hosts_release(hosts, "a.test");
	ck_assert_str_eq(hosts_lookup(hosts, "a.test"), "10.0.0.1");
	hosts_release(hosts, "a.test");
	ck_assert_str_eq(hosts_lookup(hosts, "a.test"), "");
	hosts_release(hosts, "a.test");
}
END_TEST

/* Who comes too late has the place of who goes. */
START_TEST(one_goes_and_another_comes)
{
	hosts_hold(hosts, "a.test");
	hosts_hold(hosts, "b.test");
	hosts_hold(hosts, "c.test");
	while (strlen(changed) < strlen("a.test;b.test;"))
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_str_eq(hosts_lookup(hosts, "c.test"), "");
	changed[0] = '\0';
	hosts_release(hosts, "a.test");
	await_changed("c.test;");
	ck_assert_str_eq(hosts_lookup(hosts, "c.test"), "10.0.0.3");
	ck_assert_str_eq(hosts_lookup(hosts, "a.test"), "");
	ck_assert_str_eq(hosts_lookup(hosts, "b.test"), "10.0.0.2");
}
END_TEST

/* While its answer is on the way, and while it waits. */
START_TEST(who_is_released_early)
{
	hosts_hold(hosts, "a.test");
	hosts_hold(hosts, "b.test");
	hosts_hold(hosts, "c.test");
	hosts_release(hosts, "c.test");
	hosts_release(hosts, "a.test");
	await_changed("b.test;");
	ck_assert_uint_eq(calls, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hosts");
	TCase *t = tcase_create("hosts");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, who_is_held_is_followed);
	tcase_add_test(t, one_goes_and_another_comes);
	tcase_add_test(t, who_is_released_early);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
