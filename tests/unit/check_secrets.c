#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/secrets.h"

#define TOKEN BLOB_BIT(BLOB_CONSUL_TOKEN)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* The folder of a test, and what was logged. */
static char dir[64];
static char last_line[LIMIT_LOG_LINE + 1];
static unsigned lines;
static struct secrets *secrets;
static struct config config;

static void
keep_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	lines++;
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static const char *
path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* As an editor does it: a new file in the place of the old one. */
static void
write_file(const char *name, const char *text)
{
	char tmp[128];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s", path_of("tmp"));
	f = fopen(tmp, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(tmp, 0600);
	ck_assert_int_eq(rename(tmp, path_of(name)), 0);
}

static void
write_in_place(const char *name, const char *text)
{
	int fd = open(path_of(name), O_WRONLY);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

static void
set_defaults(void)
{
	static const enum option files[] = {
		OPT_KUBELET_CA,
		OPT_KUBELET_TOKEN_FILE,
		OPT_KUBELET_CLIENT_CERT,
		OPT_KUBELET_CLIENT_KEY,
		OPT_CONSUL_CA,
		OPT_CONSUL_CLIENT_CERT,
		OPT_CONSUL_CLIENT_KEY,
		OPT_KUBECONFIG,
		OPT_K8S_API,
		OPT_K8S_TOKEN_FILE,
		OPT_K8S_CA,
		OPT_K8S_CLIENT_CERT,
		OPT_K8S_CLIENT_KEY,
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		settings_set_str(config.settings, files[i], "");
	settings_set_str(config.settings, OPT_KUBELET_API,
	    "http://localhost:10255/pods");
	settings_set_str(config.settings, OPT_CONSUL_ADDR,
	    "http://127.0.0.1:8500");
	settings_set_u64(config.settings, OPT_TO_CONSUL, 1);
	settings_set_u64(config.settings, OPT_TO_K8S, 1);
	settings_set_str(config.settings, OPT_READINESS_GATES, "no");
	settings_set_u64(config.settings, OPT_DRY_RUN, 0);
}

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/check-secrets-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	lines = 0;
	log_set_sink(keep_line, NULL);
	config = (struct config){ .settings = settings_new() };
	set_defaults();
	settings_set_str(config.settings, OPT_CONSUL_TOKEN_FILE,
	    path_of("token"));
	secrets = secrets_new();
}

static void
teardown(void)
{
	static const char *const names[] = { "token", "tmp", "link", "other" };

	secrets_free(secrets);
	settings_free(config.settings);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(path_of(names[i]));
	rmdir(dir);
}

static void
expect_blob(enum blob_id id, const char *text)
{
	char buf[256];
	int fd = secrets_fd(secrets, id);
	ssize_t n;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	ck_assert_int_ge(n, 0);
	buf[n] = '\0';
	ck_assert_str_eq(buf, text);
	ck_assert_int_eq(write(fd, "x", 1), -1);
	close(fd);
}

START_TEST(reads_and_follows)
{
	write_file("token", "first");
	ck_assert_uint_eq(secrets_configure(secrets, &config), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "first");
	expect_blob(BLOB_KUBELET_TOKEN, "");
	ck_assert_uint_eq(secrets_check(secrets), 0);
	write_file("token", "second");
	ck_assert_uint_eq(secrets_check(secrets), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "second");
	write_file("token", "second");
	ck_assert_uint_eq(secrets_check(secrets), 0);
	ck_assert_uint_eq(lines, 0);
}
END_TEST

/* Same size, same inode, maybe within one tick of the file's clock. */
START_TEST(sees_writes_in_place)
{
	write_file("token", "aaaa");
	secrets_configure(secrets, &config);
	for (char c = 'b'; c <= 'z'; c++) {
		char text[5] = { c, c, c, c, '\0' };

		write_in_place("token", text);
		ck_assert_uint_eq(secrets_check(secrets), TOKEN);
		expect_blob(BLOB_CONSUL_TOKEN, text);
	}
}
END_TEST

/* As the kubelet swaps what it projects: the link changes, not the path. */
START_TEST(follows_links)
{
	char target[128];

	settings_set_str(config.settings, OPT_CONSUL_TOKEN_FILE,
	    path_of("link"));
	write_file("token", "one");
	write_file("other", "two");
	snprintf(target, sizeof(target), "%s", path_of("token"));
	ck_assert_int_eq(symlink(target, path_of("link")), 0);
	secrets_configure(secrets, &config);
	expect_blob(BLOB_CONSUL_TOKEN, "one");
	unlink(path_of("link"));
	snprintf(target, sizeof(target), "%s", path_of("other"));
	ck_assert_int_eq(symlink(target, path_of("link")), 0);
	ck_assert_uint_eq(secrets_check(secrets), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "two");
}
END_TEST

static void
make_empty(void)
{
	write_file("token", "");
}

static void
make_large(void)
{
	write_file("token", "x");
	ck_assert_int_eq(truncate(path_of("token"), LIMIT_BLOB + 1), 0);
}

static void
make_missing(void)
{
	unlink(path_of("token"));
}

static void
make_folder(void)
{
	unlink(path_of("token"));
	ck_assert_int_eq(mkdir(path_of("token"), 0700), 0);
}

static void
make_fifo(void)
{
	unlink(path_of("token"));
	ck_assert_int_eq(mkfifo(path_of("token"), 0600), 0);
}

static const struct bad {
	void (*make)(void);
	const char *why;
} bad[] = {
	{ make_empty, ": empty; " },
	{ make_large, ": too large; " },
	{ make_missing, ": No such file or directory; " },
	{ make_folder, ": not a regular file; " },
	{ make_fifo, ": not a regular file; " },
};

START_TEST(bad_files_cost_nothing)
{
	write_file("token", "good");
	secrets_configure(secrets, &config);
	bad[_i].make();
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(secrets_check(secrets), 0);
	expect_blob(BLOB_CONSUL_TOKEN, "good");
	ck_assert_uint_eq(lines, 1);
	ck_assert_ptr_nonnull(strstr(last_line, bad[_i].why));
	ck_assert_ptr_nonnull(strstr(last_line, "consul-token-file: "));
	ck_assert_ptr_nonnull(strstr(last_line, path_of("token")));
	ck_assert_ptr_nonnull(strstr(last_line, "stays in use"));
	rmdir(path_of("token"));
	write_file("token", "again");
	ck_assert_uint_eq(secrets_check(secrets), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "again");
	ck_assert_uint_eq(lines, 2);
}
END_TEST

START_TEST(a_file_may_come_late)
{
	ck_assert_uint_eq(secrets_configure(secrets, &config), 0);
	expect_blob(BLOB_CONSUL_TOKEN, "");
	ck_assert_ptr_nonnull(strstr(last_line, "going on without it"));
	write_file("token", "late");
	ck_assert_uint_eq(secrets_check(secrets), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "late");
}
END_TEST

START_TEST(the_environment_is_second)
{
	char text[] = "from env";

	config.consul_token = text;
	ck_assert_uint_eq(secrets_configure(secrets, &config), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "from env");
	write_file("token", "from file");
	ck_assert_uint_eq(secrets_check(secrets), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "from file");
	/* SIGHUP with a config that names no file. */
	settings_set_str(config.settings, OPT_CONSUL_TOKEN_FILE, "");
	ck_assert_uint_eq(secrets_configure(secrets, &config), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "from env");
	ck_assert_uint_eq(secrets_configure(secrets, &config), 0);
}
END_TEST

START_TEST(says_that_the_environment_is_used)
{
	char text[] = "from env";

	config.consul_token = text;
	write_file("token", "");
	ck_assert_uint_eq(secrets_configure(secrets, &config), TOKEN);
	ck_assert_ptr_nonnull(
	    strstr(last_line, ": empty; CONSUL_HTTP_TOKEN is used, and"));
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(secrets_check(secrets), 0);
	ck_assert_uint_eq(secrets_configure(secrets, &config), 0);
	ck_assert_uint_eq(lines, 1);
	expect_blob(BLOB_CONSUL_TOKEN, "from env");
	/* Once the file has given one, it may be empty for a moment. */
	write_file("token", "from file");
	ck_assert_uint_eq(secrets_check(secrets), TOKEN);
	write_file("token", "");
	ck_assert_uint_eq(secrets_check(secrets), 0);
	ck_assert_ptr_nonnull(
	    strstr(last_line, ": empty; what was read before stays in use"));
	expect_blob(BLOB_CONSUL_TOKEN, "from file");
}
END_TEST

/* A volume that is away for a while; its files are as old as before. */
START_TEST(tells_each_outage_of_a_folder)
{
	char path[160], *data = realpath(getenv("TESTDATA"), NULL);

	ck_assert_ptr_nonnull(data);
	snprintf(path, sizeof(path), "%s/kubelet-pods-1.34.json",
	    path_of("link"));
	settings_set_str(config.settings, OPT_CONSUL_TOKEN_FILE, path);
	ck_assert_int_eq(symlink(data, path_of("link")), 0);
	ck_assert_uint_eq(secrets_configure(secrets, &config), TOKEN);
	for (unsigned outage = 0; outage < 3; outage++) {
		ck_assert_int_eq(unlink(path_of("link")), 0);
		ck_assert_uint_eq(secrets_check(secrets), 0);
		ck_assert_uint_eq(lines, 2 * outage + 1);
		ck_assert_int_eq(symlink(data, path_of("link")), 0);
		ck_assert_uint_eq(secrets_check(secrets), 0);
		ck_assert_uint_eq(lines, 2 * outage + 2);
		ck_assert_ptr_nonnull(strstr(last_line, ": there again"));
	}
	free(data);
}
END_TEST

START_TEST(another_path_forgets_the_old_one)
{
	write_file("token", "old");
	secrets_configure(secrets, &config);
	settings_set_str(config.settings, OPT_CONSUL_TOKEN_FILE,
	    path_of("other"));
	ck_assert_uint_eq(secrets_configure(secrets, &config), TOKEN);
	expect_blob(BLOB_CONSUL_TOKEN, "");
}
END_TEST

/* An old list of pods must not pass for a fresh one. */
START_TEST(a_lost_pod_list_is_empty)
{
	char url[160];

	write_file("other", "{}");
	snprintf(url, sizeof(url), "file://%s", path_of("other"));
	settings_set_str(config.settings, OPT_KUBELET_API, url);
	settings_set_str(config.settings, OPT_CONSUL_TOKEN_FILE, "");
	ck_assert_uint_eq(secrets_configure(secrets, &config),
	    BLOB_BIT(BLOB_KUBELET_PODS));
	expect_blob(BLOB_KUBELET_PODS, "{}");
	unlink(path_of("other"));
	ck_assert_uint_eq(secrets_check(secrets), BLOB_BIT(BLOB_KUBELET_PODS));
	expect_blob(BLOB_KUBELET_PODS, "");
	ck_assert_uint_eq(secrets_check(secrets), 0);
	ck_assert_uint_eq(lines, 1);
	write_file("other", "{}");
	ck_assert_uint_eq(secrets_check(secrets), BLOB_BIT(BLOB_KUBELET_PODS));
}
END_TEST

/* ---- the cluster ---- */

static void
use_kubeconfig(const char *name)
{
	settings_set_str(config.settings, OPT_KUBECONFIG, path_of(name));
	settings_set_str(config.settings, OPT_K8S_API, "https://a:6443");
}

START_TEST(follows_a_kubeconfig)
{
	use_kubeconfig("other");
	write_file("other", "one");
	secrets_configure(secrets, &config);
	expect_blob(BLOB_KUBECONFIG, "one");
	write_file("other", "two");
	ck_assert_uint_eq(secrets_check(secrets), BLOB_BIT(BLOB_KUBECONFIG));
	expect_blob(BLOB_KUBECONFIG, "two");
}
END_TEST

/* It names files that only root may read. */
START_TEST(root_takes_no_kubeconfig_of_others)
{
	if (geteuid() != 0)
		return;
	use_kubeconfig("other");
	write_file("other", "one");
	ck_assert_int_eq(chmod(path_of("other"), 0664), 0);
	secrets_configure(secrets, &config);
	expect_blob(BLOB_KUBECONFIG, "");
	ck_assert_ptr_nonnull(
	    strstr(last_line, ": can be written by group or others; "));
	ck_assert_int_eq(chmod(path_of("other"), 0644), 0);
	ck_assert_int_eq(chown(path_of("other"), 1, 0), 0);
	secrets_check(secrets);
	expect_blob(BLOB_KUBECONFIG, "");
	ck_assert_int_eq(chown(path_of("other"), 0, 0), 0);
	secrets_check(secrets);
	expect_blob(BLOB_KUBECONFIG, "one");
}
END_TEST

START_TEST(given_data_goes_before_a_file)
{
	const blob_mask bit = BLOB_BIT(BLOB_K8S_TOKEN);

	use_kubeconfig("link");
	write_file("other", "of the file");
	settings_set_str(config.settings, OPT_K8S_TOKEN_FILE, path_of("other"));
	secrets_configure(secrets, &config);
	expect_blob(BLOB_K8S_TOKEN, "of the file");
	ck_assert_uint_eq(secrets_give(secrets, BLOB_K8S_TOKEN, "given", 5),
	    bit);
	expect_blob(BLOB_K8S_TOKEN, "given");
	ck_assert_uint_eq(secrets_give(secrets, BLOB_K8S_TOKEN, "given", 5), 0);
	/* SIGHUP, and each second. */
	ck_assert_uint_eq(secrets_configure(secrets, &config) & bit, 0);
	secrets_check(secrets);
	expect_blob(BLOB_K8S_TOKEN, "given");
	ck_assert_uint_eq(secrets_give(secrets, BLOB_K8S_TOKEN, NULL, 0), bit);
	expect_blob(BLOB_K8S_TOKEN, "");
	ck_assert_uint_eq(secrets_configure(secrets, &config) & bit, bit);
	expect_blob(BLOB_K8S_TOKEN, "of the file");
}
END_TEST

/* A kubeconfig's data must not outlive it, nor go to another server. */
START_TEST(given_data_ends_with_the_kubeconfig)
{
	use_kubeconfig("other");
	secrets_give(secrets, BLOB_K8S_KEY, "given", 5);
	settings_set_str(config.settings, OPT_KUBECONFIG, "");
	ck_assert_uint_ne(secrets_configure(secrets, &config) &
		BLOB_BIT(BLOB_K8S_KEY),
	    0);
	expect_blob(BLOB_K8S_KEY, "");
}
END_TEST

START_TEST(reads_nothing_for_a_direction_that_is_off)
{
	settings_set_str(config.settings, OPT_K8S_API, "http://a");
	settings_set_str(config.settings, OPT_K8S_TOKEN_FILE, path_of("other"));
	write_file("other", "secret");
	settings_set_u64(config.settings, OPT_TO_K8S, 0);
	secrets_configure(secrets, &config);
	expect_blob(BLOB_K8S_TOKEN, "");
	settings_set_u64(config.settings, OPT_TO_K8S, 1);
	secrets_configure(secrets, &config);
	expect_blob(BLOB_K8S_TOKEN, "secret");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("secrets");
	TCase *t = tcase_create("secrets");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reads_and_follows);
	tcase_add_test(t, sees_writes_in_place);
	tcase_add_test(t, follows_links);
	tcase_add_loop_test(t, bad_files_cost_nothing, 0,
	    sizeof(bad) / sizeof(*bad));
	tcase_add_test(t, a_file_may_come_late);
	tcase_add_test(t, the_environment_is_second);
	tcase_add_test(t, says_that_the_environment_is_used);
	tcase_add_test(t, tells_each_outage_of_a_folder);
	tcase_add_test(t, another_path_forgets_the_old_one);
	tcase_add_test(t, a_lost_pod_list_is_empty);
	tcase_add_test(t, follows_a_kubeconfig);
	tcase_add_test(t, root_takes_no_kubeconfig_of_others);
	tcase_add_test(t, given_data_goes_before_a_file);
	tcase_add_test(t, given_data_ends_with_the_kubeconfig);
	tcase_add_test(t, reads_nothing_for_a_direction_that_is_off);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
