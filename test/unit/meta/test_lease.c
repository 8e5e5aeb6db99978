/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Leases: who may cache what, until when, and who has to wait for whom. */
#include "base/log.h"
#include "layout/stripe.h"
#include "tap.h"
#include "world.h"

#define LEASE_MS 400u
#define LIMIT_MS (LEASE_MS * 5 / 4)

#define A WP_LEASE_ATTR
#define E WP_LEASE_ENTRIES
#define L WP_LEASE_LAYOUT
#define R WP_LEASE_DATA_READ

static struct world w;

/* ---- clients --------------------------------------------------------------------------------------------------------------------- */

struct client {
	struct rpc_conn conn;
	uint64_t id, session, xid;
	struct call call;
	uint8_t scratch[65536];
	uint16_t lane;
};

static struct client a, b, c;
static uint8_t body_buf[300000];

static int wait_call(struct client *cl) { return call_wait(&w, &cl->call) ? cl->call.err : -ETIMEDOUT; }

/* Starts a request of cl in slot 0, which has to be free. */
#define SEND(cl, type, OP, ...)                                                                                                \
	do {                                                                                                                   \
		struct wp_##type##_req q_ = __VA_ARGS__;                                                                       \
		struct wp_enc e_;                                                                                              \
                                                                                                                               \
		wp_enc_init(&e_, body_buf, sizeof(body_buf));                                                                  \
		wp_##type##_req_enc(&e_, &q_);                                                                                 \
		if (e_.err)                                                                                                    \
			abort();                                                                                               \
		call_done(&(cl)->call);                                                                                        \
		call_send(&w, &(cl)->call, &(cl)->conn, (cl)->session, 0, ++(cl)->xid, WP_OP_##OP, body_buf, e_.len);          \
	} while (0)

#define TAKE(cl, type, rep)                                                                                                    \
	({                                                                                                                     \
		int err_ = wait_call(cl);                                                                                      \
                                                                                                                               \
		if (!err_)                                                                                                     \
			err_ = wp_##type##_rep_decode((cl)->call.reply, (cl)->call.reply_len, (cl)->scratch,                   \
						      sizeof((cl)->scratch), rep);                                             \
		err_;                                                                                                          \
	})

static void client_open(struct client *cl, uint64_t id, bool leases)
{
	struct wp_session_open_rep rep;

	call_done(&cl->call);
	*cl = (struct client){ .conn = { .role = WP_ROLE_CLIENT }, .id = id };
	SEND(cl, session_open, SESSION_OPEN, { .client_id = id, .host = wp_str("host"), .slots = 8, .leases = leases });
	if (TAKE(cl, session_open, &rep))
		bail_out("session");
	cl->session = rep.session;
	ok_quiet(rep.lease_ms == LEASE_MS, "told how long");
}

static void client_down(struct client *cl)
{
	struct rpc_service *svc = meta_target_service(w.mt);

	svc->conn_down(svc->ctx, &cl->conn);
	cl->conn = (struct rpc_conn){ .role = WP_ROLE_CLIENT };
}

static int client_attach(struct client *cl)
{
	struct wp_session_attach_rep rep;

	SEND(cl, session_attach, SESSION_ATTACH, { .session = cl->session, .client_id = cl->id, .lane = cl->lane });
	return TAKE(cl, session_attach, &rep);
}

static int client_ping(struct client *cl)
{
	SEND(cl, session_ping, SESSION_PING, { .session = cl->session });
	return wait_call(cl);
}

/* In a call of its own: another one of the client may be waiting. */
static void release_refs(struct client *cl, struct wp_lease_ref *refs, unsigned n)
{
	struct wp_lease_release_req q = { .leases = refs, .leases_n = n };
	struct wp_enc e;
	struct call call;

	wp_enc_init(&e, body_buf, sizeof(body_buf));
	wp_lease_release_req_enc(&e, &q);
	call_send(&w, &call, &cl->conn, cl->session, 0, 1000000 + ++cl->xid, WP_OP_LEASE_RELEASE, body_buf, e.len);
	ok_quiet(call_wait(&w, &call) && (!call.err || w.failed != 1), "release");
	call_done(&call);
}

/* Answers all recalls. */
static void answer(struct client *cl)
{
	release_refs(cl, cl->conn.refs, cl->conn.refs_n);
	cl->conn.refs_n = 0;
}

static uint32_t entry_bits(const struct wp_entry *e) { return e->has & WP_ENTRY_HAS_LEASE ? e->lease.bits : UINT32_MAX; }

static uint32_t get(struct client *cl, struct wp_fid fid)
{
	struct wp_getattr_rep rep;

	SEND(cl, getattr, GETATTR, { .fid = fid });
	return TAKE(cl, getattr, &rep) ? 0xdead : entry_bits(&rep.entry);
}

static void look(struct client *cl, struct wp_fid dir, const char *name, struct wp_lookup_rep *rep)
{
	SEND(cl, lookup, LOOKUP, { .cred = cred_root(), .parent = dir, .name = wp_str(name), .negative = 1 });
	if (TAKE(cl, lookup, rep))
		bail_out("lookup");
}

static struct wp_fid make(struct client *cl, struct wp_fid dir, const char *name, uint32_t mode)
{
	struct wp_mkdir_rep d;
	struct wp_mknod_rep f;

