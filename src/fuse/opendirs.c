/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/opendirs.h"

#include <pthread.h>

#include "base/htab.h"

struct opendir {
	struct htab_node node;
	fuse_ino_t ino;
	unsigned refs;
	struct wp_attr attr;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct htab dirs;

static struct opendir *find(fuse_ino_t ino)
{
	struct htab_node *n;

	if (!dirs.buckets)
		htab_init(&dirs);
	htab_each_match(n, &dirs, hash_u64(ino))
		if (container_of(n, struct opendir, node)->ino == ino)
			return container_of(n, struct opendir, node);
	return NULL;
}

void opendirs_add(fuse_ino_t ino, const struct wp_attr *attr)
{
	struct opendir *d;

	pthread_mutex_lock(&lock);
	d = find(ino);
	if (!d) {
		d = NEW(struct opendir);
		d->ino = ino;
		htab_add(&dirs, &d->node, hash_u64(ino));
	}
	d->attr = *attr;
	d->refs++;
	pthread_mutex_unlock(&lock);
}

void opendirs_drop(fuse_ino_t ino)
{
	struct opendir *d;

	pthread_mutex_lock(&lock);
	d = find(ino);
	if (d && --d->refs == 0) {
		htab_del(&dirs, &d->node);
		free(d);
	}
	pthread_mutex_unlock(&lock);
}

bool opendirs_find(fuse_ino_t ino, struct wp_attr *ret)
{
	struct opendir *d;

	pthread_mutex_lock(&lock);
	d = find(ino);
	if (d)
		*ret = d->attr;
	pthread_mutex_unlock(&lock);
	return d != NULL;
}
