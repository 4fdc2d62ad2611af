/*
 * Landlock: no file system, only this role's TCP ports, no signal and no
 * abstract socket outside. What a kernel has is known by its ABI number. The
 * headers of Debian 12 end at ABI 2, so the later parts are declared here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bsd/string.h>

#include "common/log.h"
#include "common/sandbox.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define ABI_NET         4
#define ABI_SCOPE       6
#define RULESET_VERSION 1U
#define RULE_NET_PORT   2
#define NET_BIND_TCP    (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT  (UINT64_C(1) << 0)
#define SCOPE_SIGNAL    (UINT64_C(1) << 1)
#define FIRST_RIGHTS(n) ((UINT64_C(1) << (n)) - 1)

struct ruleset_attr {
	uint64_t fs;
	uint64_t net; /* ABI_NET */
	uint64_t scoped; /* ABI_SCOPE */
};

struct net_port_attr {
	uint64_t allowed;
	uint64_t port; /* host byte order */
} __attribute__((packed));

/* What each ABI brought. Rights are handled, so that none is left open. */
static const struct abi {
	int least;
	uint64_t fs;
	size_t attr_size;
} abis[] = {
	{ ABI_SCOPE, FIRST_RIGHTS(16), sizeof(struct ruleset_attr) },
	{ 5, FIRST_RIGHTS(16), offsetof(struct ruleset_attr, scoped) },
	{ ABI_NET, FIRST_RIGHTS(15), offsetof(struct ruleset_attr, scoped) },
	{ 3, FIRST_RIGHTS(15), offsetof(struct ruleset_attr, net) },
	{ 2, FIRST_RIGHTS(14), offsetof(struct ruleset_attr, net) },
	{ 1, FIRST_RIGHTS(13), offsetof(struct ruleset_attr, net) },
};

static const struct layer {
	int least;
	uint32_t bit;
	const char *what;
} layers_by_abi[] = {
	{ 1, SANDBOX_LANDLOCK_FS, "Landlock (no file system)" },
	{ ABI_NET, SANDBOX_LANDLOCK_NET, "Landlock's TCP ports" },
	{ ABI_SCOPE, SANDBOX_LANDLOCK_SCOPE,
	    "Landlock's signal and socket scopes" },
};

int
sandbox_landlock_version(void)
{
	long abi;

	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
	return abi < 0 ? 0 : (int)abi;
}

static const struct abi *
abi_of(int version)
{
	const struct abi *a = abis;

	while (version < a->least)
		a++;
	return a;
}

static int
ruleset_new(const struct sandbox *sb, int version)
{
	const struct abi *abi = abi_of(version);
	const struct ruleset_attr attr = {
		.fs = abi->fs,
		.net = NET_BIND_TCP | NET_CONNECT_TCP,
		/* The child is outside. */
		.scoped = SCOPE_ABSTRACT | (sb->child == 0 ? SCOPE_SIGNAL : 0),
	};
	long fd;

	/* The kernel makes it CLOEXEC by itself. */
	fd = syscall(SYS_landlock_create_ruleset, &attr, abi->attr_size, 0);
	if (fd == -1)
		log_warn("Landlock: making a ruleset of ABI %d", version);
	return (int)fd;
}

static bool
allow_ports(int ruleset, int version, const struct sandbox *sb)
{
	if (version < ABI_NET)
		return true;
	for (size_t i = 0; i < sb->nports; i++) {
		struct net_port_attr port = { NET_CONNECT_TCP, sb->ports[i] };

		if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT,
			&port, 0) == 0)
			continue;
		log_warn("Landlock: allowing TCP port %u",
		    (unsigned)sb->ports[i]);
		return false;
	}
	return true;
}

/* Only Landlock gives this error to who may read the folder by its mode. */
static bool
files_are_closed(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return errno == EACCES;
	close(fd);
	return false;
}

static bool
restrict_self(int ruleset)
{
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) == -1) {
		log_warn("Landlock: closing");
		return false;
	}
	if (files_are_closed())
		return true;
	log_warnx("Landlock: closed, but folders can be opened");
	return false;
}

static void
tell_layers(int version, uint32_t *layers, char *missing, size_t cap)
{
	const size_t n = sizeof(layers_by_abi) / sizeof(*layers_by_abi);

	for (size_t i = 0; i < n; i++) {
		const struct layer *l = &layers_by_abi[i];

		if (version >= l->least) {
			*layers |= l->bit;
			continue;
		}
		if (missing[0] != '\0')
			strlcat(missing, ", ", cap);
		strlcat(missing, l->what, cap);
	}
}

bool
sandbox_landlock_abi(const struct sandbox *sb, int version, uint32_t *layers,
    char *missing, size_t cap)
{
	int ruleset;
	bool ok;

	tell_layers(version, layers, missing, cap);
	if (version == 0)
		return true;
	ruleset = ruleset_new(sb, version);
	if (ruleset == -1)
		return false;
	ok = allow_ports(ruleset, version, sb) && restrict_self(ruleset);
	close(ruleset);
	return ok;
}

bool
sandbox_landlock(const struct sandbox *sb, uint32_t *layers, char *missing,
    size_t cap)
{
	return sandbox_landlock_abi(sb, sandbox_landlock_version(), layers,
	    missing, cap);
}
