/* Text to value and back, by the type of the option. */
#include <bsd/stdlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/duration.h"
#include "supervisor/config_parts.h"

struct value {
	struct settings *settings;
	enum option opt;
	const struct option_def *def;
	const char *text;
	char *why; /* CONFIG_WHY bytes */
};

static bool __attribute__((format(printf, 2, 3)))
refuse(const struct value *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->why, CONFIG_WHY, fmt, ap);
	va_end(ap);
	return false;
}

static bool
keep(const struct value *v)
{
	settings_set_str(v->settings, v->opt, v->text);
	return true;
}

static bool
parse_string(const struct value *v)
{
	if (strpbrk(v->text, " \t") != NULL)
		return refuse(v, "holds white space");
	return keep(v);
}

static bool
parse_bool(const struct value *v)
{
	/* The words of Go's strconv.ParseBool, and people's. */
	static const char *const words[2][6] = {
		{ "false", "no", "off", "0", "f" },
		{ "true", "yes", "on", "1", "t" },
	};

	for (unsigned value = 0; value < 2; value++) {
		for (int i = 0; words[value][i] != NULL; i++) {
			if (strcasecmp(v->text, words[value][i]) != 0)
				continue;
			settings_set_u64(v->settings, v->opt, value);
			return true;
		}
	}
	return refuse(v, "neither true nor false");
}

static bool
parse_duration(const struct value *v)
{
	char min[DURATION_TEXT], max[DURATION_TEXT];
	uint64_t ms;

	if (!duration_parse(v->text, &ms))
		return refuse(v, "not a duration (like 500ms, 1m30s)");
	if (ms < v->def->min || ms > v->def->max)
		return refuse(v, "not between %s and %s",
		    duration_format(v->def->min, min),
		    duration_format(v->def->max, max));
	settings_set_u64(v->settings, v->opt, ms);
	return true;
}

static bool
parse_count(const struct value *v)
{
	size_t len = strlen(v->text);
	const char *failed = NULL;
	long long n = 0;

	/* strtonum() allows signs and white space. */
	if (len > 0 && strspn(v->text, "0123456789") == len)
		n = strtonum(v->text, (long long)v->def->min,
		    (long long)v->def->max, &failed);
	else
		failed = "invalid";
	if (failed != NULL)
		return refuse(v, "not a number from %llu to %llu",
		    (unsigned long long)v->def->min,
		    (unsigned long long)v->def->max);
	settings_set_u64(v->settings, v->opt, (uint64_t)n);
	return true;
}

/* 0 or 1, and up to three digits behind a point. */
static bool
read_thousandths(const char *s, uint64_t *n)
{
	size_t len = strlen(s);
	unsigned unit = 100;

	if (*s != '0' && *s != '1')
		return false;
	*n = (uint64_t)(*s - '0') * 1000;
	if (len == 1)
		return true;
	if (s[1] != '.' || len < 3 || len > 5 ||
	    strspn(s + 2, "0123456789") != len - 2)
		return false;
	for (s += 2; *s != '\0'; s++, unit /= 10)
		*n += (uint64_t)(*s - '0') * unit;
	return true;
}

static bool
parse_ratio(const struct value *v)
{
	uint64_t n;

	if (!read_thousandths(v->text, &n) || n < v->def->min ||
	    n > v->def->max)
		return refuse(v, "not a share from 0 to 1 (like 0.5)");
	settings_set_u64(v->settings, v->opt, n);
	return true;
}

static bool
parse_listen(const struct value *v)
{
	char host[64];
	uint16_t port;

	if (*v->text != '\0' &&
	    !url_parse_listen(v->text, host, sizeof(host), &port))
		return refuse(v,
		    "not an address to listen at (like :8080, "
		    "127.0.0.1:8080, [::1]:8080)");
	return keep(v);
}

/* Kept as it is: what was left out is put in once all is known. */
static bool
parse_url(const struct value *v)
{
	static const char *const examples[] = {
		[OPTION_KUBELET_URL] =
		    "https://127.0.0.1:10250/pods, file:///path",
		[OPTION_CONSUL_URL] =
		    "127.0.0.1:8500, https://consul:8501, unix:///path",
		[OPTION_K8S_URL] = "https://10.0.0.1:6443",
	};
	struct url u;
	const char *why = option_url(v->opt, v->text, &u);

	if (why != NULL)
		return refuse(v, "%s (like %s)", why, examples[v->def->type]);
	return keep(v);
}

static bool
parse_k8s_url(const struct value *v)
{
	return *v->text == '\0' ? keep(v) : parse_url(v);
}

static bool
parse_choice(const struct value *v)
{
	char words[128], *word, *rest = words;

	snprintf(words, sizeof(words), "%s", v->def->choices);
	while ((word = strsep(&rest, " ")) != NULL) {
		if (strcasecmp(v->text, word) != 0)
			continue;
		settings_set_str(v->settings, v->opt, word);
		return true;
	}
	return refuse(v, "not one of: %s", v->def->choices);
}

static bool (*const parsers[])(const struct value *) = {
	[OPTION_STRING] = parse_string,
	[OPTION_PATH] = keep,
	[OPTION_BOOL] = parse_bool,
	[OPTION_DURATION] = parse_duration,
	[OPTION_COUNT] = parse_count,
	[OPTION_RATIO] = parse_ratio,
	[OPTION_LISTEN] = parse_listen,
	[OPTION_KUBELET_URL] = parse_url,
	[OPTION_CONSUL_URL] = parse_url,
	[OPTION_K8S_URL] = parse_k8s_url,
	[OPTION_CHOICE] = parse_choice,
};

/* They would break up lines of the log and of what -n prints. */
static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return true;
	return false;
}

bool
config_value(struct settings *s, enum option opt, const char *text,
    char why[CONFIG_WHY])
{
	struct value v = { s, opt, option_def(opt), text, why };

	if (strlen(text) >= LIMIT_OPTION)
		return refuse(&v, "longer than %d bytes", LIMIT_OPTION - 1);
	if (has_control(text))
		return refuse(&v, "holds control characters");
	return parsers[v.def->type](&v);
}

const char *
config_text(const struct settings *s, enum option opt, char buf[CONFIG_TEXT])
{
	switch (option_def(opt)->type) {
	case OPTION_BOOL:
		return settings_bool(s, opt) ? "true" : "false";
	case OPTION_DURATION:
		return duration_format(settings_u64(s, opt), buf);
	case OPTION_COUNT:
		snprintf(buf, CONFIG_TEXT, "%llu",
		    (unsigned long long)settings_u64(s, opt));
		return buf;
	case OPTION_RATIO:
		snprintf(buf, CONFIG_TEXT, "%.3g",
		    (double)settings_u64(s, opt) / 1000);
		return buf;
	default:
		return settings_str(s, opt);
	}
}
