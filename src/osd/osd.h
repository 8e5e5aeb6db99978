/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The storage-engine contract. Every target, of whatever kind, sits on one device of this interface.
 *
 * A device holds an *index* (ordered byte-string keys and values, changed by transactions) and *objects* (sparse byte arrays
 * named by object id, with a checksum per 4 KiB block). Backends: mem, disk, fault (a wrapper).
 *
 * Threads: a device belongs to the reactor of its env. Index reads are synchronous; everything that waits for a disk completes
 * by callback, on the reactor, never from inside the call.
 *
 * Errors: negative errno, or the internal codes of proto/status.h (-WEFT_ECORRUPT for a block that does not match its checksum,
 * -WEFT_EBADCRC for a payload that does not).
 */
#ifndef WEFT_OSD_OSD_H
#define WEFT_OSD_OSD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/list.h"
#include "env/env.h"
#include "weft_proto.h"

struct osd_dev;

struct osd_slice {
	const void *p;
	size_t len;
};

#define OSD_KEY_MAX 500u /* LMDB's limit is 511 */

/* ---- device -------------------------------------------------------------------------------------------- */

struct osd_params {
	struct env *env;
	const char *path;         /* folder of the target; mem: ignored */
	uint64_t capacity; /* bytes; mem: the limit (0: half of the machine's memory); disk: 0 is what the file system has */
	uint64_t cache_bytes;     /* disk: overlay size that forces a checkpoint; 0 is the default */
	struct osd_dev *below;    /* fault: the wrapped device, which it owns */
	uint64_t seed;            /* fault */
};

struct osd_space {
	uint64_t total, free;         /* bytes; free: for the data of objects */
	uint64_t index_free;          /* for transactions: more than free, so that the index goes on when objects cannot grow */
	uint64_t inodes, inodes_free; /* objects and index room, in inodes */
};

/* ---- index transactions -------------------------------------------------------------------------------- */

/*
 * A transaction is a batch of puts and deletes, built in memory and submitted whole. At submit it becomes visible to all
 * following reads at once (isolation is the caller's single thread), and it becomes durable later, in order of submission: never
 * a later one without all earlier ones, never a part of one.
 *
 * seq orders transactions against a journal above the device: it must not fall. A transaction is only made durable once
 * osd_stable(seq or more) was called: what a crashed primary had not committed can simply be left out. Callers without a journal
 * use OSD_SEQ_NONE, which is stable at once.
 */
#define OSD_SEQ_NONE 0

struct osd_txn {
	struct buf ops; /* encoded, private */
	uint32_t count;
};

void osd_txn_init(struct osd_txn *t);
void osd_txn_done(struct osd_txn *t);
void osd_txn_put(struct osd_txn *t, struct osd_slice key, struct osd_slice value);
void osd_txn_del(struct osd_txn *t, struct osd_slice key); /* a missing key is fine */
/* Walks the operations, for journals and replicas: pos starts at 0; returns false at the end. value.p == NULL is a delete. The
 * encoding is stable: it is written to journals. */
bool osd_txn_next(const struct osd_txn *t, size_t *pos, struct osd_slice *key, struct osd_slice *value);
/* Rebuilds a transaction from its encoded bytes (ops.p, ops.len); -WEFT_EBADMSG for malformed ones. */
int osd_txn_decode(struct osd_txn *t, const void *p, size_t len) must_check;

/* Called on the reactor when the transaction is durable (err 0) or the device failed (err < 0, every later one fails too). */
typedef void osd_commit_fn(void *arg, int err);

/* A resumable ordered walk. Sees each key that exists throughout the walk exactly once; keys changed meanwhile at most once.
 * The slices are valid until the next call on the device. */
struct osd_iter {
	struct osd_dev *dev;
	uint8_t key[OSD_KEY_MAX]; /* last key returned, or where to start */
	size_t key_len;
	bool inclusive;
};

/* ---- objects ------------------------------------------------------------------------------------------- */

enum osd_io_op {
	OSD_READ,     /* offset, length -> iov filled, bytes, crcs */
	OSD_WRITE,    /* offset, iov, crcs -> stat */
	OSD_TRUNCATE, /* length is the new size */
	OSD_ALLOC,    /* mode (enum wp_alloc_mode), offset, length */
	OSD_SEEK,     /* offset, hole -> offset; -ENXIO */
	OSD_STAT,     /* -ENOENT when the object does not exist */
	OSD_SYNC,     /* data, size, checksums and existence of the object are durable when done */
	OSD_DESTROY,  /* a missing object is success; durable when done */
};

struct osd_objstat {
	uint64_t size;    /* bytes */
	uint64_t blocks;  /* 512-byte units */
	uint64_t version; /* grows with every change of the data, also across restarts; 0: does not exist */
	uint64_t mtime_ns;
};

/*
 * One object operation, caller-owned until done. Operations on one object take effect in the order of submission; on different
 * objects they run in parallel.
 *
 * Checksums: CRC32C per WP_BLOCK_SIZE-aligned block of the object. In crcs[], element i covers the bytes transferred of the i-th
 * block that [offset, offset + length) touches (so the first and the last may cover less than a block). A write verifies them
 * against the payload before anything changes (-WEFT_EBADCRC). A read verifies the stored blocks (-WEFT_ECORRUPT naming the
 * object in the log, never wrong data) and returns checksums of the bytes it delivers, made from verified blocks.
 *
 * Objects come into being by the first write or allocate or extending truncate. Reading a missing object gives 0 bytes.
 */
