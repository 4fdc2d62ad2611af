/*
 * The workers' HTTP client from inside the sandbox, for test_http_client.py.
 *
 *	client_probe [-i] [-a CA] [-c CERT -k KEY] [-A CA] [-C CERT] [-K KEY]
 *	    [-n NAME] [-t TOKEN] [-r RESOLV.CONF] [-d CHROOT] URL ACTION...
 *
 *	-i	no verification
 *	-A, -C, -K	what the actions "ca", "cert" and "key" put in the
 *			place of -a, -c and -k; without it they take that away
 *	-d	the empty folder for chroot, when run by root
 *	-n	the name that the server's certificate is for
 *
 * unix:///path is connected to before the sandbox closes, as often as there
 * are actions: there is no supervisor to ask.
 *
 * Actions, one after the other: "ca", "cert", "key", or METHOD:PATH,
 * "PUT:/v1/x"; what comes after "+GET:/v1/x" does not wait for its end. A line
 * tells what came of each request: "200 BODY" or "error TEXT".
 */
#include <bsd/string.h>
#include <err.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox.h"
#include "workers/http_client.h"

#define TIMEOUT_MS   10000
#define BODY_MAX     65536
#define NOFILE       64
#define AS_BYTES     ((size_t)1024 * 1024 * 1024)
#define WORKER_ID    60643
#define UNIX_FDS_MAX 16

struct probe {
	struct event_base *base;
	struct http_client *client;
	struct http_client_conf conf;
	char *blobs[HTTP_BLOB_MAX];
	char *next[HTTP_BLOB_MAX];
	const char *chroot_dir;
	char **actions; /* those left; ends with NULL */
	unsigned running; /* requests */
	int fds[UNIX_FDS_MAX]; /* connected ones, nfds */
	int nfds;
};

static void
usage(void)
{
	fputs("usage: client_probe [-i] [-a CA] [-c CERT] [-k KEY] [-A CA] "
	      "[-C CERT] [-K KEY] [-n NAME] [-t TOKEN] [-r RESOLV.CONF] "
	      "[-d CHROOT] URL ACTION...\n",
	    stderr);
	exit(2);
}

static char *
read_file(const char *path)
{
	char *text = xcalloc(BODY_MAX, 1);
	FILE *f = fopen(path, "re");

	if (f == NULL || fread(text, 1, BODY_MAX - 1, f) == 0)
		err(1, "%s", path);
	fclose(f);
	return text;
}

static void
blob_set(struct probe *p, enum http_client_blob which, const char *text)
{
	http_client_blob(p->client, which, text,
	    text != NULL ? strlen(text) : 0);
}

static void act(struct probe *p);

static void
on_done(const struct http_response *r, void *arg)
{
	struct probe *p = arg;

	if (r->error != NULL)
		printf("error %s\n", r->error);
	else
		printf("%ld %s\n", r->status, r->body);
	fflush(stdout);
	if (--p->running == 0)
		act(p);
}

static void
request(struct probe *p, const char *action)
{
	struct http_request_conf conf = {
		.timeout_ms = TIMEOUT_MS,
		.max_body = BODY_MAX,
		.done = on_done,
		.arg = p,
	};
	char method[16];
	size_t len = strcspn(action, ":");

	if (len >= sizeof(method) || action[len] != ':')
		usage();
	memcpy(method, action, len);
	method[len] = '\0';
	conf.method = method;
	conf.path = action + len + 1;
	if (strcmp(method, "PUT") == 0) {
		conf.body = "{}";
		conf.body_len = 2;
	}
	p->running++;
	http_client_request(p->client, &conf);
}

/* False: that is no such action. */
static bool
replace(struct probe *p, const char *action)
{
	static const char *const names[HTTP_BLOB_MAX] = {
		[HTTP_CA] = "ca",
		[HTTP_CERT] = "cert",
		[HTTP_KEY] = "key",
	};

	for (int i = HTTP_CA; i < HTTP_BLOB_MAX; i++)
		if (strcmp(action, names[i]) == 0) {
			blob_set(p, i, p->next[i]);
			return true;
		}
	return false;
}

