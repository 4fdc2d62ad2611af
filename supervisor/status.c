#include "supervisor/status.h"

#include <bsd/string.h>
#include <stdio.h>

static void
add(char *buf, size_t cap, const char *name, const char *text)
{
	size_t len = strlen(buf);

	if (len < cap)
		snprintf(buf + len, cap - len, "%s%s: %s", len > 0 ? "; " : "",
		    name, text);
}

static const char *
trouble(const struct proc *p)
{
	if (p->held)
		return p->text;
	if (p->def->once && p->restart.state != WORKER_BACKOFF)
		return NULL;
	switch (p->restart.state) {
	case WORKER_DOWN:
		return "down";
	case WORKER_STARTING:
		return "starting";
	case WORKER_BACKOFF:
		return "died, waits for its next start";
	case WORKER_READY:
		break;
	}
	return p->health == HEALTH_DEGRADED ? p->text : NULL;
}

void
status_line(struct proc *const procs[], char *buf, size_t cap)
{
	strlcpy(buf, "", cap);
	for (unsigned role = 0; role < ROLE_MAX; role++) {
		const char *what =
		    procs[role] != NULL ? trouble(procs[role]) : NULL;

		if (what != NULL)
			add(buf, cap, role_name(role), what);
	}
	if (*buf == '\0')
		strlcpy(buf, "all workers are fine", cap);
}

/* With a kubeconfig that is of no use, all else works. */
static bool
is_up(const struct proc *p)
{
	if (p->held)
		return p->health == HEALTH_DEGRADED;
	return p->def->once || p->restart.state == WORKER_READY;
}

bool
status_all_ready(struct proc *const procs[])
{
	for (unsigned role = 0; role < ROLE_MAX; role++)
		if (procs[role] != NULL && !is_up(procs[role]))
			return false;
	return true;
}
