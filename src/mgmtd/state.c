/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Entities in memory and in the index.
 *
 * Keys: "c"; "n" id; "t" service id; "p" id, numbers big-endian. Values begin with a byte that is their version. Clients are in
 * memory only: they vanish anyway.
 */
#include "base/log.h"
#include "mgmtd/mgmtd_priv.h"

#define RECORD_VERSION 1u
#define NODE_RECORD_MAX (2048u + WP_ADDRS_MAX * (WP_ADDR_LEN_MAX + 4))
#define RECORD_MAX 512u

/* ---- look-ups ------------------------------------------------------------------------------------------------------------------ */

static uint64_t hash_uuid(const struct wp_uuid *u) { return hash_bytes(u->b, sizeof(u->b), 0); }
static uint64_t hash_target(uint16_t service, uint32_t id) { return hash_u64((uint64_t)service << 32 | id); }

struct mnode *mg_node_by_id(struct mgmtd *m, uint32_t id)
{
	struct htab_node *n;

	htab_each_match(n, &m->nodes_by_id, hash_u64(id))
		if (container_of(n, struct mnode, by_id)->id == id)
			return container_of(n, struct mnode, by_id);
	return NULL;
}

struct mnode *mg_node_by_uuid(struct mgmtd *m, const struct wp_uuid *uuid)
{
	struct htab_node *n;

	htab_each_match(n, &m->nodes_by_uuid, hash_uuid(uuid))
		if (wp_uuid_eq(&container_of(n, struct mnode, by_uuid)->uuid, uuid))
			return container_of(n, struct mnode, by_uuid);
	return NULL;
}

struct mtarget *mg_target_by_id(struct mgmtd *m, uint16_t service, uint32_t id)
{
	struct htab_node *n;

	htab_each_match(n, &m->targets_by_id, hash_target(service, id)) {
		struct mtarget *t = container_of(n, struct mtarget, by_id);

		if (t->service == service && t->id == id)
			return t;
	}
	return NULL;
}

struct mtarget *mg_target_by_uuid(struct mgmtd *m, uint16_t service, const struct wp_uuid *uuid)
{
	struct htab_node *n;

	htab_each_match(n, &m->targets_by_uuid, hash_uuid(uuid)) {
		struct mtarget *t = container_of(n, struct mtarget, by_uuid);

		if (t->service == service && wp_uuid_eq(&t->uuid, uuid))
			return t;
	}
	return NULL;
}

struct mpool *mg_pool_by_id(struct mgmtd *m, uint32_t id)
{
	struct mpool *p;

	list_each (p, &m->pools, link)
		if (p->id == id)
			return p;
	return NULL;
}

static bool is(const char *a, struct wp_str s) { return wp_str_eq(wp_str(a), s); }

struct mpool *mg_pool_by_alias(struct mgmtd *m, struct wp_str alias)
{
	struct mpool *p;

	list_each (p, &m->pools, link)
		if (is(p->alias, alias))
			return p;
	return NULL;
}

/* ---- making ------------------------------------------------------------------------------------------------------------------- */

struct mnode *mg_node_new(struct mgmtd *m, uint32_t id, const struct wp_uuid *uuid)
{
	struct mnode *n = NEW(struct mnode);

	n->id = id;
	n->uuid = *uuid;
	htab_add(&m->nodes_by_id, &n->by_id, hash_u64(id));
	htab_add(&m->nodes_by_uuid, &n->by_uuid, hash_uuid(uuid));
	list_append(&m->nodes, &n->link);
	m->counters[MGMTD_C_NODES]++;
	return n;
}

struct mtarget *mg_target_new(struct mgmtd *m, uint16_t service, uint32_t id, const struct wp_uuid *uuid)
{
	struct mtarget *t = NEW(struct mtarget);

	t->service = service;
	t->id = id;
	t->uuid = *uuid;
	t->state = WP_TARGET_STATE_OFFLINE;
	t->capacity = WP_CAPACITY_NORMAL;
	t->pool = service == WP_SERVICE_STORAGE ? POOL_DEFAULT_ID : 0;
	htab_add(&m->targets_by_uuid, &t->by_uuid, hash_uuid(uuid));
	htab_add(&m->targets_by_id, &t->by_id, hash_target(service, id));
	list_append(&m->targets, &t->link);
	m->counters[MGMTD_C_TARGETS]++;
	return t;
}

