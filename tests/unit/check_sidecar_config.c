#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define ARGS     32
/* What must be there, as flags and as variables. */
#define NEEDED \
	"--katalog-sync-daemon=10.0.0.1:8501", "--namespace=shop", \
	    "--pod-name=web-1", "--container-name=sidecar"
#define NEEDED_ENV \
	"KATALOG_SYNC_DAEMON=10.0.0.2:9", "NAMESPACE=net", "POD_NAME=api-1", \
	    "CONTAINER_NAME=sync"

/* One more than there may be. */
#define NAME64 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char said[4096];

static void
keep(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	strcat(strcat(said, line), "\n");
}

/* Copies, since argv is not constant. */
static void
copy(const char *const *from, char texts[][128], char **to)
{
	for (; *from != NULL; from++, texts++, to++) {
		strcpy(*texts, *from);
		*to = *texts;
	}
	*to = NULL;
}

static bool
load(struct sidecar_config *c, const char *const *args, const char *const *env)
{
	static char texts[ARGS][128], env_texts[ARGS][128];
	static char name[] = "katalog-sidecar";
	static char *argv[ARGS] = { name }, *envp[ARGS];

	copy(args, texts, argv + 1);
	copy(env, env_texts, envp);
	said[0] = '\0';
	log_set_sink(keep, NULL);
	return sidecar_config(c, argv, envp);
}

START_TEST(has_defaults)
{
	static const char *const args[] = { NEEDED, NULL };
	static const char *const env[] = { NULL };
	struct sidecar_config c;

	ck_assert(load(&c, args, env));
	ck_assert_str_eq(c.daemon.host, "10.0.0.1");
	ck_assert_uint_eq(c.daemon.port, 8501);
	ck_assert(c.daemon.host_is_ip);
	ck_assert_str_eq(c.names.namespace, "shop");
	ck_assert_str_eq(c.names.pod, "web-1");
	ck_assert_str_eq(c.names.container, "sidecar");
	ck_assert_str_eq(c.bind_address, ":8888");
	ck_assert_uint_eq(c.max_backoff_ms, 1000);
	ck_assert_uint_eq(c.deregister_ms, 25000);
	ck_assert_int_eq(c.log_level, LOG_LVL_INFO);
	ck_assert(!c.strict && !c.help && !c.version);
	ck_assert_ptr_null(c.exec);
}
END_TEST

/* The names that the original's users have in their manifests. */
START_TEST(environment_sets_all)
{
	static const char *const args[] = { NULL };
	static const char *const env[] = { NEEDED_ENV, "LOG_LEVEL=debug",
		"KATALOG_SYNC_DAEMON_MAX_BACKOFF=3s", "BIND_ADDRESS=:80",
		"DEREGISTER_TIMEOUT=5s", "LOG_LEVELS=x", NULL };
	struct sidecar_config c;

	ck_assert(load(&c, args, env));
	ck_assert_str_eq(c.daemon.host, "10.0.0.2");
	ck_assert_uint_eq(c.daemon.port, 9);
	ck_assert_str_eq(c.names.namespace, "net");
	ck_assert_str_eq(c.names.pod, "api-1");
	ck_assert_str_eq(c.names.container, "sync");
	ck_assert_int_eq(c.log_level, LOG_LVL_DEBUG);
	ck_assert_uint_eq(c.max_backoff_ms, 3000);
	ck_assert_uint_eq(c.deregister_ms, 5000);
	ck_assert_str_eq(c.bind_address, ":80");
}
END_TEST

START_TEST(flags_win)
{
	static const char *const args[] = { NEEDED, "--log-level", "warn",
		"--bind-address=", "--sandbox=strict", "--namespace=last",
		NULL };
	/* Not even looked at. */
	static const char *const env[] = { NEEDED_ENV, "LOG_LEVEL=loud",
		"BIND_ADDRESS=nowhere", NULL };
	struct sidecar_config c;

	ck_assert_msg(load(&c, args, env), "%s", said);
	ck_assert_str_eq(c.daemon.host, "10.0.0.1");
	ck_assert_str_eq(c.names.namespace, "last");
	ck_assert_int_eq(c.log_level, LOG_LVL_WARN);
	ck_assert_str_eq(c.bind_address, "");
	ck_assert(c.strict);
}
END_TEST

