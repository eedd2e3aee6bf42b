/* test_sequence_pytorch.c - sequence layers are PyTorch's: the names of their parameters, how these start, results, gradients.
 * tare-test: double */
#include "sequence_bench.h"

#include <math.h>

/* ---- PyTorch's numbers --------------------------------------------------------------------------------------------- */

typedef tare_layer *(*build_fn)(tare_params *ps, const tare_sequence *sequence);

static tare_layer *post_padded(tare_params *ps, const tare_sequence *sequence) {
    return tare_layer_transformer(
        ps, "net", 12,
        (tare_layer_transformer_opt){
            .heads = 3, .post_norm = true, .act = "relu", .hidden = 20, .sequence = sequence });
}
static tare_layer *pre_causal(tare_params *ps, const tare_sequence *sequence) {
    (void)sequence;
    return tare_layer_transformer(ps, "net", 12,
                                  (tare_layer_transformer_opt){ .heads = 3, .causal = true, .hidden = 20 });
}
static tare_layer *swiglu(tare_params *ps, const char *norm) {
    return tare_layer_transformer(
        ps, "net", 12,
        (tare_layer_transformer_opt){ .heads = 3, .causal = true, .act = "swiglu", .norm = norm, .no_bias = true });
}
static tare_layer *swiglu_rms(tare_params *ps, const tare_sequence *sequence) {
    (void)sequence;
    return swiglu(ps, "rms");
}
static tare_layer *swiglu_bn(tare_params *ps, const tare_sequence *sequence) {
    (void)sequence;
    return swiglu(ps, "bn");
}
static tare_layer *sines(tare_params *ps, const tare_sequence *sequence) {
    return tare_layer_positions(ps, "net", 20, 12,
                                (tare_layer_positions_opt){ .sinusoidal = true, .sequence = sequence });
}

#define RNN(function, kind, ...)                                                                                       \
    static tare_layer *function(tare_params *ps, const tare_sequence *sequence) {                                      \
        return tare_layer_rnn(ps, "net", kind, 12, 5, (tare_layer_rnn_opt){ .sequence = sequence, __VA_ARGS__ });      \
    }
RNN(lstm_two, TARE_LSTM, .layers = 2)
RNN(gru_batch_first, TARE_GRU, .batch_first = true)
RNN(rnn_plain, TARE_RNN_RELU, .no_bias = true)
RNN(lstm_bn, TARE_LSTM, .input_norm = "bn")
RNN(gru_ln, TARE_GRU, .input_norm = "ln")
RNN(lstm_ln_inside, TARE_LSTM, .cell_norm = "ln")
RNN(gru_ln_inside, TARE_GRU, .cell_norm = "ln")
RNN(rnn_ln_inside, TARE_RNN_TANH, .cell_norm = "ln")

static const int32_t lengths[] = { 7, 4 };

static const struct net {
    const char *name;
    build_fn build;
    tare_sequence sequence;
} nets[] = {
    { "post_padded", post_padded, { .lengths = lengths } },
    { "pre_causal", pre_causal, { 0 } },
    { "swiglu_rms", swiglu_rms, { 0 } },
    { "swiglu_bn", swiglu_bn, { 0 } },
    { "sines", sines, { 0 } },
    { "lstm_two", lstm_two, { 0 } },
    { "gru_batch_first", gru_batch_first, { 0 } },
    { "rnn_plain", rnn_plain, { 0 } },
    { "lstm_bn", lstm_bn, { 0 } },
    { "gru_ln", gru_ln, { 0 } },
    { "lstm_ln_inside", lstm_ln_inside, { 0 } },
    { "gru_ln_inside", gru_ln_inside, { 0 } },
    { "rnn_ln_inside", rnn_ln_inside, { 0 } },
};

static const double *demand(const golden *g, const char *net, const char *what, const char *name, tare_shape shape) {
    tare_shape there;
    const double *values = golden_get(g, &there, "%s/%s%s", net, what, name);
    if (!values) { fail_msg("no golden %s/%s%s", net, what, name); }
    tare_shape_buf a, b;
    if (!tare_shape_equal(shape, there)) {
        fail_msg("%s/%s%s is %s, in the golden %s", net, what, name, tare_shape_text(shape, &a),
                 tare_shape_text(there, &b));
    }
    return values;
}

static tare_real *reals(const double *from, int64_t n) {
    tare_real *to = tare_malloc((size_t)n * sizeof *to);
    assert_non_null(to);
    for (int64_t i = 0; i < n; i++) { to[i] = (tare_real)from[i]; }
    return to;
}

