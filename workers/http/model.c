#include <stdio.h>
#include <string.h>

#include <bsd/string.h>

#include "workers/http/model.h"

static const char *const state_names[] = {
	[WORKER_DOWN] = "down",
	[WORKER_STARTING] = "starting",
	[WORKER_READY] = "ready",
	[WORKER_BACKOFF] = "backoff",
};

const char *
worker_state_name(enum worker_state st)
{
	return st <= WORKER_BACKOFF ? state_names[st] : "unknown";
}

bool
model_worker(struct model *m, const struct msg *msg, uint64_t now_ms)
{
	enum role role = (enum role)msg_u8(msg, TAG_ROLE);
	struct worker_info *w;

	/* proto.c bounds the other values, and texts to what fits. */
	if (role == ROLE_SUPERVISOR)
		return false;
	w = &m->workers[role];
	w->state = (enum worker_state)msg_u8(msg, TAG_STATE);
	if (w->state == WORKER_READY)
		w->down_ms = 0;
	else if (w->down_ms == 0)
		w->down_ms = now_ms;
	w->known = true;
	w->health = (enum health)msg_u8(msg, TAG_HEALTH);
	w->pid = msg_u32(msg, TAG_PID);
	w->since_ms = msg_u64(msg, TAG_SINCE);
	w->restarts = msg_u32(msg, TAG_RESTARTS);
	w->layers = msg_u32(msg, TAG_LAYERS);
	msg_str(msg, TAG_MISSING, w->missing, sizeof(w->missing));
	msg_str(msg, TAG_TEXT, w->text, sizeof(w->text));
	if (msg_u8(msg, TAG_SYNCED))
		m->synced |= ROLE_BIT(role);
	return true;
}

/*
 * One that is not started because its kubeconfig is of no use is no illness
 * that a restart of the whole would heal, and all else works: /readyz says it.
 */
static bool
is_held(const struct worker_info *w)
{
	return w->state == WORKER_DOWN && w->health == HEALTH_DEGRADED;
}

static bool
is_missing(const struct worker_info *w, uint64_t now_ms)
{
	return w->known && w->down_ms != 0 &&
	    now_ms - w->down_ms >= MODEL_DOWN_MS && !is_held(w);
}

bool
model_healthy(const struct model *m, uint64_t now_ms, char *reason, size_t cap)
{
	for (unsigned r = 1; r < ROLE_MAX; r++) {
		const struct worker_info *w = &m->workers[r];

		if (!is_missing(w, now_ms))
			continue;
		snprintf(reason, cap,
		    "%s is not running (%s, %u restarts), since %llu s%s%s",
		    role_name((enum role)r), worker_state_name(w->state),
		    w->restarts,
		    (unsigned long long)(now_ms - w->down_ms) / 1000,
		    *w->text != '\0' ? ": " : "", w->text);
		return false;
	}
	strlcpy(reason, "ok", cap);
	return true;
}

/*
 * A direction is there if its reader is known to run. k8s-writer may be there
 * without, for readiness gates: nobody waits for those.
 */
static const struct direction {
	enum role reader;
	enum role writer;
} directions[] = {
	{ ROLE_KUBELET_READER, ROLE_CONSUL_WRITER },
	{ ROLE_CONSUL_READER, ROLE_K8S_WRITER },
};
#define DIRECTIONS (sizeof(directions) / sizeof(*directions))

static bool
is_there(const struct model *m, const struct direction *d)
{
	return m->workers[d->reader].known && m->workers[d->writer].known;
}

static bool
synced(const struct model *m, const struct direction *d)
{
	return !is_there(m, d) || (m->synced & ROLE_BIT(d->writer)) != 0;
}

bool
model_synced(const struct model *m)
{
	bool any = false;

	for (size_t i = 0; i < DIRECTIONS; i++) {
		if (!synced(m, &directions[i]))
			return false;
		any |= is_there(m, &directions[i]);
	}
	return any;
}

static bool
holds_up(const struct model *m, enum role role, char *reason, size_t cap)
{
	const struct worker_info *w = &m->workers[role];

	if (w->health == HEALTH_OK && w->state == WORKER_READY)
		return false;
	snprintf(reason, cap, "%s: %s", role_name(role),
	    w->text[0] != '\0' ? w->text : worker_state_name(w->state));
	return true;
}

bool
model_ready(const struct model *m, char *reason, size_t cap)
{
	strlcpy(reason, "ok", cap);
	if (model_synced(m))
		return true;
	strlcpy(reason, "the first full sync is not done yet", cap);
	for (size_t i = 0; i < DIRECTIONS; i++) {
		const struct direction *d = &directions[i];

		/* In the data's way: what comes first holds up the rest. */
		if (!synced(m, d) &&
		    (holds_up(m, d->reader, reason, cap) ||
			holds_up(m, d->writer, reason, cap)))
			break;
	}
	return false;
}
