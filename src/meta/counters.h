/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every counter of a metadata target: X(name, unit, sentence). Counters only grow; gauges say what is now. */
#ifndef WEFT_META_COUNTERS_H
#define WEFT_META_COUNTERS_H

#define META_COUNTERS(X)                                                                                                       \
	X(requests, "ops", "requests received")                                                                                \
	X(replies, "ops", "replies sent")                                                                                      \
	X(errors, "ops", "of them with an error")                                                                              \
	X(mutations, "ops", "changes committed")                                                                               \
	X(resent_answered, "ops", "repeated requests answered from the reply cache")                                           \
	X(resent_joined, "ops", "repeated requests joined to the one that runs")                                               \
	X(stale_dropped, "ops", "requests older than the slot's last one")                                                     \
	X(forsaken, "ops", "requests that waited and lost their connection, not executed")                                     \
	X(needgroups, "ops", "requests sent back for the supplementary groups")                                                \
	X(sessions_opened, "ops", "sessions opened")                                                                           \
	X(sessions_evicted, "ops", "sessions ended because the client was silent")                                             \
	X(settles, "ops", "sizes asked of the storage targets")                                                                \
	X(truncates, "ops", "truncations carried out on storage targets")                                                      \
	X(destroys, "ops", "objects destroyed")                                                                                \
	X(waits, "ops", "requests that waited for a settling or truncation")                                                   \
	X(lock_waits, "ops", "lock requests that waited")                                                                      \
	X(deadlocks, "ops", "lock requests refused because they would deadlock")                                               \
	X(nospace, "ops", "changes refused for lack of space")                                                                 \
	X(lease_grants, "ops", "leases given to clients")                                                                      \
	X(lease_recalls, "ops", "leases called back")                                                                          \
	X(lease_waits, "ops", "requests that waited for leases to be given back")                                              \
	X(lease_voided, "ops", "leases dropped because the client was silent")                                                 \
	X(lease_contended, "ops", "times an inode was served without leases for a while")                                      \
	X(lease_recall_us, "us", "sum of the times from recalls to their answers")                                             \
	X(lease_recall_us_max, "us", "the longest of them")                                                                    \
	X(leases, "now", "leases held by clients")                                                                             \
	X(sessions, "now", "sessions")                                                                                         \
	X(open_files, "now", "handles")                                                                                        \
	X(pending, "now", "replies waiting for the journal")                                                                   \
	X(deletions, "now", "inodes whose objects are to be destroyed")

struct meta_counters {
#define X(name, unit, text) unsigned long long name;
	META_COUNTERS(X)
#undef X
};

#endif
