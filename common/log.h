/*
 * Logging. A worker's lines go to the supervisor as MSG_LOG; the supervisor's
 * go to syslog or stderr (supervisor/logsink.h). Text is made visible there.
 *
 * fatal and log_warn add ": strerror(errno)", the others do not. All keep
 * errno. A line is at most LIMIT_LOG_LINE bytes; a longer one is cut and ends
 * in "..." (before the reason). Nothing is allocated. Not for signal handlers
 * or threads.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/*
 * Where finished lines go (no newline of ours). Until it is set: stderr, and
 * for what the sink itself logs: stderr too.
 */
typedef void (*log_sink)(enum log_level level, const char *line, void *arg);

/* Before any other call, else "katalogd" and info. procname is not copied. */
void log_init(const char *procname, enum log_level level);
void log_set_level(enum log_level level);
void log_set_sink(log_sink sink, void *arg);
/*
 * "error", "warn", "warning", "info", "debug" and the originals' "trace",
 * "fatal", "panic", in any case. False, and *level untouched, for others.
 */
bool log_level_parse(const char *s, enum log_level *level);
const char *log_level_name(enum log_level level);

/* By their level; what is not enabled costs a comparison. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Log and exit(1): fatal with errno, fatalx without. */
_Noreturn void fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
_Noreturn void fatalx(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/*
 * Says a condition when it begins, when its text changes and when it ends,
 * not each second that it lasts. One struct per condition, zeroed at first.
 */
struct log_once {
	uint64_t hash; /* of the text last said; 0: none */
	uint64_t repeats; /* of the same text since then */
};

/*
 * True if it was said. What the level keeps back counts as not said, and is
 * said when the level allows it.
 */
bool log_once_warn(struct log_once *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * The condition ended: says the text (info) if the condition had been said.
 * True if it was said.
 */
bool log_once_clear(struct log_once *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Allocation that ends the process when there is no memory. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n);

#endif
