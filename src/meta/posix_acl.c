/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "meta/posix_acl.h"

#include "proto/codec.h"

#define XATTR_VERSION 2u
#define HEADER_SIZE 4u
#define ENTRY_SIZE 8u
#define ID_NONE UINT32_MAX

static unsigned rank(uint16_t tag)
{
	switch (tag) {
	case ACL_USER_OBJ:
		return 1;
	case ACL_USER:
		return 2;
	case ACL_GROUP_OBJ:
		return 3;
	case ACL_GROUP:
		return 4;
	case ACL_MASK:
		return 5;
	case ACL_OTHER:
		return 6;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (rank(x->tag) != rank(y->tag))
		return rank(x->tag) < rank(y->tag) ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* acl_valid(3): one of each of the three base entries, a mask if there are named ones, no name twice. */
static int validate(const struct acl *acl)
{
	unsigned count[7] = { 0 };

	for (unsigned i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];
		unsigned r = rank(e->tag);

		if (!r || (e->perm & ~7u))
			return -EINVAL;
		if ((r == 2 || r == 4) && e->id == ID_NONE)
			return -EINVAL;
		if ((r == 2 || r == 4) && i && acl->e[i - 1].tag == e->tag && acl->e[i - 1].id == e->id)
			return -EINVAL;
		count[r]++;
	}
	if (count[1] != 1 || count[3] != 1 || count[6] != 1 || count[5] > 1)
		return -EINVAL;
	return (count[2] || count[4]) && !count[5] ? -EINVAL : 0;
}

int acl_decode(const void *value, size_t len, struct acl *acl)
{
	const uint8_t *p = value;
	int r;

	if (len < HEADER_SIZE || (len - HEADER_SIZE) % ENTRY_SIZE)
		return -EINVAL;
	if (wp_get_le32(p) != XATTR_VERSION)
		return -EOPNOTSUPP;
	acl->n = (unsigned)((len - HEADER_SIZE) / ENTRY_SIZE);
	if (acl->n > ACL_ENTRIES_MAX)
		return -EINVAL;
	acl->e = xcalloc(acl->n, sizeof(*acl->e));
	for (unsigned i = 0; i < acl->n; i++) {
		const uint8_t *q = p + HEADER_SIZE + i * ENTRY_SIZE;
		struct acl_entry *e = &acl->e[i];

		e->tag = wp_get_le16(q);
		e->perm = wp_get_le16(q + 2);
		e->id = e->tag == ACL_USER || e->tag == ACL_GROUP ? wp_get_le32(q + 4) : ID_NONE;
	}
	if (acl->n)
		qsort(acl->e, acl->n, sizeof(*acl->e), compare);
	r = validate(acl);
	if (r < 0)
		acl_free(acl);
	return r;
}

void acl_free(struct acl *acl)
{
	free(acl->e);
	acl->e = NULL;
	acl->n = 0;
}

size_t acl_size(const struct acl *acl) { return HEADER_SIZE + (size_t)acl->n * ENTRY_SIZE; }

void acl_encode(const struct acl *acl, void *value)
{
	uint8_t *p = value;

	wp_put_le32(p, XATTR_VERSION);
	for (unsigned i = 0; i < acl->n; i++) {
		uint8_t *q = p + HEADER_SIZE + i * ENTRY_SIZE;

		wp_put_le16(q, acl->e[i].tag);
		wp_put_le16(q + 2, acl->e[i].perm);
		wp_put_le32(q + 4, acl->e[i].id);
	}
}

static struct acl_entry *entry_of(const struct acl *acl, uint16_t tag)
{
	for (unsigned i = 0; i < acl->n; i++)
		if (acl->e[i].tag == tag)
			return &acl->e[i];
	return NULL;
}

static int verdict(unsigned perm, unsigned want) { return (perm & want) == want ? 0 : -EACCES; }

/* "Else if the effective group ID or any of the supplementary group IDs match": granted if any matching entry grants. */
static int check_groups(const struct acl *acl, uint32_t group, unsigned mask, unsigned want, acl_in_group_fn *in_group,
			void *arg, bool *matched)
{
	int unknown = 0;

	for (unsigned i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];
		int in;

		if (e->tag != ACL_GROUP_OBJ && e->tag != ACL_GROUP)
			continue;
		in = in_group(arg, e->tag == ACL_GROUP_OBJ ? group : e->id);
		if (in < 0)
			unknown = in;
		if (in > 0) {
			*matched = true;
			if (verdict(e->perm & mask, want) == 0)
				return 0;
		}
	}
	return unknown ? unknown : -EACCES;
}

int acl_check(const struct acl *acl, uint32_t uid, uint32_t owner, uint32_t group, unsigned want, acl_in_group_fn *in_group,
	      void *arg)
{
	const struct acl_entry *m = entry_of(acl, ACL_MASK);
	unsigned mask = m ? m->perm : 7;
	bool matched = false;
	int r;

	if (uid == owner)
		return verdict(entry_of(acl, ACL_USER_OBJ)->perm, want);
	for (unsigned i = 0; i < acl->n; i++)
		if (acl->e[i].tag == ACL_USER && acl->e[i].id == uid)
			return verdict(acl->e[i].perm & mask, want);
	r = check_groups(acl, group, mask, want, in_group, arg, &matched);
	if (r != -EACCES || matched)
		return r;
	return verdict(entry_of(acl, ACL_OTHER)->perm, want);
}

uint32_t acl_mode(const struct acl *acl, bool *extended)
{
	const struct acl_entry *mask = entry_of(acl, ACL_MASK), *g = mask ? mask : entry_of(acl, ACL_GROUP_OBJ);

	*extended = acl->n > 3;
	return (uint32_t)entry_of(acl, ACL_USER_OBJ)->perm << 6 | (uint32_t)g->perm << 3 | entry_of(acl, ACL_OTHER)->perm;
}

void acl_chmod(struct acl *acl, uint32_t mode)
{
	struct acl_entry *mask = entry_of(acl, ACL_MASK), *g = mask ? mask : entry_of(acl, ACL_GROUP_OBJ);

	entry_of(acl, ACL_USER_OBJ)->perm = mode >> 6 & 7;
	g->perm = mode >> 3 & 7;
	entry_of(acl, ACL_OTHER)->perm = mode & 7;
}

uint32_t acl_create(struct acl *acl, uint32_t mode)
{
	struct acl_entry *u = entry_of(acl, ACL_USER_OBJ), *o = entry_of(acl, ACL_OTHER), *mask = entry_of(acl, ACL_MASK);
	struct acl_entry *g = mask ? mask : entry_of(acl, ACL_GROUP_OBJ);

	u->perm &= mode >> 6 & 7;
	g->perm &= mode >> 3 & 7;
	o->perm &= mode & 7;
	return (uint32_t)u->perm << 6 | (uint32_t)g->perm << 3 | o->perm;
}
