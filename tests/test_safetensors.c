/* test_safetensors.c - the file format, both ways; hostile files; weights by name; writing that fails.
 * tare-test: double */
#include "testing_support.h"

#include <tare/io.h>

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

typedef struct bytes {
    unsigned char data[16384];
    size_t size;
} bytes;

static bytes read_file(const char *path) {
    bytes b;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    b.size = fread(b.data, 1, sizeof b.data, file);
    assert_true(b.size < sizeof b.data);
    fclose(file);
    return b;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fwrite(data, 1, size, file) == size);
    fclose(file);
}

/* A file with this header text and `data` bytes behind it. */
static bytes with_header(const char *header, size_t data) {
    bytes b = { .size = 8 + strlen(header) + data };
    assert_true(b.size < sizeof b.data);
    memset(b.data, 0, sizeof b.data);
    for (int i = 0; i < 8; i++) { b.data[i] = (unsigned char)((uint64_t)strlen(header) >> (8 * i)); }
    memcpy(b.data + 8, header, strlen(header));
    return b;
}

static int files_in(const char *dir) {
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    int n = 0;
    while (readdir(folder)) { n++; }
    closedir(folder);
    return n - 2;
}

/* One layer "fc" with weight [2,3], bias [3], buffer fc.mean [3]; values from `start` upwards. */
static tare_params *make_model(double start) {
    tare_params *ps = tare_params_new(1);
    tare_params_push(ps, "fc");
    tare_param(ps, "weight", TARE_SHAPE(2, 3), 0);
    tare_param(ps, "bias", TARE_SHAPE(3), TARE_NO_DECAY);
    tare_buffer(ps, "mean", TARE_SHAPE(3));
    tare_params_pop(ps);
    assert_ok(tare_params_status(ps));
    const char *const names[] = { "fc.weight", "fc.bias", "fc.mean" };
    for (int i = 0; i < 3; i++) {
        tare_tensor *p = tare_params_find(ps, names[i]);
        for (int64_t j = 0; j < p->numel; j++) { p->data[j] = (tare_real)start++; }
    }
    return ps;
}

static void assert_model(const tare_params *ps, double start) {
    const char *const names[] = { "fc.weight", "fc.bias", "fc.mean" };
    for (int i = 0; i < 3; i++) {
        const tare_tensor *p = tare_params_find(ps, names[i]);
        for (int64_t j = 0; j < p->numel; j++) { assert_true((double)p->data[j] == start++); }
    }
}

/* ---- writing and reading ----------------------------------------------------------------------------------------- */

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

/* ---- hostile files ----------------------------------------------------------------------------------------------- */

