/* test_idx.c - IDX files, plain and gzip: what is in them arrives, and what is wrong with them is said.
 * tare-test: double */
#include "data_folder.h"

#include <math.h>
#include <unistd.h>

static void check_fixture(const tare_dataset *ds, int64_t n, int64_t h, int64_t w, int64_t classes) {
    assert_int_equal(ds->count, n);
    assert_int_equal(ds->channels, 1);
    assert_int_equal(ds->height, h);
    assert_int_equal(ds->width, w);
    assert_int_equal(ds->classes, classes);
    for (int64_t i = 0; i < n * h * w; i++) { assert_int_equal(ds->images[i], pixel_at(i)); }
    for (int64_t i = 0; i < n; i++) { assert_int_equal(ds->labels[i], i % classes); }
}

/* ---- what is right --------------------------------------------------------------------------------------------------- */

static void test_plain_and_gzip(void **state) {
    (void)state;
    const buffer images = idx_images(7, 5, 3), labels = idx_labels(7, 4);
    const buffer images_gz = gzipped(&images), labels_gz = gzipped(&labels);
    const char *paths[2][2] = { { write_buffer(dir, "i", &images), write_buffer(dir, "l", &labels) },
                                { write_buffer(dir, "ig", &images_gz), write_buffer(dir, "lg", &labels_gz) } };
    for (int i = 0; i < 2; i++) {
        tare_dataset *ds = NULL;
        assert_ok(tare_data_idx(paths[i][0], paths[i][1], 0, &ds));
        check_fixture(ds, 7, 5, 3, 4);
        assert_string_equal(ds->class_names[3], "3");
        tare_dataset_free(ds);
        assert_ok(tare_data_idx(paths[i][0], paths[i][1], 10, &ds));
        assert_int_equal(ds->classes, 10);
        tare_dataset_free(ds);
    }
}

static void test_twins(void **state) {
    (void)state;
    const buffer images = idx_images(4, 2, 2), labels = idx_labels(4, 2), labels_gz = gzipped(&labels);
    write_buffer(dir, "images", &images);
    write_buffer(dir, "labels.gz", &labels_gz);
    tare_dataset *ds = NULL;
    assert_ok(tare_data_idx(test_path(dir, "images.gz"), test_path(dir, "labels"), 0, &ds));
    check_fixture(ds, 4, 2, 2, 2);
    tare_dataset_free(ds);
}

static void test_colour(void **state) {
    (void)state;
    buffer images = { .size = 0 };
    const buffer labels = idx_labels(2, 2);
    put_big32(&images, 0x0804);
    put_big32(&images, 2);
    put_big32(&images, 3);
    put_big32(&images, 2);
    put_big32(&images, 1);
    for (int i = 0; i < 12; i++) { put_byte(&images, i); }
    tare_dataset *ds = NULL;
    assert_ok(tare_data_idx(write_buffer(dir, "i", &images), write_buffer(dir, "l", &labels), 0, &ds));
    assert_int_equal(ds->channels, 3);
    assert_int_equal(ds->height, 2);
    assert_int_equal(ds->width, 1);
    assert_int_equal(ds->images[11], 11);
    /* channel 0 holds 0 1 6 7, channel 2 holds 4 5 10 11 */
    assert_near(ds->mean[0], 3.5 / 255, 1e-12);
    assert_near(ds->mean[2], 7.5 / 255, 1e-12);
    assert_near(ds->std[0], sqrt(9.25) / 255, 1e-12);
    tare_dataset_free(ds);
}

static void test_constant_channel(void **state) {
    (void)state;
    tare_dataset *ds = NULL;
    assert_ok(tare_dataset_new(3, 1, 2, 2, 2, &ds));
    memset(ds->images, 77, 12);
    tare_dataset_measure(ds);
    assert_near(ds->mean[0], 77.0 / 255, 1e-12);
    assert_true(ds->std[0] == 1);
    tare_dataset_free(ds);
}

static void test_two_gzip_members(void **state) {
    (void)state;
    const buffer images = idx_images(6, 3, 3), labels = idx_labels(6, 3);
    buffer both = gzip_of(images.data, 20);
    const buffer rest = gzip_of(images.data + 20, images.size - 20);
    put(&both, rest.data, rest.size);
    tare_dataset *ds = NULL;
    assert_ok(tare_data_idx(write_buffer(dir, "i", &both), write_buffer(dir, "l", &labels), 0, &ds));
    check_fixture(ds, 6, 3, 3, 3);
    tare_dataset_free(ds);
}

/* ---- what is wrong --------------------------------------------------------------------------------------------------- */

