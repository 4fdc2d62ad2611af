#include "sidecar/config.h"

#include <bsd/string.h>
#include <string.h>

#include "common/duration.h"

#define BACKOFF_MIN_MS  100
#define DURATION_MAX_MS (60 * 60 * 1000)
#define NOT_A_DURATION  "not a duration (like 500ms, 1m30s)"
/*
 * Of the 30 s that a pod has by default to end. With --exec the program ends
 * after that, and needs some of them for itself.
 */
#define DEREGISTER_MS      25000
#define DEREGISTER_EXEC_MS 15000

/* What a value is, and where it came from. */
struct option {
	const char *name;
	const char *env; /* NULL: none */
	const char *def; /* NULL: it must be set */
	/* NULL, or why not (constant text). */
	const char *(*set)(struct sidecar_config *c, const char *text);
	const char *help;
};

static const char *
set_log_level(struct sidecar_config *c, const char *text)
{
	return log_level_parse(text, &c->log_level)
	    ? NULL
	    : "not a level (error, warn, info, debug)";
}

static const char *
set_daemon(struct sidecar_config *c, const char *text)
{
	const char *why = url_parse(text, 1U << URL_HTTP, URL_HTTP,
	    SIDECAR_DAEMON_PORT, &c->daemon);

	if (why != NULL)
		return why;
	return strcmp(c->daemon.path, "/") == 0 ? NULL
						: "not HOST:PORT, but a path";
}

static const char *
set_max_backoff(struct sidecar_config *c, const char *text)
{
	if (!duration_parse(text, &c->max_backoff_ms))
		return NOT_A_DURATION;
	return c->max_backoff_ms >= BACKOFF_MIN_MS &&
		c->max_backoff_ms <= DURATION_MAX_MS
	    ? NULL
	    : "not between 100ms and 1h";
}

static const char *
set_deregister_timeout(struct sidecar_config *c, const char *text)
{
	c->deregister_ms = c->exec != NULL ? DEREGISTER_EXEC_MS : DEREGISTER_MS;
	if (*text == '\0')
		return NULL;
	if (!duration_parse(text, &c->deregister_ms))
		return NOT_A_DURATION;
	return c->deregister_ms <= DURATION_MAX_MS ? NULL
						   : "not between 0s and 1h";
}

static const char *
set_bind_address(struct sidecar_config *c, const char *text)
{
	char host[64];
	uint16_t port;

	c->bind_address = text;
	if (*text == '\0' || url_parse_listen(text, host, sizeof(host), &port))
		return NULL;
	return "not an address to listen at (like :8888, 127.0.0.1:8888, "
	       "[::1]:8888)";
}

/* As Kubernetes has names: others than these never exist. */
static const char *
set_name(const char *text, char *name, size_t cap)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";

	if (*text == '\0')
		return "empty";
	if (text[strspn(text, allowed)] != '\0')
		return "not a name (a-z, 0-9, - and .)";
	return strlcpy(name, text, cap) < cap ? NULL : "too long";
}

static const char *
set_namespace(struct sidecar_config *c, const char *text)
{
	return set_name(text, c->names.namespace, sizeof(c->names.namespace));
}

static const char *
set_pod(struct sidecar_config *c, const char *text)
{
	return set_name(text, c->names.pod, sizeof(c->names.pod));
}

static const char *
set_container(struct sidecar_config *c, const char *text)
{
	return set_name(text, c->names.container, sizeof(c->names.container));
}

static const char *
set_sandbox(struct sidecar_config *c, const char *text)
{
	c->strict = strcmp(text, "strict") == 0;
	return c->strict || strcmp(text, "auto") == 0
	    ? NULL
	    : "neither auto nor strict";
}

static const struct option options[] = {
	{ "katalog-sync-daemon", "KATALOG_SYNC_DAEMON", NULL, set_daemon,
	    "HOST:PORT of the daemon on this node" },
	{ "namespace", "NAMESPACE", NULL, set_namespace, "the pod's" },
	{ "pod-name", "POD_NAME", NULL, set_pod, "the pod's" },
	{ "container-name", "CONTAINER_NAME", NULL, set_container,
	    "this container's, as the pod's annotation has it" },
	{ "bind-address", "BIND_ADDRESS", ":8888", set_bind_address,
	    "where GET /ready is answered (empty: nowhere)" },
	{ "katalog-sync-daemon-max-backoff", "KATALOG_SYNC_DAEMON_MAX_BACKOFF",
	    "1s", set_max_backoff, "longest pause between two tries" },
	{ "deregister-timeout", "DEREGISTER_TIMEOUT", "",
	    set_deregister_timeout, "when to give up (25s; with --exec 15s)" },
	{ "log-level", "LOG_LEVEL", "info", set_log_level,
	    "error, warn, info or debug" },
	{ "sandbox", NULL, "auto", set_sandbox,
	    "strict: a layer that the kernel lacks is an error" },
};
#define OPTIONS (sizeof(options) / sizeof(*options))

