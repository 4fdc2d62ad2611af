/* What the files of supervisor/config*.c share. */
#ifndef CONFIG_PARTS_H
#define CONFIG_PARTS_H

#include "supervisor/config.h"

/* A configuration that is being made. */
struct loader {
	const struct config_input *in;
	struct config *c;
	struct config_report *r;
	/* Had an error: the cross checks leave it out, its value is void. */
	bool bad[OPT_MAX];
};

void config_error(struct config_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void config_warning(struct config_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Which value is meant, as messages begin: "/etc/katalogd.conf:12: name",
 * "environment NAME", "--name", "name (default)".
 */
#define CONFIG_WHERE (LIMIT_OPTION + 128)
const char *config_where(const struct config *c, enum option opt,
    char buf[CONFIG_WHERE]);

/* Whether somebody set it, and it did not just come to be. */
bool config_is_set(const struct config *c, enum option opt);
/* The program's name is that of the other direction's original. */
bool config_as_consul_sync(const struct config *c);

/*
 * Reads text (trimmed by the caller) as a value of that option and sets it.
 * False, and why not, if it is none.
 */
bool config_value(struct settings *s, enum option opt, const char *text,
    char why[CONFIG_WHY]);
/* The other way round; buf is used where the value is not a string. */
#define CONFIG_TEXT 32
const char *config_text(const struct settings *s, enum option opt,
    char buf[CONFIG_TEXT]);

/* Sets one value from a source, or reports why that cannot be. */
void config_assign(struct loader *l, enum option opt, const char *text,
    struct config_source source);

/* The flags in their order: --config says where the file is, so they are
 * gathered before anything is applied. */
struct flag {
	enum option opt;
	const char *value; /* in argv, or constant */
};

struct flags {
	struct loader *l;
	struct flag *list; /* count of them; the caller frees it */
	size_t count;
	bool config; /* --config is there */
};

void config_flags_gather(struct flags *f);
/* --config only, or all the others. */
void config_flags_apply(struct flags *f, bool config_only);
bool config_flags_has(const struct flags *f, enum option opt);

/* A variable that a flag overrides is not looked at, not even if bad. */
void config_env(struct loader *l, const struct flags *f);
void config_env_token(struct loader *l);

/* The file that OPT_CONFIG names; named: it was asked for, must exist. */
void config_file(struct loader *l, bool named);

/* Of the environment; NULL if it is not set, or empty. */
const char *config_env_get(const struct loader *l, const char *name);

/* Values that must fit one another, and those that follow from others. */
void config_cross_check(struct loader *l);
/* How the cluster is reached, for to-k8s. */
void config_check_k8s(struct loader *l);
/* SIGHUP: the old value stays, with its source. */
void config_keep(const struct config *old, struct config *next,
    enum option opt);
/*
 * SIGHUP: what the last kubeconfig said holds until next's was read. With
 * whole_direction all of how the cluster is reached stays as it was.
 */
void config_keep_cluster(const struct config *old, struct config *next,
    bool whole_direction);

/* An error about a value that a type alone cannot tell. */
void config_fail(struct loader *l, enum option opt, const char *why);
/* Warns of those options that somebody set to no end. */
void config_unused(struct loader *l, const enum option *opts, size_t n,
    const char *why);
/* A certificate without its key, or the other way round, is an error. */
void config_check_pair(struct loader *l, enum option cert, enum option key);
/* "host" or, as Consul's own client takes it, "host:port"; "" is fine. */
void config_check_server_name(struct loader *l, enum option opt);

/*
 * The long name closest to a wrong one, NULL if none is close. Options that
 * are no name in a file are left out if file is set.
 */
const char *config_suggest(const char *wrong, bool file);
/* Set by flags only: no name in a file. */
bool config_flag_only(enum option opt);

#endif