static void expect(tare_status status, const char *words, const buffer *images, const buffer *labels, int64_t classes) {
    tare_dataset *ds = NULL;
    assert_status(
        status, tare_data_idx(write_buffer(dir, "images", images), write_buffer(dir, "labels", labels), classes, &ds));
    assert_null(ds);
    assert_contains(tare_error(), words);
    assert_null(strchr(tare_error(), '\n'));
}

static void test_files_that_are_none(void **state) {
    (void)state;
    const buffer labels = idx_labels(4, 2), nothing = { .size = 0 };
    const char *labels_path = write_buffer(dir, "labels", &labels);
    tare_dataset *ds = NULL;
    assert_status(TARE_ENOENT, tare_data_idx(test_path(dir, "none"), labels_path, 0, &ds));
    assert_contains(tare_error(), "none: cannot open");
    assert_status(TARE_EIO, tare_data_idx(make_dir(dir, "sub"), labels_path, 0, &ds));
    assert_contains(tare_error(), "sub: is a folder, not a file");
    assert_status(TARE_EFORMAT, tare_data_idx(write_buffer(dir, "zero", &nothing), labels_path, 0, &ds));
    assert_contains(tare_error(), "zero: is empty (0 bytes)");
    assert_status(TARE_EIO, tare_data_idx("/dev/null", labels_path, 0, &ds));
    assert_contains(tare_error(), "not a regular file");
    if (geteuid() != 0) { /* root reads everything */
        const char *locked = write_buffer(dir, "locked", &labels);
        assert_int_equal(chmod(locked, 0), 0);
        assert_status(TARE_EIO, tare_data_idx(locked, labels_path, 0, &ds));
        assert_contains(tare_error(), "Permission denied");
    }
    assert_null(ds);
}

static void test_headers(void **state) {
    (void)state;
    const buffer good = idx_images(4, 2, 2), labels = idx_labels(4, 2);
    buffer bad = good;
    bad.data[0] = 'P';
    expect(TARE_EFORMAT, "not an IDX file: it begins with 50 00", &bad, &labels, 0);
    bad = good;
    bad.data[2] = 0x0d;
    expect(TARE_EFORMAT, "type 0x0d, expected unsigned bytes", &bad, &labels, 0);
    expect(TARE_EFORMAT, "images: IDX data of 1 dimensions, expected 3 or 4 (images)", &labels, &labels, 0);
    expect(TARE_EFORMAT, "labels: IDX data of 3 dimensions, expected 1 (labels)", &good, &good, 0);
    const buffer empty = idx_images(0, 2, 2), no_labels = idx_labels(0, 2), flat = idx_images(4, 2, 0);
    expect(TARE_EFORMAT, "no data: its header says [0,2,2]", &empty, &no_labels, 0);
    expect(TARE_EFORMAT, "no data: its header says [4,2,0]", &flat, &labels, 0);
    buffer many = { .size = 0 };
    put_big32(&many, 0x0804);
    put_big32(&many, 4);
    put_big32(&many, 5);
    put_big32(&many, 1);
    put_big32(&many, 1);
    for (int i = 0; i < 20; i++) { put_byte(&many, i); }
    expect(TARE_EFORMAT, "images of 5 channels, at most 4", &many, &labels, 0);
    expect(TARE_EINVAL, "classes -1", &good, &labels, -1);
}

static void test_counts_and_labels(void **state) {
    (void)state;
    const buffer images = idx_images(4, 2, 2), labels = idx_labels(4, 2), more = idx_labels(5, 2);
    expect(TARE_EFORMAT, "4 images in ", &images, &more, 0);
    assert_contains(tare_error(), "but 5 labels in ");
    buffer bad = labels;
    bad.data[8 + 2] = 10;
    expect(TARE_EFORMAT, "label 10 at position 2 is out of range 0..9", &images, &bad, 10);
    bad = labels;
    put_byte(&bad, 0);
    expect(TARE_EFORMAT, "stray bytes behind the 4", &images, &bad, 0);
    bad = images;
    put_byte(&bad, 0);
    expect(TARE_EFORMAT, "stray bytes behind the 16", &bad, &labels, 0);
    bad = gzipped(&bad);
    expect(TARE_EFORMAT, "stray bytes behind the 16", &bad, &labels, 0);
    bad = gzipped(&images);
    put_byte(&bad, 'x');
    put_byte(&bad, 'y');
    expect(TARE_EFORMAT, "stray bytes behind the gzip data", &bad, &labels, 0);
}

