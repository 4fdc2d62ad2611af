#include "workers/identity.h"

static void
clear(struct secret pair[IDENTITY_PARTS])
{
	for (int part = 0; part < IDENTITY_PARTS; part++)
		secret_set(&pair[part], NULL, 0);
}

void
identity_clear(struct identity *i)
{
	clear(i->wanted);
	clear(i->served);
	i->held = false;
}

bool
identity_set(struct identity *i, enum identity_part part, const void *data,
    size_t len)
{
	if (secret_is(&i->wanted[part], data, len))
		return false;
	secret_set(&i->wanted[part], data, len);
	if (len == 0)
		clear(i->served);
	i->held = false;
	return true;
}

const struct secret *
identity_get(const struct identity *i, enum identity_part part)
{
	return i->held ? &i->served[part] : &i->wanted[part];
}

static bool
is_wanted(const struct identity *i, enum identity_part part)
{
	return secret_is(&i->served[part], i->wanted[part].data,
	    i->wanted[part].len);
}

void
identity_served(struct identity *i)
{
	if (i->held)
		return;
	for (int part = 0; part < IDENTITY_PARTS; part++)
		if (!is_wanted(i, part))
			secret_set(&i->served[part], i->wanted[part].data,
			    i->wanted[part].len);
}

bool
identity_refused(struct identity *i)
{
	if (i->held || i->served[IDENTITY_CERT].len == 0 ||
	    (is_wanted(i, IDENTITY_CERT) && is_wanted(i, IDENTITY_KEY)))
		return false;
	i->held = true;
	return true;
}