struct mpool *mg_pool_new(struct mgmtd *m, uint32_t id, const char *alias)
{
	struct mpool *p = NEW(struct mpool);

	p->id = id;
	(void)str_copy(p->alias, sizeof(p->alias), alias);
	list_append(&m->pools, &p->link);
	return p;
}

void mg_node_set_addrs(struct mnode *n, const struct wp_addr *addrs, unsigned n_addrs)
{
	for (unsigned i = 0; i < n->addrs_n; i++)
		free(n->addrs[i]);
	n->addrs_n = MIN(n_addrs, WP_ADDRS_MAX);
	for (unsigned i = 0; i < n->addrs_n; i++) {
		n->addrs[i] = xmalloc(addrs[i].text.len + 1);
		if (wp_str_copy(n->addrs[i], addrs[i].text.len + 1, addrs[i].text) < 0)
			n->addrs[i][0] = '\0';
	}
}

static void node_free(struct mgmtd *m, struct mnode *n)
{
	htab_del(&m->nodes_by_id, &n->by_id);
	htab_del(&m->nodes_by_uuid, &n->by_uuid);
	list_del(&n->link);
	mg_node_set_addrs(n, NULL, 0);
	free(n->path);
	free(n);
	m->counters[MGMTD_C_NODES]--;
}

static void target_free(struct mgmtd *m, struct mtarget *t)
{
	htab_del(&m->targets_by_uuid, &t->by_uuid);
	htab_del(&m->targets_by_id, &t->by_id);
	list_del(&t->link);
	free(t);
	m->counters[MGMTD_C_TARGETS]--;
}

void mg_state_free(struct mgmtd *m)
{
	struct mpool *p;

	while (!list_empty(&m->nodes))
		node_free(m, list_first(&m->nodes, struct mnode, link));
	while (!list_empty(&m->targets))
		target_free(m, list_first(&m->targets, struct mtarget, link));
	while ((p = list_pop(&m->pools, struct mpool, link)) != NULL)
		free(p);
	htab_done(&m->nodes_by_id);
	htab_done(&m->nodes_by_uuid);
	htab_done(&m->targets_by_id);
	htab_done(&m->targets_by_uuid);
}

/* ---- aliases ------------------------------------------------------------------------------------------------------------------- */

bool mg_alias_is_valid(struct wp_str s)
{
	bool only_digits = true;

	if (!s.len || s.len > WP_ALIAS_MAX)
		return false;
	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool digit = c >= '0' && c <= '9';
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!digit && !letter && (!i || (c != '.' && c != '_' && c != '-')))
			return false;
		only_digits &= digit;
	}
	return !only_digits;
}

void mg_alias_set(char dst[WP_ALIAS_MAX + 1], struct wp_str s)
{
	weft_assert(s.len <= WP_ALIAS_MAX); /* decoded with that limit */
	if (s.len)
		memcpy(dst, s.p, s.len);
	dst[s.len] = '\0';
}

bool mg_alias_is_taken(struct mgmtd *m, uint8_t entity, struct wp_str s, const void *except)
{
	uint16_t service = entity == WP_ENTITY_TARGET_META ? WP_SERVICE_META : WP_SERVICE_STORAGE;
	struct mtarget *t;
	struct mpool *p;
	struct mnode *n;

	if (entity == WP_ENTITY_NODE) {
		list_each (n, &m->nodes, link)
			if (n != except && is(n->alias, s))
				return true;
	} else if (entity == WP_ENTITY_POOL) {
		p = mg_pool_by_alias(m, s);
		return p && p != except;
	} else {
		list_each (t, &m->targets, link)
			if (t != except && t->service == service && is(t->alias, s))
				return true;
	}
	return false;
}

/* ---- records ------------------------------------------------------------------------------------------------------------------- */

struct key {
	uint8_t b[8];
	size_t len;
};

static void key_u32(struct key *k, uint32_t v)
{
	for (int i = 3; i >= 0; i--)
		k->b[k->len++] = (uint8_t)(v >> (8 * i));
}

static struct key key_of(char prefix, uint32_t id)
{
	struct key k = { .b = { (uint8_t)prefix }, .len = 1 };

	key_u32(&k, id);
	return k;
}

static struct key key_of_target(uint16_t service, uint32_t id)
{
	struct key k = { .b = { 't', (uint8_t)service }, .len = 2 };

	key_u32(&k, id);
	return k;
}

