/* test_images.c - PNG, JPEG and BMP: decoding, resizing, saving, and files that are not what they seem. */
#include "image_fixtures.h"

#include <tare/io.h>

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
        TEST(test_decode),         TEST(test_decode_grey_alpha_jpeg),
        TEST(test_resize_by_hand), TEST(test_resize_keeps_flat_and_mean),
        TEST(test_load_resizes),   TEST(test_not_an_image),
        TEST(test_absurd_sizes),   TEST(test_cut_at_every_byte),
        TEST(test_corrupt_png),    TEST(test_corrupt_jpeg),
        TEST(test_odd_bmps),       TEST(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
