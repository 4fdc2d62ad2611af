/*
 * A worker that only says what it was given: for tests of the supervisor that
 * need no work. Its role is the one that it is started by the name of.
 */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "workers/worker.h"

/* What is shown of a blob; those of tests are no secrets. */
#define SHOWN 40

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	(void)w;
	log_info("blob %s: %zu bytes: %.*s", blob_name(id), len,
	    len < SHOWN ? (int)len : SHOWN, (const char *)data);
}

static void
on_link(struct worker *w, enum role peer, struct channel *ch)
{
	(void)w;
	log_info("link %s: %s", role_name(peer), ch != NULL ? "up" : "down");
}

static bool
on_message(struct worker *w, enum role peer, const struct msg *m)
{
	(void)w;
	(void)peer;
	(void)m;
	return true;
}

static void
start_k8s_writer(struct worker *w)
{
	const struct settings *s = w->settings;

	log_info("started: api %s, name \"%s\", %s, leader-elect %s",
	    settings_str(s, OPT_K8S_API),
	    settings_str(s, OPT_K8S_TLS_SERVER_NAME),
	    settings_bool(s, OPT_K8S_INSECURE) ? "insecure" : "secure",
	    settings_str(s, OPT_LEADER_ELECT));
	worker_health(w, HEALTH_OK, true, "a stand-in");
}

static void
start_consul_reader(struct worker *w)
{
	log_info("started: tag %s", settings_str(w->settings, OPT_CONSUL_TAG));
	worker_health(w, HEALTH_OK, true, "a stand-in");
}

int
main(void)
{
	static struct worker_role role = {
		.role = ROLE_CONSUL_READER,
		.start = start_consul_reader,
		.blob = on_blob,
		.link = on_link,
		.message = on_message,
	};

	if (strcmp(program_invocation_short_name, role_name(ROLE_K8S_WRITER)) ==
	    0) {
		role.role = ROLE_K8S_WRITER;
		role.start = start_k8s_writer;
	}
	return worker_main(&role);
}
