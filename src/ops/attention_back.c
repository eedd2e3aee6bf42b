/* attention_back.c - gradients of attention, tile by tile. With P the probabilities, P' what dropout left of them and
 * y = P' v:   dv = P'^T dy,   dP' = dy v^T,   dS = P (dP - dot),   dq = scale dS k,   dk = scale dS^T q
 * where dot = sum_j P_j dP_j of a row = dy . y (Dao et al. 2022, arXiv:2205.14135, appendix B). The heads are spread over the
 * threads; within one, dk and dv add up over the rows in order. */
#include "attention.h"

#include <string.h>

/* Two tiles of numbers and what was kept of one, on the stack of the thread at work. */
typedef struct tiles {
    _Alignas(64) tare_real p[ATTENTION_TILE];
    _Alignas(64) tare_real dp[ATTENTION_TILE];
    uint8_t kept[ATTENTION_TILE];
} tiles;

/* The probabilities once more, and dv from what dropout leaves of them. It works on a copy, since dS needs them all. */
static void again(const tare__attention *a, const tare__attention_tile *t, tiles *w) {
    int64_t pitch = tare__attention_pitch(t);
    int64_t step, seen = tare__attention_seen(a, t, &step),
                  key = tare__attention_at(a->key, t->sample, t->head, t->key);
    const tare_real *q = a->q + tare__attention_at(a->query, t->sample, t->head, t->row);
    const tare_real *dy = a->dy + tare__attention_at(a->out, t->sample, t->head, t->row);
    const tare_real *lse = a->lse + (t->sample * a->heads + t->head) * a->queries + t->row;
    tare__attention_gemm(false, true, t->rows, t->keys, a->width, a->scale, q, a->query.row, a->k + key, a->key.row, 0,
                         w->p, pitch);
    tare__kernels()->attention_again(t->rows, t->keys, pitch, seen, step, w->p, lse);
    const tare_real *left = w->p;
    if (a->dropout > 0) {
        memcpy(w->dp, w->p, (size_t)(t->rows * pitch) * sizeof *w->p);
        tare__attention_drop(a, t, w->dp, w->kept);
        left = w->dp;
    }
    if (a->dv) {
        tare__attention_gemm(true, false, t->keys, a->width, t->rows, 1, left, pitch, dy, a->out.row, 1, a->dv + key,
                             a->key.row);
    }
}

static void backward_tile(const tare__attention *a, const tare__attention_tile *t, const tare_real *dot, tiles *w) {
    int64_t pitch = tare__attention_pitch(t), key = tare__attention_at(a->key, t->sample, t->head, t->key);
    int64_t query = tare__attention_at(a->query, t->sample, t->head, t->row);
    const tare_real *dy = a->dy + tare__attention_at(a->out, t->sample, t->head, t->row);
    again(a, t, w);
    if (!a->dq && !a->dk) { return; }
    tare__attention_gemm(false, true, t->rows, t->keys, a->width, 1, dy, a->out.row, a->v + key, a->key.row, 0, w->dp,
                         pitch);
    tare__kernels()->attention_back(t->rows, t->keys, pitch, w->p, dot, a->dropout > 0 ? w->kept : NULL,
                                    (tare_real)(1 / (1 - a->dropout)), a->scale, w->dp);
    if (a->dq) {
        tare__attention_gemm(false, false, t->rows, a->width, t->keys, 1, w->dp, pitch, a->k + key, a->key.row,
                             t->key > 0 || a->add_q, a->dq + query, a->query.row);
    }
    if (a->dk) {
        tare__attention_gemm(true, false, t->keys, a->width, t->rows, 1, w->dp, pitch, a->q + query, a->query.row, 1,
                             a->dk + key, a->key.row);
    }
}

/* A gradient that is to be overwritten gets zeros, since several tiles add to it. */
static void clear(const tare__attention *a, tare_real *grad, bool add, int64_t sample, int64_t head) {
    if (!grad || add) { return; }
    for (int64_t r = 0; r < a->keys; r++) {
        memset(grad + tare__attention_at(a->key, sample, head, r), 0, (size_t)a->width * sizeof *grad);
    }
}

static void backward_heads(void *context, int64_t begin, int64_t end) {
    const tare__attention *a = context;
    tiles w;
    for (int64_t i = begin; i < end; i++) {
        tare__attention_tile t = { .sample = i / a->heads, .head = i % a->heads };
        clear(a, a->dk, a->add_k, t.sample, t.head);
        clear(a, a->dv, a->add_v, t.sample, t.head);
        for (t.row = 0; t.row < a->queries; t.row += ATTENTION_ROWS) {
            tare_real dot[ATTENTION_ROWS];
            int64_t out = tare__attention_at(a->out, t.sample, t.head, t.row);
            t.rows = tare__min(ATTENTION_ROWS, a->queries - t.row);
            tare__kernels()->row_dots(t.rows, a->width, a->dy + out, a->out.row, a->y + out, a->out.row, dot);
            int64_t last = tare__attention_last(a, &t);
            for (t.key = 0; t.key < last; t.key += ATTENTION_KEYS) {
                t.keys = tare__min(ATTENTION_KEYS, last - t.key);
                backward_tile(a, &t, dot, &w);
            }
        }
    }
}

void tare__attention_backward(tare_node *n) {
    tare__attention a = tare__attention_of(n);
    int64_t heads = a.batch * a.heads;
    a.y = n->out->data;
    a.dy = n->out->grad;
    a.dq = tare_grad(n, 0);
    a.add_q = a.dq && tare_grad_add(n, 0);
    if (n->in[1]) {
        a.dk = tare_grad(n, 1);
        a.dv = tare_grad(n, 2);
        a.add_k = a.dk && tare_grad_add(n, 1);
        a.add_v = a.dv && tare_grad_add(n, 2);
    } else {
        a.dk = a.dq + a.heads * a.width;
        a.dv = a.dk + a.heads * a.width;
        a.add_k = a.add_v = a.add_q;
    }
    if (a.lengths) { a.lengths = (const int32_t *)(const void *)(a.lse + heads * a.queries); }
    tare_parallel_for(heads, tare__grain((double)a.queries * (double)a.keys * (1.25 * (double)a.width + 8)),
                      backward_heads, &a);
}
