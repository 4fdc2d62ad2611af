/*
 * Tries actions from inside the sandbox of a role, each in a process of its
 * own: test_sandbox.py says what must come of them. The program links the real
 * sandbox.
 *
 *	sandbox_probe [-s] [-l LAYER] [-c CA] [-d CHROOT] ROLE PORT OTHER ACTION...
 *
 *	-s	under the supervisor's sandbox, as a worker is
 *	-l	only one layer: limits, privdrop, landlock, seccomp
 *	-c	a CA bundle for the action tls
 *	-d	the empty folder for chroot
 *
 * ROLE is a worker's, or "katalogd": the supervisor's own sandbox. PORT is the
 * one that the role may connect to, OTHER one that it may not; something
 * listens on both.
 *
 * A line tells what came of each: "exec killed SYS", "memory OK", "open-file
 * FAILED EACCES". Every action is harmless where nothing stops it.
 */
#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <curl/curl.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sandbox.h"

#define COUNT(a)      (sizeof(a) / sizeof(*(a)))
#define MIB           ((size_t)1024 * 1024)
#define NOFILE        64
#define AS_BYTES      (1024 * MIB)
#define WORKER_ID     60642
#define FASTOPEN_BYTE "x"
/* In the environment of the one that runs under the supervisor's sandbox. */
#define SUPERVISED "SANDBOX_PROBE_SUPERVISED"

struct options {
	bool supervised;
	const char *layer; /* NULL: all */
	const char *ca_file;
	const char *chroot_dir;
	enum role role;
	char **actions; /* ends with NULL */
};

/* What the actions use; made before the sandbox closes. */
static struct {
	uint16_t port, other;
	uint32_t layers; /* that hold */
	struct curl_blob ca;
	pid_t parent;
	int memfd; /* holds one byte, sealed */
	int file; /* a regular file, writable */
	int udp;
	int listener; /* with one connection that waits */
	int client;
	void *page; /* readable and writable */
	CURL *curl;
	struct event_base *base;
} probe;

static int
sys(long result)
{
	return result == -1 ? errno : 0;
}

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* ---- what must work ------------------------------------------------------ */

static int
work_memory(void)
{
	char *p = malloc(64 * MIB), *more;

	if (p == NULL)
		return errno;
	memset(p, 1, 64 * MIB);
	more = realloc(p, 128 * MIB);
	if (more == NULL) {
		free(p);
		return ENOMEM;
	}
	free(more);
	return 0;
}

static int
work_time_and_random(void)
{
	struct timespec ts;
	char bytes[16];
	time_t now = time(NULL);

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1 || now == (time_t)-1 ||
	    localtime(&now) == NULL)
		return errno;
	ts = (struct timespec){ .tv_nsec = 1000000 };
	if (nanosleep(&ts, NULL) == -1 ||
	    getentropy(bytes, sizeof(bytes)) == -1)
		return errno;
	return arc4random() == arc4random() ? EIO : 0;
}

/* As the bytes of a secret come. */
static int
read_memfd(void)
{
	struct stat st;
	char c = 0;

	if (fcntl(probe.memfd, F_GET_SEALS) == -1 ||
	    fstat(probe.memfd, &st) == -1)
		return errno;
	if (st.st_size != 1 || pread(probe.memfd, &c, 1, 0) != 1)
		return EIO;
	return c == 'x' ? 0 : EIO;
}

static void
stop_loop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static int
work_loop(void)
{
	const struct timeval soon = { 0, 1000 };
	int fds[2];
	struct event *e;

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1 ||
	    write(fds[1], "x", 1) != 1)
		return errno;
	e = event_new(probe.base, fds[0], EV_READ, stop_loop, probe.base);
	if (e == NULL || event_add(e, NULL) == -1 ||
	    event_base_dispatch(probe.base) == -1)
		return EIO;
	event_free(e);
	if (event_base_once(probe.base, -1, EV_TIMEOUT, stop_loop, probe.base,
		&soon) == -1 ||
	    event_base_dispatch(probe.base) == -1)
		return EIO;
	return 0;
}

static int
work_json(void)
{
	struct json_object *o = json_tokener_parse("{\"a\":[1,2.5,\"x\"]}");

	if (o == NULL)
		return EINVAL;
	json_object_put(o);
	return 0;
}

static int
work_stdio(void)
{
	return fprintf(stderr, "isatty: %d\n", isatty(2)) > 0 ? 0 : errno;
}

