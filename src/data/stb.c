/* stb.c - stb_image, compiled here and nowhere else: PNG, JPEG and BMP, from memory, with our allocator. */
#include "data/internal.h"

#include <string.h>

/* Through our hook, so that running out of memory is seen and tested like everywhere else. */
static void *grow(void *memory, size_t old, size_t size) {
    void *grown = tare_malloc(size);
    if (!grown) { return NULL; }
    if (memory) { memcpy(grown, memory, old < size ? old : size); }
    tare_free(memory);
    return grown;
}

#define STBI_MALLOC(size)                     tare_malloc(size)
#define STBI_FREE(memory)                     tare_free(memory)
#define STBI_REALLOC_SIZED(memory, old, size) grow(memory, old, size)
#define STBI_ASSERT(condition)                ((void)0) /* a library does not abort over a bad file */
#define STBI_MAX_DIMENSIONS                   TARE__IMAGE_SIDE
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC /* a program that links us may bring its own */
#define STB_IMAGE_IMPLEMENTATION
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" /* what we do not call of it; reported at the end of the file */
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* fields that a stream from memory does not use */
#endif
#endif
#include <stb/stb_image.h>

static tare_status fail(const char *path) {
    const char *reason = stbi_failure_reason();
    if (reason && strcmp(reason, "outofmem") == 0) { return tare_fail(TARE_ENOMEM, "%s: out of memory", path); }
    return tare_fail(TARE_EFORMAT, "%s: cannot be decoded: %s", path, reason ? reason : "no reason given");
}

tare_status tare__stb_size(const char *path, const uint8_t *data, int size, int *width, int *height, int *channels) {
    if (stbi_info_from_memory(data, size, width, height, channels)) { return TARE_OK; }
    /* stb_image has tried all formats by now, and its reason is the last one's. */
    return tare_fail(TARE_EFORMAT, "%s: its header is not valid, or a side is longer than %d pixels", path,
                     TARE__IMAGE_SIDE);
}

tare_status tare__stb_decode(const char *path, const uint8_t *data, int size, int channels, uint8_t **pixels) {
    int width = 0, height = 0, had = 0;
    *pixels = stbi_load_from_memory(data, size, &width, &height, &had, channels);
    return *pixels ? TARE_OK : fail(path);
}
