/* Folders that the supervisor makes: runtime-dir and those of its sockets. */
#ifndef RUNDIR_H
#define RUNDIR_H

#include <stdbool.h>

/* Workers are chrooted to this folder of runtime-dir. */
#define RUNDIR_EMPTY "empty"

/*
 * Makes dir and dir/empty (root-owned, 0555, nothing in it). Needed by root
 * only: for others true, and nothing is done. False: why was logged.
 */
bool rundir_make(const char *dir);

/* Makes the folder that path is in, if there is none. False with errno. */
bool rundir_parent(const char *path);

#endif
