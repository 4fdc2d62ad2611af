#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/listeners.h"
#include "supervisor/roles.h"

#define TCP  LISTEN_BIT(LISTEN_METRICS)
#define UNIX LISTEN_BIT(LISTEN_CONTROL)
#define RPC  LISTEN_BIT(LISTEN_SIDECAR)

static char dir[32];
static char path[48];
static char last_line[LIMIT_LOG_LINE + 1];
static struct listeners listeners;
static struct config config;
static unsigned changed;
static int listening; /* leave_socket()'s */

static void
keep_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static bool
configure(const char *tcp, const char *control)
{
	settings_set_str(config.settings, OPT_METRICS_BIND_ADDRESS, tcp);
	settings_set_str(config.settings, OPT_CONTROL_SOCKET, control);
	return listeners_configure(&listeners, &config, &changed);
}

/* Both of TCP, with a port each. */
static bool
configure_ports(uint16_t metrics, uint16_t sidecar)
{
	char text[16] = "";

	if (sidecar != 0)
		snprintf(text, sizeof(text), ":%u", sidecar);
	settings_set_str(config.settings, OPT_BIND_ADDRESS, text);
	snprintf(text, sizeof(text), ":%u", metrics);
	return configure(text, "");
}

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/check-listeners-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sub/socket", dir);
	log_set_sink(keep_line, NULL);
	last_line[0] = '\0';
	config = (struct config){ .settings = settings_new() };
	config.source[OPT_CONTROL_SOCKET].from = CONFIG_FLAG;
	settings_set_str(config.settings, OPT_BIND_ADDRESS, "");
	listeners_init(&listeners);
}

static void
teardown(void)
{
	char sub[128];

	listeners_close(&listeners);
	settings_free(config.settings);
	unlink(path);
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	rmdir(sub);
	rmdir(dir);
}

static int
connect_unix(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
connect_tcp(int family, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
		.sin6_port = htons(port) };
	int fd = socket(family, SOCK_STREAM, 0), ret;

	ret = family == AF_INET
	    ? connect(fd, (struct sockaddr *)&in, sizeof(in))
	    : connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	if (fd != -1)
		close(fd);
	return ret;
}

static uint16_t
port_of_last_line(void)
{
	const char *colon = strrchr(last_line, ':');

	ck_assert_ptr_nonnull(colon);
	return (uint16_t)atoi(colon + 1);
}

START_TEST(unix_socket_comes_and_goes)
{
	struct stat st;
	int fd;

	ck_assert(configure("", path));
	ck_assert_uint_eq(changed, UNIX);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	fd = connect_unix();
	ck_assert_int_ne(fd, -1);
	close(fd);
	fd = listeners_fd(&listeners, LISTEN_CONTROL);
	ck_assert_int_ne(fd, -1);
	close(fd);
	ck_assert_int_eq(listeners_fd(&listeners, LISTEN_METRICS), -1);
	ck_assert(configure("", path));
	ck_assert_uint_eq(changed, 0);
	ck_assert(configure("", ""));
	ck_assert_uint_eq(changed, UNIX);
	ck_assert_int_eq(lstat(path, &st), -1);
}
END_TEST

/* What a supervisor that was killed left behind. */
static void
leave_socket(bool in_use)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char sub[128];

	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	mkdir(sub, 0700);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sun, sizeof(sun)),
	    0);
	if (in_use)
		ck_assert_int_eq(listen(listening, 1), 0);
	else
		close(listening);
}

START_TEST(stale_socket_is_replaced)
{
	leave_socket(false);
	ck_assert(configure("", path));
	ck_assert_int_ne(connect_unix(), -1);
}
END_TEST

/* A worker of one that was killed before us ends while we look. */
START_TEST(socket_of_the_dying_is_replaced)
{
	pid_t pid;

	leave_socket(true);
	pid = fork();
	ck_assert_int_ne(pid, -1);
	if (pid == 0) {
		/* Only this process still has it, until we ask. */
		accept(listening, NULL, NULL);
		_exit(0);
	}
	close(listening);
	ck_assert(configure("", path));
	ck_assert_int_ne(connect_unix(), -1);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(socket_in_use_is_left_alone)
{
	leave_socket(true);
	ck_assert(!configure("", path));
	ck_assert_ptr_nonnull(strstr(last_line, "Address already in use"));
	ck_assert_int_ne(connect_unix(), -1);
}
END_TEST

START_TEST(a_file_is_left_alone)
{
	struct stat st;
	char sub[128];
	FILE *f;

	snprintf(sub, sizeof(sub), "%s/sub", dir);
	mkdir(sub, 0700);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert(!configure("", path));
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
}
END_TEST

/* It was replaced behind our back: that one is not ours to remove. */
START_TEST(only_our_socket_is_removed)
{
	struct stat st;

	ck_assert(configure("", path));
	unlink(path);
	leave_socket(false);
	listeners_close(&listeners);
	ck_assert_int_eq(lstat(path, &st), 0);
}
END_TEST

static const struct address {
	const char *address;
	bool v4;
	bool v6;
} addresses[] = {
	{ ":0", true, true },
	{ "127.0.0.1:0", true, false },
	{ "[::1]:0", false, true },
};

/* Not every container has it. */
static bool
have_ipv6(void)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool have;

	if (fd == -1)
		return false;
	have = bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
	close(fd);
	return have;
}

START_TEST(tcp_says_its_port)
{
	const struct address *a = &addresses[_i];
	bool v6 = a->v6 && have_ipv6();

	if (!a->v4 && !v6) {
		ck_assert(!configure(a->address, ""));
		return;
	}
	ck_assert(configure(a->address, ""));
	ck_assert_uint_eq(changed, TCP);
	ck_assert_int_eq(connect_tcp(AF_INET, port_of_last_line()),
	    a->v4 ? 0 : -1);
	ck_assert_int_eq(connect_tcp(AF_INET6, port_of_last_line()),
	    v6 ? 0 : -1);
}
END_TEST

