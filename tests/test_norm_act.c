/* test_norm_act.c - an activation done by the norm before it: nobody can tell but by time and memory.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/norms.h>

#include <math.h>
#include <string.h>

/* ---- ops: norm with act, beside norm and activation ------------------------------------------------------------------ */

typedef enum kind { BATCH, SUB_BATCH, EVAL, FROZEN, GROUP, INSTANCE, KINDS } kind;
static const char *const kind_names[] = {
    "batch", "sub-batch", "evaluated batch", "frozen batch", "group", "instance"
};

typedef struct setting {
    kind kind;
    tare_shape shape;
    bool gamma, beta;
    tare_act act;
} setting;

static tare_tensor *norm(tare_tape *t, const setting *s, tare_tensor *const *in, tare_act act) {
    tare_tensor *gamma = s->gamma ? in[1] : NULL, *beta = s->beta ? in[2] : NULL;
    if (s->kind == GROUP) {
        return tare_group_norm(t, in[0], gamma, beta, (tare_group_norm_opt){ .groups = 2, .act = act });
    }
    if (s->kind == INSTANCE) {
        return tare_instance_norm(t, in[0], gamma, beta, (tare_instance_norm_opt){ .act = act });
    }
    tare_batch_norm_opt opt = { .sub_batch = s->kind == SUB_BATCH ? 2 : 0, .use_stats = s->kind == FROZEN, .act = act };
    return tare_batch_norm(t, in[0], gamma, beta, in[3], in[4], opt);
}

static tare_tensor *apart(tare_tape *t, const setting *s, tare_tensor *const *in) {
    tare_tensor *y = norm(t, s, in, (tare_act){ TARE_ACT_NONE, 0 });
    return s->act.kind == TARE_ACT_RELU ? tare_relu(t, y) : tare_leaky_relu(t, y, s->act.slope);
}

enum { X, GAMMA, BETA, MEAN, VAR, INPUTS };

/* What one way of computing it leaves behind. */
typedef struct result {
    tare_real *value[2 * INPUTS + 1]; /* y, the inputs, their gradients */
    int64_t numel[2 * INPUTS + 1];
    int n;
} result;

static void keep(result *r, const tare_real *values, int64_t n) {
    r->numel[r->n] = n;
    r->value[r->n] = malloc((size_t)n * sizeof *values + 1);
    assert_non_null(r->value[r->n]);
    memcpy(r->value[r->n++], values, (size_t)n * sizeof *values);
}

static tare_tensor *filled(tare_tape *t, tare_shape shape, double mean, double scale, uint64_t seed) {
    tare_tensor *x = tare_input(t, shape, NULL);
    assert_non_null(x);
    tare_rng rng = tare_rng_new(seed, "test");
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(mean + scale * tare_rng_normal(&rng)); }
    return x;
}

/* `bad` goes into one value of x; `twice`: x has a second consumer, so that dx is added to. */
static result compute(const setting *s, bool fused, double bad, bool twice) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = s->kind != EVAL, .guard = true });
    tare_shape c = TARE_SHAPE(s->shape.dim[1]);
    tare_tensor *in[INPUTS] = { filled(t, s->shape, 0.3, 2, 1), filled(t, c, 0.2, 1, 2), filled(t, c, 0, 0.5, 3),
                                filled(t, c, 0, 1, 4), filled(t, c, 3, 0.1, 5) };
    for (int i = X; i <= BETA; i++) { in[i]->requires_grad = true; }
    in[GAMMA]->data[0] = 0, in[BETA]->data[0] = (tare_real)-0.0; /* a channel of zeros, both plus and minus */
    if (bad != 0) { in[X]->data[in[X]->numel / 2] = (tare_real)bad; }
    tare_tensor *y = fused ? norm(t, s, in, s->act) : apart(t, s, in);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    result r = { 0 };
    keep(&r, y->data, y->numel);
    tare_tensor *after = tare_dropout(t, y, 0.5);
    if (twice) { after = tare_add(t, tare_scale(t, in[X], 0.5), after); }
    tare_tensor *dy = filled(t, s->shape, 0, 1, 6);
    dy->data[dy->numel / 3] = (tare_real)NAN; /* only where the activation lets it through */
    assert_ok(tare_backward_from(t, after, dy->data));
    for (int i = 0; i < INPUTS; i++) { keep(&r, in[i]->data, in[i]->numel); }
    for (int i = X; i <= BETA; i++) {
        if (in[i]->grad) { keep(&r, in[i]->grad, in[i]->numel); }
    }
    assert_ok(tare_tape_guard(t));
    tare_tape_free(t);
    return r;
}

/* The same bits, or NaN both: which NaN is the processor's business. */
static bool same(const tare_real *a, const tare_real *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 && !(isnan(a[i]) && isnan(b[i]))) { return false; }
    }
    return true;
}

