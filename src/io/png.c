/* png.c - pictures as PNG files: one IDAT chunk, rows as they are, deflated by zlib.  W3C PNG, sections 5 and 11. */
#include "io.h"

#include <string.h>
#include <zlib.h>

typedef struct picture {
    uint8_t head[13]; /* IHDR */
    uint8_t *data;    /* IDAT */
    uLongf size;
} picture;

static void put_big32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) { at[i] = (uint8_t)(value >> (24 - 8 * i)); }
}

/* Length, four letters, data, CRC over letters and data. */
static bool write_chunk(FILE *file, const char *letters, const uint8_t *data, size_t size) {
    uint8_t number[4];
    uLong crc = crc32(crc32(0, NULL, 0), (const uint8_t *)letters, 4);
    if (size > 0) { crc = crc32(crc, data, (uInt)size); }
    put_big32(number, (uint32_t)size);
    bool good = fwrite(number, 1, 4, file) == 4 && fwrite(letters, 1, 4, file) == 4;
    good = good && (size == 0 || fwrite(data, 1, size, file) == size);
    put_big32(number, (uint32_t)crc);
    return good && fwrite(number, 1, 4, file) == 4;
}

static bool fill(FILE *file, const void *context) {
    static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    const picture *p = context;
    return fwrite(signature, 1, 8, file) == 8 && write_chunk(file, "IHDR", p->head, sizeof p->head) &&
           write_chunk(file, "IDAT", p->data, p->size) && write_chunk(file, "IEND", NULL, 0);
}

/* Plane by plane to pixel by pixel, with a 0 (no filter) before each row. */
static uint8_t *rows_of(const uint8_t *planes, int64_t channels, int64_t height, int64_t width, size_t size) {
    uint8_t *rows = tare_malloc(size), *to = rows;
    for (int64_t y = 0; rows && y < height; y++) {
        *to++ = 0;
        for (int64_t x = 0; x < width; x++) {
            for (int64_t c = 0; c < channels; c++) { *to++ = planes[(c * height + y) * width + x]; }
        }
    }
    return rows;
}

static tare_status save(const char *path, const uint8_t *rows, size_t size, picture *p) {
    p->size = compressBound((uLong)size);
    p->data = tare_malloc(p->size);
    if (!p->data) { return TARE_ENOMEM; }
    tare_status status = compress2(p->data, &p->size, rows, (uLong)size, 9) == Z_OK
                             ? tare__file_replace(path, fill, p)
                             : tare_fail(TARE_ENOMEM, "%s: out of memory for the picture", path);
    tare_free(p->data);
    return status;
}

tare_status tare_image_save(const char *path, const uint8_t *planes, int64_t channels, int64_t height, int64_t width) {
    enum { SIDE = 1 << 14, GREY = 0, RGB = 2 };
    if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > SIDE || width > SIDE) {
        return tare_fail(TARE_EINVAL, "%s: image given as [%lld,%lld,%lld]: expected 1 or 3 channels, sides 1 to %d",
                         path, (long long)channels, (long long)height, (long long)width, (int)SIDE);
    }
    picture p = { .head = { [8] = 8, [9] = channels == 3 ? RGB : GREY } };
    put_big32(p.head, (uint32_t)width);
    put_big32(p.head + 4, (uint32_t)height);
    size_t size = (size_t)(height * (1 + channels * width));
    uint8_t *rows = rows_of(planes, channels, height, width, size);
    if (!rows) { return TARE_ENOMEM; }
    tare_status status = save(path, rows, size, &p);
    tare_free(rows);
    return status;
}
