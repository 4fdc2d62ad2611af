/*
 * Which system calls there are, as tables of names: what a name means on this
 * machine is resolved at run time, and a name that the machine or the
 * installed libseccomp does not know is left out.
 *
 * A worker loads two filters, of which the kernel takes the stricter answer:
 *
 *	deadly: what nothing of ours ever does ends the process.
 *	narrow: calls that libraries need only for a part of what they can do
 *	are refused with EPERM for the rest of it, because libraries probe.
 *
 * The supervisor's filter is inherited by the workers. It lists what is
 * allowed; all else is ENOSYS, not death: the C library falls back when a
 * call is unknown, and a library's update must not stop the service.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/*
 * What an argument must be. The kernel looks at the lower half of a register
 * that holds an int, so that half is compared.
 */
#define BITS(n, mask, value) \
	{ \
		(n), SCMP_CMP_MASKED_EQ, (mask), (value) \
	}
#define IS(n, value)     BITS(n, UINT32_MAX, (uint32_t)(value))
#define NONE_OF(n, mask) BITS(n, (uint32_t)(mask), 0)
#define ALL_OF(n, mask)  BITS(n, (uint32_t)(mask), (uint32_t)(mask))
#define IS_NULL(n) \
	{ \
		(n), SCMP_CMP_EQ, 0, 0 \
	}
#define CONDITIONS_MAX 3

/* Allowed if all conditions hold. Several entries of a call: any of them. */
struct guard {
	const char *call;
	unsigned n;
	struct scmp_arg_cmp when[CONDITIONS_MAX];
};

struct refusal {
	const char *call;
	int error;
};

/* What one part of katalogd needs. Lists end with NULL; NULL: an empty one. */
struct needs {
	const char *const *calls;
	const struct guard *deadly; /* the rest ends the process */
	const struct guard *narrow; /* the rest is EPERM */
	const struct refusal *refused;
};

/*
 * Every process. Measured with curl, OpenSSL, json-c, libevent and evdns, and
 * what the C library takes in their place on other machines.
 */
static const char *const every_call[] = {
	/* descriptors that are there already */
	"read", "readv", "write", "writev", "pread64", "lseek", "close",
	"fstat", "dup", "pipe2", "eventfd2",
	/* waiting and time */
	"poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1",
	"epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
	"timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep",
	"clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday",
	"time", "restart_syscall",
	/* memory */
	"brk", "munmap", "mremap", "madvise", "futex",
	/* signals of one's own */
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
	/* who and where one is */
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
	"getresuid", "getresgid", "getrusage", "getrlimit", "uname", "sysinfo",
	"sched_getaffinity", "sched_yield", "getcpu", "getrandom",
	/* sockets that are there already */
	"recvfrom", "recvmsg", "getsockname", "getpeername", "shutdown",
	/* the end */
	"exit", "exit_group", NULL
};

/*
 * MSG_FASTOPEN connects by the way, and past Landlock; so does sendto(2) with
 * an address on sockets that are not connected.
 */
static const struct guard worker_deadly[] = {
	{ "mmap", 1, { NONE_OF(2, PROT_EXEC) } },
	{ "mprotect", 1, { NONE_OF(2, PROT_EXEC) } },
	{ "sendmsg", 1, { NONE_OF(2, MSG_FASTOPEN) } },
	{ 0 },
};

