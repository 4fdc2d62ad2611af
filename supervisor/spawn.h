/*
 * Starts a worker program: fork and exec, with nothing of this process in it
 * but its three descriptors.
 *
 *	0, 1	/dev/null (1 is ours where keep_stdout)
 *	2	a pipe, whose lines we log
 *	3	the control channel
 *
 * Empty environment (but for what sanitizers read, in such builds), default
 * signals, a session of its own (Ctrl-C is for us), SIGKILL when we die.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_CONTROL_FD 3

struct spawned {
	pid_t pid;
	int control; /* our end of the channel, the caller's to close */
	int errors; /* our end of its fd 2, non-blocking; likewise */
};

/*
 * dir/name is executed with name as argv[0]. False with errno if there is no
 * child. A child that cannot execute the program says so on fd 2 and exits
 * with SPAWN_FAILED.
 */
#define SPAWN_FAILED 127
bool spawn_worker(const char *dir, const char *name, bool keep_stdout,
    struct spawned *out);

#endif
