#include "common/url.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* sizeof(sun_path) without the NUL. */
#define UNIX_PATH_MAX 107
#define HOST_MAX      253
#define LABEL_MAX     63

static const struct scheme {
	const char *name;
	uint16_t port; /* 0: a path, no host */
} schemes[] = {
	[URL_HTTP] = { "http", 80 },
	[URL_HTTPS] = { "https", 443 },
	[URL_UNIX] = { "unix", 0 },
	[URL_FILE] = { "file", 0 },
};
#define NSCHEMES (sizeof(schemes) / sizeof(*schemes))

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* White space and control characters; DEL too. */
static bool
has_blank(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return true;
	return false;
}

static bool
is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

static bool
parse_port(const char *s, bool zero, uint16_t *port)
{
	unsigned long n = 0;

	if (*s == '\0' || strlen(s) > 5)
		return false;
	for (; is_digit(*s); s++)
		n = n * 10 + (unsigned long)(*s - '0');
	if (*s != '\0' || n > UINT16_MAX || (n == 0 && !zero))
		return false;
	*port = (uint16_t)n;
	return true;
}

static bool
is_ipv4(const char *s)
{
	struct in_addr addr;

	return inet_pton(AF_INET, s, &addr) == 1;
}

static bool
is_ipv6(const char *s)
{
	struct in6_addr addr;

	return inet_pton(AF_INET6, s, &addr) == 1;
}

/* Letters, digits, '-' and '_', at most 63. Moves *s behind it. */
static bool
label(const char **s)
{
	const char *start = *s;

	while (is_alnum(**s) || **s == '-' || **s == '_')
		(*s)++;
	return *s > start && *s - start <= LABEL_MAX && *start != '-';
}

/*
 * A name whose last label is a number is an IPv4 address to many parsers
 * ("127.1", "0x7f000001"), each of which reads it in its own way.
 */
static bool
ends_in_number(const char *s)
{
	const char *last = strrchr(s, '.');

	last = last == NULL ? s : last + 1;
	if (strncasecmp(last, "0x", 2) == 0)
		return true;
	return *last != '\0' && last[strspn(last, "0123456789")] == '\0';
}

static const char *
check_name(const char *host)
{
	const char *s = host;

	if (strlen(host) > HOST_MAX)
		return "host name longer than 253 bytes";
	do {
		if (!label(&s))
			return "not a host name";
		/* A dot at the end: the name is absolute. */
	} while (*s == '.' && *++s != '\0');
	if (*s != '\0')
		return "not a host name";
	return ends_in_number(host) ? "not an IPv4 address" : NULL;
}

/* "[::1]:80": takes the brackets off; *rest is ":80" or "". */
static const char *
split_ipv6(char *authority, char **host, char **rest)
{
	char *end = strchr(authority, ']');

	if (end == NULL)
		return "no ] behind the IPv6 address";
	*end = '\0';
	*host = authority + 1;
	*rest = end + 1;
	if (!is_ipv6(*host))
		return "not an IPv6 address between [ and ]";
	if (**rest != '\0' && **rest != ':')
		return "something else than a port behind ]";
	return NULL;
}

static const char *
split_name(char *authority, char **host, char **rest)
{
	char *colon = strchr(authority, ':');

	*host = authority;
	*rest = colon == NULL ? authority + strlen(authority) : colon;
	if (colon != NULL && strchr(colon + 1, ':') != NULL)
		return "an IPv6 address needs brackets: [::1]:8500";
	return NULL;
}

static const char *
parse_authority(char *authority, uint16_t default_port, struct url *u)
{
	char *host, *rest;
	const char *why;
	bool v6 = *authority == '[';

	if (strchr(authority, '@') != NULL)
		return "user names and passwords in URLs are not supported";
	why = v6 ? split_ipv6(authority, &host, &rest)
		 : split_name(authority, &host, &rest);
	if (why != NULL)
		return why;
	u->port = default_port;
	if (*rest == ':') {
		*rest++ = '\0';
		if (!parse_port(rest, false, &u->port))
			return "not a port (1-65535)";
	}
	if (*host == '\0')
		return "no host";
	u->host_is_ip = v6 || is_ipv4(host);
	if (!u->host_is_ip && (why = check_name(host)) != NULL)
		return why;
	strlcpy(u->host, host, sizeof(u->host));
	return NULL;
}

