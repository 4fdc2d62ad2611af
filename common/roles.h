/*
 * The processes of katalogd. The numbers go over the wire and select the uid
 * (uid-base + role - 1): append only.
 */
#ifndef ROLES_H
#define ROLES_H

#include <stdint.h>

enum role {
	ROLE_SUPERVISOR,
	ROLE_KUBELET_READER,
	ROLE_CONSUL_WRITER,
	ROLE_CONSUL_READER,
	ROLE_K8S_WRITER,
	ROLE_HTTP,
	ROLE_KUBECONFIG, /* runs once for each version of that file */
	ROLE_SIDECAR, /* katalog-sidecar: no worker, on no channel */
	ROLE_MAX
};

typedef uint32_t role_mask;
#define ROLE_BIT(role) ((role_mask)1 << (role))

/* The program's name in libexec, "katalogd" for the supervisor. */
const char *role_name(enum role role);

#endif
