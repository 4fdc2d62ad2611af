#include "supervisor/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/roles.h"

/* Coarser than the time stamps of any file system. */
#define SETTLED_S 2

#define SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* What must be the same for a file to count as unchanged. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	struct timespec ctime;
};

struct blob {
	char *path; /* NULL: not configured */
	bool given; /* by secrets_give() */
	bool from_env; /* memfd holds CONSUL_HTTP_TOKEN */
	int memfd;
	struct stamp seen; /* of what memfd holds; zeroed: nothing */
	/*
	 * It was written so shortly before it was read that another write
	 * could have left the same stamp: to be read once more.
	 */
	bool unsettled;
	struct log_once problem;
};

struct secrets {
	struct blob blobs[BLOB_MAX];
};

struct blob_def {
	enum option option; /* names the file */
	enum option url; /* what it is for; 0: no server */
	off_t max;
	bool is_ca; /* the system's bundle if there is none and url is https */
	bool must_be_fresh; /* unreadable: becomes empty */
	bool roots_only; /* it names files that we read as root */
};

static const struct blob_def defs[BLOB_MAX] = {
	[BLOB_KUBELET_TOKEN] = { .option = OPT_KUBELET_TOKEN_FILE,
	    .url = OPT_KUBELET_API,
	    .max = LIMIT_BLOB },
	[BLOB_KUBELET_CA] = { .option = OPT_KUBELET_CA,
	    .url = OPT_KUBELET_API,
	    .max = LIMIT_BLOB,
	    .is_ca = true },
	[BLOB_KUBELET_CERT] = { .option = OPT_KUBELET_CLIENT_CERT,
	    .url = OPT_KUBELET_API,
	    .max = LIMIT_BLOB },
	[BLOB_KUBELET_KEY] = { .option = OPT_KUBELET_CLIENT_KEY,
	    .url = OPT_KUBELET_API,
	    .max = LIMIT_BLOB },
	[BLOB_KUBELET_PODS] = { .option = OPT_KUBELET_API,
	    .url = OPT_KUBELET_API,
	    .max = LIMIT_PODS_FILE,
	    .must_be_fresh = true },
	[BLOB_CONSUL_TOKEN] = { .option = OPT_CONSUL_TOKEN_FILE,
	    .url = OPT_CONSUL_ADDR,
	    .max = LIMIT_BLOB },
	[BLOB_CONSUL_CA] = { .option = OPT_CONSUL_CA,
	    .url = OPT_CONSUL_ADDR,
	    .max = LIMIT_BLOB,
	    .is_ca = true },
	[BLOB_CONSUL_CERT] = { .option = OPT_CONSUL_CLIENT_CERT,
	    .url = OPT_CONSUL_ADDR,
	    .max = LIMIT_BLOB },
	[BLOB_CONSUL_KEY] = { .option = OPT_CONSUL_CLIENT_KEY,
	    .url = OPT_CONSUL_ADDR,
	    .max = LIMIT_BLOB },
	[BLOB_K8S_TOKEN] = { .option = OPT_K8S_TOKEN_FILE,
	    .url = OPT_K8S_API,
	    .max = LIMIT_BLOB },
	[BLOB_K8S_CA] = { .option = OPT_K8S_CA,
	    .url = OPT_K8S_API,
	    .max = LIMIT_BLOB,
	    .is_ca = true },
	[BLOB_K8S_CERT] = { .option = OPT_K8S_CLIENT_CERT,
	    .url = OPT_K8S_API,
	    .max = LIMIT_BLOB },
	[BLOB_K8S_KEY] = { .option = OPT_K8S_CLIENT_KEY,
	    .url = OPT_K8S_API,
	    .max = LIMIT_BLOB },
	[BLOB_KUBECONFIG] = { .option = OPT_KUBECONFIG,
	    .max = LIMIT_KUBECONFIG,
	    .roots_only = true },
};

