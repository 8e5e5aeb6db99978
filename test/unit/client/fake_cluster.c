/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fake_cluster.h"

#include <sys/stat.h>

#include "base/log.h"
#include "cap/cap.h"
#include "node/clustermap.h"
#include "proto/fid.h"

#define CLUSTER ((struct wp_uuid){ { 7, 7, 7 } })

static uint8_t scratch[4 << 20];

/* ---- replies ----------------------------------------------------------------------------------------------------- */

/* Keeps the reply of a mutation in its slot, as a real target does. */
static void answer(struct fc *fc, struct rpc_req *req, int err, const struct wp_enc *e)
{
	struct rpc_reply r = { .err = err, .body = e && !err ? e->p : NULL, .body_len = e && !err ? e->len : 0, .credits = 64 };
	struct fc_slot *s;

	fc->busy--;
	if (req->hdr.flags & WP_HDR_MUTATES) {
		s = &fc->slots[req->hdr.slot % FC_SLOTS_MAX];
		free(s->body);
		s->body = r.body_len ? xmalloc(r.body_len) : NULL;
		if (r.body_len)
			memcpy(s->body, r.body, r.body_len);
		s->len = r.body_len;
		s->status = wp_status_from_errno(err);
		s->xid = req->hdr.xid;
		fc->executed++;
		if (fc->drop_replies) {
			fc->drop_replies--;
			rpc_conn_close(req->conn);
		}
	}
	rpc_reply(req, &r);
}

static void answer_err(struct fc *fc, struct rpc_req *req, int err)
{
	answer(fc, req, err, NULL);
}

/* ---- inodes ------------------------------------------------------------------------------------------------------ */

static struct wp_time now_of(struct fc *fc)
{
	uint64_t ns = env_wall_ns(fc->env);

	return (struct wp_time){ .sec = (int64_t)(ns / NSEC_PER_SEC), .nsec = (uint32_t)(ns % NSEC_PER_SEC) };
}

static struct fc_inode *by_fid(struct fc *fc, const struct wp_fid *fid)
{
	return fid->seq == 1 && fid->oid < FC_INODES && fc->inodes[fid->oid].used ? &fc->inodes[fid->oid] : NULL;
}

static struct fc_inode *by_name(struct fc *fc, const struct wp_fid *parent, struct wp_str name)
{
	uint32_t i;

	for (i = 2; i < fc->next; i++) {
		struct fc_inode *in = &fc->inodes[i];

		if (in->used && in->parent == parent->oid && wp_str_eq(wp_str(in->name), name))
			return in;
	}
	return NULL;
}

static struct fc_inode *make(struct fc *fc, const struct wp_fid *parent, struct wp_str name, uint32_t mode, const struct wp_cred *cred)
{
	struct fc_inode *in = &fc->inodes[fc->next];
	unsigned i;

	weft_assert(fc->next < FC_INODES);
	memset(in, 0, sizeof(*in));
	in->used = true;
	in->parent = parent->oid;
	weft_assert(!wp_str_copy(in->name, sizeof(in->name), name));
	list_init(&in->append);
	in->attr = (struct wp_attr){ .fid = { .seq = 1, .oid = fc->next }, .mode = mode, .nlink = 1, .uid = cred ? cred->uid : 0,
				     .gid = cred ? cred->gid : 0 };
	in->attr.atime = in->attr.mtime = in->attr.ctime = now_of(fc);
	in->targets[0] = 1 + fc->next % FC_OSTS;
	for (i = 0; i < FC_OSTS; i++)
		in->targets[1 + i] = 1 + i;
	in->comps[0] = (struct wp_component){ .start = 0, .end = 1 << 20, .pattern = WP_PATTERN_RAID0, .stripe_size = 1 << 20,
					      .stripe_count = 1, .targets = in->targets, .targets_n = 1 };
	in->comps[1] = (struct wp_component){ .start = 1 << 20, .end = INT64_MAX, .pattern = WP_PATTERN_RAID0, .stripe_size = 65536,
					      .stripe_count = FC_OSTS, .targets = in->targets + 1, .targets_n = FC_OSTS };
	fc->next++;
	return in;
}

