/* What -n and --help print. */
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/config_parts.h"
#include "supervisor/roles.h"

/* A group goes up to the first option of the next one. */
static const struct group {
	enum option first;
	const char *title;
} groups[] = {
	{ OPT_CONFIG, "Configuration, log, listeners" },
	{ OPT_TO_CONSUL, "Directions" },
	{ OPT_MIN_SYNC_INTERVAL, "Syncing" },
	{ OPT_KUBELET_API, "Kubelet" },
	{ OPT_CONSUL_ADDR, "Consul" },
	{ OPT_CONSUL_TAG, "Consul to Kubernetes" },
	{ OPT_KUBECONFIG, "Kubernetes" },
	{ OPT_ENABLE_HTTPROUTES, "Routes" },
	{ OPT_CONTROL_SOCKET, "Processes" },
	{ OPT_DRY_RUN, "Modes" },
};

static const char *
group_at(enum option opt)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (groups[i].first == opt)
			return groups[i].title;
	return NULL;
}

/* ---- -n ---- */

static void
print_source(const struct config *c, enum option opt, FILE *f)
{
	char at[CONFIG_WHERE];

	switch (c->source[opt].from) {
	case CONFIG_FILE:
		fprintf(f, "# %s:%u\n", settings_str(c->settings, OPT_CONFIG),
		    c->source[opt].line);
		break;
	case CONFIG_DEFAULT:
		fprintf(f, "# default\n");
		break;
	case CONFIG_SERVICE_ACCOUNT_FILE:
		fprintf(f, "# of the service account\n");
		break;
	default:
		fprintf(f, "# %s\n", config_where(c, opt, at));
	}
}

static void
print_option(const struct config *c, enum option opt, FILE *f)
{
	char buf[CONFIG_TEXT];
	const char *text = config_text(c->settings, opt, buf);

	print_source(c, opt, f);
	fprintf(f, "%s =%s%s\n", option_def(opt)->name,
	    *text == '\0' ? "" : " ", text);
}

static void
print_workers(const struct config *c, FILE *f)
{
	bool kubeconfig = *settings_str(c->settings, OPT_KUBECONFIG) != '\0';
	const char *before = "# workers: ";

	for (unsigned i = 0; i < nrole_defs; i++) {
		if (!role_runs(&role_defs[i], c->settings) ||
		    (role_defs[i].once && !kubeconfig))
			continue;
		fprintf(f, "%s%s", before, role_name(role_defs[i].role));
		before = ", ";
	}
	fputc('\n', f);
}

void
config_print(const struct config *c, FILE *f)
{
	fprintf(f,
	    "# %s: the configuration as it would be used, each value "
	    "with its source\n",
	    c->progname);
	fprintf(f, "# file: %s\n", settings_str(c->settings, OPT_CONFIG));
	print_workers(c, f);
	if (c->consul_token != NULL)
		fprintf(f,
		    "# consul-token: set by CONSUL_HTTP_TOKEN "
		    "(hidden)\n");
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		enum option opt = (enum option)i;

		if (group_at(opt) != NULL && opt != OPT_DRY_RUN)
			fprintf(f, "\n# ---- %s ----\n", group_at(opt));
		if (!config_flag_only(opt))
			print_option(c, opt, f);
	}
}

/* ---- --help ---- */

static const char *
argument(const struct option_def *def)
{
	static const char *const words[] = {
		[OPTION_STRING] = " NAME",
		[OPTION_PATH] = " PATH",
		[OPTION_BOOL] = "[=true|false]",
		[OPTION_DURATION] = " DURATION",
		[OPTION_COUNT] = " NUMBER",
		[OPTION_RATIO] = " SHARE",
		[OPTION_LISTEN] = " ADDRESS",
		[OPTION_KUBELET_URL] = " URL",
		[OPTION_CONSUL_URL] = " ADDRESS",
		[OPTION_K8S_URL] = " URL",
		[OPTION_CHOICE] = " WORD",
	};

	return words[def->type];
}

#define INDENT 10
#define WIDTH  79

/* Fills lines of at most WIDTH columns; *col is where the last one ended. */
static void
fill(FILE *f, const char *text, int *col)
{
	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (*col > INDENT && *col + 1 + len > WIDTH) {
			fprintf(f, "\n%*s", INDENT, "");
			*col = INDENT;
		} else if (*col > INDENT) {
			fputc(' ', f);
			(*col)++;
		}
		fprintf(f, "%.*s", len, text);
		*col += len;
		text += len + strspn(text + len, " ");
	}
}

/* "one of a b; environment A or B; default 1s", or "". */
static void
details(const struct option_def *def, char *buf, size_t cap)
{
	*buf = '\0';
	if (def->choices != NULL) {
		strlcat(buf, "; one of ", cap);
		strlcat(buf, def->choices, cap);
	}
	for (size_t i = 0; i < 3 && def->env[i] != NULL; i++) {
		strlcat(buf, i == 0 ? "; environment " : " or ", cap);
		strlcat(buf, def->env[i], cap);
	}
	if (*def->def != '\0') {
		strlcat(buf, "; default ", cap);
		strlcat(buf, def->def, cap);
	}
	if (*buf != '\0')
		memmove(buf, buf + 2, strlen(buf + 2) + 1);
}

static void
help_option(enum option opt, FILE *f)
{
	const struct option_def *def = option_def(opt);
	char more[LIMIT_OPTION], text[LIMIT_OPTION + 4];
	int col = INDENT;

	fprintf(f, "  %s--%s%s\n%*s", opt == OPT_CONFIG ? "-f, " : "",
	    def->name, argument(def), INDENT, "");
	fill(f, def->help, &col);
	details(def, more, sizeof(more));
	snprintf(text, sizeof(text), "(%s)", more);
	if (*more != '\0')
		fill(f, text, &col);
	fputc('\n', f);
}

void
config_help(const char *progname, FILE *f)
{
	fprintf(f, "usage: %s [-nhV] [-f file] [--option=value ...]\n",
	    progname);
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		const char *title = group_at((enum option)i);

		if (title != NULL)
			fprintf(f, "\n%s\n", title);
		help_option((enum option)i, f);
	}
	fprintf(f,
	    "  -n\n"
	    "          check the configuration, print it resolved, exit\n"
	    "  -h, --help\n"
	    "          print this\n"
	    "  -V, --version\n"
	    "          print the version\n"
	    "\n"
	    "All but --config and --dry-run can stand in the file, as "
	    "\"name = value\".\n"
	    "The token for Consul itself is given by CONSUL_HTTP_TOKEN or "
	    "in a file.\n"
	    "See katalogd.conf(5).\n");
}
