#include "supervisor/proc.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/duration.h"
#include "common/timer.h"
#include "supervisor/handout.h"
#include "supervisor/messages.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

/* What it wrote to fd 2 but did not end with a newline is cut here. */
#define ERRORS_MAX LIMIT_LOG_LINE
/* One read of fd 2; a writer that never ends must not keep us. */
#define ERRORS_READ 65536
/* Its channel is closed by then, or somebody else has it open. */
#define ORPHAN_MS 1000
/*
 * What it sent in time may wait behind much else where we come late. Who never
 * stops sending is not waited for.
 */
#define UNREAD_MS      1000
#define UNREAD_STEP_MS 5

static void on_timer(evutil_socket_t fd, short what, void *arg);

struct proc *
proc_new(struct supervisor *sup, const struct role_def *def)
{
	const struct settings *s = sup->config->settings;
	struct proc *p = xcalloc(1, sizeof(*p));

	p->sup = sup;
	p->def = def;
	p->errors_fd = -1;
	restart_init(&p->restart, settings_u64(s, OPT_RESTART_DELAY),
	    settings_u64(s, OPT_RESTART_DELAY_MAX));
	p->restart.once = sup->dry_run;
	p->timer = evtimer_new(sup->base, on_timer, p);
	p->errors = evbuffer_new();
	if (p->timer == NULL || p->errors == NULL)
		fatalx("%s: out of memory", role_name(def->role));
	return p;
}

bool
proc_usable(const struct proc *p)
{
	return p != NULL && p->restart.state == WORKER_READY &&
	    !p->restart.ending && p->ch != NULL;
}

static void
write_line(struct proc *p, enum log_level level, const char *text, size_t len)
{
	struct logsink_line l = {
		.level = level,
		.process = role_name(p->def->role),
		.pid = p->pid != 0 ? p->pid : p->ended_pid,
		.text = text,
		.len = len,
	};

	logsink_write(&p->sup->logsink, &l);
}

static void
tell_suppressed(struct proc *p)
{
	uint64_t n = log_rate_take_suppressed(&p->log_rate, clock_ms());
	char text[64];

	if (n == 0)
		return;
	snprintf(text, sizeof(text), "%llu lines suppressed",
	    (unsigned long long)n);
	write_line(p, LOG_LVL_WARN, text, strlen(text));
}

void
proc_log(struct proc *p, enum log_level level, const char *text, size_t len)
{
	tell_suppressed(p);
	if (log_rate_take(&p->log_rate, clock_ms()))
		write_line(p, level, text, len);
}

/* Lines on fd 2 come from ld.so, assert(3), sanitizers and the like. */
static void
log_errors(struct proc *p)
{
	size_t len;
	char *line;

	while ((line = evbuffer_readln(p->errors, &len, EVBUFFER_EOL_LF))) {
		proc_log(p, LOG_LVL_WARN, line, len);
		free(line);
	}
}

static void
log_errors_rest(struct proc *p)
{
	size_t len = evbuffer_get_length(p->errors);

	if (len == 0)
		return;
	proc_log(p, LOG_LVL_WARN,
	    (const char *)evbuffer_pullup(p->errors, (ev_ssize_t)len), len);
	evbuffer_drain(p->errors, len);
}

static void
close_errors(struct proc *p)
{
	if (p->errors_fd == -1)
		return;
	log_errors_rest(p);
	event_free(p->errors_ev);
	close(p->errors_fd);
	p->errors_ev = NULL;
	p->errors_fd = -1;
}

/* False: there is nothing more for now. */
static bool
read_errors(struct proc *p)
{
	int n = evbuffer_read(p->errors, p->errors_fd, ERRORS_READ);

	if (n == -1 && errno == EAGAIN)
		return false;
	log_errors(p);
	if (evbuffer_get_length(p->errors) >= ERRORS_MAX)
		log_errors_rest(p);
	if (n > 0)
		return true;
	close_errors(p);
	return false;
}

static void
on_errors(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_errors(arg);
}

static void
set_timer(struct proc *p)
{
	uint64_t ms = restart_wait_ms(&p->restart, clock_ms());

	p->due_ms = 0;
	if (ms == RESTART_NEVER)
		evtimer_del(p->timer);
	else
		timer_arm(p->timer, ms);
}

static bool
may_have_answered(struct proc *p, uint64_t now_ms)
{
	if (p->due_ms == 0)
		p->due_ms = now_ms;
	return !p->restart.ending && p->ch != NULL && channel_unread(p->ch) &&
	    now_ms - p->due_ms < UNREAD_MS;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	/* A PONG may have moved it while this waited for its turn. */
	if (restart_wait_ms(&p->restart, now_ms) != 0)
		set_timer(p);
	else if (may_have_answered(p, now_ms))
		timer_arm(p->timer, UNREAD_STEP_MS);
	else
		proc_event(p, RESTART_TIMER);
}

