#include "workers/consul_reader/answer.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The part of Consul's text that is passed on. */
#define SAID_MAX 300

/* Digits only, of a number that is no more than INT64_MAX. */
static bool
read_number(const char *s, uint64_t *n)
{
	const char *why = NULL;

	*n = 0;
	if (*s == '\0' || s[strspn(s, "0123456789")] != '\0')
		return false;
	*n = (uint64_t)strtonum(s, 0, INT64_MAX, &why);
	return why == NULL;
}

/* Constant text why its data are not to be used; NULL: they are. */
static const char *
distrust(const struct answer *a, uint64_t *index)
{
	uint64_t contact;

	if (!read_number(a->index, index) || *index == 0)
		return "an answer without an index: not Consul's, or not all "
		       "of it";
	if (strcasecmp(a->leader, "true") != 0)
		return "Consul knows no leader";
	if (!read_number(a->contact, &contact) ||
	    contact > ANSWER_CONTACT_MAX_MS)
		return "Consul's server lost its leader";
	return NULL;
}

static enum answer_worth
worth_of_error(const struct answer *a)
{
	if (a->status == 401 || a->status == 403)
		return ANSWER_DENIED;
	if (a->status == 429 || a->status == 503)
		return ANSWER_BUSY;
	/* Old agents say so in a 500. */
	if (a->status >= 500 &&
	    (strstr(a->body, "Permission denied") != NULL ||
		strstr(a->body, "ACL not found") != NULL))
		return ANSWER_DENIED;
	return a->status >= 500 ? ANSWER_LOST : ANSWER_REFUSED;
}

struct answer_said
answer_read(const struct answer *a)
{
	struct answer_said s = { ANSWER_LOST, 0 };

	if (a->too_large)
		s.worth = ANSWER_TOO_LARGE;
	if (a->error != NULL)
		return s;
	if (a->status != 200)
		s.worth = worth_of_error(a);
	else if (distrust(a, &s.index) == NULL)
		s.worth = strcasecmp(a->filtered, "true") == 0 ? ANSWER_PARTIAL
							       : ANSWER_GOOD;
	return s;
}

bool
answer_counts(enum answer_worth worth)
{
	return worth == ANSWER_GOOD || worth == ANSWER_PARTIAL;
}

static const char *
hint(const struct answer *a)
{
	if (answer_read(a).worth != ANSWER_DENIED)
		return "";
	if (strstr(a->body, "anonymous token") != NULL)
		return "; katalogd has no token: set consul-token-file or "
		       "CONSUL_HTTP_TOKEN";
	if (strstr(a->body, "ACL not found") != NULL)
		return "; Consul does not know katalogd's token";
	return "; katalogd's token needs service:read and node:read on all";
}

void
answer_text(const struct answer *a, char *buf, size_t cap)
{
	const char *why = a->error;
	uint64_t index;
	size_t said;

	if (why == NULL && a->status == 200)
		why = distrust(a, &index);
	if (why != NULL || a->status == 200) {
		snprintf(buf, cap, "%s", why != NULL ? why : "");
		return;
	}
	said = strcspn(a->body, "\r\n");
	snprintf(buf, cap, "HTTP %ld%s%.*s%s", a->status, said == 0 ? "" : ": ",
	    (int)(said < SAID_MAX ? said : SAID_MAX), a->body, hint(a));
}
