/*
 * Root, capabilities and all that could bring them back. Raw capset(2), so
 * that no program of ours links libcap.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"

/* Later kernels may have more than linux/capability.h knows. */
#define CAP_NUMBERS   64
#define CAP_MASK(cap) (UINT64_C(1) << (cap))

/* What the supervisor does with each: ARCHITECTURE.md has the same table. */
static const unsigned supervisor_caps[] = {
	CAP_SETUID, /* workers run as users of their own */
	CAP_SETGID, /* and groups */
	CAP_SETPCAP, /* workers empty their bounding set */
	CAP_SYS_CHROOT, /* workers move into the empty folder */
	CAP_KILL, /* workers have other uids; PR_SET_PDEATHSIG asks too */
	CAP_DAC_READ_SEARCH, /* tokens and keys of other users */
	CAP_NET_BIND_SERVICE, /* metrics-bind-address below 1024 */
};

struct caps {
	uint64_t effective, permitted, inheritable;
};

static bool
caps_get(struct caps *caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
		0 };
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, d) == -1) {
		log_warn("reading the capabilities");
		return false;
	}
	caps->effective = d[0].effective | (uint64_t)d[1].effective << 32;
	caps->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	caps->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	return true;
}

/* Leaves exactly keep, as effective and permitted; nothing to inherit. */
static bool
caps_set(uint64_t keep)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
		0 };
	uint32_t low = (uint32_t)keep, high = (uint32_t)(keep >> 32);
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = low, .permitted = low },
		{ .effective = high, .permitted = high },
	};
	struct caps now;

	if (syscall(SYS_capset, &head, d) == -1) {
		log_warn("dropping the capabilities");
		return false;
	}
	if (!caps_get(&now))
		return false;
	if (now.effective == keep && now.permitted == keep &&
	    now.inheritable == 0)
		return true;
	log_warnx("dropping the capabilities: some are still there");
	return false;
}

/*
 * Without CAP_SETPCAP the bounding set stays. That gives nothing back:
 * PR_SET_NO_NEW_PRIVS comes before anything could be executed.
 */
static bool
bounding_set_keep(uint64_t keep)
{
	for (unsigned cap = 0; cap < CAP_NUMBERS; cap++) {
		int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (there == -1)
			break;
		if (there == 0 || (keep & CAP_MASK(cap)) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EPERM)
			break;
		log_warn("dropping capability %u from the bounding set", cap);
		return false;
	}
	return true;
}

static bool
ambient_clear(void)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0)
		return true;
	log_warn("clearing the ambient capabilities");
	return false;
}

