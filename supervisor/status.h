/* One line on how all goes, for the service manager. */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/proc.h"

/* procs has ROLE_MAX places, NULL where no worker runs. */
void status_line(struct proc *const procs[], char *buf, size_t cap);
/* Each worker has said READY, or can't be started with what there is. */
bool status_all_ready(struct proc *const procs[]);

#endif
