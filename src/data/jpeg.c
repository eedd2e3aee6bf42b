/* jpeg.c - a look at a JPEG's segments before stb_image decodes them. Releases of it before 2.28 write beyond a table where
 * a Huffman segment claims more than 256 codes, and it fills what is missing at the end with grey. */
#include "data/internal.h"

static tare_status fail(const char *path, const char *what) {
    return tare_fail(TARE_EFORMAT, "%s: %s JPEG", path, what);
}

/* A Huffman segment is tables one after the other: a byte, 16 counts of codes by length, then that many bytes.
 * T.81, section B.2.4.2. */
static tare_status check_huffman(const char *path, const uint8_t *data, int64_t size) {
    while (size > 0) {
        int64_t codes = 0;
        for (int64_t i = 1; i <= 16 && size >= 17; i++) { codes += data[i]; }
        if (size < 17 + codes || codes > 256) { return fail(path, "corrupt"); }
        data += 17 + codes;
        size -= 17 + codes;
    }
    return TARE_OK;
}

/* From marker to marker: ff and a byte, then for most a big-endian length that counts itself. Between them lie pixels, where
 * ff is followed by 0 or by a restart marker, d0 to d7. d9 ends it.  T.81, section B.1.1. */
tare_status tare__jpeg_check(const char *path, const uint8_t *data, int64_t size) {
    int64_t at = 2;
    for (;;) {
        while (at < size && data[at] != 0xff) { at++; }
        while (at < size && data[at] == 0xff) { at++; }
        if (at >= size) { return fail(path, "truncated"); }
        const int marker = data[at++];
        if (marker == 0xd9) { return TARE_OK; }
        if (marker == 0 || (marker >= 0xd0 && marker <= 0xd7)) { continue; }
        const int64_t length = size - at < 2 ? size : data[at] << 8 | data[at + 1];
        if (length > size - at) { return fail(path, "truncated"); }
        if (length < 2) { return fail(path, "corrupt"); }
        if (marker == 0xc4) {
            tare_status status = check_huffman(path, data + at + 2, length - 2);
            if (status != TARE_OK) { return status; }
        }
        at += length;
    }
}