	if (S_ISDIR(mode)) {
		SEND(cl, mkdir, MKDIR, { .cred = cred_root(), .parent = dir, .name = wp_str(name), .mode = 0755 });
		if (TAKE(cl, mkdir, &d))
			bail_out("mkdir");
		return d.entry.attr.fid;
	}
	SEND(cl, mknod, MKNOD, { .cred = cred_root(), .parent = dir, .name = wp_str(name), .mode = S_IFREG | 0644 });
	if (TAKE(cl, mknod, &f))
		bail_out("mknod");
	return f.entry.attr.fid;
}

static uint64_t counter(const char *name)
{
	struct wp_counter rows[128];
	uint32_t n = meta_target_rows(w.mt, rows, ARRAY_SIZE(rows));

	for (uint32_t i = 0; i < n; i++)
		if (wp_str_eq(rows[i].name, wp_str(name)))
			return rows[i].value;
	return UINT64_MAX;
}

/* ---- conflicts --------------------------------------------------------------------------------------------------------------------- */

struct scene {
	struct wp_fid d, x, e, f, g; /* d/e, d/f, d/g; x */
};

static struct scene s;
static uint64_t handle = 1;

/* b holds everything that it can hold of the scene. */
static void scene_make(void)
{
	static unsigned n;
	struct wp_lookup_rep rep;
	struct wp_opendir_rep od;
	struct wp_open_rep op;
	char name[32];

	snprintf(name, sizeof(name), "d%u", n);
	s.d = make(&a, root_fid, name, S_IFDIR);
	snprintf(name, sizeof(name), "x%u", n++);
	s.x = make(&a, root_fid, name, S_IFDIR);
	s.e = make(&a, s.d, "e", S_IFDIR);
	s.f = make(&a, s.d, "f", 0);
	s.g = make(&a, s.d, "g", 0);
	for (const struct wp_fid *p = &s.d; p <= &s.g; p++) {
		/* Who made them holds nothing, so that the scene is about b alone. */
		release_refs(&a, &(struct wp_lease_ref){ .fid = *p, .lease = { UINT32_MAX, UINT64_MAX } }, 1);
		(void)get(&b, *p);
	}
	for (const char *p = "efgn"; *p; p++) {
		look(&b, s.d, (char[]){ *p, 0 }, &rep);
		ok_quiet(rep.found == (*p != 'n') && entry_bits(&rep.dir) == (A | E | L), "directory: %x",
			 entry_bits(&rep.dir));
		ok_quiet(entry_bits(&rep.entry) == (*p == 'n' ? UINT32_MAX : A | L), "%c: %x", *p, entry_bits(&rep.entry));
	}
	SEND(&b, opendir, OPENDIR, { .cred = cred_root(), .fid = s.e });
	ok_quiet(!TAKE(&b, opendir, &od) && entry_bits(&od.entry) == (A | E | L), "opendir");
	SEND(&b, opendir, OPENDIR, { .cred = cred_root(), .fid = s.x });
	ok_quiet(!TAKE(&b, opendir, &od) && entry_bits(&od.entry) == (A | E | L), "opendir");
	SEND(&b, open, OPEN, { .cred = cred_root(), .fid = s.f, .flags = WP_OPEN_READ, .handle = ++handle });
	ok_quiet(!TAKE(&b, open, &op) && entry_bits(&op.entry) == (A | L | R), "open: %x", entry_bits(&op.entry));
	SEND(&b, close, CLOSE, { .fid = s.f, .handle = handle });
	ok_quiet(!wait_call(&b), "close");
	weft_assert(!b.conn.refs_n);
}

/* "d:EA f:A", in the order of the inodes. */
static const char *recalled(const struct client *cl)
{
	static const char names[] = "dxefg";
	static char text[128];
	char *p = text;

	*p = 0;
	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 0; k < cl->conn.refs_n; k++) {
			const struct wp_lease_ref *r = &cl->conn.refs[k];

			if (wp_fid_eq(&r->fid, &s.d + i))
				p += sprintf(p, "%s%c:%s%s%s%s", p > text ? " " : "", names[i], r->lease.bits & E ? "E" : "",
					     r->lease.bits & A ? "A" : "", r->lease.bits & L ? "L" : "",
					     r->lease.bits & R ? "R" : "");
		}
	return text;
}

/* The request of a has been sent. */
static void expect(const char *what, const char *recalls)
{
	bool waits = *recalls;
	int err;

	world_sleep(&w, 5);
	ok_quiet(!waits || !a.call.replies, "%s waits", what);
	ok(!strcmp(recalled(&b), recalls), "%s recalls \"%s\": \"%s\"", what, recalls, recalled(&b));
	ok_quiet(!a.conn.refs_n, "%s: nothing of its own", what);
	if (waits) {
		world_sleep(&w, 20);
		ok_quiet(!a.call.replies, "%s waits for the answer", what);
		answer(&b);
	}
	err = wait_call(&a);
	ok_quiet(!err, "%s is done: %d", what, err);
	b.conn.refs_n = 0;
	scene_make();
}

