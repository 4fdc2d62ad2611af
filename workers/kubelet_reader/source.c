#include "workers/kubelet_reader/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "workers/upstream.h"

struct source {
	const struct source_ops *ops;
	void *arg;
	const char *name; /* the settings' */
	struct upstream kubelet; /* without a client: a file */
	uint64_t timeout_ms;
	char *file; /* NULL: not there */
	size_t file_len;
};

struct source *
source_preload(struct worker *w, struct sandbox *sb,
    const struct source_ops *ops, void *arg)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->ops = ops;
	s->arg = arg;
	s->name = settings_str(w->settings, OPT_KUBELET_API);
	s->timeout_ms = settings_u64(w->settings, OPT_KUBELET_TIMEOUT);
	upstream_init(&s->kubelet, UPSTREAM_KUBELET, w->settings);
	if (!source_is_file(s))
		upstream_preload(&s->kubelet, w, sb, 1);
	return s;
}

bool
source_is_file(const struct source *s)
{
	return s->kubelet.url.scheme == URL_FILE;
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

bool
source_blob(struct source *s, enum blob_id id, const void *data, size_t len)
{
	if (id != BLOB_KUBELET_PODS || !source_is_file(s)) {
		upstream_blob(&s->kubelet, id, data, len);
		return false;
	}
	take_file(s, data, len);
	return true;
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
	    "the right to get nodes/pods (kubelets before 1.33: nodes/proxy)" },
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
		.path = s->kubelet.url.path,
		.accept_headers = { "Accept: application/json" },
		.timeout_ms = s->timeout_ms,
		.max_body = LIMIT_POD_LIST,
		.on_data = on_data,
		.done = on_done,
		.arg = s,
	};

	if (source_is_file(s))
		read_file(s);
	else
		http_client_request(s->kubelet.client, &conf);
}