static void entry_of(struct fc *fc, struct fc_inode *in, struct wp_entry *e, uint8_t mac[32], bool data)
{
	struct cap_key key;

	memset(e, 0, sizeof(*e));
	e->attr = in->attr;
	if (in->writers)
		e->attr.flags |= WP_ATTR_UNSETTLED;
	if (!S_ISREG(in->attr.mode) || !(data || in->writers))
		return;
	e->layout = (struct wp_layout){ .generation = 1, .components = in->comps, .components_n = 2 };
	e->cap = (struct wp_cap){ .fid = in->attr.fid, .rights = WP_RIGHTS_READ | WP_RIGHTS_WRITE, .layout_gen = 1,
				  .session = fc->session, .expiry = env_wall_ns(fc->env) / NSEC_PER_SEC + fc->cap_life_s };
	cap_key_init(&key, fc->key);
	cap_sign(&key, &e->cap, mac);
	e->has = WP_ENTRY_HAS_LAYOUT | WP_ENTRY_HAS_CAP;
	fc->caps_given++;
}

/* Replies to operations on names have the directory as well, of which this target says nothing. */
static void answer_entry(struct fc *fc, struct rpc_req *req, struct fc_inode *in, bool data)
{
	struct wp_enc e = rpc_reply_enc(req, 4096);
	struct wp_entry entry = { 0 };
	uint8_t mac[32];

	if (!in) {
		answer_err(fc, req, -ENOENT);
		return;
	}
	entry_of(fc, in, &entry, mac, data);
	switch (req->hdr.opcode) {
	case WP_OP_LOOKUP:
		wp_lookup_rep_enc(&e, &(struct wp_lookup_rep){ .entry = entry, .found = 1 });
		break;
	case WP_OP_MKDIR:
	case WP_OP_SYMLINK:
		wp_mkdir_rep_enc(&e, &(struct wp_mkdir_rep){ .entry = entry });
		break;
	default:
		wp_getattr_rep_enc(&e, &(struct wp_getattr_rep){ .entry = entry });
	}
	answer(fc, req, e.err, &e);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

#define DECODE(name) wp_##name##_req_decode(req->body, req->hdr.body_len, scratch, sizeof(scratch), &m)

static bool groups_ok(struct fc *fc, const struct wp_cred *c)
{
	uint32_t i;

	if (!fc->need_groups)
		return true;
	for (i = 0; i < c->groups_n; i++)
		if (c->groups[i] == fc->need_groups)
			return true;
	return false;
}

static void do_lookup(struct fc *fc, struct rpc_req *req)
{
	struct wp_lookup_req m;

	if (DECODE(lookup))
		answer_err(fc, req, -EBADMSG);
	else if (!groups_ok(fc, &m.cred))
		answer_err(fc, req, m.cred.flags & WP_CRED_GROUPS ? -EACCES : -WEFT_ENEEDGROUPS);
	else
		answer_entry(fc, req, by_name(fc, &m.parent, m.name), false);
}

static void do_getattr(struct fc *fc, struct rpc_req *req)
{
	struct wp_getattr_req m;

	if (DECODE(getattr))
		answer_err(fc, req, -EBADMSG);
	else
		answer_entry(fc, req, by_fid(fc, &m.fid), m.flags & 1);
}

static void do_opendir(struct fc *fc, struct rpc_req *req)
{
	struct wp_opendir_req m;

	if (DECODE(opendir))
		answer_err(fc, req, -EBADMSG);
	else
		answer_entry(fc, req, by_fid(fc, &m.fid), false);
}

static void do_make(struct fc *fc, struct rpc_req *req)
{
	struct fc_inode *in = NULL;
	struct wp_mkdir_req m;
	struct wp_symlink_req s;

	if (req->hdr.opcode == WP_OP_MKDIR) {
		if (DECODE(mkdir) || by_name(fc, &m.parent, m.name)) {
			answer_err(fc, req, -EEXIST);
			return;
		}
		in = make(fc, &m.parent, m.name, S_IFDIR | (m.mode & 07777 & ~m.umask), &m.cred);
		in->attr.nlink = 2;
	} else {
		if (wp_symlink_req_decode(req->body, req->hdr.body_len, scratch, sizeof(scratch), &s) ||
		    by_name(fc, &s.parent, s.name)) {
			answer_err(fc, req, -EEXIST);
			return;
		}
		in = make(fc, &s.parent, s.name, S_IFLNK | 0777, &s.cred);
		weft_assert(!wp_str_copy(in->target, sizeof(in->target), s.target));
		in->attr.size = s.target.len;
	}
	answer_entry(fc, req, in, false);
}

static void do_create(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 4096);
	struct wp_create_rep rep = { 0 };
	struct wp_create_req m;
	struct fc_inode *in;
	uint8_t mac[32];

	if (DECODE(create)) {
		answer_err(fc, req, -EBADMSG);
		return;
	}
	in = by_name(fc, &m.parent, m.name);
	if (in && (m.flags & WP_OPEN_EXCL)) {
		answer_err(fc, req, -EEXIST);
		return;
	}
	rep.created = !in;
	if (!in)
		in = make(fc, &m.parent, m.name, S_IFREG | (m.mode & 07777 & ~m.umask), &m.cred);
	fc->creates += rep.created;
	in->handles++;
	if (m.flags & WP_OPEN_WRITE)
		in->writers++;
	entry_of(fc, in, &rep.entry, mac, true);
	wp_create_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

static void do_open(struct fc *fc, struct rpc_req *req)
{
	struct wp_open_req m;
	struct fc_inode *in;

	if (DECODE(open)) {
		answer_err(fc, req, -EBADMSG);
		return;
	}
	in = by_fid(fc, &m.fid);
	if (in) {
		in->handles++;
		if (m.flags & WP_OPEN_WRITE)
			in->writers++;
	}
	answer_entry(fc, req, in, true);
}

static void do_close(struct fc *fc, struct rpc_req *req)
{
	struct wp_close_req m;
	struct fc_inode *in;

	if (DECODE(close)) {
		answer_err(fc, req, -EBADMSG);
		return;
	}
	in = by_fid(fc, &m.fid);
	fc->last_close_wrote = m.wrote;
	if (in && in->handles)
		in->handles--;
	if (m.has & WP_CLOSE_REQ_HAS_HINT) {
		fc->hints++;
		fc->last_hint = m.hint;
		if (in) {
			in->attr.size = m.hint.size;
			in->attr.blocks = m.hint.blocks;
			in->attr.data_version = m.hint.data_version;
			in->attr.mtime = m.hint.mtime;
			in->writers = 0;
		}
	} else if (in && !m.wrote && in->writers) {
		/* Without hint the objects would be asked; here the file just stays unsettled. */
		in->writers--;
	}
	answer_err(fc, req, 0);
}

struct cutting {
	struct fc *fc;
	struct rpc_req *req;
	struct fc_inode *in;
	struct osd_io io[1 + FC_OSTS];
	unsigned left;
};

static void cut_done(struct osd_io *io)
{
	struct cutting *c = io->arg;

	if (--c->left)
		return;
	answer_entry(c->fc, c->req, c->in, false);
	free(c);
}

/* Sizes of all objects by the definition: stripe by stripe. */
static uint64_t object_size(const struct wp_component *c, uint32_t stripe, uint64_t size)
{
	uint64_t at, n = 0;

	for (at = c->start; at < MIN(size, c->end); at += c->stripe_size)
		if ((at - c->start) / c->stripe_size % c->targets_n == stripe)
			n += MIN(c->stripe_size, MIN(size, c->end) - at);
	return n;
}

static void do_setattr(struct fc *fc, struct rpc_req *req)
{
	struct wp_setattr_req m;
	struct fc_inode *in;
	struct cutting *c;
	uint32_t i, s, n = 0;

	if (DECODE(setattr)) {
		answer_err(fc, req, -EBADMSG);
		return;
	}
	in = by_fid(fc, &m.fid);
	if (in && (m.valid & WP_SETATTR_MODE))
		in->attr.mode = (in->attr.mode & S_IFMT) | (m.mode & 07777);
	if (in && (m.valid & WP_SETATTR_KILL_SUIDGID))
		in->attr.mode &= ~06000u;
	if (!in || !(m.valid & WP_SETATTR_SIZE)) {
		answer_entry(fc, req, in, false);
		return;
	}
	in->attr.size = m.size;
	c = NEW(struct cutting);
	*c = (struct cutting){ .fc = fc, .req = req, .in = in, .left = 1 + FC_OSTS };
	for (i = 0; i < 2; i++) {
		for (s = 0; s < in->comps[i].targets_n; s++, n++) {
			c->io[n] = (struct osd_io){ .op = OSD_TRUNCATE, .done = cut_done, .arg = c,
						    .obj = { .fid = m.fid, .component = (uint16_t)i, .stripe = s },
						    .length = object_size(&in->comps[i], s, m.size) };
			osd_io(fc->dev[in->comps[i].targets[s] - 1], &c->io[n]);
		}
	}
}

static void do_remove(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 4096);
	struct wp_unlink_rep rep = { 0 };
	struct wp_unlink_req m;
	struct fc_inode *in;

	if (DECODE(unlink) || !(in = by_name(fc, &m.parent, m.name))) {
		answer_err(fc, req, -ENOENT);
		return;
	}
	in->name[0] = '\0';
	in->parent = 0;
	in->attr.nlink = 0;
	rep.fid = in->attr.fid;
	wp_unlink_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

static void do_rename(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 4096);
	struct wp_rename_rep rep = { 0 };
	struct wp_rename_req m;
	struct fc_inode *in, *old;

	if (DECODE(rename) || !(in = by_name(fc, &m.parent, m.name))) {
		answer_err(fc, req, -ENOENT);
		return;
	}
	old = by_name(fc, &m.new_parent, m.new_name);
	if (old && (m.flags & WP_RENAME_NOREPLACE)) {
		answer_err(fc, req, -EEXIST);
		return;
	}
	if (old)
		old->parent = 0;
	in->parent = m.new_parent.oid;
	weft_assert(!wp_str_copy(in->name, sizeof(in->name), m.new_name));
	rep.moved = in->attr.fid;
	wp_rename_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

static void do_readlink(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 2048);
	struct wp_readlink_rep rep = { 0 };
	struct wp_readlink_req m;

	if (DECODE(readlink) || !by_fid(fc, &m.fid)) {
		answer_err(fc, req, -ENOENT);
		return;
	}
	rep.target = wp_str(by_fid(fc, &m.fid)->target);
	wp_readlink_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

static void do_path(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 512);
	struct wp_get_path_rep rep = { 0 };
	struct wp_get_path_req m;

	if (DECODE(get_path) || !by_fid(fc, &m.fid)) {
		answer_err(fc, req, -ENOENT);
		return;
	}
	rep.parent = (struct wp_fid){ .seq = 1, .oid = by_fid(fc, &m.fid)->parent };
	rep.name = wp_str(by_fid(fc, &m.fid)->name);
	wp_get_path_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

/* Cookies are inode numbers + 2. */
static void do_readdir(struct fc *fc, struct rpc_req *req)
{
	struct wp_readdir_rep rep = { .eof = 1 };
	struct wp_enc e = rpc_reply_enc(req, 1 << 19);
	struct wp_dirent *d = arena_alloc(&req->arena, 1024 * sizeof(*d));
	struct wp_readdir_req m;
	uint32_t i, bytes = 0;

	if (DECODE(readdir)) {
		answer_err(fc, req, -EBADMSG);
		return;
	}
	for (i = MAX(2u, (uint32_t)m.cookie - 1); i < fc->next && rep.eof; i++) {
		struct fc_inode *in = &fc->inodes[i];

		if (!in->used || in->parent != m.dir.oid || !in->name[0])
			continue;
		if (bytes > m.max_bytes || rep.entries_n == 1024) {
			rep.eof = 0;
			break;
		}
		d[rep.entries_n] = (struct wp_dirent){ .cookie = i + 2, .fid = in->attr.fid, .type = in->attr.mode & S_IFMT,
						       .name = wp_str(in->name) };
		if (m.flags & WP_READDIR_PLUS) {
			d[rep.entries_n].attr = in->attr;
			d[rep.entries_n].has = WP_DIRENT_HAS_ATTR;
		}
		rep.entries_n++;
		bytes += 280;
	}
	rep.entries = d;
	rep.parent = (struct wp_fid){ .seq = 1, .oid = fc->inodes[m.dir.oid].parent ? fc->inodes[m.dir.oid].parent : 1 };
	wp_readdir_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

/* ---- locks: only those for appending are real -------------------------------------------------------------------- */

static void append_sized(struct osd_io *io)
{
	struct cutting *a = io->arg;
	struct wp_enc e = rpc_reply_enc(a->req, 64);
	struct wp_lock_rep rep = { 0 };
	unsigned n;

	if (--a->left)
		return;
	for (n = 0; n < 1 + FC_OSTS; n++) {
		const struct wp_component *c = &a->in->comps[a->io[n].obj.component];
		uint64_t b = a->io[n].err ? 0 : a->io[n].stat.size;

		if (b--)
			rep.size = MAX(rep.size, c->start + (b / c->stripe_size * c->targets_n + a->io[n].obj.stripe) * c->stripe_size +
							 b % c->stripe_size + 1);
	}
	wp_lock_rep_enc(&e, &rep);
	answer(a->fc, a->req, e.err, &e);
	free(a);
}

/* The size comes from the objects, as at a real target. */
static void append_answer(struct fc *fc, struct fc_inode *in, struct rpc_req *req)
{
	struct cutting *a = NEW(struct cutting);
	uint32_t i, s, n = 0;

	*a = (struct cutting){ .fc = fc, .req = req, .in = in, .left = 1 + FC_OSTS };
	for (i = 0; i < 2; i++) {
		for (s = 0; s < in->comps[i].targets_n; s++, n++) {
			a->io[n] = (struct osd_io){ .op = OSD_STAT, .done = append_sized, .arg = a,
						    .obj = { .fid = in->attr.fid, .component = (uint16_t)i, .stripe = s } };
			osd_io(fc->dev[in->comps[i].targets[s] - 1], &a->io[n]);
		}
	}
}

static void do_lock(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 64);
	struct wp_lock_rep rep = { 0 };
	struct wp_lock_req m;
	struct fc_inode *in;
	struct fc_lock *l, *tmp;

	if (DECODE(lock) || !(in = by_fid(fc, &m.fid))) {
		answer_err(fc, req, -ENOENT);
		return;
	}
	if (m.kind != WP_LOCK_KIND_APPEND) {
		wp_lock_rep_enc(&e, &rep);
		answer(fc, req, e.err, &e);
		return;
	}
	if (m.type == WP_LOCK_TYPE_UNLOCK) {
		list_each_safe(l, tmp, &in->append, link) {
			if (l->owner == m.owner && !l->req) {
				list_del(&l->link);
				free(l);
			}
		}
		wp_lock_rep_enc(&e, &rep);
		answer(fc, req, e.err, &e);
	} else {
		l = NEW(struct fc_lock);
		l->owner = m.owner;
		l->req = req;
		list_append(&in->append, &l->link);
	}
	if (list_empty(&in->append))
		return;
	l = list_first(&in->append, struct fc_lock, link);
	if (l->req) {
		req = l->req;
		l->req = NULL;
		append_answer(fc, in, req);
	}
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static void do_session(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 128);
	struct wp_session_open_req o;
	struct wp_session_open_rep orep = { 0 };
	struct wp_session_attach_req a;
	struct wp_session_attach_rep arep = { 0 };

	if (req->hdr.opcode == WP_OP_SESSION_OPEN) {
		if (wp_session_open_req_decode(req->body, req->hdr.body_len, scratch, sizeof(scratch), &o)) {
			answer_err(fc, req, -EBADMSG);
			return;
		}
		fc->session++;
		fc->client_id = o.client_id;
		fc->reclaim = false;
		orep = (struct wp_session_open_rep){ .session = fc->session, .boot_epoch = fc->boot_epoch,
						     .slots = (uint16_t)(fc->slots_wanted ? fc->slots_wanted : o.slots),
						     .timeout_ms = 30000 };
		wp_session_open_rep_enc(&e, &orep);
	} else {
		if (wp_session_attach_req_decode(req->body, req->hdr.body_len, scratch, sizeof(scratch), &a)) {
			answer_err(fc, req, -EBADMSG);
			return;
		}
		if (a.session != fc->session || !fc->session) {
			answer_err(fc, req, -WEFT_ENOSESSION);
			return;
		}
		arep = (struct wp_session_attach_rep){ .boot_epoch = fc->boot_epoch, .reclaim = fc->reclaim, .timeout_ms = 30000 };
		wp_session_attach_rep_enc(&e, &arep);
	}
	answer(fc, req, e.err, &e);
}

static void do_reclaim(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 64);
	struct wp_reclaim_rep rep = { 0 };
	struct wp_reclaim_req m;
	struct fc_inode *in;
	uint32_t i;

	if (DECODE(reclaim)) {
		answer_err(fc, req, -EBADMSG);
		return;
	}
	for (i = 0; i < m.opens_n; i++) {
		in = by_fid(fc, &m.opens[i].fid);
		if (!in) {
			rep.refused++;
			continue;
		}
		fc->opens_reclaimed++;
		in->handles++;
		if (m.opens[i].flags & WP_OPEN_WRITE)
			in->writers++;
	}
	fc->locks_reclaimed += m.locks_n;
	if (m.done)
		fc->reclaim = false;
	wp_reclaim_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

static void do_refresh(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 4096);
	struct wp_refresh_cap_rep rep = { 0 };
	struct wp_refresh_cap_req m;
	struct wp_entry entry;
	uint8_t mac[32];

	if (DECODE(refresh_cap) || !by_fid(fc, &m.fid)) {
		answer_err(fc, req, -ESTALE);
		return;
	}
	entry_of(fc, by_fid(fc, &m.fid), &entry, mac, true);
	rep.cap = entry.cap;
	rep.layout = entry.layout;
	wp_refresh_cap_rep_enc(&e, &rep);
	answer(fc, req, e.err, &e);
}

