/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The maximum of a field is accepted, one more is refused, on both sides and before any memory is
 * taken for it.
 */
#include "test/unit/proto/common.h"

static uint8_t wire[WIRE_SIZE];
static uint8_t scratch[WIRE_SIZE];

static void strings(void)
{
	static char name[WP_NAME_MAX + 2];
	struct wp_lookup_req req = { .name = { name, WP_NAME_MAX } }, out;
	struct wp_enc e;
	uint32_t name_at;

	memset(name, 'n', sizeof(name));
	wp_enc_init(&e, wire, sizeof(wire));
	wp_lookup_req_enc(&e, &req);
	is_int(e.err, 0, "encodes the longest name");
	is_int(wp_lookup_req_decode(wire, e.len, scratch, sizeof(scratch), &out), 0,
	       "decodes the longest name");
	ok(wp_str_eq(out.name, req.name), "the longest name is the same");

	/* The same with one byte more, forged: length and bytes agree. */
	name_at = e.len - 4 - WP_NAME_MAX - 4;
	wp_put_le32(wire + name_at, WP_NAME_MAX + 1);
	is_int(wp_lookup_req_decode(wire, e.len + 1, scratch, sizeof(scratch), &out), -EBADMSG,
	       "refuses a longer name");

	req.name.len++;
	wp_enc_init(&e, wire, sizeof(wire));
	wp_lookup_req_enc(&e, &req);
	is_int(e.err, -EINVAL, "does not encode a longer name");
}

static void arrays(void)
{
	static uint32_t groups[WP_GROUPS_MAX + 1];
	struct wp_cred cred = { .groups = groups, .groups_n = WP_GROUPS_MAX }, out;
	const size_t need = WP_GROUPS_MAX * sizeof(uint32_t);
	struct wp_enc e;
	uint32_t n_at = 12;

	for (uint32_t i = 0; i < WP_GROUPS_MAX; i++)
		groups[i] = i * 7;
	wp_enc_init(&e, wire, sizeof(wire));
	wp_cred_enc(&e, &cred);
	is_int(e.err, 0, "encodes the most groups");
	is_int(wp_cred_decode(wire, e.len, scratch, need, &out), 0, "decodes the most groups");
	ok(wp_cred_equal(&cred, &out), "the most groups are the same");
	is_int(wp_cred_decode(wire, e.len, scratch, need - 1, &out), -ENOMEM, "one byte too little");
	is_int(wp_cred_decode(wire, e.len, NULL, 0, &out), -ENOMEM, "no scratch");
	is_int(wp_cred_decode(wire, e.len, scratch + 1, need + 7, &out), 0, "unaligned scratch");
	is_int((uintptr_t)out.groups % 8, 0, "elements are aligned");

	wp_put_le32(wire + n_at, WP_GROUPS_MAX + 1);
	is_int(wp_cred_decode(wire, e.len + 4, scratch, sizeof(scratch), &out), -EBADMSG,
	       "refuses more groups");
	wp_put_le32(wire + n_at, WP_GROUPS_MAX);
	is_int(wp_cred_decode(wire, e.len - 1, NULL, 0, &out), -EBADMSG,
	       "a count beyond the input is refused before memory is taken");

	cred.groups_n++;
	wp_enc_init(&e, wire, sizeof(wire));
	wp_cred_enc(&e, &cred);
	is_int(e.err, -EINVAL, "does not encode more groups");
}

static void empty(void)
{
	struct wp_session_close_rep rep;
	struct wp_ping_req req;

	is_int(wp_session_close_rep_decode(NULL, 0, NULL, 0, &rep), 0, "an empty body");
	is_int(wp_ping_req_decode(NULL, 0, NULL, 0, &req), -EBADMSG, "an empty body, fields missing");
	is_int(wp_ping_req_decode(NULL, 8, NULL, 0, &req), -EINVAL, "NULL with a length");
}

static void header(void)
{
	struct wp_hdr hdr = { .magic = WP_MAGIC, .body_len = WP_BODY_MAX, .bulk_len = WP_BULK_MAX,
			      .opcode = WP_OP_LOOKUP, .xid = 0x1122334455667788 }, out;
	struct wp_enc e;

	wp_enc_init(&e, wire, WP_HDR_SIZE);
	wp_hdr_enc(&e, &hdr);
	is_int(e.err, 0, "a header fits into its size");
	is_int(e.len, WP_HDR_SIZE, "and fills it");
	ok(!memcmp(wire, "Weft", 4), "a frame begins with Weft");
	is_int(wire[8] | wire[9] << 8, WP_OP_LOOKUP, "little-endian opcode at 8");
	is_int(wire[24], 0x88, "little-endian xid at 24");
	is_int(wp_hdr_decode(wire, WP_HDR_SIZE, NULL, 0, &out), 0, "decodes");
	ok(wp_hdr_equal(&hdr, &out), "is the same");
	is_int(wp_hdr_check(&out), 0, "is accepted with the largest lengths");
	out.body_len++;
	is_int(wp_hdr_check(&out), -EBADMSG, "too long a body");
	out = hdr;
	out.bulk_len++;
	is_int(wp_hdr_check(&out), -EBADMSG, "too long a payload");
	out = hdr;
	out.magic ^= 1;
	is_int(wp_hdr_check(&out), -EBADMSG, "another protocol");
}

int main(void)
{
	strings();
	arrays();
	empty();
	header();
	return done_testing();
}
