/* test_sequence_layers.c - layers of sequence models: PyTorch's names, start and numbers; gradients; errors; memory.
 * tare-test: double */
#include "testing_support.h"

#include <tare/sequence.h>
#include <tare/testing.h>

#include <math.h>
#include <stdio.h>

typedef struct bench {
    tare_params *ps;
    tare_tape *tape;
} bench;

static bench *bench_new(bool training) {
    bench *b = tare_calloc(1, sizeof *b);
    b->ps = tare_params_new(7);
    b->tape = tare_tape_new((tare_tape_opt){ .training = training });
    return b;
}

static void bench_free(bench *b) {
    tare_tape_free(b->tape);
    tare_params_free(b->ps);
    tare_free(b);
}

static tare_tensor *random_input(tare_tape *tape, tare_shape shape) {
    tare_tensor *x = tare_input(tape, shape, NULL);
    assert_non_null(x);
    tare_rng rng = tare_rng_new(3, "test");
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
    return x;
}

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

/* ---- results ------------------------------------------------------------------------------------------------------- */

/* Packed or split, the same map: the rows of linear1 are values, then gates. */
static void split_gates(void **state) {
    (void)state;
    static const char *const acts[] = { "glu", "swiglu", "geglu", "reglu", "bilinear" };
    for (int i = 0; i < 5; i++) {
        bench *b = bench_new(true);
        tare_layer *packed =
            tare_layer_feed_forward(b->ps, "a", 6, (tare_layer_feed_forward_opt){ .act = acts[i], .hidden = 5 });
        tare_layer *split = tare_layer_feed_forward(
            b->ps, "b", 6, (tare_layer_feed_forward_opt){ .act = acts[i], .hidden = 5, .split = true });
        assert_ok(tare_params_status(b->ps));
        static const char *const parts[] = { "weight", "bias" };
        for (int p = 0; p < 2; p++) {
            char name[32];
            snprintf(name, sizeof name, "a.linear1.%s", parts[p]);
            const tare_tensor *from = tare_params_find(b->ps, name);
            snprintf(name, sizeof name, "b.linear1.%s", parts[p]);
            tare_tensor *value = tare_params_find(b->ps, name);
            snprintf(name, sizeof name, "b.gate.%s", parts[p]);
            tare_tensor *gate = tare_params_find(b->ps, name);
            memcpy(value->data, from->data, (size_t)value->numel * sizeof(tare_real));
            memcpy(gate->data, from->data + value->numel, (size_t)gate->numel * sizeof(tare_real));
            snprintf(name, sizeof name, "a.linear2.%s", parts[p]);
            const tare_tensor *down = tare_params_find(b->ps, name);
            snprintf(name, sizeof name, "b.linear2.%s", parts[p]);
            memcpy(tare_params_find(b->ps, name)->data, down->data, (size_t)down->numel * sizeof(tare_real));
        }
        tare_tensor *x = random_input(b->tape, TARE_SHAPE(2, 3, 6));
        tare_tensor *y = tare_forward(packed, b->tape, x), *z = tare_forward(split, b->tape, x);
        assert_ok(tare_tape_status(b->tape));
        for (int64_t j = 0; j < y->numel; j++) { assert_near(z->data[j], y->data[j], test_tol(1e-6, 1e-14)); }
        bench_free(b);
    }
}

/* No position hears of a later one; with rotary positions the start does not matter. */
static void causal_blocks_see_no_future(void **state) {
    (void)state;
    enum { T = 9, C = 8, AT = 5 };
    bench *b = bench_new(false);
    tare_layer *block = tare_layer_transformer(
        b->ps, "h", C, (tare_layer_transformer_opt){ .heads = 2, .causal = true, .rotary = true, .act = "geglu" });
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(1, T, C));
    tare_tensor *before = tare_forward(block, b->tape, x);
    for (int64_t i = AT * C; i < T * C; i++) { x->data[i] += 1; }
    tare_tensor *after = tare_forward(block, b->tape, x);
    assert_ok(tare_tape_status(b->tape));
    assert_memory_equal(before->data, after->data, AT * C * sizeof(tare_real));
    assert_true(before->data[AT * C] != after->data[AT * C]);
    bench_free(b);
}

