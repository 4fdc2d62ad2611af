/* "Did you mean": the option whose name is the fewest edits away. */
#include <string.h>

#include "supervisor/config_parts.h"

#define NAME_MAX_BYTES 64

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance; both are at most NAME_MAX_BYTES long. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_BYTES + 1], lb = strlen(b), diag, above;

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		diag = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < lb; j++) {
			above = row[j + 1];
			row[j + 1] =
			    least(above + 1, row[j] + 1, diag + (a[i] != b[j]));
			diag = above;
		}
	}
	return row[lb];
}

const char *
config_suggest(const char *wrong, bool file)
{
	/* Less alike than this is no help. */
	size_t best = 2 + strlen(wrong) / 8 + 1, d;
	const char *name = NULL;

	if (strlen(wrong) > NAME_MAX_BYTES)
		return NULL;
	for (int i = OPT_CONFIG; i < OPT_MAX; i++) {
		const char *candidate = option_def((enum option)i)->name;

		if (file && config_flag_only((enum option)i))
			continue;
		if ((d = distance(wrong, candidate)) >= best)
			continue;
		best = d;
		name = candidate;
	}
	return name;
}
