/* What there is to say about a configuration. */
#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/config_parts.h"

/* A message is a line of a log: what does not fit is cut. */
#define TEXT_MAX LIMIT_LOG_LINE

void
config_report_init(struct config_report *r)
{
	*r = (struct config_report){ 0 };
}

void
config_report_free(struct config_report *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->messages[i].text);
	free(r->messages);
	config_report_init(r);
}

static void __attribute__((format(printf, 3, 0)))
add(struct config_report *r, bool warning, const char *fmt, va_list ap)
{
	char raw[TEXT_MAX], *text = xmalloc(4 * sizeof(raw) + 1);

	vsnprintf(raw, sizeof(raw), fmt, ap);
	strvis(text, raw, VIS_NL | VIS_TAB | VIS_CSTYLE | VIS_NOSLASH);
	r->messages =
	    xreallocarray(r->messages, r->count + 1, sizeof(*r->messages));
	r->messages[r->count++] = (struct config_message){ warning, text };
	if (!warning)
		r->errors++;
}

void
config_error(struct config_report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, false, fmt, ap);
	va_end(ap);
}

void
config_warning(struct config_report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(r, true, fmt, ap);
	va_end(ap);
}

void
config_report_print(const struct config_report *r, const char *progname,
    FILE *f)
{
	for (size_t i = 0; i < r->count; i++)
		fprintf(f, "%s: %s%s\n", progname,
		    r->messages[i].warning ? "warning: " : "",
		    r->messages[i].text);
}