static void rotary_blocks_know_distances_alone(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_sequence sequence = { .offset = 0 };
    tare_layer *layer = tare_layer_attention(
        b->ps, "a", 8, (tare_layer_attention_opt){ .heads = 2, .rotary = true, .sequence = &sequence });
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(1, 6, 8));
    tare_tensor *here = tare_forward(layer, b->tape, x);
    sequence.offset = 1000;
    tare_tensor *there = tare_forward(layer, b->tape, x);
    assert_ok(tare_tape_status(b->tape));
    for (int64_t i = 0; i < here->numel; i++) { assert_near(there->data[i], here->data[i], test_tol(1e-5, 1e-12)); }
    bench_free(b);
}

static void positions_count_from_the_offset(void **state) {
    (void)state;
    for (int sinusoidal = 0; sinusoidal < 2; sinusoidal++) {
        bench *b = bench_new(false);
        tare_sequence sequence = { .offset = 3 };
        tare_layer *p = tare_layer_positions(
            b->ps, "p", 5, 4, (tare_layer_positions_opt){ .sinusoidal = sinusoidal == 1, .sequence = &sequence });
        tare_tensor *x = random_input(b->tape, TARE_SHAPE(2, 2, 4)), *y = tare_forward(p, b->tape, x);
        sequence.offset = 0;
        tare_tensor *whole = tare_input(b->tape, TARE_SHAPE(1, 5, 4), NULL);
        for (int i = 0; i < 20; i++) { whole->data[i] = 0; }
        tare_tensor *table = tare_forward(p, b->tape, whole);
        for (int i = 0; i < 16; i++) { assert_near(y->data[i], x->data[i] + table->data[12 + i % 8], 0); }
        sequence.offset = 4;
        assert_null(tare_forward(p, b->tape, x));
        assert_contains(tare_tape_error(b->tape), "from position 4 on leaves the context of 5");
        bench_free(b);
    }
}

/* Embedding and output share one matrix; both uses bring gradient to it. */
static tare_tensor *tied_graph(tare_tape *tape, tare_tensor *const *in, void *user) {
    (void)in;
    tare_layer **layers = user;
    tare_tensor *h = tare_layer_embed(layers[0], tape, (const int32_t[]){ 3, 0, 3, 1 }, TARE_SHAPE(2, 2));
    return tare_forward(layers[1], tape, tare_tanh(tape, h));
}

static void tied_weights(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *layers[2];
    layers[0] = tare_layer_embedding(b->ps, "te", 5, 3);
    layers[1] = tare_layer_tied(b->ps, "head", layers[0]);
    assert_ok(tare_params_status(b->ps));
    assert_int_equal(1, tare_params_count(b->ps));
    tare_tensor *ids = tare_input(b->tape, TARE_SHAPE(2, 2), (const tare_real[]){ 3, 0, 3, 1 });
    tare_tensor *by_number = tare_forward(layers[0], b->tape, ids);
    tare_tensor *by_index = tare_layer_embed(layers[0], b->tape, (const int32_t[]){ 3, 0, 3, 1 }, TARE_SHAPE(2, 2));
    assert_memory_equal(by_number->data, by_index->data, 12 * sizeof(tare_real));
    assert_memory_equal(by_number->data, layers[0]->weight->data + 9, 3 * sizeof(tare_real));
    tare_gradcheck_report report;
    const tare_gradcheck_opt opt = { .params = b->ps, .bits = sizeof(tare_real) == sizeof(float) };
    if (tare_gradcheck("tied", tied_graph, layers, NULL, 0, &opt, &report)) { fail_msg("%s", report.message); }
    bench_free(b);
}

/* ---- gradients of whole blocks --------------------------------------------------------------------------------------- */

static tare_tensor *run_layer(tare_tape *tape, tare_tensor *const *in, void *user) {
    return tare_forward(user, tape, in[0]);
}

