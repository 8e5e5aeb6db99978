/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Opens, sizes, truncation, deletion, and the append lock. */
#include "tap.h"
#include "world.h"

static struct world w;

static struct wp_attr attr_of(struct wp_fid fid)
{
	struct wp_attr a = { 0 };

	ok_quiet(t_getattr(&w, fid, &a) == 0, "getattr");
	return a;
}

/* What a sole writer would tell. */
static struct wp_data_hint hint_of(struct wp_fid fid, uint64_t size)
{
	struct wp_data_hint h = { .size = size };

	for (uint32_t i = 0; i < w.n_objects; i++)
		if (wp_fid_eq(&w.objects[i].id.fid, &fid)) {
			h.data_version += w.objects[i].stat.version;
			h.blocks += w.objects[i].stat.blocks;
			h.mtime = w.objects[i].stat.mtime;
		}
	return h;
}

static void test_hint(void)
{
	struct wp_data_hint h;
	struct wp_entry e;
	struct wp_attr a;
	uint64_t calls;

	is_int(t_create(&w, root_fid, "h", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 5000);
	h = hint_of(e.attr.fid, 5000);
	calls = w.obj_calls;
	is_int(t_close(&w, e.attr.fid, 1, true, &h), 0, "close with a hint");
	a = attr_of(e.attr.fid);
	ok(a.size == 5000 && a.data_version == h.data_version && a.blocks == h.blocks && !(a.flags & WP_ATTR_UNSETTLED) &&
		   w.obj_calls == calls, "the hint is believed, no object is asked");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 1, &e), 0, "open for writing");
	ok(e.attr.size == 5000 && !(e.attr.flags & WP_ATTR_UNSETTLED), "the size is told");
	ok(attr_of(e.attr.fid).flags & WP_ATTR_UNSETTLED, "to others it is unsettled");
	is_int(t_close(&w, e.attr.fid, 1, false, NULL), 0, "close without having written");
	ok(!(attr_of(e.attr.fid).flags & WP_ATTR_UNSETTLED) && w.obj_calls == calls, "settled as before");
	is_int(t_unlink(&w, root_fid, "h"), 0, "unlink");
	world_sleep(&w, 100);
	ok(world_objects_of(&w, e.attr.fid) == 0 && w.obj_calls == calls + 1, "one object is destroyed, others never were");
}

static void test_two_writers(void)
{
	struct wp_data_hint h;
	struct wp_entry e, e2;
	struct wp_attr a;

	is_int(t_create(&w, root_fid, "t", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 2, &e2), 0, "a second writer");
	ok(e2.attr.flags & WP_ATTR_UNSETTLED, "must ask");
	world_write(&w, &e2, 0, 100);
	world_write(&w, &e2, 3 << 20, 7);
	h = hint_of(e.attr.fid, 1);
	is_int(t_close(&w, e.attr.fid, 1, true, &h), 0, "close");
	is_int(t_close(&w, e.attr.fid, 2, true, &h), 0, "close with a hint that is not enough");
	a = attr_of(e.attr.fid);
	ok(a.size == (3 << 20) + 7 && !(a.flags & WP_ATTR_UNSETTLED), "the objects were asked: %llu", (unsigned long long)a.size);
	is_int(t_unlink(&w, root_fid, "t"), 0, "unlink");
	world_sleep(&w, 100);
	is_int(world_objects_of(&w, e.attr.fid), 0, "objects are destroyed");
}

static int set_size(struct wp_fid fid, uint64_t size, struct wp_attr *a)
{
	return t_setattr(&w, &(struct wp_setattr_req){ .fid = fid, .valid = WP_SETATTR_SIZE, .size = size }, a);
}