struct osd_io {
	enum osd_io_op op;
	struct wp_objid obj;
	uint64_t offset, length;
	struct iovec *iov; /* READ: room for length bytes; WRITE: length bytes */
	int iov_n;
	uint32_t *crcs;    /* WRITE: given; READ: filled, room for every block touched */
	uint8_t mode;
	bool hole;
	bool stable;       /* WRITE: durable when done */
	/* results */
	int err;
	uint64_t bytes;    /* READ: bytes delivered, short at the end of the object */
	struct osd_objstat stat; /* after the operation */
	void (*done)(struct osd_io *io);
	void *arg;
	struct list node;  /* private */
	void *priv[4];     /* private */
};

/* ---- the ops ------------------------------------------------------------------------------------------- */

struct osd_ops {
	const char *name;

	/* Makes an empty device in params->path (which exists); -EEXIST if one is there. */
	int (*format)(const struct osd_params *params);
	/* Recovers (rebuilds checksums of dirty objects) and opens. May block: only used when starting. */
	int (*open)(const struct osd_params *params, struct osd_dev **ret);
	/* Makes everything stable durable, waits, closes. May block. */
	void (*close)(struct osd_dev *dev);

	void (*statfs)(struct osd_dev *dev, struct osd_space *ret);
	/* Differs from an earlier value if acknowledged but unsynced object data may have been lost since (as NFS's write verifier). */
	uint64_t (*verifier)(struct osd_dev *dev);
	/* Everything stable, and all object data, is durable when fn is called. */
	void (*sync)(struct osd_dev *dev, osd_commit_fn *fn, void *arg);

	/*
	 * Takes over t's contents (t is empty afterwards). fn may be NULL. -ENOSPC: nothing was changed. Only the last resort: who has
	 * changes that can be refused, refuses them by index_free, long before.
	 */
	int (*txn_submit)(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg);
	void (*stable)(struct osd_dev *dev, uint64_t seq);
	/* Highest seq such that everything up to it is durable: where a journal's replay starts, what it may discard. */
	uint64_t (*applied)(struct osd_dev *dev);
	/* Called whenever applied() grew; one listener. */
	void (*on_applied)(struct osd_dev *dev, env_fn *fn, void *arg);

	/* *value is valid until the next call on the device; -ENOENT. */
	int (*get)(struct osd_dev *dev, struct osd_slice key, struct osd_slice *value);
	/* Advances: 0, or -ENOENT at the end. */
	int (*next)(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value);
	/* Calls fn with each key and value of a consistent snapshot, durable part only, from a helper thread in runs; done at the end. */
	void (*checkpoint)(struct osd_dev *dev, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
			   osd_commit_fn *done, void *arg);

	void (*io)(struct osd_dev *dev, struct osd_io *io);
	/* Objects in name order after the given one: up to max; *n is set, 0 at the end. */
	int (*list)(struct osd_dev *dev, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n);
};

struct osd_dev {
	const struct osd_ops *ops;
	struct env *env;
};

/* "mem", "disk", "fault" -> ops, or NULL. */
const struct osd_ops *osd_backend(const char *name);

static inline struct osd_slice osd_slice(const void *p, size_t len) { return (struct osd_slice){ p, len }; }
void osd_iter_init(struct osd_iter *it, struct osd_dev *dev, struct osd_slice start); /* first key >= start */
void osd_iter_after(struct osd_iter *it, struct osd_dev *dev, struct osd_slice key);  /* first key > key */
static inline int osd_get(struct osd_dev *d, struct osd_slice key, struct osd_slice *value)
{
	return d->ops->get(d, key, value);
}
static inline int osd_next(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value)
{
	return it->dev->ops->next(it, key, value);
}
static inline int osd_txn_submit(struct osd_dev *d, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	return d->ops->txn_submit(d, t, seq, fn, arg);
}
static inline void osd_io(struct osd_dev *d, struct osd_io *io) { d->ops->io(d, io); }

/* ---- fault: what the wrapper injects ------------------------------------------------------------------- */

struct osd_fault_plan {
	uint64_t fail_at;       /* the k-th call from now fails with fail_err; 0: none */
	int fail_err;           /* negative errno */
	uint32_t delay_us_max;  /* completions are delayed at random up to this */
	uint32_t corrupt_ppm;   /* reads see a flipped bit with this probability, below the checksum check */
	uint64_t capacity;      /* -ENOSPC beyond this many bytes; 0: none */
};

void osd_fault_set(struct osd_dev *dev, const struct osd_fault_plan *plan);
/* Cuts the power: unsynced transactions and object writes are dropped, kept or torn at random (seeded); calls in flight never
 * complete; returns the device below as it is after the power comes back, which a new wrapper can be put on. */
struct osd_dev *osd_fault_power_cut(struct osd_dev *dev);

#endif
