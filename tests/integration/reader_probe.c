/*
 * consul-reader with a supervisor and a k8s-writer that are not: what it says
 * comes out as lines, so that a test can see its set as it is over the wire.
 *
 *	reader_probe FOLDER --OPTION=VALUE ...	options of katalogd; FOLDER
 *						is that of consul-reader
 *
 * Lines in (standard input; its end is the end):
 *	token TEXT	a token (BLOB_CONSUL_TOKEN), empty: none
 *	link		a new link to k8s-writer, as after its restart
 * Lines out, their words parted by tabs, what is not visible as \ooo:
 *	ready | ended STATUS
 *	log LEVEL TEXT
 *	health STATE SYNCED TEXT
 *	service NAME CREATE_INDEX PORT_NAME APP_PROTOCOL FLAGS
 *	instance SERVICE NODE ID ADDRESS PORT READY K8S_NODE ZONE
 *	del KEY
 *	synced NEW_EPOCH
 *	fresh CONFIRMED
 */
#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/backend.h"
#include "common/log.h"
#include "common/state.h"
#include "supervisor/config.h"
#include "supervisor/spawn.h"

struct probe {
	struct event_base *base;
	struct config *config;
	struct spawned child;
	struct channel *control;
	struct channel *link;
	struct replica *replica;
};

static void
say(const char *kind, size_t n, const char *const *words)
{
	printf("%s", kind);
	for (size_t i = 0; i < n; i++) {
		char *text = xmalloc(4 * strlen(words[i]) + 1);

		strvis(text, words[i], VIS_OCTAL | VIS_TAB | VIS_NL);
		printf("\t%s", text);
		free(text);
	}
	printf("\n");
	fflush(stdout);
}

#define SAY(kind, ...) \
	say(kind, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), \
	    (const char *[]){ __VA_ARGS__ })

static const char *
number(char buf[24], uint64_t n)
{
	snprintf(buf, 24, "%llu", (unsigned long long)n);
	return buf;
}

/* ---- the set ---- */

/* The nth part of a key whose parts are ended by NUL. */
static void
part_of(const struct set_entry *e, int nth, char *buf, size_t cap)
{
	const char *from = e->key, *end = from + e->key_len, *to;

	while ((to = memchr(from, '\0', (size_t)(end - from))) != NULL &&
	    nth-- > 0)
		from = to + 1;
	snprintf(buf, cap, "%.*s", (int)((to != NULL ? to : end) - from), from);
}

static bool
say_service(const struct set_entry *e)
{
	struct backend_service *s =
	    backend_service_decode(e->key, e->key_len, e->val, e->val_len);
	char index[24];

	if (s == NULL)
		return false;
	SAY("service", s->service, number(index, s->create_index), s->port_name,
	    s->app_protocol,
	    s->internal       ? s->external ? "internal,external" : "internal"
		: s->external ? "external"
			      : "");
	free(s);
	return true;
}

static bool
say_instance(const struct set_entry *e)
{
	struct backend_instance *i =
	    backend_instance_decode(e->key, e->key_len, e->val, e->val_len);
	char port[24], node[1024], id[1024];

	if (i == NULL)
		return false;
	part_of(e, 2, node, sizeof(node));
	part_of(e, 3, id, sizeof(id));
	SAY("instance", i->service, node, id, i->address, number(port, i->port),
	    i->ready ? "ready" : "not-ready", i->node, i->zone);
	free(i);
	return true;
}

static bool
on_put(const struct set_entry *e, void *arg)
{
	char service[LIMIT_SERVICE_NAME + 1];

	(void)arg;
	switch (backend_key(e->key, e->key_len, service)) {
	case BACKEND_SERVICE:
		return say_service(e);
	case BACKEND_INSTANCE:
		return say_instance(e);
	default:
		return false;
	}
}

