/* test_images.c - PNG, JPEG and BMP: decoding, resizing, folders of classes, and files that are not what they seem. */
#include "data_fixtures.h"

#include <tare/io.h>

#include <unistd.h>

static char *dir;
static uint64_t live_before;

static int setup(void **state) {
    (void)state;
    dir = test_dir_new();
    live_before = tare_alloc_live();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tare_alloc_fail_at(0);
    tare_threads_set(0);
    test_dir_remove(dir);
    return tare_alloc_live() == live_before ? 0 : -1;
}

/* ---- fixtures -------------------------------------------------------------------------------------------------------- */

static void collect(void *context, void *bytes, int n) { put(context, bytes, n); }

enum { PNG, BMP };

/* An image of pixel_at's bytes, [h,w,channels]. */
static buffer image_of(int format, int w, int h, int channels) {
    static uint8_t pixels[65536];
    buffer b = { .size = 0 };
    int done = 0;
    for (int i = 0; i < w * h * channels; i++) { pixels[i] = pixel_at(i); }
    if (format == PNG) { done = stbi_write_png_to_func(collect, &b, w, h, channels, pixels, w * channels); }
    if (format == BMP) { done = stbi_write_bmp_to_func(collect, &b, w, h, channels, pixels); }
    assert_true(done);
    return b;
}

/* fixtures/orange.jpg: 9 x 7 pixels of (200, 100, 50). */
static buffer orange_jpeg(void) {
    buffer b = { .size = 0 };
    FILE *file = fopen(TARE_TEST_SOURCE "/tests/fixtures/orange.jpg", "rb");
    assert_non_null(file);
    b.size = (int64_t)fread(b.data, 1, sizeof b.data, file);
    assert_int_equal(fclose(file), 0);
    return b;
}

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

/* ---- single images --------------------------------------------------------------------------------------------------- */

static void test_decode(void **state) {
    (void)state;
    uint8_t out[3 * 6 * 5];
    for (int format = PNG; format <= BMP; format++) {
        const buffer b = image_of(format, 5, 6, 3);
        const char *path = write_buffer(dir, "image", &b);
        assert_ok(tare_image_load(path, 3, 6, 5, out));
        for (int c = 0; c < 3; c++) {
            for (int i = 0; i < 30; i++) { assert_int_equal(out[c * 30 + i], pixel_at(i * 3 + c)); }
        }
        assert_ok(tare_image_load(path, 1, 6, 5, out));
        for (int i = 0; i < 30; i++) {
            const int grey = (77 * pixel_at(i * 3) + 150 * pixel_at(i * 3 + 1) + 29 * pixel_at(i * 3 + 2)) / 256;
            assert_int_equal(out[i], grey);
        }
        int64_t channels = 0, height = 0, width = 0;
        assert_ok(tare_image_size(path, &channels, &height, &width));
        assert_true(channels == 3 && height == 6 && width == 5);
    }
}

static void test_decode_grey_alpha_jpeg(void **state) {
    (void)state;
    uint8_t out[3 * 16 * 16];
    const buffer grey = image_of(PNG, 5, 6, 1), alpha = image_of(PNG, 5, 6, 4);
    assert_ok(tare_image_load(write_buffer(dir, "grey", &grey), 3, 6, 5, out));
    for (int i = 0; i < 90; i++) { assert_int_equal(out[i], pixel_at(i % 30)); }
    assert_ok(tare_image_load(write_buffer(dir, "alpha", &alpha), 3, 6, 5, out));
    for (int i = 0; i < 30; i++) { assert_int_equal(out[30 + i], pixel_at(i * 4 + 1)); }
    const buffer jpeg = orange_jpeg();
    assert_ok(tare_image_load(write_buffer(dir, "jpeg", &jpeg), 3, 7, 9, out));
    for (int i = 0; i < 63; i++) {
        assert_in_range(out[i], 197, 203);
        assert_in_range(out[63 + i], 97, 103);
        assert_in_range(out[126 + i], 47, 53);
    }
}

