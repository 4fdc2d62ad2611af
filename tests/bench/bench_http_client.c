/*
 * What a PUT on a kept connection costs by the workers' HTTP client, next to
 * the floor: write() and read() on a blocking socket. The server is a child.
 *
 *	bench_http_client [REQUESTS]	default 20000
 *
 * System calls for each: strace -f -c with two counts of requests, and the
 * difference divided by theirs.
 */
#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <err.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workers/http_client.h"

#define AT_ONCE         8
#define CONNECTIONS_MAX (AT_ONCE + 4)
#define BODY            "{\"Status\":\"passing\",\"Output\":\"ready\"}"

static const char answer[] = "HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\n"
			     "Content-Length: 0\r\n\r\n";

struct sample {
	double wall_us, cpu_us;
};

struct run {
	struct event_base *base;
	struct http_client *client;
	unsigned left, pending;
};

/* ---- the server -------------------------------------------------------- */

/* Every read is one whole request: they are small, and the loopback is whole. */
static void
serve(int listener)
{
	struct pollfd fds[CONNECTIONS_MAX] = { { listener, POLLIN, 0 } };
	nfds_t n = 1;
	char buf[4096];

	for (;;) {
		if (poll(fds, n, -1) < 0)
			err(1, "poll");
		for (nfds_t i = 1; i < n; i++) {
			if (fds[i].revents == 0)
				continue;
			if (read(fds[i].fd, buf, sizeof(buf)) <= 0 ||
			    write(fds[i].fd, answer, sizeof(answer) - 1) < 0)
				fds[i].fd = -1;
		}
		if (fds[0].revents != 0 && n < CONNECTIONS_MAX)
			fds[n++] =
			    (struct pollfd){ accept(listener, NULL, NULL),
				    POLLIN, 0 };
	}
}

static pid_t
server_start(uint16_t *port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	pid_t pid;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, len) != 0 ||
	    listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		err(1, "listen");
	*port = ntohs(sin.sin_port);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		serve(fd);
	close(fd);
	return pid;
}

/* ---- measuring --------------------------------------------------------- */

static double
wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double
cpu_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static struct sample
sample_begin(void)
{
	return (struct sample){ wall_us(), cpu_us() };
}

static void
sample_end(const char *what, struct sample begin, unsigned n)
{
	printf("%-28s %6.1f us, %5.1f us of CPU\n", what,
	    (wall_us() - begin.wall_us) / n, (cpu_us() - begin.cpu_us) / n);
}

/* ---- the floor --------------------------------------------------------- */

static void
floor_run(uint16_t port, unsigned n)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	char request[512], buf[4096];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sample begin;
	size_t len;

	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
		err(1, "connect");
	len = (size_t)snprintf(request, sizeof(request),
	    "PUT /v1/agent/check/update/x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    sizeof(BODY) - 1, BODY);
	begin = sample_begin();
	for (unsigned i = 0; i < n; i++)
		if (write(fd, request, len) < 0 ||
		    read(fd, buf, sizeof(buf)) <= 0)
			err(1, "floor");
	sample_end("write and read", begin, n);
	close(fd);
}

/* ---- the client -------------------------------------------------------- */

static void put(struct run *r);

static void
on_done(const struct http_response *answered, void *arg)
{
	struct run *r = arg;

	if (answered->error != NULL || answered->status != 200)
		errx(1, "%s", answered->error);
	r->pending--;
	if (r->left > 0)
		put(r);
	else if (r->pending == 0)
		event_base_loopbreak(r->base);
}

static void
put(struct run *r)
{
	struct http_request_conf conf = {
		.method = "PUT",
		.path = "/v1/agent/check/update/x",
		.body = BODY,
		.body_len = sizeof(BODY) - 1,
		.timeout_ms = 10000,
		.max_body = 4096,
		.done = on_done,
		.arg = r,
	};

	r->left--;
	r->pending++;
	http_client_request(r->client, &conf);
}

static void
client_run(struct run *r, const char *what, unsigned at_once, unsigned n)
{
	struct sample begin;

	r->left = n;
	begin = sample_begin();
	for (unsigned i = 0; i < at_once; i++)
		put(r);
	event_base_dispatch(r->base);
	sample_end(what, begin, n);
}

static void
client_runs(uint16_t port, unsigned n)
{
	struct run r = { .base = event_base_new() };
	struct http_client_conf conf = {
		.base = r.base,
		.url = { .scheme = URL_HTTP,
		    .host = "127.0.0.1",
		    .host_is_ip = true,
		    .port = port },
		.what = "bench",
		.max_connections = AT_ONCE,
	};
	bool dns;

	r.client = http_client_preload(&conf, &dns);
	client_run(&r, "client, one at a time", 1, n);
	client_run(&r, "client, 8 at once", AT_ONCE, n);
	http_client_free(r.client);
	event_base_free(r.base);
}

int
main(int argc, char **argv)
{
	const char *wrong = NULL;
	unsigned n = 20000;
	uint16_t port;
	pid_t pid;

	if (argc > 1)
		n = (unsigned)strtonum(argv[1], AT_ONCE, 10000000, &wrong);
	if (wrong != NULL)
		errx(2, "%s: %s", argv[1], wrong);
	pid = server_start(&port);
	floor_run(port, n);
	client_runs(port, n);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return 0;
}