static void test_hostile(void **state) {
    (void)state;
#define GOOD                         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define ENTRY(dtype, shape, offsets) "{\"x\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    const struct {
        const char *header;
        size_t data;
        const char *words;
    } cases[] = {
        { "", 0, "not a JSON object" },
        { "[]", 0, "not a JSON object" },
        { "{", 0, "not a JSON object" },
        { "nul", 0, "not a JSON object" },
        { "{" GOOD "} x", 8, "text after its end" },
        { "{" GOOD "}{}", 8, "text after its end" },
        { "{\"a", 0, "no end" },
        { "{\"a\\\"}", 0, "no end" },
        { "{\"a\\u0000b\":1}", 0, "a string holds a zero" },
        { "{\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", 0, "nested too deep" },
        { ENTRY("\"F32\"", "[1,[2]]", "[0,8]"), 8, "nested too deep" },
        { ENTRY("\"F32\"", "[1,{}]", "[0,8]"), 8, "nested too deep" },
        { "{\"x\":1}", 0, "tensor \"x\": not an object" },
        { "{\"x\":{}}", 0, "missing" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "missing" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}", 8, "more than dtype" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"shape\":[2]}}", 8, "more than dtype" },
        { ENTRY("\"F33\"", "[2]", "[0,8]"), 8, "tensor \"x\": unknown dtype" },
        { ENTRY("32", "[2]", "[0,8]"), 8, "dtype is not a string" },
        { ENTRY("\"F32\"", "2", "[0,8]"), 8, "shape is not a list" },
        { ENTRY("\"F32\"", "[-2]", "[0,8]"), 8, "not a whole number" },
        { ENTRY("\"F32\"", "[2.5]", "[0,8]"), 8, "not a whole number" },
        { ENTRY("\"F32\"", "[\"2\"]", "[0,8]"), 8, "not a whole number" },
        { ENTRY("\"F32\"", "[1e400]", "[0,8]"), 8, "not a whole number" },
        { ENTRY("\"F32\"", "[18446744073709551618]", "[0,8]"), 8, "not a whole number" },
        { ENTRY("\"F32\"", "[1,1,1,1,1,1,2]", "[0,8]"), 8, "more than 6 dimensions" },
        { ENTRY("\"F32\"", "[4294967296,4294967296,4294967296]", "[0,8]"), 8, "absurdly large" },
        { ENTRY("\"F64\"", "[2147483648,1073741824]", "[0,8]"), 8, "absurdly large" },
        { ENTRY("\"F32\"", "[3]", "[0,8]"), 8, "do not give the bytes" },
        { ENTRY("\"F64\"", "[2]", "[0,8]"), 8, "do not give the bytes" },
        { ENTRY("\"F32\"", "[2]", "8"), 8, "not a pair" },
        { ENTRY("\"F32\"", "[2]", "[]"), 8, "not a pair" },
        { ENTRY("\"F32\"", "[2]", "[0,8,8]"), 8, "not a pair" },
        { ENTRY("\"F32\"", "[2]", "[0,-8]"), 8, "not a pair" },
        { ENTRY("\"F32\"", "[2]", "[8,0]"), 8, "backwards" },
        { ENTRY("\"F32\"", "[2]", "[0,8]"), 7, "beyond the end" },
        { ENTRY("\"F32\"", "[2]", "[9007199254740984,9007199254740992]"), 8, "beyond the end" },
        { ENTRY("\"F32\"", "[2]", "[0,8]"), 9, "1 bytes after the last tensor" },
        { ENTRY("\"F32\"", "[2]", "[4,12]"), 12, "tensor \"x\": there is a hole before its data" },
        { "{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
          "tensor \"b\": its data overlaps" },
        { "{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "overlaps" },
        { "{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16,
          "tensor \"b\": there is a hole" },
        { "{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}", 8, "overlaps" },
        { "{" GOOD ",\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", 16,
          "tensor \"a\" is there twice" },
        { "{\"__metadata__\":3}", 0, "\"__metadata__\" is not an object" },
        { "{\"__metadata__\":{\"k\":3}}", 0, "\"__metadata__\": \"k\" is not a string" },
        { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "\"__metadata__\" is there twice" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = with_header(cases[i].header, cases[i].data);
        uint64_t live = tare_alloc_live();
        tare_reader *r = NULL;
        assert_status(TARE_EFORMAT, tare_reader_memory("bad.safetensors", b.data, b.size, &r));
        assert_contains(tare_error(), "bad.safetensors: ");
        assert_contains(tare_error(), cases[i].words);
        assert_null(r);
        assert_int_equal(tare_alloc_live(), live);
    }
}

