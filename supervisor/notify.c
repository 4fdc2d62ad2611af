#include "supervisor/notify.h"

#include <bsd/stdlib.h>
#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/log.h"

/* Twice in the time that systemd gives us. */
#define WATCHDOG_PARTS 2
/* What is not to be lost waits so long for room in its queue. */
#define PATIENCE_S 1

static bool
address(const char *name, struct notify *n)
{
	size_t len = strlen(name);

	if (name[0] != '/' && name[0] != '@')
		return false;
	if (len < 2 || len >= sizeof(n->to.sun_path))
		return false;
	memset(&n->to, 0, sizeof(n->to));
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, name, len);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	/* An abstract name has no end but the length; a path has its NUL. */
	if (name[0] == '@')
		n->to.sun_path[0] = '\0';
	else
		n->to_len++;
	return true;
}

/* 0 if it is not for us or makes no sense, as systemd has it. */
static uint64_t
watchdog_ms(const char *usec, const char *pid)
{
	const char *err;
	long long n;

	if (usec == NULL)
		return 0;
	if (pid != NULL &&
	    (strtonum(pid, 1, INT_MAX, &err) != getpid() || err != NULL))
		return 0;
	n = strtonum(usec, 1, LLONG_MAX, &err);
	if (err != NULL)
		return 0;
	n /= 1000 * WATCHDOG_PARTS;
	return n > 0 ? (uint64_t)n : 1;
}

bool
notify_open(struct notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	bool good = true;

	*n = (struct notify){ .fd = -1 };
	if (name != NULL && *name != '\0' && !address(name, n)) {
		log_warnx("NOTIFY_SOCKET \"%s\": not a path or @name; the "
			  "service manager will hear nothing",
		    name);
		good = false;
	} else if (name != NULL && *name != '\0') {
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		    sizeof(patience));
		n->watchdog_ms = watchdog_ms(getenv("WATCHDOG_USEC"),
		    getenv("WATCHDOG_PID"));
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return good;
}

void
notify_close(struct notify *n)
{
	if (n->fd != -1)
		close(n->fd);
	n->fd = -1;
}

static void
tell_by(const struct notify *n, const char *text, int flags)
{
	ssize_t sent;

	if (n->fd == -1)
		return;
	do
		sent = sendto(n->fd, text, strlen(text), MSG_NOSIGNAL | flags,
		    (const struct sockaddr *)&n->to, n->to_len);
	while (sent == -1 && errno == EINTR);
	if (sent == -1)
		log_debug("service manager: %s", strerror(errno));
}

/* Another one like it comes soon: it may be lost. */
static void
tell(const struct notify *n, const char *text)
{
	tell_by(n, text, MSG_DONTWAIT);
}

/* Said once: one that was lost would cost the service. */
static void
tell_surely(const struct notify *n, const char *text)
{
	tell_by(n, text, 0);
}

void
notify_ready(const struct notify *n)
{
	tell_surely(n, "READY=1");
}

void
notify_status(const struct notify *n, const char *text)
{
	char buf[sizeof("STATUS=") + 4 * LIMIT_TEXT],
	    visible[4 * LIMIT_TEXT + 1];

	strvisx(visible, text, strnlen(text, LIMIT_TEXT),
	    VIS_OCTAL | VIS_CSTYLE | VIS_TAB | VIS_NL);
	snprintf(buf, sizeof(buf), "STATUS=%s", visible);
	tell(n, buf);
}

void
notify_watchdog(const struct notify *n)
{
	tell(n, "WATCHDOG=1");
}

void
notify_reloading(const struct notify *n)
{
	char buf[64];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(buf, sizeof(buf), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	tell_surely(n, buf);
}

void
notify_stopping(const struct notify *n)
{
	tell_surely(n, "STOPPING=1");
}
