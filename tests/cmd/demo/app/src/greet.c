/* Greets whoever is named, with the words of the configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int greet(const char *path, const char *name)
{
	char words[256] = "";
	FILE *file = fopen(path, "r");

	if (!file || !fgets(words, sizeof words, file)) {
		perror(path);
		return 1;
	}
	fclose(file);
	words[strcspn(words, "\n")] = 0;
	printf("%s, %s!\n", words, name);
	return 0;
}

int main(int argc, char **argv)
{
	const char *dir = getenv("GREET_CONFIG");
	char path[4096];

	snprintf(path, sizeof path, "%s/greeting", dir ? dir : "/etc/greet");
	return greet(path, argc > 1 ? argv[1] : "world");
}
