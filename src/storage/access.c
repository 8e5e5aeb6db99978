/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who may touch which object. Servers may touch all; clients what a capability of the metadata server grants. */
#include "cap/cap.h"
#include "proto/fid.h"
#include "storage/storage_priv.h"

/* Made by a holder of the key, now or before. */
static int genuine(struct storage_target *t, const struct wp_cap *cap)
{
	if (cap->mac.len != WP_MAC_SIZE)
		return -WEFT_EBADCAP;
	if (capcache_has(&t->caps, cap)) {
		t->n.cap_cached++;
		return 0;
	}
	if (cap_verify(&t->cap_key, cap))
		return -WEFT_EBADCAP;
	t->n.cap_verified++;
	capcache_add(&t->caps, cap);
	return 0;
}

int storage_access(struct storage_target *t, const struct storage_op *op)
{
	const struct wp_cap *cap = &op->cap;
	uint64_t now_s;

	if (storage_is_server(rpc_conn_role(op->req->conn)))
		return 0;
	if (!op->msg->rights)
		return -WEFT_EDENIED;
	/* A capability is of one file: that of the object. */
	if (!(cap->rights & op->msg->rights) || !wp_fid_eq(&cap->fid, &op->io.obj.fid))
		return -WEFT_EBADCAP;
	if (genuine(t, cap))
		return -WEFT_EBADCAP;
	now_s = env_wall_ns(t->env) / NSEC_PER_SEC;
	if (now_s > t->params.cap_grace_s && cap->expiry < now_s - t->params.cap_grace_s)
		return -WEFT_ECAPEXPIRED;
	return 0;
}
