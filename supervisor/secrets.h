/*
 * Tokens, keys, certificates and files that workers need: read here, handed
 * out as sealed memfds (BLOB). The kernel copies from file to memfd, so that
 * no buffer of this process ever holds a secret (but CONSUL_HTTP_TOKEN's, and
 * what stands in a kubeconfig itself while its message is handled).
 *
 * A file that can't be read any more, or makes no sense, is said once; what
 * was read before stays in use, but for the pod list (BLOB_KUBELET_PODS): it
 * becomes empty, since an old list must not count as a fresh one. Until there is
 * a token in Consul's file, CONSUL_HTTP_TOKEN takes its place.
 */
#ifndef SECRETS_H
#define SECRETS_H

#include <stdint.h>

#include "common/proto.h"
#include "supervisor/config.h"

struct secrets;

typedef uint32_t blob_mask;
#define BLOB_BIT(id) ((blob_mask)1 << (id))

/* All blobs empty. fatal() without memory or memfds. */
struct secrets *secrets_new(void);
void secrets_free(struct secrets *s);

/*
 * Takes over which files there are, and reads all of them, but for those that
 * are for no role that runs. Returns the blobs that differ from before.
 */
blob_mask secrets_configure(struct secrets *s, const struct config *c);
/* Looks at the files, reads those that changed. Returns what differs. */
blob_mask secrets_check(struct secrets *s);
/*
 * What stands in a kubeconfig in place of a path: goes before any file, until
 * it is given with len 0 or a config has no kubeconfig. Returns what differs.
 */
blob_mask secrets_give(struct secrets *s, enum blob_id id, const void *data,
    size_t len);
/*
 * A sealed memfd for a BLOB message, the caller's to close; of length 0 if
 * there is none. -1 with errno.
 */
int secrets_fd(const struct secrets *s, enum blob_id id);

#endif
