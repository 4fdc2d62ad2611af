#include "supervisor/logsink.h"

#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define IDENT "katalogd"

/* vis(3) makes at most four characters of one. */
#define VISIBLE (4 * LIMIT_LOG_LINE + 1)

static const int priorities[] = {
	[LOG_LVL_ERROR] = LOG_ERR,
	[LOG_LVL_WARN] = LOG_WARNING,
	[LOG_LVL_INFO] = LOG_INFO,
	[LOG_LVL_DEBUG] = LOG_DEBUG,
};

void
logsink_init(struct logsink *s, bool stderr_closed)
{
	*s = (struct logsink){
		.managed = getenv("NOTIFY_SOCKET") != NULL,
		.stderr_closed = stderr_closed,
	};
}

void
logsink_target(struct logsink *s, const char *target)
{
	bool before = s->to_syslog;

	if (strcmp(target, "auto") == 0)
		s->to_syslog = s->managed || s->stderr_closed;
	else
		s->to_syslog = strcmp(target, "syslog") == 0;
	if (s->to_syslog && !before)
		openlog(IDENT, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	if (!s->to_syslog && before)
		closelog();
}

static void
make_visible(char *dst, const struct logsink_line *l)
{
	size_t len = l->len < LIMIT_LOG_LINE ? l->len : LIMIT_LOG_LINE;

	strvisx(dst, l->text, len, VIS_CSTYLE | VIS_OCTAL | VIS_TAB | VIS_NL);
}

size_t
logsink_format(char *buf, const struct timespec *when,
    const struct logsink_line *l)
{
	char text[VISIBLE], date[sizeof("2025-11-21T16:08:01")];
	struct tm tm;
	int n;

	make_visible(text, l);
	if (gmtime_r(&when->tv_sec, &tm) == NULL ||
	    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		strcpy(date, "-");
	n = snprintf(buf, LOGSINK_LINE, "%s.%03uZ %s %.32s[%d]: %s\n", date,
	    (unsigned)(when->tv_nsec / 1000000), log_level_name(l->level),
	    l->process, (int)l->pid, text);
	return n > 0 && n < LOGSINK_LINE ? (size_t)n : 0;
}

static void
to_syslog(const struct logsink_line *l)
{
	char text[VISIBLE];

	make_visible(text, l);
	if (strcmp(l->process, IDENT) == 0)
		syslog(priorities[l->level], "%s", text);
	else
		syslog(priorities[l->level], "%s[%d]: %s", l->process,
		    (int)l->pid, text);
}

/* One write for one line, so that lines of several programs don't mix. */
static void
to_stderr(const struct logsink_line *l)
{
	char buf[LOGSINK_LINE];
	struct timespec now;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	len = logsink_format(buf, &now, l);
	if (write(STDERR_FILENO, buf, len) == -1)
		return; /* there is nobody left to tell */
}

void
logsink_write(const struct logsink *s, const struct logsink_line *l)
{
	if (s->to_syslog)
		to_syslog(l);
	else
		to_stderr(l);
}

static void
trickle(struct log_rate *r, uint64_t now_ms)
{
	uint64_t gained;

	if (now_ms <= r->updated_ms)
		return;
	gained = (now_ms - r->updated_ms) * LOG_RATE_PER_SECOND;
	r->used = gained < r->used ? r->used - gained : 0;
	r->updated_ms = now_ms;
}

static bool
take(struct log_rate *r, uint64_t now_ms)
{
	trickle(r, now_ms);
	if (r->used + 1000 > LOG_RATE_BURST * 1000)
		return false;
	r->used += 1000;
	return true;
}

bool
log_rate_take(struct log_rate *r, uint64_t now_ms)
{
	if (take(r, now_ms))
		return true;
	r->suppressed++;
	return false;
}

uint64_t
log_rate_take_suppressed(struct log_rate *r, uint64_t now_ms)
{
	uint64_t n = r->suppressed;

	if (n == 0 || !take(r, now_ms))
		return 0;
	r->suppressed = 0;
	return n;
}
