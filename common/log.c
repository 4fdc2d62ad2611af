#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "common/limits.h"

#define ELLIPSIS "..."

struct line {
	char text[LIMIT_LOG_LINE + 1];
};

static struct {
	const char *procname;
	enum log_level level;
	log_sink sink;
	void *arg;
	bool in_sink;
} logger = { .procname = "katalogd", .level = LOG_LVL_INFO };

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	/* The first of each level is its name. */
	{ "error", LOG_LVL_ERROR },
	{ "fatal", LOG_LVL_ERROR },
	{ "panic", LOG_LVL_ERROR },
	{ "warn", LOG_LVL_WARN },
	{ "warning", LOG_LVL_WARN },
	{ "info", LOG_LVL_INFO },
	{ "debug", LOG_LVL_DEBUG },
	{ "trace", LOG_LVL_DEBUG },
};
#define LEVELS (sizeof(levels) / sizeof(*levels))

void
log_init(const char *procname, enum log_level level)
{
	logger.procname = procname;
	logger.level = level;
}

void
log_set_level(enum log_level level)
{
	logger.level = level;
}

void
log_set_sink(log_sink sink, void *arg)
{
	logger.sink = sink;
	logger.arg = arg;
}

static bool
is_said(enum log_level level)
{
	return level <= logger.level;
}

bool
log_level_parse(const char *s, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++) {
		if (strcasecmp(s, levels[i].name) != 0)
			continue;
		*level = levels[i].level;
		return true;
	}
	return false;
}

const char *
log_level_name(enum log_level level)
{
	for (size_t i = 0; i < LEVELS; i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "unknown";
}

/* A sink that logs while it logs must not come back to itself. */
static void
emit(enum log_level level, const struct line *l)
{
	if (logger.sink == NULL || logger.in_sink) {
		fprintf(stderr, "%s: %s: %s\n", logger.procname,
		    log_level_name(level), l->text);
		return;
	}
	logger.in_sink = true;
	logger.sink(level, l->text, logger.arg);
	logger.in_sink = false;
}

/* Cut texts end in "...", and always keep the reason behind them. */
static __attribute__((format(printf, 3, 0))) void
format(struct line *l, const char *why, const char *fmt, va_list ap)
{
	size_t tail = why != NULL ? strlen(why) + 2 : 0;
	size_t cap = sizeof(l->text) - tail;
	int n = vsnprintf(l->text, cap, fmt, ap);
	size_t len = n > 0 ? (size_t)n : 0;

	if (n < 0)
		l->text[0] = '\0';
	if (len >= cap) {
		len = cap - 1;
		memcpy(l->text + len - strlen(ELLIPSIS), ELLIPSIS,
		    strlen(ELLIPSIS));
	}
	if (why != NULL)
		snprintf(l->text + len, tail + 1, ": %s", why);
}

static __attribute__((format(printf, 3, 0))) void
log_text(enum log_level level, const char *why, const char *fmt, va_list ap)
{
	struct line l;

	format(&l, why, fmt, ap);
	emit(level, &l);
}

/* As a macro since va_start must stand in the variadic function. */
#define LOG_VA(level, why) \
	do { \
		int saved = errno; \
		va_list ap; \
\
		if (!is_said(level)) \
			return; \
		va_start(ap, fmt); \
		log_text(level, why, fmt, ap); \
		va_end(ap); \
		errno = saved; \
	} while (0)

void
log_error(const char *fmt, ...)
{
	LOG_VA(LOG_LVL_ERROR, NULL);
}

void
log_warn(const char *fmt, ...)
{
	LOG_VA(LOG_LVL_WARN, strerror(saved));
}

void
log_warnx(const char *fmt, ...)
{
	LOG_VA(LOG_LVL_WARN, NULL);
}

void
log_info(const char *fmt, ...)
{
	LOG_VA(LOG_LVL_INFO, NULL);
}

void
log_debug(const char *fmt, ...)
{
	LOG_VA(LOG_LVL_DEBUG, NULL);
}

void
fatal(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LVL_ERROR, strerror(saved), fmt, ap);
	va_end(ap);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LVL_ERROR, NULL, fmt, ap);
	va_end(ap);
	exit(1);
}

/* 0 stands for nothing said. */
static uint64_t
hash(const struct line *l)
{
	uint64_t h = XXH3_64bits(l->text, strlen(l->text));

	return h != 0 ? h : 1;
}

static bool
say_once(struct log_once *o, const struct line *l)
{
	uint64_t h = hash(l);

	if (h == o->hash) {
		o->repeats++;
		return false;
	}
	*o = (struct log_once){ .hash = h };
	emit(LOG_LVL_WARN, l);
	return true;
}

bool
log_once_warn(struct log_once *o, const char *fmt, ...)
{
	int saved = errno;
	struct line l;
	va_list ap;
	bool said;

	if (!is_said(LOG_LVL_WARN))
		return false;
	va_start(ap, fmt);
	format(&l, NULL, fmt, ap);
	va_end(ap);
	said = say_once(o, &l);
	errno = saved;
	return said;
}

bool
log_once_clear(struct log_once *o, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (o->hash == 0)
		return false;
	*o = (struct log_once){ 0 };
	if (!is_said(LOG_LVL_INFO))
		return false;
	va_start(ap, fmt);
	log_text(LOG_LVL_INFO, NULL, fmt, ap);
	va_end(ap);
	errno = saved;
	return true;
}

static void *
need(void *p, size_t n)
{
	if (p == NULL)
		fatal("no memory for %zu bytes, giving up", n);
	return p;
}

void *
xmalloc(size_t n)
{
	return need(malloc(n != 0 ? n : 1), n);
}

void *
xcalloc(size_t n, size_t size)
{
	if (n == 0 || size == 0)
		n = size = 1;
	return need(calloc(n, size), n);
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	if (n == 0 || size == 0)
		n = size = 1;
	return need(reallocarray(p, n, size), n);
}

char *
xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *
xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = xmalloc(len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

void *
xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}
