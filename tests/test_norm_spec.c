/* test_norm_spec.c - norms by spec string: what is read, what is refused and how, and the table behind it.
 * tare-test: double */
#include "testing_support.h"

#include <tare/norms.h>

#include <stdio.h>

static tare_tensor *random_input(tare_tape *tape, tare_shape shape) {
    tare_tensor *x = tare_input(tape, shape, NULL);
    tare_rng rng = tare_rng_new(1, "test");
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
    return x;
}

static void construction_errors(void **state) {
    (void)state;
    const struct {
        const char *spec;
        tare_shape features;
        const char *words;
    } cases[] = {
        { "gn:5", TARE_SHAPE(12, 4, 4),
          "group_norm \"n\": 5 groups do not divide 12 channels; these do: 1, 2, 3, 4, 6, 12" },
        { "bn:stats=no,frozen=yes", TARE_SHAPE(12), "batch_norm \"n\": frozen, it needs running statistics" },
        { "bn", TARE_SCALAR, "batch_norm \"n\": 0 channels" },
        { "ln", TARE_SCALAR, "layer_norm \"n\": cannot normalise over features []" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = tare_params_new(1);
        assert_null(tare_norm_layer(ps, "n", cases[i].spec, cases[i].features));
        assert_int_equal(TARE_EINVAL, tare_params_status(ps));
        assert_contains(tare_params_error(ps), cases[i].words);
        tare_params_free(ps);
    }
}

/* ---- specs ------------------------------------------------------------------------------------------------------- */

static void specs_in_canonical_form(void **state) {
    (void)state;
    const char *pairs[][2] = {
        { "none", "none" },
        { "bn", "bn" },
        { "bn:eps=1e-5", "bn" },
        { "bn:eps=1e-3,batch=4", "bn:batch=4,eps=0.001" },
        { "bn:stat_update=0,affine=no", "bn:stat_update=0,affine=no" },
        { "bn:batch=all", "bn" },
        { "ln:over=c", "ln:over=c" },
        { "ln:over=chw", "ln" },
        { "in", "in" },
        { "gn", "gn" },
        { "gn:8", "gn:8" },
        { "gn:groups=8", "gn:8" },
        { "gn:auto", "gn" },
        { "gn:groups=auto,eps=0.1", "gn:eps=0.1" },
        { "gn:4,eps=1.5e-07", "gn:4,eps=1.5e-07" },
        { "rms:eps=1e-6", "rms:eps=1e-06" },
        { "dyt:alpha=0.5", "dyt" },
        { "grn:eps=1e-3", "grn:eps=0.001" },
        { "frn:tlu=no", "frn:tlu=no" },
        { "switch:stat_update=0.2", "switch:stat_update=0.2" },
        { "sn", "sn" },
        { "sn:mode=conv,size=28,iterations=2", "sn:iterations=2,mode=conv,size=28" },
        { "sn:mode=kernel,size=16", "sn" },
        { "ws+gn:8", "ws+gn:8" },
        { "gn:8+ws", "ws+gn:8" },
        { "none+sn:iterations=2", "sn:iterations=2" },
        { "ws:eps=1e-3+wn+bn:batch=4,eps=1e-3+sn", "ws:eps=0.001+wn+sn+bn:batch=4,eps=0.001" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[64], again[64];
        assert_ok(tare_norm_canonical(pairs[i][0], text, sizeof text));
        assert_string_equal(pairs[i][1], text);
        assert_ok(tare_norm_canonical(text, again, sizeof again));
        assert_string_equal(text, again);
    }
    char small[4];
    assert_status(TARE_EINVAL, tare_norm_canonical("gn:8", small, sizeof small));
}

static void wrong_specs(void **state) {
    (void)state;
    const char *cases[][2] = {
        { "", "norm \"\" ends too soon: there is no such norm; known: none, bn, ln, in, gn, rms, dyt, grn, frn, "
              "switch, sn, wn, ws" },
        { "bm", "norm \"bm\", character 1 (\"bm\"): there is no such norm" },
        { "gn:", "norm \"gn:\" ends too soon: groups must be a whole number in 1..1e+09, or auto" },
        { "gn:x", "character 4 (\"x\"): groups must be" },
        { "gn:2.5", "character 4 (\"2.5\"): groups must be a whole number" },
        { "gn:0", "character 4" },
        { "gn:-8", "character 4" },
        { "gn:8,8", "character 6 (\"8\"): an option is written key=value" },
        { "gn:8,groups=4", "character 6 (\"groups=4\"): groups is there twice" },
        { "gn:8,", "ends too soon: an option is written key=value" },
        { "gn:8 ", "character 4" },
        { "bn:4", "character 4 (\"4\"): an option is written key=value" },
        { "bn:eps=0", "character 8 (\"0\"): eps must be a number in 1e-20..1e+20" },
        { "bn:eps=1e-3x", "character 8" },
        { "bn:eps=nan", "character 8" },
        { "bn:epsilon=1",
          "character 4 (\"epsilon=1\"): bn has no such option; it has: batch, eps, stat_update, affine, stats" },
        { "bn,eps=1", "character 3 (\",eps=1\"): expected a colon, a plus or the end" },
        { "ln:over=hw", "character 9 (\"hw\"): over must be chw or c" },
        { "none:1", "character 6 (\"1\"): none takes no options" },
        { "bn+gn:8", "character 4 (\"gn:8\"): bn and gn both norm activations" },
        { "none+bn", "character 6 (\"bn\"): none and bn both norm activations" },
        { "ws+sn+ws", "character 7 (\"ws\"): ws is there twice" },
        { "ws+", "ends too soon: there is no such norm" },
        { "+bn", "character 1 (\"+bn\"): there is no such norm" },
        { "gn:8+wz", "character 6 (\"wz\"): there is no such norm" },
        { "wn:eps=1", "character 4 (\"eps=1\"): wn takes no options" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(TARE_EINVAL, tare_norm_check(cases[i][0]));
        assert_contains(tare_error(), cases[i][1]);
        assert_false(tare_norm_uses_batch(cases[i][0]));
    }
    assert_status(TARE_EINVAL, tare_norm_check(NULL));
}

static void what_programs_ask(void **state) {
    (void)state;
    assert_true(tare_norm_uses_batch("bn:eps=0.1"));
    assert_false(tare_norm_uses_batch("gn:8"));
    assert_false(tare_norm_uses_batch("none"));
    assert_int_equal(64, tare_norm_batch("bn", 64));
    assert_int_equal(4, tare_norm_batch("sn+bn:batch=4", 64));
    assert_int_equal(1, tare_norm_batch("sn", 64));
    assert_int_equal(2, tare_norm_batch("bn:batch=4", 2));
    assert_int_equal(1, tare_norm_batch("in", 64));
}

/* The table behind the specs: every kind builds a layer, runs, and depends on the batch as it says. */
static void every_kind_is_what_it_says(void **state) {
    (void)state;
    int kinds = 0;
    for (const tare_norm_kind *k; (k = tare_norm_kind_at(kinds)) != NULL; kinds++) {
        assert_ptr_equal(k, tare_norm_kind_find(k->name));
        assert_true(k->title[0] && k->over[0] && k->advice[0]);
        assert_true(!k->make != !k->transform);
        for (const tare_norm_option *o = k->options; o->key; o++) {
            assert_true(o->help[0] && (o->words || o->lo <= o->hi));
        }
        tare_params *ps = tare_params_new(1);
        tare_layer *norm = tare_norm_layer(ps, NULL, k->name, TARE_SHAPE(4, 3, 3));
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = random_input(tape, TARE_SHAPE(2, 4, 3, 3));
        tare_tensor *z = tare_input(tape, x->shape, x->data);
        for (int i = 36; i < 72; i++) { z->data[i] += 3; } /* another second sample */
        tare_tensor *y = tare_forward(norm, tape, x), *w = tare_forward(norm, tape, z);
        assert_ok(tare_tape_status(tape));
        assert_int_equal(k->uses_batch, memcmp(y->data, w->data, 36 * sizeof(tare_real)) != 0);
        for (int i = 0; i < tare_params_count(ps); i++) { assert_int_equal(TARE_NO_DECAY, tare_params_flags(ps, i)); }
        tare_tape_free(tape);
        tare_params_free(ps);
    }
    assert_int_equal(13, kinds);
    assert_null(tare_norm_kind_at(-1));
    assert_null(tare_norm_kind_find("bm"));
    assert_null(tare_norm_kind_find(NULL));
}

/* The norm book, in both languages, has every norm with its paper, and says of each whether it depends on the batch. */
static void the_book_is_complete(void **state) {
    (void)state;
    const char *books[][3] = { { "norms.md", "yes", "no" }, { "norms.zh.md", "是", "否" } };
    for (int b = 0; b < 2; b++) {
        FILE *file = fopen(test_path(TARE_TEST_SOURCE "/docs", books[b][0]), "r");
        assert_non_null(file);
        static char text[1 << 16];
        size_t size = fread(text, 1, sizeof text - 1, file);
        text[size] = '\0';
        fclose(file);
        assert_true(size < sizeof text - 1);
        const tare_norm_kind *k;
        for (int i = 0; (k = tare_norm_kind_at(i)) != NULL; i++) {
            char row[64], batch[16];
            snprintf(row, sizeof row, "\n| `%s` |", k->name);
            snprintf(batch, sizeof batch, "| %s |", books[b][k->uses_batch ? 1 : 2]);
            assert_contains(text, row);
            const char *line = strstr(text, row) + 1, *verdict = strstr(line, batch);
            assert_true(verdict && verdict < strchr(line, '\n'));
            assert_contains(text, k->source[0] ? strstr(k->source, "arXiv:") : "");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(construction_errors),
        cmocka_unit_test(specs_in_canonical_form),
        cmocka_unit_test(wrong_specs),
        cmocka_unit_test(what_programs_ask),
        cmocka_unit_test(every_kind_is_what_it_says),
        cmocka_unit_test(the_book_is_complete),
    };
    return cmocka_run_group_tests_name("norm spec", tests, NULL, NULL);
}
