/* data_fixtures.h - small data files that the data tests write for themselves: IDX, gzip, PNG, JPEG, BMP.
 * stb_image_write is not what reads them in the library, so reader and writer do not share their mistakes. */
#ifndef TARE_DATA_FIXTURES_H
#define TARE_DATA_FIXTURES_H

#include "testing_support.h"

#include <stdio.h>
#include <sys/stat.h>

#include <tare/data.h>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" /* no test uses all of this page */
#endif
#include <stb/stb_image_write.h>

typedef struct buffer {
    uint8_t data[65536];
    int64_t size;
} buffer;

static void put(buffer *b, const void *bytes, int64_t n) {
    assert_true(b->size + n <= (int64_t)sizeof b->data);
    memcpy(b->data + b->size, bytes, (size_t)n);
    b->size += n;
}

static void put_byte(buffer *b, int value) {
    const uint8_t byte = (uint8_t)value;
    put(b, &byte, 1);
}

static void put_big32(buffer *b, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) { put_byte(b, (int)(value >> shift & 255)); }
}

static void put_little32(buffer *b, uint32_t value) {
    for (int shift = 0; shift <= 24; shift += 8) { put_byte(b, (int)(value >> shift & 255)); }
}

static const char *write_file(const char *dir, const char *name, const uint8_t *bytes, int64_t n) {
    const char *path = test_path(dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, (size_t)n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

static const char *write_buffer(const char *dir, const char *name, const buffer *b) {
    return write_file(dir, name, b->data, b->size);
}

/* The path holds until 32 more folders are made. */
static const char *make_dir(const char *dir, const char *name) {
    static char made[32][4096];
    static int next;
    const char *path = test_path(dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
    return memcpy(made[next++ % 32], path, strlen(path) + 1);
}

/* ---- IDX ------------------------------------------------------------------------------------------------------------- */

/* Byte i of the fixtures' pixels. */
static uint8_t pixel_at(int64_t i) { return (uint8_t)(i * 37 + i / 7); }

static buffer idx_images(uint32_t n, uint32_t h, uint32_t w) {
    buffer b = { .size = 0 };
    put_big32(&b, 0x0803);
    put_big32(&b, n);
    put_big32(&b, h);
    put_big32(&b, w);
    for (int64_t i = 0; i < (int64_t)n * h * w; i++) { put_byte(&b, pixel_at(i)); }
    return b;
}

/* Labels 0, 1, .. classes - 1, 0, 1, ... */
static buffer idx_labels(uint32_t n, int classes) {
    buffer b = { .size = 0 };
    put_big32(&b, 0x0801);
    put_big32(&b, n);
    for (uint32_t i = 0; i < n; i++) { put_byte(&b, (int)i % classes); }
    return b;
}

/* One gzip member (RFC 1952). */
static buffer gzip_of(const uint8_t *bytes, int64_t n) {
    static const uint8_t head[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
    buffer b = { .size = 0 };
    int packed = 0;
    uint8_t *zlib = stbi_zlib_compress((uint8_t *)(uintptr_t)bytes, (int)n, &packed, 8);
    assert_non_null(zlib);
    put(&b, head, 10);
    put(&b, zlib + 2, packed - 6); /* without zlib's header and checksum */
    put_little32(&b, stbiw__crc32((uint8_t *)(uintptr_t)bytes, (int)n));
    put_little32(&b, (uint32_t)n);
    free(zlib);
    return b;
}

static buffer gzipped(const buffer *plain) { return gzip_of(plain->data, plain->size); }

/* The four files of a small data set: n and n/2 images [h,w] in `classes` classes. */
static void write_four(const char *dir, uint32_t n, uint32_t h, uint32_t w, int classes) {
    buffer b = idx_images(n, h, w);
    write_buffer(dir, "train-images-idx3-ubyte", &b);
    b = idx_labels(n, classes);
    write_buffer(dir, "train-labels-idx1-ubyte", &b);
    buffer plain = idx_images(n / 2, h, w);
    b = gzipped(&plain);
    write_buffer(dir, "t10k-images-idx3-ubyte.gz", &b);
    plain = idx_labels(n / 2, classes);
    b = gzipped(&plain);
    write_buffer(dir, "t10k-labels-idx1-ubyte.gz", &b);
}

/* ---- images in memory ------------------------------------------------------------------------------------------------ */

static tare_dataset *make_images(int64_t n, int64_t c, int64_t h, int64_t w, int64_t classes) {
    tare_dataset *ds = NULL;
    assert_ok(tare_dataset_new(n, c, h, w, classes, &ds));
    for (int64_t i = 0; i < n * c * h * w; i++) { ds->images[i] = pixel_at(i); }
    for (int64_t i = 0; i < n; i++) { ds->labels[i] = (int32_t)(i % classes); }
    tare_dataset_measure(ds);
    return ds;
}

#endif