/* Debian and its kin, Fedora and its kin, openSUSE, Alpine and the BSDs. */
static const char *const system_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static int
new_memfd(void)
{
	return memfd_create("katalogd-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static int
empty_memfd(void)
{
	int fd = new_memfd();

	if (fd == -1 || fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		fatal("memfd for a blob");
	return fd;
}

static struct stamp
stamp_of(const struct stat *st)
{
	return (struct stamp){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    same_time(&a->mtime, &b->mtime) && same_time(&a->ctime, &b->ctime);
}

struct secrets *
secrets_new(void)
{
	struct secrets *s = xcalloc(1, sizeof(*s));

	for (unsigned id = 0; id < BLOB_MAX; id++)
		s->blobs[id].memfd = empty_memfd();
	return s;
}

void
secrets_free(struct secrets *s)
{
	if (s == NULL)
		return;
	for (unsigned id = 0; id < BLOB_MAX; id++) {
		close(s->blobs[id].memfd);
		free(s->blobs[id].path);
	}
	free(s);
}

static off_t
size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static bool
same_content(int a, int b)
{
	off_t len = size_of(a);
	void *pa, *pb;
	bool same;

	if (len != size_of(b))
		return false;
	if (len <= 0)
		return len == 0;
	pa = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, a, 0);
	pb = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, b, 0);
	same = pa != MAP_FAILED && pb != MAP_FAILED &&
	    memcmp(pa, pb, (size_t)len) == 0;
	if (pa != MAP_FAILED)
		munmap(pa, (size_t)len);
	if (pb != MAP_FAILED)
		munmap(pb, (size_t)len);
	return same;
}

/* Takes memfd over. True if it holds something else than before. */
static bool
replace(struct blob *b, int memfd)
{
	if (same_content(b->memfd, memfd)) {
		close(memfd);
		return false;
	}
	close(b->memfd);
	b->memfd = memfd;
	return true;
}

static bool
forget(struct blob *b)
{
	memset(&b->seen, 0, sizeof(b->seen));
	b->from_env = false;
	return replace(b, empty_memfd());
}

/* NULL if the file may be taken, else why not. */
static const char *
unfit(const struct stat *st, const struct blob_def *d)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_size == 0)
		return "empty";
	if (st->st_size > d->max)
		return "too large";
	if (!d->roots_only || geteuid() != 0)
		return NULL;
	if (st->st_uid != 0)
		return "belongs to somebody else than root";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "can be written by group or others";
	return NULL;
}

