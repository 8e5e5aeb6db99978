/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Extended attributes that the mount makes up, for the weft command and for scripts:
 *
 *	weft.info	get: JSON: FID, metadata target, layout, objects and where they lie
 *	weft.layout	set: "stripe_count=N stripe_size=S pool=NAME", any of them
 *	weft.sync	set: everything written through this mount becomes durable
 *
 * They are not listed.
 */
#include "fuse/ops.h"

#include <jansson.h>


static const char *type_name(uint32_t mode)
{
	static const struct {
		uint32_t type;
		const char *name;
	} names[] = { { S_IFREG, "file" },  { S_IFDIR, "directory" },	   { S_IFLNK, "symbolic link" }, { S_IFIFO, "fifo" },
		      { S_IFSOCK, "socket" }, { S_IFCHR, "character device" }, { S_IFBLK, "block device" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if ((mode & S_IFMT) == names[i].type)
			return names[i].name;
	return "unknown";
}

static json_t *fid_text(const struct wp_fid *fid)
{
	return json_sprintf("0x%llx:0x%x:0x%x", (unsigned long long)fid->seq, fid->oid, fid->ver);
}

static json_t *objects_json(const struct wp_fid *fid, const struct wp_component *c, uint32_t number)
{
	json_t *objects = json_array();

	for (uint32_t i = 0; i < c->targets_n; i++)
		json_array_append_new(objects, json_pack("{s:i, s:I, s:o}", "stripe", (int)i, "target",
							 (json_int_t)c->targets[i], "object",
							 json_sprintf("%llx-%x-%x-%x-%x", (unsigned long long)fid->seq,
								      fid->oid, fid->ver, number, i)));
	return objects;
}

static json_t *layout_json(const struct wp_fid *fid, const struct wp_layout *l)
{
	static const char *const patterns[] = { "inline", "raid0", "mirror", "ec" };
	json_t *components = json_array();

	for (uint32_t i = 0; i < l->components_n; i++) {
		const struct wp_component *c = &l->components[i];

		json_array_append_new(components,
				      json_pack("{s:I, s:I, s:s, s:I, s:I, s:s%, s:o}", "start", (json_int_t)c->start, "end",
						c->end >= INT64_MAX ? (json_int_t)-1 : (json_int_t)c->end, "pattern",
						c->pattern < ARRAY_SIZE(patterns) ? patterns[c->pattern] : "?", "stripe_size",
						(json_int_t)c->stripe_size, "stripe_count", (json_int_t)c->stripe_count, "pool",
						c->pool.p ? c->pool.p : "", (size_t)c->pool.len, "objects",
						objects_json(fid, c, i)));
	}
	return json_pack("{s:I, s:o}", "generation", (json_int_t)l->generation, "components", components);
}

static void reply_text(struct freq *f, const char *text)
{
	size_t len = strlen(text);

	freq_settle(f);
	if (!f->size)
		fuse_reply_xattr(f->req, len);
	else if (f->size < len)
		fuse_reply_err(f->req, ERANGE);
	else
		fuse_reply_buf(f->req, text, len);
	freq_free(f);
}

static void info_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;
	cleanup_free char *text = NULL;
	json_t *o;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	o = json_pack("{s:o, s:o, s:s, s:I, s:I, s:o}", "fid", fid_text(&res->attr.fid), "inode",
		      json_sprintf("%llu", (unsigned long long)ino_of(&res->attr.fid)), "type", type_name(res->attr.mode),
		      "size", (json_int_t)res->attr.size, "meta_target", (json_int_t)wp_fid_mdt(&res->attr.fid), "layout",
		      res->layout ? layout_json(&res->attr.fid, res->layout) : json_null());
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text) {
		freq_end(f, -ENOMEM);
		return;
	}
	reply_text(f, text);
}

bool special_getxattr(struct freq *f, const char *name, size_t size)
{
	if (strncmp(name, "weft.", 5))
		return false;
	if (strcmp(name, "weft.info"))
		freq_end(f, -ENODATA);
	else
		f->op = client_get_layout(freq_client(f), &f->fid, info_done, f);
	return true;
}

/* ---- weft.layout --------------------------------------------------------------------------------------- */

static int parse_size(const char *s, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || end == s)
		return -EINVAL;
	if (*end) {
		static const char units[] = "kmgt";
		const char *u = strchr(units, *end | 0x20);

		if (!u || end[1] || v > UINT64_MAX >> 40)
			return -EINVAL;
		v <<= 10 * (u - units + 1);
	}
	*ret = v;
	return 0;
}

static int apply_word(struct wp_component *c, const char *word)
{
	uint64_t v;
	int r;

	if (!strncmp(word, "pool=", 5)) {
		c->pool = wp_str(word + 5);
		return 0;
	}
	r = !strncmp(word, "stripe_count=", 13)	 ? parse_size(word + 13, &v)
	    : !strncmp(word, "stripe_size=", 12) ? parse_size(word + 12, &v)
						 : -EINVAL;
	if (r < 0)
		return r;
	if (word[7] == 'c') {
		if (v > WP_STRIPES_MAX)
			return -EINVAL;
		c->stripe_count = (uint32_t)v;
		return 0;
	}
	if (!v || v % 65536 || v > UINT32_MAX)
		return -EINVAL;
	c->stripe_size = (uint32_t)v;
	return 0;
}

/* What was asked for holds for the whole file: one component. */
static int parse_policy(struct freq *f, const char *value, size_t size)
{
	struct wp_component *c = &f->components[0];
	char *text = f->names, *word, *save = NULL;
	int r = 0;

	if (size >= sizeof(f->names))
		return -EINVAL;
	memcpy(text, value, size);
	text[size] = '\0';
	*c = (struct wp_component){ .end = INT64_MAX, .pattern = WP_PATTERN_RAID0, .stripe_size = 1u << 20, .stripe_count = 1 };
	for (word = strtok_r(text, " \n", &save); word && !r; word = strtok_r(NULL, " \n", &save))
		r = apply_word(c, word);
	f->layout = (struct wp_layout){ .components = f->components, .components_n = 1 };
	return r;
}

bool special_setxattr(struct freq *f, const char *name, const char *value, size_t size)
{
	int r;

	if (strncmp(name, "weft.", 5))
		return false;
	if (!strcmp(name, "weft.sync")) {
		f->op = client_sync_all(freq_client(f), done_err, f);
	} else if (!strcmp(name, "weft.layout")) {
		r = parse_policy(f, value, size);
		if (r < 0)
			freq_end(f, r);
		else
			f->op = client_set_layout(freq_client(f), &f->cred, &f->fid, &f->layout, done_err, f);
	} else {
		freq_end(f, -EOPNOTSUPP);
	}
	return true;
}
