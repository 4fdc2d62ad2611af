#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/config.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define WORDS    8

/* What a pod finds. */
#define IN_CLUSTER \
	"KUBERNETES_SERVICE_HOST=10.0.0.1", "KUBERNETES_SERVICE_PORT=443"
/* What consul-sync must be told. */
#define AS_CONSUL_SYNC  .progname = "consul-sync"
#define CONSUL_SYNC_ENV IN_CLUSTER, "CONSUL_ADDR=c:1"

/* A folder of the test's own: t.conf, sa/ca.crt, sa/token. */
static char folder[] = "/tmp/check_config.XXXXXX";
static char file_path[64], account[64], no_account[64];

static void
write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static void
set_up(void)
{
	char path[96];

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file_path, sizeof(file_path), "%s/t.conf", folder);
	snprintf(account, sizeof(account), "%s/sa", folder);
	snprintf(no_account, sizeof(no_account), "%s/none", folder);
	ck_assert_int_eq(mkdir(account, 0700), 0);
	snprintf(path, sizeof(path), "%s/ca.crt", account);
	write_file(path, "ca", 2);
	snprintf(path, sizeof(path), "%s/token", account);
	write_file(path, "token", 5);
}

/* Arguments must live as long as the configs made from them. */
static char *kept[64];
static size_t nkept;

static char *
keep(const char *s)
{
	ck_assert_uint_lt(nkept, COUNT(kept));
	return kept[nkept++] = strdup(s);
}

static void
tear_down(void)
{
	char path[96];

	while (nkept > 0)
		free(kept[--nkept]);
	unlink(file_path);
	snprintf(path, sizeof(path), "%s/ca.crt", account);
	unlink(path);
	snprintf(path, sizeof(path), "%s/token", account);
	unlink(path);
	rmdir(account);
	rmdir(folder);
}

/* What a configuration is made of in a test. */
struct given {
	const char *flags[WORDS]; /* without argv[0] */
	const char *env[WORDS];
	const char *file; /* NULL: none */
	const char *progname; /* NULL: katalogd */
	bool root;
	bool in_pod; /* has a service account */
};

static struct config *
load(const struct given *g, struct config_report *r)
{
	char *argv[WORDS + 2] = { 0 }, *envp[WORDS + 1] = { 0 };
	struct config_input in = { .argv = argv, .envp = envp };

	argv[in.argc++] =
	    keep(g->progname != NULL ? g->progname : "/usr/sbin/katalogd");
	for (int i = 0; i < WORDS && g->flags[i] != NULL; i++)
		argv[in.argc++] = keep(g->flags[i]);
	for (int i = 0; i < WORDS && g->env[i] != NULL; i++)
		envp[i] = keep(g->env[i]);
	unlink(file_path);
	if (g->file != NULL)
		write_file(file_path, g->file, strlen(g->file));
	in.root = g->root;
	in.default_file = file_path;
	in.service_account = g->in_pod ? account : no_account;
	config_report_init(r);
	return config_load(&in, r);
}

static struct config *
load_good(const struct given *g)
{
	struct config_report r;
	struct config *c = load(g, &r);

	ck_assert_msg(c != NULL, "%s",
	    r.count > 0 ? r.messages[0].text : "no config, no reason");
	ck_assert_uint_eq(r.errors, 0);
	config_report_free(&r);
	return c;
}

/* As -n prints it; the caller frees it. */
static char *
printed(const struct config *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	config_print(c, f);
	fclose(f);
	return text;
}

/* One option as a config file's line would say it. */
static bool
has_line(const struct config *c, const char *line)
{
	char *text = printed(c), whole[512];
	bool there;

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	there = strstr(text, whole) != NULL;
	free(text);
	return there;
}

/* ---- values and where they come from ---- */

