/* test_image_folders.c - folders of images: classes by name, images held out for testing, bad folders, short memory. */
#include "image_fixtures.h"

#include <tare/io.h>

#include <unistd.h>

/* A grey PNG of one value. */
static buffer plain_png(int w, int h, int value) {
    static uint8_t pixels[65536];
    buffer b = { .size = 0 };
    memset(pixels, value, sizeof pixels);
    assert_true(stbi_write_png_to_func(collect, &b, w, h, 1, pixels, w));
    return b;
}

static void write_png(const char *folder, const char *name, int value) {
    const buffer b = plain_png(4, 4, value);
    write_buffer(folder, name, &b);
}

/* ---- folders --------------------------------------------------------------------------------------------------------- */

/* dir/NAME/{cat,dog}/{a,b,c}.png: cats 10, 11, 12, dogs 20, 21, 22. */
static const char *write_classes(const char *name) {
    const char *root = make_dir(dir, name), *cat = make_dir(root, "cat"), *dog = make_dir(root, "dog");
    static const char *const files[] = { "c.png", "a.png", "b.png" };
    for (int i = 0; i < 3; i++) {
        write_png(cat, files[i], 10 + files[i][0] - 'a');
        write_png(dog, files[i], 20 + files[i][0] - 'a');
    }
    return root;
}

static void test_folder_order(void **state) {
    (void)state;
    char root[4096];
    snprintf(root, sizeof root, "%s", write_classes("set"));
    write_png(test_path(root, "dog"), ".hidden", 99);
    write_png(root, ".DS_Store", 99);
    for (int threads = 1; threads <= 2; threads++) {
        tare_threads_set(threads);
        tare_dataset *ds = NULL;
        assert_ok(tare_data_image_folder(root, (tare_data_opt){ .height = 2, .width = 3 }, &ds));
        assert_true(ds->count == 6 && ds->channels == 1 && ds->height == 2 && ds->width == 3 && ds->classes == 2);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(ds->labels[i], i / 3);
            for (int k = 0; k < 6; k++) { assert_int_equal(ds->images[i * 6 + k], i < 3 ? 10 + i : 17 + i); }
        }
        assert_string_equal(ds->class_names[0], "cat");
        assert_string_equal(ds->class_names[1], "dog");
        assert_near(ds->mean[0], 16.0 / 255, 1e-12);
        assert_contains(ds->about, "6 images in 2 classes");
        tare_dataset_free(ds);
    }
}

static void test_folder_colour_and_size(void **state) {
    (void)state;
    const char *root = write_classes("set");
    const buffer colour = orange_jpeg();
    write_buffer(test_path(root, "cat"), "0.jpg", &colour); /* comes first, so it sets the shape */
    tare_dataset *ds = NULL;
    assert_ok(tare_data_image_folder(root, (tare_data_opt){ .channels = 0 }, &ds));
    assert_true(ds->count == 7 && ds->channels == 3 && ds->height == 7 && ds->width == 9);
    tare_dataset_free(ds);
    assert_ok(tare_data_image_folder(root, (tare_data_opt){ .channels = 1, .height = 5 }, &ds));
    assert_true(ds->channels == 1 && ds->height == 5 && ds->width == 9);
    tare_dataset_free(ds);
    ds = NULL;
    assert_status(TARE_EINVAL, tare_data_image_folder(root, (tare_data_opt){ .channels = 2 }, &ds));
    assert_contains(tare_error(), "[2,0,0]");
    assert_null(ds);
}

static void test_unlabelled(void **state) {
    (void)state;
    write_png(dir, "b.png", 2);
    write_png(dir, "a.png", 1);
    tare_dataset *ds = NULL;
    assert_ok(tare_data_image_folder(dir, (tare_data_opt){ .unlabelled = true }, &ds));
    assert_true(ds->count == 2 && ds->classes == 1 && ds->images[0] == 1 && ds->labels[1] == 0);
    tare_dataset_free(ds);
}

static void expect_folder(tare_status status, const char *root, const char *words) {
    for (int threads = 1; threads <= 2; threads++) {
        tare_dataset *ds = NULL;
        tare_threads_set(threads);
        assert_status(status, tare_data_image_folder(root, (tare_data_opt){ .channels = 1 }, &ds));
        assert_contains(tare_error(), words);
        assert_null(strchr(tare_error(), '\n'));
        assert_null(ds);
    }
}

