/* test_safetensors_params.c - weights by name: saved, loaded, a file that does not fit the model; writing that fails.
 * tare-test: double */
#include "safetensors_files.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- weights ----------------------------------------------------------------------------------------------------- */

static void test_save_load(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "w.safetensors");
    tare_params *a = make_model(1), *b = make_model(50);
    assert_ok(tare_params_save(a, path));
    assert_ok(tare_params_load(b, path, (tare_load_opt){ 0 }));
    assert_model(b, 1);
    tare_params_free(a);
    tare_params_free(b);
    test_dir_remove(dir);
}

/* The other precision's files load: floats exactly into doubles, doubles rounded into floats. */
static void test_precisions(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "p.safetensors");
    const double third = 1.0 / 3, f64[6] = { third, 1e300, 2, 3, 4, 5 };
    const float f32[3] = { 1.0f / 3, 1, 2 };
    const int64_t i64[3] = { -7, 8, 9 };
    tare_writer *w = tare_writer_new();
    tare_writer_tensor(w, "fc.weight", TARE_DTYPE_F64, TARE_SHAPE(2, 3), f64);
    tare_writer_tensor(w, "fc.bias", TARE_DTYPE_F32, TARE_SHAPE(3), f32);
    tare_writer_tensor(w, "fc.mean", TARE_DTYPE_I64, TARE_SHAPE(3), i64);
    assert_ok(tare_writer_save(w, path));
    tare_writer_free(w);
    tare_params *ps = make_model(50);
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ 0 }));
    assert_true(tare_params_find(ps, "fc.weight")->data[0] == (tare_real)third);
    assert_true(tare_params_find(ps, "fc.weight")->data[1] == (tare_real)1e300);
    assert_true((double)tare_params_find(ps, "fc.bias")->data[0] == (double)(1.0f / 3));
    assert_true(tare_params_find(ps, "fc.mean")->data[0] == -7);
    tare_params_free(ps);
    test_dir_remove(dir);
}

static void test_mismatch(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "m.safetensors");
    const float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    tare_writer *w = tare_writer_new();
    tare_writer_tensor(w, "fc.weight", TARE_DTYPE_F32, TARE_SHAPE(3, 2), x);
    tare_writer_tensor(w, "fc.mean", TARE_DTYPE_F32, TARE_SHAPE(3), x);
    tare_writer_tensor(w, "fc2.bias", TARE_DTYPE_F32, TARE_SHAPE(8), x);
    tare_writer_tensor(w, "@optim.exp_avg.fc.bias", TARE_DTYPE_F32, TARE_SHAPE(3), x);
    tare_writer_tensor(w, "bn.num_batches_tracked", TARE_DTYPE_F32, TARE_SCALAR, x);
    assert_ok(tare_writer_save(w, path));
    tare_writer_free(w);
    tare_params *ps = make_model(50);
    assert_status(TARE_EMISMATCH, tare_params_load(ps, path, (tare_load_opt){ 0 }));
    assert_contains(tare_error(), "m.safetensors does not fit the model: 1 missing, 1 unexpected, 1 misshapen\n");
    assert_contains(tare_error(), "\n  misshapen   fc.weight  [3,2] in the file, [2,3] here");
    assert_contains(tare_error(), "\n  missing     fc.bias  [3]");
    assert_contains(tare_error(), "\n  unexpected  fc2.bias  [8]");
    assert_model(ps, 50);
    assert_status(TARE_EMISMATCH, tare_params_load(ps, path, (tare_load_opt){ .partial = true }));
    assert_contains(tare_error(), "model: 1 misshapen\n");
    assert_model(ps, 50);
    tare_params_free(ps);
    test_dir_remove(dir);
}

static void test_partial_and_prefix(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "p.safetensors");
    tare_real x[6] = { 1, 2, 3, 4, 5, 6 };
    tare_writer *w = tare_writer_new();
    tare_writer_tensor(w, "gen.fc.weight", TARE_DTYPE_REAL, TARE_SHAPE(2, 3), x);
    tare_writer_tensor(w, "gen.fc.bias", TARE_DTYPE_REAL, TARE_SHAPE(3), x + 3);
    tare_writer_tensor(w, "general", TARE_DTYPE_REAL, TARE_SHAPE(3), x);
    tare_writer_tensor(w, "dis.fc.bias", TARE_DTYPE_REAL, TARE_SHAPE(2), x);
    assert_ok(tare_writer_save(w, path));
    tare_writer_free(w);
    tare_params *ps = make_model(50);
    assert_status(TARE_EMISMATCH, tare_params_load(ps, path, (tare_load_opt){ .prefix = "gen" }));
    assert_contains(tare_error(), "model: 1 missing\n  missing     gen.fc.mean  [3]");
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ .prefix = "gen", .partial = true }));
    assert_true(tare_params_find(ps, "fc.weight")->data[5] == 6);
    assert_true(tare_params_find(ps, "fc.bias")->data[0] == 4);
    assert_true(tare_params_find(ps, "fc.mean")->data[0] == 59); /* as it was */
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ .prefix = "other", .partial = true }));
    tare_params_free(ps);
    test_dir_remove(dir);
}

