/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Random requests of several clients, many at once, with storage that stalls, sessions that vanish and restarts. Afterwards, when
 * everybody has closed and removed everything, nothing may be left: no object, no inode, no open file.
 */
#include "base/log.h"
#include "meta/meta_priv.h"
#include "tap.h"
#include "world.h"

#define CLIENTS 3
#define SLOTS 8
#define FILES 6
#define HANDLES 5

static struct world w;
static uint64_t rng_state;

struct client {
	struct rpc_conn conn;
	uint64_t session, id, xid;
	struct call calls[SLOTS];
	bool busy[SLOTS];
	bool wrote[HANDLES]; /* since some close: what close says must not be less than the truth */
};

static struct client clients[CLIENTS];
static struct wp_fid known[64]; /* fids seen in replies */
static uint64_t answers, errors;

static uint32_t draw(uint32_t n)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng_state >> 33) % n;
}

static struct wp_fid any_fid(void)
{
	static const struct wp_fid odd[] = { { 0, 0, 0 }, { 1, 2, 0 }, { 1ull << 30, 1, 0 }, { 1ull << 63, 1, 1 } };

	if (draw(40) == 0)
		return odd[draw(4)];
	return draw(6) ? known[draw(64)] : root_fid;
}

static struct wp_str any_name(void)
{
	static const char *names[FILES] = { "a", "b", "c", "d", "e", "f" };

	return wp_str(names[draw(FILES)]);
}

static uint64_t any_size(void) { return draw(4) ? draw(4 << 20) : (uint64_t)draw(3) << (20 + draw(20)); }

#define SEND(type, OP, ...)                                                                                                    \
	do {                                                                                                                   \
		struct wp_##type##_req q_ = { __VA_ARGS__ };                                                                   \
		wp_##type##_req_enc(&e, &q_);                                                                                  \
		op = WP_OP_##OP;                                                                                               \
	} while (0)

static void data_op(struct client *c, struct wp_enc *ret, uint16_t *ret_op)
{
	uint32_t handle = draw(HANDLES);
	struct wp_cred cred = draw(5) ? cred_root() : cred_user(draw(3), draw(3));
	struct wp_enc e = *ret;
	uint16_t op = 0;

	switch (draw(8)) {
	case 0:
	case 1:
		SEND(open, OPEN, .cred = cred, .fid = any_fid(), .flags = draw(256), .handle = draw(HANDLES));
		break;
	case 2:
	case 3:
		SEND(close, CLOSE, .fid = any_fid(), .handle = handle, .wrote = c->wrote[handle] || draw(2));
		break;
	case 4:
		SEND(setattr, SETATTR, .cred = cred, .fid = any_fid(), .valid = draw(1u << 13), .mode = draw(07777), .uid = draw(3),
		     .gid = draw(3), .size = any_size(), .project = draw(3), .handle = draw(HANDLES));
		break;
	case 5:
		SEND(setattr, SETATTR, .cred = cred, .fid = any_fid(), .valid = WP_SETATTR_SIZE, .size = any_size());
		break;
	case 6:
		SEND(lock, LOCK, .fid = any_fid(), .kind = (uint8_t)draw(5), .type = (uint8_t)(1 + draw(4)), .wait = (uint8_t)draw(2),
		     .owner = draw(3), .start = draw(10), .end = draw(20));
		break;
	default:
		SEND(lock_release_owner, LOCK_RELEASE_OWNER, .fid = any_fid(), .kind = (uint8_t)draw(5), .owner = draw(3));
		break;
	}
	*ret = e;
	*ret_op = op;
}

static void name_op(struct wp_enc *ret, uint16_t *ret_op)
{
	struct wp_cred cred = draw(5) ? cred_root() : cred_user(draw(3), draw(3));
	struct wp_enc e = *ret;
	uint16_t op = 0;

	switch (draw(10)) {
	case 0:
	case 1:
		SEND(create, CREATE, .cred = cred, .parent = any_fid(), .name = any_name(), .mode = draw(07777), .flags = draw(256),
		     .handle = draw(HANDLES));
		break;
	case 2:
		SEND(mkdir, MKDIR, .cred = cred, .parent = any_fid(), .name = any_name(), .mode = 0777);
		break;
	case 3:
		SEND(unlink, UNLINK, .cred = cred, .parent = any_fid(), .name = any_name());
		break;
	case 4:
		SEND(rename, RENAME, .cred = cred, .parent = any_fid(), .name = any_name(), .new_parent = any_fid(),
		     .new_name = any_name(), .flags = draw(8) ? 0 : draw(4));
		break;
	case 5:
		SEND(link, LINK, .cred = cred, .fid = any_fid(), .parent = any_fid(), .name = any_name());
		break;
	case 6:
		SEND(rmdir, RMDIR, .cred = cred, .parent = any_fid(), .name = any_name());
		break;
	case 7:
		SEND(setxattr, SETXATTR, .cred = cred, .fid = any_fid(), .name = wp_str("user.x"), .value = wp_bytes((const uint8_t *)"v", 1));
		break;
	case 8:
		SEND(readdir, READDIR, .cred = cred, .dir = any_fid(), .cookie = draw(2) ? 0 : draw(1u << 30), .max_bytes = draw(5000),
		     .flags = draw(2));
		break;
	default:
		SEND(lookup, LOOKUP, .cred = cred, .parent = any_fid(), .name = any_name());
		break;
	}
	*ret = e;
	*ret_op = op;
}

