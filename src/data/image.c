/* image.c - PNG, JPEG and BMP files as bytes [C,H,W]. Decoding is stb_image's; what it lets pass unseen (a file that breaks
 * off, a PNG chunk whose CRC is wrong) is checked here first. */
#include "data/internal.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

enum { MAX_SIDE = TARE__IMAGE_SIDE, MAX_PIXELS = 1 << 26 };

typedef struct bytes {
    const char *path;
    uint8_t *data;
    int64_t size;
} bytes;

static uint32_t big32(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}
static uint32_t little32(const uint8_t *b) {
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

/* Chunk by chunk: length, four letters, data, CRC over letters and data; IEND ends it.  W3C PNG, section 5. */
static tare_status check_png(const bytes *file) {
    for (int64_t at = 8; file->size - at >= 12;) {
        const uint8_t *chunk = file->data + at;
        const int64_t length = big32(chunk);
        if (length > file->size - at - 12) { break; }
        if (crc32(crc32(0, NULL, 0), chunk + 4, (unsigned)length + 4) != big32(chunk + 8 + length)) {
            return tare_fail(TARE_EFORMAT, "%s: corrupt PNG: wrong CRC in the chunk at byte %lld", file->path,
                             (long long)at);
        }
        if (memcmp(chunk + 4, "IEND", 4) == 0) { return TARE_OK; }
        at += 12 + length;
    }
    return tare_fail(TARE_EFORMAT, "%s: truncated PNG", file->path);
}

/* Rows are padded to four bytes. The header's sizes stand at bytes 18 and 22, bits per pixel at 28, compression at 30. */
static tare_status check_bmp(const bytes *file) {
    if (file->size >= 18 && little32(file->data + 14) < 40) {
        return tare_fail(TARE_EFORMAT, "%s: a BMP of OS/2's old kind, which is not read", file->path);
    }
    if (file->size >= 54) {
        const int64_t offset = little32(file->data + 10), bits = file->data[28] | file->data[29] << 8;
        const int64_t width = (int32_t)little32(file->data + 18), rows = (int32_t)little32(file->data + 22);
        const int64_t height = rows < 0 ? -rows : rows;
        const bool packed = file->data[30] == 1 || file->data[30] == 2; /* stb_image refuses these by name */
        if (packed || width < 1 || width > MAX_SIDE || height > MAX_SIDE) { return TARE_OK; } /* refused further on */
        if (offset + (width * bits + 31) / 32 * 4 * height <= file->size) { return TARE_OK; }
    }
    return tare_fail(TARE_EFORMAT, "%s: truncated BMP", file->path);
}

/* Tells the format by the first bytes, whatever the file is called. */
static tare_status check(const bytes *file) {
    static const uint8_t png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' }, jpeg[3] = { 0xff, 0xd8, 0xff };
    if (file->size >= 8 && memcmp(file->data, png, 8) == 0) { return check_png(file); }
    if (file->size >= 3 && memcmp(file->data, jpeg, 3) == 0) {
        return tare__jpeg_check(file->path, file->data, file->size);
    }
    if (file->size >= 2 && file->data[0] == 'B' && file->data[1] == 'M') { return check_bmp(file); }
    return tare_fail(TARE_EFORMAT, "%s: is not an image (PNG, JPEG and BMP are read)", file->path);
}

static tare_status size_of(const bytes *file, int *width, int *height, int *channels) {
    tare_status status = tare__stb_size(file->path, file->data, (int)file->size, width, height, channels);
    if (status != TARE_OK) { return status; }
    if (*width < 1 || *height < 1 || *width > MAX_SIDE || *height > MAX_SIDE ||
        (int64_t)*width * *height > MAX_PIXELS) {
        return tare_fail(TARE_EFORMAT, "%s: %d x %d pixels: at most %d a side and %d in all", file->path, *width,
                         *height, MAX_SIDE, MAX_PIXELS);
    }
    return TARE_OK;
}

/* Pixel by pixel to plane by plane, then to the size wanted. */
static tare_status planes(const uint8_t *pixel, int64_t channels, int64_t in_height, int64_t in_width, int64_t height,
                          int64_t width, uint8_t *out) {
    const int64_t plane = in_height * in_width;
    const bool same = in_height == height && in_width == width;
    uint8_t *to = same ? out : tare_malloc((size_t)(channels * plane));
    if (!to) { return TARE_ENOMEM; }
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t i = 0; i < plane; i++) { to[c * plane + i] = pixel[i * channels + c]; }
    }
    if (same) { return TARE_OK; }
    tare_status status = tare_image_resize(to, channels, in_height, in_width, height, width, out);
    tare_free(to);
    return status;
}

static tare_status decode(const bytes *file, int64_t channels, int64_t height, int64_t width, uint8_t *out) {
    int in_width = 0, in_height = 0, in_channels = 0;
    tare_status status = check(file);
    if (status == TARE_OK) { status = size_of(file, &in_width, &in_height, &in_channels); }
    if (status != TARE_OK) { return status; }
    uint8_t *pixel = NULL;
    status = tare__stb_decode(file->path, file->data, (int)file->size, (int)channels, &pixel);
    if (status != TARE_OK) { return status; }
    status = planes(pixel, channels, in_height, in_width, height, width, out);
    tare_free(pixel);
    return status;
}

tare_status tare_image_load(const char *path, int64_t channels, int64_t height, int64_t width, uint8_t *out) {
    if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE) {
        return tare_fail(TARE_EINVAL, "%s: image wanted as [%lld,%lld,%lld]: expected 1 or 3 channels, sides 1 to %d",
                         path, (long long)channels, (long long)height, (long long)width, MAX_SIDE);
    }
    bytes file = { .path = path };
    tare_status status = tare__file_whole(path, INT_MAX, &file.data, &file.size);
    if (status != TARE_OK) { return status; }
    status = decode(&file, channels, height, width, out);
    tare_free(file.data);
    return status;
}

tare_status tare_image_size(const char *path, int64_t *channels, int64_t *height, int64_t *width) {
    bytes file = { .path = path };
    tare_status status = tare__file_whole(path, INT_MAX, &file.data, &file.size);
    if (status != TARE_OK) { return status; }
    int w = 0, h = 0, c = 0;
    status = check(&file);
    if (status == TARE_OK) { status = size_of(&file, &w, &h, &c); }
    tare_free(file.data);
    if (status != TARE_OK) { return status; }
    *channels = c, *height = h, *width = w;
    return TARE_OK;
}
