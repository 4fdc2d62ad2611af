#include <check.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/notify.h"

/* A service manager's end, and what a message is to be. */
static int manager;
static char name[64];

static void
listen_as(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				 len)),
	    0);
	setenv("NOTIFY_SOCKET", path, 1);
}

static void
no_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
setup(void)
{
	log_set_sink(no_line, NULL);
	snprintf(name, sizeof(name), "@katalogd-check-notify-%d",
	    (int)getpid());
	listen_as(name);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void
teardown(void)
{
	close(manager);
}

static void
expect(const char *text)
{
	char buf[4096];
	ssize_t n = recv(manager, buf, sizeof(buf) - 1, 0);

	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, text);
}

static void
expect_nothing(void)
{
	char c;

	ck_assert_int_eq(recv(manager, &c, 1, 0), -1);
}

START_TEST(states_arrive)
{
	struct notify n;

	ck_assert(notify_open(&n));
	notify_ready(&n);
	expect("READY=1");
	notify_watchdog(&n);
	expect("WATCHDOG=1");
	notify_stopping(&n);
	expect("STOPPING=1");
	notify_status(&n, "all\nREADY=0 \033[1m");
	expect("STATUS=all\\nREADY=0 \\033[1m");
	notify_close(&n);
	notify_ready(&n);
	expect_nothing();
}
END_TEST

START_TEST(reloading_has_its_time)
{
	struct notify n;
	char buf[128];
	unsigned long long usec;
	ssize_t len;

	ck_assert(notify_open(&n));
	notify_reloading(&n);
	len = recv(manager, buf, sizeof(buf) - 1, 0);
	ck_assert_int_gt(len, 0);
	buf[len] = '\0';
	ck_assert_int_eq(sscanf(buf, "RELOADING=1\nMONOTONIC_USEC=%llu", &usec),
	    1);
	ck_assert_uint_gt(usec, 0);
	notify_close(&n);
}
END_TEST

/* More than any queue of datagrams takes. */
#define MANY 2000

static char last_heard[64];

/* All that is in the queue. */
static void
listen_late(int sig)
{
	char buf[sizeof(last_heard)];
	ssize_t n;

	(void)sig;
	while ((n = recv(manager, buf, sizeof(buf) - 1, 0)) > 0) {
		buf[n] = '\0';
		memcpy(last_heard, buf, sizeof(buf));
	}
}

/* Whatever else it hears first: the last one is not lost. */
START_TEST(a_manager_that_is_busy_hears_states)
{
	const struct sigaction sa = { .sa_handler = listen_late };
	const struct itimerval soon = { .it_value.tv_usec = 50000 };
	struct notify n;

	ck_assert(notify_open(&n));
	for (unsigned i = 0; i < MANY; i++)
		notify_watchdog(&n);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	notify_ready(&n);
	listen_late(0);
	ck_assert_str_eq(last_heard, "READY=1");
	notify_close(&n);
}
END_TEST

START_TEST(a_manager_that_hangs_holds_up_nobody)
{
	struct notify n;

	ck_assert(notify_open(&n));
	for (unsigned i = 0; i < MANY; i++)
		notify_status(&n, "all is well");
	notify_stopping(&n);
	listen_late(0);
	ck_assert_str_eq(last_heard, "STATUS=all is well");
	notify_close(&n);
}
END_TEST

START_TEST(a_path_works_too)
{
	char dir[] = "/tmp/check-notify-XXXXXX", path[64];
	struct notify n;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	close(manager);
	listen_as(path);
	ck_assert(notify_open(&n));
	notify_ready(&n);
	expect("READY=1");
	notify_close(&n);
	unlink(path);
	rmdir(dir);
}
END_TEST

START_TEST(nobody_asked)
{
	struct notify n;

	unsetenv("NOTIFY_SOCKET");
	ck_assert(notify_open(&n));
	ck_assert_int_eq(n.fd, -1);
	notify_ready(&n);
	expect_nothing();
}
END_TEST

START_TEST(the_environment_is_taken)
{
	struct notify n;

	setenv("WATCHDOG_USEC", "3000000", 1);
	ck_assert(notify_open(&n));
	ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
	ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
	notify_close(&n);
}
END_TEST

/* A path of more than sun_path has, with its NUL. */
#define TEN      "0123456789"
#define TOO_LONG "/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const char *const bad_names[] = {
	"relative",
	"@",
	"/",
	"vsock:1:2",
	TOO_LONG,
};

START_TEST(bad_names_are_refused)
{
	struct notify n;

	setenv("NOTIFY_SOCKET", bad_names[_i], 1);
	ck_assert(!notify_open(&n));
	ck_assert_int_eq(n.fd, -1);
}
END_TEST

static const struct watchdog {
	const char *usec;
	const char *pid; /* "self": ours */
	uint64_t ms;
} watchdogs[] = {
	{ NULL, NULL, 0 },
	{ "30000000", NULL, 15000 },
	{ "30000000", "self", 15000 },
	{ "30000000", "1", 0 },
	{ "30000000", "x", 0 },
	{ "1", NULL, 1 },
	{ "0", NULL, 0 },
	{ "-5", NULL, 0 },
	{ "soon", NULL, 0 },
};

START_TEST(watchdog_times)
{
	const struct watchdog *w = &watchdogs[_i];
	struct notify n;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (w->usec != NULL)
		setenv("WATCHDOG_USEC", w->usec, 1);
	if (w->pid != NULL)
		setenv("WATCHDOG_PID",
		    strcmp(w->pid, "self") == 0 ? pid : w->pid, 1);
	ck_assert(notify_open(&n));
	ck_assert_uint_eq(n.watchdog_ms, w->ms);
	notify_close(&n);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("notify");
	TCase *t = tcase_create("notify");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, states_arrive);
	tcase_add_test(t, reloading_has_its_time);
	tcase_add_test(t, a_manager_that_is_busy_hears_states);
	tcase_add_test(t, a_manager_that_hangs_holds_up_nobody);
	tcase_add_test(t, a_path_works_too);
	tcase_add_test(t, nobody_asked);
	tcase_add_test(t, the_environment_is_taken);
	tcase_add_loop_test(t, bad_names_are_refused, 0,
	    sizeof(bad_names) / sizeof(*bad_names));
	tcase_add_loop_test(t, watchdog_times, 0,
	    sizeof(watchdogs) / sizeof(*watchdogs));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