/* Clients write while they have the file open; those that are evicted are kept from it by means that are not tested here. */
static void maybe_write(struct client *c, const struct wp_entry *e, uint64_t handle)
{
	struct session *ses = session_find(w.mt, c->session);
	struct handle *h = ses ? handle_find(ses, handle) : NULL;
	struct arena a = { 0 };
	struct osd_slice v;
	struct inode i;
	struct key k;

	if (!h || h->m->ino != wp_fid_to_ino(&e->attr.fid) || !(h->flags & WP_OPEN_WRITE) || !(e->has & WP_ENTRY_HAS_LAYOUT))
		return;
	key_inode(&k, &e->attr.fid);
	if (!osd_get(w.dev, key_slice(&k), &v) && !ino_decode(&a, v, &i) && i.flags & INO_WRITING) {
		world_write(&w, e, draw(3 << 20), 1 + draw(100000));
		c->wrote[handle] = true;
	}
	arena_done(&a);
}

/* fids begin the attributes, which begin the entry of most replies. */
static void learn(struct client *from, const struct call *c)
{
	struct wp_fid fid;
	struct wp_dec d;

	answers++;
	errors += c->err != 0;
	if (c->err || c->reply_len < 128 || (c->req.hdr.opcode != WP_OP_CREATE && c->req.hdr.opcode != WP_OP_MKDIR &&
					     c->req.hdr.opcode != WP_OP_LOOKUP && c->req.hdr.opcode != WP_OP_OPEN))
		return;
	wp_dec_init(&d, c->reply, c->reply_len, NULL, 0);
	if (!wp_fid_dec(&d, &fid))
		known[draw(64)] = fid;
	if (c->req.hdr.opcode == WP_OP_CREATE || c->req.hdr.opcode == WP_OP_OPEN) {
		static uint8_t scratch[65536], scratch2[4096];
		struct wp_create_req cq;
		struct wp_open_req oq;
		struct wp_open_rep p;
		struct wp_create_rep q;

		if (c->req.hdr.opcode == WP_OP_OPEN && !wp_open_rep_decode(c->reply, c->reply_len, scratch, sizeof(scratch), &p) &&
		    !wp_open_req_decode(c->body, c->req.hdr.body_len, scratch2, sizeof(scratch2), &oq))
			maybe_write(from, &p.entry, oq.handle);
		if (c->req.hdr.opcode == WP_OP_CREATE && !wp_create_rep_decode(c->reply, c->reply_len, scratch, sizeof(scratch), &q) &&
		    !wp_create_req_decode(c->body, c->req.hdr.body_len, scratch2, sizeof(scratch2), &cq))
			maybe_write(from, &q.entry, cq.handle);
	}
}

static void collect(struct client *c)
{
	for (int s = 0; s < SLOTS; s++)
		if (c->busy[s] && c->calls[s].replies) {
			ok_quiet(c->calls[s].replies == 1, "answered once");
			learn(c, &c->calls[s]);
			call_done(&c->calls[s]);
			c->busy[s] = false;
		}
}

static void act(struct client *c)
{
	uint16_t slot = (uint16_t)draw(SLOTS), op;
	struct wp_enc e;
	uint8_t buf[2048];

	collect(c);
	if (c->busy[slot])
		return;
	wp_enc_init(&e, buf, sizeof(buf));
	if (draw(2))
		data_op(c, &e, &op);
	else
		name_op(&e, &op);
	c->busy[slot] = true;
	call_send(&w, &c->calls[slot], &c->conn, c->session, slot, ++c->xid, op, buf, e.len);
}

static void client_start(struct client *c, uint64_t id)
{
	c->id = id;
	world_other_session(&w, &c->conn, id, &c->session);
}

/* The client dies; its calls are answered to nobody. */
static void client_lost(struct client *c)
{
	struct rpc_service *svc = meta_target_service(w.mt);

	svc->conn_down(svc->ctx, &c->conn);
	/* A new mount of the same machine ends the old session. */
	client_start(c, c->id);
	world_sleep(&w, 20);
	for (int s = 0; s < SLOTS; s++)
		if (c->busy[s]) {
			ok_quiet(call_wait(&w, &c->calls[s]), "everything is answered when the session ends");
			call_done(&c->calls[s]);
			c->busy[s] = false;
		}
}

