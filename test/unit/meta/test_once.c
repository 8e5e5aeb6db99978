/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Exactly once, durable before acknowledged, and what a failing journal may do. */
#include "base/log.h"
#include "tap.h"
#include "world.h"

static struct world w;

static size_t mkdir_body(uint8_t *buf, size_t size, const char *name)
{
	struct wp_mkdir_req q = { .cred = cred_root(), .parent = root_fid, .name = wp_str(name), .mode = 0755 };
	struct wp_enc e;

	wp_enc_init(&e, buf, (uint32_t)size);
	wp_mkdir_req_enc(&e, &q);
	return e.len;
}

static void send_mkdir(struct call *c, const char *name, uint16_t slot, uint64_t xid)
{
	uint8_t buf[512];

	call_send(&w, c, &w.conn, w.session, slot, xid, WP_OP_MKDIR, buf, mkdir_body(buf, sizeof(buf), name));
}

static bool same_reply(const struct call *a, const struct call *b)
{
	return a->err == b->err && a->reply_len == b->reply_len && !memcmp(a->reply, b->reply, a->reply_len);
}

static void test_resend(void)
{
	struct call a, b, c;

	send_mkdir(&a, "one", 3, 10);
	ok(!a.replies, "not acknowledged before it is durable");
	send_mkdir(&b, "one", 3, 10);
	ok(call_wait(&w, &a) && call_wait(&w, &b) && !a.err && !b.err && a.replies == 1 && b.replies == 1 && same_reply(&a, &b),
	   "a resend that overtakes the reply is not executed again");
	send_mkdir(&c, "one", 3, 10);
	ok(call_wait(&w, &c) && !c.err && same_reply(&a, &c), "nor is a late one");
	call_done(&c);
	send_mkdir(&c, "two", 3, 9);
	ok(call_wait(&w, &c) && c.err == -ESTALE && t_lookup(&w, root_fid, "two", NULL) == -ENOENT, "an older one is dropped");
	call_done(&c);
	send_mkdir(&c, "one", 3, 11);
	ok(call_wait(&w, &c) && c.err == -EEXIST, "a new one is executed");
	call_done(&c);
	send_mkdir(&c, "one", 3, 11);
	ok(call_wait(&w, &c) && c.err == -EEXIST, "its error is repeated");
	call_done(&c);
	send_mkdir(&c, "one", 9999, 1);
	ok(call_wait(&w, &c) && c.err == -EINVAL, "no such slot");
	call_done(&c);
	world_kill(&w);
	ok(world_open(&w), "restart");
	world_session(&w);
	send_mkdir(&c, "one", 3, 10);
	ok(call_wait(&w, &c) && !c.err && same_reply(&a, &c), "after a restart the reply is still known");
	call_done(&a);
	call_done(&b);
	call_done(&c);
}

/* Many mutations in flight, the process dies: each is done or not, and every resend gives one truth. */
static void test_crash(unsigned steps)
{
	enum { N = 40 };
	struct call c[N];
	bool acked[N];
	char name[32];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "crash-%u-%d", steps, i);
		send_mkdir(&c[i], name, (uint16_t)(8 + i), 1000 + steps);
		world_step(&w, i ? (unsigned)i % 2 : 0);
	}
	/* An idle world would jump to its timers. */
	for (unsigned s = 0; s < steps && !c[N - 1].replies; s++)
		world_step(&w, 1);
	for (int i = 0; i < N; i++)
		acked[i] = c[i].replies && !c[i].err;
	world_kill(&w);
	for (int i = 0; i < N; i++)
		call_done(&c[i]);
	ok_quiet(world_open(&w), "restart");
	world_session(&w);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "crash-%u-%d", steps, i);
		if (acked[i])
			ok_quiet(t_lookup(&w, root_fid, name, NULL) == 0, "what was acknowledged is there");
		send_mkdir(&c[i], name, (uint16_t)(8 + i), 1000 + steps);
		ok_quiet(call_wait(&w, &c[i]) && !c[i].err, "the resend succeeds: %d", c[i].err);
		call_done(&c[i]);
	}
}

