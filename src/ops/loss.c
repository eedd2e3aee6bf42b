/* loss.c - see loss.h. */
#include "loss.h"

/* Values per chunk: by the size of the loop body alone, so that partial sums are the same for any number of threads. */
enum { CHUNK = TARE__CHUNK_WORK / 2 };

tare_status tare__loss_check(tare_node *n) {
    const tare__loss_attr *attr = n->attr;
    const tare_tensor *x = n->in[0], *y = n->in[1];
    if (!tare_shape_equal(x->shape, y->shape)) {
        tare_shape_buf left, right;
        return tare_node_fail(n, TARE_ESHAPE, "x %s and y %s differ in shape; tare_reshape may help",
                              tare_shape_text(x->shape, &left), tare_shape_text(y->shape, &right));
    }
    if (attr->reduction != TARE_MEAN && attr->reduction != TARE_SUM) {
        return tare_node_fail(n, TARE_EINVAL, "reduction %d is neither TARE_MEAN nor TARE_SUM", (int)attr->reduction);
    }
    n->shape = TARE_SCALAR;
    n->scratch_bytes = (size_t)tare__ceil_div(x->numel, CHUNK) * sizeof(double);
    return TARE_OK;
}

tare_status tare__loss_check_target(tare_node *n) {
    if (n->grad && n->in[1]->requires_grad) {
        return tare_node_fail(n, TARE_ENOGRAD, "y takes no gradient, but one is wanted; use tare_detach on it");
    }
    return tare__loss_check(n);
}

typedef struct job {
    const tare_real *x, *y;
    double *partial;
    tare__loss_sum sum;
    tare__loss_back back;
    tare_real dy;
    tare_real *dx;
    bool add;
} job;

static void sum_chunk(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    w->partial[begin / CHUNK] = w->sum(end - begin, w->x + begin, w->y + begin);
}

/* What the loss is divided by. */
static double divisor(const tare_node *n) {
    const tare__loss_attr *attr = n->attr;
    return attr->reduction == TARE_MEAN ? (double)n->in[0]->numel : 1;
}

void tare__loss_forward(tare_node *n, tare__loss_sum sum) {
    int64_t numel = n->in[0]->numel;
    job w = { .x = n->in[0]->data, .y = n->in[1]->data, .partial = n->scratch, .sum = sum };
    tare_parallel_for(numel, CHUNK, sum_chunk, &w);
    double total = 0;
    for (int64_t chunk = 0; chunk * CHUNK < numel; chunk++) { total += w.partial[chunk]; }
    n->out->data[0] = (tare_real)(total / divisor(n));
}

static void back_chunk(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    w->back(end - begin, w->x + begin, w->y + begin, w->dy, w->dx + begin, w->add);
}

void tare__loss_backward(tare_node *n, int to, tare__loss_back back) {
    job w = { .x = n->in[to]->data, .y = n->in[1 - to]->data, .back = back, .dx = tare_grad(n, to) };
    if (!w.dx) { return; }
    w.add = tare_grad_add(n, to);
    w.dy = (tare_real)((double)n->out->grad[0] / divisor(n));
    tare_parallel_for(n->in[0]->numel, CHUNK, back_chunk, &w);
}
