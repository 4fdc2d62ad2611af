/* What workers tell the supervisor: one table. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "supervisor/proc.h"

/*
 * One message that the table of proto.h allows. False: it makes no sense now,
 * which ends the worker.
 */
bool message_handle(struct proc *p, const struct msg *m);

#endif