static void
on_del(const void *key, size_t key_len, bool named, void *arg)
{
	char *text = xmalloc(4 * key_len + 1);

	(void)named;
	(void)arg;
	strvisx(text, key, key_len, VIS_OCTAL | VIS_TAB | VIS_NL);
	printf("del\t%s\n", text);
	fflush(stdout);
	free(text);
}

static void
on_synced(bool new_epoch, void *arg)
{
	(void)arg;
	SAY("synced", new_epoch ? "1" : "0");
}

static void
on_fresh(uint64_t read_at, bool confirmed, void *arg)
{
	(void)read_at;
	(void)arg;
	SAY("fresh", confirmed ? "1" : "0");
}

static const struct replica_ops replica_ops = {
	.put = on_put,
	.del = on_del,
	.synced = on_synced,
	.fresh = on_fresh,
};

static bool
on_link_message(struct channel *ch, const struct msg *m, void *arg)
{
	struct probe *p = arg;

	(void)ch;
	return replica_message(p->replica, m);
}

static void
on_link_closed(struct channel *ch, const char *why, void *arg)
{
	(void)ch;
	(void)arg;
	if (why != NULL)
		fatalx("link: %s", why);
}

static const struct channel_ops link_ops = { on_link_message, on_link_closed,
	NULL };

/* ---- the supervisor's part ---- */

static void
send_with_fd(struct probe *p, enum msg_type type, uint8_t id, int fd)
{
	uint8_t buf[16];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_ID, id);
	if (!channel_send_tlv(p->control, type, 0, &w, fd))
		fatalx("send %s", msg_name(type));
}

static void
send_blob(struct probe *p, enum blob_id id, const char *text)
{
	size_t len = strlen(text);
	int fd = memfd_create("blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 || write(fd, text, len) != (ssize_t)len ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1)
		fatal("memfd");
	send_with_fd(p, MSG_BLOB, (uint8_t)id, fd);
}

static void
send_link(struct probe *p)
{
	int fds[2];

	if (p->link != NULL) {
		replica_attach(p->replica, NULL);
		channel_free(p->link);
	}
	if (!channel_pair(fds))
		fatal("socketpair");
	p->link = channel_new(p->base, fds[0], ROLE_K8S_WRITER,
	    ROLE_CONSUL_READER, &link_ops, p);
	replica_attach(p->replica, p->link);
	send_with_fd(p, MSG_LINK, ROLE_K8S_WRITER, fds[1]);
}

static void
send_all(struct probe *p)
{
	for (unsigned id = 1; id < BLOB_MAX; id++) {
		if ((blob_roles(id) & ROLE_BIT(ROLE_CONSUL_READER)) != 0)
			send_blob(p, id, "");
	}
	if (p->config->consul_token != NULL)
		send_blob(p, BLOB_CONSUL_TOKEN, p->config->consul_token);
	send_link(p);
	channel_send(p->control, MSG_START, 0, NULL, 0, -1);
}

static void
send_config(struct probe *p)
{
	uint8_t buf[PROTO_BODY_MAX];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	if (!settings_encode(p->config->settings, ROLE_CONSUL_READER, &w))
		fatalx("the options do not fit a message");
	channel_send_tlv(p->control, MSG_CONFIG, 0, &w, -1);
}

static void
say_text(const char *kind, const struct msg *m, const char *a, const char *b)
{
	struct tlv_field f = msg_field(m, TAG_TEXT);
	char text[LIMIT_LOG_LINE + 1];

	tlv_str(&f, text, sizeof(text));
	if (b != NULL)
		SAY(kind, a, b, text);
	else
		SAY(kind, a, text);
}

static void
on_log(const struct msg *m)
{
	struct tlv_field level = msg_field(m, TAG_LEVEL);

	say_text("log", m, log_level_name(tlv_u8(&level)), NULL);
}

static void
on_health(const struct msg *m)
{
	static const char *const names[] = { "starting", "ok", "degraded" };
	struct tlv_field health = msg_field(m, TAG_HEALTH);
	struct tlv_field synced = msg_field(m, TAG_SYNCED);

	say_text("health", m, names[tlv_u8(&health)],
	    tlv_u8(&synced) == 1 ? "1" : "0");
}

static bool
on_control(struct channel *ch, const struct msg *m, void *arg)
{
	struct probe *p = arg;

	(void)ch;
	if (m->type == MSG_READY) {
		SAY("ready", "");
		send_all(p);
	} else if (m->type == MSG_LOG) {
		on_log(m);
	} else if (m->type == MSG_HEALTH) {
		on_health(m);
	}
	return true;
}

static void
on_control_closed(struct channel *ch, const char *why, void *arg)
{
	struct probe *p = arg;
	char buf[24];
	int status;

	(void)ch;
	if (why != NULL)
		fatalx("control: %s", why);
	if (waitpid(p->child.pid, &status, 0) == -1)
		fatal("waitpid");
	SAY("ended",
	    number(buf,
		(uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status)
					     : 128 + WTERMSIG(status))));
	event_base_loopbreak(p->base);
}

