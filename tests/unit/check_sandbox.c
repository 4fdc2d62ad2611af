/*
 * Each test is a process of its own (libcheck forks), so each may close a
 * sandbox for good. What a closed sandbox lets through is tested from inside
 * all roles by tests/integration/test_sandbox.py.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char said[4096];

static void
keep(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n",
	    line);
}

/* Leak detection needs files and would fail the test. */
static _Noreturn void
leave(void)
{
	_exit(0);
}

static struct sandbox
worker(void)
{
	return (struct sandbox){
		.role = ROLE_CONSUL_WRITER,
		.ports = { 8500 },
		.nports = 1,
		.uid = 60611,
		.gid = 60611,
		.nofile = 64,
	};
}

/* Makes calls of that name fail, or pretend that they did their work (0). */
static void
fake_call(const char *call, int error, unsigned n,
    const struct scmp_arg_cmp *when)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(error),
			     seccomp_syscall_resolve_name(call), n, when),
	    0);
	ck_assert_int_eq(seccomp_load(ctx), 0);
	seccomp_release(ctx);
}

/* A folder for chroot, as the supervisor makes it. Made before the tests fork. */
static char jail[] = "/tmp/check_sandbox.XXXXXX";

static void
make_jail(void)
{
	if (mkdtemp(jail) == NULL || chmod(jail, 0555) == -1)
		exit(EXIT_FAILURE);
}

static void
remove_jail(void)
{
	rmdir(jail);
}

static void
write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

/* Others than root become the root of a user name space of their own. */
static void
be_root(void)
{
	char map[64];

	if (geteuid() == 0)
		return;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	ck_assert_msg(unshare(CLONE_NEWUSER) == 0,
	    "root, or user name spaces, are needed");
	write_to("/proc/self/uid_map", map);
}

START_TEST(names_each_layer)
{
	for (unsigned i = 0; i < SANDBOX_LAYERS; i++)
		ck_assert_ptr_nonnull(sandbox_layer_name(i));
	ck_assert_ptr_null(sandbox_layer_name(SANDBOX_LAYERS));
	ck_assert_str_eq(sandbox_layer_name(9), "seccomp");
	ck_assert_uint_eq(SANDBOX_SECCOMP, 1U << 9);
}
END_TEST

START_TEST(knows_the_calls)
{
	const struct sandbox sb = worker();

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	log_init("check", LOG_LVL_DEBUG);
	log_set_sink(keep, NULL);
	ck_assert(sandbox_seccomp_supervisor());
	/* A name that is misspelt is one that libseccomp does not know. */
	ck_assert_str_eq(said, "");
	_exit(sandbox_seccomp(&sb) && said[0] == '\0' ? 0 : 2);
}
END_TEST

/* What holds with each of Landlock's ABIs. */
static const struct {
	int abi;
	uint32_t layers;
	const char *missing;
} abis[] = {
	{ 0, 0,
	    "Landlock (no file system), Landlock's TCP ports, "
	    "Landlock's signal and socket scopes" },
	{ 1, SANDBOX_LANDLOCK_FS,
	    "Landlock's TCP ports, Landlock's signal and socket scopes" },
	{ 2, SANDBOX_LANDLOCK_FS,
	    "Landlock's TCP ports, Landlock's signal and socket scopes" },
	{ 3, SANDBOX_LANDLOCK_FS,
	    "Landlock's TCP ports, Landlock's signal and socket scopes" },
	{ 4, SANDBOX_LANDLOCK_FS | SANDBOX_LANDLOCK_NET,
	    "Landlock's signal and socket scopes" },
	{ 5, SANDBOX_LANDLOCK_FS | SANDBOX_LANDLOCK_NET,
	    "Landlock's signal and socket scopes" },
	{ 6,
	    SANDBOX_LANDLOCK_FS | SANDBOX_LANDLOCK_NET | SANDBOX_LANDLOCK_SCOPE,
	    "" },
};

START_TEST(tells_what_landlock_lacks)
{
	const struct sandbox sb = worker();
	uint32_t layers = 0;
	char missing[256] = "";

	/* An older kernel shows the same up to what it has. */
	if (abis[_i].abi > sandbox_landlock_version())
		return;
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert(sandbox_landlock_abi(&sb, abis[_i].abi, &layers, missing,
	    sizeof(missing)));
	ck_assert_uint_eq(layers, abis[_i].layers);
	ck_assert_str_eq(missing, abis[_i].missing);
	ck_assert_int_eq(open("/", O_RDONLY | O_CLOEXEC) == -1,
	    abis[_i].abi > 0);
	leave();
}
END_TEST