static void block_gradients(void **state) {
    (void)state;
    static const struct {
        const char *norm, *act;
        bool post, rotary, split;
        double dropout;
    } cases[] = { { "ln", "swiglu", false, true, false, 0 },      { "ln", "gelu", true, false, false, 0.2 },
                  { "rms", "reglu", true, true, true, 0 },        { "bn", "silu", false, false, false, 0 },
                  { "gn:2", "glu", false, false, true, 0.1 },     { "none", "geglu", false, false, false, 0 },
                  { "wn+ln", "bilinear", false, false, false, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench *b = bench_new(true);
        tare_layer *block = tare_layer_transformer(b->ps, "h", 4,
                                                   (tare_layer_transformer_opt){ .heads = 2,
                                                                                 .causal = true,
                                                                                 .norm = cases[i].norm,
                                                                                 .act = cases[i].act,
                                                                                 .post_norm = cases[i].post,
                                                                                 .rotary = cases[i].rotary,
                                                                                 .split = cases[i].split,
                                                                                 .hidden = 5,
                                                                                 .dropout = cases[i].dropout,
                                                                                 .attention_dropout = cases[i].dropout,
                                                                                 .hidden_dropout = cases[i].dropout });
        if (!block) { fail_msg("%s", tare_params_error(b->ps)); }
        tare_gradcheck_report report;
        const tare_gradcheck_opt opt = { .params = b->ps, .bits = sizeof(tare_real) == sizeof(float), .elements = 12 };
        const tare_gradcheck_input in = { .shape = TARE_SHAPE(2, 3, 4) };
        if (tare_gradcheck(cases[i].norm, run_layer, block, &in, 1, &opt, &report)) { fail_msg("%s", report.message); }
        bench_free(b);
    }
}

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

typedef tare_layer *(*wrong)(tare_params *ps);

static tare_layer *three_heads(tare_params *ps) {
    return tare_layer_transformer(ps, "h", 8, (tare_layer_transformer_opt){ .heads = 3 });
}
static tare_layer *odd_heads(tare_params *ps) {
    return tare_layer_attention(ps, "a", 6, (tare_layer_attention_opt){ .heads = 2, .rotary = true });
}
static tare_layer *no_such_act(tare_params *ps) {
    return tare_layer_transformer(ps, "h", 8, (tare_layer_transformer_opt){ .act = "swigul" });
}
static tare_layer *no_such_norm(tare_params *ps) {
    return tare_layer_transformer(ps, "h", 8, (tare_layer_transformer_opt){ .norm = "nl" });
}
static tare_layer *split_relu(tare_params *ps) {
    return tare_layer_feed_forward(ps, "f", 8, (tare_layer_feed_forward_opt){ .act = "relu", .split = true });
}
static tare_layer *negative_hidden(tare_params *ps) {
    return tare_layer_feed_forward(ps, "f", 8, (tare_layer_feed_forward_opt){ .hidden = -4 });
}
static tare_layer *drop_it_all(tare_params *ps) {
    return tare_layer_transformer(ps, "h", 8, (tare_layer_transformer_opt){ .attention_dropout = 1 });
}
static tare_layer *drop_too_much(tare_params *ps) {
    return tare_layer_transformer(ps, "h", 8, (tare_layer_transformer_opt){ .dropout = 2 });
}
static tare_layer *no_context(tare_params *ps) {
    return tare_layer_positions(ps, "p", 0, 4, (tare_layer_positions_opt){ .sinusoidal = true });
}
static tare_layer *tied_to_relu(tare_params *ps) { return tare_layer_tied(ps, "head", tare_layer_relu(ps, "act")); }

static void construction_errors(void **state) {
    (void)state;
    const struct {
        wrong build;
        const char *words;
    } cases[] = { { three_heads, "attention \"h.self_attn\": 3 heads do not divide a width of 8" },
                  { odd_heads, "rotary positions turn pairs, but a head has 3 features" },
                  { no_such_act, "there is no \"swigul\"; known: gelu, gelu_tanh, relu, silu, glu, swiglu" },
                  { no_such_norm, "norm \"nl\"" },
                  { split_relu, "feed_forward \"f\": \"relu\" has no gates to split off" },
                  { negative_hidden, "hidden is -4" },
                  { drop_it_all, "attention \"h.self_attn\": dropout is 1" },
                  { drop_too_much, "transformer \"h\": dropout is 2" },
                  { no_context, "positions \"p\": 0 positions of width 4" },
                  { tied_to_relu, "tied \"head\": \"act\" has no matrix of weights" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = tare_params_new(1);
        assert_null(cases[i].build(ps));
        assert_int_equal(TARE_EINVAL, tare_params_status(ps));
        assert_contains(tare_params_error(ps), cases[i].words);
        tare_params_free(ps);
    }
}

static void running_errors(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_layer *te = tare_layer_embedding(b->ps, "te", 5, 4);
    assert_null(tare_forward(te, b->tape, tare_input(b->tape, TARE_SHAPE(2), (const tare_real[]){ 1, 5 })));
    assert_contains(tare_tape_error(b->tape), "embedding \"te\": 5 at position 1 names none of 5 rows");
    tare_tape_reset(b->tape);
    assert_null(
        tare_forward(te, b->tape, tare_input(b->tape, TARE_SHAPE(2), (const tare_real[]){ (tare_real)0.5, 1 })));
    assert_contains(tare_tape_error(b->tape), "0.5 at position 0");
    tare_tape_reset(b->tape);
    tare_tensor *gone = tare_scale(b->tape, random_input(b->tape, TARE_SHAPE(2)), 1);
    tare_release(b->tape, gone);
    assert_null(tare_forward(te, b->tape, gone));
    assert_contains(tare_tape_error(b->tape), "embedding \"te\": x has no values any more");
    tare_tape_reset(b->tape);
    assert_null(tare_layer_embed(te, b->tape, NULL, TARE_SHAPE(1)));
    assert_contains(tare_tape_error(b->tape), "index is NULL");
    tare_tape_reset(b->tape);
    assert_null(tare_layer_embed(tare_layer_relu(b->ps, "act"), b->tape, (const int32_t[]){ 0 }, TARE_SHAPE(1)));
    assert_contains(tare_tape_error(b->tape), "the layer is no embedding");
    tare_tape_reset(b->tape);
    tare_layer *a = tare_layer_attention(b->ps, "a", 4, (tare_layer_attention_opt){ .heads = 2 });
    assert_null(tare_forward(a, b->tape, random_input(b->tape, TARE_SHAPE(3, 4))));
    assert_contains(tare_tape_error(b->tape), "attention \"a\": x [3,4] must be [B,T,4]");
    tare_tape_reset(b->tape);
    tare_layer *p = tare_layer_positions(b->ps, "p", 5, 4, (tare_layer_positions_opt){ 0 });
    assert_null(tare_forward(p, b->tape, random_input(b->tape, TARE_SHAPE(2, 3, 3))));
    assert_contains(tare_tape_error(b->tape), "positions \"p\": x [2,3,3] must be [B,T,4]");
    bench_free(b);
}

/* ---- a model, its memory and its threads ----------------------------------------------------------------------------- */

enum { ROWS = 11, WIDTH = 16, STEPS = 12 };

static tare_layer *build_model(tare_params *ps) {
    tare_layer *te = tare_layer_embedding(ps, "te", ROWS, WIDTH);
    tare_layer *layers[] = {
        te,
        tare_layer_positions(ps, "pe", STEPS, WIDTH, (tare_layer_positions_opt){ 0 }),
        tare_layer_transformer(
            ps, "h0", WIDTH,
            (tare_layer_transformer_opt){ .heads = 4, .causal = true, .act = "swiglu", .dropout = 0.1 }),
        tare_layer_transformer(
            ps, "h1", WIDTH,
            (tare_layer_transformer_opt){
                .heads = 2, .post_norm = true, .norm = "bn", .rotary = true, .attention_dropout = 0.1 }),
        tare_norm_layer(ps, "lnf", "ln", TARE_SHAPE(WIDTH)),
        tare_layer_tied(ps, "head", te),
    };
    return tare_layer_sequential(ps, "net", layers, sizeof layers / sizeof *layers);
}

static tare_tensor *tokens(tare_tape *tape, int64_t batch) {
    tare_tensor *x = tare_input(tape, TARE_SHAPE(batch, STEPS), NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(i * 7 % ROWS); }
    return x;
}

static void step(bench *b, tare_layer *net) {
    tare_tape_reset(b->tape);
    tare_params_zero_grad(b->ps);
    tare_tensor *y = tare_forward(net, b->tape, tokens(b->tape, 5));
    if (!y) { fail_msg("%s", tare_tape_error(b->tape)); }
    int32_t target[5 * STEPS];
    for (int i = 0; i < 5 * STEPS; i++) { target[i] = i * 3 % ROWS; }
    tare_tensor *rows = tare_reshape(b->tape, y, TARE_SHAPE(-1, ROWS));
    assert_ok(tare_backward(b->tape, tare_cross_entropy(b->tape, rows, target, (tare_cross_entropy_opt){ 0 })));
}

static void no_allocation_after_the_second_step(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *net = build_model(b->ps);
    uint64_t before = 0;
    for (int i = 0; i < 6; i++) {
        if (i == 2) { before = tare_alloc_count(); }
        step(b, net);
    }
    assert_true(before == tare_alloc_count());
    bench_free(b);
}

static void threads_change_nothing(void **state) {
    (void)state;
    tare_real *first = NULL;
    for (int threads = 1; threads <= 2; threads++) {
        tare_threads_set(threads);
        bench *b = bench_new(true);
        step(b, build_model(b->ps));
        size_t bytes = (size_t)tare_params_flat_size(b->ps) * sizeof *first;
        if (!first) {
            first = tare_malloc(bytes);
            memcpy(first, tare_params_flat_grad(b->ps), bytes);
        }
        assert_memory_equal(first, tare_params_flat_grad(b->ps), bytes);
        bench_free(b);
    }
    tare_free(first);
    tare_threads_set(0);
}

static void summary_shows_blocks(void **state) {
    (void)state;
    bench *b = bench_new(false);
    char *text = NULL;
    assert_ok(tare_summary(build_model(b->ps), TARE_SHAPE(STEPS), &text));
    assert_contains(text, "h0.self_attn");
    assert_contains(text, "h1.norm2");
    assert_contains(text, "[12,11]");
    tare_free(text);
    bench_free(b);
}

static void constructors_survive_short_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    bool stands = false;
    for (uint64_t n = 1; !stands; n++) {
        assert_true(n < 2000);
        tare_alloc_fail_at(n);
        tare_params *ps = tare_params_new(1);
        stands = build_model(ps) != NULL;
        tare_alloc_fail_at(0);
        assert_int_equal(stands ? TARE_OK : TARE_ENOMEM, tare_params_status(ps));
        tare_params_free(ps);
        assert_true(live == tare_alloc_live());
    }
}

/* ---- generating ------------------------------------------------------------------------------------------------------ */

static tare_layer *build_generator(tare_params *ps, const tare_sequence *sequence, bool causal) {
    tare_layer *te = tare_layer_embedding(ps, "te", ROWS, WIDTH);
    const tare_layer_transformer_opt opt = { .heads = 4, .causal = causal, .act = "swiglu", .sequence = sequence };
    tare_layer_transformer_opt rotary = opt;
    rotary.rotary = true;
    tare_layer *layers[] = {
        te, tare_layer_positions(ps, "pe", STEPS, WIDTH, (tare_layer_positions_opt){ .sequence = sequence }),
        tare_layer_transformer(ps, "h0", WIDTH, opt), tare_layer_transformer(ps, "h1", WIDTH, rotary),
        tare_layer_tied(ps, "head", te)
    };
    return tare_layer_sequential(ps, "net", layers, sizeof layers / sizeof *layers);
}

/* Columns [from, to) of tokens [batch, STEPS]. */
static tare_tensor *some_tokens(tare_tape *tape, int64_t batch, int64_t from, int64_t to) {
    return tare_slice(tape, tokens(tape, batch), 1, from, to, 1);
}

static void kept_keys_give_the_same(void **state) {
    (void)state;
    enum { B = 2, PROMPT = 4 };
    bench *b = bench_new(false);
    tare_sequence sequence = { 0 };
    tare_layer *net = build_generator(b->ps, &sequence, true);
    tare_tensor *whole = tare_forward(net, b->tape, some_tokens(b->tape, B, 0, STEPS));
    sequence.cache = tare_kv_cache_new(net, B, STEPS);
    assert_non_null(sequence.cache);
    for (int64_t at = 0, steps = PROMPT; at < STEPS; at += steps) {
        sequence.offset = at;
        steps = at ? 1 : PROMPT;
        tare_tensor *y = tare_forward(net, b->tape, some_tokens(b->tape, B, at, at + steps));
        if (!y) { fail_msg("%s", tare_tape_error(b->tape)); }
        for (int64_t i = 0; i < y->numel; i++) {
            int64_t row = i / ROWS, sample = row / steps, step = at + row % steps;
            assert_near(y->data[i], whole->data[(sample * STEPS + step) * ROWS + i % ROWS], test_tol(2e-5, 1e-12));
        }
    }
    tare_kv_cache_free(sequence.cache);
    bench_free(b);
}

static void fails_with(bench *b, tare_layer *net, tare_tensor *x, const char *words) {
    assert_null(tare_forward(net, b->tape, x));
    assert_contains(tare_tape_error(b->tape), words);
    tare_tape_reset(b->tape);
}

static void cache_errors(void **state) {
    (void)state;
    bench *b = bench_new(false), *other = bench_new(false);
    tare_sequence sequence = { 0 };
    tare_layer *net = build_generator(b->ps, &sequence, true), *stranger = build_generator(other->ps, &sequence, false);
    sequence.cache = tare_kv_cache_new(net, 2, 5);
    fails_with(b, net, some_tokens(b->tape, 2, 0, 6), "6 steps at position 0 leave the cache's context of 5");
    fails_with(b, net, some_tokens(b->tape, 3, 0, 2), "the cache of 2 sequences was not made for it and 3");
    sequence.offset = 3;
    fails_with(b, net, some_tokens(b->tape, 2, 0, 2), "2 steps at position 3; several at once only at 0");
    sequence.offset = 0;
    tare_tape_training_set(b->tape, true);
    fails_with(b, net, some_tokens(b->tape, 2, 0, 2), "\"h0.self_attn\": keys and values are kept in evaluation");
    fails_with(other, stranger, some_tokens(other->tape, 2, 0, 2), "of causal layers");
    assert_null(tare_kv_cache_new(net->children[0], 2, 5));
    assert_contains(tare_error(), "in 0 attention layers of \"te\"");
    assert_null(tare_kv_cache_new(net, 0, 5));
    uint64_t live = tare_alloc_live();
    for (uint64_t n = 1; n <= 5; n++) {
        tare_alloc_fail_at(n);
        tare_kv_cache *cache = tare_kv_cache_new(net, 2, 5);
        tare_alloc_fail_at(0);
        assert_null(cache);
        assert_true(live == tare_alloc_live());
    }
    tare_kv_cache_free(sequence.cache);
    bench_free(b);
    bench_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_pytorch),
        cmocka_unit_test(starts_as_pytorch),
        cmocka_unit_test(hidden_rule),
        cmocka_unit_test(split_gates),
        cmocka_unit_test(causal_blocks_see_no_future),
        cmocka_unit_test(rotary_blocks_know_distances_alone),
        cmocka_unit_test(positions_count_from_the_offset),
        cmocka_unit_test(tied_weights),
        cmocka_unit_test(block_gradients),
        cmocka_unit_test(construction_errors),
        cmocka_unit_test(running_errors),
        cmocka_unit_test(no_allocation_after_the_second_step),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(summary_shows_blocks),
        cmocka_unit_test(constructors_survive_short_memory),
        cmocka_unit_test(kept_keys_give_the_same),
        cmocka_unit_test(cache_errors),
    };
    return cmocka_run_group_tests_name("sequence layers", tests, NULL, NULL);
}