/* TLS, from a CA's bytes, to the role's own port. */
static int
work_tls(void)
{
	char url[64];
	CURLcode code;

	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", probe.port);
	curl_easy_setopt(probe.curl, CURLOPT_URL, url);
	curl_easy_setopt(probe.curl, CURLOPT_CAINFO_BLOB, &probe.ca);
	curl_easy_setopt(probe.curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(probe.curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(probe.curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(probe.curl, CURLOPT_TIMEOUT, 10L);
	code = curl_easy_perform(probe.curl);
	if (code != CURLE_OK)
		warnx("%s: %s", url, curl_easy_strerror(code));
	return code == CURLE_OK ? 0 : EPROTO;
}

static int
accept_passed(void)
{
	return sys(accept4(probe.listener, NULL, NULL, SOCK_CLOEXEC));
}

static int
tell_layers(void)
{
	for (unsigned bit = 0; bit < SANDBOX_LAYERS; bit++)
		if ((probe.layers & 1U << bit) != 0)
			printf("%s ", sandbox_layer_name(bit));
	return 0;
}

/* ---- files ---------------------------------------------------------------- */

static int
open_file(void)
{
	return sys(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
open_proc(void)
{
	return sys(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
}

static int
open_parent_folder(void)
{
	return sys(open("..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int
open_nowhere(void)
{
	return sys(open("", O_RDONLY | O_CLOEXEC));
}

static int
make_file(void)
{
	return sys(
	    open("/tmp/sandbox_probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int
stat_file(void)
{
	struct stat st;

	return sys(stat("/etc/passwd", &st));
}

static int
write_file(void)
{
	return write(probe.file, "x", 1) == 1 ? 0 : errno;
}

static int
make_memfd(void)
{
	return sys(memfd_create("probe", MFD_CLOEXEC));
}

static int
too_many_files(void)
{
	for (int i = 0; i < NOFILE; i++)
		if (fcntl(probe.memfd, F_DUPFD_CLOEXEC, 0) == -1)
			return errno;
	return 0;
}

static int
too_much_memory(void)
{
	char *volatile p = malloc(2 * AS_BYTES);
	int error = p == NULL ? errno : 0;

	free(p);
	return error;
}

/* ---- network -------------------------------------------------------------- */

static int
connect_to(uint16_t port)
{
	struct sockaddr_in sin = loopback(port);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s == -1)
		return errno;
	return sys(connect(s, (struct sockaddr *)&sin, sizeof(sin)));
}

static int
connect_own(void)
{
	return connect_to(probe.port);
}

static int
connect_other(void)
{
	return connect_to(probe.other);
}

/* Connects without connect(2). */
static int
fastopen_sendto(void)
{
	struct sockaddr_in sin = loopback(probe.other);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s == -1)
		return errno;
	return sys(sendto(s, FASTOPEN_BYTE, 1, MSG_FASTOPEN,
	    (struct sockaddr *)&sin, sizeof(sin)));
}

static int
fastopen_sendmsg(void)
{
	struct sockaddr_in sin = loopback(probe.other);
	char byte[] = FASTOPEN_BYTE;
	struct iovec iov = { byte, 1 };
	struct msghdr m = { .msg_name = &sin,
		.msg_namelen = sizeof(sin),
		.msg_iov = &iov,
		.msg_iovlen = 1 };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return s == -1 ? errno : sys(sendmsg(s, &m, MSG_FASTOPEN));
}

static int
udp_send(void)
{
	struct sockaddr_in sin = loopback(probe.other);

	return sys(
	    sendto(probe.udp, "x", 1, 0, (struct sockaddr *)&sin, sizeof(sin)));
}

/* test_sandbox.py listens on it. */
static int
connect_abstract(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1,
	    "katalogd-probe-%u", probe.port);
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s == -1)
		return errno;
	return sys(connect(s, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
		(size_t)n)));
}

static int
make_socketpair(void)
{
	int fds[2];

	return sys(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
}

static int
attach_filter(void)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, UINT32_MAX) };
	struct sock_fprog prog = { 1, all };

	return sys(setsockopt(probe.client, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
	    sizeof(prog)));
}

/* ---- processes and memory ------------------------------------------------- */

static void *
idle(void *arg)
{
	return arg;
}

static int
start_thread(void)
{
	pthread_t t;
	int error = pthread_create(&t, NULL, idle, NULL);

	if (error == 0)
		pthread_join(t, NULL);
	return error;
}

static int
fork_it(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return sys(pid);
}

static int
spawn_program(void)
{
	char name[] = "true";
	char *const argv[] = { name, NULL };
	pid_t pid;

	return posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1);
}

static int
execute(void)
{
	char name[] = "true";
	char *const argv[] = { name, NULL };

	return sys(execve("/bin/true", argv, argv + 1));
}

/* Asks only whether it could. */
static int
signal_parent(void)
{
	return sys(kill(probe.parent, 0));
}

static int
signal_all(void)
{
	return sys(kill(-1, 0));
}

static int
signal_parent_thread(void)
{
	return sys(syscall(SYS_tgkill, probe.parent, probe.parent, 0));
}

static int
signal_self(void)
{
	return sys(kill(getpid(), 0));
}

static int
abort_it(void)
{
	abort();
}

static int
trace_parent(void)
{
	return sys(ptrace(PTRACE_ATTACH, probe.parent, NULL, NULL));
}

static int
read_parent(void)
{
	struct iovec none = { NULL, 0 };

	return sys(process_vm_readv(probe.parent, &none, 1, &none, 1, 0));
}

static int
map_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
make_executable(void)
{
	return sys(mprotect(probe.page, 4096, PROT_READ | PROT_EXEC));
}

static int
wait_for_end(void)
{
	printf("%d\n", (int)getpid());
	fflush(stdout);
	return sys(poll(NULL, 0, -1));
}

#ifdef __x86_64__
/* getpid by the numbers of 32-bit programs. */
static int
call_i386(void)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
	return result > 0 ? 0 : (int)-result;
}
#endif

static const struct action {
	const char *name;
	int (*act)(void); /* 0, or an errno */
} actions[] = {
	{ "memory", work_memory },
	{ "time-and-random", work_time_and_random },
	{ "read-memfd", read_memfd },
	{ "loop", work_loop },
	{ "json", work_json },
	{ "stdio", work_stdio },
	{ "tls", work_tls },
	{ "accept", accept_passed },
	{ "layers", tell_layers },
	{ "open-file", open_file },
	{ "open-proc", open_proc },
	{ "open-parent-folder", open_parent_folder },
	{ "open-nowhere", open_nowhere },
	{ "make-file", make_file },
	{ "stat-file", stat_file },
	{ "write-file", write_file },
	{ "memfd", make_memfd },
	{ "too-many-files", too_many_files },
	{ "too-much-memory", too_much_memory },
	{ "connect-own", connect_own },
	{ "connect-other", connect_other },
	{ "fastopen-sendto", fastopen_sendto },
	{ "fastopen-sendmsg", fastopen_sendmsg },
	{ "udp-send", udp_send },
	{ "abstract", connect_abstract },
	{ "socketpair", make_socketpair },
	{ "attach-filter", attach_filter },
	{ "thread", start_thread },
	{ "fork", fork_it },
	{ "spawn", spawn_program },
	{ "exec", execute },
	{ "kill-parent", signal_parent },
	{ "kill-all", signal_all },
	{ "tgkill-parent", signal_parent_thread },
	{ "kill-self", signal_self },
	{ "abort", abort_it },
	{ "ptrace-parent", trace_parent },
	{ "read-parent", read_parent },
	{ "mmap-exec", map_executable },
	{ "mprotect-exec", make_executable },
	{ "wait", wait_for_end },
#ifdef __x86_64__
	{ "i386", call_i386 },
#endif
};

/* Actions that are one call, mostly with arguments that mean nothing. */
static const struct raw {
	const char *name;
	long number;
	long args[6];
} raws[] = {
	{ "bind", SYS_bind, { -1 } },
	{ "listen", SYS_listen, { -1 } },
	{ "connect", SYS_connect, { -1 } },
	{ "udp", SYS_socket, { AF_INET, SOCK_DGRAM } },
	{ "raw-socket", SYS_socket, { AF_INET, SOCK_RAW, IPPROTO_ICMP } },
	{ "sctp", SYS_socket, { AF_INET, SOCK_STREAM, IPPROTO_SCTP } },
	{ "mptcp", SYS_socket, { AF_INET, SOCK_STREAM, 262 } },
	{ "unix-socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "netlink", SYS_socket, { AF_NETLINK, SOCK_RAW } },
	{ "packet", SYS_socket, { AF_PACKET, SOCK_DGRAM } },
	{ "vsock", SYS_socket, { AF_VSOCK, SOCK_STREAM } },
	{ "alg", SYS_socket, { AF_ALG, SOCK_SEQPACKET } },
	{ "clone3", SYS_clone3, { 0 } },
	{ "execveat", SYS_execveat, { -1 } },
	{ "pidfd-open", SYS_pidfd_open, { 1 } },
	{ "pidfd-getfd", SYS_pidfd_getfd, { -1 } },
	{ "pkey-mprotect", SYS_pkey_mprotect, { 0 } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "setgid", SYS_setgid, { 0 } },
	{ "setresuid", SYS_setresuid, { 0 } },
	{ "capset", SYS_capset, { 0 } },
	{ "chroot", SYS_chroot, { (long)"." } },
	{ "mount", SYS_mount, { 0 } },
	{ "umount", SYS_umount2, { 0 } },
	{ "unshare", SYS_unshare, { CLONE_NEWUSER } },
	{ "setns", SYS_setns, { -1 } },
	{ "new-namespace", SYS_clone, { CLONE_NEWUSER | CLONE_NEWNS } },
	{ "bpf", SYS_bpf, { 0 } },
	{ "io-uring", SYS_io_uring_setup, { 0 } },
	{ "keyctl", SYS_keyctl, { KEYCTL_GET_KEYRING_ID } },
	{ "userfaultfd", SYS_userfaultfd, { 0 } },
	{ "perf", SYS_perf_event_open, { 0 } },
	{ "init-module", SYS_init_module, { 0 } },
	{ "delete-module", SYS_delete_module, { 0 } },
	{ "kexec", SYS_kexec_load, { 0, 1 } },
	{ "reboot", SYS_reboot, { 0 } },
	{ "settime", SYS_clock_settime, { -1 } },
	{ "shmget", SYS_shmget, { 0 } },
	{ "mq-open", SYS_mq_open, { 0 } },
	{ "rename", SYS_renameat2, { -1 } },
	{ "chown", SYS_fchownat, { -1 } },
	{ "inotify", SYS_inotify_init1, { 0 } },
	{ "personality", SYS_personality, { 0x0400000 } },
	{ "seccomp", SYS_seccomp, { SECCOMP_GET_ACTION_AVAIL } },
	{ "setrlimit", SYS_setrlimit, { RLIMIT_CORE } },
	{ "dumpable", SYS_prctl, { PR_SET_DUMPABLE, 1 } },
	{ "set-name", SYS_prctl, { PR_SET_NAME, (long)"probe" } },
	{ "type-ahead", SYS_ioctl, { 0, TIOCSTI } },
	{ "set-owner", SYS_fcntl, { 0, F_SETOWN, 0 } },
	{ "unknown-call", 505, { 0 } },
#ifdef __x86_64__
	{ "x32", 0x40000000 | SYS_getpid, { 0 } },
#endif
};

static int
act_raw(const struct raw *r)
{
	return sys(syscall(r->number, r->args[0], r->args[1], r->args[2],
	    r->args[3], r->args[4], r->args[5]));
}

static int
act(const char *name)
{
	for (size_t i = 0; i < COUNT(actions); i++)
		if (strcmp(actions[i].name, name) == 0)
			return actions[i].act();
	for (size_t i = 0; i < COUNT(raws); i++)
		if (strcmp(raws[i].name, name) == 0)
			return act_raw(&raws[i]);
	errx(2, "no such action: %s", name);
}

/* ---- before the sandbox closes -------------------------------------------- */

static int
sealed_memfd(void)
{
	int fd = memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 || write(fd, "x", 1) != 1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == -1)
		err(2, "memfd");
	return fd;
}

static int
temporary_file(void)
{
	char name[] = "/tmp/sandbox_probe.XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	if (fd == -1 || unlink(name) == -1)
		err(2, "%s", name);
	return fd;
}

static void
open_sockets(void)
{
	struct sockaddr_in sin = loopback(0);
	socklen_t len = sizeof(sin);

	probe.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	probe.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	probe.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe.udp == -1 || probe.listener == -1 || probe.client == -1 ||
	    bind(probe.listener, (struct sockaddr *)&sin, len) == -1 ||
	    listen(probe.listener, 1) == -1 ||
	    getsockname(probe.listener, (struct sockaddr *)&sin, &len) == -1 ||
	    connect(probe.client, (struct sockaddr *)&sin, len) == -1)
		err(2, "sockets");
}

static void
read_ca(const char *path)
{
	static char bytes[65536];
	FILE *f;

	if (path == NULL)
		return;
	f = fopen(path, "re");
	if (f == NULL)
		err(2, "%s", path);
	probe.ca.data = bytes;
	probe.ca.len = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
}

static void
preload(const char *ca_file)
{
	tzset();
	probe.memfd = sealed_memfd();
	probe.file = temporary_file();
	probe.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	open_sockets();
	read_ca(ca_file);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	probe.curl = curl_easy_init();
	probe.base = event_base_new();
	if (probe.curl == NULL || probe.base == NULL ||
	    probe.page == MAP_FAILED)
		errx(2, "preload");
}

static enum role
role_named(const char *name)
{
	for (enum role r = 0; r < ROLE_MAX; r++)
		if (strcmp(role_name(r), name) == 0)
			return r;
	errx(2, "no such role: %s", name);
}

/* Only the readers of the kubelet talk to name servers here. */
static struct sandbox
sandbox_of(const struct options *o)
{
	struct sandbox sb = {
		.role = o->role,
		.dns = o->role == ROLE_KUBELET_READER,
		.standalone = o->role == ROLE_SIDECAR,
		.strict = true,
		.chroot_dir = o->chroot_dir,
		.uid = WORKER_ID,
		.gid = WORKER_ID,
		.as_bytes = AS_BYTES,
		.nofile = NOFILE,
	};

	if (o->role != ROLE_HTTP && o->role != ROLE_KUBECONFIG)
		sb.ports[sb.nports++] = probe.port;
	return sb;
}

static bool
enter_layer(const struct sandbox *sb, const char *layer)
{
	uint32_t layers = 0;
	char missing[128] = "";

	if (strcmp(layer, "limits") == 0)
		return sandbox_limits(sb);
	if (strcmp(layer, "privdrop") == 0)
		return privdrop(sb, &layers);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return false;
	if (strcmp(layer, "landlock") == 0)
		return sandbox_landlock(sb, &layers, missing, sizeof(missing));
	return strcmp(layer, "seccomp") == 0 && sandbox_seccomp(sb);
}

static void
enter(const struct options *o)
{
	struct sandbox sb = sandbox_of(o);
	char missing[128];

	probe.parent = getppid();
	if (o->role == ROLE_SUPERVISOR)
		probe.layers =
		    sandbox_enter_supervisor(missing, sizeof(missing));
	else if (o->layer == NULL)
		probe.layers = sandbox_enter(&sb, missing, sizeof(missing));
	else if (!enter_layer(&sb, o->layer))
		errx(2, "layer %s", o->layer);
}

/* ---- a process for each action -------------------------------------------- */

static void
tell(int error)
{
	if (error == 0)
		printf("OK\n");
	else
		printf("FAILED %s\n", strerrorname_np(error));
}

static void
tell_death(int status)
{
	if (WIFSIGNALED(status))
		printf("killed %s%s\n", sigabbrev_np(WTERMSIG(status)),
		    WCOREDUMP(status) ? " core" : "");
	else if (WEXITSTATUS(status) != 0)
		errx(2, "exit status %d", WEXITSTATUS(status));
}

static void
try(const struct options *o, const char *action)
{
	int status;
	pid_t pid;

	printf("%s ", action);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		enter(o);
		tell(act(action));
		fflush(stdout);
		_exit(0);
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		err(2, "a process for %s", action);
	tell_death(status);
}

/* What comes after is this program once more, as a worker is one. */
static void
enter_supervisor_and_exec(char **argv)
{
	char inside[] = SUPERVISED "=1", missing[128];
	pid_t pid;
	int status;

	sandbox_enter_supervisor(missing, sizeof(missing));
	putenv(inside);
	pid = fork();
	if (pid == 0) {
		execv(argv[0], argv);
		err(2, "%s", argv[0]);
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		err(2, "starting the probe");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
}

static uint16_t
port_of(const char *s)
{
	const char *error;
	long long n = strtonum(s, 1, UINT16_MAX, &error);

	if (error != NULL)
		errx(2, "port %s: %s", s, error);
	return (uint16_t)n;
}

static void
parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "sl:c:d:")) != -1) {
		if (c == 's')
			o->supervised = true;
		else if (c == 'l')
			o->layer = optarg;
		else if (c == 'c')
			o->ca_file = optarg;
		else if (c == 'd')
			o->chroot_dir = optarg;
		else
			exit(2);
	}
	argv += optind;
	if (argc - optind < 4)
		errx(2, "ROLE PORT OTHER ACTION...");
	o->role = role_named(argv[0]);
	probe.port = port_of(argv[1]);
	probe.other = port_of(argv[2]);
	o->actions = argv + 3;
}

int
main(int argc, char **argv)
{
	struct options o = { 0 };

	parse(argc, argv, &o);
	if (o.supervised && getenv(SUPERVISED) == NULL)
		enter_supervisor_and_exec(argv);
	preload(o.ca_file);
	for (; *o.actions != NULL; o.actions++)
		try(&o, *o.actions);
	return 0;
}
