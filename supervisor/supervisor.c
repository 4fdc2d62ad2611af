#include "supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sandbox.h"
#include "supervisor/cluster.h"
#include "supervisor/handout.h"
#include "supervisor/reload.h"
#include "supervisor/rundir.h"
#include "supervisor/status.h"
#include "supervisor/stop.h"

/* How often files are looked at; a pod list as often as it may be polled. */
#define TICK_MS 1000

#define FOR_EACH_PROC(sup, p) \
	for (unsigned role_ = 0; role_ < ROLE_MAX; role_++) \
		if (((p) = (sup)->procs[role_]) != NULL)

static void
own_line(enum log_level level, const char *line, void *arg)
{
	struct logsink_line l = {
		.level = level,
		.process = role_name(ROLE_SUPERVISOR),
		.pid = getpid(),
		.text = line,
		.len = strlen(line),
	};

	logsink_write(arg, &l);
}

static void
update_notify(struct supervisor *sup)
{
	char buf[LIMIT_TEXT];

	if (sup->stopping)
		return;
	if (!sup->told_ready && status_all_ready(sup->procs)) {
		sup->told_ready = true;
		if (!sup->dry_run)
			log_info("all workers%s are ready",
			    cluster_is_missing(sup) ? " but k8s-writer" : "");
		notify_ready(&sup->notify);
	}
	status_line(sup->procs, buf, sizeof(buf));
	notify_status(&sup->notify, buf);
}

void
supervisor_proc_changed(struct supervisor *sup, struct proc *p)
{
	handout_worker(sup, p);
	update_notify(sup);
}

/* The answer is there, or there will be none. */
static void
dry_run_ended(struct supervisor *sup, const struct proc *p)
{
	int status = p->exit_status;
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	if (sup->stopping || (well && !p->def->answers))
		return;
	stop_begin(sup, well ? EXIT_SUCCESS : EXIT_FAILURE);
}

void
supervisor_proc_ended(struct supervisor *sup, struct proc *p)
{
	if (sup->dry_run)
		dry_run_ended(sup, p);
	stop_go_on(sup);
}

static struct proc *
proc_of(struct supervisor *sup, pid_t pid)
{
	struct proc *p;

	FOR_EACH_PROC(sup, p)
	if (p->pid == pid)
		return p;
	return NULL;
}