#define ROW(type, OP, recalls, ...)                                                                                            \
	do {                                                                                                                   \
		SEND(&a, type, OP, __VA_ARGS__);                                                                               \
		expect(#type, recalls);                                                                                        \
	} while (0)

#define NAME(dir, n) .cred = cred_root(), .parent = (dir), .name = wp_str(n)
#define RENAME(n, dir2, n2) NAME(s.d, n), .new_parent = (dir2), .new_name = wp_str(n2)

static void test_name_conflicts(void)
{
	ROW(mknod, MKNOD, "d:EA", { NAME(s.d, "n"), .mode = S_IFIFO | 0644 });
	ROW(mkdir, MKDIR, "d:EA", { NAME(s.d, "n"), .mode = 0755 });
	ROW(symlink, SYMLINK, "d:EA", { NAME(s.d, "n"), .target = wp_str("t") });
	ROW(create, CREATE, "d:EA", { NAME(s.d, "n"), .mode = 0644, .flags = WP_OPEN_WRITE, .handle = ++handle });
	ROW(create, CREATE, "f:AR", { NAME(s.d, "f"), .mode = 0644, .flags = WP_OPEN_WRITE, .handle = ++handle });
	ROW(create, CREATE, "", { NAME(s.d, "f"), .mode = 0644, .flags = WP_OPEN_READ, .handle = ++handle });
	ROW(link, LINK, "d:EA f:A", { NAME(s.d, "n"), .fid = s.f });
	ROW(link, LINK, "x:EA f:A", { NAME(s.x, "n"), .fid = s.f });
	ROW(unlink, UNLINK, "d:EA g:A", { NAME(s.d, "g") });
	ROW(rmdir, RMDIR, "d:EA e:EAL", { NAME(s.d, "e") });
	ROW(rename, RENAME, "d:EA f:A", { RENAME("f", s.d, "n") });
	ROW(rename, RENAME, "d:EA x:EA f:A", { RENAME("f", s.x, "n") });
	ROW(rename, RENAME, "d:EA f:A g:A", { RENAME("f", s.d, "g") });
	ROW(rename, RENAME, "d:EA e:A", { RENAME("e", s.d, "n") });
	ROW(rename, RENAME, "d:EA x:EA e:EA", { RENAME("e", s.x, "n") });
	ROW(rename, RENAME, "d:EA f:A g:A", { RENAME("f", s.d, "g"), .flags = WP_RENAME_EXCHANGE });
	ROW(rename, RENAME, "", { RENAME("f", s.d, "f") });
	ROW(lookup, LOOKUP, "", { NAME(s.d, "f") });
	ROW(readdir, READDIR, "", { .cred = cred_root(), .dir = s.d, .max_bytes = 10000, .flags = WP_READDIR_PLUS });
}

static void test_inode_conflicts(void)
{
	struct wp_component comp = {
		.end = STRIPE_END_NONE, .pattern = WP_PATTERN_RAID0, .stripe_size = 1 << 20, .stripe_count = 1
	};
	struct wp_layout layout = { .generation = 1, .components = &comp, .components_n = 1 };

	ROW(setattr, SETATTR, "f:A", { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_MODE, .mode = 0600 });
	ROW(setattr, SETATTR, "d:A", { .cred = cred_root(), .fid = s.d, .valid = WP_SETATTR_UID, .uid = 5 });
	ROW(setattr, SETATTR, "f:AR", { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_SIZE, .size = 5000 });
	ROW(setattr, SETATTR, "f:A", { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_ATIME_NOW });
	ROW(setattr, SETATTR, "", { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_LAZY_ATIME });
	ROW(setattr, SETATTR, "", { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_KILL_SUIDGID });
	ROW(setxattr, SETXATTR, "f:A",
	    { .cred = cred_root(), .fid = s.f, .name = wp_str("user.x"), .value = wp_bytes((const uint8_t *)"v", 1) });
	ROW(set_layout, SET_LAYOUT, "d:AL", { .cred = cred_root(), .fid = s.d, .layout = layout });
	ROW(set_layout, SET_LAYOUT, "f:AL", { .cred = cred_root(), .fid = s.f, .layout = layout });
	ROW(open, OPEN, "f:AR", { .cred = cred_root(), .fid = s.f, .flags = WP_OPEN_WRITE, .handle = ++handle });
	ROW(open, OPEN, "f:AR", { .cred = cred_root(), .fid = s.f, .flags = WP_OPEN_READ | WP_OPEN_TRUNC, .handle = ++handle });
	ROW(open, OPEN, "", { .cred = cred_root(), .fid = s.f, .flags = WP_OPEN_READ, .handle = ++handle });
	ROW(getattr, GETATTR, "", { .fid = s.f });
	ROW(opendir, OPENDIR, "", { .cred = cred_root(), .fid = s.d });
	ROW(lock, LOCK, "", { .fid = s.f, .kind = WP_LOCK_KIND_FLOCK, .type = WP_LOCK_TYPE_WRITE, .end = UINT64_MAX });
	SEND(&a, setxattr, SETXATTR,
	     { .cred = cred_root(), .fid = s.g, .name = wp_str("user.x"), .value = wp_bytes((const uint8_t *)"v", 1) });
	world_sleep(&w, 5);
	answer(&b);
	ok_quiet(!wait_call(&a), "set");
	(void)get(&b, s.g);
	ROW(removexattr, REMOVEXATTR, "g:A", { .cred = cred_root(), .fid = s.g, .name = wp_str("user.x") });
}

/* A request that fails, or is refused, takes nothing from anybody. */
static void test_failures(void)
{
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "f"), .mode = 0755 });
	is_int(wait_call(&a), -EEXIST, "a name that exists");
	SEND(&a, rmdir, RMDIR, { NAME(root_fid, "nothing") });
	is_int(wait_call(&a), -ENOENT, "a name that does not");
	SEND(&a, setattr, SETATTR, { .cred = cred_user(7, 7), .fid = s.f, .valid = WP_SETATTR_MODE, .mode = 0600 });
	is_int(wait_call(&a), -EPERM, "not the owner");
	SEND(&a, open, OPEN, { .cred = cred_user(7, 7), .fid = s.f, .flags = WP_OPEN_WRITE, .handle = ++handle });
	is_int(wait_call(&a), -EACCES, "may not write");
	is_int(b.conn.refs_n, 0, "nothing was recalled");
}

