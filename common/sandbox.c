#include "common/sandbox.h"

#include <bsd/string.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#ifdef KATALOGD_SANITIZE
#include <sanitizer/lsan_interface.h>
#endif

static const char *const layer_names[SANDBOX_LAYERS] = {
	"limits",
	"chroot",
	"uid",
	"capabilities",
	"no-dump",
	"no-new-privs",
	"landlock-fs",
	"landlock-net",
	"landlock-scope",
	"seccomp",
	"sanitizer-profile",
};

const char *
sandbox_layer_name(unsigned bit_number)
{
	return bit_number < SANDBOX_LAYERS ? layer_names[bit_number] : NULL;
}

static bool
limit(int resource, rlim_t value, const char *name)
{
	const struct rlimit rl = { value, value };
	struct rlimit now;

	if (setrlimit(resource, &rl) == -1) {
		log_warn("setting the limit %s to %llu", name,
		    (unsigned long long)value);
		return false;
	}
	now = (struct rlimit){ ~value, ~value };
	if (getrlimit(resource, &now) == 0 && now.rlim_cur == value &&
	    now.rlim_max == value)
		return true;
	log_warnx("setting the limit %s: it does not hold", name);
	return false;
}

/* The shadow memory of ASan alone takes 16 TiB of address space. */
static bool
limit_address_space(size_t bytes)
{
#ifdef KATALOGD_SANITIZE
	(void)bytes;
	return true;
#else
	return bytes == 0 || limit(RLIMIT_AS, bytes, "AS");
#endif
}

static bool
is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/*
 * A dry run prints to where its user sends it, a file perhaps, and a sidecar
 * logs there. All other workers hold no file that could grow.
 */
static bool
limit_files(void)
{
	return is_file(STDOUT_FILENO) || is_file(STDERR_FILENO) ||
	    limit(RLIMIT_FSIZE, 0, "FSIZE");
}

bool
sandbox_limits(const struct sandbox *sb)
{
	/* NPROC counts processes of the uid and does not hold for uid 0. */
	return limit(RLIMIT_CORE, 0, "CORE") && limit_files() &&
	    limit(RLIMIT_NPROC, 0, "NPROC") &&
	    limit(RLIMIT_MEMLOCK, 0, "MEMLOCK") &&
	    limit(RLIMIT_MSGQUEUE, 0, "MSGQUEUE") &&
	    limit(RLIMIT_NOFILE, sb->nofile, "NOFILE") &&
	    limit_address_space(sb->as_bytes);
}

#ifdef KATALOGD_SANITIZE
static int worker_closed;

/*
 * Leak detection, at a process's end, traces it and reads /proc: all that a
 * closed sandbox forbids. The supervisor and the unit tests have it.
 */
int
__lsan_is_turned_off(void)
{
	return worker_closed;
}

static uint32_t
sanitizer_profile(int worker)
{
	worker_closed = worker;
	return SANDBOX_SANITIZER;
}
#else
static uint32_t
sanitizer_profile(int worker)
{
	(void)worker;
	return 0;
}
#endif

static bool
close_all(const struct sandbox *sb, uint32_t *layers, char *missing, size_t cap)
{
	if (!sandbox_limits(sb))
		return false;
	*layers |= SANDBOX_LIMITS;
	if (!privdrop(sb, layers) ||
	    !sandbox_landlock(sb, layers, missing, cap))
		return false;
	if (sb->strict && missing[0] != '\0') {
		log_warnx("sandbox = strict, but the kernel lacks %s", missing);
		return false;
	}
	if (!sandbox_seccomp(sb))
		return false;
	*layers |= SANDBOX_SECCOMP;
	return true;
}

uint32_t
sandbox_enter(const struct sandbox *sb, char *missing, size_t cap)
{
	uint32_t layers = sanitizer_profile(1);

	strlcpy(missing, "", cap);
	if (!close_all(sb, &layers, missing, cap))
		fatalx("%s: the sandbox does not close; nothing is started",
		    role_name(sb->role));
	return layers;
}

uint32_t
sandbox_enter_supervisor(char *missing, size_t cap)
{
	uint32_t layers = sanitizer_profile(0);

	strlcpy(missing, "", cap);
	if (!privdrop_supervisor(&layers) || !sandbox_seccomp_supervisor())
		fatalx("the supervisor's own sandbox does not close; "
		       "nothing is started");
	return layers | SANDBOX_SECCOMP;
}