static void test_truncate(void)
{
	struct wp_attr a, b;
	struct wp_entry e;
	struct obj *o;
	uint64_t calls;

	is_int(t_create(&w, root_fid, "c", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 5 << 20);
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close without hint");
	a = attr_of(e.attr.fid);
	ok(a.size == 5 << 20, "5 MiB");
	world_sleep(&w, 5);
	is_int(set_size(e.attr.fid, 2500000, &b), 0, "shrink");
	ok(b.size == 2500000 && b.mtime.nsec != a.mtime.nsec && b.ctime.nsec != a.ctime.nsec, "size and times");
	o = world_obj(&w, e.attr.fid, 1, 1);
	ok(o && o->stat.size == 2500000 - (2 << 20), "the object of the last byte");
	o = world_obj(&w, e.attr.fid, 1, 0);
	ok(o && o->stat.size == 1 << 20, "the one before");
	a = b;
	is_int(set_size(e.attr.fid, 20 << 20, &b), 0, "grow");
	ok(b.size == 20 << 20, "size");
	calls = w.obj_calls;
	world_sleep(&w, 5);
	is_int(set_size(e.attr.fid, 20 << 20, &a), 0, "to the same size");
	ok(a.mtime.nsec != b.mtime.nsec && w.obj_calls == calls, "changes the times only");
	is_int(set_size(e.attr.fid, 1ull << 63, NULL), -EFBIG, "too large");
	is_int(set_size(root_fid, 1, NULL), -EISDIR, "a directory");
	/* The version that a truncation left is known: a stat by a client finds nothing newer. */
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 3, &e), 0, "open");
	ok(hint_of(e.attr.fid, 0).data_version == e.attr.data_version, "data_version is the sum over the objects");
	is_int(t_close(&w, e.attr.fid, 3, false, NULL), 0, "close");
	world_sleep(&w, 5);
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE | WP_OPEN_TRUNC, 4, &e), 0, "O_TRUNC");
	ok(e.attr.size == 0 && !(e.attr.flags & WP_ATTR_UNSETTLED), "empty");
	is_int(set_size(e.attr.fid, 10, &a), 0, "size while open");
	ok(a.flags & WP_ATTR_UNSETTLED, "unsettled");
	is_int(t_close(&w, e.attr.fid, 4, true, NULL), 0, "close");
	ok(attr_of(e.attr.fid).size == 10, "settled");
	is_int(t_unlink(&w, root_fid, "c"), 0, "unlink");
	world_sleep(&w, 100);
	is_int(world_objects_of(&w, e.attr.fid), 0, "objects are destroyed");
}

static void test_utimes(void)
{
	struct wp_setattr_req q = { .valid = WP_SETATTR_MTIME, .mtime = { 1000, 7 } };
	struct wp_entry e;
	struct wp_attr a;

	is_int(t_create(&w, root_fid, "m", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 100);
	q.fid = e.attr.fid;
	is_int(t_setattr(&w, &q, &a), 0, "utimes while open for writing");
	ok(a.mtime.sec == 1000 && a.data_version == hint_of(e.attr.fid, 0).data_version, "the version is known");
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close");
	a = attr_of(e.attr.fid);
	ok(a.mtime.sec == 1000 && a.mtime.nsec == 7 && a.size == 100, "the time set stays");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 1, &e), 0, "open");
	world_write(&w, &e, 0, 100);
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "write, close");
	ok(attr_of(e.attr.fid).mtime.sec > 1000, "a later write sets it");
	is_int(t_unlink(&w, root_fid, "m"), 0, "unlink");
}

