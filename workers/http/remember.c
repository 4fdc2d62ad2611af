#include "workers/http/remember.h"

#include <stdlib.h>

#include "common/pod.h"

static bool
is_worth_it(const struct set_entry *e)
{
	struct pod_report *r;
	bool worth;

	if (!pod_key_is(e->key, e->key_len))
		return false;
	r = pod_report_decode(e->key, e->key_len, e->val, e->val_len);
	worth = r != NULL &&
	    (r->sidecar == POD_SIDECAR_REGISTERED ||
		r->sidecar == POD_SIDECAR_DEREGISTERED);
	free(r);
	return worth;
}

static void
send_report(struct channel *ch, const struct set_entry *e)
{
	uint8_t buf[LIMIT_PACKET];
	struct tlv_writer w;

	tlv_writer_init(&w, buf, sizeof(buf));
	tlv_put(&w, TAG_KEY, e->key, e->key_len);
	tlv_put(&w, TAG_VALUE, e->val, e->val_len);
	channel_send_tlv(ch, MSG_REMEMBER, 0, &w, -1);
}

void
remember(struct channel *ch, const struct replica *reports)
{
	const struct set_entry *e;

	for (e = replica_first(reports); e != NULL;
	     e = replica_next(reports, e))
		if (is_worth_it(e))
			send_report(ch, e);
	channel_send(ch, MSG_REMEMBERED, 0, NULL, 0, -1);
}
