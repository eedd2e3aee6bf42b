/* test_sequence.c - ops of sequence models beside their plain twins, over sizes that goldens do not reach; dropout of attention;
 * errors; the same bits for any number of threads.   tare-test: double isa */
#include "testing_support.h"

#include <tare/sequence.h>

#include <math.h>

static tare_tape *tape_new(bool training) {
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = training, .guard = true, .seed = 5 });
    assert_non_null(tape);
    return tape;
}

static tare_tensor *input(tare_tape *tape, tare_shape shape, const char *name) {
    tare_tensor *x = tare_input(tape, shape, NULL);
    assert_non_null(x);
    tare_rng rng = tare_rng_new(11, name);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
    x->requires_grad = true;
    return x;
}

static double *doubles(const tare_real *x, int64_t n) {
    double *d = tare_malloc((size_t)n * sizeof *d);
    assert_non_null(d);
    for (int64_t i = 0; i < n; i++) { d[i] = (double)x[i]; }
    return d;
}

/* sum of y * w with fixed random w: an upstream gradient that differs everywhere */
static void go_back(tare_tape *tape, tare_tensor *y) {
    tare_real *dy = tare_malloc((size_t)y->numel * sizeof *dy);
    assert_non_null(dy);
    tare_rng rng = tare_rng_new(12, "dy");
    for (int64_t i = 0; i < y->numel; i++) { dy[i] = (tare_real)tare_rng_normal(&rng); }
    assert_ok(tare_backward_from(tape, y, dy));
    tare_free(dy);
}

/* ---- attention ----------------------------------------------------------------------------------------------------- */

typedef struct setting {
    int64_t batch, heads, queries, keys, width;
    bool causal;
    const int32_t *lengths;
} setting;

static tare_tensor *plain_mask(tare_tape *tape, const setting *s) {
    tare_tensor *mask = tare_input(tape, TARE_SHAPE(s->batch, 1, s->queries, s->keys), NULL);
    assert_non_null(mask);
    for (int64_t i = 0; i < mask->numel; i++) {
        int64_t key = i % s->keys, query = i / s->keys % s->queries, b = i / s->keys / s->queries;
        bool seen = (!s->causal || key <= query + s->keys - s->queries) && (!s->lengths || key < s->lengths[b]);
        mask->data[i] = seen ? 0 : (tare_real)-1e30;
    }
    return mask;
}

/* What attention is, in ops that keep all of the probabilities. */
static tare_tensor *plain_attention(tare_tape *tape, tare_tensor *q, tare_tensor *k, tare_tensor *v, const setting *s) {
    tare_tensor *scores = tare_matmul(tape, q, k, (tare_matmul_opt){ .trans_b = true });
    scores = tare_add(tape, tare_scale(tape, scores, 1 / sqrt((double)s->width)), plain_mask(tape, s));
    return tare_matmul(tape, tare_softmax(tape, scores, -1), v, (tare_matmul_opt){ 0 });
}

static void as_plain(const setting *s) {
    const double tol = test_tol(2e-5, 1e-11);
    tare_shape queries = TARE_SHAPE(s->batch, s->heads, s->queries, s->width);
    tare_shape keys = TARE_SHAPE(s->batch, s->heads, s->keys, s->width);
    double *want[4];
    for (int fused = 0; fused < 2; fused++) {
        tare_tape *tape = tape_new(true);
        tare_tensor *in[3] = { input(tape, queries, "q"), input(tape, keys, "k"), input(tape, keys, "v") };
        tare_tensor *y = fused ? tare_attention(tape, in[0], in[1], in[2],
                                                (tare_attention_opt){ .causal = s->causal, .lengths = s->lengths })
                               : plain_attention(tape, in[0], in[1], in[2], s);
        assert_ok(tare_tape_status(tape));
        if (fused) {
            assert_all_near(y->data, want[3], y->numel, tol);
        } else {
            want[3] = doubles(y->data, y->numel);
        }
        go_back(tape, y);
        for (int i = 0; i < 3; i++) {
            if (fused) {
                assert_all_near(in[i]->grad, want[i], in[i]->numel, tol);
            } else {
                want[i] = doubles(in[i]->grad, in[i]->numel);
            }
        }
        assert_ok(tare_tape_guard(tape));
        tare_tape_free(tape);
    }
    for (int i = 0; i < 4; i++) { tare_free(want[i]); }
}

