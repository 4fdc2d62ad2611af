/* kubelet-reader: the pods of this node as desired Consul services. */
#include "workers/kubelet_reader/reader.h"

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

static const struct worker_role role = {
	.role = ROLE_KUBELET_READER,
	.preload = preload,
	.start = start,
	.blob = blob,
};

int
main(void)
{
	return worker_main(&role);
}
