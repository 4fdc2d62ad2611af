#include "common/duration.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000ULL
#define MS_MAX    (1ULL << 53)

/* Longer names first: "ms" must not be read as "m". */
static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "\xc2\xb5s", 1000 }, /* U+00B5, micro sign */
	{ "\xce\xbcs", 1000 }, /* U+03BC, Greek mu */
	{ "ms", NS_PER_MS },
	{ "s", 1000 * NS_PER_MS },
	{ "m", 60000 * NS_PER_MS },
	{ "h", 3600000 * NS_PER_MS },
};

struct sum {
	uint64_t ms;
	uint64_t ns; /* below one millisecond */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const struct unit *
unit_at(const char *s)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strncmp(s, units[i].name, strlen(units[i].name)) == 0)
			return &units[i];
	return NULL;
}

static bool
add_ms(struct sum *sum, uint64_t ms)
{
	if (ms > MS_MAX - sum->ms)
		return false;
	sum->ms += ms;
	return true;
}

static bool
add_ns(struct sum *sum, uint64_t ns)
{
	ns += sum->ns;
	sum->ns = ns % NS_PER_MS;
	return add_ms(sum, ns / NS_PER_MS);
}

static bool
add_whole(struct sum *sum, uint64_t n, uint64_t unit_ns)
{
	uint64_t per;

	if (unit_ns >= NS_PER_MS) {
		per = unit_ns / NS_PER_MS;
		return n <= MS_MAX / per && add_ms(sum, n * per);
	}
	per = NS_PER_MS / unit_ns;
	return add_ms(sum, n / per) && add_ns(sum, n % per * unit_ns);
}

/* The digits behind the point; what is below a nanosecond counts as one. */
static bool
add_fraction(struct sum *sum, const char *digits, uint64_t unit_ns)
{
	uint64_t ns = 0, rest = 0;

	for (; is_digit(*digits); digits++) {
		uint64_t d = (uint64_t)(*digits - '0');

		if (d != 0 && unit_ns % 10 != 0)
			rest = 1;
		unit_ns /= 10;
		ns += d * unit_ns;
	}
	return add_ns(sum, ns + rest);
}

/* False if there is no digit or the number is out of any range. */
static bool
whole(const char **s, uint64_t *n, bool *digits)
{
	for (*n = 0; is_digit(**s); (*s)++) {
		if (*n > UINT64_MAX / 10 - 1)
			return false;
		*n = *n * 10 + (uint64_t)(**s - '0');
		*digits = true;
	}
	return true;
}

/* One "1.5h". */
static bool
part(const char **s, struct sum *sum)
{
	const char *fraction = "";
	const struct unit *u;
	bool digits = false;
	uint64_t n;

	if (!whole(s, &n, &digits))
		return false;
	if (**s == '.') {
		fraction = ++*s;
		for (; is_digit(**s); (*s)++)
			digits = true;
	}
	if (!digits || (u = unit_at(*s)) == NULL)
		return false;
	*s += strlen(u->name);
	return add_whole(sum, n, u->ns) && add_fraction(sum, fraction, u->ns);
}

bool
duration_parse(const char *s, uint64_t *ms)
{
	struct sum sum = { 0 };

	if (*s == '+')
		s++;
	if (strcmp(s, "0") == 0) {
		*ms = 0;
		return true;
	}
	do {
		if (!part(&s, &sum))
			return false;
	} while (*s != '\0');
	if (sum.ns > 0 && !add_ms(&sum, 1))
		return false;
	*ms = sum.ms;
	return true;
}

/* "1.05" for 1050. */
static void
seconds(uint64_t ms, char *buf, size_t cap)
{
	int len = snprintf(buf, cap, "%llu.%03llu",
	    (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));

	while (buf[len - 1] == '0')
		buf[--len] = '\0';
	if (buf[len - 1] == '.')
		buf[len - 1] = '\0';
}

const char *
duration_format(uint64_t ms, char buf[DURATION_TEXT])
{
	unsigned long long h = ms / 3600000, m = ms / 60000 % 60;
	char s[sizeof("59.999")];

	if (ms > 0 && ms < 1000) {
		snprintf(buf, DURATION_TEXT, "%ums", (unsigned)ms);
		return buf;
	}
	seconds(ms % 60000, s, sizeof(s));
	if (h > 0)
		snprintf(buf, DURATION_TEXT, "%lluh%llum%ss", h, m, s);
	else if (m > 0)
		snprintf(buf, DURATION_TEXT, "%llum%ss", m, s);
	else
		snprintf(buf, DURATION_TEXT, "%ss", s);
	return buf;
}
