#include "common/options.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* The build says where things are; a module compiled by itself needs these. */
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#ifndef RUNSTATEDIR
#define RUNSTATEDIR "/run"
#endif
#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/libexec"
#endif

#define MS      1ULL
#define SEC     (1000 * MS)
#define MINUTE  (60 * SEC)
#define HOUR    (60 * MINUTE)
#define DAY     (24 * HOUR)

#define KUBELET ROLE_BIT(ROLE_KUBELET_READER)
#define CONSUL  ROLE_BIT(ROLE_CONSUL_WRITER)
#define READER  ROLE_BIT(ROLE_CONSUL_READER)
#define K8S     ROLE_BIT(ROLE_K8S_WRITER)
#define HTTP    ROLE_BIT(ROLE_HTTP)
#define ALL     (KUBELET | CONSUL | READER | K8S | HTTP | ROLE_BIT(ROLE_KUBECONFIG))

static const struct option_def defs[OPT_MAX] = {
	[OPT_CONFIG] = {
		.name = "config",
		.type = OPTION_PATH,
		.def = SYSCONFDIR "/katalogd.conf",
		.help = "read options from this file",
	},
	[OPT_LOG_LEVEL] = {
		.name = "log-level",
		.env = { "LOG_LEVEL" },
		.type = OPTION_CHOICE,
		.def = "info",
		.choices = "debug info warn error warning trace fatal panic",
		.roles = ALL,
		.help = "how much is logged",
	},
	[OPT_LOG_TARGET] = {
		.name = "log-target",
		.type = OPTION_CHOICE,
		.def = "auto",
		.choices = "auto syslog stderr",
		.help = "where the log goes; auto is syslog under a service "
			"manager, else stderr",
	},
	[OPT_BIND_ADDRESS] = {
		.name = "bind-address",
		.env = { "BIND_ADDRESS" },
		.type = OPTION_LISTEN,
		.def = "",
		.roles = HTTP | CONSUL,
		.help = "where sidecars register, by gRPC (empty: off)",
	},
	[OPT_SIDECAR_VERIFY_PEER] = {
		.name = "sidecar-verify-peer",
		.env = { "SIDECAR_VERIFY_PEER" },
		.type = OPTION_BOOL,
		.def = "true",
		.roles = CONSUL,
		.help = "a pod's sidecar may only call from that pod's address",
	},
	[OPT_READINESS_GATES] = {
		.name = "readiness-gates",
		.env = { "READINESS_GATES" },
		.type = OPTION_CHOICE,
		.def = "auto",
		.choices = "auto yes no",
		.roles = CONSUL | K8S,
		.help = "set the pods' readiness gates (auto: where the "
			"cluster can be reached)",
	},
	[OPT_METRICS_BIND_ADDRESS] = {
		.name = "metrics-bind-address",
		.env = { "METRICS_BIND_ADDRESS", "METRICS_ADDR" },
		.type = OPTION_LISTEN,
		.def = "",
		.roles = HTTP,
		.help = "serve /metrics, /healthz and the status API here "
			"(empty: off)",
	},
	[OPT_PPROF_BIND_ADDRESS] = {
		.name = "pprof-bind-address",
		.env = { "PPROF_BIND_ADDRESS" },
		.type = OPTION_LISTEN,
		.def = "",
		.help = "accepted for compatibility",
		.no_effect = "there is no Go runtime to profile",
	},
	[OPT_TO_CONSUL] = {
		.name = "to-consul",
		.type = OPTION_BOOL,
		.def = "false",
		.help = "bring this node's pods into Consul; so it is without "
			"either direction, too",
	},
	[OPT_TO_K8S] = {
		.name = "to-k8s",
		.type = OPTION_BOOL,
		.def = "false",
		.roles = K8S,
		.help = "bring Consul's tagged services into Kubernetes "
			"(default as consul-sync)",
	},
	[OPT_MIN_SYNC_INTERVAL] = {
		.name = "min-sync-interval",
		.env = { "MIN_SYNC_INTERVAL" },
		.type = OPTION_DURATION,
		.def = "500ms",
		.min = 10 * MS,
		.max = HOUR,
		.roles = KUBELET,
		.help = "the kubelet is never read more often than this",
	},
	[OPT_MAX_SYNC_INTERVAL] = {
		.name = "max-sync-interval",
		.env = { "MAX_SYNC_INTERVAL" },
		.type = OPTION_DURATION,
		.def = "5s",
		.min = 10 * MS,
		.max = HOUR,
		.roles = KUBELET,
		.help = "the kubelet is never read less often than this",
	},
	[OPT_DEFAULT_SYNC_INTERVAL] = {
		.name = "default-sync-interval",
		.env = { "DEFAULT_SYNC_INTERVAL" },
		.type = OPTION_DURATION,
		.def = "1s",
		.min = 10 * MS,
		.max = HOUR,
		.roles = KUBELET,
		.help = "how often a pod is synced that does not say so itself",
	},
	[OPT_DEFAULT_CHECK_TTL] = {
		.name = "default-check-ttl",
		.env = { "DEFAULT_CHECK_TTL" },
		.type = OPTION_DURATION,
		.def = "10s",
		.min = 100 * MS,
		.max = DAY,
		.roles = KUBELET,
		.help = "TTL of the checks of a pod that does not say so "
			"itself",
	},
	[OPT_SYNC_TTL_BUFFER] = {
		.name = "sync-ttl-buffer-duration",
		.env = { "SYNC_TTL_BUFFER_DURATION" },
		.type = OPTION_DURATION,
		.def = "10s",
		.max = DAY,
		.roles = KUBELET,
		.help = "a TTL is at least this much longer than the sync "
			"interval",
	},
	[OPT_KUBELET_API] = {
		.name = "kubelet-api",
		.env = { "KUBELET_API" },
		.type = OPTION_KUBELET_URL,
		.def = "http://localhost:10255/pods",
		.roles = KUBELET,
		.help = "where the pods of this node are read: http, https "
			"or file:///path",
	},
	[OPT_KUBELET_INSECURE] = {
		.name = "kubelet-api-insecure-skip-verify",
		.env = { "KUBELET_API_INSECURE_SKIP_VERIFY" },
		.type = OPTION_BOOL,
		.def = "false",
		.roles = KUBELET,
		.help = "accept any certificate of the kubelet",
	},
	[OPT_KUBELET_CA] = {
		.name = "kubelet-ca",
		.env = { "KUBELET_CA" },
		.type = OPTION_PATH,
		.def = "",
		.help = "CA of the kubelet's certificate (default with https: "
			"the service account's)",
	},
	[OPT_KUBELET_TOKEN_FILE] = {
		.name = "kubelet-token-file",
		.env = { "KUBELET_TOKEN_FILE" },
		.type = OPTION_PATH,
		.def = "",
		.help = "bearer token for the kubelet (default with https: "
			"the service account's)",
	},
	[OPT_KUBELET_CLIENT_CERT] = {
		.name = "kubelet-client-cert",
		.env = { "KUBELET_CLIENT_CERT" },
		.type = OPTION_PATH,
		.def = "",
		.help = "client certificate for the kubelet (PEM)",
	},
	[OPT_KUBELET_CLIENT_KEY] = {
		.name = "kubelet-client-key",
		.env = { "KUBELET_CLIENT_KEY" },
		.type = OPTION_PATH,
		.def = "",
		.help = "its key (PEM)",
	},
	[OPT_KUBELET_TLS_SERVER_NAME] = {
		.name = "kubelet-tls-server-name",
		.type = OPTION_STRING,
		.def = "",
		.roles = KUBELET,
		.help = "name in the kubelet's certificate (default: the host "
			"of the URL)",
	},
	[OPT_KUBELET_TIMEOUT] = {
		.name = "kubelet-timeout",
		.type = OPTION_DURATION,
		.def = "10s",
		.min = 100 * MS,
		.max = 10 * MINUTE,
		.roles = KUBELET,
		.help = "a read of the pods is given up after this",
	},
	[OPT_KUBELET_STALE_AFTER] = {
		.name = "kubelet-stale-after",
		.env = { "KUBELET_STALE_AFTER" },
		.type = OPTION_DURATION,
		.def = "2m",
		.min = 100 * MS,
		.max = DAY,
		.roles = KUBELET | CONSUL,
		.help = "without a good read for this long, checks are no "
			"longer refreshed",
	},
	[OPT_NODE_NAME] = {
		.name = "node-name",
		.env = { "NODE_NAME" },
		.type = OPTION_STRING,
		.def = "",
		.roles = KUBELET,
		.help = "pods of other nodes are refused (default: learned "
			"from the first list)",
	},
	[OPT_CONSUL_ADDR] = {
		.name = "consul-addr",
		.env = { "CONSUL_HTTP_ADDR", "CONSUL_ADDR" },
		.type = OPTION_CONSUL_URL,
		.def = "127.0.0.1:8500",
		.roles = CONSUL | READER,
		.help = "Consul's agent: host:port, http://, https:// or "
			"unix:///path",
	},
	[OPT_CONSUL_TOKEN_FILE] = {
		.name = "consul-token-file",
		.env = { "CONSUL_HTTP_TOKEN_FILE" },
		.type = OPTION_PATH,
		.def = "",
		.help = "ACL token; goes before CONSUL_HTTP_TOKEN",
	},
	[OPT_CONSUL_SSL] = {
		.name = "consul-ssl",
		.env = { "CONSUL_HTTP_SSL" },
		.type = OPTION_BOOL,
		.def = "false",
		.roles = CONSUL | READER,
		.help = "https, also where consul-addr says http or nothing",
	},
	[OPT_CONSUL_SSL_VERIFY] = {
		.name = "consul-ssl-verify",
		.env = { "CONSUL_HTTP_SSL_VERIFY" },
		.type = OPTION_BOOL,
		.def = "true",
		.roles = CONSUL | READER,
		.help = "verify the certificate of the agent",
	},
	[OPT_CONSUL_CA] = {
		.name = "consul-ca",
		.env = { "CONSUL_CACERT" },
		.type = OPTION_PATH,
		.def = "",
		.help = "CA of the agent's certificate (default: the "
			"system's bundle)",
	},
	[OPT_CONSUL_CLIENT_CERT] = {
		.name = "consul-client-cert",
		.env = { "CONSUL_CLIENT_CERT" },
		.type = OPTION_PATH,
		.def = "",
		.help = "client certificate for the agent (PEM)",
	},
	[OPT_CONSUL_CLIENT_KEY] = {
		.name = "consul-client-key",
		.env = { "CONSUL_CLIENT_KEY" },
		.type = OPTION_PATH,
		.def = "",
		.help = "its key (PEM)",
	},
	[OPT_CONSUL_TLS_SERVER_NAME] = {
		.name = "consul-tls-server-name",
		.env = { "CONSUL_TLS_SERVER_NAME" },
		.type = OPTION_STRING,
		.def = "",
		.roles = CONSUL | READER,
		.help = "name in the agent's certificate (default: the host "
			"of the address)",
	},
	[OPT_CONSUL_NAMESPACE] = {
		.name = "consul-namespace",
		.env = { "CONSUL_NAMESPACE" },
		.type = OPTION_STRING,
		.def = "",
		.roles = CONSUL | READER,
		.help = "namespace of the services (Consul Enterprise)",
	},
	[OPT_CONSUL_TIMEOUT] = {
		.name = "consul-timeout",
		.type = OPTION_DURATION,
		.def = "10s",
		.min = 100 * MS,
		.max = 10 * MINUTE,
		.roles = CONSUL | READER,
		.help = "a request is given up after this",
	},
	[OPT_CONSUL_CONCURRENCY] = {
		.name = "consul-concurrency",
		.type = OPTION_COUNT,
		.def = "8",
		.min = 1,
		.max = 64,
		.roles = CONSUL,
		.help = "requests at once",
	},
	[OPT_CONSUL_RESYNC_INTERVAL] = {
		.name = "consul-resync-interval",
		.type = OPTION_DURATION,
		.def = "1m",
		.min = 100 * MS,
		.max = DAY,
		.roles = CONSUL,
		.help = "how often the agent's services are read and repaired",
	},
	[OPT_DEREGISTER_CRITICAL_AFTER] = {
		.name = "deregister-critical-after",
		.type = OPTION_DURATION,
		.def = "30m",
		.max = 365 * DAY,
		.roles = CONSUL,
		.help = "Consul removes what was critical for this long "
			"(0: never; else at least 1m)",
	},
	[OPT_CONSUL_TAG] = {
		.name = "consul-tag",
		.env = { "CONSUL_TAG" },
		.type = OPTION_STRING,
		.def = "kubernetes",
		.roles = READER,
		.help = "services with this tag are brought into Kubernetes",
	},
	[OPT_INTERNAL_TAG] = {
		.name = "internal-tag",
		.env = { "INTERNAL_TAG" },
		.type = OPTION_STRING,
		.def = "internal",
		.roles = READER,
		.help = "services with this tag too get a route by the "
			"internal gateway",
	},
	[OPT_EXTERNAL_TAG] = {
		.name = "external-tag",
		.env = { "EXTERNAL_TAG" },
		.type = OPTION_STRING,
		.def = "external",
		.roles = READER,
		.help = "services with this tag too get a route by the "
			"external gateway",
	},
	[OPT_CONSUL_DATACENTER] = {
		.name = "consul-datacenter",
		.env = { "CONSUL_DATACENTER" },
		.type = OPTION_STRING,
		.def = "",
		.roles = READER,
		.help = "datacenter of the services (default: the agent's)",
	},
	[OPT_RESYNC_INTERVAL] = {
		.name = "resync-interval",
		.env = { "RESYNC_INTERVAL" },
		.type = OPTION_DURATION,
		.def = "5m",
		.min = SEC,
		.max = DAY,
		.roles = READER | K8S,
		.help = "how often everything is read again, whatever is "
			"said to have changed",
	},
	[OPT_WARNING_IS_READY] = {
		.name = "warning-is-ready",
		.type = OPTION_BOOL,
		.def = "true",
		.roles = READER,
		.help = "an instance with a check in state warning is ready",
	},
	[OPT_RESOLVE_HOSTNAMES] = {
		.name = "resolve-hostnames",
		.type = OPTION_BOOL,
		.def = "false",
		.roles = READER,
		.help = "look up addresses that are host names; else such "
			"instances are left out",
	},
	[OPT_ALLOW_LOOPS] = {
		.name = "allow-loops",
		.type = OPTION_BOOL,
		.def = "false",
		.roles = READER,
		.help = "also take services that came from Kubernetes",
	},
	[OPT_MAX_DELETE_RATIO] = {
		.name = "max-delete-ratio",
		.type = OPTION_RATIO,
		.def = "0.5",
		.max = 1000,
		.roles = READER | K8S,
		.help = "what would take away more than this share needs a "
			"second look",
	},
	[OPT_KUBECONFIG] = {
		.name = "kubeconfig",
		.env = { "KUBECONFIG" },
		.type = OPTION_PATH,
		.def = "",
		.help = "how to reach the cluster (default: in-cluster, else "
			"~/.kube/config)",
	},
	[OPT_K8S_API] = {
		.name = "k8s-api",
		.type = OPTION_K8S_URL,
		.def = "",
		.roles = K8S,
		.help = "the cluster's API server, in place of a kubeconfig "
			"(default in a cluster: its own)",
	},
	[OPT_K8S_TOKEN_FILE] = {
		.name = "k8s-token-file",
		.type = OPTION_PATH,
		.def = "",
		.help = "bearer token for k8s-api (default in a cluster: the "
			"service account's)",
	},
	[OPT_K8S_CA] = {
		.name = "k8s-ca",
		.type = OPTION_PATH,
		.def = "",
		.help = "CA of its certificate (default in a cluster: the "
			"service account's)",
	},
	[OPT_K8S_CLIENT_CERT] = {
		.name = "k8s-client-cert",
		.type = OPTION_PATH,
		.def = "",
		.help = "client certificate for k8s-api (PEM)",
	},
	[OPT_K8S_CLIENT_KEY] = {
		.name = "k8s-client-key",
		.type = OPTION_PATH,
		.def = "",
		.help = "its key (PEM)",
	},
	[OPT_K8S_TLS_SERVER_NAME] = {
		.name = "k8s-tls-server-name",
		.type = OPTION_STRING,
		.def = "",
		.roles = K8S,
		.help = "name in the certificate of k8s-api (default: the "
			"host of the URL)",
	},
	[OPT_K8S_INSECURE] = {
		.name = "k8s-insecure-skip-verify",
		.type = OPTION_BOOL,
		.def = "false",
		.roles = K8S,
		.help = "accept any certificate of k8s-api",
	},
	[OPT_TARGET_NAMESPACE] = {
		.name = "target-namespace",
		.env = { "TARGET_NAMESPACE" },
		.type = OPTION_STRING,
		.def = "network",
		.roles = K8S,
		.help = "namespace of the Services and what belongs to them",
	},
	[OPT_INSTANCE_ID] = {
		.name = "instance-id",
		.type = OPTION_STRING,
		.def = "",
		.roles = K8S,
		.help = "label value that tells our objects from those of "
			"others who share the namespace",
	},
	[OPT_K8S_CONCURRENCY] = {
		.name = "k8s-concurrency",
		.type = OPTION_COUNT,
		.def = "16",
		.min = 1,
		.max = 64,
		.roles = K8S,
		.help = "requests to the cluster at once",
	},
	[OPT_K8S_TIMEOUT] = {
		.name = "k8s-timeout",
		.type = OPTION_DURATION,
		.def = "10s",
		.min = 100 * MS,
		.max = 10 * MINUTE,
		.roles = K8S,
		.help = "a request to the cluster is given up after this",
	},
	[OPT_LEADER_ELECT] = {
		.name = "leader-elect",
		.type = OPTION_CHOICE,
		.def = "auto",
		.choices = "auto yes no",
		.roles = K8S,
		.help = "only the holder of a Lease writes; auto is yes in a "
			"cluster",
	},
	[OPT_LEADER_ELECT_NAME] = {
		.name = "leader-elect-name",
		.type = OPTION_STRING,
		.def = "katalogd-to-k8s",
		.roles = K8S,
		.help = "name of that Lease",
	},
	[OPT_ENABLE_HTTPROUTES] = {
		.name = "enable-httproutes",
		.env = { "ENABLE_HTTPROUTES" },
		.type = OPTION_BOOL,
		.def = "true",
		.roles = K8S,
		.help = "make HTTPRoutes, if there is a domain-suffix",
	},
	[OPT_DOMAIN_SUFFIX] = {
		.name = "domain-suffix",
		.env = { "DOMAIN_SUFFIX" },
		.type = OPTION_STRING,
		.def = "",
		.roles = K8S,
		.help = "host names of routes are NAME.SUFFIX (empty: no "
			"routes)",
	},
	[OPT_INTERNAL_GATEWAY] = {
		.name = "internal-gateway",
		.env = { "INTERNAL_GATEWAY" },
		.type = OPTION_STRING,
		.def = "envoy-internal",
		.roles = K8S,
		.help = "Gateway of internal routes",
	},
	[OPT_EXTERNAL_GATEWAY] = {
		.name = "external-gateway",
		.env = { "EXTERNAL_GATEWAY" },
		.type = OPTION_STRING,
		.def = "envoy-external",
		.roles = K8S,
		.help = "Gateway of external routes",
	},
	[OPT_GATEWAY_NAMESPACE] = {
		.name = "gateway-namespace",
		.env = { "GATEWAY_NAMESPACE" },
		.type = OPTION_STRING,
		.def = "",
		.roles = K8S,
		.help = "namespace of the Gateways (default: "
			"target-namespace)",
	},
	[OPT_GATEWAY_LISTENER] = {
		.name = "gateway-listener",
		.env = { "GATEWAY_LISTENER" },
		.type = OPTION_STRING,
		.def = "https",
		.roles = K8S,
		.help = "listener of the Gateways that routes attach to",
	},
	[OPT_CONTROL_SOCKET] = {
		.name = "control-socket",
		.env = { "CONTROL_SOCKET" },
		.type = OPTION_PATH,
		.def = RUNSTATEDIR "/katalogd/control.sock",
		.roles = HTTP,
		.help = "Unix socket of the status API (empty: off)",
	},
	[OPT_SANDBOX] = {
		.name = "sandbox",
		.type = OPTION_CHOICE,
		.def = "auto",
		.choices = "auto strict",
		.roles = ALL,
		.help = "strict: a layer that the kernel lacks is an error",
	},
	[OPT_UID_BASE] = {
		.name = "uid-base",
		.type = OPTION_COUNT,
		.def = "60610",
		.min = 1,
		.max = 2147483000,
		.roles = ALL,
		.help = "workers run as this uid and gid and the ones that "
			"follow, if started by root",
	},
	[OPT_RUNTIME_DIR] = {
		.name = "runtime-dir",
		.type = OPTION_PATH,
		.def = RUNSTATEDIR "/katalogd",
		.roles = ALL,
		.help = "folder of the control socket and of the empty "
			"folder for chroot",
	},
	[OPT_LIBEXEC_DIR] = {
		.name = "libexec-dir",
		.type = OPTION_PATH,
		.def = LIBEXECDIR "/katalogd",
		.help = "folder of the worker programs",
	},
	[OPT_RESTART_DELAY] = {
		.name = "restart-delay",
		.type = OPTION_DURATION,
		.def = "250ms",
		.min = 10 * MS,
		.max = HOUR,
		.help = "pause before a worker that died is started again",
	},
	[OPT_RESTART_DELAY_MAX] = {
		.name = "restart-delay-max",
		.type = OPTION_DURATION,
		.def = "30s",
		.min = 10 * MS,
		.max = HOUR,
		.help = "the pause doubles up to this",
	},
	[OPT_DRY_RUN] = {
		.name = "dry-run",
		.type = OPTION_BOOL,
		.def = "false",
		.roles = KUBELET | CONSUL | READER | K8S,
		.help = "read once, print what would be written, exit",
	},
};