static const struct {
	struct given given;
	const char *line;
	enum option opt;
	enum config_from from;
} values[] = {
	{ { .file = NULL }, "min-sync-interval = 500ms", OPT_MIN_SYNC_INTERVAL,
	    CONFIG_DEFAULT },
	{ { .file = "min-sync-interval = 600ms\n" },
	    "min-sync-interval = 600ms", OPT_MIN_SYNC_INTERVAL, CONFIG_FILE },
	{ { .file = "min-sync-interval = 600ms\n",
	      .env = { "MIN_SYNC_INTERVAL=700ms" } },
	    "min-sync-interval = 700ms", OPT_MIN_SYNC_INTERVAL, CONFIG_ENV },
	{ { .file = "min-sync-interval = 600ms\n",
	      .env = { "MIN_SYNC_INTERVAL=700ms" },
	      .flags = { "--min-sync-interval=800ms" } },
	    "min-sync-interval = 800ms", OPT_MIN_SYNC_INTERVAL, CONFIG_FLAG },
	{ { .flags = { "--min-sync-interval", "800ms" } },
	    "min-sync-interval = 800ms", OPT_MIN_SYNC_INTERVAL, CONFIG_FLAG },
	{ { .flags = { "--log-level=warn", "--log-level=debug" } },
	    "log-level = debug", OPT_LOG_LEVEL, CONFIG_FLAG },
	{ { .env = { "LOG_LEVEL=" }, .file = "log-level=error" },
	    "log-level = error", OPT_LOG_LEVEL, CONFIG_FILE },
	{ { .env = { "LOG_LEVEL=WARNING" } }, "log-level = warning",
	    OPT_LOG_LEVEL, CONFIG_ENV },
	{ { .env = { "LOG_LEVELS=x", "XLOG_LEVEL=y", "LOG_LEVEL" } },
	    "log-level = info", OPT_LOG_LEVEL, CONFIG_DEFAULT },
	{ { .env = { "METRICS_ADDR=:1", "METRICS_BIND_ADDRESS=:2" } },
	    "metrics-bind-address = :2", OPT_METRICS_BIND_ADDRESS, CONFIG_ENV },
	{ { .env = { "METRICS_ADDR=:1", "METRICS_BIND_ADDRESS=" } },
	    "metrics-bind-address = :1", OPT_METRICS_BIND_ADDRESS, CONFIG_ENV },
	/* A bad variable that a flag overrides is nobody's business. */
	{ { .env = { "LOG_LEVEL=verbose" }, .flags = { "--log-level=info" } },
	    "log-level = info", OPT_LOG_LEVEL, CONFIG_FLAG },
	{ { .flags = { "--kubelet-api-insecure-skip-verify" } },
	    "kubelet-api-insecure-skip-verify = true", OPT_KUBELET_INSECURE,
	    CONFIG_FLAG },
	{ { .flags = { "--consul-ssl-verify=OFF" } },
	    "consul-ssl-verify = false", OPT_CONSUL_SSL_VERIFY, CONFIG_FLAG },
	{ { .env = { "CONSUL_HTTP_SSL_VERIFY=0" } },
	    "consul-ssl-verify = false", OPT_CONSUL_SSL_VERIFY, CONFIG_ENV },
	{ { .file = " \t# comment\r\n\r\n \tnode-name\t=  a.b-1 \t\r\n" },
	    "node-name = a.b-1", OPT_NODE_NAME, CONFIG_FILE },
	{ { .file = "control-socket =" },
	    "control-socket =", OPT_CONTROL_SOCKET, CONFIG_FILE },
	{ { .flags = { "--control-socket", "" } },
	    "control-socket =", OPT_CONTROL_SOCKET, CONFIG_FLAG },
	{ { .file = "kubelet-ca = /a b=c # d\n" }, "kubelet-ca = /a b=c # d",
	    OPT_KUBELET_CA, CONFIG_FILE },
	{ { .flags = { "--node-name= n " } }, "node-name = n", OPT_NODE_NAME,
	    CONFIG_FLAG },
	{ { .flags = { "--deregister-critical-after=0" } },
	    "deregister-critical-after = 0s", OPT_DEREGISTER_CRITICAL_AFTER,
	    CONFIG_FLAG },
	{ { .flags = { "--deregister-critical-after=60s" } },
	    "deregister-critical-after = 1m0s", OPT_DEREGISTER_CRITICAL_AFTER,
	    CONFIG_FLAG },
	/* The intervals that nobody set follow. */
	{ { .flags = { "--max-sync-interval=200ms" } },
	    "min-sync-interval = 200ms", OPT_MIN_SYNC_INTERVAL,
	    CONFIG_DEFAULT },
	{ { .flags = { "--max-sync-interval=200ms" } },
	    "default-sync-interval = 200ms", OPT_DEFAULT_SYNC_INTERVAL,
	    CONFIG_DEFAULT },
	{ { .flags = { "--min-sync-interval=10s" } },
	    "default-sync-interval = 10s", OPT_DEFAULT_SYNC_INTERVAL,
	    CONFIG_DEFAULT },
	{ { .flags = { "--min-sync-interval=10s" } }, "max-sync-interval = 10s",
	    OPT_MAX_SYNC_INTERVAL, CONFIG_DEFAULT },
	{ { .flags = { "--default-sync-interval=100ms" } },
	    "min-sync-interval = 100ms", OPT_MIN_SYNC_INTERVAL,
	    CONFIG_DEFAULT },
	{ { .flags = { "--max-sync-interval=200ms",
		"--default-sync-interval=100ms" } },
	    "min-sync-interval = 100ms", OPT_MIN_SYNC_INTERVAL,
	    CONFIG_DEFAULT },
	/* Consul's address, as its own client reads it. */
	{ { .env = { "CONSUL_HTTP_ADDR=a:1" } }, "consul-addr = a:1",
	    OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { .env = { "CONSUL_HTTP_SSL=true", "CONSUL_HTTP_ADDR=a:1" } },
	    "consul-addr = https://a:1", OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { .env = { "CONSUL_HTTP_SSL=1", "CONSUL_HTTP_ADDR=HTTP://a" } },
	    "consul-addr = https://a", OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { .env = { "CONSUL_HTTP_SSL=0", "CONSUL_HTTP_ADDR=https://a" } },
	    "consul-addr = https://a", OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { .env = { "CONSUL_HTTP_SSL=0", "CONSUL_HTTP_ADDR=https://a" } },
	    "consul-ssl = true", OPT_CONSUL_SSL, CONFIG_ENV },
	{ { .env = { "CONSUL_HTTP_ADDR=unix:///c.sock" } },
	    "consul-addr = unix:///c.sock", OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { .flags = { "--consul-tls-server-name=server.dc1.consul:8501" } },
	    "consul-tls-server-name = server.dc1.consul",
	    OPT_CONSUL_TLS_SERVER_NAME, CONFIG_FLAG },
	/* The other name. */
	{ { .file = NULL }, "log-target = auto", OPT_LOG_TARGET,
	    CONFIG_DEFAULT },
	{ { .progname = "./katalog-sync-daemon" }, "log-target = stderr",
	    OPT_LOG_TARGET, CONFIG_DEFAULT },
	{ { .progname = "katalog-sync-daemon",
	      .flags = { "--log-target=syslog" } },
	    "log-target = syslog", OPT_LOG_TARGET, CONFIG_FLAG },
	{ { .progname = "/usr/sbin/consul-sync", .env = { CONSUL_SYNC_ENV } },
	    "log-target = stderr", OPT_LOG_TARGET, CONFIG_DEFAULT },
	{ { AS_CONSUL_SYNC, .env = { CONSUL_SYNC_ENV } },
	    "metrics-bind-address = :8080", OPT_METRICS_BIND_ADDRESS,
	    CONFIG_DEFAULT },
	{ { AS_CONSUL_SYNC, .env = { CONSUL_SYNC_ENV, "METRICS_ADDR=:9" } },
	    "metrics-bind-address = :9", OPT_METRICS_BIND_ADDRESS, CONFIG_ENV },
	/* Directions. */
	{ { .file = NULL }, "to-consul = true", OPT_TO_CONSUL, CONFIG_DEFAULT },
	{ { .file = NULL }, "to-k8s = false", OPT_TO_K8S, CONFIG_DEFAULT },
	{ { AS_CONSUL_SYNC, .env = { CONSUL_SYNC_ENV } }, "to-k8s = true",
	    OPT_TO_K8S, CONFIG_DEFAULT },
	{ { AS_CONSUL_SYNC, .env = { CONSUL_SYNC_ENV } }, "to-consul = false",
	    OPT_TO_CONSUL, CONFIG_DEFAULT },
	{ { AS_CONSUL_SYNC, .flags = { "--to-consul" } }, "to-k8s = false",
	    OPT_TO_K8S, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s" }, .env = { IN_CLUSTER } },
	    "to-consul = false", OPT_TO_CONSUL, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s", "--to-consul" }, .env = { IN_CLUSTER } },
	    "to-consul = true", OPT_TO_CONSUL, CONFIG_FLAG },
	{ { .flags = { "--to-consul=false" }, .env = { IN_CLUSTER } },
	    "to-k8s = true", OPT_TO_K8S, CONFIG_DEFAULT },
	{ { AS_CONSUL_SYNC, .flags = { "--to-k8s=false" } }, "to-consul = true",
	    OPT_TO_CONSUL, CONFIG_DEFAULT },
	/* As consul-sync, its own variables go first. */
	{ { AS_CONSUL_SYNC,
	      .env = { CONSUL_SYNC_ENV, "CONSUL_HTTP_ADDR=other:2" } },
	    "consul-addr = c:1", OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { AS_CONSUL_SYNC, .env = { IN_CLUSTER, "CONSUL_HTTP_ADDR=a:2" } },
	    "consul-addr = a:2", OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { AS_CONSUL_SYNC, .env = { IN_CLUSTER },
	      .flags = { "--consul-addr=a:2" } },
	    "consul-addr = a:2", OPT_CONSUL_ADDR, CONFIG_FLAG },
	/* The way to the cluster. */
	{ { .flags = { "--to-k8s" }, .env = { IN_CLUSTER } },
	    "k8s-api = https://10.0.0.1:443", OPT_K8S_API, CONFIG_ENV },
	{ { .flags = { "--to-k8s" },
	      .env = { "KUBERNETES_SERVICE_HOST=fd00::1",
		  "KUBERNETES_SERVICE_PORT=6443" } },
	    "k8s-api = https://[fd00::1]:6443", OPT_K8S_API, CONFIG_ENV },
	{ { .flags = { "--to-k8s" }, .env = { IN_CLUSTER } },
	    "kubeconfig =", OPT_KUBECONFIG, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s" }, .env = { IN_CLUSTER } },
	    "leader-elect = yes", OPT_LEADER_ELECT, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s", "--leader-elect=no" },
	      .env = { IN_CLUSTER } },
	    "leader-elect = no", OPT_LEADER_ELECT, CONFIG_FLAG },
	{ { .flags = { "--to-k8s" }, .env = { IN_CLUSTER, "KUBECONFIG=/k" } },
	    "k8s-api =", OPT_K8S_API, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s" }, .env = { "KUBECONFIG=/k" } },
	    "kubeconfig = /k", OPT_KUBECONFIG, CONFIG_ENV },
	{ { .flags = { "--to-k8s" }, .env = { "KUBECONFIG=/k" } },
	    "leader-elect = no", OPT_LEADER_ELECT, CONFIG_DEFAULT },
	/* A colon makes a list of a variable only. */
	{ { .flags = { "--to-k8s", "--kubeconfig=/k:/l" } },
	    "kubeconfig = /k:/l", OPT_KUBECONFIG, CONFIG_FLAG },
	{ { .flags = { "--to-k8s", "--k8s-api=http://127.0.0.1:8001" },
	      .env = { IN_CLUSTER } },
	    "k8s-token-file =", OPT_K8S_TOKEN_FILE, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s", "--k8s-token-file=/t" },
	      .env = { IN_CLUSTER } },
	    "k8s-token-file = /t", OPT_K8S_TOKEN_FILE, CONFIG_FLAG },
	{ { .flags = { "--to-k8s", "--k8s-insecure-skip-verify" },
	      .env = { IN_CLUSTER } },
	    "k8s-ca =", OPT_K8S_CA, CONFIG_DEFAULT },
	{ { .env = { IN_CLUSTER } }, "k8s-api =", OPT_K8S_API, CONFIG_DEFAULT },
	{ { .env = { IN_CLUSTER } }, "leader-elect = auto", OPT_LEADER_ELECT,
	    CONFIG_DEFAULT },
	/* Readiness gates: where the cluster can be reached, or asked for. */
	{ { .file = NULL }, "readiness-gates = no", OPT_READINESS_GATES,
	    CONFIG_DEFAULT },
	{ { .env = { IN_CLUSTER } }, "readiness-gates = no",
	    OPT_READINESS_GATES, CONFIG_DEFAULT },
	{ { .env = { IN_CLUSTER }, .in_pod = true }, "readiness-gates = yes",
	    OPT_READINESS_GATES, CONFIG_DEFAULT },
	{ { .env = { IN_CLUSTER }, .in_pod = true },
	    "k8s-api = https://10.0.0.1:443", OPT_K8S_API, CONFIG_ENV },
	{ { .env = { IN_CLUSTER }, .in_pod = true }, "leader-elect = auto",
	    OPT_LEADER_ELECT, CONFIG_DEFAULT },
	{ { .flags = { "--readiness-gates=yes" }, .env = { IN_CLUSTER } },
	    "k8s-api = https://10.0.0.1:443", OPT_K8S_API, CONFIG_ENV },
	{ { .flags = { "--readiness-gates=no" },
	      .env = { IN_CLUSTER },
	      .in_pod = true },
	    "k8s-api =", OPT_K8S_API, CONFIG_DEFAULT },
	{ { .flags = { "--kubeconfig=/k" } }, "readiness-gates = yes",
	    OPT_READINESS_GATES, CONFIG_DEFAULT },
	{ { .env = { "KUBECONFIG=/k" } }, "readiness-gates = no",
	    OPT_READINESS_GATES, CONFIG_DEFAULT },
	{ { .flags = { "--readiness-gates=yes" }, .env = { "KUBECONFIG=/k" } },
	    "kubeconfig = /k", OPT_KUBECONFIG, CONFIG_ENV },
	{ { .flags = { "--dry-run", "--kubeconfig=/k" } },
	    "readiness-gates = no", OPT_READINESS_GATES, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s", "--kubeconfig=/k" } },
	    "readiness-gates = no", OPT_READINESS_GATES, CONFIG_DEFAULT },
	{ { .flags = { "--to-k8s", "--to-consul", "--kubeconfig=/k" } },
	    "readiness-gates = yes", OPT_READINESS_GATES, CONFIG_DEFAULT },
	/* Sidecars have nothing to ask of the other direction. */
	{ { .flags = { "--to-k8s", "--bind-address=:8501" },
	      .env = { IN_CLUSTER } },
	    "bind-address =", OPT_BIND_ADDRESS, CONFIG_FLAG },
	{ { .env = { "BIND_ADDRESS=:8501", "SIDECAR_VERIFY_PEER=no" } },
	    "sidecar-verify-peer = false", OPT_SIDECAR_VERIFY_PEER,
	    CONFIG_ENV },
	/* Shares, and what follows the namespace. */
	{ { .file = NULL }, "max-delete-ratio = 0.5", OPT_MAX_DELETE_RATIO,
	    CONFIG_DEFAULT },
	{ { .flags = { "--max-delete-ratio=1.000" } }, "max-delete-ratio = 1",
	    OPT_MAX_DELETE_RATIO, CONFIG_FLAG },
	{ { .flags = { "--max-delete-ratio=0" } }, "max-delete-ratio = 0",
	    OPT_MAX_DELETE_RATIO, CONFIG_FLAG },
	{ { .flags = { "--max-delete-ratio=0.005" } },
	    "max-delete-ratio = 0.005", OPT_MAX_DELETE_RATIO, CONFIG_FLAG },
	{ { .env = { "TARGET_NAMESPACE=a" } }, "gateway-namespace = a",
	    OPT_GATEWAY_NAMESPACE, CONFIG_DEFAULT },
	{ { .env = { "TARGET_NAMESPACE=a", "GATEWAY_NAMESPACE=b" } },
	    "gateway-namespace = b", OPT_GATEWAY_NAMESPACE, CONFIG_ENV },
	/* The other program's variables come after Consul's own. */
	{ { .env = { "CONSUL_ADDR=b:2" } }, "consul-addr = b:2",
	    OPT_CONSUL_ADDR, CONFIG_ENV },
	{ { .env = { "CONSUL_ADDR=b:2", "CONSUL_HTTP_ADDR=a:1" } },
	    "consul-addr = a:1", OPT_CONSUL_ADDR, CONFIG_ENV },
	/* No service account where it does not apply. */
	{ { .in_pod = true }, "kubelet-ca =", OPT_KUBELET_CA, CONFIG_DEFAULT },
	{ { .flags = { "--kubelet-api=https://a:10250/pods" } },
	    "kubelet-token-file =", OPT_KUBELET_TOKEN_FILE, CONFIG_DEFAULT },
	{ { .in_pod = true,
	      .flags = { "--kubelet-api=https://a:10250/pods",
		  "--kubelet-token-file=/t" } },
	    "kubelet-token-file = /t", OPT_KUBELET_TOKEN_FILE, CONFIG_FLAG },
	{ { .in_pod = true,
	      .flags = { "--kubelet-api=https://a:10250/pods",
		  "--kubelet-token-file=" } },
	    "kubelet-token-file =", OPT_KUBELET_TOKEN_FILE, CONFIG_FLAG },
	{ { .in_pod = true,
	      .flags = { "--kubelet-api=https://a:10250/pods",
		  "--kubelet-api-insecure-skip-verify" } },
	    "kubelet-ca =", OPT_KUBELET_CA, CONFIG_DEFAULT },
};

