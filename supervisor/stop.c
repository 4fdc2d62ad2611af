#include "supervisor/stop.h"

#include "common/clock.h"
#include "common/timer.h"

/* So long the writers wait for the readers' end, and http for theirs. */
#define STEP_MS 500
/* Then SIGKILL. */
#define LAST_MS 4000

/* Also those of earlier steps: one may have been about to start again. */
static void
end_step(struct supervisor *sup)
{
	for (unsigned role = 0; role < ROLE_MAX; role++) {
		struct proc *p = sup->procs[role];

		if (p != NULL && p->def->stop_order <= sup->stop_order)
			proc_event(p, RESTART_STOP);
	}
}

static bool
step_is_done(const struct supervisor *sup)
{
	for (unsigned role = 0; role < ROLE_MAX; role++) {
		const struct proc *p = sup->procs[role];

		if (p != NULL && p->def->stop_order <= sup->stop_order &&
		    p->restart.state != WORKER_DOWN)
			return false;
	}
	return true;
}

static void
next_step(struct supervisor *sup)
{
	sup->stop_order++;
	end_step(sup);
}

void
stop_go_on(struct supervisor *sup)
{
	if (!sup->stopping)
		return;
	end_step(sup);
	while (step_is_done(sup) && sup->stop_order < ROLE_STOP_LAST)
		next_step(sup);
	if (step_is_done(sup))
		event_base_loopbreak(sup->base);
}

void
stop_now(struct supervisor *sup)
{
	sup->stop_order = ROLE_STOP_LAST;
	end_step(sup);
	for (unsigned role = 0; role < ROLE_MAX; role++)
		if (sup->procs[role] != NULL)
			proc_event(sup->procs[role], RESTART_TIMER);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *sup = arg;
	uint64_t since = clock_ms() - sup->stop_ms;

	(void)fd;
	(void)what;
	if (since >= LAST_MS) {
		stop_now(sup);
		return;
	}
	if (sup->stop_order < ROLE_STOP_LAST)
		next_step(sup);
	timer_arm(sup->stop_timer,
	    sup->stop_order < ROLE_STOP_LAST ? STEP_MS : LAST_MS - since);
	stop_go_on(sup);
}

struct event *
stop_timer_new(struct supervisor *sup)
{
	return evtimer_new(sup->base, on_timer, sup);
}

void
stop_begin(struct supervisor *sup, int status)
{
	sup->stopping = true;
	sup->status = status;
	sup->stop_ms = clock_ms();
	sup->stop_order = 0;
	notify_stopping(&sup->notify);
	timer_arm(sup->stop_timer, STEP_MS);
	stop_go_on(sup);
}