START_TEST(exec_takes_the_rest)
{
	static const char *const args[] = { NEEDED, "--exec", "app", "--help",
		"--namespace=x", NULL };
	static const char *const env[] = { NULL };
	struct sidecar_config c;

	ck_assert(load(&c, args, env));
	ck_assert_str_eq(c.exec[0], "app");
	ck_assert_str_eq(c.exec[1], "--help");
	ck_assert_str_eq(c.exec[2], "--namespace=x");
	ck_assert_ptr_null(c.exec[3]);
	ck_assert(!c.help);
	ck_assert_str_eq(c.names.namespace, "shop");
	/* The program must end in the pod's time, too. */
	ck_assert_uint_eq(c.deregister_ms, 15000);
}
END_TEST

START_TEST(help_and_version_need_nothing)
{
	static const char *const help[] = { "-h", NULL };
	static const char *const version[] = { "--version", NULL };
	static const char *const env[] = { NULL };
	struct sidecar_config c;

	ck_assert(load(&c, help, env) && c.help);
	ck_assert(load(&c, version, env) && c.version);
}
END_TEST

/* One more flag than needed, or one more variable, and what is said. */
static const struct {
	const char *arg; /* NULL: none */
	const char *env;
	const char *says;
} bad[] = {
	{ "--nonsense=1", NULL, "--nonsense=1: unknown option; see --help\n" },
	{ "shop", NULL, "shop: unknown option; see --help\n" },
	{ "--log-leve=info", NULL,
	    "--log-leve=info: unknown option; see --help\n" },
	{ "--log-level", NULL, "--log-level: needs a value\n" },
	{ "--exec", NULL, "--exec: needs a program to start\n" },
	{ "--log-level=loud", NULL,
	    "--log-level \"loud\": not a level (error, warn, info, debug); "
	    "nothing is started\n" },
	{ NULL, "LOG_LEVEL=loud",
	    "environment LOG_LEVEL \"loud\": not a level (error, warn, info, "
	    "debug); nothing is started\n" },
	{ "--katalog-sync-daemon=10.0.0.1:0", NULL,
	    "--katalog-sync-daemon \"10.0.0.1:0\": not a port (1-65535); "
	    "nothing is started\n" },
	{ "--katalog-sync-daemon=fd00::1:8501", NULL,
	    "--katalog-sync-daemon \"fd00::1:8501\": an IPv6 address needs "
	    "brackets: [::1]:8500; nothing is started\n" },
	{ "--katalog-sync-daemon=https://a:1", NULL,
	    "--katalog-sync-daemon \"https://a:1\": not a scheme that is "
	    "supported here; nothing is started\n" },
	{ "--katalog-sync-daemon=a:1/x", NULL,
	    "--katalog-sync-daemon \"a:1/x\": not HOST:PORT, but a path; "
	    "nothing is started\n" },
	{ "--katalog-sync-daemon=", NULL,
	    "--katalog-sync-daemon \"\": no host; nothing is started\n" },
	{ NULL, "KATALOG_SYNC_DAEMON_MAX_BACKOFF=5",
	    "environment KATALOG_SYNC_DAEMON_MAX_BACKOFF \"5\": not a duration "
	    "(like 500ms, 1m30s); nothing is started\n" },
	{ "--katalog-sync-daemon-max-backoff=99ms", NULL,
	    "--katalog-sync-daemon-max-backoff \"99ms\": not between 100ms and "
	    "1h; nothing is started\n" },
	{ "--deregister-timeout=61m", NULL,
	    "--deregister-timeout \"61m\": not between 0s and 1h; nothing is "
	    "started\n" },
	{ "--bind-address=8888", NULL,
	    "--bind-address \"8888\": not an address to listen at (like "
	    ":8888, 127.0.0.1:8888, [::1]:8888); nothing is started\n" },
	{ "--namespace=", NULL,
	    "--namespace \"\": empty; nothing is started\n" },
	{ "--pod-name=Web 1", NULL,
	    "--pod-name \"Web 1\": not a name (a-z, 0-9, - and .); nothing is "
	    "started\n" },
	{ "--namespace=" NAME64, NULL,
	    "--namespace \"" NAME64 "\": too long; nothing is started\n" },
	{ "--sandbox=no", NULL,
	    "--sandbox \"no\": neither auto nor strict; nothing is started\n" },
};

