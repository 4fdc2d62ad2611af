#include "supervisor/rundir.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

/* The folders above are the system's and must be there. */
static bool
make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return true;
	if (errno != EEXIST || stat(path, &st) == -1)
		return false;
	if (S_ISDIR(st.st_mode))
		return true;
	errno = ENOTDIR;
	return false;
}

/* A chroot that others can write to would be theirs to fill. */
static bool
only_roots(const char *path, mode_t mode)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return false;
	if (S_ISDIR(st.st_mode) && st.st_uid == 0 &&
	    (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return chmod(path, mode) == 0;
	errno = EPERM;
	return false;
}

static bool
make_roots(const char *path, mode_t mode)
{
	if (make_dir(path, mode) && only_roots(path, mode))
		return true;
	log_warn("runtime-dir: %s is to be a folder that only root can write "
		 "to: cannot make it so",
	    path);
	return false;
}

bool
rundir_make(const char *dir)
{
	char empty[PATH_MAX];
	int n = snprintf(empty, sizeof(empty), "%s/" RUNDIR_EMPTY, dir);

	if (geteuid() != 0)
		return true;
	if (n < 0 || (size_t)n >= sizeof(empty)) {
		log_warnx("runtime-dir %s: too long", dir);
		return false;
	}
	return make_roots(dir, 0755) && make_roots(empty, 0555);
}

bool
rundir_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	if (slash == NULL || slash == path)
		return true;
	if ((size_t)(slash - path) >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	return make_dir(dir, 0755);
}