static void attention_as_plain(void **state) {
    (void)state;
    static const int32_t lengths[] = { 1, 130, 300 };
    const setting settings[] = {
        { 2, 3, 64, 64, 32, true, NULL },    { 1, 2, 65, 65, 5, true, NULL },   { 1, 1, 257, 257, 16, true, NULL },
        { 2, 1, 1, 513, 8, false, NULL },    { 1, 2, 100, 300, 7, true, NULL }, { 3, 1, 66, 300, 4, false, lengths },
        { 3, 2, 70, 300, 3, true, lengths }, { 2, 2, 17, 31, 64, false, NULL },
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) { as_plain(&settings[i]); }
}

/* Packed or apart: the same numbers to the bit. */
static void packed_as_apart(void **state) {
    (void)state;
    enum { B = 2, T = 70, H = 3, D = 5, C = H * D };
    tare_tape *tape = tape_new(true);
    tare_tensor *qkv = input(tape, TARE_SHAPE(B, T, 3 * C), "qkv"), *part[3];
    for (int i = 0; i < 3; i++) {
        tare_tensor *x = tare_slice(tape, qkv, 2, i * C, (i + 1) * C, 1);
        part[i] = tare_transpose(tape, tare_reshape(tape, x, TARE_SHAPE(B, T, H, D)), 1, 2);
    }
    const tare_attention_opt opt = { .causal = true };
    tare_tensor *apart = tare_transpose(tape, tare_attention(tape, part[0], part[1], part[2], opt), 1, 2);
    tare_tensor *packed = tare_attention_packed(tape, qkv, H, opt);
    assert_ok(tare_tape_status(tape));
    assert_true(tare_shape_equal(TARE_SHAPE(B, T, C), packed->shape));
    assert_memory_equal(apart->data, packed->data, (size_t)packed->numel * sizeof(tare_real));
    tare_tape_free(tape);
}

/* Large scores must not overflow, and a larger maximum in a later tile must not lose what came before. */
static void scores_of_any_size(void **state) {
    (void)state;
    enum { S = 600 };
    tare_tape *tape = tape_new(false);
    tare_tensor *q = input(tape, TARE_SHAPE(1, 1, 1, 1), "q"), *k = input(tape, TARE_SHAPE(1, 1, S, 1), "k");
    tare_tensor *v = input(tape, TARE_SHAPE(1, 1, S, 1), "v");
    q->data[0] = 1;
    for (int i = 0; i < S; i++) { k->data[i] = (tare_real)i; }
    tare_tensor *rising = tare_attention(tape, q, k, v, (tare_attention_opt){ .scale = 1 });
    double want = 0, sum = 0;
    for (int i = 0; i < S; i++) { sum += exp(i - S + 1.0), want += exp(i - S + 1.0) * (double)v->data[i]; }
    assert_near(rising->data[0], want / sum, test_tol(1e-6, 1e-14));
    for (int i = 0; i < S; i++) { k->data[i] = (tare_real)-3e4 - (tare_real)i; }
    tare_tensor *falling = tare_attention(tape, q, k, v, (tare_attention_opt){ .scale = 1 });
    want = 0, sum = 0;
    for (int i = 0; i < S; i++) { sum += exp(-i), want += exp(-i) * (double)v->data[i]; }
    assert_near(falling->data[0], want / sum, test_tol(1e-6, 1e-14));
    k->data[S - 1] = (tare_real)NAN;
    assert_true(isnan((double)tare_attention(tape, q, k, v, (tare_attention_opt){ .scale = 1 })->data[0]));
    tare_tape_free(tape);
}

