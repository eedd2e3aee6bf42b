/* test_checkpoint.c - a run's state to a file and back: exact, composed of parts, all or nothing.
 * tare-test: double */
#include "checkpoint_run.h"

static void test_resume(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    run *whole = make_run(), *first = make_run(), *second = make_run();
    for (int t = 0; t < 10; t++) { train(whole); }
    for (int t = 0; t < 5; t++) { train(first); }
    assert_ok(tare_checkpoint_save(first->c, path));
    train(second); /* whatever it held before is replaced */
    assert_ok(tare_checkpoint_load(second->c, path));
    assert_same(first, second);
    for (int t = 0; t < 5; t++) { train(second); }
    assert_same(whole, second);
    free_run(whole);
    free_run(first);
    free_run(second);
    test_dir_remove(dir);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* The weights of one net, and the average in place of them, without the rest. */
static void test_weights_alone(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    run *r = make_run();
    train(r);
    assert_ok(tare_checkpoint_save(r->c, path));
    tare_params *ps = make_net("up");
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ .prefix = "gen" }));
    assert_same_flat(tare_params_flat(ps), tare_params_flat(r->gen), tare_params_flat_size(ps));
    assert_status(TARE_EMISMATCH,
                  tare_params_load(ps, path, (tare_load_opt){ .prefix = "@ema" })); /* no buffers there */
    assert_contains(tare_error(), "1 missing\n  missing     @ema.up.mean");
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ .prefix = "@ema", .partial = true }));
    assert_same_flat(tare_params_flat(ps), r->average, tare_params_flat_size(ps));
    tare_params_free(ps);
    free_run(r);
    test_dir_remove(dir);
}

/* A net under the name "" has plain names, and its optimizer's state is in nobody's way. */
static void test_plain_names(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "last.safetensors");
    tare_params *ps = make_net("fc"), *other = make_net("fc");
    tare_optim *o = tare_adam_new(ps, (tare_adam_opt){ 0 });
    tare_checkpoint *c = tare_checkpoint_new();
    tare_checkpoint_params(c, "", ps);
    tare_checkpoint_optim(c, "optim", o);
    assert_ok(tare_checkpoint_save(c, path));
    tare_params_at(other, 0)->data[3] = 99;
    assert_ok(tare_params_load(other, path, (tare_load_opt){ 0 }));
    assert_same_flat(tare_params_flat(ps), tare_params_flat(other), tare_params_flat_size(ps));
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(path, &r));
    assert_non_null(tare_reader_find(r, "fc.weight"));
    assert_non_null(tare_reader_find(r, "@optim.exp_avg_sq.fc.weight"));
    assert_string_equal(tare_reader_meta(r, "optim.name"), "adam");
    assert_string_equal(tare_reader_meta(r, "optim.steps"), "0");
    tare_reader_free(r);
    tare_checkpoint_free(c);
    tare_optim_free(o);
    tare_params_free(ps);
    tare_params_free(other);
    test_dir_remove(dir);
}

/* ---- short memory ------------------------------------------------------------------------------------------------ */

static void test_no_memory(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a");
    run *r = make_run(), *other = make_run(), *same = make_run();
    train(r);
    uint64_t live = tare_alloc_live();
    tare_status status = TARE_ENOMEM;
    int saves = 0, loads = 0, binds = 0;
    for (uint64_t n = 1; status; n++, saves++) {
        tare_alloc_fail_at(n);
        status = tare_checkpoint_save(r->c, path);
        tare_alloc_fail_at(0);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        assert_int_equal(tare_alloc_live(), live);
    }
    status = TARE_ENOMEM;
    for (uint64_t n = 1; status; n++, loads++) {
        tare_alloc_fail_at(n);
        status = tare_checkpoint_load(other->c, path);
        tare_alloc_fail_at(0);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        assert_int_equal(tare_alloc_live(), live);
        assert_same(status ? same : r, other);
    }
    status = TARE_ENOMEM;
    for (uint64_t n = 1; status; n++, binds++) {
        tare_checkpoint *kept = r->c;
        tare_alloc_fail_at(n);
        bind_all(r);
        tare_alloc_fail_at(0);
        status = tare_checkpoint_save(r->c, path);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        tare_checkpoint_free(r->c);
        r->c = kept;
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_true(saves > 40 && loads > 8 && binds > 12);
    free_run(r);
    free_run(other);
    free_run(same);
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_weights_alone),
        cmocka_unit_test(test_plain_names),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
