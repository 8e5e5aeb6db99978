/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The whole cluster in a simulated world: every process has a host of its own; the devices belong to an env that is never killed.
 *
 * An index does what that of the disk backend does when its process ends, in whatever way: what had not become durable is lost, so
 * metadata targets have to replay their journals. Objects survive kills, as the system's cache does, but not power cuts.
 */
#include "audit.h"
#include "cluster_priv.h"

#define MGMTD_ADDR "sim:mgmtd:1"
#define DEV_BYTES MIB(512)
#define GRACE_MS 25000u
#define OFFLINE_MS 120000u    /* nobody is away for so long: a cluster without targets cannot make files */
#define PARTING_MS_MAX 6000u  /* shorter than sessions and grace: nobody is evicted */
#define DOWN_MS_MAX 3000u

static uint64_t after_ms(struct cluster *cl, uint32_t min, uint32_t max)
{
	return sim_now_ns(cl->sim) + (min + rng_below(&cl->rng, max - min)) * NSEC_PER_MSEC;
}

static struct rpc_identity identity(uint16_t role, unsigned i, unsigned life, const char *name)
{
	struct rpc_identity id = { .role = role, .auth = WP_AUTH_HMAC, .secret_len = 32 };

	(void)str_copy(id.name, sizeof(id.name), name);
	memset(id.secret, 1, 32);
	if (role == WP_ROLE_CLIENT)
		return id; /* draws its own number */
	id.server_secret_len = 32;
	memset(id.server_secret, 2, 32);
	memset(id.uuid.b, (int)(role * 16 + i + 1), sizeof(id.uuid.b));
	return id;
}

/* ---- clocks ---- */

#define DRIFT_PPM 2000
#define WALL_ERROR_MS 3000u

/* In every other run clocks differ, and run at different speeds: more than ntp leaves, less than what capabilities forgive.
 * Not for small seeds. */

static struct sim_host *host_new(struct cluster *cl, const char *name)
{
	struct sim_host *h = sim_host_new(cl->sim, name);

	if (cl->drifts)
		sim_host_clock(h, (int)rng_below(&cl->clocks, 2 * DRIFT_PPM + 1) - DRIFT_PPM,
			       ((int64_t)rng_below(&cl->clocks, 2 * WALL_ERROR_MS) - WALL_ERROR_MS) * (int64_t)NSEC_PER_MSEC);
	return h;
}

/* ---- devices ---- */

static struct osd_dev *fault_on(struct cluster *cl, struct osd_dev *below)
{
	struct osd_params p = { .env = cl->disks, .below = below, .seed = rng_next(&cl->rng) };
	struct osd_fault_plan plan = { .delay_us_max = rng_chance(&cl->rng, 200) ? 40000 : 2000 };
	struct osd_dev *dev;

	weft_assert(osd_backend("fault")->open(&p, &dev) == 0);
	osd_fault_set(dev, &plan);
	return dev;
}

static struct osd_dev *platter_new(struct cluster *cl)
{
	struct osd_params p = { .env = cl->disks, .capacity = DEV_BYTES };
	struct osd_dev *mem;

	weft_assert(osd_backend("mem")->open(&p, &mem) == 0);
	return fault_on(cl, mem);
}

static void platter_cut(struct cluster *cl, struct osd_dev *gate, struct osd_dev **platter)
{
	gate_abandon(gate);
	*platter = fault_on(cl, osd_fault_power_cut(*platter));
}

/* ---- the management daemon ---- */

static void mgmt_start(struct cluster *cl)
{
	struct mgmt *m = &cl->mgmt;
	struct rpc_identity id = identity(WP_ROLE_MGMTD, 0, 0, "mgmtd");
	struct mgmtd_params p = { .cluster = m->cluster, .boot_epoch = ++m->epoch, .offline_ms = OFFLINE_MS,
				  .client_offline_ms = OFFLINE_MS };

	m->env = p.env = sim_process_new(m->host);
	m->gate = p.dev = gate_new(m->platter, m->env);
	weft_assert(mgmtd_open(&p, &m->core) == 0);
	m->cluster = id.cluster = *mgmtd_cluster(m->core);
	weft_assert(rpc_node_new(m->env, &id, &m->node) == 0);
	weft_assert(rpc_service_add(m->node, mgmtd_service(m->core)) == 0);
	weft_assert(rpc_listen(m->node, MGMTD_ADDR) == 0);
}

