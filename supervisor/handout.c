#include "supervisor/handout.h"

#include "supervisor/links.h"
#include "supervisor/supervisor.h"

#define ID_BODY (TLV_HEADER + 1)
/* Bytes that wait for http, some hundred states of workers. */
#define UNREAD_MAX (64 * 1024)

void
handout_config(struct proc *p)
{
	uint8_t buf[PROTO_BODY_MAX];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	if (!settings_encode(p->sup->config->settings, p->def->role, &w))
		fatalx("%s: its options do not fit a message",
		    role_name(p->def->role));
	channel_send_tlv(p->ch, MSG_CONFIG, 0, &w, -1);
}

static void
send_fd(struct proc *p, enum msg_type type, uint8_t id, int fd)
{
	uint8_t buf[ID_BODY];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_ID, id);
	channel_send_tlv(p->ch, type, 0, &w, fd);
}

static void
send_blob(struct proc *p, enum blob_id id)
{
	int fd = secrets_fd(p->sup->secrets, id);

	if (fd == -1)
		log_warn("%s: %s: cannot be handed out; it keeps what it has",
		    role_name(p->def->role), blob_name(id));
	else
		send_fd(p, MSG_BLOB, (uint8_t)id, fd);
}

void
handout_blobs(struct proc *p, blob_mask blobs)
{
	for (unsigned id = 1; id < BLOB_MAX; id++)
		if ((blobs & BLOB_BIT(id)) != 0 &&
		    (blob_roles(id) & ROLE_BIT(p->def->role)) != 0)
			send_blob(p, id);
}

static void
send_listeners(struct proc *p)
{
	for (unsigned id = 1; id < LISTEN_MAX; id++) {
		int fd;

		if ((p->def->listeners & LISTEN_BIT(id)) == 0)
			continue;
		fd = listeners_fd(&p->sup->listeners, id);
		if (fd != -1)
			send_fd(p, MSG_LISTEN, (uint8_t)id, fd);
	}
}

static void
send_all_workers(struct proc *p)
{
	if (p->def->role != ROLE_HTTP)
		return;
	for (unsigned role = 0; role < ROLE_MAX; role++)
		if (p->sup->procs[role] != NULL)
			handout_worker(p->sup, p->sup->procs[role]);
}

void
handout_all(struct proc *p)
{
	handout_blobs(p, ~(blob_mask)0);
	send_listeners(p);
	send_all_workers(p);
	links_make(p);
	channel_send(p->ch, MSG_START, 0, NULL, 0, -1);
}

static void
put_worker(struct tlv_writer *w, const struct proc *p)
{
	tlv_put_u8(w, TAG_ROLE, (uint8_t)p->def->role);
	tlv_put_u8(w, TAG_STATE, (uint8_t)p->restart.state);
	tlv_put_u32(w, TAG_PID, (uint32_t)p->pid);
	tlv_put_u64(w, TAG_SINCE, p->restart.since_ms);
	tlv_put_u32(w, TAG_RESTARTS, p->restart.restarts);
	tlv_put_u32(w, TAG_LAYERS, p->layers);
	tlv_put_str(w, TAG_MISSING, p->missing);
	tlv_put_u8(w, TAG_HEALTH, (uint8_t)p->health);
	tlv_put_u8(w, TAG_SYNCED, p->synced);
	tlv_put_str(w, TAG_TEXT, p->text);
}

void
handout_worker(struct supervisor *sup, struct proc *p)
{
	struct proc *http = sup->procs[ROLE_HTTP];
	uint8_t buf[2 * LIMIT_TEXT + 128];
	struct tlv_writer w;

	if (!proc_usable(http) || p->def->once)
		return;
	/* Whose flood it is, http's or another's, is not known here. */
	p->untold = channel_queued(http->ch) > UNREAD_MAX;
	if (p->untold)
		return;
	tlv_writer_init(&w, buf, sizeof(buf));
	put_worker(&w, p);
	channel_send_tlv(http->ch, MSG_WORKER, 0, &w, -1);
}

void
handout_untold(struct supervisor *sup)
{
	for (unsigned role = 0; role < ROLE_MAX; role++)
		if (sup->procs[role] != NULL && sup->procs[role]->untold)
			handout_worker(sup, sup->procs[role]);
}
