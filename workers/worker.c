#include "workers/worker.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#define CONTROL_FD 3
#define EMPTY_DIR  "empty"

/* Bytes of log lines that wait for the supervisor; more are dropped. */
#define LOG_QUEUE (256 * 1024)
/* Last words on the control channel. */
#define FLUSH_MS 200

/* Bounds where the role does not set its own in preload(). */
#define AS_BYTES ((size_t)1024 * 1024 * 1024)
/* Name servers, links and their like; a client's connections are added. */
#define NOFILE 64

#define SEALS  (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct told_health {
	bool told;
	enum health health;
	bool synced;
	char text[LIMIT_TEXT + 1];
};

struct sibling {
	struct channel *link; /* NULL: there is none now */
	struct feed *feed; /* what we tell it; NULL: nothing */
	struct replica *replica; /* what it tells us; NULL: nothing */
};

/* struct worker is what roles see of it. */
struct process {
	struct worker w;
	const struct worker_role *role;
	struct channel *control;
	struct sibling siblings[ROLE_MAX];
	struct told_health health;
	uint64_t log_dropped;
	bool ready; /* READY was sent */
	bool started;
	int status; /* of our exit */
};

/* Logging, signals and exit know no argument. */
static struct process self;

struct handler {
	bool (*handle)(struct process *pr, const struct msg *m);
};

static void
send_line(enum log_level level, const char *text)
{
	uint8_t buf[LIMIT_LOG_LINE + 2 * TLV_HEADER + 1];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_LEVEL, (uint8_t)level);
	tlv_put_str(&w, TAG_TEXT, text);
	channel_send_tlv(self.control, MSG_LOG, 0, &w, -1);
}

/* A supervisor that is slow to read costs lines, not memory. */
static void
log_to_supervisor(enum log_level level, const char *line, void *arg)
{
	char text[64];

	(void)arg;
	if (channel_queued(self.control) > LOG_QUEUE) {
		self.log_dropped++;
		return;
	}
	if (self.log_dropped > 0) {
		snprintf(text, sizeof(text), "%llu lines dropped",
		    (unsigned long long)self.log_dropped);
		self.log_dropped = 0;
		send_line(LOG_LVL_WARN, text);
	}
	send_line(level, line);
}

static void
flush_at_exit(void)
{
	if (self.control != NULL)
		channel_flush(self.control, FLUSH_MS);
}

static void
end_loop(struct process *pr, int status)
{
	pr->status = status;
	event_base_loopbreak(pr->w.base);
}

void
worker_exit(struct worker *w)
{
	(void)w;
	end_loop(&self, EXIT_SUCCESS);
}

void
worker_answer(const char *text)
{
	size_t len = strlen(text), done = 0;
	ssize_t n;

	while (done < len) {
		n = write(STDOUT_FILENO, text + done, len - done);
		if (n == -1 && errno != EINTR)
			fatal("--dry-run: standard output");
		if (n > 0)
			done += (size_t)n;
	}
}

/* Blobs. */

static off_t
blob_limit(enum blob_id id)
{
	return id == BLOB_KUBELET_PODS ? LIMIT_PODS_FILE : LIMIT_BLOB;
}

/* -1: not a memfd that nobody can change any more, or too large. */
static off_t
blob_size(int fd, enum blob_id id)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals == -1 || (seals & SEALS) != SEALS || fstat(fd, &st) == -1)
		return -1;
	return st.st_size <= blob_limit(id) ? st.st_size : -1;
}

static bool
read_all(int fd, char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, buf + done, len - done, (off_t)done);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool
take_blob(struct process *pr, enum blob_id id, int fd)
{
	off_t size = blob_size(fd, id);
	size_t len = (size_t)size;
	char *buf;
	bool good;

	if (size < 0)
		return false;
	buf = xmalloc(len + 1);
	good = read_all(fd, buf, len);
	buf[len] = '\0';
	if (good)
		pr->role->blob(&pr->w, id, buf, len);
	explicit_bzero(buf, len);
	free(buf);
	return good;
}