static const char *
parse_http(const char *s, uint16_t default_port, struct url *u)
{
	/* An address or name with port and brackets is shorter. */
	char authority[HOST_MAX + 16];
	size_t len = strcspn(s, "/?");

	if (!is_ascii(s))
		return "characters other than ASCII must be percent-encoded";
	if (len >= sizeof(authority))
		return "host name longer than 253 bytes";
	memcpy(authority, s, len);
	authority[len] = '\0';
	s += len;
	if (snprintf(u->path, sizeof(u->path), "%s%s", *s == '/' ? "" : "/",
		s) >= (int)sizeof(u->path))
		return "too long";
	return parse_authority(authority, default_port, u);
}

static const char *
parse_file(const char *s, struct url *u)
{
	if (*s != '/')
		return "the path must be absolute (three slashes: "
		       "file:///path, unix:///path)";
	if (u->scheme == URL_UNIX && strlen(s) > UNIX_PATH_MAX)
		return "path of a Unix socket longer than 107 bytes";
	strlcpy(u->path, s, sizeof(u->path));
	return NULL;
}

/* Moves *s behind "scheme://"; without one it is the fallback. */
static bool
take_scheme(const char **s, enum url_scheme fallback, enum url_scheme *scheme)
{
	const char *sep = strstr(*s, "://");

	*scheme = fallback;
	/* In "host/?u=http://x" it belongs to the query. */
	if (sep == NULL || strcspn(*s, "/?") < (size_t)(sep - *s))
		return true;
	for (size_t i = 0; i < NSCHEMES; i++) {
		size_t len = strlen(schemes[i].name);

		if (len != (size_t)(sep - *s) ||
		    strncasecmp(*s, schemes[i].name, len) != 0)
			continue;
		*scheme = (enum url_scheme)i;
		*s = sep + 3;
		return true;
	}
	return false;
}

const char *
url_parse(const char *s, unsigned allowed, enum url_scheme fallback,
    uint16_t default_port, struct url *u)
{
	memset(u, 0, sizeof(*u));
	if (strlen(s) >= sizeof(u->path))
		return "too long";
	if (has_blank(s))
		return "holds white space or control characters";
	if (strchr(s, '#') != NULL)
		return "fragments (#) have no meaning here";
	if (!take_scheme(&s, fallback, &u->scheme) ||
	    (allowed & 1U << u->scheme) == 0)
		return "not a scheme that is supported here";
	if (schemes[u->scheme].port == 0)
		return parse_file(s, u);
	if (default_port == 0)
		default_port = schemes[u->scheme].port;
	return parse_http(s, default_port, u);
}

void
url_origin(const struct url *u, char buf[URL_ORIGIN])
{
	const char *scheme = schemes[u->scheme].name;
	bool v6 = strchr(u->host, ':') != NULL;

	if (u->port == 0)
		snprintf(buf, URL_ORIGIN, "%s://%s", scheme, u->path);
	else
		snprintf(buf, URL_ORIGIN, "%s://%s%s%s:%u", scheme,
		    v6 ? "[" : "", u->host, v6 ? "]" : "", u->port);
}

void
url_prefix(const struct url *u, char buf[LIMIT_OPTION])
{
	size_t len =
	    strlcpy(buf, u->scheme == URL_UNIX ? "" : u->path, LIMIT_OPTION);

	while (len > 0 && buf[len - 1] == '/')
		buf[--len] = '\0';
}

bool
url_parse_listen(const char *s, char *host, size_t cap, uint16_t *port)
{
	char copy[INET6_ADDRSTRLEN + 16], *addr, *rest;
	bool v6 = *s == '[';

	if (strlcpy(copy, s, sizeof(copy)) >= sizeof(copy))
		return false;
	if ((v6 ? split_ipv6 : split_name)(copy, &addr, &rest) != NULL)
		return false;
	if (*rest != ':')
		return false;
	*rest++ = '\0';
	if (!v6 && *addr != '\0' && !is_ipv4(addr))
		return false;
	return parse_port(rest, true, port) && strlcpy(host, addr, cap) < cap;
}

bool
url_escape(const char *s, char *buf, size_t cap)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *s != '\0'; s++) {
		bool plain = is_alnum(*s) || strchr("-._~", *s) != NULL;

		if (cap <= n + (plain ? 1 : 3))
			return false;
		if (plain) {
			buf[n++] = *s;
			continue;
		}
		buf[n++] = '%';
		buf[n++] = hex[(unsigned char)*s >> 4];
		buf[n++] = hex[(unsigned char)*s & 15];
	}
	if (n >= cap)
		return false;
	buf[n] = '\0';
	return true;
}
