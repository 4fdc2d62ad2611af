/* What must fit together, and what follows from other values. */
#include <bsd/string.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/duration.h"
#include "supervisor/config_parts.h"

/* sizeof(sun_path) without the NUL. */
#define UNIX_PATH_MAX 107
#define NODE_NAME_MAX 253

#define LOWER         "abcdefghijklmnopqrstuvwxyz"
#define UPPER         "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS        "0123456789"

static const char *
str(const struct loader *l, enum option opt)
{
	return settings_str(l->c->settings, opt);
}

static uint64_t
u64(const struct loader *l, enum option opt)
{
	return settings_u64(l->c->settings, opt);
}

static bool
has(const struct loader *l, enum option opt)
{
	return *str(l, opt) != '\0';
}

static const char *
name_of(enum option opt)
{
	return option_def(opt)->name;
}

void
config_fail(struct loader *l, enum option opt, const char *why)
{
	char at[CONFIG_WHERE];

	config_error(l->r, "%s \"%.200s\": %s", config_where(l->c, opt, at),
	    str(l, opt), why);
	l->bad[opt] = true;
}

static void
warn_no_effect(struct loader *l, enum option opt, const char *why)
{
	/* Of the sources only a variable does not say the option's name. */
	bool env = l->c->source[opt].from == CONFIG_ENV;
	char at[CONFIG_WHERE];

	config_warning(l->r, "%s: %s%shas no effect: %s",
	    config_where(l->c, opt, at), env ? name_of(opt) : "",
	    env ? " " : "", why);
}

/* ---- order ---- */

static const struct order {
	enum option low;
	enum option high;
} orders[] = {
	/* This one first: the default may have to follow either of them. */
	{ OPT_MIN_SYNC_INTERVAL, OPT_MAX_SYNC_INTERVAL },
	{ OPT_MIN_SYNC_INTERVAL, OPT_DEFAULT_SYNC_INTERVAL },
	{ OPT_DEFAULT_SYNC_INTERVAL, OPT_MAX_SYNC_INTERVAL },
	{ OPT_RESTART_DELAY, OPT_RESTART_DELAY_MAX },
};

static void
out_of_order(struct loader *l, enum option low, enum option high)
{
	char at[CONFIG_WHERE], a[DURATION_TEXT], b[DURATION_TEXT];

	config_error(l->r, "%s %s: more than %s, which is %s",
	    config_where(l->c, low, at), duration_format(u64(l, low), a),
	    name_of(high), duration_format(u64(l, high), b));
	l->bad[low] = l->bad[high] = true;
}

/* One that nobody set makes room for one that somebody did set. */
static void
follow(struct loader *l, enum option opt, enum option set)
{
	char at[CONFIG_WHERE], was[DURATION_TEXT], now[DURATION_TEXT];

	config_warning(l->r, "%s %s: %s follows (its default is %s)",
	    config_where(l->c, set, at), duration_format(u64(l, set), now),
	    name_of(opt), duration_format(u64(l, opt), was));
	settings_set_u64(l->c->settings, opt, u64(l, set));
}

static void
check_order(struct loader *l, const struct order *o)
{
	if (l->bad[o->low] || l->bad[o->high] ||
	    u64(l, o->low) <= u64(l, o->high))
		return;
	if (!config_is_set(l->c, o->low))
		follow(l, o->low, o->high);
	else if (!config_is_set(l->c, o->high))
		follow(l, o->high, o->low);
	else
		out_of_order(l, o->low, o->high);
}

static void
check_times(struct loader *l)
{
	enum option dereg = OPT_DEREGISTER_CRITICAL_AFTER;
	uint64_t ms = u64(l, dereg);
	char at[CONFIG_WHERE], text[DURATION_TEXT];

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
		check_order(l, &orders[i]);
	if (ms != 0 && ms < 60000)
		config_error(l->r,
		    "%s %s: Consul takes at least 1m here (0 turns it off)",
		    config_where(l->c, dereg, at), duration_format(ms, text));
	if (u64(l, OPT_KUBELET_STALE_AFTER) <= u64(l, OPT_MAX_SYNC_INTERVAL))
		config_warning(l->r,
		    "%s: not more than max-sync-interval: checks may turn "
		    "critical between two good reads",
		    config_where(l->c, OPT_KUBELET_STALE_AFTER, at));
}