static bool
on_blob(struct process *pr, const struct msg *m)
{
	bool good = pr->role->blob == NULL ||
	    take_blob(pr, (enum blob_id)msg_u8(m, TAG_ID), m->fd);

	close(m->fd);
	return good;
}

/* Sockets. */

static bool
on_listen(struct process *pr, const struct msg *m)
{
	if (pr->role->listen != NULL)
		pr->role->listen(&pr->w, (enum listen_id)msg_u8(m, TAG_ID),
		    m->fd);
	else
		close(m->fd);
	return true;
}

static bool
on_connected(struct process *pr, const struct msg *m)
{
	if (pr->role->connected != NULL)
		pr->role->connected(&pr->w, m->fd);
	else if (m->fd != -1)
		close(m->fd);
	return true;
}

void
worker_ask_connection(struct worker *w)
{
	(void)w;
	channel_send(self.control, MSG_CONNECT, 0, NULL, 0, -1);
}

/* Links. */

void
worker_feeds(struct worker *w, enum role peer, struct feed *feed)
{
	(void)w;
	self.siblings[peer].feed = feed;
}

void
worker_follows(struct worker *w, enum role peer, struct replica *replica)
{
	(void)w;
	self.siblings[peer].replica = replica;
}

static void
tell_link(struct process *pr, enum role peer, struct channel *ch)
{
	struct sibling *s = &pr->siblings[peer];

	s->link = ch;
	if (s->feed != NULL)
		feed_attach(s->feed, ch);
	if (s->replica != NULL)
		replica_attach(s->replica, ch);
	if (pr->role->link != NULL)
		pr->role->link(&pr->w, peer, ch);
}

static void
drop_link(struct process *pr, enum role peer)
{
	struct channel *ch = pr->siblings[peer].link;

	if (ch == NULL)
		return;
	tell_link(pr, peer, NULL);
	channel_free(ch);
}

static void
complain(struct process *pr, enum role peer, const char *why)
{
	uint8_t buf[TLV_HEADER + 1];
	struct tlv_writer w;

	log_error("link to %s: protocol error: %s; asking for its end",
	    role_name(peer), why);
	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_ID, (uint8_t)peer);
	channel_send_tlv(pr->control, MSG_BAD_LINK, 0, &w, -1);
}

static void
on_link_closed(struct channel *ch, const char *why, void *arg)
{
	struct process *pr = arg;
	enum role peer = channel_peer(ch);

	if (why != NULL)
		complain(pr, peer, why);
	else
		log_debug("link to %s: closed; waiting for a new one",
		    role_name(peer));
	drop_link(pr, peer);
}

static bool
send_stats(struct process *pr, struct channel *ch)
{
	uint8_t buf[PROTO_BODY_MAX];
	struct tlv_writer w;

	/* One answer is enough for who does not read. */
	if (channel_queued(ch) > sizeof(buf))
		return true;
	tlv_writer_init(&w, buf, sizeof(buf));
	metrics_encode(&pr->w.metrics, pr->role->role, &w);
	channel_send_tlv(ch, MSG_STATS, 0, &w, -1);
	return true;
}

static bool
on_link_message(struct channel *ch, const struct msg *m, void *arg)
{
	struct process *pr = arg;
	const struct sibling *s = &pr->siblings[channel_peer(ch)];

	if (m->type == MSG_STATS_GET)
		return send_stats(pr, ch);
	if (s->feed != NULL && feed_message(s->feed, m))
		return true;
	if (s->replica != NULL && replica_knows(m))
		return replica_message(s->replica, m);
	return pr->role->message != NULL &&
	    pr->role->message(&pr->w, channel_peer(ch), m);
}

static void
on_link_drained(struct channel *ch, void *arg)
{
	struct process *pr = arg;
	struct feed *feed = pr->siblings[channel_peer(ch)].feed;

	if (feed != NULL)
		feed_drained(feed);
	if (pr->role->drained != NULL)
		pr->role->drained(&pr->w, channel_peer(ch));
}