static void
describe_end(int status, char *buf, size_t cap)
{
	if (WIFEXITED(status))
		snprintf(buf, cap, "exited with status %d",
		    WEXITSTATUS(status));
	else if (WTERMSIG(status) == SIGSYS)
		snprintf(buf, cap, "killed by its sandbox (SIGSYS)");
	else
		snprintf(buf, cap, "killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
}

static void
describe_next(const struct proc *p, char *buf, size_t cap)
{
	char text[DURATION_TEXT];

	if (p->restart.state == WORKER_BACKOFF)
		snprintf(buf, cap, "starts again in %s",
		    duration_format(restart_wait_ms(&p->restart, clock_ms()),
			text));
	else if (p->restart.state == WORKER_STARTING)
		strlcpy(buf, "started again", cap);
	else
		strlcpy(buf, "stays down", cap);
}

/* What we asked for, or gave the reason of when we killed it, is no news. */
static bool
is_planned(const struct proc *p)
{
	int status = p->exit_status;

	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0 &&
		    (p->was_ending || p->answered || p->sup->dry_run);
	return p->was_ending &&
	    (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
}

static void
log_end(const struct proc *p)
{
	const char *name = role_name(p->def->role);
	char how[64], next[64];

	describe_end(p->exit_status, how, sizeof(how));
	describe_next(p, next, sizeof(next));
	if (is_planned(p))
		log_debug("%s[%d] %s; %s", name, (int)p->ended_pid, how, next);
	else
		log_warnx("%s[%d] %s; %s", name, (int)p->ended_pid, how, next);
}

static enum restart_event
kind_of_end(const struct proc *p)
{
	bool well = WIFEXITED(p->exit_status) &&
	    WEXITSTATUS(p->exit_status) == EXIT_SUCCESS;

	return well && p->answered ? RESTART_DONE : RESTART_EXIT;
}

/* Reaped, and all that it said before was read. */
static void
end_if_gone(struct proc *p)
{
	if (p->pid != 0 || p->ch != NULL)
		return;
	while (p->errors_fd != -1 && read_errors(p))
		;
	close_errors(p);
	p->was_ending = p->restart.ending;
	proc_event(p, kind_of_end(p));
	log_end(p);
	supervisor_proc_ended(p->sup, p);
}

static void
on_closed(struct channel *ch, const char *why, void *arg)
{
	struct proc *p = arg;

	channel_free(ch);
	p->ch = NULL;
	if (why != NULL && p->pid != 0) {
		log_error("%s[%d]: protocol error: %s", role_name(p->def->role),
		    (int)p->pid, why);
		proc_event(p, RESTART_FAULT);
	}
	end_if_gone(p);
}

static bool
on_message(struct channel *ch, const struct msg *m, void *arg)
{
	(void)ch;
	return message_handle(arg, m);
}

static const struct channel_ops channel_ops = {
	.message = on_message,
	.closed = on_closed,
};

static void
forget_last(struct proc *p)
{
	p->layers = 0;
	p->health = HEALTH_STARTING;
	p->synced = p->answered = false;
	p->missing[0] = p->text[0] = '\0';
}

static void
connect_to(struct proc *p, const struct spawned *sp)
{
	p->pid = sp->pid;
	p->errors_fd = sp->errors;
	p->errors_ev = event_new(p->sup->base, sp->errors, EV_READ | EV_PERSIST,
	    on_errors, p);
	p->ch = channel_new(p->sup->base, sp->control, ROLE_SUPERVISOR,
	    p->def->role, &channel_ops, p);
	if (p->errors_ev == NULL || event_add(p->errors_ev, NULL) == -1 ||
	    p->ch == NULL)
		fatalx("%s: out of memory", role_name(p->def->role));
}

static void
do_spawn(struct proc *p)
{
	const char *name = role_name(p->def->role);
	const char *dir =
	    settings_str(p->sup->config->settings, OPT_LIBEXEC_DIR);
	bool keep_stdout = p->sup->dry_run && p->def->answers;
	struct spawned sp;

	forget_last(p);
	if (!spawn_worker(dir, name, keep_stdout, &sp)) {
		if (p->sup->dry_run)
			fatal("cannot start %s/%s", dir, name);
		log_warn("cannot start %s/%s; tried again", dir, name);
		proc_event(p, RESTART_EXIT);
		return;
	}
	connect_to(p, &sp);
	log_debug("%s[%d] started", name, (int)p->pid);
	handout_config(p);
}

static void
do_ping(struct proc *p)
{
	if (p->ch == NULL)
		return;
	arc4random_buf(&p->ping, sizeof(p->ping));
	channel_send(p->ch, MSG_PING, p->ping, NULL, 0, -1);
}

static void
do_term(struct proc *p)
{
	if (p->pid != 0)
		kill(p->pid, SIGTERM);
}

static void
do_kill(struct proc *p)
{
	if (p->pid == 0)
		return;
	log_warnx("%s[%d]: %s: killed", role_name(p->def->role), (int)p->pid,
	    p->restart.why);
	kill(p->pid, SIGKILL);
}

static void (*const actions[])(struct proc *p) = {
	[RESTART_DO_SPAWN] = do_spawn,
	[RESTART_DO_PING] = do_ping,
	[RESTART_DO_TERM] = do_term,
	[RESTART_DO_KILL] = do_kill,
};

void
proc_event(struct proc *p, enum restart_event event)
{
	enum worker_state before = p->restart.state;
	enum restart_action action;

	action = restart_event(&p->restart, event, clock_ms(), arc4random());
	if (actions[action] != NULL)
		actions[action](p);
	set_timer(p);
	if (p->restart.state != before || action == RESTART_DO_SPAWN)
		supervisor_proc_changed(p->sup, p);
}

void
proc_reaped(struct proc *p, int status)
{
	p->ended_pid = p->pid;
	p->pid = 0;
	p->exit_status = status;
	p->reaped_ms = clock_ms();
	end_if_gone(p);
}

void
proc_tick(struct proc *p)
{
	tell_suppressed(p);
	if (p->pid != 0 || p->ch == NULL ||
	    clock_ms() - p->reaped_ms < ORPHAN_MS)
		return;
	channel_free(p->ch);
	p->ch = NULL;
	end_if_gone(p);
}

void
proc_free(struct proc *p)
{
	if (p == NULL)
		return;
	if (p->pid != 0)
		kill(p->pid, SIGKILL);
	channel_free(p->ch);
	close_errors(p);
	event_free(p->timer);
	evbuffer_free(p->errors);
	free(p);
}