START_TEST(says_what_is_wrong)
{
	const char *args[] = { NEEDED, bad[_i].arg, NULL };
	const char *env[] = { bad[_i].env, NULL };
	struct sidecar_config c;

	ck_assert(!load(&c, args, env));
	ck_assert_str_eq(said, bad[_i].says);
}
END_TEST

/* All of them at once. */
START_TEST(says_what_is_missing)
{
	static const char *const args[] = { NULL };
	/* Empty is not set. */
	static const char *const env[] = { "NAMESPACE=", NULL };
	static const char *const names[] = {
		"neither --katalog-sync-daemon nor the environment's KATALOG",
		"--namespace nor the environment's NAMESPACE is set",
		"--pod-name nor the environment's POD_NAME is set",
		"--container-name nor the environment's CONTAINER_NAME is set",
	};
	struct sidecar_config c;

	ck_assert(!load(&c, args, env));
	for (size_t i = 0; i < COUNT(names); i++)
		ck_assert_msg(strstr(said, names[i]) != NULL, "%s", said);
}
END_TEST

/* Daemon addresses, and what becomes of them. */
static const struct {
	const char *text, *host;
	uint16_t port;
	bool ip;
} daemons[] = {
	{ "10.0.0.1", "10.0.0.1", SIDECAR_DAEMON_PORT, true },
	{ "[fd00::1]:8501", "fd00::1", 8501, true },
	{ "node.example:1", "node.example", 1, false },
	{ "http://localhost:2/", "localhost", 2, false },
};

START_TEST(knows_the_daemons_address)
{
	const char *const env[] = { NULL };
	const char *args[] = { NEEDED, "--katalog-sync-daemon",
		daemons[_i].text, NULL };
	struct sidecar_config c;

	ck_assert_msg(load(&c, args, env), "%s", said);
	ck_assert_str_eq(c.daemon.host, daemons[_i].host);
	ck_assert_uint_eq(c.daemon.port, daemons[_i].port);
	ck_assert_int_eq(c.daemon.host_is_ip, daemons[_i].ip);
}
END_TEST

START_TEST(help_names_all)
{
	static const char *const names[] = { "--katalog-sync-daemon\n",
		"KATALOG_SYNC_DAEMON_MAX_BACKOFF", "--bind-address",
		"default :8888", "--exec CMD", "required" };
	char text[4096];
	FILE *f = fmemopen(text, sizeof(text), "w");

	sidecar_help(f);
	fclose(f);
	for (size_t i = 0; i < COUNT(names); i++)
		ck_assert_msg(strstr(text, names[i]) != NULL, "%s", names[i]);
	for (const char *line = text; *line != '\0';
	     line += strcspn(line, "\n") + 1)
		ck_assert_msg(strcspn(line, "\n") <= 80, "%s", line);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sidecar_config");
	TCase *t = tcase_create("sidecar_config");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, has_defaults);
	tcase_add_test(t, environment_sets_all);
	tcase_add_test(t, flags_win);
	tcase_add_test(t, exec_takes_the_rest);
	tcase_add_test(t, help_and_version_need_nothing);
	tcase_add_loop_test(t, says_what_is_wrong, 0, COUNT(bad));
	tcase_add_test(t, says_what_is_missing);
	tcase_add_loop_test(t, knows_the_daemons_address, 0, COUNT(daemons));
	tcase_add_test(t, help_names_all);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
