/* SIGHUP: the configuration and all files read again. */
#ifndef RELOAD_H
#define RELOAD_H

#include "supervisor/supervisor.h"

/*
 * Workers whose slice differs are started again without back-off; the others
 * get the blobs that changed. A configuration with errors changes nothing.
 */
void reload(struct supervisor *sup);

#endif
