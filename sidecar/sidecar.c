#include "sidecar/sidecar.h"

#define LIBBSD_OPENBSD_VIS
#include <bsd/string.h>
#include <bsd/vis.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/sandbox.h"
#include "common/timer.h"
#include "grpc/client.h"
#include "sidecar/child.h"
#include "sidecar/lifecycle.h"
#include "sidecar/ready.h"

#define AS_BYTES   ((size_t)256 * 1024 * 1024)
#define CONNECT_MS 5000
/* HOST:PORT; a name has at most 253 bytes. */
#define WHO 280

struct sidecar {
	const struct sidecar_config *conf;
	struct event_base *base;
	struct evdns_base *dns; /* NULL: the daemon's host is an address */
	struct grpc_client *client; /* NULL: not needed now */
	struct lifecycle life;
	struct event *timer; /* of LIFE_WAIT */
	struct child child;
	int pass_on; /* to the program when deregistered; 0: none */
	struct log_once failing;
	char who[WHO];
	char fault[LIMIT_TEXT + WHO + 32]; /* why it is not ready */
};

/* What to do in each phase, in words. */
static const struct {
	const char *path;
	const char *doing;
} phases[] = {
	[LIFE_REGISTERING] = { GRPC_REGISTER, "registering" },
	[LIFE_DEREGISTERING] = { GRPC_DEREGISTER, "deregistering" },
};

static const char *const at_signal[] = {
	[LIFE_REGISTERING] = "registering no more, and deregistering",
	[LIFE_REGISTERED] = "deregistering",
	[LIFE_DEREGISTERING] = "the second one, deregistering no more",
	[LIFE_OVER] = "passed on",
};

/* Signals that a program behind --exec may know what to do with. */
static const int forwarded[] = { SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
	SIGWINCH, SIGCONT };

static void
set_fault(struct sidecar *s, const char *text)
{
	snprintf(s->fault, sizeof(s->fault), "%s with %s: %s",
	    phases[s->life.phase].doing, s->who, text);
}

static const char *
fault(void *arg)
{
	const struct sidecar *s = arg;

	return s->life.phase == LIFE_REGISTERED ? NULL : s->fault;
}

/* The end. */

static void
leave(struct sidecar *s)
{
	event_base_loopbreak(s->base);
}

static bool
has_program(const struct sidecar *s)
{
	return s->child.pid != 0 && !s->child.ended;
}

/* And ends a call that is there. What it took is given back. */
static void
disconnect(struct sidecar *s)
{
	grpc_client_free(s->client);
	s->client = NULL;
	malloc_trim(0);
}

/* Deregistered, or not: the program's turn. */
static void
life_ended(struct sidecar *s)
{
	if (!s->life.out)
		log_warnx("%s may still be in Consul until its daemon sees "
			  "that it ends",
		    s->conf->names.pod);
	disconnect(s);
	if (has_program(s))
		child_signal(&s->child, s->pass_on);
	else
		leave(s);
}