/* ---- statements ---------------------------------------------------------------------------------------------------------------------- */

static void test_own_writer(void)
{
	struct wp_open_rep op;
	struct wp_close_rep cl;
	struct wp_data_hint hint = { .size = 0 };

	scene_make();
	is_int(get(&a, s.f), A | L, "a holds attributes as b does");
	SEND(&b, open, OPEN, { .cred = cred_root(), .fid = s.f, .flags = WP_OPEN_WRITE | WP_OPEN_READ, .handle = ++handle });
	world_sleep(&w, 5);
	answer(&a);
	ok(!TAKE(&b, open, &op) && !strcmp(recalled(&b), "f:AR"), "its own open for writing calls back, and does not wait");
	ok(entry_bits(&op.entry) == UINT32_MAX, "without a statement: %x", entry_bits(&op.entry));
	SEND(&c, setattr, SETATTR, { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_MODE, .mode = 0600 });
	client_down(&b);
	world_sleep(&w, 5);
	ok(!c.call.replies && !client_attach(&b) && !strcmp(recalled(&b), "f:AR"), "others wait until it has heard that");
	answer(&b);
	ok(!wait_call(&c), "then they go on");
	is_int(get(&b, s.f), L, "the layout is left");
	is_int(get(&a, s.f), L, "nor the other one");
	SEND(&a, open, OPEN, { .cred = cred_root(), .fid = s.f, .flags = WP_OPEN_READ, .handle = ++handle });
	ok(!TAKE(&a, open, &op) && entry_bits(&op.entry) == L, "nor a reader");
	SEND(&b, close, CLOSE, { .fid = s.f, .handle = handle - 1, .hint = hint, .has = WP_CLOSE_REQ_HAS_HINT });
	ok(!TAKE(&b, close, &cl) && cl.has && entry_bits(&cl.entry) == (A | L), "the end of writing grants again");
	is_int(get(&a, s.f), A | L, "to the other one, too");
	SEND(&a, close, CLOSE, { .fid = s.f, .handle = handle });
	ok(!TAKE(&a, close, &cl) && !cl.has, "a reader's close tells nothing");
}

static void test_statements(void)
{
	struct wp_getattr_rep g1, g2;
	struct wp_mkdir_rep md;
	struct wp_lookup_rep lk;
	struct wp_readdir_rep rd;
	struct wp_lease_ref ref;
	struct call again;
	uint64_t before;

	scene_make();
	SEND(&b, getattr, GETATTR, { .fid = s.f });
	ok_quiet(!TAKE(&b, getattr, &g1), "getattr");
	SEND(&b, getattr, GETATTR, { .fid = s.f });
	ok(!TAKE(&b, getattr, &g2) && g2.entry.lease.seq > g1.entry.lease.seq, "each statement is newer than the last");
	ref = (struct wp_lease_ref){ .fid = s.f, .lease = { A | L | R, g1.entry.lease.seq } };
	before = counter("leases");
	release_refs(&b, &ref, 1);
	is_int(counter("leases"), before, "a release of an older one is void");
	ref.lease = (struct wp_lease){ A, g2.entry.lease.seq };
	release_refs(&b, &ref, 1);
	SEND(&a, setattr, SETATTR, { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_MODE, .mode = 0640 });
	ok(!wait_call(&a) && !b.conn.refs_n, "what was given back is not recalled");
	ref.lease = (struct wp_lease){ L | R, UINT64_MAX };
	release_refs(&b, &ref, 1);
	is_int(counter("leases"), before, "the last bit; the other one got some");

	SEND(&b, mkdir, MKDIR, { NAME(s.d, "m"), .mode = 0755 });
	ok(!TAKE(&b, mkdir, &md) && entry_bits(&md.entry) == (A | L) && entry_bits(&md.dir) == (A | E | L),
	   "a new name: the new inode is granted, the directory goes on");
	SEND(&b, lookup, LOOKUP, { NAME(s.d, "m") });
	ok(!TAKE(&b, lookup, &lk) && lk.dir.attr.change == md.dir.attr.change && lk.dir.lease.seq > md.dir.lease.seq,
	   "change is that after the operation");
	/* the reply of the mkdir again, out of the cache */
	SEND(&b, mkdir, MKDIR, { NAME(s.d, "m2"), .mode = 0755 });
	ok_quiet(!wait_call(&b), "mkdir");
	call_send(&w, &again, &b.conn, b.session, 0, b.xid, WP_OP_MKDIR, b.call.body, b.call.req.hdr.body_len);
	ok(call_wait(&w, &again) && !again.err &&
		   !wp_mkdir_rep_decode(again.reply, again.reply_len, b.scratch, sizeof(b.scratch), &md) &&
		   entry_bits(&md.entry) == UINT32_MAX && entry_bits(&md.dir) == UINT32_MAX,
	   "sent again: without leases");
	call_done(&again);
	SEND(&b, readdir, READDIR, { .cred = cred_root(), .dir = s.d, .max_bytes = 10000, .flags = WP_READDIR_PLUS });
	is_int(TAKE(&b, readdir, &rd), 0, "readdir");
	ok(rd.entries_n == 5 && entry_bits(&rd.dir) == (A | E | L), "%u names, directory %x", rd.entries_n,
	   entry_bits(&rd.dir));
	for (uint32_t i = 0; i < rd.entries_n; i++)
		ok_quiet(rd.entries[i].has & WP_DIRENT_HAS_LEASE && (rd.entries[i].lease.bits & (A | L)) == (A | L), "entry %u",
			 i);
	ok(true, "readdir grants all");
}

