/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "raw.h"

#include "net/frame.h"

struct raw_out {
	struct env_send s;
	struct raw *r;
	uint8_t p[];
};

static void connected(void *arg, int err)
{
	struct raw *r = arg;

	r->up = !err;
	r->closed = err != 0;
}

static size_t space(void *arg, void **p)
{
	struct raw *r = arg;

	*p = r->space;
	return sizeof(r->space);
}

static void received(void *arg, size_t n)
{
	struct raw *r = arg;

	buf_add(&r->in, r->space, n);
}

static void closed(void *arg, int err)
{
	struct raw *r = arg;

	r->closed = true;
	r->c = NULL;
}

static const struct env_conn_handler handler = {
	.connected = connected, .recv_space = space, .received = received, .closed = closed,
};

void raw_connect(struct raw *r, struct env *env, const char *addr)
{
	*r = (struct raw){ .env = env };
	weft_assert(env->ops->connect(env, addr, &handler, r, &r->c) == 0);
}

static void accepted(void *arg, struct env_conn *c)
{
	struct raw *r = arg;

	if (r->up) {
		r->env->ops->conn_close(c);
		return;
	}
	r->c = c;
	r->up = true;
	r->env->ops->conn_start(r->env, c, &handler, r);
}

void raw_listen(struct raw *r, struct env *env, const char *addr)
{
	*r = (struct raw){ .env = env };
	weft_assert(env->ops->listen(env, addr, accepted, r, &r->l) == 0);
}

static void sent(struct env_send *s, int err)
{
	struct raw_out *o = s->arg;

	o->r->sends--;
	free(o);
}

void raw_send(struct raw *r, const void *p, size_t n)
{
	struct raw_out *o;

	if (!r->c || r->closed || !n)
		return;
	o = xcalloc(1, sizeof(*o) + n);
	o->r = r;
	memcpy(o->p, p, n);
	o->s = (struct env_send){ .iov = { { o->p, n } }, .iov_n = 1, .done = sent, .arg = o };
	r->sends++;
	r->env->ops->conn_send(r->c, &o->s);
}

void raw_frame(struct raw *r, struct wp_hdr *h, const void *body, const void *bulk)
{
	static const uint8_t zeros[8];
	uint8_t head[WP_HDR_SIZE];

	net_frame_seal(head, h, body);
	raw_send(r, head, sizeof(head));
	raw_send(r, body, h->body_len);
	raw_send(r, zeros, net_frame_pad(h->body_len));
	raw_send(r, bulk, h->bulk_len);
}

void raw_hello(struct raw *r, uint16_t service, uint32_t target)
{
	static const uint8_t nonce[32];
	struct wp_hello_req m = { .magic = WP_MAGIC, .proto_min = 1, .proto_max = 1, .role = WP_ROLE_CLIENT, .service = service,
				  .target = target, .features = WP_FEATURE_BASE, .auth = WP_AUTH_NONE, .name = wp_str("raw"),
				  .nonce = wp_bytes(nonce, 32) };
	struct wp_hdr h = { .opcode = WP_OP_HELLO };
	uint8_t body[300];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	wp_hello_req_enc(&e, &m);
	h.body_len = e.len;
	raw_frame(r, &h, body, NULL);
}

void raw_auth(struct raw *r)
{
	static const uint8_t mac[32];
	struct wp_auth_req m = { .mac = wp_bytes(mac, 32) };
	struct wp_hdr h = { .opcode = WP_OP_AUTH };
	uint8_t body[100];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	wp_auth_req_enc(&e, &m);
	h.body_len = e.len;
	raw_frame(r, &h, body, NULL);
}

void raw_hello_reply(struct raw *r)
{
	static const uint8_t zeros[32];
	struct wp_hello_rep m = { .proto = 1, .role = WP_ROLE_META, .features = WP_FEATURE_BASE, .auth = WP_AUTH_NONE,
				  .nonce = wp_bytes(zeros, 32), .mac = wp_bytes(zeros, 32) };
	struct wp_hdr h = { .opcode = WP_OP_HELLO, .flags = WP_HDR_REPLY };
	uint8_t body[300];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	wp_hello_rep_enc(&e, &m);
	h.body_len = e.len;
	raw_frame(r, &h, body, NULL);
}

void raw_auth_reply(struct raw *r)
{
	struct wp_auth_rep m = { 0 };
	struct wp_hdr h = { .opcode = WP_OP_AUTH, .flags = WP_HDR_REPLY };
	uint8_t body[100];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	wp_auth_rep_enc(&e, &m);
	h.body_len = e.len;
	raw_frame(r, &h, body, NULL);
}

void raw_close(struct raw *r)
{
	if (r->c && !r->closed)
		r->env->ops->conn_close(r->c);
	if (r->l)
		r->env->ops->listener_close(r->l);
	r->c = NULL;
	r->l = NULL;
	r->closed = true;
	buf_done(&r->in);
}
