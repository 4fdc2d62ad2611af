#include "supervisor/messages.h"

#include <bsd/string.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/sandbox.h"
#include "supervisor/cluster.h"
#include "supervisor/handout.h"
#include "supervisor/supervisor.h"
#include "supervisor/unix_connect.h"

/* Without these no worker gets a secret or a socket. */
#define LAYERS_ALWAYS \
	(SANDBOX_LIMITS | SANDBOX_CAPS | SANDBOX_NODUMP | \
	    SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP)
#define LAYERS_ROOT (SANDBOX_CHROOT | SANDBOX_UID)

struct handler {
	bool (*handle)(struct proc *p, const struct msg *m);
	bool before_ready; /* allowed then too */
};

static bool
layers_hold(uint32_t layers)
{
	uint32_t must = LAYERS_ALWAYS;

	if (geteuid() == 0)
		must |= LAYERS_ROOT;
	return (layers & must) == must;
}

static bool
on_ready(struct proc *p, const struct msg *m)
{
	p->layers = msg_u32(m, TAG_LAYERS);
	if (!msg_str(m, TAG_MISSING, p->missing, sizeof(p->missing)))
		return false;
	if (!layers_hold(p->layers)) {
		log_error("%s: READY without its sandbox (layers 0x%x)",
		    role_name(p->def->role), (unsigned)p->layers);
		return false;
	}
	if (p->missing[0] != '\0')
		log_once_warn(&p->missing_said,
		    "%s: the kernel lacks %s; going on with the other layers "
		    "of the sandbox",
		    role_name(p->def->role), p->missing);
	proc_event(p, RESTART_READY);
	if (proc_usable(p))
		handout_all(p);
	return true;
}

/* It has the PING's number: who does not read does not know that. */
static bool
on_pong(struct proc *p, const struct msg *m)
{
	if (m->generation != p->ping)
		return false;
	proc_event(p, RESTART_PONG);
	return true;
}

static bool
on_log(struct proc *p, const struct msg *m)
{
	struct tlv_field text = msg_field(m, TAG_TEXT);

	proc_log(p, (enum log_level)msg_u8(m, TAG_LEVEL),
	    (const char *)text.val, text.len);
	return true;
}

static bool
on_health(struct proc *p, const struct msg *m)
{
	enum health health = (enum health)msg_u8(m, TAG_HEALTH);
	bool synced = msg_u8(m, TAG_SYNCED) != 0;
	char text[sizeof(p->text)];

	if (!msg_str(m, TAG_TEXT, text, sizeof(text)))
		return false;
	if (health == p->health && synced == p->synced &&
	    strcmp(text, p->text) == 0)
		return true;
	p->health = health;
	p->synced = synced;
	strlcpy(p->text, text, sizeof(p->text));
	supervisor_proc_changed(p->sup, p);
	return true;
}

/*
 * The path is ours, not the worker's, to name. It asks for one at a time:
 * each that waits to be read is a descriptor of ours.
 */
static bool
on_connect(struct proc *p, const struct msg *m)
{
	struct log_once *problem = &p->sup->connect_problem;
	struct url u;
	int fd;

	(void)m;
	if (option_url(OPT_CONSUL_ADDR,
		settings_str(p->sup->config->settings, OPT_CONSUL_ADDR),
		&u) != NULL ||
	    !p->def->connects || u.scheme != URL_UNIX ||
	    channel_queued(p->ch) > 0)
		return false;
	fd = unix_connect(u.path);
	if (fd == -1)
		log_once_warn(problem,
		    "consul-addr: connecting to %s: %s; "
		    "tried again",
		    u.path, strerror(errno));
	else
		log_once_clear(problem, "consul-addr: %s: connected", u.path);
	channel_send(p->ch, MSG_CONNECTED, 0, NULL, 0, fd);
	return true;
}

/*
 * A sibling broke the protocol on the link that they share, says this one. With
 * a sibling's next start comes another link.
 */
static bool
on_bad_link(struct proc *p, const struct msg *m)
{
	enum role role = msg_u8(m, TAG_ID);
	struct proc *peer = role < ROLE_MAX ? p->sup->procs[role] : NULL;

	if (!roles_linked(p->def->role, role) || peer == NULL)
		return false;
	if (!proc_usable(peer) || peer->restart.accused)
		return true;
	log_error("%s says that %s broke the protocol on their link",
	    role_name(p->def->role), role_name(role));
	proc_event(peer, RESTART_ACCUSED);
	if (!peer->restart.ending)
		log_warnx("%s was started again on such a word not long ago; "
			  "once more only %d minutes after that",
		    role_name(role), RESTART_HEED_MS / 60000);
	return true;
}

static const struct handler handlers[MSG_MAX] = {
	[MSG_READY] = { .handle = on_ready, .before_ready = true },
	[MSG_LOG] = { .handle = on_log, .before_ready = true },
	[MSG_PONG] = { .handle = on_pong },
	[MSG_HEALTH] = { .handle = on_health },
	[MSG_CONNECT] = { .handle = on_connect },
	[MSG_BAD_LINK] = { .handle = on_bad_link },
	[MSG_KUBECONFIG] = { .handle = cluster_answer },
};

bool
message_handle(struct proc *p, const struct msg *m)
{
	const struct handler *h = &handlers[m->type];

	if (h->handle == NULL)
		return false;
	if (p->restart.state != WORKER_READY && !h->before_ready)
		return false;
	/* One that was told to end may still speak, but not ask. */
	if (p->restart.ending && m->type != MSG_LOG)
		return true;
	return h->handle(p, m);
}