/* A socket that listens; port 0 becomes one of the kernel's choice. */
static int
take_port(uint32_t host, uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(host),
		.sin_port = htons(*port) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

START_TEST(the_same_port_of_another_address)
{
	char address[32], any[32];
	uint16_t port = 0;
	int https, taken;

	close(take_port(INADDR_LOOPBACK, &port));
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	snprintf(any, sizeof(any), ":%u", port);
	ck_assert(configure(address, ""));
	https = listeners_fd(&listeners, LISTEN_METRICS);
	taken = take_port(INADDR_LOOPBACK + 1, &port);
	ck_assert(!configure(any, ""));
	ck_assert_int_eq(connect_tcp(AF_INET, port), 0);
	close(taken);
	ck_assert(configure(any, ""));
	ck_assert_uint_eq(changed, TCP);
	ck_assert_int_eq(connect_tcp(AF_INET, port), 0);
	close(https);
}
END_TEST

START_TEST(a_bad_change_keeps_the_old_one)
{
	char address[32];
	uint16_t port, other = 0;
	int taken = take_port(INADDR_LOOPBACK, &other);

	snprintf(address, sizeof(address), "127.0.0.1:%u", other);
	ck_assert(configure("127.0.0.1:0", ""));
	port = port_of_last_line();
	ck_assert(!configure(address, ""));
	ck_assert_uint_eq(changed, 0);
	ck_assert_int_eq(connect_tcp(AF_INET, port), 0);
	close(taken);
}
END_TEST

static uint16_t
free_port(void)
{
	uint16_t port = 0;

	close(take_port(INADDR_ANY, &port));
	return port;
}

/* The port that this listener listens at; 0: there is none. */
static uint16_t
port_of(enum listen_id id)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	socklen_t len = sizeof(in6);
	int fd = listeners_fd(&listeners, id);

	if (fd == -1)
		return 0;
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in6, &len), 0);
	close(fd);
	if (in6.sin6_family == AF_INET6)
		return ntohs(in6.sin6_port);
	memcpy(&in, &in6, sizeof(in));
	return ntohs(in.sin_port);
}

START_TEST(sidecars_have_a_port_of_their_own)
{
	uint16_t metrics = free_port(), sidecar = free_port();

	ck_assert(configure_ports(metrics, sidecar));
	ck_assert_uint_eq(changed, TCP | RPC);
	ck_assert_int_eq(connect_tcp(AF_INET, metrics), 0);
	ck_assert_int_eq(connect_tcp(AF_INET, sidecar), 0);
	ck_assert_uint_eq(port_of(LISTEN_SIDECAR), sidecar);
	ck_assert(configure_ports(metrics, 0));
	ck_assert_uint_eq(changed, RPC);
	ck_assert_int_eq(connect_tcp(AF_INET, sidecar), -1);
}
END_TEST

/* As when metrics give their port up to the sidecars. */
START_TEST(one_takes_the_port_of_another)
{
	uint16_t first = free_port(), second = free_port();

	ck_assert(configure_ports(first, 0));
	ck_assert(configure_ports(second, first));
	ck_assert_uint_eq(changed, TCP | RPC);
	ck_assert_uint_eq(port_of(LISTEN_METRICS), second);
	ck_assert_uint_eq(port_of(LISTEN_SIDECAR), first);
	/* And the two of them. */
	ck_assert(configure_ports(first, second));
	ck_assert_uint_eq(changed, TCP | RPC);
	ck_assert_uint_eq(port_of(LISTEN_METRICS), first);
	ck_assert_uint_eq(port_of(LISTEN_SIDECAR), second);
	ck_assert_int_eq(connect_tcp(AF_INET, first), 0);
	ck_assert_int_eq(connect_tcp(AF_INET, second), 0);
}
END_TEST

/* It cannot go back where it was: its place is taken. */
START_TEST(one_is_left_without_a_port)
{
	uint16_t first = free_port(), other = 0;
	int taken = take_port(INADDR_ANY, &other);

	ck_assert(configure_ports(first, 0));
	ck_assert(!configure_ports(other, first));
	ck_assert_uint_eq(changed, RPC);
	ck_assert_uint_eq(port_of(LISTEN_METRICS), 0);
	ck_assert_uint_eq(port_of(LISTEN_SIDECAR), first);
	ck_assert_ptr_nonnull(strstr(last_line, "it is off"));
	close(taken);
	ck_assert(configure_ports(other, first));
	ck_assert_uint_eq(changed, TCP);
	ck_assert_int_eq(connect_tcp(AF_INET, other), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("listeners");
	TCase *t = tcase_create("listeners");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, unix_socket_comes_and_goes);
	tcase_add_test(t, stale_socket_is_replaced);
	tcase_add_test(t, socket_of_the_dying_is_replaced);
	tcase_add_test(t, socket_in_use_is_left_alone);
	tcase_add_test(t, a_file_is_left_alone);
	tcase_add_test(t, only_our_socket_is_removed);
	tcase_add_loop_test(t, tcp_says_its_port, 0,
	    sizeof(addresses) / sizeof(*addresses));
	tcase_add_test(t, the_same_port_of_another_address);
	tcase_add_test(t, a_bad_change_keeps_the_old_one);
	tcase_add_test(t, sidecars_have_a_port_of_their_own);
	tcase_add_test(t, one_takes_the_port_of_another);
	tcase_add_test(t, one_is_left_without_a_port);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
