/* Renders the model as the JSON of /v1/status. Pure. */
#ifndef STATUS_H
#define STATUS_H

#include <stdio.h>

#include "workers/http/model.h"

void status_render(FILE *out, const struct model *m, uint64_t now_ms);

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void json_string(FILE *out, const char *s);

#endif