static void same_both_ways(const setting *s, double bad, bool twice) {
    result a = compute(s, false, bad, twice), b = compute(s, true, bad, twice);
    tare_shape_buf buf;
    assert_int_equal(a.n, b.n);
    for (int i = 0; i < a.n; i++) {
        assert_int_equal(a.numel[i], b.numel[i]);
        if (!same(a.value[i], b.value[i], a.numel[i])) {
            fail_msg("%s norm of %s, gamma %d, beta %d, act %d: array %d differs", kind_names[s->kind],
                     tare_shape_text(s->shape, &buf), s->gamma, s->beta, (int)s->act.kind, i);
        }
        free(a.value[i]);
        free(b.value[i]);
    }
}

static const tare_act acts[] = { { TARE_ACT_RELU, 0 }, { TARE_ACT_LEAKY_RELU, 0.2 }, { TARE_ACT_LEAKY_RELU, -0.5 } };
enum { ACTS = sizeof acts / sizeof *acts };

/* Tails, whole vectors, blocks and their seams; features without positions; NaN, infinities and zeros of either sign. */
static void one_op_has_the_bits_of_two(void **state) {
    (void)state;
    const tare_shape shapes[] = { TARE_SHAPE(4, 2, 1, 3),   TARE_SHAPE(3, 4, 7, 7), TARE_SHAPE(2, 6, 28, 28),
                                  TARE_SHAPE(2, 2, 5000),   TARE_SHAPE(4, 4, 16),   TARE_SHAPE(6, 4),
                                  TARE_SHAPE(5, 2, 130, 3), TARE_SHAPE(10, 260) };
    const double bad[] = { 0, (double)NAN, (double)INFINITY };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int k = 0; k < KINDS; k++) {
            if (k == INSTANCE && shapes[i].ndim == 2) { continue; }
            for (int a = 0; a < ACTS; a++) {
                for (int affine = 0; affine < 4; affine++) {
                    setting s = { (kind)k, shapes[i], affine & 1, affine & 2, acts[a] };
                    for (int b = 0; b < 3; b++) { same_both_ways(&s, bad[b], affine == 2); }
                }
            }
        }
    }
}

static void refuses_what_is_no_activation(void **state) {
    (void)state;
    const struct {
        tare_act act;
        const char *words;
    } cases[] = { { { (tare_act_kind)7, 0 }, "act.kind is 7" },
                  { { TARE_ACT_LEAKY_RELU, (double)INFINITY }, "act.slope is inf, must be finite" } };
    for (int k = 0; k < KINDS; k++) {
        for (int i = 0; i < 2; i++) {
            tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
            tare_shape c = TARE_SHAPE(4);
            tare_tensor *in[INPUTS] = { filled(t, TARE_SHAPE(2, 4, 5), 0, 1, 1), NULL, NULL, filled(t, c, 0, 1, 2),
                                        filled(t, c, 1, 0, 3) };
            setting s = { .kind = (kind)k };
            assert_null(norm(t, &s, in, cases[i].act));
            assert_int_equal(tare_tape_status(t), TARE_EINVAL);
            assert_contains(tare_tape_error(t), cases[i].words);
            tare_tape_free(t);
        }
    }
}

/* ---- layers ---------------------------------------------------------------------------------------------------------- */

enum { N = 4, C = 6, SIDE = 9 };

/* norm, activation, dropout, and another norm at the end, which has nothing behind it */
static tare_layer *net_of(tare_params *ps, const char *spec, const char *act) {
    tare_shape features = TARE_SHAPE(C, SIDE, SIDE);
    tare_layer *layers[] = { tare_norm_layer(ps, "norm1", spec, features), tare_layer_activation(ps, "act", act),
                             tare_layer_dropout(ps, "drop", 0.3), tare_norm_layer(ps, "norm2", spec, features) };
    return tare_layer_sequential(ps, "net", layers, 4);
}

typedef struct seen {
    int layers;
    double least; /* of norm1's result */
} seen;

static void see(void *context, const tare_layer *layer, const tare_tensor *x, const tare_tensor *y) {
    (void)x;
    seen *s = context;
    s->layers++;
    if (strcmp(layer->name, "norm1") != 0) { return; }
    for (int64_t i = 0; i < y->numel; i++) { s->least = fmin(s->least, (double)y->data[i]); }
}

typedef struct pass {
    int64_t ops;
    double loss;
    size_t bytes; /* held when forward is done */
    seen seen;
    tare_real *values; /* gradients of all parameters, the buffers, the gradient of x */
    int64_t n;
} pass;

static void append(pass *p, const tare_real *values, int64_t n) {
    p->values = realloc(p->values, (size_t)(p->n + n) * sizeof *values + 1);
    assert_non_null(p->values);
    if (n) { memcpy(p->values + p->n, values, (size_t)n * sizeof *values); }
    p->n += n;
}

typedef enum looks { UNSEEN, WATCHED, CHECKED } looks;

