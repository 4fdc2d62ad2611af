/*
 * A worker for tests of the supervisor. Its role is the one that it is started
 * by the name of.
 *
 * consul-reader, k8s-writer: only say what they were given.
 * kubelet-reader, consul-writer, http: were taken over, and do to the
 * supervisor what they can, from inside their sandbox.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "workers/worker.h"

/* What is shown of a blob; those of tests are no secrets. */
#define SHOWN      40

#define CONTROL_FD 3
/* Messages of one that says the same without end. */
#define FLOOD 100000

static void
on_blob(struct worker *w, enum blob_id id, const void *data, size_t len)
{
	(void)w;
	log_info("blob %s: %zu bytes: %.*s", blob_name(id), len,
	    len < SHOWN ? (int)len : SHOWN, (const char *)data);
}

static void
on_link(struct worker *w, enum role peer, struct channel *ch)
{
	(void)w;
	log_info("link %s: %s", role_name(peer), ch != NULL ? "up" : "down");
}

static bool
on_message(struct worker *w, enum role peer, const struct msg *m)
{
	(void)w;
	(void)peer;
	(void)m;
	return true;
}

static void
start_k8s_writer(struct worker *w)
{
	const struct settings *s = w->settings;

	log_info("started: api %s, name \"%s\", %s, leader-elect %s",
	    settings_str(s, OPT_K8S_API),
	    settings_str(s, OPT_K8S_TLS_SERVER_NAME),
	    settings_bool(s, OPT_K8S_INSECURE) ? "insecure" : "secure",
	    settings_str(s, OPT_LEADER_ELECT));
	worker_health(w, HEALTH_OK, true, "a stand-in");
}

static void
start_consul_reader(struct worker *w)
{
	log_info("started: tag %s", settings_str(w->settings, OPT_CONSUL_TAG));
	worker_health(w, HEALTH_OK, true, "a stand-in");
}

/* ---- those that were taken over ------------------------------------------- */

/* By no channel, which would queue it here, and read. */
static void
force(enum msg_type type, const struct tlv_writer *w)
{
	struct pollfd pfd = { .fd = CONTROL_FD, .events = POLLOUT };
	uint8_t packet[PROTO_HEADER + LIMIT_TEXT + 64];

	proto_header(packet, type, 0, (uint32_t)w->len);
	memcpy(packet + PROTO_HEADER, w->buf, w->len);
	while (write(CONTROL_FD, packet, PROTO_HEADER + w->len) == -1) {
		if (errno != EAGAIN)
			fatal("%s", msg_name(type));
		poll(&pfd, 1, -1);
	}
}

/* "The one over there is broken", each time that there is a link to it. */
static void
complain(struct worker *w, enum role peer, struct channel *ch)
{
	uint8_t buf[16];
	struct tlv_writer body;

	if (peer != ROLE_CONSUL_WRITER || ch == NULL)
		return;
	tlv_writer_init(&body, buf, sizeof(buf));
	tlv_put_u8(&body, TAG_ID, (uint8_t)peer);
	channel_send_tlv(worker_supervisor(w), MSG_BAD_LINK, 0, &body, -1);
	log_info("complained");
}

static void
flood_with_health(struct worker *w)
{
	char text[LIMIT_TEXT + 1];
	uint8_t buf[LIMIT_TEXT + 64];
	struct tlv_writer body;

	(void)w;
	memset(text, 'x', LIMIT_TEXT);
	text[LIMIT_TEXT] = '\0';
	for (int i = 0; i < FLOOD; i++) {
		text[0] = i % 2 == 0 ? 'a' : 'b';
		tlv_writer_init(&body, buf, sizeof(buf));
		tlv_put_u8(&body, TAG_HEALTH, HEALTH_OK);
		tlv_put_u8(&body, TAG_SYNCED, 1);
		tlv_put_str(&body, TAG_TEXT, text);
		force(MSG_HEALTH, &body);
	}
	log_info("flooded");
}

static void
flood_with_connect(struct worker *w)
{
	uint8_t none[1];
	struct tlv_writer body;

	(void)w;
	tlv_writer_init(&body, none, sizeof(none));
	for (int i = 0; i < FLOOD; i++)
		force(MSG_CONNECT, &body);
	log_info("flooded");
}

static bool
ignore_status(struct worker *w, const struct msg *m)
{
	(void)w;
	(void)m;
	return true;
}

static const struct worker_role roles[] = {
	{ .role = ROLE_CONSUL_READER,
	    .start = start_consul_reader,
	    .blob = on_blob,
	    .link = on_link,
	    .message = on_message },
	{ .role = ROLE_K8S_WRITER,
	    .start = start_k8s_writer,
	    .blob = on_blob,
	    .link = on_link,
	    .message = on_message },
	{ .role = ROLE_KUBELET_READER, .link = complain, .message = on_message },
	{ .role = ROLE_CONSUL_WRITER,
	    .start = flood_with_connect,
	    .message = on_message },
	{ .role = ROLE_HTTP,
	    .start = flood_with_health,
	    .worker_status = ignore_status,
	    .message = on_message },
};

int
main(void)
{
	const struct worker_role *r = roles;

	while (strcmp(program_invocation_short_name, role_name(r->role)) != 0)
		if (++r == roles + sizeof(roles) / sizeof(*roles))
			return 2;
	return worker_main(r);
}