START_TEST(resolves)
{
	struct config *c = load_good(&values[_i].given);

	ck_assert_msg(has_line(c, values[_i].line), "%s", values[_i].line);
	ck_assert_int_eq(c->source[values[_i].opt].from, values[_i].from);
	config_free(c);
}
END_TEST

START_TEST(takes_the_service_account)
{
	struct config *c = load_good(&(struct given){ .in_pod = true,
	    .env = { "KUBELET_API=https://127.0.0.1:10250/pods" } });
	char path[96];

	snprintf(path, sizeof(path), "%s/ca.crt", account);
	ck_assert_str_eq(settings_str(c->settings, OPT_KUBELET_CA), path);
	ck_assert_int_eq(c->source[OPT_KUBELET_CA].from,
	    CONFIG_SERVICE_ACCOUNT_FILE);
	snprintf(path, sizeof(path), "%s/token", account);
	ck_assert_str_eq(settings_str(c->settings, OPT_KUBELET_TOKEN_FILE),
	    path);
	config_free(c);
}
END_TEST

START_TEST(takes_the_service_account_to_the_cluster)
{
	struct config *c = load_good(&(struct given){ .in_pod = true,
	    .flags = { "--to-k8s" },
	    .env = { IN_CLUSTER } });
	char path[96];

	snprintf(path, sizeof(path), "%s/ca.crt", account);
	ck_assert_str_eq(settings_str(c->settings, OPT_K8S_CA), path);
	ck_assert_int_eq(c->source[OPT_K8S_CA].from,
	    CONFIG_SERVICE_ACCOUNT_FILE);
	snprintf(path, sizeof(path), "%s/token", account);
	ck_assert_str_eq(settings_str(c->settings, OPT_K8S_TOKEN_FILE), path);
	config_free(c);
}
END_TEST

/* folder/.kube/config and what names it. */
static char home_env[96], kube_folder[80], kube_file[96];

static void
make_home(void)
{
	snprintf(home_env, sizeof(home_env), "HOME=%s", folder);
	snprintf(kube_folder, sizeof(kube_folder), "%s/.kube", folder);
	snprintf(kube_file, sizeof(kube_file), "%s/config", kube_folder);
	ck_assert_int_eq(mkdir(kube_folder, 0700), 0);
	write_file(kube_file, "k", 1);
}

static void
remove_home(void)
{
	unlink(kube_file);
	rmdir(kube_folder);
}

START_TEST(takes_the_kubeconfig_of_its_home)
{
	struct given g = { .flags = { "--to-k8s" }, .env = { home_env } };
	struct config *c;

	make_home();
	c = load_good(&g);
	ck_assert_str_eq(settings_str(c->settings, OPT_KUBECONFIG), kube_file);
	ck_assert_str_eq(settings_str(c->settings, OPT_K8S_API), "");
	config_free(c);
	/* A pod's own comes first. */
	g = (struct given){ .flags = { "--to-k8s" },
		.env = { home_env, IN_CLUSTER } };
	c = load_good(&g);
	ck_assert_str_eq(settings_str(c->settings, OPT_KUBECONFIG), "");
	config_free(c);
	remove_home();
}
END_TEST

/* %K stands for the file that there is. */
static const struct {
	const char *list;
	const char *taken;
} lists[] = {
	{ "/nonexistent/a:%K:/nonexistent/b", "%K" },
	{ "%K:/nonexistent/a", "%K" },
	{ ":%K", "%K" },
	{ "/nonexistent/a:/nonexistent/b", "/nonexistent/a" },
};

