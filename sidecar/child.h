/*
 * The program that --exec wraps: started, signalled, and waited for. As the
 * first process of a container we are also the parent of all orphans, and
 * reap those, too.
 */
#ifndef SIDECAR_CHILD_H
#define SIDECAR_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: there never was one */
	bool ended;
	int status; /* as a shell has it: 0..127, 128 + signal */
};

/* What a shell exits with when a program is not there, or can't be run. */
#define CHILD_NOT_FOUND 127
#define CHILD_NOT_RUN   126

/*
 * With our environment and the descriptors that are not CLOEXEC; no signal is
 * ignored. False: it can't be started, errno says why.
 */
bool child_start(struct child *c, char *const argv[]);
/* Does nothing once it has ended: its pid may be another's by then. */
void child_signal(const struct child *c, int sig);
/* After SIGCHLD. True if the program itself has just ended. */
bool child_reap(struct child *c);

#endif