/* With v the unit matrix the result is the probabilities themselves. */
static tare_tensor *probabilities(tare_tape *tape, int64_t batch, int64_t n, double dropout) {
    tare_tensor *q = input(tape, TARE_SHAPE(batch, 1, n, n), "q"), *k = input(tape, TARE_SHAPE(batch, 1, n, n), "k");
    tare_tensor *v = tare_input(tape, TARE_SHAPE(batch, 1, n, n), NULL);
    for (int64_t i = 0; i < v->numel; i++) { v->data[i] = i / n % n == i % n; }
    tare_tensor *y = tare_attention(tape, q, k, v, (tare_attention_opt){ .dropout = dropout });
    assert_non_null(y);
    return y;
}

static void dropout_of_probabilities(void **state) {
    (void)state;
    enum { B = 3, N = 130 };
    const double p = 0.3;
    tare_tape *tape = tape_new(true);
    tare_tensor *whole = probabilities(tape, B, N, 0), *left = probabilities(tape, B, N, p);
    int64_t dropped = 0, alike = 0;
    for (int64_t i = 0; i < whole->numel; i++) {
        double x = (double)whole->data[i], y = (double)left->data[i];
        if (y == 0) {
            dropped++;
        } else {
            assert_near(y, x / (1 - p), 1e-5 * x / (1 - p) + 1e-30);
        }
        /* no head's mask is another's, no row's the next one's */
        alike += (y == 0) == ((double)left->data[(i + N * N) % whole->numel] == 0);
    }
    double n = (double)whole->numel, deviation = sqrt(p * (1 - p) / n);
    assert_near((double)dropped / n, p, 4.5 * deviation);
    assert_near((double)alike / n, p * p + (1 - p) * (1 - p), 4.5 / sqrt(n));
    /* another step, another mask; evaluation, none */
    tare_tape_reset(tape);
    double zeros[2] = { 0 };
    tare_tensor *later = probabilities(tape, B, N, p);
    for (int64_t i = 0; i < later->numel; i++) { zeros[0] += later->data[i] == 0; }
    tare_tape_training_set(tape, false);
    tare_tensor *still = probabilities(tape, B, N, p);
    for (int64_t i = 0; i < still->numel; i++) { zeros[1] += still->data[i] == 0; }
    assert_true(zeros[0] > 0 && zeros[0] != (double)dropped);
    assert_true(zeros[1] == 0);
    tare_tape_free(tape);
}

/* ---- threads --------------------------------------------------------------------------------------------------------- */

static void threads_change_nothing(void **state) {
    (void)state;
    enum { B = 3, T = 150, H = 4, D = 16, C = H * D, N = B * T * C };
    tare_real *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        tare_threads_set(threads);
        tare_tape *tape = tape_new(true);
        tare_tensor *x = input(tape, TARE_SHAPE(B, T, 3 * C), "x");
        tare_tensor *y = tare_attention_packed(tape, tare_rotary(tape, x, (tare_rotary_opt){ .heads = H }), H,
                                               (tare_attention_opt){ .causal = true, .dropout = 0.1 });
        y = tare_glu(tape, y, TARE_SWIGLU);
        go_back(tape, y);
        if (!first) {
            first = tare_malloc(3 * N * sizeof *first);
            memcpy(first, x->grad, 3 * N * sizeof *first);
        }
        assert_memory_equal(first, x->grad, 3 * N * sizeof *first);
        tare_tape_free(tape);
    }
    tare_free(first);
    tare_threads_set(0);
}

/* ---- rotary ---------------------------------------------------------------------------------------------------------- */

