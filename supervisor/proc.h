/*
 * One worker process as the supervisor sees it: what restart.h decides is done
 * here. All times are CLOCK_MONOTONIC milliseconds.
 */
#ifndef PROC_H
#define PROC_H

#include <event2/buffer.h>
#include <event2/event.h>

#include "common/channel.h"
#include "supervisor/logsink.h"
#include "supervisor/restart.h"
#include "supervisor/roles.h"

struct supervisor;

struct proc {
	struct supervisor *sup;
	const struct role_def *def;
	struct restart restart;
	struct event *timer; /* restart.deadline_ms */
	uint64_t due_ms; /* since when that has been over; 0: it is not */
	uint64_t ping; /* number of the last PING */
	pid_t pid; /* 0: none, or reaped */
	/* Of the last one that was reaped. */
	pid_t ended_pid;
	int exit_status; /* of waitpid(2) */
	uint64_t reaped_ms;
	bool was_ending; /* restart.ending */
	bool untold; /* http does not know how it is: see handout.h */
	bool held; /* not to be started yet; text says what it waits for */
	struct channel *ch; /* NULL: none, or closed */
	int errors_fd; /* its fd 2; -1: none */
	struct event *errors_ev;
	struct evbuffer *errors; /* a line that is not whole yet */
	struct log_rate log_rate;
	/* What it said of itself; zeroed at each start. */
	uint32_t layers; /* SANDBOX_* */
	enum health health;
	bool synced;
	bool answered; /* role_def.once: it said what it was started for */
	char missing[LIMIT_TEXT + 1]; /* layers that the kernel lacks */
	char text[LIMIT_TEXT + 1]; /* of health */
	struct log_once missing_said; /* once a role, not at each start */
};

/* DOWN; fatal() without memory. */
struct proc *proc_new(struct supervisor *sup, const struct role_def *def);
/* The process is killed if there is one; not waited for. NULL is fine. */
void proc_free(struct proc *p);

/* Tells the state machine, and does what it says. */
void proc_event(struct proc *p, enum restart_event event);
/* waitpid() had its pid. */
void proc_reaped(struct proc *p, int status);
/* Each second: lines that were suppressed, ends that were missed. */
void proc_tick(struct proc *p);

/* READY, with its sandbox on, and not about to end. */
bool proc_usable(const struct proc *p);
/* A line of its, within the bound of log_rate. */
void proc_log(struct proc *p, enum log_level level, const char *text,
    size_t len);

#endif