static void test_orphan(void)
{
	struct wp_entry e;
	struct wp_attr a;

	is_int(t_create(&w, root_fid, "o", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 100);
	is_int(t_unlink(&w, root_fid, "o"), 0, "unlink while open");
	a = attr_of(e.attr.fid);
	ok(a.nlink == 0 && a.flags & WP_ATTR_ORPHAN, "an orphan");
	is_int(t_link(&w, e.attr.fid, root_fid, "o2", NULL), -ENOENT, "cannot be linked");
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close");
	is_int(t_getattr(&w, e.attr.fid, NULL), -ESTALE, "gone");
	world_sleep(&w, 100);
	is_int(world_objects_of(&w, e.attr.fid), 0, "with its objects");
}

static void test_storage_down(void)
{
	struct wp_setattr_req q = { .valid = WP_SETATTR_SIZE, .size = 1 };
	struct wp_getattr_req g;
	struct call c, d;
	struct wp_entry e;
	struct wp_enc enc;
	uint8_t buf[512];

	is_int(t_create(&w, root_fid, "w", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 100);
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close");
	(void)attr_of(e.attr.fid);
	w.hold_storage = true;
	q.fid = g.fid = e.attr.fid;
	q.cred = w.cred;
	g.flags = 0;
	wp_enc_init(&enc, buf, sizeof(buf));
	wp_setattr_req_enc(&enc, &q);
	call_send(&w, &c, &w.conn, w.session, 5, 1, WP_OP_SETATTR, buf, enc.len);
	world_sleep(&w, 100);
	wp_enc_init(&enc, buf, sizeof(buf));
	wp_getattr_req_enc(&enc, &g);
	call_send(&w, &d, &w.conn, w.session, 0, ++w.xid, WP_OP_GETATTR, buf, enc.len);
	world_sleep(&w, 100);
	ok(!c.replies && !d.replies, "a truncation waits for storage, and getattr for it");
	world_release_storage(&w);
	ok(call_wait(&w, &c) && !c.err && call_wait(&w, &d) && !d.err, "both are answered");
	call_done(&c);
	call_done(&d);
	is_int(attr_of(e.attr.fid).size, 1, "the size");
	w.peers[e.layout.components[0].targets[0] % 16].down = true;
	is_int(t_unlink(&w, root_fid, "w"), 0, "unlink with a target down");
	world_sleep(&w, 5000);
	memset(w.peers, 0, sizeof(w.peers));
	world_sleep(&w, 5000);
	is_int(world_objects_of(&w, e.attr.fid), 0, "the objects go when it is back");
}

/* The process dies between the intent and the end of a truncation. */
static void test_crash_in_truncate(void)
{
	struct wp_setattr_req q = { .valid = WP_SETATTR_SIZE, .size = 1234 };
	struct wp_reclaim_req rq = { .done = 1 };
	struct wp_reclaim_rep rp;
	struct wp_entry e;
	struct wp_enc enc;
	struct call c;
	uint8_t buf[512];

	is_int(t_create(&w, root_fid, "k", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 3 << 20);
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close");
	(void)attr_of(e.attr.fid);
	w.hold_storage = true;
	q.fid = e.attr.fid;
	q.cred = w.cred;
	wp_enc_init(&enc, buf, sizeof(buf));
	wp_setattr_req_enc(&enc, &q);
	call_send(&w, &c, &w.conn, w.session, 6, 1, WP_OP_SETATTR, buf, enc.len);
	world_sleep(&w, 100);
	world_kill(&w);
	call_done(&c);
	w.hold_storage = false;
	ok(world_open(&w), "restart");
	world_session(&w);
	is_int(attr_of(e.attr.fid).size, 1234, "the truncation is finished before anybody looks");
	ok(!CALL(&w, reclaim, RECLAIM, &rq, &rp), "grace ends");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 2, NULL), 0, "somebody writes");
	world_write(&w, &e, 0, 50000);
	is_int(t_close(&w, e.attr.fid, 2, true, NULL), 0, "more");
	is_int(attr_of(e.attr.fid).size, 50000, "than was left");
	world_kill(&w);
	ok(world_open(&w), "restart");
	world_session(&w);
	call_send(&w, &c, &w.conn, w.session, 6, 1, WP_OP_SETATTR, buf, enc.len);
	ok(call_wait(&w, &c) && !c.err, "the request comes again,");
	call_done(&c);
	is_int(attr_of(e.attr.fid).size, 50000, "and does not truncate again");
	is_int(t_unlink(&w, root_fid, "k"), 0, "unlink");
	world_sleep(&w, 1000);
	is_int(world_objects_of(&w, e.attr.fid), 0, "objects are gone");
}

/* A storage target loses its power, and what was written and not synced. */
static void test_lost_data(void)
{
	struct rpc_conn conn;
	uint64_t session;
	struct wp_setattr_req q = { .valid = WP_SETATTR_SIZE, .size = 100, .cred = w.cred };
	struct wp_getattr_req g;
	struct wp_data_hint h;
	struct wp_entry e;
	struct wp_attr a;
	struct wp_enc enc;
	struct call c;
	uint8_t buf[64];

	is_int(t_create(&w, root_fid, "d", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	world_write(&w, &e, 0, 5000);
	h = hint_of(e.attr.fid, 5000);
	is_int(t_close(&w, e.attr.fid, 1, true, &h), 0, "close with a hint");
	world_obj(&w, e.attr.fid, 0, 0)->stat.size = 1000;
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 1, NULL), 0, "data is lost, open for writing");
	a = attr_of(e.attr.fid);
	ok(a.flags & WP_ATTR_UNSETTLED && a.size == 5000, "the size that was told is still told");
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close");
	a = attr_of(e.attr.fid);
	ok(!(a.flags & WP_ATTR_UNSETTLED) && a.size == 5000, "and is not taken back");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 1, NULL), 0, "open for writing");
	world_write(&w, &e, 5000, 4000);
	h = hint_of(e.attr.fid, 9000);
	world_obj(&w, e.attr.fid, 0, 0)->stat.size = 1000;
	g = (struct wp_getattr_req){ .fid = e.attr.fid };
	world_other_session(&w, &conn, 4712, &session);
	wp_enc_init(&enc, buf, sizeof(buf));
	wp_getattr_req_enc(&enc, &g);
	call_send(&w, &c, &conn, session, 0, 1, WP_OP_GETATTR, buf, enc.len);
	ok(call_wait(&w, &c) && !c.err, "another client sees what the objects lost,");
	call_done(&c);
	meta_target_service(w.mt)->conn_down(w.mt, &conn);
	is_int(t_close(&w, e.attr.fid, 1, true, &h), 0, "which its writer does not know:");
	is_int(attr_of(e.attr.fid).size, 5000, "its hint is not believed");
	q.fid = e.attr.fid;
	is_int(t_setattr(&w, &q, &a), 0, "truncate");
	ok(a.size == 100 && attr_of(e.attr.fid).size == 100, "makes it shorter");
	is_int(t_unlink(&w, root_fid, "d"), 0, "unlink");
	world_sleep(&w, 1000);
}

