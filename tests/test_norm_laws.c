/* test_norm_laws.c - what holds for every norm: which are the same, what changes nothing, where gradients point,
 * what two inputs and half batches do.   tare-test: double isa */
#include "norm_trial.h"

#include <math.h>

/* ---- sameness ---------------------------------------------------------------------------------------------------- */

static void instance_is_group_with_a_group_per_channel(void **state) {
    (void)state;
    setting in = { INSTANCE, TARE_SHAPE(3, 6, 9, 11), 0, 1e-5, false }, gn = in;
    gn.kind = GROUP;
    gn.groups = 6;
    trial a = try_it(&in, 5, 3, 31), b = try_it(&gn, 5, 3, 31);
    size_t size = (size_t)a.x->numel * sizeof(tare_real);
    assert_memory_equal(a.out, b.out, size);
    assert_memory_equal(a.x->grad, b.x->grad, size);
    assert_memory_equal(a.gamma->grad, b.gamma->grad, 6 * sizeof(tare_real));
    trial_free(&a);
    trial_free(&b);
}

/* LayerNorm sums along the row and GroupNorm channel by channel. */
static void layer_over_images_is_group_with_one_group(void **state) {
    (void)state;
    setting ln = { LAYER, TARE_SHAPE(3, 6, 28, 28), 0, 1e-5, true }, gn = ln;
    gn.kind = GROUP;
    gn.groups = 1;
    trial a = try_it(&ln, 5, 3, 31), b = try_it(&gn, 5, 3, 31);
    double *dx = doubles(a.x->numel);
    for (int64_t i = 0; i < a.x->numel; i++) { dx[i] = (double)b.out[i]; }
    assert_all_near(a.out, dx, a.x->numel, test_tol(1e-6, 1e-13));
    for (int64_t i = 0; i < a.x->numel; i++) { dx[i] = (double)b.x->grad[i]; }
    assert_all_near(a.x->grad, dx, a.x->numel, test_tol(1e-6, 1e-13));
    /* and with gamma 1 and beta 0, element by element against channel by channel */
    tare_tape *tape = a.tape;
    tare_tensor *x = filled(tape, ln.shape, 5, 3, 31);
    tare_tensor *ones = filled(tape, TARE_SHAPE(6, 28, 28), 1, 0, 1),
                *zeros = filled(tape, TARE_SHAPE(6, 28, 28), 0, 0, 1);
    tare_tensor *y = tare_layer_norm(tape, x, ones, zeros, (tare_layer_norm_opt){ .dims = 3 });
    tare_tensor *z = tare_group_norm(tape, x, filled(tape, TARE_SHAPE(6), 1, 0, 1),
                                     filled(tape, TARE_SHAPE(6), 0, 0, 1), (tare_group_norm_opt){ .groups = 1 });
    for (int64_t i = 0; i < x->numel; i++) { dx[i] = (double)z->data[i]; }
    assert_all_near(y->data, dx, x->numel, test_tol(1e-6, 1e-13));
    free(dx);
    trial_free(&a);
    trial_free(&b);
}

/* ---- laws -------------------------------------------------------------------------------------------------------- */

static void shift_and_scale_change_nothing(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        setting s = five[i];
        s.eps = 1e-12;
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = filled(tape, s.shape, 0, 1, 41), *moved = tare_input(tape, s.shape, NULL);
        for (int64_t k = 0; k < x->numel; k++) { moved->data[k] = 8 * x->data[k] + 16; }
        tare_tensor *y = apply(tape, &s, x, NULL, NULL), *z = apply(tape, &s, moved, NULL, NULL);
        for (int64_t k = 0; k < x->numel; k++) { assert_near(z->data[k], y->data[k], test_tol(2e-5, 1e-11)); }
        tare_tape_free(tape);
    }
}

/* In each set: Sum dx = 0 and Sum dx x-hat = 0, since shifts and scales of x change nothing. */
static void gradient_is_orthogonal(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        setting s = five[i];
        s.eps = 1e-12;
        s.plain = true;
        trial r = try_it(&s, 2, 3, 51);
        int64_t sets = sets_of(&s);
        double *sum = doubles(sets), *dot = doubles(sets), *size = doubles(sets);
        for (int64_t k = 0; k < r.x->numel; k++) {
            int64_t set = set_of(&s, k);
            sum[set] += (double)r.x->grad[k];
            dot[set] += (double)r.x->grad[k] * (double)r.out[k];
            size[set] += fabs((double)r.x->grad[k]);
        }
        for (int64_t k = 0; k < sets; k++) {
            assert_true(size[k] > 0);
            assert_near(sum[k], 0, test_tol(1e-5, 1e-12) * size[k]);
            assert_near(dot[k], 0, test_tol(1e-5, 1e-11) * size[k]);
        }
        free(sum);
        free(dot);
        free(size);
        trial_free(&r);
    }
}

