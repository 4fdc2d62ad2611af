#include "common/channel.h"

#include <bsd/sys/queue.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/*
 * Room for more descriptors than one message may have, so that a second one
 * is seen. What does not fit either is closed by the kernel (MSG_CTRUNC).
 */
#define FD_ROOM 2

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FD_ROOM * sizeof(int))];
};

struct pending {
	TAILQ_ENTRY(pending) link;
	size_t len;
	int fd;
	uint8_t packet[];
};
TAILQ_HEAD(pending_queue, pending);

struct channel {
	const struct channel_ops *ops;
	void *arg;
	struct event *read_ev;
	struct event *write_ev;
	uint8_t *buf; /* LIMIT_PACKET */
	struct pending_queue queue;
	size_t queued; /* bytes in it */
	int fd;
	enum role self;
	enum role peer;
	int send_error; /* errno: nothing can be sent any more */
	unsigned depth; /* callbacks that we are in */
	bool open;
	bool freed; /* inside a callback: goes when we are out */
	char why[160];
};

enum io { IO_DONE, IO_AGAIN, IO_EOF, IO_FAILED };

struct packet {
	size_t len;
	int fd;
	const char *why; /* IO_FAILED */
};

static void
close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

/* The descriptors that came with a packet; returns how many. */
static size_t
take_fds(struct msghdr *mh, int fds[FD_ROOM])
{
	size_t n = 0, bytes;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL;
	     c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		memcpy(fds + n, CMSG_DATA(c), bytes);
		n += bytes / sizeof(int);
	}
	return n;
}

static const char *
packet_fault(const struct msghdr *mh, size_t nfds)
{
	if (mh->msg_flags & MSG_TRUNC)
		return "packet larger than the limit";
	if (mh->msg_flags & MSG_CTRUNC)
		return "descriptors cut off (too many sent or too many open)";
	if (nfds > 1)
		return "more than one descriptor";
	return NULL;
}

static enum io
recv_failed(struct packet *p)
{
	if (errno == EAGAIN)
		return IO_AGAIN;
	p->why = strerror(errno);
	return IO_FAILED;
}

/* One packet into buf, which has LIMIT_PACKET bytes. */
static enum io
recv_packet(int sock, uint8_t *buf, struct packet *p)
{
	union control control;
	struct iovec iov = { .iov_base = buf, .iov_len = LIMIT_PACKET };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	int fds[FD_ROOM];
	size_t nfds;
	ssize_t n;

	*p = (struct packet){ .fd = -1 };
	/*
	 * A peer that dies with unread packets resets us, once: what it sent
	 * before that (its last log lines) is still there to be read.
	 */
	do
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n == -1 && (errno == EINTR || errno == ECONNRESET));
	if (n == -1)
		return recv_failed(p);
	nfds = take_fds(&mh, fds);
	p->why = packet_fault(&mh, nfds);
	if (p->why != NULL || n == 0) {
		while (nfds > 0)
			close_fd(fds[--nfds]);
		return p->why != NULL ? IO_FAILED : IO_EOF;
	}
	p->len = (size_t)n;
	p->fd = nfds == 1 ? fds[0] : -1;
	return IO_DONE;
}

static enum io
send_packet(int sock, struct iovec *iov, size_t niov, int fd)
{
	union control control = { 0 };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = niov };
	struct cmsghdr *c;
	ssize_t n;

	if (fd >= 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(fd));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n >= 0)
		return IO_DONE;
	return errno == EAGAIN || errno == ENOBUFS ? IO_AGAIN : IO_FAILED;
}

static void
queue_drop(struct channel *ch)
{
	struct pending *p;

	while ((p = TAILQ_FIRST(&ch->queue)) != NULL) {
		TAILQ_REMOVE(&ch->queue, p, link);
		close_fd(p->fd);
		free(p);
	}
	ch->queued = 0;
}

static void
queue_add(struct channel *ch, const struct iovec iov[2], int fd)
{
	size_t len = iov[0].iov_len + iov[1].iov_len;
	struct pending *p = xmalloc(sizeof(*p) + len);

	p->len = len;
	p->fd = fd;
	memcpy(p->packet, iov[0].iov_base, iov[0].iov_len);
	if (iov[1].iov_len > 0)
		memcpy(p->packet + iov[0].iov_len, iov[1].iov_base,
		    iov[1].iov_len);
	TAILQ_INSERT_TAIL(&ch->queue, p, link);
	ch->queued += len;
	event_add(ch->write_ev, NULL);
}