/* A writer that never comes back after a restart. */
static void test_lost_writer(void)
{
	struct wp_entry e;
	struct wp_attr a;

	is_int(t_create(&w, root_fid, "l", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	is_int(t_create(&w, root_fid, "l2", 0644, WP_OPEN_WRITE, 2, NULL), 0, "create another");
	world_write(&w, &e, 0, 777);
	is_int(t_unlink(&w, root_fid, "l2"), 0, "which becomes an orphan");
	world_kill(&w);
	ok(world_open(&w), "restart");
	w.session = 0; /* a new mount */
	w.client_id++;
	world_session(&w);
	a = attr_of(e.attr.fid);
	ok(a.flags & WP_ATTR_UNSETTLED, "in grace the writer may come back");
	is_int(t_unlink(&w, root_fid, "none"), -ENOENT, "the namespace works in grace");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_READ, 3, NULL), 0, "somebody opens it for reading");
	world_sleep(&w, 40000);
	is_int(t_close(&w, e.attr.fid, 3, false, NULL), 0, "and closes it after the writer was given up");
	a = attr_of(e.attr.fid);
	ok(a.size == 777 && !(a.flags & WP_ATTR_UNSETTLED), "after it the objects are asked");
	is_int(t_unlink(&w, root_fid, "l"), 0, "unlink");
	world_sleep(&w, 1000);
	is_int(w.n_objects, 0, "no objects are left");
}

