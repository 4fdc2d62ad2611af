/*
 * The file: lines of "name = value", or empty, or with a # as their first
 * character that is not white space. A value goes to the end of its line.
 */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/config_parts.h"

#define FILE_MAX       (1024 * 1024)
#define LINE_MAX_BYTES (LIMIT_OPTION + 256)
#define BLANKS         " \t\r\f\v"

/* Of names of options, and of what people take for one ("k8s" has the 8). */
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_8"
#define NAME_SHOWN 40

struct reader {
	struct loader *l;
	const char *path;
	unsigned line; /* 1.. */
	unsigned seen[OPT_MAX]; /* line that set it; 0: none */
};

static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, BLANKS);
	for (len = strlen(s); len > 0 && strchr(BLANKS, s[len - 1]) != NULL;)
		s[--len] = '\0';
	return s;
}

/* What root does is for root only to say. */
static const char *
untrusted(const struct stat *st)
{
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "can be written by group or others";
	if (st->st_uid != 0)
		return "belongs to somebody else than root";
	return NULL;
}

static bool
acceptable(struct loader *l, const char *path, int fd)
{
	const char *why = NULL;
	struct stat st;

	if (fstat(fd, &st) == -1)
		why = strerror(errno);
	else if (S_ISCHR(st.st_mode)) /* /dev/null */
		return true;
	else if (!S_ISREG(st.st_mode))
		why = "not a file";
	else if (l->in->root)
		why = untrusted(&st);
	if (why != NULL)
		config_error(l->r, "%s: not read: %s", path, why);
	return why == NULL;
}

/* The whole file with a NUL behind; NULL after a report. */
static char *
slurp(struct loader *l, const char *path, int fd, size_t *len)
{
	char *buf = xmalloc(FILE_MAX + 1);
	ssize_t n;

	*len = 0;
	while ((n = read(fd, buf + *len, FILE_MAX + 1 - *len)) > 0)
		if ((*len += (size_t)n) > FILE_MAX)
			break;
	if (n == 0) {
		buf[*len] = '\0';
		return buf;
	}
	config_error(l->r, "%s: not read: %s", path,
	    n == -1 ? strerror(errno) : "larger than 1 MiB");
	free(buf);
	return NULL;
}

static char *
open_and_slurp(struct loader *l, const char *path, bool named, size_t *len)
{
	/* A FIFO without a writer must not hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *buf = NULL;

	if (fd == -1) {
		if (errno != ENOENT || named)
			config_error(l->r, "%s: not read: %s", path,
			    strerror(errno));
		return NULL;
	}
	if (acceptable(l, path, fd))
		buf = slurp(l, path, fd, len);
	close(fd);
	return buf;
}

/* All else may be a secret, on a line that is not its own. */
static bool
may_be_shown(const char *name, size_t len)
{
	return len <= NAME_SHOWN && strspn(name, NAME_BYTES) >= len;
}

static void
unknown_name(struct reader *rd, const char *name)
{
	enum option opt = option_by_name(name);
	const char *near = config_suggest(name, true);

	if (opt != 0)
		config_error(rd->l->r, "%s:%u: %s can only be given as a flag",
		    rd->path, rd->line, name);
	else if (near != NULL)
		config_error(rd->l->r,
		    "%s:%u: no option is called \"%.80s\"; did you mean %s?",
		    rd->path, rd->line, name, near);
	else if (may_be_shown(name, strlen(name)))
		config_error(rd->l->r, "%s:%u: no option is called \"%s\"",
		    rd->path, rd->line, name);
	else
		config_error(rd->l->r,
		    "%s:%u: what stands before = is no option's name", rd->path,
		    rd->line);
}

static void
assignment(struct reader *rd, const char *name, const char *value)
{
	enum option opt = option_by_name(name);

	if (opt == 0 || config_flag_only(opt)) {
		unknown_name(rd, name);
		return;
	}
	if (rd->seen[opt] != 0) {
		config_error(rd->l->r,
		    "%s:%u: %s stands there twice, first in line %u", rd->path,
		    rd->line, name, rd->seen[opt]);
		return;
	}
	rd->seen[opt] = rd->line;
	config_assign(rd->l, opt, value,
	    (struct config_source){ .from = CONFIG_FILE, .line = rd->line });
}

static const char *
line_problem(const char *line, size_t len)
{
	if (memchr(line, '\0', len) != NULL)
		return "a NUL byte in the line";
	if (len > LINE_MAX_BYTES)
		return "line too long";
	return NULL;
}

static void
no_assignment(struct reader *rd, const char *line)
{
	size_t len = strcspn(line, BLANKS);

	if (may_be_shown(line, len))
		config_error(rd->l->r,
		    "%s:%u: \"%.*s\": not of the form name = value", rd->path,
		    rd->line, (int)len, line);
	else
		config_error(rd->l->r, "%s:%u: not of the form name = value",
		    rd->path, rd->line);
}

/* line has a NUL at line[len]. */
static void
read_line(struct reader *rd, char *line, size_t len)
{
	const char *why = line_problem(line, len);
	char *eq;

	if (why != NULL) {
		config_error(rd->l->r, "%s:%u: %s", rd->path, rd->line, why);
		return;
	}
	line = trim(line);
	if (*line == '\0' || *line == '#')
		return;
	if ((eq = strchr(line, '=')) == NULL) {
		no_assignment(rd, line);
		return;
	}
	*eq = '\0';
	assignment(rd, trim(line), trim(eq + 1));
}

void
config_file(struct loader *l, bool named)
{
	const char *path = settings_str(l->c->settings, OPT_CONFIG);
	struct reader rd = { .l = l, .path = path };
	size_t len, n;
	char *buf, *line, *end;

	if ((buf = open_and_slurp(l, path, named, &len)) == NULL)
		return;
	for (line = buf; line < buf + len; line += n + 1) {
		end = memchr(line, '\n', (size_t)(buf + len - line));
		n = (size_t)((end != NULL ? end : buf + len) - line);
		line[n] = '\0';
		rd.line++;
		read_line(&rd, line, n);
	}
	free(buf);
}
