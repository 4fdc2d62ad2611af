/*
 * The kubeconfig worker: is given the bytes of a kubeconfig, answers what they
 * say, and ends. It opens no connection and no file.
 */
#include <bsd/string.h>
#include <string.h>

#include "common/log.h"
#include "workers/kubeconfig/kubeconfig.h"
#include "workers/worker.h"

/* A tree of the largest file takes some 20 MB. */
#define AS_BYTES ((size_t)256 * 1024 * 1024)
#define NOFILE   32

struct answer {
	struct kubeconfig k;
	char problem[KUBECONFIG_WHY]; /* "": none */
};

static uint8_t
inline_bits(const struct kubeconfig *k)
{
	uint8_t bits = 0;

	for (int i = 0; i < KUBECONFIG_KINDS; i++)
		if (k->credentials[i].data)
			bits |= (uint8_t)(1U << i);
	return bits;
}

/* With a problem the rest is empty. */
static void
encode(const struct answer *a, struct tlv_writer *w)
{
	static const struct kubeconfig nothing;
	const struct kubeconfig *k = *a->problem == '\0' ? &a->k : &nothing;

	tlv_put_str(w, TAG_TEXT, a->problem);
	tlv_put_str(w, TAG_URL, k->server);
	tlv_put_str(w, TAG_SERVER_NAME, k->tls_server_name);
	tlv_put_u8(w, TAG_INSECURE, k->insecure);
	tlv_put_u8(w, TAG_INLINE, inline_bits(k));
	for (int i = 0; i < KUBECONFIG_KINDS; i++)
		tlv_put(w, (uint16_t)(TAG_K8S_TOKEN + i),
		    k->credentials[i].bytes, k->credentials[i].len);
}

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	struct answer *a = w->ctx;

	(void)id;
	kubeconfig_free(&a->k);
	strlcpy(a->problem, "", sizeof(a->problem));
	kubeconfig_read(data, len, &a->k, a->problem);
}

static void
tell(const struct answer *a)
{
	const struct kubeconfig *k = &a->k;

	if (*a->problem == '\0')
		log_info("context %s: cluster %s at %s, user %s", k->context,
		    k->cluster, k->server,
		    *k->user != '\0' ? k->user : "(anonymous)");
}

static void
start(struct worker *w)
{
	uint8_t buf[PROTO_BODY_MAX];
	struct tlv_writer body;

	tell(w->ctx);
	tlv_writer_init(&body, buf, sizeof(buf));
	encode(w->ctx, &body);
	channel_send_tlv(worker_supervisor(w), MSG_KUBECONFIG, 0, &body, -1);
	worker_exit(w);
}

static void
preload(struct worker *w, struct sandbox *sb)
{
	static struct answer answer = { .problem = "no file was given" };

	w->ctx = &answer;
	sb->as_bytes = AS_BYTES;
	sb->nofile = NOFILE;
}

int
main(void)
{
	static const struct worker_role role = {
		.role = ROLE_KUBECONFIG,
		.preload = preload,
		.start = start,
		.blob = on_blob,
	};

	return worker_main(&role);
}