static void mode_matters_to_batch_norm_alone(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    const char *specs[] = { "ln", "ln:over=c", "in", "gn:2", "bn" };
    for (int i = 0; i < 5; i++) {
        tare_layer *norm = tare_norm_layer(ps, specs[i], specs[i], TARE_SHAPE(4, 5, 5));
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = filled(tape, TARE_SHAPE(3, 4, 5, 5), 2, 3, 61), *y = tare_forward(norm, tape, x);
        tare_tape_training_set(tape, false);
        tare_tensor *z = tare_forward(norm, tape, x);
        assert_int_equal(i == 4, memcmp(y->data, z->data, 300 * sizeof(tare_real)) != 0);
        tare_tape_free(tape);
    }
    tare_params_free(ps);
}

static void evaluated_batch_norm_is_affine(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *bn = tare_layer_batch_norm(ps, "bn", 3, (tare_layer_batch_norm_opt){ .eps = 1e-3 });
    tare_params_find(ps, "bn.running_mean")->data[1] = 4;
    tare_params_find(ps, "bn.running_var")->data[1] = 9;
    tare_params_find(ps, "bn.weight")->data[1] = 2;
    tare_params_find(ps, "bn.bias")->data[1] = 7;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    tare_tensor *x = filled(tape, TARE_SHAPE(1, 3, 2), 2, 3, 61), *y = tare_forward(bn, tape, x);
    for (int k = 2; k < 4; k++) {
        assert_near(y->data[k], ((double)x->data[k] - 4) / sqrt(9 + 1e-3) * 2 + 7, test_tol(1e-5, 1e-12));
    }
    assert_near(y->data[0], (double)x->data[0] / sqrt(1 + 1e-3), test_tol(1e-6, 1e-13));
    tare_tape_free(tape);
    tare_params_free(ps);
}

/* Two forwards before the backwards: what each saved is its own. */
static void two_inputs_one_layer(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        const setting *s = &five[i];
        trial first = try_it(s, 0, 1, 71), second = try_it(s, 3, 5, 81);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = filled(tape, s->shape, 0, 1, 71), *gamma = filled(tape, scale_shape(s), 1, 0.5, 72);
        tare_tensor *z = filled(tape, s->shape, 3, 5, 81), *delta = filled(tape, scale_shape(s), 1, 0.5, 82);
        tare_tensor *y = apply(tape, s, x, gamma, NULL), *w = apply(tape, s, z, delta, NULL);
        tare_tensor *up = tare_input(tape, s->shape, first.dy), *uq = tare_input(tape, s->shape, second.dy);
        tare_tensor *loss = tare_add(tape, tare_sum(tape, tare_mul(tape, y, up), 0, false),
                                     tare_sum(tape, tare_mul(tape, w, uq), 0, false));
        assert_ok(tare_backward(tape, loss));
        assert_memory_equal(first.x->grad, x->grad, (size_t)x->numel * sizeof(tare_real));
        assert_memory_equal(second.x->grad, z->grad, (size_t)x->numel * sizeof(tare_real));
        tare_tape_free(tape);
        trial_free(&first);
        trial_free(&second);
    }
}

/* Micro-batches of half the size, their gradients added, are the whole batch; for batch norm they are not. */
static void accumulation(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        setting whole = five[i], half = whole;
        whole.shape.dim[0] = 4;
        half.shape.dim[0] = 2;
        trial all = try_it(&whole, 1, 2, 91);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *gamma = filled(tape, scale_shape(&whole), 1, 0.5, 92),
                    *beta = filled(tape, scale_shape(&whole), 0, 0.5, 93);
        tare_tensor *loss = NULL;
        for (int part = 0; part < 2; part++) {
            int64_t at = part * all.x->numel / 2;
            tare_tensor *x = tare_input(tape, half.shape, all.x->data + at),
                        *up = tare_input(tape, half.shape, all.dy + at);
            tare_tensor *l = tare_sum(tape, tare_mul(tape, apply(tape, &half, x, gamma, beta), up), 0, false);
            loss = loss ? tare_add(tape, loss, l) : l;
        }
        assert_ok(tare_backward(tape, loss));
        double most = 0, apart = 0;
        for (int64_t k = 0; k < gamma->numel; k++) {
            most = fmax(most, fabs((double)all.gamma->grad[k]));
            apart = fmax(apart, fabs((double)all.gamma->grad[k] - (double)gamma->grad[k]));
        }
        assert_int_equal(whole.kind == BATCH, apart > 1e-4 * most);
        tare_tape_free(tape);
        trial_free(&all);
    }
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instance_is_group_with_a_group_per_channel),
        cmocka_unit_test(layer_over_images_is_group_with_one_group),
        cmocka_unit_test(shift_and_scale_change_nothing),
        cmocka_unit_test(gradient_is_orthogonal),
        cmocka_unit_test(mode_matters_to_batch_norm_alone),
        cmocka_unit_test(evaluated_batch_norm_is_affine),
        cmocka_unit_test(two_inputs_one_layer),
        cmocka_unit_test(accumulation),
    };
    return cmocka_run_group_tests_name("norm laws", tests, NULL, NULL);
}
