/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Syncing the whole device, and cleaning the dirty list:
 *
 *	new epoch -> writes of the old one have ended -> file system synced -> index written, with "clean up to" -> the old log is free
 */
#include <unistd.h>

#include "base/log.h"
#include "osd/disk_priv.h"

#define CLEAN_NS (30 * NSEC_PER_SEC)
#define CLEAN_LOG_BYTES MIB(16) /* records that make it worth while earlier */
#define POLL_NS (NSEC_PER_SEC / 4)

static int sync_fs(const struct disk *d) { return syncfs(d->dirfd) < 0 ? -errno : 0; }

void disk_lost(struct disk *d)
{
	d->lost++;
	d->verifier = hash_u64(disk_get_u64(d, "id") ^ hash_u64(d->lost)) | 1;
	disk_put_u64(d, "lost", d->lost);
	dindex_commit(d->index, OSD_SEQ_NONE, true, NULL, NULL);
}

/* ---- cleaning ----------------------------------------------------------------- */

static void clean_end(struct disk *d)
{
	d->clean_epoch = 0;
	env_timer_in(d->dev.env, &d->clean_timer, POLL_NS);
}

static void clean_indexed(void *arg, int err)
{
	struct disk *d = arg;

	if (d->closing)
		return;
	if (!err)
		dirty_cleaned(d->dirty);
	clean_end(d);
}

static void clean_run(void *arg)
{
	struct disk *d = arg;

	d->clean_err = sync_fs(d);
}

static void clean_synced(void *arg)
{
	struct disk *d = arg;

	d->clean_work = NULL;
	if (d->clean_err) {
		log_err("osd", "%s: syncing: %s", d->path, strerror(-d->clean_err));
		disk_lost(d);
		clean_end(d);
		return;
	}
	/* In one LMDB transaction with the last of the checksums that it vouches for, or a later one. */
	disk_put_u64(d, "clean", d->clean_epoch);
	dindex_sync(d->index, clean_indexed, d);
}

static void clean_tick(void *arg)
{
	struct disk *d = arg;
	uint64_t now = env_mono_ns(d->dev.env);

	if (!d->clean_epoch) {
		d->clean_epoch = dirty_quiet_epoch(d->dirty);
		if (d->clean_epoch) {
			d->clean_work = waitwork_start(d->dev.env, clean_run, clean_synced, d);
			return; /* the timer goes on when it is done */
		}
		if ((now - d->clean_started_ns > CLEAN_NS || dirty_log_bytes(d->dirty) > CLEAN_LOG_BYTES ||
		     dirty_is_full(d->dirty)) &&
		    dirty_rotate(d->dirty))
			d->clean_started_ns = now;
	}
	env_timer_in(d->dev.env, &d->clean_timer, POLL_NS);
}

void disk_clean_init(struct disk *d)
{
	d->clean_timer = (struct env_timer){ .fn = clean_tick, .arg = d };
	d->clean_started_ns = env_mono_ns(d->dev.env);
	env_timer_in(d->dev.env, &d->clean_timer, POLL_NS);
}

int disk_clean_close(struct disk *d)
{
	int r;

	env_timer_cancel(d->dev.env, &d->clean_timer);
	waitwork_wait(d->clean_work);
	d->clean_work = NULL;
	r = sync_fs(d);
	if (r < 0) {
		log_err("osd", "%s: syncing: %s", d->path, strerror(-r));
		return r;
	}
	disk_put_u64(d, "clean", dirty_epoch(d->dirty));
	disk_put_u64(d, "shut", 1);
	return 0;
}

/* ---- sync of the device ----------------------------------------------------------------- */

struct dev_sync {
	struct disk *disk;
	struct env_work work;
	struct dirty_wait wait;
	osd_commit_fn *fn;
	void *arg;
	int err;
};

static void dev_sync_run(void *arg)
{
	struct dev_sync *s = arg;

	s->err = sync_fs(s->disk);
}

static void dev_sync_end(void *arg, int err)
{
	struct dev_sync *s = arg;

	s->disk->busy--;
	s->fn(s->arg, s->err ? s->err : err);
	free(s);
}

static void dev_synced(void *arg)
{
	struct dev_sync *s = arg;

	if (s->err)
		disk_lost(s->disk);
	dindex_sync(s->disk->index, dev_sync_end, s);
}

/* The list before what it tells of: the power may fail half-way. */
static void dev_sync_listed(void *arg, int err)
{
	struct dev_sync *s = arg;

	if (err < 0)
		dev_sync_end(s, err);
	else
		env_work(s->disk->dev.env, &s->work);
}

/* Operations that have ended; those in progress belong to whoever started them. */
void disk_sync(struct osd_dev *dev, osd_commit_fn *fn, void *arg)
{
	struct disk *d = container_of(dev, struct disk, dev);
	struct dev_sync *s = NEW(struct dev_sync);

	OBJ_CHECK(d, DISK_MAGIC);
	*s = (struct dev_sync){ .disk = d, .fn = fn, .arg = arg };
	s->work = (struct env_work){ .run = dev_sync_run, .done = dev_synced, .arg = s };
	s->wait = (struct dirty_wait){ .done = dev_sync_listed, .arg = s };
	d->busy++;
	if (dirty_sync(d->dirty, NULL, &s->wait))
		dev_sync_listed(s, 0);
}
