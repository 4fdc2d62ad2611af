/* katalogd: the supervisor. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/config.h"
#include "supervisor/logsink.h"
#include "supervisor/supervisor.h"

/*
 * A descriptor 0, 1 or 2 that is closed would be given to a socket, and log
 * lines would go there. True if it was 2.
 */
static bool
fill_standard_descriptors(void)
{
	bool no_stderr = fcntl(STDERR_FILENO, F_GETFD) == -1;
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return no_stderr;
}

static struct config *
load(const struct config_input *in)
{
	struct config_report r;
	struct config *c;

	config_report_init(&r);
	c = config_load(in, &r);
	config_report_print(&r, in->argv[0], stderr);
	config_report_free(&r);
	return c;
}

/* What only prints. */
static bool
answer(const struct config *c)
{
	if (c->version)
		printf("katalogd %s\n", PACKAGE_VERSION);
	else if (c->help)
		config_help(c->progname, stdout);
	else if (c->check)
		config_print(c, stdout);
	else
		return false;
	return true;
}

static void
start_log(const struct config *c)
{
	enum log_level level = LOG_LVL_INFO;

	log_level_parse(settings_str(c->settings, OPT_LOG_LEVEL), &level);
	log_init(role_name(ROLE_SUPERVISOR), level);
}

/* A SIGHUP that comes before its handler would end us: it waits. */
static void
hold_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

int
main(int argc, char **argv)
{
	struct config_input in = config_input(argc, argv, environ);
	struct logsink log;
	struct config *c;

	hold_signals();
	logsink_init(&log, fill_standard_descriptors());
	c = load(&in);
	if (c == NULL)
		return EXIT_FAILURE;
	if (answer(c)) {
		config_free(c);
		return EXIT_SUCCESS;
	}
	start_log(c);
	return supervisor_run(&in, c, &log);
}
