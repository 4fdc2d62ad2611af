/*
 * The addresses that katalogd is given: http, https, unix and file URLs, and
 * "host:port" without a scheme where the caller allows it. Pure.
 */
#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

enum url_scheme { URL_HTTP, URL_HTTPS, URL_UNIX, URL_FILE };

struct url {
	enum url_scheme scheme;
	char host[256]; /* IPv6 without brackets; "" for files */
	bool host_is_ip;
	uint16_t port; /* 0 for files; the scheme's default */
	char path[LIMIT_OPTION]; /* with query; "/" if none */
};

/*
 * NULL if it is one of the allowed schemes (bits 1 << URL_x), else why not
 * (constant text). Without a scheme, fallback's is taken. User info and
 * fragments are refused, as are control characters and white space. The
 * default ports: http default_port, https default_port unless 0 (then 80,
 * 443).
 */
const char *url_parse(const char *s, unsigned allowed, enum url_scheme fallback,
    uint16_t default_port, struct url *u);

/* Room for what url_origin() writes: the longest path or name. */
#define URL_ORIGIN (LIMIT_OPTION + 16)

/*
 * Whom to talk to: "scheme://host:port" (brackets where needed) without the
 * path; "unix:///path" and "file:///path" with it.
 */
void url_origin(const struct url *u, char buf[URL_ORIGIN]);
/*
 * What the paths of requests begin with: the path without the slashes at its
 * end; "" for unix, whose path is the socket's.
 */
void url_prefix(const struct url *u, char buf[LIMIT_OPTION]);

/* ":8080", "1.2.3.4:8080", "[::1]:8080": host "" is any. False if bad. */
bool url_parse_listen(const char *s, char *host, size_t cap, uint16_t *port);

/* Percent-encodes one path segment or query value. False: does not fit. */
bool url_escape(const char *s, char *buf, size_t cap);

#endif
