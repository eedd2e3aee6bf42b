/* glu.c - gated linear units, y = value * act(gate), of one packed input [..., 2H] or of two. */
#include "../kernels/glu.h"

#include "common.h"

#include <tare/sequence.h>

#include <inttypes.h>

enum { WORK = 6 };

typedef struct attributes {
    tare_glu_kind kind;
} attributes;

static tare_status check(tare_node *n) {
    const attributes *a = n->attr;
    tare_shape_buf first, second;
    tare_shape x = n->in[0]->shape;
    if (a->kind < TARE_GLU || a->kind > TARE_BILINEAR) {
        return tare_node_fail(n, TARE_EINVAL, "there is no kind %d", (int)a->kind);
    }
    n->shape = x;
    if (n->in[1]) {
        if (tare_shape_equal(x, n->in[1]->shape)) { return TARE_OK; }
        return tare_node_fail(n, TARE_ESHAPE, "values %s and gates %s must have one shape", tare_shape_text(x, &first),
                              tare_shape_text(n->in[1]->shape, &second));
    }
    if (x.ndim < 1 || x.dim[x.ndim - 1] % 2) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must end in an even number: as many values, then as many gates",
                              tare_shape_text(x, &first));
    }
    n->shape.dim[x.ndim - 1] /= 2;
    return TARE_OK;
}

/* Split inputs have no gaps: any cut into rows will do. */
static tare__glu rows_of(const tare_node *n, int64_t *rows) {
    const attributes *a = n->attr;
    tare__glu x = { .kind = (int)a->kind, .value = n->in[0]->data };
    if (n->in[1]) {
        x.cols = x.step = 1024;
        x.gate = n->in[1]->data;
        *rows = tare__ceil_div(n->out->numel, x.cols);
    } else {
        x.cols = n->shape.dim[n->shape.ndim - 1];
        x.step = 2 * x.cols;
        x.gate = x.value + x.cols;
        *rows = x.cols ? n->out->numel / x.cols : 0;
    }
    return x;
}

typedef struct job {
    tare__glu x;
    int64_t numel;
    void (*kernel)(const tare__glu *x, int64_t begin, int64_t end);
} job;

static void run_rows(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    int64_t whole = tare__min(end, j->numel / j->x.cols);
    j->kernel(&j->x, begin, whole);
    if (whole == end) { return; }
    /* the last of the rows that a split input was cut into may be shorter */
    tare__glu last = j->x;
    int64_t at = whole * last.cols;
    last.cols = last.step = j->numel - at;
    last.value += at;
    last.gate += at;
    last.y = last.y ? last.y + at : NULL;
    last.dy = last.dy ? last.dy + at : NULL;
    last.dvalue = last.dvalue ? last.dvalue + at : NULL;
    last.dgate = last.dgate ? last.dgate + at : NULL;
    j->kernel(&last, 0, 1);
}

static void run(job *j, int64_t rows, double work) {
    tare_parallel_for(rows, tare__grain(work * (double)j->x.cols), run_rows, j);
}

static void forward(tare_node *n) {
    int64_t rows;
    job j = { .x = rows_of(n, &rows), .numel = n->out->numel, .kernel = tare__kernels()->glu };
    j.x.y = n->out->data;
    run(&j, rows, WORK);
}

static void backward(tare_node *n) {
    int64_t rows;
    job j = { .x = rows_of(n, &rows), .numel = n->out->numel, .kernel = tare__kernels()->glu_back };
    j.x.dy = n->out->grad;
    j.x.dvalue = tare_grad(n, 0);
    j.x.add_value = j.x.dvalue && tare_grad_add(n, 0);
    if (n->in[1]) {
        j.x.dgate = tare_grad(n, 1);
        j.x.add_gate = j.x.dgate && tare_grad_add(n, 1);
    } else if (j.x.dvalue) {
        j.x.dgate = j.x.dvalue + j.x.cols;
        j.x.add_gate = j.x.add_value;
    }
    run(&j, rows, 2 * WORK);
}

#define KIND(k)                                                                                                        \
    .attr = &(const attributes) { k }

static const tare_opcase cases[] = {
    { .name = "glu", .in = { { 2, { 5, 74 } } }, .absent = 2, KIND(TARE_GLU) },
    { .name = "swiglu", .in = { { 3, { 2, 3, 38 } } }, .absent = 2, KIND(TARE_SWIGLU) },
    { .name = "geglu", .in = { { 2, { 4, 66 } } }, .absent = 2, KIND(TARE_GEGLU) },
    { .name = "reglu",
      .in = { { 2, { 4, 14 } } },
      .absent = 2,
      .fill = { { TARE_FILL_AWAY, 0.1, 0 } },
      KIND(TARE_REGLU) },
    { .name = "bilinear", .in = { { 1, { 10 } } }, .absent = 2, KIND(TARE_BILINEAR) },
    { .name = "glu_split", .in = { { 2, { 3, 7 } }, { 2, { 3, 7 } } }, KIND(TARE_GLU) },
    { .name = "swiglu_split", .in = { { 3, { 2, 3, 347 } }, { 3, { 2, 3, 347 } } }, KIND(TARE_SWIGLU) },
    { .name = "geglu_split", .in = { { 2, { 3, 7 } }, { 2, { 3, 7 } } }, KIND(TARE_GEGLU) },
    { .name = "reglu_split",
      .in = { { 2, { 3, 7 } }, { 2, { 3, 7 } } },
      .fill = { { TARE_FILL_NORMAL, 0, 0 }, { TARE_FILL_AWAY, 0.1, 0 } },
      KIND(TARE_REGLU) },
    { .name = "bilinear_split", .in = { { 0, { 0 } }, { 0, { 0 } } }, KIND(TARE_BILINEAR) },
    { .name = NULL },
};

const tare_op tare_op_glu = {
    .name = "glu",
    .n_in = 2,
    .n_optional = 1,
    .attr_size = sizeof(attributes),
    .flags = TARE_OP_FRESH | TARE_OP_CHEAP,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_glu(tare_tape *t, tare_tensor *x, tare_glu_kind kind) {
    return tare_apply(t, &tare_op_glu, (tare_tensor *[]){ x, NULL }, 2, &(attributes){ kind });
}

tare_tensor *tare_glu_split(tare_tape *t, tare_tensor *value, tare_tensor *gate, tare_glu_kind kind) {
    if (!value || !gate) { return NULL; }
    return tare_apply(t, &tare_op_glu, (tare_tensor *[]){ value, gate }, 2, &(attributes){ kind });
}