static void test_folder_faults(void **state) {
    (void)state;
    char root[4096];
    expect_folder(TARE_ENOENT, test_path(dir, "none"), "none: cannot open");
    expect_folder(TARE_EFORMAT, make_dir(dir, "empty"), "empty: is empty: expected one folder of images per class");
    const char *single = make_dir(dir, "single");
    write_png(make_dir(single, "cat"), "a.png", 1);
    expect_folder(TARE_EINVAL, single, "single: has one class only (cat)");
    snprintf(root, sizeof root, "%s", write_classes("set"));
    const char *bird = make_dir(root, "bird");
    expect_folder(TARE_EFORMAT, root, "set/bird: holds no image");
    make_dir(bird, "nest");
    expect_folder(TARE_EFORMAT, root, "set/bird/nest: is a folder where an image was expected");
    rmdir(test_path(bird, "nest"));
    rmdir(bird);
    write_file(test_path(root, "dog"), "notes.txt", (const uint8_t *)"woof", 4);
    write_file(test_path(root, "dog"), "zero.png", (const uint8_t *)"", 0);
    expect_folder(TARE_EFORMAT, root,
                  "set/dog/notes.txt: is not an image"); /* the first in order, not the first seen */
    remove(test_path(test_path(root, "dog"), "notes.txt"));
    expect_folder(TARE_EFORMAT, root, "set/dog/zero.png: is empty (0 bytes)");
    remove(test_path(test_path(root, "dog"), "zero.png"));
    write_png(root, "stray.png", 1);
    expect_folder(TARE_EFORMAT, root, "set/stray.png: is a file where one folder per class was expected");
}

static void test_train_and_test(void **state) {
    (void)state;
    tare_dataset *train = NULL, *test = NULL;
    const tare_data_opt opt = { .channels = 0 };
    char train_dir[4096], test_dir[4096];
    snprintf(train_dir, sizeof train_dir, "%.4000s", write_classes("train"));
    assert_status(TARE_ENOENT, tare_data_open(dir, opt, &train, &test));
    assert_contains(tare_error(), "has train/ but no test/");
    snprintf(test_dir, sizeof test_dir, "%.4000s", make_dir(dir, "test"));
    write_png(make_dir(test_dir, "dog"), "x.png", 200);
    assert_ok(tare_data_open(dir, opt, &train, &test));
    assert_true(train->count == 6 && test->count == 1 && test->classes == 2);
    assert_int_equal(test->labels[0], 1);
    assert_true(test->mean[0] == train->mean[0]);
    assert_null(strstr(train->about, "hash"));
    tare_dataset_free(train);
    tare_dataset_free(test);
    train = test = NULL;
    write_png(make_dir(test_dir, "cow"), "y.png", 1);
    assert_status(TARE_EFORMAT, tare_data_open(dir, opt, &train, &test));
    assert_contains(tare_error(), "test/cow: the training images have no class of this name");
    assert_true(train == NULL && test == NULL);
}

/* 120 images, each of its own grey: all of them arrive, once, in one of the two sets, and in the same one again elsewhere. */
static void test_split_by_hash(void **state) {
    (void)state;
    int where[2][120] = { { 0 } };
    for (int round = 0; round < 2; round++) {
        const char *root = make_dir(dir, round ? "here" : "there");
        for (int c = 0; c < 2; c++) {
            const char *class_dir = make_dir(root, c ? "one" : "zero");
            for (int i = 0; i < 60; i++) {
                char name[16];
                snprintf(name, sizeof name, "%d.png", i);
                write_png(class_dir, name, c * 60 + i);
            }
        }
        tare_dataset *ds[2] = { NULL, NULL };
        assert_ok(tare_data_open(root, (tare_data_opt){ .channels = 0 }, &ds[0], &ds[1]));
        assert_contains(ds[0]->about, "every 6th image, by the hash of its name, is for testing");
        assert_in_range(ds[1]->count, 8, 35);
        for (int k = 0; k < 2; k++) {
            for (int64_t i = 0; i < ds[k]->count; i++) {
                const int value = ds[k]->images[i * 16];
                assert_int_equal(ds[k]->labels[i], value < 60); /* "one" sorts before "zero" */
                assert_int_equal(where[round][value], 0);
                where[round][value] = k + 1;
            }
            tare_dataset_free(ds[k]);
        }
        for (int i = 0; i < 120; i++) { assert_int_not_equal(where[round][i], 0); }
    }
    assert_memory_equal(where[0], where[1], sizeof where[0]);
}

static void test_too_few_to_split(void **state) {
    (void)state;
    tare_dataset *train = NULL, *test = NULL;
    const char *root = make_dir(dir, "few");
    write_png(make_dir(root, "a"), "1.png", 1);
    write_png(make_dir(root, "b"), "1.png", 1);
    assert_status(TARE_EINVAL, tare_data_open(root, (tare_data_opt){ .channels = 0 }, &train, &test));
    assert_contains(tare_error(), "too few images to hold every sixth out");
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static void test_out_of_memory(void **state) {
    (void)state;
    char root[4096];
    snprintf(root, sizeof root, "%s", write_classes("set"));
    const buffer jpeg = orange_jpeg(), bmp = image_of(BMP, 9, 7, 3);
    write_buffer(test_path(root, "cat"), "d.jpg", &jpeg);
    write_buffer(test_path(root, "dog"), "e.bmp", &bmp);
    check_out_of_memory(root, (tare_data_opt){ .channels = 3, .height = 5 }, 60);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_folder_order),     TEST(test_folder_colour_and_size), TEST(test_unlabelled),
        TEST(test_folder_faults),    TEST(test_train_and_test),         TEST(test_split_by_hash),
        TEST(test_too_few_to_split), TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