static const struct channel_ops control_ops = { on_control, on_control_closed,
	NULL };

/* ---- commands ---- */

static void
command(struct probe *p, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "token ", 6) == 0)
		send_blob(p, BLOB_CONSUL_TOKEN, line + 6);
	else if (strcmp(line, "link") == 0)
		send_link(p);
	else
		fatalx("unknown command \"%s\"", line);
}

static void
on_stdin(evutil_socket_t fd, short what, void *arg)
{
	static char buf[4096];
	static size_t used;
	struct probe *p = arg;
	ssize_t n = read(fd, buf + used, sizeof(buf) - used - 1);
	char *end;

	(void)what;
	if (n <= 0) {
		event_base_loopbreak(p->base);
		return;
	}
	used += (size_t)n;
	buf[used] = '\0';
	while ((end = strchr(buf, '\n')) != NULL) {
		size_t len = (size_t)(end + 1 - buf);

		command(p, buf);
		memmove(buf, buf + len, used - len + 1);
		used -= len;
	}
}

/* What the worker says on its fd 2 goes to ours. */
static void
on_errors(evutil_socket_t fd, short what, void *arg)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)what;
	if (n <= 0)
		event_del(arg);
	else if (write(STDERR_FILENO, buf, (size_t)n) != n)
		fatal("standard error");
}

static void
watch(struct probe *p)
{
	struct event *in =
	    event_new(p->base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, p);
	struct event *errors = event_new(p->base, p->child.errors,
	    EV_READ | EV_PERSIST, on_errors, event_self_cbarg());

	if (in == NULL || errors == NULL || event_add(in, NULL) == -1 ||
	    event_add(errors, NULL) == -1)
		fatalx("no events");
}

static struct config *
load(int argc, char **argv)
{
	struct config_input in = config_input(argc, argv, environ);
	struct config_report r;
	struct config *c;

	config_report_init(&r);
	c = config_load(&in, &r);
	config_report_print(&r, "reader_probe", stderr);
	config_report_free(&r);
	if (c == NULL)
		exit(2);
	return c;
}

int
main(int argc, char **argv)
{
	struct probe p = { 0 };

	if (argc < 2)
		fatalx("usage: reader_probe FOLDER --OPTION=VALUE ...");
	signal(SIGPIPE, SIG_IGN);
	p.config = load(argc - 1, argv + 1);
	p.base = event_base_new();
	p.replica = replica_new(&replica_ops, &p);
	if (!spawn_worker(argv[1], "consul-reader", false, &p.child))
		fatal("%s/consul-reader", argv[1]);
	p.control = channel_new(p.base, p.child.control, ROLE_SUPERVISOR,
	    ROLE_CONSUL_READER, &control_ops, &p);
	if (p.base == NULL || p.control == NULL)
		fatal("control channel");
	send_config(&p);
	watch(&p);
	event_base_dispatch(p.base);
	kill(p.child.pid, SIGKILL);
	return EXIT_SUCCESS;
}
