#include "workers/kubelet_reader/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/url.h"
#include "workers/http_client.h"

struct source {
	const struct source_ops *ops;
	void *arg;
	const char *name; /* the settings' */
	struct url url;
	uint64_t timeout_ms;
	struct http_client *client; /* NULL: a file */
	char *file; /* NULL: not there */
	size_t file_len;
};

static struct http_client *
preload_client(struct source *s, struct event_base *base,
    const struct settings *settings, struct sandbox *sb)
{
	const struct http_client_conf conf = {
		.base = base,
		.url = s->url,
		.what = "kubelet",
		.tls_server_name =
		    settings_str(settings, OPT_KUBELET_TLS_SERVER_NAME),
		.insecure = settings_bool(settings, OPT_KUBELET_INSECURE),
		.max_connections = 1,
	};
	struct http_client *client = http_client_preload(&conf, &sb->dns);

	http_client_token_header(client, "Authorization: Bearer ");
	sb->ports[sb->nports++] = s->url.port;
	return client;
}

struct source *
source_preload(struct event_base *base, const struct settings *settings,
    struct sandbox *sb, const struct source_ops *ops, void *arg)
{
	struct source *s = xcalloc(1, sizeof(*s));
	const char *why;

	s->ops = ops;
	s->arg = arg;
	s->name = settings_str(settings, OPT_KUBELET_API);
	s->timeout_ms = settings_u64(settings, OPT_KUBELET_TIMEOUT);
	why = option_url(OPT_KUBELET_API, s->name, &s->url);
	if (why != NULL)
		fatalx("kubelet-api %s: %s", s->name, why);
	if (s->url.scheme != URL_FILE)
		s->client = preload_client(s, base, settings, sb);
	return s;
}

bool
source_is_file(const struct source *s)
{
	return s->client == NULL;
}

const char *
source_name(const struct source *s)
{
	return s->name;
}

/* Blobs. */

static void
take_file(struct source *s, const void *data, size_t len)
{
	free(s->file);
	s->file = len > 0 ? xmemdup(data, len) : NULL;
	s->file_len = len;
}

static const struct {
	enum blob_id id;
	enum http_client_blob to;
} client_blobs[] = {
	{ BLOB_KUBELET_TOKEN, HTTP_TOKEN },
	{ BLOB_KUBELET_CA, HTTP_CA },
	{ BLOB_KUBELET_CERT, HTTP_CERT },
	{ BLOB_KUBELET_KEY, HTTP_KEY },
};

bool
source_blob(struct source *s, enum blob_id id, const void *data, size_t len)
{
	if (s->client == NULL) {
		if (id == BLOB_KUBELET_PODS)
			take_file(s, data, len);
		return id == BLOB_KUBELET_PODS;
	}
	for (size_t i = 0; i < sizeof(client_blobs) / sizeof(*client_blobs);
	     i++) {
		if (client_blobs[i].id == id)
			http_client_blob(s->client, client_blobs[i].to, data,
			    len);
	}
	return false;
}

/* Files. */

static void
read_file(struct source *s)
{
	struct source_result r = { .kind = M_ERR_KUBELET_CONNECT };

	if (s->file == NULL) {
		r.why = "the file can't be read, or is empty";
	} else {
		r.bytes = s->file_len;
		r.stopped = !s->ops->data(s->file, s->file_len, s->arg);
	}
	s->ops->done(&r, s->arg);
}

/* The kubelet. */

static const struct {
	long status;
	const char *why;
} statuses[] = {
	{ 401,
	    "the kubelet answers 401 Unauthorized: it wants another token or "
	    "client certificate (kubelet-token-file, kubelet-client-cert)" },
	{ 403,
	    "the kubelet answers 403 Forbidden: our token or certificate lacks "
	    "the right to get nodes/proxy (newer kubelets: nodes/pods)" },
	{ 404,
	    "the kubelet answers 404 Not Found: is the path of kubelet-api "
	    "/pods?" },
};

static const char *
status_text(long status, char *buf, size_t cap)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].why;
	}
	snprintf(buf, cap, "the kubelet answers with HTTP status %ld%s", status,
	    status >= 300 && status < 400 ? " (redirects aren't followed)"
					  : "");
	return buf;
}

/* Some proxies leave it out; what it is not said to be, it may be. */
static bool
is_json(const char *type)
{
	return *type == '\0' || strcasestr(type, "json") != NULL;
}

static void
on_done(const struct http_response *http, void *arg)
{
	struct source *s = arg;
	struct source_result r = { .kind = M_ERR_KUBELET_HTTP,
		.bytes = http->bytes,
		.took_ms = http->took_ms };
	char buf[LIMIT_TEXT];

	if (http->status != 0 && http->status != 200) {
		r.why = status_text(http->status, buf, sizeof(buf));
	} else if (http->status == 200 && !is_json(http->content_type)) {
		snprintf(buf, sizeof(buf),
		    "the kubelet answers with %.128s in place of JSON",
		    http->content_type);
		r.why = buf;
	} else if (http->error != NULL) {
		r.kind = M_ERR_KUBELET_CONNECT;
		r.why = http->error;
	}
	s->ops->done(&r, s->arg);
}

static bool
on_data(const char *data, size_t len, void *arg)
{
	struct source *s = arg;

	return s->ops->data(data, len, s->arg);
}

void
source_read(struct source *s)
{
	const struct http_request_conf conf = {
		.method = "GET",
		.path = s->url.path,
		.accept_headers = { "Accept: application/json" },
		.timeout_ms = s->timeout_ms,
		.max_body = LIMIT_POD_LIST,
		.on_data = on_data,
		.done = on_done,
		.arg = s,
	};

	if (s->client == NULL)
		read_file(s);
	else
		http_client_request(s->client, &conf);
}
