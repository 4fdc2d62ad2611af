#include "supervisor/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/roles.h"
#include "supervisor/rundir.h"

#define BACKLOG     64
#define SOCKET_MODE 0660
#define PROBE_MS    1000
#define PROBES      10

struct listen_def {
	enum option option;
	/* A listening socket, or -1: then why was logged. */
	int (*make)(enum option o, const char *address, struct listener *l);
};

void
listeners_init(struct listeners *ls)
{
	for (unsigned id = 0; id < LISTEN_MAX; id++)
		ls->l[id] = (struct listener){ .fd = -1 };
}

static void
log_bound(const char *option, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return;
	if (getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	if (ss.ss_family == AF_INET6)
		log_info("%s: listening on [%s]:%s", option, host, port);
	else
		log_info("%s: listening on %s:%s", option, host, port);
}

static int
bind_tcp(const struct addrinfo *ai, bool any)
{
	int on = 1, off = 0, saved;
	int fd = socket(ai->ai_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (any && ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int
bind_first(const struct addrinfo *list, bool any)
{
	int fd = -1;

	for (const struct addrinfo *ai = list; ai != NULL && fd == -1;
	     ai = ai->ai_next)
		fd = bind_tcp(ai, any);
	return fd;
}

/* "::" takes both families; without IPv6 in the kernel it is "0.0.0.0". */
static int
resolve(const char *host, uint16_t port, struct addrinfo **res)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	char service[8];
	int fd;

	snprintf(service, sizeof(service), "%u", port);
	if (*host != '\0')
		return getaddrinfo(host, service, &hints, res);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1)
		close(fd);
	return getaddrinfo(fd != -1 ? "::" : "0.0.0.0", service, &hints, res);
}

static int
make_tcp(enum option option, const char *address, struct listener *l)
{
	const char *name = option_def(option)->name;
	struct addrinfo *res;
	char host[256];
	uint16_t port;
	int err, fd;

	(void)l;
	if (!url_parse_listen(address, host, sizeof(host), &port)) {
		log_warnx("%s \"%s\": not an address", name, address);
		return -1;
	}
	if ((err = resolve(host, port, &res)) != 0) {
		log_warnx("%s \"%s\": %s", name, address, gai_strerror(err));
		return -1;
	}
	fd = bind_first(res, *host == '\0');
	if (fd == -1)
		log_warn("%s \"%s\": cannot listen", name, address);
	else
		log_bound(name, fd);
	freeaddrinfo(res);
	return fd;
}

static bool
unix_address(const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(sun->sun_path)) {
		strcpy(sun->sun_path, path);
		return true;
	}
	errno = ENAMETOOLONG;
	return false;
}

/*
 * Is anybody behind the socket? 0: yes; else errno, ECONNREFUSED: no. A worker
 * of a supervisor that was killed may be about to end: it closes in a moment
 * what a living one leaves open.
 */
static int
probe(const struct sockaddr_un *sun)
{
	struct pollfd p = { .events = POLLIN };
	int err = 0;

	p.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p.fd == -1)
		return errno;
	if (connect(p.fd, (const struct sockaddr *)sun, sizeof(*sun)) == -1)
		err = errno == EAGAIN ? 0 : errno;
	else if (poll(&p, 1, PROBE_MS) == 1)
		err = ECONNRESET;
	close(p.fd);
	return err;
}

/* A socket that somebody listens on is not ours to replace. */
static bool
remove_stale(const char *path, const struct sockaddr_un *sun)
{
	struct stat st;
	int err = ECONNRESET;

	if (lstat(path, &st) == -1)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	/* Who dies takes the connections that wait with it, then the socket. */
	for (int i = 0; i < PROBES && err == ECONNRESET; i++)
		err = probe(sun);
	if (err == ECONNREFUSED)
		return unlink(path) == 0;
	errno = err == 0 || err == ECONNRESET ? EADDRINUSE : err;
	return false;
}

static bool
bind_unix(int fd, const struct sockaddr_un *sun)
{
	/* From its first moment on the socket has its mode. */
	mode_t old = umask(0777 & ~SOCKET_MODE);
	bool good = bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;
	int saved = errno;

	umask(old);
	errno = saved;
	return good && listen(fd, BACKLOG) == 0;
}