static pass run(const char *spec, const char *act, bool training, looks how, bool again) {
    pass p = { 0 };
    tare_params *ps = tare_params_new(1);
    tare_layer *net = net_of(ps, spec, act);
    if (again) { net = tare_layer_recompute(ps, net); }
    assert_ok(tare_params_status(ps));
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = training, .seed = 3, .guard = true });
    const tare_watch watch = { see, &p.seen };
    tare_tape_watch_set(t, how == WATCHED ? &watch : NULL);
    tare_tape_check_finite(t, how == CHECKED);
    tare_tensor *x = filled(t, TARE_SHAPE(N, C, SIDE, SIDE), 1, 2, 7);
    x->requires_grad = true;
    tare_tensor *y = tare_forward(net, t, x);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    p.ops = tare_tape_length(t);
    p.bytes = tare_tape_bytes(t);
    tare_tensor *loss = tare_sum(t, tare_mul(t, y, filled(t, y->shape, 0, 1, 8)), 0, false);
    p.loss = tare_item(loss);
    tare_params_zero_grad(ps);
    assert_ok(tare_backward(t, loss));
    tare_params_settle_grad(ps);
    append(&p, tare_params_flat_grad(ps), tare_params_flat_size(ps));
    append(&p, tare_params_buffer_flat(ps), tare_params_buffer_flat_size(ps));
    append(&p, x->grad, x->numel);
    tare_tape_free(t);
    tare_params_free(ps);
    return p;
}

static void same_pass(const char *spec, pass *a, pass *b) {
    assert_int_equal(a->n, b->n);
    if (a->loss != b->loss || memcmp(a->values, b->values, (size_t)a->n * sizeof *a->values) != 0) {
        fail_msg("%s: losses %.9g and %.9g, or gradients or statistics differ", spec, a->loss, b->loss);
    }
    free(a->values);
    free(b->values);
}

/* Dropout's mask among the rest: random numbers are counted as if there were two ops. */
static void a_sequential_saves_an_op_and_a_tensor(void **state) {
    (void)state;
    const char *const specs[] = { "bn", "bn:batch=2", "bn:frozen=yes", "gn:2", "in" };
    const char *const activations[] = { "relu", "leaky_relu:0.2" };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        for (int a = 0; a < 2; a++) {
            for (int training = 0; training < 2; training++) {
                pass apart = run(specs[i], activations[a], training, WATCHED, false);
                pass fused = run(specs[i], activations[a], training, UNSEEN, false);
                assert_int_equal(fused.ops, apart.ops - 1);
                assert_true(fused.bytes <= apart.bytes);
                same_pass(specs[i], &apart, &fused);
            }
        }
    }
}

static void what_has_no_way_to_fuse_stays_apart(void **state) {
    (void)state;
    const char *const pairs[][2] = { { "rms", "relu" }, { "none", "relu" }, { "bn", "gelu" }, { "bn", "identity" } };
    for (int i = 0; i < 4; i++) {
        pass apart = run(pairs[i][0], pairs[i][1], true, WATCHED, false);
        pass fused = run(pairs[i][0], pairs[i][1], true, UNSEEN, false);
        assert_int_equal(fused.ops, apart.ops);
        same_pass(pairs[i][0], &apart, &fused);
    }
}

/* Whoever watches sees the norm's own values, below zero too, and the activation's. */
static void watched_layers_each_show_their_own(void **state) {
    (void)state;
    pass p = run("bn", "relu", true, WATCHED, false);
    assert_int_equal(p.seen.layers, 5);
    assert_true(p.seen.least < -1);
    free(p.values);
}

static void a_search_for_nan_looks_at_every_op(void **state) {
    (void)state;
    pass apart = run("bn", "relu", true, WATCHED, false), checked = run("bn", "relu", true, CHECKED, false);
    assert_int_equal(checked.ops, apart.ops);
    same_pass("bn", &apart, &checked);
}

static void recomputing_fuses_too(void **state) {
    (void)state;
    pass apart = run("bn", "relu", true, WATCHED, true), fused = run("bn", "relu", true, UNSEEN, true);
    same_pass("bn", &apart, &fused);
}

static void the_summary_has_a_row_for_each_layer(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    char *text = NULL;
    assert_ok(tare_summary(net_of(ps, "bn", "relu"), TARE_SHAPE(C, SIDE, SIDE), &text));
    assert_contains(text, "\nnorm1    batch_norm");
    assert_contains(text, "[6,9,9]               12");
    assert_contains(text, "\nact      activation relu");
    tare_free(text);
    tare_params_free(ps);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_op_has_the_bits_of_two),
        cmocka_unit_test(refuses_what_is_no_activation),
        cmocka_unit_test(a_sequential_saves_an_op_and_a_tensor),
        cmocka_unit_test(what_has_no_way_to_fuse_stays_apart),
        cmocka_unit_test(watched_layers_each_show_their_own),
        cmocka_unit_test(a_search_for_nan_looks_at_every_op),
        cmocka_unit_test(recomputing_fuses_too),
        cmocka_unit_test(the_summary_has_a_row_for_each_layer),
    };
    return cmocka_run_group_tests_name("norm_act", tests, NULL, NULL);
}