static const struct guard worker_narrow[] = {
	{ "ioctl", 1, { IS(1, FIONBIO) } },
	{ "ioctl", 1, { IS(1, FIONREAD) } },
	{ "fcntl", 1, { IS(1, F_GETFL) } },
	{ "fcntl", 1, { IS(1, F_SETFL) } },
	{ "fcntl", 1, { IS(1, F_GETFD) } },
	{ "fcntl", 1, { IS(1, F_SETFD) } },
	{ "fcntl", 1, { IS(1, F_DUPFD_CLOEXEC) } },
	{ "fcntl", 1, { IS(1, F_GET_SEALS) } },
	{ "prctl", 1, { IS(0, PR_SET_NAME) } },
	{ "getsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_ERROR) } },
	{ "getsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_TYPE) } },
	{ "getsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_SNDBUF) } },
	{ "getsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_RCVBUF) } },
	{ "getsockopt", 2, { IS(1, IPPROTO_TCP), IS(2, TCP_INFO) } },
	{ "setsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_KEEPALIVE) } },
	{ "setsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_LINGER) } },
	{ "setsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_SNDBUF) } },
	{ "setsockopt", 2, { IS(1, SOL_SOCKET), IS(2, SO_RCVBUF) } },
	{ "setsockopt", 2, { IS(1, IPPROTO_TCP), IS(2, TCP_NODELAY) } },
	{ "setsockopt", 2, { IS(1, IPPROTO_TCP), IS(2, TCP_KEEPIDLE) } },
	{ "setsockopt", 2, { IS(1, IPPROTO_TCP), IS(2, TCP_KEEPINTVL) } },
	{ "setsockopt", 2, { IS(1, IPPROTO_TCP), IS(2, TCP_KEEPCNT) } },
	{ "setsockopt", 2, { IS(1, IPPROTO_TCP), IS(2, TCP_USER_TIMEOUT) } },
	/* One's own limits, and only to read them. */
	{ "prlimit64", 2, { IS(0, 0), IS_NULL(2) } },
	/* fstat(3) of the C library; a path is possible, its content is not. */
	{ "newfstatat", 1, { IS(3, AT_EMPTY_PATH) } },
	{ 0 },
};

/* Libraries look for files and start-up features; they take no for an answer. */
static const struct refusal worker_refused[] = {
	{ "open", EACCES },
	{ "openat", EACCES },
	{ "openat2", EACCES },
	{ "stat", EACCES },
	{ "lstat", EACCES },
	{ "statx", EACCES },
	{ "access", EACCES },
	{ "faccessat", EACCES },
	{ "faccessat2", EACCES },
	{ "readlink", EACCES },
	{ "readlinkat", EACCES },
	{ "getcwd", EACCES },
	{ "statfs", EACCES },
	{ "socketpair", EACCES },
	{ "memfd_create", EACCES },
	{ "clone3", ENOSYS }, /* then clone, whose flags can be seen */
	{ "rseq", ENOSYS },
	{ "membarrier", ENOSYS },
	{ "futex_waitv", ENOSYS },
	{ 0 },
};

static const struct needs worker_needs = {
	every_call,
	worker_deadly,
	worker_narrow,
	worker_refused,
};

/*
 * MPTCP and SCTP are streams too, and no business of Landlock's TCP ports: so
 * the protocol must be TCP's.
 */
#define STREAM BITS(1, (uint32_t) ~(SOCK_CLOEXEC | SOCK_NONBLOCK), SOCK_STREAM)

static const char *const client_calls[] = { "connect", NULL };
static const struct guard client_narrow[] = {
	{ "socket", 3, { IS(0, AF_INET), STREAM, IS(2, 0) } },
	{ "socket", 3, { IS(0, AF_INET), STREAM, IS(2, IPPROTO_TCP) } },
	{ "socket", 3, { IS(0, AF_INET6), STREAM, IS(2, 0) } },
	{ "socket", 3, { IS(0, AF_INET6), STREAM, IS(2, IPPROTO_TCP) } },
	{ 0 },
};
static const struct needs client = {
	.calls = client_calls,
	.narrow = client_narrow,
};

static const char *const server_calls[] = { "accept", "accept4", NULL };
static const struct refusal no_sockets[] = { { "socket", EACCES }, { 0 } };
static const struct needs server = {
	.calls = server_calls,
	.refused = no_sockets,
};

/* A server, too, on a socket that it has: the kubelet asks for /ready. */
static const char *const sidecar_calls[] = { "connect", "accept", "accept4",
	NULL };
static const struct needs sidecar = {
	.calls = sidecar_calls,
	.narrow = client_narrow,
};

/* Reads bytes that it was given, and answers. */
static const struct needs alone = { .refused = no_sockets };

static const struct needs *const role_needs[ROLE_MAX] = {
	[ROLE_KUBELET_READER] = &client,
	[ROLE_CONSUL_WRITER] = &client,
	[ROLE_CONSUL_READER] = &client,
	[ROLE_K8S_WRITER] = &client,
	[ROLE_HTTP] = &server,
	[ROLE_KUBECONFIG] = &alone,
	[ROLE_SIDECAR] = &sidecar,
};

/* evdns sends to the addresses of name servers from sockets it already has. */
static const struct guard send_anywhere[] = {
	{ "sendto", 1, { NONE_OF(3, MSG_FASTOPEN) } },
	{ 0 },
};
static const struct guard send_connected[] = {
	{ "sendto", 2, { NONE_OF(3, MSG_FASTOPEN), IS_NULL(4) } },
	{ 0 },
};
static const struct needs dns_needs = { .deadly = send_anywhere };
static const struct needs no_dns_needs = { .deadly = send_connected };

/* Signals to it: see signal_rules(). */
static const char *const parent_calls[] = { "wait4", "waitid", NULL };
static const struct needs parent_needs = { .calls = parent_calls };
static const struct needs no_child_needs = { 0 };

/*
 * The sanitizers' profile: their signal stack, their questions about
 * themselves at a report. Leak detection traces the process from a thread of
 * its own and reads /proc, which is all that the sandbox forbids: workers go
 * without (sandbox.c), the supervisor has it.
 */
#ifdef KATALOGD_SANITIZE
static const char *const sanitizer_calls[] = { "sigaltstack", "mincore",
	"msync", NULL };
static const char *const sanitizer_supervisor_calls[] = { "ptrace",
	"personality", "getdents", NULL };
#else
static const char *const sanitizer_calls[] = { NULL };
static const char *const sanitizer_supervisor_calls[] = { NULL };
#endif
static const struct needs sanitizer = { .calls = sanitizer_calls };

/*
 * The supervisor, and the workers until they close their own sandbox: the
 * dynamic linker, libraries that start, the sandbox calls themselves.
 */
static const char *const supervisor_calls[] = {
	/* files and folders */
	"open", "openat", "stat", "lstat", "newfstatat", "statx", "statfs",
	"fstatfs", "access", "faccessat", "faccessat2", "readlink",
	"readlinkat", "getdents64", "getcwd", "chdir", "fchdir", "mkdir",
	"mkdirat", "unlink", "unlinkat", "chmod", "fchmod", "fchmodat", "umask",
	"fcntl", "dup2", "dup3", "pipe", "sendfile", "fadvise64",
	"memfd_create", "close_range",
	/* sockets */
	"socketpair", "bind", "listen", "accept", "accept4", "connect",
	"sendto", "sendmsg", "sendmmsg", "recvmmsg", "setsockopt", "getsockopt",
	/* processes and their signals */
	"fork", "vfork", "execve", "wait4", "waitid", "kill", "tgkill",
	"rt_sigsuspend", "rt_sigpending", "sigaltstack", "signalfd4", "getpgid",
	"getpgrp", "getsid", "setsid",
	/* the start of a program */
	"mmap", "mprotect", "mincore", "msync", "arch_prctl", "set_tid_address",
	"set_robust_list", "rseq", "membarrier", "getpriority",
	"sched_getparam", "sched_getscheduler",
	/* closing sandboxes */
	"prctl", "seccomp", "landlock_create_ruleset", "landlock_add_rule",
	"landlock_restrict_self", "capget", "capset", "chroot", "setgroups",
	"getgroups", "setresuid", "setresgid", "setfsuid", "prlimit64",
	"setrlimit", NULL
};

#define NEW_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static const struct guard supervisor_guards[] = {
	{ "clone", 1, { NONE_OF(0, NEW_NAMESPACES) } },
	{ "socket", 1, { IS(0, AF_UNIX) } },
	{ "socket", 1, { IS(0, AF_INET) } },
	{ "socket", 1, { IS(0, AF_INET6) } },
	/* Not those that type into the terminal it was started from. */
	{ "ioctl", 1, { IS(1, FIONBIO) } },
	{ "ioctl", 1, { IS(1, FIONREAD) } },
	{ "ioctl", 1, { IS(1, FIOCLEX) } },
	{ "ioctl", 1, { IS(1, TCGETS) } },
	{ "ioctl", 1, { IS(1, TIOCGWINSZ) } },
	{ 0 },
};

/*
 * Calls that are newer than libseccomp do not exist for a worker, so that a
 * newer C library falls back. Since 424 the numbers are the same everywhere.
 */
#define UNIFIED_FIRST 424
#define UNIFIED_LAST  511

static bool
add(scmp_filter_ctx ctx, uint32_t action, int nr, unsigned n,
    const struct scmp_arg_cmp *when)
{
	int error = seccomp_rule_add_array(ctx, action, nr, n, when);

	if (error == 0)
		return true;
	errno = -error;
	log_warn("seccomp: adding a rule for call %d", nr);
	return false;
}

static bool
add_named(scmp_filter_ctx ctx, uint32_t action, const char *call, unsigned n,
    const struct scmp_arg_cmp *when)
{
	int nr = seccomp_syscall_resolve_name(call);

	if (nr != __NR_SCMP_ERROR)
		return add(ctx, action, nr, n, when);
	log_debug("seccomp: libseccomp does not know %s", call);
	return true;
}

static bool
allow_calls(scmp_filter_ctx ctx, const char *const *calls)
{
	for (; calls != NULL && *calls != NULL; calls++)
		if (!add_named(ctx, SCMP_ACT_ALLOW, *calls, 0, NULL))
			return false;
	return true;
}

static bool
allow_guarded(scmp_filter_ctx ctx, const struct guard *g)
{
	for (; g != NULL && g->call != NULL; g++)
		if (!add_named(ctx, SCMP_ACT_ALLOW, g->call, g->n, g->when))
			return false;
	return true;
}

/* The same calls with any arguments: the other filter looks at those. */
static bool
allow_unguarded(scmp_filter_ctx ctx, const struct guard *g)
{
	const char *last = "";

	for (; g != NULL && g->call != NULL; last = g->call, g++)
		if (strcmp(g->call, last) != 0 &&
		    !add_named(ctx, SCMP_ACT_ALLOW, g->call, 0, NULL))
			return false;
	return true;
}

static bool
refuse(scmp_filter_ctx ctx, const struct refusal *r)
{
	for (; r != NULL && r->call != NULL; r++)
		if (!add_named(ctx, SCMP_ACT_ERRNO(r->error), r->call, 0, NULL))
			return false;
	return true;
}

static bool
refuse_unknown(scmp_filter_ctx ctx)
{
	for (int nr = UNIFIED_FIRST; nr <= UNIFIED_LAST; nr++) {
		char *name =
		    seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

		if (name == NULL &&
		    !add(ctx, SCMP_ACT_ERRNO(ENOSYS), nr, 0, NULL))
			return false;
		free(name);
	}
	return true;
}

/* abort() signals itself. */
static bool
signal_rules(scmp_filter_ctx ctx, pid_t child)
{
	const struct scmp_arg_cmp self = IS(0, getpid());
	const struct scmp_arg_cmp to_child = IS(0, child);

	return add_named(ctx, SCMP_ACT_ALLOW, "kill", 1, &self) &&
	    add_named(ctx, SCMP_ACT_ALLOW, "tgkill", 1, &self) &&
	    (child == 0 ||
		add_named(ctx, SCMP_ACT_ALLOW, "kill", 1, &to_child));
}

/*
 * A thread is what a library may want: it gets an error. A process is what
 * only an intruder wants.
 */
static bool
thread_rules(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp thread = ALL_OF(0, CLONE_THREAD);

	return add_named(ctx, SCMP_ACT_ERRNO(EAGAIN), "clone", 1, &thread);
}

static bool
deadly_rules(scmp_filter_ctx ctx, const struct needs *const *needs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!allow_calls(ctx, needs[i]->calls) ||
		    !allow_guarded(ctx, needs[i]->deadly) ||
		    !allow_unguarded(ctx, needs[i]->narrow) ||
		    !refuse(ctx, needs[i]->refused))
			return false;
	return thread_rules(ctx) && refuse_unknown(ctx);
}

static bool
narrow_rules(scmp_filter_ctx ctx, const struct needs *const *needs, size_t n)
{
	static const char *const rest[] = { "kill", "tgkill", NULL };
	/* The deadly filter is loaded after this one. */
	static const char *const loading[] = { "seccomp", NULL };

	for (size_t i = 0; i < n; i++)
		if (!allow_calls(ctx, needs[i]->calls) ||
		    !allow_unguarded(ctx, needs[i]->deadly) ||
		    !allow_guarded(ctx, needs[i]->narrow))
			return false;
	return allow_calls(ctx, rest) && allow_calls(ctx, loading);
}

static bool
supervisor_rules(scmp_filter_ctx ctx)
{
	return allow_calls(ctx, every_call) &&
	    allow_calls(ctx, supervisor_calls) &&
	    allow_calls(ctx, sanitizer_supervisor_calls) &&
	    allow_guarded(ctx, supervisor_guards);
}

/* NULL: logged. */
static scmp_filter_ctx
filter_new(uint32_t otherwise)
{
	scmp_filter_ctx ctx = seccomp_init(otherwise);

	if (ctx == NULL) {
		log_warnx("seccomp: no memory for a filter");
		return NULL;
	}
	/* A call by the numbers of another architecture is never ours. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
		SCMP_ACT_KILL_PROCESS) != 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) != 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1) != 0) {
		log_warnx("seccomp: the installed libseccomp is too old");
		seccomp_release(ctx);
		return NULL;
	}
	/* A binary tree; older ones do without. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return ctx;
}

static bool
filter_load(scmp_filter_ctx ctx)
{
	int error = seccomp_load(ctx);

	if (error == 0)
		return true;
	errno = -error;
	log_warn("seccomp: loading a filter");
	return false;
}

static bool
holds(bool ok, const char *which)
{
	if (!ok)
		log_warnx("seccomp: the %s filter does not answer", which);
	return ok;
}

/* Errors that only the filters give for these calls, never the kernel. */
static bool
worker_filters_hold(void)
{
	bool deadly, narrow;

	deadly = open("", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES;
	narrow = fcntl(-1, F_GETOWN) == -1 && errno == EPERM;
	return holds(deadly, "deadly") && holds(narrow, "narrow");
}

static bool
supervisor_filter_holds(void)
{
	return holds(unshare(0) == -1 && errno == ENOSYS, "supervisor's");
}

bool
sandbox_seccomp(const struct sandbox *sb)
{
	const struct needs *const needs[] = {
		&worker_needs,
		role_needs[sb->role],
		sb->dns ? &dns_needs : &no_dns_needs,
		sb->child != 0 ? &parent_needs : &no_child_needs,
		&sanitizer,
	};
	scmp_filter_ctx narrow = filter_new(SCMP_ACT_ERRNO(EPERM));
	scmp_filter_ctx deadly = filter_new(SCMP_ACT_KILL_PROCESS);
	bool ok;

	ok = narrow != NULL && deadly != NULL &&
	    narrow_rules(narrow, needs, COUNT(needs)) &&
	    deadly_rules(deadly, needs, COUNT(needs)) &&
	    signal_rules(deadly, sb->child) && filter_load(narrow) &&
	    filter_load(deadly) && worker_filters_hold();
	seccomp_release(narrow);
	seccomp_release(deadly);
	return ok;
}

bool
sandbox_seccomp_supervisor(void)
{
	scmp_filter_ctx ctx = filter_new(SCMP_ACT_ERRNO(ENOSYS));
	bool ok;

	ok = ctx != NULL && supervisor_rules(ctx) && filter_load(ctx) &&
	    supervisor_filter_holds();
	seccomp_release(ctx);
	return ok;
}
