/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A position in an iovec, and what is done with the bytes that follow it. */
#ifndef WEFT_OSD_IOVWALK_H
#define WEFT_OSD_IOVWALK_H

#include <sys/uio.h>

#include "base/base.h"
#include "base/crc.h"

#define BLOCK ((uint64_t)WP_BLOCK_SIZE)

struct iovwalk {
	const struct iovec *iov;
	int n;
	size_t pos;
};

/* The next piece of at most max bytes, which are passed over. */
static inline uint8_t *iovwalk_piece(struct iovwalk *w, uint64_t max, size_t *len)
{
	uint8_t *p;

	while (w->n > 0 && w->pos == w->iov->iov_len) {
		w->iov++;
		w->n--;
		w->pos = 0;
	}
	weft_assert(w->n > 0);
	*len = (size_t)MIN(max, w->iov->iov_len - w->pos);
	p = (uint8_t *)w->iov->iov_base + w->pos;
	w->pos += *len;
	return p;
}

static inline uint32_t iovwalk_crc(struct iovwalk *w, uint32_t crc, uint64_t len)
{
	size_t n;

	for (; len; len -= n) {
		const uint8_t *p = iovwalk_piece(w, len, &n);

		crc = crc32c(crc, p, n);
	}
	return crc;
}

static inline void iovwalk_to(struct iovwalk *w, uint8_t *to, uint64_t len)
{
	size_t n;

	for (; len; len -= n, to += n) {
		const uint8_t *p = iovwalk_piece(w, len, &n);

		memcpy(to, p, n);
	}
}

/* from NULL: zeros */
static inline void iovwalk_from(struct iovwalk *w, const uint8_t *from, uint64_t len)
{
	size_t n;

	for (; len; len -= n) {
		uint8_t *p = iovwalk_piece(w, len, &n);

		if (from) {
			memcpy(p, from, n);
			from += n;
		} else {
			memset(p, 0, n);
		}
	}
}

static inline void iovwalk_skip(struct iovwalk *w, uint64_t len)
{
	size_t n;

	for (; len; len -= n)
		(void)iovwalk_piece(w, len, &n);
}

/* Bytes of [at, end) that are in at's block. */
static inline uint64_t in_block(uint64_t at, uint64_t end) { return MIN(end, round_down_pow2(at, BLOCK) + BLOCK) - at; }

static inline uint64_t blocks_touched(uint64_t begin, uint64_t end) { return end > begin ? (end - 1) / BLOCK - begin / BLOCK + 1 : 0; }

static inline uint32_t zero_block_crc(void)
{
	static uint32_t crc;

	if (!crc)
		crc = crc32c_zeros(0, BLOCK);
	return crc;
}

#endif
