/*
 * Where the lines of all processes end: syslog or stderr. Text is made
 * visible on the way (vis(3): no control character, escape sequence or newline
 * gets through, non-ASCII bytes come out as \ooo), since part of it comes from
 * pods, from Consul and from workers that may have been taken over.
 */
#ifndef LOGSINK_H
#define LOGSINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/limits.h"
#include "common/log.h"

/* A line with all of its text escaped, prefix and NUL included. */
#define LOGSINK_LINE (4 * LIMIT_LOG_LINE + 128)

struct logsink {
	bool managed; /* by systemd or the like: NOTIFY_SOCKET was set */
	bool stderr_closed; /* when we were started */
	bool to_syslog;
};

struct logsink_line {
	enum log_level level;
	const char *process;
	pid_t pid;
	const char *text; /* len bytes, cut at LIMIT_LOG_LINE */
	size_t len;
};

/* Looks at the environment; stderr until logsink_target(). */
void logsink_init(struct logsink *s, bool stderr_closed);
/* log-target: "auto", "stderr" or "syslog". */
void logsink_target(struct logsink *s, const char *target);
void logsink_write(const struct logsink *s, const struct logsink_line *l);

/*
 * "2025-11-21T16:08:01.123Z info http[42]: text\n" into buf, which has
 * LOGSINK_LINE bytes. Returns its length. Pure.
 */
size_t logsink_format(char *buf, const struct timespec *when,
    const struct logsink_line *l);

/*
 * The bound of one worker's lines: a burst, then so many a second. Pure;
 * zeroed at first, which is full.
 */
#define LOG_RATE_BURST      200
#define LOG_RATE_PER_SECOND 50

struct log_rate {
	uint64_t used; /* thousandths of a line, 0: the whole burst is there */
	uint64_t updated_ms;
	uint64_t suppressed; /* since log_rate_take_suppressed() */
};

/* False: the line is to be dropped, and was counted. */
bool log_rate_take(struct log_rate *r, uint64_t now_ms);
/*
 * How many lines were dropped and not yet told, to be told now; 0: none, or
 * there is no room for a line.
 */
uint64_t log_rate_take_suppressed(struct log_rate *r, uint64_t now_ms);

#endif
