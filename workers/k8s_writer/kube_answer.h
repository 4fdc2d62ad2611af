/* What the apiserver's answers to writes mean. Pure. */
#ifndef KUBE_ANSWER_H
#define KUBE_ANSWER_H

#include <stddef.h>

#include "workers/k8s_writer/plan.h"

struct kube_answer {
	const char *error; /* NULL: there was an answer, with: */
	long status;
	const char *body;
	size_t len;
};

enum plan_result kube_answer_result(const struct kube_answer *a,
    enum plan_op op);

/*
 * For people: the status and what the apiserver says (which names the verb
 * and the resource of a 403), or why there was no answer.
 */
void kube_answer_text(const struct kube_answer *a, char *buf, size_t cap);

#endif
