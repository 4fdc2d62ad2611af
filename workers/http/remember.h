/*
 * What an earlier consul-writer told of pods' sidecars, told to a new one:
 * those that registered need not do so again.
 */
#ifndef REMEMBER_H
#define REMEMBER_H

#include "common/channel.h"
#include "common/state.h"

/*
 * REMEMBER for each pod report whose sidecar registered or deregistered, then
 * REMEMBERED. The first on a new link.
 */
void remember(struct channel *ch, const struct replica *reports);

#endif
