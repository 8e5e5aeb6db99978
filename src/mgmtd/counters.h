/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the management daemon counts. */
#ifndef WEFT_MGMTD_COUNTERS_H
#define WEFT_MGMTD_COUNTERS_H

#include "conf/counters.h"

#define MGMTD_COUNTERS(X)                                                                                                     \
	X(MGMTD_C_REGISTRATIONS, "registrations", "", TOTAL, "nodes and targets registered")                                  \
	X(MGMTD_C_REFUSED, "registrations_refused", "", TOTAL, "registrations refused")                                       \
	X(MGMTD_C_HEARTBEATS, "heartbeats", "", TOTAL, "heartbeats received")                                                 \
	X(MGMTD_C_CHANGES, "map_changes", "", TOTAL, "changes of the cluster map")                                            \
	X(MGMTD_C_COMMITS, "commits", "", TOTAL, "times that changes were made durable")                                      \
	X(MGMTD_C_MAPS_SENT, "maps_sent", "", TOTAL, "cluster maps sent")                                                     \
	X(MGMTD_C_WATCHERS, "watchers", "", GAUGE, "requests that wait for a newer map")                                      \
	X(MGMTD_C_NODES, "nodes", "", GAUGE, "nodes in the map, clients included")                                            \
	X(MGMTD_C_TARGETS, "targets", "", GAUGE, "targets in the map")                                                        \
	X(MGMTD_C_MAP_BYTES, "map_bytes", "bytes", GAUGE, "size of the encoded map")

enum mgmtd_counter { MGMTD_COUNTERS(COUNTERS_ID) MGMTD_C_N };
extern const struct counter_info mgmtd_counter_info[];

#endif
