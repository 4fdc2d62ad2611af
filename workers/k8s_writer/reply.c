#include "workers/k8s_writer/reply.h"

#include <stdio.h>
#include <string.h>

/* The part of the apiserver's text that is passed on. */
#define SAID_MAX 300

void
reply_read(struct reply *r, const char *error, long status,
    uint64_t retry_after_ms, const char *body, size_t len)
{
	*r = (struct reply){ .error = error,
		.status = error == NULL ? status : 0,
		.retry_after_ms = retry_after_ms };
	if (error != NULL || (status >= 200 && status < 300))
		return;
	kube_json_status(body, len, &r->said);
	if (r->said.retry_after_ms > r->retry_after_ms)
		r->retry_after_ms = r->said.retry_after_ms;
}

enum plan_result
reply_result(const struct reply *r)
{
	if (r->error != NULL)
		return PLAN_LOST;
	if (r->status >= 200 && r->status < 300)
		return PLAN_DONE;
	switch (r->status) {
	case 401:
		return PLAN_STRANGER;
	case 403:
		return PLAN_DENIED;
	case 404:
		return PLAN_GONE;
	case 409:
		return PLAN_CONFLICT;
	case 429:
	case 503:
		return PLAN_BUSY;
	default:
		break;
	}
	return r->status >= 400 && r->status < 500 ? PLAN_REFUSED : PLAN_BROKEN;
}

/* Both are 422; but one that is not valid is named. */
enum plan_result
reply_patch_result(const struct reply *r)
{
	if (r->error == NULL && r->status == 422 && !r->said.named)
		return PLAN_CONFLICT;
	return reply_result(r);
}

static const enum metric error_metrics[PLAN_RESULTS] = {
	[PLAN_GONE] = M_K8S_ERR_HTTP,
	[PLAN_CONFLICT] = M_K8S_ERR_CONFLICT,
	[PLAN_LOST] = M_K8S_ERR_CONNECT,
	[PLAN_BUSY] = M_K8S_ERR_HTTP,
	[PLAN_REFUSED] = M_K8S_ERR_HTTP,
	[PLAN_STRANGER] = M_K8S_ERR_DENIED,
	[PLAN_DENIED] = M_K8S_ERR_DENIED,
	[PLAN_BROKEN] = M_K8S_ERR_HTTP,
};

void
reply_count_error(enum plan_result r, struct metrics *m)
{
	if (r == PLAN_DONE)
		return;
	metric_inc(m, error_metrics[r]);
	metric_inc(m, M_K8S_ERRORS);
}

void
reply_count(const struct reply *r, uint64_t bytes, struct metrics *m)
{
	metric_add(m, M_K8S_BYTES, bytes);
	reply_count_error(reply_result(r), m);
}

/* Bytes, clipped between two UTF-8 characters. */
static int
clipped(const char *s)
{
	size_t n = strlen(s);

	if (n > SAID_MAX) {
		n = SAID_MAX;
		while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
			n--;
	}
	return (int)n;
}

/*
 * The verb that is lacking: an apply may need another one than was asked for.
 * NULL: a quota, or a namespace that is being deleted, is a 403 too.
 */
static const char *
lacking_verb(const struct reply *r, char verb[32])
{
	const char *at = strstr(r->said.message, " cannot ");

	if (r->status != 403 || at == NULL ||
	    sscanf(at, " cannot %31[a-z] resource", verb) != 1)
		return NULL;
	return verb;
}

static void
hint(const struct reply *r, const struct reply_about *about, char *buf,
    size_t cap)
{
	char lacking[32];
	const char *verb = lacking_verb(r, lacking);

	buf[0] = '\0';
	if (r->status == 401)
		snprintf(buf, cap,
		    "; katalogd's token or certificate is not good, or no "
		    "longer");
	else if (verb != NULL)
		snprintf(buf, cap,
		    "; katalogd's account needs the verb %s on %s in the "
		    "namespace %s",
		    verb, about->resource, about->namespace);
}

void
reply_text(const struct reply *r, const struct reply_about *about,
    char text[LIMIT_TEXT])
{
	const char *said = r->said.message;
	char more[160];

	if (r->error != NULL) {
		snprintf(text, LIMIT_TEXT, "%s", r->error);
		return;
	}
	hint(r, about, more, sizeof(more));
	snprintf(text, LIMIT_TEXT, "HTTP %ld%s%.*s%s", r->status,
	    *said == '\0' ? "" : ": ", clipped(said), said, more);
}
