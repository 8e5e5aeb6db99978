/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Target folders: the identity file `weft.target` and the lock that keeps two processes from serving one folder.
 *
 * The file is INI text, replaced whole by rename. It is written before a target is first used, and again when the management
 * daemon has given it a number, a name and a cluster. Used when starting; may block.
 */
#ifndef WEFT_NODE_IDENTITY_H
#define WEFT_NODE_IDENTITY_H

#include "base/base.h"
#include "weft_proto.h"

#define TARGET_FILE "weft.target"
#define TARGET_FORMAT 1u /* of everything in the folder; grows when an older program must not touch it */
#define IDENTITY_WHY_MAX 512u

struct identity {
	uint32_t format;
	struct wp_uuid cluster; /* zero: not registered yet */
	struct wp_uuid uuid;    /* of the target */
	struct wp_uuid node;    /* uuid of the node, if this is the first target of a process */
	uint16_t service;       /* enum wp_service */
	uint32_t id;            /* WP_TARGET_NONE: not registered yet */
	char alias[WP_ALIAS_MAX + 1];
	char backend[16];
	uint64_t boot_epoch;    /* starts so far */
};

/*
 * Every function that fails writes a sentence for the administrator, with what to do, into why (IDENTITY_WHY_MAX bytes).
 */

/* Opens and locks the folder. -EBUSY: another process has it (why names its pid); -ENOENT, -EACCES, ... */
int folder_lock(const char *dir, bool create, int *ret_fd, char *why) must_check;
void folder_unlock(int fd);

/* -ENOENT: no identity file. -WEFT_ENEWER: of a newer program. -EINVAL: damaged. */
int identity_read(const char *dir, struct identity *ret, char *why) must_check;
/* Durable when it returns 0. */
int identity_write(const char *dir, const struct identity *id, char *why) must_check;
/* What the file says against what is wanted: -EINVAL (another service or backend), -WEFT_EFOREIGN (cluster not zero and
 * differs). */
int identity_check(const char *dir, const struct identity *id, uint16_t service, const char *backend,
		   const struct wp_uuid *cluster, char *why) must_check;
/* A new identity with random uuids. */
int identity_new(uint16_t service, const char *backend, struct identity *ret) must_check;
/* Nothing in it but what a fresh file system has (lost+found) and hidden files. */
bool folder_is_empty(const char *dir);

#define UUID_TEXT 37u
void uuid_format(const struct wp_uuid *u, char text[UUID_TEXT]);
int uuid_parse(const char *text, struct wp_uuid *ret) must_check;
int uuid_random(struct wp_uuid *ret) must_check; /* version 4 */

#endif
