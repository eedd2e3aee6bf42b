/* attention.h - how the tensors of attention lie, and how its work is cut, for both directions. */
#ifndef TARE_OPS_ATTENTION_H
#define TARE_OPS_ATTENTION_H

#include "common.h"

#include "../core/gemm.h"

#include <tare/sequence.h>

enum { ATTENTION_ROWS = 64, ATTENTION_KEYS = 256, ATTENTION_TILE = ATTENTION_ROWS * ATTENTION_KEYS };

typedef struct tare__attention_attr {
    tare_attention_opt opt;
    int64_t heads; /* 0: q, k, v apart */
} tare__attention_attr;

/* Elements from sample to sample, head to head, row to row. */
typedef struct tare__attention_steps {
    int64_t batch, head, row;
} tare__attention_steps;

typedef struct tare__attention {
    int64_t batch, heads, queries, keys, width; /* B H T S D */
    tare__attention_steps query, key, out;      /* key: of values too */
    const tare_real *q, *k, *v, *y, *dy;
    tare_real *dq, *dk, *dv, *to; /* to: the output */
    bool add_q, add_k, add_v;
    tare_real scale;
    bool causal;
    const int32_t *lengths; /* or NULL */
    tare_real *lse;         /* [B,H,T]: log of the sum of e^score, or NULL where no backward follows */
    double dropout;
    tare_rng rng;
} tare__attention;

/* Rows [row, row + rows) of one head against keys [key, key + keys). */
typedef struct tare__attention_tile {
    int64_t sample, head, row, rows, key, keys;
} tare__attention_tile;

/* From row to row of a tile of scores: whole vectors, at most ATTENTION_KEYS. */
static inline int64_t tare__attention_pitch(const tare__attention_tile *t) { return tare__ceil_div(t->keys, 16) * 16; }

/* One head of a tensor. */
static inline int64_t tare__attention_at(tare__attention_steps s, int64_t sample, int64_t head, int64_t row) {
    return sample * s.batch + head * s.head + row * s.row;
}

/* Keys that the first row of the tile sees, counted from the tile's first; each further row sees `step` more. */
static inline int64_t tare__attention_seen(const tare__attention *a, const tare__attention_tile *t, int64_t *step) {
    *step = a->causal;
    return a->causal ? t->row + 1 + a->keys - a->queries - t->key : t->keys;
}

/* Keys that some row of the tile sees, counted from the sample's first. */
static inline int64_t tare__attention_last(const tare__attention *a, const tare__attention_tile *t) {
    int64_t last = a->lengths ? a->lengths[t->sample] : a->keys;
    return a->causal ? tare__min(last, t->row + t->rows + a->keys - a->queries) : last;
}

/* Drop probabilities p [rows,pitch] in place; the same tile drops the same ones again. kept may be NULL. */
void tare__attention_drop(const tare__attention *a, const tare__attention_tile *t, tare_real *p, uint8_t *kept);

/* C = alpha op(A) op(B), or += where add: a tile's product, on the thread that has the tile. */
static inline void tare__attention_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha,
                                        const tare_real *a, int64_t lda, const tare_real *b, int64_t ldb, bool add,
                                        tare_real *c, int64_t ldc) {
    tare__gemm(&(tare__gemm_args){ trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, add, c, ldc, NULL, NULL, true });
}

tare__attention tare__attention_of(const tare_node *n);

void tare__attention_backward(tare_node *n);

#endif
