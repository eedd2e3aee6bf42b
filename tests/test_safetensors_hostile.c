/* test_safetensors_hostile.c - files that are broken, cut short or made to harm: refused in words, or read; never worse.
 * tare-test: double */
#include "safetensors_files.h"

#include <sys/stat.h>

/* A file with this header text and `data` bytes behind it. */
static bytes with_header(const char *header, size_t data) {
    bytes b = { .size = 8 + strlen(header) + data };
    assert_true(b.size < sizeof b.data);
    memset(b.data, 0, sizeof b.data);
    for (int i = 0; i < 8; i++) { b.data[i] = (unsigned char)((uint64_t)strlen(header) >> (8 * i)); }
    memcpy(b.data + 8, header, strlen(header));
    return b;
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_header_length),  cmocka_unit_test(test_names_shown),
        cmocka_unit_test(test_cut_everywhere), cmocka_unit_test(test_any_byte_changed),
        cmocka_unit_test(test_no_such_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
