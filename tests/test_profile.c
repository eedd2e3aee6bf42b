/* test_profile.c - --profile and --memory: what they print, when, and that training goes on as if nothing looked. */
#include "testing_support.h"

#include <tare/tare.h>

#include <stdio.h>

enum { STEPS = 8, TIMED = 2 };

typedef struct seen {
    int first, second; /* the steps that had something to print */
    char memory[8192], times[8192];
    double loss;
} seen;

static seen run(tare_profile_opt opt) {
    static const int32_t labels[] = { 0, 1, 2, 3 };
    seen s = { 0 };
    tare_params *ps = tare_params_new(1);
    tare_layer *layers[] = { tare_layer_linear(ps, "fc1", 64, 128, (tare_layer_linear_opt){ 0 }),
                             tare_layer_relu(ps, "relu"),
                             tare_layer_linear(ps, "fc2", 128, 4, (tare_layer_linear_opt){ 0 }) };
    tare_layer *net = tare_layer_sequential(ps, "net", layers, 3);
    tare_optim *optim = tare_adam_new(ps, (tare_adam_opt){ 0 });
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_profile *profile = tare_profile_new(&opt, tape, optim);
    for (int step = 1; step <= STEPS; step++) {
        tare_profile_enter(profile, TARE_PROFILE_DATA);
        tare_profile_enter(profile, TARE_PROFILE_TAPE);
        tare_tape_reset(tape);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(4, 64), NULL);
        for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(i % 7) / 7; }
        tare_tensor *loss = tare_cross_entropy(tape, tare_forward(net, tape, x), labels, (tare_cross_entropy_opt){ 0 });
        s.loss = tare_item(loss);
        tare_params_zero_grad(ps);
        assert_ok(tare_backward(tape, loss));
        tare_profile_enter(profile, TARE_PROFILE_OPTIMIZER);
        assert_ok(tare_optim_step(optim));
        tare_profile_enter(profile, TARE_PROFILE_REST);
        const char *text = tare_profile_step(profile);
        if (text && strstr(text, "memory of a step")) {
            s.first = step;
            snprintf(s.memory, sizeof s.memory, "%s", text);
        } else if (text) {
            s.second = step;
            snprintf(s.times, sizeof s.times, "%s", text);
        }
    }
    tare_profile_free(profile);
    tare_tape_free(tape);
    tare_optim_free(optim);
    tare_params_free(ps);
    return s;
}

static void asked_for_nothing_it_says_nothing(void **state) {
    (void)state;
    seen s = run((tare_profile_opt){ 0 });
    assert_int_equal(s.first + s.second, 0);
}

static void times_come_by_op_after_the_steps_asked_for(void **state) {
    (void)state;
    seen s = run((tare_profile_opt){ .profile = TIMED });
    assert_int_equal(s.second, 3 + TIMED);
    assert_contains(s.times, "(2 steps on");
    assert_contains(s.times, "\nlinear ");
    assert_contains(s.times, "\ncross_entropy ");
    assert_contains(s.times, "\n(optimizer)");
    assert_null(strstr(s.times, "nan"));
}

/* fc1 keeps its 4 x 128 results until relu has run; relu keeps as many for backward. */
static void memory_comes_by_layer_after_the_second_step(void **state) {
    (void)state;
    seen s = run((tare_profile_opt){ .memory = true });
    assert_int_equal(s.first, 2);
    assert_contains(s.memory, "\nfc1 ");
    assert_contains(s.memory, "\nrelu ");
    assert_contains(s.memory, "most at once");
    assert_contains(s.memory, "parameters 0.03, gradients 0.03, optimizer 0.07");
}

static void looking_changes_nothing(void **state) {
    (void)state;
    seen blind = run((tare_profile_opt){ 0 }), watched = run((tare_profile_opt){ .memory = true, .profile = TIMED });
    assert_true(blind.loss == watched.loss);
    assert_int_equal(watched.first, 2);
    assert_int_equal(watched.second, 3 + TIMED);
}

/* A player of a game: a net, its optimizer and its tape. */
typedef struct player {
    tare_params *ps;
    tare_layer *net;
    tare_optim *optim;
    tare_tape *tape;
} player;

static player player_new(const char *name, int64_t width) {
    player p = { .ps = tare_params_new(1) };
    p.net = tare_layer_linear(p.ps, name, width, width, (tare_layer_linear_opt){ 0 });
    p.optim = tare_adam_new(p.ps, (tare_adam_opt){ 0 });
    p.tape = tare_tape_new((tare_tape_opt){ .training = true });
    return p;
}

static void learn(player *p, int64_t n, int64_t width) {
    tare_tape_reset(p->tape);
    tare_tensor *x = tare_input(p->tape, TARE_SHAPE(n, width), NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = 1; }
    tare_tensor *loss = tare_mean(p->tape, tare_forward(p->net, p->tape, x), 0, false);
    tare_params_zero_grad(p->ps);
    assert_ok(tare_backward(p->tape, tare_mean(p->tape, loss, 0, false)));
    assert_ok(tare_optim_step(p->optim));
}

/* What one player's tape still holds counts while the other learns, and a reset is no layer's gift. */
static void two_players_are_seen_as_one_step(void **state) {
    (void)state;
    player a = player_new("first", 256), b = player_new("second", 512);
    tare_profile *profile = tare_profile_new(&(tare_profile_opt){ .memory = true, .profile = TIMED }, a.tape, a.optim);
    assert_ok(tare_profile_also(profile, b.tape, b.optim));
    int texts = 0;
    for (int step = 1; step <= STEPS; step++) {
        learn(&a, 1024, 256);
        learn(&b, 1024, 512);
        const char *text = tare_profile_step(profile);
        if (!text) { continue; }
        if (texts++ == 0) {
            assert_contains(text, "\nfirst                                                1.00 ");
            assert_contains(text, "\nsecond                                               2.00 ");
            assert_contains(text, "parameters 1.25, gradients 1.25, optimizer 2.51"); /* 256 x 257 + 512 x 513 values */
        } else {
            assert_contains(text, "\nlinear                    2 ");
            assert_contains(text, "\nmean                      4 ");
        }
    }
    assert_int_equal(texts, 2);
    for (int i = 2; i < 8; i++) { assert_ok(tare_profile_also(profile, NULL, a.optim)); }
    assert_int_equal(tare_profile_also(profile, NULL, a.optim), TARE_EINVAL);
    tare_profile_free(profile);
    player *both[] = { &a, &b };
    for (int i = 0; i < 2; i++) {
        tare_tape_free(both[i]->tape);
        tare_optim_free(both[i]->optim);
        tare_params_free(both[i]->ps);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_for_nothing_it_says_nothing),
        cmocka_unit_test(times_come_by_op_after_the_steps_asked_for),
        cmocka_unit_test(memory_comes_by_layer_after_the_second_step),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(two_players_are_seen_as_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
