/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Status codes and errno, fids and inode numbers, names, the table of operations, small helpers.
 */
#include "proto/fid.h"
#include "proto/status.h"
#include "test/tap.h"

static void status(void)
{
	unsigned int known = 0;

	for (uint32_t s = 0; s < 256; s++) {
		int err, collapsed;

		if (!strcmp(wp_status_name(s), "?"))
			continue;
		known++;
		err = wp_status_to_err(s);
		collapsed = wp_status_to_errno(s);
		ok(wp_status_from_errno(err) == s, "%s survives as %d", wp_status_name(s), err);
		ok_quiet(wp_err_to_errno(err) == collapsed, "%s: one errno", wp_status_name(s));
		ok_quiet(collapsed > -1000 && collapsed <= 0, "%s: %d is an errno",
			 wp_status_name(s), collapsed);
		ok_quiet(wp_status_text(s)[0] != '\0', "%s has a text", wp_status_name(s));
	}
	ok(known > 40, "%u codes are known", known);
	is_int(wp_status_to_errno(WP_OK), 0, "success");
	is_int(wp_status_to_errno(WP_E_NOENT), -ENOENT, "NOENT");
	is_int(wp_status_to_errno(WP_E_2BIG), -E2BIG, "E2BIG");
	is_int(wp_status_to_errno(WP_E_CORRUPT), -EIO, "CORRUPT is EIO to an application");
	is_int(wp_status_to_err(WP_E_NEEDGROUPS), -WEFT_ENEEDGROUPS, "NEEDGROUPS inside");
	is_int(wp_status_from_errno(-WEFT_ENEEDGROUPS), WP_E_NEEDGROUPS, "and back");
	is_int(wp_status_to_err(999), -EIO, "a code of a newer peer");
	is_int(wp_status_from_errno(-ENOTTY), WP_E_IO, "an errno without a code");
	is_int(wp_err_to_errno(-ENOSPC), -ENOSPC, "a plain errno stays");
	is_int(wp_status_from_errno(-EWOULDBLOCK), WP_E_AGAIN, "EWOULDBLOCK");
	ok(!strcmp(wp_status_text(12345), "unknown status"), "text of an unknown code");
}

static void fids(void)
{
	struct wp_fid root = WP_FID_ROOT, zero = { 0, 0, 0 }, fid, back;

	ok(wp_fid_valid(&root) && wp_fid_is_root(&root), "the root is valid");
	ok(!wp_fid_valid(&zero) && wp_fid_is_zero(&zero), "zero is not");
	is_int(wp_fid_mdt(&root), 0, "the root is on target 0");

	fid = (struct wp_fid){ .seq = wp_fid_seq(WP_FID_MDT_MAX, WP_FID_COUNTER_MAX),
			       .oid = WP_FID_OID_MAX };
	ok(wp_fid_valid(&fid), "the greatest fid is valid");
	is_int(wp_fid_mdt(&fid), WP_FID_MDT_MAX, "its target");
	is_int(wp_fid_counter(&fid), WP_FID_COUNTER_MAX, "its counter");
	ok(wp_fid_to_ino(&fid) == UINT64_MAX, "its inode number");
	back = wp_ino_to_fid(UINT64_MAX);
	ok(wp_fid_eq(&fid, &back), "and back");

	fid = (struct wp_fid){ .seq = wp_fid_seq(0xabc, 0x1234567), .oid = 0x89abcd };
	ok(wp_fid_to_ino(&fid) == 0xabc123456789abcdull, "parts of an inode number");
	back = wp_ino_to_fid(wp_fid_to_ino(&fid));
	ok(wp_fid_eq(&fid, &back), "and back");

	fid.ver = 1;
	ok(!wp_fid_valid(&fid), "a version is not live");
	fid = (struct wp_fid){ .seq = 1ull << 40, .oid = 1 };
	ok(!wp_fid_valid(&fid), "too great a sequence");
	fid = (struct wp_fid){ .seq = 1, .oid = 1u << 24 };
	ok(!wp_fid_valid(&fid), "too great an object id");
	fid = (struct wp_fid){ .seq = wp_fid_seq(1, 0), .oid = 1 };
	ok(!wp_fid_valid(&fid), "counter 0");
}

static void names(void)
{
	const struct wp_op *op = wp_op_find(WP_OP_UNLINK);
	bool sorted = true, found = true;

	ok(op && op->mutates && !strcmp(op->name, "unlink"), "unlink mutates");
	op = wp_op_find(WP_OP_LOOKUP);
	ok(op && !op->mutates, "lookup does not");
	ok(!wp_op_find(0) && !wp_op_find(0xffff), "no such operations");
	ok(!strcmp(wp_op_name(0xffff), "?"), "nor names");
	for (uint32_t i = 0; i < wp_ops_n; i++) {
		sorted = sorted && (!i || wp_ops[i - 1].op < wp_ops[i].op);
		found = found && wp_op_find(wp_ops[i].op) == &wp_ops[i];
	}
	ok(sorted && found, "every operation is found");
	ok(!strcmp(wp_role_name(WP_ROLE_META), "META"), "a name of an enum");
	ok(!strcmp(wp_role_name(0), "?"), "an unknown value");
}

static void strings(void)
{
	char buf[4];

	is_int(wp_str_copy(buf, sizeof(buf), wp_str("abc")), 0, "copy that fits");
	ok(!strcmp(buf, "abc"), "is terminated");
	is_int(wp_str_copy(buf, sizeof(buf), wp_str("abcd")), -ENAMETOOLONG, "copy that does not");
	ok(!buf[0], "leaves nothing");
	is_int(wp_str_copy(buf, sizeof(buf), wp_str(NULL)), 0, "copy of nothing");
	ok(wp_str_eq(wp_str(NULL), wp_str("")), "NULL is the empty string");
	ok(!wp_str_eq(wp_str("a"), wp_str("b")), "different strings");
	ok(!wp_str_eq(wp_str("a"), wp_str("aa")), "different lengths");
}

int main(void)
{
	status();
	fids();
	names();
	strings();
	return done_testing();
}
