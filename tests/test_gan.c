/* test_gan.c - losses of both players beside PyTorch's, in values and gradients; clipped weights.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/gan.h>
#include <tare/testing.h>

#include <math.h>
#include <stdio.h>

static tare_tape *tape_new(void) { return tare_tape_new((tare_tape_opt){ .training = true, .guard = true }); }

/* ---- losses ---------------------------------------------------------------------------------------------------------- */

static const char *const roles[] = { "d_real", "d_fake", "g" };

typedef struct loss_case {
    tare_gan_loss_kind kind;
    tare_gan_role role;
} loss_case;

static tare_tensor *loss_graph(tare_tape *t, tare_tensor *const *in, void *user) {
    const loss_case *c = user;
    return tare_gan_loss(t, in[0], c->kind, c->role);
}

static void loss_as_golden(const golden *g, loss_case c) {
    char name[64];
    snprintf(name, sizeof name, "%s_%s", tare_gan_loss_name(c.kind), roles[c.role]);
    tare_shape shape;
    const double *in = golden_get(g, &shape, "%s/in0", name), *dout = golden_get(g, NULL, "%s/dout", name);
    if (!in) { fail_msg("no golden gan_loss/%s", name); }
    tare_tape *t = tape_new();
    tare_tensor *s = tare_input(t, shape, NULL);
    for (int64_t i = 0; i < s->numel; i++) { s->data[i] = (tare_real)in[i]; }
    s->requires_grad = true;
    tare_tensor *loss = loss_graph(t, &s, &c);
    if (!loss) { fail_msg("%s: %s", name, tare_tape_error(t)); }
    assert_all_near(loss->data, golden_get(g, NULL, "%s/out", name), 1, test_tol(1e-5, 1e-10));
    assert_ok(tare_backward_from(t, loss, &(tare_real){ (tare_real)dout[0] }));
    assert_all_near(s->grad, golden_get(g, NULL, "%s/din0", name), s->numel, test_tol(1e-5, 1e-10));
    assert_ok(tare_tape_guard(t));
    tare_tape_free(t);
    tare_gradcheck_input input = { .shape = shape };
    tare_gradcheck_opt opt = { .bits = test_tol(true, false) };
    assert_ok(tare_gradcheck(name, loss_graph, &c, &input, 1, &opt, NULL));
}

static void losses_as_pytorch(void **state) {
    (void)state;
    golden *g = golden_open("gan_loss");
    assert_non_null(g);
    for (int kind = 0; tare_gan_loss_name((tare_gan_loss_kind)kind); kind++) {
        for (int role = TARE_GAN_D_REAL; role <= TARE_GAN_G; role++) {
            loss_as_golden(g, (loss_case){ (tare_gan_loss_kind)kind, (tare_gan_role)role });
        }
    }
    golden_close(g);
}

static void loss_names(void **state) {
    (void)state;
    tare_gan_loss_kind kind = TARE_GAN_HINGE;
    for (int i = 0; i < 4; i++) {
        assert_ok(tare_gan_loss_parse(tare_gan_loss_name((tare_gan_loss_kind)i), &kind));
        assert_int_equal(i, kind);
    }
    assert_null(tare_gan_loss_name((tare_gan_loss_kind)4));
    assert_status(TARE_EINVAL, tare_gan_loss_parse("hing", &kind));
    assert_contains(tare_error(), "no GAN loss \"hing\": there are hinge, logistic, least_squares and wasserstein");
    assert_int_equal(TARE_GAN_WASSERSTEIN, kind);
}

static void loss_errors(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    assert_null(tare_gan_loss(t, NULL, TARE_GAN_HINGE, TARE_GAN_G));
    assert_int_equal(TARE_OK, tare_tape_status(t));
    const struct {
        int64_t scores;
        int kind, role;
        tare_status status;
        const char *words;
    } cases[] = { { 2, 7, 0, TARE_EINVAL, "no loss 7" },
                  { 2, 0, 3, TARE_EINVAL, "role 3" },
                  { 0, 0, 0, TARE_ESHAPE, "scores [0,1] have no mean" } };
    for (int i = 0; i < 3; i++) {
        tare_tensor *s = tare_input(t, TARE_SHAPE(cases[i].scores, 1), NULL);
        assert_null(tare_gan_loss(t, s, (tare_gan_loss_kind)cases[i].kind, (tare_gan_role)cases[i].role));
        assert_int_equal(cases[i].status, tare_tape_status(t));
        assert_contains(tare_tape_error(t), cases[i].words);
        tare_tape_reset(t);
    }
    tare_tape_free(t);
}

/* ---- clipped weights ------------------------------------------------------------------------------------------------- */

static void weights_are_clipped(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(3), 0), *rests = tare_param(ps, "rests", TARE_SHAPE(2), 0);
    tare_tensor *b = tare_param(ps, "b", TARE_SHAPE(1), TARE_NO_DECAY), *stays = tare_buffer(ps, "s", TARE_SHAPE(1));
    const double values[] = { -0.5, 0.005, 0.02 };
    for (int i = 0; i < 3; i++) { w->data[i] = (tare_real)values[i]; }
    rests->data[0] = stays->data[0] = 3;
    b->data[0] = (tare_real)NAN;
    rests->requires_grad = false;
    assert_ok(tare_clip_weights(ps, 0.01));
    assert_near(w->data[0], -0.01, 1e-9);
    assert_near(w->data[1], 0.005, 1e-9);
    assert_near(w->data[2], 0.01, 1e-9);
    assert_true(rests->data[0] == 3 && stays->data[0] == 3);
    assert_true(isnan(b->data[0]));
    assert_status(TARE_EINVAL, tare_clip_weights(ps, 0));
    assert_status(TARE_EINVAL, tare_clip_weights(ps, NAN));
    assert_contains(tare_error(), "the limit is nan");
    tare_params_free(ps);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_as_pytorch),
        cmocka_unit_test(loss_names),
        cmocka_unit_test(loss_errors),
        cmocka_unit_test(weights_are_clipped),
    };
    return cmocka_run_group_tests_name("gan", tests, NULL, NULL);
}
