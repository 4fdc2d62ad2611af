/*
 * What a worker gives up before it touches untrusted data. DESIGN's order:
 * preload, then limits, chroot, groups and uid, no dump, no new privileges,
 * Landlock, seccomp. One file per mechanism: sandbox_seccomp.c,
 * sandbox_landlock.c, privdrop.c.
 *
 * Fail closed: limits, no_new_privs and seccomp hold or the process ends.
 * Landlock holds as far as the kernel has it; what is missing is told.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/roles.h"

/* The layers, as bits. Told in READY and in /v1/status. */
#define SANDBOX_LIMITS         0x0001
#define SANDBOX_CHROOT         0x0002 /* only when started by root */
#define SANDBOX_UID            0x0004 /* only when started by root */
#define SANDBOX_CAPS           0x0008 /* no capability left, none to gain */
#define SANDBOX_NODUMP         0x0010
#define SANDBOX_NO_NEW_PRIVS   0x0020
#define SANDBOX_LANDLOCK_FS    0x0040
#define SANDBOX_LANDLOCK_NET   0x0080 /* ABI 4: TCP ports */
#define SANDBOX_LANDLOCK_SCOPE 0x0100 /* ABI 6: signals, abstract sockets */
#define SANDBOX_SECCOMP        0x0200
#define SANDBOX_SANITIZER      0x0400 /* the wider profile of sanitizer builds */
#define SANDBOX_LAYERS         11

/* "seccomp", "landlock-net"...; NULL past the last. */
const char *sandbox_layer_name(unsigned bit_number);

#define SANDBOX_PORTS_MAX 8

struct sandbox {
	enum role role;
	/* Ports that this role may connect to by TCP (Landlock). */
	uint16_t ports[SANDBOX_PORTS_MAX];
	size_t nports;
	/*
	 * Sends to name servers over UDP sockets that it already has. Nothing
	 * in the kernel says to which addresses.
	 */
	bool dns;
	/* A missing layer is an error (--sandbox=strict). */
	bool strict;
	/*
	 * No worker: it has no supervisor to die with, and stays the user that
	 * it is, root too (a container's root may not become another).
	 */
	bool standalone;
	/*
	 * A process that it started, and may signal and wait for; 0: none.
	 * Landlock has no word for that one: its signal scope is left out,
	 * and seccomp alone says whom signals may go to.
	 */
	pid_t child;
	/* Started by root: where to chroot (root-owned, empty), and who to be. */
	const char *chroot_dir;
	uid_t uid;
	gid_t gid;
	/* RLIMIT_AS, bytes, 0: no limit; RLIMIT_NOFILE. */
	size_t as_bytes;
	unsigned nofile;
};

/*
 * Closes the sandbox for good. Returns the layers that hold; missing (cap
 * bytes) says in words what the kernel lacks, or is "". Does not return if a
 * layer that must hold does not: the reason is logged, exit status 1.
 */
uint32_t sandbox_enter(const struct sandbox *sb, char *missing, size_t cap);

/*
 * The supervisor's own: drops capabilities but those that it needs to start
 * workers as other users and to read token files, and denies what no part of
 * katalogd ever needs (ptrace, modules, mounts, bpf, io_uring, keyrings...).
 * Its filter is inherited by the workers, which add their own: so it is called
 * before the first one is started. From then on the supervisor can read other
 * users' files but not write them, and connects to another user's unix socket
 * only with that user's fsuid.
 */
uint32_t sandbox_enter_supervisor(char *missing, size_t cap);

/* The parts, for sandbox.c and tests. Each logs why it failed. */
bool sandbox_limits(const struct sandbox *sb);
bool privdrop(const struct sandbox *sb, uint32_t *layers);
bool privdrop_supervisor(uint32_t *layers);
bool sandbox_seccomp(const struct sandbox *sb);
bool sandbox_seccomp_supervisor(void);
/* Adds its bits to *layers; false only for an error that is not "lacking". */
bool sandbox_landlock(const struct sandbox *sb, uint32_t *layers, char *missing,
    size_t cap);
/* Landlock's ABI; 0: the kernel has none, or it is off. */
int sandbox_landlock_version(void);
/* The same as if the kernel had an older ABI. */
bool sandbox_landlock_abi(const struct sandbox *sb, int version,
    uint32_t *layers, char *missing, size_t cap);

#endif
