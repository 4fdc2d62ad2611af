#include "common/sandbox.h"

#include <bsd/string.h>
#include <errno.h>
#include <sys/resource.h>

#include "common/log.h"

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
	struct rlimit rl = { value, value };

	if (setrlimit(resource, &rl) == 0)
		return true;
	log_warn("setting the limit %s to %llu", name,
	    (unsigned long long)value);
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

bool
sandbox_limits(const struct sandbox *sb)
{
	/* NPROC counts processes of the uid and does not hold for uid 0. */
	return limit(RLIMIT_CORE, 0, "CORE") &&
	    limit(RLIMIT_FSIZE, 0, "FSIZE") &&
	    limit(RLIMIT_NPROC, 0, "NPROC") &&
	    limit(RLIMIT_MEMLOCK, 0, "MEMLOCK") &&
	    limit(RLIMIT_MSGQUEUE, 0, "MSGQUEUE") &&
	    limit(RLIMIT_NOFILE, sb->nofile, "NOFILE") &&
	    limit_address_space(sb->as_bytes);
}

static uint32_t
profile_bits(void)
{
#ifdef KATALOGD_SANITIZE
	return SANDBOX_SANITIZER;
#else
	return 0;
#endif
}

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
	uint32_t layers = profile_bits();

	strlcpy(missing, "", cap);
	if (!close_all(sb, &layers, missing, cap))
		fatalx("%s: the sandbox does not close; nothing is started",
		    role_name(sb->role));
	return layers;
}

uint32_t
sandbox_enter_supervisor(char *missing, size_t cap)
{
	uint32_t layers = profile_bits();

	strlcpy(missing, "", cap);
	if (!privdrop_supervisor(&layers) || !sandbox_seccomp_supervisor())
		fatalx("the supervisor's own sandbox does not close; "
		       "nothing is started");
	return layers | SANDBOX_SECCOMP;
}
