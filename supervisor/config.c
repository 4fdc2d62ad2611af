#include "supervisor/config.h"

#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/config_parts.h"

struct config_input
config_input(int argc, char **argv, char **envp)
{
	return (struct config_input){
		.argc = argc,
		.argv = argv,
		.envp = envp,
		.root = geteuid() == 0,
		.default_file = option_def(OPT_CONFIG)->def,
		.service_account = CONFIG_SERVICE_ACCOUNT,
	};
}

bool
config_flag_only(enum option opt)
{
	return opt == OPT_CONFIG || opt == OPT_DRY_RUN;
}

bool
config_is_set(const struct config *c, enum option opt)
{
	return c->source[opt].from == CONFIG_FILE ||
	    c->source[opt].from == CONFIG_ENV ||
	    c->source[opt].from == CONFIG_FLAG;
}

bool
config_as_consul_sync(const struct config *c)
{
	return strcmp(c->progname, "consul-sync") == 0;
}

/* For a source that the config does not hold (yet). */
static const char *
where(const struct config *c, enum option opt, struct config_source source,
    char buf[CONFIG_WHERE])
{
	const char *name = option_def(opt)->name;

	switch (source.from) {
	case CONFIG_FILE:
		snprintf(buf, CONFIG_WHERE, "%s:%u: %s",
		    settings_str(c->settings, OPT_CONFIG), source.line, name);
		break;
	case CONFIG_ENV:
		snprintf(buf, CONFIG_WHERE, "environment %s", source.env);
		break;
	case CONFIG_FLAG:
		snprintf(buf, CONFIG_WHERE, "--%s", name);
		break;
	case CONFIG_SERVICE_ACCOUNT_FILE:
		snprintf(buf, CONFIG_WHERE, "%s (service account)", name);
		break;
	default:
		snprintf(buf, CONFIG_WHERE, "%s (default)", name);
	}
	return buf;
}

const char *
config_where(const struct config *c, enum option opt, char buf[CONFIG_WHERE])
{
	return where(c, opt, c->source[opt], buf);
}

static bool
is_url(enum option opt)
{
	enum option_type type = option_def(opt)->type;

	return type == OPTION_KUBELET_URL || type == OPTION_CONSUL_URL ||
	    type == OPTION_K8S_URL;
}

/* What is refused may be a URL with a password. */
static const char *
behind_user(enum option opt, const char *s)
{
	const char *at = is_url(opt) ? strrchr(s, '@') : NULL;

	return at != NULL ? at : s;
}

void
config_assign(struct loader *l, enum option opt, const char *text,
    struct config_source source)
{
	char why[CONFIG_WHY], at[CONFIG_WHERE], *trimmed = xstrdup(text);
	const char *s = trimmed + strspn(trimmed, " \t"), *shown;
	size_t len = strlen(trimmed);

	while (len > 0 && strchr(" \t", trimmed[len - 1]) != NULL)
		trimmed[--len] = '\0';
	if (config_value(l->c->settings, opt, s, why)) {
		l->c->source[opt] = source;
		l->bad[opt] = false;
	} else {
		shown = behind_user(opt, s);
		config_error(l->r, "%s \"%s%.200s\": %s",
		    where(l->c, opt, source, at), shown != s ? "..." : "",
		    shown, why);
		l->bad[opt] = true;
	}
	free(trimmed);
}

static const char *
base_name(const struct config_input *in)
{
	const char *name = in->argc > 0 ? in->argv[0] : "katalogd", *slash;

	slash = strrchr(name, '/');
	return slash == NULL ? name : slash + 1;
}

/* Those programs wrote to stderr, and their users collect that. */
static void
set_originals_defaults(struct config *c)
{
	bool consul_sync = config_as_consul_sync(c);

	if (consul_sync || strcmp(c->progname, "katalog-sync-daemon") == 0)
		settings_set_str(c->settings, OPT_LOG_TARGET, "stderr");
	if (consul_sync)
		settings_set_str(c->settings, OPT_METRICS_BIND_ADDRESS,
		    ":8080");
}

static struct config *
config_defaults(struct loader *l)
{
	struct config *c = xcalloc(1, sizeof(*c));

	l->c = c;
	c->settings = settings_new();
	c->progname = base_name(l->in);
	settings_set_str(c->settings, OPT_CONFIG, l->in->default_file);
	for (int opt = OPT_CONFIG + 1; opt < OPT_MAX; opt++)
		config_assign(l, (enum option)opt,
		    option_def((enum option)opt)->def,
		    (struct config_source){ .from = CONFIG_DEFAULT });
	set_originals_defaults(c);
	return c;
}

static void
gather_all(struct loader *l, struct flags *f)
{
	config_flags_apply(f, true);
	/* The cross check says so if the name is empty. */
	if (*settings_str(l->c->settings, OPT_CONFIG) != '\0')
		config_file(l, f->config);
	config_env(l, f);
	config_env_token(l);
	config_flags_apply(f, false);
	config_cross_check(l);
}

struct config *
config_load(const struct config_input *in, struct config_report *r)
{
	struct loader l = { .in = in, .r = r };
	struct flags f = { .l = &l };
	struct config *c = config_defaults(&l);

	config_flags_gather(&f);
	if (!c->help && !c->version)
		gather_all(&l, &f);
	free(f.list);
	if (r->errors == 0)
		return c;
	config_free(c);
	return NULL;
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	if (c->consul_token != NULL)
		explicit_bzero(c->consul_token, strlen(c->consul_token));
	free(c->consul_token);
	settings_free(c->settings);
	free(c);
}

static const enum option restart_only[] = { OPT_TO_CONSUL, OPT_TO_K8S,
	OPT_READINESS_GATES, OPT_SANDBOX, OPT_UID_BASE, OPT_RUNTIME_DIR,
	OPT_LIBEXEC_DIR };

static bool
same(const struct config *a, const struct config *b, enum option opt)
{
	char x[CONFIG_TEXT], y[CONFIG_TEXT];

	return strcmp(config_text(a->settings, opt, x),
		   config_text(b->settings, opt, y)) == 0;
}

void
config_keep(const struct config *old, struct config *next, enum option opt)
{
	char why[CONFIG_WHY], text[CONFIG_TEXT];

	config_value(next->settings, opt, config_text(old->settings, opt, text),
	    why);
	next->source[opt] = old->source[opt];
}

static void
keep_old(const struct config *old, struct config *next, enum option opt,
    struct config_report *r)
{
	char text[CONFIG_TEXT], at[CONFIG_WHERE];

	config_warning(r,
	    "%s: takes effect with a restart of katalogd only; \"%s\" stays",
	    config_where(next, opt, at), config_text(old->settings, opt, text));
	config_keep(old, next, opt);
}

role_mask
config_diff_roles(const struct config *old, struct config *next,
    struct config_report *r)
{
	size_t n = sizeof(restart_only) / sizeof(*restart_only);
	role_mask roles = 0;

	config_keep_cluster(old, next,
	    !same(old, next, OPT_TO_K8S) ||
		!same(old, next, OPT_READINESS_GATES));
	/* With to-consul off there are no sidecars, and so no port of theirs. */
	if (!same(old, next, OPT_TO_CONSUL))
		config_keep(old, next, OPT_BIND_ADDRESS);
	for (size_t i = 0; i < n; i++)
		if (!same(old, next, restart_only[i]))
			keep_old(old, next, restart_only[i], r);
	for (int i = OPT_CONFIG; i < OPT_MAX; i++)
		if (!same(old, next, (enum option)i))
			roles |= option_def((enum option)i)->roles;
	return roles;
}
