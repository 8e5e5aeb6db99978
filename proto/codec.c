/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The parts of the cursors that are too long to be inline. See codec.h.
 */
#include "proto/codec.h"

#include "weft_proto.h"

#define SCRATCH_ALIGN 8u

static size_t align_gap(const uint8_t *p)
{
	return (SCRATCH_ALIGN - (uintptr_t)p % SCRATCH_ALIGN) % SCRATCH_ALIGN;
}

void wp_dec_init(struct wp_dec *d, const void *buf, size_t len, void *scratch, size_t scratch_len)
{
	static const uint8_t nothing[1];
	size_t gap;

	/* An empty body may come with a NULL buffer, on which arithmetic is undefined. */
	d->p = buf ? (const uint8_t *)buf : nothing;
	d->end = d->p + (buf ? len : 0);
	d->err = buf || !len ? 0 : -EINVAL;
	d->scratch = NULL;
	d->scratch_end = NULL;
	if (!scratch)
		return;
	d->scratch = (uint8_t *)scratch;
	d->scratch_end = d->scratch + scratch_len;
	gap = align_gap(d->scratch);
	d->scratch = gap > scratch_len ? d->scratch_end : d->scratch + gap;
}

int wp_dec_finish(struct wp_dec *d)
{
	if (d->p != d->end)
		wp_dec_fail(d, -EBADMSG);
	return d->err;
}

/* n elements of the scratch buffer; it stays aligned. NULL sets the error. */
static void *scratch_take(struct wp_dec *d, uint32_t n, size_t size)
{
	size_t left = (size_t)(d->scratch_end - d->scratch), bytes, gap;
	void *at = d->scratch;

	if (n > left / size) {
		wp_dec_fail(d, -ENOMEM);
		return NULL;
	}
	bytes = n * size;
	gap = (SCRATCH_ALIGN - bytes % SCRATCH_ALIGN) % SCRATCH_ALIGN;
	d->scratch = gap > left - bytes ? d->scratch_end : d->scratch + bytes + gap;
	return at;
}

/*
 * Reads a count and takes the elements' memory. The count is checked against the field's maximum
 * and against what the remaining input can hold before it is multiplied, so a forged count costs
 * nothing.
 */
void *wp_dec_array(struct wp_dec *d, uint32_t max, uint32_t elem_min, size_t elem_size,
		   uint32_t *ret_n)
{
	uint32_t n = wp_dec_u32(d);
	void *at;

	*ret_n = 0;
	if (n > max || n > wp_dec_left(d) / elem_min)
		wp_dec_fail(d, -EBADMSG);
	if (d->err || !n)
		return NULL;
	at = scratch_take(d, n, elem_size);
	if (at)
		*ret_n = n;
	return at;
}

/* The optional part of a message that knows no optional field: well-formed, and skipped. */
int wp_dec_tail_skip(struct wp_dec *d)
{
	const uint8_t *body_end = wp_dec_block(d), *tail_end;

	while (wp_dec_more(d)) {
		(void)wp_dec_u16(d);
		tail_end = wp_dec_block(d);
		wp_dec_skip(d);
		wp_dec_block_end(d, tail_end);
	}
	wp_dec_block_end(d, body_end);
	return d->err;
}

int wp_hdr_check(const struct wp_hdr *hdr)
{
	if (hdr->magic != WP_MAGIC || hdr->body_len > WP_BODY_MAX || hdr->bulk_len > WP_BULK_MAX)
		return -EBADMSG;
	return 0;
}
