/* What went wrong with a request, for people. No I/O. */
#ifndef HTTP_ERROR_H
#define HTTP_ERROR_H

#include <curl/curl.h>
#include <stddef.h>

struct http_failure {
	CURLcode code;
	int os_errno; /* 0: none */
	long verify_result; /* TLS library's; 0: none */
	const char *detail; /* curl's own words; "" if none */
	const char *peer; /* "127.0.0.1:10250" */
	const char *tls_name; /* that the certificate must be for */
};

/* Such as "connect to 127.0.0.1:10250: Connection refused". */
void http_error_text(const struct http_failure *f, char *buf, size_t cap);

#endif
