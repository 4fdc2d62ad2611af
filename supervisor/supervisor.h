/*
 * The supervisor: the privileged parent of all workers. One struct is all of
 * its state; main.c makes it, the event loop runs it.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <event2/event.h>
#include <stdbool.h>

#include "common/log.h"
#include "supervisor/config.h"
#include "supervisor/listeners.h"
#include "supervisor/logsink.h"
#include "supervisor/notify.h"
#include "supervisor/proc.h"
#include "supervisor/secrets.h"

#define SUPERVISOR_SIGNALS 4

struct supervisor {
	struct event_base *base;
	struct config_input input; /* for SIGHUP */
	struct config *config;
	struct logsink logsink;
	struct notify notify;
	struct secrets *secrets;
	struct listeners listeners;
	struct proc *procs[ROLE_MAX]; /* NULL: does not run here */
	struct event *signals[SUPERVISOR_SIGNALS];
	struct event *tick;
	struct event *watchdog;
	struct event *stop_timer;
	struct log_once connect_problem; /* consul-addr = unix://path */
	bool dry_run;
	bool told_ready;
	bool stopping;
	unsigned stop_order; /* role_def.stop_order that ends now */
	uint64_t stop_ms; /* when the stop began */
	int status; /* of our exit */
};

/*
 * Opens all that needs rights, closes the supervisor's own sandbox, runs the
 * workers until SIGTERM or SIGINT (in a dry run: until the answer is there).
 * Returns the exit status. The config is the supervisor's from here on.
 */
int supervisor_run(const struct config_input *in, struct config *c,
    const struct logsink *log);

/* For reload.c: how often files are looked at may have changed. */
void supervisor_set_tick(struct supervisor *sup);
/* For proc.c: state, health or process of p are not what they were. */
void supervisor_proc_changed(struct supervisor *sup, struct proc *p);
/* For proc.c: its process is gone, and proc_event() knows. */
void supervisor_proc_ended(struct supervisor *sup, struct proc *p);

#endif
