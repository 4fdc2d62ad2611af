#include "workers/http_error.h"

#include <bsd/string.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * OpenSSL's X509_V_ERR_*; the numbers are part of its ABI. 1 is what curl says
 * while it has not asked: it compares the names before it asks.
 */
static const struct {
	long result;
	const char *text;
} verify_texts[] = {
	{ 1, "is for other names" },
	{ 2, "is not signed by the given CA" },
	{ 7, "is not signed by the given CA (the signature does not match)" },
	{ 9, "is not valid yet (is the clock right?)" },
	{ 10, "has expired" },
	{ 18, "is self-signed, and is not the given CA" },
	{ 19, "is signed by a CA that is not the given one" },
	{ 20, "is not signed by the given CA" },
	{ 21, "is not signed by the given CA" },
	{ 23, "was revoked" },
	{ 26, "is not meant for servers" },
};

enum why { WHY_NONE, WHY_DETAIL, WHY_ERRNO };

/* "before PEER after: why" */
static const struct {
	CURLcode code;
	const char *before;
	const char *after;
	enum why why;
} texts[] = {
	{ CURLE_COULDNT_CONNECT, "connect to ", "", WHY_ERRNO },
	/* The client has a timer of its own for all but that. */
	{ CURLE_OPERATION_TIMEDOUT, "connect to ", "", WHY_DETAIL },
	{ CURLE_COULDNT_RESOLVE_HOST, "address of ", "", WHY_DETAIL },
	{ CURLE_GOT_NOTHING, "", " closed the connection without an answer",
	    WHY_NONE },
	{ CURLE_PARTIAL_FILE, "", " closed the connection within its answer",
	    WHY_DETAIL },
	{ CURLE_SEND_ERROR, "sending to ", "", WHY_ERRNO },
	{ CURLE_RECV_ERROR, "answer of ", " broke off", WHY_ERRNO },
	{ CURLE_WEIRD_SERVER_REPLY, "answer of ", " is not HTTP", WHY_DETAIL },
	{ CURLE_UNSUPPORTED_PROTOCOL, "answer of ", " is not HTTP",
	    WHY_DETAIL },
	/* What curl calls a line of more than 100 kB; we stop at no memory. */
	{ CURLE_OUT_OF_MEMORY, "answer of ", ": a header line without end",
	    WHY_NONE },
	{ CURLE_SSL_CONNECT_ERROR, "TLS with ", "", WHY_DETAIL },
	{ CURLE_SSL_CERTPROBLEM, "TLS with ",
	    ": our client certificate or key can't be used", WHY_DETAIL },
	{ CURLE_SSL_CACERT_BADFILE, "TLS with ", ": the given CA can't be used",
	    WHY_DETAIL },
};

static void
verify_text(const struct http_failure *f, char *buf, size_t cap)
{
	const char *text = "is not to be trusted";

	for (size_t i = 0; i < sizeof(verify_texts) / sizeof(*verify_texts);
	     i++)
		if (verify_texts[i].result == f->verify_result)
			text = verify_texts[i].text;
	snprintf(buf, cap, "TLS: certificate of \"%s\" %s", f->tls_name, text);
}

static const char *
reason(const struct http_failure *f, enum why why)
{
	if (why == WHY_NONE)
		return "";
	if (why == WHY_ERRNO && f->os_errno != 0)
		return strerror(f->os_errno);
	return f->detail;
}

void
http_error_text(const struct http_failure *f, char *buf, size_t cap)
{
	const char *why;

	if (f->code == CURLE_PEER_FAILED_VERIFICATION) {
		verify_text(f, buf, cap);
		return;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (texts[i].code != f->code)
			continue;
		why = reason(f, texts[i].why);
		snprintf(buf, cap, "%s%s%s%s%s", texts[i].before, f->peer,
		    texts[i].after, *why != '\0' ? ": " : "", why);
		return;
	}
	snprintf(buf, cap, "request to %s: %s", f->peer,
	    *f->detail != '\0' ? f->detail : curl_easy_strerror(f->code));
}