static const struct channel_ops link_ops = {
	.message = on_link_message,
	.closed = on_link_closed,
	.drained = on_link_drained,
};

static bool
on_link(struct process *pr, const struct msg *m)
{
	enum role peer = (enum role)msg_u8(m, TAG_ID);
	struct channel *ch;

	drop_link(pr, peer);
	ch =
	    channel_new(pr->w.base, m->fd, pr->role->role, peer, &link_ops, pr);
	if (ch == NULL)
		fatal("link to %s", role_name(peer));
	log_debug("link to %s: up", role_name(peer));
	tell_link(pr, peer, ch);
	return true;
}

struct channel *
worker_supervisor(struct worker *w)
{
	(void)w;
	return self.control;
}

struct channel *
worker_link(struct worker *w, enum role peer)
{
	(void)w;
	return peer < ROLE_MAX ? self.siblings[peer].link : NULL;
}

/* The rest of what the supervisor says. */

static bool
on_start(struct process *pr, const struct msg *m)
{
	(void)m;
	if (pr->started)
		return false;
	pr->started = true;
	if (pr->role->start != NULL)
		pr->role->start(&pr->w);
	return true;
}

static bool
on_ping(struct process *pr, const struct msg *m)
{
	channel_send(pr->control, MSG_PONG, m->generation, NULL, 0, -1);
	return true;
}

static bool
on_worker(struct process *pr, const struct msg *m)
{
	return pr->role->worker_status != NULL &&
	    pr->role->worker_status(&pr->w, m);
}

static const struct handler handlers[MSG_MAX] = {
	[MSG_BLOB] = { on_blob },
	[MSG_LINK] = { on_link },
	[MSG_LISTEN] = { on_listen },
	[MSG_CONNECTED] = { on_connected },
	[MSG_START] = { on_start },
	[MSG_PING] = { on_ping },
	[MSG_WORKER] = { on_worker },
};

static bool
on_control(struct channel *ch, const struct msg *m, void *arg)
{
	const struct handler *h = &handlers[m->type];

	(void)ch;
	if (h->handle != NULL)
		return h->handle(arg, m);
	/* CONFIG, a second time. */
	if (m->fd != -1)
		close(m->fd);
	return false;
}

/* Nobody is left to work for, and nothing may be taken away. */
static void
on_control_closed(struct channel *ch, const char *why, void *arg)
{
	(void)ch;
	if (why != NULL)
		fprintf(stderr, "control channel: %s\n", why);
	end_loop(arg, why == NULL ? EXIT_SUCCESS : EXIT_FAILURE);
}

static const struct channel_ops control_ops = {
	.message = on_control,
	.closed = on_control_closed,
};

/* Health. */

static bool
same_health(const struct told_health *a, const struct told_health *b)
{
	return a->told == b->told && a->health == b->health &&
	    a->synced == b->synced && strcmp(a->text, b->text) == 0;
}

static void
send_health(const struct process *pr)
{
	const struct told_health *h = &pr->health;
	uint8_t buf[LIMIT_TEXT + 3 * TLV_HEADER + 2];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_HEALTH, (uint8_t)h->health);
	tlv_put_u8(&w, TAG_SYNCED, h->synced);
	tlv_put_str(&w, TAG_TEXT, h->text);
	channel_send_tlv(pr->control, MSG_HEALTH, 0, &w, -1);
}

void
worker_health(struct worker *w, enum health health, bool synced,
    const char *fmt, ...)
{
	struct told_health now = { true, health, synced, "" };
	va_list ap;

	(void)w;
	va_start(ap, fmt);
	vsnprintf(now.text, sizeof(now.text), fmt, ap);
	va_end(ap);
	if (same_health(&now, &self.health))
		return;
	self.health = now;
	if (self.ready)
		send_health(&self);
}

/* The start. */

