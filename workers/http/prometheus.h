/* Renders the model in Prometheus' text format 0.0.4. Pure. */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H

#include <stdio.h>

#include "workers/http/model.h"

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void prometheus_render(FILE *out, const struct model *m, uint64_t now_ms);

#endif