static void
with_file(const char *text, const char *prefix, char *buf, size_t cap)
{
	int before = (int)strcspn(text, "%");

	if (text[before] == '\0')
		snprintf(buf, cap, "%s%s", prefix, text);
	else
		snprintf(buf, cap, "%s%.*s%s%s", prefix, before, text,
		    kube_file, text + before + 2);
}

START_TEST(takes_one_of_a_list)
{
	char env[512], taken[256], expected_warning[512];
	struct given g = { .flags = { "--to-k8s" }, .env = { env } };
	struct config_report r;
	struct config *c;

	make_home();
	with_file(lists[_i].list, "KUBECONFIG=", env, sizeof(env));
	with_file(lists[_i].taken, "", taken, sizeof(taken));
	snprintf(expected_warning, sizeof(expected_warning),
	    "environment KUBECONFIG: a list of files: only %s is used, the "
	    "others are not merged into it",
	    taken);
	c = load(&g, &r);
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(settings_str(c->settings, OPT_KUBECONFIG), taken);
	ck_assert_uint_eq(r.count, 1);
	ck_assert_str_eq(r.messages[0].text, expected_warning);
	config_report_free(&r);
	config_free(c);
	remove_home();
}
END_TEST

/* What a kubeconfig says becomes options, or nothing does. */
static const struct {
	struct config_cluster found;
	const char *line; /* NULL: refused */
	const char *why;
} clusters[] = {
	{ { "https://a:6443", "", false, "", "", "", "" },
	    "k8s-api = https://a:6443", NULL },
	{ { "https://a", "b.c", true, "", "", "", "" },
	    "k8s-insecure-skip-verify = true", NULL },
	{ { "https://a", "b.c", false, "", "", "", "" },
	    "k8s-tls-server-name = b.c", NULL },
	{ { "https://a", "", false, "/t", "", "", "" }, "k8s-token-file = /t",
	    NULL },
	{ { "https://a", "", false, "t", "", "", "" },
	    "k8s-token-file = /etc/k8s/t", NULL },
	{ { "https://a", "", false, "", "pki/ca", "", "" },
	    "k8s-ca = /etc/k8s/pki/ca", NULL },
	{ { "https://a", "", false, "", "", "../c", "k" },
	    "k8s-client-cert = /etc/k8s/../c", NULL },
	{ { "https://a", "", false, "", "", "c", "k" },
	    "k8s-client-key = /etc/k8s/k", NULL },
	{ { "", "", false, "", "", "", "" }, NULL, "no server" },
	{ { "a:1", "", false, "", "", "", "" }, NULL,
	    "not a URL (like https://10.0.0.1:6443)" },
	{ { "https://a", "b c", false, "", "", "", "" }, NULL,
	    "holds white space" },
	{ { "https://a", "", false, "a\nb", "", "", "" }, NULL,
	    "holds control characters" },
};

START_TEST(takes_what_a_kubeconfig_says)
{
	struct config *c = load_good(&(struct given){
	    .flags = { "--to-k8s", "--kubeconfig=/etc/k8s/config" } });
	char why[CONFIG_WHY] = "";
	bool good = config_take_cluster(c, &clusters[_i].found, why);

	ck_assert_int_eq(good, clusters[_i].line != NULL);
	if (good)
		ck_assert(has_line(c, clusters[_i].line));
	else
		ck_assert_str_eq(why, clusters[_i].why);
	ck_assert_int_eq(has_line(c, "k8s-api ="), !good);
	config_free(c);
}
END_TEST

/* ---- what is refused, and how it is said ---- */

#define NO_CLUSTER "to-k8s: no way to a cluster: " NO_CLUSTER_WHY
#define NO_CLUSTER_WHY \
	"neither kubeconfig nor k8s-api is set, this is no pod " \
	"(KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both " \
	"set), and "

