#include "workers/k8s_writer/kube_answer.h"

#include <stdio.h>
#include <string.h>

/* The part of a body that is no Status that is passed on. */
#define SAID_MAX 200

static const struct {
	long status;
	enum plan_result result;
} results[] = {
	{ 401, PLAN_DENIED },
	{ 403, PLAN_DENIED },
	{ 404, PLAN_GONE },
	{ 409, PLAN_CONFLICT },
	{ 429, PLAN_BUSY },
	{ 503, PLAN_BUSY },
};

enum plan_result
kube_answer_result(const struct kube_answer *a, enum plan_op op)
{
	if (a->error != NULL)
		return PLAN_LOST;
	if (a->status >= 200 && a->status < 300)
		return PLAN_DONE;
	/* A repair's test of the version failed. */
	if (a->status == 422 && op == PLAN_REPAIR)
		return PLAN_CONFLICT;
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		if (results[i].status == a->status)
			return results[i].result;
	}
	return a->status >= 500 ? PLAN_BROKEN : PLAN_REFUSED;
}

static const char *
hint(long status)
{
	if (status == 401)
		return "; the apiserver does not accept katalogd's credentials";
	if (status == 403)
		return "; see contrib/kubernetes for the rights that katalogd "
		       "needs";
	return "";
}

void
kube_answer_text(const struct kube_answer *a, char *buf, size_t cap)
{
	struct kube_status status;
	const char *said;
	size_t n;

	if (a->error != NULL) {
		snprintf(buf, cap, "%s", a->error);
		return;
	}
	kube_json_status(a->body, a->len, &status);
	said = status.message[0] != '\0' ? status.message : a->body;
	n = strcspn(said, "\r\n");
	if (said == a->body && n > SAID_MAX)
		n = SAID_MAX;
	snprintf(buf, cap, "HTTP %ld%s%.*s%s", a->status, n == 0 ? "" : ": ",
	    (int)n, said, hint(a->status));
}
