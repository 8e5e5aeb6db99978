/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "meta/posix_acl.h"
#include "proto/codec.h"
#include "proto/status.h"
#include "tap.h"

static int groups_of_7(void *arg, uint32_t gid) { return arg ? -WEFT_ENEEDGROUPS : gid == 7; }

static size_t build(uint8_t *buf, const struct acl_entry *e, unsigned n)
{
	struct acl a = { (struct acl_entry *)(uintptr_t)e, n };

	acl_encode(&a, buf);
	return acl_size(&a);
}

static const struct acl_entry full[] = {
	{ ACL_OTHER, 1, UINT32_MAX }, { ACL_MASK, 5, UINT32_MAX }, { ACL_GROUP, 7, 7 }, { ACL_USER_OBJ, 7, UINT32_MAX },
	{ ACL_USER, 6, 1001 }, { ACL_GROUP_OBJ, 4, UINT32_MAX },
};

static void test_decode(void)
{
	static const struct acl_entry no_mask[] = {
		{ ACL_USER_OBJ, 7, 0 }, { ACL_USER, 7, 5 }, { ACL_GROUP_OBJ, 7, 0 }, { ACL_OTHER, 7, 0 }
	};
	static const struct acl_entry twice[] = { { ACL_USER_OBJ, 7, 0 }, { ACL_USER, 7, 5 }, { ACL_USER, 6, 5 },
						  { ACL_GROUP_OBJ, 7, 0 }, { ACL_MASK, 7, 0 }, { ACL_OTHER, 7, 0 } };
	uint8_t buf[256];
	size_t n = build(buf, full, 6);
	struct acl a;

	is_int(acl_decode(buf, n, &a), 0, "a full one");
	ok(a.e[0].tag == ACL_USER_OBJ && a.e[5].tag == ACL_OTHER && a.e[4].tag == ACL_MASK, "sorted");
	acl_free(&a);
	is_int(acl_decode(buf, n - 1, &a), -EINVAL, "torn");
	is_int(acl_decode(buf, 3, &a), -EINVAL, "shorter than its header");
	buf[0] = 3;
	is_int(acl_decode(buf, n, &a), -EOPNOTSUPP, "another version");
	n = build(buf, full + 1, 5);
	is_int(acl_decode(buf, n, &a), -EINVAL, "no entry for others");
	n = build(buf, no_mask, 4);
	is_int(acl_decode(buf, n, &a), -EINVAL, "named entries without a mask");
	n = build(buf, twice, 6);
	is_int(acl_decode(buf, n, &a), -EINVAL, "a name twice");
}

static void test_check(void)
{
	uint8_t buf[256];
	struct acl a;
	bool extended;

	(void)!acl_decode(buf, build(buf, full, 6), &a);
	is_int(acl_check(&a, 50, 50, 60, 7, groups_of_7, NULL), 0, "the owner");
	is_int(acl_check(&a, 1001, 50, 60, 4, groups_of_7, NULL), 0, "a named user may read");
	is_int(acl_check(&a, 1001, 50, 60, 2, groups_of_7, NULL), -EACCES, "but the mask forbids writing");
	is_int(acl_check(&a, 99, 50, 60, 5, groups_of_7, NULL), 0, "a named group, cut by the mask");
	is_int(acl_check(&a, 99, 50, 60, 2, groups_of_7, NULL), -EACCES, "no more than the mask");
	is_int(acl_check(&a, 99, 50, 60, 4, groups_of_7, &a), -WEFT_ENEEDGROUPS, "groups are asked for when they matter");
	is_int(acl_mode(&a, &extended), 0751, "as mode");
	ok(extended, "and says more");
	acl_chmod(&a, 0640);
	is_int(acl_mode(&a, &extended), 0640, "chmod changes the mask");
	is_int(a.e[2].perm, 4, "not the group");
	acl_free(&a);
}

static void test_create(void)
{
	uint8_t buf[256];
	struct acl a;

	(void)!acl_decode(buf, build(buf, full, 6), &a);
	is_int(acl_create(&a, 0666), 0640, "a new file under a default ACL");
	acl_free(&a);
}

int main(void)
{
	test_decode();
	test_check();
	test_create();
	return done_testing();
}
