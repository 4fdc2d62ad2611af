#include "sidecar/child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

/* What is handled or ignored here starts over in the program. */
static int
spawn(pid_t *pid, char *const argv[])
{
	posix_spawnattr_t attr;
	sigset_t ours;
	int error;

	sigfillset(&ours);
	error = posix_spawnattr_init(&attr);
	if (error != 0)
		return error;
	posix_spawnattr_setsigdefault(&attr, &ours);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	error = posix_spawnp(pid, argv[0], NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return error;
}

bool
child_start(struct child *c, char *const argv[])
{
	int error = spawn(&c->pid, argv);

	if (error == 0)
		return true;
	*c = (struct child){ 0 };
	errno = error;
	return false;
}

void
child_signal(const struct child *c, int sig)
{
	if (c->pid == 0 || c->ended)
		return;
	if (kill(c->pid, sig) == -1)
		log_warn("signal %d to the program, process %d", sig,
		    (int)c->pid);
}

static int
shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

bool
child_reap(struct child *c)
{
	bool ours = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != c->pid)
			continue;
		c->ended = ours = true;
		c->status = shell_status(status);
	}
	return ours;
}
