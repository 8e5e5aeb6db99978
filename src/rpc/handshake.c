/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "rpc/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* The terminating zeros belong to the labels. */
static const char label_server[] = "weft-server";
static const char label_client[] = "weft-client";

#define FEATURES WP_FEATURE_BASE /* offered */
#define FEATURES_NEEDED WP_FEATURE_BASE

static int refuse(char *why, int err, const char *fmt, ...) printf_like(3, 4);

static int refuse(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, HS_WHY_MAX, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- proofs -------------------------------------------------------------------------------------------------------------- */

static void transcript(const struct hs *hs, const char *label, size_t label_len, uint8_t *out, size_t *ret_len)
{
	uint32_t tail = hs->mac_off + WP_MAC_SIZE;
	uint8_t *p = out;

	weft_assert(tail <= hs->rep_len);
	memcpy(p, label, label_len);
	p += label_len;
	wp_put_le32(p, hs->req_len);
	p += 4;
	memcpy(p, hs->req, hs->req_len);
	p += hs->req_len;
	memcpy(p, hs->rep, hs->mac_off);
	p += hs->mac_off;
	memcpy(p, hs->rep + tail, hs->rep_len - tail);
	p += hs->rep_len - tail;
	*ret_len = (size_t)(p - out);
}

/* False: no secret for that role is configured, or libcrypto fails. */
static bool prove(const struct hs *hs, const struct rpc_identity *id, uint16_t role, const char *label, size_t label_len,
		  uint8_t mac[WP_MAC_SIZE])
{
	bool client = role == WP_ROLE_CLIENT;
	const uint8_t *key = client ? id->secret : id->server_secret;
	size_t key_len = client ? id->secret_len : id->server_secret_len, len, out_len = 0;
	uint8_t bytes[sizeof(label_server) + 4 + 2 * HS_BODY_MAX];

	if (!key_len || key_len > RPC_SECRET_MAX)
		return false;
	transcript(hs, label, label_len, bytes, &len);
	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, bytes, len, mac, WP_MAC_SIZE, &out_len) != NULL &&
	       out_len == WP_MAC_SIZE;
}

static bool prove_server(const struct hs *hs, const struct rpc_identity *id, uint16_t role, uint8_t mac[WP_MAC_SIZE])
{
	return prove(hs, id, role, label_server, sizeof(label_server), mac);
}

static bool prove_client(const struct hs *hs, const struct rpc_identity *id, uint16_t role, uint8_t mac[WP_MAC_SIZE])
{
	return prove(hs, id, role, label_client, sizeof(label_client), mac);
}

static int no_secret(char *why, uint16_t role)
{
	return refuse(why, -WEFT_EAUTH, "no secret for role %s is configured here", wp_role_name(role));
}

/* ---- client -------------------------------------------------------------------------------------------------------------- */

void hs_client_hello(struct hs *hs, const struct rpc_identity *id, uint16_t service, uint32_t target, struct env *env)
{
	uint8_t nonce[HS_NONCE];
	struct wp_hello_req m = {
		.magic = WP_MAGIC,
		.proto_min = WP_PROTO_MIN,
		.proto_max = WP_PROTO_VERSION,
		.role = id->role,
		.service = service,
		.target = target,
		.features = FEATURES,
		.cluster = id->cluster,
		.sender = id->uuid,
		.client_id = id->client_id,
		.auth = id->auth,
		.name = wp_str(id->name),
		.nonce = wp_bytes(nonce, HS_NONCE),
	};
	struct wp_enc e;

	env_random(env, nonce, sizeof(nonce));
	wp_enc_init(&e, hs->req, sizeof(hs->req));
	wp_hello_req_enc(&e, &m);
	weft_assert(!e.err);
	hs->req_len = e.len;
	hs->rep_len = 0;
}

static int clusters_match(const struct wp_uuid *mine, const struct wp_uuid *theirs, char *why)
{
	if (wp_uuid_is_zero(mine) || wp_uuid_is_zero(theirs) || wp_uuid_eq(mine, theirs))
		return 0;
	return refuse(why, -WEFT_EFOREIGN, "it belongs to another cluster");
}

static int auths_match(uint8_t mine, uint8_t theirs, char *why)
{
	if (mine == theirs)
		return 0;
	return refuse(why, -WEFT_EAUTH, "authentication is \"%s\" there and \"%s\" here", wp_auth_name(theirs),
		      wp_auth_name(mine));
}

