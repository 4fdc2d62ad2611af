#include "supervisor/unix_connect.h"

#include <bsd/string.h>
#include <errno.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int
connect_to(int fd, const struct sockaddr_un *sun)
{
	return connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
}

static int
connect_as_owner(int fd, const struct sockaddr_un *sun)
{
	struct stat st;
	int result, saved;

	if (stat(sun->sun_path, &st) == -1)
		return -1;
	setfsuid(st.st_uid);
	result = connect_to(fd, sun);
	saved = errno;
	setfsuid(geteuid());
	errno = saved;
	return result;
}

int
unix_connect(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, result, saved;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	result = connect_to(fd, &sun);
	if (result == -1 && errno == EACCES && geteuid() == 0)
		result = connect_as_owner(fd, &sun);
	if (result == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}
