/*
 * Of a pod's JSON, what pods.c reads. Pure.
 *
 * An owner of pods writes much of theirs as he likes: volumes, environments,
 * managedFields. What nobody reads costs no memory as a tree, and may be as
 * deep, and have such names, as no parser would take.
 */
#ifndef EXCERPT_H
#define EXCERPT_H

#include <stddef.h>

/*
 * bytes: one JSON object that json_scan() found good, with any names. Writes
 * the same object with no members but those that are read, each as often as it
 * stands there and with its value as it stands there. Returns its length; to
 * has room for len bytes.
 */
size_t excerpt(const char *bytes, size_t len, char *to);

#endif