static void put(struct osd_txn *txn, const struct key *k, const struct wp_enc *e)
{
	weft_assert(!e->err); /* texts are bounded when they are taken in */
	osd_txn_put(txn, osd_slice(k->b, k->len), osd_slice(e->p, e->len));
}

static void del(struct mgmtd *m, const struct key *k) { osd_txn_del(&m->next.txn, osd_slice(k->b, k->len)); }

void mg_state_save_cluster(struct mgmtd *m, struct osd_txn *txn)
{
	struct key k = { .b = { 'c' }, .len = 1 };
	uint8_t buf[RECORD_MAX];
	struct wp_enc e;

	wp_enc_init(&e, buf, sizeof(buf));
	wp_enc_u8(&e, RECORD_VERSION);
	wp_enc_uuid(&e, &m->cluster);
	wp_enc_raw(&e, m->key, sizeof(m->key));
	wp_enc_u32(&e, m->version);
	wp_enc_u32(&e, m->next_node);
	wp_enc_u32(&e, m->next_pool);
	wp_enc_u32(&e, m->next_meta);
	wp_enc_u32(&e, m->next_storage);
	wp_enc_u8(&e, m->locked);
	put(txn, &k, &e);
	explicit_bzero(buf, sizeof(buf));
}

void mg_node_to_wire(const struct mnode *n, struct wp_node_info *ret, struct wp_addr *addrs)
{
	for (unsigned i = 0; i < n->addrs_n; i++)
		addrs[i].text = wp_str(n->addrs[i]);
	*ret = (struct wp_node_info){
		.id = n->id, .role = n->role, .state = n->state, .uuid = n->uuid, .alias = wp_str(n->alias), .pid = n->pid,
		.version = wp_str(n->version), .host = wp_str(n->host), .domain = wp_str(n->domain), .addrs = addrs,
		.addrs_n = n->addrs_n,
	};
}

void mg_target_to_wire(struct mgmtd *m, const struct mtarget *t, struct wp_target_info *ret)
{
	const struct mpool *p = t->pool ? mg_pool_by_id(m, t->pool) : NULL;

	*ret = (struct wp_target_info){
		.id = t->id, .service = t->service, .state = t->state, .capacity = t->capacity, .node = t->node, .uuid = t->uuid,
		.alias = wp_str(t->alias), .pool = wp_str(p ? p->alias : ""),
	};
}

void mg_state_save_node(struct mgmtd *m, const struct mnode *n)
{
	struct wp_addr addrs[WP_ADDRS_MAX];
	struct key k = key_of('n', n->id);
	uint8_t buf[NODE_RECORD_MAX];
	struct wp_node_info info;
	struct wp_enc e;

	if (n->role == WP_ROLE_CLIENT)
		return;
	mg_node_to_wire(n, &info, addrs);
	wp_enc_init(&e, buf, sizeof(buf));
	wp_enc_u8(&e, RECORD_VERSION);
	wp_node_info_enc(&e, &info);
	put(&m->next.txn, &k, &e);
}

void mg_state_save_target(struct mgmtd *m, const struct mtarget *t)
{
	struct key k = key_of_target(t->service, t->id);
	struct wp_target_info info;
	uint8_t buf[RECORD_MAX];
	struct wp_enc e;

	mg_target_to_wire(m, t, &info);
	wp_enc_init(&e, buf, sizeof(buf));
	wp_enc_u8(&e, RECORD_VERSION);
	wp_enc_u8(&e, t->draining);
	wp_enc_u32(&e, t->pool);
	wp_target_info_enc(&e, &info);
	put(&m->next.txn, &k, &e);
}

void mg_state_save_pool(struct mgmtd *m, const struct mpool *p)
{
	struct wp_pool_info info = { .id = p->id, .alias = wp_str(p->alias) };
	struct key k = key_of('p', p->id);
	uint8_t buf[RECORD_MAX];
	struct wp_enc e;

	wp_enc_init(&e, buf, sizeof(buf));
	wp_enc_u8(&e, RECORD_VERSION);
	wp_pool_info_enc(&e, &info);
	put(&m->next.txn, &k, &e);
}

void mg_state_del_node(struct mgmtd *m, struct mnode *n)
{
	struct key k = key_of('n', n->id);

	if (n->role != WP_ROLE_CLIENT)
		del(m, &k);
	node_free(m, n);
}

void mg_state_del_target(struct mgmtd *m, struct mtarget *t)
{
	struct key k = key_of_target(t->service, t->id);

	del(m, &k);
	target_free(m, t);
}