static void
queue_sent_first(struct channel *ch)
{
	struct pending *p = TAILQ_FIRST(&ch->queue);

	TAILQ_REMOVE(&ch->queue, p, link);
	ch->queued -= p->len;
	close_fd(p->fd);
	free(p);
}

/*
 * The reader says how it ends: what the peer sent before it went is still to
 * be read, and no callback may come out of channel_send().
 */
static void
send_broke(struct channel *ch)
{
	ch->send_error = errno;
	queue_drop(ch);
	event_del(ch->write_ev);
	event_active(ch->read_ev, EV_READ, 0);
}

/* Sends up to max queued packets; IO_DONE if none is left. */
static enum io
queue_send(struct channel *ch, size_t max)
{
	struct pending *p;
	struct iovec iov;
	enum io io;

	while ((p = TAILQ_FIRST(&ch->queue)) != NULL) {
		if (max-- == 0)
			return IO_AGAIN;
		iov = (struct iovec){ p->packet, p->len };
		io = send_packet(ch->fd, &iov, 1, p->fd);
		if (io == IO_FAILED)
			send_broke(ch);
		if (io != IO_DONE)
			return io;
		queue_sent_first(ch);
	}
	return IO_DONE;
}

static void
destroy(struct channel *ch)
{
	if (ch->read_ev != NULL)
		event_free(ch->read_ev);
	if (ch->write_ev != NULL)
		event_free(ch->write_ev);
	free(ch->buf);
	free(ch);
}

static void
enter(struct channel *ch)
{
	ch->depth++;
}

static void
leave(struct channel *ch)
{
	if (--ch->depth == 0 && ch->freed)
		destroy(ch);
}

static void
stop_io(struct channel *ch)
{
	ch->open = false;
	event_del(ch->read_ev);
	event_del(ch->write_ev);
	queue_drop(ch);
}

static void
finish(struct channel *ch, const char *why)
{
	stop_io(ch);
	ch->ops->closed(ch, why, ch->arg);
}

static void
protocol_error(struct channel *ch, unsigned type, const char *why)
{
	snprintf(ch->why, sizeof(ch->why), "%s: %s", msg_name(type), why);
	finish(ch, ch->why);
}

static void
deliver(struct channel *ch, const struct packet *p)
{
	struct msg m;
	const char *why;

	why = proto_check(ch->buf, p->len, p->fd >= 0, ch->peer, ch->self, &m);
	if (why != NULL) {
		close_fd(p->fd);
		protocol_error(ch, p->len > 1 ? ch->buf[1] : 0, why);
		return;
	}
	m.fd = p->fd;
	if (!ch->ops->message(ch, &m, ch->arg) && ch->open)
		protocol_error(ch, m.type, "makes no sense here");
}

/* False: nothing more to read for now. */
static bool
read_one(struct channel *ch)
{
	struct packet p;

	switch (recv_packet(ch->fd, ch->buf, &p)) {
	case IO_DONE:
		deliver(ch, &p);
		return ch->open;
	case IO_AGAIN:
		if (ch->send_error != 0)
			finish(ch, strerror(ch->send_error));
		return false;
	case IO_EOF:
		finish(ch, NULL);
		return false;
	default:
		finish(ch, p.why);
		return false;
	}
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	int n = 0;

	(void)fd;
	(void)what;
	enter(ch);
	while (n < LIMIT_CHANNEL_BURST && read_one(ch))
		n++;
	leave(ch);
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;

	(void)fd;
	(void)what;
	if (queue_send(ch, LIMIT_CHANNEL_BURST) != IO_DONE)
		return;
	event_del(ch->write_ev);
	if (ch->ops->drained == NULL)
		return;
	enter(ch);
	ch->ops->drained(ch, ch->arg);
	leave(ch);
}

static bool
set_flags(int fd)
{
	int fl = fcntl(fd, F_GETFL);

	return fl != -1 && fcntl(fd, F_SETFL, fl | O_NONBLOCK) != -1 &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != -1;
}

static bool
start(struct channel *ch, struct event_base *base)
{
	ch->read_ev =
	    event_new(base, ch->fd, EV_READ | EV_PERSIST, on_read, ch);
	ch->write_ev =
	    event_new(base, ch->fd, EV_WRITE | EV_PERSIST, on_write, ch);
	return ch->read_ev != NULL && ch->write_ev != NULL &&
	    event_add(ch->read_ev, NULL) == 0;
}