static int
exit_status(const struct sidecar *s)
{
	if (s->child.pid != 0)
		return s->child.status;
	return s->life.out ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Calls. */

static void on_answer(enum grpc_code code, const char *text, const void *msg,
    size_t len, void *arg);

static struct grpc_client *
connect_to(const struct sidecar *s)
{
	const struct url *u = &s->conf->daemon;
	const struct grpc_client_conf conf = {
		.base = s->base,
		.dns = s->dns,
		.host = u->host,
		.port = u->port,
		.authority = s->who,
		.connect_ms = CONNECT_MS,
	};

	return grpc_client_new(&conf);
}

static void
call(struct sidecar *s, uint64_t timeout_ms)
{
	uint8_t msg[sizeof(struct sidecar_request) + 64];
	size_t len = sidecar_request_encode(&s->conf->names, msg, sizeof(msg));

	if (s->client == NULL)
		s->client = connect_to(s);
	grpc_client_cancel(s->client);
	grpc_client_call(s->client, phases[s->life.phase].path, msg, len,
	    timeout_ms, on_answer, s);
}

static void
apply(struct sidecar *s, struct life_step step)
{
	evtimer_del(s->timer);
	if (step.what == LIFE_CALL)
		call(s, step.ms);
	else if (step.what == LIFE_WAIT)
		timer_arm(s->timer, step.ms);
	else if (step.what == LIFE_END)
		life_ended(s);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sidecar *s = arg;

	(void)fd;
	(void)what;
	apply(s, life_timer(&s->life, clock_ms()));
}

static void
say_done(struct sidecar *s)
{
	const struct sidecar_request *n = &s->conf->names;
	bool in = s->life.phase == LIFE_REGISTERED;

	s->failing = (struct log_once){ 0 };
	log_info("%s/%s: %s with %s", n->namespace, n->pod,
	    in ? "registered" : "deregistered", s->who);
	if (in)
		disconnect(s);
}

static const char *
what_now(const struct sidecar *s, enum grpc_code code)
{
	if (s->life.phase == LIFE_OVER)
		return "not tried again";
	return life_is_refusal(code)
	    ? "it will be so until the pod or a configuration is changed; "
	      "tried again now and then"
	    : "trying again";
}

static void
say_failed(struct sidecar *s, const char *doing, enum grpc_code code,
    const char *text)
{
	const struct sidecar_request *n = &s->conf->names;

	log_once_warn(&s->failing, "%s/%s: %s with %s: %s: %s; %s",
	    n->namespace, n->pod, doing, s->who, grpc_code_name(code), text,
	    what_now(s, code));
}

static void
on_answer(enum grpc_code code, const char *text, const void *msg, size_t len,
    void *arg)
{
	struct sidecar *s = arg;
	const char *doing = phases[s->life.phase].doing;
	char seen[LIMIT_TEXT];
	struct life_step step;

	(void)msg;
	(void)len;
	strnvis(seen, text, sizeof(seen), VIS_CSTYLE | VIS_OCTAL | VIS_NL);
	set_fault(s, seen);
	step = life_answer(&s->life, code, clock_ms(), arc4random());
	if (code == GRPC_OK)
		say_done(s);
	else
		say_failed(s, doing, code, seen);
	apply(s, step);
}

/* Signals, and the program's end. */

static void
stop(struct sidecar *s)
{
	struct life_step step = life_stop(&s->life, clock_ms());

	if (s->life.phase == LIFE_DEREGISTERING)
		set_fault(s, "this pod is ending");
	apply(s, step);
}

static void
on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct sidecar *s = arg;

	(void)what;
	log_info("signal %d (%s): %s", (int)sig, strsignal((int)sig),
	    at_signal[s->life.phase]);
	s->pass_on = (int)sig;
	if (s->life.phase == LIFE_OVER)
		child_signal(&s->child, s->pass_on);
	else
		stop(s);
}

static void
on_forwarded(evutil_socket_t sig, short what, void *arg)
{
	struct sidecar *s = arg;

	(void)what;
	child_signal(&s->child, (int)sig);
}

static void
on_child(evutil_socket_t sig, short what, void *arg)
{
	struct sidecar *s = arg;

	(void)sig;
	(void)what;
	if (!child_reap(&s->child))
		return;
	log_info("%s: ended, exit status %d", s->conf->exec[0],
	    s->child.status);
	if (s->life.phase == LIFE_OVER)
		leave(s);
	else if (s->life.phase != LIFE_DEREGISTERING)
		stop(s);
}

/* The start. */

static struct event *
event_of(struct sidecar *s, int sig, event_callback_fn handler)
{
	short what = sig != 0 ? EV_SIGNAL | EV_PERSIST : 0;
	struct event *e =
	    event_new(s->base, sig != 0 ? sig : -1, what, handler, s);

	if (e == NULL || (sig != 0 && event_add(e, NULL) == -1))
		fatalx("no memory for an event");
	return e;
}