static void test_without(void)
{
	struct wp_lookup_rep rep;

	scene_make();
	look(&c, s.d, "f", &rep);
	ok(entry_bits(&rep.dir) == UINT32_MAX && entry_bits(&rep.entry) == UINT32_MAX, "who did not ask gets none");
	SEND(&c, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, 5);
	ok(!c.call.replies && !strcmp(recalled(&b), "d:EA"), "but takes them back from others");
	answer(&b);
	ok(!wait_call(&c), "done");
}

/* Two who wait for the same, and the grants meanwhile. */
static void test_meanwhile(void)
{
	struct wp_lookup_rep rep;

	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	SEND(&c, mkdir, MKDIR, { NAME(s.d, "o"), .mode = 0755 });
	world_sleep(&w, 5);
	ok(!a.call.replies && !c.call.replies && b.conn.notices && !strcmp(recalled(&b), "d:EA"), "one recall for two");
	look(&b, s.d, "f", &rep);
	ok(rep.found && entry_bits(&rep.dir) == UINT32_MAX && entry_bits(&rep.entry) == (A | L | R),
	   "reads go on, without a statement of what is called back");
	answer(&b);
	ok(!wait_call(&a) && !wait_call(&c), "both are done");
	look(&b, s.d, "n", &rep);
	ok(rep.found && entry_bits(&rep.dir) == (A | E | L), "granted again");
}

/* ---- connections, time --------------------------------------------------------------------------------------------------------------- */

static void test_resend(void)
{
	static struct client other;

	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, 5);
	ok_quiet(b.conn.refs_n == 1, "recalled");
	client_down(&b);
	world_sleep(&w, 2);
	is_int(client_attach(&b), 0, "attached again");
	ok(!strcmp(recalled(&b), "d:EA") && !a.call.replies, "the recall comes again");
	/* a second connection: the recall moves to it when the first one goes */
	other = (struct client){ .conn = { .role = WP_ROLE_CLIENT }, .id = b.id, .session = b.session, .lane = 1 };
	ok_quiet(!client_attach(&other) && !strcmp(recalled(&other), "d:EA"),
		 "and on a new connection, the old one may be dead");
	other.conn.refs_n = 0;
	client_down(&b);
	ok(!strcmp(recalled(&other), "d:EA") && !a.call.replies, "and when the old one goes");
	answer(&other);
	ok(!wait_call(&a), "answered");
	client_down(&other);
	call_done(&other.call);
	/* without any connection: sent when there is one */
	(void)get(&b, s.f);
	client_down(&b);
	SEND(&a, setattr, SETATTR, { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_MODE, .mode = 0600 });
	world_sleep(&w, LIMIT_MS / 4);
	ok(!a.call.replies && !client_attach(&b) && !strcmp(recalled(&b), "f:A"), "kept for a client without a connection");
	answer(&b);
	ok(!wait_call(&a), "done");
}

/* What an older connection of the lane still brings is not executed: the client has sent it again, or gone on. */
static void test_take_over(void)
{
	static struct client again, beside;

	scene_make();
	beside = (struct client){ .conn = { .role = WP_ROLE_CLIENT }, .id = b.id, .session = b.session, .lane = 1 };
	again = (struct client){ .conn = { .role = WP_ROLE_CLIENT }, .id = b.id, .session = b.session };
	is_int(client_attach(&beside), 0, "a connection of another lane");
	is_int(client_ping(&b), 0, "beside the first");
	is_int(client_attach(&again), 0, "another one of the same lane");
	SEND(&b, setattr, SETATTR, { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_MODE, .mode = 0600 });
	is_int(wait_call(&b), -WEFT_ENOSESSION, "takes over: the older one is served no more");
	SEND(&beside, getattr, GETATTR, { .fid = s.f });
	is_int(wait_call(&beside), 0, "the other lane goes on");
	client_down(&b);
	client_down(&beside);
	client_down(&again);
	is_int(client_attach(&b), 0, "and so does the session");
	call_done(&again.call);
	call_done(&beside.call);
}

