#include "workers/consul_writer/answer.h"

#include <stdio.h>
#include <string.h>

#include "common/url.h"

/* The part of Consul's text that is passed on. */
#define SAID_MAX 300

/* Old agents answer 500 where newer ones have a status of its own. */
static const struct {
	const char *text;
	enum plan_result result;
} old_texts[] = {
	{ "Unknown check", PLAN_GONE },
	{ "Unknown service", PLAN_GONE },
	{ "does not have associated TTL", PLAN_GONE },
	{ "Permission denied", PLAN_DENIED },
	{ "ACL not found", PLAN_DENIED },
};

static enum plan_result
server_error(const char *body)
{
	for (size_t i = 0; i < sizeof(old_texts) / sizeof(*old_texts); i++) {
		if (strstr(body, old_texts[i].text) != NULL)
			return old_texts[i].result;
	}
	return PLAN_BROKEN;
}

enum plan_result
answer_result(const struct answer *a)
{
	if (a->error != NULL)
		return PLAN_LOST;
	if (a->status >= 200 && a->status < 300)
		return PLAN_DONE;
	switch (a->status) {
	case 401:
	case 403:
		return PLAN_DENIED;
	case 404:
		return PLAN_GONE;
	case 429:
	case 503:
		return PLAN_BUSY;
	default:
		break;
	}
	return a->status >= 500 ? server_error(a->body) : PLAN_REFUSED;
}

/* By Consul's text: no token, a wrong one, one that may too little (""). */
static const char *
denied_hint(const char *body)
{
	if (strstr(body, "anonymous token") != NULL)
		return "; katalogd has no token: set consul-token-file or "
		       "CONSUL_HTTP_TOKEN";
	if (strstr(body, "ACL not found") != NULL)
		return "; Consul does not know katalogd's token";
	return "";
}

/* Bytes of the first line, clipped between two UTF-8 characters. */
static size_t
first_line(const char *body)
{
	size_t n = strcspn(body, "\r\n");

	if (n <= SAID_MAX)
		return n;
	n = SAID_MAX;
	while (n > 0 && ((unsigned char)body[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void
answer_text(const struct answer *a, const char *right, char *buf, size_t cap)
{
	bool denied = answer_result(a) == PLAN_DENIED, lacks;
	const char *hint;
	size_t said;

	if (a->error != NULL) {
		snprintf(buf, cap, "%s", a->error);
		return;
	}
	hint = denied ? denied_hint(a->body) : "";
	lacks = denied && *hint == '\0';
	said = first_line(a->body);
	/* The hint follows. */
	if (denied && said > 0 && a->body[said - 1] == '.')
		said--;
	snprintf(buf, cap, "HTTP %ld%s%.*s%s%s%s", a->status,
	    said == 0 ? "" : ": ", (int)said, a->body, hint,
	    lacks ? "; katalogd's token needs " : "", lacks ? right : "");
}

static bool
fits(int n, size_t cap)
{
	return n >= 0 && (size_t)n < cap;
}

bool
answer_path(char *buf, size_t cap, const char *prefix, const char *path,
    const char *id, const char *namespace)
{
	char esc_id[ANSWER_PATH] = "", esc_ns[ANSWER_PATH] = "";
	const char *ns = "";

	if (!url_escape(id, esc_id, sizeof(esc_id)) ||
	    !url_escape(namespace, esc_ns, sizeof(esc_ns)))
		return false;
	if (*namespace != '\0')
		ns = strchr(path, '?') == NULL ? "?ns=" : "&ns=";
	return fits(snprintf(buf, cap, "%s%s%s%s%s", prefix, path, esc_id, ns,
			esc_ns),
	    cap);
}