static void
handle_signals(struct sidecar *s)
{
	const size_t n = sizeof(forwarded) / sizeof(*forwarded);

	signal(SIGPIPE, SIG_IGN);
	event_of(s, SIGTERM, on_stop);
	event_of(s, SIGINT, on_stop);
	if (s->conf->exec == NULL)
		return;
	event_of(s, SIGCHLD, on_child);
	for (size_t i = 0; i < n; i++)
		event_of(s, forwarded[i], on_forwarded);
}

static void
on_libevent_log(int severity, const char *text)
{
	(void)severity;
	log_debug("libevent: %s", text);
}

/*
 * What is in resolv.conf and the hosts file now is what holds: neither can be
 * read later. The name servers' sockets are made here, too.
 */
static struct evdns_base *
dns_open(struct event_base *base)
{
	struct evdns_base *dns;

	if (evutil_secure_rng_init() != 0)
		fatalx("no random numbers for DNS queries");
	evdns_set_log_fn(on_libevent_log);
	dns = evdns_base_new(base, 0);
	if (dns == NULL)
		fatalx("no memory for DNS");
	/* Without the file or a server in it, evdns takes 127.0.0.1. */
	evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	return dns;
}

static void
open_all(struct sidecar *s)
{
	const struct sidecar_config *c = s->conf;
	const struct ready_conf ready = { s->base, fault, s };

	if (*c->bind_address != '\0' &&
	    ready_new(&ready, c->bind_address) == NULL)
		fatalx("nothing is started");
	if (!c->daemon.host_is_ip)
		s->dns = dns_open(s->base);
}

/* 0, or what to exit with. */
static int
start_program(struct sidecar *s)
{
	char **argv = s->conf->exec;

	if (argv == NULL || child_start(&s->child, argv))
		return 0;
	log_warn("--exec: starting %s", argv[0]);
	return errno == ENOENT ? CHILD_NOT_FOUND : CHILD_NOT_RUN;
}

static void
close_sandbox(const struct sidecar *s)
{
	const struct sandbox sb = {
		.role = ROLE_SIDECAR,
		.standalone = true,
		.ports = { s->conf->daemon.port },
		.nports = 1,
		.dns = s->dns != NULL,
		.strict = s->conf->strict,
		.child = s->child.pid,
		.as_bytes = AS_BYTES,
		.nofile = LIMIT_SIDECAR_FDS,
	};
	char missing[LIMIT_TEXT];

	sandbox_enter(&sb, missing, sizeof(missing));
	if (missing[0] != '\0')
		log_info("sandbox: the kernel lacks %s", missing);
}

static void
run(struct sidecar *s)
{
	const struct sidecar_request *n = &s->conf->names;

	log_info("%s/%s: registering with %s", n->namespace, n->pod, s->who);
	set_fault(s, "no answer yet");
	apply(s, life_start(&s->life, clock_ms()));
	/* What starting took is not needed any more. */
	malloc_trim(0);
	if (event_base_dispatch(s->base) == -1)
		fatalx("the event loop failed");
}

/* One that fails takes its program along. */
static struct sidecar self;

static void
at_exit(void)
{
	child_signal(&self.child, SIGTERM);
}

int
sidecar_run(const struct sidecar_config *c)
{
	struct sidecar *s = &self;
	char origin[URL_ORIGIN];
	int failed;

	s->conf = c;
	url_origin(&c->daemon, origin);
	strlcpy(s->who, strstr(origin, "://") + 3, sizeof(s->who));
	life_init(&s->life, c->max_backoff_ms, c->deregister_ms);
	event_set_log_callback(on_libevent_log);
	s->base = event_base_new();
	if (s->base == NULL)
		fatalx("no event loop");
	s->timer = event_of(s, 0, on_timer);
	handle_signals(s);
	open_all(s);
	failed = start_program(s);
	if (failed != 0)
		return failed;
	atexit(at_exit);
	close_sandbox(s);
	run(s);
	return exit_status(s);
}