struct value {
	char *str; /* NULL for numbers */
	uint64_t num;
	bool set;
};

struct settings {
	struct value v[OPT_MAX];
};

const struct option_def *
option_def(enum option opt)
{
	return opt >= OPT_CONFIG && opt < OPT_MAX ? &defs[opt] : NULL;
}

enum option
option_by_name(const char *name)
{
	for (int opt = OPT_CONFIG; opt < OPT_MAX; opt++)
		if (strcmp(defs[opt].name, name) == 0)
			return (enum option)opt;
	return 0;
}

const char *
option_url(enum option opt, const char *text, struct url *u)
{
	unsigned allowed = 1U << URL_HTTP | 1U << URL_HTTPS;
	const char *why;

	if (opt == OPT_KUBELET_API)
		allowed |= 1U << URL_FILE;
	if (opt == OPT_CONSUL_ADDR)
		allowed |= 1U << URL_UNIX;
	/* Consul's own client allows a bare host:port, the others don't. */
	if (opt != OPT_CONSUL_ADDR && strstr(text, "://") == NULL)
		return "not a URL";
	why = url_parse(text, allowed, URL_HTTP, 0, u);
	/* Its path stands in front of those of the API. */
	if (why == NULL && opt == OPT_CONSUL_ADDR && u->scheme != URL_UNIX &&
	    strchr(u->path, '?') != NULL)
		return "a query (?) has no meaning here";
	return why;
}

