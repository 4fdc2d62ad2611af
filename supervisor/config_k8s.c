/*
 * How the cluster is reached: by k8s-api, by a kubeconfig, by what a pod
 * finds, by the user's own kubeconfig; the first of these that there is.
 */
#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/config_parts.h"

#define HOST_ENV "KUBERNETES_SERVICE_HOST"
#define PORT_ENV "KUBERNETES_SERVICE_PORT"

/* k8s-api and what goes with it. */
static const enum option access_options[] = { OPT_K8S_API, OPT_K8S_TOKEN_FILE,
	OPT_K8S_CA, OPT_K8S_CLIENT_CERT, OPT_K8S_CLIENT_KEY,
	OPT_K8S_TLS_SERVER_NAME, OPT_K8S_INSECURE };
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const char *
str(const struct loader *l, enum option opt)
{
	return settings_str(l->c->settings, opt);
}

/* ---- k8s-api ---- */

static void
check_tls(struct loader *l)
{
	static const enum option tls[] = { OPT_K8S_CA, OPT_K8S_CLIENT_CERT,
		OPT_K8S_CLIENT_KEY, OPT_K8S_TLS_SERVER_NAME, OPT_K8S_INSECURE };
	static const enum option ca[] = { OPT_K8S_CA };
	char at[CONFIG_WHERE];
	struct url u;

	config_check_pair(l, OPT_K8S_CLIENT_CERT, OPT_K8S_CLIENT_KEY);
	if (l->bad[OPT_K8S_API] ||
	    option_url(OPT_K8S_API, str(l, OPT_K8S_API), &u) != NULL)
		return;
	if (u.scheme != URL_HTTPS)
		config_unused(l, tls, COUNT(tls), "k8s-api is not https");
	else if (settings_bool(l->c->settings, OPT_K8S_INSECURE))
		config_unused(l, ca, 1, "k8s-insecure-skip-verify is on");
	if (u.scheme != URL_HTTPS && *str(l, OPT_K8S_TOKEN_FILE) != '\0')
		config_warning(l->r,
		    "%s: k8s-api is http: the token goes over the network in "
		    "the clear",
		    config_where(l->c, OPT_K8S_TOKEN_FILE, at));
}

static void
by_options(struct loader *l)
{
	static const enum option kubeconfig[] = { OPT_KUBECONFIG };

	config_unused(l, kubeconfig, 1, "k8s-api is set");
	settings_set_str(l->c->settings, OPT_KUBECONFIG, "");
	check_tls(l);
}

/* ---- kubeconfig ---- */

/*
 * kubectl merges the files of such a list; here one counts: the first that
 * exists, or else the first.
 */
static void
pick_of_list(struct loader *l)
{
	char list[LIMIT_OPTION], *rest = list, *path, at[CONFIG_WHERE];
	char *first = NULL;

	if (l->c->source[OPT_KUBECONFIG].from != CONFIG_ENV ||
	    strchr(str(l, OPT_KUBECONFIG), ':') == NULL)
		return;
	strlcpy(list, str(l, OPT_KUBECONFIG), sizeof(list));
	while ((path = strsep(&rest, ":")) != NULL) {
		if (*path == '\0')
			continue;
		if (first == NULL)
			first = path;
		if (access(path, F_OK) == 0)
			break;
	}
	if (path == NULL)
		path = first;
	if (path != NULL)
		config_warning(l->r,
		    "%s: a list of files: only %s is used, the others are not "
		    "merged into it",
		    config_where(l->c, OPT_KUBECONFIG, at), path);
	settings_set_str(l->c->settings, OPT_KUBECONFIG, path);
}

static void
by_kubeconfig(struct loader *l)
{
	config_unused(l, access_options, COUNT(access_options),
	    "the kubeconfig says it");
}

/* ---- in a pod ---- */

