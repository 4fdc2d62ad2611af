#include "tests/unit/manual.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_MAX (1 << 20)

char *
manual_text(const char *page)
{
	const char *top = getenv("TOP_SRCDIR");
	char path[4096], *text = calloc(1, PAGE_MAX);
	FILE *f;

	snprintf(path, sizeof(path), "%s/man/%s", top != NULL ? top : ".",
	    page);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_gt(fread(text, 1, PAGE_MAX - 1, f), 0);
	fclose(f);
	return text;
}