/* Who was cut off gets the time for its answer that it has not had, but not for ever. */
static void test_patience(void)
{
	uint64_t evicted = counter("sessions_evicted"), start;
	unsigned lost;

	scene_make();
	client_down(&b);
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, LIMIT_MS * 7 / 10);
	ok_quiet(!client_attach(&b) && b.conn.refs_n == 1, "attached");
	world_sleep(&w, LIMIT_MS / 2);
	answer(&b);
	ok(!wait_call(&a) && counter("sessions_evicted") == evicted, "late, but not for want of trying");
	scene_make();
	start = sim_now_ns(w.sim) / NSEC_PER_MSEC;
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	for (lost = 0; lost < 40; lost++) {
		world_sleep(&w, LIMIT_MS / 4);
		client_down(&b);
		if (client_attach(&b))
			break;
	}
	start = sim_now_ns(w.sim) / NSEC_PER_MSEC - start;
	ok(lost < 40 && start <= 4 * LIMIT_MS, "a client that only reconnects is evicted after %llu ms",
	   (unsigned long long)start);
	ok(!wait_call(&a), "and the other one goes on");
	client_down(&b);
	client_open(&b, 2, true);
}

static uint64_t now_ms(void) { return sim_now_ns(w.sim) / NSEC_PER_MSEC; }

static void test_void(void)
{
	uint64_t start, voided = counter("lease_voided"), epoch;
	struct wp_getattr_rep rep;

	scene_make();
	start = now_ms();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	ok(!wait_call(&a), "a silent holder");
	epoch = now_ms() - start;
	ok(epoch >= LIMIT_MS - 2 && epoch < LIMIT_MS + 20, "its leases are void after a time: %llu ms",
	   (unsigned long long)epoch);
	ok(counter("lease_voided") > voided && counter("sessions_evicted") == 0, "counted; the session lives");
	b.conn.refs_n = 0;
	SEND(&b, getattr, GETATTR, { .fid = s.f });
	ok(!TAKE(&b, getattr, &rep) && entry_bits(&rep.entry) == (A | L), "it starts from nothing");
	/* silent first, wanted then: no wait */
	scene_make();
	world_sleep(&w, LIMIT_MS + 50);
	start = now_ms();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	ok(!wait_call(&a) && now_ms() - start < 20 && !b.conn.refs_n, "void before: nobody waits");
	/* back after a silence: nothing is held */
	scene_make();
	world_sleep(&w, LIMIT_MS + 50);
	SEND(&b, getattr, GETATTR, { .fid = s.f });
	ok(!TAKE(&b, getattr, &rep) && entry_bits(&rep.entry) == (A | L), "back after a silence: only what is granted now");
}

/* Pings come, answers do not. */
static void test_evict(void)
{
	uint64_t start = now_ms(), took;
	bool lost = false;

	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	for (unsigned i = 0; i < 20 && !lost; i++) {
		world_sleep(&w, LEASE_MS / 4);
		lost = client_ping(&b) == -WEFT_ENOSESSION;
	}
	took = now_ms() - start;
	ok(lost && b.conn.closed && took >= LIMIT_MS && took <= 2 * LIMIT_MS, "evicted after %llu ms",
	   (unsigned long long)took);
	is_int(counter("sessions_evicted"), 1, "counted");
	ok(!a.call.replies, "what it may still use is waited for");
	ok(!wait_call(&a), "not for ever");
	took = now_ms() - start;
	ok(took <= 3 * LIMIT_MS, "after %llu ms", (unsigned long long)took);
	is_int(client_attach(&b), -WEFT_ENOSESSION, "the session is gone");
	client_down(&b);
	client_open(&b, 2, true);
	/* evicted, and it comes at once with a new session: nobody waits */
	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	for (lost = false; !lost;) {
		world_sleep(&w, LEASE_MS / 4);
		lost = client_ping(&b) == -WEFT_ENOSESSION;
	}
	client_down(&b);
	start = now_ms();
	client_open(&b, 2, true);
	ok(!wait_call(&a) && now_ms() - start < 20, "a new session of it ends the wait");
}

static void test_session_end(void)
{
	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, 5);
	ok_quiet(!a.call.replies, "waits");
	SEND(&b, session_close, SESSION_CLOSE, { .session = b.session });
	ok_quiet(!wait_call(&b), "close");
	ok(!wait_call(&a), "the end of the session ends its leases");
	client_down(&b);
	client_open(&b, 2, true);
}

/* ---- who waits goes away ------------------------------------------------------------------------------------------------------------ */

/* The last request of cl once more, on another connection. */
static void again(struct client *cl, struct call *call, struct rpc_conn *conn)
{
	call_send(&w, call, conn, cl->session, 0, cl->xid, cl->call.req.hdr.opcode, cl->call.body, cl->call.req.hdr.body_len);
}

static bool is_there(struct wp_fid dir, const char *name)
{
	struct wp_lookup_rep rep;

	look(&c, dir, name, &rep);
	return rep.found;
}

