#include "grpc/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const char *const names[GRPC_CODES] = {
	[GRPC_OK] = "OK",
	[GRPC_CANCELLED] = "CANCELLED",
	[GRPC_UNKNOWN] = "UNKNOWN",
	[GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[GRPC_NOT_FOUND] = "NOT_FOUND",
	[GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[GRPC_ABORTED] = "ABORTED",
	[GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[GRPC_INTERNAL] = "INTERNAL",
	[GRPC_UNAVAILABLE] = "UNAVAILABLE",
	[GRPC_DATA_LOSS] = "DATA_LOSS",
	[GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

/* http-grpc-status-mapping.md of the gRPC project. */
static const struct {
	unsigned status;
	enum grpc_code code;
} of_http[] = {
	{ 400, GRPC_INTERNAL },
	{ 401, GRPC_UNAUTHENTICATED },
	{ 403, GRPC_PERMISSION_DENIED },
	{ 404, GRPC_UNIMPLEMENTED },
	{ 429, GRPC_UNAVAILABLE },
	{ 502, GRPC_UNAVAILABLE },
	{ 503, GRPC_UNAVAILABLE },
	{ 504, GRPC_UNAVAILABLE },
};

/* From fine to coarse. At 8 digits the largest product is 3.6e14. */
static const struct unit {
	char letter;
	uint32_t times; /* ms in one */
	uint32_t divided; /* of them are one ms */
} units[] = {
	{ 'n', 1, 1000000 },
	{ 'u', 1, 1000 },
	{ 'm', 1, 1 },
	{ 'S', 1000, 1 },
	{ 'M', 60 * 1000, 1 },
	{ 'H', 3600 * 1000, 1 },
};

#define TIMEOUT_DIGITS 8
#define TIMEOUT_MOST   99999999
/* Milliseconds, the finest that is ever sent. */
#define FIRST_SENT 2

const char *
grpc_code_name(unsigned code)
{
	return code < GRPC_CODES ? names[code] : names[GRPC_UNKNOWN];
}

/* At most digits of them, at least one, and nothing else. */
static bool
number_parse(const char *s, size_t len, size_t digits, uint64_t *n)
{
	if (len == 0 || len > digits)
		return false;
	*n = 0;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*n = *n * 10 + (uint64_t)(s[i] - '0');
	}
	return true;
}

enum grpc_code
grpc_code_parse(const char *s, size_t len)
{
	uint64_t n;

	if (!number_parse(s, len, 2, &n) || n >= GRPC_CODES)
		return GRPC_UNKNOWN;
	return (enum grpc_code)n;
}

enum grpc_code
grpc_code_of_http(unsigned status)
{
	for (size_t i = 0; i < COUNT(of_http); i++)
		if (of_http[i].status == status)
			return of_http[i].code;
	return GRPC_UNKNOWN;
}

bool
grpc_timeout_parse(const char *s, size_t len, uint64_t *ms)
{
	uint64_t n;

	if (len < 2 || !number_parse(s, len - 1, TIMEOUT_DIGITS, &n))
		return false;
	for (const struct unit *u = units; u < units + COUNT(units); u++) {
		if (u->letter != s[len - 1])
			continue;
		*ms = (n * u->times + u->divided - 1) / u->divided;
		return true;
	}
	return false;
}

void
grpc_timeout_format(uint64_t ms, char buf[GRPC_TIMEOUT])
{
	const struct unit *u = units + FIRST_SENT;
	uint64_t n = ms;

	while (n > TIMEOUT_MOST && u + 1 < units + COUNT(units)) {
		u++;
		n = ms / u->times + (ms % u->times != 0);
	}
	if (n > TIMEOUT_MOST)
		n = TIMEOUT_MOST;
	snprintf(buf, GRPC_TIMEOUT, "%" PRIu64 "%c", n, u->letter);
}

static bool
stands_for_itself(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e && c != '%';
}

void
grpc_message_encode(const char *text, char *buf, size_t cap)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char c;
	size_t n = 0;

	for (; (c = (unsigned char)*text) != '\0'; text++) {
		if (n + (stands_for_itself(c) ? 1 : 3) >= cap)
			break;
		if (stands_for_itself(c)) {
			buf[n++] = (char)c;
			continue;
		}
		buf[n++] = '%';
		buf[n++] = hex[c >> 4];
		buf[n++] = hex[c & 0xf];
	}
	buf[n] = '\0';
}

/* -1: no hexadecimal digit. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that an escape stands for; 0, which none may, if it is not one. */
static char
escaped(const char *s, size_t len)
{
	if (len < 3 || s[0] != '%' || hex_value(s[1]) < 0 ||
	    hex_value(s[2]) < 0)
		return '\0';
	return (char)(hex_value(s[1]) << 4 | hex_value(s[2]));
}

void
grpc_message_decode(const char *s, size_t len, char *buf, size_t cap)
{
	size_t n = 0;
	char c;

	for (size_t i = 0; i < len && n + 1 < cap; i++) {
		c = escaped(s + i, len - i);
		if (c != '\0')
			i += 2;
		buf[n++] = c != '\0' ? c : s[i];
	}
	buf[n] = '\0';
}
