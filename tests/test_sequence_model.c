/* test_sequence_model.c - a small model of sequence layers: its memory, its threads, its summary; generating with kept keys.
 * tare-test: double */
#include "sequence_bench.h"

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
    test_short_memory(build_model);
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
        cmocka_unit_test(no_allocation_after_the_second_step),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(summary_shows_blocks),
        cmocka_unit_test(constructors_survive_short_memory),
        cmocka_unit_test(kept_keys_give_the_same),
        cmocka_unit_test(cache_errors),
    };
    return cmocka_run_group_tests_name("sequence model", tests, NULL, NULL);
}