static void do_small(struct fc *fc, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 128);

	if (req->hdr.opcode == WP_OP_STATFS) {
		wp_statfs_rep_enc(&e, &(struct wp_statfs_rep){ .total = 1 << 30, .free = 1 << 29, .inodes = 1000, .inodes_free = 500 });
	} else if (req->hdr.opcode == WP_OP_META_SYNC) {
		wp_meta_sync_rep_enc(&e, &(struct wp_meta_sync_rep){ 0 });
	} else if (req->hdr.opcode == WP_OP_SESSION_PING) {
		wp_session_ping_rep_enc(&e, &(struct wp_session_ping_rep){ .boot_epoch = fc->boot_epoch });
	} else if (req->hdr.opcode == WP_OP_PING) {
		wp_ping_rep_enc(&e, &(struct wp_ping_rep){ 0 });
	} else if (req->hdr.opcode != WP_OP_LOCK_RELEASE_OWNER && req->hdr.opcode != WP_OP_SESSION_CLOSE &&
		   req->hdr.opcode != WP_OP_ACCESS && req->hdr.opcode != WP_OP_LOCK_CANCEL) {
		answer_err(fc, req, -EOPNOTSUPP);
		return;
	}
	answer(fc, req, e.err, &e);
}

/* True: was executed before. */
static bool replay(struct fc *fc, struct rpc_req *req)
{
	struct fc_slot *s = &fc->slots[req->hdr.slot % FC_SLOTS_MAX];
	struct rpc_reply r = { 0 };

	if (!(req->hdr.flags & WP_HDR_MUTATES))
		return false;
	weft_assert(req->hdr.xid >= s->xid);
	if (req->hdr.xid != s->xid)
		return false;
	fc->replayed++;
	fc->busy--;
	r.err = wp_status_to_err(s->status);
	r.body = s->body;
	r.body_len = s->len;
	rpc_reply(req, &r);
	return true;
}

