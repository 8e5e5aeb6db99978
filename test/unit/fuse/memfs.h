/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A file system in memory over the channels of src/fuse, with one folder: what the tests of the transports mount. Requests are
 * answered at once, in a later task or after a timer, by turns; those on the file "fast" at once; the file "hang" is never
 * answered when its attributes are asked.
 */
#ifndef WEFT_TEST_UNIT_FUSE_MEMFS_H
#define WEFT_TEST_UNIT_FUSE_MEMFS_H

#include "fuse/chan.h"

#define MEMFS_HANG "hang"
#define MEMFS_FAST "fast"

/* As threads: asks for a queue that the kernel does not have, so that it must go back to /dev/fuse. */
#define MEMFS_BAD_QUEUE 1000u

/* Mounts on path, writes a byte to ready_fd, serves until unmounted; the exit status of its process. threads 0: one per CPU. */
int memfs_main(const char *path, enum chan_transport transport, unsigned threads, int ready_fd);

#endif