static void test_long_table(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "w.safetensors");
    tare_params *small = make_model(1), *large = tare_params_new(1);
    for (int i = 0; i < 47; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        tare_param(large, name, TARE_SHAPE(1), 0);
    }
    assert_ok(tare_params_save(small, path));
    assert_status(TARE_EMISMATCH, tare_params_load(large, path, (tare_load_opt){ 0 }));
    assert_contains(tare_error(), "47 missing, 3 unexpected");
    assert_contains(tare_error(), "p19  [1]\n  ... and 30 more");
    tare_params_free(small);
    tare_params_free(large);
    test_dir_remove(dir);
}

/* ---- writing that fails ------------------------------------------------------------------------------------------ */

static void test_disk_full(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "w.safetensors");
    tare_params *ps = make_model(1);
    assert_ok(tare_params_save(ps, path));
    bytes before = read_file(path);
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (size_t room = 0; room < before.size; room += 37) {
        tight = old;
        tight.rlim_cur = (rlim_t)room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        tare_status status = tare_params_save(ps, path);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_status(TARE_EIO, status);
        assert_contains(tare_error(), "w.safetensors: cannot write: ");
        bytes after = read_file(path);
        assert_int_equal(after.size, before.size);
        assert_memory_equal(after.data, before.data, before.size);
        assert_int_equal(files_in(dir), 1); /* the temporary file is gone */
    }
    signal(SIGXFSZ, handler);
    assert_ok(tare_params_save(ps, path));
    tare_params_free(ps);
    test_dir_remove(dir);
}

static void test_no_path(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    assert_status(TARE_EINVAL, tare_params_save(ps, NULL));
    assert_contains(tare_error(), "the path to write is NULL");
    assert_status(TARE_EINVAL, tare_params_load(ps, NULL, (tare_load_opt){ 0 }));
    assert_contains(tare_error(), "the path to read is NULL");
    tare_params_free(ps);
}

static void test_unwritable(void **state) {
    (void)state;
    char *dir = test_dir_new();
    tare_params *ps = make_model(1);
    assert_status(TARE_EIO, tare_params_save(ps, test_path(dir, "no/such/folder.safetensors")));
    assert_contains(tare_error(), "No such file or directory");
    assert_status(TARE_EIO, tare_params_save(ps, dir));
    assert_contains(tare_error(), "not a regular file");
    assert_status(TARE_EIO, tare_params_save(ps, "/dev/full"));
    assert_contains(tare_error(), "not a regular file");
    assert_int_equal(files_in(dir), 0);
    /* a temporary file that a killed process left behind is in nobody's way */
    char name[64];
    snprintf(name, sizeof name, "w.tmp-%ld-0", (long)getpid());
    write_file(test_path(dir, name), "x", 1);
    assert_ok(tare_params_save(ps, test_path(dir, "w")));
    assert_int_equal(files_in(dir), 2);
    tare_params_free(ps);
    test_dir_remove(dir);
}

static void test_no_memory(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "w.safetensors");
    tare_params *ps = make_model(1), *other = make_model(50);
    uint64_t live = tare_alloc_live();
    int failed = 0;
    for (uint64_t n = 1;; n++) {
        tare_alloc_fail_at(n);
        tare_status status = tare_params_save(ps, path);
        tare_alloc_fail_at(0);
        assert_int_equal(tare_alloc_live(), live);
        if (status == TARE_OK) { break; }
        assert_int_equal(status, TARE_ENOMEM);
        failed++;
    }
    assert_true(failed > 8);
    assert_int_equal(files_in(dir), 1);
    for (uint64_t n = 1;; n++) {
        tare_alloc_fail_at(n);
        tare_status status = tare_params_load(other, path, (tare_load_opt){ 0 });
        tare_alloc_fail_at(0);
        assert_int_equal(tare_alloc_live(), live);
        assert_model(other, status == TARE_OK ? 1 : 50);
        if (status == TARE_OK) { break; }
        assert_int_equal(status, TARE_ENOMEM);
        failed++;
    }
    assert_true(failed > 14);
    tare_params_free(ps);
    tare_params_free(other);
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_save_load),          cmocka_unit_test(test_precisions), cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_partial_and_prefix), cmocka_unit_test(test_long_table), cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_unwritable),         cmocka_unit_test(test_no_path),    cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