static void meta_request(void *ctx, struct rpc_req *req)
{
	struct fc *fc = ctx;
	uint16_t op = req->hdr.opcode;

	fc->busy++;
	fc->max_busy = MAX(fc->max_busy, fc->busy);
	if (fc->mute) {
		list_append(&fc->maps, &req->node);
		return;
	}
	if (op != WP_OP_SESSION_OPEN && op != WP_OP_SESSION_ATTACH && op != WP_OP_PING &&
	    (req->hdr.session != fc->session || !fc->session)) {
		answer_err(fc, req, -WEFT_ENOSESSION);
		return;
	}
	if (replay(fc, req))
		return;
	switch (op) {
	case WP_OP_SESSION_OPEN:
	case WP_OP_SESSION_ATTACH: do_session(fc, req); break;
	case WP_OP_RECLAIM: do_reclaim(fc, req); break;
	case WP_OP_LOOKUP: do_lookup(fc, req); break;
	case WP_OP_GETATTR: do_getattr(fc, req); break;
	case WP_OP_MKDIR:
	case WP_OP_SYMLINK: do_make(fc, req); break;
	case WP_OP_CREATE: do_create(fc, req); break;
	case WP_OP_OPEN: do_open(fc, req); break;
	case WP_OP_CLOSE: do_close(fc, req); break;
	case WP_OP_SETATTR: do_setattr(fc, req); break;
	case WP_OP_UNLINK:
	case WP_OP_RMDIR: do_remove(fc, req); break;
	case WP_OP_RENAME: do_rename(fc, req); break;
	case WP_OP_READLINK: do_readlink(fc, req); break;
	case WP_OP_READDIR: do_readdir(fc, req); break;
	case WP_OP_OPENDIR: do_opendir(fc, req); break;
	case WP_OP_GET_PATH: do_path(fc, req); break;
	case WP_OP_LOCK: do_lock(fc, req); break;
	case WP_OP_REFRESH_CAP: do_refresh(fc, req); break;
	default: do_small(fc, req); break;
	}
}