/* %F in a message stands for the file's path. */
static const struct {
	struct given given;
	const char *message;
} errors[] = {
	{ { .file = "\n# x\nmin-sync-interval = 5 s\n" },
	    "%F:3: min-sync-interval \"5 s\": not a duration (like 500ms, "
	    "1m30s)" },
	{ { .env = { "KUBELET_API=ftp://a" } },
	    "environment KUBELET_API \"ftp://a\": not a scheme that is "
	    "supported here (like https://127.0.0.1:10250/pods, "
	    "file:///path)" },
	{ { .flags = { "--metrics-bind-address", "8080" } },
	    "--metrics-bind-address \"8080\": not an address to listen at "
	    "(like :8080, 127.0.0.1:8080, [::1]:8080)" },
	{ { .flags = { "--bind-address=:8501",
		"--metrics-bind-address=127.0.0.1:8501" } },
	    "--bind-address \":8501\": the port of metrics-bind-address; "
	    "sidecars take one of their own" },
	{ { .flags = { "--log-level=loud" } },
	    "--log-level \"loud\": not one of: debug info warn error warning "
	    "trace fatal panic" },
	{ { .flags = { "--log-level=" } },
	    "--log-level \"\": not one of: debug info warn error warning "
	    "trace fatal panic" },
	{ { .flags = { "--consul-ssl=maybe" } },
	    "--consul-ssl \"maybe\": neither true nor false" },
	{ { .flags = { "--consul-concurrency=65" } },
	    "--consul-concurrency \"65\": not a number from 1 to 64" },
	{ { .flags = { "--consul-concurrency=+5" } },
	    "--consul-concurrency \"+5\": not a number from 1 to 64" },
	{ { .flags = { "--consul-concurrency=99999999999999999999999" } },
	    "--consul-concurrency \"99999999999999999999999\": not a number "
	    "from 1 to 64" },
	{ { .flags = { "--min-sync-interval=1ms" } },
	    "--min-sync-interval \"1ms\": not between 10ms and 1h0m0s" },
	{ { .flags = { "--consul-addr=http://u:p@a" } },
	    "--consul-addr \"...@a\": user names and passwords in URLs are not "
	    "supported (like 127.0.0.1:8500, "
	    "https://consul:8501, unix:///path)" },
	/* No password is repeated, wherever it begins and ends. */
	{ { .env = { "CONSUL_HTTP_ADDR=https://u:p/q@r@consul:8501" } },
	    "environment CONSUL_HTTP_ADDR \"...@consul:8501\": not a port "
	    "(1-65535) (like 127.0.0.1:8500, https://consul:8501, "
	    "unix:///path)" },
	{ { .file = "kubelet-api = ftp://u:p@a\n" },
	    "%F:1: kubelet-api \"...@a\": not a scheme that is supported here "
	    "(like https://127.0.0.1:10250/pods, file:///path)" },
	{ { .flags = { "--to-k8s", "--k8s-api=https://u:p@a" } },
	    "--k8s-api \"...@a\": user names and passwords in URLs are not "
	    "supported (like https://10.0.0.1:6443)" },
	{ { .flags = { "--node-name=a\nb" } },
	    "--node-name \"a\\nb\": holds control characters" },
	{ { .flags = { "--node-name=A" } },
	    "--node-name \"A\": not the name of a node (lower-case letters, "
	    "digits, - and .)" },
	{ { .flags = { "--consul-namespace=a&b" } },
	    "--consul-namespace \"a&b\": not the name of a namespace "
	    "(letters, digits, - and _)" },
	{ { .flags = { "--kubelet-tls-server-name=a/b" } },
	    "--kubelet-tls-server-name \"a/b\": not a host name" },
	{ { .flags = { "--runtime-dir=" } },
	    "--runtime-dir \"\": cannot be empty" },
	{ { .flags = { "--max-delete-ratio=1.001" } },
	    "--max-delete-ratio \"1.001\": not a share from 0 to 1 (like "
	    "0.5)" },
	{ { .flags = { "--max-delete-ratio=.5" } },
	    "--max-delete-ratio \".5\": not a share from 0 to 1 (like 0.5)" },
	{ { .flags = { "--max-delete-ratio=0." } },
	    "--max-delete-ratio \"0.\": not a share from 0 to 1 (like 0.5)" },
	{ { .flags = { "--max-delete-ratio=0.5000" } },
	    "--max-delete-ratio \"0.5000\": not a share from 0 to 1 (like "
	    "0.5)" },
	{ { .flags = { "--max-delete-ratio=" } },
	    "--max-delete-ratio \"\": not a share from 0 to 1 (like 0.5)" },
	{ { .flags = { "--consul-tag=" } },
	    "--consul-tag \"\": cannot be empty" },
	{ { .flags = { "--internal-tag=a`b" } },
	    "--internal-tag \"a`b\": not a tag (at most 255 bytes, without a "
	    "`)" },
	{ { .flags = { "--target-namespace=Net" } },
	    "--target-namespace \"Net\": not the name of a namespace (at most "
	    "63 lower-case letters, digits and -)" },
	{ { .flags = { "--target-namespace=a", "--gateway-namespace=a-" } },
	    "--gateway-namespace \"a-\": not the name of a namespace (at most "
	    "63 lower-case letters, digits and -)" },
	{ { .flags = { "--instance-id=a/b" } },
	    "--instance-id \"a/b\": not a label's value (at most 63 letters, "
	    "digits, -, _ and .)" },
	{ { .flags = { "--domain-suffix=.example" } },
	    "--domain-suffix \".example\": not a domain (at most 189 "
	    "lower-case letters, digits, - and .)" },
	{ { .flags = { "--consul-datacenter=a&b" } },
	    "--consul-datacenter \"a&b\": not the name of a datacenter "
	    "(letters, digits, - and _)" },
	{ { .flags = { "--to-consul=no", "--to-k8s=no" } },
	    "--to-consul: to-k8s is off too: nothing to do" },
	/* Names. */
	{ { .file = "kublet-api = x\n" },
	    "%F:1: no option is called \"kublet-api\"; did you mean "
	    "kubelet-api?" },
	{ { .file = "wibble = x\n" }, "%F:1: no option is called \"wibble\"" },
	{ { .file = "dry-run = true\n" },
	    "%F:1: dry-run can only be given as a flag" },
	{ { .file = "config = /x\n" },
	    "%F:1: config can only be given as a flag" },
	{ { .file = "log-level = info\n\nlog-level = info\n" },
	    "%F:3: log-level stands there twice, first in line 1" },
	{ { .file = "log-level\n" },
	    "%F:1: \"log-level\": not of the form name = value" },
	{ { .file = "log-level info\n" },
	    "%F:1: \"log-level\": not of the form name = value" },
	{ { .file = "= info\n" }, "%F:1: no option is called \"\"" },
	/* Tokens that went astray. */
	{ { .file = "\n5ab1e7f0-3c2d-4e1f-9a8b-7c6d5e4f3a2b\n" },
	    "%F:2: not of the form name = value" },
	{ { .file = "eyJhbGciOiJSUzI1NiJ9c3VwZXJzZWNyZXR0b2tlbg==\n" },
	    "%F:1: what stands before = is no option's name" },
	{ { .file = "thisIsASecretOfLettersOnlyAndOfManyOfThem = x\n" },
	    "%F:1: what stands before = is no option's name" },
	{ { .flags = { "--kubelet-ap=x" } },
	    "--kubelet-ap: unknown option; did you mean --kubelet-api?" },
	{ { .flags = { "--no-dry-run" } },
	    "--no-dry-run: unknown option; did you mean --dry-run?" },
	{ { .flags = { "--kubelet" } }, "--kubelet: unknown option" },
	{ { .flags = { "--=x" } }, "--: unknown option" },
	{ { .flags = { "--help=x" } }, "--help: unknown option" },
	{ { .flags = { "-x" } }, "-x: unknown option" },
	{ { .flags = { "-" } }, "unexpected argument \"-\"" },
	{ { .flags = { "--" } }, "unexpected argument \"--\"" },
	{ { .flags = { "info" } }, "unexpected argument \"info\"" },
	{ { .flags = { "--dry-run", "false" } },
	    "unexpected argument \"false\" (a boolean's value stands behind "
	    "=)" },
	{ { .flags = { "--log-level" } }, "--log-level: needs a value" },
	{ { .flags = { "--log-level", "--dry-run" } },
	    "--log-level: needs a value" },
	{ { .flags = { "-f" } }, "-f: needs a file name" },
	{ { .flags = { "-f", "/nonexistent/x" } },
	    "/nonexistent/x: not read: No such file or directory" },
	{ { .flags = { "-nf/" } }, "/: not read: not a file" },
	{ { .flags = { "--config=" } }, "--config \"\": cannot be empty" },
	/* What does not fit together. */
	{ { .file = "min-sync-interval = 10s\nmax-sync-interval = 5s\n" },
	    "%F:1: min-sync-interval 10s: more than max-sync-interval, which "
	    "is 5s" },
	{ { .file = "default-sync-interval = 10s\n",
	      .env = { "MAX_SYNC_INTERVAL=5s" } },
	    "%F:1: default-sync-interval 10s: more than max-sync-interval, "
	    "which is 5s" },
	{ { .flags = { "--restart-delay=2s", "--restart-delay-max=1s" } },
	    "--restart-delay 2s: more than restart-delay-max, which is 1s" },
	{ { .flags = { "--kubelet-client-cert=/c" } },
	    "--kubelet-client-cert: kubelet-client-key is missing; it takes "
	    "both" },
	{ { .env = { "CONSUL_CLIENT_KEY=/k" } },
	    "environment CONSUL_CLIENT_KEY: consul-client-cert is missing; "
	    "it takes both" },
	{ { .flags = { "--deregister-critical-after=59999ms" } },
	    "--deregister-critical-after 59.999s: Consul takes at least 1m "
	    "here (0 turns it off)" },
	{ { .env = { "CONSUL_HTTP_SSL=true",
		"CONSUL_HTTP_ADDR=unix:///c.sock" } },
	    "environment CONSUL_HTTP_ADDR \"unix:///c.sock\": there is no TLS "
	    "on Unix sockets; turn consul-ssl off" },
	{ { .env = { "CONSUL_HTTP_TOKEN=s3cr3t\nX-Evil: 1" } },
	    "environment CONSUL_HTTP_TOKEN: not a token (white space or "
	    "control characters in it; value not shown)" },
	{ { AS_CONSUL_SYNC, .env = { IN_CLUSTER } },
	    "CONSUL_ADDR is not set (nor consul-addr): consul-sync must be "
	    "told where Consul is" },
	{ { .flags = { "--to-k8s" } },
	    NO_CLUSTER "~/.kube/config: HOME is not set" },
	{ { .flags = { "--readiness-gates=yes" } },
	    "readiness-gates: no way to a cluster: " NO_CLUSTER_WHY
	    "~/.kube/config: HOME is not set" },
	/* One of the two is no pod's. */
	{ { .flags = { "--to-k8s" },
	      .env = { "HOME=/nonexistent", "KUBERNETES_SERVICE_HOST=a" } },
	    NO_CLUSTER "/nonexistent/.kube/config: No such file or directory" },
	{ { .flags = { "--to-k8s" },
	      .env = { "KUBERNETES_SERVICE_HOST=a",
		  "KUBERNETES_SERVICE_PORT=x" } },
	    "environment KUBERNETES_SERVICE_HOST \"https://a:x\": not a port "
	    "(1-65535) (like https://10.0.0.1:6443)" },
	{ { .flags = { "--to-k8s", "--to-consul", "--dry-run" },
	      .env = { IN_CLUSTER } },
	    "--dry-run: prints one direction only, but to-consul and to-k8s "
	    "are both on" },
	{ { .flags = { "--to-k8s", "--k8s-api=10.0.0.1:6443" } },
	    "--k8s-api \"10.0.0.1:6443\": not a URL (like "
	    "https://10.0.0.1:6443)" },
	{ { .flags = { "--to-k8s", "--k8s-api=https://a",
		"--k8s-client-key=/k" } },
	    "--k8s-client-key: k8s-client-cert is missing; it takes both" },
	{ { .env = { "CONSUL_TOKEN=s3cr3t x" } },
	    "environment CONSUL_TOKEN: not a token (white space or control "
	    "characters in it; value not shown)" },
};

/* The message with %F filled in; in a buffer of its own. */
static const char *
expected(const char *message)
{
	static char buf[1024];

	if (strncmp(message, "%F", 2) != 0)
		return message;
	snprintf(buf, sizeof(buf), "%s%s", file_path, message + 2);
	return buf;
}

static const char *
first_error(const struct config_report *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!r->messages[i].warning)
			return r->messages[i].text;
	return "(none)";
}

START_TEST(refuses)
{
	struct config_report r;
	struct config *c = load(&errors[_i].given, &r);

	ck_assert_ptr_null(c);
	ck_assert_str_eq(first_error(&r), expected(errors[_i].message));
	ck_assert_uint_eq(r.errors, 1);
	config_report_free(&r);
}
END_TEST

