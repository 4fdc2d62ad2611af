#include "supervisor/spawn.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/channel.h"

/* Descriptors are moved here first, so that none is in another's place. */
#define FD_ABOVE 10

struct child {
	const char *path;
	const char *name;
	bool keep_stdout;
	int control;
	int errors;
	pid_t parent;
};

static _Noreturn void
give_up(const char *what, const char *on)
{
	dprintf(STDERR_FILENO, "%s %s: %s\n", what, on, strerror(errno));
	_exit(SPAWN_FAILED);
}

/* A duplicate that stays open across exec. */
static void
place(int from, int to)
{
	if (dup2(from, to) == -1)
		give_up("descriptor", "of the worker");
}

static void
place_descriptors(const struct child *c)
{
	int control = fcntl(c->control, F_DUPFD, FD_ABOVE);
	int errors = fcntl(c->errors, F_DUPFD, FD_ABOVE);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (control == -1 || errors == -1 || null == -1)
		give_up("open", "/dev/null");
	place(null, STDIN_FILENO);
	if (!c->keep_stdout)
		place(null, STDOUT_FILENO);
	place(errors, STDERR_FILENO);
	place(control, SPAWN_CONTROL_FD);
	closefrom(SPAWN_CONTROL_FD + 1);
}

/* What is ignored or blocked would be so in the new program too. */
static void
default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static char **
environment(void)
{
	static char *env[5];
#ifdef KATALOGD_SANITIZE
	static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS",
		"LSAN_OPTIONS", "ASAN_SYMBOLIZER_PATH" };
	static char texts[sizeof(names) / sizeof(*names)][PATH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *v = getenv(names[i]);

		if (v == NULL)
			continue;
		snprintf(texts[n], sizeof(texts[n]), "%s=%s", names[i], v);
		env[n] = texts[n];
		n++;
	}
#endif
	return env;
}

static _Noreturn void
run(const struct child *c)
{
	char name[NAME_MAX + 1];
	char *argv[] = { name, NULL };

	place_descriptors(c);
	default_signals();
	setsid();
	/* We may be dead already: then nobody would send the signal. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 ||
	    getppid() != c->parent)
		_exit(SPAWN_FAILED);
	snprintf(name, sizeof(name), "%s", c->name);
	execve(c->path, argv, environment());
	give_up("cannot start", c->path);
}

static void
close_pair(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* No handler of ours may run in the child before its signals are reset. */
static pid_t
fork_child(struct child *c)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	c->parent = getpid();
	pid = fork();
	if (pid == 0)
		run(c);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

bool
spawn_worker(const char *dir, const char *name, bool keep_stdout,
    struct spawned *out)
{
	struct child c = { .name = name, .keep_stdout = keep_stdout };
	char path[PATH_MAX];
	int control[2], errors[2], saved;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	if (!channel_pair(control))
		return false;
	if (pipe2(errors, O_CLOEXEC) == -1) {
		close_pair(control);
		return false;
	}
	fcntl(errors[0], F_SETFL, O_NONBLOCK);
	c.path = path;
	c.control = control[1];
	c.errors = errors[1];
	out->pid = fork_child(&c);
	saved = errno;
	close(control[1]);
	close(errors[1]);
	out->control = control[0];
	out->errors = errors[0];
	if (out->pid != -1)
		return true;
	close(control[0]);
	close(errors[0]);
	errno = saved;
	return false;
}
