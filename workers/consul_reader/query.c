#include "workers/consul_reader/query.h"

#include <bsd/string.h>
#include <stdio.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/url.h"

#define ESCAPED (3 * LIMIT_OPTION + 1)

/* %s is the tag. What stands in `quotes` is taken as it is. */
static const struct {
	const char *path;
	const char *filter; /* NULL: none */
	bool stale; /* also when it does not wait */
} lists[QUERY_LISTS] = {
	[QUERY_CATALOG] = { "/v1/catalog/services",
	    "`%s` in ServiceTags or ServiceName == `consul`", false },
	[QUERY_CRITICAL] = { "/v1/health/state/critical", NULL, false },
	[QUERY_WARNING] = { "/v1/health/state/warning", NULL, false },
	[QUERY_NODES] = { "/v1/catalog/nodes", NULL, false },
	[QUERY_PULSE] = { "/v1/health/checks/consul", "CheckID == ``", true },
	[QUERY_ROSTER] = { "/v1/health/state/any", "`%s` in ServiceTags",
	    false },
};

static void
add(char path[QUERY_PATH], const char *text)
{
	if (strlcat(path, text, QUERY_PATH) >= QUERY_PATH)
		fatalx("consul: a path is too long");
}

static void
add_escaped(char path[QUERY_PATH], const char *text)
{
	char escaped[ESCAPED];

	if (!url_escape(text, escaped, sizeof(escaped)))
		fatalx("consul: a name is too long for a path");
	add(path, escaped);
}

/* The first one begins the query. */
static void
add_parameter(char path[QUERY_PATH], const char *name, const char *value)
{
	if (*value == '\0')
		return;
	add(path, strchr(path, '?') == NULL ? "?" : "&");
	add(path, name);
	add(path, "=");
	add_escaped(path, value);
}

uint64_t
query_wait_ms(enum query_list list)
{
	return list == QUERY_PULSE ? QUERY_PULSE_WAIT_MS : QUERY_WAIT_MS;
}

static void
add_index(char path[QUERY_PATH], enum query_list list, uint64_t index)
{
	char text[32];

	if (index == 0)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)index);
	add_parameter(path, "index", text);
	snprintf(text, sizeof(text), "%llums",
	    (unsigned long long)query_wait_ms(list));
	add_parameter(path, "wait", text);
}

static void
add_place(const struct query_conf *conf, char path[QUERY_PATH])
{
	add_parameter(path, "dc", conf->datacenter);
	add_parameter(path, "ns", conf->namespace);
}

static void
begin(const struct query_conf *conf, char path[QUERY_PATH], const char *rest)
{
	path[0] = '\0';
	add(path, conf->prefix);
	add(path, rest);
}

static void
write_filter(const char *form, const char *tag, char *buf, size_t cap)
{
	const char *hole = form != NULL ? strstr(form, "%s") : NULL;

	if (hole != NULL)
		snprintf(buf, cap, "%.*s%s%s", (int)(hole - form), form, tag,
		    hole + 2);
	else
		snprintf(buf, cap, "%s", form != NULL ? form : "");
}

void
query_list(const struct query_conf *conf, enum query_list list, uint64_t index,
    char path[QUERY_PATH])
{
	char filter[LIMIT_TAG + 128];

	begin(conf, path, lists[list].path);
	write_filter(lists[list].filter, conf->tag, filter, sizeof(filter));
	add_parameter(path, "filter", filter);
	add_place(conf, path);
	if (index != 0 || lists[list].stale)
		add_parameter(path, "stale", "1");
	add_index(path, list, index);
}

void
query_service(const struct query_conf *conf, const char *service,
    char path[QUERY_PATH])
{
	begin(conf, path, "/v1/health/service/");
	add_escaped(path, service);
	add_place(conf, path);
}
