/* test_ema.c - an average of weights: its formula, warm-up, swapping, checkpoints, memory.   tare-test: double isa */
#include "testing_support.h"

#include <tare/io.h>
#include <tare/norms.h>

#include <math.h>

typedef struct model {
    tare_params *ps;
    tare_tensor *w, *b, *buffer;
} model;

static model model_new(void) {
    model m = { .ps = tare_params_new(1) };
    m.w = tare_param(m.ps, "w", TARE_SHAPE(40, 30), 0);
    m.b = tare_param(m.ps, "b", TARE_SHAPE(3), TARE_NO_DECAY);
    m.buffer = tare_buffer(m.ps, "running", TARE_SHAPE(2));
    tare_init_normal(m.ps, m.w, 0, 1);
    assert_ok(tare_params_status(m.ps));
    return m;
}

static void move(model *m, int step) {
    for (int64_t i = 0; i < m->w->numel; i++) { m->w->data[i] += (tare_real)sin((double)(i + step)); }
    m->b->data[1] = (tare_real)step;
    m->buffer->data[0] = (tare_real)(10 * step);
}

static void follows_the_formula(void **state) {
    (void)state;
    for (int warmup = 0; warmup < 2; warmup++) {
        model m = model_new();
        double want[1200], b = 0;
        for (int i = 0; i < 1200; i++) { want[i] = (double)m.w->data[i]; }
        tare_ema *e = tare_ema_new(m.ps, (tare_ema_opt){ .decay = 0.75, .warmup = warmup });
        assert_non_null(e);
        for (int step = 0; step < 40; step++) {
            move(&m, step);
            assert_ok(tare_ema_update(e));
            double d = warmup ? fmin(0.75, (1.0 + step) / (10.0 + step)) : 0.75;
            for (int i = 0; i < 1200; i++) { want[i] = d * want[i] + (1 - d) * (double)m.w->data[i]; }
            b = d * b + (1 - d) * step;
        }
        assert_true(tare_ema_updates(e) == 40);
        assert_all_near(tare_ema_flat(e), want, 1200, test_tol(1e-5, 1e-13));
        assert_near(tare_ema_flat(e)[tare_params_offset(m.ps, 1) + 1], b, test_tol(1e-4, 1e-12));
        assert_near(tare_ema_buffer_flat(e)[0], 390, 0); /* copied, not averaged */
        tare_ema_free(e);
        tare_params_free(m.ps);
    }
}

static void decay_of_zero_and_one(void **state) {
    (void)state;
    model m = model_new();
    tare_ema *copy = tare_ema_new(m.ps, (tare_ema_opt){ .decay = -0.0 });
    tare_ema *still = tare_ema_new(m.ps, (tare_ema_opt){ .decay = 1 });
    tare_real first = m.w->data[7];
    move(&m, 3);
    assert_ok(tare_ema_update(copy));
    assert_ok(tare_ema_update(still));
    assert_memory_equal(tare_ema_flat(copy), tare_params_flat(m.ps), 1200 * sizeof(tare_real));
    assert_true(tare_ema_flat(still)[7] == first);
    tare_ema_free(copy);
    tare_ema_free(still);
    tare_params_free(m.ps);
}

static void swaps_there_and_back(void **state) {
    (void)state;
    model m = model_new();
    tare_ema *e = tare_ema_new(m.ps, (tare_ema_opt){ 0 });
    move(&m, 1);
    assert_ok(tare_ema_update(e));
    tare_real now[1200], buffer = m.buffer->data[0];
    memcpy(now, m.w->data, sizeof now);
    tare_real average = tare_ema_flat(e)[5];
    assert_true(average != now[5]);
    assert_ok(tare_ema_swap(e));
    assert_true(tare_ema_swapped(e) && m.w->data[5] == average);
    m.buffer->data[0] = -1; /* what is done to the buffers meanwhile */
    assert_status(TARE_EINVAL, tare_ema_update(e));
    assert_contains(tare_error(), "swapped in");
    assert_ok(tare_ema_swap(e));
    assert_memory_equal(now, m.w->data, sizeof now);
    assert_true(m.buffer->data[0] == buffer && tare_ema_buffer_flat(e)[0] == -1);
    assert_ok(tare_ema_update(e));
    assert_true(tare_ema_buffer_flat(e)[0] == buffer);
    tare_ema_free(e);
    tare_params_free(m.ps);
}