static const struct {
	struct given given;
	const char *message; /* NULL: there is none */
} warnings[] = {
	{ { .file = NULL }, NULL },
	{ { .in_pod = true,
	      .flags = { "--kubelet-api=https://127.0.0.1:10250/pods" } },
	    NULL },
	{ { .flags = { "--kubelet-api=file:///p.json" } }, NULL },
	{ { .flags = { "--bind-address=:8501" } }, NULL },
	{ { .env = { "PPROF_BIND_ADDRESS=:6060" } },
	    "environment PPROF_BIND_ADDRESS: pprof-bind-address has no effect: "
	    "there is no Go "
	    "runtime to profile" },
	{ { .flags = { "--kubelet-ca=/ca" } },
	    "--kubelet-ca: has no effect: kubelet-api is not https" },
	{ { .flags = { "--kubelet-ca=/ca", "--kubelet-api=https://a/pods",
		"--kubelet-api-insecure-skip-verify" } },
	    "--kubelet-ca: has no effect: kubelet-api-insecure-skip-verify is "
	    "on" },
	{ { .flags = { "--kubelet-token-file=/t" } },
	    "--kubelet-token-file: kubelet-api is http: the token goes over "
	    "the network in the clear" },
	{ { .flags = { "--kubelet-token-file=/t", "--kubelet-api=file:///p" } },
	    "--kubelet-token-file: has no effect: kubelet-api is a file" },
	{ { .flags = { "--kubelet-api=http://a:10255" } },
	    "--kubelet-api: has no path; a kubelet lists its pods at /pods" },
	{ { .env = { "CONSUL_CACERT=/ca" } },
	    "environment CONSUL_CACERT: consul-ca has no effect: consul-addr "
	    "is not "
	    "https" },
	{ { .env = { "CONSUL_CACERT=/ca", "CONSUL_HTTP_SSL=1" } }, NULL },
	{ { .env = { "CONSUL_HTTP_AUTH=u:p" } },
	    "environment CONSUL_HTTP_AUTH: not supported, ignored; use a "
	    "token" },
	{ { .env = { "CONSUL_HTTP_TOKEN=t", "CONSUL_HTTP_TOKEN_FILE=/t" } },
	    "environment CONSUL_HTTP_TOKEN_FILE: goes before "
	    "CONSUL_HTTP_TOKEN, which is used only until there is a token in "
	    "that file" },
	{ { .flags = { "--to-k8s", "--k8s-api=https://a" },
	      .env = { "KUBECONFIG=/k" } },
	    "environment KUBECONFIG: kubeconfig has no effect: k8s-api is "
	    "set" },
	{ { .flags = { "--to-k8s", "--readiness-gates=yes" },
	      .env = { "KUBECONFIG=/k" } },
	    "--readiness-gates: has no effect: to-consul is off" },
	{ { .flags = { "--to-k8s", "--bind-address=:8501" },
	      .env = { "KUBECONFIG=/k" } },
	    "--bind-address: has no effect: to-consul is off" },
	{ { .flags = { "--sidecar-verify-peer=no" } },
	    "--sidecar-verify-peer: has no effect: bind-address is not set" },
	{ { .flags = { "--sidecar-verify-peer=no", "--bind-address=:8501" } },
	    NULL },
	{ { .flags = { "--bind-address=127.0.0.1:8501",
		"--metrics-bind-address=127.0.0.2:8501" } },
	    NULL },
	{ { .flags = { "--bind-address=:0", "--metrics-bind-address=:0" } },
	    NULL },
	{ { .flags = { "--to-k8s", "--k8s-ca=/c" },
	      .env = { "KUBECONFIG=/k" } },
	    "--k8s-ca: has no effect: the kubeconfig says it" },
	{ { .flags = { "--to-k8s", "--k8s-ca=/c", "--k8s-api=http://a" } },
	    "--k8s-ca: has no effect: k8s-api is not https" },
	{ { .flags = { "--to-k8s", "--k8s-ca=/c", "--k8s-api=https://a",
		"--k8s-insecure-skip-verify" } },
	    "--k8s-ca: has no effect: k8s-insecure-skip-verify is on" },
	{ { .flags = { "--to-k8s", "--k8s-token-file=/t",
		"--k8s-api=http://a" } },
	    "--k8s-token-file: k8s-api is http: the token goes over the "
	    "network in the clear" },
	{ { .flags = { "--kubelet-stale-after=5s" } },
	    "--kubelet-stale-after: not more than max-sync-interval: checks "
	    "may turn critical between two good reads" },
	{ { .flags = { "--max-sync-interval=700ms" } },
	    "--max-sync-interval 700ms: default-sync-interval follows (its "
	    "default is 1s)" },
};

START_TEST(warns)
{
	struct config_report r;
	struct config *c = load(&warnings[_i].given, &r);

	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(r.count, warnings[_i].message != NULL);
	if (warnings[_i].message != NULL)
		ck_assert_str_eq(r.messages[0].text, warnings[_i].message);
	config_report_free(&r);
	config_free(c);
}
END_TEST

START_TEST(tells_all_errors_at_once)
{
	struct config_report r;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_null(
	    load(&(struct given){ .file = "a\nlog-target = tape\n",
		     .env = { "LOG_LEVEL=x", "CONSUL_CACERT=/c" },
		     .flags = { "--sandbox=no", "--min-sync-interval=2s",
			 "--max-sync-interval=1s", "--bogus" } },
		&r));
	ck_assert_uint_eq(r.errors, 6);
	ck_assert_uint_eq(r.count, 7);
	config_report_print(&r, "katalogd", f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "katalogd: --bogus: unknown"));
	ck_assert_ptr_nonnull(strstr(text,
	    "katalogd: warning: environment CONSUL_CACERT: consul-ca has no"));
	free(text);
	config_report_free(&r);
}
END_TEST

/* ---- the file ---- */

static struct config *
load_file(bool root, struct config_report *r)
{
	char name[] = "katalogd", *argv[] = { name, NULL };
	struct config_input in = { .argc = 1,
		.argv = argv,
		.root = root,
		.default_file = file_path,
		.service_account = no_account };

	config_report_init(r);
	return config_load(&in, r);
}

/* The file that is there, with one message that has this word. */
static void
assert_refused(bool root, const char *word)
{
	struct config_report r;

	ck_assert_ptr_null(load_file(root, &r));
	ck_assert_uint_eq(r.count, 1);
	ck_assert_msg(strstr(r.messages[0].text, word) != NULL, "%s",
	    r.messages[0].text);
	config_report_free(&r);
}

static void
assert_file_refused(const char *text, size_t len, const char *word)
{
	write_file(file_path, text, len);
	assert_refused(false, word);
}

START_TEST(hostile_files_are_refused)
{
	static const char nul[] = "log-level = info\0\nnode-name = a\n";
	static const char start[] = "\n\0= x\n";
	char *big = malloc(2 << 20);

	assert_file_refused(nul, sizeof(nul) - 1, ":1: a NUL byte in the line");
	assert_file_refused(start, sizeof(start) - 1,
	    ":2: a NUL byte in the line");
	memset(big, 'x', 2 << 20);
	assert_file_refused(big, 5000, ":1: line too long");
	memcpy(big, "node-name = ", 12);
	assert_file_refused(big, 4200, "longer than 4095 bytes");
	big[0] = '#';
	assert_file_refused(big, (1 << 20) + 1, "larger than 1 MiB");
	free(big);
}
END_TEST

START_TEST(root_trusts_only_root)
{
	struct config_report r;
	struct config *c;

	write_file(file_path, "", 0);
	/* Without root the test can't make a file of root's. */
	if (geteuid() != 0) {
		assert_refused(true, "belongs to somebody else than root");
		return;
	}
	c = load_file(true, &r);
	ck_assert_ptr_nonnull(c);
	config_free(c);
	ck_assert_int_eq(chown(file_path, 1, 0), 0);
	assert_refused(true, "belongs to somebody else than root");
}
END_TEST

START_TEST(root_trusts_no_file_of_many)
{
	struct config_report r;
	struct config *c;

	write_file(file_path, "", 0);
	ck_assert_int_eq(chmod(file_path, 0620), 0);
	assert_refused(true, "can be written by group or others");
	ck_assert_int_eq(chmod(file_path, 0602), 0);
	assert_refused(true, "can be written by group or others");
	c = load_file(false, &r);
	ck_assert_ptr_nonnull(c);
	config_free(c);
}
END_TEST

