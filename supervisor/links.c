#include "supervisor/links.h"

#include "supervisor/supervisor.h"

static void
send_end(struct proc *to, const struct proc *peer, int fd)
{
	uint8_t buf[TLV_HEADER + 1];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put_u8(&w, TAG_ID, (uint8_t)peer->def->role);
	channel_send_tlv(to->ch, MSG_LINK, 0, &w, fd);
}

/*
 * Without a link both would wait for ever: better that p starts again when
 * there are descriptors.
 */
static void
link_pair(struct proc *p, struct proc *sibling)
{
	int fds[2];

	if (!channel_pair(fds)) {
		log_warn("link of %s and %s: %s is started again",
		    role_name(p->def->role), role_name(sibling->def->role),
		    role_name(p->def->role));
		proc_event(p, RESTART_FAULT);
		return;
	}
	send_end(p, sibling, fds[0]);
	send_end(sibling, p, fds[1]);
}

void
links_make(struct proc *p)
{
	for (unsigned role = 0; role < ROLE_MAX; role++) {
		struct proc *sibling = p->sup->procs[role];

		if (roles_linked(p->def->role, role) && proc_usable(sibling))
			link_pair(p, sibling);
	}
}
