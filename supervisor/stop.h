/*
 * The end of all workers, in the order of role_def.stop_order. Nothing is
 * deregistered: who restarts katalogd must not take services away.
 */
#ifndef STOP_H
#define STOP_H

#include "supervisor/supervisor.h"

struct event *stop_timer_new(struct supervisor *sup);
/* The loop ends, with this exit status, when all workers are gone (< 5 s). */
void stop_begin(struct supervisor *sup, int status);
/* A worker ended: the next ones may follow. */
void stop_go_on(struct supervisor *sup);
/* SIGKILL to those that are left. */
void stop_now(struct supervisor *sup);

#endif
