#include "workers/refusal.h"

#include <stdarg.h>
#include <stdio.h>

void
refusal_clear(struct refusal *r)
{
	r->where[0] = r->why[0] = '\0';
}

bool
refused(const struct refusal *r)
{
	return r->why[0] != '\0';
}

bool
refuse(struct refusal *r, const char *fmt, ...)
{
	va_list ap;

	if (refused(r))
		return false;
	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return false;
}

bool
refusal_at(struct refusal *r, const char *fmt, ...)
{
	va_list ap;

	if (r->where[0] != '\0')
		return false;
	va_start(ap, fmt);
	vsnprintf(r->where, sizeof(r->where), fmt, ap);
	va_end(ap);
	return false;
}