/* ---- single values, by rules that a type alone does not have ---- */

void
config_check_server_name(struct loader *l, enum option opt)
{
	struct url u;
	const char *why;

	if (l->bad[opt] || !has(l, opt))
		return;
	why = url_parse(str(l, opt), 1U << URL_HTTPS, URL_HTTPS, 0, &u);
	if (why == NULL && strcmp(u.path, "/") != 0)
		why = "not a host name";
	if (why != NULL)
		config_fail(l, opt, why);
	else
		settings_set_str(l->c->settings, opt, u.host);
}

static void
check_charset(struct loader *l, enum option opt, const char *set,
    const char *why)
{
	const char *s = str(l, opt);

	if (!l->bad[opt] &&
	    (s[strspn(s, set)] != '\0' || strlen(s) > NODE_NAME_MAX))
		config_fail(l, opt, why);
}

/* Of what Kubernetes will be asked for. */
static const struct k8s_name {
	enum option opt;
	bool required;
	size_t max;
	const char *set;
	const char *why;
} k8s_names[] = {
	{ OPT_TARGET_NAMESPACE, true, 63, LOWER DIGITS "-",
	    "not the name of a namespace (at most 63 lower-case letters, "
	    "digits and -)" },
	{ OPT_GATEWAY_NAMESPACE, false, 63, LOWER DIGITS "-",
	    "not the name of a namespace (at most 63 lower-case letters, "
	    "digits and -)" },
	{ OPT_INSTANCE_ID, false, 63, LOWER UPPER DIGITS "-_.",
	    "not a label's value (at most 63 letters, digits, -, _ and .)" },
	{ OPT_LEADER_ELECT_NAME, true, 253, LOWER DIGITS "-.",
	    "not the name of a Lease (lower-case letters, digits, - and .)" },
	{ OPT_DOMAIN_SUFFIX, false, 189, LOWER DIGITS "-.",
	    "not a domain (at most 189 lower-case letters, digits, - and .)" },
	{ OPT_INTERNAL_GATEWAY, true, 189, LOWER DIGITS "-.",
	    "not the name of a Gateway (lower-case letters, digits, - and .)" },
	{ OPT_EXTERNAL_GATEWAY, true, 189, LOWER DIGITS "-.",
	    "not the name of a Gateway (lower-case letters, digits, - and .)" },
	{ OPT_GATEWAY_LISTENER, true, 253, LOWER DIGITS "-.",
	    "not the name of a listener (lower-case letters, digits, - and "
	    ".)" },
};

static bool
is_k8s_name(const struct k8s_name *n, const char *s)
{
	size_t len = strlen(s);

	if (len == 0)
		return !n->required;
	return len <= n->max && s[strspn(s, n->set)] == '\0' &&
	    strchr("-_.", s[0]) == NULL && strchr("-_.", s[len - 1]) == NULL;
}

static void
check_k8s_names(struct loader *l)
{
	enum option ns = OPT_GATEWAY_NAMESPACE;

	for (size_t i = 0; i < sizeof(k8s_names) / sizeof(*k8s_names); i++) {
		const struct k8s_name *n = &k8s_names[i];

		if (!l->bad[n->opt] && !is_k8s_name(n, str(l, n->opt)))
			config_fail(l, n->opt, n->why);
	}
	if (!has(l, ns))
		settings_set_str(l->c->settings, ns,
		    str(l, OPT_TARGET_NAMESPACE));
}

