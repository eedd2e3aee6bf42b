/* attention.c - softmax(scale q k^T) v in tiles of ATTENTION_ROWS queries by ATTENTION_KEYS keys: scores, exponentials and their
 * product with v while the tile is in the cache. Sums go on from tile to tile, and what was there is rescaled when a larger
 * maximum turns up (Milakov & Gimelshein 2018, arXiv:1805.02867). attention_back.c has the other direction. */
#include "attention.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

tare__attention tare__attention_of(const tare_node *n) {
    const tare__attention_attr *attr = n->attr;
    const tare_tensor *q = n->in[0];
    tare__attention a = { .batch = q->shape.dim[0], .q = q->data, .causal = attr->opt.causal, .rng = n->rng };
    if (attr->heads) {
        int64_t c = q->shape.dim[2] / 3;
        a.heads = attr->heads;
        a.queries = a.keys = q->shape.dim[1];
        a.width = c / a.heads;
        a.query = a.key = (tare__attention_steps){ a.keys * 3 * c, a.width, 3 * c };
        a.out = (tare__attention_steps){ a.keys * c, a.width, c };
        a.k = a.q + c;
        a.v = a.k + c;
    } else {
        const tare_tensor *k = n->in[1];
        a.heads = q->shape.dim[1];
        a.queries = q->shape.dim[2];
        a.keys = k->shape.dim[2];
        a.width = q->shape.dim[3];
        a.query = a.out = (tare__attention_steps){ a.heads * a.queries * a.width, a.queries * a.width, a.width };
        a.key = (tare__attention_steps){ a.heads * a.keys * a.width, a.keys * a.width, a.width };
        a.k = k->data;
        a.v = n->in[2]->data;
    }
    a.scale = (tare_real)(attr->opt.scale != 0 ? attr->opt.scale : 1 / sqrt((double)a.width));
    a.dropout = n->training ? attr->opt.dropout : 0;
    a.lse = n->saved;
    a.lengths = attr->opt.lengths;
    return a;
}

static tare_status check_shapes(tare_node *n) {
    const tare__attention_attr *attr = n->attr;
    tare_shape q = n->in[0]->shape;
    tare_shape_buf qt, kt, vt;
    tare_shape_text(q, &qt);
    n->shape = q;
    if (!n->in[1]) {
        if (attr->heads < 1) {
            return tare_node_fail(n, TARE_EINVAL, "heads is %" PRId64 ", must be 1 or more", attr->heads);
        }
        if (q.ndim != 3 || q.dim[2] % (3 * attr->heads)) {
            return tare_node_fail(n, TARE_ESHAPE,
                                  "qkv %s must be [B,T,3*H*D]: queries, keys and values of %" PRId64 " heads", qt.text,
                                  attr->heads);
        }
        n->shape.dim[2] /= 3;
        return TARE_OK;
    }
    tare_shape k = n->in[1]->shape, v = n->in[2]->shape, wanted = q;
    tare_shape_text(k, &kt);
    if (q.ndim != 4 || k.ndim != 4) {
        return tare_node_fail(n, TARE_ESHAPE, "q %s and k %s must be [B,H,T,D]", qt.text, kt.text);
    }
    wanted.dim[2] = k.dim[2];
    if (!tare_shape_equal(k, wanted) || !tare_shape_equal(v, wanted)) {
        return tare_node_fail(n, TARE_ESHAPE, "k %s and v %s must be q %s but for the number of keys", kt.text,
                              tare_shape_text(v, &vt), qt.text);
    }
    if (attr->opt.causal && q.dim[2] > k.dim[2]) {
        return tare_node_fail(n, TARE_ESHAPE, "causal, q %s has queries before the first key of k %s", qt.text,
                              kt.text);
    }
    return TARE_OK;
}

