/* binary.c - y = f(a, b) under broadcasting, in as few and long rows as the shapes allow; and back. */
#include "binary.h"
#include "reduce.h"

typedef struct walk {
    tare__binary_fn f;
    tare__space space;
    const tare_real *a, *b;
    tare_real *y;
    bool add;
} walk;

/* Values begin .. end - 1 of y: as many whole rows at once as lie evenly, else a part of a row. */
static void walk_range(void *context, int64_t begin, int64_t end) {
    enum { COL = TARE_MAX_DIMS - 1, ROW = COL - 1 };
    const walk *w = context;
    const int64_t *dim = w->space.dim, *sa = w->space.stride[0], *sb = w->space.stride[1];
    while (begin < end) {
        int64_t row = begin / dim[COL], col = begin % dim[COL];
        int64_t rows = 1, cols = tare__min(dim[COL] - col, end - begin);
        if (cols == dim[COL]) { rows = tare__min((end - begin) / cols, dim[ROW] - row % dim[ROW]); }
        int64_t at[TARE__WALKERS] = { col * sa[COL], col * sb[COL] };
        tare__space_seek(&w->space, COL, row, at);
        w->f(rows, cols, (tare__view){ w->a + at[0], sa[ROW], sa[COL] }, (tare__view){ w->b + at[1], sb[ROW], sb[COL] },
             w->y + begin, cols, w->add);
        begin += rows * cols;
    }
}

/* y (+)= f(a, b), where a and b broadcast to y's shape. */
static void binary(tare__binary_fn f, tare_shape shape, const tare_real *a, tare_shape a_shape, const tare_real *b,
                   tare_shape b_shape, tare_real *y, bool add) {
    int64_t stride[TARE__WALKERS][TARE_MAX_DIMS] = { { 0 } };
    tare__strides(a_shape, shape, stride[0]);
    tare__strides(b_shape, shape, stride[1]);
    walk w = { .f = f, .space = tare__space_of(shape, stride), .a = a, .b = b, .y = y, .add = add };
    tare_parallel_for(tare_shape_numel(shape), tare__grain(1), walk_range, &w);
}

void tare__repeat(tare_shape shape, const tare_real *a, tare_shape a_shape, double factor, tare_real *y, bool add) {
    binary(tare__kernels()->mul, shape, a, a_shape, &(tare_real){ (tare_real)factor }, TARE_SCALAR, y, add);
}

/* ---- ops of two operands ----------------------------------------------------------------------------------------- */

tare_status tare__binary_check(tare_node *n) {
    tare_status status = tare__broadcast_check(n, n->in[0]->shape, n->in[1]->shape, &n->shape);
    if (status) { return status; }
    /* The cut of a sum depends on what dy is multiplied with: nothing, the other operand, or y itself. */
    for (int i = 0; i < 2; i++) {
        const tare_shape factor[] = { TARE_SCALAR, n->in[1 - i]->shape, n->shape };
        for (int f = 0; f < 3; f++) {
            tare__reduction r = tare__reduction_plan(n->shape, n->in[i]->shape, factor[f]);
            size_t bytes = tare__reduction_scratch(&r);
            if (bytes > n->grad_scratch_bytes) { n->grad_scratch_bytes = bytes; }
        }
    }
    return TARE_OK;
}

void tare__binary_forward(const tare_node *n, tare__binary_fn f) {
    const tare_tensor *a = n->in[0], *b = n->in[1];
    binary(f, n->shape, a->data, a->shape, b->data, b->shape, n->out->data, false);
}

void tare__binary_pass(const tare_node *n, int i, double factor) {
    tare_real *dx = tare_grad(n, i);
    if (!dx) { return; }
    bool add = tare_grad_add(n, i);
    if (!tare__binary_repeats(n, i)) {
        tare__repeat(n->shape, n->out->grad, n->shape, factor, dx, add);
        return;
    }
    tare__reduction r = tare__reduction_plan(n->shape, n->in[i]->shape, TARE_SCALAR);
    tare__reduce(&r, (tare__sum){ .x = n->out->grad, .factor = factor, .to = dx, .add = add, .scratch = n->scratch });
}

void tare__binary_apply(const tare_node *n, int i, tare__binary_fn f, const tare_tensor *other) {
    tare_real *dx = tare_grad(n, i);
    if (!dx) { return; }
    bool add = tare_grad_add(n, i);
    if (!tare__binary_repeats(n, i)) {
        binary(f, n->shape, n->out->grad, n->shape, other->data, other->shape, dx, add);
        return;
    }
    tare__reduction r = tare__reduction_plan(n->shape, n->in[i]->shape, other->shape);
    tare__reduce(&r, (tare__sum){ .x = n->out->grad,
                                  .f = f,
                                  .other = other->data,
                                  .factor = 1,
                                  .to = dx,
                                  .add = add,
                                  .scratch = n->scratch });
}