/* What makes it a code of relative positions: products of queries and keys depend on how far apart they stand alone. */
static void rotary_is_relative(void **state) {
    (void)state;
    enum { D = 8 };
    tare_tape *tape = tape_new(false);
    tare_tensor *q = input(tape, TARE_SHAPE(1, D), "q"), *k = input(tape, TARE_SHAPE(1, D), "k");
    double product[3];
    const int64_t at[3] = { 0, 17, 90000 };
    for (int i = 0; i < 3; i++) {
        tare_tensor *a = tare_rotary(tape, q, (tare_rotary_opt){ .offset = at[i] + 5 });
        tare_tensor *b = tare_rotary(tape, k, (tare_rotary_opt){ .offset = at[i] });
        product[i] = tare_item(tare_matmul(tape, a, b, (tare_matmul_opt){ .trans_b = true }));
    }
    assert_near(product[1], product[0], test_tol(1e-5, 1e-12));
    assert_near(product[2], product[0], test_tol(1e-5, 1e-9));
    /* the last of many positions, turned on step by step, is the one asked for by its offset */
    tare_tensor *many = input(tape, TARE_SHAPE(5000, D), "many");
    tare_tensor *last = tare_slice(tape, many, 0, 4999, 5000, 1);
    tare_tensor *alone = tare_rotary(tape, last, (tare_rotary_opt){ .offset = 4999 });
    tare_tensor *together = tare_slice(tape, tare_rotary(tape, many, (tare_rotary_opt){ 0 }), 0, 4999, 5000, 1);
    for (int i = 0; i < D; i++) { assert_near(together->data[i], alone->data[i], test_tol(1e-6, 1e-10)); }
    tare_tape_free(tape);
}

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

typedef tare_tensor *(*wrong)(tare_tape *t);

static tare_tensor *zeros(tare_tape *t, tare_shape shape) {
    tare_tensor *x = tare_input(t, shape, NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = 0; }
    return x;
}

static tare_tensor *odd_glu(tare_tape *t) { return tare_glu(t, zeros(t, TARE_SHAPE(2, 5)), TARE_GLU); }
static tare_tensor *no_such_glu(tare_tape *t) { return tare_glu(t, zeros(t, TARE_SHAPE(2, 4)), (tare_glu_kind)9); }
static tare_tensor *unlike_glu(tare_tape *t) {
    return tare_glu_split(t, zeros(t, TARE_SHAPE(2, 5)), zeros(t, TARE_SHAPE(5, 2)), TARE_SWIGLU);
}
static tare_tensor *heads_do_not_divide(tare_tape *t) {
    return tare_attention_packed(t, zeros(t, TARE_SHAPE(2, 5, 24)), 3, (tare_attention_opt){ 0 });
}
static tare_tensor *no_heads(tare_tape *t) {
    return tare_attention_packed(t, zeros(t, TARE_SHAPE(2, 5, 24)), 0, (tare_attention_opt){ 0 });
}
static tare_tensor *attend(tare_tape *t, tare_shape q, tare_shape k, tare_attention_opt opt) {
    return tare_attention(t, zeros(t, q), zeros(t, k), zeros(t, k), opt);
}
static tare_tensor *flat(tare_tape *t) {
    return attend(t, TARE_SHAPE(2, 5, 4), TARE_SHAPE(2, 5, 4), (tare_attention_opt){ 0 });
}
static tare_tensor *other_width(tare_tape *t) {
    return attend(t, TARE_SHAPE(1, 2, 5, 4), TARE_SHAPE(1, 2, 5, 3), (tare_attention_opt){ 0 });
}
static tare_tensor *before_the_first(tare_tape *t) {
    return attend(t, TARE_SHAPE(1, 2, 5, 4), TARE_SHAPE(1, 2, 4, 4), (tare_attention_opt){ .causal = true });
}
static tare_tensor *no_keys(tare_tape *t) {
    return attend(t, TARE_SHAPE(1, 2, 5, 4), TARE_SHAPE(1, 2, 0, 4), (tare_attention_opt){ 0 });
}
static tare_tensor *dropout_of_all(tare_tape *t) {
    return attend(t, TARE_SHAPE(1, 1, 2, 2), TARE_SHAPE(1, 1, 2, 2), (tare_attention_opt){ .dropout = 1 });
}
static tare_tensor *endless_scale(tare_tape *t) {
    return attend(t, TARE_SHAPE(1, 1, 2, 2), TARE_SHAPE(1, 1, 2, 2), (tare_attention_opt){ .scale = (double)INFINITY });
}
static tare_tensor *too_long(tare_tape *t) {
    return attend(t, TARE_SHAPE(2, 1, 3, 2), TARE_SHAPE(2, 1, 3, 2),
                  (tare_attention_opt){ .lengths = (const int32_t[]){ 2, 4 } });
}
static tare_tensor *odd_rotary(tare_tape *t) {
    return tare_rotary(t, zeros(t, TARE_SHAPE(2, 5)), (tare_rotary_opt){ 0 });
}
static tare_tensor *flat_rotary(tare_tape *t) {
    return tare_rotary(t, zeros(t, TARE_SHAPE(6)), (tare_rotary_opt){ 0 });
}
static tare_tensor *odd_heads(tare_tape *t) {
    return tare_rotary(t, zeros(t, TARE_SHAPE(1, 2, 18)), (tare_rotary_opt){ .heads = 2 });
}
static tare_tensor *before_time(tare_tape *t) {
    return tare_rotary(t, zeros(t, TARE_SHAPE(2, 4)), (tare_rotary_opt){ .offset = -1 });
}
static tare_tensor *no_base(tare_tape *t) {
    return tare_rotary(t, zeros(t, TARE_SHAPE(2, 4)), (tare_rotary_opt){ .base = -2 });
}

