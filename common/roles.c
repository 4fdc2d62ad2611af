#include "common/roles.h"

static const char *const names[ROLE_MAX] = {
	[ROLE_SUPERVISOR] = "katalogd",
	[ROLE_KUBELET_READER] = "kubelet-reader",
	[ROLE_CONSUL_WRITER] = "consul-writer",
	[ROLE_CONSUL_READER] = "consul-reader",
	[ROLE_K8S_WRITER] = "k8s-writer",
	[ROLE_HTTP] = "http",
	[ROLE_KUBECONFIG] = "kubeconfig",
	[ROLE_SIDECAR] = "katalog-sidecar",
};

const char *
role_name(enum role role)
{
	return role < ROLE_MAX ? names[role] : "unknown";
}