static void test_sessions(void)
{
	struct wp_session_close_req q = { .session = 0 };
	struct wp_session_close_rep p;
	struct rpc_conn stranger = { .role = WP_ROLE_CLIENT };
	struct call c;
	uint8_t buf[512];

	call_send(&w, &c, &stranger, w.session, 0, 1, WP_OP_MKDIR, buf, mkdir_body(buf, sizeof(buf), "stranger"));
	ok(call_wait(&w, &c) && c.err == -WEFT_ENOSESSION, "a connection that is not attached has no session");
	call_done(&c);
	call_send(&w, &c, &w.conn, w.session, 0, ++w.xid, 0x2ff, buf, 4);
	ok(call_wait(&w, &c) && c.err == -EOPNOTSUPP, "unknown operation");
	call_done(&c);
	call_send(&w, &c, &w.conn, w.session, 0, ++w.xid, WP_OP_MKDIR, buf, 7);
	ok(call_wait(&w, &c) && c.err == -EBADMSG, "malformed request");
	call_done(&c);
	q.session = w.session;
	is_int(CALL(&w, session_close, SESSION_CLOSE, &q, &p), 0, "close");
	is_int(t_getattr(&w, root_fid, NULL), -WEFT_ENOSESSION, "it is gone");
	w.session = 0;
	world_session(&w);
	is_int(t_getattr(&w, root_fid, NULL), 0, "a new one");
}

/* Every k-th file operation fails: nothing acknowledged is lost. */
static void test_failing_disk(int err)
{
	char name[32];
	unsigned done;

	for (unsigned k = 1; k < 60; k += 7) {
		sim_disk_fail_at(w.host, k, err);
		for (done = 0; done < 60; done++) {
			struct call c;

			snprintf(name, sizeof(name), "fail-%d-%u-%u", err, k, done);
			send_mkdir(&c, name, 1, ++w.xid + 100000);
			if (!call_wait(&w, &c))
				bail_out("no answer");
			if (c.err) {
				ok_quiet(c.err == -WEFT_ENOTREADY && w.failed == err, "told to come back: %d", c.err);
				call_done(&c);
				break;
			}
			call_done(&c);
		}
		world_kill(&w);
		sim_disk_fail_at(w.host, 0, 0);
		ok_quiet(world_open(&w), "restart");
		world_session(&w);
		for (unsigned i = 0; i < done; i++) {
			snprintf(name, sizeof(name), "fail-%d-%u-%u", err, k, i);
			ok_quiet(t_lookup(&w, root_fid, name, NULL) == 0, "%s is there", name);
		}
	}
	ok(true, "failing writes (%s) lose nothing", strerror(-err));
}

static void test_full(void)
{
	struct world f;
	char name[32];
	int err = 0, n = 0;

	world_kill(&w);
	call_done(&w.last);
	world_init(&f, 9, NULL);
	f.capacity = MIB(1);
	ok(world_open(&f), "a small device");
	world_session(&f);
	while (!err && n < 20000) {
		snprintf(name, sizeof(name), "full-%d", n);
		err = t_mkdir(&f, root_fid, name, 0755, NULL);
		n += !err;
	}
	is_int(err, -ENOSPC, "fills up");
	is_int(t_mkdir(&f, root_fid, "more", 0755, NULL), -ENOSPC, "stays full");
	is_int(t_lookup(&f, root_fid, "more", NULL), -ENOENT, "without a trace");
	while (n-- > 0) {
		snprintf(name, sizeof(name), "full-%d", n);
		if (t_rmdir(&f, root_fid, name))
			break;
		if (n % 50 == 0 && !t_mkdir(&f, root_fid, "again", 0755, NULL))
			break;
	}
	ok(n >= 0 && !t_lookup(&f, root_fid, "again", NULL), "removals make room");
	world_stop(&f);
	world_done(&f);
	sim_free(w.sim);
}

int main(void)
{
	log_setup("test", (enum log_level)0);
	world_init(&w, 5, "journal");
	if (!world_open(&w))
		bail_out("open");
	world_session(&w);
	test_resend();
	for (unsigned steps = 0; steps < 60; steps += 3)
		test_crash(steps);
	ok(true, "crashes with mutations in flight");
	test_sessions();
	test_failing_disk(-EIO);
	test_failing_disk(-ENOSPC);
	test_full();
	return done_testing();
}
