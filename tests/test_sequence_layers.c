/* test_sequence_layers.c - what sequence layers compute: gates, causality, positions, tied weights; gradients of blocks; errors.
 * tare-test: double */
#include "sequence_bench.h"

#include <tare/testing.h>

#include <stdio.h>

static tare_tensor *random_input(tare_tape *tape, tare_shape shape) {
    tare_tensor *x = tare_input(tape, shape, NULL);
    assert_non_null(x);
    tare_rng rng = tare_rng_new(3, "test");
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
    return x;
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_gates),
        cmocka_unit_test(causal_blocks_see_no_future),
        cmocka_unit_test(rotary_blocks_know_distances_alone),
        cmocka_unit_test(positions_count_from_the_offset),
        cmocka_unit_test(tied_weights),
        cmocka_unit_test(block_gradients),
        cmocka_unit_test(construction_errors),
        cmocka_unit_test(running_errors),
    };
    return cmocka_run_group_tests_name("sequence layers", tests, NULL, NULL);
}
