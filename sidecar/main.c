/* katalog-sidecar: registers its pod with the daemon of its node. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/roles.h"
#include "sidecar/sidecar.h"

/* Closed ones would be given to sockets, and log lines would go there. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	static struct sidecar_config c;

	(void)argc;
	fill_standard_descriptors();
	log_init(role_name(ROLE_SIDECAR), LOG_LVL_INFO);
	if (!sidecar_config(&c, argv, environ))
		return EXIT_FAILURE;
	if (c.version)
		printf("katalog-sidecar %s\n", PACKAGE_VERSION);
	if (c.help)
		sidecar_help(stdout);
	if (c.version || c.help)
		return EXIT_SUCCESS;
	log_set_level(c.log_level);
	return sidecar_run(&c);
}
