#include "supervisor/reload.h"

#include "supervisor/cluster.h"
#include "supervisor/handout.h"

static void
log_report(const struct config_report *r)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->messages[i].warning)
			log_warnx("%s", r->messages[i].text);
		else
			log_error("%s", r->messages[i].text);
	}
}

static void
set_log(struct supervisor *sup)
{
	const struct settings *s = sup->config->settings;
	enum log_level level;

	if (log_level_parse(settings_str(s, OPT_LOG_LEVEL), &level))
		log_set_level(level);
	logsink_target(&sup->logsink, settings_str(s, OPT_LOG_TARGET));
}

/* Who has listeners cannot get others while it runs. */
static role_mask
new_listeners(struct supervisor *sup)
{
	role_mask roles = 0;
	unsigned changed;

	if (!listeners_configure(&sup->listeners, sup->config, &changed))
		log_warnx("SIGHUP: the listeners before stay in use");
	for (unsigned i = 0; i < nrole_defs; i++)
		if ((role_defs[i].listeners & changed) != 0)
			roles |= ROLE_BIT(role_defs[i].role);
	return roles;
}

static void
renew(struct proc *p, role_mask again, blob_mask changed)
{
	const struct settings *s = p->sup->config->settings;

	restart_delays(&p->restart, settings_u64(s, OPT_RESTART_DELAY),
	    settings_u64(s, OPT_RESTART_DELAY_MAX));
	if ((again & ROLE_BIT(p->def->role)) != 0)
		proc_event(p, RESTART_RELOAD);
	else if (proc_usable(p))
		handout_blobs(p, changed);
}

static void
apply(struct supervisor *sup, role_mask again)
{
	blob_mask changed;

	set_log(sup);
	supervisor_set_tick(sup);
	again |= new_listeners(sup);
	changed = secrets_configure(sup->secrets, sup->config);
	for (unsigned role = 0; role < ROLE_MAX; role++)
		if (sup->procs[role] != NULL)
			renew(sup->procs[role], again, changed);
	cluster_read(sup);
}

static void
take_over(struct supervisor *sup, struct config *next, struct config_report *r)
{
	struct config *old = sup->config;
	role_mask again = config_diff_roles(old, next, r);

	log_report(r);
	sup->config = next;
	apply(sup, again);
	config_free(old);
	log_info("SIGHUP: the configuration was read again");
}

void
reload(struct supervisor *sup)
{
	struct config_report r;
	struct config *next;

	notify_reloading(&sup->notify);
	config_report_init(&r);
	next = config_load(&sup->input, &r);
	if (next != NULL) {
		take_over(sup, next, &r);
	} else {
		log_report(&r);
		log_error("SIGHUP: the configuration has errors; the one "
			  "before stays in use");
	}
	config_report_free(&r);
	if (sup->told_ready)
		notify_ready(&sup->notify);
}
