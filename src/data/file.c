/* file.c - bytes of a file that may be gzip: read in pieces, so that what a header claims is never trusted. */
#include "data/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    CHUNK = 1 << 17,
    GZIP_RATIO = 1032 /* deflate never expands further: zlib's technical details, "maximum expansion" */
};

struct tare_file {
    FILE *stream;
    char *path;
    int64_t size; /* on disk */
    bool gzip;
    bool inflating;
    bool ended;
    z_stream z;
    uint8_t chunk[CHUNK];
};

tare_status tare__fail_errno(const char *what, const char *path, int error) {
    char text[128];
    if (strerror_r(error, text, sizeof text) != 0) { snprintf(text, sizeof text, "error %d", error); }
    return tare_fail(error == ENOENT || error == ENOTDIR ? TARE_ENOENT : TARE_EIO, "%s: cannot %s: %s", path, what,
                     text);
}

bool tare__path_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool tare__path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

char *tare__path_join(const char *dir, const char *name) {
    size_t length = strlen(dir);
    return tare__text("%s%s%s", dir, length && dir[length - 1] == '/' ? "" : "/", name);
}

static void *zlib_alloc(void *user, unsigned count, unsigned size) {
    (void)user;
    return tare_calloc(count, size);
}

static void zlib_free(void *user, void *memory) {
    (void)user;
    tare_free(memory);
}

static tare_status look(tare_file *file) {
    struct stat info;
    if (fstat(fileno(file->stream), &info) != 0) { return tare__fail_errno("read", file->path, errno); }
    if (S_ISDIR(info.st_mode)) { return tare_fail(TARE_EIO, "%s: is a folder, not a file", file->path); }
    if (!S_ISREG(info.st_mode)) { return tare_fail(TARE_EIO, "%s: is not a regular file", file->path); }
    if (info.st_size == 0) { return tare_fail(TARE_EFORMAT, "%s: is empty (0 bytes)", file->path); }
    file->size = (int64_t)info.st_size;
    uint8_t magic[2];
    file->gzip = fread(magic, 1, 2, file->stream) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    if (ferror(file->stream)) { return tare__fail_errno("read", file->path, errno); }
    rewind(file->stream);
    if (!file->gzip) { return TARE_OK; }
    file->z.next_in = file->chunk;
    file->z.zalloc = zlib_alloc;
    file->z.zfree = zlib_free;
    /* 16: expect a gzip header and check the CRC and length behind the data */
    if (inflateInit2(&file->z, 15 + 16) != Z_OK) {
        return tare_fail(TARE_ENOMEM, "%s: no memory to unpack", file->path);
    }
    file->inflating = true;
    return TARE_OK;
}

tare_status tare__file_open(const char *path, tare_file **out) {
    tare_file *file = tare_malloc(sizeof *file);
    if (!file) { return TARE_ENOMEM; }
    memset(file, 0, offsetof(tare_file, chunk));
    file->path = tare_strdup(path);
    tare_status status = file->path ? TARE_OK : TARE_ENOMEM;
    if (status == TARE_OK) {
        file->stream = fopen(path, "rb");
        status = file->stream ? look(file) : tare__fail_errno("open", path, errno);
    }
    if (status != TARE_OK) {
        tare__file_close(file);
        return status;
    }
    *out = file;
    return TARE_OK;
}

void tare__file_close(tare_file *file) {
    if (!file) { return; }
    if (file->inflating) { inflateEnd(&file->z); }
    if (file->stream) { fclose(file->stream); }
    tare_free(file->path);
    tare_free(file);
}

int64_t tare__file_most(const tare_file *file, int64_t done) {
    int64_t most =
        file->gzip ? (file->size > INT64_MAX / GZIP_RATIO ? INT64_MAX : file->size * GZIP_RATIO) : file->size;
    return most > done ? most - done : 0;
}

/* More packed bytes into the chunk, behind the few that are left of it; none at the end of the file. */
static tare_status refill(tare_file *file) {
    memmove(file->chunk, file->z.next_in, file->z.avail_in);
    size_t got = fread(file->chunk + file->z.avail_in, 1, CHUNK - file->z.avail_in, file->stream);
    if (got == 0 && ferror(file->stream)) { return tare__fail_errno("read", file->path, errno); }
    file->z.next_in = file->chunk;
    file->z.avail_in += (unsigned)got;
    return TARE_OK;
}

/* Behind one gzip member may come another (gzip allows it) or nothing. */
static tare_status member_end(tare_file *file) {
    if (file->z.avail_in < 2) {
        tare_status status = refill(file);
        if (status != TARE_OK) { return status; }
    }
    if (file->z.avail_in == 0) {
        file->ended = true;
        return TARE_OK;
    }
    if (file->z.avail_in < 2 || file->z.next_in[0] != 0x1f || file->z.next_in[1] != 0x8b) {
        return tare_fail(TARE_EFORMAT, "%s: stray bytes behind the gzip data", file->path);
    }
    inflateReset(&file->z);
    return TARE_OK;
}

static tare_status inflate_some(tare_file *file, uint8_t *out, int64_t want, int64_t *got) {
    const int64_t most = 1 << 30; /* zlib counts in 32 bits */
    *got = 0;
    while (*got < want && !file->ended) {
        if (file->z.avail_in == 0) {
            tare_status status = refill(file);
            if (status != TARE_OK) { return status; }
            if (file->z.avail_in == 0) {
                return tare_fail(TARE_EFORMAT, "%s: truncated: the gzip data breaks off", file->path);
            }
        }
        file->z.next_out = out + *got;
        file->z.avail_out = (unsigned)(want - *got < most ? want - *got : most);
        unsigned room = file->z.avail_out;
        int result = inflate(&file->z, Z_NO_FLUSH);
        *got += room - file->z.avail_out;
        if (result == Z_STREAM_END) {
            tare_status status = member_end(file);
            if (status != TARE_OK) { return status; }
        } else if (result == Z_MEM_ERROR) {
            return tare_fail(TARE_ENOMEM, "%s: no memory to unpack", file->path);
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return tare_fail(TARE_EFORMAT, "%s: corrupt gzip data (%s)", file->path, file->z.msg ? file->z.msg : "?");
        }
    }
    return TARE_OK;
}

tare_status tare__file_read(tare_file *file, uint8_t *out, int64_t want, int64_t *got) {
    if (file->gzip) { return inflate_some(file, out, want, got); }
    *got = (int64_t)fread(out, 1, (size_t)want, file->stream);
    if (*got < want && ferror(file->stream)) { return tare__fail_errno("read", file->path, errno); }
    return TARE_OK;
}

tare_status tare__file_whole(const char *path, int64_t limit, uint8_t **out, int64_t *size) {
    tare_file *file = NULL;
    tare_status status = tare__file_open(path, &file);
    if (status != TARE_OK) { return status; }
    uint8_t *bytes = NULL;
    if (file->gzip || file->size > limit) {
        status = tare_fail(TARE_EFORMAT, file->gzip ? "%s: is a gzip file, not an image" : "%s: is too large", path);
    } else {
        bytes = tare_malloc((size_t)file->size);
        status = bytes ? tare__file_read(file, bytes, file->size, size) : TARE_ENOMEM;
    }
    tare__file_close(file);
    if (status != TARE_OK) {
        tare_free(bytes);
        return status;
    }
    *out = bytes;
    return TARE_OK;
}
