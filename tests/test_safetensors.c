/* test_safetensors.c - the file format, both ways: what is written, what is read, what a writer refuses.
 * tare-test: double */
#include "safetensors_files.h"

#include <math.h>

static void test_round_trip(void **state) {
    (void)state;
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a.safetensors");
    const double f64[] = { 0.1, -0.0 };
    const float f32[] = { 1.5f, (float)INFINITY, 1e-40f };
    const int64_t i64[] = { INT64_MIN, -1, INT64_MAX };
    const uint8_t u8[] = { 255 };
    tare_writer *w = tare_writer_new();
    tare_writer_tensor(w, "u8", TARE_DTYPE_U8, TARE_SCALAR, u8);
    tare_writer_tensor(w, "f64", TARE_DTYPE_F64, TARE_SHAPE(1, 2), f64);
    tare_writer_tensor(w, "f32", TARE_DTYPE_F32, TARE_SHAPE(3, 1, 1, 1, 1, 1), f32);
    tare_writer_tensor(w, "none", TARE_DTYPE_F32, TARE_SHAPE(4, 0), NULL);
    tare_writer_tensor(w, "quote \" slash \\ \n \xc3\xa4", TARE_DTYPE_I64, TARE_SHAPE(3), i64);
    tare_writer_meta(w, "key \"\\\x01", "line\nbreak \xe4\xb8\xad");
    assert_ok(tare_writer_save(w, path));
    tare_writer_free(w);

    bytes b = read_file(path);
    assert_int_equal((b.data[0] + 256 * b.data[1]) % 8, 0); /* numbers start at a multiple of 8 */
    assert_int_equal(b.size, 8 + b.data[0] + 256 * b.data[1] + 1 + 16 + 12 + 24);
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(path, &r));
    assert_int_equal(tare_reader_count(r), 5);
    assert_string_equal(tare_reader_meta(r, "key \"\\\x01"), "line\nbreak \xe4\xb8\xad");
    assert_null(tare_reader_meta(r, "other"));
    assert_null(tare_reader_find(r, "other"));
    const tare_entry *e = tare_reader_find(r, "f64");
    assert_true(e->dtype == TARE_DTYPE_F64 && tare_shape_equal(e->shape, TARE_SHAPE(1, 2)));
    assert_memory_equal(e->data, f64, sizeof f64);
    e = tare_reader_find(r, "f32");
    assert_true(e->dtype == TARE_DTYPE_F32 && e->shape.ndim == 6 && e->numel == 3);
    assert_memory_equal(e->data, f32, sizeof f32);
    assert_int_equal(tare_reader_find(r, "none")->numel, 0);
    double values[3];
    tare_entry_double(tare_reader_find(r, "quote \" slash \\ \n \xc3\xa4"), values);
    assert_true(values[0] == -0x1p63 && values[1] == -1 && values[2] == 0x1p63);
    assert_int_equal(tare_reader_find(r, "u8")->shape.ndim, 0);
    assert_ptr_equal(tare_reader_at(r, 0), tare_reader_find(r, "u8"));
    assert_null(tare_reader_at(r, 5));
    assert_string_equal(tare_reader_path(r), path);
    tare_reader_free(r);
    assert_int_equal(files_in(dir), 1);
    test_dir_remove(dir);
}

static void check_values(const tare_reader *r, const char *name, tare_dtype dtype, int64_t n, const double *want) {
    const tare_entry *e = tare_reader_find(r, name);
    double values[8];
    tare_real reals[8];
    assert_non_null(e);
    assert_int_equal(e->dtype, dtype);
    assert_int_equal(e->numel, n);
    tare_entry_double(e, values);
    tare_entry_real(e, reals);
    assert_memory_equal(values, want, (size_t)n * sizeof *want);
    for (int64_t i = 0; i < n; i++) { assert_true(reals[i] == (tare_real)want[i]); }
}

static void test_from_python(void **state) {
    (void)state;
    tare_reader *r = NULL;
    assert_ok(tare_reader_open(TARE_TEST_GOLDEN "/data/python.safetensors", &r));
    assert_int_equal(tare_reader_count(r), 12);
    assert_string_equal(tare_reader_meta(r, "note"), "a\tb \xc3\xa4");
    check_values(r, "f32", TARE_DTYPE_F32, 6, (double[]){ 1.5, -2.25, (double)3e-40f, (double)1e30f, -0.0, 7 });
    check_values(r, "f64", TARE_DTYPE_F64, 2, (double[]){ 0.1, -1e300 });
    check_values(r, "f16", TARE_DTYPE_F16, 6,
                 (double[]){ 1, -0.333251953125, 0x1p-14, 0x1p-24, 65504, -(double)INFINITY });
    check_values(r, "bf16", TARE_DTYPE_BF16, 3, (double[]){ 1, -3.140625, 0x1.b4p-127 });
    check_values(r, "i64", TARE_DTYPE_I64, 1, (double[]){ -5 });
    check_values(r, "i32", TARE_DTYPE_I32, 2, (double[]){ -2147483648.0, 2147483647.0 });
    check_values(r, "i16", TARE_DTYPE_I16, 2, (double[]){ -32768, 32767 });
    check_values(r, "i8", TARE_DTYPE_I8, 2, (double[]){ -128, 127 });
    check_values(r, "u8", TARE_DTYPE_U8, 2, (double[]){ 0, 255 });
    check_values(r, "bool", TARE_DTYPE_BOOL, 3, (double[]){ 1, 0, 1 });
    check_values(r,
                 "gr\xc3\xb6\xc3\x9f"
                 "e \"q\"\n",
                 TARE_DTYPE_F32, 1, (double[]){ 42 });
    assert_true(tare_shape_equal(tare_reader_find(r, "empty")->shape, TARE_SHAPE(0, 3)));
    tare_reader_free(r);
}

static void test_writer_errors(void **state) {
    (void)state;
    const float x[2] = { 1, 2 };
    char *dir = test_dir_new();
    const char *path = test_path(dir, "a.safetensors");
    for (int i = 0; i < 6; i++) {
        tare_writer *w = tare_writer_new();
        tare_writer_tensor(w, "a", TARE_DTYPE_F32, TARE_SHAPE(2), x);
        if (i == 0) { tare_writer_tensor(w, "a", TARE_DTYPE_F32, TARE_SHAPE(2), x); }
        if (i == 1) { tare_writer_tensor(w, "b", TARE_DTYPE_F32, TARE_SHAPE(-2), x); }
        if (i == 2) { tare_writer_tensor(w, "b", TARE_DTYPE_F64, TARE_SHAPE(1LL << 40, 1LL << 21), x); }
        if (i == 3) { tare_writer_tensor(w, "__metadata__", TARE_DTYPE_F32, TARE_SHAPE(2), x); }
        if (i == 4) { tare_writer_tensor(w, "b", TARE_DTYPE_F32, TARE_SHAPE(2), NULL); }
        if (i == 5) {
            tare_writer_meta(w, "k", "1");
            tare_writer_meta(w, "k", "1");
        }
        const tare_status want[] = { TARE_EEXIST, TARE_ESHAPE, TARE_ESHAPE, TARE_EINVAL, TARE_EINVAL, TARE_EEXIST };
        assert_status(want[i], tare_writer_save(w, path));
        assert_int_equal(files_in(dir), 0);
        tare_writer_free(w);
    }
    test_dir_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_from_python),
        cmocka_unit_test(test_writer_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
