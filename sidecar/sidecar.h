/*
 * A sidecar at work: lifecycle.h applied to a connection, /ready, signals and
 * perhaps a program. Connections are there only as long as a call needs them:
 * once registered, nothing wakes it up.
 *
 * A daemon that is started again knows from the pod list that this container
 * is ready, and so was registered: it need not be told again.
 */
#ifndef SIDECAR_SIDECAR_H
#define SIDECAR_SIDECAR_H

#include "sidecar/config.h"

/* Returns the exit status. */
int sidecar_run(const struct sidecar_config *c);

#endif