/* They stand in a filter's text, quoted by `. */
static void
check_tags(struct loader *l)
{
	static const enum option tags[] = { OPT_CONSUL_TAG, OPT_INTERNAL_TAG,
		OPT_EXTERNAL_TAG };

	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
		const char *s = str(l, tags[i]);

		if (!l->bad[tags[i]] &&
		    (strlen(s) > LIMIT_TAG || strchr(s, '`') != NULL))
			config_fail(l, tags[i],
			    "not a tag (at most 255 bytes, without a `)");
	}
	if (!l->bad[OPT_CONSUL_TAG] && !has(l, OPT_CONSUL_TAG))
		config_fail(l, OPT_CONSUL_TAG, "cannot be empty");
}

static void
check_names(struct loader *l)
{
	config_check_server_name(l, OPT_KUBELET_TLS_SERVER_NAME);
	config_check_server_name(l, OPT_CONSUL_TLS_SERVER_NAME);
	check_charset(l, OPT_NODE_NAME, LOWER DIGITS "-.",
	    "not the name of a node (lower-case letters, digits, - and .)");
	check_charset(l, OPT_CONSUL_NAMESPACE, LOWER UPPER DIGITS "-_",
	    "not the name of a namespace (letters, digits, - and _)");
	check_charset(l, OPT_CONSUL_DATACENTER, LOWER UPPER DIGITS "-_",
	    "not the name of a datacenter (letters, digits, - and _)");
	check_k8s_names(l);
	check_tags(l);
}

/* Where nobody says which way to go, the program's name does. */
static void
resolve_direction(struct loader *l)
{
	struct settings *s = l->c->settings;
	bool consul = config_is_set(l->c, OPT_TO_CONSUL);
	bool k8s = config_is_set(l->c, OPT_TO_K8S);
	enum option other = OPT_TO_CONSUL;
	char at[CONFIG_WHERE];

	if (settings_bool(s, OPT_TO_CONSUL) || settings_bool(s, OPT_TO_K8S))
		return;
	if (consul && k8s) {
		config_error(l->r, "%s: to-k8s is off too: nothing to do",
		    config_where(l->c, OPT_TO_CONSUL, at));
		return;
	}
	if (consul || (!k8s && config_as_consul_sync(l->c)))
		other = OPT_TO_K8S;
	settings_set_u64(s, other, 1);
}

static void
check_direction(struct loader *l)
{
	const struct settings *s = l->c->settings;

	resolve_direction(l);
	if (settings_bool(s, OPT_DRY_RUN) && settings_bool(s, OPT_TO_CONSUL) &&
	    settings_bool(s, OPT_TO_K8S))
		config_error(l->r,
		    "--dry-run: prints one direction only, but to-consul and "
		    "to-k8s are both on");
}

static void
check_paths(struct loader *l)
{
	static const enum option needed[] = { OPT_CONFIG, OPT_RUNTIME_DIR,
		OPT_LIBEXEC_DIR };

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!l->bad[needed[i]] && !has(l, needed[i]))
			config_fail(l, needed[i], "cannot be empty");
	if (strlen(str(l, OPT_CONTROL_SOCKET)) > UNIX_PATH_MAX)
		config_fail(l, OPT_CONTROL_SOCKET,
		    "path of a Unix socket longer than 107 bytes");
}

/* ---- peers ---- */

void
config_check_pair(struct loader *l, enum option cert, enum option key)
{
	enum option there = has(l, cert) ? cert : key;
	char at[CONFIG_WHERE];

	if (has(l, cert) == has(l, key) || l->bad[cert] || l->bad[key])
		return;
	config_error(l->r, "%s: %s is missing; it takes both",
	    config_where(l->c, there, at), name_of(there == cert ? key : cert));
}

void
config_unused(struct loader *l, const enum option *opts, size_t n,
    const char *why)
{
	for (size_t i = 0; i < n; i++)
		if (config_is_set(l->c, opts[i]) &&
		    (option_def(opts[i])->type == OPTION_BOOL ||
			has(l, opts[i])))
			warn_no_effect(l, opts[i], why);
}

