/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every counter of a storage target: X(name, unit, sentence). Counters only grow; gauges say what is now. */
#ifndef WEFT_STORAGE_COUNTERS_H
#define WEFT_STORAGE_COUNTERS_H

#define STORAGE_COUNTERS(X)                                                              \
	X(reads, "ops", "read requests answered without error")                         \
	X(writes, "ops", "write requests answered without error")                       \
	X(truncates, "ops", "truncations answered without error")                       \
	X(allocs, "ops", "allocations and punches answered without error")              \
	X(seeks, "ops", "searches for data or holes answered without error")            \
	X(stats, "ops", "object attributes answered without error")                     \
	X(syncs, "ops", "objects made durable")                                         \
	X(destroys, "ops", "objects destroyed")                                         \
	X(read_bytes, "bytes", "bytes delivered to readers")                            \
	X(write_bytes, "bytes", "bytes taken from writers")                             \
	X(crc_errors, "ops", "writes refused because the payload did not match")        \
	X(corrupt_blocks, "ops", "requests that met a stored block with a bad checksum") \
	X(nospace, "ops", "requests refused for lack of space")                         \
	X(io_errors, "ops", "requests that the device failed")                          \
	X(malformed, "ops", "requests refused because their bytes make no sense")       \
	X(denied, "ops", "requests refused because of the sender's role")               \
	X(cap_failures, "ops", "requests refused for a bad capability")                 \
	X(cap_expired, "ops", "requests refused for an expired capability")             \
	X(cap_verified, "ops", "capabilities verified by their code")                   \
	X(cap_cached, "ops", "capabilities found verified before")                      \
	X(overloads, "ops", "requests sent back because the queue was full")            \
	X(stale_dropped, "ops", "requests dropped: sent again on a newer connection")   \
	X(inflight_ops, "now", "requests in the device")                                \
	X(inflight_bytes, "now", "bytes in the device")                                 \
	X(queued_ops, "now", "requests waiting for admission")                          \
	X(queued_bytes, "now", "bytes waiting for admission")

/* Latency from arrival to reply, as counts per power of two: bucket i is below 2^i * 16 microseconds, the last has no limit. */
#define STORAGE_LATENCY_BUCKETS 18u

#endif