static void
on_child(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *sup = arg;
	struct proc *p;
	pid_t pid;
	int status;

	(void)sig;
	(void)what;
	/* As pid 1 of a container we are given children that aren't ours. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if ((p = proc_of(sup, pid)) != NULL)
			proc_reaped(p, status);
}

static void
on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *sup = arg;

	(void)what;
	log_info("%s: ending the workers",
	    sig == SIGINT ? "SIGINT" : "SIGTERM");
	if (sup->stopping)
		stop_now(sup);
	else
		stop_begin(sup, sup->dry_run ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void
on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *sup = arg;

	(void)sig;
	(void)what;
	if (!sup->stopping && !sup->dry_run)
		reload(sup);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *sup = arg;
	blob_mask changed = secrets_check(sup->secrets);
	struct proc *p;

	(void)fd;
	(void)what;
	if ((changed & BLOB_BIT(BLOB_KUBECONFIG)) != 0)
		cluster_read(sup);
	handout_untold(sup);
	FOR_EACH_PROC(sup, p)
	{
		proc_tick(p);
		if (changed != 0 && proc_usable(p))
			handout_blobs(p, changed);
	}
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *sup = arg;

	(void)fd;
	(void)what;
	notify_watchdog(&sup->notify);
}

static struct timeval
as_timeval(uint64_t ms)
{
	return (struct timeval){
		.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};
}

static bool
polls_file(const struct settings *s)
{
	struct url u;

	return option_url(OPT_KUBELET_API, settings_str(s, OPT_KUBELET_API),
		   &u) == NULL &&
	    u.scheme == URL_FILE;
}

void
supervisor_set_tick(struct supervisor *sup)
{
	const struct settings *s = sup->config->settings;
	uint64_t ms = settings_u64(s, OPT_MIN_SYNC_INTERVAL);
	struct timeval tv = as_timeval(TICK_MS);

	if (ms < TICK_MS && polls_file(s))
		tv = as_timeval(ms);
	event_add(sup->tick, &tv);
}

static void
add_signals(struct supervisor *sup)
{
	static const struct {
		int sig;
		event_callback_fn on;
	} signals[SUPERVISOR_SIGNALS] = {
		{ SIGCHLD, on_child },
		{ SIGTERM, on_stop },
		{ SIGINT, on_stop },
		{ SIGHUP, on_hangup },
	};
	sigset_t none;

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++) {
		sup->signals[i] =
		    evsignal_new(sup->base, signals[i].sig, signals[i].on, sup);
		if (sup->signals[i] == NULL ||
		    event_add(sup->signals[i], NULL) == -1)
			fatalx("signal %d: no event", signals[i].sig);
	}
	/* main() held them until now. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
add_timers(struct supervisor *sup)
{
	struct timeval tv = as_timeval(sup->notify.watchdog_ms);

	sup->tick = event_new(sup->base, -1, EV_PERSIST, on_tick, sup);
	sup->watchdog = event_new(sup->base, -1, EV_PERSIST, on_watchdog, sup);
	sup->stop_timer = stop_timer_new(sup);
	if (sup->tick == NULL || sup->watchdog == NULL ||
	    sup->stop_timer == NULL)
		fatalx("out of memory");
	supervisor_set_tick(sup);
	if (sup->notify.watchdog_ms > 0)
		event_add(sup->watchdog, &tv);
}

/* What needs rights, before they are given up. */
static void
open_all(struct supervisor *sup)
{
	const struct settings *s = sup->config->settings;
	unsigned changed;

	if (!rundir_make(settings_str(s, OPT_RUNTIME_DIR)))
		fatalx("nothing is started");
	if (!sup->dry_run &&
	    !listeners_configure(&sup->listeners, sup->config, &changed))
		fatalx("nothing is started");
	sup->secrets = secrets_new();
}

static void
close_sandbox(const struct supervisor *sup)
{
	bool strict = strcmp(settings_str(sup->config->settings, OPT_SANDBOX),
			  "strict") == 0;
	char missing[LIMIT_TEXT];

	sandbox_enter_supervisor(missing, sizeof(missing));
	if (missing[0] == '\0')
		return;
	if (strict)
		fatalx("sandbox = strict, but the kernel lacks %s; nothing is "
		       "started",
		    missing);
	log_warnx("the kernel lacks %s; going on with the other layers of the "
		  "supervisor's sandbox",
	    missing);
}

/* A wrong libexec-dir is told now, not by workers that never come up. */
static void
check_program(const struct supervisor *sup, const char *name)
{
	const char *dir = settings_str(sup->config->settings, OPT_LIBEXEC_DIR);
	char path[2 * LIMIT_OPTION];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (access(path, X_OK) == -1)
		fatal("nothing is started: %s: %s",
		    option_def(OPT_LIBEXEC_DIR)->name, path);
}

static void
make_workers(struct supervisor *sup)
{
	for (unsigned i = 0; i < nrole_defs; i++) {
		const struct role_def *def = &role_defs[i];

		if (!role_runs(def, sup->config->settings))
			continue;
		check_program(sup, role_name(def->role));
		sup->procs[def->role] = proc_new(sup, def);
	}
}

static void
start_workers(struct supervisor *sup)
{
	struct proc *p;

	cluster_hold(sup);
	FOR_EACH_PROC(sup, p)
	if (!p->held && !p->def->once)
		proc_event(p, RESTART_START);
	cluster_read(sup);
}

static void
start(struct supervisor *sup)
{
	sup->base = event_base_new();
	if (sup->base == NULL)
		fatalx("no event loop");
	listeners_init(&sup->listeners);
	logsink_target(&sup->logsink,
	    settings_str(sup->config->settings, OPT_LOG_TARGET));
	log_set_sink(own_line, &sup->logsink);
	if (!sup->dry_run)
		log_info("version %s", PACKAGE_VERSION);
	notify_open(&sup->notify);
	add_signals(sup);
	make_workers(sup);
	open_all(sup);
	close_sandbox(sup);
	secrets_configure(sup->secrets, sup->config);
	add_timers(sup);
	start_workers(sup);
}

static void
finish(struct supervisor *sup)
{
	struct proc *p;

	FOR_EACH_PROC(sup, p)
	proc_free(p);
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
		event_free(sup->signals[i]);
	event_free(sup->tick);
	event_free(sup->watchdog);
	event_free(sup->stop_timer);
	listeners_close(&sup->listeners);
	secrets_free(sup->secrets);
	notify_close(&sup->notify);
	config_free(sup->config);
	log_set_sink(NULL, NULL);
	event_base_free(sup->base);
}

int
supervisor_run(const struct config_input *in, struct config *c,
    const struct logsink *log)
{
	struct supervisor sup = {
		.input = *in,
		.config = c,
		.logsink = *log,
		.dry_run = settings_bool(c->settings, OPT_DRY_RUN),
	};

	start(&sup);
	if (event_base_dispatch(sup.base) == -1)
		log_error("the event loop failed; ending");
	finish(&sup);
	return sup.status;
}
