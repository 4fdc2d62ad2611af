/*
 * libFuzzer: a configuration file of any bytes, and the same bytes as flags
 * and environment, end in a config or in errors. What is a config is printed,
 * and must read back.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisor/config.h"

#define WORDS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void
fill(int fd, const void *data, size_t len)
{
	if (ftruncate(fd, 0) == -1 || pwrite(fd, data, len, 0) != (ssize_t)len)
		abort();
}

/* A memfd that the config can open by its name, and that is a file. */
static int
config_file_fd(void)
{
	static int fd = -1;

	if (fd != -1)
		return fd;
	if ((fd = memfd_create("config", MFD_CLOEXEC)) == -1)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd;
}

static struct config *
load(char **words, int nflags)
{
	struct config_input in = {
		.argc = nflags + 1,
		.argv = words,
		.envp = words + 1,
		.default_file = path,
		.service_account = "/nonexistent",
	};
	struct config_report r;
	struct config *c;

	config_report_init(&r);
	c = config_load(&in, &r);
	if ((c == NULL) != (r.errors > 0))
		abort();
	config_report_free(&r);
	return c;
}

static void
must_read_back(const struct config *c, int fd)
{
	char name[] = "fuzz", *argv[2] = { name, NULL }, *text = NULL;
	struct config_report r;
	struct config *back;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	config_print(c, f);
	fclose(f);
	fill(fd, text, len);
	free(text);
	config_report_init(&r);
	if ((back = load(argv, 0)) == NULL)
		abort();
	settings_set_u64(back->settings, OPT_DRY_RUN,
	    settings_u64(c->settings, OPT_DRY_RUN));
	settings_set_str(back->settings, OPT_CONFIG,
	    settings_str(c->settings, OPT_CONFIG));
	if (config_diff_roles(c, back, &r) != 0 || r.count != 0)
		abort();
	config_free(back);
}

/* Lines become the words; their number is returned. */
static int
split(char *text, char **words)
{
	char *word;
	int n = 0;

	while (n < WORDS && (word = strsep(&text, "\n")) != NULL)
		words[n++] = word;
	words[n] = NULL;
	return n;
}

/* With --config it would read whatever file that names. */
static bool
names_a_file(char **words)
{
	for (; *words != NULL; words++)
		if ((**words == '-' && strchr(*words, 'f') != NULL &&
			(*words)[1] != '-') ||
		    strncmp(*words, "--config", 8) == 0)
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[] = "fuzz", *words[WORDS + 2] = { name };
	char *text = strndup((const char *)data, size);
	int fd = config_file_fd(), n;
	struct config *c;

	fill(fd, data, size);
	if ((c = load(words, 0)) != NULL)
		must_read_back(c, fd);
	config_free(c);

	n = split(text, words + 1);
	fill(fd, "", 0);
	if (!names_a_file(words + 1) && (c = load(words, n)) != NULL) {
		if (!c->help && !c->version)
			must_read_back(c, fd);
		config_free(c);
	}
	free(text);
	return 0;
}