static void test_reclaim(void)
{
	struct wp_open_ref o = { .handle = 1, .flags = WP_OPEN_WRITE };
	struct wp_session_attach_req a = { .client_id = w.client_id, .session = w.session };
	struct wp_session_attach_rep ar;
	struct wp_reclaim_req q = { .opens = &o, .opens_n = 1, .done = 1 };
	struct wp_reclaim_rep p;
	struct wp_entry e;
	uint64_t epoch = w.boot_epoch;

	is_int(t_create(&w, root_fid, "r", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	is_int(t_unlink(&w, root_fid, "r"), 0, "unlink");
	world_write(&w, &e, 0, 55);
	world_kill(&w);
	ok(world_open(&w), "restart");
	ok(!CALL(&w, session_attach, SESSION_ATTACH, &a, &ar) && ar.reclaim && ar.boot_epoch == epoch + 1, "attach asks to reclaim");
	o.fid = e.attr.fid;
	ok(!CALL(&w, reclaim, RECLAIM, &q, &p) && !p.refused, "reclaim");
	world_sleep(&w, 3000);
	ok(attr_of(e.attr.fid).flags & WP_ATTR_ORPHAN, "the orphan is still there");
	is_int(t_close(&w, e.attr.fid, 1, true, NULL), 0, "close");
	world_sleep(&w, 1000);
	is_int(t_getattr(&w, e.attr.fid, NULL), -ESTALE, "gone");
	is_int(w.n_objects, 0, "no objects are left");
}

static int append(uint64_t owner, uint8_t type, uint64_t *size, struct wp_fid fid)
{
	struct wp_lock_req q = { .fid = fid, .kind = WP_LOCK_KIND_APPEND, .type = type, .wait = 1, .owner = owner };
	struct wp_lock_rep p;
	int err = CALL(&w, lock, LOCK, &q, &p);

	*size = p.size;
	return err;
}

static void test_append(void)
{
	struct wp_lock_req q = { .kind = WP_LOCK_KIND_APPEND, .type = WP_LOCK_TYPE_WRITE, .wait = 1, .owner = 2 };
	struct wp_lock_rep p;
	struct wp_entry e;
	struct wp_enc enc;
	struct call c;
	uint8_t buf[512];
	uint64_t size;

	is_int(t_create(&w, root_fid, "a", 0644, WP_OPEN_WRITE, 1, &e), 0, "create");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_WRITE, 2, &e), 0, "open again");
	ok(!append(1, WP_LOCK_TYPE_WRITE, &size, e.attr.fid) && size == 0, "the first appends at 0");
	q.fid = e.attr.fid;
	wp_enc_init(&enc, buf, sizeof(buf));
	wp_lock_req_enc(&enc, &q);
	call_send(&w, &c, &w.conn, w.session, 0, ++w.xid, WP_OP_LOCK, buf, enc.len);
	world_sleep(&w, 10);
	ok(!c.replies, "the second waits");
	is_int(t_open(&w, e.attr.fid, WP_OPEN_READ, 8, &e), 0, "(layout)");
	world_write(&w, &e, 0, 321);
	ok(!append(1, WP_LOCK_TYPE_UNLOCK, &size, e.attr.fid), "the first is done");
	ok(call_wait(&w, &c) && !c.err && !wp_lock_rep_decode(c.reply, c.reply_len, NULL, 0, &p) && p.size == 321,
	   "the second is told the new size");
	call_done(&c);
	is_int(t_close(&w, e.attr.fid, 1, true, NULL) | t_close(&w, e.attr.fid, 2, true, NULL) | t_close(&w, e.attr.fid, 8, false, NULL),
	       0, "close");
	is_int(t_unlink(&w, root_fid, "a"), 0, "unlink");
}

static void test_eviction(void)
{
	struct rpc_conn conn;
	uint64_t session;
	struct wp_getattr_req g = { .fid = root_fid };
	struct wp_enc enc;
	struct call c;
	uint8_t buf[64];

	world_other_session(&w, &conn, 4711, &session);
	for (int i = 0; i < 80; i++) {
		world_sleep(&w, 1000);
		(void)attr_of(root_fid);
	}
	wp_enc_init(&enc, buf, sizeof(buf));
	wp_getattr_req_enc(&enc, &g);
	call_send(&w, &c, &conn, session, 0, 1, WP_OP_GETATTR, buf, enc.len);
	ok(call_wait(&w, &c) && c.err == -WEFT_ENOSESSION, "the silent session is evicted, the other one not");
	call_done(&c);
	meta_target_service(w.mt)->conn_down(w.mt, &conn);
}

int main(void)
{
	world_init(&w, 3, "journal");
	if (!world_open(&w))
		bail_out("open");
	world_session(&w);
	test_hint();
	test_two_writers();
	test_truncate();
	test_utimes();
	test_orphan();
	test_storage_down();
	test_crash_in_truncate();
	test_lost_data();
	test_lost_writer();
	test_reclaim();
	test_append();
	test_eviction();
	world_stop(&w);
	world_done(&w);
	return done_testing();
}