static void agrees(const golden *g, const struct net *net, bench *b, tare_layer *layer) {
    const double tol = test_tol(2e-5, 1e-10);
    for (int i = 0; i < tare_params_count(b->ps); i++) {
        tare_tensor *w = tare_params_at(b->ps, i);
        const double *values = demand(g, net->name, "param/", w->name + strlen("net."), w->shape);
        for (int64_t j = 0; j < w->numel; j++) { w->data[j] = (tare_real)values[j]; }
    }
    tare_shape shape;
    const double *x_values = golden_get(g, &shape, "%s/x", net->name);
    assert_non_null(x_values);
    tare_real *x_data = reals(x_values, tare_shape_numel(shape));
    tare_tensor *x = tare_input(b->tape, shape, x_data);
    x->requires_grad = true;
    tare_tensor *y = tare_forward(layer, b->tape, x);
    if (!y) { fail_msg("%s: %s", net->name, tare_tape_error(b->tape)); }
    assert_all_near(y->data, demand(g, net->name, "y", "", y->shape), y->numel, tol);
    tare_real *dy = reals(demand(g, net->name, "dy", "", y->shape), y->numel);
    tare_params_zero_grad(b->ps);
    assert_ok(tare_backward_from(b->tape, y, dy));
    assert_all_near(x->grad, demand(g, net->name, "dx", "", x->shape), x->numel, tol);
    for (int i = 0; i < tare_params_count(b->ps); i++) {
        tare_tensor *w = tare_params_at(b->ps, i);
        assert_all_near(w->grad, demand(g, net->name, "grad/", w->name + strlen("net."), w->shape), w->numel, tol);
    }
    tare_free(x_data);
    tare_free(dy);
}

static void as_pytorch(void **state) {
    (void)state;
    golden *g = golden_open("sequence");
    assert_non_null(g);
    int seen = 0;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        bench *b = bench_new(true);
        tare_layer *layer = nets[i].build(b->ps, &nets[i].sequence);
        if (!layer) { fail_msg("%s: %s", nets[i].name, tare_params_error(b->ps)); }
        agrees(g, &nets[i], b, layer);
        seen += tare_params_count(b->ps);
        bench_free(b);
    }
    /* every parameter PyTorch has, and no other */
    for (int64_t i = 0; golden_key(g, i); i++) { seen -= strstr(golden_key(g, i), "/param/") != NULL; }
    assert_int_equal(0, seen);
    golden_close(g);
}

/* ---- starting values ----------------------------------------------------------------------------------------------- */

static double largest(const tare_tensor *w) {
    double most = 0;
    for (int64_t i = 0; i < w->numel; i++) { most = fmax(most, fabs((double)w->data[i])); }
    return most;
}

static void starts_as_pytorch(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_layer_transformer(b->ps, "h", 64, (tare_layer_transformer_opt){ .heads = 4 });
    tare_layer_embedding(b->ps, "te", 50, 64);
    assert_ok(tare_params_status(b->ps));
    double in_proj = largest(tare_params_find(b->ps, "h.self_attn.in_proj_weight")), bound = sqrt(6.0 / (64 + 192));
    assert_true(in_proj <= bound && in_proj > 0.98 * bound);
    assert_true(largest(tare_params_find(b->ps, "h.self_attn.in_proj_bias")) == 0);
    assert_true(largest(tare_params_find(b->ps, "h.self_attn.out_proj.bias")) == 0);
    double out_proj = largest(tare_params_find(b->ps, "h.self_attn.out_proj.weight"));
    assert_true(out_proj <= 0.125 && out_proj > 0.98 * 0.125);
    assert_true(tare_shape_equal(TARE_SHAPE(256, 64), tare_params_find(b->ps, "h.linear1.weight")->shape));
    const tare_tensor *table = tare_params_find(b->ps, "te.weight");
    double square = 0;
    for (int64_t i = 0; i < table->numel; i++) { square += (double)table->data[i] * (double)table->data[i]; }
    assert_near(square / (double)table->numel, 1, 0.1);
    for (int i = 0; i < tare_params_count(b->ps); i++) {
        const tare_tensor *w = tare_params_at(b->ps, i);
        assert_int_equal(w->shape.ndim > 1, !(tare_params_flags(b->ps, i) & TARE_NO_DECAY));
    }
    bench_free(b);
}

static void hidden_rule(void **state) {
    (void)state;
    assert_int_equal(512, tare_feed_forward_hidden(NULL, 128));
    assert_int_equal(512, tare_feed_forward_hidden("silu", 128));
    assert_int_equal(344, tare_feed_forward_hidden("swiglu", 128));
    assert_int_equal(1024, tare_feed_forward_hidden("reglu", 384));
    assert_int_equal(8, tare_feed_forward_hidden("bilinear", 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_pytorch),
        cmocka_unit_test(starts_as_pytorch),
        cmocka_unit_test(hidden_rule),
    };
    return cmocka_run_group_tests_name("sequence layers as PyTorch has them", tests, NULL, NULL);
}
