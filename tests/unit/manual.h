/* A page of the manual, for tests that compare it with the code. */
#ifndef TEST_MANUAL_H
#define TEST_MANUAL_H

/* page: "katalogd.8". Its text, for free(); the test fails without it. */
char *manual_text(const char *page);

#endif