static void errors(void **state) {
    (void)state;
    const struct {
        wrong call;
        tare_status status;
        const char *words;
    } cases[] = {
        { odd_glu, TARE_ESHAPE, "glu: x [2,5] must end in an even number" },
        { no_such_glu, TARE_EINVAL, "glu: there is no kind 9" },
        { unlike_glu, TARE_ESHAPE, "values [2,5] and gates [5,2] must have one shape" },
        { heads_do_not_divide, TARE_ESHAPE, "qkv [2,5,24] must be [B,T,3*H*D]: queries, keys and values of 3 heads" },
        { no_heads, TARE_EINVAL, "attention: heads is 0, must be 1 or more" },
        { flat, TARE_ESHAPE, "q [2,5,4] and k [2,5,4] must be [B,H,T,D]" },
        { other_width, TARE_ESHAPE, "k [1,2,5,3] and v [1,2,5,3] must be q [1,2,5,4] but for the number of keys" },
        { before_the_first, TARE_ESHAPE, "causal, q [1,2,5,4] has queries before the first key of k [1,2,4,4]" },
        { no_keys, TARE_ESHAPE, "there are no keys" },
        { dropout_of_all, TARE_EINVAL, "dropout is 1, must lie in 0..1" },
        { endless_scale, TARE_EINVAL, "scale is inf" },
        { too_long, TARE_EINVAL, "length 4 of sample 1 must lie in 1..3" },
        { odd_rotary, TARE_ESHAPE, "rotary: x [2,5] must end in an even number of features" },
        { flat_rotary, TARE_ESHAPE, "x [6] must be [...,T,D]" },
        { odd_heads, TARE_ESHAPE, "x [1,2,18] must be [B,T,3*H*D] with 2 heads and D even" },
        { before_time, TARE_EINVAL, "offset -1: neither may be negative" },
        { no_base, TARE_EINVAL, "base is -2, must be positive" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_tape *tape = tape_new(true);
        assert_null(cases[i].call(tape));
        assert_int_equal(cases[i].status, tare_tape_status(tape));
        assert_contains(tare_tape_error(tape), cases[i].words);
        tare_tape_free(tape);
    }
    assert_null(tare_attention(NULL, NULL, NULL, NULL, (tare_attention_opt){ 0 }));
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_as_plain),
        cmocka_unit_test(packed_as_apart),
        cmocka_unit_test(scores_of_any_size),
        cmocka_unit_test(dropout_of_probabilities),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(rotary_is_relative),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("sequence", tests, NULL, NULL);
}
