#include "supervisor/roles.h"

#include <string.h>

#define BOTH_DIRECTIONS (DIRECTION_TO_CONSUL | DIRECTION_TO_K8S)

const struct role_def role_defs[] = {
	{ .role = ROLE_KUBELET_READER,
	    .directions = DIRECTION_TO_CONSUL,
	    .dry_run = true,
	    .stop_order = 0 },
	{ .role = ROLE_CONSUL_WRITER,
	    .directions = DIRECTION_TO_CONSUL,
	    .dry_run = true,
	    .answers = true,
	    .connects = true,
	    .stop_order = 1 },
	{ .role = ROLE_KUBECONFIG,
	    .directions = DIRECTION_TO_K8S | DIRECTION_GATES,
	    .dry_run = true,
	    .once = true,
	    .stop_order = 0 },
	{ .role = ROLE_CONSUL_READER,
	    .directions = DIRECTION_TO_K8S,
	    .dry_run = true,
	    .connects = true,
	    .stop_order = 0 },
	{ .role = ROLE_K8S_WRITER,
	    .directions = DIRECTION_TO_K8S | DIRECTION_GATES,
	    .dry_run = true,
	    .answers = true,
	    .needs_cluster = true,
	    .stop_order = 1 },
	{ .role = ROLE_HTTP,
	    .directions = BOTH_DIRECTIONS,
	    .listeners = LISTEN_BIT(LISTEN_METRICS) |
		LISTEN_BIT(LISTEN_CONTROL) | LISTEN_BIT(LISTEN_SIDECAR),
	    .stop_order = ROLE_STOP_LAST },
};

const unsigned nrole_defs = sizeof(role_defs) / sizeof(*role_defs);

bool
role_runs(const struct role_def *def, const struct settings *s)
{
	unsigned directions = 0;

	if (settings_bool(s, OPT_TO_CONSUL))
		directions |= DIRECTION_TO_CONSUL;
	if (settings_bool(s, OPT_TO_K8S))
		directions |= DIRECTION_TO_K8S;
	if (strcmp(settings_str(s, OPT_READINESS_GATES), "yes") == 0)
		directions |= DIRECTION_GATES;
	return (def->directions & directions) != 0 &&
	    (def->dry_run || !settings_bool(s, OPT_DRY_RUN));
}

role_mask
roles_running(const struct settings *s)
{
	role_mask roles = 0;

	for (unsigned i = 0; i < nrole_defs; i++)
		if (role_runs(&role_defs[i], s))
			roles |= ROLE_BIT(role_defs[i].role);
	return roles;
}
