/*
 * libFuzzer: what a client sends to the gRPC server. Each call that begins is
 * answered or gone, once; with the connection all of them are.
 *
 * The first byte: how many pieces the rest comes in, and (0x80) whether a
 * client's first bytes stand before it.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grpc/server_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As much as a socketpair takes at once. */
#define SIZE_MOST 65536
#define WAITING   256

static struct event_base *base;
static struct grpc_call *waiting[WAITING];
static size_t nwaiting;

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
begin_echo(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)arg;
	grpc_call_end(c, GRPC_OK, "", msg, len);
}

static void
begin_wait(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)msg;
	(void)len;
	(void)arg;
	must(nwaiting < WAITING);
	waiting[nwaiting++] = c;
}

static void
gone(struct grpc_call *c, void *arg)
{
	size_t i = 0;

	(void)arg;
	while (i < nwaiting && waiting[i] != c)
		i++;
	must(i < nwaiting);
	waiting[i] = waiting[--nwaiting];
}

/* Ends the last one that waits. */
static void
begin_release(struct grpc_call *c, const void *msg, size_t len, void *arg)
{
	(void)msg;
	(void)len;
	(void)arg;
	if (nwaiting > 0)
		grpc_call_end(waiting[--nwaiting], GRPC_ABORTED, "\xff%", NULL,
		    0);
	grpc_call_end(c, GRPC_OK, "", NULL, 0);
}

static const struct grpc_method methods[] = {
	{ "/E", begin_echo, NULL },
	{ "/W", begin_wait, gone },
	{ "/R", begin_release, NULL },
};

static void
run(void)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Nobody reads what it answers: a socketpair takes enough of that. */
static void
send_all(int fd, const uint8_t *data, size_t size, size_t piece)
{
	ssize_t n;

	for (; size > 0; data += n, size -= (size_t)n) {
		n = send(fd, data, size < piece ? size : piece,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			return;
		run();
	}
}

static void
play(struct grpc_server *s, const uint8_t *data, size_t size)
{
	static const uint8_t first[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				       "\0\0\0\4\0\0\0\0\0";
	const struct sockaddr_storage any = { .ss_family = AF_UNIX };
	size_t pieces = (data[0] & 0x7fU) + 1;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		 fds) == 0);
	server_accept(s, fds[0], (const struct sockaddr *)&any, sizeof(any));
	if ((data[0] & 0x80) != 0)
		send_all(fds[1], first, sizeof(first) - 1, sizeof(first));
	send_all(fds[1], data + 1, size - 1, size / pieces + 1);
	must(grpc_server_counts(s).calls == nwaiting);
	close(fds[1]);
	run();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grpc_server_conf conf = { .methods = methods,
		.nmethods = sizeof(methods) / sizeof(*methods) };
	struct grpc_server *s;

	if (size == 0 || size > SIZE_MOST)
		return 0;
	if (base == NULL) {
		signal(SIGPIPE, SIG_IGN);
		must((base = event_base_new()) != NULL);
	}
	conf.base = base;
	s = grpc_server_new(&conf);
	play(s, data, size);
	grpc_server_free(s);
	must(nwaiting == 0);
	return 0;
}
