/* The command line. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/config_parts.h"

static void
flag_add(struct flags *f, enum option opt, const char *value)
{
	f->list = xreallocarray(f->list, f->count + 1, sizeof(*f->list));
	f->list[f->count++] = (struct flag){ opt, value };
	f->config |= opt == OPT_CONFIG;
}

static void
unknown_flag(struct flags *f, const char *name)
{
	const char *near = config_suggest(name, false);

	if (near != NULL)
		config_error(f->l->r,
		    "--%.80s: unknown option; did you mean --%s?", name, near);
	else
		config_error(f->l->r, "--%.80s: unknown option", name);
}

/* Long flags that are no options of the table. */
static bool *
mode_flag(struct config *c, const char *name)
{
	if (strcmp(name, "help") == 0)
		return &c->help;
	return strcmp(name, "version") == 0 ? &c->version : NULL;
}

/* Returns how many arguments were used. */
static int
long_flag(struct flags *f, const char *name, const char *value,
    const char *next)
{
	enum option opt = option_by_name(name);
	bool *mode = mode_flag(f->l->c, name);

	if (mode != NULL && value == NULL) {
		*mode = true;
	} else if (opt == 0) {
		unknown_flag(f, name);
	} else if (value != NULL) {
		flag_add(f, opt, value);
	} else if (option_def(opt)->type == OPTION_BOOL) {
		flag_add(f, opt, "true");
	} else if (next == NULL || strncmp(next, "--", 2) == 0) {
		config_error(f->l->r, "--%s: needs a value", name);
	} else {
		flag_add(f, opt, next);
		return 2;
	}
	return 1;
}

/* "--name" or "--name=value"; next is the argument behind it, or NULL. */
static int
take_long(struct flags *f, const char *arg, const char *next)
{
	char *name = xstrdup(arg + 2), *eq = strchr(name, '=');
	const char *value = NULL;
	int used;

	if (eq != NULL) {
		value = strchr(arg, '=') + 1;
		*eq = '\0';
	}
	used = long_flag(f, name, value, next);
	free(name);
	return used;
}

/* "-f FILE", "-fFILE"; s is behind the f. */
static int
take_file(struct flags *f, const char *s, const char *next)
{
	if (*s != '\0') {
		flag_add(f, OPT_CONFIG, s);
		return 1;
	}
	if (next == NULL) {
		config_error(f->l->r, "-f: needs a file name");
		return 1;
	}
	flag_add(f, OPT_CONFIG, next);
	return 2;
}

static int
take_short(struct flags *f, const char *arg, const char *next)
{
	struct config *c = f->l->c;

	for (const char *s = arg + 1; *s != '\0'; s++) {
		switch (*s) {
		case 'n':
			c->check = true;
			break;
		case 'h':
			c->help = true;
			break;
		case 'V':
			c->version = true;
			break;
		case 'f':
			return take_file(f, s + 1, next);
		default:
			config_error(f->l->r, "-%c: unknown option", *s);
			return 1;
		}
	}
	return 1;
}

static void
positional(struct flags *f, const char *arg)
{
	bool after_bool = f->count > 0 &&
	    option_def(f->list[f->count - 1].opt)->type == OPTION_BOOL;

	config_error(f->l->r, "unexpected argument \"%.80s\"%s", arg,
	    after_bool ? " (a boolean's value stands behind =)" : "");
}

void
config_flags_gather(struct flags *f)
{
	const struct config_input *in = f->l->in;
	const char *arg, *next;
	int used;

	for (int i = 1; i < in->argc; i += used) {
		arg = in->argv[i];
		next = i + 1 < in->argc ? in->argv[i + 1] : NULL;
		used = 1;
		if (strncmp(arg, "--", 2) == 0 && arg[2] != '\0')
			used = take_long(f, arg, next);
		else if (arg[0] == '-' && arg[1] != '-' && arg[1] != '\0')
			used = take_short(f, arg, next);
		else
			positional(f, arg);
	}
}

void
config_flags_apply(struct flags *f, bool config_only)
{
	for (size_t i = 0; i < f->count; i++)
		if ((f->list[i].opt == OPT_CONFIG) == config_only)
			config_assign(f->l, f->list[i].opt, f->list[i].value,
			    (struct config_source){ .from = CONFIG_FLAG });
}

bool
config_flags_has(const struct flags *f, enum option opt)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->list[i].opt == opt)
			return true;
	return false;
}