/* ---- management -------------------------------------------------------------------------------------------------- */

static void send_map(struct fc *fc, struct rpc_req *req)
{
	struct wp_addr addr = { .text = wp_str(fc->addr) };
	struct wp_node_info node = { .id = 1, .role = WP_ROLE_META, .state = WP_TARGET_STATE_ONLINE, .alias = wp_str("one"),
				     .addrs = &addr, .addrs_n = 1, .host = wp_str(cluster_host()) };
	struct wp_target_info t[1 + FC_OSTS];
	struct wp_map_get_rep rep = { .version = 1 };
	struct wp_enc e = rpc_reply_enc(req, 8192), whole;
	struct wp_map map;
	uint8_t body[8192];
	char alias[1 + FC_OSTS][16];
	uint32_t i;

	node.uuid.b[0] = 1;
	memset(t, 0, sizeof(t));
	for (i = 0; i <= FC_OSTS; i++) {
		snprintf(alias[i], sizeof(alias[i]), "t%u", i);
		t[i] = (struct wp_target_info){ .id = i, .service = i ? WP_SERVICE_STORAGE : WP_SERVICE_META,
						.state = WP_TARGET_STATE_ONLINE, .capacity = WP_CAPACITY_NORMAL, .node = 1,
						.alias = wp_str(alias[i]) };
		t[i].uuid.b[0] = (uint8_t)(i + 1);
	}
	map = (struct wp_map){
		.version = 1, .cluster = CLUSTER, .nodes = &node, .nodes_n = 1, .targets = t, .targets_n = 1 + FC_OSTS
	};
	wp_enc_init(&whole, body, sizeof(body));
	wp_map_enc(&whole, &map);
	rep.total = whole.len;
	rep.page = wp_bytes(body, whole.len);
	wp_map_get_rep_enc(&e, &rep);
	rpc_reply(req, &(struct rpc_reply){ .err = e.err, .body = e.p, .body_len = e.len });
}

