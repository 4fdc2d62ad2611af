/*
 * What a kubeconfig says of its current context: where the server is and how
 * one proves to it who one is. Pure: opens no file, so paths are as they stand
 * there.
 *
 * As in kubectl, data goes before a path, and tokenFile before token. What is
 * not supported is refused, not left out: it would be another user, or
 * another way, than the file says.
 */
#ifndef KUBECONFIG_H
#define KUBECONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/limits.h"

struct node;

/* In the order of BLOB_K8S_TOKEN and those behind it. */
enum kubeconfig_kind {
	KUBECONFIG_TOKEN,
	KUBECONFIG_CA,
	KUBECONFIG_CERT,
	KUBECONFIG_KEY,
	KUBECONFIG_KINDS
};

struct kubeconfig_credential {
	bool data; /* the bytes themselves, decoded; else a path, or nothing */
	const void *bytes; /* within LIMIT_K8S_*; a path within LIMIT_OPTION */
	size_t len;
	void *decoded; /* what bytes points to, or NULL */
};

/* Texts are never NULL, "" where there is nothing; the struct owns them. */
struct kubeconfig {
	const char *context;
	const char *cluster;
	const char *user; /* "": anonymous */
	const char *server; /* option_url(OPT_K8S_API) takes it */
	const char *tls_server_name;
	bool insecure;
	struct kubeconfig_credential credentials[KUBECONFIG_KINDS];
	struct node *tree;
};

/*
 * False, and why in words that name the user or cluster and what to do: the
 * file is of no use. *k is to be freed in both cases.
 */
#define KUBECONFIG_WHY (LIMIT_TEXT + 1)
bool kubeconfig_read(const void *data, size_t len, struct kubeconfig *k,
    char why[KUBECONFIG_WHY]);
void kubeconfig_free(struct kubeconfig *k);

#endif
