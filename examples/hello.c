/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Writes a file into a Weft file system and reads it back: hello MGMTD_ADDR SECRET_FILE PATH */
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

static int hello(struct weft *fs, const char *path)
{
	static const char text[] = "hello, world\n";
	struct weft_file *f;
	char back[64];
	ssize_t n;
	int err;

	err = weft_open(fs, NULL, path, O_CREAT | O_TRUNC | O_RDWR, 0644, &f);
	if (err)
		return err;
	n = weft_pwrite(f, text, sizeof(text) - 1, 0);
	if (n >= 0)
		n = weft_fsync(f);
	if (n >= 0)
		n = weft_pread(f, back, sizeof(back), 0);
	if (n > 0)
		fwrite(back, 1, (size_t)n, stdout);
	err = weft_close(f);
	return n < 0 ? (int)n : err;
}

int main(int argc, char **argv)
{
	struct weft_options o = WEFT_OPTIONS_INIT;
	struct weft *fs;
	int err;

	if (argc != 4) {
		fprintf(stderr, "usage: hello MGMTD_ADDR SECRET_FILE PATH\n");
		return 2;
	}
	o.mgmtd = argv[1];
	o.secret_file = argv[2];
	err = weft_mount(&o, &fs);
	if (!err) {
		err = hello(fs, argv[3]);
		weft_umount(fs);
	}
	if (err)
		fprintf(stderr, "hello: %s\n", strerror(-err));
	return err ? 1 : 0;
}