static void
service_account_file(struct loader *l, enum option opt, const char *name)
{
	char path[LIMIT_OPTION];

	if (config_is_set(l->c, opt))
		return;
	snprintf(path, sizeof(path), "%s/%s", l->in->service_account, name);
	if (access(path, R_OK) == -1)
		return;
	settings_set_str(l->c->settings, opt, path);
	l->c->source[opt].from = CONFIG_SERVICE_ACCOUNT_FILE;
}

static void
check_kubelet_https(struct loader *l)
{
	static const enum option ca[] = { OPT_KUBELET_CA };

	if (!settings_bool(l->c->settings, OPT_KUBELET_INSECURE))
		service_account_file(l, OPT_KUBELET_CA, "ca.crt");
	else
		config_unused(l, ca, 1,
		    "kubelet-api-insecure-skip-verify is on");
	service_account_file(l, OPT_KUBELET_TOKEN_FILE, "token");
}

static void
check_kubelet_token(struct loader *l, enum url_scheme scheme)
{
	static const enum option token[] = { OPT_KUBELET_TOKEN_FILE };
	char at[CONFIG_WHERE];

	if (scheme == URL_FILE)
		config_unused(l, token, 1, "kubelet-api is a file");
	else if (scheme == URL_HTTP && has(l, OPT_KUBELET_TOKEN_FILE))
		config_warning(l->r,
		    "%s: kubelet-api is http: the token goes over the network "
		    "in the clear",
		    config_where(l->c, OPT_KUBELET_TOKEN_FILE, at));
}

static void
check_kubelet(struct loader *l)
{
	static const enum option tls[] = { OPT_KUBELET_INSECURE, OPT_KUBELET_CA,
		OPT_KUBELET_CLIENT_CERT, OPT_KUBELET_CLIENT_KEY,
		OPT_KUBELET_TLS_SERVER_NAME };
	char at[CONFIG_WHERE];
	struct url u;

	config_check_pair(l, OPT_KUBELET_CLIENT_CERT, OPT_KUBELET_CLIENT_KEY);
	if (l->bad[OPT_KUBELET_API] ||
	    option_url(OPT_KUBELET_API, str(l, OPT_KUBELET_API), &u) != NULL)
		return;
	if (strcmp(u.path, "/") == 0)
		config_warning(l->r,
		    "%s: has no path; a kubelet lists its pods at /pods",
		    config_where(l->c, OPT_KUBELET_API, at));
	if (u.scheme == URL_HTTPS)
		check_kubelet_https(l);
	else
		config_unused(l, tls, sizeof(tls) / sizeof(*tls),
		    "kubelet-api is not https");
	check_kubelet_token(l, u.scheme);
}

/*
 * As Consul's own client: consul-ssl makes https of http, but never the other
 * way round.
 */
static void
upgrade_to_https(struct loader *l)
{
	const char *s = str(l, OPT_CONSUL_ADDR);
	char full[LIMIT_OPTION];

	if (strncasecmp(s, "http://", 7) == 0)
		s += 7;
	if ((size_t)snprintf(full, sizeof(full), "https://%s", s) <
	    sizeof(full))
		settings_set_str(l->c->settings, OPT_CONSUL_ADDR, full);
	else
		config_fail(l, OPT_CONSUL_ADDR, "too long");
}

/* What scheme it is in the end; false if there is an error. */
static bool
resolve_consul_scheme(struct loader *l, enum url_scheme *scheme)
{
	bool ssl = settings_bool(l->c->settings, OPT_CONSUL_SSL);
	struct url u;

	if (l->bad[OPT_CONSUL_ADDR] || l->bad[OPT_CONSUL_SSL] ||
	    option_url(OPT_CONSUL_ADDR, str(l, OPT_CONSUL_ADDR), &u) != NULL)
		return false;
	*scheme = u.scheme;
	if (u.scheme == URL_UNIX && ssl)
		config_fail(l, OPT_CONSUL_ADDR,
		    "there is no TLS on Unix sockets; turn consul-ssl off");
	if (u.scheme == URL_HTTP && ssl) {
		upgrade_to_https(l);
		*scheme = URL_HTTPS;
	}
	settings_set_u64(l->c->settings, OPT_CONSUL_SSL, *scheme == URL_HTTPS);
	return !l->bad[OPT_CONSUL_ADDR];
}

