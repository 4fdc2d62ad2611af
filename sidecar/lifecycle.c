#include "sidecar/lifecycle.h"

static uint64_t
min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool
life_is_refusal(enum grpc_code code)
{
	static const bool refusals[GRPC_CODES] = {
		[GRPC_INVALID_ARGUMENT] = true,
		[GRPC_PERMISSION_DENIED] = true,
		[GRPC_FAILED_PRECONDITION] = true,
		[GRPC_UNIMPLEMENTED] = true,
		[GRPC_UNAUTHENTICATED] = true,
	};

	return (unsigned)code < GRPC_CODES && refusals[code];
}

void
life_init(struct lifecycle *l, uint64_t max_backoff_ms, uint64_t deregister_ms)
{
	*l = (struct lifecycle){
		.max_backoff_ms = max_backoff_ms,
		.deregister_ms = deregister_ms,
		.phase = LIFE_REGISTERING,
		.pause_ms = LIFE_BACKOFF_MS,
	};
}

static struct life_step
nothing(void)
{
	return (struct life_step){ LIFE_NOTHING, 0 };
}

static struct life_step
call(struct lifecycle *l, uint64_t timeout_ms, uint64_t now_ms)
{
	l->called_ms = now_ms;
	return (struct life_step){ LIFE_CALL, timeout_ms };
}

static struct life_step
end(struct lifecycle *l, bool out)
{
	l->phase = LIFE_OVER;
	l->out = out;
	return (struct life_step){ LIFE_END, 0 };
}

/*
 * Up to a quarter less, so that the sidecars of a node do not come in step.
 * What is refused is asked for less and less often.
 */
static uint64_t
next_pause(struct lifecycle *l, enum grpc_code code, uint64_t now_ms,
    uint32_t random)
{
	uint64_t most = l->max_backoff_ms, pause;

	if (life_is_refusal(code) && most < LIFE_SLOW_MS)
		most = LIFE_SLOW_MS;
	if (now_ms - l->called_ms >= LIFE_STABLE_MS)
		l->pause_ms = LIFE_BACKOFF_MS;
	pause = min(l->pause_ms, most);
	l->pause_ms = min(pause * 2, most);
	return pause - random % (pause / 4 + 1);
}

static struct life_step
registering_answer(struct lifecycle *l, enum grpc_code code, uint64_t now_ms,
    uint32_t random)
{
	if (code != GRPC_OK)
		return (struct life_step){ LIFE_WAIT,
			next_pause(l, code, now_ms, random) };
	l->phase = LIFE_REGISTERED;
	l->was_registered = true;
	return nothing();
}

static struct life_step
deregistering_answer(struct lifecycle *l, enum grpc_code code, uint64_t now_ms,
    uint32_t random)
{
	uint64_t pause;

	/* NOT_FOUND: the pod is gone, and its services with it. */
	if (code == GRPC_OK || code == GRPC_NOT_FOUND || !l->was_registered)
		return end(l, true);
	if (life_is_refusal(code))
		return end(l, false);
	pause = next_pause(l, code, now_ms, random);
	if (now_ms + pause >= l->deadline_ms)
		return end(l, false);
	return (struct life_step){ LIFE_WAIT, pause };
}

struct life_step
life_start(struct lifecycle *l, uint64_t now_ms)
{
	return call(l, LIFE_REGISTER_MS, now_ms);
}

struct life_step
life_answer(struct lifecycle *l, enum grpc_code code, uint64_t now_ms,
    uint32_t random)
{
	if (l->phase == LIFE_REGISTERING)
		return registering_answer(l, code, now_ms, random);
	if (l->phase == LIFE_DEREGISTERING)
		return deregistering_answer(l, code, now_ms, random);
	return nothing();
}

struct life_step
life_timer(struct lifecycle *l, uint64_t now_ms)
{
	if (l->phase == LIFE_REGISTERING)
		return call(l, LIFE_REGISTER_MS, now_ms);
	if (l->phase != LIFE_DEREGISTERING)
		return nothing();
	if (now_ms >= l->deadline_ms)
		return end(l, false);
	return call(l, l->deadline_ms - now_ms, now_ms);
}

struct life_step
life_stop(struct lifecycle *l, uint64_t now_ms)
{
	uint64_t most = l->deregister_ms;

	if (l->phase == LIFE_OVER)
		return nothing();
	if (l->phase == LIFE_DEREGISTERING)
		return end(l, false);
	if (!l->was_registered)
		most = min(most, LIFE_ONCE_MS);
	l->phase = LIFE_DEREGISTERING;
	l->pause_ms = LIFE_BACKOFF_MS;
	l->deadline_ms = now_ms + most;
	/* No time at all: not even asked. */
	return most > 0 ? call(l, most, now_ms) : end(l, !l->was_registered);
}
