#include "workers/upstream.h"

#include <unistd.h>

#include "common/log.h"

struct traits {
	const char *what;
	const char *token_header;
	enum option url;
	enum option tls_server_name;
	enum option trust; /* says whether certificates are verified */
	bool verify_if; /* they are, if that option is this */
	enum blob_id blobs[HTTP_BLOB_MAX];
};

static const struct traits table[] = {
	[UPSTREAM_KUBELET] = {
		.what = "kubelet",
		.token_header = "Authorization: Bearer ",
		.url = OPT_KUBELET_API,
		.tls_server_name = OPT_KUBELET_TLS_SERVER_NAME,
		.trust = OPT_KUBELET_INSECURE,
		.verify_if = false,
		.blobs = {
			[HTTP_TOKEN] = BLOB_KUBELET_TOKEN,
			[HTTP_CA] = BLOB_KUBELET_CA,
			[HTTP_CERT] = BLOB_KUBELET_CERT,
			[HTTP_KEY] = BLOB_KUBELET_KEY,
		},
	},
	[UPSTREAM_CONSUL] = {
		.what = "consul",
		.token_header = "X-Consul-Token: ",
		.url = OPT_CONSUL_ADDR,
		.tls_server_name = OPT_CONSUL_TLS_SERVER_NAME,
		.trust = OPT_CONSUL_SSL_VERIFY,
		.verify_if = true,
		.blobs = {
			[HTTP_TOKEN] = BLOB_CONSUL_TOKEN,
			[HTTP_CA] = BLOB_CONSUL_CA,
			[HTTP_CERT] = BLOB_CONSUL_CERT,
			[HTTP_KEY] = BLOB_CONSUL_KEY,
		},
	},
	[UPSTREAM_KUBERNETES] = {
		.what = "kubernetes",
		.token_header = "Authorization: Bearer ",
		.url = OPT_K8S_API,
		.tls_server_name = OPT_K8S_TLS_SERVER_NAME,
		.trust = OPT_K8S_INSECURE,
		.verify_if = false,
		.blobs = {
			[HTTP_TOKEN] = BLOB_K8S_TOKEN,
			[HTTP_CA] = BLOB_K8S_CA,
			[HTTP_CERT] = BLOB_K8S_CERT,
			[HTTP_KEY] = BLOB_K8S_KEY,
		},
	},
};

void
upstream_init(struct upstream *u, enum upstream_kind kind,
    const struct settings *s)
{
	enum option opt = table[kind].url;
	const char *text = settings_str(s, opt);
	const char *why;

	*u = (struct upstream){ .kind = kind };
	why = option_url(opt, text, &u->url);
	if (why != NULL)
		fatalx("%s %s: %s", option_def(opt)->name, text, why);
	url_origin(&u->url, u->name);
	url_prefix(&u->url, u->prefix);
}

static void
want_connection(void *arg)
{
	worker_ask_connection(arg);
}

void
upstream_preload(struct upstream *u, struct worker *w, struct sandbox *sb,
    unsigned max_connections)
{
	const struct traits *t = &table[u->kind];
	const struct settings *s = w->settings;
	struct http_client_conf conf = {
		.base = w->base,
		.url = u->url,
		.what = t->what,
		.tls_server_name = settings_str(s, t->tls_server_name),
		.insecure = settings_bool(s, t->trust) != t->verify_if,
		.max_connections = max_connections,
		.want_connection = want_connection,
		.arg = w,
	};
	bool dns;

	u->client = http_client_preload(&conf, &dns);
	http_client_token_header(u->client, t->token_header);
	sb->dns = sb->dns || dns;
	if (u->url.scheme != URL_UNIX)
		sb->ports[sb->nports++] = u->url.port;
	sb->nofile += max_connections;
}

bool
upstream_blob(struct upstream *u, enum blob_id id, const void *data, size_t len)
{
	const enum blob_id *blobs = table[u->kind].blobs;

	if (u->client == NULL)
		return false;
	for (int i = 0; i < HTTP_BLOB_MAX; i++) {
		if (blobs[i] != id)
			continue;
		http_client_blob(u->client, (enum http_client_blob)i, data,
		    len);
		return true;
	}
	return false;
}

void
upstream_connected(struct upstream *u, int fd)
{
	if (u->client != NULL)
		http_client_give_connection(u->client, fd);
	else if (fd != -1)
		close(fd);
}