/* The values of flags, by the option's place in the table; NULL: not given. */
struct flags {
	const char *value[OPTIONS];
	bool good;
};

static size_t
option_named(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if (strlen(options[i].name) == len &&
		    strncmp(options[i].name, name, len) == 0)
			break;
	return i;
}

/* "--name=value", or "--name" and next. Returns how many were used. */
static int
take_option(struct flags *f, const char *arg, const char *next)
{
	const char *name = arg + 2, *eq = strchr(name, '=');
	size_t len = eq != NULL ? (size_t)(eq - name) : strlen(name);
	size_t i =
	    strncmp(arg, "--", 2) == 0 ? option_named(name, len) : OPTIONS;

	if (i == OPTIONS) {
		log_error("%.80s: unknown option; see --help", arg);
		f->good = false;
		return 1;
	}
	if (eq != NULL) {
		f->value[i] = eq + 1;
		return 1;
	}
	if (next != NULL && strncmp(next, "--", 2) != 0) {
		f->value[i] = next;
		return 2;
	}
	log_error("%s: needs a value", arg);
	f->good = false;
	return 1;
}

static bool
is_one_of(const char *arg, const char *a, const char *b)
{
	return strcmp(arg, a) == 0 || strcmp(arg, b) == 0;
}

static void
take_exec(struct sidecar_config *c, struct flags *f, char **program)
{
	if (*program != NULL) {
		c->exec = program;
		return;
	}
	log_error("--exec: needs a program to start");
	f->good = false;
}

static void
take_flags(struct sidecar_config *c, struct flags *f, char **argv)
{
	if (*argv != NULL)
		argv++;
	while (*argv != NULL) {
		if (is_one_of(*argv, "--help", "-h")) {
			c->help = true;
			return;
		}
		if (is_one_of(*argv, "--version", "-V")) {
			c->version = true;
			return;
		}
		if (strcmp(*argv, "--exec") == 0) {
			take_exec(c, f, argv + 1);
			return;
		}
		argv += take_option(f, argv[0], argv[1]);
	}
}

/* NULL if it is not set, or empty. */
static const char *
env_get(char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp != NULL; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] != '\0' ? *envp + len + 1
							: NULL;
	return NULL;
}

static bool
apply(struct sidecar_config *c, const struct option *o, const char *text,
    const char *where, const char *name)
{
	const char *why = o->set(c, text);

	if (why == NULL)
		return true;
	log_error("%s%s \"%.200s\": %s; nothing is started", where, name, text,
	    why);
	return false;
}

static bool
apply_option(struct sidecar_config *c, const struct option *o, const char *flag,
    char *const *envp)
{
	const char *env = o->env != NULL ? env_get(envp, o->env) : NULL;

	if (flag != NULL)
		return apply(c, o, flag, "--", o->name);
	if (env != NULL)
		return apply(c, o, env, "environment ", o->env);
	if (o->def != NULL)
		return apply(c, o, o->def, "default of --", o->name);
	log_error("neither --%s nor the environment's %s is set; "
		  "nothing is started",
	    o->name, o->env);
	return false;
}

bool
sidecar_config(struct sidecar_config *c, char **argv, char *const *envp)
{
	struct flags f = { .good = true };

	*c = (struct sidecar_config){ .log_level = LOG_LVL_INFO };
	take_flags(c, &f, argv);
	if (c->help || c->version)
		return f.good;
	for (size_t i = 0; i < OPTIONS; i++)
		f.good &= apply_option(c, &options[i], f.value[i], envp);
	return f.good;
}

static void
help_option(FILE *f, const struct option *o)
{
	fprintf(f, "  --%s\n", o->name);
	if (o->env != NULL)
		fprintf(f, "      environment %s\n", o->env);
	fprintf(f, "      %s", o->help);
	if (o->def == NULL)
		fprintf(f, "; required");
	else if (*o->def != '\0')
		fprintf(f, "; default %s", o->def);
	fprintf(f, "\n");
}

void
sidecar_help(FILE *f)
{
	fprintf(f,
	    "usage: katalog-sidecar [--option=value ...] [--exec CMD ...]\n\n"
	    "Registers its pod with the daemon of its node, says so at /ready, "
	    "and\nderegisters on SIGTERM. See katalog-sidecar(1).\n\n");
	for (size_t i = 0; i < OPTIONS; i++)
		help_option(f, &options[i]);
	fprintf(f,
	    "  --exec CMD ...\n"
	    "      start that program, be its parent, and exit with its "
	    "status\n"
	    "  -h, --help\n"
	    "  -V, --version\n");
}