static void
check_consul_addr(struct loader *l)
{
	static const enum option tls[] = { OPT_CONSUL_SSL_VERIFY, OPT_CONSUL_CA,
		OPT_CONSUL_CLIENT_CERT, OPT_CONSUL_CLIENT_KEY,
		OPT_CONSUL_TLS_SERVER_NAME };
	enum url_scheme scheme;

	if (resolve_consul_scheme(l, &scheme) && scheme != URL_HTTPS)
		config_unused(l, tls, sizeof(tls) / sizeof(*tls),
		    "consul-addr is not https");
}

/* The original took no address for granted. */
static void
check_consul_is_named(struct loader *l)
{
	if (config_as_consul_sync(l->c) && !l->bad[OPT_CONSUL_ADDR] &&
	    settings_bool(l->c->settings, OPT_TO_K8S) &&
	    !config_is_set(l->c, OPT_CONSUL_ADDR))
		config_error(l->r,
		    "CONSUL_ADDR is not set (nor consul-addr): consul-sync "
		    "must be told where Consul is");
}

static void
check_consul(struct loader *l)
{
	char at[CONFIG_WHERE];

	check_consul_is_named(l);
	config_check_pair(l, OPT_CONSUL_CLIENT_CERT, OPT_CONSUL_CLIENT_KEY);
	check_consul_addr(l);
	if (l->c->consul_token != NULL && has(l, OPT_CONSUL_TOKEN_FILE))
		config_warning(l->r,
		    "%s: goes before CONSUL_HTTP_TOKEN, which is used only "
		    "until there is a token in that file",
		    config_where(l->c, OPT_CONSUL_TOKEN_FILE, at));
}

/* ---- sidecars ---- */

/* Of what listens anywhere, or at the same address. */
static bool
same_port(struct loader *l, enum option a, enum option b)
{
	char host_a[INET6_ADDRSTRLEN], host_b[INET6_ADDRSTRLEN];
	uint16_t port_a, port_b;

	return has(l, a) && has(l, b) &&
	    url_parse_listen(str(l, a), host_a, sizeof(host_a), &port_a) &&
	    url_parse_listen(str(l, b), host_b, sizeof(host_b), &port_b) &&
	    port_a != 0 && port_a == port_b &&
	    (*host_a == '\0' || *host_b == '\0' || strcmp(host_a, host_b) == 0);
}

static void
check_sidecar(struct loader *l)
{
	static const enum option rpc[] = { OPT_BIND_ADDRESS,
		OPT_SIDECAR_VERIFY_PEER };
	static const enum option verify[] = { OPT_SIDECAR_VERIFY_PEER };

	if (!settings_bool(l->c->settings, OPT_TO_CONSUL)) {
		config_unused(l, rpc, 2, "to-consul is off");
		settings_set_str(l->c->settings, OPT_BIND_ADDRESS, "");
		return;
	}
	if (!has(l, OPT_BIND_ADDRESS))
		config_unused(l, verify, 1, "bind-address is not set");
	if (same_port(l, OPT_BIND_ADDRESS, OPT_METRICS_BIND_ADDRESS))
		config_fail(l, OPT_BIND_ADDRESS,
		    "the port of metrics-bind-address; sidecars take one of "
		    "their own");
}

static void
check_no_effect(struct loader *l)
{
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		enum option opt = (enum option)i;
		const char *why = option_def(opt)->no_effect;

		if (why != NULL)
			config_unused(l, &opt, 1, why);
	}
}

void
config_cross_check(struct loader *l)
{
	check_direction(l);
	check_times(l);
	check_names(l);
	check_paths(l);
	check_kubelet(l);
	check_consul(l);
	config_check_k8s(l);
	check_sidecar(l);
	check_no_effect(l);
}
