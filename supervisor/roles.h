/*
 * The workers that this supervisor knows, and which of them run: one table.
 */
#ifndef SUPERVISOR_ROLES_H
#define SUPERVISOR_ROLES_H

#include <stdbool.h>

#include "common/options.h"
#include "common/proto.h"
#include "common/roles.h"

#define DIRECTION_TO_CONSUL 0x1
#define DIRECTION_TO_K8S    0x2
/* Not one of its own: to-consul with readiness gates. */
#define DIRECTION_GATES 0x4

struct role_def {
	enum role role;
	unsigned directions; /* runs in each of these */
	bool dry_run; /* runs in a dry run too */
	bool answers; /* a dry run's output and end are its */
	bool connects; /* may ask for a connection to Consul's unix:// path */
	/* Ends by itself once it has answered; started when there is a file
	 * for it to read. No part of the status. */
	bool once;
	bool needs_cluster; /* waits until it is known how to reach it */
	unsigned listeners; /* LISTEN_BIT(id) of those that it gets */
	/*
	 * On SIGTERM those with the lowest number end first: readers before
	 * writers, so that no writer works on half of what a reader says; http
	 * last, so that it can be asked until then.
	 */
	unsigned stop_order;
};

#define LISTEN_BIT(id) (1U << (id))

extern const struct role_def role_defs[];
extern const unsigned nrole_defs;

#define ROLE_STOP_LAST 2

/* Whether it runs with these settings: by to-consul, to-k8s,
 * readiness-gates and dry-run. */
bool role_runs(const struct role_def *def, const struct settings *s);
role_mask roles_running(const struct settings *s);

#endif
