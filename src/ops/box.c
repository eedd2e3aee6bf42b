/* box.c - strided copies, walked in the order of the memory written, cut into blocks that fit L1 and L2. */
#include "box.h"

#include <string.h>

enum { COL = TARE_MAX_DIMS - 1, ROW = COL - 1, TRANSPOSED_COLS = 512 };

typedef struct job {
    tare__space space; /* tensors: from, to */
    const tare_real *from;
    tare_real *to;
    int64_t high, wide; /* rows and columns of a block */
    bool add;
} job;

/* Dimensions by falling stride in `to`: its memory is then walked in order, and neighbours merge. */
static tare__space space_in_order(const tare__box *b) {
    int order[TARE_MAX_DIMS];
    for (int d = 0; d < b->shape.ndim; d++) {
        int at = d;
        for (; at > 0 && b->to_stride[order[at - 1]] < b->to_stride[d]; at--) { order[at] = order[at - 1]; }
        order[at] = d;
    }
    tare__space s = tare__space_empty();
    for (int i = 0; i < b->shape.ndim; i++) {
        int d = order[i];
        tare__space_add(&s, b->shape.dim[d], (const int64_t[]){ b->from_stride[d], b->to_stride[d], 0 });
    }
    return s;
}

/* Where the columns of `from` are far apart but another dimension's values are neighbours, that one becomes the rows: a
 * transposition. */
static bool rows_for_transposition(tare__space *s) {
    for (int d = ROW; s->stride[0][COL] > 1 && d >= 0; d--) {
        if (s->dim[d] == 1 || s->stride[0][d] != 1) { continue; }
        int64_t dim = s->dim[d], from = s->stride[0][d], to = s->stride[1][d];
        size_t between = (size_t)(ROW - d) * sizeof dim;
        memmove(&s->dim[d], &s->dim[d + 1], between);
        memmove(&s->stride[0][d], &s->stride[0][d + 1], between);
        memmove(&s->stride[1][d], &s->stride[1][d + 1], between);
        s->dim[ROW] = dim, s->stride[0][ROW] = from, s->stride[1][ROW] = to;
        return true;
    }
    return false;
}

static void copy_blocks(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const tare__space *s = &j->space;
    int64_t down = tare__ceil_div(s->dim[ROW], j->high), across = tare__ceil_div(s->dim[COL], j->wide);
    for (int64_t block = begin; block < end; block++) {
        int64_t col = block % across * j->wide, row = block / across % down * j->high;
        int64_t at[TARE__WALKERS] = { 0 };
        for (int t = 0; t < 2; t++) { at[t] = row * s->stride[t][ROW] + col * s->stride[t][COL]; }
        tare__space_seek(s, ROW, block / across / down, at);
        tare__kernels()->copy(tare__min(j->high, s->dim[ROW] - row), tare__min(j->wide, s->dim[COL] - col),
                              j->from + at[0], s->stride[0][ROW], s->stride[0][COL], j->to + at[1], s->stride[1][ROW],
                              s->stride[1][COL], j->add);
    }
}

void tare__box_copy(const tare__box *box, bool add) {
    if (tare_shape_numel(box->shape) == 0) { return; }
    job j = { .space = space_in_order(box), .from = box->from, .to = box->to, .add = add };
    bool transposed = rows_for_transposition(&j.space);
    j.wide = tare__min(j.space.dim[COL], transposed ? TRANSPOSED_COLS : TARE__CHUNK_WORK);
    j.high = tare__min(j.space.dim[ROW], tare__max(TARE__CHUNK_WORK / j.wide, 1));
    int64_t blocks = tare__ceil_div(j.space.dim[COL], j.wide) * tare__ceil_div(j.space.dim[ROW], j.high);
    for (int d = 0; d < ROW; d++) { blocks *= j.space.dim[d]; }
    tare_parallel_for(blocks, tare__grain((double)(j.wide * j.high)), copy_blocks, &j);
}