struct channel *
channel_new(struct event_base *base, int fd, enum role self, enum role peer,
    const struct channel_ops *ops, void *arg)
{
	struct channel *ch;

	if (!set_flags(fd)) {
		close_fd(fd);
		return NULL;
	}
	ch = xmalloc(sizeof(*ch));
	*ch = (struct channel){
		.ops = ops,
		.arg = arg,
		.buf = xmalloc(LIMIT_PACKET),
		.queue = TAILQ_HEAD_INITIALIZER(ch->queue),
		.fd = fd,
		.self = self,
		.peer = peer,
		.open = true,
	};
	if (start(ch, base))
		return ch;
	destroy(ch);
	close_fd(fd);
	errno = ENOMEM;
	return NULL;
}

void
channel_free(struct channel *ch)
{
	if (ch == NULL || ch->freed)
		return;
	stop_io(ch);
	close_fd(ch->fd);
	ch->freed = true;
	if (ch->depth == 0)
		destroy(ch);
}

/* Sends at once if nothing waits, else queues. */
static bool
send_or_queue(struct channel *ch, struct iovec iov[2], int fd)
{
	enum io io = IO_AGAIN;

	if (TAILQ_EMPTY(&ch->queue))
		io = send_packet(ch->fd, iov, 2, fd);
	if (io == IO_AGAIN) {
		queue_add(ch, iov, fd);
		return true;
	}
	if (io == IO_FAILED)
		send_broke(ch);
	close_fd(fd);
	return io == IO_DONE;
}

bool
channel_send(struct channel *ch, enum msg_type type, uint64_t generation,
    const void *body, size_t len, int fd)
{
	struct msg m = { .type = type, .body = body, .len = len, .fd = fd };
	uint8_t header[PROTO_HEADER];
	struct iovec iov[2] = { { header, sizeof(header) }, { NULL, len } };
	const char *why = proto_check_msg(&m, fd >= 0, ch->self, ch->peer);

	if (why != NULL)
		log_error("bug: %s to %s is not sent: %s", msg_name(type),
		    role_name(ch->peer), why);
	if (why != NULL || !ch->open || ch->send_error != 0) {
		close_fd(fd);
		return false;
	}
	proto_header(header, type, generation, (uint32_t)len);
	/* struct iovec serves readv() too, hence no const there. */
	memcpy(&iov[1].iov_base, &body, sizeof(body));
	return send_or_queue(ch, iov, fd);
}

bool
channel_send_tlv(struct channel *ch, enum msg_type type, uint64_t generation,
    const struct tlv_writer *w, int fd)
{
	if (!w->overflow)
		return channel_send(ch, type, generation, w->buf, w->len, fd);
	log_error("bug: %s to %s is not sent: it does not fit its buffer",
	    msg_name(type), role_name(ch->peer));
	close_fd(fd);
	return false;
}

size_t
channel_queued(const struct channel *ch)
{
	return ch->queued;
}

bool
channel_unread(const struct channel *ch)
{
	struct pollfd pfd = { .fd = ch->fd, .events = POLLIN };

	return ch->open && poll(&pfd, 1, 0) == 1;
}

void
channel_flush(struct channel *ch, unsigned ms)
{
	struct pollfd pfd = { .fd = ch->fd, .events = POLLOUT };
	uint64_t now = clock_ms(), end = now + ms;

	if (!ch->open)
		return;
	while (queue_send(ch, SIZE_MAX) == IO_AGAIN && now < end) {
		if (poll(&pfd, 1, (int)(end - now)) == -1 && errno != EINTR)
			return;
		now = clock_ms();
	}
}

enum role
channel_peer(const struct channel *ch)
{
	return ch->peer;
}

bool
channel_pair(int fds[2])
{
	return socketpair(AF_UNIX,
		   SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0;
}

static enum io
recv_packet_wait(int sock, uint8_t *buf, struct packet *p)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	enum io io;

	while ((io = recv_packet(sock, buf, p)) == IO_AGAIN)
		poll(&pfd, 1, -1);
	return io;
}

const char *
channel_recv_one(int fd, enum role self, enum role peer, uint8_t *buf,
    struct msg *m)
{
	struct packet p;
	const char *why;
	enum io io = recv_packet_wait(fd, buf, &p);

	if (io == IO_EOF)
		return "the peer is gone";
	if (io != IO_DONE)
		return p.why;
	why = proto_check(buf, p.len, p.fd >= 0, peer, self, m);
	if (why != NULL)
		close_fd(p.fd);
	else
		m->fd = p.fd;
	return why;
}