static void test_resize_by_hand(void **state) {
    (void)state;
    uint8_t out[16];
    /* to half: means of 2 x 2 blocks */
    static const uint8_t four[16] = { 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150 };
    static const uint8_t half[4] = { 25, 45, 105, 125 };
    assert_ok(tare_image_resize(four, 1, 4, 4, 2, 2, out));
    assert_memory_equal(out, half, 4);
    /* 3 to 2: pixel 0 whole and half of pixel 1; (0 + 30/2) / 1.5 = 10 and (30/2 + 90) / 1.5 = 70 */
    static const uint8_t three[3] = { 0, 30, 90 };
    assert_ok(tare_image_resize(three, 1, 1, 3, 1, 2, out));
    assert_true(out[0] == 10 && out[1] == 70);
    /* 2 to 4: centres at -0.25 (clamped), 0.25, 0.75, 1.25 (clamped) */
    static const uint8_t two[2] = { 0, 100 }, grown[4] = { 0, 25, 75, 100 };
    assert_ok(tare_image_resize(two, 1, 1, 2, 1, 4, out));
    assert_memory_equal(out, grown, 4);
    assert_ok(tare_image_resize(two, 1, 2, 1, 4, 1, out));
    assert_memory_equal(out, grown, 4);
    /* one axis shrinks while the other grows: rows [0,10] and [20,30] average to [10,20] */
    static const uint8_t square[4] = { 0, 10, 20, 30 }, mixed[4] = { 10, 13, 18, 20 };
    assert_ok(tare_image_resize(square, 1, 2, 2, 1, 4, out));
    assert_memory_equal(out, mixed, 4);
    /* two channels, one pixel, and white stays white */
    static const uint8_t pair[2] = { 7, 255 };
    assert_ok(tare_image_resize(pair, 2, 1, 1, 2, 3, out));
    for (int i = 0; i < 12; i++) { assert_int_equal(out[i], pair[i / 6]); }
    assert_status(TARE_EINVAL, tare_image_resize(pair, 1, 1, 0, 2, 2, out));
    assert_contains(tare_error(), "[1,1,0] to 2 x 2");
}

static void test_resize_keeps_flat_and_mean(void **state) {
    (void)state;
    static uint8_t in[37 * 53], out[64 * 64];
    memset(in, 255, sizeof in);
    for (int size = 1; size <= 64; size++) {
        assert_ok(tare_image_resize(in, 1, 37, 53, size, 65 - size, out));
        for (int i = 0; i < size * (65 - size); i++) { assert_int_equal(out[i], 255); }
    }
    double mean_in = 0, mean_out = 0;
    for (int i = 0; i < 37 * 53; i++) { mean_in += in[i] = pixel_at(i); }
    assert_ok(tare_image_resize(in, 1, 37, 53, 11, 13, out));
    for (int i = 0; i < 11 * 13; i++) { mean_out += out[i]; }
    assert_near(mean_out / (11 * 13), mean_in / (37 * 53),
                0.1); /* every pixel counts the same; rounding alone is lost */
}

static void test_load_resizes(void **state) {
    (void)state;
    const buffer b = image_of(PNG, 8, 8, 1);
    uint8_t whole[64], direct[16], out[16];
    const char *path = write_buffer(dir, "image.png", &b);
    assert_ok(tare_image_load(path, 1, 8, 8, whole));
    assert_ok(tare_image_resize(whole, 1, 8, 8, 4, 4, direct));
    assert_ok(tare_image_load(path, 1, 4, 4, out));
    assert_memory_equal(out, direct, 16);
    assert_status(TARE_EINVAL, tare_image_load(path, 2, 4, 4, out));
    assert_status(TARE_EINVAL, tare_image_load(path, 1, 0, 4, out));
    assert_contains(tare_error(), "image wanted as [1,0,4]");
}

/* ---- files that are not images --------------------------------------------------------------------------------------- */

static void refuse(const buffer *b, const char *words) {
    uint8_t out[3 * 64] = { 0xab };
    assert_status(TARE_EFORMAT, tare_image_load(write_buffer(dir, "bad", b), 3, 8, 8, out));
    assert_contains(tare_error(), words);
    assert_contains(tare_error(), "bad: ");
    assert_null(strchr(tare_error(), '\n'));
    assert_int_equal(out[0], 0xab);
}

