/* test_weight_norm_layers.c - spectral norm and weight norm of other layers than conv2d, whose outputs lie elsewhere:
 * closed forms of weight and gradient over two forwards.   tare-test: double */
#include "weight_bench.h"

#include <tare/sequence.h>

enum { OUTPUTS = 3, TABLE = 7, WIDTH = 5, MOST = 4 * OUTPUTS * 9 };

/* A transposed convolution (weight [4, 3, 3, 3], outputs second) or an embedding ([7, 5], outputs first), its weight under
 * `spec`, as a matrix with rows of outputs. */
typedef struct other {
    bench b;
    int rows, cols, inner;
} other;

static const tare_conv_transpose2d_opt doubling = { .stride = 2, .pad = 1 };
static const int32_t rows_read[6] = { 0, 3, 6, 3, 1, 5 };

static other other_new(bool transposed, const char *spec) {
    other o = { .b = { .ps = tare_params_new(5), .tape = tare_tape_new((tare_tape_opt){ .training = true }) } };
    tare_layer_conv_transpose2d_opt opt = { .stride = doubling.stride, .pad = doubling.pad, .no_bias = true };
    o.b.layer = transposed ? tare_layer_conv_transpose2d(o.b.ps, "layer", 4, OUTPUTS, 3, opt)
                           : tare_layer_embedding(o.b.ps, "layer", TABLE, WIDTH);
    assert_non_null(o.b.layer);
    assert_ok(tare_norm_weight(o.b.layer, spec));
    o.rows = transposed ? OUTPUTS : TABLE;
    o.cols = (int)o.b.layer->weight->numel / o.rows;
    o.inner = transposed ? 9 : WIDTH;
    return o;
}

/* Where the weight of row r, column c lies. */
static int place(const other *o, int r, int c) { return (c / o->inner * o->rows + r) * o->inner + c % o->inner; }

static tare_tensor *input_of(const other *o, tare_tape *tape, int pass) {
    bool transposed = o->b.layer->out_dim == 1;
    tare_tensor *x = tare_input(tape, transposed ? TARE_SHAPE(2, 4, 3, 4) : TARE_SHAPE(2, 3), NULL);
    for (int i = 0; i < x->numel; i++) {
        x->data[i] = transposed ? (tare_real)sin(0.7 * i + pass) : (tare_real)rows_read[(i + pass) % 6];
    }
    return x;
}

static tare_tensor *weights_of(tare_tape *tape, tare_tensor *y, int pass) {
    tare_tensor *g = tare_input(tape, y->shape, NULL);
    for (int i = 0; i < g->numel; i++) { g->data[i] = (tare_real)cos(1.3 * i + 2 * pass); }
    return g;
}

/* The layer's result with `w` for its weight, straight from the op; returns the result, and dL/dw in g. */
static tare_tensor *plain(const other *o, tare_tape *tape, const double *w, int pass, double *g) {
    tare_tensor *weight = tare_input(tape, o->b.layer->weight->shape, NULL), *x = input_of(o, tape, pass), *y;
    int32_t index[6];
    weight->requires_grad = true;
    for (int i = 0; i < weight->numel; i++) { weight->data[i] = (tare_real)w[i]; }
    if (o->b.layer->out_dim == 1) {
        y = tare_conv_transpose2d(tape, x, weight, NULL, doubling);
    } else {
        for (int i = 0; i < 6; i++) { index[i] = rows_read[(i + pass) % 6]; }
        y = tare_embedding(tape, weight, index, x->shape);
    }
    tare_tensor *kept = tare_detach(tape, y);
    assert_ok(tare_backward_from(tape, y, weights_of(tape, y, pass)->data));
    for (int i = 0; i < weight->numel; i++) { g[i] = (double)weight->grad[i]; }
    return kept;
}

/* The weight that a forward should have used, and the gradients of all forwards so far. */
typedef struct closed {
    double weight[MOST], grad[MOST], lengths[TABLE];
} closed;

/* w / sigma; from g, its gradient, that of w: (g - <g, w> / sigma u v') / sigma */
static void spectral_weight(const other *o, double *weight, double *uv) {
    const tare_tensor *u = tare_params_find(o->b.ps, "layer.weight_u"),
                      *v = tare_params_find(o->b.ps, "layer.weight_v");
    assert_true(tare_shape_equal(TARE_SHAPE(o->rows), u->shape));
    assert_true(tare_shape_equal(TARE_SHAPE(o->cols), v->shape));
    double sigma = 0;
    for (int r = 0; r < o->rows; r++) {
        for (int c = 0; c < o->cols; c++) {
            int i = place(o, r, c);
            uv[i] = (double)u->data[r] * (double)v->data[c];
            sigma += (double)o->b.layer->weight->data[i] * uv[i];
        }
    }
    for (int i = 0; i < o->rows * o->cols; i++) { weight[i] = (double)o->b.layer->weight->data[i] / sigma; }
}

static void spectral_grad(const other *o, const double *weight, const double *uv, const double *g, closed *sum) {
    int n = o->rows * o->cols;
    double along = 0, sigma = (double)o->b.layer->weight->data[0] / weight[0];
    for (int i = 0; i < n; i++) { along += g[i] * weight[i]; }
    for (int i = 0; i < n; i++) { sum->grad[i] += (g[i] - along * uv[i]) / sigma; }
}

/* w = s v / |v| for each row, s its length: dv = s / |v| (g - <g, v> v / |v|^2), ds = <g, v> / |v| */
static double row_product(const other *o, int r, const double *a, const tare_real *b) {
    double sum = 0;
    for (int c = 0; c < o->cols; c++) { sum += a[place(o, r, c)] * (double)b[place(o, r, c)]; }
    return sum;
}