/* An allocator that remembers the largest wish. */
static size_t largest;
static void *watch_alloc(void *user, size_t bytes) {
    (void)user;
    largest = bytes > largest ? bytes : largest;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void watch_free(void *user, void *memory) {
    (void)user;
    free(memory);
}

static void test_absurd_sizes_take_no_memory(void **state) {
    (void)state;
    static const uint32_t claims[][3] = { { 5, 2, 2 },
                                          { 60000, 28, 28 },
                                          { 0x7fffffff, 1, 1 },
                                          { 0xffffffff, 1, 1 },
                                          { 1, 0xffffffff, 0xffffffff },
                                          { 0xffffffff, 0xffffffff, 0xffffffff } };
    const buffer labels = idx_labels(4, 2);
    tare_allocator_set(&(tare_allocator){ watch_alloc, watch_free, NULL });
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        buffer bad = idx_images(4, 2, 2);
        bad.size = 4;
        for (int k = 0; k < 3; k++) { put_big32(&bad, claims[i][k]); }
        bad.size = 32;
        const buffer packed = gzipped(&bad);
        largest = 0;
        expect(TARE_EFORMAT, i < 3 ? "truncated: its header promises" : "its header", &bad, &labels, 0);
        expect(TARE_EFORMAT, "its header", &packed, &labels, 0);
        assert_true(largest < (size_t)1 << 19);
    }
    tare_allocator_set(NULL);
}

static void test_cut_at_every_byte(void **state) {
    (void)state;
    const buffer images = idx_images(4, 3, 2), labels = idx_labels(4, 2);
    const buffer packed = gzipped(&images), packed_labels = gzipped(&labels);
    const buffer *whole[4] = { &images, &packed, &labels, &packed_labels };
    for (int which = 0; which < 4; which++) {
        for (int64_t n = 0; n < whole[which]->size; n++) {
            buffer cut = *whole[which];
            cut.size = n;
            expect(TARE_EFORMAT, n ? "truncated" : "is empty", which < 2 ? &cut : &images, which < 2 ? &labels : &cut,
                   0);
        }
    }
}

/* A flipped byte of a .gz is noticed, or (in the header's time, system and flags of no effect) changes nothing. */
static void test_corrupt_gzip(void **state) {
    (void)state;
    const buffer images = idx_images(4, 3, 2), labels = idx_labels(4, 2), packed = gzipped(&images);
    const char *labels_path = write_buffer(dir, "labels", &labels);
    int refused = 0;
    for (int64_t i = 0; i < packed.size; i++) {
        buffer bad = packed;
        bad.data[i] ^= 0x10;
        tare_dataset *ds = NULL;
        const tare_status status = tare_data_idx(write_buffer(dir, "images", &bad), labels_path, 0, &ds);
        if (status == TARE_OK) {
            assert_in_range(i, 4, 9);
            check_fixture(ds, 4, 3, 2, 2);
            tare_dataset_free(ds);
        } else {
            assert_int_equal(status, TARE_EFORMAT);
            refused++;
        }
    }
    assert_true(refused >= packed.size - 6);
    buffer bad = packed;
    bad.data[packed.size - 8] ^= 1;
    expect(TARE_EFORMAT, "corrupt gzip data (incorrect data check)", &bad, &labels, 0);
}

/* ---- data sets by name or folder --------------------------------------------------------------------------------------- */

static void test_folder_of_four(void **state) {
    (void)state;
    tare_dataset *train = NULL, *test = NULL;
    write_four(dir, 12, 4, 4, 3);
    for (int threads = 1; threads <= 2; threads++) {
        tare_threads_set(threads);
        assert_ok(tare_data_open(dir, (tare_data_opt){ .channels = 0 }, &train, &test));
        check_fixture(train, 12, 4, 4, 3);
        check_fixture(test, 6, 4, 4, 3);
        assert_true(train->mean[0] == test->mean[0] && train->std[0] == test->std[0]);
        assert_contains(train->about, "12 training and 6 test images [1,4,4], 3 classes");
        tare_dataset_free(train);
        tare_dataset_free(test);
    }
}

static void test_folder_faults(void **state) {
    (void)state;
    tare_dataset *train = NULL, *test = NULL;
    const tare_data_opt opt = { .channels = 0 };
    write_four(dir, 12, 4, 4, 3);
    buffer b = idx_labels(6, 4), packed = gzipped(&b);
    write_buffer(dir, "t10k-labels-idx1-ubyte.gz", &packed);
    assert_status(TARE_EFORMAT, tare_data_open(dir, opt, &train, &test));
    assert_contains(tare_error(), "label 3 at position 3 is out of range 0..2");
    b = idx_images(6, 4, 5), packed = gzipped(&b);
    write_buffer(dir, "t10k-images-idx3-ubyte.gz", &packed);
    assert_status(TARE_EFORMAT, tare_data_open(dir, opt, &train, &test));
    assert_contains(tare_error(), "of one size");
    remove(test_path(dir, "t10k-images-idx3-ubyte.gz"));
    for (int threads = 1; threads <= 2; threads++) {
        tare_threads_set(threads);
        assert_status(TARE_ENOENT, tare_data_open(dir, opt, &train, &test));
        assert_contains(tare_error(), "t10k-images-idx3-ubyte: cannot open");
    }
    assert_status(TARE_ENOENT, tare_data_open(test_path(dir, "fashion"), opt, &train, &test));
    assert_contains(tare_error(), "no such folder (data is fashion-mnist, mnist, or a folder)");
    assert_status(TARE_EIO, tare_data_open(test_path(dir, "train-images-idx3-ubyte"), opt, &train, &test));
    assert_contains(tare_error(), "is a file, not a folder");
    assert_null(train);
    assert_null(test);
}