static void mgmtd_request(void *ctx, struct rpc_req *req)
{
	struct fc *fc = ctx;
	struct wp_enc e = rpc_reply_enc(req, 256);
	struct wp_map_get_req m;

	if (req->hdr.opcode == WP_OP_MAP_GET) {
		if (!DECODE(map_get) && m.known >= 1)
			list_append(&fc->maps, &req->node);
		else
			send_map(fc, req);
		return;
	}
	if (req->hdr.opcode == WP_OP_REGISTER_NODE)
		wp_register_node_rep_enc(&e, &(struct wp_register_node_rep){ .node = 9, .cluster = CLUSTER, .heartbeat_ms = 1000 });
	else if (req->hdr.opcode == WP_OP_HEARTBEAT)
		wp_heartbeat_rep_enc(&e, &(struct wp_heartbeat_rep){ .map_version = 1 });
	else
		wp_unregister_node_rep_enc(&e, &(struct wp_unregister_node_rep){ .map_version = 1 });
	rpc_reply(req, &(struct rpc_reply){ .err = e.err, .body = e.p, .body_len = e.len });
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void storage_up(struct fc *fc, unsigned i)
{
	struct osd_params op = { .env = fc->env, .path = "", .capacity = 256 << 20 };
	struct storage_params sp = { .env = fc->env, .target = i + 1, .boot_epoch = 1, .cap_grace_s = 1 };
	const struct osd_ops *mem = osd_backend("mem");
	int err;

	if (!fc->dev[i]) {
		err = mem->format(&op);
		if (!err || err == -EEXIST)
			err = mem->open(&op, &fc->dev[i]);
		weft_assert(!err);
	}
	sp.dev = fc->dev[i];
	memcpy(sp.cap_key, fc->key, sizeof(sp.cap_key));
	err = storage_target_open(&sp, &fc->st[i]);
	weft_assert(!err);
	err = rpc_service_add(fc->node, storage_target_service(fc->st[i]));
	weft_assert(!err);
}

static void node_up(struct fc *fc)
{
	struct rpc_identity id = { .role = WP_ROLE_META, .auth = WP_AUTH_HMAC, .cluster = CLUSTER };
	int err;

	memcpy(id.secret, "client secret", 13);
	id.secret_len = 13;
	memcpy(id.server_secret, "server secret", 13);
	id.server_secret_len = 13;
	id.uuid.b[0] = 1;
	err = rpc_node_new(fc->env, &id, &fc->node);
	weft_assert(!err);
	fc->mgmtd = (struct rpc_service){ .service = WP_SERVICE_MGMTD, .target = WP_TARGET_NONE, .boot_epoch = 1, .ctx = fc,
					  .request = mgmtd_request };
	fc->meta = (struct rpc_service){ .service = WP_SERVICE_META, .target = 0, .boot_epoch = fc->boot_epoch, .ctx = fc,
					 .request = meta_request };
	err = rpc_service_add(fc->node, &fc->mgmtd);
	weft_assert(!err);
	err = rpc_service_add(fc->node, &fc->meta);
	weft_assert(!err);
	err = rpc_listen(fc->node, fc->addr);
	weft_assert(!err);
}

void fc_start(struct fc *fc, struct env *env, const char *addr)
{
	struct fc_inode *root = &fc->inodes[1];
	unsigned i;

	memset(fc, 0, sizeof(*fc));
	fc->env = env;
	fc->boot_epoch = 1;
	fc->next = 2;
	fc->cap_life_s = 3600;
	str_copy(fc->addr, sizeof(fc->addr), addr);
	list_init(&fc->maps);
	memset(fc->key, 5, sizeof(fc->key));
	root->used = true;
	root->attr = (struct wp_attr){ .fid = WP_FID_ROOT, .mode = S_IFDIR | 0755, .nlink = 2 };
	list_init(&root->append);
	node_up(fc);
	for (i = 0; i < FC_OSTS; i++)
		storage_up(fc, i);
}

static void node_down(struct fc *fc)
{
	struct rpc_req *req;
	struct fc_lock *l;
	uint32_t i;

	while ((req = list_pop(&fc->maps, struct rpc_req, node)))
		rpc_reply_err(req, -ECANCELED);
	for (i = 0; i < fc->next; i++) {
		while (fc->inodes[i].used && (l = list_pop(&fc->inodes[i].append, struct fc_lock, link))) {
			if (l->req)
				rpc_reply_err(l->req, -ECANCELED);
			free(l);
		}
		fc->inodes[i].writers = fc->inodes[i].handles = 0;
	}
	for (i = 0; i < FC_OSTS; i++) {
		rpc_service_remove(fc->node, storage_target_service(fc->st[i]));
		storage_target_free(fc->st[i]);
	}
	rpc_node_free(fc->node);
	fc->busy = 0;
}

void fc_forget_slots(struct fc *fc)
{
	unsigned i;

	for (i = 0; i < FC_SLOTS_MAX; i++)
		free(fc->slots[i].body);
	memset(fc->slots, 0, sizeof(fc->slots));
}

void fc_stop(struct fc *fc)
{
	unsigned i;

	node_down(fc);
	for (i = 0; i < FC_OSTS; i++)
		fc->dev[i]->ops->close(fc->dev[i]);
	fc_forget_slots(fc);
}

static void restart(struct fc *fc)
{
	unsigned i;

	node_down(fc);
	fc->boot_epoch++;
	node_up(fc);
	for (i = 0; i < FC_OSTS; i++)
		storage_up(fc, i);
}

void fc_meta_restart(struct fc *fc)
{
	fc->reclaim = true;
	restart(fc);
}

void fc_evict(struct fc *fc)
{
	fc_forget_slots(fc);
	fc->session += 100;
	fc->client_id = 0;
	restart(fc);
}

void fc_storage_restart(struct fc *fc, unsigned i)
{
	rpc_service_remove(fc->node, storage_target_service(fc->st[i]));
	storage_target_free(fc->st[i]);
	fc->dev[i]->ops->close(fc->dev[i]);
	fc->dev[i] = NULL;
	storage_up(fc, i);
}
