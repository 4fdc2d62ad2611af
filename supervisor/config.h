/*
 * The configuration of katalogd: flags, environment and file brought together
 * with the defaults of common/options.h, checked, and each value's source
 * kept. It does no I/O but to read the file and to look for the service
 * account's files.
 *
 * Precedence: flag, environment, file, default. Text is trimmed; an empty
 * environment value counts as unset.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/options.h"
#include "common/url.h"

/* All that there is to say about a configuration, in the order found. */
struct config_message {
	bool warning; /* else an error: there is no config */
	char *text; /* visible characters, one line, no program name */
};

struct config_report {
	struct config_message *messages;
	size_t count;
	size_t errors; /* of them */
};

void config_report_init(struct config_report *r);
void config_report_free(struct config_report *r);
/* One line each: "katalogd: text", "katalogd: warning: text". */
void config_report_print(const struct config_report *r, const char *progname,
    FILE *f);

/* What a configuration is made from. Nothing is kept but argv's strings. */
struct config_input {
	int argc;
	char **argv; /* argv[0]: the name that it was started by */
	char **envp;
	/*
	 * A file that others could have written is refused (it names programs
	 * that root would start).
	 */
	bool root;
	const char *default_file; /* may be missing */
	const char *service_account; /* folder with ca.crt and token */
};

#define CONFIG_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

/* This process's: geteuid(), the usual file and folder. */
struct config_input config_input(int argc, char **argv, char **envp);

enum config_from {
	CONFIG_DEFAULT,
	CONFIG_FILE,
	CONFIG_ENV,
	CONFIG_FLAG,
	CONFIG_SERVICE_ACCOUNT_FILE /* kubelet-ca, kubelet-token-file */
};

struct config_source {
	enum config_from from;
	unsigned line; /* CONFIG_FILE: 1.. */
	const char *env; /* CONFIG_ENV: the variable's name */
};

struct config {
	/*
	 * Every option, resolved and checked; "" is what is not set. Where
	 * consul-ssl makes https of it, consul-addr says https (and consul-ssl
	 * is true whenever consul-addr is https); kubelet-ca and
	 * kubelet-token-file are the service account's where that applies.
	 * With to-k8s either k8s-api or kubeconfig is set, not both, and
	 * leader-elect is yes or no.
	 * option_url() takes the URLs apart.
	 */
	struct settings *settings;
	struct config_source source[OPT_MAX];
	const char *progname; /* base name of argv[0], in argv */
	/*
	 * CONSUL_HTTP_TOKEN, NULL if not set. As in Consul's own client
	 * consul-token-file goes before it, unless that file is empty; here:
	 * until there is something in it. In no settings, so in no slice;
	 * wiped when the config is freed.
	 */
	char *consul_token;
	bool check; /* -n: print and exit */
	bool version; /* these two end the parsing: the rest is defaults */
	bool help;
};

/*
 * NULL if there were errors; all of them are in the report then, not just the
 * first. Warnings may be there in both cases. Also for SIGHUP, with the same
 * input.
 */
struct config *config_load(const struct config_input *in,
    struct config_report *r);
/* NULL is fine. */
void config_free(struct config *c);

/* What a kubeconfig says; "" where it says nothing. */
struct config_cluster {
	const char *api;
	const char *tls_server_name;
	bool insecure;
	/* As they stand there: relative ones begin at the file's folder. */
	const char *token_file;
	const char *ca;
	const char *client_cert;
	const char *client_key;
};

/*
 * Makes that the k8s-* options. False, and why not, if it makes no sense: the
 * config stays as it was.
 */
#define CONFIG_WHY 256
bool config_take_cluster(struct config *c, const struct config_cluster *k,
    char why[CONFIG_WHY]);

/*
 * Every option as a file that reads back to the same values, the source as a
 * comment above each; the token never.
 */
void config_print(const struct config *c, FILE *f);
/* --help: grouped, 80 columns. */
void config_help(const char *progname, FILE *f);

/*
 * SIGHUP: the workers whose slice differs. An option that only a restart of
 * the whole can change (to-consul, to-k8s, uid-base, runtime-dir, libexec-dir,
 * sandbox) gets its old value in next, and the report a warning; with
 * to-consul goes bind-address. Where next has a kubeconfig, what the last one said holds until it was read.
 */
role_mask config_diff_roles(const struct config *old, struct config *next,
    struct config_report *r);

#endif