static void test_not_an_image(void **state) {
    (void)state;
    uint8_t out[64];
    buffer b = { .size = 0 };
    refuse(&b, "is empty (0 bytes)");
    put(&b, "hello, world", 12);
    refuse(&b, "is not an image (PNG, JPEG and BMP are read)");
    const buffer packed = gzipped(&b);
    refuse(&packed, "is a gzip file, not an image");
    b.size = 0;
    put(&b, "GIF89a\1\0\1\0\0\0\0", 13);
    refuse(&b, "is not an image");
    assert_status(TARE_ENOENT, tare_image_load(test_path(dir, "none.png"), 1, 8, 8, out));
    assert_contains(tare_error(), "none.png: cannot open");
    assert_status(TARE_EIO, tare_image_load(dir, 1, 8, 8, out));
    assert_contains(tare_error(), "is a folder, not a file");
}

/* A PNG whose header claims w x h, with a right CRC. */
static buffer png_claiming(uint32_t w, uint32_t h) {
    buffer b = image_of(PNG, 8, 8, 1);
    buffer size = { .size = 0 };
    put_big32(&size, w);
    put_big32(&size, h);
    memcpy(b.data + 16, size.data, 8);
    size.size = 0;
    put_big32(&size, stbiw__crc32(b.data + 12, 17));
    memcpy(b.data + 29, size.data, 4);
    return b;
}

static void test_absurd_sizes(void **state) {
    (void)state;
    buffer b = png_claiming(1 << 20, 1);
    refuse(&b, "a side is longer than 16384 pixels");
    b = png_claiming(16384, 16384);
    refuse(&b, "16384 x 16384 pixels: at most 16384 a side and 67108864 in all");
    b = png_claiming(8192, 8192);
    refuse(&b, "cannot be decoded");
    b = png_claiming(8, 9);
    refuse(&b, "cannot be decoded");
}

static void test_cut_at_every_byte(void **state) {
    (void)state;
    const buffer png = image_of(PNG, 8, 8, 3), bmp = image_of(BMP, 7, 8, 3), jpeg = orange_jpeg();
    for (int64_t n = 8; n < png.size; n++) {
        buffer cut = png;
        cut.size = n;
        refuse(&cut, "truncated PNG");
    }
    for (int64_t n = 2; n < bmp.size; n++) {
        buffer cut = bmp;
        cut.size = n;
        refuse(&cut, "truncated BMP");
    }
    for (int64_t n = 3; n < jpeg.size; n++) {
        buffer cut = jpeg;
        cut.size = n;
        refuse(&cut, "truncated JPEG");
    }
}

static void test_corrupt_png(void **state) {
    (void)state;
    const buffer png = image_of(PNG, 8, 8, 3);
    for (int64_t i = 0; i < png.size; i++) {
        buffer bad = png;
        bad.data[i] ^= 0x20;
        refuse(&bad, "bad: ");
    }
    buffer bad = png;
    bad.data[45] ^= 1;
    refuse(&bad, "wrong CRC in the chunk at byte 33");
}

/* A Huffman table that claims too many codes would be written beyond its end. */
static void test_corrupt_jpeg(void **state) {
    (void)state;
    const buffer jpeg = orange_jpeg();
    int64_t table = 0;
    while (jpeg.data[table] != 0xff || jpeg.data[table + 1] != 0xc4) { table++; }
    buffer bad = jpeg;
    for (int64_t i = 5; i < 21; i++) { bad.data[table + i] = 255; }
    refuse(&bad, "corrupt JPEG");
    bad = jpeg;
    bad.data[table + 3] -= 1; /* the segment ends within a table */
    refuse(&bad, "corrupt JPEG");
    bad = jpeg;
    bad.data[table + 2] = bad.data[table + 3] = 0; /* a length that does not count itself */
    refuse(&bad, "corrupt JPEG");
    for (int64_t i = 2; i < jpeg.size; i++) { /* a JPEG has no checksum: a flipped bit may pass, but does no harm */
        uint8_t out[64];
        bad = jpeg;
        bad.data[i] ^= 0x04;
        const tare_status status = tare_image_load(write_buffer(dir, "bad", &bad), 1, 8, 8, out);
        assert_true(status == TARE_OK || status == TARE_EFORMAT);
    }
}