static void test_forsaken(void)
{
	static struct client other;
	struct call call;

	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, 5);
	client_down(&a);
	answer(&b);
	ok(wait_call(&a) == -WEFT_ENOTREADY && !is_there(s.d, "n"), "nobody is left who wants it: it is not done");
	other = (struct client){ .conn = { .role = WP_ROLE_CLIENT }, .id = a.id, .session = a.session, .lane = 1 };
	ok_quiet(!client_attach(&other), "attach");
	again(&a, &call, &other.conn);
	ok(call_wait(&w, &call) && !call.err && is_there(s.d, "n"), "its client lives, and asks again: it is");
	call_done(&call);
	again(&a, &call, &other.conn);
	ok(call_wait(&w, &call) && !call.err, "once");
	call_done(&call);

	ok_quiet(!client_attach(&a), "attach");
	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	again(&a, &call, &other.conn);
	world_sleep(&w, 5);
	client_down(&a);
	answer(&b);
	ok(call_wait(&w, &call) && !call.err && !wait_call(&a) && is_there(s.d, "n"),
	   "it came on another connection, too: done");
	call_done(&call);

	ok_quiet(!client_attach(&a), "attach");
	scene_make();
	SEND(&a, rmdir, RMDIR, { NAME(s.d, "e") });
	again(&a, &call, &other.conn);
	world_sleep(&w, 5);
	client_down(&a);
	client_down(&other);
	answer(&b);
	ok(wait_call(&a) == -WEFT_ENOTREADY && call_wait(&w, &call) && is_there(s.d, "e"), "both are gone: not done");
	call_done(&call);
	call_done(&other.call);
	ok_quiet(!client_attach(&a), "attach");
}

static void test_begun(void)
{
	struct wp_getattr_rep rep;

	scene_make();
	w.hold_storage = true;
	SEND(&a, setattr, SETATTR,
	     { .cred = cred_root(), .fid = s.f, .valid = WP_SETATTR_SIZE | WP_SETATTR_MODE, .size = 5000, .mode = 0611 });
	world_sleep(&w, 5);
	answer(&b);
	world_sleep(&w, 5);
	ok_quiet(!a.call.replies, "waits for storage");
	client_down(&a);
	w.hold_storage = false;
	world_release_storage(&w);
	SEND(&c, getattr, GETATTR, { .fid = s.f });
	ok(!TAKE(&c, getattr, &rep) && rep.entry.attr.size == 5000 && (rep.entry.attr.mode & 07777) == 0611,
	   "what has begun is finished: %o", rep.entry.attr.mode);
	ok_quiet(!client_attach(&a), "attach");
}

/* ---- contention, bound ------------------------------------------------------------------------------------------------------------------ */

static bool holds_attr(struct client *cl, struct wp_fid fid)
{
	uint32_t bits = get(cl, fid);

	return bits != UINT32_MAX && bits & A;
}

static unsigned conflicts_until_quiet(struct wp_fid fid)
{
	unsigned n;

	for (n = 0; n < 20; n++) {
		if (!holds_attr(&b, fid))
			break;
		SEND(&a, setattr, SETATTR, { .cred = cred_root(), .fid = fid, .valid = WP_SETATTR_MODE, .mode = 0600 + n });
		world_sleep(&w, 5);
		answer(&b);
		if (wait_call(&a))
			bail_out("setattr");
	}
	return n;
}

static uint64_t quiet_ms(struct wp_fid fid)
{
	uint64_t start = now_ms();

	while (!holds_attr(&b, fid) && now_ms() - start < 20000)
		world_sleep(&w, 50);
	return now_ms() - start;
}

static void test_contention(void)
{
	static const uint64_t expected[] = { 250, 500, 1000, 2000, 4000, 8000, 8000 };
	struct wp_fid f = make(&a, root_fid, "contended", 0);
	uint64_t took;

	client_down(&c); /* b may have been silent for long; c is not needed */
	if (client_attach(&c))
		bail_out("attach");
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
		(void)get(&b, f);
		is_int(conflicts_until_quiet(f), 4, "four conflicts within a second");
		took = quiet_ms(f);
		ok(took >= expected[i] - 60 && took <= expected[i] + 120, "no grants for %llu ms", (unsigned long long)took);
	}
	world_sleep(&w, 40000);
	is_int(conflicts_until_quiet(f), 4, "after a long time of quiet");
	took = quiet_ms(f);
	ok(took < 2000, "it is forgiven: %llu ms", (unsigned long long)took);
	ok(counter("lease_contended") >= 8, "counted");
}

static void test_bound(void)
{
	struct wp_fid files[40], dir;
	unsigned got = 0;
	char name[32];
	uint32_t bits;

	client_down(&b);
	call_done(&b.call);
	client_open(&b, 3, true);
	world_sleep(&w, LIMIT_MS + 100);
	dir = make(&a, root_fid, "bound", S_IFDIR);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		files[i] = make(&c, dir, name, 0);
	}
	world_sleep(&w, LIMIT_MS + 100);
	(void)client_ping(&a);
	for (unsigned i = 0; i < 40; i++) {
		bits = get(&b, files[i]);
		got += bits == (A | L);
		ok_quiet(counter("leases") <= w.leases_max, "never more");
	}
	ok(got >= w.leases_max * 3 / 4 && got <= w.leases_max, "%u granted of 40", got);
	ok(b.conn.refs_n && wp_fid_eq(&b.conn.refs[0].fid, &files[0]), "the oldest are recalled");
	answer(&b);
	is_int(get(&b, files[39]), A | L, "then there is room");
	is_int(get(&b, files[0]), A | L, "also for one that was given back");
	answer(&b);
}

/* ---- restart ------------------------------------------------------------------------------------------------------------------------------ */