/* Both: off at boot, and not built in. */
static const int absences[] = { ENOSYS, EOPNOTSUPP };

START_TEST(goes_on_without_landlock)
{
	const struct sandbox sb = worker();
	uint32_t layers = 0;
	char missing[256] = "";

	fake_call("landlock_create_ruleset", absences[_i], 0, NULL);
	ck_assert(sandbox_landlock(&sb, &layers, missing, sizeof(missing)));
	ck_assert_uint_eq(layers, 0);
	ck_assert_str_eq(missing, abis[0].missing);
}
END_TEST

/*
 * Ends with 1 if the sandbox does not close. libcheck's assertions write to a
 * file, which is no longer allowed then.
 */
static void
enter(bool strict)
{
	char missing[256];
	struct sandbox sb = worker();
	uint32_t layers;

	sb.chroot_dir = jail;
	sb.strict = strict;
	layers = sandbox_enter(&sb, missing, sizeof(missing));
	_exit((layers & SANDBOX_SECCOMP) != 0 &&
		    strcmp(missing, abis[0].missing) == 0
		? 0
		: 2);
}

START_TEST(enters_without_landlock)
{
	fake_call("landlock_create_ruleset", ENOSYS, 0, NULL);
	enter(false);
}
END_TEST

START_TEST(ends_without_landlock_if_strict)
{
	fake_call("landlock_create_ruleset", ENOSYS, 0, NULL);
	enter(true);
}
END_TEST

/*
 * Calls that fail, and calls that only say that they worked: each must end
 * the worker with status 1.
 */
static const struct {
	const char *call;
	int error;
	unsigned n;
	struct scmp_arg_cmp when;
} broken[] = {
	{ "seccomp", EINVAL, 0, { 0 } },
	{ "seccomp", 0, 0, { 0 } },
	{ "prlimit64", EPERM, 0, { 0 } },
	{ "prlimit64", 0, 0, { 0 } },
	{ "capset", EPERM, 0, { 0 } },
	{ "landlock_restrict_self", EPERM, 0, { 0 } },
	{ "landlock_restrict_self", 0, 0, { 0 } },
	{ "landlock_add_rule", EINVAL, 0, { 0 } },
	{ "prctl", EPERM, 1, { 0, SCMP_CMP_EQ, PR_SET_DUMPABLE, 0 } },
	{ "prctl", EINVAL, 1, { 0, SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS, 0 } },
	{ "prctl", 0, 1, { 0, SCMP_CMP_EQ, PR_GET_NO_NEW_PRIVS, 0 } },
	{ "prctl", EINVAL, 1, { 0, SCMP_CMP_EQ, PR_SET_PDEATHSIG, 0 } },
};

START_TEST(fails_closed)
{
	fake_call(broken[_i].call, broken[_i].error, broken[_i].n,
	    &broken[_i].when);
	enter(false);
}
END_TEST

static const struct {
	const char *call;
	int error;
} broken_for_root[] = {
	{ "chroot", EPERM },
	{ "chroot", 0 },
	{ "setgroups", EPERM },
	{ "setresgid", EPERM },
	{ "setresgid", 0 },
	{ "setresuid", EPERM },
	{ "setresuid", 0 },
};

START_TEST(fails_closed_as_root)
{
	be_root();
	fake_call(broken_for_root[_i].call, broken_for_root[_i].error, 0, NULL);
	enter(false);
}
END_TEST

/* Where nobody should be locked up. */
static const struct {
	mode_t mode;
	const char *inside; /* a folder in it */
	const char *why;
} jails[] = {
	{ 0775, NULL, "writable by others than root" },
	{ 0757, NULL, "writable by others than root" },
	{ 0755, "folder", "not empty" },
	{ 0755, ".hidden", "not empty" },
};

START_TEST(refuses_bad_jails)
{
	const char *inside = jails[_i].inside;
	struct sandbox sb = worker();
	uint32_t layers = 0;
	bool entered;
	int fd;

	be_root();
	log_set_sink(keep, NULL);
	sb.chroot_dir = jail;
	fd = open(jail, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(fchmod(fd, jails[_i].mode), 0);
	if (inside != NULL)
		ck_assert_int_eq(mkdirat(fd, inside, 0755), 0);
	entered = privdrop(&sb, &layers);
	if (inside != NULL)
		unlinkat(fd, inside, AT_REMOVEDIR);
	ck_assert(!entered);
	ck_assert_uint_eq(layers, 0);
	ck_assert_ptr_nonnull(strstr(said, jails[_i].why));
}
END_TEST

START_TEST(needs_a_jail_and_a_user)
{
	struct sandbox sb = worker();
	uint32_t layers = 0;

	be_root();
	ck_assert(!privdrop(&sb, &layers));
	sb.chroot_dir = "/nonexistent";
	ck_assert(!privdrop(&sb, &layers));
	sb.chroot_dir = jail;
	sb.uid = 0;
	ck_assert(!privdrop(&sb, &layers));
	leave();
}
END_TEST

/* katalog-sidecar: no worker. */

static struct sandbox
sidecar(pid_t child)
{
	return (struct sandbox){
		.role = ROLE_SIDECAR,
		.standalone = true,
		.child = child,
		.ports = { 8501 },
		.nports = 1,
		.nofile = 64,
	};
}

static pid_t
child_that_waits(void)
{
	pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;)
		pause();
}

