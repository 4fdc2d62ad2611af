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

/* The fields of WORKER, in the order of msg_fields(MSG_WORKER). */
static const struct tlv_field *
field_of(const struct tlv_rule *rules, size_t n, const struct tlv_field *fields,
    uint16_t tag)
{
	for (size_t i = 0; i < n; i++) {
		if (rules[i].tag == tag)
			return &fields[i];
	}
	return NULL;
}

bool
model_worker(struct model *m, const struct msg *msg, uint64_t now_ms)
{
	struct tlv_field fields[64];
	const struct tlv_rule *rules;
	struct worker_info *w;
	uint8_t role, state, health;
	size_t n;

	rules = msg_fields(MSG_WORKER, &n);
	if (!tlv_parse(msg->body, msg->len, rules, n, fields))
		return false;
#define FIELD(tag) field_of(rules, n, fields, tag)
	role = tlv_u8(FIELD(TAG_ROLE));
	state = tlv_u8(FIELD(TAG_STATE));
	health = tlv_u8(FIELD(TAG_HEALTH));
	if (role == ROLE_SUPERVISOR || role >= ROLE_MAX ||
	    state > WORKER_BACKOFF || health > HEALTH_DEGRADED)
		return false;
	w = &m->workers[role];
	if (state == WORKER_READY)
		w->down_ms = 0;
	else if (!w->known || w->down_ms == 0)
		w->down_ms = now_ms;
	w->known = true;
	w->state = (enum worker_state)state;
	w->health = (enum health)health;
	w->pid = tlv_u32(FIELD(TAG_PID));
	w->since_ms = tlv_u64(FIELD(TAG_SINCE));
	w->restarts = tlv_u32(FIELD(TAG_RESTARTS));
	w->layers = tlv_u32(FIELD(TAG_LAYERS));
	tlv_str(FIELD(TAG_MISSING), w->missing, sizeof(w->missing));
	tlv_str(FIELD(TAG_TEXT), w->text, sizeof(w->text));
	if (role == ROLE_CONSUL_WRITER && tlv_u8(FIELD(TAG_SYNCED)))
		m->synced = true;
#undef FIELD
	return true;
}

bool
model_healthy(const struct model *m, uint64_t now_ms, char *reason, size_t cap)
{
	for (unsigned r = 1; r < ROLE_MAX; r++) {
		const struct worker_info *w = &m->workers[r];

		if (!w->known || w->down_ms == 0 ||
		    now_ms - w->down_ms < MODEL_DOWN_MS)
			continue;
		snprintf(reason, cap,
		    "%s is not running (%s, %u restarts), since %llu s",
		    role_name((enum role)r), worker_state_name(w->state),
		    w->restarts,
		    (unsigned long long)(now_ms - w->down_ms) / 1000);
		return false;
	}
	strlcpy(reason, "ok", cap);
	return true;
}

/* In the data's way: what comes first holds up the rest. */
static const enum role in_order[] = { ROLE_KUBELET_READER, ROLE_CONSUL_WRITER };

bool
model_ready(const struct model *m, char *reason, size_t cap)
{
	strlcpy(reason, "ok", cap);
	if (m->synced)
		return true;
	strlcpy(reason, "the first full sync is not done yet", cap);
	for (size_t i = 0; i < sizeof(in_order) / sizeof(*in_order); i++) {
		const struct worker_info *w = &m->workers[in_order[i]];

		if (w->health == HEALTH_OK && w->state == WORKER_READY)
			continue;
		snprintf(reason, cap, "%s: %s", role_name(in_order[i]),
		    w->text[0] != '\0' ? w->text : worker_state_name(w->state));
		return false;
	}
	return false;
}
