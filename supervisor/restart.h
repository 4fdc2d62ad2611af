/*
 * When a worker is started, probed, ended and started again: a table of
 * state x event.
 *
 * A pure module: it reads no clock, draws no random number, sends no signal.
 * Times are CLOCK_MONOTONIC milliseconds that the caller passes in; the
 * caller does what the returned action says.
 */
#ifndef RESTART_H
#define RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "common/proto.h"

/* A worker says READY within this, or is killed. */
#define RESTART_READY_MS 10000
/* Time between a PONG and the next PING, and for the PONG to come. */
#define RESTART_PING_MS 10000
#define RESTART_PONG_MS 10000
/* READY for this long: the next death counts as the first one again. */
#define RESTART_STABLE_MS 60000
/*
 * On a sibling's word a worker is started again at most once in this time.
 * Longer than RESTART_STABLE_MS: one that lies never makes the delay grow.
 */
#define RESTART_HEED_MS 120000
/* After SIGTERM, then SIGKILL. All are to be gone within 5 s. */
#define RESTART_STOP_MS 4000

#define RESTART_NEVER   UINT64_MAX

enum restart_event {
	RESTART_START, /* it is to run */
	RESTART_READY, /* it said READY */
	RESTART_PONG,
	RESTART_EXIT, /* it is gone, or could not be started */
	RESTART_DONE, /* it is gone, and had done what it was started for */
	RESTART_TIMER, /* deadline_ms has come */
	RESTART_FAULT, /* it broke the protocol */
	RESTART_ACCUSED, /* a sibling says so */
	RESTART_RELOAD, /* its config changed: start it again, no back-off */
	RESTART_STOP, /* it is to end for good */
	RESTART_EVENTS
};

enum restart_action {
	RESTART_DO_NOTHING,
	RESTART_DO_SPAWN, /* failed: tell RESTART_EXIT */
	RESTART_DO_PING,
	RESTART_DO_TERM, /* SIGTERM */
	RESTART_DO_KILL /* SIGKILL; why in restart.why */
};

struct restart {
	/* The first delay and the longest, 1 ms.. ; may be changed any time. */
	uint64_t delay_min_ms;
	uint64_t delay_max_ms;
	bool once; /* a dry run: it is not started again */
	enum worker_state state;
	uint64_t delay_ms; /* before the next start, without jitter */
	uint64_t deadline_ms; /* for RESTART_TIMER, or RESTART_NEVER */
	uint64_t since_ms; /* of the last start */
	uint64_t ready_ms; /* of the last READY */
	uint32_t restarts; /* after deaths, not after RELOAD */
	bool pinged; /* a PONG is due */
	bool accused; /* since its last start */
	uint64_t heeded_ms; /* when that last ended it, or RESTART_NEVER */
	bool ending; /* was sent SIGTERM or SIGKILL */
	bool again; /* RELOAD: starts at once when it has ended */
	bool stopping;
	const char *why; /* constant text, for RESTART_DO_KILL */
};

/* DOWN, never started. delay_min_ms is raised to 1, delay_max_ms to it. */
void restart_init(struct restart *r, uint64_t delay_min_ms,
    uint64_t delay_max_ms);
/* The new delays of a changed config. */
void restart_delays(struct restart *r, uint64_t delay_min_ms,
    uint64_t delay_max_ms);
/*
 * One event. random: any 32 bits, for the jitter of +-20 %. Events that mean
 * nothing in this state do nothing.
 */
enum restart_action restart_event(struct restart *r, enum restart_event event,
    uint64_t now_ms, uint32_t random);
/* Milliseconds until RESTART_TIMER is due; RESTART_NEVER: none is. */
uint64_t restart_wait_ms(const struct restart *r, uint64_t now_ms);

#endif