static void mgmt_stop(struct cluster *cl, bool power)
{
	struct mgmt *m = &cl->mgmt;

	sim_note(cl->s, "the management daemon %s", power ? "loses its power" : "is killed");
	if (power)
		sim_host_power_cut(m->host);
	else
		sim_process_kill(m->env);
	gate_stop(m->gate);
	rpc_node_free(m->node);
	mgmtd_free(m->core);
	platter_cut(cl, m->gate, &m->platter);
	sim_process_free(m->env);
	m->env = NULL;
	m->up_ns = after_ms(cl, 50, DOWN_MS_MAX);
}

/* ---- targets ---- */

static struct rpc_peer *storage_peer(void *arg, uint32_t target)
{
	return peers_get(((struct server *)arg)->peers, WP_SERVICE_STORAGE, target);
}

static unsigned candidates(void *arg, struct wp_str pool, const struct meta_candidate **ret)
{
	struct server *s = arg;
	const uint32_t *ids;
	unsigned n = cluster_map_candidates(mgmtc_map(s->mgmtc), pool, WP_CAPACITY_NORMAL, &ids);

	for (unsigned i = 0; i < n && i < OSTS_MAX; i++)
		s->candidates[i] = (struct meta_candidate){ .id = ids[i], .capacity = WP_CAPACITY_NORMAL };
	*ret = s->candidates;
	return MIN(n, OSTS_MAX);
}

static uint32_t placement_version(void *arg) { return cluster_map_version(mgmtc_map(((struct server *)arg)->mgmtc)); }

static void opened(void *arg, int err)
{
	struct server *s = arg;

	if (err)
		sim_fail(s->cl->s, "%s does not open: %d", s->name, err);
	s->opened = !err;
}

static void meta_failed(void *arg, int err)
{
	struct server *s = arg;

	sim_fail(s->cl->s, "%s cannot go on: %d", s->name, err);
}

static void target_open(struct server *s)
{
	struct meta_params mp = { .env = s->env,
				  .dev = s->gate,
				  .journal_dir = "journal",
				  .journal_segment = KIB(256),
				  .target = s->info.id,
				  .session_timeout_ms = SESSION_MS,
				  .grace_ms = GRACE_MS,
				  .lease_ms = s->cl->lease_ms,
				  .leases_max = s->cl->leases_max,
				  .opened = opened,
				  .failed = meta_failed,
				  .storage_peer = storage_peer,
				  .candidates = candidates,
				  .placement_version = placement_version,
				  .arg = s };
	struct storage_params sp = { .env = s->env, .dev = s->gate, .target = s->info.id, .boot_epoch = s->epoch };
	struct rpc_service *svc;

	memcpy(mp.cap_key, s->reg.key, sizeof(mp.cap_key));
	memcpy(sp.cap_key, s->reg.key, sizeof(sp.cap_key));
	if (s->role == WP_ROLE_META) {
		weft_assert(meta_target_open(&mp, &s->meta) == 0);
		svc = meta_target_service(s->meta);
	} else {
		weft_assert(storage_target_open(&sp, &s->storage) == 0);
		svc = storage_target_service(s->storage);
		s->opened = true;
	}
	weft_assert(rpc_service_add(s->node, svc) == 0);
}

static void maybe_open(struct server *s)
{
	if (s->registered && mgmtc_map(s->mgmtc) && !s->meta && !s->storage)
		target_open(s);
}

static void registered(void *arg, const struct mgmtc_registration *r)
{
	struct server *s = arg;

	s->registered = true;
	s->reg = *r;
	rpc_node_set_cluster(s->node, &r->cluster);
	maybe_open(s);
}

static void new_map(void *arg, struct cluster_map *map)
{
	struct server *s = arg;

	rpc_node_set_map_version(s->node, cluster_map_version(map));
	peers_set_map(s->peers, map);
	maybe_open(s);
}

static void refused(void *arg, int err, const char *why)
{
	struct server *s = arg;

	sim_fail(s->cl->s, "%s may not register: %d %s", s->name, err, why);
}

static const struct mgmtc_ops mgmtc_ops = { .registered = registered, .map = new_map, .refused = refused };