static void restart(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct rpc_service *svc = meta_target_service(w.mt);

		svc->conn_down(svc->ctx, &clients[i].conn);
	}
	world_kill(&w);
	for (int i = 0; i < CLIENTS; i++)
		for (int s = 0; s < SLOTS; s++)
			if (clients[i].busy[s]) {
				call_done(&clients[i].calls[s]);
				clients[i].busy[s] = false;
			}
	w.hold_storage = false;
	if (!world_open(&w))
		bail_out("restart");
	for (int i = 0; i < CLIENTS; i++)
		client_start(&clients[i], clients[i].id);
	w.session = 0;
	world_session(&w);
}

static void remove_all(struct wp_fid dir)
{
	static char names[40][FILES + 2][256];
	static int depth;
	int n = t_readdir(&w, dir, 4096, names[depth], FILES + 2);

	for (int i = 0; i < n; i++) {
		struct wp_attr a;

		if (t_lookup(&w, dir, names[depth][i], &a))
			continue;
		if (S_ISDIR(a.mode) && depth < 39) {
			depth++;
			remove_all(a.fid);
			depth--;
			(void)t_rmdir(&w, dir, names[depth][i]); /* too deep for one pass: the next one */
		} else if (!S_ISDIR(a.mode)) {
			int err = t_unlink(&w, dir, names[depth][i]);

			ok_quiet(!err, "unlink: %d", err);
		}
	}
}

static void check_nothing_left(uint64_t seed)
{
	struct wp_usage_get_req q = { .kind = 0 };
	struct wp_usage_get_rep p = { 0 };
	uint64_t inodes = 0, bytes = 0;

	for (int i = 0; i < CLIENTS; i++)
		client_lost(&clients[i]);
	for (int i = 0; i < CLIENTS; i++) {
		struct rpc_service *svc = meta_target_service(w.mt);

		svc->conn_down(svc->ctx, &clients[i].conn);
	}
	for (int i = 0; i < 50; i++) {
		struct wp_attr a;

		world_sleep(&w, 1000);
		(void)t_getattr(&w, root_fid, &a); /* keeps the session */
	}
	for (int i = 0; i < 20; i++)
		remove_all(root_fid);
	world_sleep(&w, 5000);
	ok_quiet(!CALL(&w, usage_get, USAGE_GET, &q, &p), "usage");
	for (uint32_t i = 0; i < p.rows_n; i++) {
		inodes += p.rows[i].inodes;
		bytes += p.rows[i].bytes;
	}
	for (uint32_t i = 0; i < w.n_objects; i++)
		printf("# left: %llx component %u stripe %u size %llu version %llu\n",
		       (unsigned long long)wp_fid_to_ino(&w.objects[i].id.fid), w.objects[i].id.component, w.objects[i].id.stripe,
		       (unsigned long long)w.objects[i].stat.size, (unsigned long long)w.objects[i].stat.version);
	ok(inodes == 1 && bytes == 0 && w.n_objects == 0, "seed %llu: nothing is left: %llu inodes, %llu bytes, %u objects (%llu answers, %llu errors)",
	   (unsigned long long)seed, (unsigned long long)inodes, (unsigned long long)bytes, w.n_objects, (unsigned long long)answers,
	   (unsigned long long)errors);
}

static void run(uint64_t seed)
{
	rng_state = seed * 7919;
	answers = errors = 0;
	memset(clients, 0, sizeof(clients));
	for (int i = 0; i < 64; i++)
		known[i] = root_fid;
	world_init(&w, seed, "journal");
	w.client_id = 1000;
	if (!world_open(&w))
		bail_out("open");
	world_session(&w);
	for (int i = 0; i < CLIENTS; i++)
		client_start(&clients[i], 1 + (uint64_t)i);
	for (unsigned i = 0; i < 4000; i++) {
		act(&clients[draw(CLIENTS)]);
		if (draw(3) == 0)
			sim_run_for(w.sim, 1000 + draw(300000)); /* steps of an idle world would jump to its timers */
		if (draw(200) == 0) {
			w.hold_storage = true;
		} else if (draw(50) == 0) {
			world_release_storage(&w);
		}
		if (draw(1500) == 0) {
			world_release_storage(&w);
			client_lost(&clients[draw(CLIENTS)]);
		}
		if (draw(1200) == 0)
			restart();
	}
	world_release_storage(&w);
	check_nothing_left(seed);
	world_stop(&w);
	world_done(&w);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, n = argc > 2 ? strtoull(argv[2], NULL, 0) : 10;

	log_setup("test", (enum log_level)0);
	for (uint64_t s = seed; s < seed + n; s++)
		run(s);
	return done_testing();
}