static const char *
copy(int from, int to, off_t len)
{
	ssize_t n;

	while (len > 0) {
		n = sendfile(to, from, NULL, (size_t)len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return strerror(errno);
		if (n == 0)
			return "became shorter while it was read";
		len -= n;
	}
	return NULL;
}

/* Copies fd, which must still be as *st says when that is done. */
static const char *
copy_unchanged(int fd, const struct stat *st, int memfd)
{
	struct stamp before = stamp_of(st), after;
	const char *why = copy(fd, memfd, st->st_size);
	struct stat now;

	if (why != NULL)
		return why;
	if (fstat(fd, &now) == -1)
		return strerror(errno);
	after = stamp_of(&now);
	if (!same_stamp(&before, &after))
		return "changed while it was read";
	if (fcntl(memfd, F_ADD_SEALS, SEALS) == -1)
		return strerror(errno);
	return NULL;
}

/* A sealed copy of the open file in *memfd and its stamp, or why not. */
static const char *
load(int fd, const struct blob_def *d, int *memfd, struct stat *st)
{
	const char *why;

	if (fstat(fd, st) == -1)
		return strerror(errno);
	if ((why = unfit(st, d)) != NULL)
		return why;
	if ((*memfd = new_memfd()) == -1)
		return strerror(errno);
	if ((why = copy_unchanged(fd, st, *memfd)) != NULL)
		close(*memfd);
	return why;
}

static const char *
load_path(const char *path, const struct blob_def *d, int *memfd,
    struct stat *st)
{
	const char *why;
	/* O_NONBLOCK: a FIFO must not stop us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1)
		return strerror(errno);
	why = load(fd, d, memfd, st);
	close(fd);
	return why;
}

static const char *
consequence(const struct blob *b, const struct blob_def *d)
{
	if (d->must_be_fresh)
		return "counts as a failed read";
	if (b->from_env)
		return "CONSUL_HTTP_TOKEN is used";
	if (size_of(b->memfd) > 0)
		return "what was read before stays in use";
	return "going on without it";
}

static bool
failed(struct blob *b, const struct blob_def *d, const char *why)
{
	log_once_warn(&b->problem, "%s: %s: %s; %s, and tried again",
	    option_def(d->option)->name, b->path, why, consequence(b, d));
	return d->must_be_fresh && forget(b);
}

static bool
reread(struct blob *b, const struct blob_def *d)
{
	struct stat st;
	int memfd = -1;
	const char *why = load_path(b->path, d, &memfd, &st);

	if (why != NULL)
		return failed(b, d, why);
	log_once_clear(&b->problem, "%s: %s: read again",
	    option_def(d->option)->name, b->path);
	b->from_env = false;
	b->seen = stamp_of(&st);
	b->unsettled = st.st_ctim.tv_sec + SETTLED_S >= time(NULL);
	return replace(b, memfd);
}

static bool
check(struct blob *b, const struct blob_def *d)
{
	struct stat st;
	struct stamp now;

	if (b->path == NULL)
		return false;
	if (stat(b->path, &st) == -1)
		return failed(b, d, strerror(errno));
	now = stamp_of(&st);
	if (!same_stamp(&b->seen, &now) || b->unsettled)
		return reread(b, d);
	log_once_clear(&b->problem, "%s: %s: there again",
	    option_def(d->option)->name, b->path);
	return false;
}

blob_mask
secrets_check(struct secrets *s)
{
	blob_mask changed = 0;

	for (unsigned id = 1; id < BLOB_MAX; id++)
		if (check(&s->blobs[id], &defs[id]))
			changed |= BLOB_BIT(id);
	return changed;
}

static const char *
system_bundle(void)
{
	for (size_t i = 0; i < sizeof(system_bundles) / sizeof(*system_bundles);
	     i++)
		if (access(system_bundles[i], R_OK) == 0)
			return system_bundles[i];
	return NULL;
}

/* NULL: there is to be none. *u gets the URL that the blob is for. */
static const char *
path_of(const struct blob_def *d, const struct settings *s, struct url *u)
{
	const char *path = settings_str(s, d->option);

	if (d->url == 0)
		return *path != '\0' ? path : NULL;
	if (option_url(d->url, settings_str(s, d->url), u) != NULL)
		return NULL;
	if (d->option == d->url)
		return u->scheme == URL_FILE ? u->path : NULL;
	if (*path != '\0')
		return path;
	return d->is_ca && u->scheme == URL_HTTPS ? system_bundle() : NULL;
}

static bool
same_path(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Another file: what the old one held must not outlive it. */
static bool
set_path(struct blob *b, const char *path)
{
	if (same_path(b->path, path))
		return false;
	free(b->path);
	b->path = path != NULL ? xstrdup(path) : NULL;
	memset(&b->problem, 0, sizeof(b->problem));
	return forget(b);
}

static const char *
put(int memfd, const void *data, size_t len)
{
	if (write(memfd, data, len) != (ssize_t)len)
		return "short write";
	return fcntl(memfd, F_ADD_SEALS, SEALS) == -1 ? strerror(errno) : NULL;
}

static bool
set_data(struct blob *b, const void *data, size_t len)
{
	int memfd = new_memfd();

	if (memfd == -1)
		fatal("memfd for a blob");
	if (put(memfd, data, len) != NULL) {
		log_warn("memfd for a blob");
		close(memfd);
		return false;
	}
	return replace(b, memfd);
}

/* What was given, and is of use no more. */
static bool
take_back(struct blob *b)
{
	bool given = b->given;

	b->given = false;
	return given && forget(b);
}

/* CONSUL_HTTP_TOKEN, for as long as no file gave one. */
static bool
put_env(struct blob *b, const char *token)
{
	if (token == NULL || size_of(b->memfd) > 0)
		return false;
	b->from_env = set_data(b, token, strlen(token));
	return b->from_env;
}

/* env: what there is in place of a file; may be NULL. */
static bool
configure(struct blob *b, const struct blob_def *d, const struct settings *s,
    const char *env)
{
	struct url u;
	bool changed;

	if (b->given)
		return false;
	changed = set_path(b, path_of(d, s, &u));
	changed |= put_env(b, env);
	if (b->path != NULL && reread(b, d))
		changed = true;
	return changed;
}

static bool
unused(struct blob *b)
{
	bool changed = take_back(b);

	return set_path(b, NULL) || changed;
}

blob_mask
secrets_configure(struct secrets *s, const struct config *c)
{
	bool kubeconfig = *settings_str(c->settings, OPT_KUBECONFIG) != '\0';
	role_mask running = roles_running(c->settings);
	blob_mask changed = 0;

	for (unsigned id = 1; id < BLOB_MAX; id++) {
		const char *env =
		    id == BLOB_CONSUL_TOKEN ? c->consul_token : NULL;
		struct blob *b = &s->blobs[id];
		bool differs = !kubeconfig && take_back(b);

		if ((blob_roles(id) & running) == 0)
			differs |= unused(b);
		else
			differs |= configure(b, &defs[id], c->settings, env);
		if (differs)
			changed |= BLOB_BIT(id);
	}
	return changed;
}

blob_mask
secrets_give(struct secrets *s, enum blob_id id, const void *data, size_t len)
{
	struct blob *b = &s->blobs[id];
	bool changed;

	if (len == 0) {
		changed = take_back(b);
	} else {
		changed = set_path(b, NULL);
		changed |= set_data(b, data, len);
		b->given = true;
	}
	return changed ? BLOB_BIT(id) : 0;
}

int
secrets_fd(const struct secrets *s, enum blob_id id)
{
	return fcntl(s->blobs[id].memfd, F_DUPFD_CLOEXEC, 0);
}