static void
account_file(struct loader *l, enum option opt, const char *name)
{
	char path[LIMIT_OPTION];

	if (config_is_set(l->c, opt))
		return;
	snprintf(path, sizeof(path), "%s/%s", l->in->service_account, name);
	settings_set_str(l->c->settings, opt, path);
	l->c->source[opt].from = CONFIG_SERVICE_ACCOUNT_FILE;
}

static void
by_service_account(struct loader *l, const char *host, const char *port)
{
	bool v6 = strchr(host, ':') != NULL;
	char url[LIMIT_OPTION];

	snprintf(url, sizeof(url), "https://%s%s%s:%s", v6 ? "[" : "", host,
	    v6 ? "]" : "", port);
	config_assign(l, OPT_K8S_API, url,
	    (struct config_source){ .from = CONFIG_ENV, .env = HOST_ENV });
	account_file(l, OPT_K8S_TOKEN_FILE, "token");
	if (!settings_bool(l->c->settings, OPT_K8S_INSECURE))
		account_file(l, OPT_K8S_CA, "ca.crt");
	check_tls(l);
}

/* ---- the user's own ---- */

/* Who asks for the cluster, for messages. */
static const char *
who_asks(const struct loader *l)
{
	return settings_bool(l->c->settings, OPT_TO_K8S) ? "to-k8s"
							 : "readiness-gates";
}

static void
by_home(struct loader *l)
{
	const char *home = config_env_get(l, "HOME");
	char path[LIMIT_OPTION] = "~/.kube/config";

	if (home != NULL)
		snprintf(path, sizeof(path), "%s/.kube/config", home);
	if (home == NULL || access(path, F_OK) == -1) {
		config_error(l->r,
		    "%s: no way to a cluster: neither kubeconfig nor "
		    "k8s-api is set, this is no pod (" HOST_ENV " and " PORT_ENV
		    " are not both set), and %s: %s",
		    who_asks(l), path,
		    home == NULL ? "HOME is not set" : strerror(errno));
		return;
	}
	settings_set_str(l->c->settings, OPT_KUBECONFIG, path);
	by_kubeconfig(l);
}

/* k8s-writer is told yes or no. */
static void
resolve_leader_elect(struct loader *l, bool in_cluster)
{
	if (settings_bool(l->c->settings, OPT_TO_K8S) &&
	    !l->bad[OPT_LEADER_ELECT] &&
	    strcmp(str(l, OPT_LEADER_ELECT), "auto") == 0)
		settings_set_str(l->c->settings, OPT_LEADER_ELECT,
		    in_cluster ? "yes" : "no");
}

/* ---- readiness gates ---- */

/*
 * Somebody meant this daemon to reach a cluster. A KUBECONFIG in the
 * environment may be there for kubectl.
 */
static bool
cluster_is_named(struct loader *l)
{
	return config_is_set(l->c, OPT_K8S_API) ||
	    (config_is_set(l->c, OPT_KUBECONFIG) &&
		l->c->source[OPT_KUBECONFIG].from != CONFIG_ENV);
}

/* A pod may go without a service account's token. */
static bool
has_account(struct loader *l)
{
	char path[LIMIT_OPTION];

	snprintf(path, sizeof(path), "%s/token", l->in->service_account);
	return access(path, R_OK) == 0;
}

static bool
wants_gates(struct loader *l, bool in_cluster)
{
	static const enum option gates[] = { OPT_READINESS_GATES };
	const struct settings *s = l->c->settings;
	const char *word = str(l, OPT_READINESS_GATES);

	if (!settings_bool(s, OPT_TO_CONSUL)) {
		config_unused(l, gates, 1, "to-consul is off");
		return false;
	}
	if (settings_bool(s, OPT_DRY_RUN))
		return false;
	if (strcmp(word, "auto") != 0)
		return strcmp(word, "yes") == 0;
	return settings_bool(s, OPT_TO_K8S) || cluster_is_named(l) ||
	    (in_cluster && has_account(l));
}

