/* image_fixtures.h - images for the folder that each test has. */
#ifndef TARE_IMAGE_FIXTURES_H
#define TARE_IMAGE_FIXTURES_H

#include "data_folder.h"

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

#endif