static bool
is_number(const struct option_def *def)
{
	return def->type == OPTION_BOOL || def->type == OPTION_DURATION ||
	    def->type == OPTION_COUNT || def->type == OPTION_RATIO;
}

static bool
in_range(const struct option_def *def, uint64_t v)
{
	if (def->type == OPTION_BOOL)
		return v <= 1;
	return v >= def->min && v <= def->max;
}

/* What is asked for must exist and have that type; else it is our bug. */
static const struct option_def *
checked_def(enum option opt, bool number)
{
	const struct option_def *def = option_def(opt);

	if (def == NULL)
		fatalx("option %d does not exist", (int)opt);
	if (is_number(def) != number)
		fatalx("option %s is %sa number", def->name,
		    number ? "not " : "");
	return def;
}

static const struct value *
checked_value(const struct settings *s, enum option opt, bool number)
{
	const struct option_def *def = checked_def(opt, number);

	if (!s->v[opt].set)
		fatalx("option %s is not in this role's slice", def->name);
	return &s->v[opt];
}

struct settings *
settings_new(void)
{
	return xcalloc(1, sizeof(struct settings));
}

void
settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	for (int opt = 0; opt < OPT_MAX; opt++)
		free(s->v[opt].str);
	free(s);
}

void
settings_set_str(struct settings *s, enum option opt, const char *v)
{
	char *copy;

	checked_def(opt, false);
	copy = xstrdup(v == NULL ? "" : v);
	free(s->v[opt].str);
	s->v[opt] = (struct value){ .str = copy, .set = true };
}