void
config_check_k8s(struct loader *l)
{
	const char *host = config_env_get(l, HOST_ENV);
	const char *port = config_env_get(l, PORT_ENV);
	bool in_cluster = host != NULL && port != NULL;
	bool gates = wants_gates(l, in_cluster);

	/* consul-writer and k8s-writer are told yes or no. */
	settings_set_str(l->c->settings, OPT_READINESS_GATES,
	    gates ? "yes" : "no");
	if (!gates && !settings_bool(l->c->settings, OPT_TO_K8S))
		return;
	config_check_server_name(l, OPT_K8S_TLS_SERVER_NAME);
	resolve_leader_elect(l, in_cluster);
	if (l->bad[OPT_K8S_API] || l->bad[OPT_KUBECONFIG])
		return;
	pick_of_list(l);
	if (*str(l, OPT_K8S_API) != '\0')
		by_options(l);
	else if (*str(l, OPT_KUBECONFIG) != '\0')
		by_kubeconfig(l);
	else if (in_cluster)
		by_service_account(l, host, port);
	else
		by_home(l);
}

/* ---- what the kubeconfig said ---- */

static void
keep_cluster(const struct config *old, struct config *next)
{
	for (size_t i = 0; i < COUNT(access_options); i++)
		config_keep(old, next, access_options[i]);
}

void
config_keep_cluster(const struct config *old, struct config *next,
    bool whole_direction)
{
	if (whole_direction) {
		config_keep(old, next, OPT_KUBECONFIG);
		config_keep(old, next, OPT_LEADER_ELECT);
	}
	if (whole_direction ||
	    *settings_str(next->settings, OPT_KUBECONFIG) != '\0')
		keep_cluster(old, next);
}

/* Paths in a kubeconfig are relative to its folder. */
static bool
join(const struct config *c, const char *file, char path[LIMIT_OPTION])
{
	const char *kubeconfig = settings_str(c->settings, OPT_KUBECONFIG);
	const char *slash = strrchr(kubeconfig, '/');
	int folder = slash != NULL ? (int)(slash - kubeconfig) + 1 : 0;

	if (*file == '\0' || *file == '/')
		folder = 0;
	return snprintf(path, LIMIT_OPTION, "%.*s%s", folder, kubeconfig,
		   file) < LIMIT_OPTION;
}

static bool
take_file(const struct config *c, struct settings *s, enum option opt,
    const char *file, char why[CONFIG_WHY])
{
	char path[LIMIT_OPTION];

	if (join(c, file, path))
		return config_value(s, opt, path, why);
	snprintf(why, CONFIG_WHY, "a path of more than %d bytes",
	    LIMIT_OPTION - 1);
	return false;
}

static bool
take_all(const struct config *c, struct settings *s,
    const struct config_cluster *k, char why[CONFIG_WHY])
{
	return config_value(s, OPT_K8S_API, k->api, why) &&
	    config_value(s, OPT_K8S_TLS_SERVER_NAME, k->tls_server_name, why) &&
	    config_value(s, OPT_K8S_INSECURE, k->insecure ? "true" : "false",
		why) &&
	    take_file(c, s, OPT_K8S_TOKEN_FILE, k->token_file, why) &&
	    take_file(c, s, OPT_K8S_CA, k->ca, why) &&
	    take_file(c, s, OPT_K8S_CLIENT_CERT, k->client_cert, why) &&
	    take_file(c, s, OPT_K8S_CLIENT_KEY, k->client_key, why);
}

bool
config_take_cluster(struct config *c, const struct config_cluster *k,
    char why[CONFIG_WHY])
{
	struct config found = { .settings = settings_new() };
	bool good = take_all(c, found.settings, k, why);

	if (good && *k->api == '\0') {
		snprintf(why, CONFIG_WHY, "no server");
		good = false;
	}
	if (good)
		keep_cluster(&found, c);
	settings_free(found.settings);
	return good;
}
