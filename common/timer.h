/* libevent's timers with the unit of everything else here. */
#ifndef TIMER_H
#define TIMER_H

#include <event2/event.h>
#include <stdint.h>

/* Goes off once, in ms milliseconds; one that is armed is moved. */
static inline void
timer_arm(struct event *timer, uint64_t ms)
{
	const struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	evtimer_add(timer, &tv);
}

#endif