static void goes_on_from_a_checkpoint(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    model a = model_new(), b = model_new();
    tare_ema *ea = tare_ema_new(a.ps, (tare_ema_opt){ .warmup = true });
    tare_ema *eb = tare_ema_new(b.ps, (tare_ema_opt){ .warmup = true });
    tare_checkpoint *ca = tare_checkpoint_new(), *cb = tare_checkpoint_new();
    tare_checkpoint_params(ca, "g", a.ps), tare_checkpoint_ema(ca, "ema", ea);
    tare_checkpoint_params(cb, "g", b.ps), tare_checkpoint_ema(cb, "ema", eb);
    for (int step = 0; step < 10; step++) {
        if (step == 5) {
            assert_ok(tare_ema_swap(ea));
            assert_status(TARE_EINVAL, tare_checkpoint_save(ca, path));
            assert_contains(tare_error(), "the average \"ema\" is swapped in");
            assert_ok(tare_ema_swap(ea));
            assert_ok(tare_checkpoint_save(ca, path));
            assert_ok(tare_checkpoint_load(cb, path));
        }
        move(&a, step);
        assert_ok(tare_ema_update(ea));
        if (step < 5) { continue; }
        move(&b, step);
        assert_ok(tare_ema_update(eb));
    }
    size_t bytes = (size_t)tare_params_flat_size(a.ps) * sizeof(tare_real);
    assert_memory_equal(tare_ema_flat(ea), tare_ema_flat(eb), bytes);
    assert_memory_equal(tare_ema_buffer_flat(ea), tare_ema_buffer_flat(eb), 2 * sizeof(tare_real));
    assert_true(tare_ema_updates(ea) == tare_ema_updates(eb));
    tare_reader *r = NULL; /* beside the model, by its names */
    assert_ok(tare_reader_open(path, &r));
    assert_non_null(tare_reader_find(r, "@ema.w"));
    assert_non_null(tare_reader_find(r, "@ema.running"));
    tare_reader_free(r);
    tare_param(a.ps, "late", TARE_SHAPE(1), 0);
    assert_status(TARE_EINVAL, tare_checkpoint_save(ca, path));
    assert_contains(tare_error(), "\"ema\" has no room for parameters added after it was made");
    tare_checkpoint_free(ca), tare_checkpoint_free(cb);
    tare_ema_free(ea), tare_ema_free(eb);
    tare_params_free(a.ps), tare_params_free(b.ps);
    test_dir_remove(dir);
}

static void any_number_of_threads_and_no_memory(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(100000), 0);
    tare_init_normal(ps, w, 0, 1);
    tare_real *first = calloc(100000, sizeof *first);
    for (int threads = 1; threads <= 3; threads++) {
        tare_threads_set(threads);
        tare_ema *e = tare_ema_new(ps, (tare_ema_opt){ .decay = 0.9 });
        for (int64_t i = 0; i < w->numel; i++) { tare_ema_flat(e)[i] = (tare_real)cos((double)i); }
        uint64_t count = tare_alloc_count();
        for (int i = 0; i < 5; i++) { assert_ok(tare_ema_update(e)); }
        assert_true(tare_alloc_count() == count);
        if (threads == 1) { memcpy(first, tare_ema_flat(e), 100000 * sizeof *first); }
        assert_memory_equal(first, tare_ema_flat(e), 100000 * sizeof *first);
        tare_ema_free(e);
    }
    tare_threads_set(0);
    free(first);
    tare_params_free(ps);
}

static void errors(void **state) {
    (void)state;
    model m = model_new();
    assert_null(tare_ema_new(m.ps, (tare_ema_opt){ .decay = 1.5 }));
    assert_contains(tare_error(), "decay");
    assert_null(tare_ema_new(NULL, (tare_ema_opt){ 0 }));
    uint64_t live = tare_alloc_live();
    for (uint64_t n = 1; n <= 3; n++) {
        tare_alloc_fail_at(n);
        assert_null(tare_ema_new(m.ps, (tare_ema_opt){ 0 }));
        tare_alloc_fail_at(0);
        assert_true(live == tare_alloc_live());
    }
    tare_ema *e = tare_ema_new(m.ps, (tare_ema_opt){ 0 });
    tare_buffer(m.ps, "late", TARE_SHAPE(1));
    assert_status(TARE_EINVAL, tare_ema_update(e));
    assert_contains(tare_error(), "parameters were added since");
    assert_status(TARE_EINVAL, tare_ema_swap(e));
    tare_ema_free(e);
    tare_params_free(m.ps);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_formula),
        cmocka_unit_test(decay_of_zero_and_one),
        cmocka_unit_test(swaps_there_and_back),
        cmocka_unit_test(goes_on_from_a_checkpoint),
        cmocka_unit_test(any_number_of_threads_and_no_memory),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("ema", tests, NULL, NULL);
}
