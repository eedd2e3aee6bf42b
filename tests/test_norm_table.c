/* test_norm_table.c - what the table of norms says of each is what it does: which values of the input, of which samples,
 * a value of the output depends on. */
#include "testing_support.h"

#include <tare/norms.h>

enum { N = 3, C = 4, L = 5, SIZE = N * C * L };

/* ---- which outputs change with one input ----------------------------------------------------------------------------- */

static void forward(const char *spec, const tare_real *x, tare_real *y) {
    tare_params *ps = tare_params_new(1);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_layer *layer = tare_norm_layer(ps, "norm", spec, TARE_SHAPE(C, L));
    /* A norm may start as the identity (a scale of 0): its parameters are moved to where they do something. */
    for (int i = 0; i < tare_params_count(ps); i++) {
        tare_tensor *w = tare_params_at(ps, i);
        for (int64_t k = 0; k < w->numel; k++) { w->data[k] += (tare_real)0.5; }
    }
    tare_tensor *out = tare_forward(layer, tape, tare_input(tape, TARE_SHAPE(N, C, L), x));
    if (!out) { fail_msg("%s: %s %s", spec, tare_params_error(ps), tare_tape_error(tape)); }
    memcpy(y, out->data, SIZE * sizeof *y);
    tare_tape_free(tape);
    tare_params_free(ps);
}

/* changed[i]: does output i change when input `at` does? */
static void influence(const char *spec, int at, bool *changed) {
    tare_real x[SIZE], before[SIZE], after[SIZE];
    tare_rng rng = tare_rng_new(7, "table");
    for (int i = 0; i < SIZE; i++) { x[i] = (tare_real)tare_rng_normal(&rng); }
    forward(spec, x, before);
    x[at] += 1;
    forward(spec, x, after);
    for (int i = 0; i < SIZE; i++) { changed[i] = before[i] != after[i]; }
}

static int sample(int i) { return i / (C * L); }
static int channel(int i) { return i / L % C; }

/* ---- normalised dimensions ------------------------------------------------------------------------------------------- */

static bool same_channel(int a, int b) { return channel(a) == channel(b); }
static bool same_sample(int a, int b) { return sample(a) == sample(b); }
static bool same_plane(int a, int b) { return same_sample(a, b) && same_channel(a, b); }
static bool same_pair(int a, int b) { return same_sample(a, b) && channel(a) / 2 == channel(b) / 2; }
static bool same_position(int a, int b) { return same_sample(a, b) && a % L == b % L; }
static bool same_value(int a, int b) { return a == b; }
static bool same_half_batch(int a, int b) { return same_channel(a, b) && sample(a) / 2 == sample(b) / 2; }

/* The comparison of norms that Tare began from: what each is normalised over, and whether the batch matters to it. */
static void normalises_over(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        bool (*together)(int a, int b); /* do these two share their statistics? */
        bool uses_batch;
    } rows[] = {
        { "bn", same_channel, true }, /* batch */
        { "ln", same_sample, false }, /* all features */
        { "in", same_plane, false },  /* a channel */
        { "gn:2", same_pair, false }, /* a group of channels */
        { "none", same_value, false },
        { "rms", same_sample, false },
        { "gn:4", same_plane, false },
        { "gn:1", same_sample, false },
        { "ln:over=c", same_position, false },
        { "dyt", same_value, false },
        { "bn:batch=2", same_half_batch, true },
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        assert_int_equal(rows[r].uses_batch, tare_norm_uses_batch(rows[r].spec));
        for (int at = 0; at < SIZE; at += 7) {
            bool changed[SIZE];
            influence(rows[r].spec, at, changed);
            for (int i = 0; i < SIZE; i++) {
                if (changed[i] != rows[r].together(at, i)) {
                    fail_msg("%s: output %d %s on input %d", rows[r].spec, i,
                             changed[i] ? "depends" : "does not depend", at);
                }
            }
        }
    }
}

/* ---- every norm of the table ----------------------------------------------------------------------------------------- */

static void dependence_on_the_batch(void **state) {
    (void)state;
    const tare_norm_kind *kind;
    for (int k = 0; (kind = tare_norm_kind_at(k)); k++) {
        if (!kind->make) { continue; }
        bool changed[SIZE], other = false;
        influence(kind->name, 0, changed);
        for (int i = 0; i < SIZE; i++) { other = other || (changed[i] && sample(i) != 0); }
        if (other != kind->uses_batch) {
            fail_msg("%s: other samples %s", kind->name, other ? "matter" : "do not matter");
        }
    }
}

/* Norms of weights change what a layer computes, and never mix samples. */
static void norms_of_weights(void **state) {
    (void)state;
    const tare_norm_kind *kind;
    for (int k = 0; (kind = tare_norm_kind_at(k)); k++) {
        if (kind->make) { continue; }
        assert_false(kind->uses_batch);
        tare_params *ps = tare_params_new(1);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
        tare_layer *layer = tare_layer_linear(ps, "fc", 6, 4, (tare_layer_linear_opt){ .no_bias = true });
        assert_ok(tare_norm_weight(layer, kind->name));
        tare_real x[12];
        for (int i = 0; i < 12; i++) { x[i] = (tare_real)(i + 1); }
        tare_tensor *y = tare_forward(layer, tape, tare_input(tape, TARE_SHAPE(2, 6), x));
        assert_non_null(y);
        tare_real first[4];
        memcpy(first, y->data, sizeof first);
        for (int i = 6; i < 12; i++) { x[i] = 0; } /* the other sample */
        y = tare_forward(layer, tape, tare_input(tape, TARE_SHAPE(2, 6), x));
        assert_non_null(y);
        assert_memory_equal(first, y->data, sizeof first);
        assert_true(layer->transforms != NULL);
        tare_tape_free(tape);
        tare_params_free(ps);
    }
}

static void says_enough(void **state) {
    (void)state;
    const tare_norm_kind *kind;
    for (int k = 0; (kind = tare_norm_kind_at(k)); k++) {
        assert_true(*kind->title && *kind->over && *kind->advice);
        for (int i = 0; i < TARE_NORM_OPTIONS && kind->options[i].key; i++) { assert_true(*kind->options[i].help); }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalises_over),
        cmocka_unit_test(dependence_on_the_batch),
        cmocka_unit_test(norms_of_weights),
        cmocka_unit_test(says_enough),
    };
    return cmocka_run_group_tests_name("norm_table", tests, NULL, NULL);
}
