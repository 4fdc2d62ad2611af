/*
 * The options of katalogd: one table with name, environment, type, default,
 * and the roles that need the value. The supervisor parses text
 * (supervisor/config.h); workers get their slice as MSG_CONFIG, whose tags are
 * enum option and whose values are as struct settings holds them.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/roles.h"
#include "common/tlv.h"
#include "common/url.h"

enum option {
	OPT_CONFIG = 1,
	OPT_LOG_LEVEL,
	OPT_LOG_TARGET,
	OPT_BIND_ADDRESS,
	OPT_SIDECAR_VERIFY_PEER,
	OPT_READINESS_GATES,
	OPT_METRICS_BIND_ADDRESS,
	OPT_PPROF_BIND_ADDRESS,
	OPT_TO_CONSUL,
	OPT_TO_K8S,
	OPT_MIN_SYNC_INTERVAL,
	OPT_MAX_SYNC_INTERVAL,
	OPT_DEFAULT_SYNC_INTERVAL,
	OPT_DEFAULT_CHECK_TTL,
	OPT_SYNC_TTL_BUFFER,
	OPT_KUBELET_API,
	OPT_KUBELET_INSECURE,
	OPT_KUBELET_CA,
	OPT_KUBELET_TOKEN_FILE,
	OPT_KUBELET_CLIENT_CERT,
	OPT_KUBELET_CLIENT_KEY,
	OPT_KUBELET_TLS_SERVER_NAME,
	OPT_KUBELET_TIMEOUT,
	OPT_KUBELET_STALE_AFTER,
	OPT_NODE_NAME,
	OPT_CONSUL_ADDR,
	OPT_CONSUL_TOKEN_FILE,
	OPT_CONSUL_SSL,
	OPT_CONSUL_SSL_VERIFY,
	OPT_CONSUL_CA,
	OPT_CONSUL_CLIENT_CERT,
	OPT_CONSUL_CLIENT_KEY,
	OPT_CONSUL_TLS_SERVER_NAME,
	OPT_CONSUL_NAMESPACE,
	OPT_CONSUL_TIMEOUT,
	OPT_CONSUL_CONCURRENCY,
	OPT_CONSUL_RESYNC_INTERVAL,
	OPT_DEREGISTER_CRITICAL_AFTER,
	OPT_CONSUL_TAG,
	OPT_INTERNAL_TAG,
	OPT_EXTERNAL_TAG,
	OPT_CONSUL_DATACENTER,
	OPT_RESYNC_INTERVAL,
	OPT_WARNING_IS_READY,
	OPT_RESOLVE_HOSTNAMES,
	OPT_ALLOW_LOOPS,
	OPT_MAX_DELETE_RATIO,
	OPT_KUBECONFIG,
	OPT_K8S_API,
	OPT_K8S_TOKEN_FILE,
	OPT_K8S_CA,
	OPT_K8S_CLIENT_CERT,
	OPT_K8S_CLIENT_KEY,
	OPT_K8S_TLS_SERVER_NAME,
	OPT_K8S_INSECURE,
	OPT_TARGET_NAMESPACE,
	OPT_INSTANCE_ID,
	OPT_K8S_CONCURRENCY,
	OPT_K8S_TIMEOUT,
	OPT_LEADER_ELECT,
	OPT_LEADER_ELECT_NAME,
	OPT_ENABLE_HTTPROUTES,
	OPT_DOMAIN_SUFFIX,
	OPT_INTERNAL_GATEWAY,
	OPT_EXTERNAL_GATEWAY,
	OPT_GATEWAY_NAMESPACE,
	OPT_GATEWAY_LISTENER,
	OPT_CONTROL_SOCKET,
	OPT_SANDBOX,
	OPT_UID_BASE,
	OPT_RUNTIME_DIR,
	OPT_LIBEXEC_DIR,
	OPT_RESTART_DELAY,
	OPT_RESTART_DELAY_MAX,
	OPT_DRY_RUN, /* flag only */
	OPT_MAX
};

enum option_type {
	OPTION_STRING,
	OPTION_PATH,
	OPTION_BOOL, /* 0 or 1 */
	OPTION_DURATION, /* milliseconds, >= 0 */
	OPTION_COUNT, /* min..max of the table */
	OPTION_RATIO, /* thousandths, min..max of the table */
	OPTION_LISTEN, /* "", ":8080", "1.2.3.4:8080", "[::1]:0" */
	OPTION_KUBELET_URL,
	OPTION_CONSUL_URL,
	OPTION_K8S_URL, /* or "" */
	OPTION_CHOICE /* one of the words in choices */
};

struct option_def {
	const char *name; /* long flag and name in the file */
	const char *env[3]; /* first set one wins; NULL ends */
	enum option_type type;
	const char *def; /* as text */
	uint64_t min, max; /* of numbers but OPTION_BOOL */
	const char *choices; /* "auto strict", OPTION_CHOICE */
	role_mask roles; /* who gets it besides the supervisor */
	const char *help; /* one line */
	const char *no_effect; /* accepted; why it does nothing */
};

/* NULL out of range. */
const struct option_def *option_def(enum option opt);
/* 0 if there is none. */
enum option option_by_name(const char *name);
/*
 * OPTION_KUBELET_URL, OPTION_CONSUL_URL and OPTION_K8S_URL: the text as both
 * the supervisor and the workers read it. NULL, or why not (constant text).
 */
const char *option_url(enum option opt, const char *text, struct url *u);

/*
 * Resolved values. Strings are owned by the settings. A worker's settings
 * hold only its slice: asking for another option is a bug and fatal.
 */
struct settings;

struct settings *settings_new(void);
void settings_free(struct settings *s);
void settings_set_str(struct settings *s, enum option opt, const char *v);
void settings_set_u64(struct settings *s, enum option opt, uint64_t v);
const char *settings_str(const struct settings *s, enum option opt);
uint64_t settings_u64(const struct settings *s, enum option opt);
bool settings_bool(const struct settings *s, enum option opt);

/* The slice of a role, as fields of MSG_CONFIG. False: does not fit. */
bool settings_encode(const struct settings *s, enum role role,
    struct tlv_writer *w);
/* NULL if it is not exactly the slice of that role. */
struct settings *settings_decode(const void *buf, size_t len, enum role role);

#endif
