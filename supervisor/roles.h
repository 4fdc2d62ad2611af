/*
 * The workers that this supervisor runs: one table.
 */
#ifndef SUPERVISOR_ROLES_H
#define SUPERVISOR_ROLES_H

#include <stdbool.h>

#include "common/proto.h"
#include "common/roles.h"

struct role_def {
	enum role role;
	bool dry_run; /* runs in a dry run too */
	bool answers; /* a dry run's output and end are its */
	bool connects; /* may ask for a connection to Consul's unix:// path */
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

#endif