static void server_start(struct server *s)
{
	static const char *const mgmtd[] = { MGMTD_ADDR };
	const char *addr = s->addr;
	struct rpc_identity id = identity(s->role, s->i, 0, s->name);
	struct mgmtc_params p = { .mgmtd = mgmtd, .mgmtd_n = 1, .uuid = id.uuid, .role = s->role, .pid = 1, .version = "sim", .host = s->name,
				  .addrs = &addr, .addrs_n = 1, .ops = &mgmtc_ops, .arg = s };

	s->epoch++;
	s->registered = s->opened = s->added = false;
	s->env = sim_process_new(s->host);
	s->gate = gate_new(s->platter, s->env);
	weft_assert(rpc_node_new(s->env, &id, &s->node) == 0);
	weft_assert(rpc_listen(s->node, s->addr) == 0);
	s->peers = peers_new(s->node);
	p.node = s->node;
	weft_assert(mgmtc_new(&p, &s->mgmtc) == 0);
	s->info.service = s->role == WP_ROLE_META ? WP_SERVICE_META : WP_SERVICE_STORAGE;
	memset(s->info.uuid.b, (int)(s->role * 16 + s->i + 100), sizeof(s->info.uuid.b));
	s->info.space = (struct wp_target_space){ .total = DEV_BYTES, .free = DEV_BYTES, .inodes = 1000000, .inodes_free = 1000000 };
	mgmtc_add_target(s->mgmtc, &s->info);
	mgmtc_start(s->mgmtc);
}

static void count(struct server *s)
{
	static const char *const names[SIM_COUNTED] = SIM_COUNTED_NAMES;
	struct wp_counter rows[128];
	uint32_t n = meta_target_rows(s->meta, rows, ARRAY_SIZE(rows));

	for (uint32_t i = 0; i < n; i++)
		for (unsigned k = 0; k < SIM_COUNTED; k++)
			if (wp_str_eq(rows[i].name, wp_str(names[k])))
				s->cl->s->counted[k] += rows[i].value;
}

/* Its memory; the process is dead. */
static void server_bury(struct server *s)
{
	if (s->meta) {
		count(s);
		rpc_service_remove(s->node, meta_target_service(s->meta));
	}
	peers_free(s->peers); /* ends the core's calls, whose memory is the core's */
	if (s->meta)
		meta_target_free(s->meta);
	mgmtc_free(s->mgmtc);
	rpc_node_free(s->node);
	if (s->storage)
		storage_target_free(s->storage);
	s->meta = NULL;
	s->storage = NULL;
	s->mgmtc = NULL;
	s->peers = NULL;
	sim_process_free(s->env);
	s->env = NULL;
	s->up_ns = after_ms(s->cl, 50, DOWN_MS_MAX);
}

static void objects_cut(struct sim *s)
{
	struct mnode *n;

	s->cuts++;
	list_each (n, &s->model.nodes, link)
		content_power_cut(&n->data);
}

static void server_stop(struct server *s, bool power)
{
	sim_note(s->cl->s, "%s %s", s->name, power ? "loses its power" : "is killed");
	if (power)
		sim_host_power_cut(s->host);
	else
		sim_process_kill(s->env);
	gate_stop(s->gate);
	server_bury(s);
	if (power || s->role == WP_ROLE_META)
		platter_cut(s->cl, s->gate, &s->platter);
	else
		gate_shut(s->gate);
	if (power && s->role == WP_ROLE_STORAGE)
		objects_cut(s->cl->s);
}

static void server_init(struct cluster *cl, struct server *s, uint16_t role, unsigned i)
{
	s->cl = cl;
	s->i = i;
	s->role = role;
	s->info.id = WP_TARGET_NONE;
	(void)snprintf(s->name, sizeof(s->name), "%s%u", role == WP_ROLE_META ? "meta" : "store", i);
	(void)snprintf(s->addr, sizeof(s->addr), "sim:%s:1", s->name);
	s->host = host_new(cl, s->name);
	s->platter = platter_new(cl);
	server_start(s);
	weft_assert(s->env->ops->path_mkdir(s->env, "journal", 0700) == 0);
	weft_assert(s->env->ops->dir_sync(s->env, "") == 0);
}

/* ---- clients ---- */