/* Sound, if odd: whitespace, an empty tensor where another begins, no tensor at all. */
static void test_odd(void **state) {
    (void)state;
    const struct {
        const char *header;
        size_t data;
        int count;
    } cases[] = {
        { "{}", 0, 0 },
        { "  {" GOOD " } \n\t  ", 8, 1 },
        { "{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 8, 2 },
        { "{" GOOD
          ",\"b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]},\"c\":{\"shape\":[3,0],\"dtype\":\"F64\","
          "\"data_offsets\":[8,8]}}",
          8, 3 },
        { "{\"__metadata__\":{\"dtype\":\"x\"}," GOOD "}", 8, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = with_header(cases[i].header, cases[i].data);
        tare_reader *r = NULL;
        assert_ok(tare_reader_memory("odd", b.data, b.size, &r));
        assert_int_equal(tare_reader_count(r), cases[i].count);
        tare_reader_free(r);
    }
}

static void test_header_length(void **state) {
    (void)state;
    const uint64_t lengths[] = { 9, 100000001, UINT64_MAX, UINT64_MAX - 7, 1ull << 63 };
    for (int i = 0; i < 5; i++) {
        bytes b = with_header("{}      ", 0);
        for (int j = 0; j < 8; j++) { b.data[j] = (unsigned char)(lengths[i] >> (8 * j)); }
        tare_reader *r = NULL;
        assert_status(TARE_EFORMAT, tare_reader_memory("long", b.data, b.size, &r));
        assert_contains(tare_error(), "cut short");
    }
}

/* Control characters of a hostile name do not reach the terminal, and a long one is cut. */
static void test_names_shown(void **state) {
    (void)state;
    char header[400];
    snprintf(header, sizeof header, "{\"\\u001b[31m%0200d\":1}", 7);
    bytes b = with_header(header, 0);
    tare_reader *r = NULL;
    assert_status(TARE_EFORMAT, tare_reader_memory("bad", b.data, b.size, &r));
    assert_contains(tare_error(), "tensor \"?[31m000");
    assert_contains(tare_error(), "0...\"");
    assert_null(strchr(tare_error(), '\033'));
}

static bytes small_file(const char *dir) {
    tare_params *ps = make_model(1);
    const char *path = test_path(dir, "small.safetensors");
    assert_ok(tare_params_save(ps, path));
    tare_params_free(ps);
    return read_file(path);
}

static void test_cut_everywhere(void **state) {
    (void)state;
    char *dir = test_dir_new();
    bytes b = small_file(dir);
    tare_params *ps = make_model(100);
    const char *path = test_path(dir, "cut.safetensors");
    uint64_t live = tare_alloc_live();
    for (size_t n = 0; n < b.size; n++) {
        tare_reader *r = NULL;
        assert_status(TARE_EFORMAT, tare_reader_memory("cut", b.data, n, &r));
        write_file(path, b.data, n);
        assert_status(TARE_EFORMAT, tare_params_load(ps, path, (tare_load_opt){ 0 }));
        assert_contains(tare_error(), path);
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_model(ps, 100);
    write_file(path, b.data, b.size);
    assert_ok(tare_params_load(ps, path, (tare_load_opt){ 0 }));
    assert_model(ps, 1);
    tare_params_free(ps);
    test_dir_remove(dir);
}

/* Any single byte changed: read or refused, never worse. */
static void test_any_byte_changed(void **state) {
    (void)state;
    char *dir = test_dir_new();
    bytes b = small_file(dir);
    uint64_t live = tare_alloc_live();
    const unsigned char values[] = { 0, 0xff, '"', '{', '}', '[', ']', ',', ':', '0', '9', '-', 'e', '\\', ' ' };
    int refused = 0;
    for (size_t i = 0; i < b.size; i++) {
        unsigned char old = b.data[i];
        for (size_t j = 0; j < sizeof values; j++) {
            b.data[i] = values[j];
            tare_reader *r = NULL;
            tare_status status = tare_reader_memory("changed", b.data, b.size, &r);
            assert_true(status == TARE_OK || status == TARE_EFORMAT);
            assert_true((status == TARE_OK) == (r != NULL));
            refused += status != TARE_OK;
            tare_reader_free(r);
            assert_int_equal(tare_alloc_live(), live);
        }
        b.data[i] = old;
    }
    assert_true(refused > 1000);
    test_dir_remove(dir);
}

static void test_no_such_file(void **state) {
    (void)state;
    char *dir = test_dir_new();
    tare_reader *r = NULL;
    assert_status(TARE_ENOENT, tare_reader_open(test_path(dir, "none"), &r));
    assert_contains(tare_error(), "none: cannot open");
    assert_status(TARE_EIO, tare_reader_open(dir, &r));
    assert_contains(tare_error(), "not a regular file");
    assert_int_equal(mkfifo(test_path(dir, "pipe"), 0600), 0);
    assert_status(TARE_EIO, tare_reader_open(test_path(dir, "pipe"), &r));
    test_dir_remove(dir);
}

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
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_from_python),
        cmocka_unit_test(test_writer_errors),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_names_shown),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_any_byte_changed),
        cmocka_unit_test(test_no_such_file),
        cmocka_unit_test(test_save_load),
        cmocka_unit_test(test_precisions),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_partial_and_prefix),
        cmocka_unit_test(test_long_table),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