void mg_state_del_pool(struct mgmtd *m, struct mpool *p)
{
	struct key k = key_of('p', p->id);

	del(m, &k);
	list_del(&p->link);
	free(p);
}

/* ---- loading ------------------------------------------------------------------------------------------------------------------- */

static void load_cluster(struct mgmtd *m, struct wp_dec *d)
{
	const uint8_t *key;

	wp_dec_uuid(d, &m->cluster);
	key = wp_dec_take(d, sizeof(m->key));
	if (key)
		memcpy(m->key, key, sizeof(m->key));
	m->version = wp_dec_u32(d);
	m->next_node = wp_dec_u32(d);
	m->next_pool = wp_dec_u32(d);
	m->next_meta = wp_dec_u32(d);
	m->next_storage = wp_dec_u32(d);
	m->locked = wp_dec_u8(d) != 0;
}

static int load_node(struct mgmtd *m, struct wp_dec *d)
{
	struct wp_node_info info;
	struct mnode *n;
	int r = wp_node_info_dec(d, &info);

	if (r < 0)
		return r;
	n = mg_node_new(m, info.id, &info.uuid);
	n->role = info.role;
	n->state = info.state;
	n->pid = info.pid;
	n->seen_ns = env_mono_ns(m->env); /* time to show up again */
	mg_node_set_addrs(n, info.addrs, info.addrs_n);
	r = wp_str_copy(n->alias, sizeof(n->alias), info.alias);
	if (!r)
		r = wp_str_copy(n->version, sizeof(n->version), info.version);
	if (!r)
		r = wp_str_copy(n->host, sizeof(n->host), info.host);
	return r ? r : wp_str_copy(n->domain, sizeof(n->domain), info.domain);
}

static int load_target(struct mgmtd *m, struct wp_dec *d)
{
	bool draining = wp_dec_u8(d) != 0;
	uint32_t pool = wp_dec_u32(d);
	struct wp_target_info info;
	struct mtarget *t;
	int r = wp_target_info_dec(d, &info);

	if (r < 0)
		return r;
	t = mg_target_new(m, info.service, info.id, &info.uuid);
	t->draining = draining;
	t->pool = pool;
	t->state = info.state;
	t->capacity = info.capacity;
	t->node = info.node;
	t->seen_ns = env_mono_ns(m->env);
	return wp_str_copy(t->alias, sizeof(t->alias), info.alias);
}

static int load_pool(struct mgmtd *m, struct wp_dec *d)
{
	char alias[WP_ALIAS_MAX + 1];
	struct wp_pool_info info;
	int r = wp_pool_info_dec(d, &info);

	if (!r)
		r = wp_str_copy(alias, sizeof(alias), info.alias);
	if (!r)
		mg_pool_new(m, info.id, alias);
	return r;
}

static int load_record(struct mgmtd *m, struct osd_slice key, struct osd_slice value)
{
	uint64_t scratch[1024];
	struct wp_dec d;
	int r = 0;

	wp_dec_init(&d, value.p, value.len, scratch, sizeof(scratch));
	if (wp_dec_u8(&d) != RECORD_VERSION)
		return -WEFT_ENEWER;
	switch (*(const char *)key.p) {
	case 'c':
		load_cluster(m, &d);
		break;
	case 'n':
		r = load_node(m, &d);
		break;
	case 't':
		r = load_target(m, &d);
		break;
	case 'p':
		r = load_pool(m, &d);
		break;
	default:
		r = -EBADMSG;
	}
	return r ? r : wp_dec_finish(&d);
}

int mg_state_load(struct mgmtd *m)
{
	struct osd_slice key, value;
	struct osd_iter it;
	bool any = false;
	int r;

	osd_iter_init(&it, m->p.dev, osd_slice("", 0));
	while ((r = osd_next(&it, &key, &value)) == 0) {
		any = true;
		r = key.len ? load_record(m, key, value) : -EBADMSG;
		if (r == -WEFT_ENEWER)
			return r;
		if (r < 0) {
			log_err("mgmtd", "a record of the cluster's state is damaged (key of %zu bytes)", key.len);
			return -WEFT_ECORRUPT;
		}
	}
	if (r != -ENOENT)
		return r;
	if (any && (!m->version || !mg_pool_by_id(m, POOL_DEFAULT_ID)))
		return -WEFT_ECORRUPT;
	return any ? 0 : -ENOENT;
}