static void restart(void)
{
	client_down(&a);
	client_down(&b);
	client_down(&c);
	world_kill(&w);
	call_done(&a.call);
	call_done(&b.call);
	call_done(&c.call);
	if (!world_open(&w))
		bail_out("restart");
}

static int come_back(struct client *cl)
{
	int err = client_attach(cl);

	if (err)
		return err;
	SEND(cl, reclaim, RECLAIM, { .done = 1 });
	return wait_call(cl);
}

static void test_restart(void)
{
	uint64_t start, took;
	struct wp_mkdir_rep md;

	scene_make();
	restart();
	is_int(come_back(&a), 0, "one client is back");
	ok(get(&a, s.f) == UINT32_MAX, "no leases yet");
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, LIMIT_MS / 4);
	ok(!a.call.replies, "changes wait for the other");
	is_int(come_back(&b), 0, "it comes");
	start = now_ms();
	ok(!TAKE(&a, mkdir, &md) && now_ms() - start < 20 && entry_bits(&md.entry) == (A | L),
	   "done, leases are granted again");
	ok(b.conn.refs_n == 0, "nothing is recalled of what was forgotten");

	restart();
	start = now_ms();
	is_int(come_back(&a), 0, "again");
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n2"), .mode = 0755 });
	ok(!wait_call(&a), "the other one does not come");
	took = now_ms() - start;
	ok(took >= LIMIT_MS - 5 && took < LIMIT_MS + 30, "its leases have run out: %llu ms", (unsigned long long)took);

	restart();
	is_int(come_back(&a), 0, "again");
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n3"), .mode = 0755 });
	world_sleep(&w, LIMIT_MS / 4);
	ok_quiet(!a.call.replies, "waits");
	start = now_ms();
	client_open(&b, b.id, true);
	ok(!wait_call(&a) && now_ms() - start < 20, "a new session of the same client counts as well");

	restart();
	is_int(come_back(&a), 0, "again");
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n4"), .mode = 0755 });
	world_sleep(&w, 10);
	restart(); /* with a request that waits */
	is_int(come_back(&a), 0, "a waiting request and a restart");
	ok(!come_back(&b) && !come_back(&c), "all are back");
}

static void test_waiting_and_death(void)
{
	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	SEND(&c, rename, RENAME, { RENAME("f", s.x, "g") });
	world_sleep(&w, 5);
	ok_quiet(!a.call.replies && !c.call.replies, "wait");
	restart();
	ok(!come_back(&a) && !come_back(&b) && !come_back(&c), "a target that dies with waiting requests");
	/* the journal fails while somebody waits */
	scene_make();
	SEND(&a, mkdir, MKDIR, { NAME(s.d, "n"), .mode = 0755 });
	world_sleep(&w, 5);
	sim_disk_fail_at(w.host, 1, -EIO);
	SEND(&c, mkdir, MKDIR, { NAME(root_fid, "fails"), .mode = 0755 });
	world_step(&w, 200);
	sim_disk_fail_at(w.host, 0, 0);
	restart();
	ok(!come_back(&a) && !come_back(&b) && !come_back(&c), "a journal that fails");
}

/* Every k-th file operation fails while leases go to and fro. */
static void test_failing(void)
{
	for (unsigned k = 1; k < 12; k++) {
		struct wp_getattr_rep rep;
		char name[32];

		scene_make();
		sim_disk_fail_at(w.host, k, -EIO);
		for (unsigned i = 0; i < 12 && w.failed == 1; i++) {
			snprintf(name, sizeof(name), "k%u", i);
			SEND(&a, mkdir, MKDIR, { NAME(s.d, name), .mode = 0755 });
			world_sleep(&w, 5);
			answer(&b);
			(void)wait_call(&a);
			SEND(&b, getattr, GETATTR, { .fid = s.d });
			if (!TAKE(&b, getattr, &rep))
				look(&b, s.d, name, &(struct wp_lookup_rep){ .found = 0 });
			world_sleep(&w, 300);
		}
		sim_disk_fail_at(w.host, 0, 0);
		restart();
		ok_quiet(!come_back(&a) && !come_back(&b) && !come_back(&c), "restart");
	}
	ok(true, "failing writes");
}

int main(void)
{
	log_setup("test", (enum log_level)0);
	world_init(&w, 11, "journal");
	w.lease_ms = LEASE_MS;
	w.timeout_ms = 1000000;
	w.grace_ms = 1000000;
	if (!world_open(&w))
		bail_out("open");
	client_open(&a, 1, true);
	client_open(&b, 2, true);
	client_open(&c, 9, false);
	scene_make();
	test_name_conflicts();
	test_inode_conflicts();
	test_failures();
	test_own_writer();
	test_statements();
	test_without();
	test_meanwhile();
	test_resend();
	test_take_over();
	test_void();
	test_evict();
	test_session_end();
	test_forsaken();
	test_begun();
	test_patience();
	test_contention();
	test_restart();
	test_waiting_and_death();
	test_failing();
	w.leases_max = 16;
	restart();
	if (come_back(&a) || come_back(&b) || come_back(&c))
		bail_out("back");
	test_bound();
	call_done(&a.call);
	call_done(&b.call);
	call_done(&c.call);
	world_done(&w);
	return done_testing();
}