void
settings_set_u64(struct settings *s, enum option opt, uint64_t v)
{
	checked_def(opt, true);
	s->v[opt] = (struct value){ .num = v, .set = true };
}

const char *
settings_str(const struct settings *s, enum option opt)
{
	return checked_value(s, opt, false)->str;
}

uint64_t
settings_u64(const struct settings *s, enum option opt)
{
	return checked_value(s, opt, true)->num;
}

bool
settings_bool(const struct settings *s, enum option opt)
{
	return settings_u64(s, opt) != 0;
}

bool
settings_encode(const struct settings *s, enum role role, struct tlv_writer *w)
{
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		enum option opt = (enum option)i;
		const struct option_def *def = &defs[i];

		if ((def->roles & ROLE_BIT(role)) == 0)
			continue;
		if (is_number(def))
			tlv_put_u64(w, (uint16_t)i, settings_u64(s, opt));
		else
			tlv_put_str(w, (uint16_t)i, settings_str(s, opt));
	}
	return !w->overflow;
}

static size_t
slice_rules(enum role role, struct tlv_rule rules[OPT_MAX])
{
	size_t n = 0;

	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		if ((defs[i].roles & ROLE_BIT(role)) == 0)
			continue;
		rules[n++] = (struct tlv_rule){
			.tag = (uint16_t)i,
			.type = is_number(&defs[i]) ? TLV_U64 : TLV_STR,
			.max = LIMIT_OPTION - 1,
		};
	}
	return n;
}

static bool
decode_field(struct settings *s, const struct tlv_field *f)
{
	enum option opt = (enum option)f->tag;
	char text[LIMIT_OPTION];

	if (is_number(&defs[opt])) {
		if (!in_range(&defs[opt], tlv_u64(f)))
			return false;
		settings_set_u64(s, opt, tlv_u64(f));
		return true;
	}
	if (!tlv_str(f, text, sizeof(text)))
		return false;
	settings_set_str(s, opt, text);
	return true;
}

struct settings *
settings_decode(const void *buf, size_t len, enum role role)
{
	struct tlv_field fields[OPT_MAX];
	struct tlv_rule rules[OPT_MAX];
	struct settings *s;
	size_t n = slice_rules(role, rules);

	if (!tlv_parse(buf, len, rules, n, fields))
		return NULL;
	s = settings_new();
	for (size_t i = 0; i < n; i++) {
		if (decode_field(s, &fields[i]))
			continue;
		settings_free(s);
		return NULL;
	}
	return s;
}