static void mounted(void *arg, int err, const struct wp_attr *root)
{
	struct mount *m = arg;

	(void)root;
	if (err == -ECANCELED)
		return;
	if (err)
		sim_fail(m->cl->s, "client %u cannot mount: %s", m->i, strerror(-err));
	m->ready = !err;
}

static void invalidate(void *arg, const struct wp_fid *fid, uint32_t bits)
{
	struct mount *m = arg;

	audit_invalidate(m->cl->s, m->i, fid, bits);
}

static void mount_start(struct mount *m)
{
	static const char *const mgmtd[] = { MGMTD_ADDR };
	char name[16];
	struct client_params p = { .mgmtd = mgmtd, .mgmtd_n = 1, .reactors = 1, .pid = ++m->life, .cache = true };

	if (m->cl->s->kernel_keeps) {
		p.invalidate = invalidate;
		p.invalidate_arg = m;
	}
	(void)snprintf(name, sizeof(name), "client%u", m->i);
	p.id = identity(WP_ROLE_CLIENT, m->i, m->life, name);
	if (m->cl->s->seed >= SIM_SMALL_SEED)
		m->id = p.id.client_id = (m->i + 1ull) << 32 | m->life;
	(void)str_copy(p.host, sizeof(p.host), name);
	m->env = sim_process_new(m->host);
	weft_assert(client_mount_new(&p, &m->mount) == 0);
	weft_assert(client_new(m->mount, m->env, 0, &m->client) == 0);
	client_start(m->client, mounted, m);
}

static void mount_kill(struct mount *m)
{
	sim_note(m->cl->s, "client %u is killed", m->i);
	sim_process_kill(m->env);
	m->ready = false;
	if (!m->cl->s->failed)
		work_client_died(m->cl->s, m->i);
	client_free(m->client);
	client_mount_free(m->mount);
	sim_process_free(m->env);
	m->env = NULL;
	m->client = NULL;
	m->kill_ns = 0;
	memset(m->known, 0, sizeof(m->known));
	m->up_ns = after_ms(m->cl, 50, DOWN_MS_MAX);
}

/* A target may end the session of a client that lives: it was silent for too long, or did not answer recalls. */
bool cluster_evicted(struct cluster *cl, unsigned i)
{
	struct mount *m = &cl->mounts[i];

	if (!m->id || !m->env || m->kill_ns)
		return m->kill_ns;
	for (unsigned k = 0; k < cl->mdts_n; k++) {
		struct server *s = &cl->mdts[k];
		bool serves;

		if (!s->env || !s->opened || !s->meta)
			continue;
		serves = cluster_serves(s, m->id);
		if (m->known[k] && !serves) {
			sim_note(cl->s, "client %u was evicted by %s", i, s->name);
			cl->s->evictions++;
			m->kill_ns = after_ms(cl, 0, 2000);
		}
		m->known[k] |= serves;
	}
	return m->kill_ns;
}

/* What its applications do then is not the model's: it is killed, after a while. */
static void check_evicted(struct cluster *cl)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (cluster_evicted(cl, i) && cl->mounts[i].env &&
		    (cl->healing || sim_now_ns(cl->sim) >= cl->mounts[i].kill_ns))
			mount_kill(&cl->mounts[i]);
}

struct client *cluster_client(struct cluster *cl, unsigned i) { return cl->mounts[i].ready ? cl->mounts[i].client : NULL; }

bool cluster_echoes(struct cluster *cl, unsigned i) { return sim_host_echoes(cl->mounts[i].host); }

/* ---- time ---- */

static void server_serving(struct server *s)
{
	if (!s->env || !s->opened)
		return;
	if (s->meta)
		meta_target_space(s->meta, &s->info.space);
	else
		storage_target_space(s->storage, &s->info.space);
	if (!s->added)
		mgmtc_serving(s->mgmtc);
	s->added = true;
}

