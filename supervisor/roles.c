#include "supervisor/roles.h"

const struct role_def role_defs[] = {
	{ .role = ROLE_KUBELET_READER, .dry_run = true, .stop_order = 0 },
	{ .role = ROLE_CONSUL_WRITER,
	    .dry_run = true,
	    .answers = true,
	    .connects = true,
	    .stop_order = 1 },
	{ .role = ROLE_HTTP,
	    .listeners =
		LISTEN_BIT(LISTEN_METRICS) | LISTEN_BIT(LISTEN_CONTROL),
	    .stop_order = ROLE_STOP_LAST },
};

const unsigned nrole_defs = sizeof(role_defs) / sizeof(*role_defs);