static void test_odd_bmps(void **state) {
    (void)state;
    buffer b = image_of(BMP, 8, 8, 3);
    b.data[14] = 12;
    refuse(&b, "OS/2");
    b = image_of(BMP, 8, 8, 3);
    b.data[30] = 1; /* run-length coded */
    refuse(&b, "its header is not valid");
    b = image_of(BMP, 8, 8, 3);
    b.data[20] = b.data[24] = 0x7f;
    refuse(&b, "bad: ");
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
    for (int threads = 1; threads <= 2; threads++) {
        tare_threads_set(threads);
        tare_status status = TARE_ENOMEM;
        uint64_t n = 1;
        for (; status != TARE_OK && n < 1000; n++) {
            tare_dataset *train = NULL, *test = NULL;
            tare_alloc_fail_at(n);
            status = tare_data_open(root, (tare_data_opt){ .channels = 3, .height = 5 }, &train, &test);
            tare_alloc_fail_at(0);
            if (status != TARE_OK) { assert_int_equal(status, TARE_ENOMEM); }
            tare_dataset_free(train);
            tare_dataset_free(test);
            assert_int_equal(tare_alloc_live(), live_before);
        }
        assert_int_equal(status, TARE_OK);
        assert_true(n > 60);
    }
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* What is saved loads back as it was, grey and in colour; failures leave what was there. */
static void test_save(void **state) {
    (void)state;
    uint8_t planes[3 * 5 * 7], back[3 * 5 * 7];
    const char *path = test_path(dir, "saved.png");
    for (int i = 0; i < 3 * 5 * 7; i++) { planes[i] = pixel_at(i); }
    for (int channels = 1; channels <= 3; channels += 2) {
        assert_ok(tare_image_save(path, planes, channels, 5, 7));
        int64_t c, h, w;
        assert_ok(tare_image_size(path, &c, &h, &w));
        assert_int_equal(c, channels);
        assert_int_equal(h, 5);
        assert_int_equal(w, 7);
        memset(back, 0, sizeof back);
        assert_ok(tare_image_load(path, channels, 5, 7, back));
        assert_memory_equal(back, planes, (size_t)(35 * channels));
    }
    assert_status(TARE_EINVAL, tare_image_save(path, planes, 2, 5, 7));
    assert_status(TARE_EINVAL, tare_image_save(path, planes, 3, 0, 7));
    assert_status(TARE_EIO, tare_image_save(test_path(dir, "nowhere/saved.png"), planes, 3, 5, 7));
    for (uint64_t n = 1; n <= 2; n++) {
        tare_alloc_fail_at(n);
        assert_status(TARE_ENOMEM, tare_image_save(path, planes, 1, 5, 7));
        tare_alloc_fail_at(0);
    }
    assert_ok(tare_image_load(path, 3, 5, 7, back));
    assert_memory_equal(back, planes, sizeof planes);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_decode),
        TEST(test_decode_grey_alpha_jpeg),
        TEST(test_resize_by_hand),
        TEST(test_resize_keeps_flat_and_mean),
        TEST(test_load_resizes),
        TEST(test_not_an_image),
        TEST(test_absurd_sizes),
        TEST(test_cut_at_every_byte),
        TEST(test_corrupt_png),
        TEST(test_corrupt_jpeg),
        TEST(test_odd_bmps),
        TEST(test_folder_order),
        TEST(test_folder_colour_and_size),
        TEST(test_unlabelled),
        TEST(test_folder_faults),
        TEST(test_train_and_test),
        TEST(test_split_by_hash),
        TEST(test_too_few_to_split),
        TEST(test_out_of_memory),
        TEST(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
