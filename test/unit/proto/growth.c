/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Messages grow by optional fields: unknown ones are skipped at the end of every message and of
 * nested structs, known ones appear at most once and fill their length exactly.
 */
#include "test/unit/proto/common.h"

#define UNKNOWN_TAG 0xfff0

static void put_tlv(struct wp_enc *e, uint16_t tag, const void *p, uint32_t len)
{
	wp_enc_u16(e, tag);
	wp_enc_u32(e, len);
	wp_enc_raw(e, p, len);
}

/* Appends an unknown field to the optional part of the encoded message. */
static void add_unknown(struct bench *b, uint32_t tail_at)
{
	struct wp_enc e = { b->wire, b->len, WIRE_SIZE, 0 };

	put_tlv(&e, UNKNOWN_TAG, "later", 5);
	wp_put_le32(b->wire + tail_at, e.len - tail_at - 4);
	b->len = e.len;
}

static bool unknown_skipped(struct bench *b)
{
	uint32_t tail_at = bench_fixed_len(b);
	bool same;
	int rc;

	for (int i = 0; i < 2; i++) {
		add_unknown(b, tail_at);
		rc = bench_decode(b, b->wire, b->len, wp_scratch_bound(b->len), &same);
		if (!ok_quiet(!rc && same, "%s: unknown optional field gives %d", b->type->name, rc))
			return false;
	}
	/* The field's length reaches beyond the optional part. */
	wp_put_le32(b->wire + b->len - 9, 6);
	rc = bench_decode(b, b->wire, b->len, wp_scratch_bound(b->len), NULL);
	return ok_quiet(rc == -EBADMSG, "%s: too long a field gives %d", b->type->name, rc);
}

static void every_message(struct bench *b)
{
	for (uint32_t t = 0; t < wp_test_types_n; t++) {
		const struct wp_test_type *type = &wp_test_types[t];
		bool good = true;

		if (!type->is_body)
			continue;
		for (int mode = 0; good && mode < WP_FILL_MODES; mode++)
			good = bench_make(b, type, (enum wp_fill_mode)mode, 7) && unknown_skipped(b);
		ok(good, "%s: unknown optional fields are skipped", type->name);
	}
}

/* An entry with the given optional part. */
static int decode_entry(const struct wp_enc *tail)
{
	static uint8_t buf[4096], scratch[4096];
	struct wp_attr attr = { .mode = 0100644 };
	struct wp_entry entry;
	struct wp_enc e;
	int rc;

	wp_enc_init(&e, buf, sizeof(buf));
	wp_attr_enc(&e, &attr);
	wp_enc_u32(&e, tail->len);
	wp_enc_raw(&e, tail->p, tail->len);
	rc = wp_entry_decode(buf, e.len, scratch, sizeof(scratch), &entry);
	return rc ? rc : (int)entry.has;
}

static void nested(void)
{
	uint8_t layout_buf[64], tail_buf[512];
	struct wp_layout layout = { .generation = 1 };
	struct wp_enc l, e;

	wp_enc_init(&l, layout_buf, sizeof(layout_buf));
	wp_layout_enc(&l, &layout);

	wp_enc_init(&e, tail_buf, sizeof(tail_buf));
	is_int(decode_entry(&e), 0, "an entry without optional fields");
	put_tlv(&e, UNKNOWN_TAG, "x", 1);
	is_int(decode_entry(&e), 0, "an unknown field in a nested struct");
	put_tlv(&e, 1, l.p, l.len);
	is_int(decode_entry(&e), WP_ENTRY_HAS_LAYOUT, "a known field behind an unknown one");
	put_tlv(&e, 1, l.p, l.len);
	is_int(decode_entry(&e), -EBADMSG, "the same field twice");

	wp_enc_init(&e, tail_buf, sizeof(tail_buf));
	put_tlv(&e, 1, l.p, l.len - 1);
	is_int(decode_entry(&e), -EBADMSG, "a value cut short");

	layout_buf[l.len] = 0;
	wp_enc_init(&e, tail_buf, sizeof(tail_buf));
	put_tlv(&e, 1, l.p, l.len + 1);
	is_int(decode_entry(&e), -EBADMSG, "a value with a byte too many");

	/* Behind the value stands what would pass for the next field. */
	memset(layout_buf + l.len, 0, 6);
	wp_enc_init(&e, tail_buf, sizeof(tail_buf));
	put_tlv(&e, 1, l.p, l.len + 6);
	is_int(decode_entry(&e), -EBADMSG, "a field inside a value");

	wp_enc_init(&e, tail_buf, sizeof(tail_buf));
	wp_enc_u8(&e, 1);
	is_int(decode_entry(&e), -EBADMSG, "an optional part too short for a tag");
}

int main(void)
{
	struct bench b;

	bench_init(&b);
	every_message(&b);
	nested();
	bench_done(&b);
	return done_testing();
}