static int
open_unix(const char *path, struct listener *l)
{
	struct sockaddr_un sun;
	struct stat st;
	int fd;

	if (!unix_address(path, &sun) || !rundir_parent(path) ||
	    !remove_stale(path, &sun))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (!bind_unix(fd, &sun) || lstat(path, &st) == -1) {
		close(fd);
		return -1;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return fd;
}

static int
make_unix(enum option option, const char *path, struct listener *l)
{
	const char *name = option_def(option)->name;
	int fd = open_unix(path, l);

	if (fd == -1)
		log_warn("%s: cannot listen on %s", name, path);
	else
		log_debug("%s: listening on %s", name, path);
	return fd;
}

static const struct listen_def defs[LISTEN_MAX] = {
	[LISTEN_METRICS] = { OPT_METRICS_BIND_ADDRESS, make_tcp },
	[LISTEN_CONTROL] = { OPT_CONTROL_SOCKET, make_unix },
	[LISTEN_SIDECAR] = { OPT_BIND_ADDRESS, make_tcp },
};

/*
 * The control socket first: when that is free, the workers of one that was
 * killed before us are gone, and their TCP ports too.
 */
static const enum listen_id in_order[] = { LISTEN_CONTROL, LISTEN_SIDECAR,
	LISTEN_METRICS };

static void
remove_socket(const struct listener *l)
{
	struct stat st;

	if (l->ino == 0 || lstat(l->address, &st) == -1)
		return;
	if (st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->address);
}

static void
close_one(struct listener *l)
{
	if (l->fd == -1)
		return;
	remove_socket(l);
	close(l->fd);
	free(l->address);
	*l = (struct listener){ .fd = -1 };
}

void
listeners_close(struct listeners *ls)
{
	for (unsigned id = 0; id < LISTEN_MAX; id++)
		close_one(&ls->l[id]);
}

static bool
is_as(const struct listener *l, const char *address)
{
	if (l->address == NULL)
		return *address == '\0';
	return strcmp(l->address, address) == 0;
}

static uint16_t
port_of(const char *address)
{
	char host[256];
	uint16_t port = 0;

	if (address == NULL ||
	    !url_parse_listen(address, host, sizeof(host), &port))
		return 0;
	return port;
}

/* What becomes of one listener. */
struct move {
	const char *address; /* where it goes; "": nowhere */
	bool moves;
	bool aside; /* it listens no more */
};

/* A port that one of those that move goes to. */
static bool
is_wanted(const struct move *moves, uint16_t port)
{
	for (unsigned id = 1; id < LISTEN_MAX; id++)
		if (moves[id].moves && port_of(moves[id].address) == port)
			return true;
	return false;
}

/*
 * A port can't be had, at whatever address, while the old socket listens on
 * it, and http has that too: it stops listening for all who have it.
 */
static bool
step_aside(const struct listener *l, const struct move *moves)
{
	uint16_t port = port_of(l->address);

	return port != 0 && is_wanted(moves, port) &&
	    shutdown(l->fd, SHUT_RDWR) == 0;
}

static void
plan_moves(const struct listeners *ls, const struct config *c,
    struct move moves[LISTEN_MAX])
{
	for (unsigned id = 1; id < LISTEN_MAX; id++) {
		const char *address =
		    settings_str(c->settings, defs[id].option);

		moves[id] = (struct move){ .address = address,
			.moves = !is_as(&ls->l[id], address) };
	}
	for (unsigned id = 1; id < LISTEN_MAX; id++)
		if (moves[id].moves)
			moves[id].aside = step_aside(&ls->l[id], moves);
}

/* Back where it was, unless another one is there by now. */
static void
step_back(struct listener *l, const char *option)
{
	if (listen(l->fd, BACKLOG) == 0)
		return;
	log_warn("%s: cannot listen on \"%s\" again; it is off", option,
	    l->address);
	close_one(l);
}

/* The new one is there before the old one is given up. */
static bool
remake(struct listener *l, const struct listen_def *d, const struct move *m)
{
	struct listener new = { .fd = -1 };

	if (*m->address != '\0') {
		new.fd = d->make(d->option, m->address, &new);
		if (new.fd == -1 && m->aside)
			step_back(l, option_def(d->option)->name);
		if (new.fd == -1)
			return false;
		new.address = xstrdup(m->address);
	}
	close_one(l);
	*l = new;
	return true;
}

static bool
can_do_without(enum option option, const struct config *c)
{
	return option == OPT_CONTROL_SOCKET &&
	    c->source[option].from == CONFIG_DEFAULT && geteuid() != 0;
}

bool
listeners_configure(struct listeners *ls, const struct config *c,
    unsigned *changed)
{
	struct move moves[LISTEN_MAX];
	bool good = true;

	*changed = 0;
	plan_moves(ls, c, moves);
	for (size_t i = 0; i < sizeof(in_order) / sizeof(*in_order); i++) {
		enum listen_id id = in_order[i];
		enum option option = defs[id].option;

		if (!moves[id].moves)
			continue;
		if (remake(&ls->l[id], &defs[id], &moves[id]))
			*changed |= LISTEN_BIT(id);
		else if (!can_do_without(option, c))
			good = false;
		else
			log_warnx("%s: going on without it",
			    option_def(option)->name);
	}
	return good;
}

int
listeners_fd(const struct listeners *ls, enum listen_id id)
{
	int fd = ls->l[id].fd;

	return fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}
