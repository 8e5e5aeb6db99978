/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What all engines share: transactions as bytes, iterators, the table of backends. */
#include "osd/osd.h"

#include "base/log.h"
#include "osd/backends.h"
#include "osd/common.h"

/* An operation in a transaction: u16 key length, u32 value length (DELETE: none), key, value. Little-endian; journals hold it. */
#define OP_HEADER 6u
#define OP_DELETE UINT32_MAX

void osd_txn_init(struct osd_txn *t) { memset(t, 0, sizeof(*t)); }

void osd_txn_done(struct osd_txn *t)
{
	buf_done(&t->ops);
	t->count = 0;
}

static void txn_add(struct osd_txn *t, struct osd_slice key, const void *value, size_t len, uint32_t coded_len)
{
	uint8_t h[OP_HEADER];

	weft_assert(key.len > 0 && key.len <= OSD_KEY_MAX && len < OP_DELETE);
	wp_put_le16(h, (uint16_t)key.len);
	wp_put_le32(h + 2, coded_len);
	buf_reserve(&t->ops, OP_HEADER + key.len + len);
	buf_add(&t->ops, h, sizeof(h));
	buf_add(&t->ops, key.p, key.len);
	buf_add(&t->ops, value, len);
	t->count++;
}

void osd_txn_put(struct osd_txn *t, struct osd_slice key, struct osd_slice value)
{
	txn_add(t, key, value.p, value.len, (uint32_t)value.len);
}

void osd_txn_del(struct osd_txn *t, struct osd_slice key) { txn_add(t, key, NULL, 0, OP_DELETE); }

bool osd_txn_next(const struct osd_txn *t, size_t *pos, struct osd_slice *key, struct osd_slice *value)
{
	const uint8_t *p = t->ops.p + *pos;
	uint32_t len;

	if (*pos >= t->ops.len)
		return false;
	len = wp_get_le32(p + 2);
	*key = osd_slice(p + OP_HEADER, wp_get_le16(p));
	*value = len == OP_DELETE ? osd_slice(NULL, 0) : osd_slice(p + OP_HEADER + key->len, len);
	*pos += OP_HEADER + key->len + value->len;
	return true;
}

int osd_txn_decode(struct osd_txn *t, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t pos = 0;
	uint32_t count = 0;

	while (pos < len) {
		uint32_t key_len, value_len;

		if (len - pos < OP_HEADER)
			return -EBADMSG;
		key_len = wp_get_le16(p + pos);
		value_len = wp_get_le32(p + pos + 2);
		if (value_len == OP_DELETE)
			value_len = 0;
		if (!key_len || key_len > OSD_KEY_MAX || (uint64_t)key_len + value_len > len - pos - OP_HEADER)
			return -EBADMSG;
		pos += OP_HEADER + key_len + value_len;
		count++;
	}
	osd_txn_init(t);
	buf_add(&t->ops, bytes, len);
	t->count = count;
	return 0;
}

void osd_iter_init(struct osd_iter *it, struct osd_dev *dev, struct osd_slice start)
{
	weft_assert(start.len <= OSD_KEY_MAX);
	it->dev = dev;
	it->key_len = start.len;
	it->inclusive = true;
	if (start.len)
		memcpy(it->key, start.p, start.len);
}

void osd_iter_after(struct osd_iter *it, struct osd_dev *dev, struct osd_slice key)
{
	osd_iter_init(it, dev, key);
	it->inclusive = false;
}

/* ---- object operations ----------------------------------------------------------------- */

int osd_io_check(const struct osd_io *io)
{
	switch (io->op) {
	case OSD_TRUNCATE:
		return io->length > INT64_MAX ? -EFBIG : 0;
	case OSD_WRITE:
	case OSD_ALLOC:
		if (io->offset > INT64_MAX || io->length > INT64_MAX - io->offset)
			return -EFBIG;
		if (io->op == OSD_ALLOC &&
		    (!io->length || io->mode < WP_ALLOC_MODE_ALLOCATE || io->mode > WP_ALLOC_MODE_ZERO_KEEP))
			return -EINVAL;
		return 0;
	default:
		return 0;
	}
}

static void io_done(void *arg)
{
	struct osd_io *io = arg;

	io->done(io);
}

void osd_io_post(struct env *env, struct osd_io *io)
{
	struct env_task *task = (struct env_task *)io->priv;

	_Static_assert(sizeof(struct env_task) <= sizeof(io->priv), "the completion task lives in the operation");
	*task = (struct env_task){ .fn = io_done, .arg = io };
	env_post(env, task);
}

void osd_log_corrupt(const struct wp_objid *id, uint64_t offset)
{
	log_err("osd", "object %llx-%x-%x-%x-%x: the block at offset %llu does not match its checksum",
		(unsigned long long)id->fid.seq, id->fid.oid, id->fid.ver, id->component, id->stripe,
		(unsigned long long)(offset / WP_BLOCK_SIZE * WP_BLOCK_SIZE));
}

const struct osd_ops *osd_backend(const char *name)
{
	static const struct osd_ops *const backends[] = { &osd_mem_ops, &osd_disk_ops, &osd_fault_ops };

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
		if (!strcmp(backends[i]->name, name))
			return backends[i];
	return NULL;
}