static bool
dir_is_empty(int fd)
{
	/* fdopendir() takes its descriptor over. */
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *dir = copy == -1 ? NULL : fdopendir(copy);
	const struct dirent *e;
	bool empty = true;

	if (dir == NULL) {
		if (copy != -1)
			close(copy);
		return false;
	}
	while ((e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			empty = false;
	closedir(dir);
	return empty;
}

/* NULL, or why nobody should be locked up in there. */
static const char *
jail_fault(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return strerror(errno);
	if (st.st_uid != 0)
		return "not owned by root";
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "writable by others than root";
	return dir_is_empty(fd) ? NULL : "not empty";
}

static bool
root_is(int fd)
{
	struct stat root, dir;

	return stat("/", &root) == 0 && fstat(fd, &dir) == 0 &&
	    root.st_dev == dir.st_dev && root.st_ino == dir.st_ino;
}

static bool
jail_enter(int fd, const char *path)
{
	const char *fault = jail_fault(fd);

	if (fault != NULL) {
		log_warnx("chroot to %s: %s", path, fault);
		return false;
	}
	if (fchdir(fd) == -1 || chroot(".") == -1 || chdir("/") == -1) {
		log_warn("chroot to %s", path);
		return false;
	}
	if (root_is(fd))
		return true;
	log_warnx("chroot to %s: the root is still another", path);
	return false;
}

static bool
jail(const char *path)
{
	int fd;
	bool ok;

	if (path == NULL) {
		log_warnx("chroot: no folder was given");
		return false;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1) {
		log_warn("opening %s, to chroot to it", path);
		return false;
	}
	ok = jail_enter(fd, path);
	close(fd);
	return ok;
}

static bool
ids_are(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	return getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid &&
	    getresgid(&rg, &eg, &sg) == 0 && rg == gid && eg == gid &&
	    sg == gid && getgroups(0, NULL) == 0;
}

/* Root must stay out of reach even for who asks for it. */
static bool
root_can_return(void)
{
	const uid_t keep = (uid_t)-1;

	return setresuid(keep, 0, keep) == 0 || setresuid(0, 0, 0) == 0;
}

static bool
groups_can_return(void)
{
	const gid_t keep = (gid_t)-1;

	return setresgid(keep, 0, keep) == 0 || setgroups(0, NULL) == 0;
}

static bool
become(uid_t uid, gid_t gid)
{
	if (uid == 0 || gid == 0) {
		log_warnx("uid %u, gid %u: a worker must not be root",
		    (unsigned)uid, (unsigned)gid);
		return false;
	}
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1) {
		log_warn("changing to uid %u, gid %u", (unsigned)uid,
		    (unsigned)gid);
		return false;
	}
	if (ids_are(uid, gid))
		return true;
	log_warnx("changing to uid %u, gid %u: not all ids changed",
	    (unsigned)uid, (unsigned)gid);
	return false;
}

static bool
leave_root(const struct sandbox *sb, uint32_t *layers)
{
	if (!jail(sb->chroot_dir) || !bounding_set_keep(0) ||
	    !become(sb->uid, sb->gid))
		return false;
	if (groups_can_return()) {
		log_warnx("the groups of root can be regained");
		return false;
	}
	*layers |= SANDBOX_CHROOT | SANDBOX_UID;
	return true;
}

static bool
drop_caps(uint64_t keep)
{
	if (!bounding_set_keep(keep) || !ambient_clear() || !caps_set(keep))
		return false;
	/* Who is root still is not kept from becoming it. */
	if (geteuid() == 0 || !root_can_return())
		return true;
	log_warnx("root can be regained");
	return false;
}

/*
 * A child of root's may have become somebody else since, and is to be
 * signalled all the same.
 */
static bool
drop_most_caps(const struct sandbox *sb, uint32_t *layers)
{
	uint64_t keep = sb->child != 0 ? CAP_MASK(CAP_KILL) : 0;
	struct caps now;

	if (!caps_get(&now) || !drop_caps(keep & now.permitted))
		return false;
	if ((keep & now.permitted) == 0)
		*layers |= SANDBOX_CAPS;
	return true;
}

static bool
no_dump(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
		return true;
	log_warn("forbidding core dumps and tracers");
	return false;
}

static bool
no_new_privs(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return true;
	log_warn("forbidding new privileges");
	return false;
}

static bool
no_dump_no_new_privs(uint32_t *layers)
{
	if (!no_dump() || !no_new_privs())
		return false;
	*layers |= SANDBOX_NODUMP | SANDBOX_NO_NEW_PRIVS;
	return true;
}

/*
 * A change of uid clears the signal, so it is set after that. A parent that
 * died before this function began is seen as EOF on the control channel.
 */
static bool
die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1) {
		log_warn("asking to die with the supervisor");
		return false;
	}
	if (getppid() == parent)
		return true;
	log_warnx("the supervisor is gone");
	return false;
}

bool
privdrop(const struct sandbox *sb, uint32_t *layers)
{
	pid_t parent = getppid();

	if (geteuid() == 0 && !sb->standalone && !leave_root(sb, layers))
		return false;
	return drop_most_caps(sb, layers) && no_dump_no_new_privs(layers) &&
	    (sb->standalone || die_with_parent(parent));
}

bool
privdrop_supervisor(uint32_t *layers)
{
	const size_t n = sizeof(supervisor_caps) / sizeof(*supervisor_caps);
	uint64_t keep = 0;
	struct caps now;

	for (size_t i = 0; i < n; i++)
		keep |= CAP_MASK(supervisor_caps[i]);
	if (!caps_get(&now))
		return false;
	keep &= now.permitted;
	if (!bounding_set_keep(keep) || !ambient_clear() || !caps_set(keep))
		return false;
	*layers |= SANDBOX_CAPS;
	return no_dump_no_new_privs(layers);
}