int hs_client_check(struct hs *hs, const struct rpc_identity *id, const void *body, size_t len, uint8_t *mac,
		    uint64_t *ret_epoch, char *why)
{
	struct wp_hello_rep m;
	uint8_t want[WP_MAC_SIZE];
	int err;

	if (len > sizeof(hs->rep))
		return refuse(why, -EBADMSG, "hello reply is too long");
	memcpy(hs->rep, body, len);
	hs->rep_len = (uint32_t)len;
	if (wp_hello_rep_decode(hs->rep, len, NULL, 0, &m) < 0 || m.nonce.len != HS_NONCE || m.mac.len != WP_MAC_SIZE)
		return refuse(why, -EBADMSG, "malformed hello reply");
	hs->mac_off = (uint32_t)(m.mac.p - hs->rep);
	if (m.proto < WP_PROTO_MIN || m.proto > WP_PROTO_VERSION)
		return refuse(why, -EPROTO, "it speaks protocol revision %u, this side %u to %u", m.proto, WP_PROTO_MIN,
			      WP_PROTO_VERSION);
	err = auths_match(id->auth, m.auth, why);
	if (err)
		return err;
	if (id->auth == WP_AUTH_HMAC) {
		if (!prove_server(hs, id, id->role, want))
			return no_secret(why, id->role);
		if (CRYPTO_memcmp(want, m.mac.p, WP_MAC_SIZE) != 0)
			return refuse(why, -WEFT_EAUTH, "its proof is wrong: the secrets differ");
		if (!prove_client(hs, id, id->role, mac))
			return no_secret(why, id->role);
	} else {
		memset(mac, 0, WP_MAC_SIZE);
	}
	if ((m.features & FEATURES_NEEDED) != FEATURES_NEEDED || (m.features & ~FEATURES))
		return refuse(why, -EPROTO, "features %#llx do not suit", (unsigned long long)m.features);
	*ret_epoch = m.boot_epoch;
	return clusters_match(&id->cluster, &m.cluster, why);
}

/* ---- server -------------------------------------------------------------------------------------------------------------- */

int hs_server_parse(const void *body, size_t len, struct hs_hello *ret, char *why)
{
	struct wp_hello_req m;

	if (len > HS_BODY_MAX || wp_hello_req_decode(body, len, NULL, 0, &m) < 0 || m.magic != WP_MAGIC ||
	    m.nonce.len != HS_NONCE)
		return refuse(why, -EBADMSG, "malformed hello");
	if (m.proto_max < WP_PROTO_MIN || m.proto_min > WP_PROTO_VERSION || m.proto_min > m.proto_max)
		return refuse(why, -EPROTO, "it speaks protocol revisions %u to %u, this side %u to %u", m.proto_min,
			      m.proto_max, WP_PROTO_MIN, WP_PROTO_VERSION);
	if ((m.features & FEATURES_NEEDED) != FEATURES_NEEDED)
		return refuse(why, -EPROTO, "it lacks features %#llx", (unsigned long long)(FEATURES_NEEDED & ~m.features));
	if (m.role < WP_ROLE_CLIENT || m.role > WP_ROLE_ADMIN)
		return refuse(why, -EPROTO, "role %u is unknown", m.role);
	*ret = (struct hs_hello){ .role = m.role, .service = m.service, .target = m.target, .client_id = m.client_id,
				  .sender = m.sender, .name = m.name };
	return 0;
}

int hs_server_hello(struct hs *hs, const struct rpc_identity *id, uint64_t boot_epoch, const void *body, size_t len,
		    struct env *env, char *why)
{
	uint8_t nonce[HS_NONCE], mac[WP_MAC_SIZE] = { 0 };
	struct wp_hello_rep rep = { 0 };
	struct wp_hello_req m;
	struct wp_enc e;
	int err;

	weft_assert(len <= HS_BODY_MAX);
	memcpy(hs->req, body, len);
	hs->req_len = (uint32_t)len;
	if (wp_hello_req_decode(hs->req, len, NULL, 0, &m) < 0)
		return refuse(why, -EBADMSG, "malformed hello");
	err = auths_match(id->auth, m.auth, why);
	if (!err)
		err = clusters_match(&id->cluster, &m.cluster, why);
	if (err)
		return err;
	env_random(env, nonce, sizeof(nonce));
	rep.proto = MIN(m.proto_max, WP_PROTO_VERSION);
	rep.role = id->role;
	rep.features = m.features & FEATURES;
	rep.cluster = id->cluster;
	rep.boot_epoch = boot_epoch;
	rep.auth = id->auth;
	rep.nonce = wp_bytes(nonce, HS_NONCE);
	rep.mac = wp_bytes(mac, WP_MAC_SIZE);
	wp_enc_init(&e, hs->rep, sizeof(hs->rep));
	wp_hello_rep_enc(&e, &rep);
	weft_assert(!e.err);
	hs->rep_len = e.len;
	weft_assert(wp_hello_rep_decode(hs->rep, hs->rep_len, NULL, 0, &rep) == 0);
	hs->mac_off = (uint32_t)(rep.mac.p - hs->rep);
	if (id->auth != WP_AUTH_HMAC)
		return 0;
	if (!prove_server(hs, id, m.role, mac))
		return no_secret(why, m.role);
	memcpy(hs->rep + hs->mac_off, mac, WP_MAC_SIZE);
	return 0;
}

int hs_server_check(const struct hs *hs, const struct rpc_identity *id, const void *body, size_t len, char *why)
{
	struct wp_hello_req hello;
	uint8_t want[WP_MAC_SIZE];
	struct wp_auth_req m;

	if (wp_auth_req_decode(body, len, NULL, 0, &m) < 0 || m.mac.len != WP_MAC_SIZE)
		return refuse(why, -EBADMSG, "malformed proof");
	if (id->auth != WP_AUTH_HMAC)
		return 0;
	if (wp_hello_req_decode(hs->req, hs->req_len, NULL, 0, &hello) < 0)
		return refuse(why, -EBADMSG, "malformed hello");
	if (!prove_client(hs, id, hello.role, want))
		return no_secret(why, hello.role);
	if (CRYPTO_memcmp(want, m.mac.p, WP_MAC_SIZE) != 0)
		return refuse(why, -WEFT_EAUTH, "its proof is wrong: the secrets differ");
	return 0;
}
