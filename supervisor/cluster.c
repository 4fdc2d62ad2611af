#include "supervisor/cluster.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/handout.h"
#include "supervisor/stop.h"
#include "supervisor/supervisor.h"

/* Each credential's blob and field, and its bit in INLINE. */
static const struct credential {
	enum blob_id blob;
	enum msg_tag tag;
	uint8_t bit;
} credentials[] = {
	{ BLOB_K8S_TOKEN, TAG_K8S_TOKEN, 1 },
	{ BLOB_K8S_CA, TAG_K8S_CA, 2 },
	{ BLOB_K8S_CERT, TAG_K8S_CERT, 4 },
	{ BLOB_K8S_KEY, TAG_K8S_KEY, 8 },
};
#define CREDENTIALS (sizeof(credentials) / sizeof(*credentials))

/* An answer's fields as strings. */
struct answer {
	char problem[LIMIT_TEXT + 1];
	char url[LIMIT_OPTION];
	char server_name[LIMIT_K8S_NAME + 1];
	char paths[CREDENTIALS][LIMIT_OPTION];
	struct tlv_field data[CREDENTIALS]; /* len 0: not inline */
	bool insecure;
};

static bool
credentials_of(const struct msg *m, struct answer *a)
{
	uint8_t bits = msg_u8(m, TAG_INLINE);

	for (size_t i = 0; i < CREDENTIALS; i++) {
		struct tlv_field f = msg_field(m, credentials[i].tag);

		if ((bits & credentials[i].bit) != 0)
			a->data[i] = f;
		else if (!tlv_str(&f, a->paths[i], sizeof(a->paths[i])))
			return false;
	}
	return true;
}

static bool
parse(const struct msg *m, struct answer *a)
{
	memset(a, 0, sizeof(*a));
	a->insecure = msg_u8(m, TAG_INSECURE) != 0;
	return msg_str(m, TAG_TEXT, a->problem, sizeof(a->problem)) &&
	    msg_str(m, TAG_URL, a->url, sizeof(a->url)) &&
	    msg_str(m, TAG_SERVER_NAME, a->server_name,
		sizeof(a->server_name)) &&
	    credentials_of(m, a);
}

static const char *
file_of(const struct supervisor *sup)
{
	return settings_str(sup->config->settings, OPT_KUBECONFIG);
}

static void
refused(struct supervisor *sup, const char *why)
{
	struct proc *writer = sup->procs[ROLE_K8S_WRITER];

	log_error("kubeconfig: %s: %s; %s", file_of(sup), why,
	    writer->held ? "k8s-writer waits for a better one"
			 : "what it said before stays in use");
	if (sup->dry_run)
		stop_begin(sup, 1);
	if (!writer->held)
		return;
	writer->health = HEALTH_DEGRADED;
	snprintf(writer->text, sizeof(writer->text), "kubeconfig: %s: %s",
	    file_of(sup), why);
	supervisor_proc_changed(sup, writer);
}

/* The options that k8s-writer is started with, to be compared. */
static size_t
slice(const struct supervisor *sup, uint8_t buf[PROTO_BODY_MAX])
{
	struct tlv_writer w;

	tlv_writer_init(&w, buf, PROTO_BODY_MAX);
	settings_encode(sup->config->settings, ROLE_K8S_WRITER, &w);
	return w.len;
}

static bool
take_options(struct supervisor *sup, const struct answer *a,
    char why[CONFIG_WHY], bool *changed)
{
	const struct config_cluster k = {
		.api = a->url,
		.tls_server_name = a->server_name,
		.insecure = a->insecure,
		.token_file = a->paths[0],
		.ca = a->paths[1],
		.client_cert = a->paths[2],
		.client_key = a->paths[3],
	};
	uint8_t before[PROTO_BODY_MAX], after[PROTO_BODY_MAX];
	size_t n = slice(sup, before);

	if (!config_take_cluster(sup->config, &k, why))
		return false;
	*changed = slice(sup, after) != n || memcmp(before, after, n) != 0;
	return true;
}

static blob_mask
take_blobs(struct supervisor *sup, const struct answer *a)
{
	blob_mask changed = 0;

	for (size_t i = 0; i < CREDENTIALS; i++)
		changed |= secrets_give(sup->secrets, credentials[i].blob,
		    a->data[i].val, a->data[i].len);
	return changed | secrets_configure(sup->secrets, sup->config);
}

static void
release(struct proc *writer)
{
	writer->held = false;
	proc_event(writer, RESTART_START);
}

static void
accepted(struct supervisor *sup, const struct answer *a, bool options_changed)
{
	struct proc *writer = sup->procs[ROLE_K8S_WRITER];
	blob_mask changed = take_blobs(sup, a);

	if (writer->held)
		release(writer);
	else if (options_changed)
		proc_event(writer, RESTART_RELOAD);
	for (unsigned role = 0; role < ROLE_MAX; role++)
		if (proc_usable(sup->procs[role]))
			handout_blobs(sup->procs[role], changed);
}

bool
cluster_answer(struct proc *p, const struct msg *m)
{
	struct supervisor *sup = p->sup;
	bool options_changed;
	char why[CONFIG_WHY];
	struct answer a;

	if (p->answered || !parse(m, &a))
		return false;
	p->answered = true;
	if (sup->stopping)
		return true;
	if (a.problem[0] != '\0')
		refused(sup, a.problem);
	else if (!take_options(sup, &a, why, &options_changed))
		refused(sup, why);
	else
		accepted(sup, &a, options_changed);
	return true;
}

void
cluster_hold(struct supervisor *sup)
{
	for (unsigned role = 0; role < ROLE_MAX; role++) {
		struct proc *p = sup->procs[role];

		if (p == NULL || !p->def->needs_cluster)
			continue;
		p->held = true;
		strlcpy(p->text, "waits for its kubeconfig", sizeof(p->text));
	}
}

bool
cluster_is_missing(const struct supervisor *sup)
{
	const struct proc *writer = sup->procs[ROLE_K8S_WRITER];

	return writer != NULL && writer->held;
}

static void
run(struct proc *reader)
{
	bool down = reader->restart.state == WORKER_DOWN;

	proc_event(reader, down ? RESTART_START : RESTART_RELOAD);
}

void
cluster_read(struct supervisor *sup)
{
	struct proc *reader = sup->procs[ROLE_KUBECONFIG];
	struct proc *writer = sup->procs[ROLE_K8S_WRITER];

	if (reader == NULL || writer == NULL || sup->stopping)
		return;
	if (*file_of(sup) != '\0')
		run(reader);
	else if (writer->held)
		release(writer);
}