static void
on_term(evutil_socket_t sig, short what, void *arg)
{
	struct process *pr = arg;

	(void)sig;
	(void)what;
	if (pr->role->stop != NULL && pr->started)
		pr->role->stop(&pr->w);
	else
		end_loop(pr, EXIT_SUCCESS);
}

static void
check_started_by_supervisor(const char *name)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_SEQPACKET)
		return;
	fprintf(stderr, "%s: katalogd starts this; it is of no use by hand\n",
	    name);
	exit(2);
}

static void
read_config(struct process *pr)
{
	enum role role = pr->role->role;
	uint8_t *buf = xmalloc(LIMIT_PACKET);
	struct msg m;
	const char *why =
	    channel_recv_one(CONTROL_FD, role, ROLE_SUPERVISOR, buf, &m);

	if (why != NULL)
		fatalx("reading the configuration: %s", why);
	if (m.type != MSG_CONFIG)
		fatalx("expected CONFIG, got another message");
	pr->w.settings = settings_decode(m.body, m.len, role);
	if (pr->w.settings == NULL)
		fatalx("CONFIG is not the slice of %s", role_name(role));
	free(buf);
}

static void
start_log(struct process *pr)
{
	enum log_level level;

	if (log_level_parse(settings_str(pr->w.settings, OPT_LOG_LEVEL),
		&level))
		log_set_level(level);
	pr->control = channel_new(pr->w.base, CONTROL_FD, pr->role->role,
	    ROLE_SUPERVISOR, &control_ops, pr);
	if (pr->control == NULL)
		fatal("control channel");
	atexit(flush_at_exit);
	log_set_sink(log_to_supervisor, NULL);
}

static void
start_loop(struct process *pr)
{
	struct event *term;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	pr->w.base = event_base_new();
	if (pr->w.base == NULL)
		fatalx("no event loop");
	term = evsignal_new(pr->w.base, SIGTERM, on_term, pr);
	if (term == NULL || event_add(term, NULL) == -1)
		fatalx("no event for SIGTERM");
}

static void
send_ready(struct process *pr, uint32_t layers, const char *missing)
{
	uint8_t buf[LIMIT_TEXT + 2 * TLV_HEADER + 4];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u32(&w, TAG_LAYERS, layers);
	tlv_put_str(&w, TAG_MISSING, missing);
	channel_send_tlv(pr->control, MSG_READY, 0, &w, -1);
	pr->ready = true;
	if (pr->health.told)
		send_health(pr);
}

static void
enter_sandbox(struct process *pr)
{
	const struct settings *s = pr->w.settings;
	uid_t uid = (uid_t)settings_u64(s, OPT_UID_BASE) + pr->role->role - 1;
	char dir[LIMIT_OPTION + sizeof(EMPTY_DIR) + 1], missing[LIMIT_TEXT];
	struct sandbox sb = {
		.role = pr->role->role,
		.strict = strcmp(settings_str(s, OPT_SANDBOX), "strict") == 0,
		.chroot_dir = dir,
		.uid = uid,
		.gid = uid,
		.as_bytes = AS_BYTES,
		.nofile = NOFILE,
	};
	uint32_t layers;

	snprintf(dir, sizeof(dir), "%s/" EMPTY_DIR,
	    settings_str(s, OPT_RUNTIME_DIR));
	if (pr->role->preload != NULL)
		pr->role->preload(&pr->w, &sb);
	layers = sandbox_enter(&sb, missing, sizeof(missing));
	send_ready(pr, layers, missing);
}

int
worker_main(const struct worker_role *role)
{
	struct process *pr = &self;

	pr->role = role;
	log_init(role_name(role->role), LOG_LVL_INFO);
	check_started_by_supervisor(role_name(role->role));
	read_config(pr);
	start_loop(pr);
	start_log(pr);
	enter_sandbox(pr);
	if (event_base_dispatch(pr->w.base) == -1)
		fatalx("the event loop failed");
	/* exit() runs what flushes; nothing else is to be tidied up. */
	exit(pr->status);
}