/* All up to one that is to be waited for. */
static void
act(struct probe *p)
{
	const char *action;

	while ((action = *p->actions) != NULL) {
		p->actions++;
		if (*action == '+') {
			request(p, action + 1);
		} else if (!replace(p, action)) {
			request(p, action);
			return;
		}
	}
	event_base_loopexit(p->base, NULL);
}

static void
on_want_connection(void *arg)
{
	struct probe *p = arg;

	http_client_give_connection(p->client,
	    p->nfds > 0 ? p->fds[--p->nfds] : -1);
}

static void
connect_unix(struct probe *p, const char *path, char **actions)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	for (; *actions != NULL && p->nfds < UNIX_FDS_MAX; actions++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
			err(1, "%s", path);
		p->fds[p->nfds++] = fd;
	}
}

static void
options(struct probe *p, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "ia:A:c:C:k:K:n:t:r:d:")) != -1)
		switch (c) {
		case 'i':
			p->conf.insecure = true;
			break;
		case 'a':
			p->blobs[HTTP_CA] = read_file(optarg);
			break;
		case 'A':
			p->next[HTTP_CA] = read_file(optarg);
			break;
		case 'c':
			p->blobs[HTTP_CERT] = read_file(optarg);
			break;
		case 'C':
			p->next[HTTP_CERT] = read_file(optarg);
			break;
		case 'k':
			p->blobs[HTTP_KEY] = read_file(optarg);
			break;
		case 'K':
			p->next[HTTP_KEY] = read_file(optarg);
			break;
		case 'n':
			p->conf.tls_server_name = optarg;
			break;
		case 't':
			p->blobs[HTTP_TOKEN] = xstrdup(optarg);
			break;
		case 'r':
			p->conf.resolv_conf = optarg;
			break;
		case 'd':
			p->chroot_dir = optarg;
			break;
		default:
			usage();
		}
	if (argc - optind < 2)
		usage();
}

static void
close_sandbox(const struct probe *p, bool dns)
{
	struct sandbox sb = {
		.role = ROLE_CONSUL_WRITER,
		.dns = dns,
		.chroot_dir = p->chroot_dir,
		.uid = WORKER_ID,
		.gid = WORKER_ID,
		.nofile = NOFILE,
		.as_bytes = AS_BYTES,
	};
	char missing[256];

	if (p->conf.url.scheme != URL_UNIX)
		sb.ports[sb.nports++] = p->conf.url.port;
	sandbox_enter(&sb, missing, sizeof(missing));
}

int
main(int argc, char **argv)
{
	const unsigned schemes =
	    1U << URL_HTTP | 1U << URL_HTTPS | 1U << URL_UNIX;
	struct probe p = { .conf = { .what = "probe", .max_connections = 4 } };
	const char *wrong;
	bool dns;

	options(&p, argc, argv);
	p.actions = argv + optind + 1;
	wrong = url_parse(argv[optind], schemes, URL_HTTP, 80, &p.conf.url);
	if (wrong != NULL)
		errx(2, "%s: %s", argv[optind], wrong);
	if (p.conf.url.scheme == URL_UNIX)
		connect_unix(&p, p.conf.url.path, p.actions);
	p.base = p.conf.base = event_base_new();
	p.conf.want_connection = on_want_connection;
	p.conf.arg = &p;
	p.client = http_client_preload(&p.conf, &dns);
	setvbuf(stdout, NULL, _IOFBF, BODY_MAX);
	close_sandbox(&p, dns);

	for (int i = 0; i < HTTP_BLOB_MAX; i++)
		blob_set(&p, i, p.blobs[i]);
	act(&p);
	event_base_dispatch(p.base);
	http_client_free(p.client);
	event_base_free(p.base);
	return 0;
}
