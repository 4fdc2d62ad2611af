/*
 * consul-reader: follows the tagged services of Consul and tells k8s-writer
 * what Kubernetes is to have of them.
 */
#include "workers/consul_reader/reader.h"

static void
preload(struct worker *w, struct sandbox *sb)
{
	w->ctx = reader_preload(w, sb);
}

static void
start(struct worker *w)
{
	reader_start(w->ctx);
}

static void
blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	reader_blob(w->ctx, id, data, len);
}

static void
connected(struct worker *w, int fd)
{
	reader_connected(w->ctx, fd);
}

static const struct worker_role role = {
	.role = ROLE_CONSUL_READER,
	.preload = preload,
	.start = start,
	.blob = blob,
	.connected = connected,
};

int
main(void)
{
	return worker_main(&role);
}