static tare_status check(tare_node *n) {
    const tare_attention_opt *opt = &((const tare__attention_attr *)n->attr)->opt;
    tare_status status = check_shapes(n);
    if (status) { return status; }
    if (!(opt->dropout >= 0 && opt->dropout < 1)) {
        return tare_node_fail(n, TARE_EINVAL, "dropout is %g, must lie in 0..1, 1 not included", opt->dropout);
    }
    if (!isfinite(opt->scale)) { return tare_node_fail(n, TARE_EINVAL, "scale is %g, must be finite", opt->scale); }
    tare__attention a = tare__attention_of(n);
    if (a.keys < 1 || a.width < 1) {
        return tare_node_fail(n, TARE_ESHAPE, "there are no keys, or none with features");
    }
    for (int64_t b = 0; opt->lengths && b < a.batch; b++) {
        if (opt->lengths[b] < 1 || opt->lengths[b] > a.keys) {
            return tare_node_fail(n, TARE_EINVAL, "length %d of sample %" PRId64 " must lie in 1..%" PRId64,
                                  (int)opt->lengths[b], b, a.keys);
        }
    }
    size_t rows = (size_t)(a.batch * a.heads * a.queries);
    n->saved_bytes = rows * sizeof(tare_real) + (opt->lengths ? (size_t)a.batch * sizeof *opt->lengths : 0);
    double seen =
        opt->causal ? (double)(2 * a.keys - a.queries + 1) / 2 : (double)a.keys; /* keys a query, on average */
    n->macs = 2.0 * (double)rows * seen * (double)a.width;
    n->grad_macs = 2 * n->macs;
    return TARE_OK;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* The tile's place among all tiles of its size is its random stream; its own values are counted from 0. */
void tare__attention_drop(const tare__attention *a, const tare__attention_tile *t, tare_real *p, uint8_t *kept) {
    int64_t across = tare__ceil_div(a->keys, ATTENTION_KEYS), head = t->sample * a->heads + t->head;
    int64_t down = tare__ceil_div(a->queries, ATTENTION_ROWS);
    int64_t id = (head * down + t->row / ATTENTION_ROWS) * across + t->key / ATTENTION_KEYS;
    tare_rng rng = tare_rng_split(a->rng, (uint64_t)id);
    tare__kernels()->dropout(rng, 0, t->rows * tare__attention_pitch(t),
                             (uint32_t)fmin(a->dropout * 0x1p32, UINT32_MAX), (tare_real)(1 / (1 - a->dropout)), p, p,
                             kept);
}

typedef struct sums {
    tare_real max[ATTENTION_ROWS], sum[ATTENTION_ROWS], factor[ATTENTION_ROWS];
} sums;

/* Add the part of the tile's keys to y's rows. */
static void add_tile(const tare__attention *a, const tare__attention_tile *t, tare_real *s, sums *u, tare_real *y) {
    const tare__kernel_table *kernels = tare__kernels();
    int64_t pitch = tare__attention_pitch(t);
    int64_t step, seen = tare__attention_seen(a, t, &step),
                  key = tare__attention_at(a->key, t->sample, t->head, t->key);
    const tare_real *q = a->q + tare__attention_at(a->query, t->sample, t->head, t->row);
    tare__attention_gemm(false, true, t->rows, t->keys, a->width, a->scale, q, a->query.row, a->k + key, a->key.row, 0,
                         s, pitch);
    kernels->attention_exp(t->rows, t->keys, pitch, seen, step, s, u->max, u->sum, u->factor);
    if (a->dropout > 0) { tare__attention_drop(a, t, s, NULL); }
    if (t->key > 0) { kernels->row_scale(t->rows, a->width, u->factor, y, a->out.row); }
    tare__attention_gemm(false, false, t->rows, a->width, t->keys, 1, s, pitch, a->v + key, a->key.row, t->key > 0, y,
                         a->out.row);
}

static void forward_rows(const tare__attention *a, tare__attention_tile t) {
    _Alignas(64) tare_real scores[ATTENTION_TILE];
    sums u;
    tare_real *y = a->to + tare__attention_at(a->out, t.sample, t.head, t.row);
    for (int64_t r = 0; r < ATTENTION_ROWS; r++) { u.max[r] = -(tare_real)INFINITY, u.sum[r] = 0; }
    int64_t last = tare__attention_last(a, &t);
    for (t.key = 0; t.key < last; t.key += ATTENTION_KEYS) {
        t.keys = tare__min(ATTENTION_KEYS, last - t.key);
        add_tile(a, &t, scores, &u, y);
    }
    tare_real *lse = a->lse ? a->lse + (t.sample * a->heads + t.head) * a->queries + t.row : NULL;
    for (int64_t r = 0; r < t.rows; r++) {
        u.factor[r] = 1 / u.sum[r];
        if (lse) { lse[r] = u.max[r] + (tare_real)log((double)u.sum[r]); }
    }
    tare__kernels()->row_scale(t.rows, a->width, u.factor, y, a->out.row);
}

static void forward_range(void *context, int64_t begin, int64_t end) {
    const tare__attention *a = context;
    int64_t down = tare__ceil_div(a->queries, ATTENTION_ROWS);
    for (int64_t i = begin; i < end; i++) {
        int64_t head = i / down, row = i % down * ATTENTION_ROWS;
        forward_rows(a, (tare__attention_tile){ .sample = head / a->heads,
                                                .head = head % a->heads,
                                                .row = row,
                                                .rows = tare__min(ATTENTION_ROWS, a->queries - row) });
    }
}

static void forward(tare_node *n) {
    tare__attention a = tare__attention_of(n);
    int64_t heads = a.batch * a.heads;
    a.to = n->out->data;
    /* The caller's lengths need not outlive the call. */
    if (n->saved && a.lengths) { memcpy(a.lse + heads * a.queries, a.lengths, (size_t)a.batch * sizeof *a.lengths); }
    double work = (double)tare__min(ATTENTION_ROWS, a.queries) * (double)a.keys * (0.5 * (double)a.width + 4);
    tare_parallel_for(heads * tare__ceil_div(a.queries, ATTENTION_ROWS), tare__grain(work), forward_range, &a);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static const int32_t lengths[] = { 3, 5 };

#define APART(b, h, t, s, d) .in = { { 4, { b, h, t, d } }, { 4, { b, h, s, d } }, { 4, { b, h, s, d } } }
#define PACKED(b, t, c)      .in = { { 3, { b, t, 3 * (c) } } }, .absent = 6
#define ATTR(h, ...)                                                                                                   \
    .attr = &(const tare__attention_attr) { .opt = { __VA_ARGS__ }, .heads = (h) }

static const tare_opcase cases[] = {
    { .name = "full", APART(2, 2, 4, 4, 3), ATTR(0, .causal = false) },
    { .name = "causal", APART(1, 2, 5, 5, 4), ATTR(0, .causal = true) },
    { .name = "more_keys", APART(1, 2, 3, 7, 2), ATTR(0, .scale = 0.7) },
    { .name = "continued", APART(1, 1, 2, 6, 3), ATTR(0, .causal = true) },
    { .name = "one", APART(1, 1, 1, 2, 1), ATTR(0, .scale = 1) },
    { .name = "lengths", APART(2, 1, 4, 5, 3), ATTR(0, .lengths = lengths) },
    { .name = "tiles", APART(1, 1, 70, 300, 2), ATTR(0, .scale = 1) },
    { .name = "causal_tiles", APART(1, 1, 270, 270, 2), ATTR(0, .causal = true) },
    { .name = "packed", PACKED(2, 6, 6), ATTR(2, .causal = false) },
    { .name = "packed_causal", PACKED(2, 19, 4), ATTR(1, .causal = true) },
    { .name = "packed_lengths", PACKED(2, 6, 4), ATTR(2, .causal = true, .lengths = lengths) },
    { .name = "dropout", PACKED(2, 7, 4), ATTR(2, .causal = true, .dropout = 0.4) },
    { .name = "dropout_apart", APART(1, 2, 3, 20, 2), ATTR(0, .dropout = 0.2, .scale = 1) },
    { .name = "dropout_eval", PACKED(1, 4, 2), ATTR(1, .dropout = 0.5), .eval = true },
    { .name = NULL },
};

const tare_op tare_op_attention = {
    .name = "attention",
    .n_in = 3,
    .n_optional = 2,
    .attr_size = sizeof(tare__attention_attr),
    .flags = TARE_OP_FRESH,
    .check = check,
    .forward = forward,
    .backward = tare__attention_backward,
    .cases = cases,
};

tare_tensor *tare_attention(tare_tape *t, tare_tensor *q, tare_tensor *k, tare_tensor *v, tare_attention_opt opt) {
    if (!q || !k || !v) { return NULL; }
    return tare_apply(t, &tare_op_attention, (tare_tensor *[]){ q, k, v }, 3, &(tare__attention_attr){ opt, 0 });
}

tare_tensor *tare_attention_packed(tare_tape *t, tare_tensor *qkv, int64_t heads, tare_attention_opt opt) {
    if (!qkv) { return NULL; }
    return tare_apply(t, &tare_op_attention, (tare_tensor *[]){ qkv, NULL, NULL }, 3,
                      &(tare__attention_attr){ opt, heads });
}