static uint32_t
enter_sidecar(pid_t child)
{
	const struct sandbox sb = sidecar(child);
	char missing[256];

	return sandbox_enter(&sb, missing, sizeof(missing));
}

START_TEST(knows_the_calls_of_a_sidecar)
{
	const struct sandbox sb = sidecar(getppid());

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	log_init("check", LOG_LVL_DEBUG);
	log_set_sink(keep, NULL);
	_exit(sandbox_seccomp(&sb) && said[0] == '\0' ? 0 : 2);
}
END_TEST

START_TEST(reaches_its_child)
{
	pid_t child = child_that_waits();
	int status;

	enter_sidecar(child);
	if (kill(child, SIGUSR1) == -1 || waitpid(child, &status, 0) != child)
		_exit(2);
	_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1 ? 0 : 3);
}
END_TEST

/* SIGSYS. */
START_TEST(reaches_nobody_else)
{
	pid_t parent = getppid();

	enter_sidecar(child_that_waits());
	kill(parent, 0);
	_exit(0);
}
END_TEST

START_TEST(waits_for_nobody_without_a_child)
{
	enter_sidecar(0);
	waitpid(-1, NULL, WNOHANG);
	_exit(0);
}
END_TEST

/* Where all of root's abilities are there, and where none is. */
START_TEST(stays_root)
{
	uint32_t layers;

	be_root();
	if (_i == 1)
		fake_call("setresuid", EPERM, 0, NULL);
	layers = enter_sidecar(0);
	_exit(geteuid() == 0 && (layers & SANDBOX_CAPS) != 0 &&
		    (layers & (SANDBOX_UID | SANDBOX_CHROOT)) == 0
		? 0
		: 2);
}
END_TEST

static uint64_t
permitted(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
		0 };
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	ck_assert_int_eq(syscall(SYS_capget, &head, d), 0);
	return d[0].permitted | (uint64_t)d[1].permitted << 32;
}

/* Its child may have become somebody else. */
START_TEST(root_keeps_what_reaches_its_child)
{
	const struct sandbox sb = sidecar(getpid());
	uint32_t layers = 0;

	be_root();
	ck_assert(privdrop(&sb, &layers));
	ck_assert_uint_eq(permitted(), UINT64_C(1) << CAP_KILL);
	ck_assert_uint_eq(layers, SANDBOX_NODUMP | SANDBOX_NO_NEW_PRIVS);
	leave();
}
END_TEST

static void
add_sidecar(TCase *t)
{
	tcase_add_test(t, knows_the_calls_of_a_sidecar);
	tcase_add_test(t, reaches_its_child);
	tcase_add_test_raise_signal(t, reaches_nobody_else, SIGSYS);
	tcase_add_test_raise_signal(t, waits_for_nobody_without_a_child,
	    SIGSYS);
	tcase_add_loop_test(t, stays_root, 0, 2);
	tcase_add_test(t, root_keeps_what_reaches_its_child);
}

static Suite *
suite(void)
{
	Suite *s = suite_create("sandbox");
	TCase *t = tcase_create("sandbox");

	tcase_add_unchecked_fixture(t, make_jail, remove_jail);
	tcase_add_test(t, names_each_layer);
	tcase_add_test(t, knows_the_calls);
	tcase_add_loop_test(t, tells_what_landlock_lacks, 0, COUNT(abis));
	tcase_add_loop_test(t, goes_on_without_landlock, 0, COUNT(absences));
	tcase_add_test(t, enters_without_landlock);
	tcase_add_exit_test(t, ends_without_landlock_if_strict, 1);
	tcase_add_loop_exit_test(t, fails_closed, 1, 0, COUNT(broken));
	tcase_add_loop_exit_test(t, fails_closed_as_root, 1, 0,
	    COUNT(broken_for_root));
	tcase_add_loop_test(t, refuses_bad_jails, 0, COUNT(jails));
	tcase_add_test(t, needs_a_jail_and_a_user);
	add_sidecar(t);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