START_TEST(a_device_or_fifo_does_no_harm)
{
	config_free(load_good(&(
	    struct given){ .root = true, .flags = { "--config=/dev/null" } }));
	ck_assert_int_eq(mkfifo(file_path, 0600), 0);
	assert_refused(false, "not a file");
}
END_TEST

/* A kubeconfig stands there as the other way to what k8s-api and so on say. */
static bool
is_setting(const char *line)
{
	return line[0] == '#' && line[1] != ' ' &&
	    strncmp(line, "#kubeconfig ", 12) != 0;
}

/* The example as it is, and with all that is commented out. */
static char *
example(bool uncommented)
{
	const char *top = getenv("TOP_SRCDIR");
	char path[4096], line[256], *text = NULL;
	size_t len;
	FILE *in, *out = open_memstream(&text, &len);

	snprintf(path, sizeof(path), "%s/contrib/katalogd.conf",
	    top != NULL ? top : ".");
	in = fopen(path, "r");
	ck_assert_msg(in != NULL, "%s", path);
	while (fgets(line, sizeof(line), in) != NULL)
		fputs(line + (uncommented && is_setting(line)), out);
	fclose(in);
	fclose(out);
	return text;
}

START_TEST(example_is_good)
{
	char *text = example(_i == 1);
	struct config_report r;
	struct config *c = load(&(struct given){ .file = text }, &r);

	ck_assert_msg(r.count == 0, "%s",
	    r.count > 0 ? r.messages[0].text : "");
	ck_assert_int_eq(has_line(c, "uid-base = 60610"), 1);
	ck_assert_int_eq(c->source[OPT_UID_BASE].from,
	    _i == 1 ? CONFIG_FILE : CONFIG_DEFAULT);
	config_free(c);
	free(text);
}
END_TEST

/* ---- modes, printing, the token ---- */

START_TEST(knows_its_modes)
{
	struct config *c = load_good(&(struct given){ .file = NULL });

	ck_assert(!c->check && !c->help && !c->version);
	ck_assert_str_eq(c->progname, "katalogd");
	config_free(c);
	c = load_good(&(struct given){ .flags = { "-n", "--dry-run" } });
	ck_assert(c->check && settings_bool(c->settings, OPT_DRY_RUN));
	config_free(c);
	/* These work whatever the rest looks like. */
	c = load_good(&(struct given){ .file = "garbage",
	    .env = { "LOG_LEVEL=x" },
	    .flags = { "-V", "--log-level=x" } });
	ck_assert(c->version && !c->help);
	config_free(c);
	c = load_good(
	    &(struct given){ .file = "garbage", .flags = { "--help" } });
	ck_assert(c->help);
	config_free(c);
}
END_TEST

static const struct given odd[] = {
	{ .file = NULL },
	{ .in_pod = true,
	    .flags = { "--kubelet-api=https://[::1]:10250/pods" } },
	{ .env = { "CONSUL_HTTP_SSL=1", "CONSUL_HTTP_TOKEN=s3cr3t",
	      "CONSUL_CACERT=# =\"x\" #" },
	    .flags = { "--control-socket=", "--max-sync-interval=1.5s",
		"--log-level=TRACE", "--uid-base=1", "--dry-run" } },
	{ .flags = { "--to-k8s" }, .env = { IN_CLUSTER } },
	{ .flags = { "--to-k8s", "--kubeconfig=/k" } },
	{ .flags = { "--kubelet-ca=/gr\xc3\xbc\xc3\x9f"
		     "e", /* UTF-8 */
	      "--consul-addr=unix:///c=d.sock" } },
};

START_TEST(reads_back_what_it_prints)
{
	struct config *c = load_good(&odd[_i]), *back;
	struct config_report r;
	char *text = printed(c);

	back = load_good(&(struct given){ .file = text });
	config_report_init(&r);
	settings_set_u64(back->settings, OPT_DRY_RUN,
	    settings_u64(c->settings, OPT_DRY_RUN));
	ck_assert_uint_eq(config_diff_roles(c, back, &r), 0);
	ck_assert_uint_eq(r.count, 0);
	for (int i = OPT_CONFIG + 1; i < OPT_DRY_RUN; i++) {
		char line[64];

		snprintf(line, sizeof(line),
		    "\n%s =", option_def((enum option)i)->name);
		ck_assert_msg(strstr(text, line) != NULL, "%s", line);
	}
	free(text);
	config_free(back);
	config_free(c);
}
END_TEST

START_TEST(says_where_a_value_is_from)
{
	struct config *c =
	    load_good(&(struct given){ .file = "\nlog-level = debug\n",
		.env = { "NODE_NAME=n" },
		.flags = { "--consul-addr=a:1" } });
	char *text = printed(c), line[128];

	snprintf(line, sizeof(line), "\n# %s:2\nlog-level = debug\n",
	    file_path);
	ck_assert_ptr_nonnull(strstr(text, line));
	ck_assert_ptr_nonnull(
	    strstr(text, "\n# environment NODE_NAME\nnode-name = n\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "\n# --consul-addr\nconsul-addr = a:1\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "\n# default\nkubelet-timeout = 10s\n"));
	free(text);
	config_free(c);
}
END_TEST

START_TEST(never_prints_the_token)
{
	struct config *c = load_good(
	    &(struct given){ .env = { "CONSUL_HTTP_TOKEN= s3cr3t\n" } });
	char *text = printed(c);

	ck_assert_str_eq(c->consul_token, "s3cr3t");
	ck_assert_ptr_null(strstr(text, "s3cr3t"));
	ck_assert_ptr_nonnull(strstr(text,
	    "\n# consul-token: set by CONSUL_HTTP_TOKEN (hidden)\n"));
	free(text);
	config_free(c);
	c = load_good(&(struct given){ .env = { "CONSUL_TOKEN=s3cr3t" } });
	ck_assert_str_eq(c->consul_token, "s3cr3t");
	config_free(c);
	c = load_good(&(struct given){
	    .env = { "CONSUL_TOKEN=second", "CONSUL_HTTP_TOKEN=first" } });
	ck_assert_str_eq(c->consul_token, "first");
	config_free(c);
	c = load_good(&(struct given){ AS_CONSUL_SYNC,
	    .env = { CONSUL_SYNC_ENV, "CONSUL_TOKEN=first",
		"CONSUL_HTTP_TOKEN=second" } });
	ck_assert_str_eq(c->consul_token, "first");
	config_free(c);
	c = load_good(&(struct given){ .env = { "CONSUL_HTTP_TOKEN= \n" } });
	ck_assert_ptr_null(c->consul_token);
	config_free(c);
}
END_TEST

START_TEST(help_is_narrow_and_whole)
{
	char *text = NULL, *line, *rest, needle[64];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	config_help("katalogd", f);
	fclose(f);
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		snprintf(needle, sizeof(needle), "--%s",
		    option_def((enum option)i)->name);
		ck_assert_ptr_nonnull(strstr(text, needle));
	}
	rest = text;
	/* A path of this build may be longer than a line: it stands alone. */
	while ((line = strsep(&rest, "\n")) != NULL)
		ck_assert_msg(strlen(line) < 80 ||
			strchr(line + strspn(line, " "), ' ') == NULL,
		    "%s", line);
	free(text);
}
END_TEST

/* The same that --help and the manual name. */
START_TEST(knows_its_usual_file)
{
	char name[] = "katalogd", *argv[] = { name, NULL };
	struct config_input in = config_input(1, argv, NULL);

	ck_assert_str_eq(in.default_file, option_def(OPT_CONFIG)->def);
}
END_TEST

/* ---- SIGHUP ---- */

static const struct {
	const char *line;
	role_mask roles;
	bool warned; /* and the old value stays */
} changes[] = {
	{ "log-target = syslog", 0, false },
	{ "kubelet-ca = /ca", 0, false },
	{ "restart-delay = 1s", 0, false },
	{ "node-name = n", ROLE_BIT(ROLE_KUBELET_READER), false },
	{ "consul-concurrency = 9", ROLE_BIT(ROLE_CONSUL_WRITER), false },
	{ "kubelet-stale-after = 3m0s",
	    ROLE_BIT(ROLE_KUBELET_READER) | ROLE_BIT(ROLE_CONSUL_WRITER),
	    false },
	{ "metrics-bind-address = :1", ROLE_BIT(ROLE_HTTP), false },
	{ "bind-address = :1",
	    ROLE_BIT(ROLE_HTTP) | ROLE_BIT(ROLE_CONSUL_WRITER), false },
	{ "consul-tag = t", ROLE_BIT(ROLE_CONSUL_READER), false },
	{ "domain-suffix = t", ROLE_BIT(ROLE_K8S_WRITER), false },
	/* It would bring readiness gates, and so another worker. */
	{ "kubeconfig = /k", 0, true },
	{ "uid-base = 5", 0, true },
	{ "runtime-dir = /x", 0, true },
	{ "libexec-dir = /x", 0, true },
	{ "sandbox = strict", 0, true },
};

static enum option
changed(const char *line)
{
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(line, " "), line);
	return option_by_name(name);
}