/* What is down comes up when its time has come, or now. */
static void revive(struct cluster *cl)
{
	uint64_t now = sim_now_ns(cl->sim);

	if (!cl->mgmt.env && (cl->healing || now >= cl->mgmt.up_ns))
		mgmt_start(cl);
	for (unsigned i = 0; i < cl->mdts_n; i++)
		if (!cl->mdts[i].env && (cl->healing || now >= cl->mdts[i].up_ns))
			server_start(&cl->mdts[i]);
	for (unsigned i = 0; i < cl->osts_n; i++)
		if (!cl->osts[i].env && (cl->healing || now >= cl->osts[i].up_ns))
			server_start(&cl->osts[i]);
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (!cl->mounts[i].env && (cl->healing || now >= cl->mounts[i].up_ns))
			mount_start(&cl->mounts[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(cl->partings); i++) {
		struct parting *p = &cl->partings[i];

		if (!p->heal_ns || (!cl->healing && now < p->heal_ns))
			continue;
		sim_partition(cl->sim, p->a, p->b, false);
		sim_partition(cl->sim, p->b, p->a, false);
		p->heal_ns = 0;
		sim_note(cl->s, "%s and %s see each other again", sim_host_name(p->a), sim_host_name(p->b));
	}
}

void cluster_run(struct cluster *cl, uint64_t ns)
{
	sim_run_for(cl->sim, ns);
	for (unsigned i = 0; i < cl->mdts_n; i++)
		server_serving(&cl->mdts[i]);
	for (unsigned i = 0; i < cl->osts_n; i++)
		server_serving(&cl->osts[i]);
	check_evicted(cl);
	revive(cl);
}

uint64_t cluster_now(struct cluster *cl) { return sim_now_ns(cl->sim); }

/* ---- faults ---- */

static struct sim_host *any_host(struct cluster *cl)
{
	unsigned n = rng_below(&cl->rng, 1 + cl->mdts_n + cl->osts_n + SIM_CLIENTS);

	if (!n--)
		return cl->mgmt.host;
	if (n < cl->mdts_n)
		return cl->mdts[n].host;
	n -= cl->mdts_n;
	return n < cl->osts_n ? cl->osts[n].host : cl->mounts[n - cl->osts_n].host;
}

static void part(struct cluster *cl, struct parting *p)
{
	unsigned which = rng_below(&cl->rng, 3);

	if (p->heal_ns)
		return;
	p->a = any_host(cl);
	p->b = any_host(cl);
	if (p->a == p->b)
		return;
	if (which != 0)
		sim_partition(cl->sim, p->a, p->b, true);
	if (which != 1)
		sim_partition(cl->sim, p->b, p->a, true);
	p->heal_ns = after_ms(cl, 100, PARTING_MS_MAX);
	sim_note(cl->s, "%s and %s are parted (%u)", sim_host_name(p->a), sim_host_name(p->b), which);
}

static void servers_faults(struct cluster *cl, struct server *s, unsigned n)
{
	for (; n--; s++)
		if (s->env && rng_chance(&cl->rng, 3))
			server_stop(s, rng_chance(&cl->rng, 500));
}

static void slow_disk(struct cluster *cl)
{
	struct sim_host *h = cl->mdts[rng_below(&cl->rng, cl->mdts_n)].host;
	struct sim_disk_params p;

	sim_disk_get(h, &p);
	p.slow_ppm = rng_chance(&cl->rng, 500) ? rng_below(&cl->rng, 200000) : 0;
	p.slow_max_ns = (1 + rng_below(&cl->rng, 500)) * NSEC_PER_MSEC;
	sim_disk_set(h, &p);
}

static void evictions(struct cluster *cl)
{
	struct server *s = &cl->mdts[rng_below(&cl->clocks, cl->mdts_n)];

	if (cl->s->seed >= SIM_SMALL_SEED && rng_chance(&cl->clocks, 20) && s->env && s->opened && s->meta)
		cluster_evict(s);
}

void cluster_faults(struct cluster *cl)
{
	/* Quiet runs get further into the workload, wild ones find what happens between two faults. */
	if (!rng_chance(&cl->rng, cl->wildness))
		return;
	if (cl->mgmt.env && rng_chance(&cl->rng, 2))
		mgmt_stop(cl, rng_chance(&cl->rng, 500));
	servers_faults(cl, cl->mdts, cl->mdts_n);
	servers_faults(cl, cl->osts, cl->osts_n);
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (cl->mounts[i].env && rng_chance(&cl->rng, 1))
			mount_kill(&cl->mounts[i]);
	if (rng_chance(&cl->rng, 30))
		(void)sim_break(cl->sim, any_host(cl), any_host(cl));
	if (rng_chance(&cl->rng, 4))
		part(cl, &cl->partings[0]);
	if (rng_chance(&cl->rng, 5))
		slow_disk(cl);
	evictions(cl);
}

void cluster_heal(struct cluster *cl)
{
	struct sim_net_params p;

	cl->healing = true;
	sim_net_get(cl->sim, &p);
	p.break_ppm = p.slow_ppm = 0;
	sim_net_set(cl->sim, &p);
	revive(cl);
}

static bool server_ready(const struct server *s) { return s->env && s->opened && s->added; }

bool cluster_ready(struct cluster *cl)
{
	const struct meta_candidate *c;

	if (!cl->mgmt.env)
		return false;
	for (unsigned i = 0; i < cl->osts_n; i++)
		if (!server_ready(&cl->osts[i]))
			return false;
	for (unsigned i = 0; i < cl->mdts_n; i++)
		if (!server_ready(&cl->mdts[i]) || candidates(&cl->mdts[i], wp_str(""), &c) < cl->osts_n)
			return false;
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (!cl->mounts[i].ready)
			return false;
	return true;
}

/* ---- life ---- */

/* Leases that run out while a client is cut off, and those that outlive it; so few that they are taken back for others. */
static void leases_init(struct cluster *cl)
{
	static const uint32_t ms[] = { 0, 300, 1000, 2000, 8000 };

	if (cl->s->seed < SIM_SMALL_SEED)
		return;
	cl->lease_ms = ms[rng_below(&cl->clocks, ARRAY_SIZE(ms))];
	cl->leases_max = rng_chance(&cl->clocks, 200) ? 40 : 0;
}

static void net_init(struct cluster *cl)
{
	struct sim_net_params p;

	sim_net_get(cl->sim, &p);
	if (!cl->s->faults_off) {
		p.break_ppm = rng_chance(&cl->rng, 500) ? rng_below(&cl->rng, 200) : 0;
		p.slow_ppm = rng_chance(&cl->rng, 500) ? rng_below(&cl->rng, 5000) : 0;
		p.slow_max_ns = (1 + rng_below(&cl->rng, 2000)) * NSEC_PER_MSEC;
	}
	sim_net_set(cl->sim, &p);
}

struct cluster *cluster_new(struct sim *s, unsigned mdts, unsigned osts)
{
	struct cluster *cl = NEW(struct cluster);

	weft_assert(mdts <= MDTS_MAX && osts <= OSTS_MAX);
	cl->s = s;
	cl->rng.state = s->seed ^ 0x636c7573746572ull;
	cl->sim = sim_new(s->seed);
	cl->mdts_n = mdts;
	cl->osts_n = osts;
	cl->wildness = 50 + rng_below(&cl->rng, 500);
	cl->clocks.state = s->seed ^ 0x636c6f636b73ull;
	s->kernel_keeps = s->seed >= SIM_SMALL_SEED && rng_chance(&cl->clocks, 700);
	cl->drifts = s->clocks_differ = !s->faults_off && s->seed >= SIM_SMALL_SEED && rng_chance(&cl->clocks, 500);
	leases_init(cl);
	net_init(cl);
	cl->disks = sim_process_new(sim_host_new(cl->sim, "disks"));
	cl->mgmt.host = host_new(cl, "mgmtd");
	cl->mgmt.platter = platter_new(cl);
	mgmt_start(cl);
	for (unsigned i = 0; i < mdts; i++)
		server_init(cl, &cl->mdts[i], WP_ROLE_META, i);
	for (unsigned i = 0; i < osts; i++)
		server_init(cl, &cl->osts[i], WP_ROLE_STORAGE, i);
	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "client%u", i);
		cl->mounts[i] = (struct mount){ .cl = cl, .i = i, .host = host_new(cl, name) };
		mount_start(&cl->mounts[i]);
	}
	return cl;
}

void cluster_free(struct cluster *cl)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (cl->mounts[i].env)
			mount_kill(&cl->mounts[i]);
	for (unsigned i = 0; i < cl->mdts_n; i++)
		if (cl->mdts[i].env)
			server_stop(&cl->mdts[i], false);
	for (unsigned i = 0; i < cl->osts_n; i++)
		if (cl->osts[i].env)
			server_stop(&cl->osts[i], false);
	if (cl->mgmt.env)
		mgmt_stop(cl, false);
	/* The platters go with the world. */
	sim_process_kill(cl->disks);
	sim_process_free(cl->disks);
	sim_free(cl->sim);
	free(cl);
}