static void test_known_names(void **state) {
    (void)state;
    tare_dataset *train = NULL, *test = NULL;
    const tare_data_opt opt = { .channels = 0 };
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(setenv("TARE_DATA", test_path(dir, "store"), 1), 0);
    const tare_status missing = tare_data_open("mnist", opt, &train, &test);
    char text[4096];
    snprintf(text, sizeof text, "%s", tare_error());
    write_four(make_dir(make_dir(dir, "store"), "mnist"), 12, 4, 4, 3);
    const tare_status there = tare_data_open("mnist", opt, &train, &test);
    const char *fashion = make_dir(dir, "fashion-mnist");
    write_four(fashion, 12, 4, 4, 3);
    tare_dataset *clothes = NULL, *more_clothes = NULL;
    const tare_status named = tare_data_open("./fashion-mnist/", opt, &clothes, &more_clothes);
    assert_int_equal(chdir(here), 0);
    unsetenv("TARE_DATA");
    assert_ok(there);
    assert_int_equal(train->classes, 10); /* digits, though labels 0..2 alone occur */
    tare_dataset_free(train);
    tare_dataset_free(test);
    assert_ok(named);
    assert_string_equal(clothes->class_names[9], "Ankle boot");
    assert_string_equal(more_clothes->class_names[0], "T-shirt/top");
    tare_dataset_free(clothes);
    tare_dataset_free(more_clothes);
    if (access("/usr/share/datasets/mnist", F_OK) == 0) { return; }
    assert_int_equal(missing, TARE_ENOENT);
    assert_contains(text, "store/mnist, data/mnist, ../shared/data/mnist, /usr/share/datasets/mnist");
    assert_contains(text, "train-images-idx3-ubyte.gz");
}

static void test_fashion_mnist(void **state) {
    (void)state;
    if (access("/usr/share/datasets/fashion-mnist", F_OK) != 0) {
        print_message("dataset-fashion-mnist is not installed\n");
        skip();
    }
    static const int32_t first[2][5] = { { 9, 0, 0, 3, 0 }, { 9, 2, 1, 1, 6 } };
    tare_dataset *ds[2] = { NULL, NULL };
    assert_ok(tare_data_open("/usr/share/datasets/fashion-mnist", (tare_data_opt){ .channels = 0 }, &ds[0], &ds[1]));
    assert_int_equal(ds[0]->count, 60000);
    assert_int_equal(ds[1]->count, 10000);
    for (int i = 0; i < 2; i++) {
        int64_t tally[10] = { 0 };
        assert_memory_equal(ds[i]->labels, first[i], sizeof first[i]);
        for (int64_t k = 0; k < ds[i]->count; k++) { tally[ds[i]->labels[k]]++; }
        for (int k = 0; k < 10; k++) { assert_int_equal(tally[k], ds[i]->count / 10); }
        assert_true(ds[i]->height == 28 && ds[i]->width == 28 && ds[i]->classes == 10);
        assert_near(ds[i]->mean[0], 0.28604, 1e-5); /* torchvision's users write 0.2860 and 0.3530 */
        assert_near(ds[i]->std[0], 0.35302, 1e-5);
        assert_string_equal(ds[i]->class_names[7], "Sneaker");
        tare_dataset_free(ds[i]);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

static void test_out_of_memory(void **state) {
    (void)state;
    write_four(dir, 12, 4, 4, 3);
    check_out_of_memory(dir, (tare_data_opt){ .channels = 0 }, 30);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_plain_and_gzip),
        TEST(test_twins),
        TEST(test_colour),
        TEST(test_constant_channel),
        TEST(test_two_gzip_members),
        TEST(test_files_that_are_none),
        TEST(test_headers),
        TEST(test_counts_and_labels),
        TEST(test_absurd_sizes_take_no_memory),
        TEST(test_cut_at_every_byte),
        TEST(test_corrupt_gzip),
        TEST(test_folder_of_four),
        TEST(test_folder_faults),
        TEST(test_known_names),
        TEST(test_fashion_mnist),
        TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
