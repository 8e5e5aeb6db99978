/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Mistakes that the fake cluster can make. */
#ifndef WEFT_TEST_SIM_FAKE_CLUSTER_H
#define WEFT_TEST_SIM_FAKE_CLUSTER_H

#define FAKE_BUGS(X)                                                                                                           \
	X(LOOKUP_MISSES, "a look-up does not find a name")                                                                     \
	X(CREATE_LOST, "an acknowledged create is lost")                                                                       \
	X(NLINK, "a link count is wrong")                                                                                      \
	X(UNLINK_TWICE, "an unlink is executed twice")                                                                         \
	X(RENAME_HALF, "a rename leaves the old name")                                                                         \
	X(READDIR_MISSES, "a directory listing leaves one out")                                                                \
	X(READ_FLIPS, "a read delivers a flipped bit")                                                                         \
	X(READ_SHORT, "a read is short within the file")                                                                       \
	X(WRITE_LOST, "an acknowledged write is lost")                                                                         \
	X(APPEND_OVER, "an append overwrites the last one")                                                                    \
	X(APPEND_TWICE, "an append is executed twice")                                                                         \
	X(FSYNC_LIES, "fsync does nothing")                                                                                    \
	X(STALE_NAME, "a cache knows a name that was removed")                                                                 \
	X(STALE_MISSING, "a cache does not know of a new name")                                                                \
	X(STALE_ATTR, "a cache has an old mode")                                                                               \
	X(STALE_LISTING, "a cache lists a name too few")                                                                       \
	X(LOCK_BOTH, "a lock is granted twice")

enum fake_bug {
	FAKE_RIGHT,
#define X(name, text) FAKE_##name,
	FAKE_BUGS(X)
#undef X
};

extern enum fake_bug fake_bug;
extern unsigned fake_bug_at;

#endif
