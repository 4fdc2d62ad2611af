/*
 * Where the pod list comes from: the kubelet by http or https, or a file that
 * the supervisor reads for us.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/worker.h"

struct source;

struct source_result {
	/* NULL: a whole body came. Else why not, for people. */
	const char *why;
	enum metric kind; /* of the error: M_ERR_KUBELET_* */
	bool stopped; /* because data() said so: it knows why */
	uint64_t bytes;
	uint64_t took_ms;
};

struct source_ops {
	/* A piece of the body. False: no more of it is wanted. */
	bool (*data)(const char *data, size_t len, void *arg);
	void (*done)(const struct source_result *r, void *arg);
};

/* Before the sandbox closes: fills what of sb the source needs. */
struct source *source_preload(struct worker *w, struct sandbox *sb,
    const struct source_ops *ops, void *arg);

/* A token, certificate, or the file. True: the list may be another one. */
bool source_blob(struct source *s, enum blob_id id, const void *data,
    size_t len);

/* Starts one read; done follows once, also from inside this call. */
void source_read(struct source *s);

bool source_is_file(const struct source *s);
/* The URL, for messages. */
const char *source_name(const struct source *s);

#endif