static double row_length(const other *o, int r) {
    double v[MOST];
    for (int i = 0; i < o->rows * o->cols; i++) { v[i] = (double)o->b.layer->weight->data[i]; }
    return sqrt(row_product(o, r, v, o->b.layer->weight->data));
}

static void length_weight(const other *o, double *weight) {
    const tare_tensor *s = tare_params_find(o->b.ps, "layer.weight_g");
    assert_int_equal(o->rows, s->numel);
    for (int r = 0; r < o->rows; r++) {
        for (int c = 0; c < o->cols; c++) {
            int i = place(o, r, c);
            weight[i] = (double)s->data[r] * (double)o->b.layer->weight->data[i] / row_length(o, r);
        }
    }
}

static void length_grad(const other *o, const double *g, closed *sum) {
    const tare_tensor *s = tare_params_find(o->b.ps, "layer.weight_g");
    const tare_real *v = o->b.layer->weight->data;
    for (int r = 0; r < o->rows; r++) {
        double length = row_length(o, r), along = row_product(o, r, g, v);
        sum->lengths[r] += along / length;
        for (int c = 0; c < o->cols; c++) {
            int i = place(o, r, c);
            sum->grad[i] += (double)s->data[r] / length * (g[i] - along * (double)v[i] / (length * length));
        }
    }
}

/* Two forwards of the layer, one backward, against the op on a weight worked out here and the gradient of that. */
static void two_forwards_of(bool transposed, bool spectral) {
    other o = other_new(transposed, spectral ? "sn" : "wn");
    double tol = test_tol(2e-5, 1e-11), uv[MOST], g[MOST];
    closed want = { { 0 }, { 0 }, { 0 } };
    tare_tape *side = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *u = tare_params_find(o.b.ps, "layer.weight_u"), *s = tare_params_find(o.b.ps, "layer.weight_g");
    for (int r = 0; spectral && r < o.rows; r++) { u->data[r] = (tare_real)(r == 0); } /* each forward moves it far */
    for (int r = 0; !spectral && r < o.rows; r++) { s->data[r] *= (tare_real)(1 + 0.3 * r); }
    tare_params_zero_grad(o.b.ps);
    tare_tensor *loss = NULL;
    for (int pass = 0; pass < 2; pass++) {
        tare_tensor *y = tare_forward(o.b.layer, o.b.tape, input_of(&o, o.b.tape, pass));
        assert_ok(tare_tape_status(o.b.tape));
        tare_tensor *l = tare_sum(o.b.tape, tare_mul(o.b.tape, y, weights_of(o.b.tape, y, pass)), 0, false);
        loss = loss ? tare_add(o.b.tape, loss, l) : l;
        if (spectral) {
            spectral_weight(&o, want.weight, uv);
        } else {
            length_weight(&o, want.weight);
        }
        const tare_tensor *same = plain(&o, side, want.weight, pass, g);
        for (int i = 0; i < y->numel; i++) { assert_near(y->data[i], same->data[i], tol); }
        if (spectral) {
            spectral_grad(&o, want.weight, uv, g, &want);
        } else {
            length_grad(&o, g, &want);
        }
        tare_tape_reset(side);
    }
    assert_ok(tare_backward(o.b.tape, loss));
    assert_all_near(o.b.layer->weight->grad, want.grad, o.rows * o.cols, tol);
    if (!spectral) { assert_all_near(s->grad, want.lengths, o.rows, tol); }
    tare_tape_free(side);
    bench_free(&o.b);
}

static void two_forwards_of_a_transposed_convolution(void **state) {
    (void)state;
    two_forwards_of(true, true);
    two_forwards_of(true, false);
}

static void two_forwards_of_an_embedding(void **state) {
    (void)state;
    two_forwards_of(false, true);
    two_forwards_of(false, false);
}

/* The weight as the layer computes with it: largest singular value 1 with sn, each output as long as before with wn. */
static void outputs_of_other_layers(void **state) {
    (void)state;
    for (int transposed = 0; transposed < 2; transposed++) {
        other o = other_new(transposed, "sn");
        tare_real turned[MOST];
        for (int step = 0; step < 60; step++) {
            tare_tape_reset(o.b.tape);
            assert_non_null(tare_layer_weight(o.b.layer, o.b.tape));
        }
        const tare_tensor *w = tare_layer_weight(o.b.layer, o.b.tape);
        assert_true(tare_shape_equal(o.b.layer->weight->shape, w->shape));
        for (int r = 0; r < o.rows; r++) {
            for (int c = 0; c < o.cols; c++) { turned[r * o.cols + c] = w->data[place(&o, r, c)]; }
        }
        assert_near(sigma_of(turned, o.rows, o.cols), 1, 1e-3);
        bench_free(&o.b);

        o = other_new(transposed, "wn");
        w = tare_layer_weight(o.b.layer, o.b.tape);
        assert_true(tare_shape_equal(o.b.layer->weight->shape, w->shape));
        for (int i = 0; i < o.rows * o.cols; i++) {
            assert_near(w->data[i], o.b.layer->weight->data[i], test_tol(1e-6, 1e-13));
        }
        bench_free(&o.b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_of_other_layers),
        cmocka_unit_test(two_forwards_of_a_transposed_convolution),
        cmocka_unit_test(two_forwards_of_an_embedding),
    };
    return cmocka_run_group_tests_name("weight norms of other layers", tests, NULL, NULL);
}