START_TEST(tells_whose_slice_changed)
{
	struct config *old = load_good(&(struct given){ .file = NULL });
	struct config *next =
	    load_good(&(struct given){ .file = changes[_i].line });
	struct config_report r;

	config_report_init(&r);
	ck_assert_uint_eq(config_diff_roles(old, next, &r), changes[_i].roles);
	ck_assert_uint_eq(r.count, changes[_i].warned);
	ck_assert_uint_eq(r.errors, 0);
	ck_assert_int_eq(has_line(next, changes[_i].line), !changes[_i].warned);
	/* What stays has no source in the new file. */
	ck_assert_int_eq(next->source[changed(changes[_i].line)].from,
	    changes[_i].warned ? CONFIG_DEFAULT : CONFIG_FILE);
	config_report_free(&r);
	config_free(next);
	config_free(old);
}
END_TEST

START_TEST(direction_stays)
{
	struct config *old = load_good(&(struct given){ .file = NULL });
	struct config *next = load_good(
	    &(struct given){ .file = "to-k8s = true", .env = { IN_CLUSTER } });
	struct config_report r;

	config_report_init(&r);
	ck_assert_uint_eq(config_diff_roles(old, next, &r), 0);
	ck_assert_uint_eq(r.count, 2);
	ck_assert(has_line(next, "to-k8s = false"));
	ck_assert(has_line(next, "to-consul = true"));
	config_report_free(&r);
	config_free(next);
	config_free(old);
}
END_TEST

/* And sidecars can call, or not, as before. */
static const struct {
	const char *before;
	const char *after;
	const char *line;
	enum config_from from;
} ports[] = {
	{ "to-consul = true\nbind-address = :8501", "to-k8s = true",
	    "bind-address = :8501", CONFIG_FILE },
	{ "to-k8s = true", "to-consul = true\nbind-address = :8501",
	    "bind-address =", CONFIG_DEFAULT },
	{ "to-consul = true", "to-consul = true\nbind-address = :8501",
	    "bind-address = :8501", CONFIG_FILE },
	{ "to-consul = true\nbind-address = :8501",
	    "to-consul = true\nto-k8s = true",
	    "bind-address =", CONFIG_DEFAULT },
};

START_TEST(direction_stays_with_its_port)
{
	struct given before = { .file = ports[_i].before,
		.env = { IN_CLUSTER } };
	struct given after = { .file = ports[_i].after, .env = { IN_CLUSTER } };
	struct config *old = load_good(&before), *next = load_good(&after);
	struct config_report r;

	config_report_init(&r);
	config_diff_roles(old, next, &r);
	ck_assert(has_line(next, ports[_i].line));
	ck_assert_int_eq(next->source[OPT_BIND_ADDRESS].from, ports[_i].from);
	config_report_free(&r);
	config_free(next);
	config_free(old);
}
END_TEST

/* The cluster too, in the other direction's case. */
START_TEST(direction_stays_with_its_cluster)
{
	struct config *old = load_good(
	    &(struct given){ .file = "to-k8s = true", .env = { IN_CLUSTER } });
	struct config *next =
	    load_good(&(struct given){ .file = "to-consul = true" });
	struct config_report r;

	config_report_init(&r);
	ck_assert_uint_eq(config_diff_roles(old, next, &r), 0);
	ck_assert_uint_eq(r.count, 2);
	ck_assert(has_line(next, "k8s-api = https://10.0.0.1:443"));
	config_report_free(&r);
	config_free(next);
	config_free(old);
}
END_TEST

/* Until the file was read again. */
START_TEST(a_kubeconfig_holds_over_a_reload)
{
	const struct given g = { .flags = { "--to-k8s", "--kubeconfig=/k" } };
	const struct config_cluster found = { "https://a:1", "n", true, "/t",
		"", "", "" };
	struct config *old = load_good(&g), *next = load_good(&g);
	struct config_report r;
	char why[CONFIG_WHY];

	config_report_init(&r);
	ck_assert(config_take_cluster(old, &found, why));
	ck_assert_uint_eq(config_diff_roles(old, next, &r), 0);
	ck_assert(has_line(next, "k8s-api = https://a:1"));
	ck_assert(has_line(next, "k8s-token-file = /t"));
	config_free(next);
	/* Not where there is none any more. */
	next = load_good(
	    &(struct given){ .flags = { "--to-k8s", "--k8s-api=https://b" } });
	ck_assert_uint_eq(config_diff_roles(old, next, &r),
	    ROLE_BIT(ROLE_K8S_WRITER));
	ck_assert(has_line(next, "k8s-api = https://b"));
	ck_assert(has_line(next, "k8s-token-file ="));
	config_free(next);
	config_free(old);
}
END_TEST

static const struct {
	struct given given;
	const char *line;
} workers[] = {
	{ { .file = NULL }, "# workers: kubelet-reader, consul-writer, http" },
	{ { .flags = { "--dry-run" } },
	    "# workers: kubelet-reader, consul-writer" },
	{ { .flags = { "--to-k8s" }, .env = { IN_CLUSTER } },
	    "# workers: consul-reader, k8s-writer, http" },
	{ { .flags = { "--to-k8s", "--kubeconfig=/k" } },
	    "# workers: kubeconfig, consul-reader, k8s-writer, http" },
	{ { .flags = { "--to-k8s", "--to-consul" }, .env = { IN_CLUSTER } },
	    "# workers: kubelet-reader, consul-writer, consul-reader, "
	    "k8s-writer, http" },
	{ { .flags = { "--readiness-gates=yes" }, .env = { IN_CLUSTER } },
	    "# workers: kubelet-reader, consul-writer, k8s-writer, http" },
};

START_TEST(says_which_workers_run)
{
	struct config *c = load_good(&workers[_i].given);

	ck_assert(has_line(c, workers[_i].line));
	config_free(c);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, resolves, 0, COUNT(values));
	tcase_add_test(t, takes_the_service_account);
	tcase_add_test(t, takes_the_service_account_to_the_cluster);
	tcase_add_test(t, takes_the_kubeconfig_of_its_home);
	tcase_add_loop_test(t, takes_one_of_a_list, 0, COUNT(lists));
	tcase_add_loop_test(t, takes_what_a_kubeconfig_says, 0,
	    COUNT(clusters));
	tcase_add_loop_test(t, refuses, 0, COUNT(errors));
	tcase_add_loop_test(t, warns, 0, COUNT(warnings));
	tcase_add_test(t, tells_all_errors_at_once);
	tcase_add_test(t, hostile_files_are_refused);
	tcase_add_test(t, root_trusts_only_root);
	tcase_add_test(t, root_trusts_no_file_of_many);
	tcase_add_test(t, a_device_or_fifo_does_no_harm);
	tcase_add_loop_test(t, example_is_good, 0, 2);
	tcase_add_test(t, knows_its_modes);
	tcase_add_loop_test(t, reads_back_what_it_prints, 0, COUNT(odd));
	tcase_add_test(t, says_where_a_value_is_from);
	tcase_add_test(t, knows_its_usual_file);
	tcase_add_test(t, never_prints_the_token);
	tcase_add_test(t, help_is_narrow_and_whole);
	tcase_add_loop_test(t, tells_whose_slice_changed, 0, COUNT(changes));
	tcase_add_test(t, direction_stays);
	tcase_add_loop_test(t, direction_stays_with_its_port, 0, COUNT(ports));
	tcase_add_test(t, direction_stays_with_its_cluster);
	tcase_add_test(t, a_kubeconfig_holds_over_a_reload);
	tcase_add_loop_test(t, says_which_workers_run, 0, COUNT(workers));
}

int
main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");
	SRunner *r = srunner_create(s);
	int failed;

	add_tests(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
